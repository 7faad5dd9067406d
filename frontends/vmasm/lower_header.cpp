// Lowering: names, constants, parameters and the kernel header.
#include <fmt/format.h>

#include "frontends/vmasm/lower_kernel.h"
#include "isa/diag/text.h"
#include "isa/limits.h"
#include "isa/numerics.h"

namespace tess::vmasm {

void KernelLowering::error(Diag code, std::string message, Span span, std::string hint) {
  out_.push_back(make_diag(code, std::move(message), span, std::move(hint)));
}

void KernelLowering::mark_used(std::string_view name) {
  const File& file = *frames_.back().file;
  if (&file != &main_) return;  // consts of a used file are not parameters of this one
  if (auto it = main_.depends.find(name); it != main_.depends.end())
    used_.insert(it->second.begin(), it->second.end());
}

std::optional<ConstValue> KernelLowering::find_const(std::string_view name) {
  Frame& frame = frames_.back();
  if (auto it = frame.dims.find(name); it != frame.dims.end()) return ConstValue{it->second, {}};
  if (frame.file == &main_)
    if (auto it = fixed_bindings_.find(name); it != fixed_bindings_.end() && !it->second.type) {
      const Constant& c = it->second.value;
      if (c.type.is_bool()) return ConstValue{Literal::of_bool(c.code), {}};
      if (c.type.is_int()) return ConstValue{Literal::of(decode_int(c.type, c.code)), {}};
      return ConstValue{Literal::of_real(decode_float(c.type, c.code)), {}};
    }
  auto it = frame.file->consts.find(name);
  if (it == frame.file->consts.end()) return {};
  mark_used(name);
  return it->second;
}

std::optional<DType> KernelLowering::find_type(std::string_view name) {
  Frame& frame = frames_.back();
  if (auto it = frame.types.find(name); it != frame.types.end()) return it->second;
  if (frame.file == &main_)
    if (auto it = fixed_bindings_.find(name); it != fixed_bindings_.end() && it->second.type)
      return it->second.type;
  if (auto it = frame.file->types.find(name); it != frame.file->types.end()) {
    mark_used(name);
    return it->second;
  }
  return find_dtype(name);
}

std::optional<Literal> KernelLowering::constant(ExprId e) {
  return eval_const(
      ast(), e, [&](std::string_view n) { return find_const(n); }, out_);
}

std::optional<int64_t> KernelLowering::constant_int(ExprId e) {
  auto l = constant(e);
  if (!l) return {};
  auto v = literal_int(*l);
  if (!v)
    error(diag::not_constant,
          fmt::format("`{}` is no integer constant", ast().source_of(ast()[e].tokens)),
          ast().span(e));
  return v;
}

void KernelLowering::bindings() {
  frozen_ = !item_.definitions.empty();
  for (DefinitionId id : ast().list(item_.definitions)) {
    const Definition& d = ast()[id];
    Binding b;
    b.name = ast().text(d.name);
    const Expr* e = d.value ? &ast()[d.value] : nullptr;
    std::optional<DType> type;
    if (d.alias) type = find_dtype(ast().text(ast()[d.alias].dtype));
    else if (e && e->kind == ExprKind::name) type = find_dtype(ast().text(e->word));
    if (type) {
      b.type = type;
    } else {
      auto l = d.value ? constant(d.value) : std::nullopt;
      if (!l) continue;
      DType t = l->kind == Literal::Kind::boolean ? dt::bool_
                : l->kind == Literal::Kind::real  ? dt::f64_
                                                  : dt::i64_;
      auto c = literal_constant(*l, t);
      if (!c) {
        error(diag::const_arithmetic, fmt::format("the value of `{}` does not fit 64 bits", b.name),
              span(d.tokens));
        continue;
      }
      b.value = *c;
    }
    if (!fixed_bindings_.emplace(b.name, b).second)
      error(diag::duplicate_name, fmt::format("`{}` is bound twice", b.name), span(d.tokens));
  }
}

void KernelLowering::declare(TokenId name, uint32_t value) {
  std::string text(ast().text(name));
  if (!globals_.emplace(text, value).second)
    error(diag::duplicate_name, fmt::format("`{}` is declared twice", text), ast().span(name));
}

std::vector<HostExpr> KernelLowering::host_list(List<Expr> list) {
  std::vector<HostExpr> v;
  for (ExprId e : ast().list(list)) {
    auto h = host_expr(e);
    v.push_back(h ? *h : HostExpr::of(1));
  }
  return v;
}

void KernelLowering::params() {
  // Scalars first get their numbers, so that shapes may use parameters declared later.
  struct Pending {
    const Param* param;
    uint32_t value;
  };
  std::vector<Pending> pending;
  for (ParamId id : ast().list(item_.params)) {
    const Param& p = ast()[id];
    const TypeRef& t = ast()[p.type];
    std::optional<DType> type = t.dtype == kNoToken ? std::nullopt : find_type(ast().text(t.dtype));
    if (!type)
      error(diag::unknown_type,
            fmt::format("`{}` is no element type", t.dtype == kNoToken ? "?" : ast().text(t.dtype)),
            span(t.tokens));
    tess::Param out;
    switch (p.kind) {
      case ParamKind::scalar:
        out.dir = Direction::scalar;
        break;
      case ParamKind::in:
        out.dir = Direction::in;
        break;
      case ParamKind::out:
        out.dir = Direction::out;
        break;
      case ParamKind::inout:
        out.dir = Direction::inout;
        break;
    }
    if ((out.dir == Direction::scalar) == t.has_shape)
      error(diag::bad_header_value,
            t.has_shape ? fmt::format("`{}` has a shape: say whether it is `in`, `out` or `inout`",
                                      ast().text(p.name))
                        : fmt::format("`{}` is a tensor and needs a shape", ast().text(p.name)),
            span(p.tokens));
    Type value{t.has_shape ? Space::global : Space::reg, false, type.value_or(dt::i32_), {}};
    kernel_.params.push_back(std::move(out));
    kernel_.values.push_back({std::string(ast().text(p.name)), value});
    pending.push_back({&p, static_cast<uint32_t>(kernel_.values.size() - 1)});
    declare(p.name, pending.back().value);
  }
  for (const Pending& item : pending) {
    const Param& p = *item.param;
    tess::Param& out = kernel_.params[item.value];
    if (ast()[p.type].has_shape) {
      out.shape = host_list(ast()[p.type].dims);
      for (const HostExpr& e : out.shape)
        kernel_.values[item.value].type.shape.push(e.is_constant() ? e.constant() : kDynamic);
    }
    if (p.has_strides) out.strides = host_list(p.strides);
    if (p.list)
      if (auto h = host_expr(p.list)) out.list = *h;
    out.may_alias = p.may_alias;
    auto positive = [&](ExprId e) -> int64_t {
      auto v = e ? constant_int(e) : std::nullopt;
      if (v && (*v < 1 || *v > (1 << 20)))
        error(diag::bad_header_value, fmt::format("{} is out of range", *v), ast().span(e));
      return v.value_or(1);
    };
    if (p.aligned) out.aligned = static_cast<uint32_t>(positive(p.aligned));
    if (p.divisible) out.divisible = positive(p.divisible);
    if (p.lo) out.lo = constant_int(p.lo);
    if (p.hi) out.hi = constant_int(p.hi);
  }
}

std::optional<HostExpr> KernelLowering::host_name(const Expr& e, ExprId id) {
  std::string_view name = ast().text(e.word);
  if (name == "device.sms") return HostExpr{{{HostOp::device_sms, 0}}};
  if (name == "occupancy") return HostExpr{{{HostOp::occupancy, 0}}};
  if (auto it = globals_.find(name); it != globals_.end()) {
    const Value& v = kernel_.values[it->second];
    Direction dir = kernel_.params[it->second].dir;
    if ((dir == Direction::scalar || dir == Direction::let) && v.type.dtype.is_int())
      return HostExpr{{{HostOp::param, it->second}}};
    error(diag::not_host_expression, fmt::format("`{}` is no integer scalar parameter", name),
          ast().span(id));
    return {};
  }
  if (auto c = find_const(name)) {
    if (auto v = literal_int(c->literal)) return HostExpr::of(*v);
    error(diag::not_host_expression, fmt::format("`{}` is no integer", name), ast().span(id));
    return {};
  }
  std::vector<std::string_view> names;
  for (auto& [n, v] : globals_) names.push_back(n);
  for (auto& [n, v] : frames_.back().file->consts) names.push_back(n);
  std::string near = nearest_name(name, names);
  error(diag::unknown_name, fmt::format("`{}` is not declared", name), ast().span(id),
        near.empty() ? "" : fmt::format("did you mean `{}`?", near));
  return {};
}

std::optional<HostExpr> KernelLowering::host_expr(ExprId id) {
  const Expr& e = ast()[id];
  auto refuse = [&]() -> std::optional<HostExpr> {
    error(diag::not_host_expression,
          fmt::format("`{}` is no host expression", ast().source_of(e.tokens)), ast().span(id));
    return {};
  };
  auto two = [&](HostOp op, ExprId a, ExprId b) -> std::optional<HostExpr> {
    auto x = host_expr(a), y = host_expr(b);
    if (!x || !y) return {};
    return host_apply(op, *x, *y);
  };
  switch (e.kind) {
    case ExprKind::number: {
      auto l = literal_of_word(ast().text(e.word));
      auto v = l ? literal_int(*l) : std::nullopt;
      return v ? std::optional(HostExpr::of(*v)) : refuse();
    }
    case ExprKind::name:
      return host_name(e, id);
    case ExprKind::unary: {
      auto a = e.op == Operator::neg ? host_expr(e.lhs) : refuse();
      if (!a) return {};
      return host_apply(HostOp::neg, *a);
    }
    case ExprKind::binary:
      switch (e.op) {
        case Operator::add:
          return two(HostOp::add, e.lhs, e.rhs);
        case Operator::sub:
          return two(HostOp::sub, e.lhs, e.rhs);
        case Operator::mul:
          return two(HostOp::mul, e.lhs, e.rhs);
        case Operator::div:
          return two(HostOp::div, e.lhs, e.rhs);
        default:
          return refuse();
      }
    case ExprKind::call: {
      auto args = ast().list(e.args);
      std::string_view name = ast().text(e.word);
      if (args.size() != 2) return refuse();
      if (name == "cdiv") return two(HostOp::cdiv, args[0], args[1]);
      if (name == "rem") return two(HostOp::rem, args[0], args[1]);
      if (name == "min") return two(HostOp::min, args[0], args[1]);
      if (name == "max") return two(HostOp::max, args[0], args[1]);
      return refuse();
    }
    case ExprKind::error:
      return {};
    default:
      return refuse();
  }
}

void KernelLowering::header_value(const HeaderClause& clause, int64_t most, uint32_t& to) {
  auto args = ast().list(clause.args);
  auto v = args.size() == 1 ? constant_int(args[0]) : std::nullopt;
  if (args.size() != 1 || (v && (*v < 1 || *v > most)))
    error(diag::bad_header_value, fmt::format("one constant from 1 to {} is wanted", most),
          span(clause.tokens));
  else if (v) to = static_cast<uint32_t>(*v);
}

void KernelLowering::header() {
  for (HeaderClauseId id : ast().list(item_.header)) {
    const HeaderClause& c = ast()[id];
    auto args = ast().list(c.args);
    switch (c.kind) {
      case HeaderKind::grid:
        if (args.size() < 1 || args.size() > 3) {
          error(diag::bad_header_value, "a grid has one to three dimensions", span(c.tokens));
          break;
        }
        kernel_.grid_rank = static_cast<uint8_t>(args.size());
        for (uint32_t i = 0; i < args.size(); ++i)
          if (auto h = host_expr(args[i])) kernel_.grid[i] = *h;
        break;
      case HeaderKind::warps:
        header_value(c, limits::max_warps, kernel_.warps);
        break;
      case HeaderKind::cluster:
        header_value(c, limits::max_cluster, kernel_.cluster);
        break;
      case HeaderKind::blocks_per_sm:
        header_value(c, 32, kernel_.blocks_per_sm);
        break;
      case HeaderKind::cooperative:
        kernel_.cooperative = true;
        break;
      case HeaderKind::sync:
        for (TokenId w : ast().list(c.words)) kernel_.sync_manual = ast().text(w) == "manual";
        break;
      case HeaderKind::fast:
        for (TokenId w : ast().list(c.words)) {
          if (ast().text(w) == "contract") kernel_.fast.contract = true;
          if (ast().text(w) == "ftz") kernel_.fast.ftz = true;
          if (ast().text(w) == "approx") kernel_.fast.approx = true;
        }
        break;
      case HeaderKind::let: {
        tess::Param p;
        p.dir = Direction::let;
        if (auto h = host_expr(args[0])) p.let = *h;
        DType type = dt::i32_;
        if (c.type)
          if (auto t = find_type(ast().text(ast()[c.type].dtype))) type = *t;
        kernel_.params.push_back(std::move(p));
        kernel_.values.push_back({std::string(ast().text(c.word)), scalar_type(type)});
        declare(c.word, static_cast<uint32_t>(kernel_.values.size() - 1));
        break;
      }
      case HeaderKind::workspace: {
        tess::Param p;
        p.dir = Direction::workspace;
        const TypeRef& t = ast()[c.type];
        auto type = find_type(ast().text(t.dtype));
        if (!type)
          error(diag::unknown_type, fmt::format("`{}` is no element type", ast().text(t.dtype)),
                span(t.tokens));
        p.shape = host_list(t.dims);
        for (TokenId w : ast().list(c.words)) p.kept |= ast().text(w) == "kept";
        Type value{Space::global, false, type.value_or(dt::i32_), {}};
        for (const HostExpr& e : p.shape)
          value.shape.push(e.is_constant() ? e.constant() : kDynamic);
        kernel_.params.push_back(std::move(p));
        kernel_.values.push_back({std::string(ast().text(c.word)), value});
        declare(c.word, static_cast<uint32_t>(kernel_.values.size() - 1));
        break;
      }
    }
  }
}

Kernel KernelLowering::run(bool check_file) {
  frames_.push_back({&main_, nullptr, "", {}, {}, {}, {}, {}});
  kernel_.name = ast().text(item_.name);
  kernel_.loc = loc_of({item_.name, item_.name}, item_.loc);
  bindings();
  params();
  header();
  if (check_file) {
    std::set<std::string, std::less<>> used =
        used_;  // what the file requires is no part of the key
    for (ItemId i : ast().items)
      if (ast()[i].kind == ItemKind::require_)
        for (ExprId e : ast().list(ast()[i].requires_)) require(e);
    used_ = std::move(used);
  }
  block(item_.body);
  // The key: what was written, or the specialisation parameters that the kernel used.
  if (frozen_) {
    for (auto& [name, b] : fixed_bindings_) kernel_.bindings.push_back(b);
  } else {
    for (const std::string& name : used_) {
      Binding b;
      b.name = name;
      if (auto t = main_.types.find(name); t != main_.types.end()) {
        b.type = t->second;
      } else {
        const ConstValue& c = main_.consts.at(name);
        bool real = c.literal.kind == Literal::Kind::real || (c.type && c.type->is_float());
        DType kept = c.literal.kind == Literal::Kind::boolean ? dt::bool_
                     : real                                   ? dt::f64_
                                                              : dt::i64_;
        if (auto value = literal_constant(c.literal, kept)) b.value = *value;
      }
      kernel_.bindings.push_back(std::move(b));
    }
  }
  return std::move(kernel_);
}

}  // namespace tess::vmasm
