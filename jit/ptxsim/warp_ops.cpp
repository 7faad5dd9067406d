// Collectives of a warp: shfl, vote, match, redux, elect, and matrix moves between registers.
#include <fmt/format.h>

#include "isa/diag/sim.h"
#include "jit/ptxsim/access.h"
#include "jit/ptxsim/lanes.h"

namespace tess::ptxsim {
namespace {

// Calls body(part) for each set of lanes that name the same members, when all of those are here.
template <class Body>
Flow with_members(Warp& w, const Op& op, uint32_t mask, Row members_row, Body body) {
  const uint32_t* rows = w.row32(members_row);
  uint32_t todo = mask;
  uint32_t parts[32], n = 0;
  while (todo) {
    uint32_t members = rows[std::countr_zero(todo)], part = 0;
    each_lane(todo, [&](int k) { part |= uint32_t(rows[k] == members) << k; });
    todo &= ~part;
    if (part & ~members)
      return report_fault(w, op, std::countr_zero(part & ~members), diag::kSimLaneMask,
                          fmt::format("the lane is not in the member mask {:#010x}", members));
    if (members & w.live & ~part) {
      uint32_t absent = members & w.live & ~part;
      if (absent & w.group) {  // at this instruction, but predicated off or with another mask
        return report_fault(w, op, std::countr_zero(part), diag::kSimLaneMask,
                            fmt::format("lanes {:#010x} of the member mask {:#010x} pass this "
                                        "instruction without taking part",
                                        absent & w.group, members));
      }
      return Flow::stall;
    }
    parts[n++] = part;
  }
  for (uint32_t i = 0; i < n; ++i) body(parts[i]);
  return Flow::next;
}

// k[0] up down bfly idx, k[1] has predicate; a: d, p, a, b, c, members
Flow shuffle(Warp& w, const Op& op, uint32_t mask) {
  return with_members(w, op, mask, op.a[5], [&](uint32_t part) {
    const uint32_t *a = w.row32(op.a[2]), *b = w.row32(op.a[3]), *c = w.row32(op.a[4]);
    uint32_t t[32], in_range = 0, from_nowhere = 0;
    int culprit = 0;
    each_lane(part, [&](int l) {
      int lane = l, clamp = int(c[l] & 31), seg = int(c[l] >> 8 & 31), bv = int(b[l] & 31);
      int max_lane = (lane & seg) | (clamp & ~seg & 31), min_lane = lane & seg, j;
      bool p;
      switch (op.k[0]) {
        case 0:
          j = lane - bv;
          p = j >= max_lane;
          break;
        case 1:
          j = lane + bv;
          p = j <= max_lane;
          break;
        case 2:
          j = lane ^ bv;
          p = j <= max_lane;
          break;
        default:
          j = min_lane | (bv & ~seg & 31);
          p = j <= max_lane;
          break;
      }
      if (!p) j = lane;
      t[l] = a[j & 31];
      if (!(part >> (j & 31) & 1)) from_nowhere |= 1u << l, culprit = j & 31;
      in_range |= uint32_t(p) << l;
    });
    if (w.check_init) {
      uint32_t ok = op.a[2] >= 0 ? w.init[op.a[2] >> 5] : ~0u, bad = from_nowhere;
      each_lane(part & ~from_nowhere, [&](int) {});
      (void)ok;
      if (bad) {
        report_finding(
            *w.launch,
            make_finding(w, w.op_index(op), std::countr_zero(bad), diag::kSimLaneMask,
                         fmt::format("reads lane {}, which does not take part", culprit)),
            false, uint64_t(w.op_index(op)) | 3ull << 40);
      }
    }
    uint32_t* d = w.row32(op.a[0]);
    each_lane(part, [&](int l) { d[l] = t[l]; });
    if (op.k[1]) w.preds[op.a[1]] = (w.preds[op.a[1]] & ~part) | (in_range & part);
  });
}

// k[0] all any uni ballot, k[1] negated
Flow vote(Warp& w, const Op& op, uint32_t mask) {
  return with_members(w, op, mask, op.a[2], [&](uint32_t part) {
    uint32_t p = (w.preds[op.a[1]] ^ (op.k[1] ? ~0u : 0)) & part;
    if (op.k[0] == 3) {
      each_lane(part, [&](int l) { w.row32(op.a[0])[l] = p; });
      return;
    }
    bool r = op.k[0] == 0 ? p == part : op.k[0] == 1 ? p != 0 : p == 0 || p == part;
    w.preds[op.a[0]] = (w.preds[op.a[0]] & ~part) | (r ? part : 0);
  });
}

// k[0] all, k[1] wide, k[2] has predicate
Flow match(Warp& w, const Op& op, uint32_t mask) {
  return with_members(w, op, mask, op.a[3], [&](uint32_t part) {
    auto value = [&](int l) {
      return op.k[1] ? w.row64(op.a[2])[l] : uint64_t(w.row32(op.a[2])[l]);
    };
    uint32_t t[32], all = 0;
    each_lane(part, [&](int l) {
      uint32_t same = 0;
      each_lane(part, [&](int k) { same |= uint32_t(value(k) == value(l)) << k; });
      t[l] = op.k[0] ? (same == part ? part : 0) : same;
      all |= uint32_t(same == part) << l;
    });
    each_lane(part, [&](int l) { w.row32(op.a[0])[l] = t[l]; });
    if (op.k[2]) w.preds[op.a[1]] = (w.preds[op.a[1]] & ~part) | (all & part);
  });
}

// k[0] add min max and or xor, k[1] signed
Flow redux(Warp& w, const Op& op, uint32_t mask) {
  return with_members(w, op, mask, op.a[2], [&](uint32_t part) {
    const uint32_t* a = w.row32(op.a[1]);
    uint32_t r = a[std::countr_zero(part)];
    each_lane(part & (part - 1), [&](int l) {
      uint32_t v = a[l];
      switch (op.k[0]) {
        case 0:
          r += v;
          break;
        case 1:
          r = op.k[1] ? uint32_t(std::min(int32_t(r), int32_t(v))) : std::min(r, v);
          break;
        case 2:
          r = op.k[1] ? uint32_t(std::max(int32_t(r), int32_t(v))) : std::max(r, v);
          break;
        case 3:
          r &= v;
          break;
        case 4:
          r |= v;
          break;
        default:
          r ^= v;
      }
    });
    each_lane(part, [&](int l) { w.row32(op.a[0])[l] = r; });
  });
}

Flow elect(Warp& w, const Op& op, uint32_t mask) {
  return with_members(w, op, mask, op.a[2], [&](uint32_t part) {
    uint32_t leader = uint32_t(std::countr_zero(part));
    each_lane(part, [&](int l) { w.row32(op.a[0])[l] = leader; });
    w.preds[op.a[1]] = (w.preds[op.a[1]] & ~part) | (1u << leader);
  });
}

Flow movmatrix(Warp& w, const Op& op, uint32_t mask) {
  Flow f;
  if (!whole_warp(w, op, mask, f)) return f;
  const uint32_t* a = w.row32(op.a[1]);
  uint32_t t[32];
  for (int l = 0; l < 32; ++l) {
    auto element = [&](int row, int col) {
      return a[row * 4 + col / 2] >> (16 * (col & 1)) & 0xffff;
    };
    int row = l / 4, col = 2 * (l % 4);
    t[l] = element(col, row) | element(col + 1, row) << 16;
  }
  store_row(w.row32(op.a[0]), t, mask);
  return Flow::next;
}

Operand second_of(const Operand& o) {
  Operand p;
  p.kind = o.pair >= 0 ? OpKind::reg : OpKind::sink;
  p.index = o.pair;
  return p;
}

}  // namespace

bool build_shuffle(Builder& b) {
  if (!b.expect_operands(5)) return false;
  const Operand& d = b.in.operands[0];
  b.op.a[0] = b.destination(d, 32);
  if (d.pair != -1) {
    b.op.a[1] = b.predicate_destination(second_of(d));
    b.op.k[1] = 1;
  }
  for (size_t i = 1; i < 5; ++i) b.op.a[i + 1] = b.source(i, 32);
  b.op.k[0] = uint8_t(b.which({"up", "down", "bfly", "idx"}));
  b.op.flags |= kFlagCollective;
  b.op.exec = shuffle;
  return true;
}

bool build_vote(Builder& b) {
  if (!b.expect_operands(3)) return false;
  b.op.k[0] = uint8_t(b.which({"all", "any", "uni", "ballot"}));
  b.op.a[0] = b.op.k[0] == 3 ? b.destination(0, 32) : b.predicate_destination(b.in.operands[0]);
  bool n = false;
  b.op.a[1] = b.predicate_source(b.in.operands[1], &n);
  b.op.k[1] = n;
  b.op.a[2] = b.source(2, 32);
  b.op.exec = vote;
  return true;
}

bool build_match(Builder& b) {
  if (!b.expect_operands(3)) return false;
  const Operand& d = b.in.operands[0];
  int bits = Builder::bits_of(b.last_mod());
  b.op.a[0] = b.destination(d, 32);
  b.op.k[0] = b.has("all");
  if (d.pair != -1) {
    if (!b.op.k[0]) return b.fail("match.any has no predicate result");
    b.op.a[1] = b.predicate_destination(second_of(d));
    b.op.k[2] = 1;
  }
  b.op.a[2] = b.source(1, bits);
  b.op.k[1] = bits == 64;
  b.op.a[3] = b.source(2, 32);
  b.op.exec = match;
  return true;
}

bool build_redux(Builder& b) {
  if (!b.expect_operands(3)) return false;
  b.op.a[0] = b.destination(0, 32);
  b.op.a[1] = b.source(1, 32);
  b.op.a[2] = b.source(2, 32);
  b.op.k[0] = uint8_t(b.which({"add", "min", "max", "and", "or", "xor"}));
  b.op.k[1] = b.last_mod() == "s32";
  b.op.exec = redux;
  return true;
}

bool build_elect(Builder& b) {
  if (!b.expect_operands(2)) return false;
  const Operand& d = b.in.operands[0];
  if (d.pair == -1) return b.fail("needs d|p");
  b.op.a[0] = b.destination(d, 32);
  b.op.a[1] = b.predicate_destination(second_of(d));
  b.op.a[2] = b.source(1, 32);
  b.op.exec = elect;
  return true;
}

bool build_movmatrix(Builder& b) {
  if (!b.expect_operands(2)) return false;
  b.op.a[0] = b.destination(0, 32);
  b.op.a[1] = b.source(1, 32);
  b.op.exec = movmatrix;
  return true;
}

}  // namespace tess::ptxsim
