// Expressions, memory accesses, types, layouts and attributes.
#include <fmt/format.h>

#include <algorithm>

#include "frontends/vmasm/lexer.h"
#include "frontends/vmasm/parser_impl.h"
#include "isa/diag/text.h"

namespace tess::vmasm {
namespace {

Operator binary_operator(TokenKind k) {
  using K = TokenKind;
  switch (k) {
    case K::or_or:
      return Operator::or_or;
    case K::and_and:
      return Operator::and_and;
    case K::pipe:
      return Operator::bit_or;
    case K::caret:
      return Operator::bit_xor;
    case K::amp:
      return Operator::bit_and;
    case K::eq:
      return Operator::eq;
    case K::ne:
      return Operator::ne;
    case K::lt:
      return Operator::lt;
    case K::le:
      return Operator::le;
    case K::gt:
      return Operator::gt;
    case K::ge:
      return Operator::ge;
    case K::shl:
      return Operator::shl;
    case K::shr:
      return Operator::shr;
    case K::plus:
      return Operator::add;
    case K::minus:
      return Operator::sub;
    case K::star:
      return Operator::mul;
    case K::slash:
      return Operator::div;
    default:
      return Operator::none;
  }
}

bool is_literal_word(std::string_view w) {
  return w == "inf" || w == "nan" || w == "true" || w == "false";
}

constexpr std::string_view kControlWords[] = {"if", "else", "for", "while", "parallel"};
bool is_control_word(std::string_view w) {
  return std::ranges::find(kControlWords, w) != std::end(kControlWords);
}

}  // namespace

std::string_view operator_text(Operator op) {
  constexpr std::string_view kText[] = {"",  "-",  "!", "||", "&&", "|",  "^", "&", "==", "!=",
                                        "<", "<=", ">", ">=", "<<", ">>", "+", "-", "*",  "/"};
  return kText[static_cast<int>(op)];
}

int precedence(Operator op) {
  constexpr int kPower[] = {0, 11, 11, 1, 2, 3, 4, 5, 6, 6, 7, 7, 7, 7, 8, 8, 9, 9, 10, 10};
  return kPower[static_cast<int>(op)];
}

ExprId Parser::make(Expr e, TokenId first, int children_height) {
  if (failed_) return {};
  if (children_height >= limits::max_nesting) {
    too_deep(first);
    return {};
  }
  e.tokens = range_from(first);
  heights_.push_back(static_cast<uint16_t>(children_height + 1));
  return push(ast_.exprs, e);
}

bool Parser::begins_operand() const {
  switch (cur().kind) {
    case TokenKind::word:
    case TokenKind::value:
    case TokenKind::number:
    case TokenKind::string:
    case TokenKind::l_paren:
    case TokenKind::minus:
    case TokenKind::not_:
      return true;
    default:
      return false;
  }
}

ExprId Parser::expr(int min_power) {
  TokenId first = at_;
  ExprId left = unary();
  while (!failed_ && !line_ends()) {
    Operator op = binary_operator(cur().kind);
    int power = precedence(op);
    if (op == Operator::none || power < min_power) break;
    advance();
    ExprId right = expr(power + 1);
    Expr e;
    e.kind = ExprKind::binary;
    e.op = op;
    e.lhs = left;
    e.rhs = right;
    left = make(e, first, std::max(height(left), height(right)));
  }
  return failed_ ? ExprId{} : left;
}

ExprId Parser::unary() {
  if (!is(TokenKind::minus) && !is(TokenKind::not_)) return primary();
  Nest nest(*this);
  TokenId first = at_;
  if (!nest) {
    too_deep(first);
    return {};
  }
  Expr e;
  e.kind = ExprKind::unary;
  e.op = is(TokenKind::minus) ? Operator::neg : Operator::bit_not;
  advance();
  e.lhs = unary();
  return make(e, first, height(e.lhs));
}

ExprId Parser::primary() {
  using K = TokenKind;
  if (line_ends() && begins_item()) {
    expected("an operand", {}, diag::expected_operand);
    return {};
  }
  TokenId first = at_;
  Expr e;
  e.word = first;
  switch (cur().kind) {
    case K::number:
      e.kind = ExprKind::number;
      break;
    case K::string:
      e.kind = ExprKind::string;
      break;
    case K::value:
      e.kind = ExprKind::value;
      advance();
      return access_tail(make(e, first, 0), first);
    case K::word: {
      std::string_view w = ast_.text(first);
      if (is_control_word(w)) {
        error(diag::misplaced_keyword, fmt::format("`{}` begins a statement and is no operand", w),
              ast_.span(first));
        return {};
      }
      if (is_literal_word(w)) {
        e.kind = ExprKind::number;
        break;
      }
      e.kind = ExprKind::name;
      advance();
      if (is(K::l_paren) && !cur().space_before) return call_expr(first);
      return access_tail(make(e, first, 0), first);
    }
    case K::layout:
    case K::hash:
      e.kind = ExprKind::layout;
      e.word = kNoToken;
      e.layout = layout_ref();
      return make(e, first, 0);
    case K::l_paren:
      return parenthesised();
    default:
      expected("an operand", {}, diag::expected_operand);
      return {};
  }
  advance();
  return make(e, first, 0);
}

// name(args), the parenthesis directly behind the name.
ExprId Parser::call_expr(TokenId first) {
  Nest nest(*this);
  if (!nest) {
    too_deep(first);
    return {};
  }
  Expr e;
  e.kind = ExprKind::call;
  e.word = first;
  e.args = parenthesised_list(limits::max_args);
  return make(e, first, heights(e.args));
}

// (a + b), or an instruction: (fma a, %x, %y).
ExprId Parser::parenthesised() {
  Nest nest(*this);
  TokenId open = at_;
  if (!nest) {
    too_deep(open);
    return {};
  }
  advance();
  Inside inside(*this);
  const OpInfo* info = nullptr;
  bool is_inst =
      begins_instruction(true, info) || (is_word("call") && peek().kind == TokenKind::word);
  if (!is_inst) {
    ExprId inner = expr();
    // A written type or attribute makes an instruction of it.
    bool more = is(TokenKind::colon) || is(TokenKind::l_brace) || is(TokenKind::layout);
    if (!more) {
      close(open, TokenKind::r_paren, "an operator or ");
      if (failed_) return {};
      ast_.exprs[inner.index].parenthesised = true;
      return inner;
    }
    if (failed_) return {};
    Inst inst;
    inst.kind = InstKind::expr;
    Builder<Expr> one(*this);
    one.add(inner);
    inst.operands = one.finish();
    tail(inst);
    inst.tokens = range_from(open + 1);
    close(open, TokenKind::r_paren, "");
    Expr e;
    e.kind = ExprKind::inst;
    e.inst = push(ast_.insts, inst);
    return make(e, open, height(inner));
  }
  Expr e;
  e.kind = ExprKind::inst;
  e.inst = instruction(true);
  int inner_height = inst_height_;
  close(open, TokenKind::r_paren, "`,` or ");
  return make(e, open, inner_height);
}

// base {item} [subscripts], each part optional.
ExprId Parser::access_tail(ExprId base, TokenId first) {
  using K = TokenKind;
  if (failed_) return {};
  bool is_name = ast_[base].kind == ExprKind::name;
  bool item = is_name && is(K::l_brace) && !cur().space_before && !block_header_;
  if (item && peek().kind == K::word && !peek(2).newline_before &&
      (find_attr(ast_.text(at_ + 1)) != nullptr))
    item = false;  // `fence{acquire}`, without the space: attributes
  bool brackets = is(K::l_bracket) && !line_ends();
  if (!item && !brackets) return base;
  Nest nest(*this);
  if (!nest) {
    too_deep(first);
    return {};
  }
  Expr e;
  e.kind = ExprKind::access;
  e.lhs = base;
  int inner = 0;
  if (item) {
    TokenId open = at_;
    advance();
    Inside inside(*this);
    e.rhs = expr();
    inner = height(e.rhs);
    close(open, K::r_brace, "");
  }
  if (!failed_ && is(K::l_bracket) && !line_ends()) {
    e.has_brackets = true;
    e.subscripts = subscripts();
    for (SubscriptId s : ast_.list(e.subscripts)) inner = std::max(inner, height(s));
  }
  return make(e, first, std::max(inner, 1));
}

List<Subscript> Parser::subscripts() {
  using K = TokenKind;
  Builder<Subscript> list(*this);
  TokenId open = at_;
  advance();
  Inside inside(*this);
  do {
    SubscriptId s = subscript();
    if (failed_) break;
    list.add(s);
    if (list.size() > limits::max_rank) {
      error(diag::too_many_operands, fmt::format("more than {} dimensions", limits::max_rank),
            ast_.span(s));
      break;
    }
  } while (accept(K::comma));
  close(open, K::r_bracket, "`,`, `:+`, `:` or ");
  return list.finish();
}

SubscriptId Parser::subscript() {
  using K = TokenKind;
  Subscript s;
  TokenId first = at_;
  auto ends = [&] { return is(K::comma) || is(K::r_bracket); };
  if (accept(K::colon)) {
    if (!ends()) {
      s.kind = SubscriptKind::span;
      s.stop = expr();
    }
  } else {
    s.kind = SubscriptKind::point;
    s.start = expr();
    if (!failed_ && accept(K::colon_plus)) {
      s.kind = SubscriptKind::range;
      s.stop = expr();
    } else if (!failed_ && accept(K::colon)) {
      s.kind = SubscriptKind::span;
      if (!ends()) s.stop = expr();
    }
  }
  if (failed_) return {};
  s.tokens = range_from(first);
  return push(ast_.subscripts, s);
}

// Expressions with commas between them; at least one.
List<Expr> Parser::expr_list(int64_t most, int power) {
  Builder<Expr> list(*this);
  if (failed_) return list.finish();
  do {
    TokenId first = at_;
    ExprId e = expr(power);
    if (failed_) break;
    list.add(e);
    if (static_cast<int64_t>(list.size()) > most) {
      error(diag::too_many_operands, fmt::format("more than {} here", most), ast_.span(first));
      break;
    }
  } while (accept(TokenKind::comma));
  return list.finish();
}

List<Expr> Parser::parenthesised_list(int64_t most) {
  using K = TokenKind;
  TokenId open = take(K::l_paren, "`(`");
  if (failed_) return {};
  Inside inside(*this);
  if (accept(K::r_paren)) return {};
  TokenId first = at_;
  List<Expr> list = expr_list(most);
  // name(sub %a, %b): an instruction where a value should be.
  if (!failed_ && list.count == 1 && begins_operand() && ast_.tokens[first].kind == K::word &&
      at_ == first + 1 && find_op(ast_.text(first))) {
    Span here = ast_.span(open);
    error(diag::call_with_operands,
          fmt::format("`{}` is an instruction and needs parentheses of its own", ast_.text(first)),
          ast_.span(first), "put a space before the `(`: name (instruction …), …")
        .fix = Fix{{here.file, here.line, here.col, 0}, " "};
  }
  close(open, K::r_paren, "`,` or ");
  return list;
}

ExprId Parser::parenthesised_one() {
  List<Expr> list = parenthesised_list(1);
  if (failed_) return {};
  if (list.empty()) {
    --at_;  // at the `)`
    expected("an operand", {}, diag::expected_operand);
    return {};
  }
  return ast_.list(list)[0];
}

// f32   f32[m, k]   f16[ring ST, 64]   T[..]   lut<4, f16>[64]   and, for barriers, [4]
TypeId Parser::type() {
  using K = TokenKind;
  if (failed_) return {};
  TypeRef t;
  TokenId first = at_;
  if (is(K::word) && !line_ends()) {
    t.dtype = at_;
    advance();
    if (is(K::lt) && !line_ends()) {
      advance();
      Inside inside(*this);
      t.args = expr_list(limits::max_rank, precedence(Operator::add));
      take(K::gt, "`,` or `>`");
    }
  } else if (!is(K::l_bracket)) {
    expected("a type such as f32 or f16[64,64]", {}, diag::expected_type);
    return {};
  }
  if (!failed_ && is(K::l_bracket) && !line_ends()) {
    TokenId open = at_;
    advance();
    Inside inside(*this);
    t.has_shape = true;
    if (is(K::dots) && peek().kind == K::r_bracket) {
      t.elided = true;
      advance();
    } else {
      if (is_word("ring") && peek().kind != K::comma && peek().kind != K::r_bracket) {
        t.ring = true;
        advance();
      }
      t.dims = expr_list(limits::max_rank);
    }
    close(open, K::r_bracket, "`,` or ");
  }
  if (failed_) return {};
  t.tokens = range_from(first);
  return push(ast_.types, t);
}

// #name or #(expression)
LayoutId Parser::layout_ref() {
  using K = TokenKind;
  LayoutRef l;
  TokenId first = at_;
  if (is(K::layout)) {
    l.name = at_;
    advance();
  } else {
    advance();
    TokenId open = take(K::l_paren, "a layout's name or `(` behind `#`");
    if (failed_) return {};
    if (match_[open] == kNoToken) {
      Diagnostic& d =
          error(diag::unclosed_bracket, "this layout expression is never closed", ast_.span(first));
      d.notes.push_back({"`(` is opened here", ast_.span(open)});
      return {};
    }
    if (match_[open] == open + 1) {
      expected("a layout expression");
      return {};
    }
    l.expr = {open + 1, match_[open] - 1};
    at_ = match_[open] + 1;
  }
  l.tokens = range_from(first);
  return push(ast_.layouts, l);
}

// A layout expression up to the end of the statement, its brackets balanced.
TokenRange Parser::layout_tokens() {
  using K = TokenKind;
  if (failed_) return {};
  TokenId first = at_;
  if (line_ends() && begins_item()) {
    expected("a layout expression");
    return {};
  }
  auto continues = [&](TokenId t) {
    switch (ast_.tokens[t].kind) {
      case K::star:
      case K::slash:
      case K::plus:
      case K::minus:
      case K::comma:
      case K::colon:
      case K::equals:
      case K::arrow:
        return true;
      default:
        return ast_.tokens[t].kind == K::word && ast_.text(t) == "o";
    }
  };
  while (!is(K::end) && !is(K::semicolon) && !is(K::bad)) {
    if (cur().newline_before && at_ != first && !continues(at_ - 1)) break;
    switch (cur().kind) {
      case K::l_paren:
      case K::l_bracket:
      case K::l_brace:
        if (match_[at_] == kNoToken) {
          Span where = ast_.span(at_);
          error(diag::unclosed_bracket, fmt::format("{} is never closed", kind_text(cur().kind)),
                where);
          return {};
        }
        at_ = match_[at_] + 1;
        break;
      case K::r_paren:
      case K::r_bracket:
      case K::r_brace:
        error(diag::unopened_bracket, fmt::format("this {} closes nothing", kind_text(cur().kind)),
              ast_.span(at_));
        return {};
      default:
        advance();
    }
  }
  if (at_ == first || is(K::bad)) {
    expected("a layout expression");
    return {};
  }
  return range_from(first);
}

// dim 1   keep   perm(1, 0)   pad -inf
AttrId Parser::attr() {
  using K = TokenKind;
  Attr a;
  TokenId first = at_;
  a.name = take(K::word, "an attribute such as `dim 1` or `keep`");
  if (failed_) return {};
  if (is(K::l_paren)) {
    a.args = parenthesised_list(limits::max_rank);
  } else if (!is(K::comma) && !is(K::r_brace)) {
    Builder<Expr> one(*this);
    one.add(expr());
    a.args = one.finish();
  }
  if (failed_) return {};
  a.tokens = range_from(first);
  return push(ast_.attrs, a);
}

// count(2), behind the operands
AttrId Parser::postfix_attr() {
  Attr a;
  TokenId first = at_;
  a.name = at_;
  a.postfix = true;
  advance();
  a.args = parenthesised_list(limits::max_rank);
  if (failed_) return {};
  a.tokens = range_from(first);
  return push(ast_.attrs, a);
}

}  // namespace tess::vmasm
