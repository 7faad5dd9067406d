// Statements and blocks.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "frontends/vmasm/lexer.h"
#include "frontends/vmasm/parser_impl.h"
#include "isa/diag/text.h"

namespace tess::vmasm {
bool is_statement_word(std::string_view word) {
  static constexpr std::string_view kStatementWords[] = {"if",       "for",     "while",
                                                         "parallel", "require", "call"};

  return std::ranges::find(kStatementWords, word) != std::end(kStatementWords);
}

// Whether a statement may begin here, for the error about a missing `;`.
bool Parser::begins_statement() const {
  using K = TokenKind;
  if (is(K::value))
    return peek().kind == K::equals || (peek().kind == K::comma && peek(2).kind == K::value);
  if (!is(K::word)) return false;
  std::string_view word = ast_.text(at_);
  if (find_op(word) || is_statement_word(word)) return true;
  if (word.find('.') != std::string_view::npos) return peek().kind != K::l_bracket;
  switch (peek().kind) {
    case K::value:
    case K::word:
    case K::number:
      return !peek().newline_before;
    default:
      return false;
  }
}

// Takes `;` or accepts the line's end. A missing `;` is reported without giving up.
bool Parser::end_statement() {
  using K = TokenKind;
  if (failed_) return false;
  if (is(K::end) || is(K::r_brace) || cur().newline_before || accept(K::semicolon)) return true;
  if (begins_statement()) {
    Diagnostic& d =
        error(diag::missing_separator,
              fmt::format("{} begins another statement; `;` or a new line must separate them",
                          describe(cur(), ast_.source)),
              ast_.span(at_));
    d.fix = Fix{after_previous(), ";"};
    failed_ = false;
    return true;
  }
  if (is(K::r_paren) || is(K::r_bracket)) {
    error(diag::unopened_bracket, fmt::format("this {} closes nothing", kind_text(cur().kind)));
  } else if (is(K::equals)) {
    expected("the end of the statement",
             "only %names can be assigned, at the begin of a statement");
  } else {
    expected(begins_operand() ? "`,` or the end of the statement" : "the end of the statement");
  }
  return false;
}

// @12:5 or @1:12:5; file, line and column.
Annotation Parser::annotation() {
  Annotation a;
  if (failed_ || !is(TokenKind::at)) return a;
  advance();
  a.line = number32();
  take(TokenKind::colon, "`:` and a column");
  a.col = number32();
  if (!failed_ && is(TokenKind::colon)) {
    advance();
    a.has_file = true;
    a.file = a.line;
    a.line = a.col;
    a.col = number32();
  }
  return a;
}

BlockId Parser::block(Annotation& loc) {
  using K = TokenKind;
  if (failed_) return {};
  if (is(K::at)) loc = annotation();
  TokenId open = at_;
  if (failed_ || !is(K::l_brace)) {
    expected("`{`");
    return {};
  }
  if (blocks_ >= limits::max_nesting) {
    if (!std::exchange(too_deep_, true)) {
      error(diag::nesting_too_deep,
            fmt::format("blocks nested more than {} deep", limits::max_nesting), ast_.span(open),
            "move inner loops to a func");
    }
    failed_ = false;
    if (match_[open] != kNoToken) {
      at_ = match_[open] + 1;
    } else {
      at_ = static_cast<TokenId>(ast_.tokens.size() - 1);
      leave_blocks_ = true;
    }
    return push(ast_.blocks, Block{});
  }
  advance();
  if (is(K::at) && !cur().newline_before) {
    loc = annotation();
    if (failed_) recover_statement(at_, false);
  }
  int brackets = std::exchange(brackets_, 0), depth = std::exchange(depth_, 0);
  bool header = std::exchange(block_header_, false);
  ++blocks_;
  Block b;
  {
    Builder<Stmt> list(*this);
    statements(list);
    b.stmts = list.finish();
  }
  if (!leave_blocks_) {
    if (accept(K::r_brace)) {
      if (is(K::at) && !cur().newline_before) b.close = annotation();
    } else if (skipped_brace_) {
      leave_blocks_ = true;
    } else if (!stop_parsing()) {
      Diagnostic& d = error(diag::unclosed_bracket,
                            fmt::format("expected `}}`, found {}", describe(cur(), ast_.source)),
                            ast_.span(at_));
      d.notes.push_back({"`{` is opened here", ast_.span(open)});
      failed_ = false;
      leave_blocks_ = true;
    }
  }
  --blocks_;
  brackets_ = brackets;
  depth_ = depth;
  block_header_ = header;
  b.tokens = range_from(open);
  return push(ast_.blocks, b);
}

void Parser::statements(Builder<Stmt>& list) {
  using K = TokenKind;
  while (!is(K::end) && !is(K::r_brace) && !leave_blocks_ && !stop_parsing()) {
    if (accept(K::semicolon)) continue;
    if (cur().newline_before && (is_word("kernel") || is_word("func")) && peek().kind == K::word)
      return;
    TokenId start = at_;
    StmtId s = statement();
    if (failed_) {
      recover_statement(start, false);
      if (at_ == start) advance();
      continue;
    }
    list.add(s);
  }
}

StmtId Parser::statement() {
  using K = TokenKind;
  Stmt s;
  TokenId start = at_;
  bool block = true;
  if (is_word("if")) if_statement(s);
  else if (is_word("for")) for_statement(s);
  else if (is_word("while")) while_statement(s);
  else if (is_word("parallel")) parallel_statement(s);
  else {
    block = false;
    if (is_word("require")) {
      s.kind = StmtKind::require_;
      advance();
      s.requires_ = expr_list(limits::max_args);
    } else if (is_word("else")) {
      error(diag::misplaced_keyword, "`else` without an `if` before it", ast_.span(at_),
            "it follows the `}` that closes the block of the `if`");
      return {};
    } else {
      assignment(s);
    }
  }
  if (!failed_ && is(K::at)) s.loc = annotation();
  if (failed_) return {};
  s.tokens = range_from(start);
  if (!block && !end_statement()) return {};
  return push(ast_.stmts, s);
}

// %p, %m = instruction;  instruction
void Parser::assignment(Stmt& s) {
  using K = TokenKind;
  bool word_target = is(K::word) && peek().kind == K::equals;
  if (word_target) {
    Span where = ast_.span(at_);
    error(diag::assign_to_name,
          fmt::format("{} is assigned, but results are %names", describe(cur(), ast_.source)),
          where)
        .fix = Fix{{where.file, where.line, where.col, 0}, "%"};
    failed_ = false;
  }
  bool has_results = is(K::value) || word_target;
  if (has_results) {
    Builder<TokenRef> results(*this);
    for (;;) {
      results.add_token(at_);
      advance();
      if (results.size() > static_cast<size_t>(limits::max_results)) {
        error(diag::too_many_operands, fmt::format("more than {} results", limits::max_results),
              ast_.span(at_ - 1));
        return;
      }
      if (line_ends() || !accept(K::comma)) break;
      if (!is(K::value)) {
        expected("a %name");
        return;
      }
    }
    s.results = results.finish();
    if (line_ends() || !is(K::equals)) {
      bool operation = !line_ends() && is_binary_symbol(cur().kind);
      expected("`=`", operation ? "write `%x = %x …`: there is no other assignment" : "");
      return;
    }
    advance();
  } else if (!is(K::word)) {
    error(diag::expected_statement,
          fmt::format("expected a statement, found {}", describe(cur(), ast_.source)),
          ast_.span(at_), is(K::l_brace) ? "a block belongs to if, for, while or parallel" : "");
    while (is(K::l_brace) && match_[at_] == kNoToken) {  // any number of them is one mistake
      skipped_brace_ = true;
      advance();
    }
    return;
  } else {
    std::string_view word = ast_.text(at_);
    bool known = find_op(word) || word == "call";
    if (!known && peek().kind == K::l_paren && !peek().space_before) {
      Span where = ast_.span(at_);
      error(diag::expected_statement, fmt::format("`{}(…)` is a value, not a statement", word),
            where, "a func is called by `call`")
          .fix = Fix{{where.file, where.line, where.col, 0}, "call "};
      return;
    }
  }
  if (has_results && is(K::word) && (is_word("if") || is_word("for") || is_word("while"))) {
    error(diag::misplaced_keyword,
          fmt::format("`{}` is a statement and has no value", ast_.text(at_)), ast_.span(at_),
          is_word("if") ? "the conditional value is select c, a, b" : "");
    return;
  }
  s.kind = StmtKind::inst;
  s.inst = instruction(has_results);
}

void Parser::if_statement(Stmt& s) {
  using K = TokenKind;
  s.kind = StmtKind::if_;
  Builder<Branch> branches(*this);
  bool last = false;
  do {
    Branch b;
    TokenId start = at_;
    last = is_word("else");
    advance();
    if (last && accept_word("if")) last = false;
    if (!last) {
      bool header = std::exchange(block_header_, true);
      b.condition = expr();
      block_header_ = header;
      if (!failed_ && is(K::equals))
        error(diag::comparison_expected, "`=` assigns; equality is `==`", ast_.span(at_)).fix =
            Fix{ast_.span(at_), "=="};
    }
    if (failed_) {
      recover_statement(start, true);
      if (!is(K::l_brace)) {
        failed_ = true;
        return;
      }
    }
    b.body = block(b.loc);
    if (failed_) return;
    b.tokens = range_from(start);
    branches.add(push(ast_.branches, b));
  } while (!last && !leave_blocks_ && is_word("else"));
  s.branches = branches.finish();
  if (!s.branches.empty()) s.loc = ast_[ast_.list(s.branches)[0]].loc;
}

// for %i in a..b step s unroll(n) pipeline(n) {
void Parser::for_statement(Stmt& s) {
  using K = TokenKind;
  s.kind = StmtKind::for_;
  TokenId start = at_;
  bool header = std::exchange(block_header_, true);
  advance();
  Builder<Attr> attrs(*this);
  auto parse_header = [&] {
    s.var = take(K::value, "the loop's %name");
    if (failed_) return;
    if (accept(K::colon)) s.type = type();
    if (!failed_ && !accept_word("in")) expected("`in` and the bounds");
    if (failed_) return;
    s.begin = expr();
    take(K::dots, "`..` and the end of the range");
    if (failed_) return;
    s.end = expr();
    while (!failed_ && is(K::word)) {
      if (is_word("step")) {
        if (s.step) {
          error(diag::duplicate_clause, "`step` is written twice", ast_.span(at_));
          return;
        }
        advance();
        s.step = expr();
      } else if (find_attr(ast_.text(at_)) &&
                 op_info(Op::for_).allows(find_attr(ast_.text(at_))->tag)) {
        AttrId a = postfix_attr();
        if (!failed_) attrs.add(a);
      } else {
        constexpr std::string_view kWords[] = {"step", "unroll", "pipeline"};
        std::string near = nearest_name(ast_.text(at_), kWords);
        error(diag::unknown_clause, fmt::format("`{}` does not belong to `for`", ast_.text(at_)),
              ast_.span(at_),
              near.empty() ? "clauses are step S, unroll(N) and pipeline(N)"
                           : fmt::format("did you mean `{}`?", near));
      }
    }
    if (!failed_ && !is(K::l_brace) && !is(K::at))
      expected("`step`, `unroll(…)`, `pipeline(…)` or `{`");
  };
  parse_header();
  s.attrs = attrs.finish();
  block_header_ = header;
  if (failed_) {
    recover_statement(start, true);
    if (!is(K::l_brace)) {
      failed_ = true;
      return;
    }
  }
  s.body = block(s.loc);
}

void Parser::while_statement(Stmt& s) {
  s.kind = StmtKind::while_;
  TokenId start = at_;
  advance();
  if (!is(TokenKind::l_brace) && !is(TokenKind::at)) {
    bool header = std::exchange(block_header_, true);
    s.condition = expr();
    block_header_ = header;
    if (!failed_ && is(TokenKind::equals))
      error(diag::comparison_expected, "`=` assigns; equality is `==`", ast_.span(at_)).fix =
          Fix{ast_.span(at_), "=="};
  }
  if (failed_) {
    recover_statement(start, true);
    if (!is(TokenKind::l_brace)) {
      failed_ = true;
      return;
    }
  }
  s.body = block(s.loc);
}

void Parser::parallel_statement(Stmt& s) {
  using K = TokenKind;
  s.kind = StmtKind::parallel;
  advance();
  if (is(K::at)) s.loc = annotation();
  TokenId open = take(K::l_brace, "`{` and the strands");
  if (failed_) return;
  if (is(K::at) && !cur().newline_before) s.loc = annotation();
  Builder<Strand> strands(*this);
  while (!failed_ && !is(K::r_brace) && !is(K::end) && !leave_blocks_ && !stop_parsing()) {
    if (accept(K::semicolon)) continue;
    TokenId start = at_;
    StrandId id = strand();
    if (failed_) {
      recover_statement(start, false);
      if (at_ == start) advance();
      continue;
    }
    strands.add(id);
  }
  s.strands = strands.finish();
  if (leave_blocks_ || stop_parsing()) return;
  if (close(open, K::r_brace, "`warps` or ")) {
    if (is(K::at) && !cur().newline_before) s.close = annotation();
    return;
  }
  if (match_[open] == kNoToken) failed_ = false, leave_blocks_ = true;
}

// warps a..b by n (%w) regs(r) { … }
StrandId Parser::strand() {
  using K = TokenKind;
  Strand st;
  TokenId start = at_;
  bool header = std::exchange(block_header_, true);
  auto parse_header = [&] {
    if (!accept_word("warps")) {
      expected_here("a strand: `warps A..B { … }`");
      return;
    }
    st.begin = expr();
    take(K::dots, "`..` and the end of the warps");
    if (failed_) return;
    st.end = expr();
    while (!failed_ && !is(K::l_brace) && !is(K::at)) {
      bool twice = false;
      if (is_word("by")) {
        twice = static_cast<bool>(st.by);
        advance();
        st.by = expr();
      } else if (is_word("regs")) {
        twice = static_cast<bool>(st.regs);
        advance();
        st.regs = parenthesised_one();
      } else if (is(K::l_paren)) {
        twice = st.var != kNoToken;
        TokenId open = at_;
        advance();
        st.var = take(K::value, "the %name of the strand's number");
        close(open, K::r_paren, "");
      } else {
        expected("`by N`, `(%w)`, `regs(N)` or `{`");
      }
      if (twice && !failed_)
        error(diag::duplicate_clause, "a clause of the strand is written twice",
              ast_.span(at_ - 1));
    }
  };
  parse_header();
  block_header_ = header;
  if (failed_) {
    recover_statement(start, true);
    if (!is(K::l_brace)) {
      failed_ = true;
      return {};
    }
  }
  st.body = block(st.loc);
  if (failed_) return {};
  st.tokens = range_from(start);
  return push(ast_.strands, st);
}

}  // namespace tess::vmasm
