// Legality of `view`: which bits the two layouts hold to be the same.
#include <fmt/format.h>

#include <map>

#include "isa/diag/layout.h"
#include "isa/layout_judge.h"
#include "isa/layout_query.h"
#include "isa/layout_witness.h"

namespace tess {
namespace {

// What the source holds in one bit of one thread.
struct SourceBit {
  std::vector<int64_t> element;
  int64_t bit;
  bool operator==(const SourceBit&) const = default;
};

SourceBit source_bit(const Layout& src, int src_bits, LayoutPoint p, int64_t bit) {
  p.reg = bit / src_bits;
  return {apply(src, p), bit % src_bits};
}

}  // namespace

Status check_view(const Layout& src, int src_bits, const Layout& dst, int dst_bits) {
  if (src.dims > 0 || dst.dims > 0)
    return make_diag(diag::layout_argument, "a view is between two register layouts");
  if (src_bits < 1 || src_bits > 64 || dst_bits < 1 || dst_bits > 64)
    return make_diag(diag::layout_argument, "an element has 1 to 64 bits");
  for (Label label : {Label::lane, Label::warp, Label::cta})
    if (int64_t a = size_of(src, label), b = size_of(dst, label); a != b)
      return make_diag(diag::layout_view_shape,
                       fmt::format("the source is spread over {} {}s, the result over {}", a,
                                   label == Label::lane   ? "lane"
                                   : label == Label::warp ? "warp"
                                                          : "block",
                                   b));
  __int128 have = static_cast<__int128>(registers_of(src)) * src_bits,
           want = static_cast<__int128>(registers_of(dst)) * dst_bits;
  if (have != want)
    return make_diag(
        diag::layout_view_shape,
        fmt::format("a thread of the source holds {} elements of {} bits, of the result {} of {}",
                    registers_of(src), src_bits, registers_of(dst), dst_bits));
  auto injective = is_injective(dst);
  if (injective && *injective) return ok();
  int64_t n = input_size(dst);
  TESS_CHECK(judge_enter(n > kJudgeLimit / dst_bits ? kJudgeLimit + 1 : n * dst_bits));
  std::map<std::vector<int64_t>, LayoutPoint> first_holder;
  std::vector<InputSpace> spaces = input_spaces(dst);
  for (int64_t x = 0; x < n; ++x) {
    LayoutPoint p = point_of(spaces, x);
    auto [it, fresh] = first_holder.emplace(apply(dst, p), p);
    if (fresh) continue;
    for (int64_t bit = 0; bit < dst_bits; ++bit) {
      LayoutPoint q = it->second;
      if (source_bit(src, src_bits, p, p.reg * dst_bits + bit) ==
          source_bit(src, src_bits, q, q.reg * dst_bits + bit))
        continue;
      Diagnostic d = make_diag(
          diag::layout_view_copies,
          "the result holds copies of one element where the source holds different values");
      d.notes.push_back(
          {fmt::format("{} and {} are copies in the result, and differ in the source at bit {}",
                       describe_point(dst, q), describe_point(dst, p), bit),
           {}});
      return d;
    }
  }
  return ok();
}

}  // namespace tess
