// Every composition of a small layout with every s:d, judged by brute force that knows no rule.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "isa/layout_cute.h"
#include "isa/layout_judge.h"
#include "isa/layout_ops.h"

using namespace tess;

namespace {
using Vector = std::vector<int64_t>;

bool is_digit_sum(const Vector& f) {
  size_t n = f.size();
  if (n <= 1) return true;
  for (size_t first = 2; first <= n; ++first) {
    if (n % first != 0) continue;
    bool fits = true;
    Vector outer;
    for (size_t k = 0; k < first; ++k) fits = fits && f[k] == static_cast<int64_t>(k) * f[1];
    for (size_t j = 0; fits && j < n / first; ++j) {
      outer.push_back(f[j * first]);
      for (size_t k = 0; k < first; ++k) fits = fits && f[j * first + k] == f[j * first] + f[k];
    }
    if (fits && is_digit_sum(outer)) return true;
  }
  return false;
}

// CuTe's rule (include/cute/layout.hpp, composition_impl): divide the stride out of the modes from
// the left, then keep the size; it checks that strides and shapes divide, not that sums never
// carry.
bool cute_rule(const cute::Modes& a, int64_t s, int64_t d, cute::Modes& r) {
  int64_t rest_shape = s, rest_stride = d;
  for (size_t i = 0; i + 1 < a.size(); ++i) {
    if (rest_stride % a[i].size != 0 && rest_stride >= a[i].size) return false;
    int64_t next_shape = (a[i].size + rest_stride - 1) / rest_stride,
            next_stride = (rest_stride + a[i].size - 1) / a[i].size;
    if (next_shape != 1 && rest_shape != 1) {
      int64_t shape = std::min(next_shape, rest_shape);
      if (rest_shape % shape != 0) return false;
      r.push_back({shape, rest_stride * a[i].stride});
      rest_shape /= shape;
    }
    rest_stride = next_stride;
  }
  if (r.empty() || rest_shape != 1) r.push_back({rest_shape, rest_stride * a.back().stride});
  return true;
}

struct Count {
  int cases = 0, accepted = 0, wrong = 0, rejected_right = 0, cute_accepted = 0, cute_wrong = 0;
};

void sweep(const cute::Modes& a, Count& n) {
  int64_t size = cute::size(a);
  cute::Modes line = cute::coalesce(a);
  for (int64_t d = 1; d < size; ++d)
    for (int64_t s = 2; (s - 1) * d < size; ++s) {
      Vector truth;
      for (int64_t k = 0; k < s; ++k) truth.push_back(cute::at(a, k * d));
      ++n.cases;
      auto values = [&](const cute::Modes& m) {
        Vector v;
        for (int64_t k = 0; k < s; ++k) v.push_back(cute::at(m, k));
        return v;
      };
      cute::Cute b = cute::of({{s, d}});
      auto r = cute::compose(a, b);
      if (r) {
        ++n.accepted;
        n.wrong += values(cute::flat(*r)) != truth || cute::size(*r) != s;
      } else {
        n.rejected_right += is_digit_sum(truth);
      }
      cute::Modes theirs;
      if (cute_rule(line, s, d, theirs)) {
        ++n.cute_accepted;
        n.cute_wrong += values(theirs) != truth;
      }
    }
}
}  // namespace

TEST_CASE("no wrong composition and no right one refused, over all small layouts") {
  std::map<size_t, Count> counts;
  auto both = [&](const Vector& shape) {
    for (int64_t pad = 0; pad <= 3; ++pad)
      for (bool row : {true, false}) {
        cute::Modes a;
        for (int64_t s : shape) a.push_back({s, 0});
        int64_t next = 1;
        for (size_t i = 0; i < a.size(); ++i) {
          cute::Mode& m = a[row ? a.size() - 1 - i : i];
          m.stride = next;
          next = next * m.size + (i == 0 ? pad : 0);
        }
        sweep(a, counts[shape.size()]);
      }
  };
  for (int64_t x = 2; x <= 6; ++x)
    for (int64_t y = 2; y <= 6; ++y) {
      if (x * y <= 24) both({x, y});
      for (int64_t z = 2; z <= 6; ++z)
        if (x * y * z <= 24) both({x, y, z});
    }
  for (auto& [modes, n] : counts) {
    MESSAGE(modes << " modes: " << n.cases << " cases, " << n.accepted << " accepted, " << n.wrong
                  << " wrong, " << n.rejected_right << " right ones refused; CuTe's rule accepts "
                  << n.cute_accepted << ", of which " << n.cute_wrong << " are wrong");
    CHECK(n.wrong == 0);
    CHECK(n.rejected_right == 0);
    CHECK(n.cute_wrong > 100);
    CHECK(n.accepted > 1000);
  }
}

TEST_CASE("long: the same with every assignment of strides up to 12, and two-mode right sides") {
  Count n;
  int wrong_pairs = 0, refused_right = 0;
  for (int64_t x = 2; x <= 6; ++x)
    for (int64_t y = 2; x * y <= 24 && y <= 6; ++y)
      for (int64_t dx = 0; dx <= 12; ++dx)
        for (int64_t dy = 0; dy <= 12; ++dy) {
          cute::Modes a{{x, dx}, {y, dy}};
          sweep(a, n);
          for (int64_t s = 2; s <= 3; ++s)
            for (int64_t t = 2; t <= 3; ++t)
              for (int64_t d = 1; d <= 6; ++d)
                for (int64_t e = 1; e <= 6; ++e) {
                  if ((s - 1) * d + (t - 1) * e >= x * y) continue;
                  cute::Cute b = cute::of({{s, d}, {t, e}});
                  auto r = cute::compose(a, b);
                  bool additive = true, rows = true, equal = true;
                  Vector first, second;
                  for (int64_t i = 0; i < s; ++i) first.push_back(cute::at(a, i * d));
                  for (int64_t j = 0; j < t; ++j) second.push_back(cute::at(a, j * e));
                  for (int64_t i = 0; i < s; ++i)
                    for (int64_t j = 0; j < t; ++j) {
                      int64_t truth = cute::at(a, i * d + j * e);
                      additive = additive && truth == first[i] + second[j];
                      if (r) equal = equal && cute::at(cute::flat(*r), i + s * j) == truth;
                    }
                  rows = is_digit_sum(first) && is_digit_sum(second);
                  wrong_pairs += r && !equal;
                  refused_right += !r && additive && rows;
                }
        }
  CHECK(n.wrong == 0);
  CHECK(n.rejected_right == 0);
  CHECK(wrong_pairs == 0);
  CHECK(refused_right == 0);
}
