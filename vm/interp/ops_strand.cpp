// Kernels of strands and of the barriers between them, in a block and in a cluster.
#include <fmt/format.h>

#include "isa/diag/run.h"
#include "vm/interp/memory_ops.h"
#include "vm/interp/unit.h"

namespace tess::interp {
namespace {

struct Parallel {
  std::vector<Section> sections;
  uint32_t after = 0;  // instruction
};
Flow run_parallel_strands(Strand& s, const Parallel& x) {
  if (!s.forked) {
    s.forked = true;
    start_strands(s, x.sections);
  }
  if (s.home->children_running) return Flow::suspend;
  s.forked = false;
  join_strands(s);
  s.pc = s.launch->program->first_step[x.after];
  return Flow::next;
}

struct Nothing {};
Flow run_nothing(Strand&, const Nothing&) { return Flow::next; }

// Comes to a meeting of `wanted`, with `with`; true when the strand's meeting is over.
bool meet(Strand& s, Meeting& m, uint32_t with, uint32_t wanted, bool waits) {
  if (!s.arrived) {
    m.wanted = wanted;
    m.come += with;
    release(s, m.sum);
    s.generation = m.generation;
    s.arrived = waits;
    if (m.come >= wanted) {
      m.done = m.sum;
      m.come = 0;
      ++m.generation;
    }
    if (!waits) return true;
  }
  if (m.generation == s.generation) return false;
  s.arrived = false;
  acquire(s, m.done);
  return true;
}

struct Named {
  Operand id, warps;
  bool waits = true;
};
Flow run_named(Strand& s, const Named& x) {
  int64_t id = read_int(s, x.id), warps = read_int(s, x.warps);
  std::array<Meeting, 16>& named = s.home->named;
  if (id < 0 || id >= static_cast<int64_t>(named.size()))
    return trap(
        s, diag::run_named_barrier,
        fmt::format("there is no barrier {}; they are numbered 0 to {}", id, named.size() - 1));
  Meeting& m = named[static_cast<size_t>(id)];
  if (!s.arrived && m.come && m.wanted != warps)
    return trap(
        s, diag::run_named_barrier,
        fmt::format("barrier {} for {} warps, where others wait for {}", id, warps, m.wanted));
  if (!s.arrived && m.come + s.warps > warps)
    return trap(
        s, diag::run_named_barrier,
        fmt::format("{} warps come to barrier {}, where {} of {} are", s.warps, id, m.come, warps));
  if (meet(s, m, s.warps, static_cast<uint32_t>(warps), x.waits)) return Flow::next;
  s.waits_for = fmt::format("`barrier.named {}`, where {} of {} warps are", id, m.come, m.wanted);
  return Flow::suspend;
}

Flow run_cluster_sync(Strand& s, const Nothing&) {
  Unit& u = *s.home->unit;
  uint32_t blocks = static_cast<uint32_t>(u.blocks.size());
  if (blocks == 1 || meet(s, u.cluster, 1, blocks, true)) return Flow::next;
  s.waits_for =
      fmt::format("`cluster.sync`, where {} of {} blocks are", u.cluster.come, u.cluster.wanted);
  return Flow::suspend;
}

struct Map {
  uint32_t from, value;
  Operand rank;
  bool mbar;
};
Flow run_map(Strand& s, const Map& x) {
  Unit& u = *s.home->unit;
  int64_t rank = read_int(s, x.rank);
  if (rank < 0 || rank >= static_cast<int64_t>(u.blocks.size()))
    return trap(s, diag::run_cluster_rank,
                fmt::format("block {} of a cluster of {}", rank, u.blocks.size()));
  Block& peer = *u.blocks[static_cast<size_t>(rank)];
  if (x.mbar) {
    s.mbars[x.value] = peer.mbars[s.mbars[x.from]->value].get();
    return Flow::next;
  }
  View v = s.views[x.from];
  v.base = peer.shared.get() + (v.base - s.shared);
  v.written = &peer.written[static_cast<size_t>(v.written - s.shared_written)];
  s.views[x.value] = v;
  return Flow::next;
}

Flow run_fence_proxy(Strand& s, const Nothing&) {
  if (s.tracked) proxy_fence(s);
  return Flow::next;
}

}  // namespace

KERNEL(parallel) {
  const Kernel& k = b.kernel();
  Parallel x;
  uint32_t pc = b.pc() + 1;
  for (; k.code[pc].op == Op::warps; pc = b.match_of(pc) + 1) {
    const Inst& inst = k.code[pc];
    SectionShape shape = section_of(k, pc);
    Section section{pc + 1, shape.warps, shape.strands, {}};
    if (inst.n_results) section.number = b.operand(k.results(inst)[0]);
    x.sections.push_back(section);
  }
  x.after = b.match() + 1;
  b.emit<run_parallel_strands>(std::move(x));
}
KERNEL(warps) { b.emit<run_nothing>(Nothing{}); }
KERNEL(barrier_named) { b.emit<run_named>(Named{b.arg(0), b.arg(1), true}); }
KERNEL(barrier_named_arrive) { b.emit<run_named>(Named{b.arg(0), b.arg(1), false}); }
KERNEL(cluster_sync) { b.emit<run_cluster_sync>(Nothing{}); }
KERNEL(cluster_map) {
  Ref r = b.arg_ref(0);
  uint32_t from = r.is_access() ? b.kernel().accesses[r.index()].base : r.index();
  bool mbar = b.kernel().values[from].type.space == Space::mbar;
  b.emit<run_map>(Map{from, b.result_value(), b.arg(1), mbar});
}
KERNEL(fence_proxy) { b.emit<run_fence_proxy>(Nothing{}); }

}  // namespace tess::interp
