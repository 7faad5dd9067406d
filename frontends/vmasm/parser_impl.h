// The parser's state and its productions; parser.cpp (errors, file items), parse_stmt.cpp and
// parse_expr.cpp hold the bodies. Not for use outside of these files.
//
// Errors: the first one in a construct is reported and sets `failed_`; productions return at once
// while it is set. The nearest list, statement or item clears it after passing over the damage.
#pragma once
#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "frontends/vmasm/ast.h"
#include "isa/diag/text.h"
#include "isa/limits.h"

namespace tess::vmasm {

class Parser {
 public:
  // `cut`: the text ends inside a comment, so that nothing can be said about its end.
  Parser(Ast& ast, Diagnostics& out, bool cut);
  void file();

 private:
  // Collects ids while nested lists are being built, then moves them to the pool together.
  template <class T>
  class Builder {
   public:
    explicit Builder(Parser& p) : p_(p), mark_(p.scratch_.size()) {}
    ~Builder() { p_.scratch_.resize(mark_); }
    Builder(const Builder&) = delete;
    Builder& operator=(const Builder&) = delete;
    void add(Id<T> id) { p_.scratch_.push_back(id.index); }
    void add_token(TokenId t) { p_.scratch_.push_back(t); }
    size_t size() const { return p_.scratch_.size() - mark_; }
    List<T> finish() {
      List<T> l{static_cast<uint32_t>(p_.ast_.pool.size()), static_cast<uint32_t>(size())};
      p_.ast_.pool.insert(p_.ast_.pool.end(), p_.scratch_.begin() + mark_, p_.scratch_.end());
      return l;
    }

   private:
    Parser& p_;
    size_t mark_;
  };
  // One level of recursion through parentheses, brackets or prefix operators.
  struct Nest {
    explicit Nest(Parser& p) : p_(p) { ++p_.depth_; }
    ~Nest() { --p_.depth_; }
    explicit operator bool() const { return p_.depth_ <= limits::max_nesting; }
    Parser& p_;
  };
  // Between brackets a newline is a space and `{` opens no block.
  struct Inside {
    explicit Inside(Parser& p) : p_(p), header_(p.block_header_) {
      ++p_.brackets_;
      p_.block_header_ = false;
    }
    ~Inside() {
      --p_.brackets_;
      p_.block_header_ = header_;
    }
    Parser& p_;
    bool header_;
  };

  // --- tokens
  const Token& cur() const { return ast_.tokens[at_]; }
  const Token& peek(uint32_t n = 1) const {
    return ast_.tokens[std::min<size_t>(at_ + n, ast_.tokens.size() - 1)];
  }
  bool is(TokenKind k) const { return cur().kind == k; }
  bool is_word(std::string_view w) const { return is(TokenKind::word) && ast_.text(at_) == w; }
  void advance() {
    if (!is(TokenKind::end)) ++at_;
  }
  bool accept(TokenKind k) { return is(k) ? (advance(), true) : false; }
  bool accept_word(std::string_view w) { return is_word(w) ? (advance(), true) : false; }
  TokenId take(TokenKind k, std::string_view what);  // kNoToken and an error if it is not there
  // The statement ends before the current token, if it may end here.
  bool line_ends() const { return brackets_ == 0 && cur().newline_before; }
  TokenRange range_from(TokenId first) const;
  void match_brackets();

  // --- errors
  Diagnostic& error(Diag code, std::string message, Span span, std::string hint = {});
  Diagnostic& error(Diag code, std::string message, std::string hint = {});
  // The same about the construct that should begin with the current token, even on a new line.
  Diagnostic& expected_here(std::string_view what, std::string hint = {});
  Diagnostic& expected(std::string_view what, std::string hint = {},
                       Diag code = diag::expected_token);
  Span after_previous() const;    // an empty place just behind the last token taken
  Span place_of_problem() const;  // the current token, or behind the previous one at a line's end
  std::string found() const;
  void too_deep(TokenId where);
  bool close(TokenId open, TokenKind closer, std::string_view before);  // the bracket of `open`
  bool end_statement();
  void recover_statement(TokenId start, bool stop_at_block);
  bool stop_parsing() const;

  // --- expressions and their parts
  ExprId expr(int min_power = 1);
  ExprId unary();
  ExprId primary();
  ExprId parenthesised();
  ExprId access_tail(ExprId base, TokenId first);
  ExprId call_expr(TokenId first);
  List<Subscript> subscripts();
  SubscriptId subscript();
  List<Expr> expr_list(int64_t most, int power = 1);  // with commas between
  List<Expr> parenthesised_list(int64_t most);        // with its parentheses
  ExprId parenthesised_one();
  TypeId type();
  LayoutId layout_ref();
  TokenRange layout_tokens();
  AttrId attr();
  AttrId postfix_attr();
  ExprId make(Expr e, TokenId first, int children_height);
  int height(ExprId e) const { return e ? heights_[e.index] : 0; }
  template <class T>
  int heights(List<T> l) const {
    int most = 0;
    for (uint32_t i = 0; i < l.count; ++i)
      most = std::max(most, height(Id<T>{ast_.pool[l.first + i]}));
    return most;
  }
  int height(SubscriptId s) const {
    return std::max(height(ast_.subscripts[s.index].start), height(ast_.subscripts[s.index].stop));
  }
  bool begins_operand() const;
  bool begins_statement() const;

  // --- instructions and statements
  InstId instruction(bool has_results);
  bool begins_instruction(bool has_results, const OpInfo*& info);
  void operands(Inst& inst);
  void tail(Inst& inst);
  bool tail_word(Inst& inst, Builder<Clause>& clauses, std::vector<uint32_t>& attrs);
  StmtId statement();
  void assignment(Stmt& s);
  void if_statement(Stmt& s);
  void for_statement(Stmt& s);
  void while_statement(Stmt& s);
  void parallel_statement(Stmt& s);
  StrandId strand();
  BlockId block(Annotation& loc);
  void statements(Builder<Stmt>& list);
  Annotation annotation();
  bool begins_item() const;

  // --- file items
  ItemId item();
  DefinitionId definition(bool is_type);
  List<Definition> definitions(bool is_type);
  List<Definition> bindings();
  List<Param> params(bool of_func);
  ParamId param(bool of_func);
  void param_facts(Param& p);
  List<HeaderClause> header();
  HeaderClauseId header_clause();
  void skip_to_item();
  uint32_t number32();

  template <class T>
  Id<T> push(std::vector<T>& v, T node) {
    v.push_back(std::move(node));
    return {static_cast<uint32_t>(v.size() - 1)};
  }

  Ast& ast_;
  Diagnostics& out_;
  size_t first_diag_;
  bool cut_;
  std::vector<TokenId> match_;     // the partner of each bracket, or kNoToken
  std::vector<uint32_t> scratch_;  // ids of the lists under construction
  std::vector<uint16_t> heights_;  // of each expression
  TokenId at_ = 0;
  int depth_ = 0, brackets_ = 0, blocks_ = 0;
  int inst_height_ = 0;
  bool block_header_ = false;  // outside brackets, `{` opens a block
  bool failed_ = false;
  bool leave_blocks_ = false;   // an unclosed block was reported: its outer blocks end silently
  bool too_deep_ = false;       // blocks nested too deeply were reported for this item
  bool skipped_brace_ = false;  // recovery passed over an unclosed `{`: a missing `}` is no news
  Diagnostic dropped_;          // receives notes to an error that was not reported
};

bool is_statement_word(std::string_view word);  // `if`, `for`, ...
bool is_binary_symbol(TokenKind k);             // `+`, `==`, ...

}  // namespace tess::vmasm
