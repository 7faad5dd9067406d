// What the report says of conversions, accesses and layouts.
#include <fmt/format.h>

#include <algorithm>

#include "isa/layout_ops.h"
#include "jit/tile/emitter.h"
#include "jit/tile/shared.h"

namespace tess::jit::tile {

void Emitter::record(uint32_t inst, const std::string& value, LayoutId from, LayoutId to, int bits,
                     bool staged, const Loc& loc) {
  InsertedConversion c;
  c.inst = inst;
  c.value = value;
  c.from = print_layout(pool_.at(from));
  c.to = to == kInShared ? "shared" : print_layout(pool_.at(to));
  MoveCost m = to == kInShared ? MoveCost{Move::shared, pool_.best_shared_access(from, bits) + 30}
                               : pool_.move(from, to, bits);
  c.kind = m.where <= Move::reg      ? ConversionKind::rename
           : m.where == Move::lane   ? ConversionKind::shuffle
           : m.where == Move::shared ? ConversionKind::shared
                                     : ConversionKind::cluster;
  c.cost = m.cost;
  c.staged = staged;
  c.loc = loc;
  c.loop_depth = loop_depth();
  if (c.kind == ConversionKind::shared && !staged) {
    std::vector<SharedUse> uses{{&pool_.at(from)}, {&pool_.at(to), true}};
    if (auto choice = choose_shared_layout(pool_.at(from).shape, bits, uses)) {
      c.ways = choice->ways;
      c.shared_bytes = (extent_of(choice->mem) * bits + 7) / 8;
    }
  }
  out_.report.conversions.push_back(std::move(c));
}

void Emitter::fact(uint32_t inst, const Loc& loc, std::string_view verb, uint32_t memory,
                   LayoutId reg, const Layout& mem, bool matrix) {
  const Type& t = kernel_.values[memory].type;
  int bits = t.dtype.bits;
  matrix = matrix && pool_.is_linear(reg);
  Result<Banks> b =
      matrix ? matrix_banks(pool_.at(reg), mem, bits) : banks(pool_.at(reg), mem, bits);
  if (!b && matrix) b = banks(pool_.at(reg), mem, bits);
  if (!b) return;
  AccessFact f;
  f.inst = inst;
  f.loc = loc;
  f.what = fmt::format("{} {}", verb, name_of(memory));
  f.space = Space::shared;
  f.matrix = b->matrix != Matrix::none;
  f.bytes = f.matrix ? 16 : std::max<int64_t>(1, b->vec * bits / 8);
  f.accesses = f.matrix ? std::max<int64_t>(1, (pool_.registers(reg) * bits / 32 + 3) / 4)
                        : pool_.registers(reg) / b->vec;
  f.ways = b->ways;
  f.unaligned = b->vec * bits < 8;
  out_.report.accesses.push_back(std::move(f));
}

void Emitter::access_fact(uint32_t at, const Relation& r, const Mode& mode, const Inst& inst,
                          const std::vector<Ref>& args) {
  const OpInfo& op = op_info(inst.op);
  if (op.rule == Rule::mma_) {
    for (int i = 0; i < 2; ++i) {
      if (mode.operand[i] == kNoLayout) continue;
      const Ref& x = args[static_cast<size_t>(i)];
      uint32_t base = x.is_access() ? kernel_.accesses[x.index()].base : x.index();
      auto mem = mem_of_.find(base);
      if (mem == mem_of_.end() || kernel_.values[base].type.space != Space::shared) continue;
      if (pool_.at(mem->second).dims != pool_.at(mode.operand[i]).shape.size()) continue;
      fact(at, inst.loc, "mma", base, mode.operand[i], pool_.at(mem->second), true);
    }
    return;
  }
  if (mode.access == kNoLayout) return;
  for (const Ref& x : args) {
    if (!x.is_access()) continue;
    const Access& a = kernel_.accesses[x.index()];
    const Type& t = kernel_.values[a.base].type;
    if (t.space == Space::shared) {
      auto mem = mem_of_.find(a.base);
      if (mem == mem_of_.end()) continue;
      LayoutId reg = spread_to_rank(pool_, kernel_, a, mode.access, r.full);
      if (reg == kNoLayout || pool_.at(mem->second).dims != pool_.at(reg).shape.size()) continue;
      fact(at, inst.loc, op.name, a.base, reg, pool_.at(mem->second), false);
    } else if (t.space == Space::global) {
      auto g = relations_.global_access(mode.access, r.full, r.lie, t.dtype.bits);
      AccessFact f;
      f.inst = at;
      f.loc = inst.loc;
      f.what =
          fmt::format("{} {}", op.name,
                      a.base < k_.params.size() ? std::string(kernel_.values[a.base].name)
                                                : name_of(a.base));
      f.bytes = std::max<int64_t>(1, g.elems * t.dtype.bits / 8);
      f.accesses = g.instructions;
      f.unaligned = g.elems * t.dtype.bits < 8;
      out_.report.accesses.push_back(std::move(f));
    }
    return;
  }
}

}  // namespace tess::jit::tile
