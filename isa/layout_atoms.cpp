#include "isa/layout_atoms.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>

#include "isa/diag/layout.h"
#include "isa/layout_ops.h"

namespace tess {
namespace {

struct MmaShape {
  int m, k;
  std::string_view types;  // element types of A and B, separated by spaces
  int bits;
};
constexpr MmaShape kMma[] = {
    {16, 8, "f16 bf16", 16},
    {16, 16, "f16 bf16", 16},
    {16, 4, "tf32", 32},
    {16, 8, "tf32", 32},
    {8, 4, "f64", 64},
    {16, 4, "f64", 64},
    {16, 8, "f64", 64},
    {16, 16, "f64", 64},
    {8, 16, "s8 u8 i8", 8},
    {16, 16, "s8 u8 i8 e4m3 e5m2", 8},
    {16, 32, "s8 u8 i8 e4m3 e5m2", 8},
    {8, 32, "s4 u4 i4", 4},
    {16, 32, "s4 u4 i4", 4},
    {16, 64, "s4 u4 i4", 4},
    {8, 128, "b1 u1 i1", 1},
    {16, 128, "b1 u1 i1", 1},
    {16, 256, "b1 u1 i1", 1},
};
constexpr MmaShape kWgmmaA[] = {
    {64, 16, "f16 bf16", 16},
    {64, 8, "tf32", 32},
    {64, 32, "s8 u8 i8 e4m3 e5m2", 8},
    {64, 256, "b1 u1 i1", 1},
};
constexpr std::string_view kAccumulators = "f16 f32 f64 s32 i32";
struct ElementBits {
  std::string_view types;
  int bits;
};
constexpr ElementBits kElements[] = {{"b1 u1 i1", 1},           {"s4 u4 i4 e2m1", 4},
                                     {"s8 u8 i8 e4m3 e5m2", 8}, {"f16 bf16 u16 i16", 16},
                                     {"f32 tf32 u32 i32", 32},  {"f64 u64 i64", 64}};
constexpr int kSpans[] = {128, 64, 32, 0};

bool has_word(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    size_t end = list.find(' ');
    if (list.substr(0, end) == word) return true;
    if (end == std::string_view::npos) break;
    list.remove_prefix(end + 1);
  }
  return false;
}

std::vector<std::string_view> words(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t at = 0; at <= text.size();) {
    size_t end = std::min(text.find(separator, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

int element_bits(std::string_view type) {
  for (const ElementBits& e : kElements)
    if (has_word(e.types, type)) return e.bits;
  return 0;
}

Digit digit(Label label, int64_t size, int64_t row, int64_t col) {
  return {label, 0, size, {row, col}};
}

Result<Layout> fragment(int64_t rows, int64_t cols, std::vector<Digit> digits) {
  Layout l;
  l.digits = std::move(digits);
  l.offset = {0, 0};
  l.shape = {rows, cols};
  return canonical_layout(std::move(l));
}

// A: lane = 4 * row + k-group; a 32-bit register holds v neighbours along k (one 64-bit element for
// f64); then the rows 8 below, then the second half of k, and so on.
Result<Layout> operand_a(int m, int k, int bits) {
  int v = std::max(1, 32 / bits);
  return fragment(m, k,
                  {digit(Label::reg, v, 0, 1), digit(Label::reg, std::min(m, 16) / 8, 8, 0),
                   digit(Label::reg, k / (4 * v), 0, 4 * v), digit(Label::lane, 4, 0, v),
                   digit(Label::lane, 8, 1, 0), digit(Label::warp, m == 64 ? 4 : 1, 16, 0)});
}

// B: lane = 4 * column + k-group.
Result<Layout> operand_b(int k, int bits) {
  int v = std::max(1, 32 / bits);
  return fragment(k, 8,
                  {digit(Label::reg, v, 1, 0), digit(Label::reg, k / (4 * v), 4 * v, 0),
                   digit(Label::lane, 4, v, 0), digit(Label::lane, 8, 0, 1)});
}

// C: lane = 4 * row + column pair; two neighbours, the rows 8 below, then the next 8 columns.
Result<Layout> accumulator(int m, int n) {
  return fragment(m, n,
                  {digit(Label::reg, 2, 0, 1), digit(Label::reg, std::min(m, 16) / 8, 8, 0),
                   digit(Label::reg, n / 8, 0, 8), digit(Label::lane, 4, 0, 2),
                   digit(Label::lane, 8, 1, 0), digit(Label::warp, m == 64 ? 4 : 1, 16, 0)});
}

// mma.m8n8k4 with f16 operands: four products at once, one for each pair of quads (lanes 4q..4q+3
// and 16+4q..16+4q+3). Shape: product, row, column; A row-major, B column-major.
Result<Layout> quad_pair(char operand, bool f32) {
  using V = std::vector<int64_t>;
  Layout l;
  std::vector<V> reg, lane;
  if (operand == 'A')
    reg = {{0, 0, 1}, {0, 0, 2}}, lane = {{0, 1, 0}, {0, 2, 0}, {1, 0, 0}, {2, 0, 0}, {0, 4, 0}},
    l.shape = {4, 8, 4};
  if (operand == 'B')
    reg = {{0, 1, 0}, {0, 2, 0}}, lane = {{0, 0, 1}, {0, 0, 2}, {1, 0, 0}, {2, 0, 0}, {0, 0, 4}},
    l.shape = {4, 4, 8};
  if (operand == 'C') {
    l.shape = {4, 8, 8};
    if (f32)
      reg = {{0, 0, 1}, {0, 2, 0}, {0, 0, 4}},
      lane = {{0, 1, 0}, {0, 0, 2}, {1, 0, 0}, {2, 0, 0}, {0, 4, 0}};
    else
      reg = {{0, 0, 1}, {0, 0, 2}, {0, 0, 4}},
      lane = {{0, 1, 0}, {0, 2, 0}, {1, 0, 0}, {2, 0, 0}, {0, 4, 0}};
  }
  for (V& v : reg) l.digits.push_back({Label::reg, 0, 2, std::move(v)});
  for (V& v : lane) l.digits.push_back({Label::lane, 0, 2, std::move(v)});
  l.offset = {0, 0, 0};
  return canonical_layout(std::move(l));
}

// "m16n8k16" and the like; absent letters are 0. False if malformed.
bool read_shape(std::string_view text, int& m, int& n, int& k) {
  m = n = k = 0;
  while (!text.empty()) {
    int* to = text[0] == 'm' ? &m : text[0] == 'n' ? &n : text[0] == 'k' ? &k : nullptr;
    if (!to || *to != 0) return false;
    auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), *to);
    if (error != std::errc{} || *to <= 0) return false;
    text.remove_prefix(end - text.data());
  }
  return true;
}

std::optional<Result<Layout>> mma(const std::vector<std::string_view>& part, bool wgmma) {
  int m, n, k;
  if (part.size() < 2 || part.size() > 3 || !read_shape(part[0], m, n, k)) return std::nullopt;
  std::string_view operand = part.back(), type = part.size() == 3 ? part[1] : "";
  if (operand == "C") {
    if (!type.empty() && !has_word(kAccumulators, type)) return std::nullopt;
    if (wgmma)
      return m == 64 && n >= 8 && n <= 256 && n % 8 == 0 ? std::optional(accumulator(m, n))
                                                         : std::nullopt;
    if (m == 8 && n == 8 && k == 4 && (type == "f16" || type == "f32"))
      return quad_pair('C', type == "f32");
    bool shape_exists = k == 0;
    for (const MmaShape& s : kMma) shape_exists = shape_exists || (s.m == m && s.k == k);
    return n == 8 && (m == 8 || m == 16) && shape_exists && !type.empty()
               ? std::optional(accumulator(m, n))
               : std::nullopt;
  }
  if (operand != "A" && operand != "B") return std::nullopt;
  if (wgmma) {
    for (const MmaShape& s : kWgmmaA)
      if (operand == "A" && s.m == m && s.k == k && has_word(s.types, type))
        return operand_a(m, k, s.bits);
    return std::nullopt;
  }
  if (m == 8 && n == 8 && k == 4 && type == "f16") return quad_pair(operand[0], false);
  for (const MmaShape& s : kMma)
    if (s.m == m && (n == 8 || n == 0) && s.k == k && has_word(s.types, type))
      return operand == "A" ? operand_a(m, k, s.bits) : operand_b(k, s.bits);
  return std::nullopt;
}

std::optional<Result<Layout>> matrix_move(const std::vector<std::string_view>& part) {
  if (part.size() < 2 || part.size() > 3 || (part.size() == 3 && part[2] != "trans"))
    return std::nullopt;
  int count = part[1] == "x1" ? 1 : part[1] == "x2" ? 2 : part[1] == "x4" ? 4 : 0;
  if (count == 0) return std::nullopt;
  if (part.size() == 2)
    return fragment(8 * count, 8,
                    {digit(Label::reg, 2, 0, 1), digit(Label::reg, count, 8, 0),
                     digit(Label::lane, 4, 0, 2), digit(Label::lane, 8, 1, 0)});
  return fragment(8 * count, 8,
                  {digit(Label::reg, 2, 1, 0), digit(Label::reg, count, 8, 0),
                   digit(Label::lane, 4, 2, 0), digit(Label::lane, 8, 0, 1)});
}

std::optional<Result<Layout>> shared_core(bool k_major, std::string_view span_name,
                                          std::string_view type) {
  int bits = element_bits(type);
  int span = -1;
  for (int s : kSpans)
    if (span_name == fmt::format("sw{}", s)) span = s;
  if (bits == 0 || span < 0) return std::nullopt;
  int64_t inner = (span == 0 ? 16 : span) * 8 / bits;
  auto core = k_major ? strided({8, inner}, {inner, 1}) : strided({inner, 8}, {1, inner});
  if (!core || span == 0) return core;
  int unit = std::countr_zero(
      static_cast<unsigned>(128 / bits));  // elements of 16 bytes, as a power of two
  return swizzle({std::countr_zero(static_cast<unsigned>(span / 16)), unit, 3}, *core);
}

}  // namespace

Result<Layout> named_atom(std::string_view name, Span at) {
  std::vector<std::string_view> part = words(name, '.');
  std::optional<Result<Layout>> found;
  std::vector<std::string_view> rest(part.begin() + 1, part.end());
  if (part[0] == "mma") found = mma(rest, false);
  else if (part[0] == "wgmma") found = mma(rest, true);
  else if (part[0] == "ldmatrix" || part[0] == "stmatrix") found = matrix_move(part);
  else if (part[0] == "smem" && part.size() == 4 && (part[1] == "kmajor" || part[1] == "mnmajor"))
    found = shared_core(part[1] == "kmajor", part[2], part[3]);
  else if (part[0] == "tma" && part.size() == 3) found = shared_core(true, part[1], part[2]);
  else if (!part[0].empty() && part[0][0] == 'm') found = mma(part, false);
  if (found) return std::move(*found);
  std::vector<std::string_view> names(atom_names().begin(), atom_names().end());
  std::string near = nearest_name(name, names);
  return make_diag(diag::layout_atom_unknown, fmt::format("there is no atom '{}'", name), at,
                   near.empty() ? "" : fmt::format("did you mean '{}'?", near));
}

const std::vector<std::string>& atom_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const MmaShape& s : kMma)
      for (std::string_view type : words(s.types, ' '))
        for (char operand : {'A', 'B'})
          all.push_back(fmt::format("mma.m{}n8k{}.{}.{}", s.m, s.k, type, operand));
    for (char operand : {'A', 'B'}) all.push_back(fmt::format("mma.m8n8k4.f16.{}", operand));
    for (std::string_view type : {"f16", "f32"})
      all.push_back(fmt::format("mma.m8n8k4.{}.C", type));
    for (int m : {8, 16})
      for (std::string_view type : words(kAccumulators, ' '))
        all.push_back(fmt::format("mma.m{}n8.{}.C", m, type));
    for (const MmaShape& s : kWgmmaA)
      for (std::string_view type : words(s.types, ' '))
        all.push_back(fmt::format("wgmma.m64k{}.{}.A", s.k, type));
    for (int n = 8; n <= 256; n += 8) all.push_back(fmt::format("wgmma.m64n{}.C", n));
    for (std::string_view move : {"ldmatrix", "stmatrix"})
      for (std::string_view count : {"x1", "x2", "x4"})
        for (std::string_view trans : {"", ".trans"})
          all.push_back(fmt::format("{}.{}{}", move, count, trans));
    for (std::string_view major : {"kmajor", "mnmajor"})
      for (int span : kSpans)
        for (const ElementBits& e : kElements)
          for (std::string_view type : words(e.types, ' '))
            all.push_back(fmt::format("smem.{}.sw{}.{}", major, span, type));
    return all;
  }();
  return names;
}

}  // namespace tess
