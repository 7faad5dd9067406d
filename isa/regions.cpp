#include "isa/regions.h"

#include "isa/numerics.h"

namespace tess {

std::optional<int64_t> constant_of(const Kernel& k, Ref r) {
  if (!r.is_constant()) return {};
  const Constant& c = k.constants[r.index()];
  if (!c.type.is_int()) return {};
  return decode_int(c.type, c.code);
}

Regions::Regions(const Kernel& k)
    : k_(k),
      root_(k.values.size()),
      remote_(k.values.size(), 0),
      defined_by_(k.values.size(), ~0u) {
  constexpr uint32_t kSeveral = ~0u - 1;
  for (uint32_t v = 0; v < root_.size(); ++v) root_[v] = v;
  for (uint32_t pc = 0; pc < k.code.size(); ++pc) {
    const Inst& inst = k.code[pc];
    for (Ref r : k.results(inst)) {
      uint32_t& by = defined_by_[r.index()];
      by = by == ~0u ? pc : kSeveral;
    }
    if (!inst.n_results || !inst.n_args) continue;
    uint32_t d = k.results(inst)[0].index();
    if (k.values[d].type.space == Space::reg) continue;
    Ref from = k.args(inst)[0];
    if (!from.is_value() && !from.is_access()) continue;
    uint32_t base = from.is_access() ? k.accesses[from.index()].base : from.index();
    remote_[d] |= remote_[base] || inst.op == Op::cluster_map;
    if (inst.op != Op::cluster_map) root_[d] = root_[base];
  }
}

std::optional<Region> Regions::of(Ref r) const {
  for (int depth = 0; depth < 8; ++depth) {
    if (!r.is_value() && !r.is_access()) return {};
    uint32_t base = r.is_access() ? k_.accesses[r.index()].base : r.index();
    if (k_.values[base].type.space == Space::reg) return {};
    uint32_t by = defined_by_[base];
    bool view = r.is_value() && k_.values[base].name.empty() && by < k_.code.size() &&
                (k_.code[by].op == Op::transpose || k_.code[by].op == Op::reshape ||
                 k_.code[by].op == Op::slice);
    if (view) {  // the same elements under another shape
      r = k_.args(k_.code[by])[0];
      continue;
    }
    Region out{base, {}};
    if (r.is_access())
      for (const Index& i : k_.indices_of(k_.accesses[r.index()])) out.indices.push_back(i);
    return out;
  }
  return {};
}

bool mentions(const Region& r, uint32_t v) {
  if (r.base == v) return true;
  for (const Index& i : r.indices)
    if (i.start == Ref::value(v) || i.stop == Ref::value(v)) return true;
  return false;
}

namespace {

// One dimension of extent n; `slots`: indices count modulo n.
Overlap overlap_along(const Kernel& k, const Index& a, const Index& b, int64_t n, bool slots) {
  auto all = [&](const Index& i) { return i.kind == IndexKind::all; };
  if (all(a) || all(b)) {
    const Index& other = all(a) ? b : a;
    if (all(other) || other.kind == IndexKind::point) return Overlap::always;
    return constant_of(k, other.start) ? Overlap::always : Overlap::maybe;
  }
  if (a == b) return Overlap::always;
  auto from = constant_of(k, a.start), other = constant_of(k, b.start);
  if (!from || !other || a.kind == IndexKind::span || b.kind == IndexKind::span)
    return Overlap::maybe;
  int64_t x = *from, y = *other;
  if (slots) x = (x % n + n) % n, y = (y % n + n) % n;
  int64_t x_end = x + (a.kind == IndexKind::range ? a.extent : 1);
  int64_t y_end = y + (b.kind == IndexKind::range ? b.extent : 1);
  return x < y_end && y < x_end ? Overlap::always : Overlap::never;
}

}  // namespace

Overlap overlap(const Kernel& k, const Region& a, const Region& b) {
  if (a.base != b.base) return Overlap::maybe;
  if (a.indices.empty() || b.indices.empty()) return Overlap::always;
  const Type& type = k.values[a.base].type;
  Overlap out = Overlap::always;
  for (size_t d = 0; d < a.indices.size() && d < b.indices.size(); ++d) {
    bool slots = type.space == Space::mbar || (type.ring && d == 0);
    Overlap along =
        overlap_along(k, a.indices[d], b.indices[d], type.shape[static_cast<int>(d)], slots);
    if (along == Overlap::never) return Overlap::never;
    if (along == Overlap::maybe) out = Overlap::maybe;
  }
  return out;
}

std::optional<bool> operand_writes(const OpInfo& op, size_t a) {
  switch (op.rule) {
    case Rule::load_:
    case Rule::gather_:
      if (a == 0) return false;
      break;
    case Rule::mma_:
    case Rule::wgmma_:
    case Rule::mma_scaled_:
      return false;
    case Rule::store_:
    case Rule::scatter_:
      if (a == 1) return true;
      break;
    case Rule::copy_async_:
    case Rule::copy_bulk_:
    case Rule::tma_:
      if (a == 0) return true;
      if (a == 1) return false;
      break;
    default:
      break;
  }
  return {};
}

}  // namespace tess
