// Threads of a strand, blocks of a cluster and of a grid, and kernels waiting for each other.
#include "jit/lower/guard.h"

namespace tess::jit {
namespace {

Operand grid_counter(Lowering& l) {
  BlockKernel& b = l.emit().kernel();
  size_t number = 0;
  while (number < b.params.size() && b.params[number].kind != ParamKind::grid_state) ++number;
  if (number == b.params.size()) {
    BlockParam p;
    p.kind = ParamKind::grid_state;
    p.type = RegClass::b64;
    p.name = "grid_state";
    b.params.push_back(p);
  }
  return l.emit().op(BlockOp::param, {b32(number)}, RegClass::b64);
}

}  // namespace

// What asynchronous operations read next was written by ordinary ones.
LOWER(barrier) {
  l.publish();
  l.barrier();
}

LOWER(fence_proxy) { l.emit().form("fence.proxy.async", {}); }

LOWER(inputs_wait) {
  if (l.has_arch(90)) l.emit().form("griddepcontrol.wait", {});
}
LOWER(outputs_ready) {
  if (l.has_arch(90)) l.emit().form("griddepcontrol.launch_dependents", {});
}

LOWER(cluster_sync) {
  if (l.kernel().cluster <= 1) return l.barrier();
  l.publish();
  l.emit().form("barrier.cluster.arrive.release.aligned", {});
  l.emit().form("barrier.cluster.wait.acquire.aligned", {});
}

// One word counts arrivals over all rounds. A block's ticket says which round it is in, and the
// round ends when as many blocks have come as there are.
LOWER(grid_sync) {
  Emit& e = l.emit();
  if (!l.kernel().cooperative) {  // a trap: nobody knows that all blocks are there to meet
    fault_if(l, pred(true), diag::run_grid_sync);
    return l.barrier();
  }
  Operand counter = grid_counter(l);
  Operand blocks = e.mul(e.mul(e.op(BlockOp::nctaid_x, {}), e.op(BlockOp::nctaid_y, {})),
                         e.op(BlockOp::nctaid_z, {}));
  l.barrier();
  e.begin_if(e.eq(l.thread(), b32(0)));
  Operand ticket = e.form1("atom.acq_rel.gpu.global.add.u32", {counter, b32(0), b32(1)});
  Operand round = e.op(BlockOp::udiv, {ticket, blocks});
  Operand target = e.mul(e.add(round, b32(1)), blocks);
  Patience patience(l);
  e.begin_loop();
  Operand seen = e.form1("ld.acquire.gpu.global.b32", {counter, b32(0)});
  e.control(BlockOp::break_if, {e.sle(b32(0), e.sub(seen, target))});
  patience.give_up_if_spent();
  e.form("nanosleep.u32", {b32(64)});
  e.begin_latch();
  e.end();
  e.end();
  l.barrier();
}

// The same tile or barriers in another block: an address of the cluster's shared memory.
LOWER(cluster_map) {
  Emit& e = l.emit();
  MemoryView v = l.part_of_arg(0).view;
  Operand rank = l.scalar(1);
  if (l.options().guard) {
    Operand there = e.ult(rank, b32(static_cast<uint64_t>(l.kernel().cluster)));
    fault_if(l, e.not_(there), diag::run_cluster_rank);
    rank = e.sel(there, rank, b32(0));
  }
  v.base = e.form1("mapa.shared::cluster.u32", {v.base, rank});
  v.remote = true;
  l.set_view(0, std::move(v));
}

}  // namespace tess::jit
