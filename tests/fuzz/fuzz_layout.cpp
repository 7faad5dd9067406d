// Layout texts: the first byte chooses an expression, a requirement, or a file of cases. Whatever
// parses is described and drawn, and its canonical form reads back to the same function.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "isa/layout_calc.h"
#include "isa/layout_draw.h"
#include "isa/layout_ops.h"
#include "isa/layout_require.h"

using namespace tess;

namespace {

constexpr size_t kMaxText = 4096;
constexpr int64_t kMaxDrawn = 4096;

void expression(const std::string& text) {
  auto l = parse_layout_expr(text);
  if (!l) return;
  if (input_size(*l) < kMaxDrawn) {
    (void)describe_layout(*l);
    (void)draw_layout(*l, true);
    (void)svg_layout(*l);
  }
  auto back = parse_layout_expr(print_canonical(*l));
  if (!back) abort();
  auto same = same_map(*back, *l);
  if (same && !*same && join_lanes(*back) != join_lanes(*l)) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1 || size > kMaxText) return 0;
  std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      expression(text);
      break;
    case 1:
      (void)check_require(text, {});
      break;
    default:
      (void)run_layout_cases(text);
  }
  return 0;
}
