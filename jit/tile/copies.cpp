#include "jit/tile/copies.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "isa/layout_ops.h"
#include "jit/tile/kernel_writer.h"
#include "jit/tile/webs.h"

namespace tess::jit {
namespace {

struct Staged {
  uint32_t load = 0, smem = 0, store = 0;  // pc, in this order or smem first
};

struct Places {
  std::vector<std::vector<uint32_t>> readers, writers;  // pcs by value
};

Places places_of(const Kernel& k) {
  Places p;
  p.readers.resize(k.values.size());
  p.writers.resize(k.values.size());
  std::vector<tile::Use> uses;
  for (uint32_t pc = 0; pc < k.code.size(); ++pc) {
    uses.clear();
    tile::uses_of(k, k.code[pc], uses);
    for (const tile::Use& u : uses) p.readers[u.value].push_back(pc);
    for (Ref r : k.results(k.code[pc])) p.writers[r.index()].push_back(pc);
  }
  return p;
}

bool harmless(const Inst& inst) {
  const OpInfo& op = op_info(inst.op);
  return op.form != Form::control &&
         (op.effect == Effect::pure || inst.op == Op::load || inst.op == Op::smem);
}

// Nothing between but what writes no memory other than shared tiles.
bool straight(const Kernel& k, uint32_t from, uint32_t to) {
  for (uint32_t pc = from; pc <= to; ++pc) {
    const Inst& inst = k.code[pc];
    bool to_shared = inst.op == Op::store && k.args(inst)[1].is_access() &&
                     k.values[k.accesses[k.args(inst)[1].index()].base].type.space == Space::shared;
    if (!to_shared && !harmless(inst)) return false;
  }
  return true;
}

std::optional<Staged> staged_at(const Kernel& k, const Places& at, uint32_t pc) {
  const Inst& load = k.code[pc];
  auto args = k.args(load);
  if (load.op != Op::load || !args[0].is_access() || (args.size() > 1 && !args[1].is_none()))
    return {};
  if (k.has(load, AttrTag::pad)) return {};
  const Access& from = k.accesses[args[0].index()];
  uint32_t raw = k.results(load)[0].index();
  const Type& type = k.values[raw].type;
  int bits = type.dtype.is_bool() ? 8 : type.dtype.bits;
  if (k.values[from.base].type.space != Space::global || !type.is_tile()) return {};
  // A copy moves whole words.
  if (type.shape[type.shape.rank - 1] * bits % 16) return {};
  for (const Index& i : k.indices_of(from))
    if (i.start.is_value() && k.values[i.start.index()].type.is_tile()) return {};
  if (at.readers[raw].size() != 1 || at.writers[raw].size() != 1) return {};
  uint32_t reader = at.readers[raw][0];
  const Inst& store = k.code[reader];
  auto to_args = k.args(store);
  if (store.op != Op::store || reader < pc || !(to_args[0] == Ref::value(raw)) ||
      !to_args[1].is_access() || (to_args.size() > 2 && !to_args[2].is_none()))
    return {};
  const Access& to = k.accesses[to_args[1].index()];
  const Type& tile = k.values[to.base].type;
  if (tile.space != Space::shared || tile.ring || at.writers[to.base].size() != 1) return {};
  for (const Index& i : k.indices_of(to))
    if (i.kind != IndexKind::all) return {};
  uint32_t smem = at.writers[to.base][0];
  if (k.code[smem].op != Op::smem || !straight(k, std::min(pc, smem), reader)) return {};
  // Indices that change on the way would name another part.
  for (const Index& i : k.indices_of(from))
    for (Ref r : {i.start, i.stop})
      if (r.is_value())
        for (uint32_t w : at.writers[r.index()])
          if (w > pc && w < reader) return {};
  return Staged{pc, smem, reader};
}

// Whole rows of a dense tensor that alone are no multiple of 16 bytes, but are one run in memory
// together.
bool whole_rows(const Kernel& k, const Access& a) {
  if (a.base >= k.params.size() || !k.params[a.base].strides.empty()) return false;
  auto indices = k.indices_of(a);
  const Type& t = k.values[a.base].type;
  for (size_t d = 1; d < indices.size(); ++d)
    if (indices[d].kind != IndexKind::all || t.shape[static_cast<int>(d)] == kDynamic) return false;
  int64_t row_bits = t.dtype.is_bool() ? 8 : t.dtype.bits;
  for (int d = 1; d < t.shape.rank; ++d) row_bits *= t.shape[d];
  return indices.size() > 1 && indices[0].kind == IndexKind::range && row_bits % 128;
}

// The declaration of a shared tile with row-major memory.
Inst in_rows(Module& m, Kernel& k, Inst inst) {
  const Type& t = k.values[k.results(inst)[0].index()].type;
  auto rows = row_major({t.shape.begin(), t.shape.end()});
  if (!rows) return inst;
  std::string text = print_layout(*rows), name;
  auto known = std::find_if(m.layouts.begin(), m.layouts.end(),
                            [&](const LayoutDef& d) { return d.text == text; });
  int64_t index = known - m.layouts.begin();
  if (known == m.layouts.end()) {
    auto taken = [&](const LayoutDef& d) { return d.name == name; };
    for (size_t n = m.layouts.size() + 1;
         name.empty() || std::any_of(m.layouts.begin(), m.layouts.end(), taken); ++n)
      name = "t" + std::to_string(n);
    m.layouts.push_back({name, text});
  }
  std::vector<Attr> attrs(k.attrs_of(inst).begin(), k.attrs_of(inst).end());
  std::erase_if(attrs, [](const Attr& a) { return a.tag == AttrTag::layout; });
  attrs.insert(attrs.begin(), {AttrTag::layout, index});
  inst.first_attr = static_cast<uint32_t>(k.attrs.size());
  inst.n_attrs = static_cast<uint8_t>(attrs.size());
  k.attrs.insert(k.attrs.end(), attrs.begin(), attrs.end());
  return inst;
}

}  // namespace

Module copy_staged_tiles(const VerifiedModule& module, size_t kernel) {
  Module out = module.module();
  Kernel k = module.kernel(kernel);
  bool in_flight = k.sync_manual || std::any_of(k.code.begin(), k.code.end(), [](const Inst& i) {
                     return i.op == Op::copy_async || i.op == Op::parallel;
                   });
  if (in_flight) {
    out.kernels = {std::move(k)};
    return out;
  }
  Places at = places_of(k);
  std::vector<Staged> found;
  for (uint32_t pc = 0; pc < k.code.size(); ++pc)
    if (auto s = staged_at(k, at, pc)) found.push_back(*s);
  const std::vector<Inst> before = std::exchange(k.code, {});
  tile::KernelWriter w(k);
  std::set<uint32_t> pending;  // tiles whose copies are not waited for
  std::vector<tile::Use> uses;
  for (uint32_t pc = 0; pc < before.size(); ++pc) {
    Inst inst = before[pc];
    uses.clear();
    tile::uses_of(k, inst, uses);
    auto is_at = [&](uint32_t Staged::*place) {
      return std::find_if(found.begin(), found.end(),
                          [&](const Staged& s) { return s.*place == pc; });
    };
    if (is_at(&Staged::load) != found.end()) continue;
    if (auto s = is_at(&Staged::smem); s != found.end()) {
      Ref from = k.args(before[s->load])[0];
      if (whole_rows(k, k.accesses[from.index()])) inst = in_rows(out, k, inst);
    }
    if (auto s = is_at(&Staged::store); s != found.end()) {
      const Inst& load = before[s->load];
      Ref from = k.args(load)[0], to = k.args(inst)[1];
      std::vector<Attr> hints;
      for (const Attr& h : k.attrs_of(load))
        if (op_info(Op::copy_async).allows(h.tag)) hints.push_back(h);
      w.append(Op::copy_async, {}, {to, from, Ref::none()}, hints, load.loc);
      pending.insert(k.accesses[to.index()].base);
      continue;
    }
    // One wait for all copies, before the first of them is needed.
    bool needed = !harmless(inst);
    for (const tile::Use& u : uses) needed |= pending.count(u.value) != 0;
    if (needed && !pending.empty()) {
      w.append(Op::copy_async_commit, {}, {}, {}, inst.loc);
      w.append(Op::copy_async_wait, {}, {w.i32(0)}, {}, inst.loc);
      pending.clear();
    }
    k.code.push_back(inst);
  }
  out.kernels = {std::move(k)};
  return out;
}

}  // namespace tess::jit
