#include "vm/api/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "frontends/vmasm/lower.h"
#include "isa/bytecode.h"
#include "isa/diag/tool.h"

namespace tess {
namespace {

std::vector<vmasm::Define> defines_of(const std::vector<LoadBinding>& bindings) {
  std::vector<vmasm::Define> out;
  for (const LoadBinding& b : bindings) out.push_back({b.name, b.value});
  return out;
}

std::string folder_of(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

// `use` reaches below its folders only: a program from elsewhere must not read what it likes.
bool stays_below(std::string_view name) {
  if (name.empty() || name.front() == '/' || name.find('\0') != std::string_view::npos)
    return false;
  while (!name.empty()) {
    size_t slash = name.find('/');
    if (name.substr(0, slash) == "..") return false;
    name.remove_prefix(slash == std::string_view::npos ? name.size() : slash + 1);
  }
  return true;
}

Result<SourceFile> find_used(const std::string& name, const std::string& from,
                             const std::vector<std::string>& paths) {
  if (!stays_below(name))
    return make_diag(
        diag::input_unreadable,
        fmt::format("`use \"{}\"`: the name must be relative and stay below its folder", name));
  std::vector<std::string> folders = {folder_of(from)};
  folders.insert(folders.end(), paths.begin(), paths.end());
  std::string tried;
  for (const std::string& folder : folders) {
    std::string path = folder == "." ? name : folder + "/" + name;
    if (FILE* f = fopen(path.c_str(), "rb")) {
      fclose(f);
      TESS_TRY(std::string text, read_program_file(path));
      return SourceFile{path, std::move(text)};
    }
    tried += (tried.empty() ? "" : ", ") + folder;
  }
  return make_diag(diag::input_unreadable, fmt::format("`{}` is in none of: {}", name, tried), {},
                   "-I adds a folder");
}

// The sources of a module that was read from bytecode: its text, if kept, is that of the first
// file.
Sources sources_of(const Module& module) {
  Sources out;
  for (const std::string& name : module.files) out.push_back({name, ""});
  if (!out.empty()) out[0].text = module.source;
  return out;
}

// Which of the sources has that name; one without text is added if none has.
uint32_t source_number(const std::string& name, Sources& sources) {
  for (size_t i = 0; i < sources.size(); ++i)
    if (sources[i].name == name) return static_cast<uint32_t>(i);
  sources.push_back({name, ""});
  return static_cast<uint32_t>(sources.size() - 1);
}

bool has_error(const Diagnostics& diagnostics) {
  return std::any_of(diagnostics.begin(), diagnostics.end(), [](const Diagnostic& d) {
    const DiagInfo* info = find_diag(d.code);
    return !info || info->severity != Severity::warning;
  });
}

std::optional<Module> compile_text(SourceFile file, const LoadOptions& options, Loaded& out) {
  vmasm::CompileOptions compile;
  compile.defines = defines_of(options.bindings);
  for (const auto& spec : options.specs) compile.specs.push_back(defines_of(spec));
  compile.keep_source = options.keep_source;
  compile.allow_no_kernels = options.allow_no_kernels;
  compile.load = [&options](const std::string& name, const std::string& from) {
    return find_used(name, from, options.search_paths);
  };
  std::optional<Module> module =
      vmasm::compile(std::move(file), compile, out.sources, out.diagnostics);
  if (module) module->producer = "tess " TESS_VERSION;
  return module;
}

}  // namespace

Result<LoadBinding> parse_binding(std::string_view text) {
  size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0 || equals + 1 == text.size())
    return make_diag(diag::bad_binding, fmt::format("`{}` is not NAME=VALUE", text));
  return LoadBinding{std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))};
}

Result<std::string> read_program_file(const std::string& path) {
  auto failed = [&](const char* why) {
    return make_diag(diag::input_unreadable, fmt::format("{}: {}", path, why));
  };
  std::unique_ptr<FILE, int (*)(FILE*)> f(fopen(path.c_str(), "rb"), fclose);
  if (!f) return failed(std::strerror(errno));
  std::string bytes;
  char buffer[65536];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, f.get())) > 0;) {
    bytes.append(buffer, n);
    if (bytes.size() > static_cast<size_t>(limits::max_source_bytes))
      return failed("larger than the limit of a source file");
  }
  if (ferror(f.get())) return failed(std::strerror(errno));
  return bytes;
}

Sources module_sources(const Module& module, const Sources& sources) {
  Sources out;
  for (const std::string& file : module.files) {
    out.push_back({file, ""});
    for (const SourceFile& s : sources)
      if (s.name == file) out.back().text = s.text;
  }
  return out;
}

Loaded load_program(std::string name, std::string bytes, const LoadOptions& options) {
  Loaded out;
  std::optional<Module> module;
  for (size_t i = 0; i < options.bindings.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (options.bindings[i].name == options.bindings[j].name)
        out.diagnostics.push_back(make_diag(
            diag::bad_binding, fmt::format("`{}` is bound twice", options.bindings[i].name)));
  if (!out.diagnostics.empty()) return out;
  std::span<const uint8_t> view(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (is_bytecode(view)) {
    Result<Module> read = read_bytecode(view);
    if (!read) {
      read.error().message = name + ": " + read.error().message;
      out.diagnostics.push_back(std::move(read).error());
      return out;
    }
    bool specialise = !options.bindings.empty() || !options.specs.empty();
    if (specialise && read->source.empty()) {
      out.diagnostics.push_back(
          make_diag(diag::not_specialisable,
                    fmt::format("{} keeps no source, so nothing can be bound in it", name)));
      return out;
    }
    if (specialise) {
      std::string text_name = read->files.empty() ? name : read->files[0];
      module = compile_text({std::move(text_name), std::move(read->source)}, options, out);
    } else {
      out.sources = sources_of(*read);
      module = std::move(*read);
    }
  } else {
    module = compile_text({std::move(name), std::move(bytes)}, options, out);
  }
  if (!module || has_error(out.diagnostics)) return out;
  std::vector<std::string> files = module->files;
  size_t first = out.diagnostics.size();
  out.module = verify(std::move(*module), out.diagnostics);
  // The verifier speaks of the module's files; the text may have been a disassembly of others.
  std::vector<uint32_t> number;
  for (const std::string& file : files) number.push_back(source_number(file, out.sources));
  auto renumber = [&](Span& span) {
    if (span.line) span.file = span.file < number.size() ? number[span.file] : 0;
  };
  for (size_t i = first; i < out.diagnostics.size(); ++i) {
    renumber(out.diagnostics[i].span);
    for (Note& note : out.diagnostics[i].notes) renumber(note.span);
    if (out.diagnostics[i].fix) renumber(out.diagnostics[i].fix->span);
  }
  return out;
}

}  // namespace tess
