#include "vm/cli/commands.h"
#include "vm/data/listing.h"

namespace tess::cli {

int run_command(const DataOptions& o, const Console& console) {
  int code = kOk;
  bool first = true;
  for (const std::string& path : o.files) {
    Result<Listing> listing = list_file(path);
    if (!listing) {
      code = std::max(code, console.report(listing.error()));
      continue;
    }
    std::string text = console.json ? listing_json(*listing) : listing_text(*listing);
    if (console.json && !text.ends_with('\n')) text += '\n';
    if (!first && !console.json) text.insert(0, "\n");
    first = false;
    if (Status written = console.write(text); !written) return console.report(written.error());
  }
  return code;
}

}  // namespace tess::cli
