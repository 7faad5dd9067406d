// Kernels of print and trace; how a value is shown.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "isa/numerics.h"
#include "isa/shown_name.h"
#include "vm/interp/bulk.h"
#include "vm/interp/program.h"

namespace tess::interp {
namespace {

struct ShowPlan {
  Operand a;
  std::string name;
  bool is_trace;
};
Flow run_show(Strand& s, const ShowPlan& x) {
  if (x.is_trace && std::memcmp(s.block, s.launch->options->trace_block, sizeof s.block))
    return Flow::next;
  auto note = std::make_unique<Deferred::Note>();
  note->is_trace = x.is_trace;
  note->pc = s.running;
  note->strand = s.number;
  note->name = x.name;
  note->type = Type{Space::reg, false, x.a.type, x.a.shape};
  note->data.assign(x.a.at(s), x.a.at(s) + x.a.size());
  s.deferred->bytes += static_cast<uint64_t>(x.a.size());
  s.deferred->items.push_back({nullptr, std::move(note)});
  return Flow::next;
}
ShowPlan show_plan(Binder& b, bool is_trace) {
  return {b.arg(0), shown_name(b.kernel(), b.arg_ref(0)), is_trace};
}

std::string element_text(DType t, const void* data, int64_t i) {
  uint64_t code = carrier_code(t, data, static_cast<size_t>(i));
  if (t.is_bool()) return code ? "true" : "false";
  if (t.is_int()) {
    int64_t v = decode_int(t, code);
    return t.is_signed() ? fmt::format("{}", v) : fmt::format("{}", static_cast<uint64_t>(v));
  }
  double v = decode_float(t, code);
  if (std::isnan(v)) return "nan";
  if (t == dt::f64_) return fmt::format("{}", v);
  // The shortest text that names the same value in its own type: f32 suffices for the narrower
  // ones.
  std::string text = t.bits == 16 || t.bits <= 8 ? fmt::format("{:.5g}", v)
                                                 : fmt::format("{}", static_cast<float>(v));
  if (text.find_first_of(".einf") == std::string::npos) text += ".0";
  return text;
}

}  // namespace

KERNEL(print) { b.emit<run_show>(show_plan(b, false)); }
KERNEL(trace) { b.emit<run_show>(show_plan(b, true)); }

std::string format_shown(const VerifiedModule& module, size_t kernel, const Shown& shown) {
  constexpr int64_t kMostElements = 1000, kEdge = 3;
  const Loc& loc = module.kernel(kernel).code[shown.pc].loc;
  const std::vector<std::string>& files = module.module().files;
  std::string out = fmt::format("{}: {} block ({},{},{})", shown.name, type_text(shown.type),
                                shown.block[0], shown.block[1], shown.block[2]);
  if (shown.strand) out += fmt::format(" strand {}", shown.strand);
  if (loc.line)
    out += fmt::format(" {}:{}:{}", loc.file < files.size() ? files[loc.file] : "?", loc.line,
                       loc.col);
  const Shape& shape = shown.type.shape;
  if (shape.rank == 0) return out + "\n" + element_text(shown.type.dtype, shown.data, 0) + "\n";
  out += '\n';
  int64_t total = shape.elements();
  bool cut = total > kMostElements;
  // Which indices of a dimension are shown.
  auto shown_index = [&](int d, int64_t i) {
    return !cut || shape[d] <= 2 * kEdge || i < kEdge || i >= shape[d] - kEdge;
  };
  int64_t strides[limits::max_rank], stride = 1;
  for (int d = shape.rank - 1; d >= 0; --d) strides[d] = stride, stride *= shape[d];
  // The texts first, for one column width.
  std::vector<std::string> texts;
  size_t width = 0;
  int64_t at[limits::max_rank] = {};
  auto next =
      [&](int from) {  // next shown index of dimension `from`, carrying outwards; -1 at the end
        for (int d = from; d >= 0; --d) {
          do ++at[d];
          while (at[d] < shape[d] && !shown_index(d, at[d]));
          if (at[d] < shape[d]) return d;
          at[d] = 0;
        }
        return -1;
      };
  do {
    int64_t linear = 0;
    for (int d = 0; d < shape.rank; ++d) linear += at[d] * strides[d];
    texts.push_back(element_text(shown.type.dtype, shown.data, linear));
    width = std::max(width, texts.back().size());
  } while (next(shape.rank - 1) >= 0);
  std::fill_n(at, limits::max_rank, 0);
  size_t n = 0;
  out.append(static_cast<size_t>(shape.rank), '[');
  for (int carried = shape.rank - 1;;) {
    out += fmt::format("{:>{}}", texts[n++], width);
    int64_t before[limits::max_rank];
    std::copy_n(at, limits::max_rank, before);
    carried = next(shape.rank - 1);
    if (carried < 0) break;
    int closed = shape.rank - 1 - carried;
    bool skipped = at[carried] != before[carried] + 1;
    if (closed == 0) {
      out += skipped ? " ... " : " ";
      continue;
    }
    out.append(static_cast<size_t>(closed), ']');
    out.append(static_cast<size_t>(closed), '\n');
    if (skipped) out += std::string(static_cast<size_t>(carried + 1), ' ') + "...\n";
    out.append(static_cast<size_t>(carried + 1), ' ');
    out.append(static_cast<size_t>(closed), '[');
  }
  out.append(static_cast<size_t>(shape.rank), ']');
  return out + '\n';
}

}  // namespace tess::interp
