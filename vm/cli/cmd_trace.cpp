#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "isa/diag/tool.h"
#include "vm/cli/commands.h"
#include "vm/cli/session.h"
#include "vm/data/tensor.h"

namespace tess::cli {
namespace {

struct Range {
  int64_t begin = 0, end = 0;
};

std::optional<int64_t> parse_count(std::string_view s) {
  int64_t v = 0;
  auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), v);
  if (error != std::errc() || end != s.data() + s.size() || s.empty() || v < 0) return {};
  return v;
}

// "0,0,0", fewer numbers leave the rest 0.
bool parse_block(std::string_view s, int64_t (&block)[3]) {
  for (int i = 0; i < 3 && !s.empty(); ++i) {
    size_t comma = std::min(s.find(','), s.size());
    auto v = parse_count(s.substr(0, comma));
    if (!v) return false;
    block[i] = *v;
    s.remove_prefix(std::min(comma + 1, s.size()));
  }
  return s.empty();
}

// "0:4,8:16".
std::optional<std::vector<Range>> parse_slice(std::string_view s) {
  std::vector<Range> out;
  while (!s.empty()) {
    size_t comma = std::min(s.find(','), s.size());
    std::string_view part = s.substr(0, comma);
    size_t colon = part.find(':');
    if (colon == std::string_view::npos) return {};
    auto begin = parse_count(part.substr(0, colon)), end = parse_count(part.substr(colon + 1));
    if (!begin || !end || *begin >= *end) return {};
    out.push_back({*begin, *end});
    s.remove_prefix(std::min(comma + 1, s.size()));
  }
  return out;
}

struct Tracer {
  const Console* console;
  std::vector<std::string> values;  // empty: all
  std::vector<Range> slice;
  bool json = false, write_failed = false, shown_any = false;
};

// The last ranges belong to the last dimensions; what is not sliced is shown whole.
std::vector<Range> ranges_for(const api::Shape& shape, const std::vector<Range>& slice) {
  std::vector<Range> out;
  for (size_t d = 0; d < shape.size(); ++d) {
    Range r{0, shape[d]};
    if (d + slice.size() >= shape.size()) {
      const Range& s = slice[d + slice.size() - shape.size()];
      r = {std::min(s.begin, shape[d]), std::min(s.end, shape[d])};
    }
    out.push_back(r);
  }
  return out;
}

// A tile cut to its ranges, as a host tensor of its own.
Result<HostTensor> cut(const tess_tensor* value, const std::vector<Range>& ranges) {
  std::vector<int64_t> shape,
      full(tess_tensor_shape(value), tess_tensor_shape(value) + tess_tensor_rank(value));
  uint64_t n = 1;
  for (const Range& r : ranges)
    shape.push_back(r.end - r.begin), n *= static_cast<uint64_t>(shape.back());
  TESS_TRY(HostTensor out, make_tensor(*find_dtype(tess_tensor_dtype(value)), shape));
  for (uint64_t i = 0; i < n; ++i) {
    uint64_t rest = i;
    int64_t flat = 0, scale = 1;
    for (size_t d = shape.size(); d-- > 0;) {
      flat +=
          (ranges[d].begin + static_cast<int64_t>(rest % static_cast<uint64_t>(shape[d]))) * scale;
      rest /= static_cast<uint64_t>(shape[d]);
      scale *= full[d];
    }
    set_element_code(out, i, tess_tensor_code(value, flat));
  }
  return out;
}

void on_trace(const tess_shown* shown, void* user) {
  Tracer& t = *static_cast<Tracer*>(user);
  std::string_view name = shown->name;
  bool wanted = t.values.empty();
  for (const std::string& v : t.values) wanted |= name == v || name == "%" + v;
  if (!wanted || t.write_failed) return;
  t.shown_any = true;
  const tess_tensor* value = shown->value;
  api::Shape shape(tess_tensor_shape(value), tess_tensor_shape(value) + tess_tensor_rank(value));
  std::vector<Range> ranges = ranges_for(shape, t.slice);
  Result<HostTensor> part = cut(value, ranges);
  if (!part) return;
  std::string type = tess_tensor_dtype(value);
  if (!shape.empty()) type += shape_text(shape);
  std::string where;
  if (!t.slice.empty())
    for (size_t d = 0; d < ranges.size(); ++d)
      where += fmt::format("{}{}:{}{}", d ? "," : "[", ranges[d].begin, ranges[d].end,
                           d + 1 == ranges.size() ? "]" : "");
  std::string text = format_tensor(*part), out;
  if (t.json) {
    out =
        fmt::format(
            R"({{"file":{},"line":{},"col":{},"block":[{},{},{}],"strand":{},"instruction":{},"op":{},"name":{},"type":{},"slice":{},"value":{}}})",
            json_quote(shown->file), shown->line, shown->col, shown->block[0], shown->block[1],
            shown->block[2], shown->strand, shown->instruction, json_quote(shown->instruction_name),
            json_quote(name), json_quote(type), json_quote(where), json_quote(text)) +
        "\n";
  } else {
    bool one_line = text.find('\n') == std::string::npos;
    out = fmt::format("{}:{}:{}: {} {}{} : {} ={}{}\n", shown->file, shown->line, shown->col,
                      shown->instruction_name, name, where, type, one_line ? " " : "\n", text);
  }
  if (!t.console->write(out)) t.write_failed = true;
}

}  // namespace

int run_command(const TraceOptions& o, const Console& console) {
  tess_run_config config = config_of(o.run);
  EngineChoice engine = engine_of(o.run);
  engine.write(config);
  if (!parse_block(o.block, config.trace_block))
    return console.report(
        make_diag(diag::bad_option, fmt::format("--block {}: not X,Y,Z", o.block)));
  auto slice = parse_slice(o.slice);
  if (!slice)
    return console.report(make_diag(
        diag::bad_option, fmt::format("--slice {}: not ranges such as 0:4,0:8", o.slice)));
  Result<Pairs> scalars = parse_pairs(o.run.sets, "--set"), inputs = parse_pairs(o.run.ins, "--in");
  if (!scalars) return console.report(scalars.error());
  if (!inputs) return console.report(inputs.error());
  OpenedKernel opened = open_kernel(o.run, console);
  if (opened.exit_code) return opened.exit_code;

  Tracer tracer{&console, o.values, *slice, console.json};
  config.trace_every_value = 1;
  config.on_trace = on_trace;
  config.user = &tracer;
  auto prepared = prepare(opened.kernel, {*scalars, *inputs, o.run.seed}, config);
  if (!prepared) return report_error(std::move(prepared.error()), console);
  if (api::Error e = start_and_wait(prepared->run)) return report_error(std::move(e), console);
  if (tracer.write_failed)
    return console.report(make_diag(diag::output_unwritable, "standard output: cannot be written"));
  if (!tracer.shown_any) console.say("no such value was computed by that block");
  return kOk;
}

}  // namespace tess::cli
