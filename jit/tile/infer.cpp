#include "jit/tile/infer.h"

#include <array>

#include "isa/layout.h"
#include "jit/tile/emit.h"

namespace tess::jit {
namespace {
constexpr std::array<std::string_view, 3> kSmNames{"sm_80", "sm_89", "sm_90a"};
constexpr std::array<std::string_view, 4> kConversionNames{"rename", "shuffle", "shared",
                                                           "cluster"};

// The module's layouts, each of which may name those before it.
Result<std::vector<tile::LayoutId>> interned(const Module& m, tile::Pool& pool) {
  std::vector<tile::LayoutId> ids;
  LayoutEnv env;
  env.layout = [&](std::string_view name) -> const Layout* {
    for (size_t i = 0; i < ids.size(); ++i)
      if (m.layouts[i].name == name && !name.empty()) return &pool.at(ids[i]);
    return nullptr;
  };
  for (const LayoutDef& def : m.layouts) {
    TESS_TRY(Layout l, parse_layout_expr(def.text, env));
    ids.push_back(pool.add(l));
  }
  return ids;
}
}  // namespace

std::optional<Sm> find_sm(std::string_view name) {
  for (size_t i = 0; i < kSmNames.size(); ++i)
    if (kSmNames[i] == name) return static_cast<Sm>(i);
  return std::nullopt;
}
std::string_view sm_name(Sm sm) { return kSmNames[static_cast<size_t>(sm)]; }
std::string_view conversion_name(ConversionKind kind) {
  return kConversionNames[static_cast<size_t>(kind)];
}

Result<Inferred> infer_layouts(const VerifiedModule& module, size_t kernel, const Target& target) {
  const Module& m = module.module();
  const Kernel& k = module.kernel(kernel);
  tile::Pool pool;
  TESS_TRY(std::vector<tile::LayoutId> written, interned(m, pool));
  tile::Webs webs = tile::find_webs(k, module.info(kernel));
  tile::Facts facts(k);
  tile::Relations relations(k, facts, webs, pool, target);
  std::vector<tile::Relation> list = relations.all(module.info(kernel), written);
  TESS_TRY(tile::Plan plan, tile::make_plan(k, webs, relations, pool, std::move(list), written));
  return tile::emit_plan(m, kernel, module.info(kernel), webs, relations, pool, plan, written);
}

}  // namespace tess::jit
