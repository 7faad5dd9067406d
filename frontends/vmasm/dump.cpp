#include "frontends/vmasm/dump.h"

#include <fmt/format.h>

namespace tess::vmasm {
namespace {

constexpr std::string_view kExprs[] = {"number", "string", "name",   "value", "layout", "unary",
                                       "binary", "call",   "access", "inst",  "error"};
constexpr std::string_view kItems[] = {"const", "type",    "layout", "use",
                                       "file",  "require", "func",   "kernel"};
constexpr std::string_view kHeaders[] = {"grid", "warps", "cluster", "blocks_per_sm", "cooperative",
                                         "sync", "fast",  "let",     "workspace"};
constexpr std::string_view kParams[] = {"scalar", "in", "out", "inout"};
constexpr std::string_view kSubscripts[] = {"point", "range", "span", "all"};

// The walk recurses as deep as the program nests, which the parser limits.
class Dumper {
 public:
  explicit Dumper(const Ast& t) : t_(t) {}

  std::string run() {
    for (ItemId i : t_.items) item(t_[i]);
    return std::move(out_);
  }

 private:
  struct Deeper {
    Dumper& d;
    explicit Deeper(Dumper& dumper) : d(dumper) { ++d.depth_; }
    ~Deeper() { --d.depth_; }
  };

  template <class... Args>
  void line(fmt::format_string<Args...> format, Args&&... args) {
    out_.append(static_cast<size_t>(depth_) * 2, ' ');
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
    out_ += '\n';
  }
  std::string word(TokenId id) const {
    return id == kNoToken ? std::string() : " " + std::string(t_.text(id));
  }

  void expr(std::string_view role, ExprId id) {
    if (!id) return;
    const Expr& e = t_[id];
    line("{}{}{}{}", role, kExprs[static_cast<size_t>(e.kind)],
         e.op == Operator::none ? "" : " " + std::string(operator_text(e.op)), word(e.word));
    Deeper deeper(*this);
    bool access = e.kind == ExprKind::access;
    expr(access ? "base: " : "", e.lhs);
    expr(access ? "item: " : "", e.rhs);
    for (ExprId a : t_.list(e.args)) expr("", a);
    for (SubscriptId s : t_.list(e.subscripts)) {
      line("{}", kSubscripts[static_cast<size_t>(t_[s].kind)]);
      Deeper inner(*this);
      expr("", t_[s].start);
      expr("", t_[s].stop);
    }
    layout(e.layout);
    if (e.inst) inst(t_[e.inst]);
  }
  void exprs(std::string_view role, List<Expr> list) {
    for (ExprId e : t_.list(list)) expr(role, e);
  }

  void type(TypeId id) {
    if (!id) return;
    const TypeRef& t = t_[id];
    line("type{}{}", t.dtype == kNoToken ? " mbar" : word(t.dtype),
         t.elided      ? " [..]"
         : t.ring      ? " [ring]"
         : t.has_shape ? " []"
                       : "");
    Deeper deeper(*this);
    exprs("of: ", t.args);
    exprs("", t.dims);
  }
  void layout(LayoutId id) {
    if (id) line("layout {}", t_.layout_text(t_[id].tokens));
  }
  void attrs(List<Attr> list) {
    for (AttrId a : t_.list(list)) {
      line("attribute{}", word(t_[a].name));
      Deeper deeper(*this);
      exprs("", t_[a].args);
    }
  }

  void inst(const Inst& i) {
    constexpr std::string_view kKinds[] = {"op", "expression", "call"};
    line("{}{}", kKinds[static_cast<size_t>(i.kind)], word(i.name));
    Deeper deeper(*this);
    exprs("", i.operands);
    for (ClauseId c : t_.list(i.clauses))
      expr(fmt::format("{}: ", t_.text(t_[c].word)), t_[c].operand);
    type(i.type);
    layout(i.layout);
    attrs(i.attrs);
  }

  void block(BlockId id) {
    if (!id) return;
    Deeper deeper(*this);
    for (StmtId s : t_.list(t_[id].stmts)) stmt(t_[s]);
  }
  void stmt(const Stmt& s) {
    switch (s.kind) {
      case StmtKind::inst: {
        std::string names;
        for (TokenId r : t_.list(s.results)) names += word(r);
        line("{}{}", names.empty() ? "do" : "assign", names);
        Deeper deeper(*this);
        if (s.inst) inst(t_[s.inst]);
        return;
      }
      case StmtKind::if_:
        for (BranchId b : t_.list(s.branches)) {
          line("{}", t_[b].condition ? "if" : "else");
          Deeper deeper(*this);
          expr("condition: ", t_[b].condition);
          block(t_[b].body);
        }
        return;
      case StmtKind::for_:
      case StmtKind::while_: {
        line("{}{}", s.kind == StmtKind::for_ ? "for" : "while", word(s.var));
        Deeper deeper(*this);
        type(s.type);
        expr("from: ", s.begin);
        expr("to: ", s.end);
        expr("step: ", s.step);
        expr("condition: ", s.condition);
        attrs(s.attrs);
        block(s.body);
        return;
      }
      case StmtKind::parallel: {
        line("parallel");
        Deeper deeper(*this);
        for (StrandId i : t_.list(s.strands)) {
          const Strand& strand = t_[i];
          line("warps{}", word(strand.var));
          Deeper inner(*this);
          expr("from: ", strand.begin);
          expr("to: ", strand.end);
          expr("by: ", strand.by);
          expr("regs: ", strand.regs);
          block(strand.body);
        }
        return;
      }
      case StmtKind::require_: {
        line("require");
        Deeper deeper(*this);
        exprs("", s.requires_);
        return;
      }
    }
  }

  void param(const Param& p) {
    line("{}{}", kParams[static_cast<size_t>(p.kind)], word(p.name));
    Deeper deeper(*this);
    type(p.type);
    layout(p.layout);
    exprs("stride: ", p.strides);
    expr("list: ", p.list);
    expr("aligned: ", p.aligned);
    expr("divisible: ", p.divisible);
    expr("from: ", p.lo);
    expr("to: ", p.hi);
    if (p.may_alias) line("may_alias");
  }

  void item(const Item& i) {
    line("{}{}", kItems[static_cast<size_t>(i.kind)], word(i.name));
    Deeper deeper(*this);
    for (DefinitionId d : t_.list(i.definitions)) {
      line("definition{}", word(t_[d].name));
      Deeper inner(*this);
      type(t_[d].type);
      expr("", t_[d].value);
      type(t_[d].alias);
    }
    layout(i.layout);
    exprs("", i.requires_);
    for (ParamId p : t_.list(i.params)) param(t_[p]);
    for (ParamId p : t_.list(i.results)) {
      line("result");
      Deeper inner(*this);
      param(t_[p]);
    }
    for (HeaderClauseId h : t_.list(i.header)) {
      const HeaderClause& c = t_[h];
      std::string words;
      for (TokenId w : t_.list(c.words)) words += word(w);
      line("{}{}{}", kHeaders[static_cast<size_t>(c.kind)], word(c.word), words);
      Deeper inner(*this);
      exprs("", c.args);
      type(c.type);
    }
    block(i.body);
  }

  const Ast& t_;
  std::string out_;
  int depth_ = 0;
};

}  // namespace

std::string dump(const Ast& tree) { return Dumper(tree).run(); }

}  // namespace tess::vmasm
