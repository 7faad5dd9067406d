// The laws of the algebra on random layouts, each against enumeration.
#include <map>
#include <set>

#include "isa/layout_bits.h"
#include "isa/layout_cute.h"
#include "tests/unit/layout_random.h"

using namespace tess;

namespace {
constexpr int kCases = 400;
using Vector = std::vector<int64_t>;

// Is the function of one coordinate a sum over mixed-radix digits? By trying every divisor first.
bool is_digit_sum(const Vector& f) {
  size_t n = f.size();
  if (n <= 1) return true;
  for (size_t first = 2; first <= n; ++first) {
    if (n % first != 0) continue;
    bool line = true, additive = true;
    for (size_t k = 0; k < first; ++k)
      line = line && f[k] - f[0] == static_cast<int64_t>(k) * (f[1] - f[0]);
    if (!line) continue;
    Vector outer;
    for (size_t j = 0; j < n / first; ++j) {
      outer.push_back(f[j * first]);
      for (size_t k = 0; k < first; ++k)
        additive = additive && f[j * first + k] - f[0] == (f[j * first] - f[0]) + (f[k] - f[0]);
    }
    if (additive && is_digit_sum(outer)) return true;
  }
  return false;
}

bool is_affine_f2(const Vector& f) {
  for (size_t bit = 1; bit < f.size(); bit *= 2)
    for (size_t x = 0; x < f.size(); ++x)
      if (!(x & bit) && (x | bit) < f.size() && (f[x] ^ f[x | bit]) != (f[0] ^ f[bit]))
        return false;
  return (f.size() & (f.size() - 1)) == 0;
}

Vector flat_values(const Layout& l) {
  Vector v;
  for (const LayoutPoint& p : all_points(l)) v.push_back(apply(l, p)[0]);
  return v;
}
}  // namespace

TEST_CASE("composition is A(B(x)) at every x, and refused only where no layout is") {
  int refused = 0, accepted = 0;
  law("compose", 4 * kCases, [&] {
    Layout a = random_memory({false, chance(25), chance(40), 2, 6});
    Layout flat = require_value(coalesce(a));
    int64_t size = size_of(flat, Label::dim, 0);
    RC_PRE(size >= 2);
    Layout b;
    if (chance(60)) {
      int64_t d = random_in(0, std::min<int64_t>(size - 1, 5)),
              s = d == 0 ? random_in(1, 5)
                         : random_in(1, std::min<int64_t>(12, (size - 1) / d + 1));
      b = require_value(strided({s}, {d}));
    } else {
      b = random_memory({false, chance(20), chance(70), 2, 3});
      RC_PRE(extent_of(b) <= size);
    }
    auto r = compose(flat, b);
    std::vector<Vector> parts;
    if (r) {
      ++accepted;
      RC_ASSERT(input_shape(*r) == input_shape(b));
      for (const LayoutPoint& p : all_points(b))
        RC_ASSERT(apply(*r, p) == apply(flat, LayoutPoint{0, 0, 0, 0, apply(b, p)}));
    } else {
      ++refused;
      Vector values;
      for (const LayoutPoint& p : all_points(b))
        values.push_back(apply(flat, LayoutPoint{0, 0, 0, 0, apply(b, p)})[0]);
      if (b.dims == 1 && flat.bits.identity()) RC_ASSERT(!is_digit_sum(values));
      if (b.dims == 1) RC_ASSERT(!is_affine_f2(values));
    }
  });
  CHECK(refused >= 8);
  CHECK(accepted > 400);
}

TEST_CASE("composition is associative where every part is admissible, and distributes over modes") {
  law("associativity", kCases, [] {
    Layout a = random_memory({chance(50), chance(30), true, 2, 6}),
           b = random_memory({chance(50), false, true, 2, 4}),
           c = random_memory({chance(50), false, true, 2, 3});
    Layout fa = require_value(coalesce(a)), fb = require_value(coalesce(b));
    RC_PRE(extent_of(b) <= size_of(fa, Label::dim, 0) &&
           extent_of(c) <= size_of(fb, Label::dim, 0));
    auto ab = compose(fa, fb), bc = compose(fb, c);
    RC_PRE(static_cast<bool>(ab) && static_cast<bool>(bc));
    auto left = compose(*ab, c), right = compose(fa, *bc);
    RC_ASSERT(static_cast<bool>(left) == static_cast<bool>(right));
    if (left) RC_ASSERT(*same_map(*left, *right));
  });
  law("A o (B1,B2) = (A o B1, A o B2)", kCases, [] {
    Layout a = require_value(coalesce(random_memory({false, false, true, 2, 6})));
    Layout b = random_memory({false, false, true, 3, 3});
    RC_PRE(extent_of(b) <= size_of(a, Label::dim, 0));
    auto whole = compose(a, b);
    RC_PRE(static_cast<bool>(whole));
    for (int d = 0; d < b.dims; ++d) {
      Layout part = b;
      std::erase_if(part.digits, [&](const Digit& x) { return x.dim != d; });
      Layout mode = require_value(compose(a, require_value(canonical_layout(part))));
      Layout expected = *whole;
      std::erase_if(expected.digits, [&](const Digit& x) { return x.dim != d; });
      RC_ASSERT(*same_map(mode, require_value(canonical_layout(expected))));
    }
  });
}

TEST_CASE("inverses") {
  law("A o rinv(A) = id", kCases, [] {
    bool powers = chance(50);
    Layout a = random_memory({powers, powers && chance(60), chance(80), 3, 6});
    Layout r = require_value(right_inverse(a));
    for (const LayoutPoint& p : all_points(r)) RC_ASSERT(offset_of(a, apply(r, p)) == p.dims[0]);
    bool compact = true;
    std::set<int64_t> values;
    for (int64_t v : flat_values(a)) values.insert(v);
    compact = *values.rbegin() + 1 == static_cast<int64_t>(values.size()) && *values.begin() == 0;
    if (compact && static_cast<int64_t>(values.size()) == input_size(a))
      RC_ASSERT(input_size(r) == input_size(a));
  });
  law("linv(A) o A = id for injective A", kCases, [] {
    bool powers = chance(50);
    Layout a = random_memory({powers, powers && chance(60), true, 3, 5});
    auto r = left_inverse(a);
    if (!r) {
      RC_ASSERT(!powers);
      return;
    }
    for (const LayoutPoint& p : all_points(a)) {
      LayoutPoint q{0, 0, 0, 0, apply(a, p)};
      Vector back = apply(*r, q);
      RC_ASSERT(back == p.dims);
    }
  });
  law("register layouts invert too", kCases, [] {
    Layout a = random_registers({chance(50), false, 2, 3});
    Layout r = require_value(right_inverse(a));
    RC_ASSERT(input_size(r) == input_size(a));
    for (const LayoutPoint& p : all_points(r)) {
      Vector v = apply(r, p);
      LayoutPoint q;
      size_t i = 0;
      if (size_of(a, Label::reg) > 1) q.reg = v[i++];
      if (size_of(a, Label::lane) > 1) q.lane = v[i++];
      if (size_of(a, Label::warp) > 1) q.warp = v[i++];
      RC_ASSERT(apply(a, q) == p.dims);
    }
  });
}

TEST_CASE("complement is ordered, disjoint from A, fills the extent, and twice gives A back") {
  law("complement", kCases, [] {
    Layout a = random_memory({chance(50), false, chance(70), 3, 5});
    int64_t extent = random_in(1, 200);
    auto c = complement(a, extent);
    if (!c) {
      // Refused only if, by stride, a mode begins before the one below it ends.
      std::vector<std::pair<int64_t, int64_t>> modes;
      for (const Digit& d : a.digits)
        if (d.out[0] > 0) modes.emplace_back(d.out[0], d.size);
      std::sort(modes.begin(), modes.end());
      int64_t end = 1;
      bool overlaps = false;
      for (auto [stride, size] : modes) overlaps = overlaps || stride < end, end = stride * size;
      RC_ASSERT(overlaps);
      return;
    }
    Vector inner = flat_values(a), outer = flat_values(*c);
    for (size_t i = 1; i < outer.size(); ++i) {
      RC_ASSERT(outer[i] > outer[i - 1]);
      RC_ASSERT(std::find(inner.begin(), inner.end(), outer[i]) == inner.end());
    }
    std::set<int64_t> sums, distinct(inner.begin(), inner.end());
    for (int64_t x : distinct)
      for (int64_t y : outer) RC_ASSERT(sums.insert(x + y).second);
    Layout sorted = require_value(coalesce(a));
    std::erase_if(sorted.digits, [](const Digit& d) { return d.out[0] == 0; });
    std::sort(sorted.digits.begin(), sorted.digits.end(),
              [](const Digit& x, const Digit& y) { return x.out[0] < y.out[0]; });
    sorted = require_value(canonical_layout(sorted));
    bool divides = true;
    for (size_t i = 0; i + 1 < sorted.digits.size(); ++i)
      divides =
          divides &&
          sorted.digits[i + 1].out[0] % (sorted.digits[i].out[0] * sorted.digits[i].size) == 0;
    int64_t filled =
        sorted.digits.empty() ? 1 : sorted.digits.back().out[0] * sorted.digits.back().size;
    if (divides && extent >= filled) {
      for (int64_t v = 0; v < extent; ++v) RC_ASSERT(sums.contains(v));
      if (!(require_value(complement(*c, extent)) == sorted))
        RC_FAIL(print_layout(a) + " " + print_layout(*c) + " " + std::to_string(extent));
    }
  });
}

TEST_CASE("products: pointwise meaning, associativity, and division undoes them") {
  law("product", kCases, [] {
    bool powers = chance(40);
    Layout a = random_registers({powers, true, 2, 2}), b = random_registers({powers, true, 2, 2});
    Layout p = require_value(product(a, b, false));
    RC_ASSERT(input_size(p) == input_size(a) * input_size(b));
    for (const LayoutPoint& x : all_points(a))
      for (const LayoutPoint& y : all_points(b)) {
        LayoutPoint z;
        z.reg = x.reg * size_of(b, Label::reg) + y.reg;
        z.lane = x.lane * size_of(b, Label::lane) + y.lane;
        z.warp = x.warp * size_of(b, Label::warp) + y.warp;
        Vector want = apply(a, x), inner = apply(b, y);
        for (size_t j = 0; j < want.size(); ++j) want[j] = want[j] * b.shape[j] + inner[j];
        RC_ASSERT(apply(p, z) == want);
      }
    RC_ASSERT(require_value(divide(p, b)) == a);
    RC_ASSERT(require_value(left_divide(p, a)) == b);
  });
  law("product is associative", kCases, [] {
    Layout a = random_registers({false, true, 2, 2}), b = random_registers({false, true, 2, 2}),
           c = random_registers({false, true, 2, 2});
    RC_ASSERT(require_value(product(require_value(product(a, b, false)), c, false)) ==
              require_value(product(a, require_value(product(b, c, false)), false)));
  });
  law("thread = thread_a * threads_b + thread_b, whatever is lane and warp", kCases, [] {
    Layout a = random_registers({true, false, 1, 3}), b = random_registers({true, false, 1, 3});
    Layout joined = require_value(product(join_lanes(a), join_lanes(b), false));
    Layout split = split_lanes(joined);
    RC_ASSERT(join_lanes(split) == joined);
    RC_ASSERT(size_of(split, Label::lane) <= 32);
  });
  law("memory products", kCases, [] {
    bool powers = chance(50);
    Layout a = random_memory({powers, false, true, 2, 4}),
           b = random_memory({powers, powers && chance(50), true, 2, 4});
    auto p = product(a, b);
    RC_PRE(static_cast<bool>(p));
    size_t rank = std::max(a.dims, b.dims);
    auto pad = [&](Vector v) {
      v.insert(v.begin(), rank - v.size(), 0);
      return v;
    };
    for (const LayoutPoint& x : all_points(a))
      for (const LayoutPoint& y : all_points(b)) {
        Vector index = pad(x.dims), inner = pad(y.dims), sizes = input_shape(b);
        sizes.insert(sizes.begin(), rank - sizes.size(), 1);
        for (size_t j = 0; j < rank; ++j) index[j] = index[j] * sizes[j] + inner[j];
        RC_ASSERT(offset_of(*p, index) ==
                  offset_of(a, x.dims) * extent_of(b) + offset_of(b, y.dims));
      }
    RC_ASSERT(*same_map(require_value(divide(*p, b)), [&] {
      Layout wide = a;
      while (wide.dims < rank) wide = require_value(unsqueeze(wide, 0));
      return wide;
    }()));
  });
}

TEST_CASE("coalesce, permute, reshape, squeeze, reduce, concat, shift are the array operations") {
  law("memory", kCases, [] {
    bool powers = chance(50);
    Layout a = random_memory({powers, chance(30), chance(80), 3, 5});
    Vector shape = input_shape(a);
    Layout flat = require_value(coalesce(a));
    RC_ASSERT(flat_values(flat) == flat_values(a));
    std::vector<int> order;
    for (int d = 0; d < a.dims; ++d) order.insert(order.begin() + random_in(0, d), d);
    Layout turned = require_value(permute(a, order));
    for (const LayoutPoint& p : all_points(turned)) {
      Vector index(a.dims);
      for (int d = 0; d < a.dims; ++d) index[order[d]] = p.dims[d];
      RC_ASSERT(offset_of(turned, p.dims) == offset_of(a, index));
    }
    int64_t n = input_size(a), rows = pick<int64_t>({1, 2, 3, 4});
    if (n % rows == 0) {
      auto r = reshape(a, {rows, n / rows});
      Vector by_rows;
      Layout row = require_value(row_major(shape));
      std::map<int64_t, int64_t> value_at;
      for (const LayoutPoint& p : all_points(a))
        value_at[offset_of(row, p.dims)] = offset_of(a, p.dims);
      if (r)
        for (int64_t i = 0; i < n; ++i)
          RC_ASSERT(offset_of(*r, {i / (n / rows), i % (n / rows)}) == value_at[i]);
    }
    Layout wide = require_value(unsqueeze(a, static_cast<int>(random_in(0, a.dims))));
    RC_ASSERT(flat_values(wide) == flat_values(a));
  });
  law("registers", kCases, [] {
    Layout a = chance(50) ? random_registers({chance(50), true, 2, 3})
                          : require_value(parse_layout_expr(random_bases({2, 3, 1}, {4, 8})));
    Layout turned = require_value(permute(a, {1, 0}));
    int dim = static_cast<int>(random_in(0, 1));
    Layout reduced = require_value(reduce(a, dim, true));
    int64_t n = a.shape[0] * a.shape[1];
    auto line = reshape(a, {n});
    std::map<std::pair<int64_t, int64_t>, std::set<int64_t>> rows_of_thread, kept;
    for (const LayoutPoint& p : all_points(a)) {
      Vector v = apply(a, p);
      RC_ASSERT(apply(turned, p) == Vector({v[1], v[0]}));
      if (line) RC_ASSERT(apply(*line, p)[0] == v[0] * a.shape[1] + v[1]);
      rows_of_thread[{p.lane, p.warp}].insert(v[1 - dim]);
    }
    for (const LayoutPoint& p : all_points(reduced)) {
      RC_ASSERT(apply(reduced, p)[dim] == 0);
      kept[{p.lane, p.warp}].insert(apply(reduced, p)[1 - dim]);
    }
    RC_ASSERT(kept == rows_of_thread);
    RC_ASSERT(size_of(reduced, Label::lane) == size_of(a, Label::lane));
    Layout b = random_registers({chance(50), false, 1, 2});
    if (a.bits.identity()) {
      Layout both = require_value(concat(a, b));
      RC_ASSERT(both.shape == Vector({a.shape[0], a.shape[1], b.shape[0]}));
      RC_ASSERT(input_size(both) == input_size(a) * input_size(b));
    }
    Layout moved =
        require_value(shift(random_memory({false, false, true, 2, 5}), {random_in(0, 50)}));
    RC_ASSERT(moved.offset[0] == apply(moved, LayoutPoint{0, 0, 0, 0, {0, 0}})[0]);
  });
}

TEST_CASE("every spelling of a random layout reads back to it") {
  law("round trip", 3 * kCases, [] {
    Layout l;
    switch (random_in(0, 4)) {
      case 0:
        l = random_memory({chance(50), chance(50), chance(60), 3, 6});
        break;
      case 1:
        l = random_registers({chance(40), true, static_cast<int>(random_in(1, 3)), 4});
        break;
      case 2:
        l = require_value(parse_layout_expr(random_bases({2, 5, 1}, {8, 16})));
        break;
      case 3:
        l = require_value(shift(random_memory({false, false, true, 2, 6}), {random_in(0, 40)}));
        break;
      default:
        l = require_value(
            shift(random_registers({false, true, 2, 3}), {random_in(0, 4), random_in(0, 4)}));
        break;
    }
    l.spelling.clear();
    for (const std::string& text : {print_layout(l), print_canonical(l)}) {
      auto back = parse_layout_expr(text);
      if (!back) RC_FAIL(text + ": " + back.error().message);
      Layout join = join_lanes(*back);
      if (!(*back == l) && !(join == l) && !*same_map(*back, l))
        RC_FAIL(text + " of " + spell_digits(l).value() + " reads back as " +
                print_canonical(*back));
    }
    for (auto spell : {spell_strided, spell_product, spell_bases, spell_digits}) {
      auto text = spell(l);
      if (!text) continue;
      auto back = parse_layout_expr(*text);
      if (!back) RC_FAIL(*text + ": " + back.error().message);
      if (!(*back == l || join_lanes(*back) == l || *same_map(*back, l)))
        RC_FAIL(*text + " of " + print_canonical(l) + " reads back as " + print_canonical(*back));
    }
    RC_ASSERT(static_cast<bool>(spell_bases(l)) == linear_of(l).has_value());
  });
}

TEST_CASE(
    "F2: exactly the layouts that enumeration finds linear; elimination agrees with enumeration") {
  law("linearity is decided exactly", 2 * kCases, [] {
    Layout l =
        chance(50)
            ? random_memory({chance(60), chance(30), chance(50), 2, 8})
            : require_value(shift(random_memory({true, false, true, 2, 8}), {random_in(0, 20)}));
    Vector f = flat_values(l);
    bool powers = true;
    for (int64_t s : input_shape(l)) powers = powers && (s & (s - 1)) == 0;
    if (l.bits.identity()) RC_ASSERT(linear_of(l).has_value() == (powers && is_affine_f2(f)));
  });
  law("solutions, null space, rank", kCases, [] {
    std::vector<uint64_t> columns;
    int n = static_cast<int>(random_in(1, 8));
    for (int i = 0; i < n; ++i) columns.push_back(static_cast<uint64_t>(random_in(0, 31)));
    std::set<uint64_t> image;
    uint64_t kernel = 0;
    std::map<uint64_t, uint64_t> least;
    for (uint64_t x = 0; x < uint64_t{1} << n; ++x) {
      uint64_t y = times(columns, x);
      image.insert(y);
      kernel += y == 0;
      least.emplace(y, x);
    }
    RC_ASSERT(image.size() == uint64_t{1} << rank_of(columns));
    RC_ASSERT(kernel == uint64_t{1} << null_space(columns).size());
    for (uint64_t k : null_space(columns)) RC_ASSERT(times(columns, k) == 0u);
    RC_ASSERT(__builtin_popcountll(free_columns(columns)) == n - rank_of(columns));
    for (auto [y, x] : least) RC_ASSERT(times(*solve_columns(columns, {y}), 1) == x);
    RC_ASSERT(largest_in_image(columns, 0) == *image.rbegin());
  });
  law("b(invert_and_compose(a,b)(x)) = a(x)", kCases, [] {
    Vector shape{4, 8};
    Layout a = require_value(parse_layout_expr(random_bases({2, 3, 1}, shape))),
           b = require_value(parse_layout_expr(random_bases({2, 4, 1}, shape)));
    auto c = invert_and_compose(a, b);
    std::set<Vector> held;
    for (const LayoutPoint& p : all_points(b)) held.insert(apply(b, p));
    bool possible = true;
    for (const LayoutPoint& p : all_points(a)) possible = possible && held.contains(apply(a, p));
    RC_ASSERT(static_cast<bool>(c) == possible);
    if (!c) return;
    for (const LayoutPoint& p : all_points(a)) {
      Vector v = apply(*c, p);
      RC_ASSERT(apply(b, LayoutPoint{v[0], v[1], v[2], 0, {}}) == apply(a, p));
    }
  });
  law("(A * C) / C = A over F2", kCases, [] {
    Layout a = require_value(parse_layout_expr(random_bases({1, 2, 1}, {4, 4}))),
           c = require_value(parse_layout_expr(random_bases({1, 2, 1}, {4, 4})));
    Layout p = require_value(product(a, c, false));
    for (const LayoutPoint& x : all_points(a))
      for (const LayoutPoint& y : all_points(c)) {
        Vector u = apply(a, x), v = apply(c, y);
        LayoutPoint z{x.reg * 2 + y.reg, x.lane * 4 + y.lane, x.warp * 2 + y.warp, 0, {}};
        RC_ASSERT(apply(p, z) == Vector({u[0] * 4 + v[0], u[1] * 4 + v[1]}));
      }
    RC_ASSERT(require_value(divide(p, c)) == a);
    RC_ASSERT(require_value(left_divide(p, a)) == c);
  });
}
