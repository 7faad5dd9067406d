// The C interface through its C++ face: results, errors, ownership, interruption, threads, hostile
// use.
#include <filesystem>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "isa/diag/data.h"
#include "isa/diag/jit.h"
#include "isa/diag/run.h"
#include "isa/diag/tool.h"
#include "vm/api/tess.hpp"

using namespace tess;
using namespace tess::api;

namespace {

constexpr const char* kSaxpy = R"(
kernel saxpy(n: i32, a: f32, x: in f32[n], y: inout f32[n])
    grid(cdiv(n, 64)) warps(4)
{
    %i = block.x * 64
    %x = load x[%i:+64]
    %y = load y[%i:+64]
    store (fma a, %x, %y), y[%i:+64]
}
)";
constexpr const char* kForever = R"(
kernel forever(y: out i32[1]) grid(1) warps(1)
{
    %i = 0
    while %i >= 0 {
        %i = and (%i + 1), 1023
    }
    store %i, y[0]
}
)";

Engine engine() {
  auto e = Engine::create();
  REQUIRE(e);
  return std::move(*e);
}
Module module_of(const char* text, const Bindings& bindings = {}) {
  auto m = engine().load("test.vmasm", text, bindings);
  REQUIRE_MESSAGE(m, std::string(m.error().text()));
  return std::move(*m);
}
Kernel kernel_of(const char* text, const char* name = nullptr, const Bindings& bindings = {}) {
  auto k = module_of(text, bindings).kernel(name);
  REQUIRE_MESSAGE(k, std::string(k.error().text()));
  return std::move(*k);
}
Run run_of(const Kernel& k, tess_run_config config = {}) {
  auto r = k.run(config);
  REQUIRE_MESSAGE(r, std::string(r.error().text()));
  return std::move(*r);
}
Tensor tensor(const char* source, const char* dtype, Shape shape) {
  auto t = Tensor::load(source, dtype, shape);
  REQUIRE_MESSAGE(t, std::string(t.error().text()));
  return std::move(*t);
}

#define CHECK_CODE(error, diag_code)                       \
  do {                                                     \
    Error check_error = (error);                           \
    REQUIRE(check_error);                                  \
    CHECK(check_error.code() == diag_id(diag::diag_code)); \
  } while (0)

}  // namespace

TEST_CASE("a kernel computes, arguments by name, in any order") {
  for (const char* name : {"interp", "interp-naive"}) {
    tess_run_config config{};
    config.engine = name;
    Run run = run_of(kernel_of(kSaxpy), config);
    Tensor x = tensor("iota", "f32", {100}), y = tensor("ones", "f32", {100});
    CHECK_FALSE(run.set("y", y));
    CHECK_FALSE(run.set("a", 2.0));
    CHECK_FALSE(run.set("x", x));
    CHECK_FALSE(run.deduce());
    CHECK_FALSE(run.start());
    CHECK_FALSE(run.wait());
    for (int i = 0; i < 100; ++i) REQUIRE(y.value(i) == 2.0 * i + 1);
    CHECK(run.stats().blocks == 2);
    CHECK(run.stats().steps == 12);
  }
}

TEST_CASE("the caller's memory is used in place and released once, after the last use") {
  std::vector<float> x(10, 3.0f), y(10, 1.0f);
  int released = 0;
  tess_tensor* raw = nullptr;
  int64_t shape[] = {10};
  auto count = [](void* user) { ++*static_cast<int*>(user); };
  REQUIRE_FALSE(
      Error(tess_tensor_borrow("f32", 1, shape, nullptr, y.data(), 40, 1, count, &released, &raw)));
  {
    Run run = run_of(kernel_of(kSaxpy));
    auto tx = Tensor::borrow("f32", {10}, x.data(), 40, false);
    REQUIRE(tx);
    CHECK_FALSE(Error(tess_run_set_tensor(run.get(), "y", raw)));
    tess_tensor_destroy(raw);  // the run keeps the memory
    CHECK(released == 0);
    CHECK_FALSE(run.set("x", *tx));
    CHECK_FALSE(run.set("n", 10));
    CHECK_FALSE(run.set("a", "0.5"));
    CHECK_FALSE(run.start());
    CHECK_FALSE(run.wait());
    CHECK(released == 0);
  }
  CHECK(released == 1);
  for (float v : y) CHECK(v == 2.5f);
}

namespace {

// A safetensors file of one f32 tensor `w` whose data begin at an odd byte; holes read as zero.
struct OddFile {
  std::string path = (std::filesystem::temp_directory_path() /
                      ("tess_api_test_" + std::to_string(::getpid()) + ".safetensors"))
                         .string();
  std::string source = path + "#w";
  int fd = ::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
  uint64_t begin = 0;

  explicit OddFile(uint64_t n) {
    REQUIRE(fd >= 0);
    std::string head = R"({"w":{"dtype":"F32","shape":[)" + std::to_string(n) +
                       R"(],"data_offsets":[0,)" + std::to_string(4 * n) + "]}}";
    if (head.size() % 2 == 0) head += ' ';
    uint64_t length = head.size();
    put(0, &length, sizeof length);
    put(sizeof length, head.data(), head.size());
    begin = sizeof length + length;
    REQUIRE(::ftruncate(fd, static_cast<off_t>(begin + 4 * n)) == 0);
  }
  ~OddFile() {
    ::close(fd);
    ::unlink(path.c_str());
  }
  void set(uint64_t element, float value) { put(begin + 4 * element, &value, sizeof value); }
  void put(uint64_t at, const void* bytes, size_t n) {
    REQUIRE(::pwrite(fd, bytes, n, static_cast<off_t>(at)) == static_cast<ssize_t>(n));
  }
};

uint64_t resident_bytes() {
  std::ifstream in("/proc/self/statm");
  uint64_t total = 0, pages = 0;
  in >> total >> pages;
  return pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

TEST_CASE(
    "a file's tensor at an odd byte is used in place: 1 GB raises memory by what is touched") {
  constexpr int64_t n = int64_t{1} << 28;
  OddFile file(n);
  for (int i = 0; i < 64; ++i) {
    file.set(static_cast<uint64_t>(1000 + i), static_cast<float>(i) + 0.5f);
    file.set(static_cast<uint64_t>(n - 64 + i), static_cast<float>(-i));
  }
  constexpr const char* kTouch = R"(
kernel touch(n: i32, x: in f32[n], y: out f32[128]) grid(1)
{
    %last = n - 64
    store (load x[1000:+64]), y[0:+64]
    store (load x[%last:+64]), y[64:+64]
}
)";
  for (const char* engine_name : {"interp", "interp-naive"}) {
    tess_run_config config{};
    config.engine = engine_name;
    Run run = run_of(kernel_of(kTouch), config);
    uint64_t before = resident_bytes();
    Tensor x = tensor(file.source.c_str(), "f32", {n}), y = tensor("zeros", "f32", {128});
    CHECK_FALSE(run.set("x", x));
    CHECK_FALSE(run.set("y", y));
    CHECK_FALSE(run.set("n", n));
    CHECK_FALSE(run.start());
    Error failed = run.wait();
    REQUIRE_MESSAGE(!failed, std::string(failed.text()));
    for (int i = 0; i < 64; ++i) {
      CHECK(y.value(i) == i + 0.5);
      CHECK(y.value(64 + i) == -i);
    }
    CHECK(resident_bytes() < before + (uint64_t{16} << 20));
  }
}

TEST_CASE("a file's tensor at an odd byte: gathered, as other types, where alignment is declared") {
  OddFile file(64);
  for (int i = 0; i < 64; ++i) file.set(static_cast<uint64_t>(i), static_cast<float>(i * i));
  constexpr const char* kRead = R"(
kernel read(x: in f32[64] ALIGNED, y: out f32[64], z: out u16[128], w: out f32[8,4]) grid(1)
{
    %back = sub 63, (iota : i32[64])
    store (gather x, %back), y[0:+64]
    %halves = alias x, 0 : u16[128]
    store (load %halves[0:+128]), z[0:+128]
    %rows = alias x, 0 : f32[8,8]
    store (load %rows[0:+8, 1:+4]), w[0:+8, 0:+4]
}
)";
  for (std::string clause : {"", "aligned(64)"}) {
    std::string text = kRead;
    text.replace(text.find("ALIGNED"), 7, clause);
    for (const char* engine_name : {"interp", "interp-naive"}) {
      tess_run_config config{};
      config.engine = engine_name;
      Run run = run_of(kernel_of(text.c_str()), config);
      Tensor x = tensor(file.source.c_str(), "f32", {64}), y = tensor("zeros", "f32", {64}),
             z = tensor("zeros", "u16", {128}), w = tensor("zeros", "f32", {8, 4});
      CHECK_FALSE(run.set("x", x));
      CHECK_FALSE(run.set("y", y));
      CHECK_FALSE(run.set("z", z));
      CHECK_FALSE(run.set("w", w));
      CHECK_FALSE(run.start());
      Error failed = run.wait();
      REQUIRE_MESSAGE(!failed, std::string(failed.text()));
      for (int i = 0; i < 64; ++i) CHECK(y.value(i) == (63 - i) * (63 - i));
      CHECK(z.code(2) == 0);  // 1.0f is 0x3F800000
      CHECK(z.code(3) == 0x3F80);
      for (int i = 0; i < 32; ++i) {
        int at = i / 4 * 8 + i % 4 + 1;
        CHECK(w.value(i) == at * at);
      }
    }
  }
}

TEST_CASE("objects outlive what they came from") {
  auto run = [] {
    auto k = [] {
      auto m = [] { return module_of(kSaxpy); }();
      auto kernel = m.kernel("saxpy");
      REQUIRE(kernel);
      return std::move(*kernel);
    }();
    return run_of(k);
  }();
  CHECK_FALSE(run.set("n", 0));
  CHECK_FALSE(run.set("a", 1.0));
  CHECK_FALSE(run.set("x", tensor("zeros", "f32", {0})));
  CHECK_FALSE(run.set("y", tensor("zeros", "f32", {0})));
  CHECK_FALSE(run.start());
  CHECK_FALSE(run.wait());
}

TEST_CASE("diagnostics of a program: all of them, with places, as text and JSON") {
  auto m = engine().load(
      "bad.vmasm",
      "kernel k(x: out f32[4]) grid(1)\n{\n    %a = laod x[0:+4]\n    store %b, x[0:+4]\n}\n");
  REQUIRE_FALSE(m);
  Error& e = m.error();
  CHECK(e.kind() == TESS_ERROR_INPUT);
  REQUIRE(e.count() == 2);
  tess_diagnostic d = e.diagnostic(0);
  CHECK(std::string(d.file) == "bad.vmasm");
  CHECK(d.line == 3);
  CHECK(d.col == 10);
  CHECK(std::string(d.severity) == "error");
  CHECK(std::string(e.text()).find("bad.vmasm:3:10: error[") != std::string::npos);
  CHECK(std::string(e.text()).find('\x1b') == std::string::npos);
  CHECK(std::string(e.text_color()).find('\x1b') != std::string::npos);
  std::string json = e.json();
  CHECK(std::count(json.begin(), json.end(), '\n') == 2);
  CHECK(json.starts_with("{\"code\":"));
  tess_diagnostic none{};
  none.size = sizeof none;
  CHECK(tess_error_diagnostic(e.get(), 2, &none) == 0);
}

TEST_CASE("specialisation: by the map, and refused for bytecode without its source") {
  const char* text =
      "const N = 4\nkernel k(y: out i32[N]) grid(1)\n{\n    store (iota : i32[N]), y[0:+N]\n}\n";
  Kernel k = kernel_of(text, nullptr, {{"N", "7"}});
  CHECK(std::string(k.name()) == "k<N=7>");
  CHECK(std::string(k.param(0).declaration) == "y: out i32[7]");
  CHECK_CODE(std::move(engine().load("t", text, {{"N", "1"}, {"N", "2"}}).error()), bad_binding);
}

TEST_CASE("parameters are described") {
  Kernel k = kernel_of(kSaxpy);
  REQUIRE(k.param_count() == 4);
  CHECK(std::string(k.param(0).declaration) == "n: i32");
  CHECK(k.param(0).kind == TESS_PARAM_SCALAR);
  CHECK(std::string(k.param(3).declaration) == "y: inout f32[n]");
  CHECK(k.param(3).kind == TESS_PARAM_INOUT);
  CHECK(k.param(3).rank == 1);
  tess_param p{};
  p.size = sizeof p;
  CHECK(tess_kernel_param(k.get(), 4, &p) == 0);
}

TEST_CASE("a shorter struct of an older header is respected") {
  Kernel k = kernel_of(kSaxpy);
  struct Older {
    size_t size;
    const char* name;
    uint64_t guard;
  } older{offsetof(Older, guard), nullptr, 42};
  CHECK(tess_kernel_param(k.get(), 0, reinterpret_cast<tess_param*>(&older)) == 1);
  CHECK(std::string(older.name) == "n");
  CHECK(older.guard == 42);
}

TEST_CASE("kernels are found by name, or not") {
  Module two = module_of("kernel alpha() grid(1)\n{\n}\nkernel beta() grid(1)\n{\n}\n");
  CHECK(two.kernel_count() == 2);
  CHECK(std::string(two.kernel_name(1)) == "beta");
  CHECK(two.kernel_name(2) == nullptr);
  CHECK(two.kernel("beta"));
  CHECK_CODE(std::move(two.kernel().error()), kernel_ambiguous);
  auto missing = two.kernel("betta");
  REQUIRE_FALSE(missing);
  CHECK(std::string(missing.error().text()).find("did you mean `beta`?") != std::string::npos);
  CHECK_CODE(std::move(missing.error()), kernel_not_found);
}

TEST_CASE("arguments that do not fit are told apart") {
  Kernel k = kernel_of(kSaxpy);
  Run run = run_of(k);
  CHECK_CODE(run.set("m", 1), unknown_parameter);
  CHECK_CODE(run.set("x", 1), argument_kind);
  CHECK_CODE(run.set("n", tensor("zeros", "f32", {1})), argument_kind);
  CHECK_CODE(run.set("n", int64_t{1} << 40), scalar_literal);
  CHECK_CODE(run.set("n", 1.5), scalar_literal);
  CHECK_CODE(run.set("n", "seven"), scalar_literal);
  CHECK_FALSE(run.set("n", "0x10"));
  CHECK_CODE(run.start(), missing_argument);
  CHECK_CODE(std::move(run_of(k).shape("x").error()), missing_argument);
  CHECK_FALSE(run.set("a", 1));
  CHECK_FALSE(run.set("x", tensor("zeros", "f32", {16})));
  CHECK_FALSE(run.set("y", tensor("zeros", "f32", {15})));
  CHECK_CODE(run.start(), launch_shape);
  CHECK_FALSE(run.set("y", tensor("zeros", "f32", {16})));  // it may be mended and started
  CHECK_FALSE(run.start());
  CHECK_CODE(run.set("n", 3), api_misuse);
  CHECK_CODE(run.start(), api_misuse);
  CHECK_FALSE(run.wait());
  CHECK_CODE(run.wait(), api_misuse);
  tess_run_config config{};
  config.engine = "abacus";
  CHECK_CODE(std::move(k.run(config).error()), engine_unknown);
  config.engine = "interp";
  config.async = "sometimes";
  CHECK_CODE(std::move(k.run(config).error()), async_unknown);
  for (const char* when : {"early", "late", "random"}) {
    config.async = when;
    CHECK(k.run(config));
  }
}

TEST_CASE("integers of every width: the extremes fit, one past them does not") {
  const char* text = "kernel k(a: i8, b: u8, c: i64, d: u64, e: bool, f: u4) grid(1)\n{\n}\n";
  Run run = run_of(kernel_of(text));
  CHECK_FALSE(run.set("a", -128));
  CHECK_FALSE(run.set("a", 127));
  CHECK_CODE(run.set("a", 128), scalar_literal);
  CHECK_CODE(run.set("a", -129), scalar_literal);
  CHECK_FALSE(run.set("b", 255));
  CHECK_CODE(run.set("b", -1), scalar_literal);
  CHECK_FALSE(run.set("c", INT64_MIN));
  CHECK_CODE(Error(tess_run_set_uint(run.get(), "c", uint64_t{1} << 63)), scalar_literal);
  CHECK_FALSE(Error(tess_run_set_uint(run.get(), "d", ~uint64_t{0})));
  CHECK_CODE(run.set("d", -1), scalar_literal);
  CHECK_FALSE(run.set("e", 1));
  CHECK_FALSE(run.set("e", "true"));
  CHECK_CODE(run.set("e", 2), scalar_literal);
  CHECK_CODE(run.set("f", 16), scalar_literal);
}

TEST_CASE("sizes follow from shapes: n, n+1, 2*n, n/32 of a divisible n, and lets") {
  const char* text =
      "kernel k(n: i32, m: i32, g: i32 divisible(32), a: in f32[n + 1, 2*m], b: in f32[g/32], c: "
      "in f32[n*m]) grid(1)\n{\n}\n";
  Run run = run_of(kernel_of(text));
  CHECK_FALSE(run.deduce_from("a", {8, 10}));
  CHECK_FALSE(run.deduce_from("b", {3}));
  auto c = run.shape("c");
  REQUIRE(c);
  CHECK(*c == Shape{35});
  auto b = run.shape("b");
  REQUIRE(b);
  CHECK(*b == Shape{3});
  // An odd extent is no 2*m; a cdiv has many solutions.
  Run odd = run_of(kernel_of(text));
  CHECK_FALSE(odd.deduce_from("a", {8, 9}));
  CHECK_FALSE(odd.shape("a"));
  Run many = run_of(kernel_of("kernel k(n: i32, a: in f32[cdiv(n, 4)]) grid(1)\n{\n}\n"));
  CHECK_FALSE(many.deduce_from("a", {2}));
  CHECK_CODE(std::move(many.shape("a").error()), missing_argument);
}

TEST_CASE("a trap carries its place") {
  const char* text =
      "kernel k(y: out i32[4]) grid(3) warps(1)\n{\n    %i = block.x\n    assert %i < 2\n    "
      "store %i, y[%i]\n}\n";
  Run run = run_of(kernel_of(text));
  CHECK_FALSE(run.set("y", tensor("zeros", "i32", {4})));
  CHECK_FALSE(run.start());
  Error e = run.wait();
  REQUIRE(e);
  CHECK(e.kind() == TESS_ERROR_TRAP);
  CHECK(e.code() == diag_id(diag::run_assert));
  tess_trap t = e.trap();
  CHECK(std::string(t.kernel) == "k");
  CHECK(t.block[0] == 2);
  CHECK(t.strand == 0);
  CHECK(std::string(t.file) == "test.vmasm");
  CHECK(t.line == 4);
  CHECK(t.col == 5);
}

TEST_CASE("limits: of the run, and of the engine for runs that set none") {
  Tensor y = tensor("zeros", "i32", {1});
  tess_run_config config{};
  config.limit_steps = 1000;
  Run run = run_of(kernel_of(kForever), config);
  CHECK_FALSE(run.set("y", y));
  CHECK_FALSE(run.start());
  Error e = run.wait();
  REQUIRE(e);
  CHECK(e.kind() == TESS_ERROR_LIMIT);
  CHECK(e.code() == diag_id(diag::run_step_limit));

  Engine limited = engine();
  CHECK(limited.limit(TESS_LIMIT_MILLISECONDS) == 0);
  CHECK(limited.limit(TESS_LIMIT_MILLISECONDS, 50) == 0);
  CHECK(limited.limit(TESS_LIMIT_MILLISECONDS) == 50);
  auto m = limited.load("f", kForever);
  REQUIRE(m);
  Run timed = run_of(*m->kernel());
  CHECK_FALSE(timed.set("y", y));
  CHECK_FALSE(timed.start());
  CHECK_CODE(timed.wait(), run_time_limit);
}

TEST_CASE("a run is interrupted from another thread, and by its destruction") {
  Kernel k = kernel_of(kForever);
  Tensor y = tensor("zeros", "i32", {1});
  Run run = run_of(k);
  CHECK(run.poll());
  CHECK_FALSE(run.set("y", y));
  CHECK_FALSE(run.start());
  CHECK_FALSE(run.poll());
  std::thread other([&] { run.interrupt(); });
  Error e = run.wait();
  other.join();
  REQUIRE(e);
  CHECK(e.kind() == TESS_ERROR_INTERRUPTED);
  CHECK(run.poll());
  Run dropped = run_of(k);
  CHECK_FALSE(dropped.set("y", y));
  CHECK_FALSE(dropped.start());
}

TEST_CASE("launches of one kernel run at once on several threads") {
  Kernel k = kernel_of(kSaxpy);
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        auto run = k.run();
        auto x = Tensor::load("iota", "f32", {500});
        auto y = Tensor::create("f32", {500});
        if (!run || !x || !y || run->set("x", *x) || run->set("y", *y) ||
            run->set("a", static_cast<double>(t)) || run->deduce() || run->start() || run->wait())
          return;
        good += y->value(499) == 499.0 * t;
      }
    });
  for (std::thread& t : threads) t.join();
  CHECK(good == 80);
}

TEST_CASE("what a kernel prints comes in block order") {
  const char* text =
      "kernel k() grid(2) warps(1)\n{\n    %t = add (iota : i32[2,2]), block.x\n    print %t\n}\n";
  std::vector<std::string> seen;
  tess_run_config config{};
  config.user = &seen;
  config.on_print = [](const tess_shown* s, void* user) {
    std::string line = std::to_string(s->block[0]) + " " + s->name + " " + s->instruction_name +
                       " " + tess_tensor_dtype(s->value);
    for (int64_t i = 0; i < tess_tensor_elements(s->value); ++i)
      line += " " + std::to_string(static_cast<int>(tess_tensor_value(s->value, i)));
    static_cast<std::vector<std::string>*>(user)->push_back(line + " @" + std::to_string(s->line));
  };
  Run run = run_of(kernel_of(text), config);
  CHECK_FALSE(run.start());
  CHECK_FALSE(run.wait());
  CHECK(seen == std::vector<std::string>{"0 %t print i32 0 1 0 1 @4", "1 %t print i32 1 2 1 2 @4"});
}

TEST_CASE("every value of one block can be traced") {
  int values = 0;
  tess_run_config config{};
  config.trace_every_value = 1;
  config.trace_block[0] = 1;
  config.user = &values;
  config.on_trace = [](const tess_shown* s, void* user) {
    *static_cast<int*>(user) += s->block[0] == 1;
  };
  Run run = run_of(kernel_of(kSaxpy), config);
  CHECK_FALSE(run.set("x", tensor("iota", "f32", {100})));
  CHECK_FALSE(run.set("y", tensor("iota", "f32", {100})));
  CHECK_FALSE(run.set("a", 1));
  CHECK_FALSE(run.deduce());
  CHECK_FALSE(run.start());
  CHECK_FALSE(run.wait());
  CHECK(values == 5);
}

TEST_CASE("tensors: types, shapes, codes, text, and what they refuse") {
  Tensor t = tensor("iota", "u4", {3, 3});
  CHECK(t.bytes() == 5);
  CHECK(t.code(8) == 8);
  CHECK(t.value(9) == 0);
  CHECK(t.value(-1) == 0);
  CHECK(std::string(t.text()) == "[[0 1 2]\n [3 4 5]\n [6 7 8]]");
  CHECK_CODE(std::move(Tensor::create("f33", {1}).error()), api_misuse);
  CHECK_CODE(std::move(Tensor::create("f32", {-1}).error()), tensor_too_large);
  CHECK_CODE(std::move(Tensor::create("f32", {int64_t{1} << 40, int64_t{1} << 40}).error()),
             tensor_too_large);
  CHECK_CODE(std::move(Tensor::open("ones").error()), api_misuse);
  CHECK_CODE(std::move(Tensor::open("nowhere.npy").error()), file_unreadable);
  float few[3];
  CHECK_CODE(std::move(Tensor::borrow("f32", {4}, few, 12).error()), api_misuse);
  CHECK_CODE(Error(tess_tensor_save(t.get(), "-")), api_misuse);
  auto c = t.copy();
  REQUIRE(c);
  CHECK(c->mutable_data() != nullptr);
  CHECK(c->code(7) == 7);
}

TEST_CASE("NULL is never followed") {
  CHECK_CODE(Error(tess_engine_create(nullptr, nullptr)), api_misuse);
  tess_module* m = nullptr;
  CHECK_CODE(Error(tess_module_load(nullptr, "x", "", 0, nullptr, 0, &m)), api_misuse);
  CHECK_CODE(Error(tess_module_load_file(nullptr, nullptr, nullptr, 0, &m)), api_misuse);
  CHECK_CODE(Error(tess_module_kernel(nullptr, nullptr, nullptr)), api_misuse);
  CHECK_CODE(Error(tess_run_create(nullptr, nullptr, nullptr)), api_misuse);
  CHECK_CODE(Error(tess_run_set_int(nullptr, nullptr, 0)), api_misuse);
  CHECK_CODE(Error(tess_run_set_tensor(nullptr, nullptr, nullptr)), api_misuse);
  CHECK_CODE(Error(tess_run_start(nullptr)), api_misuse);
  CHECK_CODE(Error(tess_run_wait(nullptr)), api_misuse);
  CHECK_CODE(Error(tess_run_deduce(nullptr)), api_misuse);
  CHECK_CODE(Error(tess_tensor_create(nullptr, 0, nullptr, nullptr)), api_misuse);
  CHECK_CODE(Error(tess_tensor_copy(nullptr, nullptr)), api_misuse);
  tess_run_interrupt(nullptr);
  tess_run_destroy(nullptr);
  tess_kernel_destroy(nullptr);
  tess_module_destroy(nullptr);
  tess_engine_destroy(nullptr);
  tess_tensor_destroy(nullptr);
  tess_error_destroy(nullptr);
  CHECK(tess_run_poll(nullptr) == 1);
  CHECK(std::string(tess_error_text(nullptr)).empty());
}

TEST_CASE("compiled kernels on the simulator, by either back end that is there") {
  Kernel k = kernel_of(kSaxpy);
  for (const char* arch : {"sm_80", "sm_89", "sm_90a"}) {
    tess_run_config config{};
    config.engine = "sim";
    config.jit = "nvptx";
    config.arch = arch;
    config.sim_runs = 4;
    for (int64_t n : {64, 100, 33}) {
      Run run = run_of(k, config);
      Tensor x = tensor("iota", "f32", {n}), y = tensor("ones", "f32", {n});
      CHECK_FALSE(run.set("a", 2.0));
      CHECK_FALSE(run.set("x", x));
      CHECK_FALSE(run.set("y", y));
      CHECK_FALSE(run.deduce());
      CHECK_FALSE(run.start());
      Error failed = run.wait();
      if (failed && std::string_view(failed.code()) == diag_id(diag::nvptx_missing)) return;
      REQUIRE_MESSAGE(!failed, std::string(failed.text()));
      for (int i = 0; i < n; ++i) REQUIRE(y.value(i) == 2.0 * i + 1);
      CHECK(run.stats().blocks == (n + 63) / 64);
      CHECK(run.stats().compiled == 1);
      CHECK(run.stats().compile_seconds > 0);
      // Once more: the kernel is there.
      Run again = run_of(k, config);
      CHECK_FALSE(again.set("a", 2.0));
      CHECK_FALSE(again.set("x", x));
      CHECK_FALSE(again.set("y", y));
      CHECK_FALSE(again.deduce());
      CHECK_FALSE(again.start());
      CHECK_FALSE(again.wait());
      CHECK(again.stats().compiled == 0);
    }
  }
}

TEST_CASE("engines that compile say what they do not know; an older caller's struct will do") {
  Kernel k = kernel_of(kSaxpy);
  tess_run_config config{};
  config.engine = "sim";
  config.jit = "gcc";
  CHECK_CODE(std::move(k.run(config).error()), jit_unknown);
  config.jit = nullptr;
  config.arch = "sm_70";
  CHECK_CODE(std::move(k.run(config).error()), arch_unknown);
  config.arch = nullptr;
  config.async = "soon";
  CHECK_CODE(std::move(k.run(config).error()), async_unknown);
  // The fields behind `size` are not read.
  tess_run* run = nullptr;
  config.async = nullptr;
  config.jit = "gcc";
  config.size = offsetof(tess_run_config, jit);
  CHECK_FALSE(Error(tess_run_create(k.get(), &config, &run)));
  tess_run_destroy(run);
  // A wrong shape is found before anything is compiled.
  config = {};
  config.engine = "sim";
  Run wrong = run_of(k, config);
  Tensor x = tensor("iota", "f32", {5}), y = tensor("ones", "f32", {4});
  CHECK_FALSE(wrong.set("n", 4));
  CHECK_FALSE(wrong.set("a", 1.0));
  CHECK_FALSE(wrong.set("x", x));
  CHECK_FALSE(wrong.set("y", y));
  CHECK_CODE(wrong.start(), launch_shape);
}
