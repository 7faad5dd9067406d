// Instructions: names, operands, attributes and clauses.
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

}  // namespace

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
                     is_statement_word(word);
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

}  // namespace tess::vmasm
