#include <fmt/format.h>

#include "frontends/vmasm/format.h"
#include "frontends/vmasm/parser.h"
#include "isa/bytecode.h"
#include "isa/diag/tool.h"
#include "vm/cli/commands.h"

namespace tess::cli {

int run_command(const FmtOptions& o, const Console& console) {
  if (o.in_place + o.check + !o.output.empty() > 1)
    return console.report(make_diag(diag::usage, "--in-place, --check and -o exclude each other"));
  if (!o.output.empty() && o.files.size() > 1)
    return console.report(make_diag(diag::usage, "-o takes one input; use --in-place for several"));
  int code = kOk;
  for (const std::string& file : o.files) {
    Result<std::string> text = read_input(file);
    std::string name = file == "-" ? "standard input" : file;
    if (!text) {
      code = std::max(code, console.report(text.error()));
      continue;
    }
    if (is_bytecode({reinterpret_cast<const uint8_t*>(text->data()), text->size()})) {
      code =
          std::max(code, console.report(make_diag(diag::bytes_expected,
                                                  fmt::format("{} is bytecode, not text", name))));
      continue;
    }
    Diagnostics found;
    vmasm::Ast ast = vmasm::parse(*text, 0, found);
    if (!found.empty()) {
      code = std::max(code, console.report(std::move(found), {{name, *text}}));
      continue;
    }
    std::string formatted = vmasm::format(ast);
    if (o.check) {
      if (formatted != *text) {
        code = std::max<int>(code, kMismatch);
        if (Status s = console.write(name + "\n"); !s) return console.report(s.error());
      }
      continue;
    }
    if (o.in_place && (file == "-" || formatted == *text)) continue;
    Status written = write_output(o.in_place ? file : o.output, formatted, console);
    if (!written) return console.report(written.error());
  }
  return code;
}

}  // namespace tess::cli
