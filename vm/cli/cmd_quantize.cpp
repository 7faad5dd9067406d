#include <fmt/format.h>

#include "isa/diag/data.h"
#include "isa/diag/tool.h"
#include "vm/cli/commands.h"
#include "vm/cli/weights.h"
#include "vm/data/quantize.h"
#include "vm/data/source.h"

namespace tess::cli {
namespace {

Result<QuantizeOptions> options_of(const QuantizeCommand& o) {
  std::optional<DType> type;
  if (!o.type.empty()) {
    TESS_TRY(type, dtype_named(o.type));
  }
  QuantizeOptions q;
  if (o.format.empty()) {
    if (!type)
      return make_diag(diag::usage, "`tess quantize` needs --type T or --format NAME", {},
                       "as `--type u4 --group 128 --zero`");
    q.type = *type;
    q.group = o.group.value_or(128);
    q.zero = o.zero;
    if (!o.scale.empty()) {
      TESS_TRY(q.scale, dtype_named(o.scale));
    }
  } else {
    if (o.zero || o.group || !o.scale.empty())
      return make_diag(diag::quantize_option,
                       fmt::format("{} fixes the group and the scales: --group, --zero and "
                                   "--scale do not go with it",
                                   o.format));
    TESS_TRY(q, quantize_format(o.format, type));
    if (q.format == QuantFormat::nf4 && o.axis)
      return make_diag(diag::quantize_option, "nf4 has blocks of the flattened tensor, no axis");
  }
  q.axis = o.axis.value_or(0);
  return q;
}

std::string statistics_text(const QuantizeError& e) {
  return fmt::format(
      "{} weights, {:.4g} bits each\nmax error  {:.6g}\nRMS error  {:.6g}\nrelative   {:.6g}\n"
      "SNR        {:.2f} dB",
      e.weights, e.bits_per_weight, e.max_abs, e.rms, e.relative, e.snr_db);
}

std::string statistics_json(const QuantizeError& e) {
  // JSON has no infinity.
  std::string snr = e.snr_db > 1e300 ? "null" : fmt::format("{:.17g}", e.snr_db);
  return fmt::format(
      R"({{"weights":{},"bits_per_weight":{:.17g},"max_abs":{:.17g},"rms":{:.17g},"relative":{:.17g},"snr_db":{}}})",
      e.weights, e.bits_per_weight, e.max_abs, e.rms, e.relative, snr);
}

// FILE.npz, or FILE.npz#NAME for arrays NAME.w, NAME.s, ...
Status save(const std::string& out, std::vector<NamedTensor> arrays) {
  size_t end = out.find(".npz");
  if (end == std::string::npos || (end + 4 != out.size() && out[end + 4] != '#') ||
      end + 5 == out.size())
    return make_diag(diag::bad_dest, fmt::format("{}: several arrays are written", json_quote(out)),
                     {}, "--out FILE.npz, or --out FILE.npz#NAME for NAME.w, NAME.s, ...");
  if (end + 4 < out.size())
    for (NamedTensor& a : arrays) a.name = out.substr(end + 5) + "." + a.name;
  return write_npz(out.substr(0, end + 4), arrays);
}

}  // namespace

int run_command(const QuantizeCommand& o, const Console& console) {
  Result<QuantizeOptions> options = options_of(o);
  if (!options) return console.report(options.error());
  Result<HostTensor> weights = load_weights(o.in, o.as, o.shape);
  if (!weights) return console.report(weights.error());
  Result<Quantized> q = quantize(*weights, *options);
  if (!q) return console.report(q.error());
  if (Status saved = save(o.out, q->tensors); !saved) return console.report(saved.error());
  if (console.json) {
    console.say(statistics_json(q->error));
    return kOk;
  }
  std::string made;
  for (const NamedTensor& t : q->tensors)
    made += fmt::format("{}{}: {}", made.empty() ? "" : ", ", t.name,
                        type_text(t.tensor.dtype, t.tensor.shape));
  console.say(made);
  console.say(statistics_text(q->error));
  return kOk;
}

}  // namespace tess::cli
