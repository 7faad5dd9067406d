#include "isa/layout_calc.h"

#include <fmt/format.h>

#include "isa/layout_bits.h"
#include "isa/layout_ops.h"
#include "isa/layout_query.h"
#include "isa/layout_spell.h"

namespace tess {
namespace {

std::string line(std::string_view name, const std::string& value) {
  return fmt::format("{:<15}{}\n", name, value);
}

std::string spelled(const Result<std::string>& text) {
  return text ? *text : "– (" + text.error().message + ")";
}

std::string answer(const Result<bool>& yes) {
  return yes ? (*yes ? "yes" : "no") : "? (" + yes.error().message + ")";
}

std::string print_shape(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t j = 0; j < shape.size(); ++j) text += fmt::format("{}{}", j ? "," : "", shape[j]);
  return text + "]";
}

int64_t product_of(const std::vector<int64_t>& shape) {
  int64_t n = 1;
  for (int64_t s : shape) n *= s;
  return n;
}

// How a memory layout serves one warp that reads rows, and one that reads columns, with 16-bit
// elements.
std::string describe_rows_and_columns(const Layout& mem) {
  std::vector<int64_t> shape = input_shape(mem);
  if (shape.size() != 2 || product_of(shape) > kJudgeLimit) return {};
  std::string text;
  constexpr int kBits = 16;
  for (bool rows : {true, false}) {
    int64_t along = rows ? shape[1] : shape[0];
    if (along % 32 != 0) continue;
    auto reg = rows ? spread(Label::lane, {1, 32}) : spread(Label::lane, {32, 1});
    if (!reg) continue;
    if (auto b = banks(*reg, mem, kBits))
      text += line(rows ? "a row" : "a column",
                   fmt::format("{} conflict way{} when 32 lanes read neighbours of 16 bits",
                               b->ways, b->ways == 1 ? "" : "s"));
  }
  return text;
}

std::string describe_registers(const Layout& l) {
  std::string text =
      line("tensor", fmt::format("{}, {} elements", print_shape(l.shape), product_of(l.shape)));
  text += line("threads", fmt::format("{} ({} lanes, {} warps{})", threads_of(l),
                                      size_of(l, Label::lane), size_of(l, Label::warp),
                                      size_of(l, Label::cta) > 1
                                          ? fmt::format(", {} blocks", size_of(l, Label::cta))
                                          : ""));
  text += line("registers", fmt::format("{} a thread", registers_of(l)));
  int64_t copies = input_size(l) / std::max<int64_t>(1, product_of(l.shape));
  if (copies > 1) text += line("copies", fmt::format("{} of every element", copies));
  text += line("covers", answer(covers(l)));
  text += line("injective", answer(is_injective(l)));
  if (l.shape.size() <= 8)
    if (auto rows = row_major(l.shape))
      if (auto vec = vector_width(l, *rows))
        text += line("vec", fmt::format("{} (against row-major memory)", *vec));
  text += line("F2", linear_of(l) ? "yes" : "no (" + spell_bases(l).error().message + ")");
  return text;
}

std::string describe_memory(const Layout& l) {
  std::string text = line("shape", fmt::format("{}, {} elements", print_shape(input_shape(l)),
                                               product_of(input_shape(l))));
  text += line("cosize", fmt::format("{}", extent_of(l)));
  text += line("injective", answer(is_injective(l)));
  int64_t n = product_of(input_shape(l));
  if (n < extent_of(l))
    text += line("padding", fmt::format("{} of {} places unused", extent_of(l) - n, extent_of(l)));
  std::vector<int64_t> shape = input_shape(l);
  if (auto rows = shape.empty() ? Result<Layout>(Diagnostic{}) : spread(Label::reg, shape))
    if (auto vec = vector_width(*rows, l))
      text += line("vec", fmt::format("{} (longest aligned run of offsets)", *vec));
  text += line("F2", linear_of(l) ? "yes" : "no (" + spell_bases(l).error().message + ")");
  return text + describe_rows_and_columns(l);
}

}  // namespace

std::string describe_layout(const Layout& l) {
  std::string text = line("canonical", print_canonical(l));
  if (l.dims == 0) {
    text += line("product", spelled(spell_product(l)));
    text += line("bases", spelled(spell_bases(l)));
    text += line("digits", spelled(spell_digits(l)));
    text += line("thread:value", spelled(spell_thread_value(l, true)));
    return text + describe_registers(l);
  }
  text += line("shape:stride", spelled(spell_strided(l)));
  text += line("bases", spelled(spell_bases(l)));
  text += line("digits", spelled(spell_digits(l)));
  if (l.is_memory()) return text + describe_memory(l);
  text += line("maps", fmt::format("{} to {}", print_shape(input_shape(l)), print_shape(l.shape)));
  text += line("injective", answer(is_injective(l)));
  return text + line("F2", linear_of(l) ? "yes" : "no (" + spell_bases(l).error().message + ")");
}

Result<std::string> describe_layout(std::string_view expr, const LayoutEnv& env) {
  TESS_TRY(Layout l, parse_layout_expr(expr, env));
  return describe_layout(l);
}

}  // namespace tess
