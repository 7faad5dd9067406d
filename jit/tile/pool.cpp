#include "jit/tile/pool.h"

#include <algorithm>
#include <bit>

#include "isa/layout_bits.h"
#include "isa/layout_ops.h"

namespace tess::jit::tile {
namespace {

constexpr int64_t kBarrier = 20;  // two barriers around a trip through shared memory
constexpr int64_t kLatency = 10;  // and the wait for the data

void put(std::string& key, int64_t v) { key.append(reinterpret_cast<const char*>(&v), sizeof v); }

std::string form_of(const Layout& l) {
  std::string key;
  put(key, l.dims);
  put(key, static_cast<int64_t>(l.shape.size()));
  for (int64_t s : l.shape) put(key, s);
  for (int64_t c : l.offset) put(key, c);
  for (const Digit& d : l.digits) {
    put(key, static_cast<int64_t>(d.label) << 8 | d.dim);
    put(key, d.size);
    for (int64_t v : d.out) put(key, v);
  }
  put(key, -1);
  for (uint8_t b : l.bits.in_bits) put(key, b);
  for (const auto& column : l.bits.columns)
    for (int64_t v : column) put(key, v);
  return key;
}

enum Operation {
  kPermute,
  kReshape,
  kNarrow,
  kCollapse,
  kWidenInner,
  kWidenOuter,
  kTimes,
  kOver,
  kLocalTimes,
  kLocalUnder,
  kPaired,
  kUnpaired,
  kMemory
};

Result<Layout> locals(const std::vector<int64_t>& shape) { return spread(Label::reg, shape); }

bool all_zero(const std::vector<int64_t>& v) {
  return std::all_of(v.begin(), v.end(), [](int64_t x) { return x == 0; });
}

}  // namespace

std::vector<int64_t> dims_of(const Shape& s) { return {s.begin(), s.end()}; }

LayoutId Pool::add(const Layout& l) {
  auto [it, fresh] = by_form_.try_emplace(form_of(l), static_cast<LayoutId>(layouts_.size()));
  if (fresh) {
    layouts_.push_back(l);
    layouts_.back().spelling.clear();
  }
  return it->second;
}

template <class Make>
LayoutId Pool::memo(int op, LayoutId id, std::vector<int64_t> args, Make make) {
  auto [it, fresh] = done_.try_emplace({{op, id}, std::move(args)}, kNoLayout);
  if (fresh) it->second = make();
  return it->second;
}

LayoutId Pool::permuted(LayoutId id, const std::vector<int>& order) {
  return memo(kPermute, id, {order.begin(), order.end()},
              [&] { return add(permute(at(id), order)); });
}

LayoutId Pool::reshaped(LayoutId id, const Shape& to) {
  std::vector<int64_t> shape = dims_of(to);
  if (at(id).shape == shape) return id;
  return memo(kReshape, id, shape, [&] { return add(reshape(at(id), shape)); });
}

LayoutId Pool::narrowed(LayoutId id, const Shape& to) {
  std::vector<int64_t> shape = dims_of(to);
  if (at(id).shape == shape) return id;
  return memo(kNarrow, id, shape, [&]() -> LayoutId {
    Layout l = at(id);
    size_t extra = l.shape.size() - shape.size();
    if (shape.size() > l.shape.size()) return kNoLayout;
    for (size_t d = 0; d < l.shape.size(); ++d) {
      int64_t want = d < extra ? 1 : shape[d - extra];
      if (l.shape[d] == want) continue;
      if (want != 1) return kNoLayout;
      auto r = reduce(l, static_cast<int>(d), true);
      if (!r) return kNoLayout;
      l = std::move(*r);
    }
    for (size_t d = 0; d < extra; ++d) {
      if (l.shape.size() == 1) return kNoLayout;
      auto r = squeeze(l, 0);
      if (!r) return kNoLayout;
      l = std::move(*r);
    }
    return add(l);
  });
}

LayoutId Pool::collapsed(LayoutId id, uint32_t dims) {
  return memo(kCollapse, id, {dims}, [&]() -> LayoutId {
    Layout l = at(id);
    for (size_t d = 0; d < l.shape.size(); ++d) {
      if (!(dims >> d & 1) || l.shape[d] == 1) continue;
      auto r = reduce(l, static_cast<int>(d), true);
      if (!r) return kNoLayout;
      l = std::move(*r);
    }
    return add(l);
  });
}

LayoutId Pool::widened(LayoutId id, const Shape& to, bool inner) {
  std::vector<int64_t> part = dims_of(to);
  const Layout& l = at(id);
  for (size_t d = 0; d < part.size(); ++d) {
    if (l.shape[d] == part[d]) part[d] = 1;
    else if (l.shape[d] != 1) return kNoLayout;
  }
  return inner ? times_local(id, part) : local_times(part, id);
}

LayoutId Pool::times_local(LayoutId id, const std::vector<int64_t>& part) {
  return memo(kTimes, id, part, [&]() -> LayoutId {
    auto local = locals(part);
    return local ? add(product(at(id), *local)) : kNoLayout;
  });
}
LayoutId Pool::over_local(LayoutId id, const std::vector<int64_t>& part) {
  return memo(kOver, id, part, [&]() -> LayoutId {
    auto local = locals(part);
    return local ? add(divide(at(id), *local)) : kNoLayout;
  });
}
LayoutId Pool::local_times(const std::vector<int64_t>& part, LayoutId id) {
  return memo(kLocalTimes, id, part, [&]() -> LayoutId {
    auto local = locals(part);
    return local ? add(product(*local, at(id))) : kNoLayout;
  });
}
LayoutId Pool::local_under(const std::vector<int64_t>& part, LayoutId id) {
  return memo(kLocalUnder, id, part, [&]() -> LayoutId {
    auto local = locals(part);
    return local ? add(left_divide(at(id), *local)) : kNoLayout;
  });
}

namespace {

size_t first_register(const Layout& l) {
  size_t i = 0;
  while (i < l.digits.size() && l.digits[i].label != Label::reg) ++i;
  return i;
}
std::vector<int64_t> times(std::vector<int64_t> v, int64_t n) {
  for (int64_t& x : v) x *= n;
  return v;
}

}  // namespace

LayoutId Pool::paired(LayoutId id, int64_t distance) {
  return memo(kPaired, id, {distance}, [&]() -> LayoutId {
    Layout l = at(id);
    size_t i = first_register(l);
    if (i == l.digits.size() || !l.bits.identity()) return kNoLayout;
    Digit run = l.digits[i];
    if (run.size % (2 * distance) || all_zero(run.out)) return kNoLayout;
    l.digits[i] = {Label::reg, 0, run.size / distance, times(run.out, distance)};
    l.digits.insert(l.digits.begin() + static_cast<ptrdiff_t>(i) + 1,
                    {Label::reg, 0, distance, run.out});
    return add(canonical_layout(std::move(l)));
  });
}

LayoutId Pool::unpaired(LayoutId id, int64_t distance) {
  return memo(kUnpaired, id, {distance}, [&]() -> LayoutId {
    Layout l = at(id);
    size_t i = first_register(l);
    if (i + 1 >= l.digits.size() || !l.bits.identity()) return kNoLayout;
    Digit far = l.digits[i], near = l.digits[i + 1];
    if (far.size % 2 || near.label != Label::reg || near.size != distance ||
        far.out != times(near.out, distance))
      return kNoLayout;
    std::swap(l.digits[i], l.digits[i + 1]);
    return add(canonical_layout(std::move(l)));
  });
}

int64_t Pool::registers(LayoutId id) {
  auto [it, fresh] = registers_.try_emplace(id, 1);
  if (fresh)
    for (const Digit& d : at(id).digits)
      if (d.label == Label::reg && !all_zero(d.out)) it->second *= d.size;
  return it->second;
}

LayoutId Pool::plain_memory(const std::vector<int64_t>& shape, const RegisterRun& side_by_side) {
  const int fastest = side_by_side.dim;
  std::vector<int64_t> args = shape;
  args.insert(args.end(), {fastest, side_by_side.apart, side_by_side.count});
  return memo(kMemory, kNoLayout, args, [&] {
    std::vector<int64_t> strides(shape.size());
    int64_t next = 1;
    auto place = [&](size_t d) {
      strides[d] = next;
      next *= static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(shape[d])));
    };
    place(static_cast<size_t>(fastest));
    for (size_t d = shape.size(); d-- > 0;)
      if (static_cast<int>(d) != fastest) place(d);
    auto plain = strided(shape, strides);
    if (!plain || side_by_side.apart == 1) return add(plain);
    return add(interleaved(*plain, side_by_side));
  });
}

int64_t Pool::shared_access(LayoutId reg, const RegisterRun& side_by_side, int bits) {
  const auto& [fastest, apart, count] = side_by_side;
  auto [it, fresh] = accesses_.try_emplace({reg, fastest, apart, count, bits}, kImpossible);
  if (!fresh) return it->second;
  const Layout l = at(reg);
  LayoutId mem = plain_memory(l.shape, side_by_side);
  if (mem == kNoLayout) return it->second;
  int64_t n = registers(reg);
  auto width = vector_width(l, at(mem), {bits, 128, 0, 0});
  int64_t v = width ? *width : 1;
  int64_t instructions = (n + v - 1) / v;
  int64_t bytes = v * bits / 8;
  // Elements of less than 32 bits apart cost their packing and unpacking too.
  int64_t cost = instructions * (1 + (bytes <= 4   ? 1
                                      : bytes <= 8 ? 2
                                                   : 4)) +
                 (bytes < 4 ? 2 * instructions : 0);

  if (v * bits % 8) cost += 2 * n;  // bit by bit
  // A word whose elements lie in several registers is put together.
  auto run = register_run(l);
  if (bits == 16 && v > 1 && run && (run->dim != fastest || run->apart != apart))
    cost += n * bits / 32;
  if (is_linear(reg) && (bits == 16 || (bits == 8 && bytes >= 4) || bits == 32))
    if (auto m = matrix_banks(l, at(mem), bits))
      cost = std::min(cost, (n * bits / 32 + 3) / 4 + n * bits / 32);
  return it->second = cost;
}

int64_t Pool::best_shared_access(LayoutId reg, int bits) {
  int64_t best = kImpossible;
  int rank = static_cast<int>(at(reg).shape.size());
  for (int d = std::max(0, rank - 2); d < rank; ++d)
    best = std::min(best, shared_access(reg, {d}, bits));
  return best;
}

bool Pool::is_linear(LayoutId id) {
  if (linear_.size() < layouts_.size()) linear_.resize(layouts_.size(), -1);
  int8_t& known = linear_[static_cast<size_t>(id)];
  if (known < 0) known = linear_of(at(id)).has_value();
  return known == 1;
}

namespace {

// Every lane of every warp holds the same elements in both, if not in the same registers.
bool threads_agree(const Layout& a, const Layout& b) {
  auto threads = [](const Layout& l) {
    std::vector<Digit> d;
    for (const Digit& x : l.digits)
      if (x.label == Label::lane || x.label == Label::warp) d.push_back(x);
    return d;
  };
  return a.bits.identity() && b.bits.identity() && a.offset == b.offset &&
         registers_of(a) == registers_of(b) && threads(a) == threads(b);
}

// Elements of less than 32 bits that share a register in one and not in the other.
bool words_agree(const Layout& a, const Layout& b, int bits) {
  if (bits >= 32) return true;
  auto x = register_run(a), y = register_run(b);
  return !x || !y || (x->dim == y->dim && x->apart == y->apart);
}

}  // namespace

MoveCost Pool::move(LayoutId from, LayoutId to, int bits) {
  if (from == to) return {};
  uint64_t key = static_cast<uint64_t>(from) << 36 | static_cast<uint64_t>(to) << 8 |
                 static_cast<uint64_t>(bits);
  auto [it, fresh] = moves_.try_emplace(key, MoveCost{Move::shared, kImpossible});
  if (!fresh) return it->second;
  MoveCost m;
  if (is_linear(from) && is_linear(to)) {
    auto c = conversion(at(from), at(to), bits);
    if (!c) return it->second;
    m = {c->where, c->cost};
    // A lane that takes another register than its neighbour needs a select for each.
    if (m.where == Move::reg && !threads_agree(at(from), at(to))) m.cost = registers(from);
  } else if (threads_agree(at(from), at(to))) {
    m = {Move::reg, 0};
  } else {
    m.where = Move::shared;
  }
  if (bits == 16 && m.where == Move::reg && !words_agree(at(from), at(to), bits))
    m.cost = std::max(m.cost, registers(from) * bits / 32);
  if (m.where >= Move::shared) {
    int rank = static_cast<int>(at(from).shape.size());
    m.cost = kImpossible;
    auto through = [&](const RegisterRun& side_by_side) {
      m.cost = std::min(m.cost, shared_access(from, side_by_side, bits) +
                                    shared_access(to, side_by_side, bits) + kBarrier + kLatency);
    };
    for (int d = std::max(0, rank - 2); d < rank; ++d) through({d});
    for (LayoutId side : {from, to})
      if (auto run = memory_run(at(side), bits)) through(*run);
  }
  return moves_[key] = m;
}

}  // namespace tess::jit::tile
