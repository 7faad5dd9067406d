// Both back ends on hand-written kernels, in the simulator.
#include <doctest/doctest.h>

#include "tests/unit/backends_harness.h"

using namespace tess;
using namespace tess::jit;

namespace {

constexpr std::string_view kSaxpy =
    R"(block "saxpy" arch 80 threads 128 cluster 1 blocks 0 registers 0 shared 0 {
  file "saxpy.vmasm"
  param pointer b64 0 "x"
  param pointer b64 1 "y"
  param scalar b32 2 "n"
  param scalar f32 3 "a"
  var %i_20 b32
  ; 0:3:1 %x = load x[b]
  %x_0:b64 = param 0
  %y_1:b64 = param 1
  %n_2:b32 = param 2
  %a_3:f32 = param 3
  %4:b32 = tid
  %5:b32 = ctaid.x
  %6:b32 = shl %5, 9
  %7:b32 = add %6, %4
  ; 0:4:1 for %i in 0 to 4
  %i_20:b32 = mov 0
  loop 0
    %8:pred = slt %i_20, 4
    %9:pred = not %8
    break.if %9
    ; 0:5:1 store y[b], %z
    %10:b32 = shl %i_20, 7
    %11:b32 = add %7, %10
    %12:pred = slt %11, %n_2
    if %12
      %13:b64 = sext %11
      %14:b64 = shl %13, 2
      %15:b64 = add %x_0, %14
      %16:b64 = add %y_1, %14
      %17:f32 = ld.global.nc.f32 %15, 0
      %18:f32 = ld.global.f32 %16, 0
      %19:f32 = fma.rn.f32 %a_3, %17, %18
      st.global.f32 %16, 0, %19
    end
  latch
    %i_20:b32 = add %i_20, 1
  end
}
)";

}  // namespace

TEST_CASE("saxpy by hand through both back ends") {
  BlockKernel k = block_of(kSaxpy);
  std::vector<float> x(1000), y(1000), want(1000);
  for (int i = 0; i < 1000; ++i) x[i] = float(i), y[i] = float(3 * i), want[i] = 2.5f * x[i] + y[i];
  for (const Ptx& p : through_backends(k)) {
    CAPTURE(p.from);
    CAPTURE(p.code.image);
    Buffer bx = Buffer::of(x), by = Buffer::of(y);
    RunResult r = run_ptx(p.code, 2, 128, 0, {&bx, &by}, {scalar_bytes(1000), scalar_bytes(2.5f)});
    CHECK(r.problem == "");
    CHECK(by.as<float>() == want);
  }
}
