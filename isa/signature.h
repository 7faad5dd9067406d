// The signature strings of isa.def, parsed at compile time; a malformed one does not compile.
// Grammar: [item {item}] "=" [item {"," item}]   or, without results,   [item {"," item}]
//   item = name ":" ["$" | "@" | "&" | "~" | "*" | "!"] (LETTER ["<" class ">"] | "index" | dtype)
//   ["?"] ["*"]
//   ["=" (word | "+")]
#pragma once
#include "isa/isa.h"

namespace tess {

namespace sig_detail {

struct Cursor {
  std::string_view rest;
  constexpr void space() {
    while (!rest.empty() && rest[0] == ' ') rest.remove_prefix(1);
  }
  constexpr bool eat(char c) {
    if (rest.empty() || rest[0] != c) return false;
    rest.remove_prefix(1);
    return true;
  }
  constexpr std::string_view take(size_t n) {
    std::string_view taken = rest.substr(0, n);
    rest.remove_prefix(n);
    return taken;
  }
  constexpr std::string_view word() {
    size_t n = 0;
    while (n < rest.size() &&
           ((rest[n] >= 'a' && rest[n] <= 'z') || (rest[n] >= 'A' && rest[n] <= 'Z') ||
            (rest[n] >= '0' && rest[n] <= '9') || rest[n] == '_'))
      ++n;
    std::string_view w = rest.substr(0, n);
    rest.remove_prefix(n);
    if (w.empty()) throw "signature: expected a word";
    return w;
  }
};

constexpr TypeClass parse_class(std::string_view w) {
  constexpr std::pair<std::string_view, TypeClass> kClasses[] = {
      {"any", TypeClass::any},   {"num", TypeClass::num},      {"arith", TypeClass::arith},
      {"int", TypeClass::int_},  {"float", TypeClass::float_}, {"bits", TypeClass::bits},
      {"bool", TypeClass::bool_}};
  for (auto& [name, c] : kClasses)
    if (name == w) return c;
  throw "signature: unknown type class";
}

constexpr DType parse_fixed(std::string_view w) {
  constexpr std::pair<std::string_view, DType> kFixed[] = {{"bool", dt::bool_}, {"mbar", DType{}},
                                                           {"i32", dt::i32_},   {"u32", dt::u32_},
                                                           {"i64", dt::i64_},   {"u64", dt::u64_}};
  for (auto& [name, t] : kFixed)
    if (name == w) return t;
  throw "signature: unknown type";
}

constexpr SigItem parse_item(Cursor& c) {
  SigItem item;
  item.name = c.word();
  if (!c.eat(':')) throw "signature: expected ':'";
  if (c.eat('$')) item.kind = SigKind::scalar;
  else if (c.eat('@')) item.kind = SigKind::access;
  else if (c.eat('&')) item.kind = SigKind::memory;
  else if (c.eat('~')) item.kind = SigKind::either;
  else if (c.eat('*')) item.kind = SigKind::place;
  else if (c.eat('!')) item.kind = SigKind::mbar;
  std::string_view w = c.word();
  if (w == "index") item.index = true;
  else if (w.size() == 1 && w[0] >= 'A' && w[0] <= 'Z') item.letter = w[0];
  else item.fixed = parse_fixed(w);
  if (c.eat('<')) {
    item.type_class = parse_class(c.word());
    if (!c.eat('>')) throw "signature: expected '>'";
  }
  item.optional = c.eat('?');
  item.variadic = c.eat('*');
  if (c.eat('=')) item.clause = c.rest.starts_with('+') ? c.take(1) : c.word();
  c.space();
  return item;
}

}  // namespace sig_detail

consteval Signature parse_signature(std::string_view text) {
  Signature s;
  sig_detail::Cursor c{text};
  size_t equals = text.find(" =");  // a clause `=word` has no space before it
  if (equals != std::string_view::npos) {
    while (!c.rest.starts_with("=")) s.results[s.n_results++] = sig_detail::parse_item(c);
    c.eat('=');
    c.space();
  }
  while (!c.rest.empty()) {
    s.operands[s.n_operands++] = sig_detail::parse_item(c);
    if (!c.rest.empty()) {
      if (!c.eat(',')) throw "signature: expected ','";
      c.space();
    }
  }
  // A letter's class is stated once and holds for each of its uses.
  auto class_of = [&](char letter) {
    TypeClass found = TypeClass::any;
    for (const SigItem& i : s.results)
      if (i.letter == letter && i.type_class != TypeClass::any) found = i.type_class;
    for (const SigItem& i : s.operands)
      if (i.letter == letter && i.type_class != TypeClass::any) found = i.type_class;
    return found;
  };
  for (SigItem& i : s.results)
    if (i.letter) i.type_class = class_of(i.letter);
  for (SigItem& i : s.operands)
    if (i.letter) i.type_class = class_of(i.letter);
  return s;
}

// "dim! keep" to bit masks over AttrTag: allowed, or only the required ones.
consteval uint64_t parse_attrs(std::string_view text, bool required_only) {
  constexpr std::pair<std::string_view, AttrTag> kTags[] = {
#define ATTR(id, spelling, tag, kind, group, doc) {spelling, AttrTag::id},
#include "isa/attrs.def"
#undef ATTR
  };
  uint64_t mask = 0;
  sig_detail::Cursor c{text};
  for (c.space(); !c.rest.empty(); c.space()) {
    std::string_view w = c.word();
    bool required = c.eat('!'), found = false;
    for (auto& [name, tag] : kTags)
      if (name == w) {
        found = true;
        if (required || !required_only) mask |= uint64_t{1} << static_cast<int>(tag);
      }
    if (!found) throw "attributes: unknown name";
  }
  return mask;
}

}  // namespace tess
