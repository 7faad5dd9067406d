#include "jit/tile/facts.h"

#include <algorithm>
#include <cstdlib>

#include "isa/numerics.h"

namespace tess::jit::tile {
namespace {

constexpr int64_t kMost = int64_t{1} << 30;

int64_t power_in(int64_t v) { return v == 0 ? kMost : std::min(kMost, v & -v); }
int64_t times(int64_t a, int64_t b) { return a > kMost / b ? kMost : std::min(kMost, a * b); }

}  // namespace

int64_t Facts::divisor(Ref r) const {
  if (r.is_constant()) {
    const Constant& c = k_.constants[r.index()];
    return c.type.is_int() ? power_in(static_cast<int64_t>(decode_int(c.type, c.code))) : 1;
  }
  return r.is_value() ? divisor_[r.index()] : 1;
}

int64_t Facts::of_inst(const Inst& inst) const {
  auto args = k_.args(inst);
  auto arg = [&](size_t i) { return divisor(args[i]); };
  switch (inst.op) {
    case Op::move:
    case Op::neg:
    case Op::cast:
      return arg(0);
    case Op::add:
    case Op::sub:
    case Op::min:
    case Op::max:
    case Op::for_:
      return inst.op == Op::for_ ? std::min(arg(0), arg(2)) : std::min(arg(0), arg(1));
    case Op::select:
      return std::min(arg(1), arg(2));
    case Op::mul:
      return times(arg(0), arg(1));
    case Op::fma:
      return std::min(times(arg(0), arg(1)), arg(2));
    case Op::shl:
      if (args[1].is_constant()) {
        int64_t n = static_cast<int64_t>(k_.constants[args[1].index()].code);
        return n < 30 ? times(arg(0), int64_t{1} << n) : kMost;
      }
      return arg(0);
    case Op::and_:
      return std::max(arg(0), arg(1));
    default:
      return 1;
  }
}

MemoryFacts Facts::of_view(const Inst& inst) const {
  auto args = k_.args(inst);
  Ref r = args[0];
  MemoryFacts m;
  uint32_t from = r.is_access() ? k_.accesses[r.index()].base : r.index();
  if (r.is_constant() || r.is_none()) return m;
  const MemoryFacts& base = memory_[from];
  const Type& to = k_.values[k_.results(inst)[0].index()].type;
  int bits = to.dtype.bits;
  switch (inst.op) {
    case Op::slice: {
      Contiguity c = contiguity(k_.accesses[r.index()]);
      return {c.dim, c.alignment};
    }
    case Op::alias: {
      int64_t start = times(base.alignment, k_.values[from].type.dtype.bits) / 8;
      int64_t bytes = std::min(std::max<int64_t>(start, 1), divisor(args[1]));
      return {
          to.shape.rank - 1,
          std::max<int64_t>(1, std::min(bytes * 8 / bits, power_in(to.shape[to.shape.rank - 1])))};
    }
    case Op::transpose: {
      m = base;
      if (base.unit < 0) return m;
      auto perm = k_.attr(inst, AttrTag::perm);
      int rank = to.shape.rank;
      for (int d = 0; d < rank; ++d) {
        int source = perm            ? perm_at(*perm, d)
                     : d == rank - 1 ? rank - 2
                     : d == rank - 2 ? rank - 1
                                     : d;
        if (source == base.unit) m.unit = d;
      }
      return m;
    }
    case Op::reshape:
      if (base.unit != k_.values[from].type.shape.rank - 1) return m;
      return {to.shape.rank - 1, std::min(base.alignment, power_in(to.shape[to.shape.rank - 1]))};
    case Op::move:
      return base;
    default:
      return m;
  }
}

Facts::Contiguity Facts::contiguity(const Access& a) const {
  const MemoryFacts& m = memory_[a.base];
  Contiguity c;
  if (m.unit < 0) return c;
  c.alignment = m.alignment;
  int tile_dim = 0;
  for (uint32_t i = 0; i < a.n_indices; ++i) {
    const Index& index = k_.indices[a.first_index + i];
    bool gathered = index.kind == IndexKind::point && index.start.is_value() &&
                    k_.values[index.start.index()].type.is_tile();
    bool unit = static_cast<int>(i) == m.unit;
    if (unit) {
      if (index.kind == IndexKind::point) return {};
      c.dim = tile_dim;
      if (index.kind != IndexKind::all) c.alignment = std::min(c.alignment, divisor(index.start));
    }
    if (index.kind != IndexKind::point || gathered) ++tile_dim;
  }
  return c;
}

Facts::Facts(const Kernel& k)
    : k_(k),
      within_(k),
      signs_(k, within_),
      divisor_(k.values.size(), 1),
      memory_(k.values.size()) {
  constexpr int64_t kWidest = 16;  // bytes
  for (uint32_t v = 0; v < k.params.size(); ++v) {
    const Param& p = k.params[v];
    const Type& t = k.values[v].type;
    if (t.is_scalar()) {
      divisor_[v] = power_in(p.divisible);
      continue;
    }
    MemoryFacts& m = memory_[v];
    int rank = t.shape.rank;
    m.alignment = std::max<int64_t>(1, kWidest * 8 / t.dtype.bits);
    while (m.alignment & (m.alignment - 1)) m.alignment &= m.alignment - 1;
    if (t.dtype.bits < 8 && (t.dtype.bits & (t.dtype.bits - 1))) m.alignment = 32;
    if (p.strides.empty()) {
      m.unit = rank - 1;
      if (rank > 1 && t.shape[rank - 1] != kDynamic)
        m.alignment = std::min(m.alignment, power_in(t.shape[rank - 1]));
      continue;
    }
    for (int d = 0; d < rank; ++d) {
      const HostExpr& s = p.strides[static_cast<size_t>(d)];
      if (!s.is_constant()) continue;
      if (s.constant() == 1 && m.unit < 0) m.unit = d;
      else m.alignment = std::min(m.alignment, power_in(s.constant()));
    }
  }
  // What a name may hold is what all of its assignments share; loops settle in a few rounds.
  std::vector<int64_t> next;
  for (size_t v = k.params.size(); v < k.values.size(); ++v) divisor_[v] = kMost;
  for (bool changed = true; changed;) {
    changed = false;
    for (const Inst& inst : k.code) {
      if (!inst.n_results) continue;
      uint32_t v = k.results(inst)[0].index();
      if (!k.values[v].type.is_scalar()) continue;
      int64_t d = std::min(divisor_[v], of_inst(inst));
      changed |= d != divisor_[v];
      divisor_[v] = d;
    }
  }
  std::vector<uint8_t> seen(k.values.size(), 0);
  for (int round = 0; round < 2; ++round)
    for (const Inst& inst : k.code) {
      if (!inst.n_results || !inst.n_args) continue;
      uint32_t v = k.results(inst)[0].index();
      if (k.values[v].type.space != Space::global) continue;
      MemoryFacts m = of_view(inst);
      MemoryFacts& known = memory_[v];
      if (!seen[v]) known = m;
      else if (known.unit != m.unit) known = {};
      else known.alignment = std::min(known.alignment, m.alignment);
      seen[v] = 1;
    }
}

}  // namespace tess::jit::tile
