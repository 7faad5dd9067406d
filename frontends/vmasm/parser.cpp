#include "frontends/vmasm/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "frontends/vmasm/lexer.h"
#include "frontends/vmasm/parser_impl.h"
#include "isa/diag/text.h"

namespace tess::vmasm {
namespace {

constexpr std::string_view kItemWords[] = {"const", "type",    "layout", "use",
                                           "file",  "require", "func",   "kernel"};
constexpr std::string_view kHeaderWords[] = {
    "grid", "warps", "cluster", "cooperative", "blocks_per_sm", "sync", "fast", "let", "workspace"};

}  // namespace

Parser::Parser(Ast& ast, Diagnostics& out, bool cut)
    : ast_(ast), out_(out), first_diag_(out.size()), cut_(cut) {
  ast_.exprs.reserve(ast_.tokens.size() / 3);
  match_brackets();
}

// Partners of brackets. A closing brace ends parentheses left open since its opening brace; a
// closing parenthesis never reaches across a brace. So one forgotten bracket stays local.
void Parser::match_brackets() {
  using K = TokenKind;
  match_.assign(ast_.tokens.size(), kNoToken);
  std::vector<TokenId> open;
  auto opener = [](K k) {
    return k == K::r_paren ? K::l_paren : k == K::r_bracket ? K::l_bracket : K::l_brace;
  };
  // The levels opened within the current brace, by kind, so that a stray closer costs nothing.
  struct Counts {
    uint32_t paren = 0, bracket = 0;
  };
  std::vector<Counts> counts(1);
  for (TokenId t = 0; t < ast_.tokens.size(); ++t) {
    K k = ast_.tokens[t].kind;
    switch (k) {
      case K::l_paren:
        ++counts.back().paren;
        open.push_back(t);
        break;
      case K::l_bracket:
        ++counts.back().bracket;
        open.push_back(t);
        break;
      case K::l_brace:
        counts.emplace_back();
        open.push_back(t);
        break;
      case K::r_paren:
      case K::r_bracket:
      case K::r_brace: {
        K want = opener(k);
        bool present = want == K::l_paren     ? counts.back().paren > 0
                       : want == K::l_bracket ? counts.back().bracket > 0
                                              : counts.size() > 1;
        if (!present) break;
        for (;;) {
          TokenId o = open.back();
          K opened = ast_.tokens[o].kind;
          open.pop_back();
          if (opened == K::l_paren) --counts.back().paren;
          else if (opened == K::l_bracket) --counts.back().bracket;
          else counts.pop_back();
          if (opened == want) {
            match_[o] = t;
            match_[t] = o;
            break;
          }
        }
        break;
      }
      default:
        break;
    }
  }
}

// --- errors

bool Parser::stop_parsing() const {
  return out_.size() - first_diag_ >= static_cast<size_t>(limits::max_errors);
}

Diagnostic& Parser::error(Diag code, std::string message, Span span, std::string hint) {
  bool silent = failed_ || is(TokenKind::bad) || stop_parsing() || (cut_ && is(TokenKind::end));
  failed_ = true;
  if (silent) return dropped_ = {};
  out_.push_back(make_diag(code, std::move(message), span, std::move(hint)));
  return out_.back();
}
Diagnostic& Parser::error(Diag code, std::string message, std::string hint) {
  return error(code, std::move(message), place_of_problem(), std::move(hint));
}

Span Parser::after_previous() const {
  if (at_ == 0) return ast_.span(at_);
  Span s = ast_.span(at_ - 1);
  return {s.file, s.line, s.col + s.len, 0};
}
Span Parser::place_of_problem() const {
  return at_ > 0 && (cur().newline_before || is(TokenKind::end)) ? after_previous()
                                                                 : ast_.span(at_);
}
std::string Parser::found() const {
  bool at_line_end = at_ > 0 && cur().newline_before && !is(TokenKind::end);
  return at_line_end ? "the end of the line" : describe(cur(), ast_.source);
}
Diagnostic& Parser::expected(std::string_view what, std::string hint, Diag code) {
  return error(code, fmt::format("expected {}, found {}", what, found()), std::move(hint));
}

Diagnostic& Parser::expected_here(std::string_view what, std::string hint) {
  return error(diag::expected_token,
               fmt::format("expected {}, found {}", what, describe(cur(), ast_.source)),
               ast_.span(at_), std::move(hint));
}

void Parser::too_deep(TokenId where) {
  error(diag::nesting_too_deep, fmt::format("nested more than {} deep", limits::max_nesting),
        ast_.span(where), "name the inner parts and use the names");
}

TokenId Parser::take(TokenKind k, std::string_view what) {
  if (failed_) return kNoToken;
  if (!is(k) || (line_ends() && begins_item())) {
    expected(what);
    return kNoToken;
  }
  TokenId t = at_;
  advance();
  return t;
}

TokenRange Parser::range_from(TokenId first) const {
  return {first, at_ > first ? at_ - 1 : first};
}

// Takes the bracket that closes `open`; `before` names what else could have followed ("`,` or ").
bool Parser::close(TokenId open, TokenKind closer, std::string_view before) {
  if (failed_) return false;
  if (is(closer)) return advance(), true;
  if (match_[open] != kNoToken) {
    expected(fmt::format("{}{}", before, kind_text(closer)));
    return false;
  }
  std::string_view opened = kind_text(ast_.tokens[open].kind);
  Diagnostic& d = error(diag::unclosed_bracket,
                        fmt::format("expected {}{}, found {}", before, kind_text(closer), found()));
  d.notes.push_back({fmt::format("{} is opened here", opened), ast_.span(open)});
  return false;
}

// Passes over the rest of a damaged statement that began at `start`: out of the brackets that are
// properly closed, then to the end of the line, `;` or `}`. With `stop_at_block` also to a `{`.
void Parser::recover_statement(TokenId start, bool stop_at_block) {
  using K = TokenKind;
  failed_ = false;
  auto opens = [&](TokenId t) {
    K k = ast_.tokens[t].kind;
    return k == K::l_paren || k == K::l_bracket || k == K::l_brace;
  };
  for (TokenId t = start; t < at_; ++t) {
    if (!opens(t)) continue;
    if (match_[t] == kNoToken) {
      skipped_brace_ |= ast_.tokens[t].kind == K::l_brace;
      continue;
    }
    if (match_[t] >= at_) at_ = match_[t] + 1;
    t = match_[t];
  }
  for (;;) {
    const Token& t = cur();
    bool first = at_ == start;
    if (t.kind == K::end || t.kind == K::r_brace || t.kind == K::semicolon) return;
    if (t.newline_before && !first) return;
    if (stop_at_block && t.kind == K::l_brace) return;
    if (opens(at_) && match_[at_] != kNoToken) {
      at_ = match_[at_] + 1;
    } else {
      skipped_brace_ |= t.kind == K::l_brace;
      ++at_;
    }
  }
}

// --- file items

bool Parser::begins_item() const {
  if (!is(TokenKind::word)) return false;
  return std::ranges::find(kItemWords, ast_.text(at_)) != std::end(kItemWords);
}

void Parser::skip_to_item() {
  failed_ = false;
  do advance();
  while (!is(TokenKind::end) && !(cur().newline_before && begins_item()));
}

void Parser::file() {
  using K = TokenKind;
  while (!is(K::end) && !stop_parsing()) {
    leave_blocks_ = failed_ = skipped_brace_ = too_deep_ = false;
    depth_ = brackets_ = blocks_ = 0;
    if (accept(K::semicolon)) continue;
    if (!begins_item()) {
      if (is(K::r_brace)) {
        error(diag::unopened_bracket, "this `}` closes nothing");
      } else {
        std::string_view word = is(K::word) ? ast_.text(at_) : "";
        bool statement = find_op(word) || word == "if" || word == "else" || word == "while";
        std::string near = word.empty() || statement ? "" : nearest_name(word, kItemWords);
        error(diag::expected_item,
              fmt::format("expected a definition, found {}", describe(cur(), ast_.source)),
              ast_.span(at_),
              near.empty() ? "a file holds const, type, layout, use, require, func and kernel"
                           : fmt::format("did you mean `{}`?", near));
      }
      skip_to_item();
      continue;
    }
    TokenId start = at_;
    ItemId id = item();
    if (id) ast_.items.push_back(id);
    if (failed_) {
      recover_statement(start, false);
      if (!is(K::end) && !begins_item() && !is(K::semicolon)) skip_to_item();
    }
  }
}

ItemId Parser::item() {
  using K = TokenKind;
  TokenId start = at_;
  std::string_view word = ast_.text(at_);
  advance();
  Item it;
  bool ends_with_line = true;
  if (word == "const" || word == "type") {
    it.kind = word == "const" ? ItemKind::const_ : ItemKind::type;
    it.definitions = definitions(word == "type");
  } else if (word == "layout") {
    it.kind = ItemKind::layout;
    it.name = take(K::layout, "a layout's name such as #a");
    take(K::equals, "`=`");
    TokenId first = at_;
    LayoutRef l;
    l.expr = layout_tokens();
    l.tokens = range_from(first);
    it.layout = push(ast_.layouts, l);
  } else if (word == "use") {
    it.kind = ItemKind::use;
    it.name = take(K::string, "a file name in quotes");
  } else if (word == "file") {
    it.kind = ItemKind::file;
    it.file_number = number32();
    it.name = take(K::string, "a file name in quotes");
  } else if (word == "require") {
    it.kind = ItemKind::require_;
    it.requires_ = expr_list(limits::max_args);
  } else {
    it.kind = word == "func" ? ItemKind::func : ItemKind::kernel;
    ends_with_line = false;
    it.name = take(K::word, word == "func" ? "the func's name" : "the kernel's name");
    if (it.kind == ItemKind::kernel && !failed_ && is(K::lt)) it.definitions = bindings();
    it.params = params(it.kind == ItemKind::func);
    if (it.kind == ItemKind::kernel) it.header = header();
    else if (!failed_ && accept(K::arrow)) it.results = params(true);
    if (failed_) {  // the body is worth reading all the same
      failed_ = false;
      while (!is(K::end) && !is(K::l_brace) && !(cur().newline_before && begins_item())) advance();
      if (is(K::l_brace)) it.body = block(it.loc);
      it.tokens = range_from(start);
      return push(ast_.item_nodes, it);
    }
    it.body = block(it.loc);
  }
  it.tokens = range_from(start);
  if (!failed_ && ends_with_line && !is(K::end) && !is(K::semicolon) && !cur().newline_before) {
    if (begins_item()) {
      error(diag::missing_separator, "two definitions on one line need `;` between them").fix =
          Fix{after_previous(), ";"};
      failed_ = false;
    } else {
      expected("the end of the line");
    }
  }
  if (failed_ && ends_with_line) recover_statement(start, false);
  return push(ast_.item_nodes, it);
}

uint32_t Parser::number32() {
  if (failed_) return 0;
  TokenId t = at_;
  uint64_t value = 0;
  bool good = is(TokenKind::number) && cur().len <= 10;
  if (good) {
    for (char c : ast_.text(t)) {
      good = good && c >= '0' && c <= '9';
      value = value * 10 + static_cast<uint64_t>(c - '0');
    }
  }
  if (!good || value > 0xffffffff) {
    error(diag::bad_annotation,
          fmt::format("expected a decimal number below 2^32, found {}", found()));
    return 0;
  }
  advance();
  return static_cast<uint32_t>(value);
}

DefinitionId Parser::definition(bool is_type) {
  Definition d;
  TokenId start = at_;
  d.name = take(TokenKind::word, "a name");
  if (!is_type && !failed_ && accept(TokenKind::colon)) d.type = type();
  take(TokenKind::equals, "`=`");
  if (failed_) return {};
  if (is_type) d.alias = type();
  else d.value = expr();
  d.tokens = range_from(start);
  return push(ast_.definitions, d);
}

List<Definition> Parser::definitions(bool is_type) {
  Builder<Definition> list(*this);
  do {
    DefinitionId d = definition(is_type);
    if (failed_) break;
    list.add(d);
  } while (accept(TokenKind::comma));
  return list.finish();
}

// <BM=16, W=u4>: the specialisation that a disassembly writes behind a kernel's name.
List<Definition> Parser::bindings() {
  Builder<Definition> list(*this);
  advance();
  Inside inside(*this);
  do {
    Definition d;
    TokenId start = at_;
    d.name = take(TokenKind::word, "the name of a const or type");
    take(TokenKind::equals, "`=`");
    if (failed_) break;
    d.value = expr(precedence(Operator::add));
    d.tokens = range_from(start);
    list.add(push(ast_.definitions, d));
  } while (!failed_ && accept(TokenKind::comma));
  take(TokenKind::gt, "`,` or `>`");
  return list.finish();
}

List<Param> Parser::params(bool of_func) {
  Builder<Param> list(*this);
  TokenId open = take(TokenKind::l_paren, "`(` and the parameters");
  if (failed_) return list.finish();
  Inside inside(*this);
  if (accept(TokenKind::r_paren)) return list.finish();
  for (;;) {
    TokenId start = at_;
    ParamId p = param(of_func);
    if (!failed_ && !is(TokenKind::comma) && !is(TokenKind::r_paren) && match_[open] != kNoToken)
      expected("`,` or `)`");
    if (failed_ && match_[open] != kNoToken && at_ <= match_[open]) {
      // Go on with the next parameter.
      failed_ = false;
      at_ = std::max(at_, start);
      while (at_ < match_[open] && !is(TokenKind::comma)) {
        bool jump = match_[at_] != kNoToken && match_[at_] > at_;
        at_ = jump ? match_[at_] + 1 : at_ + 1;
      }
      p = {};
    }
    if (failed_) return list.finish();
    if (p) list.add(p);
    if (list.size() > static_cast<size_t>(limits::max_params)) {
      error(diag::too_many_operands, fmt::format("more than {} parameters", limits::max_params));
      return list.finish();
    }
    if (!accept(TokenKind::comma)) break;
  }
  close(open, TokenKind::r_paren, "`,` or ");
  return list.finish();
}

// x: in f16[m,k] : (lda, 1) list(L) aligned(16) may_alias   k: i32 divisible(G) 1..128   %s:
// f32[M,N]
ParamId Parser::param(bool of_func) {
  using K = TokenKind;
  Param p;
  TokenId start = at_;
  bool named = is(K::word) || (of_func && is(K::value));
  if (!named) {
    Diagnostic& d = expected(of_func ? "a parameter such as `%x: f32[M]` or `n: i32`"
                                     : "a parameter such as `n: i32` or `x: in f32[n]`");
    if (is(K::value)) {
      d.hint = "the names of a kernel's parameters have no `%`";
      d.fix = Fix{ast_.span(at_), std::string(ast_.name(at_))};
    }
    return {};
  }
  p.name = at_;
  advance();
  take(K::colon, "`:` and the parameter's type");
  if (failed_) return {};
  if (is(K::word) && peek().kind == K::word) {
    std::string_view w = ast_.text(at_);
    if (w == "in" || w == "out" || w == "inout") {
      p.kind = w == "in" ? ParamKind::in : w == "out" ? ParamKind::out : ParamKind::inout;
      advance();
    }
  }
  p.type = type();
  if (!failed_ && (is(K::layout) || is(K::hash))) p.layout = layout_ref();
  if (!failed_ && accept(K::colon)) {
    p.has_strides = true;
    p.strides = parenthesised_list(limits::max_rank);
  }
  if (!failed_) param_facts(p);
  if (failed_) return {};
  p.tokens = range_from(start);
  return push(ast_.params, p);
}

void Parser::param_facts(Param& p) {
  using K = TokenKind;
  auto once = [&](bool present, std::string_view what) {
    if (present)
      error(diag::duplicate_clause, fmt::format("{} is given twice", what), ast_.span(at_));
    return !present;
  };
  while (!failed_ && !is(K::comma) && !is(K::r_paren) && !is(K::end)) {
    if (is(K::word) && peek().kind == K::l_paren) {
      std::string_view w = ast_.text(at_);
      ExprId* slot = w == "aligned"     ? &p.aligned
                     : w == "list"      ? &p.list
                     : w == "divisible" ? &p.divisible
                                        : nullptr;
      if (!slot) break;
      if (!once(static_cast<bool>(*slot), fmt::format("`{}`", w))) return;
      advance();
      *slot = parenthesised_one();
    } else if (is_word("may_alias")) {
      if (!once(p.may_alias, "`may_alias`")) return;
      p.may_alias = true;
      advance();
    } else if (is(K::number) || is(K::minus) || is(K::l_paren) ||
               (is(K::word) && peek().kind == K::dots)) {
      if (!once(static_cast<bool>(p.lo), "the range")) return;
      p.lo = expr();
      take(K::dots, "`..` and the upper bound");
      if (!failed_) p.hi = expr();
    } else {
      break;
    }
  }
  if (!failed_ && is(K::word)) {
    constexpr std::string_view kFacts[] = {"aligned", "list", "divisible", "may_alias"};
    std::string near = nearest_name(ast_.text(at_), kFacts);
    expected("`,`, `)` or a fact about the parameter",
             near.empty() ? "facts are aligned(16), may_alias, list(N), divisible(N) and LO..HI"
                          : fmt::format("did you mean `{}`?", near));
  }
}

List<HeaderClause> Parser::header() {
  using K = TokenKind;
  Builder<HeaderClause> list(*this);
  if (failed_) return list.finish();
  Inside inside(*this);
  std::array<TokenId, std::size(kHeaderWords)> seen;
  seen.fill(kNoToken);
  while (!is(K::l_brace) && !is(K::end) && !is(K::at)) {
    if (accept(K::semicolon)) continue;
    TokenId start = at_;
    if (is(K::word) && cur().newline_before && begins_item()) break;
    HeaderClauseId c = header_clause();
    if (!failed_) {
      HeaderKind kind = ast_[c].kind;
      bool repeats = kind == HeaderKind::let || kind == HeaderKind::workspace;
      TokenId& before = seen[static_cast<size_t>(kind)];
      if (before != kNoToken && !repeats) {
        Diagnostic& d =
            error(diag::duplicate_clause, fmt::format("`{}` is given twice", ast_.text(start)),
                  ast_.span(start));
        d.notes.push_back({"first given here", ast_.span(before)});
        failed_ = false;
      }
      before = start;
      list.add(c);
      continue;
    }
    // Go on with the next clause: behind an unknown one, else at the next that is known.
    failed_ = false;
    bool unknown = at_ == start && is(K::word);
    if (at_ == start) advance();
    if (unknown && is(K::l_paren) && match_[at_] != kNoToken) at_ = match_[at_] + 1;
    if (unknown && is(K::word)) continue;
    while (!is(K::end) && !is(K::l_brace)) {
      if (is(K::word) && std::ranges::find(kHeaderWords, ast_.text(at_)) != std::end(kHeaderWords))
        break;
      if (cur().newline_before && begins_item()) break;
      bool jump = match_[at_] != kNoToken && match_[at_] > at_;
      at_ = jump ? match_[at_] + 1 : at_ + 1;
    }
  }
  return list.finish();
}

HeaderClauseId Parser::header_clause() {
  using K = TokenKind;
  HeaderClause c;
  TokenId start = at_;
  size_t which = std::size(kHeaderWords);
  if (is(K::word)) {
    std::string_view w = ast_.text(at_);
    which = static_cast<size_t>(std::ranges::find(kHeaderWords, w) - std::begin(kHeaderWords));
    if (which == std::size(kHeaderWords)) {
      std::string near = nearest_name(w, kHeaderWords);
      error(diag::unknown_header,
            fmt::format("{} is not a header clause", describe(cur(), ast_.source)), ast_.span(at_),
            near.empty() ? "" : fmt::format("did you mean `{}`?", near));
      return {};
    }
  } else {
    expected_here("a header clause or `{`");
    return {};
  }
  constexpr HeaderKind kKinds[] = {
      HeaderKind::grid,        HeaderKind::warps,         HeaderKind::cluster,
      HeaderKind::cooperative, HeaderKind::blocks_per_sm, HeaderKind::sync,
      HeaderKind::fast,        HeaderKind::let,           HeaderKind::workspace};
  c.kind = kKinds[which];
  advance();
  auto words = [&](std::initializer_list<std::string_view> allowed, bool many,
                   std::string_view what) {
    Builder<TokenRef> list(*this);
    do {
      bool good = is(K::word) && std::ranges::find(allowed, ast_.text(at_)) != allowed.end();
      if (!good) {
        expected(what);
        break;
      }
      list.add_token(at_);
      advance();
    } while (many && accept(K::comma));
    c.words = list.finish();
  };
  switch (c.kind) {
    case HeaderKind::grid:
    case HeaderKind::cluster:
      c.args = parenthesised_list(3);
      break;
    case HeaderKind::warps:
    case HeaderKind::blocks_per_sm:
      c.args = parenthesised_list(1);
      break;
    case HeaderKind::cooperative:
      break;
    case HeaderKind::sync:
      words({"auto", "manual"}, false, "`auto` or `manual`");
      break;
    case HeaderKind::fast: {
      TokenId open = take(K::l_paren, "`(`");
      if (failed_) break;
      words({"contract", "ftz", "approx"}, true, "contract, ftz or approx");
      close(open, K::r_paren, "`,` or ");
      break;
    }
    case HeaderKind::let: {
      c.word = take(K::word, "a name");
      if (!failed_ && accept(K::colon)) c.type = type();
      take(K::equals, "`=`");
      if (failed_) break;
      Builder<Expr> value(*this);
      value.add(expr());
      c.args = value.finish();
      break;
    }
    case HeaderKind::workspace: {
      c.word = take(K::word, "a name");
      take(K::colon, "`:` and the workspace's type");
      if (failed_) break;
      c.type = type();
      if (!failed_ && (is_word("zeroed") || is_word("kept"))) words({"zeroed", "kept"}, false, "");
      break;
    }
  }
  if (failed_) return {};
  c.tokens = range_from(start);
  return push(ast_.header_clauses, c);
}

Ast parse(std::string text, uint32_t file, Diagnostics& out) {
  Ast ast;
  size_t first = out.size();
  ast.source = std::move(text);
  ast.file = file;
  Lexed lexed = lex(ast.source, file, out);
  ast.tokens = std::move(lexed.tokens);
  ast.comments = std::move(lexed.comments);
  auto too_many = [&] { return out.size() - first >= static_cast<size_t>(limits::max_errors); };
  if (!too_many()) Parser(ast, out, lexed.cut).file();
  bool more = too_many();
  std::stable_sort(out.begin() + static_cast<ptrdiff_t>(first), out.end(),
                   [](const Diagnostic& a, const Diagnostic& b) {
                     return std::pair(a.span.line, a.span.col) < std::pair(b.span.line, b.span.col);
                   });
  if (more) {
    Span last = out.back().span;
    out.push_back(make_diag(diag::too_many_errors,
                            "too many errors; the rest of the file was not examined",
                            {file, last.line, last.col, 0}));
  }
  return ast;
}

}  // namespace tess::vmasm
