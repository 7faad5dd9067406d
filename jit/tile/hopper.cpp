#include "jit/tile/hopper.h"

#include <algorithm>
#include <map>

#include "jit/tile/hopper_plan.h"
#include "jit/tile/kernel_writer.h"
#include "jit/tile/pipeline.h"

namespace tess::jit {
namespace {

using tile::FedLoad;
using tile::FedLoop;
using tile::FedProduct;

// What one loop's two strands share, and each strand's count of uses.
struct Ring {
  std::vector<Ref> tiles;  // by load
  Ref full, empty;
  Ref use, first;  // of the strand being written
};

class HopperWriter {
 public:
  HopperWriter(const Kernel& k, const tile::HopperPlan& plan)
      : k_(k), plan_(plan), out_(k), w_(out_), rings_(plan.loops.size()) {
    out_.code.clear();
  }

  Kernel run() {
    out_.warps = static_cast<uint32_t>(k_.warps + tile::kCopyingWarps);
    if (!k_.blocks_per_sm) out_.blocks_per_sm = plan_.blocks_per_sm;
    for (const Inst& inst : k_.code)
      if (inst.op == Op::smem) out_.code.push_back(inst);
    for (size_t i = 0; i < plan_.loops.size(); ++i) declare(plan_.loops[i], rings_[i]);
    for (size_t i = 0; i < plan_.loops.size(); ++i) barriers(plan_.loops[i], rings_[i]);
    Loc loc = k_.loc;
    w_.append(Op::parallel, {}, {}, {}, loc);
    section(k_.warps, out_.warps, tile::kCopyingRegisters);
    begin_uses();
    copying();
    w_.append(Op::end, {}, {}, {}, loc);
    section(0, k_.warps, plan_.registers);
    begin_uses();
    computing();
    w_.append(Op::end, {}, {}, {}, loc);
    w_.append(Op::end, {}, {}, {}, loc);
    return std::move(out_);
  }

 private:
  const Loc& loc_of(uint32_t pc) const { return k_.code[pc].loc; }

  void declare(const FedLoop& loop, Ring& ring) {
    for (const FedLoad& load : loop.loads) {
      const Value& v = k_.values[load.value];
      Type type{Space::shared, true, v.type.dtype, {}};
      type.shape.push(loop.stages);
      for (int64_t d : v.type.shape) type.shape.push(d);
      ring.tiles.push_back(w_.value(v.name.empty() ? "" : v.name + ".ring", type));
      w_.append(Op::smem, {ring.tiles.back()}, {}, {{AttrTag::ring, 1}}, loc_of(load.pc));
    }
  }
  void barriers(const FedLoop& loop, Ring& ring) {
    Type type;
    type.space = Space::mbar;
    type.shape.push(loop.stages);
    ring.full = w_.value("full", type);
    ring.empty = w_.value("empty", type);
    for (Ref b : {ring.full, ring.empty})
      w_.append(Op::mbar, {b}, {}, {{AttrTag::count, 1}}, loc_of(loop.begin));
  }
  void section(int64_t begin, int64_t end, int64_t registers) {
    w_.append(Op::warps, {}, {w_.i32(begin), w_.i32(end)}, {{AttrTag::regs, registers}}, k_.loc);
  }
  void begin_uses() {
    for (size_t i = 0; i < rings_.size(); ++i) {
      rings_[i].use = w_.value("use", scalar_type(dt::i32_));
      w_.append(Op::move, {rings_[i].use}, {w_.i32(0)}, {}, loc_of(plan_.loops[i].begin));
    }
  }
  Ref relative_use(const Ring& ring, Op op, int64_t by, const Loc& loc) {
    return w_.scalar(op, dt::i32_, ring.use, w_.i32(by), loc);
  }
  Ref barrier(Ref array, Ref use) { return w_.part(array, use); }
  void count_use(const Ring& ring, const Loc& loc) {
    w_.append(Op::add, {ring.use}, {ring.use, w_.i32(1)}, {}, loc);
  }

  // --- the strand that copies

  // Its own names for what the kernel computes.
  Ref renamed(Ref r) {
    if (!r.is_value() || r.index() < k_.params.size()) return r;
    auto [it, fresh] = copy_of_.try_emplace(r.index());
    if (fresh) {
      const Value& v = k_.values[r.index()];
      it->second = w_.value(v.name, v.type);
    }
    return it->second;
  }
  Ref renamed_access(Ref r) {
    const Access& a = k_.accesses[r.index()];
    std::vector<Index> indices;
    for (Index i : k_.indices_of(a)) {
      i.start = renamed(i.start);
      indices.push_back(i);
    }
    return w_.access(a.base, indices);
  }
  void repeat(uint32_t pc) {
    const Inst& inst = k_.code[pc];
    std::vector<Ref> results, args;
    for (Ref r : k_.args(inst)) args.push_back(r.is_access() ? renamed_access(r) : renamed(r));
    for (Ref r : k_.results(inst)) results.push_back(renamed(r));
    std::vector<Attr> attrs;
    for (const Attr& a : k_.attrs_of(inst))
      if (a.tag != AttrTag::pipeline) attrs.push_back(a);
    w_.append(inst.op, results, args, attrs, inst.loc);
  }

  void copying() {
    for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
      for (size_t i = 0; i < rings_.size(); ++i) {
        const FedLoop& loop = plan_.loops[i];
        const Ring& ring = rings_[i];
        if (pc == loop.end) {
          w_.append(Op::mbar_arrive, {}, {barrier(ring.full, ring.use)}, {}, loc_of(pc));
          count_use(ring, loc_of(pc));
        }
        for (size_t l = 0; l < loop.loads.size(); ++l)
          if (loop.loads[l].pc == pc) copy(ring, l, pc);
      }
      if (!plan_.copying.contains(pc)) continue;
      repeat(pc);
      for (size_t i = 0; i < rings_.size(); ++i)
        if (plan_.loops[i].begin == pc)
          w_.append(Op::mbar_wait, {},
                    {barrier(rings_[i].empty,
                             relative_use(rings_[i], Op::sub, plan_.loops[i].stages, loc_of(pc)))},
                    {}, loc_of(pc));
    }
  }
  void copy(const Ring& ring, size_t l, uint32_t pc) {
    const Inst& load = k_.code[pc];
    std::vector<Attr> hints;
    for (const Attr& h : k_.attrs_of(load))
      if (op_info(Op::tma_load).allows(h.tag)) hints.push_back(h);
    Ref to = w_.part(ring.tiles[l], ring.use), from = renamed_access(k_.args(load)[0]);
    w_.append(Op::tma_load, {}, {to, from, barrier(ring.full, ring.use), Ref::none()}, hints,
              load.loc);
  }

  // --- the strand that computes

  void computing() {
    for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
      const Inst& inst = k_.code[pc];
      if (inst.op == Op::smem || plan_.dropped.contains(pc)) continue;
      size_t i = 0;
      while (i < rings_.size() && !(pc >= plan_.loops[i].begin && pc <= plan_.loops[i].end)) ++i;
      if (i == rings_.size()) out_.code.push_back(inst);
      else step(plan_.loops[i], rings_[i], pc);
    }
  }

  void step(const FedLoop& loop, Ring& ring, uint32_t pc) {
    const Inst& inst = k_.code[pc];
    if (pc == loop.begin) {
      ring.first = w_.i32(0);
      if (loop.nested && loop.deferred) {
        ring.first = w_.value("", scalar_type(dt::i32_));
        w_.append(Op::move, {ring.first}, {ring.use}, {}, inst.loc);
      }
      auto results = k_.results(inst), args = k_.args(inst);
      std::vector<Attr> attrs;
      for (const Attr& a : k_.attrs_of(inst))
        if (a.tag != AttrTag::pipeline) attrs.push_back(a);
      w_.append(inst.op, {results.begin(), results.end()}, {args.begin(), args.end()}, attrs,
                inst.loc);
      w_.append(Op::mbar_wait, {}, {barrier(ring.full, ring.use)}, {}, inst.loc);
      return;
    }
    if (pc == loop.end) {
      if (!loop.deferred)
        w_.append(Op::mbar_arrive, {}, {barrier(ring.empty, ring.use)}, {}, inst.loc);
      count_use(ring, inst.loc);
      out_.code.push_back(inst);
      if (loop.deferred) {
        w_.append(Op::wgmma_wait, {}, {w_.i32(0)}, {}, inst.loc);
        if (loop.nested) free_last(ring, inst.loc);
      }
      return;
    }
    for (size_t l = 0; l < loop.loads.size(); ++l) {
      if (loop.loads[l].pc != pc) continue;
      if (loop.loads[l].in_registers)
        w_.append(Op::load, {k_.results(inst)[0]}, {w_.part(ring.tiles[l], ring.use), Ref::none()},
                  {}, inst.loc);
      return;
    }
    for (const FedProduct& product : loop.products)
      if (product.pc == pc) return multiply(loop, ring, product);
    out_.code.push_back(inst);
  }

  Ref operand(const FedLoop& loop, const Ring& ring, const FedProduct::Operand& o, Ref as_it_is,
              const Loc& loc) {
    if (o.load < 0) return as_it_is;
    Ref place = w_.part(ring.tiles[static_cast<size_t>(o.load)], ring.use);
    if (!o.transposed) return place;
    const Type& type = k_.values[loop.loads[static_cast<size_t>(o.load)].value].type;
    Type turned{Space::shared, false, type.dtype, {type.shape[1], type.shape[0]}};
    Ref view = w_.value("", turned);
    w_.append(Op::transpose, {view}, {place}, {}, loc);
    return view;
  }

  void multiply(const FedLoop& loop, const Ring& ring, const FedProduct& product) {
    const Inst& inst = k_.code[product.pc];
    auto args = k_.args(inst);
    Ref a = operand(loop, ring, product.a, args[0], inst.loc),
        b = operand(loop, ring, product.b, args[1], inst.loc);
    w_.append(Op::wgmma, {k_.results(inst)[0]}, {a, b, args[2]}, {}, inst.loc);
    if (loop.deferred && &product != &loop.products.back()) return;
    w_.append(Op::wgmma_commit, {}, {}, {}, inst.loc);
    w_.append(Op::wgmma_wait, {}, {w_.i32(loop.deferred)}, {}, inst.loc);
    if (loop.deferred) free_last(ring, inst.loc);
  }

  // The slot of the iteration before, if there was one.
  void free_last(const Ring& ring, const Loc& loc) {
    Ref any = w_.value("", scalar_type(dt::bool_));
    w_.append(Op::gt, {any}, {ring.use, ring.first}, {}, loc);
    w_.append(Op::if_, {}, {any}, {}, loc);
    w_.append(Op::mbar_arrive, {}, {barrier(ring.empty, relative_use(ring, Op::sub, 1, loc))}, {},
              loc);
    w_.append(Op::end, {}, {}, {}, loc);
  }

  const Kernel& k_;
  const tile::HopperPlan& plan_;
  Kernel out_;
  tile::KernelWriter w_;
  std::vector<Ring> rings_;
  std::map<uint32_t, Ref> copy_of_;
};

// Products of a kernel of one strand.
Kernel staged(const Kernel& k, const tile::StagedPlan& plan) {
  Kernel out = k;
  tile::KernelWriter w(out);
  out.code.clear();
  std::vector<Ref> tiles(plan.loads.size());
  auto operand = [&](const FedProduct::Operand& o, Ref as_it_is, const Loc& loc) {
    if (o.load < 0) return as_it_is;
    Ref tile = tiles[static_cast<size_t>(o.load)];
    if (!o.transposed) return tile;
    const Type& type = out.values[tile.index()].type;
    Ref view = w.value("", {Space::shared, false, type.dtype, {type.shape[1], type.shape[0]}});
    w.append(Op::transpose, {view}, {tile}, {}, loc);
    return view;
  };
  for (uint32_t pc = 0; pc < k.code.size(); ++pc) {
    const Inst& inst = k.code[pc];
    if (plan.dropped.contains(pc)) continue;
    auto product = std::find_if(plan.products.begin(), plan.products.end(),
                                [&](const FedProduct& p) { return p.pc == pc; });
    if (product != plan.products.end()) {
      auto args = k.args(inst);
      Ref a = operand(product->a, args[0], inst.loc), b = operand(product->b, args[1], inst.loc);
      w.append(Op::wgmma, {k.results(inst)[0]}, {a, b, args[2]}, {}, inst.loc);
      w.append(Op::wgmma_commit, {}, {}, {}, inst.loc);
      w.append(Op::wgmma_wait, {}, {w.i32(0)}, {}, inst.loc);
      continue;
    }
    out.code.push_back(inst);
    for (size_t l = 0; l < plan.loads.size(); ++l) {
      if (plan.loads[l].pc != pc) continue;
      const Value& v = k.values[plan.loads[l].value];
      tiles[l] = w.value(v.name.empty() ? "" : v.name + ".tile",
                         {Space::shared, false, v.type.dtype, v.type.shape});
      w.append(Op::smem, {tiles[l]}, {}, {}, inst.loc);
      Ref whole = w.access(tiles[l].index(), std::vector<Index>(2, {IndexKind::all, {}, {}, 0}));
      w.append(Op::store, {}, {Ref::value(plan.loads[l].value), whole, Ref::none()}, {}, inst.loc);
    }
  }
  return out;
}

}  // namespace

Module rewrite_for_hopper(const VerifiedModule& module, size_t kernel, Sm sm) {
  const Module& m = module.module();
  const Kernel& k = module.kernel(kernel);
  const KernelInfo& info = module.info(kernel);
  Module out{{k}, m.layouts, m.files, m.producer, {}};
  if (sm != Sm::sm_90a) return out;
  int64_t limit = shared_memory_of(sm);
  if (auto plan = tile::plan_hopper(k, info, limit)) {
    out.kernels[0] = HopperWriter(k, *plan).run();
  } else if (auto products = tile::plan_staged(k, info, limit); !products.products.empty()) {
    out.kernels[0] = staged(k, products);
  }
  return out;
}

}  // namespace tess::jit
