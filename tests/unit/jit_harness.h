// Launches with a stand-in for the lowering and the back ends: kernels whose PTX is written by
// hand, so that what the launch does around a kernel is tested by itself.
#pragma once
#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "isa/launch.h"
#include "isa/verify.h"
#include "jit/launch.h"

namespace tess::test {

VerifiedModule assemble_program(const std::string& text);

// What the stand-in lowering and back end give, by the kernel they are asked for. Set before a
// launch; the functions get the kernel as the passes left it.
struct StandIn {
  std::function<jit::Lowered(const Kernel&)> lower;
  std::function<std::string(const Kernel&)> ptx;
  std::atomic<int> lowered{0}, compiled{0};
  int slow_ms = 0;  // of the back end
};
StandIn& stand_in();
const jit::Toolchain& stand_in_tools();

jit::BlockParam pointer_param(uint32_t source);
jit::BlockParam list_param(uint32_t source);
jit::BlockParam scalar_param(uint32_t source, jit::RegClass type);
jit::BlockParam expression_param(HostExpr e);
jit::BlockParam hidden_param(jit::ParamKind kind);

template <class T>
TensorRef tensor(DType type, std::vector<T>& values, std::vector<int64_t> shape) {
  return {type,
          reinterpret_cast<uint8_t*>(values.data()),
          values.size() * sizeof(T),
          std::move(shape),
          {},
          true};
}

// Binds and launches kernel 0.
jit::LaunchOutcome launch(jit::Jit& jit, const VerifiedModule& m,
                          const std::vector<LaunchArg>& args, const jit::RunOptions& options = {});

}  // namespace tess::test
