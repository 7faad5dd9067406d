// Lowering: expressions, accesses, instructions.
#include <fmt/format.h>

#include "frontends/vmasm/lower_kernel.h"
#include "isa/diag/text.h"
#include "isa/diag/verify.h"

namespace tess::vmasm {
namespace {

constexpr uint32_t kFailed = 0xffffffff;

Op op_of(Operator op) {
  switch (op) {
    case Operator::neg:
      return Op::neg;
    case Operator::bit_not:
      return Op::not_;
    case Operator::or_or:
    case Operator::bit_or:
      return Op::or_;
    case Operator::and_and:
    case Operator::bit_and:
      return Op::and_;
    case Operator::bit_xor:
      return Op::xor_;
    case Operator::eq:
      return Op::eq;
    case Operator::ne:
      return Op::ne;
    case Operator::lt:
      return Op::lt;
    case Operator::le:
      return Op::le;
    case Operator::gt:
      return Op::gt;
    case Operator::ge:
      return Op::ge;
    case Operator::shl:
      return Op::shl;
    case Operator::shr:
      return Op::shr;
    case Operator::add:
      return Op::add;
    case Operator::sub:
      return Op::sub;
    case Operator::mul:
      return Op::mul;
    case Operator::div:
      return Op::div;
    case Operator::none:
      break;
  }
  return Op::move;
}

EmitArg arg_of(const Operand& o) {
  if (const Literal* l = std::get_if<Literal>(&o)) return *l;
  return std::get<Ref>(o);
}

// Instructions of the ISA that later versions bring.
constexpr std::string_view kReserved[] = {"permute"};

}  // namespace

void KernelLowering::type_error(const TypeError& e, Span whole, std::span<const Span> operands,
                                Span type) {
  Span at = e.operand == -2 ? type
            : e.operand >= 0 && static_cast<size_t>(e.operand) < operands.size()
                ? operands[e.operand]
                : whole;
  error(e.code, e.message, at, e.hint);
}

bool KernelLowering::reserved_op(TokenId name) {
  std::string_view text = ast().text(name);
  if (std::find(std::begin(kReserved), std::end(kReserved), text) == std::end(kReserved))
    return false;
  error(diag::unsupported_op,
        fmt::format("`{}` is reserved: this version has no such instruction", text),
        ast().span(name));
  return true;
}

void KernelLowering::unknown_op(TokenId name) {
  std::string_view text = ast().text(name);
  if (reserved_op(name)) return;
  std::vector<std::string_view> names;
  for (const OpInfo& op : all_ops()) names.push_back(op.name);
  std::string near = nearest_name(text, names);
  error(diag::unknown_op, fmt::format("no instruction `{}`", text), ast().span(name),
        near.empty() ? "" : fmt::format("did you mean `{}`?", near));
}

Operand KernelLowering::emit_op(Op op, std::vector<EmitArg> args, std::vector<ResultName> into,
                                ExprId at, std::span<const ExprId> arg_at) {
  Builder::Emitted e = builder_.emit({.op = op,
                                      .args = std::move(args),
                                      .results = std::move(into),
                                      .loc = loc_at(ast()[at].tokens)});
  if (!e) {
    std::vector<Span> spans;
    for (ExprId a : arg_at) spans.push_back(ast().span(a));
    type_error(*e.error, ast().span(at), spans, ast().span(at));
    return {};
  }
  return e.results.empty() ? Operand() : Operand(Ref::value(e.results[0]));
}

bool KernelLowering::scalar_operand(const Operand& o, ExprId at) {
  if (std::holds_alternative<Literal>(o)) return true;
  if (std::holds_alternative<std::monostate>(o)) return false;
  Type t = builder_.type_of(std::get<Ref>(o), true).type;
  if (t.is_scalar() && !std::get<Ref>(o).is_access()) return true;
  error(
      diag::infix_not_scalar,
      fmt::format("`{}` is {}, no scalar", ast().source_of(ast()[at].tokens), type_text(t)),
      ast().span(at),
      "infix operators compute scalars; on tiles write the instruction, for instance `mul %a, %b`");
  return false;
}

Operand KernelLowering::name_operand(const Expr& e, ExprId id) {
  std::string_view name = ast().text(e.word);
  Frame& frame = frames_.back();
  if (auto it = frame.params.find(name); it != frame.params.end() && !frame.fixed.contains(name))
    return it->second;
  if (!frame.func)
    if (auto it = globals_.find(name); it != globals_.end()) return Ref::value(it->second);
  if (auto c = find_const(name)) {
    if (!c->type) return c->literal;
    if (auto typed = literal_constant(c->literal, *c->type)) return builder_.constant(*typed);
    return {};
  }
  if (const OpInfo* op = find_op(name);
      op && op->sig.n_operands == 0 && op->sig.n_results == 1 && op->form == Form::plain)
    return emit_op(op->op, {}, {}, id, {});
  if (reserved_op(e.word)) return {};
  if (find_type(name)) {
    error(diag::operand_not_value, fmt::format("`{}` is a type, no operand", name), ast().span(id));
    return {};
  }
  std::vector<std::string_view> names;
  if (!frame.func)
    for (auto& [n, v] : globals_) names.push_back(n);
  for (auto& [n, v] : frame.params) names.push_back(n);
  for (auto& [n, v] : frame.file->consts) names.push_back(n);
  std::string near = nearest_name(name, names);
  std::string hint = near.empty() ? "" : fmt::format("did you mean `{}`?", near);
  if (frame.locals.contains(name)) hint = fmt::format("did you mean `%{}`?", name);
  error(diag::unknown_name, fmt::format("`{}` is not declared", name), ast().span(id), hint);
  return {};
}

Operand KernelLowering::value_operand(const Expr& e, ExprId id) {
  std::string_view name = ast().name(e.word);
  Frame& frame = frames_.back();
  if (frame.fixed.contains(name)) return frame.params.find(name)->second;
  if (auto it = frame.locals.find(name); it != frame.locals.end()) {
    if (it->second == kFailed) return {};
    return Ref::value(it->second);
  }
  std::vector<std::string_view> names;
  for (auto& [n, v] : frame.locals) names.push_back(n);
  std::string near = nearest_name(name, names);
  std::string hint = near.empty() ? "" : fmt::format("did you mean `%{}`?", near);
  if (!frame.func && globals_.contains(name))
    hint = fmt::format("parameters have no `%`: `{}`", name);
  error(diag::unknown_name, fmt::format("`%{}` is not assigned anywhere before", name),
        ast().span(id), hint);
  frame.locals[std::string(name)] = kFailed;  // said once
  return {};
}

Operand KernelLowering::operator_expr(const Expr& e, ExprId id, std::vector<ResultName> into) {
  bool unary = e.kind == ExprKind::unary;
  Operand a = expr(e.lhs), b = unary ? Operand(Literal{}) : expr(e.rhs);
  bool ok = scalar_operand(a, e.lhs);
  if (!unary) ok = scalar_operand(b, e.rhs) && ok;
  if (!ok) return {};
  if (std::holds_alternative<Literal>(a) && std::holds_alternative<Literal>(b)) {
    auto l = fold(e.op, std::get<Literal>(a), std::get<Literal>(b));
    if (l) return *l;
    error(diag::const_arithmetic, fmt::format("`{}` has no value", ast().source_of(e.tokens)),
          ast().span(id));
    return {};
  }
  if (unary) return emit_op(op_of(e.op), {arg_of(a)}, std::move(into), id, std::array{e.lhs});
  return emit_op(op_of(e.op), {arg_of(a), arg_of(b)}, std::move(into), id,
                 std::array{e.lhs, e.rhs});
}

Operand KernelLowering::call_expr(const Expr& e, ExprId id, std::vector<ResultName> into) {
  std::string_view name = ast().text(e.word);
  std::vector<Operand> args;
  std::vector<ExprId> at;
  bool ok = true, literals = true;
  for (ExprId a : ast().list(e.args)) {
    args.push_back(expr(a));
    at.push_back(a);
    ok &= scalar_operand(args.back(), a);
    literals &= std::holds_alternative<Literal>(args.back());
  }
  if (!ok) return {};
  if (literals) {
    std::vector<Literal> values;
    for (Operand& o : args) values.push_back(std::get<Literal>(o));
    if (auto l = fold_call(name, values)) return *l;
  }
  if (name == "cdiv" && args.size() == 2) {  // (a + (b - 1)) / b
    Operand less =
        std::holds_alternative<Literal>(args[1])
            ? Operand(*fold(Operator::sub, std::get<Literal>(args[1]), Literal::of(1)))
            : emit_op(Op::sub, {arg_of(args[1]), Literal::of(1)}, {}, id, std::array{at[1]});
    if (std::holds_alternative<std::monostate>(less)) return {};
    Operand sum = emit_op(Op::add, {arg_of(args[0]), arg_of(less)}, {}, id, at);
    if (std::holds_alternative<std::monostate>(sum)) return {};
    return emit_op(Op::div, {arg_of(sum), arg_of(args[1])}, std::move(into), id, at);
  }
  const OpInfo* op = find_op(name);
  if (!op) {
    if (frames_.back().file->funcs.contains(name))
      error(diag::operand_not_value, fmt::format("`{}` is a function", name), ast().span(e.word),
            fmt::format("write `%x = call {}(…)`", name));
    else unknown_op(e.word);
    return {};
  }
  if (op->sig.n_results == 0 || op->form != Form::plain) {
    error(diag::operand_not_value, fmt::format("`{}` does not stand in an expression", name),
          ast().span(e.word), "write it as a statement");
    return {};
  }
  std::vector<EmitArg> emit_args;
  for (Operand& o : args) emit_args.push_back(arg_of(o));
  return emit_op(op->op, std::move(emit_args), std::move(into), id, at);
}

bool KernelLowering::is_access(ExprId e) const {
  return frames_.back().file->ast[e].kind == ExprKind::access;
}

// i32 where it fits, so that a number means the same wherever it is written as an index.
std::optional<Ref> KernelLowering::index_constant(const Literal& l) {
  auto c = literal_constant(l, dt::i32_);
  if (!c) c = literal_constant(l, dt::i64_);
  if (!c) return {};
  return builder_.constant(*c);
}

std::optional<Ref> KernelLowering::index_ref(ExprId e) {
  Operand o = expr(e);
  if (std::holds_alternative<std::monostate>(o)) return {};
  if (const Ref* r = std::get_if<Ref>(&o)) return *r;
  const Literal& l = std::get<Literal>(o);
  if (auto c = index_constant(l)) return c;
  error(diag::not_constant, fmt::format("`{}` is no index", ast().source_of(ast()[e].tokens)),
        ast().span(e));
  return {};
}

// `shape_from`: the tile type that gives points their ranges when no range is written.
Operand KernelLowering::access_expr(const Expr& e, ExprId id, const Type* shape_from) {
  Operand base = expr(e.lhs);
  if (std::holds_alternative<std::monostate>(base)) return {};
  const Ref* ref = std::get_if<Ref>(&base);
  if (!ref || !ref->is_value()) {
    error(diag::operand_not_value,
          fmt::format("`{}` is no tensor or tile", ast().source_of(ast()[e.lhs].tokens)),
          ast().span(e.lhs));
    return {};
  }
  const Type type = kernel_.values[ref->index()].type;
  Ref item = Ref::none();
  bool ok = true;
  if (e.rhs) {
    if (auto r = index_ref(e.rhs)) item = *r;
    else ok = false;
  }
  std::vector<Index> indices;
  auto subscripts = ast().list(e.subscripts);
  bool all_points = true;
  for (uint32_t d = 0; d < subscripts.size(); ++d) {
    const Subscript& s = ast()[subscripts[d]];
    all_points &= s.kind == SubscriptKind::point;
    Index index;
    switch (s.kind) {
      case SubscriptKind::all:
        index = builder_.all();
        break;
      case SubscriptKind::point:
        if (auto r = index_ref(s.start)) index = builder_.point(*r);
        else ok = false;
        break;
      case SubscriptKind::range: {
        auto r = index_ref(s.start);
        auto n = constant_int(s.stop);
        if (r && n) index = builder_.range(*r, *n);
        else ok = false;
        break;
      }
      case SubscriptKind::span: {
        auto lo = s.start ? index_ref(s.start) : std::optional(builder_.i32(0));
        std::optional<Ref> hi;
        if (s.stop) hi = index_ref(s.stop);
        else if (d < type.shape.rank && type.shape[d] != kDynamic)
          hi = index_constant(Literal::of(type.shape[d]));
        else
          error(tess::diag::bad_access, "the end of this range is not known", span(s.tokens),
                "write `lo:hi`");
        if (lo && hi) index = builder_.span(*lo, *hi);
        else ok = false;
        break;
      }
    }
    indices.push_back(index);
  }
  if (!ok) return {};
  if (shape_from && all_points && !indices.empty() && indices.size() == shape_from->shape.rank) {
    for (size_t d = 0; d < indices.size(); ++d) {
      if (!builder_.type_of(indices[d].start).type.is_scalar()) continue;
      indices[d] = builder_.range(indices[d].start, shape_from->shape[d]);
    }
  }
  if (type.space == Space::reg && type.shape.rank == 0) {
    error(diag::operand_not_value,
          fmt::format("`{}` is a scalar: it has no elements", ast().source_of(ast()[e.lhs].tokens)),
          ast().span(e.lhs));
    return {};
  }
  if (!e.has_brackets && item.is_none()) return *ref;
  return builder_.access(ref->index(), std::move(indices), item);
}

Operand KernelLowering::expr(ExprId id) {
  const Expr& e = ast()[id];
  switch (e.kind) {
    case ExprKind::number: {
      if (auto l = literal_of_word(ast().text(e.word))) return *l;
      error(diag::const_arithmetic, fmt::format("`{}` does not fit 64 bits", ast().text(e.word)),
            ast().span(id));
      return {};
    }
    case ExprKind::name:
      return name_operand(e, id);
    case ExprKind::value:
      return value_operand(e, id);
    case ExprKind::unary:
    case ExprKind::binary:
      return operator_expr(e, id, {});
    case ExprKind::call:
      return call_expr(e, id, {});
    case ExprKind::access:
      return access_expr(e, id, nullptr);
    case ExprKind::inst: {
      const Inst& i = ast()[e.inst];
      if (i.kind == InstKind::call) {
        error(diag::operand_not_value, "a call is a statement", ast().span(id),
              "write `%x = call …` first");
        return {};
      }
      if (i.kind == InstKind::expr) return expr(ast().list(i.operands)[0]);
      auto r = inst(i, {});
      if (!r) return {};
      if (r->size() == 1) return Ref::value((*r)[0]);
      error(diag::wrong_results, fmt::format("`{}` gives no single value", ast().text(i.name)),
            ast().span(id));
      return {};
    }
    case ExprKind::string:
    case ExprKind::layout:
      error(diag::operand_not_value, "not an operand of an instruction", ast().span(id));
      return {};
    case ExprKind::error:
      return {};
  }
  return {};
}

bool KernelLowering::expr_into(ExprId id, ResultName into) {
  const Expr& e = ast()[id];
  if (into.value == kFailed)
    into = {{}, ""};  // an earlier definition failed: check this one all the same
  Operand o;
  size_t before = kernel_.code.size();
  if (e.kind == ExprKind::inst && ast()[e.inst].kind == InstKind::op)
    return inst(ast()[e.inst], {into}).has_value();
  if (e.kind == ExprKind::unary || e.kind == ExprKind::binary) o = operator_expr(e, id, {into});
  else if (e.kind == ExprKind::call) o = call_expr(e, id, {into});
  else if (e.kind == ExprKind::name) {
    std::string_view name = ast().text(e.word);
    const OpInfo* op = find_op(name);
    bool named = frames_.back().params.contains(name) ||
                 (!frames_.back().func && globals_.contains(name)) || find_const(name);
    if (!named && op && op->sig.n_operands == 0 && op->sig.n_results == 1 &&
        op->form == Form::plain)
      o = emit_op(op->op, {}, {into}, id, {});
    else o = name_operand(e, id);
  } else {
    o = expr(id);
  }
  if (std::holds_alternative<std::monostate>(o)) return false;
  bool done =
      kernel_.code.size() > before && std::holds_alternative<Ref>(o) &&
      (e.kind == ExprKind::unary || e.kind == ExprKind::binary || e.kind == ExprKind::call ||
       (e.kind == ExprKind::name && kernel_.code.back().n_results == 1 &&
        Ref::value(std::get<Ref>(o).index()) == kernel_.refs[kernel_.code.back().first_ref]));
  if (done) return true;
  Emit move{.op = Op::move, .args = {arg_of(o)}, .results = {into}, .loc = loc_};
  if (into.value && std::holds_alternative<Literal>(o))
    move.written = kernel_.values[*into.value].type;
  Builder::Emitted emitted = builder_.emit(move);
  if (!emitted)
    type_error(*emitted.error, ast().span(id), std::array{ast().span(id)}, ast().span(id));
  return static_cast<bool>(emitted);
}

std::optional<Type> KernelLowering::written_type(const TypeRef& t, bool& has_shape, bool barriers) {
  has_shape = t.has_shape && !t.elided;
  auto dtype = t.dtype == kNoToken ? std::nullopt : find_type(ast().text(t.dtype));
  if (barriers && t.dtype == kNoToken) dtype = DType{};
  if (barriers && t.dtype != kNoToken) {
    error(tess::diag::result_type, "mbarriers have no element type", span(t.tokens),
          "write `mbar[4] count(1)`");
    return {};
  }
  if (!dtype) {
    std::vector<std::string> all;
    for (DType d : all_dtypes()) all.push_back(dtype_name(d));
    std::vector<std::string_view> names(all.begin(), all.end());
    std::string_view text = t.dtype == kNoToken ? "" : ast().text(t.dtype);
    std::string near = nearest_name(text, names);
    error(diag::unknown_type,
          text.empty() ? "the element type is missing"
                       : fmt::format("`{}` is no element type", text),
          span(t.tokens),
          near.empty() ? "" : fmt::format("did you mean `{}`?", near));
    return {};
  }
  Type type = scalar_type(*dtype);
  if (!has_shape) return type;
  for (ExprId d : ast().list(t.dims)) {
    auto n = constant_int(d);
    if (!n) return {};
    if (*n < 1) {
      error(tess::diag::limit_exceeded, fmt::format("an extent of {}; extents are positive", *n),
            ast().span(d));
      return {};
    }
    if (!type.shape.push(*n)) {
      error(tess::diag::limit_exceeded, fmt::format("at most {} dimensions", limits::max_rank),
            ast().span(d));
      return {};
    }
  }
  return type;
}

bool KernelLowering::attribute(const OpInfo& op, const Attr& a, std::vector<EmitAttr>& attrs) {
  std::string_view name = ast().text(a.name);
  const AttrInfo* info = find_attr(name);
  if (!info || info->kind == AttrKind::layout || !op.allows(info->tag)) {
    std::vector<std::string_view> names;
    for (const AttrInfo& i : all_attrs())
      if (op.allows(i.tag)) names.push_back(i.name);
    std::string near = nearest_name(name, names);
    error(tess::diag::attr_unknown, fmt::format("`{}` has no attribute `{}`", op.name, name),
          span(a.tokens), near.empty() ? "" : fmt::format("did you mean `{}`?", near));
    return false;
  }
  auto args = ast().list(a.args);
  EmitAttr out{info->tag};
  auto wrong = [&](std::string_view wanted) {
    error(diag::bad_attribute, fmt::format("`{}` takes {}", name, wanted), span(a.tokens));
    return false;
  };
  switch (info->kind) {
    case AttrKind::flag:
      if (args.size()) return wrong("no argument");
      break;
    case AttrKind::integer: {
      if (args.size() != 1) return wrong("one integer");
      auto v = constant_int(args[0]);
      if (!v) return false;
      out.value = *v;
      break;
    }
    case AttrKind::constant: {
      if (args.size() != 1) return wrong("one constant");
      auto l = constant(args[0]);
      if (!l) return false;
      out.constant = *l;
      break;
    }
    case AttrKind::perm: {
      std::vector<int> dims;
      for (ExprId e : args) {
        auto v = constant_int(e);
        if (!v) return false;
        if (*v < 0 || *v >= limits::max_rank) return wrong("dimensions");
        dims.push_back(static_cast<int>(*v));
      }
      if (dims.empty() || dims.size() > static_cast<size_t>(limits::max_rank))
        return wrong("the dimensions in order");
      out.value = make_perm(dims);
      break;
    }
    case AttrKind::layout:
      return false;
  }
  attrs.push_back(out);
  return true;
}

std::optional<std::vector<EmitAttr>> KernelLowering::attributes(const OpInfo& op, const Inst& i) {
  std::vector<EmitAttr> attrs;
  bool ok = true;
  for (AttrId a : ast().list(i.attrs)) ok &= attribute(op, ast()[a], attrs);
  if (i.type && ast()[i.type].ring) attrs.push_back({AttrTag::ring});
  if (i.layout) {
    if (!op.allows(AttrTag::layout)) {
      error(tess::diag::attr_unknown, fmt::format("`{}` takes no layout", op.name),
            ast().span(i.layout));
      ok = false;
    } else if (auto index = layout(i.layout)) {
      attrs.push_back({AttrTag::layout, *index});
    } else {
      ok = false;
    }
  }
  for (ClauseId id : ast().list(i.clauses))
    if (const AttrInfo* a = find_attr(ast().text(ast()[id].word)); a && a->group == AttrGroup::cmp)
      attrs.push_back({a->tag});
  if (!ok) return {};
  return attrs;
}

std::optional<std::vector<uint32_t>> KernelLowering::inst(const Inst& i,
                                                          std::vector<ResultName> into) {
  if (!i.info) {
    unknown_op(i.name);
    return {};
  }
  const OpInfo& op = *i.info;
  auto operands = ast().list(i.operands);

  std::optional<Type> written;
  bool has_shape = false, ok = true;
  if (i.type) {
    written = written_type(ast()[i.type], has_shape, op.rule == Rule::mbar_);
    ok = written.has_value();
  }
  // Operands by signature item: positional ones in order, clauses where their word stands.
  std::vector<ExprId> at;
  size_t positional = 0;
  for (size_t s = 0; s < op.sig.n_operands; ++s) {
    const SigItem& item = op.sig.operands[s];
    if (item.clause == "+") {  // `alias x + 4`: the operand before was read as a sum
      const Expr* sum = at.empty() || !at.back() ? nullptr : &ast()[at.back()];
      if (!sum || sum->kind != ExprKind::binary || sum->op != Operator::add) break;
      ExprId tensor = sum->lhs, offset = sum->rhs;
      at.back() = tensor;
      at.push_back(offset);
      continue;
    }
    if (!item.clause.empty()) {
      ExprId found;
      for (ClauseId id : ast().list(i.clauses)) {
        std::string_view word = ast().text(ast()[id].word);
        const AttrInfo* a = find_attr(word);
        if (word == item.clause || (item.clause == "cmp" && a && a->group == AttrGroup::cmp))
          found = ast()[id].operand;
      }
      at.push_back(found);
      continue;
    }
    if (item.variadic) {
      size_t fixed_after = 0;
      for (size_t t = s + 1; t < op.sig.n_operands; ++t)
        fixed_after += op.sig.operands[t].clause.empty();
      while (positional + fixed_after < operands.size())
        at.push_back(operands[static_cast<uint32_t>(positional++)]);
      continue;
    }
    if (positional < operands.size()) at.push_back(operands[static_cast<uint32_t>(positional++)]);
    else if (item.optional) at.push_back({});
    else break;  // the builder says how many are missing
  }
  while (positional < operands.size()) at.push_back(operands[static_cast<uint32_t>(positional++)]);

  // `load x[i,j] : T[m,n]`, `store %v, x[i,j]`: points take their extents from the tile.
  std::optional<Type> tile;
  if (written && has_shape && written->shape.rank) tile = written;
  Emit e{.op = op.op, .loc = loc_at(i.tokens)};
  std::vector<Span> spans;
  for (size_t a = 0; a < at.size(); ++a) {
    if (!at[a]) {
      e.args.push_back(Ref::none());
      spans.push_back(span(i.tokens));
      continue;
    }
    spans.push_back(ast().span(at[a]));
    const Expr& x = ast()[at[a]];
    Operand o = x.kind == ExprKind::access
                    ? access_expr(x, at[a],
                                  op.rule == Rule::load_ || op.rule == Rule::store_
                                      ? (tile ? &*tile : nullptr)
                                      : nullptr)
                    : expr(at[a]);
    if (std::holds_alternative<std::monostate>(o)) {
      ok = false;
      continue;
    }
    if (op.rule == Rule::store_ && a == 0 && std::holds_alternative<Ref>(o)) {
      Type t = builder_.type_of(std::get<Ref>(o), true).type;
      if (t.is_tile()) tile = t;
    }
    e.args.push_back(arg_of(o));
  }
  auto attrs = attributes(op, i);
  if (!ok || !attrs) return {};
  e.attrs = *attrs;
  // `fill 0 : f32[4]` names the type; `cast %x : f16` only the element type. A typed row without a
  // shape whose result is a scalar means rank 0.
  bool derives_shape = op.rule == Rule::cast_ || op.rule == Rule::bitcast_ ||
                       op.rule == Rule::pack_ || op.rule == Rule::unpack_ ||
                       op.form == Form::opt_typed;
  e.written = written;
  e.written_shape = has_shape || !derives_shape;
  if (i.type && ast()[i.type].elided) e.written_shape = false;
  for (ResultName& r : into)
    if (r.value == kFailed) r = {{}, ""};
  e.results = std::move(into);
  if (!written && e.results.size() == 1 && e.results[0].value && op.form == Form::opt_typed &&
      op.rule != Rule::load_) {
    e.written =
        kernel_.values[*e.results[0].value].type;  // `%acc = mma %a, %b, 0` keeps the name's type
    e.written_shape = false;
  }
  Builder::Emitted emitted = builder_.emit(e);
  if (!emitted) {
    type_error(*emitted.error, span(i.tokens), spans, i.type ? ast().span(i.type) : span(i.tokens));
    return {};
  }
  return emitted.results;
}

}  // namespace tess::vmasm
