// atom, red, multimem.
#include "isa/diag/sim.h"
#include "jit/ptxsim/async.h"
#include "jit/ptxsim/lanes.h"
#include "jit/ptxsim/reduce.h"

namespace tess::ptxsim {

bool vector_rows(Builder& b, size_t i, size_t count, int bits, bool destination);

namespace {

// k[0] Reduce, k[1] ReduceType, k[2] elements, k[3] space, k[4] 1 relaxed 2 acquire 4 release
// (bits), k[5] scope, k[6] has result, k[7] 16-byte exch or cas; args: results, values, (compares)
Flow atomic(Warp& w, const Op& op, uint32_t mask) {
  Reduce r = Reduce(op.k[0]);
  ReduceType t = ReduceType(op.k[1]);
  int n = op.k[2], each = op.k[7] ? 16 : reduce_bytes(t);
  uint32_t bytes = uint32_t(n * each);
  const Row *d = w.args(op), *v = d + (op.k[6] ? n : 0), *c = v + n;
  bool wide = each == 8, changed = false;
  // Clearing and setting bits without asking what they were is how fields are written.
  bool keeps_bits = !op.k[6] && (r == Reduce::and_ || r == Reduce::or_);
  auto get = [&](Row row, int l) {
    return wide ? w.row64(row)[l] : uint64_t(w.row32(row)[l]) & (each == 2 ? 0xffffu : ~0u);
  };
  for (uint32_t m = mask; m; m &= m - 1) {
    int l = std::countr_zero(m);
    Located at;
    if (!locate(w, op, l, Space(op.k[3]), lane_address(w, op, l), bytes, bytes, Intent::update, at))
      return Flow::stop;
    if (w.check_init && !all_valid(at, bytes) && r != Reduce::exch && !keeps_bits)
      report_uninit_memory(w, op, l, Space(op.k[3]), lane_address(w, op, l));
    if (w.cluster->race && at.shadow) {
      Scope s = Scope(op.k[5]);
      race_access(w, op, l, at, bytes, Touch::atomic, s);
      if (op.k[6]) race_acquire(w, l, at.object, s, op.k[4] & 2);
      race_release(w, l, at.object, s, true, op.k[4] & 4);
    }
    uint64_t loaded[8][2];
    if (op.k[7]) {
      uint64_t old[2];
      std::memcpy(old, at.bytes, 16);
      bool store = true;
      if (r == Reduce::cas) {
        store = old[0] == w.row64(v[0])[l] && old[1] == w.row64(v[0] + 64)[l];
      }
      Row value = r == Reduce::cas ? c[0] : v[0];
      uint64_t now[2] = {w.row64(value)[l], w.row64(value + 64)[l]};
      if (store) {
        changed |= std::memcmp(old, now, 16) != 0;
        std::memcpy(at.bytes, now, 16);
        mark_valid(at, 16);
      }
      w.row64(d[0])[l] = old[0];
      w.row64(d[0] + 64)[l] = old[1];
      continue;
    }
    for (int i = 0; i < n; ++i) {
      uint64_t old = 0;
      std::memcpy(&old, at.bytes + i * each, size_t(each));
      // cas takes compare first, then the new value.
      uint64_t now = r == Reduce::cas ? reduce_bits(r, t, old, get(c[i], l), get(v[i], l))
                                      : reduce_bits(r, t, old, get(v[i], l));
      changed |= now != old;
      std::memcpy(at.bytes + i * each, &now, size_t(each));
      loaded[i][0] = old;
    }
    mark_valid(at, bytes);
    if (op.k[6])
      for (int i = 0; i < n; ++i) {
        if (wide) w.row64(d[i])[l] = loaded[i][0];
        else w.row32(d[i])[l] = uint32_t(loaded[i][0]);
      }
  }
  if (changed) progress(w);
  else ++w.polls;
  return Flow::next;
}

void order(Builder& b, Scope otherwise) {
  b.op.k[4] = uint8_t(1 | (b.has("acquire") || b.has("acq_rel") ? 2 : 0) |
                      (b.has("release") || b.has("acq_rel") ? 4 : 0));
  b.op.k[5] = uint8_t(scope_of(b, otherwise));
  Space s = b.space();
  if (s != Space::shared) b.op.flags |= kFlagGlobalSync;
}

}  // namespace

bool build_atomic(Builder& b) {
  bool is_atom = b.opcode() == "atom";
  std::string_view t = b.last_mod();
  Reduce r = Reduce::exch;
  for (auto m : b.in.mods)
    if (find_reduce(m, r)) break;
  size_t operands = (is_atom ? 3u : 2u) + (r == Reduce::cas ? 1u : 0u);
  if (!b.expect_operands(operands, operands + (b.has("L2::cache_hint") ? 1 : 0))) return false;
  Op& op = b.op;
  op.k[0] = uint8_t(r);
  op.k[7] = t == "b128";
  ReduceType type = ReduceType::b64;
  if (!op.k[7] && !find_reduce_type(t, type)) return b.fail("unknown type");
  op.k[1] = uint8_t(type);
  int n = b.has("v2") ? 2 : b.has("v4") ? 4 : b.has("v8") ? 8 : 1;
  int bits = op.k[7] ? 128 : 8 * reduce_bytes(type);
  if (n * bits > 128) return b.fail("the vector is wider than 16 bytes");
  op.k[2] = uint8_t(n);
  op.k[3] = uint8_t(b.space());
  op.k[6] = is_atom;
  order(b, Scope::gpu);
  size_t i = 0;
  if (is_atom && !vector_rows(b, i++, size_t(n), bits, true)) return false;
  if (!b.address(i++)) return false;
  if (!vector_rows(b, i++, size_t(n), bits, false)) return false;
  if (r == Reduce::cas && !vector_rows(b, i++, size_t(n), bits, false)) return false;
  if (op.k[7] && is_atom) op.flags |= 0;
  op.exec = atomic;
  return true;
}

namespace {

// Multimem addresses: with one device, the multicast object is the memory itself.
Flow multimem_load(Warp& w, const Op& op, uint32_t mask) {
  int n = op.k[2], each = reduce_bytes(ReduceType(op.k[1]));
  uint32_t bytes = uint32_t(n * each);
  const Row* d = w.args(op);
  for (uint32_t m = mask; m; m &= m - 1) {
    int l = std::countr_zero(m);
    Located at;
    if (!locate(w, op, l, Space::global, lane_address(w, op, l), bytes, bytes, Intent::read, at))
      return Flow::stop;
    if (w.check_init && !all_valid(at, bytes))
      report_uninit_memory(w, op, l, Space::global, lane_address(w, op, l));
    if (w.cluster->race && at.shadow) {
      race_access(w, op, l, at, bytes, op.k[4] ? Touch::strong_read : Touch::read, Scope(op.k[5]));
      if (op.k[4]) race_acquire(w, l, at.object, Scope(op.k[5]), op.k[4] & 2);
    }
    for (int i = 0; i < n; ++i) {
      uint64_t v = 0;
      std::memcpy(&v, at.bytes + i * each, size_t(each));
      if (each == 8) w.row64(d[i])[l] = v;
      else w.row32(d[i])[l] = uint32_t(v);
    }
  }
  return Flow::next;
}
Flow multimem_store(Warp& w, const Op& op, uint32_t mask) {
  int n = op.k[2], each = reduce_bytes(ReduceType(op.k[1]));
  uint32_t bytes = uint32_t(n * each);
  const Row* s = w.args(op);
  for (uint32_t m = mask; m; m &= m - 1) {
    int l = std::countr_zero(m);
    Located at;
    if (!locate(w, op, l, Space::global, lane_address(w, op, l), bytes, bytes, Intent::write, at))
      return Flow::stop;
    if (w.cluster->race && at.shadow) {
      race_access(w, op, l, at, bytes, op.k[4] ? Touch::strong_write : Touch::write,
                  Scope(op.k[5]));
      if (op.k[4]) race_release(w, l, at.object, Scope(op.k[5]), false, op.k[4] & 4);
    }
    for (int i = 0; i < n; ++i) {
      uint64_t v = each == 8 ? w.row64(s[i])[l] : w.row32(s[i])[l];
      std::memcpy(at.bytes + i * each, &v, size_t(each));
    }
    mark_valid(at, bytes);
  }
  progress(w);
  return Flow::next;
}

}  // namespace

bool build_multimem(Builder& b) {
  if (!b.expect_operands(2)) return false;
  Op& op = b.op;
  ReduceType type;
  if (!find_reduce_type(b.last_mod(), type)) return b.fail("unknown type");
  int n = b.has("v2") ? 2 : b.has("v4") ? 4 : b.has("v8") ? 8 : 1, bits = 8 * reduce_bytes(type);
  if (n * bits > 128) return b.fail("the vector is wider than 16 bytes");
  op.k[1] = uint8_t(type), op.k[2] = uint8_t(n);
  op.k[3] = uint8_t(Space::global);
  bool strong = b.has("relaxed") || b.has("acquire") || b.has("release") || b.has("red");
  if (strong) order(b, Scope::gpu);
  if (b.has("ld_reduce")) {
    op.exec = multimem_load;
    return vector_rows(b, 0, size_t(n), bits, true) && b.address(1);
  }
  if (b.has("st")) {
    op.exec = multimem_store;
    return b.address(0) && vector_rows(b, 1, size_t(n), bits, false);
  }
  Reduce r = Reduce::add;
  for (auto m : b.in.mods)
    if (m != "red" && find_reduce(m, r)) break;
  op.k[0] = uint8_t(r);
  op.exec = atomic;
  return b.address(0) && vector_rows(b, 1, size_t(n), bits, false);
}

}  // namespace tess::ptxsim
