// Lowering: written layouts and `require`. A layout is stored as text in which constants are
// numbers and layouts that it names come before it in the module.
#include <fmt/format.h>

#include "frontends/vmasm/lower_kernel.h"
#include "isa/diag/text.h"
#include "isa/layout_require.h"

namespace tess::vmasm {
namespace {

bool begins_word(unsigned char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80 || c == '#';
}
bool in_word(unsigned char c) { return begins_word(c) || (c >= '0' && c <= '9') || c == '.'; }

}  // namespace

std::optional<int64_t> KernelLowering::layout_index(const std::string& name, const File& file,
                                                    TokenRange range, Span at, int depth) {
  if (!name.empty())
    if (auto it = layouts_.find({&file, name}); it != layouts_.end()) return it->second;
  if (depth > 64) {
    error(diag::layout_cycle, fmt::format("`#{}` is defined by itself", name), at);
    return {};
  }
  std::string text = file.ast.layout_text(range), out;
  for (size_t p = 0; p < text.size();) {
    size_t end = p + 1;
    bool word = begins_word(text[p]);
    if (word || (text[p] >= '0' && text[p] <= '9'))
      while (end < text.size() && in_word(text[end])) ++end;
    std::string piece = text.substr(p, end - p);
    p = end;
    if (!word) {
      out += piece;
    } else if (piece[0] == '#' && piece.size() > 1) {
      auto it = file.layouts.find(piece.substr(1));
      if (it == file.layouts.end()) {
        error(diag::unknown_layout, fmt::format("no layout `{}`", piece), at);
        return {};
      }
      const File& owner = *it->second.file;
      TokenRange expr = owner.ast[it->second.layout].expr;
      auto index = layout_index(it->first, owner, expr, owner.ast.span(expr), depth + 1);
      if (!index) return {};
      out += "#" + tables_.module->layouts[*index].name;
    } else {
      std::optional<ConstValue> value;
      if (&file == frames_.back().file) value = find_const(piece);
      else if (auto it = file.consts.find(piece); it != file.consts.end()) value = it->second;
      auto n = value ? literal_int(value->literal) : std::nullopt;
      out += n ? fmt::format("{}", *n) : piece;
    }
  }
  auto index = store_layout(name, out, at);
  if (index && !name.empty()) layouts_[{&file, name}] = *index;
  return index;
}

// The layout's place in the module. Another specialisation may have given the name another meaning:
// then it gets a number.
std::optional<int64_t> KernelLowering::store_layout(const std::string& name,
                                                    const std::string& text, Span at) {
  std::vector<LayoutDef>& all = tables_.module->layouts;
  if (auto it = tables_.layout_index.find(name + '\0' + text); it != tables_.layout_index.end())
    return it->second;
  LayoutEnv env;
  env.layout = [&](std::string_view n) -> const Layout* {
    for (size_t i = 0; i < all.size(); ++i)
      if (all[i].name == n) return &tables_.layouts[i];
    return nullptr;
  };
  Result<Layout> parsed = parse_layout_expr(text, env);
  if (!parsed) {
    error(parsed.error().code, parsed.error().message, at, parsed.error().hint);
    return {};
  }
  std::string unique = name;
  for (int n = 2; !name.empty() && env.layout(unique); ++n) unique = fmt::format("{}_{}", name, n);
  int64_t index = static_cast<int64_t>(all.size());
  all.push_back({unique, text});
  tables_.layouts.push_back(std::move(*parsed));
  tables_.layout_index.emplace(name + '\0' + text, index);
  return index;
}

std::optional<int64_t> KernelLowering::layout(LayoutId id) {
  const LayoutRef& l = ast()[id];
  const File& file = *frames_.back().file;
  if (l.name == kNoToken) return layout_index("", file, l.expr, ast().span(l.expr), 0);
  return layout_named(ast().name(l.name), ast().span(id));
}

std::optional<int64_t> KernelLowering::layout_named(std::string_view name, Span at) {
  const File& file = *frames_.back().file;
  auto it = file.layouts.find(name);
  if (it == file.layouts.end()) {
    std::vector<std::string_view> names;
    for (auto& [n, d] : file.layouts) names.push_back(n);
    std::string near = nearest_name(name, names);
    error(diag::unknown_layout, fmt::format("no layout `#{}`", name), at,
          near.empty() ? "" : fmt::format("did you mean `#{}`?", near));
    return {};
  }
  const Ast& owner = it->second.file->ast;
  TokenRange expr = owner[it->second.layout].expr;
  return layout_index(it->first, *it->second.file, expr, owner.span(expr), 0);
}

void KernelLowering::require(ExprId e) {
  LayoutEnv env;
  size_t errors = out_.size();
  env.layout = [&](std::string_view name) -> const Layout* {
    auto index = layout_named(name, ast().span(e));
    return index ? &tables_.layouts[*index] : nullptr;
  };
  env.constant = [&](std::string_view name) -> std::optional<int64_t> {
    auto c = find_const(name);
    return c ? literal_int(c->literal) : std::nullopt;
  };
  Status holds = check_require(ast().source_of(ast()[e].tokens), env);
  if (holds || out_.size() > errors) return;
  Diagnostic d = std::move(holds).error();
  d.span = ast().span(e);
  for (Note& n : d.notes) n.span = {};
  out_.push_back(std::move(d));
}

}  // namespace tess::vmasm
