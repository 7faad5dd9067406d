#include "vm/cli/reference.h"

#include <fmt/format.h>

#include "isa/diag.h"
#include "isa/isa.h"
#include "isa/limits.h"

namespace tess::cli {
namespace {

// Instructions by their frozen codes, as isa.def groups them.
struct InstructionClass {
  int first_code;
  std::string_view title;
};
constexpr InstructionClass kClasses[] = {
    {1, "Control"},
    {20, "Ids and making values"},
    {50, "Elementwise"},
    {110, "Convert"},
    {130, "Shape"},
    {150, "Reduce, scan, order"},
    {200, "Matrix"},
    {220, "Memory"},
    {242, "Asynchronous copies and mbarriers"},
    {260, "Synchronise"},
    {290, "Debug"},
};

constexpr std::string_view kEffects[] = {"pure",         "reads memory", "writes memory", "atomic",
                                         "synchronises", "control flow", "may trap",      "debug"};
constexpr std::string_view kNumerics[] = {"exact: every engine gives the same bits",
                                          "ulp: engines stay within a few units in the last place",
                                          "sum: the order of the terms is free"};
constexpr std::string_view kTraps[] = {"", "a zero divisor", "a condition that fails",
                                       "an index out of range"};
constexpr std::string_view kArchs[] = {"", "sm_80", "sm_90a"};
constexpr std::string_view kAttrKinds[] = {"", " N", " LITERAL", "(I,J,..)", " #LAYOUT"};

struct LimitRow {
  std::string_view name;
  int64_t value;
  std::string_view doc;
};
constexpr LimitRow kLimits[] = {
#define LIMIT(name, value, doc) {#name, value, doc},
#include "isa/limits.def"
#undef LIMIT
};

std::string item_type(const SigItem& item) {
  if (item.index) return "i32 or i64";
  if (item.letter == 0) return dtype_name(item.fixed);
  return std::string(1, item.letter);
}
std::string item_kind(const SigItem& item) {
  switch (item.kind) {
    case SigKind::value:
      return "tile or scalar";
    case SigKind::scalar:
      return "scalar";
    case SigKind::access:
      return "memory access x[..]";
    case SigKind::either:
      return "tile or memory";
    case SigKind::memory:
      return "whole tensor or shared tile";
    case SigKind::place:
      return "memory, whole or a part x[..]";
    case SigKind::mbar:
      return "mbarrier b[u]";
  }
  return {};
}
std::string item_text(const SigItem& item, bool result) {
  if (item.kind == SigKind::mbar) return result ? "mbarriers" : "an mbarrier b[u]";
  return fmt::format("{}, {}", item_type(item), item_kind(item));
}

std::string attr_text(const AttrInfo& a) {
  return std::string(a.name) + std::string(kAttrKinds[static_cast<int>(a.kind)]);
}

// "%d = fma a, b, c", with optional parts in brackets.
std::string usage_line(const OpInfo& op) {
  if (op.op == Op::for_) return "for %i in begin..end step s unroll(n) pipeline(n) { .. }";
  if (op.op == Op::while_) return "while condition { .. }";
  if (op.op == Op::if_) return "if condition { .. } else { .. }";
  if (op.op == Op::else_) return "else { .. }";
  if (op.op == Op::end) return "}";
  if (op.op == Op::parallel) return "parallel { warps a..b { .. } .. }";
  if (op.op == Op::warps) return "warps begin..end by n (%w) regs(r) { .. }";
  std::string out;
  for (const SigItem& item : op.sig.outs()) {
    std::string name = "%" + std::string(item.name);
    out += item.optional ? fmt::format("[{}{}]", out.empty() ? "" : ", ", name)
                         : fmt::format("{}{}", out.empty() ? "" : ", ", name);
  }
  if (!out.empty()) out += " = ";
  if (op.op == Op::move) return out + "a";
  out += op.name;
  bool first = true;
  for (const SigItem& item : op.sig.ins()) {
    std::string text(item.name);
    if (item.kind == SigKind::access) text += "[..]";
    if (item.kind == SigKind::mbar) text += "[u]";
    if (item.variadic) text += ", ..";
    if (!item.clause.empty())
      text = (item.clause == "cmp" ? "ge" : std::string(item.clause)) + " " + text;
    std::string separator = first ? " " : !item.clause.empty() ? " " : ", ";
    out += item.optional ? fmt::format("[{}{}]", separator, text) : separator + text;
    first = false;
  }
  if (op.form == Form::typed || op.form == Form::opt_typed)
    out += op.form == Form::typed ? " : T[..]" : " [: T[..]]";
  if (op.form == Form::decl) out += op.rule == Rule::mbar_ ? "[n] count(c)" : " T[..]";
  return out;
}

struct Fact {
  std::string label, text;
};
std::vector<Fact> facts_of(const OpInfo& op) {
  std::vector<Fact> facts;
  auto items = [&](std::span<const SigItem> list, std::string_view label) {
    for (const SigItem& item : list) {
      std::string text = fmt::format("{}: {}", item.name, item_text(item, label == "result"));
      if (item.letter && item.type_class != TypeClass::any)
        text += fmt::format(" ({} is {})", item.letter, class_text(item.type_class));
      if (item.optional) text += ", optional";
      if (item.variadic) text += ", any number";
      facts.push_back({std::string(label), text});
    }
  };
  items(op.sig.ins(), "operand");
  items(op.sig.outs(), "result");
  for (const AttrInfo& a : all_attrs())
    if (op.allows(a.tag))
      facts.push_back(
          {"attribute", fmt::format("{}{}: {}", attr_text(a),
                                    op.requires_attr(a.tag) ? " (required)" : "", a.doc)});
  facts.push_back({"effects", std::string(kEffects[static_cast<int>(op.effect)])});
  facts.push_back({"numerics", std::string(kNumerics[static_cast<int>(op.numerics)])});
  if (op.trap != TrapKind::none)
    facts.push_back({"traps on", std::string(kTraps[static_cast<int>(op.trap)])});
  if (op.arch != Arch::any)
    facts.push_back({"requires", std::string(kArchs[static_cast<int>(op.arch)])});
  facts.push_back({"code", fmt::format("{}, since {}", op.code, op.since)});
  return facts;
}

std::string instruction_page(const OpInfo& op) {
  std::string out = fmt::format("{}\n\n  {}\n\n{}.\n\n", op.name, usage_line(op), op.doc);
  for (const Fact& f : facts_of(op)) out += fmt::format("  {:<10} {}\n", f.label, f.text);
  return out;
}

std::string wrapped(std::string_view text, size_t width = 96) {
  std::string out;
  size_t column = 0;
  while (!text.empty()) {
    size_t n = text.find(' ');
    std::string_view word = text.substr(0, n);
    text.remove_prefix(n == std::string_view::npos ? text.size() : n + 1);
    if (column && column + 1 + word.size() > width) out += '\n', column = 0;
    if (column) out += ' ', ++column;
    out += word;
    column += word.size();
  }
  return out + "\n";
}

constexpr std::string_view kSeverities[] = {"error", "warning", "trap", "limit"};

std::string diag_page(const DiagInfo& d) {
  return fmt::format("{} ({}): {}\n\n{}", diag_id(d.code),
                     kSeverities[static_cast<int>(d.severity)], d.summary, wrapped(d.explanation));
}

std::string dtype_facts(DType t) {
  switch (t.kind) {
    case Kind::boolean:
      return "8 bits in memory";
    case Kind::sint:
    case Kind::uint:
      return fmt::format("{} bit{}", t.bits, t.bits == 1 ? "" : "s");
    case Kind::scale:
      return "8 bits: exponent 8";
    default:
      return fmt::format("{} bits: sign, exponent {}, mantissa {}, bias {}", t.bits, t.exp, t.man,
                         t.bias());
  }
}
std::string dtype_page(DType t) {
  return fmt::format("{}\n\n  {}\n\n{}.\n", dtype_name(t), dtype_facts(t), dtype_doc(t));
}

std::string attr_page(const AttrInfo& a) {
  std::string used;
  for (const OpInfo& op : all_ops())
    if (op.allows(a.tag)) used += fmt::format("{}{}", used.empty() ? "" : ", ", op.name);
  return fmt::format("{{{}}} (attribute)\n\n{}.\n\nof: {}", attr_text(a), a.doc,
                     wrapped(used.empty() ? "no instruction" : used));
}

// Markdown tables break at a bar.
std::string cell(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

std::optional<std::string> explain_topic(std::string_view topic) {
  if (const DiagInfo* d = find_diag(topic)) return diag_page(*d);
  std::string out;
  auto also = [&](std::string page) { out += (out.empty() ? "" : "\n") + page; };
  if (const OpInfo* op = find_op(topic)) also(instruction_page(*op));
  if (auto t = find_dtype(topic)) also(dtype_page(*t));
  if (const AttrInfo* a = find_attr(topic)) also(attr_page(*a));
  for (const LimitRow& l : kLimits)
    if (l.name == topic) also(fmt::format("{} (limit): {}\n\n{}.\n", l.name, l.value, l.doc));
  if (out.empty()) return {};
  return out;
}

std::vector<std::string> all_topics() {
  std::vector<std::string> out;
  for (const OpInfo& op : all_ops()) out.emplace_back(op.name);
  for (DType t : all_dtypes()) out.push_back(dtype_name(t));
  for (const AttrInfo& a : all_attrs()) out.emplace_back(a.name);
  for (const LimitRow& l : kLimits) out.emplace_back(l.name);
  for (const DiagInfo& d : all_diags()) out.push_back(diag_id(d.code));
  return out;
}

std::string reference_markdown() {
  std::string out =
      "# Reference\n\nMade from the tables by `tess explain --all`; do not edit. `tess explain "
      "NAME` prints one entry.\n\n"
      "- [Instructions](#instructions)\n- [Attributes](#attributes)\n- [Types](#types)\n- "
      "[Limits](#limits)\n"
      "- [Diagnostics](#diagnostics)\n\n## Instructions\n\n"
      "Equal letters mean equal element types. Brackets enclose what may be left out.\n";
  size_t next_class = 0;
  for (const OpInfo& op : all_ops()) {
    while (next_class < std::size(kClasses) && op.code >= kClasses[next_class].first_code)
      out += fmt::format("\n### {}\n", kClasses[next_class++].title);
    out += fmt::format("\n#### `{}`\n\n```\n{}\n```\n{}.\n\n", op.name, usage_line(op), op.doc);
    for (const Fact& f : facts_of(op)) out += fmt::format("- {}: {}\n", f.label, f.text);
  }
  out += "\n## Attributes\n\n| attribute | meaning |\n|---|---|\n";
  for (const AttrInfo& a : all_attrs())
    out += fmt::format("| `{}` | {} |\n", attr_text(a), cell(a.doc));
  out += "\n## Types\n\n| type | bits | meaning |\n|---|---|---|\n";
  for (DType t : all_dtypes())
    out += fmt::format("| `{}` | {} | {} |\n", dtype_name(t), dtype_facts(t), cell(dtype_doc(t)));
  out += "\n## Limits\n\n| limit | value | of what |\n|---|---|---|\n";
  for (const LimitRow& l : kLimits)
    out += fmt::format("| `{}` | {} | {} |\n", l.name, l.value, cell(l.doc));
  out +=
      "\n## Diagnostics\n\nThe letter is E for errors, W for warnings, T for traps of a running "
      "program, L for limits.\n";
  for (const DiagInfo& d : all_diags())
    out += fmt::format("\n#### {}: {}\n\n{}\n", diag_id(d.code), d.summary, d.explanation);
  return out;
}

}  // namespace tess::cli
