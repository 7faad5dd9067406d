#include "tests/unit/backends_harness.h"

#include <doctest/doctest.h>

#include <cstdlib>

namespace tess::jit {

const Nvrtc* test_nvrtc() {
  static const NvrtcPtr nvrtc = [] {
    const char* root = std::getenv("CUDA_HOME");
    auto r = open_nvrtc(nvrtc_places(root ? root : ""));
    if (!r) MESSAGE("without the CUDA C++ back end: " << r.error().message);
    return r ? *r : NvrtcPtr();
  }();
  return nvrtc.get();
}

std::vector<Ptx> through_backends(const BlockKernel& k) {
  std::vector<Ptx> out;
  if (test_nvrtc()) {
    auto r = compile_cuda(*test_nvrtc(), k);
    if (r) out.push_back({"CUDA C++", *r});
    else FAIL_CHECK("CUDA C++: " << r.error().message);
  }
  if (nvptx_available()) {
    for (bool full : {false, true}) {
      auto r = compile_nvptx(k, {.full = full});
      if (r) out.push_back({full ? "LLVM, O3" : "LLVM", *r});
      else FAIL_CHECK("LLVM: " << r.error().message);
    }
  } else {
    MESSAGE("without the LLVM back end");
  }
  return out;
}

BlockKernel block_of(std::string_view text) {
  auto k = parse_block(text);
  if (!k) FAIL_CHECK(k.error().message);
  if (!k) return {};
  auto good = check_block(*k);
  if (!good) FAIL_CHECK(good.error().message << "\n" << text);
  return std::move(*k);
}

Operand BlockWriter::reg(RegClass c, bool variable) {
  k.regs.push_back({c, variable, 0});
  return Operand::reg(static_cast<RegId>(k.regs.size() - 1), c);
}

Operand BlockWriter::param(RegClass c) {
  BlockParam p;
  p.type = c;
  p.name = "p" + std::to_string(k.params.size());
  k.params.push_back(p);
  return value(BlockOp::param, c, {imm(k.params.size() - 1)});
}

void BlockWriter::add(BlockOp op, std::vector<Operand> results, std::vector<Operand> args,
                      const Form* form) {
  BlockInst i;
  i.op = op;
  i.form = form;
  i.n_results = static_cast<uint8_t>(results.size());
  i.n_args = static_cast<uint16_t>(args.size());
  i.first = static_cast<uint32_t>(k.operands.size());
  k.operands.insert(k.operands.end(), results.begin(), results.end());
  k.operands.insert(k.operands.end(), args.begin(), args.end());
  k.code.push_back(i);
}

Operand BlockWriter::value(BlockOp op, RegClass c, std::vector<Operand> args) {
  Operand r = reg(c);
  add(op, {r}, std::move(args));
  return r;
}

void BlockWriter::form(std::string_view opcode, std::vector<Operand> results,
                       std::vector<Operand> args) {
  const Form* f = find_form(opcode);
  if (!f) FAIL_CHECK("no form " << std::string(opcode));
  add(BlockOp::form, std::move(results), std::move(args), f);
}

Operand BlockWriter::widened(const Operand& o) {
  switch (o.type) {
    case RegClass::pred:
      return value(BlockOp::sel, RegClass::b64, {o, imm(1, RegClass::b64), imm(0, RegClass::b64)});
    case RegClass::b16:
      return widened(value(BlockOp::zext16, RegClass::b32, {o}));
    case RegClass::b32:
      return value(BlockOp::zext, RegClass::b64, {o});
    case RegClass::b64:
      return o;
    case RegClass::f32:
      return widened(value(BlockOp::as_b32, RegClass::b32, {o}));
    case RegClass::f64:
      return value(BlockOp::as_b64, RegClass::b64, {o});
  }
  return o;
}

RunResult run_ptx(const Compiled& code, uint32_t grid, uint32_t threads, uint32_t shared,
                  std::vector<Buffer*> buffers, std::vector<std::vector<std::byte>> scalars) {
  RunResult out;
  ptxsim::Simulator s;
  s.options.threads = 1;
  Driver driver = ptxsim::simulator_driver(s);
  auto failed = [&](const auto& result) {
    if (!result && out.problem.empty()) out.problem = result.error().message;
    return !result;
  };
  auto module = s.load(code.image, "kernel.ptx");
  if (failed(module)) return out;
  std::vector<std::vector<std::byte>> params;
  std::vector<DevicePtr> addresses;
  for (Buffer* b : buffers) {
    auto p = driver.table->allocate(driver.self, b->bytes.size());
    if (failed(p) || failed(driver.table->copy_in(driver.self, *p, b->bytes))) return out;
    addresses.push_back(*p);
    params.push_back(scalar_bytes(*p));
  }
  params.insert(params.end(), scalars.begin(), scalars.end());
  std::vector<std::span<const std::byte>> spans(params.begin(), params.end());
  LaunchSpec spec;
  spec.module = *module;
  spec.entry = code.entry;
  spec.grid = {grid, 1, 1};
  spec.block = {threads, 1, 1};
  spec.shared_bytes = shared;
  spec.params = spans;
  auto r = s.run(spec);
  if (failed(r)) return out;
  out.findings = r->findings;
  if (!r->findings.empty()) out.problem = r->findings[0].message;
  for (size_t b = 0; b < buffers.size(); ++b)
    if (failed(driver.table->copy_out(driver.self, buffers[b]->bytes, addresses[b]))) return out;
  return out;
}

}  // namespace tess::jit
