#include "isa/bytecode.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <new>

#include "frontends/vmasm/lower.h"
#include "frontends/vmasm/print_module.h"
#include "isa/diag/bytecode.h"
#include "isa/verify.h"
#include "tests/gen/random_module.h"
#include "tests/unit/sample_modules.h"

using namespace tess;

// Bytes that the program holds, counted when a test asks: the bound on the reader's memory.
namespace {
std::atomic<bool> counting{false};
std::atomic<uint64_t> live_bytes{0}, peak_bytes{0};
constexpr size_t kHeader = alignof(std::max_align_t);

void* counted_new_or_null(size_t bytes) noexcept {
  char* p = static_cast<char*>(std::malloc(bytes + kHeader));
  if (!p) return nullptr;
  std::memcpy(p, &bytes, sizeof bytes);
  if (counting) {
    live_bytes += bytes;
    peak_bytes = std::max(peak_bytes.load(), live_bytes.load());
  }
  return p + kHeader;
}
void* counted_new(size_t bytes) {
  void* p = counted_new_or_null(bytes);
  if (!p) throw std::bad_alloc();
  return p;
}
void counted_delete(void* p) noexcept {
  if (!p) return;
  char* block = static_cast<char*>(p) - kHeader;
  size_t bytes;
  std::memcpy(&bytes, block, sizeof bytes);
  if (counting) live_bytes -= std::min<uint64_t>(bytes, live_bytes);
  std::free(block);
}
}  // namespace
void* operator new(size_t bytes) { return counted_new(bytes); }
void* operator new[](size_t bytes) { return counted_new(bytes); }
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return counted_new_or_null(bytes);
}
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept {
  return counted_new_or_null(bytes);
}
void operator delete(void* p, const std::nothrow_t&) noexcept { counted_delete(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { counted_delete(p); }
void operator delete(void* p) noexcept { counted_delete(p); }
void operator delete[](void* p) noexcept { counted_delete(p); }
void operator delete(void* p, size_t) noexcept { counted_delete(p); }
void operator delete[](void* p, size_t) noexcept { counted_delete(p); }

namespace {

std::string messages(const Diagnostics& diags, const Sources& sources) {
  std::string s;
  for (const Diagnostic& d : diags) s += render_diag(d, sources, false);
  return s;
}

// Text to bytes; the text is expected to be right.
std::vector<uint8_t> assemble(std::string text) {
  Diagnostics diags;
  Sources sources;
  std::optional<Module> m = vmasm::compile({"t.vmasm", text}, {}, sources, diags);
  if (m) (void)verify(*m, diags);
  std::erase_if(
      diags, [](const Diagnostic& d) { return find_diag(d.code)->severity == Severity::warning; });
  INFO(text);
  REQUIRE_MESSAGE((m && diags.empty()), messages(diags, sources));
  m->producer.clear();
  return write_bytecode(*m);
}
std::string disassemble(const std::vector<uint8_t>& bytes) {
  Result<Module> m = read_bytecode(bytes);
  REQUIRE_MESSAGE(m, m.error().message);
  return vmasm::print_module(*m);
}

}  // namespace

TEST_CASE("a hand-built module survives") {
  Module m = tests::saxpy_module();
  auto bytes = write_bytecode(m);
  auto back = read_bytecode(bytes);
  REQUIRE_MESSAGE(back, back.error().message);
  CHECK(write_bytecode(*back) == bytes);
  m.producer.clear();
  bytes = write_bytecode(m);
  std::string text = disassemble(bytes);
  MESSAGE(text);
  CHECK(assemble(text) == bytes);
}

TEST_CASE("text survives") {
  auto bytes = assemble(R"(
const BM = 16, BN = 64, BK = 64, G = 128
type  W  = u4
layout #acc = local(2,8)*local( 8, 8 )
func scale(%s: f32[M,N], c: f32) -> (%p: f32[M,N], %m: f32[M,1])
{
  %m = reduce.max %s {dim 1, keep}
  %p = mul (sub %s, %m), c
}
kernel matmul_a16w(m: i32, n: i32, k: i32 divisible(G) 1..128,
                   a: in f16[m,k] : (k,1) aligned(16) may_alias, w: in W[k,n], s: in f16[k/G,n], z: in W[k/G,n], c: out f16[m,n],
                   e: in f32[m, 4] list(3))
    let t = cdiv(n, 4) - m * -2
    workspace p : f32[t, 7] kept
    workspace q : i32[8]
    grid(cdiv(m,BM), cdiv(n,BN)) warps(4) cluster(2) blocks_per_sm(2) cooperative fast(contract, ftz)
{
    %m0 = block.x * BM; %n0 = block.y * BN
    %acc = fill 0 : f32[BM,BN]
    %sh = smem f16[ring 2,BN,8] #((2,64,8):(512,8,1))
    %old = atomic.add q[3], 1 {relaxed, gpu}
    atomic.add q[%m0], -1
    wait q[0] ge %old {acquire, gpu}
    %it = 0
    for %kk in 0..k step BK pipeline(3) {
        %a = load a[%m0:+BM, %kk:+BK]
        %q = load w[%kk:+BK, %n0:+BN] {pad 3}
        %s = load s[%kk/G:+1, %n0:+BN] where true
        %z = load z[%kk/G:+1, %n0:+BN]
        %b = mul (sub (cast %q : f16), (cast %z : f16)), %s
        %acc = mma %a, %b, %acc
        %it = %it + 1
        if %it > 3 && %kk < 7 { %it = 7 } else if %it == 2 { break } else { continue }
        while %it < 4 { %it = %it * 2 }
    }
    %p, %m = call scale(%acc, 0.1)
    %p2, %m2 = call scale(%p, -inf)
    %tr = transpose %p2 {perm(1,0)}
    %y = transpose %tr #acc
    store (cast %y : f16), c[%m0:+BM, %n0:+BN]
    %l = load e{%it}[%m0:+4, :]
    %i, %j = sort %l {dim -1, descending}
    print %i
    fence
}
)");
  std::string text = disassemble(bytes);
  MESSAGE(text);
  auto again = assemble(text);
  CHECK(again == bytes);
  CHECK(disassemble(again) == text);
}

namespace {

void round_trip_random(uint64_t first, uint64_t count, gen::Coverage& coverage) {
  for (uint64_t seed = first; seed < first + count; ++seed) {
    Module m = gen::random_module(seed);
    coverage.add(m);
    auto bytes = write_bytecode(m);
    std::string text = disassemble(bytes);
    CAPTURE(seed);
    auto again = assemble(text);
    INFO((again != bytes ? text : ""));
    REQUIRE((again == bytes));
  }
}

}  // namespace

TEST_CASE("500 random modules survive assembling and disassembling") {
  gen::Coverage coverage;
  round_trip_random(0, 500, coverage);
}

TEST_CASE("long: 10000 random modules survive, with every row, attribute and type 50 times") {
  gen::Coverage coverage;
  round_trip_random(0, 10000, coverage);
  MESSAGE(coverage.table());
  auto [name, times] = coverage.rarest();
  INFO(name);
  CHECK(times >= 50);
}

// --- hostile bytes

namespace {

// The most memory that reading takes, in bytes; whatever is read is verified and written again too.
struct Reading {
  Result<Module> module;
  uint64_t peak = 0;
};
Reading read_counted(std::span<const uint8_t> bytes, ReadOptions options = {}) {
  live_bytes = peak_bytes = 0;
  counting = true;
  Result<Module> m = read_bytecode(bytes, options);
  counting = false;
  return {std::move(m), peak_bytes};
}
uint64_t bound(size_t bytes) { return kBytecodeExpansion * bytes + kBytecodeSlack; }

void seal(std::vector<uint8_t>& bytes) {
  if (bytes.size() < kBytecodeHeaderBytes) return;
  uint64_t sum = bytecode_checksum(std::span(bytes).subspan(16));
  std::memcpy(bytes.data() + 8, &sum, 8);
}

// Reads what may be damaged; if it is a module, verifying and writing it must work as well.
bool survives(const std::vector<uint8_t>& bytes, ReadOptions options = {}) {
  Reading r = read_counted(bytes, options);
  if (r.peak > bound(bytes.size())) return false;
  if (!r.module) return r.module.error().code >= Diag{500} && r.module.error().code < Diag{600};
  std::vector<uint8_t> once = write_bytecode(*r.module);
  Result<Module> again = read_bytecode(once);
  if (!again || write_bytecode(*again) != once) return false;
  Diagnostics diags;
  return verify(std::move(*again), diags).has_value() || !diags.empty();
}

std::vector<std::vector<uint8_t>> sample_files() {
  std::vector<std::vector<uint8_t>> files = {write_bytecode(tests::saxpy_module())};
  gen::GenOptions small;
  small.kernels = 2;
  small.statements = 6;
  for (uint64_t seed : {11, 12}) files.push_back(write_bytecode(gen::random_module(seed, small)));
  return files;
}

std::string error_of(const std::vector<uint8_t>& bytes) {
  Result<Module> m = read_bytecode(bytes);
  return m ? "no error" : diag_id(m.error().code) + " " + m.error().message;
}

// Bytes by hand: the header, then what is put after it.
struct File {
  std::vector<uint8_t> bytes;
  File() {
    bytes.assign(kBytecodeMagic, kBytecodeMagic + 8);
    bytes.resize(kBytecodeHeaderBytes);
    bytes[16] = kBytecodeMajor;
  }
  void num(uint64_t v) {
    for (; v >= 0x80; v >>= 7) bytes.push_back(static_cast<uint8_t>(v) | 0x80);
    bytes.push_back(static_cast<uint8_t>(v));
  }
  void section(uint64_t code, const std::vector<uint8_t>& contents) {
    num(code);
    num(contents.size());
    bytes.insert(bytes.end(), contents.begin(), contents.end());
  }
  std::vector<uint8_t> sealed() const {
    std::vector<uint8_t> b = bytes;
    seal(b);
    return b;
  }
};

}  // namespace

TEST_CASE("truncation at every byte, with and without a right checksum") {
  for (const auto& file : sample_files())
    for (size_t n = 0; n < file.size(); ++n) {
      std::vector<uint8_t> cut(file.begin(), file.begin() + static_cast<ptrdiff_t>(n));
      CAPTURE(n);
      REQUIRE_FALSE(read_bytecode(cut));
      seal(cut);
      REQUIRE(survives(cut));
    }
}

TEST_CASE("every single-bit flip, with the old checksum and a right one") {
  size_t still_read = 0, flips = 0;
  for (const auto& file : sample_files())
    for (size_t bit = 0; bit < file.size() * 8; ++bit) {
      std::vector<uint8_t> bad = file;
      bad[bit / 8] ^= static_cast<uint8_t>(1u << (bit % 8));
      CAPTURE(bit);
      REQUIRE_FALSE(read_bytecode(bad));
      seal(bad);
      REQUIRE(survives(bad));
      still_read += static_cast<bool>(read_bytecode(bad));
      ++flips;
    }
  MESSAGE(fmt::format("{} flips, {} of them give another module", flips, still_read));
  CHECK(still_read > 0);
}

TEST_CASE("every byte set to the extremes") {
  for (const auto& file : sample_files())
    for (size_t i = kBytecodeHeaderBytes; i < file.size(); ++i)
      for (uint8_t v : {0x00, 0x7f, 0x80, 0xff}) {
        std::vector<uint8_t> bad = file;
        bad[i] = v;
        CAPTURE(i);
        REQUIRE(survives(bad, {.check_checksum = false}));
      }
}

TEST_CASE("blocks nested 100000 deep are read, printed and refused without recursion") {
  Module m;
  Kernel k;
  k.name = "deep";
  k.constants.push_back({dt::bool_, 1});
  for (uint32_t i = 0; i < 100000; ++i) {
    k.refs.push_back(Ref::constant(0));
    k.code.push_back({Op::if_, 0, 0, 1, i, 0, {}});
  }
  for (uint32_t i = 0; i < 100000; ++i) k.code.push_back({Op::end, 0, 0, 0, 100000, 0, {}});
  m.kernels.push_back(k);
  auto bytes = write_bytecode(m);
  Reading r = read_counted(bytes);
  REQUIRE_MESSAGE(r.module, r.module.error().message);
  CHECK(r.module->kernels[0].code.size() == 200000);
  CHECK(r.peak <= bound(bytes.size()));
  CHECK(vmasm::print_module(*r.module).size() < 64u << 20);
  Diagnostics diags;
  CHECK_FALSE(verify(std::move(*r.module), diags));
  CHECK_FALSE(diags.empty());
}

TEST_CASE("announced counts up to 2^64 - 1 allocate nothing") {
  // A count at each place that a number stands in a real file.
  for (const auto& file : sample_files())
    for (size_t i = kBytecodeHeaderBytes; i < file.size(); ++i)
      for (uint64_t n :
           {uint64_t{0xFFFFFFFF}, ~uint64_t{0}, uint64_t{0x3FFFFFFF}, uint64_t{1} << 24}) {
        std::vector<uint8_t> bad(file.begin(), file.begin() + static_cast<ptrdiff_t>(i));
        for (uint64_t v = n;; v >>= 7) {
          bad.push_back(static_cast<uint8_t>(v & 0x7f) | (v >= 0x80 ? 0x80 : 0));
          if (v < 0x80) break;
        }
        bad.insert(bad.end(), file.begin() + static_cast<ptrdiff_t>(i) + 1, file.end());
        CAPTURE(i);
        REQUIRE(survives(bad, {.check_checksum = false}));
      }
}

TEST_CASE("short references to long names stay within the memory bound") {
  Module m;
  std::string longest(1000, 'x');
  for (int i = 0; i < 3000; ++i) {
    Kernel k;
    k.name = longest;
    for (int v = 0; v < 10; ++v) {
      k.values.push_back({longest + std::to_string(v), scalar_type(dt::i32_)});
      k.refs.push_back(Ref::value(static_cast<uint32_t>(v)));
      k.code.push_back({Op::block_x, 1, 0, 0, static_cast<uint32_t>(v), 0, {}});
    }
    m.kernels.push_back(std::move(k));
  }
  auto bytes = write_bytecode(m, {.strip_lines = true});
  Reading r = read_counted(bytes);
  REQUIRE_FALSE(r.module);
  CHECK(r.module.error().code == diag::bytecode_expands);
  CHECK(r.peak <= bound(bytes.size()));
  CHECK(read_bytecode(write_bytecode(m, {.strip_names = true, .strip_lines = true})));
}

TEST_CASE("each error says what is wrong and where") {
  CHECK(error_of({}) == "E0500 byte 0: not the magic number of .vmbc");
  std::vector<uint8_t> text = {'k', 'e', 'r', 'n', 'e', 'l', ' ', 's', 'a'};
  CHECK_FALSE(is_bytecode(text));
  CHECK(error_of(text) == "E0500 byte 0: not the magic number of .vmbc");
  File empty;
  CHECK(is_bytecode(empty.bytes));
  CHECK(error_of({empty.bytes.begin(), empty.bytes.begin() + 20}) ==
        "E0503 byte 0: the header is cut short");
  CHECK(error_of(empty.bytes) == "E0502 byte 8: the checksum is not that of the contents");
  CHECK(error_of(empty.sealed()) == "E0505 byte 24: section 1 (strings) is missing");
  File major;
  major.bytes[16] = 9;
  CHECK(error_of(major.sealed()) == "E0501 byte 16: major version 9, this program reads 1");
  File reserved;
  reserved.bytes[22] = 1;
  CHECK(error_of(reserved.sealed()) ==
        "E0510 byte 20: the reserved word of the header is not zero");

  auto strings = [](std::vector<uint8_t> contents) {
    File f;
    f.section(2, contents);
    return error_of(f.sealed());
  };
  CHECK(strings({0x80}) == "E0503 byte 26: a number continues past the end");
  CHECK(strings({0x80, 0x00}) == "E0504 byte 26: a number is longer than needed");
  CHECK(strings({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}) ==
        "E0504 byte 26: a number has more than 64 bits");
  CHECK(strings({5, 1}) == "E0509 byte 26: 5 strings do not fit the 1 bytes that remain");
  CHECK(strings({1, 1, 0xff}) == "E0510 byte 28: a string is not UTF-8");
  CHECK(strings({2, 1, 1, 'b', 'a'}) == "E0510 byte 30: strings do not ascend");
  CHECK(strings({2, 1, 1, 'a', 'a'}) == "E0510 byte 30: strings do not ascend");
  CHECK(strings({0, 7}) == "E0505 byte 27: section 1 (strings) has 1 bytes too many");
  CHECK(strings({0}) == "E0505 byte 27: section 2 (types) is missing");

  auto after_strings = [](auto&&... sections) {
    File f;
    f.section(2, {1, 1, 'k'});
    (f.section(sections.first, sections.second), ...);
    return error_of(f.sealed());
  };
  using S = std::pair<uint64_t, std::vector<uint8_t>>;
  CHECK(after_strings(S{2, {0}}) == "E0505 byte 29: section 1 after section 1");
  CHECK(after_strings(S{5, {0}}) == "E0505 byte 29: section 2 (types) is marked optional");
  CHECK(after_strings(S{4, {1, 7, 0, 3, 32, 8, 23, 0}}) ==
        "E0507 byte 32: memory space 7 is not known");
  CHECK(after_strings(S{4, {1, 0, 0, 4, 32, 9, 23, 0}}) ==
        "E0510 byte 34: no scalar type has kind 4, 32 bits, exponent 9, mantissa 23");
  CHECK(after_strings(S{4, {0}}, S{6, {0}}, S{8, {1, 2, 4, 0, 0, 200, 1}}) ==
        "E0510 byte 38: 0xc8 is no canonical code of i4");

  auto kernels = [&](std::vector<uint8_t> kernel) {
    return after_strings(S{4, {1, 0, 0, 2, 32, 0, 0, 0}}, S{6, {0}}, S{8, {0}}, S{10, kernel});
  };
  // name, bindings, parameters, grid (1: constant 1), warps, cluster, blocks_per_sm, flags, 7
  // counts
  std::vector<uint8_t> head = {1, 0, 0, 0, 1, 1, 0, 2, 4, 1, 0, 0};
  auto with = [&](std::vector<uint8_t> rest) {
    std::vector<uint8_t> all = head;
    all.insert(all.end(), rest.begin(), rest.end());
    return kernels(all);
  };
  CHECK(with({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}).starts_with("E0505"));
  CHECK(with({0, 0, 0, 0, 0, 0, 1, 0xff, 0x07, 0, 0}) ==
        "E0507 byte 66: instruction 1023 is not known");
  CHECK(with({1, 0, 0, 0, 0, 1, 1, 0, 20, 1, 0, 7 * 4}) == "E0508 byte 70: value 7 of 1");
  CHECK(with({1, 0, 0, 0, 0, 9, 1, 0, 20, 1, 0, 0}) ==
        "E0509 byte 64: 9 references do not fit the 6 bytes that remain");
  CHECK(with({1, 0, 0, 0, 0, 1, 1, 3, 20, 1, 0, 0}) == "E0508 byte 66: type 3 of 1");

  File unknown;
  unknown.section(2, {0});
  unknown.section(4, {0});
  unknown.section(6, {0});
  unknown.section(8, {0});
  unknown.section(10, {0});
  File optional = unknown;
  unknown.section(40, {1, 2, 3});
  CHECK(error_of(unknown.sealed()) == "E0506 byte 39: section 20 is not known and not optional");
  optional.section(41, {1, 2, 3});
  optional.bytes[18] = 99;  // a newer minor version
  CHECK(read_bytecode(optional.sealed()));
}

TEST_CASE("stripping drops names and places and nothing else") {
  Module m = gen::random_module(5);
  auto full = write_bytecode(m),
       bare = write_bytecode(m, {.strip_names = true, .strip_lines = true});
  CHECK(bare.size() < full.size());
  Result<Module> back = read_bytecode(bare);
  REQUIRE(back);
  CHECK(back->files.empty());
  for (size_t i = 0; i < m.kernels.size(); ++i) {
    const Kernel &a = m.kernels[i], &b = back->kernels[i];
    CHECK(a.name == b.name);
    REQUIRE(a.code.size() == b.code.size());
    for (size_t v = 0; v < a.params.size(); ++v) CHECK(a.values[v].name == b.values[v].name);
    for (size_t v = a.params.size(); v < b.values.size(); ++v) CHECK(b.values[v].name.empty());
  }
  CHECK(write_bytecode(*back) == bare);
}

TEST_CASE("source and producer are kept, the source only if asked") {
  Module m = tests::saxpy_module();
  m.source = "kernel saxpy\n";
  Result<Module> back = read_bytecode(write_bytecode(m));
  REQUIRE(back);
  CHECK(back->source == m.source);
  CHECK(back->producer == "by hand");
  CHECK(read_bytecode(write_bytecode(m, {.keep_source = false}))->source.empty());
}

TEST_CASE("constants have one code for each value") {
  Module m = tests::saxpy_module();
  m.kernels[0].constants[0] = {dt::i32_, 7};
  auto i32 = write_bytecode(m);
  m.kernels[0].constants[0] = {dt::f32_, 0xFFC12345};
  auto nan = write_bytecode(m);
  CHECK(read_bytecode(nan)->kernels[0].constants[0] == Constant{dt::f32_, 0x7FC00000});
  m.kernels[0].constants[0] = {dt::tf32_, 0x3F801234};
  CHECK(read_bytecode(write_bytecode(m))->kernels[0].constants[0] ==
        Constant{dt::tf32_, 0x3F800000});
  CHECK(read_bytecode(i32)->kernels[0].constants[0] == Constant{dt::i32_, 7});
}

TEST_CASE("the reader's speed") {
  Module m;
  for (uint64_t seed = 0; m.kernels.size() < 1000; ++seed)
    m = gen::random_module(seed, {.kernels = 3000, .statements = 60});
  for (WriteOptions options :
       {WriteOptions{}, WriteOptions{.strip_names = true, .strip_lines = true}}) {
    auto bytes = write_bytecode(m, options);
    double best = 1e9;
    for (int i = 0; i < 5; ++i) {
      auto start = std::chrono::steady_clock::now();
      Result<Module> back = read_bytecode(bytes);
      best = std::min(
          best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      REQUIRE(back);
    }
    double check = 1e9;
    for (int i = 0; i < 5; ++i) {
      auto start = std::chrono::steady_clock::now();
      volatile uint64_t sum = bytecode_checksum(bytes);
      (void)sum;
      check = std::min(
          check, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    double mb = static_cast<double>(bytes.size()) / 1e6;
    MESSAGE(fmt::format("{:.1f} MB{}: read at {:.0f} MB/s, checksum at {:.0f} MB/s", mb,
                        options.strip_names ? " stripped" : "", mb / best, mb / check));
  }
}

namespace {

std::string slurp(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  REQUIRE_MESSAGE(in, path.string());
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("files of older versions read to the same program") {
  size_t files = 0;
  gen::Coverage coverage;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(TESS_SOURCE_ROOT "/tests/compat")) {
    if (entry.path().extension() != ".vmbc") continue;
    ++files;
    CAPTURE(entry.path().string());
    std::string raw = slurp(entry.path());
    std::vector<uint8_t> bytes(raw.begin(), raw.end());
    Result<Module> m = read_bytecode(bytes);
    REQUIRE_MESSAGE(m, m.error().message);
    coverage.add(*m);
    std::string text = vmasm::print_module(*m);
    CHECK((text == slurp(std::filesystem::path(entry.path()).replace_extension(".vmasm"))));
    Diagnostics diags;
    CHECK(verify(*m, diags));
    // The text is a program, and still means the same.
    m->source.clear();
    m->producer.clear();
    CHECK((assemble(text) == write_bytecode(*m)));
  }
  CHECK(files >= 2);
  CHECK(coverage.rarest().second > 0);
}
