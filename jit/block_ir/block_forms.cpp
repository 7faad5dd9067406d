// The rows of block_forms.def as Forms, made when they are first asked for.
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "jit/block_ir/block_ir.h"

namespace tess::jit {
namespace {

struct Row {
  int arch;
  Effect effect;
  std::string_view pattern, signature, text;
};
constexpr Row kRows[] = {
#define FORM(arch, effect, pattern, signature, text) \
  {arch, Effect::effect, pattern, signature, text},
#include "jit/block_ir/block_forms.def"
#undef FORM
};

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    size_t n = text.find(at);
    std::string_view part = text.substr(0, n);
    if (!part.empty()) parts.push_back(part);
    if (n == std::string_view::npos) break;
    text.remove_prefix(n + 1);
  }
  return parts;
}

// One place of a pattern.
struct Place {
  bool optional = false;
  std::vector<std::string_view> words;
};
std::vector<Place> places_of(std::string_view pattern) {
  std::vector<Place> places;
  for (std::string_view p : split(pattern, ' ')) {
    Place place;
    if (p.front() == '{') {
      place.optional = true;
      p = p.substr(1, p.size() - 2);
    }
    place.words = split(p, '|');
    places.push_back(std::move(place));
  }
  return places;
}

// "m64n*k16" allows any digits for the star.
bool word_fits(std::string_view pattern, std::string_view word) {
  size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == word;
  std::string_view head = pattern.substr(0, star), tail = pattern.substr(star + 1);
  if (word.size() <= head.size() + tail.size() || !word.starts_with(head) || !word.ends_with(tail))
    return false;
  std::string_view digits = word.substr(head.size(), word.size() - head.size() - tail.size());
  int n = 0;
  for (char c : digits) {
    if (c < '0' || c > '9' || digits.size() > 3) return false;
    n = n * 10 + (c - '0');
  }
  return n >= 8 && n <= 256 && n % 8 == 0;
}

bool fits(const std::vector<Place>& places, const std::vector<std::string_view>& words) {
  size_t w = 0;
  for (const Place& p : places) {
    bool found = false;
    for (std::string_view candidate : p.words)
      found |= w < words.size() && word_fits(candidate, words[w]);
    if (found) ++w;
    else if (!p.optional) return false;
  }
  return w == words.size();
}

std::optional<RegClass> class_of_word(std::string_view w) {
  static constexpr std::pair<std::string_view, RegClass> kWords[] = {
      {"b8", RegClass::b16},     {"b16", RegClass::b16},    {"u16", RegClass::b16},
      {"s16", RegClass::b16},    {"f16", RegClass::b16},    {"bf16", RegClass::b16},
      {"e4m3x2", RegClass::b16}, {"e5m2x2", RegClass::b16}, {"b32", RegClass::b32},
      {"u32", RegClass::b32},    {"s32", RegClass::b32},    {"f16x2", RegClass::b32},
      {"bf16x2", RegClass::b32}, {"tf32", RegClass::b32},   {"b64", RegClass::b64},
      {"u64", RegClass::b64},    {"s64", RegClass::b64},    {"f32", RegClass::f32},
      {"f64", RegClass::f64},    {"u8", RegClass::b32},     {"s8", RegClass::b32}};
  for (auto& [name, c] : kWords)
    if (name == w) return c;
  return {};
}

struct Words {
  RegClass first = RegClass::b32, last = RegClass::b32;
  int vector = 1;
  bool global = false;
};
Words words_of(const std::vector<std::string_view>& words) {
  Words out;
  bool any = false;
  for (std::string_view w : words) {
    if (w == "v2") out.vector = 2;
    if (w == "v4") out.vector = 4;
    if (w == "global") out.global = true;
    if (auto c = class_of_word(w)) {
      if (!any) out.first = *c;
      out.last = *c;
      any = true;
    }
  }
  return out;
}

Group parse_group(std::string_view item, const Words& words) {
  Group g;
  if (item == "imm") {
    g.kind = GroupKind::imm;
    return g;
  }
  if (item == "V") {
    g.kind = words.vector > 1 ? GroupKind::list : GroupKind::value;
    g.type = words.last;
    g.count = words.vector;
    return g;
  }
  if (item == "global" || item == "shared" || item == "addr") {
    g.kind = GroupKind::address;
    bool global = item == "global" || (item == "addr" && words.global);
    g.type = global ? RegClass::b64 : RegClass::b32;
    return g;
  }
  if (item.front() == '+') {
    g.kind = GroupKind::tied;
    item.remove_prefix(1);
  }
  size_t star = item.find('*');
  std::string_view name = item.substr(0, star);
  g.type = name == "D"   ? words.first
           : name == "T" ? words.last
                         : class_of_word(name).value_or(RegClass::b32);
  if (star != std::string_view::npos) {
    if (g.kind == GroupKind::value) g.kind = GroupKind::list;
    std::string_view count = item.substr(star + 1);
    g.count = count == "?" ? 0 : count[0] - '0';
  }
  return g;
}

Form make_form(const Row& row, std::string_view opcode) {
  Form form;
  form.opcode = opcode;
  form.pattern_template = row.text;
  form.effect = row.effect;
  form.arch = row.arch;
  Words words = words_of(split(opcode, '.'));
  size_t equals = row.signature.find('=');
  for (bool result : {true, false})
    for (std::string_view item :
         split(result ? row.signature.substr(0, equals) : row.signature.substr(equals + 1), ' ')) {
      Group g = parse_group(item, words);
      g.result = result || g.kind == GroupKind::tied;
      form.groups.push_back(g);
    }
  return form;
}

}  // namespace

const Form* find_form(std::string_view opcode) {
  static std::mutex mutex;
  static std::map<std::string, std::unique_ptr<Form>, std::less<>> forms;
  static const std::vector<std::vector<Place>> patterns = [] {
    std::vector<std::vector<Place>> all;
    for (const Row& row : kRows) all.push_back(places_of(row.pattern));
    return all;
  }();
  std::lock_guard hold(mutex);
  if (auto it = forms.find(opcode); it != forms.end()) return it->second.get();
  std::vector<std::string_view> words = split(opcode, '.');
  for (size_t i = 0; i < patterns.size(); ++i)
    if (fits(patterns[i], words))
      return forms.emplace(opcode, std::make_unique<Form>(make_form(kRows[i], opcode)))
          .first->second.get();
  return nullptr;
}

std::vector<std::string> all_forms() {
  std::vector<std::string> out;
  for (const Row& row : kRows) {
    std::vector<std::string> partial{""};
    for (const Place& place : places_of(row.pattern)) {
      std::vector<std::string> next;
      for (const std::string& head : partial) {
        if (place.optional) next.push_back(head);
        for (std::string_view word : place.words) {
          std::string dot = head.empty() ? "" : head + ".";
          size_t star = word.find('*');
          if (star == std::string_view::npos) {
            next.push_back(dot + std::string(word));
            continue;
          }
          for (std::string_view n : {"8", "256"})
            next.push_back(dot + std::string(word.substr(0, star)) + std::string(n) +
                           std::string(word.substr(star + 1)));
        }
      }
      partial = std::move(next);
    }
    out.insert(out.end(), partial.begin(), partial.end());
  }
  return out;
}

}  // namespace tess::jit
