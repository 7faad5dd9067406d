// wgmma: four warps multiply a 64 x K by a K x N matrix. The operation starts when all four warps
// of the warpgroup are there and finishes, for the whole warpgroup, when one of them has waited for
// its group.
#include "isa/diag/sim.h"

#include <fmt/format.h>
#include "jit/ptxsim/async.h"
#include "jit/ptxsim/lanes.h"
#include "jit/ptxsim/matrix.h"
#include "jit/ptxsim/tensor_map.h"

namespace tess::ptxsim {

bool parse_shape(std::string_view s, int& m, int& n, int& k);
bool vector_rows(Builder& b, size_t i, size_t count, int bits, bool destination);

namespace {

constexpr int kMaxN = 256;

// A shared-memory matrix descriptor, all in bytes.
struct Descriptor {
  uint32_t start, leading, stride, swizzle;  // swizzle 0 none, 1 128, 2 64, 3 32 bytes
  explicit Descriptor(uint64_t d)
      : start(uint32_t(d & 0x3fff) << 4),
        leading(uint32_t(d >> 16 & 0x3fff) << 4),
        stride(uint32_t(d >> 32 & 0x3fff) << 4),
        swizzle(uint32_t(d >> 62)) {}
  uint32_t span() const { return swizzle == 1 ? 128 : swizzle == 2 ? 64 : swizzle == 3 ? 32 : 16; }
  // Address of byte `kb` of row r (K-major), or with `along` the byte offset along M or N in row k
  // (MN-major): 16-byte units in 8-row core matrices.
  uint32_t k_major(uint32_t r, uint32_t kb) const {
    if (swizzle == 0) return start + r / 8 * stride + kb / 16 * leading + r % 8 * 16 + kb % 16;
    return mix(start + r / 8 * stride + r % 8 * span() + kb);
  }
  uint32_t mn_major(uint32_t k, uint32_t along) const {
    if (swizzle == 0)
      return start + along / 16 * stride + k / 8 * leading + k % 8 * 16 + along % 16;
    return mix(start + along / span() * leading + k / 8 * stride + k % 8 * span() + along % span());
  }
  uint32_t mix(uint32_t a) const {
    using jit::TensorSwizzle;
    return swizzle_address(a, swizzle == 1   ? TensorSwizzle::b128
                              : swizzle == 2 ? TensorSwizzle::b64
                                             : TensorSwizzle::b32);
  }
};

// k[0] N / 8, k[1] K in elements / 4, k[2] a type, k[3] b type, k[4] d is f16, k[5] a in registers,
// k[6] flags: 1 negate a, 2 negate b, 4 transpose a, 8 transpose b; k[7] satfinite, k[8] scale-d
// negated a[0] a descriptor, a[1] b descriptor, a[2] scale-d predicate; args d rows, a rows
struct Call {
  Warp* warps[4];
  const Op* op;
  uint64_t da[4], db;
  bool accumulate[4];
};

struct Shared {
  Block* block;
  uint32_t end;
  bool fault = false;
  uint32_t bad = 0;
  const uint8_t* at(uint32_t a) {
    if (a < kSharedStart || a + 16 > end) {
      if (!fault) bad = a;
      fault = true;
      return block->shared.data();
    }
    return block->shared.data() + a;
  }
};

// Reads rows of a matrix in shared memory to f32 or integers, `rows` x `k` into out[row * k + x].
template <class T>
void read_matrix(Shared& s, const Descriptor& d, bool mn_major, Elem e, uint32_t first_row,
                 uint32_t rows, uint32_t k, T* out, uint32_t row_step, uint32_t k_step) {
  uint32_t bits = uint32_t(elem_bits(e));
  auto convert = [&](const uint8_t* p, uint32_t bit) -> T {
    uint32_t v = 0;
    if (bits == 16) {
      uint16_t h;
      std::memcpy(&h, p, 2);
      v = h;
    } else if (bits == 32) std::memcpy(&v, p, 4);
    else if (bits == 8) v = *p;
    else v = *p >> bit & 1;
    if constexpr (std::is_same_v<T, float>) return elem_float(e, v);
    else return elem_int(e, v);
  };
  if (mn_major) {
    for (uint32_t x = 0; x < k; ++x)
      for (uint32_t r = 0; r < rows; r += 8) {
        const uint8_t* p = s.at(d.mn_major(x, (first_row + r) * bits / 8) & ~15u);
        for (uint32_t i = 0; i < 8; ++i)
          out[(r + i) * row_step + x * k_step] = convert(p + i * 2, 0);
      }
    return;
  }
  uint32_t per = 128 / bits;
  for (uint32_t r = 0; r < rows; ++r)
    for (uint32_t x = 0; x < k; x += per) {
      const uint8_t* p = s.at(d.k_major(first_row + r, x * bits / 8) & ~15u);
      for (uint32_t i = 0; i < per; ++i)
        out[r * row_step + (x + i) * k_step] = convert(p + i * bits / 8, i * bits % 8);
    }
}

// Which 16-byte parts a matrix touches, for the checkers.
template <class F>
void each_part(const Descriptor& d, bool mn_major, uint32_t bits, uint32_t first_row, uint32_t rows,
               uint32_t k, F f) {
  if (mn_major) {
    for (uint32_t x = 0; x < k; ++x)
      for (uint32_t r = 0; r < rows; r += 128 / bits)
        f(d.mn_major(x, (first_row + r) * bits / 8) & ~15u);
  } else {
    for (uint32_t r = 0; r < rows; ++r)
      for (uint32_t x = 0; x < k * bits / 8; x += 16) f(d.k_major(first_row + r, x) & ~15u);
  }
}

bool multiply(const Call& c) {
  const Op& op = *c.op;
  uint32_t n = op.k[0] * 8u, k = op.k[1] * 4u;
  Elem ea = Elem(op.k[2]), eb = Elem(op.k[3]);
  Warp& first = *c.warps[0];
  Shared s{first.block, first.launch->shared_end};
  Descriptor db(c.db);
  bool integer = is_integer(ea);
  static thread_local std::vector<float> fb, fa, acc;
  static thread_local std::vector<int32_t> ib, ia;
  static thread_local std::vector<int64_t> iacc;
  if (integer) {
    ib.resize(size_t(k) * n), ia.resize(16 * k), iacc.resize(16 * n);
    read_matrix<int32_t>(s, db, false, eb, 0, n, k, ib.data(), 1, n);
  } else {
    fb.resize(size_t(k) * n), fa.resize(16 * k), acc.resize(16 * n);
    read_matrix<float>(s, db, op.k[6] & 8, eb, 0, n, k, fb.data(), 1, n);
  }
  const bool half = op.k[4];
  uint32_t dn = half ? n / 4 : n / 2;
  for (uint32_t q = 0; q < 4; ++q) {
    Warp& w = *c.warps[q];
    const Row *d = w.args(op), *a = d + dn;
    if (op.k[5]) {
      uint32_t bits = uint32_t(elem_bits(ea)), per = 32 / bits;
      for (uint32_t i = 0; i < 4; ++i)
        for (uint32_t l = 0; l < 32; ++l) {
          uint32_t row = l / 4 + 8 * (i & 1), col = (l % 4 + 4 * (i >> 1)) * per,
                   v = w.row32(a[i])[l];
          for (uint32_t e = 0; e < per; ++e) {
            uint32_t b = bits == 32 ? v : (v >> (bits * e)) & ((1u << bits) - 1);
            if (integer) ia[row * k + col + e] = elem_int(ea, b);
            else fa[row * k + col + e] = elem_float(ea, b);
          }
        }
    } else {
      Descriptor da(c.da[q]);
      if (integer) read_matrix<int32_t>(s, da, false, ea, q * 16, 16, k, ia.data(), k, 1);
      else read_matrix<float>(s, da, op.k[6] & 4, ea, q * 16, 16, k, fa.data(), k, 1);
    }
    if (s.fault) {
      report_fault(
          w, op, 0, diag::kSimDescriptor,
          fmt::format(
              "the descriptor leads to shared memory at {:#x}, outside of the block's {:#x}..{:#x}",
              s.bad, kSharedStart, s.end));
      return false;
    }
    if (!integer && (op.k[6] & 3) && (op.k[6] & 3) != 3)
      for (float& v : fa) v = -v;
    for (uint32_t r = 0; r < dn; ++r)
      for (uint32_t l = 0; l < 32; ++l) {
        uint32_t row, col, v = c.accumulate[q] ? w.row32(d[r])[l] : 0;
        if (half) {
          row = l / 4 + 8 * (r & 1), col = r / 2 * 8 + 2 * (l % 4);
          acc[row * n + col] = half_to_float(v & 0xffff),
                        acc[row * n + col + 1] = half_to_float(v >> 16);
        } else {
          row = l / 4 + 8 * (r >> 1 & 1), col = r / 4 * 8 + 2 * (l % 4) + (r & 1);
          if (integer) iacc[row * n + col] = int32_t(v);
          else acc[row * n + col] = std::bit_cast<float>(v);
        }
      }
    if (integer) multiply_int(iacc.data(), ia.data(), ib.data(), 16, int(n), int(k));
    else multiply_float(acc.data(), fa.data(), fb.data(), 16, int(n), int(k));
    for (uint32_t r = 0; r < dn; ++r)
      for (uint32_t l = 0; l < 32; ++l) {
        if (half) {
          uint32_t row = l / 4 + 8 * (r & 1), col = r / 2 * 8 + 2 * (l % 4);
          w.row32(d[r])[l] =
              float_to_half(acc[row * n + col]) | float_to_half(acc[row * n + col + 1]) << 16;
        } else {
          uint32_t row = l / 4 + 8 * (r >> 1 & 1), col = r / 4 * 8 + 2 * (l % 4) + (r & 1);
          if (integer) {
            int64_t v = iacc[row * n + col];
            if (op.k[7]) v = v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : v;
            w.row32(d[r])[l] = uint32_t(uint64_t(v));
          } else {
            w.row32(d[r])[l] = std::bit_cast<uint32_t>(canonical(acc[row * n + col]));
          }
        }
      }
  }
  return true;
}

// Accumulators and A registers belong to the operation until it has been waited for. In
// wg_inflight: 0 free, else 2 (group + 1) + (1 if only read).
void claim(Warp& w, Row r, uint32_t group, bool only_read) {
  uint32_t& s = w.wg_inflight[uint32_t(r) >> 5];
  if (!s) w.wg_touched.push_back(uint32_t(r) >> 5);
  s = 2 * (group + 1) + (only_read ? 1 : 0);
}

bool hazards(Warp& w, const Op& op) {
  if (!w.check_init) return true;
  uint32_t n = op.k[0] * 8u, dn = op.k[4] ? n / 4 : n / 2;
  const Row* rows = w.args(op);
  bool scale = w.preds[op.a[2]] != 0 && !(op.k[8]);
  for (uint32_t i = 0; i < op.nargs; ++i) {
    if (rows[i] < 0) continue;
    uint32_t id = uint32_t(rows[i]) >> 5;
    if ((i >= dn || scale) && w.init[id] != ~0u)
      report_finding(
          *w.launch,
          make_finding(w, w.op_index(op), std::countr_zero(~w.init[id]), diag::kSimUninitRegister,
                       i < dn ? "an accumulator has no value" : "a register of A has no value"),
          false, uint64_t(w.op_index(op)) | 4ull << 40);
    if (w.def_epoch[id] == w.wg_epoch) {
      report_finding(
          *w.launch,
          make_finding(
              w, w.op_index(op), 0, diag::kSimWgmmaHazard,
              "a register of this wgmma was written after the last wgmma.fence (or there is none)"),
          false, uint64_t(w.op_index(op)) | 11ull << 40);
      break;
    }
  }
  return true;
}

Flow wgmma(Warp& w, const Op& op, uint32_t mask) {
  Flow f;
  if (!whole_warp(w, op, mask, f)) return f;
  if (mask != ~0u)
    return report_fault(w, op, std::countr_zero(mask), diag::kSimPartialWarp,
                        "wgmma needs all 32 lanes");
  Block& b = *w.block;
  uint32_t base = w.index / 4 * 4;
  if (base + 4 > b.warps.size())
    return report_fault(w, op, 0, diag::kSimPartialWarp, "wgmma needs a warpgroup of four warps");
  for (int l = 1; l < 32; ++l)
    if (w.row64(op.a[1])[l] != w.row64(op.a[1])[0] ||
        (!op.k[5] && w.row64(op.a[0])[l] != w.row64(op.a[0])[0]))
      return report_fault(w, op, l, diag::kSimPredicateMismatch,
                          "the matrix descriptor differs between lanes");
  if (w.wg_inflight.empty()) w.wg_inflight.assign(w.init.size(), 0);
  hazards(w, op);
  // Accumulators in flight may be used again by wgmma only as accumulators.
  const Row* rows = w.args(op);
  uint32_t n = op.k[0] * 8u, dn = op.k[4] ? n / 4 : n / 2;
  for (uint32_t i = dn; i < op.nargs; ++i)
    if (rows[i] >= 0 && w.wg_inflight[uint32_t(rows[i]) >> 5] &&
        !(w.wg_inflight[uint32_t(rows[i]) >> 5] & 1))
      report_finding(*w.launch,
                     make_finding(w, w.op_index(op), 0, diag::kSimWgmmaHazard,
                                  "A is read from an accumulator of an unfinished wgmma"),
                     false, uint64_t(w.op_index(op)) | 12ull << 40);
  for (uint32_t i = 0; i < op.nargs; ++i) {
    if (rows[i] < 0) continue;
    claim(w, rows[i], w.wg_group, i >= dn);
    if (i < dn) w.init[uint32_t(rows[i]) >> 5] = ~0u;
  }
  w.wg_last = w.wg_group + 1;
  w.wg_site = w.op_index(op);
  w.wg_op = &op;
  // Checks of what this warp reads: its rows of A, all of B.
  Elem ea = Elem(op.k[2]), eb = Elem(op.k[3]);
  uint32_t k = op.k[1] * 4u;
  bool bad = false, unwritten = false;
  uint32_t where = 0;
  auto part = [&](uint32_t a) {
    if (a < kSharedStart || a + 16 > w.launch->shared_end) {
      bad = true, where = a;
      return;
    }
    Located at;
    at.bytes = b.shared.data() + a;
    at.valid = b.shared_valid.empty() ? nullptr : b.shared_valid.data() + a;
    at.shadow = b.shared_shadow.get();
    at.offset = a;
    at.space = Space::shared;
    at.owner = &b;
    at.shared_address = a;
    if (w.check_init && !all_valid(at, 16)) unwritten = true, where = a;
    if (w.cluster->race && at.shadow)
      race_async_access(w, op, 0, at, 16, false, Agent::wgmma, true);
  };
  Descriptor db(w.row64(op.a[1])[0]);
  if (w.cluster->race || w.check_init) {
    if (w.index % 4 == 0) each_part(db, op.k[6] & 8, uint32_t(elem_bits(eb)), 0, n, k, part);
    if (!op.k[5])
      each_part(Descriptor(w.row64(op.a[0])[0]), op.k[6] & 4, uint32_t(elem_bits(ea)),
                w.index % 4 * 16, 16, k, part);
  }
  if (bad)
    return report_fault(
        w, op, 0, diag::kSimDescriptor,
        fmt::format(
            "the descriptor leads to shared memory at {:#x}, outside of the block's {:#x}..{:#x}",
            where, kSharedStart, w.launch->shared_end));
  if (unwritten) report_uninit_memory(w, op, 0, Space::shared, where);
  // The last of the four warps starts the operation.
  uint32_t here = 1;
  for (uint32_t q = 0; q < 4; ++q) {
    Warp& x = b.warps[base + q];
    if (&x == &w) continue;
    if (x.waiting == ~0u && x.lane[0].wait == WaitKind::warpgroup) {
      if (x.wg_op != &op)
        return report_fault(
            w, op, 0, diag::kSimPartialWarp,
            fmt::format("warp {} of the warpgroup executes another wgmma", x.index));
      ++here;
    }
  }
  if (here < 4) {
    w.waiting = ~0u;
    for (int l = 0; l < 32; ++l) w.lane[l].wait = WaitKind::warpgroup;
    return Flow::wait;
  }
  Call c;
  c.op = &op;
  c.db = w.row64(op.a[1])[0];
  for (uint32_t q = 0; q < 4; ++q) {
    Warp& x = b.warps[base + q];
    c.warps[q] = &x;
    c.da[q] = op.k[5] ? 0 : x.row64(op.a[0])[0];
    c.accumulate[q] = ((x.preds[op.a[2]] & 1) != 0) != bool(op.k[8]);
    if (&x != &w) wake(x, ~0u);
    if (x.row64(op.a[1])[0] != c.db)
      return report_fault(w, op, 0, diag::kSimPredicateMismatch,
                          "the matrix descriptor of B differs between warps of the warpgroup");
  }
  progress(w);
  auto a = std::make_unique<AsyncOp>();
  a->warp = &b.warps[base];
  a->lane = 0, a->op = &op;
  a->ends = AsyncOp::Ends::wgmma_group;
  a->group = w.wg_group;
  a->run = [c] { return multiply(c); };
  return async_start(w, std::move(a)) ? Flow::next : Flow::stop;
}

Flow fence(Warp& w, const Op& op, uint32_t mask) {
  Flow f;
  if (!whole_warp(w, op, mask, f)) return f;
  ++w.wg_epoch;
  return Flow::next;
}
Flow commit(Warp& w, const Op& op, uint32_t mask) {
  Flow f;
  if (!whole_warp(w, op, mask, f)) return f;
  ++w.wg_group;
  return Flow::next;
}
Flow wait(Warp& w, const Op& op, uint32_t mask) {
  Flow f;
  if (!whole_warp(w, op, mask, f)) return f;
  int64_t done = int64_t(w.wg_group) - op.imm;
  if (done <= 0 || done <= int64_t(w.wg_done)) return Flow::next;
  Warp& leader = w.block->warps[w.index / 4 * 4];
  if (!async_finish_group(leader, 0, AsyncOp::Ends::wgmma_group, uint32_t(done) - 1))
    return Flow::stop;
  w.wg_done = uint32_t(done);
  if (w.cluster->race)
    for (int l = 0; l < 32; ++l) race_agent_done(w, l, Agent::wgmma, uint32_t(done));
  size_t kept = 0;
  for (uint32_t id : w.wg_touched) {
    if (w.wg_inflight[id] / 2 <= uint32_t(done)) w.wg_inflight[id] = 0;
    else w.wg_touched[kept++] = id;
  }
  w.wg_touched.resize(kept);
  return Flow::next;
}

}  // namespace

bool wgmma_check_registers(Warp& w, const Op& op, uint32_t) {
  if (op.exec == wgmma || op.exec == commit || op.exec == wait || op.exec == fence) return true;
  const int32_t* t = w.program->touched.data();
  auto look = [&](uint32_t at, uint32_t n, bool write) {
    for (uint32_t i = 0; i < n; ++i) {
      int32_t r = t[at + i];
      if (r < 0 || r & kTouchesPred) continue;
      uint32_t s = w.wg_inflight[uint32_t(r) >> 5];
      if (!s || (!write && (s & 1))) continue;
      Finding f = make_finding(w, w.op_index(op), 0, diag::kSimWgmmaHazard,
                               fmt::format("register {} is {} while an unfinished wgmma {} it",
                                           w.program->touched_names[at + i],
                                           write ? "written" : "read", s & 1 ? "reads" : "writes"));
      f.others.push_back({place_of(*w.program, w.wg_site), w.block->id, {}, "the last wgmma"});
      report_finding(*w.launch, std::move(f), false, uint64_t(w.op_index(op)) | 13ull << 40);
      return;
    }
  };
  look(op.uses, op.n_uses, false);
  look(op.defs, op.n_defs, true);
  return !w.launch->stopped;
}

bool build_wgmma(Builder& b) {
  int m, n, k;
  if (!parse_shape(b.mod(3), m, n, k)) return b.fail("unknown shape");
  Op& op = b.op;
  size_t t = 4;
  if (b.mod(t) == "satfinite") op.k[7] = 1, ++t;
  Elem ea, eb;
  if (!find_elem(b.mod(t + 1), ea) || !find_elem(b.mod(t + 2), eb)) return b.fail("unknown type");
  op.k[4] = b.mod(t) == "f16";
  bool integer = is_integer(ea);
  if (integer && ea != Elem::b1 && n > 32 && n % 16)
    return b.fail("integer wgmma takes N of 8, 16, 24, 32 and then multiples of 16");
  bool wide_type = ea == Elem::f16 || ea == Elem::bf16;
  const Operand& a = b.in.operands.size() > 1 ? b.in.operands[1] : Operand();
  op.k[5] = a.kind == OpKind::vector;
  size_t least = 4, most = integer ? 4 : wide_type ? (op.k[5] ? 7u : 8u) : 6u;
  if (!b.expect_operands(least, most)) return false;
  if (!integer && b.count() != 4 && b.count() != most)
    return b.fail(fmt::format("takes {} operands, found {}", most, b.count()));
  op.k[0] = uint8_t(n / 8), op.k[1] = uint8_t(k / 4);
  op.k[2] = uint8_t(ea), op.k[3] = uint8_t(eb);
  size_t dn = size_t(op.k[4] ? n / 4 : n / 2);
  if (!vector_rows(b, 0, dn, 32, true)) return false;
  if (op.k[5] && !vector_rows(b, 1, 4, 32, false)) return false;
  b.used.clear();
  b.defined.clear();
  if (!op.k[5]) op.a[0] = b.source(1, 64);
  op.a[1] = b.source(2, 64);
  bool negated = false;
  op.a[2] = b.predicate_source(b.in.operands[3], &negated);
  op.k[8] = negated;
  for (size_t i = 4; i < b.count(); ++i) {
    int64_t v;
    if (!b.immediate(i, v)) return false;
    if (i < 6) {
      if (v != 1 && v != -1) return b.fail("imm-scale-a and imm-scale-b are 1 or -1");
      if (v == -1) op.k[6] |= i == 4 ? 1 : 2;
    } else {
      if (v != 0 && v != 1) return b.fail("imm-trans-a and imm-trans-b are 0 or 1");
      bool is_b = i == 7 || op.k[5];
      if (v) op.k[6] |= is_b ? 8 : 4;
    }
  }
  b.program.uses_wgmma = true;
  op.flags |= kFlagAligned | kFlagCollective;
  op.exec = wgmma;
  return b.ok();
}

bool build_wgmma_fence(Builder& b) {
  b.op.flags |= kFlagAligned;
  b.op.exec = fence;
  return b.count() == 0 || b.fail("takes no operands");
}
bool build_wgmma_commit(Builder& b) {
  b.op.flags |= kFlagAligned;
  b.op.exec = commit;
  return b.count() == 0 || b.fail("takes no operands");
}
bool build_wgmma_wait(Builder& b) {
  b.op.flags |= kFlagAligned;
  b.op.exec = wait;
  return b.expect_operands(1) && b.immediate(0, b.op.imm) &&
         (b.op.imm >= 0 || b.fail("the group count cannot be negative"));
}

}  // namespace tess::ptxsim
