#include <fmt/format.h>

#include "jit/block_ir/block_ir.h"

namespace tess::jit {
namespace {

std::string operand_text(const BlockKernel& k, const Operand& o) {
  if (o.kind == Operand::Kind::none) return "_";
  if (o.is_reg()) {
    const std::string& name = k.names[k.regs[o.id()].name];
    return fmt::format("%{}{}{}", generated_name(name), name.empty() ? "" : "_", o.id());
  }
  if (o.type == RegClass::b32) return fmt::format("{}", static_cast<int32_t>(o.bits));
  if (o.type == RegClass::b64) return fmt::format("{}L", static_cast<int64_t>(o.bits));
  return fmt::format("{}:{:#x}", class_name(o.type), o.bits);
}

std::string param_text(const BlockParam& p) {
  std::string out = fmt::format("  param {} {} {} {}", param_kind_name(p.kind), class_name(p.type),
                                p.source, json_quote(p.name));
  for (const HostToken& t : p.expr.tokens)
    out += fmt::format(" {}:{}", static_cast<int>(t.op), t.value);
  return out + "\n";
}

std::string note_text(const TileNote& note) {
  std::string text = note.text;
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  return fmt::format("; {}:{}:{} {}", note.loc.file, note.loc.line, note.loc.col, text);
}

}  // namespace

std::string print_block(const BlockKernel& k) {
  std::string out =
      fmt::format("block {} arch {} threads {} cluster {} blocks {} registers {} shared {} {{\n",
                  json_quote(k.name), k.arch, k.threads, k.cluster, k.blocks_per_sm,
                  k.max_registers, k.shared_bytes);
  for (const std::string& f : k.files) out += fmt::format("  file {}\n", json_quote(f));
  for (const BlockParam& p : k.params) out += param_text(p);
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
      out += fmt::format("{:{}}{}\n", "", 2 * depth, tile ? note_text(k.tiles[tile]) : ";");
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
