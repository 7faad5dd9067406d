#include "frontends/vmasm/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tess::vmasm {
namespace {

constexpr size_t kMaxColumns = 100;
constexpr char kBreak = '\x01';  // a space after a comma where a long line may be broken

size_t columns(std::string_view s) {
  return static_cast<size_t>(std::ranges::count_if(
      s, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

// --- pieces of one line, as text with kBreak marks

class Printer {
 public:
  explicit Printer(const Ast& ast) : ast_(ast) {}

  void expr(ExprId id, bool tight) {
    const Expr& e = ast_[id];
    if (!e.parenthesised) return bare(e, tight);
    out += '(';
    bare(e, tight);
    out += ')';
  }

  void exprs(List<Expr> list, std::string_view separator, bool tight) {
    bool first = true;
    for (ExprId e : ast_.list(list)) {
      if (!std::exchange(first, false)) out += separator;
      expr(e, tight);
    }
  }

  void type(TypeId id) {
    const TypeRef& t = ast_[id];
    if (t.dtype != kNoToken) out += ast_.text(t.dtype);
    if (!t.args.empty()) {
      out += '<';
      exprs(t.args, ",", true);
      out += '>';
    }
    if (!t.has_shape) return;
    out += '[';
    if (t.elided) out += "..";
    if (t.ring) out += "ring ";
    exprs(t.dims, ",", true);
    out += ']';
  }

  void layout(LayoutId id) {
    const LayoutRef& l = ast_[id];
    if (l.name != kNoToken) out += ast_.text(l.name);
    else out += "#(" + ast_.layout_text(l.expr) + ")";
  }

  void inst(InstId id) {
    const Inst& i = ast_[id];
    bool declares = i.info && i.info->form == Form::decl;
    if (i.kind == InstKind::call) {
      out += fmt::format("call {}(", ast_.text(i.name));
      exprs(i.operands, kComma, false);
      out += ')';
    } else if (i.kind == InstKind::expr) {
      exprs(i.operands, kComma, false);
    } else {
      out += ast_.text(i.name);
      if (declares && i.type) {
        if (ast_[i.type].dtype != kNoToken) out += ' ';  // mbar[4], but smem f16[64]
        type(i.type);
      }
      if (!i.operands.empty()) out += ' ';
      exprs(i.operands, kComma, false);
    }
    for (ClauseId c : ast_.list(i.clauses)) {
      out += fmt::format(" {} ", ast_.text(ast_[c].word));
      expr(ast_[c].operand, false);
    }
    if (i.type && !declares) out += " : ", type(i.type);
    if (i.layout) out += ' ', layout(i.layout);
    attributes(i, declares);
  }

  void annotation(const Annotation& a) {
    if (a.line == 0) return;
    out += a.has_file ? fmt::format(" @{}:{}:{}", a.file, a.line, a.col)
                      : fmt::format(" @{}:{}", a.line, a.col);
  }

  // x: in f16[m,k] : (lda,1) list(L) divisible(G) lo..hi aligned(16) may_alias
  void param(ParamId id) {
    constexpr std::string_view kKinds[] = {"", "in ", "out ", "inout "};
    const Param& p = ast_[id];
    out += fmt::format("{}: {}", ast_.text(p.name), kKinds[static_cast<int>(p.kind)]);
    type(p.type);
    if (p.layout) out += ' ', layout(p.layout);
    if (p.has_strides) {
      out += " : (";
      exprs(p.strides, ",", true);
      out += ')';
    }
    auto fact = [&](std::string_view name, ExprId value) {
      if (!value) return;
      out += fmt::format(" {}(", name);
      expr(value, false);
      out += ')';
    };
    fact("list", p.list);
    fact("divisible", p.divisible);
    if (p.lo) {
      out += ' ';
      range(p.lo, p.hi);
    }
    fact("aligned", p.aligned);
    if (p.may_alias) out += " may_alias";
  }
  void params(List<Param> list) {
    bool first = true;
    out += '(';
    for (ParamId p : ast_.list(list)) {
      if (!std::exchange(first, false)) out += kComma;
      param(p);
    }
    out += ')';
  }

  void range(ExprId begin, ExprId end) {
    expr(begin, true);
    out += "..";
    expr(end, true);
  }

  void header_clause(const HeaderClause& c) {
    constexpr std::string_view kNames[] = {"grid",          "warps",       "cluster",
                                           "blocks_per_sm", "cooperative", "sync",
                                           "fast",          "let",         "workspace"};
    out += kNames[static_cast<int>(c.kind)];
    auto words = [&] {
      bool first = true;
      for (TokenId w : ast_.list(c.words)) {
        if (!std::exchange(first, false)) out += kComma;
        out += ast_.text(w);
      }
    };
    switch (c.kind) {
      case HeaderKind::cooperative:
        break;
      case HeaderKind::sync:
        out += ' ';
        words();
        break;
      case HeaderKind::fast:
        out += '(';
        words();
        out += ')';
        break;
      case HeaderKind::let:
        out += fmt::format(" {}", ast_.text(c.word));
        if (c.type) out += " : ", type(c.type);
        out += " = ";
        exprs(c.args, kComma, false);
        break;
      case HeaderKind::workspace:
        out += fmt::format(" {} : ", ast_.text(c.word));
        type(c.type);
        if (!c.words.empty()) out += ' ';
        words();
        break;
      default:
        out += '(';
        exprs(c.args, kComma, false);
        out += ')';
    }
  }

  void definition(const Definition& d, std::string_view equals) {
    out += ast_.text(d.name);
    if (d.type) out += ": ", type(d.type);
    out += equals;
    if (d.alias) type(d.alias);
    else expr(d.value, equals == "=");
  }

  static constexpr std::string_view kComma = ",\x01";
  std::string out;

 private:
  void bare(const Expr& e, bool tight) {
    switch (e.kind) {
      case ExprKind::error:
        break;
      case ExprKind::number:
      case ExprKind::string:
      case ExprKind::name:
      case ExprKind::value:
        out += ast_.text(e.word);
        break;
      case ExprKind::layout:
        layout(e.layout);
        break;
      case ExprKind::unary:
        out += operator_text(e.op);
        operand(e.lhs, precedence(e.op), tight);
        break;
      case ExprKind::binary:
        operand(e.lhs, precedence(e.op), tight);
        if (!tight) out += ' ';
        out += operator_text(e.op);
        if (!tight) out += ' ';
        operand(e.rhs, precedence(e.op) + 1, tight);
        break;
      case ExprKind::call:
        out += ast_.text(e.word);
        out += '(';
        exprs(e.args, kComma, tight);
        out += ')';
        break;
      case ExprKind::access:
        access(e);
        break;
      case ExprKind::inst:
        out += '(';
        inst(e.inst);
        out += ')';
        break;
    }
  }
  // Parentheses where the tree needs them and the source, being built by hand, may not have them.
  void operand(ExprId id, int least_power, bool tight) {
    const Expr& e = ast_[id];
    bool loose =
        (e.kind == ExprKind::binary || e.kind == ExprKind::unary) && precedence(e.op) < least_power;
    if (!loose || e.parenthesised) return expr(id, tight);
    out += '(';
    bare(e, tight);
    out += ')';
  }

  void access(const Expr& e) {
    expr(e.lhs, true);
    if (e.rhs) {
      out += '{';
      expr(e.rhs, true);
      out += '}';
    }
    if (!e.has_brackets) return;
    out += '[';
    bool first = true;
    for (SubscriptId id : ast_.list(e.subscripts)) {
      if (!std::exchange(first, false)) out += kComma;
      const Subscript& s = ast_[id];
      if (s.start) expr(s.start, true);
      if (s.kind == SubscriptKind::range) out += ":+";
      else if (s.kind != SubscriptKind::point) out += ':';
      if (s.stop) expr(s.stop, true);
    }
    out += ']';
  }

  // Attributes with a value stand behind declarations as count(2), else in braces. An instruction
  // that the table does not know keeps what was written.
  void attributes(const Inst& i, bool declares) {
    bool known = i.info != nullptr;
    auto postfix = [&](const Attr& a) { return known ? declares && !a.args.empty() : a.postfix; };
    for (AttrId id : ast_.list(i.attrs)) {
      const Attr& a = ast_[id];
      if (!postfix(a)) continue;
      out += fmt::format(" {}(", ast_.text(a.name));
      exprs(a.args, kComma, false);
      out += ')';
    }
    bool any = false;
    for (AttrId id : ast_.list(i.attrs)) {
      const Attr& a = ast_[id];
      if (postfix(a)) continue;
      out += std::exchange(any, true) ? kComma : std::string_view(" {");
      out += ast_.text(a.name);
      if (a.args.empty()) continue;
      size_t mark = out.size();
      exprs(a.args, kComma, false);
      bool list = a.args.count > 1 || out[mark] == '(';
      out.insert(mark, list ? "(" : " ");
      if (list) out += ')';
    }
    if (any) out += '}';
  }

  const Ast& ast_;
};

// --- lines, comments and blank lines

class Formatter {
 public:
  explicit Formatter(const Ast& ast) : ast_(ast) {}

  std::string run() {
    for (ItemId i : ast_.items) item(ast_[i]);
    comments_before(static_cast<TokenId>(ast_.tokens.size() - 1));
    return std::move(out_);
  }

 private:
  std::string indentation(int extra = 0) const {
    return std::string(static_cast<size_t>(4 * (depth_ + extra)), ' ');
  }

  // The last of the outermost commas within `room` columns, or the first comma behind them.
  static size_t break_point(std::string_view text, size_t room) {
    size_t best = std::string_view::npos, used = 0;
    int depth = 0, best_depth = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      char c = text[i];
      if (c == '(' || c == '[' || c == '{') ++depth;
      else if (c == ')' || c == ']' || c == '}') --depth;
      bool none = best == std::string_view::npos;
      if (c == kBreak && (none || (used <= room && depth <= best_depth)))
        best = i, best_depth = depth;
      if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) ++used;
      if (used > room && best != std::string_view::npos) break;
    }
    return best;
  }

  // Writes a line, or the rest of one (`joined`); a long one is broken after commas, as far to the
  // right as fits.
  void line(std::string_view text, int extra_indent = 0, bool joined = false) {
    line_is_full_ = false;
    std::string current = joined ? "" : indentation(extra_indent);
    std::string rest = indentation(extra_indent + 2);
    while (!text.empty()) {
      size_t room = kMaxColumns - std::min(columns(current), kMaxColumns - 20);
      bool short_enough = text.size() <= 4 * room && columns(text) <= room;
      size_t fits = short_enough ? std::string_view::npos : break_point(text, room);
      bool whole = fits == std::string_view::npos;
      std::string piece(whole ? text : text.substr(0, fits));
      std::ranges::replace(piece, kBreak, ' ');
      out_ += current + piece + '\n';
      if (whole) return;
      text.remove_prefix(fits + 1);
      current = rest;
    }
  }

  void blank_line_before(uint32_t source_line) {
    bool gap = force_blank_ || (source_line > last_line_ + 1 && last_line_ > 0);
    if (gap && !block_start_ && !out_.empty()) out_ += '\n';
    force_blank_ = block_start_ = false;
  }

  std::string comment_text(const Comment& c) const {
    std::string text;
    for (char ch : std::string_view(ast_.source).substr(c.offset, c.len)) {
      if (ch == '\n')
        while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
          text.pop_back();
      text += ch;
    }
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
      text.pop_back();
    return text;
  }

  void comment_line(const Comment& c) {
    out_ += indentation() + comment_text(c) + '\n';
    line_is_full_ = true;
  }
  bool is_line_comment(const Comment& c) const { return ast_.source[c.offset + 1] == '/'; }

  // Comments that stand before token `t`: behind the line just written, or on lines of their own.
  void comments_before(TokenId t) {
    for (; next_comment_ < ast_.comments.size() && ast_.comments[next_comment_].next <= t;
         ++next_comment_) {
      const Comment& c = ast_.comments[next_comment_];
      std::string text = comment_text(c);
      if (!c.own_line && !out_.empty() && !line_is_full_) {
        out_.insert(out_.size() - 1, " " + text);
        line_is_full_ = is_line_comment(c);
      } else {
        blank_line_before(c.line);
        comment_line(c);
      }
      last_line_ = c.line + static_cast<uint32_t>(std::ranges::count(text, '\n'));
    }
  }
  bool comment_between(TokenId first, TokenId last) const {
    auto it = std::ranges::upper_bound(ast_.comments, first, {}, &Comment::next);
    return it != ast_.comments.end() && it->next <= last;
  }

  // Before the line made of these tokens: the comments in front of it, a blank line if there was
  // one, and the comments from inside it.
  void begin_line(TokenId first, TokenId last) {
    comments_before(first);
    blank_line_before(ast_.token(first).line);
    for (; next_comment_ < ast_.comments.size() && ast_.comments[next_comment_].next <= last;
         ++next_comment_)
      comment_line(ast_.comments[next_comment_]);
    last_line_ = ast_.token(last).line;
  }
  void write_line(TokenRange r, Printer& p, int extra_indent = 0) {
    begin_line(r.first, r.last);
    line(p.out, extra_indent);
  }

  // --- statements

  // The block behind an opening line that ends with " {"; leaves the line of its "}" open for
  // `else`.
  void body(BlockId id) {
    const Block& b = ast_[id];
    if (b.stmts.empty() && !comment_between(b.tokens.first, last_brace(b.tokens.last))) {
      out_.pop_back();  // the newline behind `{`
      out_ += "}\n";
    } else {
      ++depth_;
      block_start_ = true;
      for (StmtId s : ast_.list(b.stmts)) stmt(ast_[s]);
      close_block(b.tokens.last);
      --depth_;
      out_ += indentation() + "}\n";
    }
    last_line_ = ast_.token(b.tokens.last).line;
    closing_annotation(b.close);
  }
  void close_block(TokenId last) {
    comments_before(last_brace(last));
    block_start_ = false;
  }
  // A block's tokens end with its brace or with the annotation behind it.
  TokenId last_brace(TokenId last) const {
    while (ast_.token(last).kind != TokenKind::r_brace) --last;
    return last;
  }
  void closing_annotation(const Annotation& close) {
    if (close.line == 0) return;
    Printer p(ast_);
    p.annotation(close);
    out_.insert(out_.size() - 1, p.out);
  }
  TokenId open_brace(BlockId id) const { return ast_[id].tokens.first; }

  void opener(TokenId first, BlockId block, Printer& p, const Annotation& loc) {
    p.out += " {";
    p.annotation(loc);
    begin_line(first, open_brace(block));
    line(p.out);
    body(block);
  }

  void stmt(const Stmt& s) {
    Printer p(ast_);
    TokenId first = s.tokens.first;
    switch (s.kind) {
      case StmtKind::inst: {
        bool any = false;
        for (TokenId t : ast_.list(s.results)) {
          if (std::exchange(any, true)) p.out += Printer::kComma;
          p.out += ast_.text(t);
        }
        if (any) p.out += " = ";
        p.inst(s.inst);
        p.annotation(s.loc);
        return write_line(s.tokens, p);
      }
      case StmtKind::require_:
        p.out += "require ";
        p.exprs(s.requires_, Printer::kComma, false);
        p.annotation(s.loc);
        return write_line(s.tokens, p);
      case StmtKind::if_:
        return if_stmt(s);
      case StmtKind::for_:
        p.out += fmt::format("for {}", ast_.text(s.var));
        if (s.type) p.out += " : ", p.type(s.type);
        p.out += " in ";
        p.range(s.begin, s.end);
        if (s.step) p.out += " step ", p.expr(s.step, false);
        for (AttrId id : ast_.list(s.attrs)) {
          p.out += fmt::format(" {}(", ast_.text(ast_[id].name));
          p.exprs(ast_[id].args, Printer::kComma, false);
          p.out += ')';
        }
        return opener(first, s.body, p, s.loc);
      case StmtKind::while_:
        p.out += "while";
        if (s.condition) p.out += ' ', p.expr(s.condition, false);
        return opener(first, s.body, p, s.loc);
      case StmtKind::parallel:
        return parallel_stmt(s);
    }
  }

  void if_stmt(const Stmt& s) {
    bool first = true;
    for (BranchId id : ast_.list(s.branches)) {
      const Branch& b = ast_[id];
      Printer p(ast_);
      if (!first) p.out += b.condition ? "else if " : "else";
      else p.out += "if ";
      if (b.condition) p.expr(b.condition, false);
      bool joins = !first && !comment_between(b.tokens.first - 1, open_brace(b.body));
      if (joins) {
        p.out += " {";
        p.annotation(b.loc);
        out_.pop_back();
        out_ += ' ';
        line(p.out, 0, true);
        last_line_ = ast_.token(open_brace(b.body)).line;
        body(b.body);
      } else {
        if (!first) {
          comments_before(b.tokens.first);
          last_line_ = ast_.token(b.tokens.first).line;
        }
        opener(b.tokens.first, b.body, p, b.loc);
      }
      first = false;
    }
  }

  void parallel_stmt(const Stmt& s) {
    TokenId open = s.tokens.first;
    while (ast_.token(open).kind != TokenKind::l_brace) ++open;
    Printer head(ast_);
    head.out += "parallel {";
    head.annotation(s.loc);
    begin_line(s.tokens.first, open);
    line(head.out);
    ++depth_;
    block_start_ = true;
    for (StrandId id : ast_.list(s.strands)) {
      const Strand& st = ast_[id];
      Printer p(ast_);
      p.out += "warps ";
      p.range(st.begin, st.end);
      if (st.by) p.out += " by ", p.expr(st.by, false);
      if (st.var != kNoToken) p.out += fmt::format(" ({})", ast_.text(st.var));
      if (st.regs) {
        p.out += " regs(";
        p.expr(st.regs, false);
        p.out += ')';
      }
      opener(st.tokens.first, st.body, p, st.loc);
    }
    close_block(s.tokens.last);
    --depth_;
    out_ += indentation() + "}\n";
    last_line_ = ast_.token(s.tokens.last).line;
    closing_annotation(s.close);
  }

  // --- file items

  void item(const Item& it) {
    Printer p(ast_);
    switch (it.kind) {
      case ItemKind::const_:
      case ItemKind::type: {
        p.out += it.kind == ItemKind::const_ ? "const " : "type ";
        bool first = true;
        for (DefinitionId d : ast_.list(it.definitions)) {
          if (!std::exchange(first, false)) p.out += Printer::kComma;
          p.definition(ast_[d], " = ");
        }
        break;
      }
      case ItemKind::layout:
        p.out += fmt::format("layout {} = {}", ast_.text(it.name),
                             ast_.layout_text(ast_[it.layout].expr));
        break;
      case ItemKind::use:
        p.out += fmt::format("use {}", ast_.text(it.name));
        break;
      case ItemKind::file:
        p.out += fmt::format("file {} {}", it.file_number, ast_.text(it.name));
        break;
      case ItemKind::require_:
        p.out += "require ";
        p.exprs(it.requires_, Printer::kComma, false);
        break;
      case ItemKind::func:
      case ItemKind::kernel:
        return routine(it);
    }
    write_line(it.tokens, p);
  }

  void routine(const Item& it) {
    force_blank_ = true;
    signature(it);
    header(it);
    TokenId open = open_brace(it.body);
    comments_before(open);
    Printer p(ast_);
    p.out += '{';
    p.annotation(it.loc);
    line(p.out);
    last_line_ = ast_.token(open).line;
    body(it.body);
    force_blank_ = true;
  }

  // On one line if it fits and no comments stand inside; else one parameter per line.
  void signature(const Item& it) {
    Printer p(ast_);
    p.out +=
        fmt::format("{} {}", it.kind == ItemKind::func ? "func" : "kernel", ast_.text(it.name));
    if (!it.definitions.empty()) {
      p.out += '<';
      bool first = true;
      for (DefinitionId d : ast_.list(it.definitions)) {
        if (!std::exchange(first, false)) p.out += Printer::kComma;
        p.definition(ast_[d], "=");
      }
      p.out += '>';
    }
    Printer results(ast_);
    if (!it.results.empty()) {
      results.out += " -> ";
      results.params(it.results);
    }
    auto list = ast_.list(it.params);
    TokenId last = list.size() ? ast_[list[list.size() - 1]].tokens.last : it.name;
    Printer whole(ast_);
    whole.out = p.out;
    whole.params(it.params);
    whole.out += results.out;
    bool one_line =
        !list.size() || (columns(whole.out) <= kMaxColumns && !comment_between(it.name, last));
    if (one_line) return write_line({it.tokens.first, last}, whole);
    p.out += '(';
    write_line({it.tokens.first, it.name}, p);
    for (uint32_t i = 0; i < list.size(); ++i) {
      Printer q(ast_);
      q.param(list[i]);
      q.out += i + 1 < list.size() ? "," : ")" + results.out;
      ++depth_;
      block_start_ = true;  // no blank lines inside
      write_line(ast_[list[i]].tokens, q);
      --depth_;
    }
  }

  // Lets and workspaces on lines of their own, in their order; the other clauses share lines.
  void header(const Item& it) {
    Printer shared(ast_);
    ++depth_;
    auto flush = [&] {
      if (!shared.out.empty()) line(shared.out);
      shared.out.clear();
    };
    for (HeaderClauseId id : ast_.list(it.header)) {
      const HeaderClause& c = ast_[id];
      bool comments = next_comment_ < ast_.comments.size() &&
                      ast_.comments[next_comment_].next <= c.tokens.last;
      Printer p(ast_);
      p.header_clause(c);
      bool own = c.kind == HeaderKind::let || c.kind == HeaderKind::workspace;
      bool full = columns(shared.out) + 1 + columns(p.out) + 4 > kMaxColumns;
      if (own || comments || full) flush();
      block_start_ = true;  // no blank lines inside
      begin_line(c.tokens.first, c.tokens.last);
      if (own) {
        line(p.out);
      } else {
        if (!shared.out.empty()) shared.out += ' ';
        shared.out += p.out;
      }
    }
    flush();
    block_start_ = false;
    --depth_;
  }

  const Ast& ast_;
  std::string out_;
  size_t next_comment_ = 0;
  uint32_t last_line_ = 0;  // source line where the last thing written ended
  int depth_ = 0;
  bool force_blank_ = false, block_start_ = false;
  bool line_is_full_ = false;  // the last line is or ends with a comment: none goes behind it
};

}  // namespace

std::string format(const Ast& ast) { return Formatter(ast).run(); }

}  // namespace tess::vmasm
