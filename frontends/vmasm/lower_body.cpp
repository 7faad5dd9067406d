// Lowering: statements, control flow, inlining of functions.
#include <fmt/format.h>

#include "frontends/vmasm/lower_kernel.h"
#include "isa/diag/text.h"
#include "isa/diag/verify.h"
#include "isa/limits.h"

namespace tess::vmasm {
namespace {
constexpr uint32_t kFailed = 0xffffffff;  // a local whose definition was refused
}

bool KernelLowering::annotated() const {
  const Ast& a = ast();
  return !a.items.empty() && a[a.items.front()].kind == ItemKind::file;  // `file` lines come first
}

Loc KernelLowering::loc_at(TokenRange tokens) { return annotated() ? loc_ : loc_of(tokens, {}); }

Loc KernelLowering::loc_of(TokenRange tokens, const Annotation& written) {
  const Ast& a = ast();
  if (annotated() || written.line) {
    if (!written.line) return {};
    if (written.file >= tables_.module->files.size()) {
      error(diag::file_item_mismatch, fmt::format("no file {} is declared", written.file),
            span(tokens));
      return {};
    }
    return {written.file, written.line, written.col};
  }
  int64_t& index = tables_.file_index[a.file];
  if (index < 0) {
    index = static_cast<int64_t>(tables_.module->files.size());
    tables_.module->files.push_back((*tables_.sources)[a.file].name);
  }
  const Token& t = a.token(tokens.first);
  return {static_cast<uint32_t>(index), t.line, t.col};
}

void KernelLowering::block(BlockId id) {
  if (!id) return;  // the parser has said that it is missing
  for (StmtId s : ast().list(ast()[id].stmts)) stmt(ast()[s]);
}

// `end` for the brace that closes `b`.
void KernelLowering::close_block(const Block& b) {
  Loc loc = loc_of({b.tokens.last, b.tokens.last}, b.close);
  (void)builder_.emit({.op = Op::end, .loc = loc});
}

void KernelLowering::mark_failed(std::span<const TokenId> names) {
  for (TokenId t : names) {
    frames_.back().locals.emplace(std::string(ast().name(t)), kFailed);
    refused_.names.emplace(ast().name(t));
  }
}

void KernelLowering::stmt(const Stmt& s) {
  bool simple = s.kind == StmtKind::inst || s.kind == StmtKind::require_;
  if (misparsed(ast(), simple ? s.tokens : TokenRange{s.tokens.first, s.tokens.first},
                parse_errors_))
    return mark_failed(ast().list(s.results));
  loc_ = loc_of(s.tokens, s.loc);
  switch (s.kind) {
    case StmtKind::inst:
      return inst_stmt(s);
    case StmtKind::if_:
      return if_stmt(s, 0);
    case StmtKind::for_:
      return for_stmt(s);
    case StmtKind::while_:
      return while_stmt(s);
    case StmtKind::parallel:
      return parallel_stmt(s);
    case StmtKind::require_:
      for (ExprId e : ast().list(s.requires_)) require(e);
      return;
  }
}

void KernelLowering::if_stmt(const Stmt& s, uint32_t branch) {
  auto branches = ast().list(s.branches);
  const Branch& b = ast()[branches[branch]];
  Operand c = expr(b.condition);
  if (std::holds_alternative<std::monostate>(c)) c = Literal::of_bool(true);
  Builder::Emitted opened =
      builder_.emit({.op = Op::if_,
                     .args = {std::holds_alternative<Ref>(c) ? EmitArg(std::get<Ref>(c))
                                                             : EmitArg(std::get<Literal>(c))},
                     .loc = loc_at(ast()[b.condition].tokens)});
  if (!opened) {
    Span at = ast().span(b.condition);
    type_error(*opened.error, at, std::array{at}, at);
    // The branches are still checked, in a block that `else` and `end` can close.
    (void)builder_.emit({.op = Op::if_, .args = {Literal::of_bool(true)}, .loc = loc_});
  }
  block(b.body);
  if (branch + 1 < branches.size()) {
    const Branch& next = ast()[branches[branch + 1]];
    loc_ = loc_of(next.tokens, next.loc);
    (void)builder_.emit({.op = Op::else_, .loc = loc_});
    if (next.condition) if_stmt(s, branch + 1);  // `else if`: an if inside the else
    else block(next.body);
    close_block(ast()[next.body]);
    return;
  }
  close_block(ast()[b.body]);
}

void KernelLowering::for_stmt(const Stmt& s) {
  Emit e{.op = Op::for_, .loc = loc_};
  std::vector<Span> at;
  DType want = dt::i32_;
  bool ok = true, typed = false;
  std::vector<Operand> bounds;
  for (ExprId id : {s.begin, s.end, s.step}) {
    bounds.push_back(id ? expr(id) : Operand(Literal::of(1)));
    at.push_back(id ? ast().span(id) : span(s.tokens));
    ok &= !std::holds_alternative<std::monostate>(bounds.back());
  }
  if (s.type) {
    bool shape;
    if (auto t = written_type(ast()[s.type], shape)) want = t->dtype, typed = true;
  }
  for (Operand& o : bounds) {
    if (const Literal* l = std::get_if<Literal>(&o); l && typed) {
      if (auto c = literal_constant(*l, want)) e.args.push_back(builder_.constant(*c));
      else e.args.push_back(*l);
    } else if (l) {
      e.args.push_back(*l);
    } else if (const Ref* r = std::get_if<Ref>(&o)) {
      e.args.push_back(*r);
    }
  }
  for (AttrId id : ast().list(s.attrs)) {
    attribute(op_info(Op::for_), ast()[id], e.attrs);
  }
  std::vector<TokenId> var{s.var};
  e.results = result_names(var);
  if (ok) {
    Builder::Emitted emitted = builder_.emit(e);
    if (emitted) {
      define(s.var, emitted.results[0]);
    } else {
      type_error(*emitted.error, span(s.tokens), at, span(s.tokens));
      ok = false;
    }
  }
  if (!ok) {
    // The body is still checked: its variable is an i32, as if the bounds had been right,
    // and it is a loop's.
    std::string name(ast().name(s.var));
    if (!frames_.back().locals.contains(name))
      frames_.back().locals[name] = builder_.local(name, scalar_type(want));
    (void)builder_.emit({.op = Op::while_, .loc = loc_});
    (void)builder_.emit({.op = Op::test, .args = {Literal::of_bool(true)}, .loc = loc_});
  }
  block(s.body);
  close_block(ast()[s.body]);
}

void KernelLowering::while_stmt(const Stmt& s) {
  (void)builder_.emit({.op = Op::while_, .loc = loc_});
  if (s.condition) {
    Operand c = expr(s.condition);
    if (!std::holds_alternative<std::monostate>(c))
      emit_op(Op::test,
              {std::holds_alternative<Ref>(c) ? EmitArg(std::get<Ref>(c))
                                              : EmitArg(std::get<Literal>(c))},
              {}, s.condition, std::array{s.condition});
  }
  block(s.body);
  close_block(ast()[s.body]);
}

void KernelLowering::define(TokenId name, uint32_t value) {
  frames_.back().locals[std::string(ast().name(name))] = value;
  if (value != kFailed) taken_.insert(kernel_.values[value].name);
}

void KernelLowering::parallel_stmt(const Stmt& s) {
  (void)builder_.emit({.op = Op::parallel, .loc = loc_});
  for (StrandId id : ast().list(s.strands)) strand(ast()[id]);
  // The parser leaves out sections that it could not read, so the last token may be any.
  (void)builder_.emit({.op = Op::end, .loc = loc_of({s.tokens.last, s.tokens.last}, s.close)});
}

// What a section assigns for the first time is its own: the names mean nothing outside, and another
// section may use them for something else.
void KernelLowering::strand(const Strand& s) {
  if (!s.begin || !s.end || !s.body) return;  // the parser has said why
  loc_ = loc_of(s.tokens, s.loc);
  Emit e{.op = Op::warps, .loc = loc_};
  std::vector<Span> at;
  for (ExprId id : {s.begin, s.end}) {
    at.push_back(ast().span(id));
    if (auto v = constant_int(id)) e.args.push_back(Literal::of(*v));
    else e.args.push_back(Literal::of(static_cast<int64_t>(e.args.size())));
  }
  for (auto [tag, id] : {std::pair(AttrTag::by, s.by), std::pair(AttrTag::regs, s.regs)})
    if (id)
      if (auto v = constant_int(id)) e.attrs.push_back({tag, *v});
  auto outside = frames_.back().locals;
  if (s.var != kNoToken) {
    std::string name(ast().name(s.var));
    frames_.back().locals.erase(name);
    std::vector<TokenId> var{s.var};
    e.results = result_names(var);
  }
  Builder::Emitted emitted = builder_.emit(e);
  if (!emitted) {
    type_error(*emitted.error, span(s.tokens), at, span(s.tokens));
    (void)builder_.emit({.op = Op::if_, .args = {Literal::of_bool(true)}, .loc = loc_});
  }
  if (s.var != kNoToken) define(s.var, emitted ? emitted.results[0] : kFailed);
  block(s.body);
  close_block(ast()[s.body]);
  frames_.back().locals = std::move(outside);
}

std::vector<ResultName> KernelLowering::result_names(std::span<const TokenId> names) {
  std::vector<ResultName> out;
  Frame& frame = frames_.back();
  for (TokenId t : names) {
    std::string name(ast().name(t));
    if (auto it = frame.locals.find(name); it != frame.locals.end()) {
      out.push_back({it->second, name});
      continue;
    }
    if (frame.fixed.contains(name))
      error(tess::diag::assign_fixed, fmt::format("`%{}` is a parameter of the function", name),
            ast().span(t), "copy it to another name");
    // `%0` is a temporary again; other names are kept, made distinct between inlined calls and
    // strands.
    bool temporary = !name.empty() && name.find_first_not_of("0123456789") == name.npos;
    std::string full = temporary ? "" : frame.prefix + name;
    for (int n = 2; !temporary && taken_.contains(full); ++n)
      full = fmt::format("strand{}.{}{}", n, frame.prefix, name);
    out.push_back({{}, full});
  }
  return out;
}

void KernelLowering::inst_stmt(const Stmt& s) {
  const Inst& i = ast()[s.inst];
  std::span<const TokenId> names = ast().list(s.results);
  if (i.kind == InstKind::call) return call(s, i);
  std::vector<ResultName> into = result_names(names);
  bool ok = false;
  std::vector<uint32_t> values;
  if (i.kind == InstKind::expr) {
    ExprId e = ast().list(i.operands)[0];
    if (into.size() != 1) {
      if (into.empty())
        error(diag::unnamed_result, "the value of an expression is not used", ast().span(e),
              "write `%name = …`");
      else
        error(diag::wrong_results, fmt::format("one result, {} named", into.size()),
              span(s.tokens));
      return;
    }
    ok = expr_into(e, into[0]);
    if (ok) values.push_back(kernel_.refs[kernel_.code.back().first_ref].index());
  } else {
    if (i.info && names.empty() && i.info->sig.n_results && !i.info->sig.results[0].optional) {
      error(diag::unnamed_result, fmt::format("the result of `{}` is not named", i.info->name),
            span(s.tokens), "write `%name = …`");
      return;
    }
    if (auto r = inst(i, into)) values = *r, ok = true;
  }
  Frame& frame = frames_.back();
  for (size_t r = 0; r < names.size(); ++r) {
    std::string name(ast().name(names[r]));
    if (ok && r < values.size()) {
      define(names[r], values[r]);
    } else if (!ok && !frame.locals.contains(name)) {
      // A failed definition still defines the name, so that its uses give no further errors.
      frame.locals[name] = kFailed;
    }
    if (!ok) refused_.names.insert(name);
  }
}

// Binds one argument; generic dimensions and types of the parameter's type are bound by their first
// use.
bool KernelLowering::bind_argument(Frame& frame, const Param& p, ExprId arg, const Operand& value) {
  const Ast& fast = frame.file->ast;
  const TypeRef& t = fast[p.type];
  std::string name(fast.name(p.name));
  auto refuse = [&](std::string why) {
    error(diag::wrong_arguments, fmt::format("argument `{}`: {}", fast.text(p.name), why),
          ast().span(arg));
    return false;
  };
  if (std::holds_alternative<std::monostate>(value)) return false;
  std::string_view type_name = t.dtype == kNoToken ? "" : fast.text(t.dtype);
  std::optional<DType> want = find_dtype(type_name);
  if (!want)
    if (auto it = frame.types.find(type_name); it != frame.types.end()) want = it->second;
  if (!want)
    if (auto it = frame.file->types.find(type_name); it != frame.file->types.end())
      want = it->second;
  Operand bound = value;
  if (const Literal* l = std::get_if<Literal>(&value)) {
    DType type = want.value_or(l->kind == Literal::Kind::real      ? dt::f32_
                               : l->kind == Literal::Kind::boolean ? dt::bool_
                                                                   : dt::i32_);
    auto c = literal_constant(*l, type);
    if (!c) return refuse(fmt::format("the literal is no {}", dtype_name(type)));
    bound = builder_.constant(*c);
  }
  Type got = builder_.type_of(std::get<Ref>(bound), true).type;
  if (want && got.dtype != *want)
    return refuse(fmt::format("{} is wanted, got {}", dtype_name(*want), type_text(got)));
  if (!want) frame.types.emplace(std::string(type_name), got.dtype);
  uint32_t rank = t.has_shape ? t.dims.count : 0;
  if (rank != got.shape.rank)
    return refuse(fmt::format("rank {} is wanted, got {}", rank, type_text(got)));
  auto dims = fast.list(t.dims);
  for (uint32_t d = 0; d < rank; ++d) {
    const Expr& e = fast[dims[d]];
    bool generic = e.kind == ExprKind::name && !frame.dims.contains(fast.text(e.word)) &&
                   !frame.file->consts.contains(fast.text(e.word));
    if (generic) {
      if (got.shape[d] != kDynamic)
        frame.dims.emplace(std::string(fast.text(e.word)), Literal::of(got.shape[d]));
      continue;
    }
    frames_.push_back(frame);  // constants are those of the function
    auto n = constant_int(dims[d]);
    frames_.pop_back();
    if (!n) return false;
    if (*n != got.shape[d])
      return refuse(
          fmt::format("extent {} of dimension {} is wanted, got {}", *n, d, type_text(got)));
  }
  frame.params[name] = bound;
  if (fast.text(p.name)[0] == '%') frame.fixed.insert(name);
  return true;
}

void KernelLowering::call(const Stmt& s, const Inst& i) {
  std::string name(ast().text(i.name));
  struct OnReturn {  // whatever is refused below, the names are known
    KernelLowering& l;
    std::span<const TokenId> names;
    ~OnReturn() { l.mark_failed(names); }
  } on_return{*this, ast().list(s.results)};
  const File& caller = *frames_.back().file;
  auto it = caller.funcs.find(name);
  if (it == caller.funcs.end()) {
    std::vector<std::string_view> names;
    for (auto& [n, f] : caller.funcs) names.push_back(n);
    std::string near = nearest_name(name, names);
    return error(diag::unknown_function, fmt::format("no function `{}`", name), ast().span(i.name),
                 near.empty() ? "" : fmt::format("did you mean `{}`?", near));
  }
  const FuncDef& def = it->second;
  const Item& func = def.file->ast[def.item];
  if (misparsed(def.file->ast, header_of(def.file->ast, func), parse_errors_)) return;
  for (const Frame& f : frames_)
    if (f.func == &func)
      return error(diag::recursive_call, fmt::format("`{}` calls itself", name),
                   ast().span(i.name));
  if (frames_.size() > 64)
    return error(tess::diag::limit_exceeded, "calls nest deeper than 64", ast().span(i.name));
  Frame frame{def.file, &func, "", {}, {}, {}, {}, {}};
  do frame.prefix = fmt::format("{}{}{}.", frames_.back().prefix, name, ++calls_[name]);
  while (std::any_of(taken_.begin(), taken_.end(),
                     [&](const std::string& t) { return t.starts_with(frame.prefix); }));

  auto params = def.file->ast.list(func.params);
  auto args = ast().list(i.operands);
  auto results = def.file->ast.list(func.results);
  std::span<const TokenId> targets = ast().list(s.results);
  if (params.size() != args.size())
    return error(diag::wrong_arguments,
                 fmt::format("`{}` takes {} arguments, got {}", name, params.size(), args.size()),
                 span(i.tokens));
  if (results.size() != targets.size())
    return error(
        diag::wrong_results,
        fmt::format("`{}` gives {} results, {} named", name, results.size(), targets.size()),
        span(s.tokens));
  bool ok = true;
  for (uint32_t p = 0; p < params.size(); ++p) {
    Operand value = expr(args[p]);
    ok &= bind_argument(frame, def.file->ast[params[p]], args[p], value);
  }
  if (!ok) return;
  // A parameter must keep its value while the caller's name is reassigned by the results only at
  // the end, so results are moved out after the body.
  Loc call_loc = loc_;
  frames_.push_back(std::move(frame));
  size_t errors = out_.size();
  block(func.body);
  std::vector<uint32_t> values;
  for (ParamId r : results) {
    const Param& p = ast()[r];
    auto local = frames_.back().locals.find(ast().name(p.name));
    if (local == frames_.back().locals.end() || local->second == kFailed) {
      if (out_.size() == errors)
        error(diag::wrong_results,
              fmt::format("`{}` never assigns its result `{}`", name, ast().text(p.name)),
              span(p.tokens));
      values.push_back(kFailed);
      continue;
    }
    values.push_back(local->second);
    bool has_shape = false;
    auto want = written_type(ast()[p.type], has_shape);
    const Type& got = kernel_.values[local->second].type;
    if (want && (want->dtype != got.dtype || want->shape != got.shape))
      error(diag::wrong_arguments,
            fmt::format("result `{}` is declared {}, but is {}", ast().text(p.name),
                        type_text(*want), type_text(got)),
            span(p.tokens));
  }
  frames_.pop_back();
  loc_ = call_loc;
  std::vector<ResultName> into = result_names(targets);
  for (size_t r = 0; r < values.size(); ++r) {
    std::string target(ast().name(targets[r]));
    if (values[r] == kFailed) {
      frames_.back().locals.emplace(target, kFailed);
      continue;
    }
    if (into[r].value == kFailed) continue;
    Builder::Emitted e = builder_.emit(
        {.op = Op::move, .args = {Ref::value(values[r])}, .results = {into[r]}, .loc = loc_});
    if (!e) {
      type_error(*e.error, span(s.tokens), {}, ast().span(targets[r]));
      continue;
    }
    define(targets[r], e.results[0]);
  }
}

}  // namespace tess::vmasm
