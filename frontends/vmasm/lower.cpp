#include "frontends/vmasm/lower.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <utility>

#include "frontends/vmasm/environment.h"
#include "frontends/vmasm/lower_kernel.h"
#include "frontends/vmasm/parser.h"
#include "isa/diag/text.h"
#include "isa/limits.h"
#include "isa/verify.h"

namespace tess::vmasm {
namespace {

// Parses a file and what it uses, once each. Files are kept by address.
class Loader {
 public:
  Loader(const CompileOptions& options, Sources& sources, Diagnostics& out)
      : options_(options), sources_(sources), out_(out) {}

  File* parse_file(SourceFile source) {
    uint32_t number = static_cast<uint32_t>(sources_.size());
    sources_.push_back(std::move(source));
    files_.emplace_back();
    files_.back().ast = parse(sources_[number].text, number, out_);
    return &files_.back();
  }

  // The file that `use` means; null after reporting why not.
  const File* used(const Item& item, const Ast& ast) {
    if (item.name == kNoToken) return nullptr;  // reported by the parser
    std::string name = ast.string_value(item.name);
    const std::string& from = sources_[ast.file].name;
    auto refuse = [&](std::string why) {
      out_.push_back(
          make_diag(diag::use_failed, fmt::format("`{}`: {}", name, why), ast.span(item.name)));
      return nullptr;
    };
    if (!options_.load) return refuse("files cannot be used here");
    Result<SourceFile> source = options_.load(name, from);
    if (!source) return refuse(source.error().message);
    if (auto it = by_path_.find(source->name); it != by_path_.end()) {
      if (!it->second) return refuse("the file uses itself");
      return it->second;
    }
    if (depth_ >= limits::max_use_depth)
      return refuse(fmt::format("`use` nests deeper than {}", limits::max_use_depth));
    std::string path = source->name;
    by_path_[path] = nullptr;
    ++depth_;
    size_t errors = out_.size();
    File* file = parse_file(std::move(*source));
    if (out_.size() == errors)
      build_environment(
          *file, {&options_, nullptr, [this](const Item& i, const Ast& a) { return used(i, a); }},
          out_);
    --depth_;
    by_path_[path] = file;
    return file;
  }

 private:
  const CompileOptions& options_;
  Sources& sources_;
  Diagnostics& out_;
  std::deque<File> files_;
  std::map<std::string, File*> by_path_;
  int64_t depth_ = 0;
};

bool has_errors(const Diagnostics& d, size_t from) {
  return std::any_of(d.begin() + static_cast<ptrdiff_t>(from), d.end(), [](const Diagnostic& x) {
    const DiagInfo* info = find_diag(x.code);
    return !info || info->severity != Severity::warning;
  });
}

}  // namespace

bool misparsed(const Ast& ast, TokenRange tokens, std::span<const Diagnostic> parse_errors) {
  if (tokens.empty()) return !parse_errors.empty();
  uint32_t first = ast.token(tokens.first).line, last = ast.token(tokens.last).line;
  return std::any_of(parse_errors.begin(), parse_errors.end(), [&](const Diagnostic& d) {
    return d.span.file == ast.file && d.span.line >= first && d.span.line <= last;
  });
}

TokenRange header_of(const Ast& ast, const Item& item) {
  return {item.tokens.first, item.body ? ast[item.body].tokens.first : item.tokens.last};
}

std::optional<Module> compile(SourceFile source, const CompileOptions& options, Sources& sources,
                              Diagnostics& out) {
  size_t first = out.size();
  std::string text = options.keep_source ? source.text : std::string();
  Loader loader(options, sources, out);
  File* file = loader.parse_file(std::move(source));
  const Diagnostics parse_errors(out.begin() + static_cast<ptrdiff_t>(first), out.end());
  if (parse_errors.size() >= static_cast<size_t>(limits::max_errors)) return {};

  Module module;
  module.producer = "tess";
  module.source = std::move(text);
  ModuleTables tables;
  tables.module = &module;
  tables.sources = &sources;
  for (ItemId id : file->ast.items) {
    const Item& item = file->ast[id];
    if (item.kind != ItemKind::file || item.name == kNoToken) continue;
    if (item.file_number != module.files.size())
      out.push_back(make_diag(diag::file_item_mismatch,
                              fmt::format("file {} comes out of order", item.file_number),
                              file->ast.span(id)));
    module.files.push_back(file->ast.string_value(item.name));
  }

  // One round for the plain bindings, one more for each further specialisation.
  std::vector<std::vector<Define>> rounds{options.defines};
  for (const auto& spec : options.specs) {
    rounds.push_back(options.defines);
    rounds.back().insert(rounds.back().end(), spec.begin(), spec.end());
  }
  if (!options.specs.empty()) rounds.erase(rounds.begin());
  std::map<std::string, Span> keys;
  std::vector<Refused> refused;  // by kernel of the module
  bool any = false;
  for (const std::vector<Define>& defines : rounds) {
    // The last round takes the tree instead of copying it: it may be large.
    File env = &defines == &rounds.back() ? std::move(*file) : *file;
    size_t errors = out.size();
    build_environment(
        env, {&options, &defines, [&](const Item& i, const Ast& a) { return loader.used(i, a); }},
        out);
    if (has_errors(out, errors)) return {};
    tables.file_index.assign(sources.size(), -1);
    for (size_t f = 0; f < sources.size(); ++f)
      for (size_t m = 0; m < module.files.size(); ++m)
        if (module.files[m] == sources[f].name) tables.file_index[f] = static_cast<int64_t>(m);
    bool first_kernel = true;
    for (ItemId id : env.ast.items) {
      const Item& item = env.ast[id];
      if (item.kind != ItemKind::kernel) continue;
      any = true;
      // A kernel whose header is broken cannot be read further; broken statements are passed over.
      if (misparsed(env.ast, header_of(env.ast, item), parse_errors)) continue;
      size_t before = out.size();
      KernelLowering lowering(env, item, tables, parse_errors, out);
      Kernel kernel = lowering.run(std::exchange(first_kernel, false));
      Refused lost = lowering.refused();
      lost.unknown_names = misparsed(env.ast, item.tokens, parse_errors);
      lost.any = lost.unknown_names || has_errors(out, before);
      std::string key = kernel_key(kernel);
      auto [it, added] = keys.emplace(key, env.ast.span(item.name));
      if (added) {
        module.kernels.push_back(std::move(kernel));
        refused.push_back(std::move(lost));
      } else if (&defines == &rounds.front()) {
        Diagnostic d =
            make_diag(diag::duplicate_name, fmt::format("kernel `{}` is defined twice", key),
                      env.ast.span(item.name));
        d.notes.push_back({"first here", it->second});
        out.push_back(std::move(d));
      }
    }
  }
  if (!any && !options.allow_no_kernels && !has_errors(out, first))
    out.push_back(make_diag(diag::no_kernels, "the file defines no kernel"));
  if (has_errors(out, first)) check_incomplete(module, refused, out);
  if (!parse_errors.empty()) {  // what may only be missing because it could not be read
    std::erase_if(out, [](const Diagnostic& d) {
      return d.code == diag::unknown_name || d.code == diag::unknown_function ||
             d.code == diag::unknown_layout || d.code == diag::not_constant;
    });
  }
  std::stable_sort(out.begin() + static_cast<ptrdiff_t>(first), out.end(),
                   [](const Diagnostic& a, const Diagnostic& b) {
                     return std::tie(a.span.file, a.span.line, a.span.col) <
                            std::tie(b.span.file, b.span.line, b.span.col);
                   });
  // Each specialisation reports the same mistakes.
  auto same = [](const Diagnostic& a, const Diagnostic& b) {
    return a.code == b.code && a.span == b.span && a.message == b.message;
  };
  out.erase(std::unique(out.begin() + static_cast<ptrdiff_t>(first), out.end(), same), out.end());
  if (has_errors(out, first)) return {};
  return module;
}

}  // namespace tess::vmasm
