#include <fmt/format.h>

#include "isa/diag/tool.h"
#include "isa/layout_calc.h"
#include "vm/cli/commands.h"
#include "vm/cli/reference.h"

namespace tess::cli {

int run_command(const ExplainOptions& o, const Console& console) {
  if (o.all == !o.topic.empty())
    return console.report(make_diag(diag::usage, "`tess explain` takes either a TOPIC or --all"));
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
