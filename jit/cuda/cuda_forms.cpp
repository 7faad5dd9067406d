#include "jit/cuda/cuda_forms.h"

#include <fmt/format.h>

#include <array>

namespace tess::jit {
namespace {

std::vector<std::string> words_of(std::string_view opcode) {
  std::vector<std::string> words;
  while (!opcode.empty()) {
    size_t n = opcode.find('.');
    words.emplace_back(opcode.substr(0, n));
    if (n == std::string_view::npos) break;
    opcode.remove_prefix(n + 1);
  }
  return words;
}

constexpr char constraint(RegClass c) {
  constexpr std::array<char, 6> kLetters = {'r', 'h', 'r', 'l', 'f', 'd'};
  return kLetters[static_cast<size_t>(c)];
}

}  // namespace

std::string_view cuda_class(RegClass c) {
  constexpr std::array<std::string_view, 6> kNames = {"bool", "u16",   "u32",
                                                      "u64",  "float", "double"};
  return kNames[static_cast<size_t>(c)];
}

std::string form_function_name(const Form& form) {
  std::vector<std::string> words = words_of(form.opcode);
  const std::string& head = words.front();
  bool matrix_move = head == "ldmatrix" || head == "stmatrix";
  bool always_together = matrix_move || head == "mma" || head == "wgmma" || head == "shfl" ||
                         head == "redux" || head == "vote" || head == "setmaxnreg";
  if (head == "mma") {  // D, A, B, C: C is of D's type, B mostly of A's
    words.pop_back();
    if (words[words.size() - 2] == words.back()) words.pop_back();
  }
  std::string name;
  for (std::string& w : words) {
    if ((w == "aligned" && words[1] != "cluster") || w == "row" || w == "col" ||
        w == "mbarrier::complete_tx::bytes" || w == "bulk_group" ||
        (w == "sync" && always_together))
      continue;
    if (matrix_move && (w == "m8n8" || w == "shared" || w == "b16")) continue;
    if (w == "shared::cta") w = "shared";
    if (w[0] == '~') w.erase(0, 1);
    if (!name.empty()) name += '_';
    for (size_t i = 0; i < w.size(); ++i) {
      if (w[i] == ':' && i + 1 < w.size() && w[i + 1] == ':') ++i;
      if (w[i] != ':') name += w[i];
      else if (name.back() != '_') name += '_';
    }
  }
  return name;
}

std::vector<bool> form_constants(const Form& form, size_t n_results, size_t n_args) {
  std::vector<int> sizes = group_sizes(form, n_results, n_args);
  std::vector<bool> out(n_results + n_args, false);
  size_t result = 0, arg = n_results;
  for (size_t g = 0; g < sizes.size(); ++g) {
    const Group& group = form.groups[g];
    size_t& at = group.result ? result : arg;
    if (group.kind == GroupKind::imm) out[at] = true;
    if (group.kind == GroupKind::address) out[at + 1] = true;
    at += static_cast<size_t>(sizes[g]);
  }
  return out;
}

bool form_has_constants(const Form& form, std::span<const Operand> results,
                        std::span<const Operand> args) {
  bool any = false;
  for (const Group& g : form.groups) any |= g.kind == GroupKind::imm;
  std::vector<bool> constants = form_constants(form, results.size(), args.size());
  for (size_t a = 0; a < args.size(); ++a)
    any |= constants[results.size() + a] && args[a].bits != 0;
  return any;
}

std::string form_function(const Form& form, std::span<const Operand> results,
                          std::span<const Operand> args) {
  size_t n = results.size() + args.size();
  std::vector<bool> constants = form_constants(form, results.size(), args.size());
  bool with_constants = form_has_constants(form, results, args);
  bool tied = false;
  for (const Group& g : form.groups) tied |= g.kind == GroupKind::tied;
  bool returns = results.size() == 1 && !tied;

  std::string templates, parameters, outputs, inputs;
  auto add = [](std::string& to, std::string text) { to += (to.empty() ? "" : ", ") + text; };
  std::vector<std::string> spelling(n);
  int position = 0;
  for (size_t r = 0; r < results.size(); ++r) {
    spelling[r] = fmt::format("%{}", position++);
    if (!returns) add(parameters, fmt::format("{}& d{}", cuda_class(results[r].type), r));
    add(outputs, fmt::format("\"{}{}\"(d{})", tied ? '+' : '=', constraint(results[r].type),
                             returns ? "" : std::to_string(r)));
  }
  for (size_t a = 0; a < args.size(); ++a) {
    size_t o = results.size() + a;
    if (constants[o] && !with_constants) {
      spelling[o] = "0";
      continue;
    }
    spelling[o] = fmt::format("%{}", position++);
    if (constants[o]) {
      add(templates, fmt::format("int c{}", a));
      add(inputs, fmt::format("\"n\"(c{})", a));
    } else {
      add(parameters, fmt::format("{} a{}", cuda_class(args[a].type), a));
      add(inputs, fmt::format("\"{}\"(a{})", constraint(args[a].type), a));
    }
  }
  std::string text =
      form_text(form, results.size(), args.size(), [&](size_t i) { return spelling[i]; });
  // Instructions that threads execute together may not be moved into a branch, pure or not; nor
  // those that may fail out of one.
  bool together = form.opcode.find(".sync") != std::string::npos;
  bool fetches = form.effect == Effect::fetch, ordered = form.effect != Effect::pure && !fetches;
  std::string out;
  if (!templates.empty()) out += fmt::format("template <{}>\n", templates);
  out += fmt::format("__device__ __forceinline__ {} {}({}) {{\n",
                     returns ? cuda_class(results[0].type) : "void", form_function_name(form),
                     parameters);
  if (returns) out += fmt::format("  {} d;\n", cuda_class(results[0].type));
  out += fmt::format("  asm{}(\"{}\"", ordered || together || fetches ? " volatile" : "", text);
  if (!outputs.empty() || !inputs.empty() || ordered) out += " : " + outputs;
  if (!inputs.empty() || ordered) out += " : " + inputs;
  if (ordered) out += " : \"memory\"";
  out += ");\n";
  if (returns) out += "  return d;\n";
  return out + "}\n";
}

}  // namespace tess::jit
