#include "jit/ptxsim/forms.h"

#include <unordered_map>

#include "jit/ptxsim/decode.h"

namespace tess::ptxsim {
namespace {

#define FORM(builder, pattern) {#builder, pattern, {}, build_##builder},
#define REFUSED(reason, pattern) {{}, pattern, reason, nullptr},
constexpr Form kForms[] = {
#include "jit/ptxsim/forms.def"
};
#undef FORM
#undef REFUSED

struct Element {
  bool optional = false, rest = false;
  std::vector<std::string_view> choices;
};
struct Compiled {
  const Form* form;
  std::vector<Element> elements;  // [0] is the opcode
};

std::vector<std::string_view> split(std::string_view s, char by) {
  std::vector<std::string_view> out;
  while (!s.empty()) {
    size_t n = s.find(by);
    if (n != 0) out.push_back(s.substr(0, n));
    if (n == s.npos) break;
    s.remove_prefix(n + 1);
  }
  return out;
}

Compiled compile(const Form& f) {
  Compiled c{&f, {}};
  for (std::string_view word : split(f.pattern, ' ')) {
    Element e;
    if (word == "*") {
      e.rest = true;
    } else {
      if (word.front() == '{') {
        e.optional = true;
        word = word.substr(1, word.size() - 2);
      }
      e.choices = split(word, '|');
    }
    c.elements.push_back(std::move(e));
  }
  return c;
}

struct Table {
  std::vector<Compiled> forms;
  std::unordered_map<std::string_view, std::vector<uint32_t>> by_opcode;
  Table() {
    for (const Form& f : kForms) {
      forms.push_back(compile(f));
      for (std::string_view op : forms.back().elements[0].choices)
        by_opcode[op].push_back(uint32_t(forms.size() - 1));
    }
  }
};
const Table& table() {
  static const Table t;
  return t;
}

// "m64nNk16" against m64n8k16 .. m64n256k16.
bool matches_choice(std::string_view choice, std::string_view mod) {
  if (choice == mod) return true;
  if (choice.substr(0, 5) != "m64nN" || mod.substr(0, 4) != "m64n") return false;
  size_t k = mod.find('k');
  if (k == mod.npos || mod.substr(k) != choice.substr(5) || k < 5 || k > 7) return false;
  int n = 0;
  for (char c : mod.substr(4, k - 4)) {
    if (c < '0' || c > '9') return false;
    n = n * 10 + (c - '0');
  }
  return n >= 8 && n <= 256 && n % 8 == 0;
}

bool matches(std::span<const Element> elements, std::span<const std::string_view> mods) {
  if (elements.empty()) return mods.empty();
  const Element& e = elements[0];
  if (e.rest) return true;
  if (!mods.empty())
    for (std::string_view c : e.choices)
      if (matches_choice(c, mods[0]) && matches(elements.subspan(1), mods.subspan(1))) return true;
  return e.optional && matches(elements.subspan(1), mods);
}

// Fills `ordered` with the words of `left`, an element at a time.
bool matches_unordered(std::span<const Element> elements, std::vector<std::string_view>& left,
                       std::vector<std::string_view>& ordered) {
  if (elements.empty()) return left.empty();
  const Element& e = elements[0];
  if (e.rest) {
    ordered.insert(ordered.end(), left.begin(), left.end());
    return true;
  }
  for (size_t i = 0; i < left.size(); ++i) {
    bool fits = false;
    for (std::string_view c : e.choices) fits |= matches_choice(c, left[i]);
    if (!fits) continue;
    std::string_view word = left[i];
    left.erase(left.begin() + ptrdiff_t(i));
    ordered.push_back(word);
    if (matches_unordered(elements.subspan(1), left, ordered)) return true;
    ordered.pop_back();
    left.insert(left.begin() + ptrdiff_t(i), word);
    break;  // the first that fits: words of one kind keep their order
  }
  return e.optional && matches_unordered(elements.subspan(1), left, ordered);
}

}  // namespace

std::span<const Form> all_forms() { return kForms; }

const Form* find_form(std::string_view opcode, std::span<const std::string_view> mods) {
  const Table& t = table();
  auto it = t.by_opcode.find(opcode);
  if (it == t.by_opcode.end()) return nullptr;
  for (uint32_t i : it->second) {
    const Compiled& c = t.forms[i];
    if (matches(std::span(c.elements).subspan(1), mods)) return c.form;
  }
  return nullptr;
}

const Form* find_form_in_any_order(std::string_view opcode, std::vector<std::string_view>& mods) {
  const Table& t = table();
  auto it = t.by_opcode.find(opcode);
  if (it == t.by_opcode.end()) return nullptr;
  for (uint32_t i : it->second) {
    std::vector<std::string_view> left = mods, ordered;
    if (!matches_unordered(std::span(t.forms[i].elements).subspan(1), left, ordered)) continue;
    mods = std::move(ordered);
    return t.forms[i].form;
  }
  return nullptr;
}

std::vector<std::string> expand_form(const Form& f, size_t limit) {
  std::vector<std::string> out{""};
  for (const Element& e : compile(f).elements) {
    if (e.rest) break;
    std::vector<std::string> next;
    for (const std::string& prefix : out) {
      if (e.optional && next.size() < limit) next.push_back(prefix);
      for (std::string_view c : e.choices)
        if (next.size() < limit) {
          std::string word(c);
          if (c.substr(0, 5) == "m64nN") word = "m64n64" + std::string(c.substr(5));
          next.push_back(prefix.empty() ? word : prefix + "." + word);
        }
    }
    out = std::move(next);
  }
  return out;
}

}  // namespace tess::ptxsim
