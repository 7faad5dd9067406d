// Kernels of reductions, scans, argmin and argmax, sort and topk.
//
// A tile is [outer, n, inner] around the dimension worked on. Reductions combine neighbours level
// by level, which is the tree that splits at the largest power of two below n; the whole array is
// one vectorised loop per level where n is even.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "vm/interp/bulk.h"
#include "vm/interp/elementwise.h"
#include "vm/interp/nd_copy.h"

namespace tess::interp {
namespace {

struct Box {
  int64_t outer = 1, n = 1, inner = 1;
};
Box box_of(const Shape& shape, int dim) {
  Box box;
  for (int d = 0; d < shape.rank; ++d)
    (d < dim ? box.outer : d == dim ? box.n : box.inner) *= shape[d];
  return box;
}

// How two elements become one.
struct Combine {
  Elementwise e;
  StripFn fn = nullptr;
  FastLoop pairs = nullptr;  // on neighbours, where there is one
  void run(void* d, const void* a, const void* b, int64_t n) const {
    fn({d, {a, b, nullptr}, static_cast<size_t>(n), e.in[0], e.out, &e, nullptr});
  }
};
Combine combine_of(Binder& b, FastOp op, Naive naive) {
  Combine c;
  DType t = b.arg(0).type;
  c.e.naive = naive;
  c.e.op = op;
  c.e.in[0] = c.e.in[1] = c.e.out = t;
  c.e.n_in = 2;
  c.e.nan = b.has(AttrTag::nan);
  if (c.e.nan && op == FastOp::min) c.e.op = FastOp::min_nan;
  if (c.e.nan && op == FastOp::max) c.e.op = FastOp::max_nan;
  c.fn = choose_loop(c.e, b.naive());
  bool plain = t.is_int() || t.is_bool() || t == dt::f32_ || t == dt::f64_;
  if (!b.naive() && plain) c.pairs = pair_loop(c.e.op, carrier_of(t));
  return c;
}

uint64_t add_codes(Element& e) { return arith_any(e.t, '+', e.a, e.b); }
uint64_t mul_codes(Element& e) { return arith_any(e.t, '*', e.a, e.b); }
uint64_t min_codes(Element& e) { return min_code(e.t, e.a, e.b, e.nan); }
uint64_t max_codes(Element& e) { return max_code_of(e.t, e.a, e.b, e.nan); }
uint64_t and_codes(Element& e) { return e.a & e.b; }
uint64_t or_codes(Element& e) { return e.a | e.b; }
uint64_t xor_codes(Element& e) { return e.a ^ e.b; }

// --- reduce

struct Reduce {
  Operand d, a;
  Box box;
  Combine combine;
  uint64_t work = 0, even = 0, odd = 0;  // scratch
  uint64_t local = kNoRegister;          // scratch for the levels of a chunk, if it is small
};
constexpr int64_t kStrip = 1024;    // elements of the even and odd buffers
constexpr int64_t kWideInner = 16;  // rows of at least so many elements are combined in place

// Combines `pairs` neighbouring pairs of groups of `inner` elements; d may be a.
void combine_pairs(Strand& s, const Reduce& x, uint8_t* d, const uint8_t* a, int64_t pairs) {
  int64_t bytes = x.a.bytes(), inner = x.box.inner, row = inner * bytes;
  if (inner >= kWideInner) {
    for (int64_t i = 0; i < pairs; ++i)
      x.combine.run(d + i * row, a + 2 * i * row, a + (2 * i + 1) * row, inner);
    return;
  }
  if (inner == 1 && x.combine.pairs)
    return x.combine.pairs(d, a, nullptr, nullptr, static_cast<size_t>(pairs), x.a.type.bits);
  uint8_t *even = s.regs + x.even, *odd = s.regs + x.odd;
  int64_t strip = kStrip / inner;
  for (int64_t i = 0; i < pairs; i += strip) {
    int64_t n = std::min(strip, pairs - i);
    const uint8_t* from = a + 2 * i * row;
    if (inner == 1)
      deinterleave_loop(static_cast<int>(bytes), from, even, odd, static_cast<size_t>(n));
    else
      for (int64_t k = 0; k < n; ++k) {
        std::memcpy(even + k * row, from + 2 * k * row, static_cast<size_t>(row));
        std::memcpy(odd + k * row, from + (2 * k + 1) * row, static_cast<size_t>(row));
      }
    x.combine.run(d + i * row, even, odd, n * inner);
  }
}

// Levels over `runs` runs of n elements, n even at each: the result of a run is n >> levels
// elements. Done for so many runs at a time that all levels stay in the first cache.
void combine_levels(Strand& s, const Reduce& x, uint8_t* d, const uint8_t* a, int64_t runs,
                    int64_t n, int levels) {
  constexpr int64_t kChunkBytes = 16 * 1024;
  int64_t row = x.box.inner * x.a.bytes(), unit = int64_t{1} << levels;
  int64_t units = runs * n / unit;  // each becomes one element
  int64_t chunk = std::max<int64_t>(1, kChunkBytes / (unit * row));
  uint8_t* local = s.regs + x.local;
  for (int64_t u = 0; u < units; u += chunk) {
    int64_t take = std::min(chunk, units - u);
    const uint8_t* from = a + u * unit * row;
    for (int level = 1; level <= levels; ++level) {
      uint8_t* to = level == levels ? d + u * row : local;
      combine_pairs(s, x, to, from, take * (unit >> level));
      from = local;
    }
  }
}

Flow run_reduce(Strand& s, const Reduce& x) {
  int64_t n = x.box.n, row = x.box.inner * x.a.bytes();
  const uint8_t* from = x.a.at(s);
  uint8_t* work = s.regs + x.work;
  if (int levels = std::min(std::countr_zero(static_cast<uint64_t>(n)), 8);
      levels > 1 && x.local != kNoRegister) {
    combine_levels(s, x, work, from, x.box.outer, n, levels);
    n >>= levels;
    from = work;
  }
  while (n > 1) {
    if (n % 2 == 0) {
      combine_pairs(s, x, work, from, x.box.outer * (n / 2));
    } else {
      for (int64_t o = 0; o < x.box.outer; ++o) {
        const uint8_t* a = from + o * n * row;
        uint8_t* d = work + o * (n / 2 + 1) * row;
        combine_pairs(s, x, d, a, n / 2);
        std::memmove(d + n / 2 * row, a + (n - 1) * row, static_cast<size_t>(row));
      }
    }
    n = (n + 1) / 2;
    from = work;
  }
  std::memmove(x.d.at(s), from, static_cast<size_t>(x.d.size()));
  return Flow::next;
}

void bind_reduce(Binder& b, FastOp op, Naive naive) {
  Reduce x;
  x.d = b.result();
  x.a = b.arg(0);
  if (b.has(AttrTag::dim)) x.box = box_of(x.a.shape, b.dim(x.a.shape.rank, 0));
  else x.box.n = x.a.n;
  x.combine = combine_of(b, op, naive);
  int64_t half = x.box.outer * ((x.box.n + 1) / 2) * x.box.inner;
  x.work = b.scratch(static_cast<uint64_t>(half * x.a.bytes()));
  constexpr int64_t kMostLocal = 64 * 1024;
  int64_t unit = std::min<int64_t>(x.box.n & -x.box.n, 256) * x.box.inner * x.a.bytes();
  if (unit <= kMostLocal) x.local = b.scratch(static_cast<uint64_t>(std::max(unit, kMostLocal)));
  int64_t strip = std::max(kStrip, x.box.inner) * x.a.bytes();
  x.even = b.scratch(static_cast<uint64_t>(strip));
  x.odd = b.scratch(static_cast<uint64_t>(strip));
  b.emit<run_reduce>(x);
}

// --- order: a key for each element whose ascending order is the wanted one, NaN last

uint64_t float_key(double v) {
  v += 0.0;  // -0 equals 0
  uint64_t bits = std::bit_cast<uint64_t>(v);
  return bits >> 63 ? ~bits : bits | uint64_t{1} << 63;
}
struct Ordering {
  DType t;
  bool descending;
  bool is_nan(uint64_t code) const { return is_nan_code(t, code); }
  uint64_t key(uint64_t code) const {
    if (is_nan(code)) return ~uint64_t{0};
    uint64_t k = t.is_float() ? float_key(decode_float(t, code))
                              : static_cast<uint64_t>(decode_int(t, code)) ^
                                    (t.is_signed() ? uint64_t{1} << 63 : 0);
    return descending ? ~k : k;
  }
};

struct Order {
  Operand d, index, a;  // d or index may be absent
  Box box;
  Ordering ordering;
  int64_t count;  // how many of each row to give
};

// The extreme integer's key may equal NaN's, but integers have no NaN; no finite float reaches it.
Flow run_arg(Strand& s, const Order& x) {
  const uint8_t* a = x.a.at(s);
  int32_t* d = x.index.in<int32_t>(s);
  for (int64_t o = 0; o < x.box.outer; ++o)
    for (int64_t i = 0; i < x.box.inner; ++i) {
      int64_t best = 0;
      uint64_t best_key = 0;
      for (int64_t k = 0; k < x.box.n; ++k) {
        uint64_t key = x.ordering.key(
            carrier_code(x.a.type, a, static_cast<size_t>((o * x.box.n + k) * x.box.inner + i)));
        if (k == 0 || key < best_key) best = k, best_key = key;
      }
      d[o * x.box.inner + i] = static_cast<int32_t>(best);
    }
  return Flow::next;
}

Flow run_order(Strand& s, const Order& x) {
  const uint8_t* a = x.a.at(s);
  int bytes = x.a.bytes();
  std::vector<uint64_t> keys(static_cast<size_t>(x.box.n));
  std::vector<int32_t> order(static_cast<size_t>(x.box.n));
  for (int64_t o = 0; o < x.box.outer; ++o)
    for (int64_t i = 0; i < x.box.inner; ++i) {
      auto element = [&](int64_t k) { return (o * x.box.n + k) * x.box.inner + i; };
      for (int64_t k = 0; k < x.box.n; ++k)
        keys[static_cast<size_t>(k)] =
            x.ordering.key(carrier_code(x.a.type, a, static_cast<size_t>(element(k))));
      std::iota(order.begin(), order.end(), 0);
      auto before = [&](int32_t p, int32_t q) {
        uint64_t kp = keys[static_cast<size_t>(p)], kq = keys[static_cast<size_t>(q)];
        return kp != kq ? kp < kq : p < q;
      };
      if (x.count < x.box.n)
        std::partial_sort(order.begin(), order.begin() + x.count, order.end(), before);
      else std::sort(order.begin(), order.end(), before);
      for (int64_t k = 0; k < x.count; ++k) {
        int64_t to = (o * x.count + k) * x.box.inner + i;
        int32_t from = order[static_cast<size_t>(k)];
        if (x.d)
          std::memcpy(x.d.at(s) + to * bytes, a + element(from) * bytes,
                      static_cast<size_t>(bytes));
        if (x.index) x.index.in<int32_t>(s)[to] = from;
      }
    }
  return Flow::next;
}

Order order_of(Binder& b, bool descending) {
  Order x;
  x.a = b.arg(0);
  x.box = box_of(x.a.shape, b.dim(x.a.shape.rank, x.a.shape.rank - 1));
  x.ordering = {x.a.type, descending};
  x.count = b.attr(AttrTag::count).value_or(x.box.n);
  return x;
}
void bind_order(Binder& b, bool descending) {
  Order x = order_of(b, descending);
  x.d = b.result(0);
  if (b.n_results() > 1) x.index = b.result(1);
  b.emit<run_order>(x);
}
void bind_arg(Binder& b, bool greatest) {
  Order x = order_of(b, greatest);
  x.index = b.result();
  b.emit<run_arg>(x);
}

// --- scan: element i combines the first i + 1 elements by the tree of reduce

struct Scan {
  Operand d, a;
  int64_t n, lanes;
  bool exclusive, reverse;
  Combine combine;
  NdCopy to_rows, from_rows;
  uint64_t rows, sums;  // scratch: [n, lanes] in scan order, and the sums of aligned runs
  uint64_t identity;    // one carrier
};
constexpr int kMostLevels = 26;  // 2^24 elements and one running value

Flow run_scan(Strand& s, const Scan& x) {
  int bytes = x.a.bytes();
  int64_t row = x.lanes * bytes;
  uint8_t *rows = s.regs + x.rows, *sums = s.regs + x.sums;
  run_nd_copy(x.to_rows, rows, x.a.at(s));
  auto level = [&](int i) { return sums + i * row; };
  uint8_t* prefix = level(kMostLevels);
  if (x.exclusive) fill_carriers(bytes, prefix, x.lanes, &x.identity);
  // After i elements, level l holds the sum of an aligned run of 2^l of them for every bit l of i.
  for (int64_t i = 0; i < x.n; ++i) {
    uint8_t* here = rows + (x.reverse ? x.n - 1 - i : i) * row;
    uint8_t* carry = level(kMostLevels + 1);
    std::memcpy(carry, here, static_cast<size_t>(row));
    int l = 0;
    for (; i >> l & 1; ++l) x.combine.run(carry, level(l), carry, x.lanes);
    std::memcpy(level(l), carry, static_cast<size_t>(row));
    if (x.exclusive) std::memcpy(here, prefix, static_cast<size_t>(row));
    int64_t held = i + 1;
    bool first = true;
    for (int k = 0; held >> k; ++k) {
      if (!(held >> k & 1)) continue;
      if (first) std::memcpy(prefix, level(k), static_cast<size_t>(row));
      else x.combine.run(prefix, level(k), prefix, x.lanes);
      first = false;
    }
    if (!x.exclusive) std::memcpy(here, prefix, static_cast<size_t>(row));
  }
  run_nd_copy(x.from_rows, x.d.at(s), rows);
  return Flow::next;
}

uint64_t least_code(DType t) {
  if (t.is_float()) return encode_float(t, -INFINITY);
  return t.is_signed() ? uint64_t{1} << (t.bits - 1) : 0;
}
uint64_t greatest_code(DType t) { return t.is_float() ? encode_float(t, INFINITY) : max_code(t); }

void bind_scan(Binder& b, FastOp op, Naive naive, uint64_t (*identity)(DType)) {
  Scan x;
  x.d = b.result();
  x.a = b.arg(0);
  Box box = box_of(x.a.shape, b.dim(x.a.shape.rank, x.a.shape.rank - 1));
  x.n = box.n;
  x.lanes = box.outer * box.inner;
  x.exclusive = b.has(AttrTag::exclusive);
  x.reverse = b.has(AttrTag::reverse);
  x.combine = combine_of(b, op, naive);
  int64_t to[3] = {box.inner, x.lanes, 1}, from[3] = {box.n * box.inner, box.inner, 1},
          n[3] = {box.outer, box.n, box.inner};
  x.to_rows.bytes = x.from_rows.bytes = x.a.bytes();
  for (int d = 0; d < 3; ++d) {
    x.to_rows.dim(n[d], to[d], from[d]);
    x.from_rows.dim(n[d], from[d], to[d]);
  }
  x.to_rows.prepare();
  x.from_rows.prepare();
  x.rows = b.scratch(static_cast<uint64_t>(x.a.size()));
  x.sums = b.scratch(static_cast<uint64_t>((kMostLevels + 2) * x.lanes * x.a.bytes()));
  x.identity = 0;
  set_carrier(x.a.type, &x.identity, 0, identity(x.a.type));
  b.emit<run_scan>(x);
}

uint64_t zero_of(DType) { return 0; }
uint64_t ones_of(DType t) { return t.is_bool() ? 1 : truncated(t, ~uint64_t{0}); }

}  // namespace

KERNEL(reduce_add) { bind_reduce(b, FastOp::add, add_codes); }
KERNEL(reduce_mul) { bind_reduce(b, FastOp::mul, mul_codes); }
KERNEL(reduce_min) { bind_reduce(b, FastOp::min, min_codes); }
KERNEL(reduce_max) { bind_reduce(b, FastOp::max, max_codes); }
KERNEL(reduce_and) { bind_reduce(b, FastOp::and_, and_codes); }
KERNEL(reduce_or) { bind_reduce(b, FastOp::or_, or_codes); }
KERNEL(reduce_xor) { bind_reduce(b, FastOp::xor_, xor_codes); }
KERNEL(reduce_any) { bind_reduce(b, FastOp::or_, or_codes); }
KERNEL(reduce_all) { bind_reduce(b, FastOp::and_, and_codes); }
KERNEL(reduce_argmin) { bind_arg(b, false); }
KERNEL(reduce_argmax) { bind_arg(b, true); }

KERNEL(scan_add) { bind_scan(b, FastOp::add, add_codes, zero_of); }
KERNEL(scan_mul) { bind_scan(b, FastOp::mul, mul_codes, one_code); }
KERNEL(scan_min) { bind_scan(b, FastOp::min, min_codes, greatest_code); }
KERNEL(scan_max) { bind_scan(b, FastOp::max, max_codes, least_code); }
KERNEL(scan_and) { bind_scan(b, FastOp::and_, and_codes, ones_of); }
KERNEL(scan_or) { bind_scan(b, FastOp::or_, or_codes, zero_of); }
KERNEL(scan_xor) { bind_scan(b, FastOp::xor_, xor_codes, zero_of); }

KERNEL(sort) { bind_order(b, b.has(AttrTag::descending)); }
KERNEL(topk) { bind_order(b, !b.has(AttrTag::smallest)); }

}  // namespace tess::interp
