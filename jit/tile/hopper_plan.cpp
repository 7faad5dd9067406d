#include "jit/tile/hopper_plan.h"

#include <algorithm>
#include <numeric>

#include "isa/infer.h"
#include "isa/limits.h"
#include "jit/tile/webs.h"
#include "jit/tile/within.h"

namespace tess::jit::tile {
namespace {

constexpr int64_t kGroup = 4, kRegisterFile = 65536, kMostRegisters = 240, kTmaBytes = 16;
// What a consumer's thread needs besides its accumulators.
constexpr int64_t kOtherRegisters = 56;

bool opens(Op op) { return op == Op::for_ || op == Op::while_ || op == Op::if_; }

int64_t bits_of(const Type& t) { return t.dtype.is_bool() ? 8 : t.dtype.bits; }
int64_t whole_kib(int64_t bytes) { return (bytes + 1023) / 1024 * 1024; }
int64_t tile_bytes(const Type& t) { return (t.shape.elements() * bits_of(t) + 7) / 8; }

class Planner {
 public:
  Planner(const Kernel& k, const KernelInfo& info, int64_t limit)
      : k_(k), info_(info), limit_(limit), defs_(k.values.size()), uses_(k.values.size()) {
    std::vector<Use> uses;
    for (uint32_t pc = 0; pc < k.code.size(); ++pc) {
      for (Ref r : k.results(k.code[pc])) defs_[r.index()].push_back(pc);
      uses_of(k, k.code[pc], uses);
      for (const Use& u : uses) uses_[u.value].push_back({pc, u.place});
    }
  }

  std::optional<HopperPlan> run() {
    if (!plain_kernel() || !can_have_strands()) return {};
    HopperPlan plan;
    bool multiplies = false;
    for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
      if (k_.code[pc].op != Op::for_) continue;
      auto loop = plan_loop(pc);
      if (!loop) continue;
      multiplies |= !loop->products.empty();
      pc = loop->end;
      plan.loops.push_back(std::move(*loop));
    }
    if (!multiplies || !fit(plan) || !budget(plan)) return {};
    for (const FedLoop& loop : plan.loops)
      if (!slice(loop, plan)) return {};
    for (const FedLoop& loop : plan.loops) find_dropped(loop, plan.dropped);
    return plan;
  }

  StagedPlan run_staged() {
    FedLoop all;  // the whole kernel
    all.end = static_cast<uint32_t>(k_.code.size());
    StagedPlan plan;
    if (!plain_kernel()) return plan;
    for (uint32_t pc = 0; pc < k_.code.size(); ++pc)
      if (can_be_staged(pc)) all.loads.push_back({pc, k_.results(k_.code[pc])[0].index(), false});
    std::vector<bool> staged(all.loads.size());
    for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
      if (k_.code[pc].op != Op::mma) continue;
      auto p = plan_product(all, pc);
      if (!p) continue;
      auto load_of = [&](const FedProduct::Operand& o) { return static_cast<size_t>(o.load); };
      // What was loaded outside of the loop may as well stay in registers.
      if (p->a.load >= 0 && !(around(all.loads[load_of(p->a)].pc) == around(pc))) p->a = {};
      for (const FedProduct::Operand& o : {p->a, p->b})
        if (o.load >= 0) staged[load_of(o)] = true;
      all.products.push_back(*p);
    }
    int64_t bytes = shared_tiles();
    for (size_t l = 0; l < all.loads.size(); ++l)
      if (staged[l]) bytes += whole_kib(tile_bytes(type_of(all.loads[l].value)));
    if (bytes > limit_) return plan;
    find_dropped(all, plan.dropped);
    std::vector<int> moved(all.loads.size(), -1);
    for (size_t l = 0; l < all.loads.size(); ++l) {
      if (!staged[l]) continue;
      moved[l] = static_cast<int>(plan.loads.size());
      plan.loads.push_back(all.loads[l]);
    }
    plan.products = std::move(all.products);
    for (FedProduct& p : plan.products)
      for (FedProduct::Operand* o : {&p.a, &p.b})
        if (o->load >= 0) o->load = moved[static_cast<size_t>(o->load)];
    return plan;
  }

 private:
  struct Place {
    uint32_t pc;
    UsePlace place;
  };

  // One strand, whose only asynchrony would be ours and whose layouts are free.
  bool plain_kernel() const {
    if (k_.sync_manual || k_.warps % kGroup) return false;
    for (const Inst& inst : k_.code) {
      const OpInfo& op = op_info(inst.op);
      if (inst.op == Op::smem) continue;
      if (is_concurrent(inst.op) || op.rule == Rule::copy_async_ || op.arch != Arch::any ||
          k_.has(inst, AttrTag::layout))
        return false;
      if (inst.op == Op::copy_async_commit || inst.op == Op::copy_async_wait) return false;
    }
    return true;
  }
  // What may not stand in a strand is not there.
  bool can_have_strands() const {
    if (k_.cluster != 1 || k_.cooperative || k_.warps + kCopyingWarps > limits::max_warps)
      return false;
    uint32_t depth = 0;
    for (const Inst& inst : k_.code) {
      if (inst.op == Op::end) --depth;
      if (opens(inst.op)) ++depth;
      bool refused = inst.op == Op::return_ || inst.op == Op::grid_sync ||
                     inst.op == Op::inputs_wait || inst.op == Op::outputs_ready ||
                     (inst.op == Op::smem && depth);
      if (refused) return false;
    }
    return true;
  }

  const Type& type_of(uint32_t value) const { return k_.values[value].type; }
  bool within(uint32_t pc, uint32_t begin, uint32_t end) const { return pc > begin && pc < end; }
  bool top_level(const FedLoop& loop, uint32_t pc) const {
    for (uint32_t at = loop.begin + 1; at < loop.end; ++at)
      if (opens(k_.code[at].op)) {
        uint32_t end = info_.match[at];
        if (k_.code[end].op == Op::else_) end = info_.match[end];
        if (within(pc, at, end)) return false;
        at = end;
      }
    return true;
  }

  // --- loads

  bool immutable(uint32_t value) const {
    return value < k_.params.size() && k_.params[value].dir == Direction::in &&
           !k_.params[value].may_alias;
  }

  // Address and strides are known to be multiples of 16 bytes, and the last stride is 1.
  bool has_tensor_map(uint32_t param) const {
    const Param& p = k_.params[param];
    const Type& t = type_of(param);
    int64_t bytes = bits_of(t) / 8;
    if (!p.list.tokens.empty() || t.shape.rank > 5 || bytes == 0 || p.aligned % kTmaBytes ||
        p.aligned == 0)
      return false;
    if (!p.strides.empty()) {
      if (!p.strides.back().is_constant() || p.strides.back().constant() != 1) return false;
      for (size_t d = 0; d + 1 < p.strides.size(); ++d)
        if (host_divisor(k_, p.strides[d]) * bytes % kTmaBytes) return false;
      return true;
    }
    int64_t stride = bytes;
    for (size_t d = p.shape.size(); d-- > 1;) {
      stride = std::gcd(stride * std::gcd(host_divisor(k_, p.shape[d]), kTmaBytes), kTmaBytes);
      if (stride % kTmaBytes) return false;
    }
    return true;
  }

  bool can_be_fed(const FedLoop& loop, uint32_t pc) const {
    const Inst& inst = k_.code[pc];
    if (inst.op != Op::load || !top_level(loop, pc)) return false;
    auto args = k_.args(inst);
    if (!args[0].is_access() || (args.size() > 1 && !args[1].is_none()) ||
        k_.has(inst, AttrTag::pad))
      return false;
    const Access& access = k_.accesses[args[0].index()];
    uint32_t result = k_.results(inst)[0].index();
    const Type& type = type_of(result);
    if (!immutable(access.base) || !access.item.is_none() || !type.is_tile() ||
        defs_[result].size() != 1 || type.shape.rank + 1 > limits::max_rank ||
        !has_tensor_map(access.base))
      return false;
    auto indices = k_.indices_of(access);
    if (indices.empty() || indices.back().kind == IndexKind::point) return false;
    for (const Index& i : indices) {
      if (i.kind == IndexKind::span) return false;
      if (i.start.is_value() && !type_of(i.start.index()).is_scalar()) return false;
    }
    auto accessed = access_type(k_, access, false);
    return !accessed.error && accessed.type.shape == type.shape &&
           type.shape[type.shape.rank - 1] * bits_of(type) / 8 % kTmaBytes == 0;
  }

  // A tile that copies of another kind bring ahead of time, and that the computing strand would
  // wait for.
  bool could_run_ahead(uint32_t pc) const {
    const Inst& inst = k_.code[pc];
    if (inst.op != Op::load || !k_.args(inst)[0].is_access()) return false;
    return immutable(k_.accesses[k_.args(inst)[0].index()].base) &&
           type_of(k_.results(inst)[0].index()).is_tile();
  }
  // Any load of a matrix from global memory can pass through a shared tile.
  bool can_be_staged(uint32_t pc) const {
    const Inst& inst = k_.code[pc];
    if (inst.op != Op::load || !k_.args(inst)[0].is_access()) return false;
    uint32_t base = k_.accesses[k_.args(inst)[0].index()].base,
             result = k_.results(inst)[0].index();
    return type_of(base).space == Space::global && defs_[result].size() == 1 &&
           type_of(result).shape.rank == 2;
  }
  // The innermost block that it stands in.
  uint32_t around(uint32_t pc) const {
    for (uint32_t at = pc; at-- > 0;) {
      Op op = k_.code[at].op;
      if (op == Op::end) at = info_.match[at];
      else if (opens(op) || op == Op::else_) return at;
    }
    return ~0u;
  }

  // --- products

  bool is_transpose(const Inst& inst) const {
    if (inst.op != Op::transpose || type_of(k_.results(inst)[0].index()).shape.rank != 2)
      return false;
    auto perm = k_.attr(inst, AttrTag::perm);
    return !perm || (perm_at(*perm, 0) == 1 && perm_at(*perm, 1) == 0);
  }

  FedProduct::Operand find_operand(const FedLoop& loop, Ref r) const {
    FedProduct::Operand o;
    if (!r.is_value()) return o;
    uint32_t value = r.index();
    if (defs_[value].size() != 1) return o;
    const Inst& def = k_.code[defs_[value][0]];
    if (is_transpose(def) && k_.args(def)[0].is_value()) {
      value = k_.args(def)[0].index();
      o.transposed = true;
    }
    for (size_t l = 0; l < loop.loads.size(); ++l)
      if (loop.loads[l].value == value) o.load = static_cast<int>(l);
    return o;
  }

  // How wgmma finds a fed tile: rows of a swizzle's width, eight of them at least; k inside rows
  // unless elements have 16 bits.
  bool readable(const FedLoop& loop, const FedProduct::Operand& o, bool k_in_rows) const {
    const Type& t = type_of(loop.loads[static_cast<size_t>(o.load)].value);
    int64_t row = t.shape[1] * t.dtype.bits / 8;
    return (row == 32 || row == 64 || row % 128 == 0) && t.shape[0] % 8 == 0 &&
           (k_in_rows || t.dtype.bits == 16);
  }

  std::optional<FedProduct> plan_product(const FedLoop& loop, uint32_t pc) const {
    const Inst& inst = k_.code[pc];
    auto args = k_.args(inst);
    if (inst.n_attrs || !args[0].is_value() || !args[1].is_value()) return {};
    const Type &a = type_of(args[0].index()), &b = type_of(args[1].index()),
               &c = type_of(k_.results(inst)[0].index());
    if (a.space != Space::reg || b.space != Space::reg || c.shape.rank != 2 || a.shape.rank != 2 ||
        b.shape.rank != 2)
      return {};
    int64_t m = c.shape[0], n = c.shape[1], depth = a.shape[1];
    bool halves = a.dtype == b.dtype && (a.dtype == dt::f16_ || a.dtype == dt::bf16_);
    bool bytes = a.dtype.is_int() && b.dtype.is_int() && a.dtype.bits == 8 && b.dtype.bits == 8;
    if (!halves && !bytes) return {};
    if (bytes && n % 16) return {};
    if (m % 64 || n % 8 || n > 256 || depth % (256 / a.dtype.bits) ||
        !mma_types_legal(a.dtype, b.dtype, c.dtype))
      return {};
    // Every warpgroup gets whole rows or columns of the product.
    int64_t groups = k_.warps / kGroup, rows = std::gcd(groups, m / 64), columns = groups / rows;
    if (n % (8 * columns)) return {};
    FedProduct p;
    p.pc = pc;
    p.a = find_operand(loop, args[0]);
    p.b = find_operand(loop, args[1]);
    if (p.b.load < 0 || !readable(loop, p.b, p.b.transposed)) return {};
    if (p.a.load >= 0 && !readable(loop, p.a, !p.a.transposed)) p.a = {};
    return p;
  }

  std::optional<FedLoop> plan_loop(uint32_t pc) const {
    FedLoop loop;
    loop.begin = pc;
    loop.end = info_.match[pc];
    loop.stages = k_.attr(k_.code[pc], AttrTag::pipeline).value_or(0);
    if (loop.stages < 2) return {};
    for (uint32_t at = loop.begin + 1; at < loop.end; ++at) {
      Op op = k_.code[at].op;
      if ((op == Op::break_ || op == Op::continue_) && info_.match[at] == loop.begin) return {};
      if (can_be_fed(loop, at))
        loop.loads.push_back({at, k_.results(k_.code[at])[0].index(), false});
      else if (could_run_ahead(at)) return {};
    }
    if (loop.loads.empty()) return {};
    for (uint32_t at = loop.begin + 1; at < loop.end; ++at) {
      if (k_.code[at].op != Op::mma) continue;
      auto p = plan_product(loop, at);
      if (!p) return {};
      loop.products.push_back(*p);
    }
    for (uint32_t at = 0; at < pc; ++at)
      loop.nested |= k_.code[at].op == Op::for_ && info_.match[at] > pc;
    loop.deferred = !loop.products.empty();
    for (const FedProduct& p : loop.products) loop.deferred &= accumulates(loop, p);
    loop.stages += loop.deferred;  // a slot is freed one iteration later
    for (FedLoad& load : loop.loads) load.in_registers = read_in_registers(loop, load);
    return loop;
  }

  // %acc = mma .., .., %acc in every iteration, and nobody else in the loop looks at %acc.
  bool accumulates(const FedLoop& loop, const FedProduct& p) const {
    const Inst& inst = k_.code[p.pc];
    Ref acc = k_.results(inst)[0];
    if (!top_level(loop, p.pc) || !(k_.args(inst)[2] == acc)) return false;
    for (uint32_t pc : defs_[acc.index()])
      if (pc != p.pc && within(pc, loop.begin, loop.end)) return false;
    for (const Place& use : uses_[acc.index()])
      if (use.pc != p.pc && within(use.pc, loop.begin, loop.end)) return false;
    return true;
  }

  // Whether the loop's products read the value there from the ring.
  bool by_product(const FedLoop& loop, uint32_t value, const Place& use) const {
    for (const FedProduct& p : loop.products)
      if (p.pc == use.pc) {
        auto args = k_.args(k_.code[p.pc]);
        return (use.place.arg == 0 && p.a.load >= 0 && args[0] == Ref::value(value)) ||
               (use.place.arg == 1 && args[1] == Ref::value(value));
      }
    return false;
  }
  bool only_for_products(const FedLoop& loop, uint32_t value) const {
    return std::all_of(uses_[value].begin(), uses_[value].end(),
                       [&](const Place& use) { return by_product(loop, value, use); });
  }
  bool vanishes(const FedLoop& loop, uint32_t pc) const {
    const Inst& inst = k_.code[pc];
    if (!is_transpose(inst) || !k_.args(inst)[0].is_value()) return false;
    uint32_t from = k_.args(inst)[0].index(), to = k_.results(inst)[0].index();
    bool fed = std::any_of(loop.loads.begin(), loop.loads.end(),
                           [&](const FedLoad& l) { return l.value == from; });
    return fed && defs_[to].size() == 1 && only_for_products(loop, to);
  }
  bool read_in_registers(const FedLoop& loop, const FedLoad& load) const {
    return !std::all_of(uses_[load.value].begin(), uses_[load.value].end(), [&](const Place& use) {
      return by_product(loop, load.value, use) || vanishes(loop, use.pc);
    });
  }
  void find_dropped(const FedLoop& loop, std::set<uint32_t>& dropped) const {
    for (uint32_t pc = loop.begin; pc < loop.end; ++pc)
      if (vanishes(loop, pc)) dropped.insert(pc);
  }

  // --- what the copying strand computes

  // Adds the instructions that the places of the loop's loads follow from, and the control around
  // them; false if one is more than arithmetic.
  bool slice(const FedLoop& loop, HopperPlan& plan) const {
    std::vector<uint32_t> worklist;
    auto need = [&](uint32_t pc) {
      if (plan.copying.insert(pc).second) worklist.push_back(pc);
    };
    need(loop.begin);
    for (const FedLoad& load : loop.loads) {
      std::vector<Use> uses;
      uses_of(k_, k_.code[load.pc], uses);
      for (const Use& u : uses)
        for (uint32_t pc : defs_[u.value]) need(pc);
    }
    while (!worklist.empty()) {
      uint32_t pc = worklist.back();
      worklist.pop_back();
      const Inst& inst = k_.code[pc];
      bool control = opens(inst.op) || inst.op == Op::else_;
      if (inst.op == Op::while_ || (!control && !is_scalar_step(inst))) return false;
      if (inst.op == Op::for_ && leaves_early(pc)) return false;
      if (control) {
        for (uint32_t at = info_.match[pc];; at = info_.match[at]) {
          plan.copying.insert(at);
          if (k_.code[at].op == Op::end) break;
        }
      }
      std::vector<Use> uses;
      uses_of(k_, inst, uses);
      for (const Use& u : uses)
        for (uint32_t def : defs_[u.value]) need(def);
      for (uint32_t at = 0; at < pc; ++at)
        if (opens(k_.code[at].op)) {
          uint32_t end = info_.match[at];
          if (k_.code[end].op == Op::else_) end = info_.match[end];
          if (within(pc, at, end)) need(at);
        }
    }
    return true;
  }
  bool is_scalar_step(const Inst& inst) const {
    const OpInfo& op = op_info(inst.op);
    for (Ref r : k_.results(inst))
      if (!type_of(r.index()).is_scalar()) return false;
    for (Ref r : k_.args(inst))
      if (r.is_value() && !type_of(r.index()).is_scalar()) return false;
    if (inst.op == Op::load) {
      auto args = k_.args(inst);
      return args[0].is_access() && k_.accesses[args[0].index()].item.is_none() &&
             immutable(k_.accesses[args[0].index()].base);
    }
    for (Ref r : k_.args(inst))
      if (r.is_access()) return false;
    return op.effect == Effect::pure && (op.trap == TrapKind::none || op.trap == TrapKind::div);
  }
  bool leaves_early(uint32_t loop) const {
    for (uint32_t at = loop + 1; at < info_.match[loop]; ++at) {
      Op op = k_.code[at].op;
      if ((op == Op::break_ || op == Op::continue_) && info_.match[at] == loop) return true;
    }
    return false;
  }

  // --- shared memory and registers

  // The largest tile that is stored to global memory may pass through shared memory on its way.
  int64_t scratch() const {
    int64_t most = 0;
    for (const Inst& inst : k_.code) {
      if (inst.op != Op::store || !k_.args(inst)[0].is_value()) continue;
      most = std::max(most, tile_bytes(type_of(k_.args(inst)[0].index())));
    }
    return most;
  }
  int64_t shared_tiles() const {
    int64_t bytes = 0;
    for (const Inst& inst : k_.code)
      if (inst.op == Op::smem) bytes += whole_kib(tile_bytes(type_of(k_.results(inst)[0].index())));
    return bytes;
  }
  int64_t rings(const HopperPlan& plan) const {
    int64_t bytes = 0;
    for (const FedLoop& loop : plan.loops)
      for (const FedLoad& load : loop.loads)
        bytes += whole_kib(tile_bytes(type_of(load.value)) * loop.stages);
    return bytes;
  }
  // Fewer stages until everything fits.
  bool fit(HopperPlan& plan) const {
    int64_t used = 1024 + scratch() + shared_tiles();
    while (used + rings(plan) > limit_) {
      auto longest =
          std::max_element(plan.loops.begin(), plan.loops.end(),
                           [](const FedLoop& a, const FedLoop& b) { return a.stages < b.stages; });
      if (longest->stages <= 2) return false;
      --longest->stages;
    }
    if (k_.warps + kCopyingWarps <= 8 && 2 * (used + rings(plan)) <= limit_) plan.blocks_per_sm = 2;
    return true;
  }
  bool budget(HopperPlan& plan) const {
    int64_t blocks = k_.blocks_per_sm ? k_.blocks_per_sm : plan.blocks_per_sm;
    int64_t warps = k_.warps + kCopyingWarps;
    int64_t each = std::min<int64_t>(kRegisterFile / (warps * 32 * blocks) / 8 * 8, 248);
    int64_t mine = (each * warps - kCopyingRegisters * kCopyingWarps) / k_.warps / 8 * 8;
    plan.registers = std::min(mine, kMostRegisters);
    int64_t accumulators = 0;
    for (const FedLoop& loop : plan.loops) {
      int64_t here = 0;
      for (const FedProduct& p : loop.products) {
        const Type& t = type_of(k_.results(k_.code[p.pc])[0].index());
        here += tile_bytes(t) / (int64_t{k_.warps} * 128);
      }
      accumulators = std::max(accumulators, here);
    }
    return accumulators + kOtherRegisters <= plan.registers;
  }

  const Kernel& k_;
  const KernelInfo& info_;
  int64_t limit_;
  std::vector<std::vector<uint32_t>> defs_;  // by value: pcs
  std::vector<std::vector<Place>> uses_;     // by value
};

}  // namespace

std::optional<HopperPlan> plan_hopper(const Kernel& k, const KernelInfo& info,
                                      int64_t shared_limit) {
  return Planner(k, info, shared_limit).run();
}

StagedPlan plan_staged(const Kernel& k, const KernelInfo& info, int64_t shared_limit) {
  return Planner(k, info, shared_limit).run_staged();
}

}  // namespace tess::jit::tile
