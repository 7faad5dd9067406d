// Written layouts: they fit their tiles, and every `view` is legal.
#include <fmt/format.h>

#include "isa/diag/verify.h"
#include "isa/verify_kernel.h"
#include "isa/view.h"

namespace tess {

Result<std::deque<Layout>> parse_layouts(const Module& module) {
  std::deque<Layout> parsed;
  LayoutEnv env;
  env.layout = [&](std::string_view name) -> const Layout* {
    for (size_t i = 0; i < parsed.size(); ++i)
      if (module.layouts[i].name == name && !name.empty()) return &parsed[i];
    return nullptr;
  };
  for (const LayoutDef& def : module.layouts) {
    TESS_TRY(Layout layout, parse_layout_expr(def.text, env));
    parsed.push_back(std::move(layout));
  }
  return parsed;
}

void KernelVerifier::check_layouts() {
  constexpr int64_t kNone = -1, kSeveral = -2;
  // The one layout that every assignment of a name writes.
  std::vector<int64_t> written(k_.values.size(), kNone);
  std::vector<uint8_t> assigned(k_.values.size(), 0);
  for (const Inst& inst : k_.code)
    for (size_t r = 0; r < inst.n_results; ++r) {
      uint32_t v = k_.results(inst)[r].index();
      int64_t layout = r == 0 ? k_.attr(inst, AttrTag::layout).value_or(kNone) : kNone;
      written[v] = !assigned[v] || written[v] == layout ? layout : kSeveral;
      assigned[v] = 1;
    }
  if (info_.section.empty()) info_.section.assign(k_.code.size(), kNoSection);
  for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
    const Inst& inst = k_.code[pc];
    auto layout = k_.attr(inst, AttrTag::layout);
    if (!layout || !inst.n_results) continue;
    uint32_t result = k_.results(inst)[0].index();
    const Type& type = k_.values[result].type;
    int64_t threads = strand_warps(pc) * 32;
    auto [known, first] =
        fits_.try_emplace({*layout, fmt::format("{} {}", threads, type_text(type))}, ok());
    Status& fits = known->second;
    if (first) fits = check_layout_fits(type, layouts_[static_cast<size_t>(*layout)], threads);
    if (!fits) {
      report_at(pc, fits.error().code, fits.error().message, fits.error().hint);
      continue;
    }
    if (inst.op != Op::view) continue;
    Ref source = k_.args(inst)[0];
    int64_t from = source.is_value() ? written[source.index()] : kNone;
    if (from < 0) {
      report_at(pc, diag::view_source,
                from == kSeveral ? "the source of `view` is assigned with different layouts"
                                 : "the source of `view` has no written layout",
                "write `#layout` after the type where the source is made");
      continue;
    }
    Result<ViewMap> map =
        view_map({k_.values[source.index()].type, &layouts_[static_cast<size_t>(from)]},
                 {k_.values[result].type, &layouts_[static_cast<size_t>(*layout)]});
    if (!map) {
      report_at(pc, map.error().code, map.error().message, map.error().hint);
      continue;
    }
    info_.views.emplace(pc, std::make_shared<const ViewMap>(std::move(*map)));
  }
}

}  // namespace tess
