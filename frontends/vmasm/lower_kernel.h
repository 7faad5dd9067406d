// Private to lowering: one kernel with its bindings, from syntax to Kernel.
#pragma once
#include <deque>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "frontends/vmasm/environment.h"
#include "isa/layout.h"
#include "isa/verify.h"

namespace tess::vmasm {

// Layouts and files that the kernels of one Module share.
struct ModuleTables {
  Module* module = nullptr;
  std::map<std::string, int64_t, std::less<>> layout_index;  // by "name\0text"
  std::deque<Layout> layouts;                                // of Module::layouts, parsed
  std::vector<int64_t> file_index;  // Ast::file -> Module::files, -1: not yet
  const Sources* sources = nullptr;
};

// An operand before it is placed: a reference, or a literal that still has no type.
using Operand = std::variant<std::monostate, Ref, Literal>;

class KernelLowering {
 public:
  // `parse_errors`: places where the syntax is broken; statements there are passed over.
  KernelLowering(const File& file, const Item& item, ModuleTables& tables,
                 std::span<const Diagnostic> parse_errors, Diagnostics& out)
      : main_(file),
        item_(item),
        tables_(tables),
        parse_errors_(parse_errors),
        out_(out),
        builder_(kernel_) {}
  // The kernel; meaningless if errors were reported. `check_file`: evaluate the file's `require`
  // too.
  Kernel run(bool check_file);
  // What the kernel lacks; after run().
  const Refused& refused() const { return refused_; }

 private:
  // A function being inlined, or the kernel itself.
  struct Frame {
    const File* file;
    const Item* func = nullptr;                           // null: the kernel
    std::string prefix;                                   // of its locals: "soft1."
    std::map<std::string, uint32_t, std::less<>> locals;  // %name -> value
    std::map<std::string, Operand, std::less<>> params;   // bare or %name of a function's parameter
    std::map<std::string, Literal, std::less<>> dims;     // generic dimensions
    std::map<std::string, DType, std::less<>> types;      // generic types
    std::set<std::string, std::less<>> fixed;             // %names that are parameters
  };

  // --- header (lower_header.cpp)
  void bindings();
  void params();
  void header();
  void header_value(const HeaderClause& clause, int64_t most, uint32_t& to);
  std::optional<HostExpr> host_expr(ExprId e);
  std::optional<HostExpr> host_name(const Expr& e, ExprId id);
  std::vector<HostExpr> host_list(List<Expr> list);
  void declare(TokenId name, uint32_t value);

  // --- names and constants (lower_header.cpp)
  const Ast& ast() const { return frames_.back().file->ast; }
  std::optional<ConstValue> find_const(std::string_view name);
  std::optional<DType> find_type(std::string_view name);
  std::optional<Literal> constant(ExprId e);
  std::optional<int64_t> constant_int(ExprId e);
  void mark_used(std::string_view name);

  // --- statements (lower_body.cpp)
  void block(BlockId id);
  void stmt(const Stmt& s);
  void if_stmt(const Stmt& s, uint32_t branch);
  void for_stmt(const Stmt& s);
  void while_stmt(const Stmt& s);
  void parallel_stmt(const Stmt& s);
  void strand(const Strand& s);
  void inst_stmt(const Stmt& s);
  void call(const Stmt& s, const Inst& inst);
  bool bind_argument(Frame& frame, const Param& param, ExprId arg, const Operand& value);
  void define(TokenId name, uint32_t value);
  std::vector<ResultName> result_names(std::span<const TokenId> names);
  Loc loc_of(TokenRange tokens, const Annotation& written);
  Loc loc_at(TokenRange tokens);  // of an instruction inside the current statement
  bool annotated() const;         // a disassembly: places are those written, or unknown
  void close_block(const Block& b);

  // --- expressions and instructions (lower_expr.cpp)
  Operand expr(ExprId e);
  // The same with the value in `into`, if the expression computes one; a name or literal becomes a
  // move.
  bool expr_into(ExprId e, ResultName into);
  Operand name_operand(const Expr& e, ExprId id);
  Operand value_operand(const Expr& e, ExprId id);
  Operand operator_expr(const Expr& e, ExprId id, std::vector<ResultName> into);
  Operand call_expr(const Expr& e, ExprId id, std::vector<ResultName> into);
  Operand access_expr(const Expr& e, ExprId id, const Type* shape_from);
  std::optional<Ref> index_ref(ExprId e);
  std::optional<Ref> index_constant(const Literal& l);
  bool is_access(ExprId e) const;
  // Emits an instruction of the source; the result refs, empty on error.
  std::optional<std::vector<uint32_t>> inst(const Inst& i, std::vector<ResultName> into);
  std::optional<std::vector<EmitAttr>> attributes(const OpInfo& op, const Inst& i);
  bool attribute(const OpInfo& op, const Attr& a, std::vector<EmitAttr>& attrs);
  // `barriers`: `[4]` alone is the type of mbarriers, else an element type is wanted.
  std::optional<Type> written_type(const TypeRef& t, bool& has_shape, bool barriers = false);
  std::optional<int64_t> layout(LayoutId id);
  std::optional<int64_t> layout_named(std::string_view name, Span at);
  std::optional<int64_t> layout_index(const std::string& name, const File& file, TokenRange expr,
                                      Span at, int depth);
  std::optional<int64_t> store_layout(const std::string& name, const std::string& text, Span at);
  void require(ExprId e);
  Operand emit_op(Op op, std::vector<EmitArg> args, std::vector<ResultName> into, ExprId at,
                  std::span<const ExprId> arg_at);
  bool scalar_operand(const Operand& o, ExprId at);
  void unknown_op(TokenId name);
  bool reserved_op(TokenId name);  // reported, if it is one that later versions bring
  // Names that a refused statement would have assigned: their uses give no further errors.
  void mark_failed(std::span<const TokenId> names);

  void error(Diag code, std::string message, Span span, std::string hint = {});
  void type_error(const TypeError& e, Span whole, std::span<const Span> operands, Span type);
  Span span(TokenRange r) const { return ast().span(r); }

  const File& main_;
  const Item& item_;
  ModuleTables& tables_;
  std::span<const Diagnostic> parse_errors_;
  Diagnostics& out_;
  Kernel kernel_;
  Builder builder_;
  std::vector<Frame> frames_;
  std::map<std::string, uint32_t, std::less<>> globals_;        // parameters, lets, workspaces
  std::map<std::string, Binding, std::less<>> fixed_bindings_;  // kernel k<BM=16>: they win
  bool frozen_ = false;                                         // a binding list is written
  std::set<std::string, std::less<>> used_;                     // specialisation parameters used
  std::set<std::string, std::less<>> taken_;                    // names of locals
  std::map<std::string, int, std::less<>> calls_;
  std::map<std::pair<const File*, std::string>, int64_t> layouts_;  // lowered already
  Loc loc_;                                                         // of the current statement
  Refused refused_;
};

}  // namespace tess::vmasm
