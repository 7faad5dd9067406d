// What jit/driver_cuda says to CUDA's driver, on a fake one (tests/gpu/fake_cuda.cpp) that stands
// in the test's library path.
#include <doctest/doctest.h>

#include <cstring>

#include "isa/diag/device.h"
#include "isa/diag/run.h"
#include "jit/driver_cuda.h"
#include "tests/unit/jit_harness.h"

using namespace tess;
using namespace tess::jit;
using namespace tess::test;

// Used, so that the program needs the library and has loaded it: AddressSanitizer's dlopen() does
// not look where the program's RUNPATH says.
extern "C" int cuInit(unsigned);

namespace {

struct Opened {
  Driver driver;
  Opened() {
    REQUIRE(cuInit(0) == 0);
    Result<Driver> d = open_cuda_driver();
    REQUIRE(d);
    driver = *d;
  }
  ~Opened() { driver.table->close(driver.self); }
  const DriverTable* operator->() const { return driver.table; }
  void* self() const { return driver.self; }
};

// Launches kernel `name` with one pointer.
Status launch_pointer(const Opened& d, const char* name, DevicePtr p, LaunchSpec spec = {}) {
  TESS_TRY(spec.module, d->load_module(d.self(), std::string(name) + " kernels", "test"));
  std::span<const std::byte> one = std::as_bytes(std::span(&p, 1));
  spec.entry = name;
  spec.params = std::span(&one, 1);
  TESS_CHECK(d->launch(d.self(), spec));
  return d->synchronize(d.self(), StreamId::standard);
}

}  // namespace

TEST_CASE("memory, symbols, streams and the device") {
  Opened d;
  auto info = d->device(d.self());
  REQUIRE(info);
  CHECK(info->name == "Fake GPU");
  CHECK(info->sm == 90);
  CHECK(info->sm_count == 132);
  auto p = d->allocate(d.self(), 100);
  REQUIRE(p);
  std::vector<std::byte> in(100, std::byte(3)), out(100);
  CHECK(d->copy_in(d.self(), *p, in));
  CHECK(d->fill(d.self(), *p + 50, 9, 50));
  CHECK(d->copy_out(d.self(), out, *p));
  CHECK(out[49] == std::byte(3));
  CHECK(out[50] == std::byte(9));
  CHECK(d->release(d.self(), *p));
  auto big = d->allocate(d.self(), uint64_t{1} << 40);
  REQUIRE_FALSE(big);
  CHECK(big.error().code == diag::cuda_failed);
  CHECK(big.error().message ==
        "1099511627776 bytes of device memory: as the fake driver says (CUDA_ERROR_OUT_OF_MEMORY)");
  auto m = d->load_module(d.self(), "ptx", "m");
  REQUIRE(m);
  auto symbol = d->global_symbol(d.self(), *m, "seventeen");
  REQUIRE(symbol);
  CHECK(symbol->second == 8);
  CHECK_FALSE(d->global_symbol(d.self(), *m, "eighteen"));
  CHECK(d->unload_module(d.self(), *m));
  CHECK_FALSE(d->unload_module(d.self(), *m));
  auto stream = d->create_stream(d.self());
  REQUIRE(stream);
  CHECK(d->synchronize(d.self(), *stream));
  CHECK(d->destroy_stream(d.self(), *stream));
  CHECK_FALSE(d->destroy_stream(d.self(), *stream));
}

TEST_CASE("a launch says its grid, clusters, shared memory and co-residency") {
  Opened d;
  auto p = d->allocate(d.self(), 1024);
  REQUIRE(p);
  auto said = [&](const LaunchSpec& spec) {
    REQUIRE(launch_pointer(d, "what", *p, spec));
    std::vector<std::byte> text(1024);
    REQUIRE(d->copy_out(d.self(), text, *p));
    return std::string(reinterpret_cast<const char*>(text.data()));
  };
  LaunchSpec plain;
  plain.grid = {7, 2, 1};
  plain.block = {128, 1, 1};
  CHECK(said(plain) == " grid 7,2,1 block 128,1,1 shared 0");
  LaunchSpec all = plain;
  all.cluster = {16, 1, 1};
  all.shared_bytes = 100000;
  all.cooperative = all.dependent = true;
  // 8: dynamic shared memory; 13 or 14: clusters above 8. Launch attributes: 4 cluster, 2
  // cooperative, 6 dependent.
  std::string text = said(all);
  CHECK(text.find(" attribute 8=100000") != std::string::npos);
  CHECK(text.find(" launch 4=16") != std::string::npos);
  CHECK(text.find(" launch 2=1") != std::string::npos);
  CHECK(text.find(" launch 6=1") != std::string::npos);
  LaunchSpec many = all;
  many.grid = {1024, 1, 1};
  Status refused = launch_pointer(d, "what", *p, many);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == diag::launch_cooperative);
  CHECK(d->release(d.self(), *p));
}

TEST_CASE("PTX that the driver refuses is shown with its log") {
  Opened d;
  auto m = d->load_module(d.self(), "bad", "m");
  REQUIRE_FALSE(m);
  CHECK(m.error().code == diag::cuda_failed);
  REQUIRE(m.error().notes.size() == 1);
  CHECK(m.error().notes[0].message == "line 1: it is bad");
}

TEST_CASE("tensor maps reach the driver") {
  Opened d;
  TensorMapSpec s;
  s.type = TensorType::bf16;
  s.rank = 2;
  s.address = 0x100;
  s.size[0] = 64, s.size[1] = 32, s.stride[0] = 128, s.box[0] = 16, s.box[1] = 8;
  s.swizzle = TensorSwizzle::b64;
  auto map = d->encode_tensor_map(d.self(), s);
  REQUIRE(map);
  uint64_t words[9];
  std::memcpy(words, map->bytes, sizeof words);
  const uint64_t want[9] = {9, 2, 0x100, 64, 32, 128, 16, 8, 2};  // bfloat16 is 9, 64 bytes are 2
  for (int i = 0; i < 9; ++i) CHECK(words[i] == want[i]);
}

TEST_CASE("after a fault the GPU is opened anew, and the next launch is good") {
  const char* text = R"(
kernel NAME(n: i32, a: f32, x: in f32[n], y: inout f32[n]) grid(1) warps(1) {
    store (fma a, (load x[0:+32]), (load y[0:+32])), y[0:+32]
}
)";
  auto program = [&](const char* name) {
    std::string t = text;
    return assemble_program(t.replace(t.find("NAME"), 4, name));
  };
  stand_in().lower = [](const Kernel&) {
    Lowered out;
    out.block.params = {scalar_param(0, RegClass::b32), scalar_param(1, RegClass::f32),
                        pointer_param(2), pointer_param(3)};
    return out;
  };
  stand_in().ptx = [](const Kernel& k) { return k.name + " kernels"; };
  auto jit = make_jit(stand_in_tools());
  REQUIRE(device_sms(*jit, DeviceKind::cuda));
  CHECK(*device_sms(*jit, DeviceKind::cuda) == 132);
  VerifiedModule good = program("saxpy"), bad = program("fault");
  RunOptions o;
  o.device = DeviceKind::cuda;
  std::vector<float> x(32, 3), y(32, 1);
  float two = 2;
  uint32_t a = 0;
  std::memcpy(&a, &two, 4);
  std::vector<LaunchArg> args{
      {32, {}}, {a, {}}, {0, {tensor(dt::f32_, x, {32})}}, {0, {tensor(dt::f32_, y, {32})}}};
  for (float want : {7.f, 13.f}) {
    LaunchOutcome out = launch(*jit, good, args, o);
    CHECK_FALSE(out.error);
    for (float v : y) CHECK(v == want);
    LaunchOutcome fault = launch(*jit, bad, args, o);
    REQUIRE(fault.error);
    CHECK(fault.error->code == diag::cuda_fault);
    for (float v : y) CHECK(v == want);
  }
}
