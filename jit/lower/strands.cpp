// parallel, warps: strands side by side, each with its own barrier, registers and scratch memory;
// named barriers.
#include <algorithm>
#include <bit>
#include <set>

#include "isa/regions.h"
#include "jit/lower/lowering.h"

namespace tess::jit {
namespace {

constexpr uint32_t kHardwareBarriers = 16, kRegisters = 65536, kMostRegisters = 255;
// Stand for the place of a strand's scratch memory until all of it is known. The stride is odd, so
// that no product with it is folded away.
constexpr uint32_t kPlaceMark = 0xff000000, kStrideMark = 0xfe000001;

bool is_async(Op op) {
  switch (op_info(op).rule) {
    case Rule::tma_:
    case Rule::copy_bulk_:
    case Rule::wgmma_:
      return true;
    default:
      return false;
  }
}

}  // namespace

// --- threads

Operand Lowering::thread() {
  if (strand_.one_thread) return b32(0);
  Operand t = e_.op(BlockOp::tid, {});
  if (strand_.whole_block) return t;
  uint32_t size = strand_.warps * 32;
  if (strand_.strands > 1 && std::has_single_bit(size) && strand_.first_warp * 32 % size == 0)
    return e_.and_(t, b32(size - 1));
  t = e_.sub(t, b32(uint64_t{strand_.first_warp} * 32));
  return strand_.strands == 1 ? t : e_.op(BlockOp::urem, {t, b32(size)});
}
Operand Lowering::lane() {
  if (strand_.one_thread) return b32(0);
  return e_.and_(e_.op(BlockOp::tid, {}), b32(31));
}
Operand Lowering::warp() {
  if (strand_.warps == 1 || strand_.one_thread) return b32(0);
  return e_.lshr(thread(), 5);
}

void Lowering::barrier() {
  if (strand_.one_thread) return;
  if (strand_.warps == 1) {
    e_.form("bar.warp.sync", {b32(0xffffffff)});
    return;
  }
  e_.form("barrier.sync.aligned", {strand_.barrier, b32(uint64_t{strand_.warps} * 32)});
}

Operand Lowering::scratch(uint32_t bytes) {
  if (strand_.section == StrandContext::kNoScratch) {
    scratch_bytes_ = std::max(scratch_bytes_, bytes);
    return e_.shared_address(scratch_at_);
  }
  uint32_t s = strand_.section;
  section_scratch_[s] = std::max(section_scratch_[s], bytes);
  Operand at = e_.shared_address(kPlaceMark + s);
  if (strand_.strands > 1) at = e_.add(at, e_.mul(strand_.number, b32(kStrideMark + 2 * s)));
  return at;
}

// Behind the shared tiles: what the block's own instructions need, then that of each strand.
void Lowering::place_scratch() {
  uint32_t at = scratch_at_ + (scratch_bytes_ + 127) / 128 * 128;
  BlockKernel& b = out_.block;
  std::vector<uint32_t> place(section_scratch_.size()), stride(section_scratch_.size());
  for (size_t s = 0; s < section_scratch_.size(); ++s) {
    place[s] = at;
    stride[s] = (section_scratch_[s] + 127) / 128 * 128;
    at += stride[s] * section_strands_[s];
  }
  for (const BlockInst& i : b.code) {
    Operand* args = b.operands.data() + i.first + i.n_results;
    if (i.op == BlockOp::shared_address && args[0].bits >= kPlaceMark)
      args[0].bits = place[args[0].bits - kPlaceMark];
    if (i.op == BlockOp::mul && args[1].is_imm() && args[1].type == RegClass::b32)
      for (size_t s = 0; s < stride.size(); ++s)
        if (args[1].bits == kStrideMark + 2 * s) args[1].bits = stride[s];
  }
  b.shared_bytes = section_scratch_.empty() ? scratch_at_ + scratch_bytes_ : at;
}

// --- what asynchronous operations touch

void Lowering::find_async_memory() {
  Regions regions(k_);
  std::set<uint32_t> touched;
  for (const Inst& i : k_.code)
    if (is_async(i.op))
      for (Ref r : k_.args(i))
        if (r.is_access() || r.is_value())
          if (auto region = regions.of(r)) touched.insert(regions.root(region->base));
  publishes_.assign(k_.code.size() + 1, 0);
  if (touched.empty()) return;
  for (size_t pc = 0; pc < k_.code.size(); ++pc) {
    const Inst& i = k_.code[pc];
    const OpInfo& op = op_info(i.op);
    if (is_async(i.op)) continue;
    for (size_t a = 0; a < i.n_args; ++a) {
      Ref r = k_.args(i)[a];
      bool writes =
          operand_writes(op, a).value_or(false) || (op.effect == tess::Effect::atomic && a == 0);
      if (!writes || !(r.is_access() || r.is_value())) continue;
      auto region = regions.of(r);
      if (!region || !touched.contains(regions.root(region->base))) continue;
      uint32_t section = info_.section[pc];
      publishes_[section == kNoSection ? k_.code.size() : section] = 1;
    }
  }
}

void Lowering::publish() {
  if (!has_arch(90)) return;
  uint32_t section = pc_ < info_.section.size() ? info_.section[pc_] : kNoSection;
  if (publishes_[section == kNoSection ? k_.code.size() : section])
    e_.form("fence.proxy.async", {});
}

const Flights& Lowering::flights() {
  if (!flights_) flights_ = find_flights(k_, info_);
  return *flights_;
}
Words Lowering::accumulator_variables(uint32_t value) {
  Binding& b = bindings_[value];
  if (!is_variable_[value]) b = {};
  return variable_of(value).words;
}
const std::vector<Operand>* Lowering::accumulators_of(uint32_t pc) const {
  auto it = accumulators_.find(pc);
  return it == accumulators_.end() ? nullptr : &it->second;
}

// --- sections

namespace {

// What every thread begins with: what the sections ask for, shared out evenly, so that each of them
// moves away from it; no more than the block's share of the register file.
uint32_t register_limit(const Kernel& k, const KernelInfo& info, uint32_t parallel) {
  int64_t largest = 0, sum = 0, warps = 0;
  for (uint32_t at = parallel + 1; k.code[at].op == Op::warps; at = info.match[at] + 1) {
    auto args = k.args(k.code[at]);
    int64_t n = constant_of(k, args[1]).value_or(0) - constant_of(k, args[0]).value_or(0);
    int64_t regs = k.attr(k.code[at], AttrTag::regs).value_or(0);
    largest = std::max(largest, regs);
    sum += regs * n;
    warps += regs ? n : 0;
  }
  if (!largest) return 0;
  int64_t share = kRegisters / (int64_t{k.warps} * 32 * std::max(1u, k.blocks_per_sm)) / 8 * 8,
          even = warps == k.warps ? (sum + 8 * warps - 1) / (8 * warps) * 8 : largest;
  return static_cast<uint32_t>(std::min<int64_t>({share, kMostRegisters / 8 * 8, even}));
}

}  // namespace

// A strand that only issues copies and waits has nothing for other threads to do.
bool Lowering::runs_in_one_thread(uint32_t begin, uint32_t end) const {
  bool copies = false;
  for (uint32_t pc = begin; pc < end; ++pc) {
    const Inst& i = k_.code[pc];
    const OpInfo& op = op_info(i.op);
    for (Ref r : k_.results(i)) {
      const Type& t = k_.values[r.index()].type;
      if (t.space == Space::reg && t.shape.rank > 0) return false;
    }
    for (Ref r : k_.args(i))
      if (r.is_value()) {
        const Type& t = k_.values[r.index()].type;
        if (t.space == Space::reg && t.shape.rank > 0) return false;
      }
    switch (op.rule) {
      case Rule::tma_:
      case Rule::copy_bulk_:
        copies = true;
        continue;
      case Rule::barrier_:
        if (i.op == Op::copy_async_arrive) return false;
        continue;
      default:
        break;
    }
    if (i.op == Op::tma_commit || i.op == Op::tma_wait || i.op == Op::barrier) continue;
    if (op.form == tess::Form::control || op.effect == tess::Effect::control) continue;
    if (op.rule == Rule::load_) continue;
    if (op.effect == tess::Effect::pure && op.rule != Rule::wgmma_) continue;
    return false;
  }
  return copies;
}

void Lowering::begin_parallel() {
  barrier();
  forget_scalars();
  entry_registers_ = has_arch(901) ? register_limit(k_, info_, pc_) : 0;
  // Named barriers that the program uses itself are its own.
  std::set<uint32_t> taken{0};
  for (uint32_t pc = pc_; pc < info_.match[pc_]; ++pc)
    if (op_info(k_.code[pc].op).rule == Rule::named_barrier_) {
      auto id = constant_of(k_, k_.args(k_.code[pc])[0]);
      for (uint32_t i = 1; i < kHardwareBarriers; ++i)
        if (!id || *id == i) taken.insert(i);
    }
  next_strand_ = 1;
  free_barriers_.clear();
  for (uint32_t i = 1; i < kHardwareBarriers; ++i)
    if (!taken.contains(i)) free_barriers_.push_back(i);
}

void Lowering::begin_section() {
  const Inst& i = inst();
  uint32_t begin = static_cast<uint32_t>(constant_of(k_, k_.args(i)[0]).value_or(0)),
           end = static_cast<uint32_t>(constant_of(k_, k_.args(i)[1]).value_or(0));
  uint32_t by = static_cast<uint32_t>(attr(AttrTag::by).value_or(end - begin));
  StrandContext s;
  s.first_warp = begin;
  s.warps = by;
  s.strands = (end - begin) / std::max(1u, by);
  s.first_number = next_strand_;
  next_strand_ += s.strands;
  s.whole_block = begin == 0 && by == k_.warps;
  s.section = static_cast<uint32_t>(section_scratch_.size());
  section_scratch_.push_back(0);
  section_strands_.push_back(s.strands);
  // The same in all lanes, and known to be.
  Operand warp = e_.form1("shfl.sync.idx.b32",
                          {e_.lshr(e_.op(BlockOp::tid, {}), 5), b32(0), b32(31), b32(0xffffffff)});
  Operand mine = pred(true);
  if (begin > 0) mine = e_.op(BlockOp::ule, {b32(begin), warp});
  if (end < k_.warps) mine = e_.and_(mine, e_.ult(warp, b32(end)));
  s.number = b32(0);
  if (s.strands > 1) s.number = e_.op(BlockOp::udiv, {e_.sub(warp, b32(begin)), b32(by)});
  bool one = runs_in_one_thread(pc_ + 1, info_.match[pc_]);
  s.barrier = b32(0);
  if (!one && by > 1) {
    // As many neighbours as there are strands.
    size_t at = 0;
    auto run = [&](size_t from) {
      for (uint32_t n = 0; n < s.strands; ++n)
        if (from + n >= free_barriers_.size() ||
            free_barriers_[from + n] != free_barriers_[from] + n)
          return false;
      return true;
    };
    while (at < free_barriers_.size() && !run(at)) ++at;
    if (at == free_barriers_.size())
      return unsupported("more strands than the hardware's 16 barriers serve",
                         "fewer strands, or constant numbers for named barriers");
    s.barrier = e_.add(s.number, b32(free_barriers_[at]));
    free_barriers_.erase(free_barriers_.begin() + static_cast<std::ptrdiff_t>(at),
                         free_barriers_.begin() + static_cast<std::ptrdiff_t>(at + s.strands));
  }
  strand_ = s;
  forget_scalars();
  e_.begin_if(mine);
  if (auto regs = attr(AttrTag::regs); regs && entry_registers_) {
    uint32_t n = static_cast<uint32_t>(*regs);
    out_.block.max_registers = entry_registers_;
    if (n != entry_registers_)
      e_.form(n < entry_registers_ ? "setmaxnreg.dec.sync.aligned.u32"
                                   : "setmaxnreg.inc.sync.aligned.u32",
              {b32(n)});
  }
  if (one) {
    e_.begin_if(e_.eq(thread(), b32(0)));
    strand_.one_thread = true;
  }
  if (n_results()) bind(result_value(), {s.number});
}

void Lowering::end_section() {
  const Inst& opener = k_.code[info_.match[pc_]];
  if (strand_.one_thread) {
    e_.end();
    strand_.one_thread = false;
    e_.form("bar.warp.sync", {b32(0xffffffff)});
  }
  // What follows the join may use as many registers as the kernel began with.
  bool last = pc_ + 3 >= k_.code.size();
  uint32_t at = pc_ + 1;
  while (k_.code[at].op == Op::warps) at = info_.match[at] + 1;
  last = at + 1 >= k_.code.size() || k_.code[at + 1].op == Op::return_;
  if (auto regs = k_.attr(opener, AttrTag::regs); regs && entry_registers_ && !last) {
    uint32_t n = static_cast<uint32_t>(*regs);
    if (n != entry_registers_)
      e_.form(n < entry_registers_ ? "setmaxnreg.inc.sync.aligned.u32"
                                   : "setmaxnreg.dec.sync.aligned.u32",
              {b32(entry_registers_)});
  }
  e_.end();
  strand_ = block_;
  forget_scalars();
}

void Lowering::end_parallel() {
  strand_ = block_;
  forget_scalars();
  barrier();
}

// --- hidden parameters

uint32_t Lowering::hidden_param(ParamKind kind, uint32_t source, const char* name) {
  for (uint32_t i = 0; i < out_.block.params.size(); ++i)
    if (out_.block.params[i].kind == kind && out_.block.params[i].source == source) return i;
  BlockParam p;
  p.kind = kind;
  p.type = RegClass::b64;
  p.source = source;
  p.name = name;
  out_.block.params.push_back(p);
  return static_cast<uint32_t>(out_.block.params.size() - 1);
}

uint32_t Lowering::tensor_map(TensorMapNeed need) {
  size_t at = 0;
  while (at < out_.maps.size() && !(out_.maps[at] == need)) ++at;
  if (at == out_.maps.size()) out_.maps.push_back(std::move(need));
  return hidden_param(ParamKind::tensor_map, static_cast<uint32_t>(at), "map");
}

LOWER(parallel) { l.begin_parallel(); }
LOWER(warps) { l.begin_section(); }

namespace {

void named_barrier(Lowering& l, const char* opcode) {
  Operand id = l.scalar(0), warps = l.scalar(1);
  l.publish();
  l.emit().form(opcode, {id, l.emit().mul(warps, b32(32))});
}

}  // namespace

LOWER(barrier_named) { named_barrier(l, "barrier.sync.aligned"); }
LOWER(barrier_named_arrive) { named_barrier(l, "barrier.arrive.aligned"); }

}  // namespace tess::jit
