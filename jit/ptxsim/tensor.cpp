// Tensor copies (cp.async.bulk.tensor), tiled mode, 1 to 5 dimensions, every swizzle, and tensormap
// instructions. A box lies in shared memory in row order, dimension 0 innermost; the swizzle then
// exchanges address bits, so a box should start at a multiple of the swizzle's period.
#include "isa/diag/sim.h"

#include <fmt/format.h>
#include "jit/ptxsim/bulk.h"
#include "jit/ptxsim/lanes.h"
#include "jit/ptxsim/tensor_map.h"

namespace tess::ptxsim {
namespace {

bool fetch_map(Warp& w, const Op& op, int l, SimTensorMap& m) {
  uint64_t a = operand_address(w, op, 1, l);
  Located at;
  // A kernel parameter's generic or param-space address, or global memory.
  Space space = a < (1u << 16) ? Space::param : Space::generic;
  if (!locate(w, op, l, space, a, 128, 64, Intent::read, at)) return false;
  std::memcpy(static_cast<void*>(&m), at.bytes, sizeof m);
  std::string why = check_tensor_map(m);
  if (why.empty() && m.rank != op.k[5])
    why = fmt::format("the map has {} dimensions, the instruction {}", m.rank, op.k[5]);
  if (!why.empty()) {
    report_fault(w, op, l, diag::kSimDescriptor, why);
    return false;
  }
  return true;
}

// What a reduction does with an element; bytes and 16-bit integers cannot be reduced.
constexpr ReduceType kReduceTypes[] = {
    ReduceType::b16, ReduceType::b16, ReduceType::u32, ReduceType::s32, ReduceType::u64,
    ReduceType::s64, ReduceType::f16, ReduceType::f32, ReduceType::f64, ReduceType::bf16,
    ReduceType::f32, ReduceType::f32, ReduceType::f32};

struct Piece {  // one run of the innermost dimension, in 16-byte parts of shared memory
  uint32_t shared;
  uint64_t global;
  uint32_t inside;  // elements inside the tensor, from the first
  uint32_t before;  // elements before the tensor begins
};

struct Box {
  uint32_t rows = 1, inner = 0, element = 0, stride0 = 1, bytes = 0;
  std::vector<Piece> pieces;
};

Box make_box(const SimTensorMap& m, const int32_t* start) {
  Box b;
  b.element = tensor_element_bytes(m.type);
  uint32_t count[5] = {1, 1, 1, 1, 1};
  for (int i = 0; i < m.rank; ++i)
    count[i] = uint32_t((m.box[i] + m.element_stride[i] - 1) / m.element_stride[i]);
  b.inner = count[0];
  b.stride0 = m.element_stride[0];
  b.rows = count[1] * count[2] * count[3] * count[4];
  b.bytes = b.rows * b.inner * b.element;
  for (uint32_t r = 0; r < b.rows; ++r) {
    Piece p;
    p.shared = r * b.inner * b.element;
    uint32_t left = r;
    bool inside = true;
    uint64_t at = m.address;
    for (int i = 1; i < m.rank; ++i) {
      int64_t c = int64_t(start[i]) + int64_t(left % count[i]) * m.element_stride[i];
      left /= count[i];
      inside &= c >= 0 && c <= int64_t(m.size_minus_1[i]);
      at += uint64_t(c) * m.stride[i - 1];
    }
    int64_t size0 = int64_t(m.size_minus_1[0]) + 1, s0 = start[0];
    int64_t before = s0 >= 0 ? 0 : (-s0 + b.stride0 - 1) / b.stride0;
    int64_t end = size0 > s0 ? (size0 - s0 + b.stride0 - 1) / b.stride0 : 0;
    before = std::min<int64_t>(before, b.inner), end = std::clamp<int64_t>(end, before, b.inner);
    p.before = uint32_t(before);
    p.inside = inside ? uint32_t(end - before) : 0;
    p.global = at + uint64_t(s0 + before * b.stride0) * b.element;
    b.pieces.push_back(p);
  }
  return b;
}

uint32_t fill_value(const SimTensorMap& m) {
  if (!m.fill) return 0;
  switch (jit::TensorType(m.type)) {
    case jit::TensorType::f16:
    case jit::TensorType::bf16:
      return 0x7fff7fff;
    default:
      return 0x7fffffff;
  }
}

// Bytes of one element in shared memory.
uint8_t* shared_element(const Located& base, const SimTensorMap& m, uint32_t offset,
                        uint8_t** valid) {
  uint32_t a = swizzle_address(base.shared_address + offset, jit::TensorSwizzle(m.swizzle));
  int64_t delta = int64_t(a) - int64_t(base.shared_address);
  *valid = base.valid ? base.valid + delta : nullptr;
  return base.bytes + delta;
}

// Moves the box; `to_shared` or from it. Global bounds were checked when the copy was issued.
void move_box(const Op& op, const SimTensorMap& m, const Box& b, const Located& shared,
              const std::vector<Located>& rows, bool to_shared) {
  uint32_t fill = fill_value(m);
  for (size_t r = 0; r < b.pieces.size(); ++r) {
    const Piece& p = b.pieces[r];
    if (b.stride0 == 1 && to_shared && p.inside == b.inner) {
      for (uint32_t i = 0; i < b.inner * b.element; i += 16) {  // whole rows, 16 bytes at a time
        uint8_t* valid;
        uint8_t* s = shared_element(shared, m, p.shared + i, &valid);
        std::memcpy(s, rows[r].bytes + i, 16);
        if (valid)
          rows[r].valid ? (void)std::memcpy(valid, rows[r].valid + i, 16)
                        : (void)std::memset(valid, 1, 16);
      }
      continue;
    }
    for (uint32_t i = 0; i < b.inner; ++i) {
      uint8_t* valid;
      uint8_t* s = shared_element(shared, m, p.shared + i * b.element, &valid);
      bool in = i >= p.before && i < p.before + p.inside;
      uint64_t g = uint64_t(i - p.before) * b.stride0 * b.element;
      if (to_shared) {
        if (in) std::memcpy(s, rows[r].bytes + g, b.element);
        else {
          uint64_t f = uint64_t(fill) << 32 | fill;
          std::memcpy(s, &f, b.element);
        }
        if (valid)
          in&& rows[r].valid ? (void)std::memcpy(valid, rows[r].valid + g, b.element)
                             : (void)std::memset(valid, 1, b.element);
      } else if (in) {
        Located dst = rows[r], src = shared;
        dst.bytes += g;
        if (dst.valid) dst.valid += g;
        src.bytes = s, src.valid = valid;
        if (op.k[8]) reduce_range(Reduce(op.k[8] - 1), kReduceTypes[m.type], dst, src, b.element);
        else {
          std::memcpy(dst.bytes, s, b.element);
          mark_valid(dst, b.element);
        }
      }
    }
  }
}

// Locates every row of the box in global memory and checks races there; false after a fault.
bool locate_rows(Warp& w, const Op& op, int l, const Box& b, bool write, std::vector<Located>& rows,
                 const CopySlot* slot) {
  rows.resize(b.pieces.size());
  for (size_t r = 0; r < b.pieces.size(); ++r) {
    const Piece& p = b.pieces[r];
    if (!p.inside) continue;
    uint32_t bytes = ((p.inside - 1) * b.stride0 + 1) * b.element;
    if (!locate(w, op, l, Space::global, p.global, bytes, 1, write ? Intent::write : Intent::read,
                rows[r]))
      return false;
    if (w.cluster->race && rows[r].shadow) {
      if (slot) race_copy_access(w, op, l, *slot, rows[r], bytes, write);
      else
        race_async_access(w, op, l, rows[r], bytes, write, Agent::bulk_write, true, op.k[8] != 0);
    }
  }
  return true;
}

// The box's bytes in shared memory, 16 at a time, as they lie there.
template <class F>
void each_shared_part(const Located& base, const SimTensorMap& m, uint32_t bytes, F f) {
  if (!m.swizzle || base.shared_address % 128 == 0) {
    // A swizzle permutes within its aligned period: the range is the same when whole periods are
    // moved.
    if (!m.swizzle || bytes % 1024 == 0) return f(base, bytes);
  }
  for (uint32_t i = 0; i < bytes; i += 16) {
    Located part = base;
    uint32_t a = swizzle_address(base.shared_address + i, jit::TensorSwizzle(m.swizzle));
    int64_t delta = int64_t(a) - int64_t(base.shared_address);
    part.bytes += delta, part.offset = uint64_t(int64_t(part.offset) + delta);
    if (part.valid) part.valid += delta;
    f(part, 16);
  }
}

// k[5] rank, k[6] 0 load 1 store 2 prefetch, k[7] multicast; a[0] shared, a[1] map, a[3] mbarrier,
// a[4] multicast mask; args coordinates
Flow tensor(Warp& w, const Op& op, uint32_t mask) {
  for (uint32_t mm = mask; mm; mm &= mm - 1) {
    int l = std::countr_zero(mm);
    SimTensorMap m;
    if (!fetch_map(w, op, l, m)) return Flow::stop;
    int32_t start[5] = {};
    for (int i = 0; i < op.k[5]; ++i) start[i] = int32_t(w.row32(w.args(op)[i])[l]);
    Box box = make_box(m, start);
    if (op.k[6] == 2) continue;
    if (op.k[8] && m.type < 2)
      return report_fault(w, op, l, diag::kSimDescriptor,
                          "reductions need elements of 32 or 64 bits, f16 or bf16");
    uint32_t align = 128;
    uint64_t shared = operand_address(w, op, 0, l);
    bool races = w.cluster->race != nullptr;
    if (op.k[6] == 1) {
      Located src;
      if (!locate(w, op, l, Space::shared, shared, box.bytes, align, Intent::read, src))
        return Flow::stop;
      std::vector<Located> rows;
      if (!locate_rows(w, op, l, box, true, rows, nullptr)) return Flow::stop;
      bool unwritten = false;
      if (w.check_init || races)
        each_shared_part(src, m, box.bytes, [&](const Located& part, uint32_t bytes) {
          if (races && part.shadow)
            race_async_access(w, op, l, part, bytes, false, Agent::bulk_read, true);
        });
      if (w.check_init)
        for (const Piece& p : box.pieces)
          for (uint32_t i = p.before; i < p.before + p.inside; ++i) {
            uint8_t* valid;
            shared_element(src, m, p.shared + i * box.element, &valid);
            if (valid && !*valid) unwritten = true;
          }
      if (unwritten) report_uninit_memory(w, op, l, Space::shared, shared);
      if (!start_group_copy(w, op, l, box.bytes, [&op, m, box, src, rows] {
            move_box(op, m, box, src, rows, false);
            return true;
          }))
        return Flow::stop;
      continue;
    }
    uint64_t bar = operand_address(w, op, 3, l);
    uint32_t blocks = uint32_t(w.cluster->blocks.size()),
             targets = op.k[7] ? w.row32(op.a[4])[l] & 0xffff : 1;
    if (op.k[7] && targets >> blocks)
      return report_fault(
          w, op, l, diag::kSimOutOfBounds,
          fmt::format("the multicast mask {:#x} names blocks beyond the cluster's {}", targets,
                      blocks));
    for (uint32_t r = 0; r < (op.k[7] ? blocks : 1); ++r) {
      if (!(targets >> r & 1)) continue;
      uint64_t here = shared, bar_here = bar;
      if (op.k[7]) {
        uint32_t low = (1u << kRankShift) - 1;
        here = (uint64_t(r) + 1) << kRankShift | (shared & low);
        bar_here = (uint64_t(r) + 1) << kRankShift | (bar & low);
      }
      Located dst, bar_at;
      if (!locate(w, op, l, Space::shared, here, box.bytes, align, Intent::write, dst))
        return Flow::stop;
      if (!locate(w, op, l, Space::shared, bar_here, 8, 8, Intent::update, bar_at))
        return Flow::stop;
      if (bar_at.owner != dst.owner)
        return report_fault(w, op, l, diag::kSimMbarrier,
                            "the mbarrier is not in the block of the destination");
      uint32_t address = cluster_address(bar_at);
      if (!begin_copy_on_mbarrier(w, op, l, address)) return Flow::stop;
      CopySlot slot;
      if (races) slot = race_copy_slot(w, l);
      std::vector<Located> rows;
      if (!locate_rows(w, op, l, box, false, rows, &slot)) return Flow::stop;
      if (races)
        each_shared_part(dst, m, box.bytes, [&](const Located& part, uint32_t bytes) {
          if (part.shadow) race_copy_access(w, op, l, slot, part, bytes, true);
        });
      if (!start_mbarrier_copy(w, op, l, slot, address, box.bytes, [&op, m, box, dst, rows] {
            move_box(op, m, box, dst, rows, true);
            return true;
          }))
        return Flow::stop;
    }
  }
  progress(w);
  return Flow::next;
}

// The numbers of the element types in tensormap.replace, which are not those of the driver.
constexpr jit::TensorType kElementTypes[] = {
    jit::TensorType::u8,      jit::TensorType::u16, jit::TensorType::u32,  jit::TensorType::s32,
    jit::TensorType::u64,     jit::TensorType::s64, jit::TensorType::f16,  jit::TensorType::f32,
    jit::TensorType::f32_ftz, jit::TensorType::f64, jit::TensorType::bf16, jit::TensorType::tf32,
    jit::TensorType::tf32_ftz};

// k[5] field, k[6] wide value, k[4] space; imm ordinal; a[0] address, a[1] value
Flow replace(Warp& w, const Op& op, uint32_t mask) {
  for (uint32_t mm = mask; mm; mm &= mm - 1) {
    int l = std::countr_zero(mm);
    Located at;
    if (!locate(w, op, l, Space(op.k[4]), operand_address(w, op, 0, l), 128, 64, Intent::write, at))
      return Flow::stop;
    SimTensorMap m;
    std::memcpy(static_cast<void*>(&m), at.bytes, sizeof m);
    uint64_t v = op.k[6] ? w.row64(op.a[1])[l] : w.row32(op.a[1])[l];
    size_t i = size_t(op.imm);
    switch (op.k[5]) {
      case 0:
        m.address = v;
        break;
      case 1:
        m.rank = uint8_t(std::min<uint64_t>(v + 1, 255));
        break;
      case 2:
        m.box[i] = uint16_t(std::min<uint64_t>(v, 65535));
        break;
      case 3:
        m.size_minus_1[i] = uint32_t(v - 1);
        break;
      case 4:
        if (i < 4) m.stride[i] = v;
        break;
      case 5:
        m.element_stride[i] = uint8_t(std::min<uint64_t>(v, 255));
        break;
      case 6:
        m.type = v < std::size(kElementTypes) ? uint8_t(kElementTypes[v]) : 255;
        break;
      case 7:
        m.interleave = uint8_t(std::min<uint64_t>(v, 255));
        break;
      case 8:
        m.swizzle = uint8_t(std::min<uint64_t>(v, 255));
        break;
      default:
        m.fill = uint8_t(v & 1);
    }
    m.magic = SimTensorMap::kMagic;
    if (w.cluster->race && at.shadow) race_access(w, op, l, at, 128, Touch::write, Scope::none);
    std::memcpy(at.bytes, static_cast<const void*>(&m), sizeof m);
    mark_valid(at, 128);
  }
  progress(w);
  return Flow::next;
}

Flow fence_copy(Warp& w, const Op& op, uint32_t mask) {
  Flow f;
  if (!whole_warp(w, op, mask, f)) return f;
  int l = std::countr_zero(mask);
  Located to, from;
  uint32_t bytes = uint32_t(op.imm);
  if (!locate(w, op, l, Space::global, operand_address(w, op, 0, l), bytes, 128, Intent::write, to))
    return Flow::stop;
  if (!locate(w, op, l, Space::shared, operand_address(w, op, 1, l), bytes, 128, Intent::read,
              from))
    return Flow::stop;
  if (w.cluster->race) {
    if (from.shadow) race_access(w, op, l, from, bytes, Touch::read, Scope::none);
    if (to.shadow) race_access(w, op, l, to, bytes, Touch::write, Scope::none);
    race_fence(w, mask, Scope::gpu);
  }
  std::memcpy(to.bytes, from.bytes, bytes);
  mark_valid(to, bytes);
  progress(w);
  return Flow::next;
}

bool coordinates(Builder& b, const Operand& o, int rank) {
  if (o.kind != OpKind::address || o.elems.size() != 2)
    return b.fail("needs [tensor map, {coordinates}]");
  const Operand& c = o.elems[1];
  std::vector<const Operand*> list;
  if (c.kind == OpKind::vector)
    for (auto& e : c.elems) list.push_back(&e);
  else list.push_back(&c);
  if (int(list.size()) != rank)
    return b.fail(fmt::format("{} coordinates are needed, found {}", rank, list.size()));
  for (auto* e : list) b.add_arg(b.source(*e, 32));
  return b.address_operand(o, 1);
}

int rank_of(const Builder& b) { return 1 + b.which({"1d", "2d", "3d", "4d", "5d"}); }

bool build_store(Builder& b, bool reduces) {
  Op& op = b.op;
  if (!b.expect_operands(2, 3)) return false;
  op.k[5] = uint8_t(rank_of(b));
  op.k[6] = 1;
  if (!coordinates(b, b.in.operands[0], op.k[5]) || !b.address_operand(b.in.operands[1], 0))
    return false;
  if (reduces) {
    Reduce r = Reduce::add;
    for (auto m : b.in.mods)
      if (find_reduce(m, r)) break;
    op.k[8] = uint8_t(1 + uint8_t(r));
  }
  op.exec = tensor;
  return true;
}

}  // namespace

bool build_tensor_copy(Builder& b) {
  std::string_view to;
  for (auto m : b.in.mods)
    if (to.empty() && (m == "global" || m == "shared::cta" || m == "shared::cluster")) to = m;
  if (to == "global") return build_store(b, false);
  Op& op = b.op;
  if (!b.expect_operands(3, 5)) return false;
  op.k[5] = uint8_t(rank_of(b));
  if (!b.address_operand(b.in.operands[0], 0) || !coordinates(b, b.in.operands[1], op.k[5]) ||
      !b.address_operand(b.in.operands[2], 3))
    return false;
  size_t i = 3;
  op.k[7] = b.has("multicast::cluster");
  if (op.k[7]) {
    if (i >= b.count()) return b.fail("needs the multicast mask");
    op.a[4] = b.source(i++, 16);
  }
  if (b.has("L2::cache_hint")) ++i;
  if (b.count() != i) return b.fail("too many or too few operands");
  op.exec = tensor;
  return b.ok();
}

bool build_tensor_reduce(Builder& b) { return build_store(b, true); }

bool build_tensor_prefetch(Builder& b) {
  if (!b.expect_operands(1, 2)) return false;
  b.op.k[5] = uint8_t(rank_of(b));
  b.op.k[6] = 2;
  b.op.exec = tensor;
  return coordinates(b, b.in.operands[0], b.op.k[5]);
}

bool build_tensormap_replace(Builder& b) {
  b.op.k[5] = uint8_t(
      b.which({"global_address", "rank", "box_dim", "global_dim", "global_stride", "element_stride",
               "elemtype", "interleave_layout", "swizzle_mode", "fill_mode"}));
  bool indexed = b.op.k[5] >= 2 && b.op.k[5] <= 5;
  if (!b.expect_operands(indexed ? 3 : 2)) return false;
  if (!b.address_operand(b.in.operands[0], 0)) return false;
  if (indexed && !b.immediate(1, b.op.imm)) return false;
  if (b.op.imm < 0 || b.op.imm > 4) return b.fail("the dimension is 0..4");
  b.op.k[6] = b.last_mod() == "b64";
  if (b.op.k[5] >= 6 && b.in.operands.back().kind != OpKind::integer)
    return b.fail("the new value of this field must be a constant");
  b.op.a[1] = b.source(indexed ? 2 : 1, b.op.k[6] ? 64 : 32);
  b.op.k[4] = uint8_t(b.space());
  b.op.exec = replace;
  return b.ok();
}

bool build_tensormap_fence_copy(Builder& b) {
  if (!b.expect_operands(3)) return false;
  if (!b.address_operand(b.in.operands[0], 0) || !b.address_operand(b.in.operands[1], 1) ||
      !b.immediate(2, b.op.imm))
    return false;
  if (b.op.imm != 128) return b.fail("the size is 128");
  b.op.flags |= kFlagAligned;
  b.op.exec = fence_copy;
  return true;
}

}  // namespace tess::ptxsim
