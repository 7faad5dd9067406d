#include "jit/jit_tool.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "isa/diag/tool.h"
#include "jit/tile/barriers.h"
#include "jit/tile/hopper.h"
#include "jit/tile/infer.h"
#include "jit/tile/pipeline.h"

namespace tess::jit {
namespace {

Result<VerifiedModule> checked(Module m) {
  Diagnostics out;
  auto verified = verify(std::move(m), out);
  if (verified) return std::move(*verified);
  for (Diagnostic& d : out)
    if (find_diag(d.code)->severity == Severity::error) return std::move(d);
  return make_diag(diag::internal_error, "a tile pass made what does not verify");
}

Result<Inferred> inferred(const VerifiedModule& module, size_t kernel, std::string_view arch) {
  auto sm = find_sm(arch);
  if (!sm)
    return make_diag(diag::usage, fmt::format("no architecture `{}`", arch), {},
                     "one of sm_80, sm_89, sm_90a");
  TESS_TRY(VerifiedModule rewritten, checked(rewrite_for_hopper(module, kernel, *sm)));
  return infer_layouts(rewritten, 0, {*sm});
}

std::string place_text(const Module& m, const Loc& l) {
  if (l.line == 0) return "?";
  std::string file = l.file < m.files.size() ? m.files[l.file] : "";
  return fmt::format("{}:{}:{}", file, l.line, l.col);
}
std::string short_place(const Loc& l) { return fmt::format("{}:{}", l.line, l.col); }

std::string conversion_text(const InsertedConversion& c) {
  std::string text = fmt::format("{} from {}\n      to {}\n      {}", c.value, c.from, c.to,
                                 conversion_name(c.kind));
  if (c.staged) text += ", staged in a shared tile";
  text += fmt::format(", {} issue slots", c.cost);
  if (c.shared_bytes) text += fmt::format(", {} bytes", c.shared_bytes);
  if (c.kind == ConversionKind::shared) text += fmt::format(", {}-way", c.ways);
  if (c.in_loop()) text += fmt::format(", in {} loop{}", c.loop_depth, c.loop_depth > 1 ? "s" : "");
  return text;
}

std::string access_text(const AccessFact& a) {
  std::string text =
      fmt::format("{}: {} x {} byte{}", a.what, a.accesses, a.bytes, a.bytes == 1 ? "" : "s");
  if (a.matrix) text += " (matrix)";
  if (a.unaligned) text += ", less than a byte each";
  if (a.space == Space::shared) text += fmt::format(", {}-way", a.ways);
  return text;
}

}  // namespace

Result<Module> tile_program(const VerifiedModule& module, size_t kernel, std::string_view arch) {
  TESS_TRY(Inferred r, inferred(module, kernel, arch));
  TESS_TRY(VerifiedModule laid_out, checked(std::move(r.module)));
  TESS_TRY(VerifiedModule ahead,
           checked(pipeline_loops(laid_out, 0, shared_memory_of(*find_sm(arch)))));
  return place_barriers(ahead, 0);
}

Result<std::string> compiler_report(const VerifiedModule& module, size_t kernel,
                                    std::string_view arch) {
  TESS_TRY(Inferred r, inferred(module, kernel, arch));
  std::string out = fmt::format("  for {}:\n", arch);
  std::map<std::string, std::vector<const Decision*>> by_layout;
  std::vector<std::string> order;
  for (const Decision& d : r.report.decisions) {
    auto& list = by_layout[d.layout];
    if (list.empty()) order.push_back(d.layout);
    list.push_back(&d);
  }
  out += "  layouts\n";
  for (const std::string& layout : order) {
    const auto& list = by_layout[layout];
    out += fmt::format("    {}  ({}, line {})\n     ", layout, list[0]->rule,
                       short_place(list[0]->forced_by));
    std::string line;
    for (const Decision* d : list) {
      if (d->value.starts_with("%")) line += fmt::format(" {}", d->value);
    }
    int temporaries = static_cast<int>(std::count_if(
        list.begin(), list.end(), [](const Decision* d) { return !d->value.starts_with("%"); }));
    if (temporaries)
      line += fmt::format(" {}{} temporar{}", line.empty() ? "" : "and ", temporaries,
                          temporaries == 1 ? "y" : "ies");
    out += line + "\n";
  }
  out += fmt::format("  conversions: {}\n", r.report.conversions.size());
  for (const InsertedConversion& c : r.report.conversions)
    out += fmt::format("    {}: {}\n", short_place(c.loc), conversion_text(c));
  out += "  memory accesses of a thread, on aligned extents\n";
  for (const AccessFact& a : r.report.accesses)
    out += fmt::format("    {}: {}\n", short_place(a.loc), access_text(a));
  out += fmt::format("  shared tiles: {} bytes\n", r.report.shared_bytes);
  return out;
}

Result<std::string> explain_why(const VerifiedModule& module, size_t kernel, std::string_view arch,
                                ProgramPlace place) {
  TESS_TRY(Inferred r, inferred(module, kernel, arch));
  const Module& m = module.module();
  auto here = [&](const Loc& l) {
    return l.file == place.file && l.line == place.line && (place.col == 0 || l.col == place.col);
  };
  std::string out;
  for (const Decision& d : r.report.decisions) {
    if (!here(d.loc)) continue;
    out += fmt::format("{}: {} : {}\n  layout {}\n  because of {} at {}\n", place_text(m, d.loc),
                       d.value, type_text(d.type), d.layout, d.rule, place_text(m, d.forced_by));
    if (!d.alternative.empty())
      out += fmt::format("  the next best, {}, would cost {} issue slots of a warp more\n",
                         d.alternative, d.extra_cost);
  }
  for (const InsertedConversion& c : r.report.conversions)
    if (here(c.loc))
      out += fmt::format("{}: conversion of {}\n", place_text(m, c.loc), conversion_text(c));
  for (const AccessFact& a : r.report.accesses)
    if (here(a.loc)) out += fmt::format("{}: {}\n", place_text(m, a.loc), access_text(a));
  return out;
}

}  // namespace tess::jit
