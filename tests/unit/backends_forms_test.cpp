// Every row of block_forms.def, in every spelling: through both printers, to ptxas (which knows
// what the hardware has) and to the simulator's loader.
#include <doctest/doctest.h>

#include <cctype>
#include <map>
#include <set>

#include "jit/cubin/ptxas.h"
#include "jit/cuda/cuda_forms.h"
#include "tests/unit/backends_harness.h"
#include "tests/unit/ptxas_there.h"

using namespace tess;
using namespace tess::jit;

namespace {

// A kernel with one use of each form, behind a condition, its results stored.
struct FormKernel : BlockWriter {
  std::map<RegClass, RegId> given;
  std::map<RegClass, std::vector<RegId>> variables;
  RegId condition = 0;

  explicit FormKernel(int arch) {
    k.name = "forms";
    k.arch = arch;
    k.shared_bytes = 4096;
    for (RegClass c : {RegClass::b16, RegClass::b32, RegClass::b64, RegClass::f32, RegClass::f64}) {
      BlockParam p;
      p.type = c;
      p.name = class_name(c);
      k.params.push_back(p);
      Operand r = reg(c);
      add(BlockOp::param, {r}, {imm(k.params.size() - 1)});
      given[c] = r.id();
    }
    Operand p = reg(RegClass::pred);
    add(BlockOp::eq, {p}, {Operand::reg(given[RegClass::b32], RegClass::b32), imm(7)});
    condition = p.id();
  }
  Operand variable(RegClass c, size_t n) {
    auto& all = variables[c];
    while (all.size() <= n) {
      Operand v = reg(c, true);
      all.push_back(v.id());
      BlockInst definition;  // at the front, so that every use is behind it
      definition.op = BlockOp::mov;
      definition.n_results = 1;
      definition.n_args = 1;
      definition.first = static_cast<uint32_t>(k.operands.size());
      k.operands.push_back(v);
      k.operands.push_back(Operand::imm(0, c));
      k.code.insert(k.code.begin(), definition);
    }
    return Operand::reg(all[n], c);
  }

  static uint64_t constant_for(const std::string& opcode) {
    if (opcode.starts_with("lop3")) return 0xe8;
    if (opcode.starts_with("setmaxnreg")) return 64;
    if (opcode.starts_with("cp.async.c")) return 16;
    return 0;
  }
  // Registers that a list of any length takes: coordinates of a tensor, accumulators of wgmma.
  static int list_length(const std::string& opcode) {
    if (size_t at = opcode.find("tensor."); at != std::string::npos) return opcode[at + 7] - '0';
    size_t n = opcode.find("m64n");
    int columns = std::atoi(opcode.c_str() + n + 4);
    return columns / (opcode.find(".f16.f16.f16") != std::string::npos ? 4 : 2);
  }

  void use(const std::string& opcode, int offset) {
    const jit::Form* f = find_form(opcode);
    REQUIRE_MESSAGE(f, opcode);
    std::vector<Operand> results, args;
    for (const Group& g : f->groups) {
      int n = g.count ? g.count : list_length(opcode);
      if (g.kind == GroupKind::address) {
        args.push_back(Operand::reg(given[g.type], g.type));
        args.push_back(imm(static_cast<uint64_t>(offset)));
        continue;
      }
      for (int i = 0; i < n; ++i) {
        if (g.kind == GroupKind::tied) results.push_back(variable(g.type, static_cast<size_t>(i)));
        else if (g.result) results.push_back(reg(g.type));
        else if (g.kind == GroupKind::imm) args.push_back(imm(constant_for(opcode)));
        else args.push_back(Operand::reg(given[g.type], g.type));
      }
    }
    add(BlockOp::if_, {}, {Operand::reg(condition, RegClass::pred)});
    add(BlockOp::form, results, args, f);
    for (const Operand& r : results) {
      if (k.regs[r.id()].variable) continue;
      const jit::Form* store = find_form("st.global." + std::string(class_name(r.type)));
      add(BlockOp::form, {}, {Operand::reg(given[RegClass::b64], RegClass::b64), imm(0), r}, store);
    }
    add(BlockOp::end, {}, {});
  }
};

BlockKernel kernel_of(std::span<const std::string> opcodes, int arch) {
  FormKernel k(arch);
  int n = 0;
  for (const std::string& o : opcodes) k.use(o, 16 * (n++ % 2));
  return std::move(k.k);
}

// Why the back end's PTX for these opcodes is refused, or empty.
std::string refusal(std::span<const std::string> opcodes, int arch, bool cuda) {
  BlockKernel k = kernel_of(opcodes, arch);
  if (auto good = check_block(k); !good) return good.error().message;
  auto code = cuda ? compile_cuda(*test_nvrtc(), k) : compile_nvptx(k);
  if (!code) return code.error().message;
  if (!test::ptxas_path().empty()) {
    auto done = assemble_ptx(code->image, {.path = test::ptxas_path(), .arch = arch, .level = 0});
    if (!done) return done.error().message;
  }
  ptxsim::Simulator s;
  auto m = s.load(code->image, "forms.ptx");
  if (!m) return m.error().message;
  auto program = s.program(*m, code->entry);
  return program ? "" : program.error().message;
}

int blame(std::span<const std::string> opcodes, int arch, bool cuda, int left) {
  if (left <= 0) return 0;
  std::string why = refusal(opcodes, arch, cuda);
  if (why.empty()) return 0;
  if (opcodes.size() == 1) {
    FAIL_CHECK(std::string(cuda ? "CUDA C++: " : "LLVM: ") << opcodes[0] << ": " << why);
    return 1;
  }
  size_t half = opcodes.size() / 2;
  int found = blame(opcodes.first(half), arch, cuda, left);
  found += blame(opcodes.subspan(half), arch, cuda, left - found);
  if (!found) FAIL_CHECK(opcodes[0] << " .. together: " << why);
  return found + (found == 0);
}

}  // namespace

TEST_CASE("every PTX form passes both back ends, ptxas and the simulator's loader") {
  // Products of wgmma apart, by the class of their sums: a kernel has not registers for all.
  enum Kind { other, real_sums, integer_sums };
  std::map<std::pair<int, Kind>, std::vector<std::string>> by_arch;
  size_t n = 0;
  for (const std::string& o : all_forms()) {
    const jit::Form* f = find_form(o);
    REQUIRE_MESSAGE(f, o);
    Kind kind = !o.starts_with("wgmma.mma")            ? other
                : o.find(".s32.") != std::string::npos ? integer_sums
                                                       : real_sums;
    by_arch[{f->arch, kind}].push_back(o);
    // Nothing of the older architectures is missing on the newest.
    if (f->arch != 901) by_arch[{901, other}].push_back(o);
    ++n;
  }
  size_t kernels = 0;
  for (bool cuda : {true, false}) {
    if (cuda ? !test_nvrtc() : !nvptx_available()) continue;
    for (auto& [key, opcodes] : by_arch) {
      int arch = key.first;
      size_t step = key.second == other ? 400 : 24;
      for (size_t at = 0; at < opcodes.size(); at += step, ++kernels) {
        auto part = std::span(opcodes).subspan(at, std::min(step, opcodes.size() - at));
        if (blame(part, arch, cuda, 10)) break;
      }
    }
  }
  MESSAGE(n << " forms in " << kernels << " kernels");
}

TEST_CASE("functions of distinct forms have distinct names") {
  std::map<std::string, std::string> taken;
  for (const std::string& o : all_forms()) {
    const jit::Form* f = find_form(o);
    std::string name = form_function_name(*f);
    for (char c : name)
      CHECK_MESSAGE((c == '_' || std::isalnum(static_cast<unsigned char>(c))), o << ": " << name);
    // Registers end with an underscore and a number, or are letters and a number.
    size_t underscore = name.rfind('_');
    bool like_register = underscore != std::string::npos && underscore + 1 < name.size();
    for (size_t i = underscore + 1; like_register && i < name.size(); ++i)
      like_register = name[i] >= '0' && name[i] <= '9';
    CHECK_FALSE_MESSAGE(like_register, name);
    auto [it, fresh] = taken.emplace(name, o);
    CHECK_MESSAGE(fresh, name << " is both " << o << " and " << it->second);
  }
}
