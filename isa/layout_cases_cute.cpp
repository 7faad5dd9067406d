// The cute.* and law.* operations.
#include <fmt/format.h>

#include <algorithm>

#include "isa/diag/layout.h"
#include "isa/layout_cases.h"
#include "isa/layout_cute.h"

namespace tess::cases {
namespace {

using namespace cute;
using Args = std::span<const std::string>;

constexpr int64_t kMaxListed = 1 << 16;

Result<Outcome> compare(const Result<Cute>& got, const std::string& expected, bool by_mode = true) {
  if (!got) return got.error();
  Outcome o{cute::print(*got), false};
  auto want = cute::parse(expected);
  if (!want) {
    if (expected == "reject") return o;
    return want.error();
  }
  TESS_TRY(o.pass, same(*got, *want, by_mode));
  return o;
}
Result<Outcome> compare(const Result<Modes>& got, const std::string& expected) {
  if (!got) return got.error();
  return compare(Result<Cute>(of(*got)), expected);
}

// "<3:4; 8:2>", "<3:3; (2,4):(1,8)>".
Result<std::vector<Cute>> parse_tiler(const std::string& text) {
  if (text.size() < 2 || text.front() != '<' || text.back() != '>')
    return make_diag(diag::layout_syntax, "a tiler is <L0; L1>");
  std::vector<Cute> tiler;
  for (const std::string& part :
       split_trim(std::string_view(text).substr(1, text.size() - 2), ";")) {
    TESS_TRY(Cute l, cute::parse(part));
    tiler.push_back(std::move(l));
  }
  return tiler;
}
bool is_tiler(const std::string& text) { return !text.empty() && text.front() == '<'; }

Result<Outcome> map(Args a, const std::string& expected) {
  TESS_TRY(Cute l, cute::parse(a[0]));
  if (size(l) > kMaxListed) return make_diag(diag::layout_limit, "too many values to list");
  std::string text = "(";
  for (int64_t c = 0; c < size(l); ++c) {
    TESS_TRY(int64_t v, cute::at(l, IntTree{true, c, {}}));
    text += fmt::format("{}{}", c ? "," : "", v);
  }
  return compare_text(text + ")", expected);
}

Result<Outcome> value_at(Args a, const std::string& expected) {
  static const LayoutEnv kNone;
  TESS_TRY(Cute l, cute::parse(a[0]));
  LayoutScanner s(a[1], kNone, {0, 1, 1, 0});
  TESS_TRY(IntTree c, s.tree());
  TESS_TRY(int64_t v, cute::at(l, c));
  return compare_text(fmt::format("{}", v), expected);
}

Result<Outcome> equal(Args a, const std::string& expected) {
  TESS_TRY(Cute l, cute::parse(a[0]));
  return compare(Result<Cute>(std::move(l)), expected, false);
}

Result<Outcome> cosize_of(Args a, const std::string& expected) {
  TESS_TRY(Cute l, cute::parse(a[0]));
  return compare_text(fmt::format("{}", cosize(l)), expected);
}

Result<Outcome> coalesce_of(Args a, const std::string& expected) {
  TESS_TRY(Cute l, cute::parse(a[0]));
  return compare(Result<Modes>(coalesce(flat(l))), expected);
}

Result<Cute> composition(const std::string& left, const std::string& right) {
  TESS_TRY(Cute l, cute::parse(left));
  if (is_tiler(right)) {
    TESS_TRY(auto tiler, parse_tiler(right));
    TESS_TRY(Cute r, compose_by_mode(l, tiler));
    r.sw = l.sw;
    return r;
  }
  TESS_TRY(Cute b, cute::parse(right));
  TESS_TRY(Cute r, cute::compose(flat(l), b));
  r.sw = l.sw;
  return r;
}
Result<Outcome> compose_of(Args a, const std::string& expected) {
  return compare(composition(a[0], a[1]), expected);
}

Result<Outcome> complement_of(Args a, const std::string& expected) {
  TESS_TRY(Cute l, cute::parse(a[0]));
  TESS_TRY(int64_t extent, to_integer(a[1]));
  return compare(cute::complement(flat(l), extent), expected);
}

Result<Outcome> divide_of(Args a, const std::string& expected) {
  TESS_TRY(Cute l, cute::parse(a[0]));
  if (is_tiler(a[1])) {  // mode by mode: each mode becomes (tile, rest)
    TESS_TRY(auto tiler, parse_tiler(a[1]));
    TESS_TRY(Cute zipped, cute::zipped_divide(l, tiler));
    std::vector<Modes> top = l.top;
    for (size_t i = 0; i < tiler.size(); ++i) {
      Cute one = of(l.top[i]);
      TESS_TRY(Cute parts, cute::divide(one, tiler[i]));
      top[i] = flat(parts);
    }
    Cute r = l;
    r.top = std::move(top);
    r.shape.leaf = r.stride.leaf = false;
    r.shape.kids.clear();
    r.stride.kids.clear();
    for (const Modes& m : r.top) {
      Cute one = of(m);
      r.shape.kids.push_back(one.shape);
      r.stride.kids.push_back(one.stride);
    }
    return compare(Result<Cute>(std::move(r)), expected);
  }
  TESS_TRY(Cute b, cute::parse(a[1]));
  return compare(cute::divide(l, b), expected);
}

Result<Outcome> zipped_divide_of(Args a, const std::string& expected) {
  TESS_TRY(Cute l, cute::parse(a[0]));
  if (!is_tiler(a[1])) {
    TESS_TRY(Cute b, cute::parse(a[1]));
    return compare(cute::divide(l, b), expected);
  }
  TESS_TRY(auto tiler, parse_tiler(a[1]));
  return compare(cute::zipped_divide(l, tiler), expected);
}

Result<Outcome> product_of(Args a, const std::string& expected) {
  TESS_TRY(Cute l, cute::parse(a[0]));
  TESS_TRY(Cute b, cute::parse(a[1]));
  return compare(cute::product(l, b), expected);
}
template <bool kRaked>
Result<Outcome> zipped_product_of(Args a, const std::string& expected) {
  TESS_TRY(Cute l, cute::parse(a[0]));
  TESS_TRY(Cute b, cute::parse(a[1]));
  return compare(cute::zipped_product(l, b, kRaked), expected);
}

Result<Outcome> rinv(Args a, const std::string& expected) {
  TESS_TRY(Cute l, cute::parse(a[0]));
  return compare(Result<Modes>(cute::right_inverse(flat(l))), expected);
}
Result<Outcome> linv(Args a, const std::string& expected) {
  TESS_TRY(Cute l, cute::parse(a[0]));
  return compare(cute::left_inverse(flat(l)), expected);
}
Result<Outcome> null_of(Args a, const std::string& expected) {
  TESS_TRY(Cute l, cute::parse(a[0]));
  return compare(Result<Modes>(cute::null_space(flat(l))), expected);
}

Result<Outcome> maxvec(Args a, const std::string& expected) {
  TESS_TRY(Cute l, cute::parse(a[0]));
  TESS_TRY(Cute b, cute::parse(a[1]));
  TESS_TRY(int64_t v, cute::max_common_vector(l, b));
  return compare_text(fmt::format("{}", v), expected);
}

// "compose : (4,6):(1,7) ; 6:3": the first ':' ends the operation.
Result<Outcome> reject(Args a, const std::string& expected) {
  size_t colon = a[0].find(" : ");
  if (colon == std::string::npos)
    return make_diag(diag::layout_case_syntax, "expected `op : arguments`");
  std::vector<std::string> inner{std::string(without_spaces(a[0].substr(colon + 3)))};
  inner.insert(inner.end(), a.begin() + 1, a.end());
  std::string op = without_spaces(a[0].substr(0, colon));
  auto result =
      run_operation(op.find('.') == std::string::npos ? "cute." + op : op, inner, "reject");
  if (!result && result.error().code == diag::layout_case_syntax) return result.error();
  return compare_text(result ? result->got : "reject", expected);
}

// (A o B) o C, which must equal A o (B o C).
Result<Outcome> assoc(Args a, const std::string& expected) {
  TESS_TRY(Cute x, cute::parse(a[0]));
  TESS_TRY(Cute y, cute::parse(a[1]));
  TESS_TRY(Cute z, cute::parse(a[2]));
  TESS_TRY(Cute xy, cute::compose(flat(x), y));
  TESS_TRY(Cute left, cute::compose(flat(xy), z));
  TESS_TRY(Cute yz, cute::compose(flat(y), z));
  TESS_TRY(Cute right, cute::compose(flat(x), yz));
  TESS_TRY(bool agree, same(left, right, true));
  if (!agree)
    return Outcome{fmt::format("{} but {}", cute::print(left), cute::print(right)), false};
  return compare(Result<Cute>(std::move(left)), expected);
}

// complement(complement(L,M),M) gives L back, sorted by stride, where the strides divide; the
// expected text names the complement that this passes through.
Result<Outcome> double_complement(Args a, const std::string& expected) {
  TESS_TRY(Cute l, cute::parse(a[0]));
  TESS_TRY(int64_t extent, to_integer(a[1]));
  TESS_TRY(Modes once, cute::complement(flat(l), extent));
  TESS_TRY(Modes twice, cute::complement(once, extent));
  Modes sorted = coalesce(flat(l));
  std::erase_if(sorted, [](const Mode& m) { return m.stride == 0; });
  std::sort(sorted.begin(), sorted.end(),
            [](const Mode& x, const Mode& y) { return x.stride < y.stride; });
  sorted = coalesce(sorted);
  bool divides = !sorted.empty() && extent >= sorted.back().stride * sorted.back().size;
  for (size_t i = 0; i + 1 < sorted.size(); ++i)
    divides = divides && sorted[i + 1].stride % (sorted[i].stride * sorted[i].size) == 0;
  if (divides && coalesce(twice) != sorted)
    return Outcome{fmt::format("{}, whose complement {} is not L", cute::print(of(once)),
                               cute::print(of(twice))),
                   false};
  TESS_TRY(Outcome first, compare(Result<Modes>(once), expected));
  if (first.pass) return first;
  TESS_TRY(Outcome second, compare(Result<Modes>(twice), expected));
  return second.pass ? second : first;
}

constexpr OperationRow kOperations[] = {
    {"cute.map", 1, map},
    {"cute.at", 2, value_at},
    {"cute.equal", 1, equal},
    {"cute.cosize", 1, cosize_of},
    {"cute.coalesce", 1, coalesce_of},
    {"cute.compose", 2, compose_of},
    {"cute.complement", 2, complement_of},
    {"cute.divide", 2, divide_of},
    {"cute.zdivide", 2, zipped_divide_of},
    {"cute.product", 2, product_of},
    {"cute.bproduct", 2, zipped_product_of<false>},
    {"cute.rproduct", 2, zipped_product_of<true>},
    {"cute.rinv", 1, rinv},
    {"cute.linv", 1, linv},
    {"cute.null", 1, null_of},
    {"cute.maxvec", 2, maxvec},
    {"cute.reject", 0, reject},
    {"law.assoc", 3, assoc},
    {"law.cc", 2, double_complement},
};

}  // namespace

std::span<const OperationRow> cute_operations() { return kOperations; }

}  // namespace tess::cases
