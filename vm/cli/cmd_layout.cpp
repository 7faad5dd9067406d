#include <fmt/format.h>

#include "isa/diag/tool.h"
#include "isa/layout_calc.h"
#include "isa/layout_draw.h"
#include "vm/cli/commands.h"

namespace tess::cli {
namespace {

int check_cases(const std::string& path, const Console& console) {
  Result<std::string> text = read_input(path);
  if (!text) return console.report(text.error());
  CaseReport report = run_layout_cases(*text);
  if (!report.text.ends_with('\n')) report.text += '\n';
  if (Status written = console.write(report.text); !written) return console.report(written.error());
  return report.failed ? kMismatch : report.passed ? kOk : kUsage;
}

}  // namespace

int run_command(const LayoutOptions& o, const Console& console) {
  if (o.expressions.empty() == o.cases.empty())
    return console.report(
        make_diag(diag::usage, "`tess layout` takes either EXPR or --cases FILE"));
  if (!o.cases.empty()) return check_cases(o.cases, console);
  if (!o.svg.empty() && o.expressions.size() > 1)
    return console.report(make_diag(diag::usage, "--svg draws one layout"));
  int code = kOk;
  for (const std::string& expression : o.expressions) {
    Sources sources{{"layout", expression}};
    Result<Layout> layout = parse_layout_expr(expression);
    if (!layout) {
      code = std::max(code, console.report(layout.error(), sources));
      continue;
    }
    std::string text = describe_layout(*layout);
    if (!text.ends_with('\n')) text += '\n';
    DrawOptions draw;
    draw.elem_bits = o.element_bits;
    if (o.draw) {
      Result<std::string> picture = draw_layout(*layout, console.color_out, draw);
      if (!picture) return console.report(picture.error(), sources);
      text += "\n" + *picture;
      if (!text.ends_with('\n')) text += '\n';
    }
    if (Status written = console.write(text); !written) return console.report(written.error());
    if (!o.svg.empty()) {
      Result<std::string> picture = svg_layout(*layout, draw);
      if (!picture) return console.report(picture.error(), sources);
      if (Status written = write_output(o.svg, *picture, console); !written)
        return console.report(written.error());
    }
  }
  return code;
}

}  // namespace tess::cli
