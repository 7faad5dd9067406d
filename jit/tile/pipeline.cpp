#include "jit/tile/pipeline.h"

#include <algorithm>
#include <map>
#include <set>

#include "isa/numerics.h"
#include "jit/tile/kernel_writer.h"
#include "jit/tile/webs.h"

namespace tess::jit {
namespace {

// A load that can run ahead.
struct Ahead {
  uint32_t load = 0;    // pc
  uint32_t smem = ~0u;  // pc of the shared tile it is stored to whole, and of that store
  uint32_t store = ~0u;
  std::vector<uint32_t> chain;  // scalar instructions of the body that its indices need, in order
  uint32_t ring = 0;            // value
};

struct Pipelined {
  uint32_t loop = 0, end = 0;  // pc
  int64_t stages = 0;
  std::vector<Ahead> loads;
};

int64_t tile_bytes(const Type& t) {
  int64_t bits = t.dtype.is_bool() ? 8 : t.dtype.bits;
  return (t.shape.elements() * bits + 7) / 8;
}

class Pipeliner {
 public:
  Pipeliner(const Kernel& k, const KernelInfo& info, int64_t limit)
      : k_(k), info_(info), out_(k), limit_(limit) {}

  Kernel run() {
    find();
    if (loops_.empty()) return k_;
    out_.code.clear();
    for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
      for (const Pipelined& p : loops_)
        if (p.loop == pc) fill(p);
      if (const Pipelined* p = loop_of(pc)) {
        body(*p, pc);
        if (pc == p->end) drain(*p);
        continue;
      }
      out_.code.push_back(k_.code[pc]);
    }
    return std::move(out_);
  }

 private:
  // --- what can be pipelined

  void find() {
    int64_t used = 0;
    for (const Inst& i : k_.code)
      if (i.op == Op::smem) used += tile_bytes(k_.values[k_.results(i)[0].index()].type);
    for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
      const Inst& inst = k_.code[pc];
      if (inst.op != Op::for_ || !plain_block(pc)) continue;
      int64_t n = k_.attr(inst, AttrTag::pipeline).value_or(0);
      if (n < 2 || holds_pipelined(pc)) continue;
      Pipelined p{pc, info_.match[pc], n, {}};
      for (uint32_t at = pc + 1; at < p.end; ++at) {
        if (opens(at)) {
          at = info_.match[at];
          continue;
        }
        if (auto a = ahead(p, at)) p.loads.push_back(std::move(*a));
      }
      if (p.loads.empty()) continue;
      int64_t once = 0, staged = 0;
      for (const Ahead& a : p.loads) {
        once += tile_bytes(k_.values[k_.results(k_.code[a.load])[0].index()].type);
        if (a.smem != ~0u)
          staged += tile_bytes(k_.values[k_.results(k_.code[a.smem])[0].index()].type);
      }
      while (p.stages >= 2 && used - staged + once * p.stages > limit_) --p.stages;
      if (p.stages < 2) continue;
      used += once * p.stages - staged;
      loops_.push_back(std::move(p));
    }
  }

  // The innermost loop runs ahead; those around it would need rings of their own at the same time.
  bool holds_pipelined(uint32_t loop) const {
    for (uint32_t pc = loop + 1; pc < info_.match[loop]; ++pc)
      if (k_.code[pc].op == Op::for_ && k_.attr(k_.code[pc], AttrTag::pipeline).value_or(0) >= 2)
        return true;
    return false;
  }

  bool opens(uint32_t pc) const {
    Op op = k_.code[pc].op;
    return op == Op::for_ || op == Op::while_ || op == Op::if_ || op == Op::parallel;
  }

  // Outside of strands, which may not declare shared tiles; no other asynchronous copies inside,
  // no way out but the end.
  bool plain_block(uint32_t loop) const {
    for (uint32_t pc = 0; pc < loop; ++pc)
      if (k_.code[pc].op == Op::parallel && info_.match[pc] > loop) return false;
    for (uint32_t pc = loop + 1; pc < info_.match[loop]; ++pc) switch (k_.code[pc].op) {
        case Op::break_:
        case Op::continue_:
        case Op::return_:
        case Op::copy_async:
        case Op::copy_async_commit:
        case Op::copy_async_wait:
        case Op::copy_async_arrive:
        case Op::parallel:
          return false;
        default:
          break;
      }
    return true;
  }

  bool immutable(uint32_t value) const {
    return value < k_.params.size() && k_.params[value].dir == Direction::in &&
           !k_.params[value].may_alias;
  }

  // Whether v, at `pc` of the loop's body, follows from the counter and what stands outside of the
  // loop by pure scalar instructions, which are added to the chain.
  bool follows(const Pipelined& p, Ref r, uint32_t pc, std::set<uint32_t>& chain) const {
    if (r.is_constant() || r.is_none()) return true;
    if (!r.is_value()) return false;
    uint32_t v = r.index();
    const Type& t = k_.values[v].type;
    if (!t.is_scalar()) return false;
    if (v == k_.results(k_.code[p.loop])[0].index()) return true;
    uint32_t defined = ~0u;
    for (uint32_t at = p.loop + 1; at < p.end; ++at)
      for (Ref d : k_.results(k_.code[at]))
        if (d.index() == v) {
          if (defined != ~0u) return false;
          defined = at;
        }
    if (defined == ~0u) return true;
    if (defined > pc || !top_level(p, defined)) return false;
    const Inst& inst = k_.code[defined];
    const OpInfo& op = op_info(inst.op);
    if (op.effect != Effect::pure || op.trap != TrapKind::none) {
      bool divides = op.trap == TrapKind::div && k_.args(inst).size() == 2 &&
                     k_.args(inst)[1].is_constant() &&
                     k_.constants[k_.args(inst)[1].index()].code != 0;
      if (op.effect != Effect::pure || !divides) return false;
    }
    for (Ref a : k_.args(inst))
      if (!follows(p, a, defined, chain)) return false;
    chain.insert(defined);
    return true;
  }

  bool top_level(const Pipelined& p, uint32_t pc) const {
    for (uint32_t at = p.loop + 1; at < p.end; ++at)
      if (opens(at)) {
        if (pc > at && pc < info_.match[at]) return false;
        at = info_.match[at];
      }
    return true;
  }

  std::optional<Ahead> ahead(const Pipelined& p, uint32_t pc) const {
    const Inst& inst = k_.code[pc];
    if (inst.op != Op::load) return {};
    auto args = k_.args(inst);
    if (!args[0].is_access() || (args.size() > 1 && !args[1].is_none())) return {};
    if (k_.attr(inst, AttrTag::pad)) return {};
    const Access& access = k_.accesses[args[0].index()];
    uint32_t result = k_.results(inst)[0].index();
    const Type& type = k_.values[result].type;
    if (!immutable(access.base) || !access.item.is_none() || !type.is_tile()) return {};
    // Rows shorter than a word gain nothing.
    int bits = type.dtype.is_bool() ? 8 : type.dtype.bits;
    if (type.shape[type.shape.rank - 1] * bits % 32) return {};
    std::set<uint32_t> chain;
    for (const Index& i : k_.indices_of(access)) {
      if (i.kind == IndexKind::span) return {};
      if (!follows(p, i.start, pc, chain)) return {};
    }
    Ahead a;
    a.load = pc;
    a.chain.assign(chain.begin(), chain.end());
    find_staging(p, result, a);
    return a;
  }

  // The shared tile that the load's result goes to, if it goes nowhere else.
  void find_staging(const Pipelined& p, uint32_t result, Ahead& a) const {
    std::vector<tile::Use> uses;
    uint32_t reader = ~0u, readers = 0, writers = 0;
    for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
      uses.clear();
      tile::uses_of(k_, k_.code[pc], uses);
      for (const tile::Use& u : uses)
        if (u.value == result) {
          reader = pc;
          ++readers;
        }
      for (Ref r : k_.results(k_.code[pc])) writers += r.index() == result;
    }
    if (readers != 1 || writers != 1 || reader <= p.loop || reader >= p.end) return;
    const Inst& store = k_.code[reader];
    if (store.op != Op::store || !top_level(p, reader)) return;
    auto args = k_.args(store);
    if (!(args[0] == Ref::value(result)) || !args[1].is_access()) return;
    if (args.size() > 2 && !args[2].is_none()) return;
    const Access& to = k_.accesses[args[1].index()];
    if (k_.values[to.base].type.space != Space::shared || k_.values[to.base].type.ring) return;
    for (const Index& i : k_.indices_of(to))
      if (i.kind != IndexKind::all) return;
    uint32_t declared = ~0u, stores = 0;
    for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
      const Inst& i = k_.code[pc];
      for (Ref r : k_.results(i))
        if (r.index() == to.base) declared = i.op == Op::smem ? pc : ~0u;
      if (i.op == Op::store && k_.args(i)[1].is_access() &&
          k_.accesses[k_.args(i)[1].index()].base == to.base)
        ++stores;
    }
    if (declared == ~0u || declared <= p.loop || declared >= p.end || stores != 1) return;
    a.smem = declared;
    a.store = reader;
  }

  const Pipelined* loop_of(uint32_t pc) const {
    for (const Pipelined& p : loops_)
      if (pc >= p.loop && pc <= p.end) return &p;
    return nullptr;
  }

  // --- writing

  std::optional<int64_t> integer(Ref r) const {
    if (!r.is_constant()) return {};
    const Constant& c = out_.constants[r.index()];
    return static_cast<int64_t>(decode_int(c.type, c.code));
  }
  // The copies of the iteration whose counter is `counter`.
  void copies(const Pipelined& p, Ref counter, Ref use) {
    for (const Ahead& a : p.loads) {
      std::map<uint32_t, Ref> now{{k_.results(k_.code[p.loop])[0].index(), counter}};
      auto renamed = [&](Ref r) {
        auto it = r.is_value() ? now.find(r.index()) : now.end();
        return it == now.end() ? r : it->second;
      };
      for (uint32_t pc : a.chain) {
        const Inst& inst = k_.code[pc];
        std::vector<Ref> args, results;
        for (Ref r : k_.args(inst)) args.push_back(renamed(r));
        for (Ref r : k_.results(inst)) {
          results.push_back(w_.value("", k_.values[r.index()].type));
          now[r.index()] = results.back();
        }
        auto attrs = k_.attrs_of(inst);
        w_.append(inst.op, results, args, {attrs.begin(), attrs.end()}, inst.loc);
      }
      const Inst& load = k_.code[a.load];
      const Access& from = k_.accesses[k_.args(load)[0].index()];
      std::vector<Index> indices;
      for (Index i : k_.indices_of(from)) {
        i.start = renamed(i.start);
        indices.push_back(i);
      }
      std::vector<Attr> hints;
      for (const Attr& h : k_.attrs_of(load))
        if (op_info(Op::copy_async).allows(h.tag)) hints.push_back(h);
      Ref to = w_.part(Ref::value(a.ring), use), source = w_.access(from.base, indices);
      w_.append(Op::copy_async, {}, {to, source, Ref::none()}, hints, load.loc);
    }
  }
  void commit(const Pipelined& p) {
    w_.append(Op::copy_async_commit, {}, {}, {}, k_.code[p.loop].loc);
  }

  // Before the loop: rings, and the first iterations' copies.
  void fill(const Pipelined& planned) {
    Pipelined& p = *std::find_if(loops_.begin(), loops_.end(),
                                 [&](const Pipelined& x) { return x.loop == planned.loop; });
    const Inst& loop = k_.code[p.loop];
    for (Ahead& a : p.loads) {
      uint32_t tile = k_.results(k_.code[a.load])[0].index();
      Type type = k_.values[tile].type;
      Type ring{Space::shared, true, type.dtype, {}};
      ring.shape.push(p.stages);
      for (int64_t d : type.shape) ring.shape.push(d);
      std::string name = k_.values[tile].name;
      a.ring = w_.value(name.empty() ? "" : name + ".ring", ring).index();
      std::vector<Attr> attrs;
      if (a.smem != ~0u)
        if (auto layout = k_.attr(k_.code[a.smem], AttrTag::layout))
          attrs.push_back({AttrTag::layout, *layout});
      attrs.push_back({AttrTag::ring, 1});
      w_.append(Op::smem, {Ref::value(a.ring)}, {}, attrs, k_.code[a.load].loc);
    }
    auto args = k_.args(loop);
    DType t = k_.values[k_.results(loop)[0].index()].type.dtype;
    step_ = args.size() > 2 && !args[2].is_none() ? args[2] : w_.constant(t, 1);
    Ref counter = args[0];
    for (int64_t s = 0; s + 1 < p.stages; ++s) {
      if (s) counter = w_.scalar(Op::add, t, counter, step_, loop.loc);
      copies(p, counter, w_.constant(dt::i32_, s));
      commit(p);
    }
    // Copies of iterations that there are: counter < end - distance. That wraps only for ends near
    // the least number of the type, where it copies what is not there. Within::behind knows this
    // form.
    limit_of_copies_ = Ref::none();
    if (auto step = integer(step_); step && *step > 0)
      limit_of_copies_ =
          w_.scalar(Op::sub, t, args[1], w_.constant(t, *step * (p.stages - 1)), loop.loc);
    iteration_ = w_.value("iteration", scalar_type(dt::i32_)).index();
    w_.append(Op::move, {Ref::value(iteration_)}, {w_.constant(dt::i32_, 0)}, {}, loop.loc);
  }

  void body(const Pipelined& p, uint32_t pc) {
    const Inst& inst = k_.code[pc];
    if (pc == p.loop) {
      // The loop itself, pipelined now.
      auto results = k_.results(inst);
      auto args = k_.args(inst);
      std::vector<Attr> attrs;
      for (const Attr& a : k_.attrs_of(inst))
        if (a.tag != AttrTag::pipeline) attrs.push_back(a);
      w_.append(inst.op, {results.begin(), results.end()}, {args.begin(), args.end()}, attrs,
                inst.loc);
      // All threads meet once: what was copied is there for all, and the slot that is copied to
      // next has been read by all.
      w_.append(Op::copy_async_wait, {}, {w_.constant(dt::i32_, p.stages - 2)}, {}, inst.loc);
      w_.append(Op::barrier, {}, {}, {}, inst.loc);
      DType t = k_.values[results[0].index()].type.dtype;
      bool guarded = !limit_of_copies_.is_none();
      if (guarded) {
        Ref more = w_.value("", scalar_type(dt::bool_));
        w_.append(Op::lt, {more}, {results[0], limit_of_copies_}, {}, inst.loc);
        w_.append(Op::if_, {}, {more}, {}, inst.loc);
      }
      std::optional<int64_t> step = integer(step_);
      Ref distance = step ? w_.constant(t, *step * (p.stages - 1))
                          : w_.scalar(Op::mul, t, step_, w_.constant(t, p.stages - 1), inst.loc);
      Ref counter = w_.scalar(Op::add, t, results[0], distance, inst.loc);
      Ref use = w_.scalar(Op::add, dt::i32_, Ref::value(iteration_),
                          w_.constant(dt::i32_, p.stages - 1), inst.loc);
      copies(p, counter, use);
      if (guarded) w_.append(Op::end, {}, {}, {}, inst.loc);
      commit(p);
      return;
    }
    for (const Ahead& a : p.loads) {
      if (pc == a.store) return;
      if (pc == a.smem) {  // the tile is the ring's slot now
        w_.append(Op::slice, {k_.results(inst)[0]},
                  {w_.part(Ref::value(a.ring), Ref::value(iteration_))}, {}, inst.loc);
        return;
      }
      if (pc != a.load) continue;
      if (a.smem != ~0u) return;
      std::vector<Attr> attrs;
      for (const Attr& x : k_.attrs_of(inst))
        if (x.tag == AttrTag::layout) attrs.push_back(x);
      w_.append(Op::load, {k_.results(inst)[0]},
                {w_.part(Ref::value(a.ring), Ref::value(iteration_)), Ref::none()}, attrs,
                inst.loc);
      return;
    }
    if (pc == p.end)
      w_.append(Op::add, {Ref::value(iteration_)},
                {Ref::value(iteration_), w_.constant(dt::i32_, 1)}, {}, inst.loc);
    out_.code.push_back(inst);
  }

  void drain(const Pipelined& p) {
    w_.append(Op::copy_async_wait, {}, {w_.constant(dt::i32_, 0)}, {}, k_.code[p.end].loc);
  }

  const Kernel& k_;
  const KernelInfo& info_;
  Kernel out_;
  tile::KernelWriter w_{out_};
  int64_t limit_;
  std::vector<Pipelined> loops_;
  Ref step_;
  Ref limit_of_copies_;  // none: the copies of every iteration are made
  uint32_t iteration_ = 0;
};

}  // namespace

int64_t shared_memory_of(Sm sm) {
  return (sm == Sm::sm_80 ? 163 : sm == Sm::sm_89 ? 99 : 227) * 1024;
}

Module pipeline_loops(const VerifiedModule& module, size_t kernel, int64_t shared_limit) {
  Module out = module.module();
  Kernel k = module.kernel(kernel);
  if (!k.sync_manual) k = Pipeliner(k, module.info(kernel), shared_limit).run();
  out.kernels = {std::move(k)};
  return out;
}

}  // namespace tess::jit
