// What the tests of the two back ends share: compiling a block kernel through both, and running the
// PTX in the simulator.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "jit/block_ir/block_ir.h"
#include "jit/compiled.h"
#include "jit/cuda/nvrtc.h"
#include "jit/nvptx/nvptx.h"
#include "jit/ptxsim/sim_driver.h"

namespace tess::jit {

// NVRTC where it is found; null elsewhere, which is said once.
const Nvrtc* test_nvrtc();

struct Ptx {
  std::string from;  // the back end
  Compiled code;
};
// The kernel through every back end that is here. A back end that fails is a failed check.
std::vector<Ptx> through_backends(const BlockKernel& k);

// Parsed and checked; a failed check otherwise.
BlockKernel block_of(std::string_view text);

// Kernels put together by hand.
struct BlockWriter {
  BlockKernel k;
  Operand reg(RegClass c, bool variable = false);
  Operand param(RegClass c);  // declares and reads it
  void add(BlockOp op, std::vector<Operand> results, std::vector<Operand> args,
           const Form* form = nullptr);
  Operand value(BlockOp op, RegClass c, std::vector<Operand> args);
  void form(std::string_view opcode, std::vector<Operand> results, std::vector<Operand> args);
  static Operand imm(uint64_t v, RegClass c = RegClass::b32) { return Operand::imm(v, c); }
  // The value in a b64, with zeros above.
  Operand widened(const Operand& o);
};

struct Buffer {
  std::vector<std::byte> bytes;
  template <class T>
  static Buffer of(const std::vector<T>& values) {
    Buffer b;
    auto raw = std::as_bytes(std::span(values));
    b.bytes.assign(raw.begin(), raw.end());
    return b;
  }
  template <class T>
  std::vector<T> as() const {
    std::vector<T> out(bytes.size() / sizeof(T));
    std::copy(bytes.begin(), bytes.end(), std::as_writable_bytes(std::span(out)).begin());
    return out;
  }
};

struct RunResult {
  std::string problem;  // empty: it ran, without a finding
  std::vector<ptxsim::Finding> findings;
};
// Runs the kernel in the simulator. Parameters: the buffers' addresses first, in order, then
// `scalars` as they are; the buffers are replaced by what the kernel left.
RunResult run_ptx(const Compiled& code, uint32_t grid, uint32_t threads, uint32_t shared,
                  std::vector<Buffer*> buffers, std::vector<std::vector<std::byte>> scalars = {});
template <class T>
std::vector<std::byte> scalar_bytes(T value) {
  auto raw = std::as_bytes(std::span(&value, 1));
  return {raw.begin(), raw.end()};
}

}  // namespace tess::jit
