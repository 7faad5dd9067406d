// Bulk copies (cp.async.bulk), their reducing forms, and st.async / red.async. Tensor copies:
// tensor.cpp.
#include "jit/ptxsim/bulk.h"

#include <fmt/format.h>

#include "isa/diag/sim.h"
#include "jit/ptxsim/lanes.h"

namespace tess::ptxsim {

bool begin_copy_on_mbarrier(Warp& w, const Op& op, int lane, uint32_t address) {
  Mbarrier* bar = find_mbarrier(*w.cluster, address);
  if (!bar) {
    report_fault(w, op, lane, diag::kSimMbarrier,
                 fmt::format("there is no initialised mbarrier at {}",
                             describe_address(w, Space::shared, address)));
    return false;
  }
  if (w.cluster->race && !bar->init_async_visible &&
      !race_mbarrier_init_ordered(w, lane, *bar, true)) {
    Finding f = make_finding(w, w.op_index(op), lane, diag::kSimProxyRace,
                             "the mbarrier's initialisation is not visible to the async proxy "
                             "(fence.mbarrier_init or fence.proxy.async is missing)");
    f.others.push_back({place_of(*w.program, bar->init_site), w.block->id, {}, "initialised here"});
    report_finding(*w.launch, std::move(f), false, uint64_t(w.op_index(op)) | 10ull << 40);
  }
  bar->copied_phase = std::max(bar->copied_phase, bar->phase + 1);
  bar->copy_site = w.op_index(op);
  return true;
}

bool start_mbarrier_copy(Warp& w, const Op& op, int lane, const CopySlot& slot, uint32_t mbarrier,
                         uint64_t bytes, std::function<bool()> move) {
  auto a = std::make_unique<AsyncOp>();
  a->warp = &w, a->lane = lane, a->op = &op;
  a->ends = AsyncOp::Ends::mbarrier;
  a->mbarrier = mbarrier;
  a->run = [&w, &op, lane, slot, mbarrier, bytes, move = std::move(move)] {
    if (!move()) return false;
    Mbarrier* bar = find_mbarrier(*w.cluster, mbarrier);
    if (bar && w.cluster->race) race_copy_complete(*w.cluster, slot, *bar);
    progress(w);
    return mbarrier_complete_tx(*w.cluster, w, op, lane, mbarrier, int64_t(bytes));
  };
  if (w.launch->options.stats) w.cluster->stats.async_bytes += bytes;
  return async_start(w, std::move(a));
}

bool start_group_copy(Warp& w, const Op& op, int lane, uint64_t bytes, std::function<bool()> move) {
  w.bulk_last[lane] = w.bulk_group[lane] + 1;
  w.bulk_site[lane] = w.op_index(op);
  auto a = std::make_unique<AsyncOp>();
  a->warp = &w, a->lane = lane, a->op = &op;
  a->ends = AsyncOp::Ends::bulk_group;
  a->group = w.bulk_group[lane];
  a->run = [&w, move = std::move(move)] {
    progress(w);
    return move();
  };
  if (w.launch->options.stats) w.cluster->stats.async_bytes += bytes;
  return async_start(w, std::move(a));
}

namespace {

bool copy_ranges(const Located& to, const Located& from, uint32_t bytes) {
  std::memcpy(to.bytes, from.bytes, bytes);
  if (to.valid) {
    if (from.valid) std::memcpy(to.valid, from.valid, bytes);
    else std::memset(to.valid, 1, bytes);
  }
  return true;
}

// k[6] kind: 0 global to shared, 1 shared to cluster, 2 shared to global; k[7] multicast;
// k[8] 1 + Reduce, k[9] ReduceType; a[0] to, a[1] from, a[2] size, a[3] mbarrier, a[4] multicast
// mask or byte mask (nargs)
Flow bulk(Warp& w, const Op& op, uint32_t mask) {
  for (uint32_t m = mask; m; m &= m - 1) {
    int l = std::countr_zero(m);
    uint32_t size = w.row32(op.a[2])[l];
    uint64_t to = operand_address(w, op, 0, l), from = operand_address(w, op, 1, l);
    if (size % 16 || size == 0 || size > (1u << 20))
      return report_fault(w, op, l, diag::kSimMisaligned,
                          fmt::format("the size {} must be a positive multiple of 16", size));
    Located src;
    if (!locate(w, op, l, op.k[6] == 0 ? Space::global : Space::shared, from, size, 16,
                Intent::read, src))
      return Flow::stop;
    if (op.k[6] == 2 && w.check_init && !all_valid(src, size))
      report_uninit_memory(w, op, l, Space::shared, from);
    bool races = w.cluster->race != nullptr;
    if (op.k[6] == 2) {
      Located dst;
      if (!locate(w, op, l, Space::global, to, size, 16, Intent::write, dst)) return Flow::stop;
      if (races && src.shadow)
        race_async_access(w, op, l, src, size, false, Agent::bulk_read, true);
      if (races && dst.shadow)
        race_async_access(w, op, l, dst, size, true, Agent::bulk_write, true, op.k[8] != 0);
      uint32_t byte_mask = op.a[4] == kNoRow ? 0xffff : w.row32(op.a[4])[l];
      std::function<bool()> move = [&w, &op, src, dst, size, byte_mask] {
        if (op.k[8]) {
          reduce_range(Reduce(op.k[8] - 1), ReduceType(op.k[9]), dst, src, size);
        } else if (byte_mask == 0xffff) {
          copy_ranges(dst, src, size);
        } else {
          for (uint32_t i = 0; i < size; ++i)
            if (byte_mask >> (i % 16) & 1) {
              dst.bytes[i] = src.bytes[i];
              if (dst.valid) dst.valid[i] = 1;
            }
        }
        return true;
      };
      if (!start_group_copy(w, op, l, size, std::move(move))) return Flow::stop;
      continue;
    }
    uint64_t bar = operand_address(w, op, 3, l);
    uint32_t targets = op.k[7] ? w.row32(op.a[4])[l] & 0xffff : 0;
    if (op.k[7] && targets >> w.cluster->blocks.size())
      return report_fault(
          w, op, l, diag::kSimOutOfBounds,
          fmt::format("the multicast mask {:#x} names blocks beyond the cluster's {}", targets,
                      w.cluster->blocks.size()));
    uint32_t n = op.k[7] ? uint32_t(w.cluster->blocks.size()) : 1;
    for (uint32_t r = 0; r < n; ++r) {
      if (op.k[7] && !(targets >> r & 1)) continue;
      uint64_t here = to, bar_here = bar;
      if (op.k[7]) {
        uint32_t low = (1u << kRankShift) - 1;
        here = (uint64_t(r) + 1) << kRankShift | (to & low);
        bar_here = (uint64_t(r) + 1) << kRankShift | (bar & low);
      }
      Located dst, bar_at;
      if (!locate(w, op, l, Space::shared, here, size, 16, Intent::write, dst)) return Flow::stop;
      if (!locate(w, op, l, Space::shared, bar_here, 8, 8, Intent::update, bar_at))
        return Flow::stop;
      if (bar_at.owner != dst.owner)
        return report_fault(w, op, l, diag::kSimMbarrier,
                            "the mbarrier is not in the block of the destination");
      uint32_t address = cluster_address(bar_at);
      if (!begin_copy_on_mbarrier(w, op, l, address)) return Flow::stop;
      CopySlot slot;
      if (races) {
        slot = race_copy_slot(w, l);
        if (src.shadow) race_copy_access(w, op, l, slot, src, size, false);
        if (dst.shadow) race_copy_access(w, op, l, slot, dst, size, true);
      }
      if (!start_mbarrier_copy(w, op, l, slot, address, size, [&op, src, dst, size] {
            if (op.k[8]) reduce_range(Reduce(op.k[8] - 1), ReduceType(op.k[9]), dst, src, size);
            else copy_ranges(dst, src, size);
            return true;
          }))
        return Flow::stop;
    }
  }
  progress(w);
  return Flow::next;
}

// k[0] 0 commit, 1 wait, k[1] read only
Flow group(Warp& w, const Op& op, uint32_t mask) {
  for (uint32_t m = mask; m; m &= m - 1) {
    int l = std::countr_zero(m);
    if (op.k[0] == 0) {
      ++w.bulk_group[l];
      continue;
    }
    int64_t done = int64_t(w.bulk_group[l]) - op.imm;
    if (done <= 0) continue;
    if (!async_finish_group(w, l, AsyncOp::Ends::bulk_group, uint32_t(done) - 1)) return Flow::stop;
    w.bulk_read_done[l] = std::max(w.bulk_read_done[l], uint32_t(done));
    if (w.cluster->race) race_agent_done(w, l, Agent::bulk_read, uint32_t(done));
    if (!op.k[1]) {
      w.bulk_done[l] = std::max(w.bulk_done[l], uint32_t(done));
      if (w.cluster->race) race_agent_done(w, l, Agent::bulk_write, uint32_t(done));
    }
  }
  return Flow::next;
}

// st.async, red.async: k[6] element bytes, k[7] elements, k[8] 1 + Reduce, k[9] type; a[0] to, a[3]
// mbarrier; args values
Flow remote_store(Warp& w, const Op& op, uint32_t mask) {
  uint32_t each = op.k[6], bytes = each * op.k[7];
  for (uint32_t m = mask; m; m &= m - 1) {
    int l = std::countr_zero(m);
    Located dst, bar_at;
    if (!locate(w, op, l, Space::shared, operand_address(w, op, 0, l), bytes, bytes, Intent::write,
                dst))
      return Flow::stop;
    if (!locate(w, op, l, Space::shared, operand_address(w, op, 3, l), 8, 8, Intent::update,
                bar_at))
      return Flow::stop;
    if (bar_at.owner != dst.owner)
      return report_fault(w, op, l, diag::kSimMbarrier,
                          "the mbarrier is not in the block of the destination");
    uint32_t address = cluster_address(bar_at);
    if (!begin_copy_on_mbarrier(w, op, l, address)) return Flow::stop;
    CopySlot slot;
    if (w.cluster->race) {
      slot = race_copy_slot(w, l);
      if (dst.shadow && !op.k[8]) race_copy_access(w, op, l, slot, dst, bytes, true, false);
    }
    uint64_t v[4] = {};
    for (int i = 0; i < op.k[7]; ++i)
      v[i] = each == 8 ? w.row64(w.args(op)[i])[l] : w.row32(w.args(op)[i])[l];
    std::array<uint64_t, 4> values{v[0], v[1], v[2], v[3]};
    if (!start_mbarrier_copy(w, op, l, slot, address, bytes, [&op, dst, values, each, bytes] {
          for (int i = 0; i < op.k[7]; ++i) {
            uint64_t now = values[size_t(i)];
            if (op.k[8]) {
              uint64_t old = 0;
              std::memcpy(&old, dst.bytes + uint32_t(i) * each, each);
              now = reduce_bits(Reduce(op.k[8] - 1), ReduceType(op.k[9]), old, now);
            }
            std::memcpy(dst.bytes + uint32_t(i) * each, &now, each);
          }
          mark_valid(dst, bytes);
          return true;
        }))
      return Flow::stop;
  }
  progress(w);
  return Flow::next;
}

}  // namespace

void reduce_range(Reduce r, ReduceType t, const Located& to, const Located& from, uint32_t bytes) {
  int each = reduce_bytes(t);
  for (uint32_t i = 0; i + uint32_t(each) <= bytes; i += uint32_t(each)) {
    uint64_t a = 0, b = 0;
    std::memcpy(&a, to.bytes + i, size_t(each));
    std::memcpy(&b, from.bytes + i, size_t(each));
    a = reduce_bits(r, t, a, b);
    std::memcpy(to.bytes + i, &a, size_t(each));
  }
  mark_valid(to, bytes);
}

static bool build_any_bulk(Builder& b, bool reduces) {
  Op& op = b.op;
  // The first state space is the destination's.
  std::string_view to, from;
  for (auto m : b.in.mods)
    if (m == "global" || m == "shared::cta" || m == "shared::cluster") {
      if (to.empty()) to = m;
      else if (from.empty()) from = m;
    }
  bool to_global = to == "global";
  op.k[6] = to_global ? 2 : from == "global" ? 0 : 1;
  if (!b.expect_operands(to_global ? 3 : 4, 6)) return false;
  if (!b.address_operand(b.in.operands[0], 0) || !b.address_operand(b.in.operands[1], 1))
    return false;
  op.a[2] = b.source(2, 32);
  size_t i = 3;
  if (!to_global && !b.address_operand(b.in.operands[i++], 3)) return false;
  op.k[7] = b.has("multicast::cluster");
  if (op.k[7]) {
    if (i >= b.count()) return b.fail("needs the multicast mask");
    op.a[4] = b.source(i++, 16);
  }
  if (b.has("L2::cache_hint")) ++i;
  if (b.has("cp_mask")) {
    if (i >= b.count()) return b.fail("needs the byte mask");
    op.a[4] = b.source(i++, 16);
  }
  if (b.count() != i) return b.fail("too many or too few operands");
  if (reduces) {
    Reduce r = Reduce::add;
    ReduceType t = ReduceType::u32;
    for (size_t k = b.in.mods.size(); k-- > 0;)
      if (find_reduce(b.mod(k), r)) break;
    if (!find_reduce_type(b.last_mod(), t)) return b.fail("unknown type");
    op.k[8] = uint8_t(1 + uint8_t(r)), op.k[9] = uint8_t(t);
  }
  op.exec = bulk;
  return b.ok();
}

bool build_bulk_copy(Builder& b) { return build_any_bulk(b, false); }
bool build_bulk_reduce(Builder& b) { return build_any_bulk(b, true); }

bool build_bulk_group(Builder& b) {
  b.op.k[0] = b.has("wait_group");
  b.op.k[1] = b.has("read");
  if (b.op.k[0] && (!b.expect_operands(1) || !b.immediate(0, b.op.imm))) return false;
  if (!b.op.k[0] && b.count()) return b.fail("takes no operands");
  if (b.op.imm < 0) return b.fail("the group count cannot be negative");
  b.op.exec = group;
  return true;
}

bool vector_rows(Builder& b, size_t i, size_t count, int bits, bool destination);

bool build_store_async(Builder& b) {
  if (!b.expect_operands(3)) return false;
  int n = b.has("v2") ? 2 : b.has("v4") ? 4 : 1, bits = Builder::bits_of(b.last_mod());
  if (!b.address_operand(b.in.operands[0], 0) || !b.address_operand(b.in.operands[2], 3))
    return false;
  b.op.k[6] = uint8_t(bits / 8), b.op.k[7] = uint8_t(n);
  b.op.exec = remote_store;
  if (n * bits > 128) return b.fail("the vector is wider than 16 bytes");
  return vector_rows(b, 1, size_t(n), bits, false);
}

bool build_reduce_async(Builder& b) {
  if (!b.expect_operands(3)) return false;
  ReduceType t;
  Reduce r = Reduce::add;
  if (!find_reduce_type(b.last_mod(), t) || !find_reduce(b.last_mod(1), r))
    return b.fail("unknown operation or type");
  if (!b.address_operand(b.in.operands[0], 0) || !b.address_operand(b.in.operands[2], 3))
    return false;
  b.op.k[6] = uint8_t(reduce_bytes(t)), b.op.k[7] = 1;
  b.op.k[8] = uint8_t(1 + uint8_t(r)), b.op.k[9] = uint8_t(t);
  b.op.exec = remote_store;
  return vector_rows(b, 1, 1, 8 * reduce_bytes(t), false);
}

}  // namespace tess::ptxsim
