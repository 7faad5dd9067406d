// The manual's reference, from the tables: what `tess explain` prints.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tess::cli {

// A page of plain text about a diagnostic code ("E0303", any letter case), an instruction, a type,
// an attribute or a limit; none if nothing has that name.
std::optional<std::string> explain_topic(std::string_view topic);
// Every name that explain_topic knows.
std::vector<std::string> all_topics();
// Everything, as Markdown: `tess explain --all`, build/reference.md.
std::string reference_markdown();

}  // namespace tess::cli
