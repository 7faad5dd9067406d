#include "jit/block_ir/block_ir.h"

#include <array>

namespace tess::jit {

std::string_view class_name(RegClass c) {
  constexpr std::string_view kNames[] = {"pred", "b16", "b32", "b64", "f32", "f64"};
  return kNames[static_cast<int>(c)];
}

int class_bytes(RegClass c) {
  constexpr int kBytes[] = {1, 2, 4, 8, 4, 8};
  return kBytes[static_cast<int>(c)];
}

std::string_view param_kind_name(ParamKind kind) {
  constexpr std::string_view kNames[] = {"pointer",    "list",       "scalar", "expression",
                                         "tensor_map", "grid_state", "fault",  "print"};
  return kNames[static_cast<int>(kind)];
}

std::string generated_name(std::string_view name) {
  std::string out;
  for (char c : name) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (letter || (c >= '0' && c <= '9')) out += c;
    else if (!out.empty() && out.back() != '_') out += '_';
  }
  while (!out.empty() && out.back() == '_') out.pop_back();
  if (!out.empty() && out[0] >= '0' && out[0] <= '9') out = "n" + out;
  return out;
}

std::string entry_name(const BlockKernel& k) { return "tess_" + generated_name(k.name); }

namespace {
constexpr BlockOpInfo kOps[] = {
#define BLOCK_OP(id, name, signature, effect) {BlockOp::id, name, signature, Effect::effect},
#include "jit/block_ir/block_ops.def"
#undef BLOCK_OP
    {BlockOp::form, "form", "", Effect::sync},
};
}  // namespace

const BlockOpInfo& block_op_info(BlockOp op) { return kOps[static_cast<size_t>(op)]; }

std::vector<int> group_sizes(const Form& form, size_t n_results, size_t n_args) {
  std::vector<int> sizes;
  for (bool result : {true, false}) {
    size_t fixed = 0, given = result ? n_results : n_args;
    const Group* open = nullptr;
    for (const Group& g : form.groups) {
      if (g.result != result) continue;
      if (g.count == 0) open = &g;
      fixed += g.kind == GroupKind::address ? 2 : g.count;
    }
    if (given < fixed || (!open && given != fixed)) return {};
    for (const Group& g : form.groups) {
      if (g.result != result) continue;
      sizes.push_back(&g == open                     ? static_cast<int>(given - fixed)
                      : g.kind == GroupKind::address ? 2
                                                     : g.count);
    }
  }
  return sizes;
}

std::string form_text(const Form& form, size_t n_results, size_t n_args,
                      const std::function<std::string(size_t)>& operand) {
  std::vector<int> sizes = group_sizes(form, n_results, n_args);
  std::vector<std::string> group_texts;
  size_t at = 0;
  for (size_t g = 0; g < form.groups.size() && g < sizes.size(); ++g) {
    const Group& group = form.groups[g];
    std::string text;
    if (group.kind == GroupKind::address) {
      std::string offset = operand(at + 1);
      text = "[" + operand(at) + (offset == "0" ? "" : "+" + offset) + "]";
    } else {
      for (int i = 0; i < sizes[g]; ++i) text += (i ? ", " : "") + operand(at + i);
      if (group.kind != GroupKind::value && group.kind != GroupKind::imm) text = "{" + text + "}";
    }
    at += sizes[g];
    group_texts.push_back(std::move(text));
  }
  std::string opcode = form.opcode.substr(0, form.opcode.find(".~"));
  if (form.pattern_template.empty()) {
    std::string text = opcode;
    for (size_t g = 0; g < group_texts.size(); ++g) text += (g ? ", " : " ") + group_texts[g];
    return text + ";";
  }
  std::string out;
  std::string_view t = form.pattern_template;
  for (size_t i = 0; i < t.size(); ++i) {
    if (t.substr(i, 2) == "OP") {
      out += opcode;
      ++i;
    } else if (t[i] == '$') {
      size_t g = t[++i] - '0';
      if (g < group_texts.size()) out += group_texts[g];
    } else {
      out += t[i];
    }
  }
  return out;
}

}  // namespace tess::jit
