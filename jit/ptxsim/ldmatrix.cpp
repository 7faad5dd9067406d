// ldmatrix and stmatrix: lane 8i+r gives the address of row r (16 bytes) of matrix i.
#include "isa/diag/sim.h"
#include "jit/ptxsim/access.h"
#include "jit/ptxsim/lanes.h"

namespace tess::ptxsim {

bool vector_rows(Builder& b, size_t i, size_t count, int bits, bool destination);

namespace {

bool full(Warp& w, const Op& op, uint32_t mask, Flow& f) {
  if (!whole_warp(w, op, mask, f)) return false;
  if (mask == ~0u) return true;
  f = report_fault(w, op, std::countr_zero(mask), diag::kSimPartialWarp,
                   "a matrix load or store needs all 32 lanes");
  return false;
}

void count_rows(Warp& w, const Op& op, const uint64_t* a, int n) {
  if (!w.launch->options.stats) return;
  SiteStats& s = w.cluster->stats.sites[w.op_index(op)];
  ++s.requests;
  for (int i = 0; i < n; ++i) {  // eight rows of 16 bytes: four banks each
    uint32_t count[8] = {}, most = 1;
    uint64_t seen[8];
    for (int r = 0; r < 8; ++r) {
      uint64_t row = a[8 * i + r] >> 4;
      bool known = false;
      for (int q = 0; q < r; ++q) known |= seen[q] == row;
      seen[r] = row;
      if (!known) most = std::max(most, ++count[row & 7]);
    }
    s.wavefronts += most;
    ++s.ideal;
  }
}

// k[0] matrices, k[1] transposed, k[3] space
Flow ldmatrix(Warp& w, const Op& op, uint32_t mask) {
  Flow f;
  if (!full(w, op, mask, f)) return f;
  int n = op.k[0];
  const Row* d = w.args(op);
  uint64_t addresses[32];
  uint8_t rows[32][16];
  uint32_t bad = 0;
  for (int l = 0; l < 8 * n; ++l) {
    addresses[l] = lane_address(w, op, l);
    Located at;
    if (!locate(w, op, l, Space(op.k[3]), addresses[l], 16, 16, Intent::read, at))
      return Flow::stop;
    if (w.check_init && !all_valid(at, 16)) bad |= 1u << l;
    if (w.cluster->race && at.shadow) race_access(w, op, l, at, 16, Touch::read, Scope::none);
    std::memcpy(rows[l], at.bytes, 16);
  }
  for (int i = 0; i < n; ++i) {
    uint32_t* out = w.row32(d[i]);
    for (int l = 0; l < 32; ++l) {
      if (op.k[1]) {
        uint16_t lo, hi;
        std::memcpy(&lo, rows[8 * i + 2 * (l % 4)] + 2 * (l / 4), 2);
        std::memcpy(&hi, rows[8 * i + 2 * (l % 4) + 1] + 2 * (l / 4), 2);
        out[l] = lo | uint32_t(hi) << 16;
      } else {
        std::memcpy(&out[l], rows[8 * i + l / 4] + 4 * (l % 4), 4);
      }
      if (bad) {
        bool poisoned =
            op.k[1] ? (bad >> (8 * i + 2 * (l % 4)) & 3) != 0 : (bad >> (8 * i + l / 4) & 1) != 0;
        if (poisoned) poison(w, d[i], l);
      }
    }
  }
  count_rows(w, op, addresses, n);
  return Flow::next;
}

Flow stmatrix(Warp& w, const Op& op, uint32_t mask) {
  Flow f;
  if (!full(w, op, mask, f)) return f;
  int n = op.k[0];
  const Row* s = w.args(op);
  uint64_t addresses[32];
  for (int l = 0; l < 8 * n; ++l) {
    addresses[l] = lane_address(w, op, l);
    Located at;
    if (!locate(w, op, l, Space(op.k[3]), addresses[l], 16, 16, Intent::write, at))
      return Flow::stop;
    if (w.cluster->race && at.shadow) race_access(w, op, l, at, 16, Touch::write, Scope::none);
    const uint32_t* reg = w.row32(s[l / 8]);
    int r = l % 8;
    for (int c = 0; c < 8; ++c) {
      uint16_t v = op.k[1] ? uint16_t(reg[4 * c + r / 2] >> (16 * (r & 1)))
                           : uint16_t(reg[4 * r + c / 2] >> (16 * (c & 1)));
      std::memcpy(at.bytes + 2 * c, &v, 2);
    }
    mark_valid(at, 16);
  }
  count_rows(w, op, addresses, n);
  progress(w);
  return Flow::next;
}

bool build_matrix(Builder& b, bool load) {
  if (!b.expect_operands(2)) return false;
  b.op.k[0] = b.has("x1") ? 1 : b.has("x2") ? 2 : 4;
  b.op.k[1] = b.has("trans");
  b.op.k[3] = uint8_t(b.space());
  b.op.flags |= kFlagAligned | kFlagCollective;
  b.op.exec = load ? ldmatrix : stmatrix;
  return b.address(load ? 1 : 0) && vector_rows(b, load ? 0 : 1, b.op.k[0], 32, load);
}

}  // namespace

bool build_ldmatrix(Builder& b) { return build_matrix(b, true); }
bool build_stmatrix(Builder& b) { return build_matrix(b, false); }

}  // namespace tess::ptxsim
