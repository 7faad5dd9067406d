// Instructions, statements and blocks.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "frontends/vmasm/lexer.h"
#include "frontends/vmasm/parser_impl.h"
#include "isa/diag/text.h"

namespace tess::vmasm {
namespace {

// True if the row has a clause that this word introduces: `where`, or a flag of a clause's group.
bool is_clause_of(const OpInfo& info, std::string_view word) {
  for (const SigItem& item : info.sig.ins()) {
    if (item.clause.empty()) continue;
    if (item.clause == word) return true;
    const AttrInfo* attr = find_attr(word);
    if (attr && item.clause == "cmp" && attr->group == AttrGroup::cmp) return true;
  }
  return false;
}

bool has_clauses(const OpInfo& info) {
  return std::ranges::any_of(info.sig.ins(), [](const SigItem& i) { return !i.clause.empty(); });
}

std::string nearest_clause(const OpInfo* info, std::string_view word) {
  std::vector<std::string_view> known;
  if (info) {
    for (const SigItem& item : info->sig.ins())
      if (!item.clause.empty() && item.clause != "cmp") known.push_back(item.clause);
    for (const AttrInfo& a : all_attrs())
      if (is_clause_of(*info, a.name)) known.push_back(a.name);
  }
  return nearest_name(word, known);
}

constexpr std::string_view kStatementWords[] = {"if",       "for",     "while",
                                                "parallel", "require", "call"};

bool is_binary_symbol(TokenKind k) {
  using K = TokenKind;
  switch (k) {
    case K::plus:
    case K::minus:
    case K::star:
    case K::slash:
    case K::shl:
    case K::shr:
    case K::amp:
    case K::pipe:
    case K::caret:
    case K::and_and:
    case K::or_or:
    case K::eq:
    case K::ne:
    case K::lt:
    case K::le:
    case K::gt:
    case K::ge:
      return true;
    default:
      return false;
  }
}

}  // namespace

// Whether the current word is the name of an instruction rather than the begin of an expression.
// `info` receives the row, null for an unknown name.
bool Parser::begins_instruction(bool has_results, const OpInfo*& info) {
  using K = TokenKind;
  info = nullptr;
  if (!is(K::word)) return false;
  std::string_view word = ast_.text(at_);
  info = find_op(word);
  const Token& next = peek();
  bool same_line = brackets_ > 0 || !next.newline_before;
  bool adjacent = !next.space_before;
  if (info) {
    if (!has_results) return true;
    if (info->form == Form::control || info->form == Form::decl) return true;
    if (adjacent && (next.kind == K::l_paren || next.kind == K::l_bracket)) return false;
    if (!same_line || !is_binary_symbol(next.kind)) return true;
    return next.kind == K::minus && info->sig.n_operands > 0;
  }
  if (!same_line) return !has_results;
  switch (next.kind) {
    case K::word:
    case K::value:
    case K::number:
    case K::string:
    case K::not_:
      return true;
    case K::l_paren:
      return !adjacent;
    case K::l_brace:
      return !has_results || (!adjacent && !block_header_);
    case K::layout:
    case K::hash:
      return !has_results;
    case K::end:
    case K::semicolon:
    case K::r_brace:
      return !has_results;
    default:
      return false;
  }
}

InstId Parser::instruction(bool has_results) {
  using K = TokenKind;
  Inst inst;
  TokenId first = at_;
  inst_height_ = 0;
  if (is_word("call") && peek().kind == K::word) {
    inst.kind = InstKind::call;
    advance();
    inst.name = at_;
    advance();
    inst.operands = parenthesised_list(limits::max_args);
    if (failed_) return {};
    int most = heights(inst.operands);
    inst.tokens = range_from(first);
    inst_height_ = most;
    return push(ast_.insts, inst);
  }
  int most = 0;
  if (begins_instruction(has_results, inst.info)) {
    if (inst.info && inst.info->form == Form::control) {
      error(diag::misplaced_keyword, fmt::format("`{}` cannot stand here", ast_.text(at_)),
            ast_.span(at_), inst.info->op == Op::end ? "a block is closed by `}`" : "");
      return {};
    }
    inst.name = at_;
    advance();
    if (inst.info && inst.info->form == Form::decl) inst.type = type();
    else operands(inst);
    most = heights(inst.operands);
  } else {
    inst.kind = InstKind::expr;
    inst.info = nullptr;
    Builder<Expr> one(*this);
    one.add(expr());
    inst.operands = one.finish();
    if (!failed_) most = heights(inst.operands);
    if (!failed_ && is(K::comma)) {
      ExprId e = ast_.list(inst.operands)[0];
      if (ast_[e].kind == ExprKind::call && find_op(ast_.text(ast_[e].word))) {
        Span name = ast_.span(ast_[e].word);
        Diagnostic& d = error(
            diag::call_with_operands,
            fmt::format("`{}(…)` is a complete value; what follows the `,` belongs to nothing",
                        ast_.text(ast_[e].word)),
            ast_.span(at_),
            "an instruction whose first operand is in parentheses has a space before it");
        if (ast_[e].args.count == 1)
          d.fix = Fix{{name.file, name.line, name.col + name.len, 0}, " "};
      }
    }
  }
  if (!failed_) tail(inst);
  if (failed_) return {};
  for (ClauseId c : ast_.list(inst.clauses)) most = std::max(most, height(ast_[c].operand));
  inst.tokens = range_from(first);
  inst_height_ = most;
  return push(ast_.insts, inst);
}

void Parser::operands(Inst& inst) {
  using K = TokenKind;
  if (!line_ends() && is(K::comma)) {
    expected("an operand", {}, diag::expected_operand);
    return;
  }
  if (line_ends() || !begins_operand()) return;
  bool takes_none = inst.info && inst.info->sig.n_operands == 0;
  if (takes_none && begins_statement()) return;
  bool dotted = is(TokenKind::word) && ast_.text(at_).find('.') != std::string_view::npos;
  if (!inst.info && dotted && !find_op(ast_.text(at_))) return;  // the next statement's name
  Builder<Expr> list(*this);
  do {
    TokenId first = at_;
    ExprId e = expr();
    if (failed_) break;
    list.add(e);
    if (list.size() > static_cast<size_t>(limits::max_args)) {
      error(diag::too_many_operands, fmt::format("more than {} operands", limits::max_args),
            ast_.span(first));
      break;
    }
  } while (!line_ends() && accept(K::comma));
  inst.operands = list.finish();
}

// After the operands, in any order: clauses, `: type`, `#layout`, count(2), {attributes}.
void Parser::tail(Inst& inst) {
  using K = TokenKind;
  Builder<Clause> clauses(*this);
  std::vector<uint32_t> attrs;
  auto twice = [&](std::string_view what) {
    error(diag::duplicate_clause, fmt::format("{} is written twice", what), ast_.span(at_));
  };
  while (!failed_ && !line_ends()) {
    if (is(K::colon)) {
      if (inst.type) return twice("the type");
      advance();
      inst.type = type();
    } else if (is(K::layout) || is(K::hash)) {
      if (inst.layout) return twice("the layout");
      inst.layout = layout_ref();
    } else if (is(K::l_brace) && !block_header_) {
      TokenId open = at_;
      advance();
      Inside inside(*this);
      while (!is(K::r_brace) && !failed_) {
        AttrId a = attr();
        if (failed_) return;
        attrs.push_back(a.index);
        if (!accept(K::comma)) break;
      }
      close(open, K::r_brace, "`,` or ");
    } else if (!is(K::word) || !tail_word(inst, clauses, attrs)) {
      break;
    }
  }
  inst.clauses = clauses.finish();
  Builder<Attr> list(*this);
  for (uint32_t a : attrs) list.add(AttrId{a});
  inst.attrs = list.finish();
}

// `where %m`, `ge %v` or `count(2)`; false if the word does not belong to the instruction.
bool Parser::tail_word(Inst& inst, Builder<Clause>& clauses, std::vector<uint32_t>& attrs) {
  using K = TokenKind;
  std::string_view word = ast_.text(at_);
  if (peek().kind == K::l_paren && !peek().space_before && find_attr(word)) {
    AttrId a = postfix_attr();
    if (!failed_) attrs.push_back(a.index);
    return true;
  }
  bool clause = inst.info && is_clause_of(*inst.info, word);
  if (!clause) {
    bool statement = find_op(word) || word.find('.') != std::string_view::npos || word == "else" ||
                     std::ranges::find(kStatementWords, word) != std::end(kStatementWords);
    if (statement) return false;
    if (inst.kind != InstKind::op || inst.info) {
      if (inst.kind != InstKind::op || block_header_) return false;
      std::string near = nearest_clause(inst.info, word);
      if (near.empty() && (begins_statement() || !has_clauses(*inst.info))) return false;
      error(diag::unknown_clause,
            fmt::format("`{}` does not belong to `{}`", word, ast_.text(inst.name)), ast_.span(at_),
            near.empty() ? "" : fmt::format("did you mean `{}`?", near));
      return true;
    }
  }
  Clause c;
  TokenId first = at_;
  c.word = at_;
  advance();
  c.operand = expr();
  if (failed_) return true;
  c.tokens = range_from(first);
  for (uint32_t i = 0; i < clauses.size(); ++i) {
    const Clause& other = ast_.clauses[scratch_[scratch_.size() - 1 - i]];
    if (ast_.text(other.word) == word) {
      error(diag::duplicate_clause, fmt::format("`{}` is written twice", word), ast_.span(first));
      return true;
    }
  }
  clauses.add(push(ast_.clauses, c));
  return true;
}

// --- statements

// Whether a statement may begin here, for the error about a missing `;`.
bool Parser::begins_statement() const {
  using K = TokenKind;
  if (is(K::value))
    return peek().kind == K::equals || (peek().kind == K::comma && peek(2).kind == K::value);
  if (!is(K::word)) return false;
  std::string_view word = ast_.text(at_);
  if (find_op(word) || std::ranges::find(kStatementWords, word) != std::end(kStatementWords))
    return true;
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
