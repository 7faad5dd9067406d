// The table of instruction forms (forms.def): lookup by opcode and modifiers, and enumeration.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tess::ptxsim {

class Builder;
using BuildFn = bool (*)(Builder&);

struct Form {
  std::string_view builder;  // name of the decoder; empty if refused
  std::string_view pattern;
  std::string_view reason;  // why it is refused
  BuildFn build = nullptr;
};

std::span<const Form> all_forms();
// The first form that matches, or null. wgmma's "m64nNk16" matches every N = 8, 16, ..., 256.
const Form* find_form(std::string_view opcode, std::span<const std::string_view> mods);
// As ptxas, which takes modifiers in any order as long as words of one kind (two types, two spaces)
// keep theirs: the form, and `mods` put into its order.
const Form* find_form_in_any_order(std::string_view opcode, std::vector<std::string_view>& mods);
// Every concrete "opcode.mod.mod" of a form, at most `limit`.
std::vector<std::string> expand_form(const Form& f, size_t limit);

}  // namespace tess::ptxsim
