// Kernels of the atomics.
#include "vm/interp/atomics.h"

#include <atomic>
#include <cmath>
#include <cstring>

#include "vm/interp/bulk.h"
#include "vm/interp/elementwise.h"
#include "vm/interp/memory_ops.h"

namespace tess::interp {

uint64_t atomic_combined(Op op, DType t, uint64_t old, uint64_t v, uint64_t expected) {
  switch (op) {
    case Op::atomic_add: {
      if (t == dt::f32_) {
        float sum = std::bit_cast<float>(static_cast<uint32_t>(old)) +
                    std::bit_cast<float>(static_cast<uint32_t>(v));
        return std::isnan(sum) ? nan_code(t) : std::bit_cast<uint32_t>(sum);
      }
      return arith_any(t, '+', old, v);
    }
    case Op::atomic_min:
      return min_code(t, old, v, false);
    case Op::atomic_max:
      return max_code_of(t, old, v, false);
    case Op::atomic_and:
      return old & v;
    case Op::atomic_or:
      return old | v;
    case Op::atomic_xor:
      return old ^ v;
    case Op::atomic_exch:
      return v;
    default:
      return old == expected ? v : old;  // cas
  }
}

namespace {

struct Atomic {
  Op op;
  AccessPlan plan;
  Operand d, v, expected;  // d and expected may be absent
  MaskView v_at, expected_at, mask;
  bool report = false;
  bool deferred = false;  // a float without result: applied at the block's turn
  bool shared_by_threads = false;
  bool acquires = false, releases = false;
};

uint64_t combined(const Atomic& x, uint64_t old, uint64_t v, uint64_t expected) {
  return atomic_combined(x.op, x.v.type, old, v, expected);
}

template <class T>
uint64_t apply_one(const Atomic& x, uint8_t* memory, uint64_t v, uint64_t expected) {
  T* place = reinterpret_cast<T*>(memory);
  if (!x.shared_by_threads) {
    T old = *place;
    *place = static_cast<T>(combined(x, old, v, expected));
    return old;
  }
  std::atomic_ref<T> word(*place);
  if (x.op == Op::atomic_add && x.v.type.is_int())
    return word.fetch_add(static_cast<T>(v), std::memory_order_relaxed);
  T old = word.load(std::memory_order_relaxed);
  while (!word.compare_exchange_weak(old, static_cast<T>(combined(x, old, v, expected)),
                                     std::memory_order_relaxed)) {
  }
  return old;
}

struct Sources {
  const uint8_t *v, *expected, *mask;
  uint8_t* d;
};

// False if an element was read that was never written.
bool apply(const Atomic& x, const Region& r, const Sources& from) {
  bool known = true;
  int bits = x.v.type.bits;
  bool reads = x.op != Op::atomic_exch || from.d;
  walk(r, [&](const Run& run) {
    for (int64_t i = 0; i < run.n; ++i) {
      Run one = single(run, i);
      if (from.mask && !from.mask[x.mask.offset(one.tile)]) continue;
      if (r.written) {
        if (reads && !run_written(*r.written, r.type, one)) known = false;
        mark_written(*r.written, r.type, one);
      }
      uint64_t v = carrier_code(x.v.type, from.v, static_cast<size_t>(x.v_at.offset(one.tile)));
      uint64_t expected = from.expected
                              ? carrier_code(x.v.type, from.expected,
                                             static_cast<size_t>(x.expected_at.offset(one.tile)))
                              : 0;
      uint8_t* memory = r.base + one.bit / 8;
      uint64_t old = bits == 16   ? apply_one<uint16_t>(x, memory, v, expected)
                     : bits == 32 ? apply_one<uint32_t>(x, memory, v, expected)
                                  : apply_one<uint64_t>(x, memory, v, expected);
      if (from.d) set_carrier(x.v.type, from.d, static_cast<size_t>(one.tile), old);
    }
  });
  return known;
}

// What the operation orders, word by word; without an order it takes part in what fences order.
Flow order_words(Strand& s, const Atomic& x, const Region& r) {
  Flow flow = Flow::next;
  walk(r, [&](const Run& run) {
    for (int64_t i = 0; i < run.n && flow == Flow::next; ++i) {
      Run one = single(run, i);
      if (x.mask && !x.mask.at(s, one.tile)) continue;
      flow = touch(s, r, one, Touch::atomic, x.plan.base);
      const uint8_t* word = r.base + one.bit / 8;
      acquire_word(s, word, !x.acquires);
      release_word(s, word, !x.releases);
    }
  });
  return flow;
}

Flow run_atomic(Strand& s, const Atomic& x) {
  Region r;
  if (resolve(s, x.plan, r) != Flow::next) return Flow::trap;
  if (s.tracked && order_words(s, x, r) != Flow::next) return Flow::trap;
  if (s.launch->ordered) ++s.launch->memory_changes;
  if (x.report && !x.mask && !r.inside()) return report_bounds(s, x.plan.base);
  Sources from{x.v.at(s), x.expected ? x.expected.at(s) : nullptr,
               x.mask ? x.mask.operand.at(s) : nullptr, x.d ? x.d.at(s) : nullptr};
  if (x.d) std::memset(from.d, 0, static_cast<size_t>(x.d.size()));
  if (!x.deferred) return apply(x, r, from) ? Flow::next : report_unwritten(s, x.plan.base);
  auto record = std::make_unique<Deferred::Atomic>();
  record->decoded = &x;
  record->region = r;
  if (r.gather) {
    record->gather.assign(r.gather, r.gather + r.n[r.gather_dim]);
    record->region.gather = record->gather.data();
  }
  record->value.assign(from.v, from.v + x.v.size());
  if (from.mask) record->mask.assign(from.mask, from.mask + x.mask.operand.size());
  if (r.written) {
    bool known = true;
    walk(r, [&](const Run& run) {
      if (!x.mask) {
        known &= run_written(*r.written, r.type, run);
        return;
      }
      for (int64_t i = 0; i < run.n; ++i) {
        Run one = single(run, i);
        if (x.mask.at(s, one.tile)) known &= run_written(*r.written, r.type, one);
      }
    });
    if (!known) return report_unwritten(s, x.plan.base);
  }
  s.deferred->bytes +=
      record->value.size() + record->mask.size() + record->gather.size() * 4 + sizeof *record;
  s.deferred->items.push_back({std::move(record), nullptr});
  return Flow::next;
}

void bind_atomic(Binder& b) {
  Atomic x;
  x.op = b.inst().op;
  x.plan = b.access(0);
  bool cas = x.op == Op::atomic_cas;
  if (cas) x.expected = b.arg(1);
  x.v = b.arg(cas ? 2 : 1);
  if (b.n_results()) x.d = b.result();
  Shape tile = shape_of(x.plan);
  x.v_at = MaskView(x.v, tile);
  x.expected_at = MaskView(x.expected, tile);
  size_t mask = cas ? 3 : 2;
  if (b.has_arg(mask)) x.mask = MaskView(b.arg(mask), tile);
  x.report = b.options().report_out_of_bounds;
  x.acquires = b.has(AttrTag::acquire) || b.has(AttrTag::acq_rel);
  x.releases = b.has(AttrTag::release) || b.has(AttrTag::acq_rel);
  bool global = x.plan.base_type.space == Space::global;
  x.deferred = global && !b.program().ordered && x.v.type.is_float();
  x.shared_by_threads = global && !b.program().ordered && !x.deferred;
  b.emit<run_atomic>(x);
}

}  // namespace

void apply_deferred(const Deferred::Atomic& a) {
  const Atomic& x = *static_cast<const Atomic*>(a.decoded);
  apply(x, a.region, {a.value.data(), nullptr, a.mask.empty() ? nullptr : a.mask.data(), nullptr});
}

KERNEL(atomic_add) { bind_atomic(b); }
KERNEL(atomic_min) { bind_atomic(b); }
KERNEL(atomic_max) { bind_atomic(b); }
KERNEL(atomic_and) { bind_atomic(b); }
KERNEL(atomic_or) { bind_atomic(b); }
KERNEL(atomic_xor) { bind_atomic(b); }
KERNEL(atomic_exch) { bind_atomic(b); }
KERNEL(atomic_cas) { bind_atomic(b); }

}  // namespace tess::interp
