#include <fmt/format.h>

#include <charconv>

#include "isa/diag/tool.h"
#include "isa/layout_calc.h"
#include "jit/jit_tool.h"
#include "vm/cli/commands.h"
#include "vm/cli/program.h"
#include "vm/cli/reference.h"

namespace tess::cli {
namespace {

std::optional<uint32_t> number(std::string_view text) {
  uint32_t v = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc{} || end != text.data() + text.size() || v == 0) return {};
  return v;
}

// FILE:LINE or FILE:LINE:COL.
struct Place {
  std::string file;
  uint32_t line = 0, col = 0;
};
std::optional<Place> place_of(std::string_view text) {
  std::vector<uint32_t> numbers;
  while (numbers.size() < 2) {
    size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) break;
    auto n = number(text.substr(colon + 1));
    if (!n) break;
    numbers.insert(numbers.begin(), *n);
    text = text.substr(0, colon);
  }
  if (numbers.empty() || text.empty()) return {};
  return Place{std::string(text), numbers[0], numbers.size() > 1 ? numbers[1] : 0};
}

int explain_place(const ExplainOptions& o, const Console& console) {
  auto place = place_of(o.why);
  if (!place)
    return console.report(
        make_diag(diag::usage, fmt::format("`{}` is no place FILE:LINE[:COL]", o.why)));
  Program program = o.program;
  program.file = place->file;
  OpenedProgram opened = open_program(program, {}, console);
  if (!opened.module) return opened.exit_code;
  const Module& m = opened.module->module();
  std::string page;
  for (size_t k = 0; k < m.kernels.size(); ++k) {
    if (!o.kernel.empty() && m.kernels[k].name != o.kernel) continue;
    for (uint32_t file = 0; file < m.files.size(); ++file) {
      if (m.files[file] != place->file) continue;
      Result<std::string> why =
          jit::explain_why(*opened.module, k, o.arch, {file, place->line, place->col});
      if (!why) return console.report(why.error(), opened.sources);
      page += *why;
    }
  }
  if (page.empty())
    return console.report(
        make_diag(diag::usage, fmt::format("no tile is made and none converted at {}", o.why), {},
                  "name the line of an instruction that makes a register tile"));
  Status written = write_output(o.output, page, console);
  return written ? kOk : console.report(written.error());
}

}  // namespace

int run_command(const ExplainOptions& o, const Console& console) {
  if (!o.why.empty() && !o.all && o.topic.empty()) return explain_place(o, console);
  if (o.all == !o.topic.empty() || !o.why.empty())
    return console.report(make_diag(diag::usage, "`tess explain` takes a TOPIC, --all or --why"));
  std::string page;
  if (o.all) {
    page = reference_markdown();
  } else if (auto found = explain_topic(o.topic)) {
    page = *found;
  } else if (Result<std::string> layout = describe_layout(o.topic)) {
    page = *layout;
  } else {
    std::vector<std::string> topics = all_topics();
    std::vector<std::string_view> names(topics.begin(), topics.end());
    std::string near = nearest_name(o.topic, names);
    return console.report(make_diag(diag::unknown_topic,
                                    fmt::format("nothing is named `{}`", o.topic), {},
                                    near.empty() ? "" : fmt::format("did you mean `{}`?", near)));
  }
  Status written = write_output(o.output, page, console);
  return written ? kOk : console.report(written.error());
}

}  // namespace tess::cli
