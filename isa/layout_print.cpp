// Writing layouts in each spelling.
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "isa/diag/layout.h"
#include "isa/layout_bits.h"
#include "isa/layout_spell.h"

namespace tess {
namespace {

constexpr std::string_view kLabels[] = {"reg", "lane", "warp", "cta"};
constexpr std::string_view kPrimitives[] = {"local", "spatial", "warps", "ctas"};

Diagnostic cannot(std::string why) {
  return make_diag(diag::layout_not_expressible, std::move(why));
}

std::string join(const std::vector<int64_t>& v) {
  std::string text;
  for (size_t i = 0; i < v.size(); ++i) text += fmt::format("{}{}", i ? "," : "", v[i]);
  return text;
}
std::string print_vector(const std::vector<int64_t>& v) {
  return v.size() == 1 ? fmt::format("{}", v[0]) : "(" + join(v) + ")";
}

bool all_zero(const std::vector<int64_t>& v) {
  return std::all_of(v.begin(), v.end(), [](int64_t x) { return x == 0; });
}

// "{reg:[a,b] d0:[c] " with one text per digit, in label order; every dimension is named.
std::string print_labelled(const Layout& l,
                           const std::vector<std::pair<InputBit, std::string>>& entries) {
  std::string text = "{";
  auto put = [&](Label label, int dim, std::string_view name) {
    std::string list;
    for (const auto& [in, entry] : entries)
      if (in.label == label && in.dim == dim) list += (list.empty() ? "" : ",") + entry;
    if (!list.empty() || label == Label::dim) text += fmt::format("{}:[{}] ", name, list);
  };
  for (int i = 0; i < 4; ++i) put(static_cast<Label>(i), 0, kLabels[i]);
  for (int d = 0; d < l.dims; ++d) put(Label::dim, d, fmt::format("d{}", d));
  return text;
}

// shape and strides of one dimension (or hardware label): "4", "(4,2)".
std::pair<std::string, std::string> print_modes(
    const std::vector<std::pair<int64_t, int64_t>>& modes) {
  if (modes.empty()) return {"1", "0"};
  if (modes.size() == 1)
    return {fmt::format("{}", modes[0].first), fmt::format("{}", modes[0].second)};
  std::vector<int64_t> sizes, strides;
  for (auto [size, stride] : modes) sizes.push_back(size), strides.push_back(stride);
  return {"(" + join(sizes) + ")", "(" + join(strides) + ")"};
}

// One digit of a product, once the digits inside it are written.
struct Piece {
  Label label;
  int64_t size;
  int dim;  // -1: a replica
};

// The digits from the innermost out, so that each is the next of its label and of its dimension.
Result<std::vector<Piece>> peel(const Layout& l) {
  std::vector<std::vector<const Digit*>> waiting(4);
  for (const Digit& d : l.digits) waiting[static_cast<int>(d.label)].push_back(&d);
  for (auto& w : waiting) std::reverse(w.begin(), w.end());
  std::vector<int64_t> reached(l.shape.size(), 1);
  std::vector<Piece> pieces;
  auto next_piece = [&](int label) -> std::optional<Piece> {
    if (waiting[label].empty()) return std::nullopt;
    const Digit& d = *waiting[label].back();
    if (all_zero(d.out)) return Piece{d.label, d.size, -1};
    for (size_t j = 0; j < d.out.size(); ++j)
      if (d.out[j] == reached[j] &&
          std::count(d.out.begin(), d.out.end(), 0) == static_cast<long>(d.out.size()) - 1)
        return Piece{d.label, d.size, static_cast<int>(j)};
    return std::nullopt;
  };
  for (size_t n = 0; n < l.digits.size(); ++n) {
    std::optional<Piece> piece;
    if (!pieces.empty()) piece = next_piece(static_cast<int>(pieces.back().label));
    for (int label = 0; label < 4 && !piece; ++label) piece = next_piece(label);
    if (!piece)
      return cannot(
          "no order of factors: a step is not the size of what lies inside it (a gap, an overlap, "
          "or one label's digits cross within a dimension)");
    waiting[static_cast<int>(piece->label)].pop_back();
    if (piece->dim >= 0) reached[piece->dim] *= piece->size;
    pieces.push_back(*piece);
  }
  for (size_t j = 0; j < reached.size(); ++j)
    if (reached[j] != l.shape[j])
      return cannot(
          fmt::format("a product covers its whole tensor; dimension {} of {} is covered to {}", j,
                      l.shape[j], reached[j]));
  return pieces;
}

std::string print_group(const std::vector<Piece>& group, size_t rank, bool column) {
  const Piece& first = group[0];
  if (first.dim < 0)
    return first.label == Label::lane ? fmt::format("replicate({})", first.size)
                                      : fmt::format("replicate({},{})", first.size,
                                                    kLabels[static_cast<int>(first.label)]);
  std::vector<int64_t> shape(rank, 1);
  for (const Piece& p : group) shape[p.dim] = p.size;
  return fmt::format("{}{}({})", column ? "column_" : "",
                     kPrimitives[static_cast<int>(first.label)], join(shape));
}

}  // namespace

std::optional<SwizzledSum> factor_swizzle(const Layout& l) {
  if (l.bits.identity() || !l.is_memory()) return std::nullopt;
  auto m = linear_of(l);
  if (m && m->constant != 0) return std::nullopt;
  constexpr int kWidest = 24;
  int width = m ? m->widths[0] : l.bits.in_bits.size() == 1 ? l.bits.in_bits[0] : 0;
  if (width == 0 || width > kWidest) return std::nullopt;
  for (int b = 1; b <= width; ++b)
    for (int m_bits = 0; m_bits < width; ++m_bits)
      for (int distance = b; distance < width; ++distance)
        for (int s : {distance, -distance}) {
          Swizzle sw{b, m_bits, s};
          if (m_bits + std::max(0, s) + b > width || m_bits - std::min(0, s) + b > width) continue;
          if (m) {
            LinearLayout plain = *m;
            uint64_t used = 0;
            bool disjoint = true;
            for (uint64_t& c : plain.columns) {
              c = apply(sw, c);
              disjoint = disjoint && !(used & c);
              used |= c;
            }
            if (!disjoint) continue;
            auto rest = layout_of(plain, {int64_t{1} << width}, l.dims);
            if (rest) return SwizzledSum{sw, std::move(*rest)};
          } else {
            bool same = true;
            for (int i = 0; same && i < width; ++i)
              same = l.bits.columns[i][0] == static_cast<int64_t>(apply(sw, uint64_t{1} << i));
            if (!same) continue;
            Layout rest = l;
            rest.bits = {};
            rest.spelling.clear();
            auto canonical = canonical_layout(std::move(rest));
            if (canonical) return SwizzledSum{sw, std::move(*canonical)};
          }
        }
  return std::nullopt;
}

Result<std::string> spell_strided(const Layout& l) {
  if (!l.is_memory())
    return cannot("shape:stride maps tensor coordinates to offsets; this layout maps registers");
  if (!l.bits.identity()) {
    auto parts = factor_swizzle(l);
    if (!parts) return cannot("the xor is no single swizzle Sw<b,m,s>");
    TESS_TRY(std::string rest, spell_strided(parts->rest));
    return fmt::format("Sw<{},{},{}> o {}", parts->sw.b, parts->sw.m, parts->sw.s, rest);
  }
  if (!all_zero(l.offset))
    return cannot(fmt::format("shape:stride begins at 0; this layout begins at {}", l.offset[0]));
  std::string shape, stride;
  bool nested = l.dims > 1;
  for (int d = 0; d < l.dims; ++d) {
    std::vector<std::pair<int64_t, int64_t>> modes;
    for (const Digit& digit : l.digits)
      if (digit.dim == d) modes.emplace_back(digit.size, digit.out[0]);
    nested = nested || modes.size() > 1;
    auto [s, t] = print_modes(modes);
    shape += (d ? "," : "") + s;
    stride += (d ? "," : "") + t;
  }
  return nested ? fmt::format("({}):({})", shape, stride) : fmt::format("{}:{}", shape, stride);
}

Result<std::string> spell_product(const Layout& l) {
  if (l.dims > 0)
    return cannot(
        "products of local and spatial map registers; this layout maps tensor coordinates");
  if (!l.bits.identity()) return cannot("a product has no xor: some bases share a bit");
  if (!all_zero(l.offset)) return cannot("a product begins at the tensor's first element");
  if (l.digits.empty())
    return fmt::format("local({})", join(std::vector<int64_t>(l.shape.size(), 1)));
  TESS_TRY(std::vector<Piece> pieces, peel(l));
  std::string text;
  for (size_t i = 0; i < pieces.size();) {
    std::vector<Piece> group{pieces[i]};
    bool column = false;
    for (++i; i < pieces.size(); ++i) {
      const Piece &last = group.back(), &next = pieces[i];
      if (next.label != last.label || next.dim < 0 || last.dim < 0 || next.dim == last.dim) break;
      bool up = next.dim > last.dim;
      if (group.size() > 1 && up != column) break;
      column = up;
      group.push_back(next);
    }
    text = print_group(group, l.shape.size(), column) + (text.empty() ? "" : " * ") + text;
  }
  // Replicas have no rank of their own, and lanes may regroup: only a text that reads back is a
  // spelling.
  auto back = parse_layout_expr(text);
  if (!back || !(*back == l || join_lanes(*back) == l))
    return cannot("the factors do not read back to the same layout");
  return text;
}

Result<std::string> spell_bases(const Layout& l) {
  auto m = linear_of(l);
  if (!m) return cannot("not linear over F2: a size is no power of two, or the sum carries");
  std::vector<std::pair<InputBit, std::string>> entries;
  for (size_t i = 0; i < m->in.size(); ++i)
    entries.emplace_back(m->in[i], print_vector(unpack_bits(m->columns[i], m->widths)));
  std::string text = print_labelled(l, entries);
  if (m->constant != 0)
    text += fmt::format("xor:{} ", print_vector(unpack_bits(m->constant, m->widths)));
  return text + fmt::format("-> {}}}", join(l.shape));
}

Result<std::string> spell_digits(const Layout& l) {
  if (!l.bits.identity()) return cannot("not a sum over digits: some bases share a bit");
  std::vector<std::pair<InputBit, std::string>> entries;
  for (const Digit& d : l.digits)
    entries.emplace_back(InputBit{d.label, d.dim, 0},
                         fmt::format("{}:{}", d.size, print_vector(d.out)));
  std::string text = print_labelled(l, entries);
  if (!all_zero(l.offset)) text += fmt::format("at:{} ", print_vector(l.offset));
  return text + fmt::format("-> {}}}", join(l.shape));
}

Result<std::string> spell_thread_value(const Layout& l, bool rows_minor) {
  if (l.dims > 0 || l.shape.size() > 2)
    return cannot("thread-value form is for fragments of one or two dimensions");
  if (!l.bits.identity())
    return cannot("CuTe keeps xor outside its layouts: some bases share a bit");
  if (!all_zero(l.offset))
    return cannot("the fragment does not begin at the tensor's first element");
  std::vector<int64_t> weight{1, 1};
  if (l.shape.size() == 2) weight[rows_minor ? 1 : 0] = l.shape[rows_minor ? 0 : 1];
  std::vector<std::pair<int64_t, int64_t>> threads, values;
  for (const Digit& d : l.digits) {
    int64_t stride = 0;
    for (size_t j = 0; j < d.out.size(); ++j) stride += d.out[j] * weight[j];
    (d.label == Label::reg ? values : threads).emplace_back(d.size, stride);
  }
  auto [ts, td] = print_modes(threads);
  auto [vs, vd] = print_modes(values);
  return fmt::format("({},{}):({},{})", ts, vs, td, vd);
}

std::string print_canonical(const Layout& l) {
  if (auto bases = spell_bases(l)) return *bases;
  if (auto digits = spell_digits(l)) return *digits;
  Layout inner = l, outer;
  inner.bits = {};
  inner.spelling.clear();
  inner.shape.clear();
  for (uint8_t b : l.bits.in_bits) inner.shape.push_back(int64_t{1} << b);
  LinearLayout p;
  for (int64_t s : l.shape) p.widths.push_back(static_cast<uint8_t>(width_of(s)));
  size_t at = 0;
  for (size_t j = 0; j < l.bits.in_bits.size(); ++j)
    for (uint8_t b = 0; b < l.bits.in_bits[j]; ++b, ++at) {
      p.in.push_back({Label::dim, static_cast<uint8_t>(j), b});
      p.columns.push_back(pack_bits(l.bits.columns[at], p.widths));
    }
  outer = uncoalesced_layout_of(p, l.shape, static_cast<int>(l.bits.in_bits.size()));
  if (auto parts = factor_swizzle(l); parts && all_zero(parts->rest.offset))
    return fmt::format("Sw<{},{},{}> o {}", parts->sw.b, parts->sw.m, parts->sw.s,
                       print_canonical(parts->rest));
  auto left = spell_bases(outer), right = spell_digits(inner);
  return fmt::format("{} o {}", left ? *left : "{}", right ? *right : "{}");
}

std::string print_layout(const Layout& l) {
  if (!l.spelling.empty()) return l.spelling;
  if (l.dims == 0) {
    if (auto text = spell_product(l)) return *text;
  } else if (l.is_memory()) {
    if (auto text = spell_strided(l)) return *text;
  }
  return print_canonical(l);
}

}  // namespace tess
