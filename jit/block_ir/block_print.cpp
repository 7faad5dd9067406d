#include <fmt/format.h>

#include "jit/block_ir/block_ir.h"

namespace tess::jit {
namespace {

std::string operand_text(const BlockKernel& k, const Operand& o) {
  if (o.kind == Operand::Kind::none) return "_";
  if (o.is_reg()) {
    const std::string& name = k.names[k.regs[o.id()].name];
    return fmt::format("%{}{}{}", name, name.empty() ? "" : "_", o.id());
  }
  if (o.type == RegClass::b32) return fmt::format("{}", static_cast<int32_t>(o.bits));
  if (o.type == RegClass::b64) return fmt::format("{}", static_cast<int64_t>(o.bits));
  return fmt::format("{}:{:#x}", class_name(o.type), o.bits);
}

constexpr std::string_view kParamKinds[] = {"pointer",    "list",       "scalar", "expression",
                                            "tensor_map", "grid_state", "fault"};

}  // namespace

std::string print_block(const BlockKernel& k) {
  std::string out = fmt::format("block {} arch {} threads {} cluster {} shared {} {{\n", k.name,
                                k.arch, k.threads, k.cluster, k.shared_bytes);
  for (const BlockParam& p : k.params)
    out += fmt::format("  param {} {} {}\n", kParamKinds[static_cast<int>(p.kind)],
                       class_name(p.type), p.name);
  for (size_t r = 0; r < k.regs.size(); ++r)
    if (k.regs[r].variable)
      out += fmt::format("  var {} {}\n", operand_text(k, Operand::reg(r, k.regs[r].type)),
                         class_name(k.regs[r].type));
  int depth = 1;
  uint32_t tile = 0;
  for (const BlockInst& i : k.code) {
    if (i.op == BlockOp::end || i.op == BlockOp::else_ || i.op == BlockOp::latch) --depth;
    if (i.tile != tile) {
      tile = i.tile;
      const TileNote& note = k.tiles[tile];
      if (tile) out += fmt::format("{:{}}; {}: {}\n", "", 2 * depth, note.loc.line, note.text);
    }
    out += fmt::format("{:{}}", "", 2 * depth);
    auto results = k.results(i), args = k.args(i);
    for (size_t r = 0; r < results.size(); ++r)
      out += fmt::format("{}{}:{}", r ? ", " : "", operand_text(k, results[r]),
                         class_name(results[r].type));
    if (!results.empty()) out += " = ";
    out += i.form ? i.form->opcode : std::string(block_op_info(i.op).name);
    for (size_t a = 0; a < args.size(); ++a) out += (a ? ", " : " ") + operand_text(k, args[a]);
    out += "\n";
    if (i.op == BlockOp::loop || i.op == BlockOp::if_ || i.op == BlockOp::else_ ||
        i.op == BlockOp::latch)
      ++depth;
  }
  return out + "}\n";
}

}  // namespace tess::jit
