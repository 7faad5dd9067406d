#include "vm/cli/weights.h"

#include <fmt/format.h>

#include <charconv>

#include "isa/diag/data.h"
#include "isa/diag/tool.h"
#include "vm/data/source.h"

namespace tess::cli {

Result<DType> dtype_named(const std::string& name) {
  if (auto type = find_dtype(name)) return *type;
  std::vector<std::string> names;
  for (DType t : all_dtypes()) names.push_back(dtype_name(t));
  std::vector<std::string_view> views(names.begin(), names.end());
  std::string near = nearest_name(name, views);
  return make_diag(diag::usage, fmt::format("there is no type '{}'", name), {},
                   near.empty() ? "" : fmt::format("did you mean '{}'?", near));
}

Result<std::vector<int64_t>> shape_named(const std::string& text) {
  std::vector<int64_t> shape;
  for (size_t at = 0; at < text.size();) {
    int64_t n = 0;
    auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), n);
    size_t stop = static_cast<size_t>(end - text.data());
    bool more = stop < text.size();
    if (error != std::errc{} || n < 0 || (more && (text[stop] != ',' || stop + 1 == text.size())))
      return make_diag(diag::usage, fmt::format("'{}' is no shape", text), {}, "as 4096,11008");
    shape.push_back(n);
    at = stop + 1;
  }
  return shape;
}

Result<HostTensor> load_weights(const std::string& source_text, const std::string& as,
                                const std::string& shape_text) {
  TESS_TRY(Source source, parse_source(source_text));
  TESS_TRY(std::vector<int64_t> shape, shape_named(shape_text));
  if (source.kind == SourceKind::generator) {
    if (as.empty() || shape.empty())
      return make_diag(diag::usage, "a generator needs --as T and --shape K,N");
    TESS_TRY(DType type, dtype_named(as));
    return load_source(source, type, shape);
  }
  TESS_TRY(HostTensor t, open_source(source));
  if (shape.empty()) shape = t.shape;
  if (!as.empty()) {
    TESS_TRY(DType type, dtype_named(as));
    return tess::bind(std::move(t), type, shape);
  }
  if (!t.dtype.is_float() || t.raw)
    return make_diag(diag::quantize_type,
                     fmt::format("the file holds {}, no floats", type_text(t.dtype, t.shape)), {},
                     t.dtype.bits == 16
                         ? "if these are the bits of bf16, say `--as bf16`"
                         : "if these are numbers to quantise, name their type: --as T");
  return tess::bind(std::move(t), t.dtype, shape);
}

}  // namespace tess::cli
