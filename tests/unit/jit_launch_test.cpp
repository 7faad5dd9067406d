// Launching compiled kernels: facts, specialisation, device memory, hidden parameters, results,
// faults. The kernels are PTX written by hand and run on the simulator.
#include <doctest/doctest.h>

#include <cstring>
#include <thread>

#include "isa/diag/device.h"
#include "isa/diag/run.h"
#include "isa/diag/sim.h"
#include "isa/diag/tool.h"
#include "jit/arguments.h"
#include "jit/driver_cuda.h"
#include "tests/unit/jit_harness.h"

using namespace tess;
using namespace tess::jit;
using namespace tess::test;

namespace {

constexpr const char* kHead = ".version 8.0\n.target sm_80\n.address_size 64\n";
std::string kernel_text(const std::string& name, const std::string& params,
                        const std::string& body) {
  return kHead + (".visible .entry " + name + "(" + params + ")\n{\n" + body + "ret;\n}\n");
}

// One thread per element; all are loaded and stored as one word, or four at once.
std::string saxpy_ptx(const Kernel& k) {
  bool wide = k.params[2].aligned >= 16 && k.params[3].aligned >= 16 && k.params[0].divisible >= 4;
  std::string body = R"(
.reg .b64 %x, %y, %o; .reg .b32 %n, %i, %c, %t; .reg .f32 %a, %u<4>, %v<4>; .reg .pred %p;
ld.param.u32 %n, [n]; ld.param.f32 %a, [a]; ld.param.u64 %x, [x]; ld.param.u64 %y, [y];
mov.u32 %c, %ctaid.x; mov.u32 %t, %tid.x; mad.lo.u32 %i, %c, 128, %t;
)";
  if (wide) body += "shl.b32 %i, %i, 2;\n";
  body += R"(
setp.ge.u32 %p, %i, %n; @%p ret;
mul.wide.u32 %o, %i, 4; add.u64 %x, %x, %o; add.u64 %y, %y, %o;
)";
  body +=
      wide ? "ld.global.v4.f32 {%u0,%u1,%u2,%u3}, [%x]; ld.global.v4.f32 {%v0,%v1,%v2,%v3}, [%y];\n"
           : "ld.global.f32 %u0, [%x]; ld.global.f32 %v0, [%y];\n";
  for (int i = 0; i < (wide ? 4 : 1); ++i) {
    std::string n = std::to_string(i);
    body += "fma.rn.f32 %v" + n + ", %a, %u" + n + ", %v" + n + ";\n";
  }
  body += wide ? "st.global.v4.f32 [%y], {%v0,%v1,%v2,%v3};\n" : "st.global.f32 [%y], %v0;\n";
  return kernel_text("saxpy", ".param .u32 n, .param .f32 a, .param .u64 x, .param .u64 y", body);
}

const char* kSaxpy = R"(
kernel saxpy(n: i32, a: f32, x: in f32[n], y: inout f32[n]) grid(cdiv(n, 128)) warps(4) {
    %i = block.x * 128
    store (fma a, (load x[%i:+128]), (load y[%i:+128])), y[%i:+128]
}
)";

void use_saxpy() {
  stand_in().lower = [](const Kernel&) {
    Lowered out;
    out.block.params = {scalar_param(0, RegClass::b32), scalar_param(1, RegClass::f32),
                        pointer_param(2), pointer_param(3)};
    return out;
  };
  stand_in().ptx = saxpy_ptx;
  stand_in().lowered = stand_in().compiled = 0;
}

uint64_t f32_code(float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, 4);
  return bits;
}

// a*x + y over n elements that begin `skip` floats behind an aligned address.
LaunchOutcome saxpy(Jit& jit, int64_t n, size_t skip, RunOptions options = {}) {
  alignas(64) static float x[2048], y[2048];
  for (int i = 0; i < 2048; ++i) x[i] = float(i), y[i] = 1000;
  auto ref = [&](float* p) {
    return TensorRef{dt::f32_, reinterpret_cast<uint8_t*>(p + skip), uint64_t(n) * 4, {n}, {},
                     true};
  };
  static const VerifiedModule m = assemble_program(kSaxpy);
  LaunchOutcome out =
      launch(jit, m, {{uint64_t(n), {}}, {f32_code(2), {}}, {0, {ref(x)}}, {0, {ref(y)}}}, options);
  if (out.error) return out;
  for (int i = 0; i < 2048; ++i) {
    bool inside = size_t(i) >= skip && i < int64_t(skip) + n;
    CHECK(y[i] == (inside ? 1000 + 2 * float(i) : 1000));
    CHECK(x[i] == float(i));
  }
  return out;
}

std::string code_of(const LaunchOutcome& o) { return o.error ? diag_id(o.error->code) : ""; }

}  // namespace

TEST_CASE("an aligned launch gets the wide kernel, an unaligned one a correct one; both are kept") {
  use_saxpy();
  auto jit = make_jit(stand_in_tools());
  LaunchOutcome first = saxpy(*jit, 1024, 0);
  CHECK(code_of(first) == "");
  CHECK(first.blocks == 8);
  CHECK(first.steps > 0);
  CHECK_FALSE(first.cached);
  CHECK(saxpy(*jit, 1024, 0).cached);
  CHECK(saxpy(*jit, 2048, 0).cached);        // the same facts
  CHECK_FALSE(saxpy(*jit, 1023, 0).cached);  // no divisor
  CHECK_FALSE(saxpy(*jit, 1024, 1).cached);  // aligned to 4
  CHECK_FALSE(saxpy(*jit, 1024, 2).cached);  // to 8
  CHECK(saxpy(*jit, 1024, 4).cached);        // to 16
  CHECK(saxpy(*jit, 1024, 5).cached);
  CHECK(compiled_kernels(*jit) == 4);
  CHECK(stand_in().compiled == 4);
  // Fewer steps: the wide kernel it was. An eighth of the threads' work is the same code.
  CHECK(first.steps < saxpy(*jit, 1024, 1).steps);
  // Nothing to do: nothing is launched.
  LaunchOutcome none = saxpy(*jit, 0, 0);
  CHECK(none.blocks == 0);
  CHECK(none.steps == 0);
}

TEST_CASE("facts are what the arguments are, capped") {
  VerifiedModule m = assemble_program(R"(
kernel f(n: i32, m: i64, s: f32, x: in f16[n] aligned(2), w: in u4[n] list(2), y: out f32[n]) grid(1) warps(1)
    let t = n + 8
    workspace p : f32[n] zeroed
{
    %v = fill 0.0 : f32[4]
    store %v, y[0:+4]
})");
  const Kernel& k = m.kernel(0);
  alignas(64) static uint8_t memory[4096];
  auto ref = [&](DType t, size_t at) { return TensorRef{t, memory + at, 256, {24}, {}, true}; };
  auto bound = bind_launch(k,
                           {{24, {}},
                            {uint64_t(-48), {}},
                            {0, {}},
                            {0, {ref(dt::f16_, 6)}},
                            {0, {ref(dt::u4_, 512), ref(dt::u4_, 1028)}},
                            {0, {ref(dt::f32_, 2048)}}},
                           {});
  if (!bound) FAIL(bound.error().message);
  LaunchFacts f = facts_of(k, *bound);
  for (uint32_t p = 0; p < k.params.size(); ++p) {
    const std::string& name = k.values[p].name;
    uint32_t align = name == "x" ? 2 : name == "w" ? 4 : name == "y" || name == "p" ? 16 : 0;
    int64_t divisor = name == "n" ? 8 : name == "m" ? 16 : name == "t" ? 16 : 0;
    CHECK_MESSAGE(f.alignment[p] == align, name);
    CHECK_MESSAGE(f.divisor[p] == (name == "t" ? 16 : divisor), name);
  }
  LaunchFacts all = aligned_facts(k);
  CHECK(all.alignment.size() == k.params.size());
  CHECK(all.divisor[0] == kWholeTiles);
}

TEST_CASE("what is only read may begin anywhere on the host") {
  VerifiedModule m = assemble_program(R"(
kernel f(x: in f16[2], y: out f16[2]) grid(1) warps(1) {
    store (load x[:]), y[:]
})");
  stand_in().lower = [](const Kernel&) {
    Lowered out;
    out.block.params = {pointer_param(0), pointer_param(1)};
    return out;
  };
  stand_in().ptx = [](const Kernel&) {
    return kernel_text("f", ".param .u64 x, .param .u64 y", R"(
.reg .b64 %x, %y; .reg .b32 %t, %v; .reg .pred %p;
mov.u32 %t, %tid.x; setp.ne.u32 %p, %t, 0; @%p ret;
ld.param.u64 %x, [x]; ld.param.u64 %y, [y];
ld.global.b32 %v, [%x]; st.global.b32 [%y], %v;
)");
  };
  alignas(16) uint8_t memory[3 + 4] = {9, 9, 9, 1, 2, 3, 4};
  std::vector<uint16_t> y(2);
  TensorRef x{dt::f16_, memory + 3, 4, {2}, {}, false};
  auto jit = make_jit(stand_in_tools());
  CHECK(code_of(launch(*jit, m, {{0, {x}}, {0, {tensor(dt::f16_, y, {2})}}})) == "");
  CHECK(y == std::vector<uint16_t>{0x0201, 0x0403});
}

TEST_CASE("device memory ends where host memory does") {
  use_saxpy();
  // Reads one element behind each tensor.
  stand_in().ptx = [](const Kernel& k) {
    std::string text = saxpy_ptx(k);
    text.replace(text.find("setp.ge.u32"), 11, "setp.gt.u32");
    return text;
  };
  auto jit = make_jit(stand_in_tools());
  LaunchOutcome out = saxpy(*jit, 1021, 0);
  CHECK(code_of(out) == diag_id(diag::kSimOutOfBounds));
  CHECK(out.fault_block[0] == 7);
}

TEST_CASE("a list is a table of addresses; expressions and scalars are widened") {
  // out[i] = w{i}[0] for 3 tensors, then n*2, then two scalars.
  VerifiedModule m = assemble_program(R"(
kernel gather(n: i32, b: i8, h: f16, w: in i64[n] list(3), y: out i64[8]) grid(1) warps(1) {
    %v = fill 0 : i64[8]
    store %v, y[0:+8]
})");
  stand_in().lower = [](const Kernel&) {
    Lowered out;
    HostExpr twice = host_apply(HostOp::mul, HostExpr{{{HostOp::param, 0}}}, HostExpr::of(2));
    out.block.params = {list_param(3), pointer_param(4), expression_param(twice),
                        scalar_param(1, RegClass::b32), scalar_param(2, RegClass::b16)};
    return out;
  };
  stand_in().ptx = [](const Kernel&) {
    return kernel_text("gather",
                       ".param .u64 w, .param .u64 y, .param .u64 e, .param .u32 b, .param .u16 h",
                       R"(
.reg .b64 %w, %y, %a, %v, %o; .reg .b32 %t, %b; .reg .b16 %h; .reg .pred %p;
ld.param.u64 %w, [w]; ld.param.u64 %y, [y]; mov.u32 %t, %tid.x;
setp.ge.u32 %p, %t, 3; @%p bra rest;
mul.wide.u32 %o, %t, 8; add.u64 %a, %w, %o; ld.global.u64 %a, [%a]; ld.global.u64 %v, [%a];
add.u64 %a, %y, %o; st.global.u64 [%a], %v;
rest:
setp.ne.u32 %p, %t, 0; @%p ret;
ld.param.u64 %v, [e]; st.global.u64 [%y+24], %v;
ld.param.u32 %b, [b]; cvt.s64.s32 %v, %b; st.global.u64 [%y+32], %v;
ld.param.u16 %h, [h]; cvt.u64.u16 %v, %h; st.global.u64 [%y+40], %v;
)");
  };
  std::vector<int64_t> a{11, 0}, b{22, 0}, c{33, 0}, y(8, -1);
  auto jit = make_jit(stand_in_tools());
  LaunchOutcome out =
      launch(*jit, m,
             {{2, {}},
              {uint64_t(-7), {}},
              {0x3c01, {}},
              {0, {tensor(dt::i64_, a, {2}), tensor(dt::i64_, b, {2}), tensor(dt::i64_, c, {2})}},
              {0, {tensor(dt::i64_, y, {8})}}});
  CHECK(code_of(out) == "");
  CHECK(y[0] == 11);
  CHECK(y[1] == 22);
  CHECK(y[2] == 33);
  CHECK(y[3] == 4);
  CHECK(y[4] == -7);
  CHECK(y[5] == 0x3c01);
  // What the kernel did not write is said.
  REQUIRE(out.warnings.size() == 1);
  CHECK(out.warnings[0].code == diag::run_unwritten_output);
  CHECK(out.warnings[0].message ==
        "2 of 8 elements of `y` were never written, the first of them `y[6]`");
}

TEST_CASE("workspaces are zeroed before each launch, or kept between them") {
  for (bool kept : {false, true}) {
    VerifiedModule m = assemble_program(std::string(R"(
kernel count(y: out i32[1]) grid(1) warps(1)
    workspace p : i32[1] )") + (kept ? "kept" : "zeroed") +
                                        R"(
{
    %v = fill 0 : i32[1]
    store %v, y[0:+1]
})");
    stand_in().lower = [](const Kernel& k) {
      uint32_t workspace = std::string_view(k.values[0].name) == "p" ? 0 : 1;
      Lowered out;
      out.block.params = {pointer_param(1 - workspace), pointer_param(workspace)};
      return out;
    };
    stand_in().ptx = [](const Kernel&) {
      return kernel_text("count", ".param .u64 y, .param .u64 p", R"(
.reg .b64 %y, %w; .reg .b32 %t, %v; .reg .pred %p;
mov.u32 %t, %tid.x; setp.ne.u32 %p, %t, 0; @%p ret;
ld.param.u64 %y, [y]; ld.param.u64 %w, [p];
ld.global.u32 %v, [%w]; add.u32 %v, %v, 1; st.global.u32 [%w], %v; st.global.u32 [%y], %v;
)");
    };
    auto jit = make_jit(stand_in_tools());
    std::vector<int32_t> y(1);
    for (int run = 1; run <= 3; ++run) {
      RunOptions sweep;
      sweep.runs = 4;  // of which all begin alike
      CHECK(code_of(launch(*jit, m, {{0, {tensor(dt::i32_, y, {1})}}}, sweep)) == "");
      CHECK(y[0] == (kept ? run : 1));
    }
    // Another engine's workspaces are its own.
    auto other = make_jit(stand_in_tools());
    CHECK(code_of(launch(*other, m, {{0, {tensor(dt::i32_, y, {1})}}})) == "");
    CHECK(y[0] == 1);
  }
}

TEST_CASE("tensors that overlap on the host overlap on the device; gaps keep their bytes") {
  // y[0] = 5, then z = x[0] seen through the same memory.
  VerifiedModule m = assemble_program(R"(
kernel f(x: in i32[4] may_alias, y: out i32[2] : (2), z: out i32[1]) grid(1) warps(1) {
    %v = fill 0 : i32[1]
    store %v, z[0:+1]
})");
  stand_in().lower = [](const Kernel&) {
    Lowered out;
    out.block.params = {pointer_param(0), pointer_param(1), pointer_param(2)};
    return out;
  };
  stand_in().ptx = [](const Kernel&) {
    return kernel_text("f", ".param .u64 x, .param .u64 y, .param .u64 z", R"(
.reg .b64 %x, %y, %z; .reg .b32 %t, %v; .reg .pred %p;
mov.u32 %t, %tid.x; setp.ne.u32 %p, %t, 0; @%p ret;
ld.param.u64 %x, [x]; ld.param.u64 %y, [y]; ld.param.u64 %z, [z];
st.global.u32 [%y], 5; ld.volatile.global.u32 %v, [%x+4]; st.global.u32 [%z], %v;
)");
  };
  std::vector<int32_t> memory{1, 2, 3, 4, 5, 6}, z(1);
  TensorRef x{dt::i32_, reinterpret_cast<uint8_t*>(memory.data()), 16, {4}, {}, true};
  TensorRef y{dt::i32_, reinterpret_cast<uint8_t*>(memory.data() + 1), 12, {2}, {2}, true};
  auto jit = make_jit(stand_in_tools());
  CHECK(code_of(launch(*jit, m, {{0, {x}}, {0, {y}}, {0, {tensor(dt::i32_, z, {1})}}})) == "");
  CHECK(z[0] == 5);
  CHECK(memory == std::vector<int32_t>{1, 5, 3, 4, 5, 6});
}

TEST_CASE("a fault record becomes the trap at its instruction") {
  VerifiedModule m = assemble_program(R"(
kernel f(y: out i32[1]) grid(2) warps(1) {
    %v = fill 0 : i32[1]
    store %v, y[0:+1]
})");
  stand_in().lower = [](const Kernel& k) {
    Lowered out;
    out.block.params = {pointer_param(0), hidden_param(ParamKind::fault),
                        hidden_param(ParamKind::grid_state)};
    out.block.tiles.push_back({k.code[1].loc, "store"});
    return out;
  };
  auto ptx = [](int claimed) {
    return kernel_text("f", ".param .u64 y, .param .u64 r, .param .u64 g",
                       R"(
.reg .b64 %r, %g, %y; .reg .b32 %t, %c, %v; .reg .pred %p;
mov.u32 %t, %tid.x; mov.u32 %c, %ctaid.x; setp.ne.u32 %p, %t, 0; @%p ret; setp.eq.u32 %p, %c, 0; @%p ret;
ld.param.u64 %r, [r]; ld.param.u64 %g, [g]; ld.param.u64 %y, [y]; ld.global.u32 %v, [%g]; st.global.u32 [%y], %v;
st.global.u32 [%r], )" + std::to_string(claimed) +
                           R"(; st.global.u32 [%r+4], 820; st.global.u32 [%r+8], %c;
st.global.u32 [%r+24], 1;
)");
  };
  std::vector<int32_t> y(1, -1);
  for (int claimed : {1, 0}) {
    stand_in().ptx = [&](const Kernel&) { return ptx(claimed); };
    auto jit = make_jit(stand_in_tools());
    LaunchOutcome out = launch(*jit, m, {{0, {tensor(dt::i32_, y, {1})}}});
    if (!claimed) {
      CHECK(code_of(out) == "");
      CHECK(y[0] == 0);  // the words of grid.sync
      continue;
    }
    CHECK(code_of(out) == "T0820");
    CHECK(out.error->span.line == 4);
    CHECK(out.fault_block[0] == 1);
    CHECK(out.fault_instruction == 1);
    CHECK(y[0] == -1);  // nothing is copied back
  }
}

TEST_CASE("a kernel that does not end is stopped, by the clock, from outside, by its steps") {
  VerifiedModule m = assemble_program(
      "kernel f(y: out i32[1]) grid(1) warps(1) {\n%v = fill 0 : i32[1]; store %v, y[0:+1]\n}\n");
  stand_in().lower = [](const Kernel&) {
    Lowered out;
    out.block.params = {pointer_param(0)};
    return out;
  };
  stand_in().ptx = [](const Kernel&) {
    return kernel_text("f", ".param .u64 y",
                       ".reg .b32 %v; .reg .pred %p;\nmov.u32 %v, 0;\n"
                       "again: add.u32 %v, %v, 1; setp.ne.u32 %p, %v, 0;\n"
                       "@%p bra again;\n");
  };
  std::vector<int32_t> y(1);
  auto jit = make_jit(stand_in_tools());
  auto run = [&](const RunOptions& o) {
    return code_of(launch(*jit, m, {{0, {tensor(dt::i32_, y, {1})}}}, o));
  };
  RunOptions clock, steps, stopped;
  clock.seconds = 0.05;
  CHECK(run(clock) == diag_id(diag::run_time_limit));
  steps.steps = 10000;
  LaunchOutcome limited = launch(*jit, m, {{0, {tensor(dt::i32_, y, {1})}}}, steps);
  CHECK(code_of(limited) == diag_id(diag::run_step_limit));
  // The simulator's own name for it is said too.
  CHECK(limited.error->notes.back().message == diag_id(diag::kSimLimit) + " of the simulator");
  std::atomic<bool> stop{false};
  stopped.interrupt = &stop;
  stopped.seconds = 100;
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    stop = true;
  });
  CHECK(run(stopped) == diag_id(diag::run_interrupted));
  other.join();
}

TEST_CASE("threads that want one kernel compile it once; many variants end in the careful one") {
  use_saxpy();
  stand_in().slow_ms = 30;
  const VerifiedModule m = assemble_program(kSaxpy);
  CompileCache cache;
  ModuleKey key = module_key(m);
  std::vector<std::thread> threads;
  std::atomic<int> hits{0};
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      auto found = cache.get(stand_in_tools(), module_key(m), m, 0,
                             {{901, Backend::nvptx, 0}, false, {}, {}});
      if (found) hits += found->hit;
    });
  for (std::thread& t : threads) t.join();
  stand_in().slow_ms = 0;
  CHECK(stand_in().compiled == 1);
  CHECK(hits == 7);
  CHECK(cache.size() == 1);
  // Another architecture, guard mode and program text are other kernels.
  auto get = [&](int arch, bool guard, LaunchFacts facts = {}) {
    return cache.get(stand_in_tools(), key, m, 0,
                     {{arch, Backend::nvptx, 0}, guard, false, facts, {}});
  };
  CHECK_FALSE(get(80, false)->hit);
  CHECK_FALSE(get(901, true)->hit);
  const VerifiedModule other = assemble_program(std::string("\n") + kSaxpy);
  CHECK_FALSE(cache
                  .get(stand_in_tools(), module_key(other), other, 0,
                       {{901, Backend::nvptx, 0}, false, {}, {}})
                  ->hit);
  CHECK(cache.size() == 4);
  int before = stand_in().compiled;
  for (uint32_t i = 1; i <= 40; ++i) {
    LaunchFacts facts;
    facts.alignment = {0, 0, 4, 4};
    facts.divisor = {int64_t(i), 0, 0, 0};
    auto found = get(901, false, facts);
    REQUIRE(found);
    if (i >= CompileCache::kMostVariants) CHECK(found->kernel->facts == LaunchFacts{});
  }
  CHECK(stand_in().compiled - before == int(CompileCache::kMostVariants) - 1);
}

TEST_CASE("what cannot be compiled is an error, and not remembered") {
  use_saxpy();
  auto jit = make_jit(stand_in_tools());
  RunOptions nvrtc;
  nvrtc.backend = Backend::nvrtc;
  CHECK(code_of(saxpy(*jit, 16, 0, nvrtc)) != "");
  stand_in().ptx = [](const Kernel&) { return std::string("no PTX"); };
  CHECK(code_of(saxpy(*jit, 16, 0)) == diag_id(diag::kSimParse));
  CHECK(compiled_kernels(*jit) == 1);  // it is the simulator that cannot read it
}

TEST_CASE("tensor maps: dimensions turned round, strides in bytes, encoded once") {
  BoundTensor t;
  t.shape.push(40), t.shape.push(64);
  t.strides.push(80), t.strides.push(1);
  TensorMapNeed need{0, {16, 64}, TensorSwizzle::b128};
  auto spec = tensor_map_spec(dt::f16_, t, 0x1000, need);
  REQUIRE(spec);
  CHECK(spec->type == TensorType::f16);
  CHECK(spec->rank == 2);
  CHECK(spec->size[0] == 64);
  CHECK(spec->size[1] == 40);
  CHECK(spec->stride[0] == 160);
  CHECK(spec->box[0] == 64);
  CHECK(spec->box[1] == 16);
  auto nibbles = tensor_map_spec(dt::u4_, t, 0x1000, {0, {16, 64}, TensorSwizzle::none});
  REQUIRE(nibbles);
  CHECK(nibbles->type == TensorType::u8);
  CHECK(nibbles->size[0] == 32);
  CHECK(nibbles->box[0] == 32);
  CHECK(nibbles->stride[0] == 40);
  CHECK_FALSE(tensor_map_spec(dt::f16_, t, 0x1000, {0, {16}, TensorSwizzle::none}));

  static int made = 0;
  DriverTable table{};
  table.encode_tensor_map = [](void*, const TensorMapSpec&) -> Result<TensorMap> {
    TensorMap m{};
    m.bytes[0] = std::byte(++made);
    return m;
  };
  Driver driver{nullptr, &table};
  TensorMapCache cache;
  made = 0;
  CHECK(encode_cached(driver, *spec, cache)->bytes[0] == std::byte(1));
  CHECK(encode_cached(driver, *nibbles, cache)->bytes[0] == std::byte(2));
  CHECK(encode_cached(driver, *spec, cache)->bytes[0] == std::byte(1));
  CHECK(cache.hits == 1);
  for (uint64_t i = 0; i < 2 * TensorMapCache::kMost; ++i) {
    TensorMapSpec other = *spec;
    other.address += 16 * (i + 1);
    CHECK(encode_cached(driver, other, cache));
  }
  CHECK(cache.maps.size() == TensorMapCache::kMost);
}

TEST_CASE("without a GPU the driver says so; with one it answers") {
  auto driver = open_cuda_driver();
  if (!driver) {
    CHECK(driver.error().code == diag::cuda_missing);
    auto jit = make_jit(stand_in_tools());
    use_saxpy();
    RunOptions o;
    o.device = DeviceKind::cuda;
    CHECK(code_of(saxpy(*jit, 16, 0, o)) == diag_id(diag::cuda_missing));
    CHECK_FALSE(device_sms(*jit, DeviceKind::cuda));
    return;
  }
  auto p = driver->table->allocate(driver->self, 64);
  REQUIRE(p);
  std::vector<std::byte> back(64);
  CHECK(driver->table->fill(driver->self, *p, 7, 64));
  CHECK(driver->table->copy_out(driver->self, back, *p));
  CHECK(back[63] == std::byte(7));
  driver->table->close(driver->self);
}
