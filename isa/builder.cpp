#include "isa/builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "isa/diag/verify.h"
#include "isa/numerics.h"

namespace tess {

namespace {
std::string real_text(double v) {
  std::string text = fmt::format("{}", v);
  return text.find_first_of(".en") == text.npos ? text + ".0" : text;
}
}  // namespace

std::optional<Constant> literal_constant(const Literal& literal, DType t) {
  if (t.is_bool()) {
    if (literal.kind != Literal::Kind::boolean) return {};
    return Constant{t, literal.magnitude};
  }
  if (literal.kind == Literal::Kind::boolean) return {};
  if (t.is_int()) {
    uint64_t magnitude = literal.magnitude;
    bool negative = literal.negative;
    if (literal.kind == Literal::Kind::real) {  // 2.0 is not an integer literal
      return {};
    }
    uint64_t top = uint64_t{1} << (t.bits - 1);
    uint64_t most = t.is_signed() ? (negative ? top : top - 1) : negative ? 0 : top + (top - 1);
    if (magnitude > most) return {};
    uint64_t mask = t.bits == 64 ? ~uint64_t{0} : (uint64_t{1} << t.bits) - 1;
    return Constant{t, (negative ? 0 - magnitude : magnitude) & mask};
  }
  if (literal.kind == Literal::Kind::integer) {
    return Constant{t, encode_parts(t, literal.negative, literal.magnitude, 0, false, Round::rne,
                                    Overflow::saturate)};
  }
  return Constant{t, encode_float(t, t == dt::f64_ ? literal.real : literal.odd)};
}

uint32_t Builder::param(std::string name, DType type, Param param) {
  Type value{
      param.dir == Direction::scalar || param.dir == Direction::let ? Space::reg : Space::global,
      false,
      type,
      {}};
  for (const HostExpr& e : param.shape) value.shape.push(e.is_constant() ? e.constant() : kDynamic);
  k_.params.push_back(std::move(param));
  k_.values.push_back({std::move(name), value});
  return static_cast<uint32_t>(k_.values.size() - 1);
}

uint32_t Builder::tensor_param(std::string name, Direction dir, DType type,
                               std::vector<HostExpr> shape) {
  Param p;
  p.dir = dir;
  p.shape = std::move(shape);
  return param(std::move(name), type, std::move(p));
}

uint32_t Builder::local(std::string name, Type type) {
  k_.values.push_back({std::move(name), type});
  return static_cast<uint32_t>(k_.values.size() - 1);
}

Ref Builder::constant(Constant c) {
  std::vector<uint32_t>& same = constants_by_code_[c.code];
  for (uint32_t i : same)
    if (k_.constants[i] == c) return Ref::constant(i);
  same.push_back(static_cast<uint32_t>(k_.constants.size()));
  k_.constants.push_back(c);
  return Ref::constant(same.back());
}

// `2:8` with constants is `2:+6`.
static Index canonical_index(const Kernel& k, const Index& index) {
  if (index.kind != IndexKind::span || !index.start.is_constant() || !index.stop.is_constant())
    return index;
  auto value = [&](Ref r) {
    const Constant& c = k.constants[r.index()];
    return decode_int(c.type, c.code);
  };
  int64_t n = 0;
  if (__builtin_sub_overflow(value(index.stop), value(index.start), &n) || n < 1) return index;
  return {IndexKind::range, index.start, Ref::none(), n};
}

Ref Builder::access(uint32_t base, std::vector<Index> indices, Ref item) {
  const Type& type = k_.values[base].type;
  if (!indices.empty())
    while (indices.size() < type.shape.rank) indices.push_back(all());
  Access a{base, item, static_cast<uint32_t>(k_.indices.size()),
           static_cast<uint32_t>(indices.size())};
  for (const Index& index : indices) k_.indices.push_back(canonical_index(k_, index));
  k_.accesses.push_back(a);
  return Ref::access(static_cast<uint32_t>(k_.accesses.size() - 1));
}

AccessType Builder::type_of(Ref r, bool allow_dynamic) const {
  switch (r.kind()) {
    case RefKind::value:
      return {k_.values[r.index()].type, {}};
    case RefKind::constant:
      return {scalar_type(k_.constants[r.index()].type), {}};
    case RefKind::access:
      return access_type(k_, k_.accesses[r.index()], allow_dynamic);
    case RefKind::none:
      break;
  }
  return {};
}

std::optional<TypeError> Builder::resolve_literals(const Emit& e, const OpInfo& op,
                                                   std::vector<Ref>& refs) {
  // What each letter stands for, from typed operands, then from the written result.
  DType bound[26] = {}, index_type = dt::i32_;
  auto item_of = [&](size_t a) -> const SigItem* {
    int i = sig_index(op.sig, a, e.args.size());
    return i < 0 ? nullptr : &op.sig.operands[i];
  };
  for (size_t a = 0; a < e.args.size(); ++a) {
    const SigItem* item = item_of(a);
    const Ref* r = std::get_if<Ref>(&e.args[a].what);
    if (!item || !r || r->is_none()) continue;
    DType t = type_of(*r, true).type.dtype;
    if (item->letter && bound[item->letter - 'A'].kind == Kind::none) bound[item->letter - 'A'] = t;
    if (item->index && t == dt::i64_) index_type = t;
  }
  if (e.written && op.sig.n_results && op.sig.results[0].letter) {
    DType& b = bound[op.sig.results[0].letter - 'A'];
    if (b.kind == Kind::none) b = e.written->dtype;
  }
  // An unbound letter takes its default from all of its literals: a real anywhere makes it f32.
  for (size_t a = 0; a < e.args.size(); ++a) {
    const SigItem* item = item_of(a);
    const Literal* l = std::get_if<Literal>(&e.args[a].what);
    if (!item || !l || !item->letter) continue;
    DType& b = bound[item->letter - 'A'];
    bool guessed = b.kind == Kind::none || (b == dt::i32_ && l->kind == Literal::Kind::real);
    bool typed = false;
    for (size_t o = 0; o < e.args.size(); ++o) {
      const SigItem* other = item_of(o);
      typed |=
          other && other->letter == item->letter && std::holds_alternative<Ref>(e.args[o].what);
    }
    typed |= e.written && op.sig.n_results && op.sig.results[0].letter == item->letter;
    if (guessed && !typed)
      b = l->kind == Literal::Kind::real      ? dt::f32_
          : l->kind == Literal::Kind::boolean ? dt::bool_
                                              : dt::i32_;
  }
  for (size_t a = 0; a < e.args.size(); ++a) {
    if (const Ref* r = std::get_if<Ref>(&e.args[a].what)) {
      refs.push_back(*r);
      continue;
    }
    const SigItem* item = item_of(a);
    const Literal& l = std::get<Literal>(e.args[a].what);
    DType t = !item          ? dt::i32_
              : item->index  ? index_type
              : item->letter ? bound[item->letter - 'A']
                             : item->fixed;
    if (t.kind == Kind::none) t = dt::i32_;  // beside an mbarrier, which is refused later
    std::optional<Constant> c = literal_constant(l, t);
    if (!c) {
      std::string text = l.kind == Literal::Kind::boolean ? (l.magnitude ? "true" : "false")
                         : l.kind == Literal::Kind::real
                             ? real_text(l.real)
                             : fmt::format("{}{}", l.negative ? "-" : "", l.magnitude);
      return TypeError{diag::literal_range,
                       fmt::format("the literal {} is no value of {}", text, dtype_name(t)),
                       {},
                       static_cast<int>(a)};
    }
    refs.push_back(constant(*c));
  }
  return {};
}

std::optional<TypeError> check_attrs(const OpInfo& op, std::span<const Attr> attrs) {
  uint64_t seen = 0;
  AttrGroup groups[64];
  size_t n_groups = 0;
  for (const Attr& a : attrs) {
    const AttrInfo* info = find_attr(a.tag);
    if (!info || !op.allows(a.tag))
      return TypeError{diag::attr_unknown,
                       fmt::format("`{}` has no attribute `{}`", op.name, info ? info->name : "?"),
                       {},
                       -1};
    if (seen >> static_cast<int>(a.tag) & 1)
      return TypeError{
          diag::attr_conflict, fmt::format("attribute `{}` is written twice", info->name), {}, -1};
    seen |= uint64_t{1} << static_cast<int>(a.tag);
    if (info->group != AttrGroup::none) {
      if (std::find(groups, groups + n_groups, info->group) != groups + n_groups)
        return TypeError{diag::attr_conflict,
                         fmt::format("attribute `{}` excludes another of its group", info->name),
                         {},
                         -1};
      groups[n_groups++] = info->group;
    }
    bool positive = a.tag == AttrTag::unroll || a.tag == AttrTag::pipeline ||
                    a.tag == AttrTag::promote || a.tag == AttrTag::count || a.tag == AttrTag::by;
    if (positive && a.value < 1)
      return TypeError{diag::attr_value,
                       fmt::format("attribute `{}` must be positive, got {}", info->name, a.value),
                       {},
                       -1};
    if (info->kind == AttrKind::flag && a.value != 1)
      return TypeError{
          diag::attr_value, fmt::format("attribute `{}` takes no value", info->name), {}, -1};
  }
  for (const AttrInfo& info : all_attrs())
    if (op.requires_attr(info.tag) && !(seen >> static_cast<int>(info.tag) & 1))
      return TypeError{diag::attr_missing,
                       fmt::format("`{}` needs the attribute `{}`", op.name, info.name),
                       std::string(info.doc), -1};
  for (const AttrInfo& info : all_attrs()) {
    if (!op.allows(info.tag) || !is_required(info.group) ||
        std::find(groups, groups + n_groups, info.group) != groups + n_groups)
      continue;
    std::string choice;
    for (const AttrInfo& other : all_attrs())
      if (other.group == info.group && op.allows(other.tag))
        choice += fmt::format(" {}", other.name);
    return TypeError{
        diag::attr_missing,
        fmt::format("`{}` needs {}:{}", op.name,
                    info.group == AttrGroup::cmp ? "a comparison" : "an operation", choice),
        {},
        -1};
  }
  return {};
}

Builder::Emitted Builder::emit(const Emit& e) {
  Emitted out;
  const OpInfo& op = op_info(e.op);
  auto stop = [&](TypeError error) {
    out.error = std::move(error);
    return out;
  };

  std::vector<Ref> refs;
  if (auto error = resolve_literals(e, op, refs)) return stop(*error);
  // Absent optional operands are explicit, so that positions are fixed.
  size_t variadic = 0, fixed = 0;
  for (const SigItem& i : op.sig.ins()) (i.variadic ? variadic : fixed) += 1;
  if (!variadic)
    while (refs.size() < fixed && op.sig.operands[refs.size()].optional)
      refs.push_back(Ref::none());

  std::vector<ArgType> args;
  bool dynamic = op.rule == Rule::slice_;
  for (size_t a = 0; a < refs.size(); ++a) {
    ArgType arg;
    arg.kind = refs[a].kind();
    AccessType type = type_of(refs[a], dynamic);
    if (type.error) {
      type.error->operand = static_cast<int>(a);
      return stop(*type.error);
    }
    arg.type = type.type;
    if (refs[a].is_constant()) arg.constant = k_.constants[refs[a].index()];
    if (refs[a].is_access()) arg.access = &k_.accesses[refs[a].index()];
    args.push_back(arg);
  }

  std::vector<Attr> attrs;
  for (const EmitAttr& a : e.attrs) attrs.push_back({a.tag, a.value});
  std::sort(attrs.begin(), attrs.end(), [](const Attr& a, const Attr& b) { return a.tag < b.tag; });
  if (auto error = check_attrs(op, attrs)) return stop(*error);

  size_t wanted = e.results.size();
  if (e.results.empty())
    for (const SigItem& i : op.sig.outs()) wanted += !i.optional;
  // The name's type stands for a type that is not written: `%p = undef` needs one, `%it = 0` takes
  // it.
  Typing typing =
      infer({&k_, &op, args, attrs, e.written, e.written_shape, static_cast<int>(wanted)});
  if (typing.error) return stop(*typing.error);

  for (size_t r = 0; r < e.results.size(); ++r) {
    if (!e.results[r].value) continue;
    const Value& v = k_.values[*e.results[r].value];
    if (v.type != typing.results[r])
      return stop(TypeError{diag::result_type,
                            fmt::format("`%{}` is {}, but `{}` gives {}", v.name, type_text(v.type),
                                        op.name, type_text(typing.results[r])),
                            "a name keeps one type: use another name, or `cast`", -2});
  }
  for (const EmitAttr& a : e.attrs) {
    if (!a.constant) continue;
    DType t = constant_attr_type(typing.results, args);
    std::optional<Constant> c = literal_constant(*a.constant, t);
    if (!c && a.constant->kind == Literal::Kind::integer && t.is_bool() &&
        a.constant->magnitude < 2)
      c = Constant{t, a.constant->magnitude};
    if (!c)
      return stop(
          TypeError{diag::literal_range,
                    fmt::format("`{}` is no value of {}", find_attr(a.tag)->name, dtype_name(t)),
                    {},
                    -1});
    Ref ref = constant(*c);
    for (Attr& attr : attrs)
      if (attr.tag == a.tag) attr.value = ref.index();
  }

  Inst inst;
  inst.op = e.op;
  inst.loc = e.loc;
  inst.n_results = static_cast<uint8_t>(typing.results.size());
  inst.n_args = static_cast<uint16_t>(refs.size());
  inst.n_attrs = static_cast<uint8_t>(attrs.size());
  inst.first_ref = static_cast<uint32_t>(k_.refs.size());
  inst.first_attr = static_cast<uint32_t>(k_.attrs.size());
  for (size_t r = 0; r < typing.results.size(); ++r) {
    bool existing = r < e.results.size() && e.results[r].value;
    uint32_t v = existing ? *e.results[r].value
                          : local(r < e.results.size() ? e.results[r].name : "", typing.results[r]);
    out.results.push_back(v);
    k_.refs.push_back(Ref::value(v));
  }
  k_.refs.insert(k_.refs.end(), refs.begin(), refs.end());
  k_.attrs.insert(k_.attrs.end(), attrs.begin(), attrs.end());
  k_.code.push_back(inst);
  return out;
}

}  // namespace tess
