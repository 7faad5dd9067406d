// Tensors as text, by NumPy's rules for arrays.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "isa/diag.h"
#include "isa/numerics.h"
#include "vm/data/tensor.h"

namespace tess {
namespace {

uint64_t code_of(DType t, double x) {
  return encode_float(t, x, t.kind == Kind::scale ? Round::rz : Round::rne, Overflow::saturate);
}

// "d.ddde+XX" with the fewest digits that read back as the same value of the type. A value is held
// exactly in a double, so 17 digits always suffice. For f64 and f32 fmt knows the shortest.
std::string shortest_scientific(DType t, double x) {
  if (x == 0) return std::signbit(x) ? "-0e+00" : "0e+00";
  if (t.bits == 64)
    return fmt::format("{:.{}e}", x, [&] {
      for (int digits = 0; digits < 17; ++digits)
        if (std::strtod(fmt::format("{:.{}e}", x, digits).c_str(), nullptr) == x) return digits;
      return 16;
    }());
  for (int digits = 0; digits < 17; ++digits) {
    std::string s = fmt::format("{:.{}e}", x, digits);
    double back = std::strtod(s.c_str(), nullptr);
    if (decode_float(t, code_of(t, back)) == x && std::abs(back) < 2 * std::abs(x)) return s;
  }
  return fmt::format("{:.16e}", x);
}

struct Digits {
  bool negative;
  std::string digits;  // without leading zeros; "0" for zero
  int exponent;        // of the first digit
};

Digits shortest_digits(DType t, double x) {
  std::string s = shortest_scientific(t, x);
  Digits d{s[0] == '-', {}, 0};
  size_t e = s.find('e');
  for (size_t i = d.negative; i < e; ++i)
    if (s[i] != '.') d.digits += s[i];
  d.exponent = std::atoi(s.c_str() + e + 1);
  return d;
}

struct Parts {
  std::string whole, fraction;  // "-12", "5"
};

// Positional, at most `precision` digits after the point, trailing zeros cut.
Parts positional(DType t, double x, int precision) {
  Digits d = shortest_digits(t, x);
  int fraction_digits = static_cast<int>(d.digits.size()) - 1 - d.exponent;
  std::string s;
  if (fraction_digits > precision) {
    s = fmt::format("{:.{}f}", x, precision);  // rounds the exact value
  } else {
    if (d.negative) s = "-";
    if (d.exponent < 0) s += "0";
    for (int i = 0; i <= d.exponent; ++i)
      s += i < static_cast<int>(d.digits.size()) ? d.digits[i] : '0';
    s += '.';
    for (int i = d.exponent + 1; i < 0; ++i) s += '0';
    for (int i = std::max(d.exponent + 1, 0); i < static_cast<int>(d.digits.size()); ++i)
      s += d.digits[i];
  }
  size_t point = s.find('.');
  Parts p{s.substr(0, point), point == std::string::npos ? "" : s.substr(point + 1)};
  while (!p.fraction.empty() && p.fraction.back() == '0') p.fraction.pop_back();
  return p;
}

struct Scientific {
  std::string whole, fraction, exponent;
};
Scientific scientific(DType t, double x, int precision) {
  Digits d = shortest_digits(t, x);
  std::string s = static_cast<int>(d.digits.size()) - 1 > precision
                      ? fmt::format("{:.{}e}", x, precision)
                      : shortest_scientific(t, x);
  size_t e = s.find('e'), point = s.find('.');
  Scientific p{s.substr(0, std::min(point, e)), point < e ? s.substr(point + 1, e - point - 1) : "",
               s.substr(e)};
  while (!p.fraction.empty() && p.fraction.back() == '0') p.fraction.pop_back();
  return p;
}

// The texts of the shown elements, all of one width.
class Column {
 public:
  Column(const HostTensor& t, const std::vector<uint64_t>& shown, const FormatOptions& o) : t_(t) {
    DType type = t.dtype;
    if (type.is_bool()) width_ = 5;
    if (type.is_bool()) return;
    if (type.is_int()) {
      for (uint64_t i : shown) width_ = std::max(width_, integer(i).size());
      return;
    }
    std::vector<double> finite;
    bool special = false, minus_infinity = false;
    double least = 0, greatest = 0;
    for (uint64_t i : shown) {
      double x = element_value(t, i);
      if (std::isfinite(x)) finite.push_back(x);
      else special = true, minus_infinity |= std::isinf(x) && x < 0;
      if (!std::isfinite(x) || x == 0) continue;
      double a = std::abs(x);
      if (least == 0 || a < least) least = a;
      greatest = std::max(greatest, a);
    }
    exponential_ = greatest != 0 && (greatest >= 1e8 || least < 1e-4 || greatest / least > 1000);
    precision_ = o.precision;
    size_t left = 0, right = 0, exponent = 0;
    for (double x : finite) {
      if (exponential_) {
        Scientific p = scientific(type, x, o.precision);
        left = std::max(left, p.whole.size());
        right = std::max(right, p.fraction.size());
        exponent = std::max(exponent, p.exponent.size());
      } else {
        Parts p = positional(type, x, o.precision);
        left = std::max(left, p.whole.size());
        right = std::max(right, p.fraction.size());
      }
    }
    fraction_ = right;
    exponent_ = exponent;
    size_t after = right + exponent + 1;
    if (special) {
      size_t longest = minus_infinity ? 4 : 3;
      if (left + after < longest) left = longest - after;
    }
    width_ = left + after;
  }

  std::string text(uint64_t i) const {
    std::string s;
    if (t_.dtype.is_bool()) s = element_code(t_, i) ? "True" : "False";
    else if (t_.dtype.is_int()) s = integer(i);
    else {
      double x = element_value(t_, i);
      if (std::isnan(x)) s = "nan";
      else if (std::isinf(x)) s = x < 0 ? "-inf" : "inf";
      else if (exponential_) {
        s = fmt::format("{:#.{}e}", x, fraction_);  // the exact value, where it has fewer digits
        size_t missing = exponent_ - (s.size() - s.find('e'));
        s.insert(s.find('e') + 2, missing, '0');
      } else {
        Parts p = positional(t_.dtype, x, precision_);
        s = fmt::format("{}.{:<{}}", p.whole, p.fraction, fraction_);
      }
    }
    return fmt::format("{:>{}}", s, width_);
  }

 private:
  std::string integer(uint64_t i) const {
    int64_t v = element_int(t_, i);
    return t_.dtype.kind == Kind::uint ? fmt::format("{}", static_cast<uint64_t>(v))
                                       : fmt::format("{}", v);
  }

  const HostTensor& t_;
  size_t width_ = 0, fraction_ = 0, exponent_ = 0;
  int precision_ = 8;
  bool exponential_ = false;
};

struct Printer {
  const HostTensor& t;
  const FormatOptions& o;
  bool summarise;
  std::vector<uint64_t> steps;  // row-major, in elements

  bool cut(size_t d) const { return summarise && t.shape[d] > 2 * o.edge; }

  // Indices of the elements that are shown. Recursion goes by rank, which is bounded.
  void collect(size_t d, uint64_t base, std::vector<uint64_t>& out) const {
    if (d == t.shape.size()) return out.push_back(base);
    for (int64_t i = 0; i < t.shape[d]; ++i) {
      if (cut(d) && i == o.edge) i = t.shape[d] - o.edge;
      collect(d + 1, base + static_cast<uint64_t>(i) * steps[d], out);
    }
  }

  void print(size_t d, uint64_t base, const std::string& indent, const Column& column,
             std::string& out) const {
    size_t rank = t.shape.size();
    if (d == rank) {
      out += column.text(base);
      return;
    }
    std::string inner = indent + " ", body = inner;
    if (d + 1 == rank) {
      size_t limit = static_cast<size_t>(std::max(o.line_width - static_cast<int>(d) - 1, 1));
      size_t line_start = 0;
      auto word = [&](const std::string& w) {
        size_t line = body.size() - line_start;
        if (line + w.size() > limit && line > inner.size()) {
          body.erase(body.find_last_not_of(' ') + 1);
          body += '\n';
          line_start = body.size();
          body += inner;
        }
        body += w;
      };
      for (int64_t i = 0; i < t.shape[d]; ++i) {
        if (cut(d) && i == o.edge) {
          word("...");
          body += ' ';
          i = t.shape[d] - o.edge;
        }
        word(column.text(base + static_cast<uint64_t>(i)));
        if (i + 1 != t.shape[d]) body += ' ';
      }
    } else {
      std::string gap = std::string(rank - d - 1, '\n') + inner;
      for (int64_t i = 0; i < t.shape[d]; ++i) {
        if (i != 0) body += gap;
        if (cut(d) && i == o.edge) {
          body += "..." + gap;
          i = t.shape[d] - o.edge;
        }
        print(d + 1, base + static_cast<uint64_t>(i) * steps[d], inner, column, body);
      }
    }
    out += '[' + body.substr(inner.size()) + ']';
  }
};

}  // namespace

std::string format_tensor(const HostTensor& t, const FormatOptions& options) {
  auto count = element_count(t.shape);
  if (!count) return "[?]";
  if (*count == 0) return "[]";
  FormatOptions o = options;
  o.edge = std::max<int64_t>(o.edge, 1);
  o.precision = std::clamp(o.precision, 0, 17);
  Printer p{t, o, *count > o.threshold, {}};
  for (int64_t s : row_major_strides(t.shape)) p.steps.push_back(static_cast<uint64_t>(s));
  std::vector<uint64_t> shown;
  p.collect(0, 0, shown);
  Column column(t, shown, o);
  std::string out;
  p.print(0, 0, "", column, out);
  return out;
}

}  // namespace tess
