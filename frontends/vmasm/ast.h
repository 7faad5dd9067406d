// The syntax tree of one .vmasm file: what was written, nothing resolved.
//
// Nodes live in flat arrays of the Ast and refer to each other by Id, so that copying and
// destroying never recurses. Lists are ranges of the id pool. Every node knows its tokens; `span()`
// turns them into a place for diagnostics. Names are tokens; `text()` and `name()` give their
// spelling.
//
//   for (ItemId i : ast.items) { const Item& item = ast[i]; ... }
//   for (ExprId e : ast.list(inst.operands)) { const Expr& x = ast[e]; ... }
//
// Depth of nesting is at most limits::max_nesting, so that a walk may recurse.
// Plain data; owns its text; movable and copyable; immutable after parse, then safe to share.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "frontends/vmasm/token.h"
#include "isa/diag.h"
#include "isa/isa.h"

namespace tess::vmasm {

template <class T>
struct Id {
  uint32_t index = 0xffffffff;
  explicit operator bool() const { return index != 0xffffffff; }
  bool operator==(const Id&) const = default;
};
// Ids [first, first + count) of the pool.
template <class T>
struct List {
  uint32_t first = 0, count = 0;
  bool empty() const { return count == 0; }
};

struct Expr;
struct Subscript;
struct TypeRef;
struct LayoutRef;
struct Attr;
struct Clause;
struct Inst;
struct Stmt;
struct Block;
struct Branch;
struct Strand;
struct Param;
struct HeaderClause;
struct Item;
struct Definition;
using ExprId = Id<Expr>;
using SubscriptId = Id<Subscript>;
using TypeId = Id<TypeRef>;
using LayoutId = Id<LayoutRef>;
using AttrId = Id<Attr>;
using ClauseId = Id<Clause>;
using InstId = Id<Inst>;
using StmtId = Id<Stmt>;
using BlockId = Id<Block>;
using BranchId = Id<Branch>;
using StrandId = Id<Strand>;
using ParamId = Id<Param>;
using HeaderClauseId = Id<HeaderClause>;
using ItemId = Id<Item>;
using DefinitionId = Id<Definition>;
struct TokenRef;  // List<TokenRef>: a list of plain tokens (names)

// `@12:5` or `@1:12:5`: where an instruction of a disassembly came from. line 0: not written.
struct Annotation {
  uint32_t file = 0, line = 0, col = 0;
  bool has_file = false;
};

// --- expressions

enum class ExprKind : uint8_t {
  number,  // token `word`: 12, 0x1.8p3, or one of the words inf nan true false
  string,  // token `word`
  name,    // token `word`: a parameter, let, const, type, dtype, generic dimension, or block.x
  value,   // token `word`: %x
  layout,  // `layout`: #x or #(…), in `require` and calls
  unary,   // op; lhs
  binary,  // op; lhs, rhs
  call,    // token `word`, written name(args) without a space: args
  access,  // base lhs (name or value) [ {item rhs} ] [ subscripts ]; brackets may be missing: w{%l}
  inst,    // `inst`: an instruction in parentheses
  error,   // reported; stands where an operand should
};
enum class Operator : uint8_t {
  none,
  neg,
  bit_not /* ! */,
  or_or,
  and_and,
  bit_or,
  bit_xor,
  bit_and,
  eq,
  ne,
  lt,
  le,
  gt,
  ge,
  shl,
  shr,
  add,
  sub,
  mul,
  div,
};
std::string_view operator_text(Operator op);
// Binding power: || 1, && 2, | 3, ^ 4, & 5, == != 6, < <= > >= 7, << >> 8, + - 9, * / 10, unary 11.
int precedence(Operator op);

struct Expr {
  ExprKind kind = ExprKind::error;
  Operator op = Operator::none;
  bool has_brackets = false;   // access
  bool parenthesised = false;  // written in parentheses, which only the formatter minds
  TokenId word = kNoToken;
  TokenRange tokens;           // without parentheses around the whole
  ExprId lhs, rhs;             // operands; access: base and list item
  List<Expr> args;             // call
  List<Subscript> subscripts;  // access
  InstId inst;
  LayoutId layout;
};

enum class SubscriptKind : uint8_t { point, range, span, all };  // i   i:+n   a:b   :
struct Subscript {
  SubscriptKind kind = SubscriptKind::all;
  ExprId start, stop;  // range: stop is the extent n. A span may lack either: `a:`, `:b`
  TokenRange tokens;
};

// --- types, layouts, attributes

struct TypeRef {
  TokenId dtype = kNoToken;  // f16, or a type parameter; kNoToken in `mbar[4]`
  List<Expr> args;           // lut<4, f16>
  bool has_shape = false;    // `[…]` is written
  bool elided = false;       // [..]
  bool ring = false;         // [ring N, …]
  List<Expr> dims;
  TokenRange tokens;
};

// `#name`, or `#(expr)`, or the right side of `layout #name = expr`. The expression is not parsed
// here.
struct LayoutRef {
  TokenId name = kNoToken;  // the layout token of `#name`
  TokenRange expr;  // the expression's tokens, brackets balanced; without the parentheses of #( )
  TokenRange tokens;
};

// {dim 1, keep, perm(1,0)}; count(2) after the operands (`postfix`). Name and arity are not checked
// here.
struct Attr {
  TokenId name = kNoToken;
  List<Expr> args;
  bool postfix = false;
  TokenRange tokens;
};

// `where %m`, `ge %v`.
struct Clause {
  TokenId word = kNoToken;
  ExprId operand;
  TokenRange tokens;
};

// --- statements

enum class InstKind : uint8_t {
  op,    // name operands : type #layout {attributes}
  expr,  // one operand, an expression: `%i = block.x * 1024`
  call,  // `call soft(%s, c)`: name is the function
};
struct Inst {
  InstKind kind = InstKind::op;
  TokenId name = kNoToken;       // op and call
  const OpInfo* info = nullptr;  // op: its row; null if the name is unknown (lowering reports it)
  List<Expr> operands;
  List<Clause> clauses;
  TypeId type;
  LayoutId layout;
  List<Attr> attrs;
  TokenRange tokens;
};

enum class StmtKind : uint8_t { inst, if_, for_, while_, parallel, require_ };
struct Stmt {
  StmtKind kind = StmtKind::inst;
  TokenRange tokens;
  Annotation loc;
  // inst: `results = inst`, results may be empty
  List<TokenRef> results;
  InstId inst;
  // if: the `if` and `else if` branches, then the `else` branch with no condition
  List<Branch> branches;
  // for: `for var : type in begin..end step step unroll(n) {`; while: condition may be missing
  TokenId var = kNoToken;
  TypeId type;
  ExprId begin, end, step;
  ExprId condition;
  List<Attr> attrs;      // for: unroll, pipeline
  BlockId body;          // for, while
  List<Strand> strands;  // parallel
  Annotation close;      // parallel: behind its closing brace
  List<Expr> requires_;  // require
};
struct Branch {
  ExprId condition;  // none: else
  BlockId body;
  Annotation loc;
  TokenRange tokens;  // from `if` or `else` to the closing brace
};
// warps begin..end by `by` (%var) regs(regs) { … }
struct Strand {
  ExprId begin, end, by, regs;
  TokenId var = kNoToken;
  BlockId body;
  Annotation loc;
  TokenRange tokens;
};
struct Block {
  List<Stmt> stmts;
  Annotation close;   // written after the closing brace
  TokenRange tokens;  // from { to }
};

// --- file items

enum class ParamKind : uint8_t { scalar, in, out, inout };
struct Param {
  ParamKind kind = ParamKind::scalar;
  TokenId name = kNoToken;  // a word; in a func also a value: `%s: f32[M,N]`
  TypeId type;
  LayoutId layout;  // func tiles: `%s: f32[M,N] #L`
  bool has_strides = false;
  List<Expr> strides;                       // : (lda, 1)
  ExprId list, aligned, divisible, lo, hi;  // list(L) aligned(16) divisible(G) lo..hi
  bool may_alias = false;
  TokenRange tokens;
};

enum class HeaderKind : uint8_t {
  grid,
  warps,
  cluster,
  blocks_per_sm,  // args
  cooperative,
  sync,       // words: auto or manual
  fast,       // words: contract ftz approx
  let,        // word : type = args[0]; the type may be missing
  workspace,  // word : type, then zeroed or kept in words (may be missing)
};
struct HeaderClause {
  HeaderKind kind = HeaderKind::grid;
  TokenId word = kNoToken;
  List<Expr> args;
  List<TokenRef> words;
  TypeId type;
  TokenRange tokens;
};

// One `name = …` of `const`, `type`, and of a kernel's binding list <BM=16, W=u4>.
struct Definition {
  TokenId name = kNoToken;
  TypeId type;   // const X : f32 = …; optional
  ExprId value;  // const
  TypeId alias;  // type. In a binding list a bare word is a `value` of kind name, whatever it names
  TokenRange tokens;
};

enum class ItemKind : uint8_t { const_, type, layout, use, file, require_, func, kernel };
struct Item {
  ItemKind kind = ItemKind::const_;
  TokenRange tokens;
  TokenId name = kNoToken;       // layout (a layout token), func, kernel; use and file: the string
  List<Definition> definitions;  // const, type; kernel: bindings
  LayoutId layout;
  uint32_t file_number = 0;  // file
  List<Expr> requires_;
  List<Param> params, results;  // results: func
  List<HeaderClause> header;
  Annotation loc;
  BlockId body;
};

struct Ast {
  std::string source;
  uint32_t file = 0;
  std::vector<Token> tokens;  // ends with TokenKind::end
  std::vector<Comment> comments;

  std::vector<ItemId> items;

  std::vector<Expr> exprs;
  std::vector<Subscript> subscripts;
  std::vector<TypeRef> types;
  std::vector<LayoutRef> layouts;
  std::vector<Attr> attrs;
  std::vector<Clause> clauses;
  std::vector<Inst> insts;
  std::vector<Stmt> stmts;
  std::vector<Block> blocks;
  std::vector<Branch> branches;
  std::vector<Strand> strands;
  std::vector<Param> params;
  std::vector<HeaderClause> header_clauses;
  std::vector<Item> item_nodes;
  std::vector<Definition> definitions;
  std::vector<uint32_t> pool;

  const Expr& operator[](ExprId i) const { return exprs[i.index]; }
  const Subscript& operator[](SubscriptId i) const { return subscripts[i.index]; }
  const TypeRef& operator[](TypeId i) const { return types[i.index]; }
  const LayoutRef& operator[](LayoutId i) const { return layouts[i.index]; }
  const Attr& operator[](AttrId i) const { return attrs[i.index]; }
  const Clause& operator[](ClauseId i) const { return clauses[i.index]; }
  const Inst& operator[](InstId i) const { return insts[i.index]; }
  const Stmt& operator[](StmtId i) const { return stmts[i.index]; }
  const Block& operator[](BlockId i) const { return blocks[i.index]; }
  const Branch& operator[](BranchId i) const { return branches[i.index]; }
  const Strand& operator[](StrandId i) const { return strands[i.index]; }
  const Param& operator[](ParamId i) const { return params[i.index]; }
  const HeaderClause& operator[](HeaderClauseId i) const { return header_clauses[i.index]; }
  const Item& operator[](ItemId i) const { return item_nodes[i.index]; }
  const Definition& operator[](DefinitionId i) const { return definitions[i.index]; }

  // A list as a range of ids (of token ids for List<TokenRef>).
  template <class T>
  struct IdRange {
    const uint32_t* p;
    uint32_t n;
    struct Iterator {
      const uint32_t* p;
      Id<T> operator*() const { return {*p}; }
      Iterator& operator++() { return ++p, *this; }
      bool operator==(const Iterator&) const = default;
    };
    Iterator begin() const { return {p}; }
    Iterator end() const { return {p + n}; }
    uint32_t size() const { return n; }
    Id<T> operator[](uint32_t i) const { return {p[i]}; }
  };
  template <class T>
  IdRange<T> list(List<T> l) const {
    return {pool.data() + l.first, l.count};
  }
  std::span<const TokenId> list(List<TokenRef> l) const { return {pool.data() + l.first, l.count}; }

  const Token& token(TokenId t) const { return tokens[t]; }
  // The token as written; `name` drops a leading % or #.
  std::string_view text(TokenId t) const {
    if (t == kNoToken) return {};
    return std::string_view(source).substr(tokens[t].offset, tokens[t].len);
  }
  std::string_view name(TokenId t) const {
    std::string_view s = text(t);
    return !s.empty() && (s[0] == '%' || s[0] == '#') ? s.substr(1) : s;
  }
  // The value of a string token: without quotes, escapes (\n \t \\ \" \xNN) replaced.
  std::string string_value(TokenId t) const;

  // Source text from the first to the last token, as written (comments and newlines included).
  std::string_view source_of(TokenRange r) const;
  // The tokens joined with canonical spacing: how a layout expression is stored and printed.
  std::string layout_text(TokenRange r) const;

  // A place for diagnostics; a range over several lines is cut at the end of its first.
  Span span(TokenId t) const;
  Span span(TokenRange r) const;
  template <class T>
  Span span(Id<T> id) const {
    return span((*this)[id].tokens);
  }
};

}  // namespace tess::vmasm
