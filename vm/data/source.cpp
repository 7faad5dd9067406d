#include "vm/data/source.h"

#include <fmt/format.h>

#include <algorithm>

#include "isa/diag/data.h"
#include "vm/data/gguf.h"
#include "vm/data/npy.h"
#include "vm/data/npz.h"
#include "vm/data/number.h"
#include "vm/data/safetensors.h"

namespace tess {
namespace {

struct KeyedFormat {
  std::string_view ending;
  SourceKind kind;
};
constexpr KeyedFormat kKeyed[] = {{".npz", SourceKind::npz},
                                  {".safetensors", SourceKind::safetensors},
                                  {".gguf", SourceKind::gguf}};

struct GeneratorSpec {
  std::string_view name;
  Generator generator;
  bool allowed[4];  // by number of arguments
};
constexpr GeneratorSpec kGenerators[] = {
    {"zeros", Generator::zeros, {true, false, false, false}},
    {"ones", Generator::ones, {true, false, false, false}},
    {"iota", Generator::iota, {true, true, true, false}},
    {"uniform", Generator::uniform, {true, true, false, true}},
    {"normal", Generator::normal, {true, true, false, true}},
    {"const", Generator::constant, {false, true, false, false}},
};

constexpr std::string_view kSourceForms =
    "sources are FILE.npy, FILE.npz#key, FILE.safetensors#name, FILE.gguf#name, zeros, ones, iota, "
    "uniform(seed), "
    "normal(seed), const(v)";

struct PathAndKey {
  std::string path, key;
  SourceKind kind;
};

// "a.npz#k"; the first ending that is followed by '#'.
std::optional<PathAndKey> split_key(std::string_view text) {
  std::optional<PathAndKey> best;
  for (const KeyedFormat& f : kKeyed) {
    size_t at = text.find(std::string(f.ending) + "#");
    if (at == std::string_view::npos || (best && at + f.ending.size() > best->path.size()))
      continue;
    size_t hash = at + f.ending.size();
    best =
        PathAndKey{std::string(text.substr(0, hash)), std::string(text.substr(hash + 1)), f.kind};
  }
  return best;
}

std::string_view trim(std::string_view s) {
  while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
  while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
  return s;
}

Diagnostic bad_source(std::string_view text, std::string_view what, std::string hint) {
  return make_diag(diag::bad_source, fmt::format("{}: {}", json_quote(text), what), {},
                   std::move(hint));
}

bool is_word(std::string_view argument) { return argument == "true" || argument == "false"; }

Result<Source> parse_generator(std::string_view text) {
  size_t open = text.find('(');
  std::string_view name = trim(text.substr(0, open));
  auto* spec = std::find_if(std::begin(kGenerators), std::end(kGenerators),
                            [&](const auto& g) { return g.name == name; });
  if (spec == std::end(kGenerators)) {
    std::vector<std::string_view> names;
    for (const auto& g : kGenerators) names.push_back(g.name);
    std::string nearest = nearest_name(name, names);
    return bad_source(
        text, "not a source",
        nearest.empty() ? std::string(kSourceForms) : fmt::format("did you mean {}?", nearest));
  }
  Source source;
  source.call.generator = spec->generator;
  auto& arguments = source.call.arguments;
  if (open != std::string_view::npos) {
    if (text.back() != ')') return bad_source(text, "the closing parenthesis is missing", {});
    std::string_view inside = trim(text.substr(open + 1, text.size() - open - 2));
    while (!inside.empty()) {
      size_t comma = inside.find(',');
      std::string_view argument = trim(inside.substr(0, comma));
      if (!parse_real(argument) && !parse_integer(argument) && !is_word(argument))
        return bad_source(text, fmt::format("{} is not a number", json_quote(argument)), {});
      arguments.emplace_back(argument);
      if (arguments.size() > 3) break;
      if (comma == std::string_view::npos) break;
      inside = inside.substr(comma + 1);
      if (trim(inside).empty())
        return bad_source(text, "a number is missing after the last comma", {});
    }
  }
  if (arguments.size() > 3 || !spec->allowed[arguments.size()])
    return bad_source(text, fmt::format("{} does not take {} numbers", name, arguments.size()),
                      std::string(kSourceForms));
  return source;
}

}  // namespace

Result<Source> parse_source(std::string_view text) {
  if (auto keyed = split_key(text)) {
    if (keyed->key.empty())
      return bad_source(text, "the name after '#' is missing", "`tess data FILE` lists the names");
    Source s;
    s.kind = keyed->kind;
    s.path = std::move(keyed->path);
    s.key = std::move(keyed->key);
    return s;
  }
  if (text.ends_with(".npy")) {
    Source s;
    s.kind = SourceKind::npy;
    s.path = std::string(text);
    return s;
  }
  for (const KeyedFormat& f : kKeyed)
    if (text.ends_with(f.ending))
      return bad_source(text, "the file holds several tensors, so one must be named",
                        fmt::format("write {}#NAME; `tess data {}` lists the names", text, text));
  return parse_generator(trim(text));
}

Result<Dest> parse_dest(std::string_view text) {
  if (text == "-") return Dest{};
  auto bad = [&](std::string_view what) {
    return make_diag(diag::bad_dest, fmt::format("{}: {}", json_quote(text), what), {},
                     "destinations are FILE.npy, FILE.npz#key and - (printed)");
  };
  if (auto keyed = split_key(text)) {
    if (keyed->kind != SourceKind::npz) return bad("files of this format are not written");
    if (keyed->key.empty()) return bad("the key after '#' is missing");
    return Dest{DestKind::npz, std::move(keyed->path), std::move(keyed->key)};
  }
  if (text.ends_with(".npy") && text.size() > 4) return Dest{DestKind::npy, std::string(text), {}};
  if (text.ends_with(".npz")) return bad("the key is missing: FILE.npz#key");
  return bad("not a destination");
}

Result<HostTensor> open_source(const Source& source) {
  TESS_TRY(Blob blob, map_file(source.path));
  switch (source.kind) {
    case SourceKind::npy:
      return read_npy(blob);
    case SourceKind::npz:
      return read_npz(blob, source.key);
    case SourceKind::safetensors: {
      TESS_TRY(SafetensorsFile file, read_safetensors(blob));
      return safetensors_tensor(blob, file, source.key);
    }
    case SourceKind::gguf: {
      TESS_TRY(GgufFile file, read_gguf(blob));
      return gguf_tensor(blob, file, source.key);
    }
    case SourceKind::generator:
      break;
  }
  return make_diag(diag::bad_source, "a generator has no shape of its own");
}

Result<HostTensor> load_source(const Source& source, DType dtype, std::span<const int64_t> shape,
                               uint64_t default_seed) {
  if (source.kind == SourceKind::generator)
    return generate(source.call, dtype, {shape.begin(), shape.end()}, default_seed);
  TESS_TRY(HostTensor raw, open_source(source));
  auto bound = bind(std::move(raw), dtype, shape);
  if (!bound) {
    std::string where = source.path + (source.key.empty() ? "" : "#" + source.key);
    bound.error().message = fmt::format("{}: {}", where, bound.error().message);
  }
  return bound;
}

Status save_dest(const Dest& dest, const HostTensor& tensor) {
  switch (dest.kind) {
    case DestKind::npy:
      return write_npy(dest.path, tensor);
    case DestKind::npz:
      return write_npz(dest.path, dest.key, tensor);
    case DestKind::print:
      break;
  }
  return ok();
}

}  // namespace tess
