// Programs behind layout inference: loaded, inferred, verified again, run before and after.
#pragma once
#include <string>
#include <vector>

#include "isa/verify.h"
#include "jit/tile/infer.h"
#include "tests/gen/random_module.h"
#include "vm/interp/interp.h"

namespace tess::test {

using Bindings = std::vector<std::pair<std::string, std::string>>;
// A file of the source tree, or text; fails the test if it does not load.
VerifiedModule load_file(const std::string& path, const Bindings& bindings = {});
VerifiedModule load_text(const std::string& text);
// The files of samples and stdlib, sorted: "stdlib/matmul.vmasm".
std::vector<std::string> program_files();

jit::Inferred infer(const VerifiedModule& m, size_t kernel = 0, jit::Sm sm = jit::Sm::sm_80);
VerifiedModule verified(Module m);

// What the contract with the lowering promises of every inferred kernel; empty if it holds.
std::string broken_promise(const Module& m);

// The results of a launch with these arguments: the bytes of every tensor, and how it ended.
struct Ran {
  std::vector<std::vector<uint8_t>> tensors;
  std::string error;
  bool operator==(const Ran&) const = default;
};
Ran run_with(const VerifiedModule& m, size_t kernel, std::vector<gen::RandomArg> args);

}  // namespace tess::test
