// One instruction of a given row, with operands that suit its rule.
#include <fmt/format.h>

#include <algorithm>

#include "isa/infer.h"
#include "tests/gen/kernel_gen.h"

namespace tess::gen {

bool KernelGen::is_own(uint32_t base) const { return std::ranges::find(own_, base) != own_.end(); }

// A tensor or shared tile to read or write, of type `t` if given.
std::optional<uint32_t> KernelGen::memory(Use use, DType t) {
  std::vector<uint32_t> found;
  auto fits = [&](uint32_t v) {
    return k_.values[v].type.is_memory() && k_.values[v].type.shape.rank &&
           (t.kind == Kind::none || k_.values[v].type.dtype == t);
  };
  for (uint32_t i = 0; i < k_.params.size(); ++i) {
    if (!fits(i) || (use == Use::write && k_.params[i].dir == Direction::in)) continue;
    if (options_.launchable && !is_own(i) && k_.params[i].dir != Direction::in) continue;
    found.push_back(i);
  }
  for (const Local& l : scope_) {
    const Type& type = k_.values[l.value].type;
    // Views may come from `in` parameters: they are only read.
    bool view = type.space == Space::global;
    if (fits(l.value) && !(use == Use::write && view) && !(options_.launchable && view))
      found.push_back(l.value);
  }
  if (found.empty()) return {};
  return rng_.pick(found);
}

Ref KernelGen::whole(uint32_t base) {
  bool list = base < k_.params.size() && !k_.params[base].list.tokens.empty();
  if (!list) return Ref::value(base);
  return b_.access(base, {}, b_.i32(0));
}

std::optional<Ref> KernelGen::access(uint32_t base, Use use, bool element) {
  const Type type = k_.values[base].type;
  bool list = base < k_.params.size() && !k_.params[base].list.tokens.empty();
  bool gathered = use == Use::write && options_.launchable;
  std::vector<Index> indices;
  int64_t elements = 1;
  auto start = [&](int64_t extent) -> Ref {
    int64_t limit = extent == kDynamic ? 8 : std::max<int64_t>(1, extent);
    if (options_.launchable || rng_.chance(60))
      return b_.i32(static_cast<int64_t>(rng_.below(static_cast<uint64_t>(limit))));
    return scalar(rng_.chance(85) ? dt::i32_ : dt::i64_);
  };
  for (int d = 0; d < type.shape.rank; ++d) {
    int64_t extent = type.shape[d];
    if (d == 0 && is_own(base)) {
      indices.push_back(b_.point(Ref::value(block_id_)));
    } else if (element || (type.ring && d == 0)) {
      indices.push_back(b_.point(start(extent)));
    } else if (rng_.chance(30)) {
      indices.push_back(b_.point(start(extent)));
    } else if (extent != kDynamic && elements * extent <= 512 && rng_.chance(40)) {
      indices.push_back(b_.all());
      elements *= extent;
    } else if (!gathered && type.space != Space::reg && rng_.chance(15)) {
      gathered = true;
      indices.push_back(b_.point(tile(dt::i32_, {rng_.between(1, 6)})));
      elements *= 6;
    } else {
      int64_t n = rng_.between(1, elements > 64 ? 1 : 8);
      indices.push_back(b_.range(start(extent), n));
      elements *= n;
    }
  }
  return b_.access(base, indices, list ? b_.i32(0) : Ref::none());
}

EmitArg KernelGen::mask(const Shape& s) {
  if (!rng_.chance(35)) return Ref::none();
  return value_or_literal(dt::bool_, narrowed(s));
}

bool KernelGen::memory_row(const OpInfo& op) {
  switch (op.rule) {
    case Rule::load_: {
      auto base = memory(Use::read);
      if (!base) return false;
      Ref x = *access(*base, Use::read, rng_.chance(20));
      return emit_row(op, {x, mask(access_shape(x))},
                      attributes(op, 0, k_.values[*base].type.dtype));
    }
    case Rule::store_: {
      auto base = memory(Use::write);
      if (!base) return false;
      Ref x = *access(*base, Use::write, rng_.chance(20));
      Shape s = access_shape(x);
      EmitArg v = value_or_literal(k_.values[*base].type.dtype, narrowed(s));
      return emit_row(op, {v, x, mask(s)}, attributes(op, 0, {}));
    }
    case Rule::gather_:
    case Rule::scatter_: {
      bool write = op.rule == Rule::scatter_;
      auto base = memory(write ? Use::write : Use::read);
      if (!base || k_.values[*base].type.ring) return false;
      const Type type = k_.values[*base].type;
      std::vector<EmitArg> args;
      Shape s = write && options_.launchable ? Shape{rng_.between(1, 8)} : shape(1, 2);
      if (write) args.push_back(value_or_literal(type.dtype, narrowed(s)));
      args.push_back(whole(*base));
      for (int d = 0; d < type.shape.rank; ++d) {
        bool last = d == type.shape.rank - 1;
        if (d == 0 && is_own(*base)) args.push_back(Ref::value(block_id_));
        else if (write && options_.launchable) {  // distinct elements
          if (last)
            args.push_back(*emit({.op = Op::iota, .written = tile_type(dt::i32_, s)}, false));
          else args.push_back(b_.i32(0));
        } else if (last) args.push_back(value(rng_.chance(80) ? dt::i32_ : dt::i64_, s));
        else
          args.push_back(rng_.chance(30) ? EmitArg(Literal::of(0))
                                         : EmitArg(value(dt::i32_, narrowed(s))));
      }
      args.push_back(mask(s));
      return emit_row(op, std::move(args), attributes(op, 0, type.dtype));
    }
    case Rule::atomic_: {
      const SigItem& item = op.sig.operands[0];
      for (int tries = 0; tries < 12; ++tries) {
        auto base = memory(Use::write);
        if (!base) return false;
        DType t = k_.values[*base].type.dtype;
        if (!in_class(t, item.type_class) || t.bits < 16) continue;
        Ref x = *access(*base, Use::write, rng_.chance(60));
        Shape s = access_shape(x);
        std::vector<EmitArg> args = {x};
        if (op.op == Op::atomic_cas) args.push_back(value_or_literal(t, narrowed(s)));
        args.push_back(options_.launchable ? EmitArg(clean(t, s))
                                           : value_or_literal(t, narrowed(s)));
        args.push_back(mask(s));
        return emit_row(op, std::move(args), attributes(op, 0, {}));
      }
      return false;
    }
    case Rule::wait_: {
      Ref own = rng_.chance(50) || options_.launchable ? Ref::value(block_id_) : scalar(dt::i32_);
      auto word = [&] { return b_.access(lock_word_, {b_.point(own), b_.point(b_.i32(1))}); };
      if (op.op == Op::wait) {
        std::vector<EmitAttr> attrs = attributes(op, 0, {});
        if (options_.launchable)  // the word is 0: what holds at once
          for (EmitAttr& a : attrs)
            if (find_attr(a.tag)->group == AttrGroup::cmp) a.tag = AttrTag::ge;
        return emit_row(op,
                        {word(), options_.launchable ? EmitArg(Literal::of(0))
                                                     : value_or_literal(dt::i32_, {})},
                        attrs);
      }
      // `lock` and `unlock` come as a pair.
      return emit_row(op_info(Op::lock), {word()}, attributes(op_info(Op::lock), 0, {})) &&
             emit_row(op_info(Op::unlock), {word()}, attributes(op_info(Op::unlock), 0, {}));
    }
    case Rule::smem_: {
      if (in_strand_) return false;
      Shape s = shape(1, 3);
      DType t = pick_type(TypeClass::any);
      std::vector<EmitAttr> attrs = attributes(op, s.rank, t);
      Builder::Emitted e =
          emit({.op = op.op, .attrs = attrs, .written = Type{Space::reg, false, t, s}}, false);
      if (!e) return false;
      uint32_t v = e.results[0];
      if (!options_.launchable) {
        if (rng_.chance(40)) add_layout(v);
        return true;
      }
      // Written before anything reads it.
      bool ring = k_.values[v].type.ring;
      for (int64_t slot = 0; slot < (ring ? s[0] : 1); ++slot) {
        std::vector<Index> all(static_cast<size_t>(s.rank), b_.all());
        if (ring) all[0] = b_.point(b_.i32(slot));
        (void)emit({.op = Op::store, .args = {literal(t), b_.access(v, all)}}, false);
      }
      return true;
    }
    case Rule::alias_: {
      std::vector<uint32_t> tensors;
      for (uint32_t i = 0; i < k_.params.size(); ++i)
        if (k_.values[i].type.space == Space::global &&
            (!options_.launchable || k_.params[i].dir == Direction::in))
          tensors.push_back(i);
      if (tensors.empty()) return false;
      Type t{Space::reg, false, options_.launchable ? dt::u8_ : pick_type(TypeClass::any),
             options_.launchable ? Shape{1} : shape(1, 3)};
      return emit_row(
          op,
          {whole(rng_.pick(tensors)), options_.launchable ? EmitArg(Literal::of(0)) : any_index()},
          {}, t);
    }
    default: {  // prefetch
      auto base = memory(Use::read);
      if (!base) return false;
      return emit_row(op, {*access(*base, Use::read, false)}, attributes(op, 0, {}));
    }
  }
}

bool KernelGen::shape_row(const OpInfo& op) {
  DType t = pick_type(TypeClass::any);
  switch (op.rule) {
    case Rule::reshape_: {
      Shape s = shape(1, 3), to;
      // Moves a factor from one end to the other.
      to.push(s.elements());
      if (rng_.chance(60) && s.elements() % 2 == 0) to = {2, s.elements() / 2};
      if (rng_.chance(30)) to = {s.elements(), 1};
      return emit_row(op, {value(t, s)}, attributes(op, s.rank, t), tile_type(t, to));
    }
    case Rule::transpose_: {
      if (rng_.chance(30)) {
        auto base = memory(Use::read);
        if (!base || k_.values[*base].type.ring || k_.values[*base].type.shape.rank < 2)
          return false;
        return emit_row(op, {whole(*base)}, attributes(op, k_.values[*base].type.shape.rank, t));
      }
      Shape s = shape(2, 3);
      return emit_row(op, {value(t, s)}, attributes(op, s.rank, t));
    }
    case Rule::broadcast_to_: {
      Shape s = shape(1, 3);
      return emit_row(op, {value(t, narrowed(s))}, attributes(op, s.rank, t), tile_type(t, s));
    }
    case Rule::squeeze_: {
      Shape s = shape(1, 3);
      int d = static_cast<int>(rng_.below(s.rank));
      s[d] = 1;
      return emit_row(op, {value(t, s), Literal::of(rng_.chance(50) ? d : d - s.rank)},
                      attributes(op, s.rank, t));
    }
    case Rule::unsqueeze_: {
      Shape s = shape(1, 3);
      return emit_row(op, {value(t, s), Literal::of(rng_.between(-s.rank - 1, s.rank))},
                      attributes(op, s.rank, t));
    }
    case Rule::concat_: {
      Shape s = shape(1, 3);
      auto attrs = attributes(op, s.rank, t);
      int64_t dim = 0;
      for (const EmitAttr& a : attrs)
        if (a.tag == AttrTag::dim) dim = a.value < 0 ? a.value + s.rank : a.value;
      std::vector<EmitArg> args;
      for (uint64_t i = 0, n = 1 + rng_.below(3); i < n; ++i) {
        Shape part = s;
        part[static_cast<int>(dim)] = rng_.between(1, 4);
        args.push_back(value(t, part));
      }
      return emit_row(op, std::move(args), attrs);
    }
    case Rule::slice_:
    case Rule::insert_: {
      if (op.rule == Rule::slice_ && rng_.chance(50)) {
        auto base = memory(Use::read);
        if (!base) return false;
        const Type type = k_.values[*base].type;
        std::vector<Index> where;
        bool list = *base < k_.params.size() && !k_.params[*base].list.tokens.empty();
        for (int d = 0; d < type.shape.rank; ++d) {
          if (type.ring && d == 0) where.push_back(b_.point(b_.i32(0)));
          else if (rng_.chance(40) && !options_.launchable)
            where.push_back(b_.span(scalar(dt::i32_), scalar(dt::i32_)));
          else if (rng_.chance(30)) where.push_back(b_.point(b_.i32(0)));
          else if (rng_.chance(50)) where.push_back(b_.range(b_.i32(0), 1));
          else where.push_back(b_.all());
        }
        return emit_row(op, {b_.access(*base, where, list ? b_.i32(0) : Ref::none())},
                        attributes(op, 0, t));
      }
      Shape s = shape(1, 3);
      Ref x = value(t, s);
      std::vector<Index> where;
      for (int d = 0; d < s.rank; ++d) {
        int64_t lo = static_cast<int64_t>(rng_.below(static_cast<uint64_t>(s[d])));
        int64_t n = rng_.between(1, s[d] - lo);
        if (rng_.chance(25)) where.push_back(b_.all());
        else if (rng_.chance(30)) where.push_back(b_.point(b_.i32(lo)));
        else if (rng_.chance(30)) where.push_back(b_.span(b_.i32(lo), b_.i32(lo + n)));
        else where.push_back(b_.range(b_.i32(lo), n));
      }
      Ref part = b_.access(x.index(), where);
      if (op.rule == Rule::slice_) return emit_row(op, {part}, attributes(op, s.rank, t));
      AccessType inner = b_.type_of(part);
      if (inner.error) return false;
      return emit_row(op, {part, value_or_literal(t, narrowed(inner.type.shape))},
                      attributes(op, s.rank, t));
    }
    default: {  // repeat
      Shape s = shape(1, 2);
      auto attrs = attributes(op, s.rank, t);
      attrs.push_back({AttrTag::count, rng_.between(1, 3)});
      return emit_row(op, {value(t, s)}, attrs);
    }
  }
}

bool KernelGen::row(const OpInfo& op) {
  switch (op.rule) {
    case Rule::none_: {
      if (op.op == Op::assert_ || op.op == Op::assume) {
        if (options_.launchable) return emit_row(op, {Literal::of_bool(true)}, {});
        return emit_row(op,
                        {op.op == Op::assume ? EmitArg(scalar(dt::bool_))
                                             : value_or_literal(dt::bool_, shape(0, 2))},
                        {});
      }
      if (op.op == Op::prefetch) return memory_row(op);
      if (op.op == Op::inputs_wait || op.op == Op::outputs_ready)
        return false;  // at the begin and end
      if (in_strand_ && (op.op == Op::grid_sync || op.op == Op::cluster_sync)) return false;
      if (op.op == Op::cluster_sync && k_.cluster == 1) return false;
      if (op.op == Op::grid_sync && options_.launchable && !k_.cooperative) return false;
      if (op.op == Op::grid_sync && options_.launchable && depth_) return false;
      if (op.effect == Effect::debug) {
        DType t = pick_type(TypeClass::any);
        return emit_row(op, {value(t, shape(0, 2))}, {});
      }
      return emit_row(op, {}, attributes(op, 0, {}));
    }
    case Rule::loop_:
    case Rule::strand_:
      return false;
    case Rule::group_wait_:
    case Rule::mbar_:
    case Rule::barrier_:
    case Rule::copy_async_:
    case Rule::copy_bulk_:
    case Rule::tma_:
    case Rule::red_async_:
    case Rule::map_:
    case Rule::wgmma_:
    case Rule::mma_scaled_:
    case Rule::named_barrier_:
      return async_row(op);
    case Rule::scalar_:
      if (options_.launchable && op.op == Op::device_sms) return false;
      return emit_row(op, {}, {});
    case Rule::same_: {
      DType t = pick_type(op.sig.operands[0].type_class);
      Shape s = op.sig.operands[0].kind == SigKind::scalar ? Shape{} : shape(0, 3);
      auto attrs = attributes(op, s.rank, t);
      if (op.requires_attr(AttrTag::layout)) {
        if (options_.launchable || s.rank == 0) return false;
        attrs.push_back({AttrTag::layout, layout_of(tile_type(t, s))});
      }
      bool literal_move = op.op == Op::move && rng_.chance(30);
      if (literal_move) return emit_row(op, {literal(t)}, {}, scalar_type(t));
      return emit_row(op, {value(t, s)}, attrs);
    }
    case Rule::written_: {
      DType t = op.sig.results[0].letter ? pick_type(op.sig.results[0].type_class)
                                         : op.sig.results[0].fixed;
      Shape s = shape(op.op == Op::fill ? 0 : 1, 3);
      Type type = tile_type(t, s);
      auto attrs = attributes(op, s.rank, t);
      switch (op.op) {
        case Op::fill:
          return emit_row(op, {value_or_literal(t, {})}, attrs, type);
        case Op::rand_philox:
          return emit_row(op, {value_or_literal(dt::u64_, {}), value_or_literal(dt::u64_, {})},
                          attrs, type);
        case Op::undef: {
          if (!options_.launchable) return emit_row(op, {}, attrs, type);
          Builder::Emitted e = emit({.op = op.op, .written = type}, false);
          if (!e) return false;
          // Assigned before any use.
          return static_cast<bool>(b_.emit({.op = Op::fill,
                                            .args = {literal(t)},
                                            .written = type,
                                            .results = {{e.results[0], ""}},
                                            .loc = place()}));
        }
        default:
          return emit_row(op, {}, attrs, type);
      }
    }
    case Rule::table_: {
      DType t = pick_type(TypeClass::any);
      int64_t n = rng_.between(1, 16);
      std::vector<EmitArg> args;
      for (int64_t i = 0; i < n; ++i)
        args.push_back(rng_.chance(80) ? EmitArg(literal(t)) : EmitArg(scalar(t)));
      Shape s = {n};
      if (n % 2 == 0 && rng_.chance(30)) s = {2, n / 2};
      return emit_row(op, std::move(args), attributes(op, 0, t), tile_type(t, s));
    }
    case Rule::extract_: {
      DType t = pick_type(TypeClass::any);
      Shape s = shape(1, 3);
      std::vector<EmitArg> args = {value(t, s)};
      for (int64_t d : s) args.push_back(index(d));
      return emit_row(op, std::move(args), {});
    }
    case Rule::broadcast_: {
      DType letters[26] = {};
      bool typed[26] = {};
      Shape base = shape(0, 3);
      std::vector<EmitArg> args;
      DType first;
      for (const SigItem& item : op.sig.ins()) {
        int l = item.letter ? item.letter - 'A' : 0;
        if (item.letter && letters[l].kind == Kind::none) letters[l] = pick_type(item.type_class);
        DType t = item.letter ? letters[l] : item.fixed;
        if (args.empty()) first = t;
        Shape s = narrowed(base);
        bool divisor = op.trap == TrapKind::div && args.size() == 1;
        if (divisor && options_.launchable) args.push_back(nonzero(t));
        else if (item.letter && !typed[l]) args.push_back(operand(op, t, s));
        else args.push_back(value_or_literal(t, s));
        if (item.letter) typed[l] = true;
      }
      return emit_row(op, std::move(args), attributes(op, base.rank, first));
    }
    case Rule::cast_: {
      TypeClass c = rng_.chance(25) ? TypeClass::int_ : TypeClass::any;
      DType from = pick_type(c), to = pick_type(c);
      Shape s = shape(0, 3);
      auto attrs = attributes(op, s.rank, to);
      std::erase_if(attrs, [&](const EmitAttr& a) {
        if (a.tag == AttrTag::sat) return !(from.is_int() && to.is_int());
        if (a.tag == AttrTag::nosat) return !to.is_small_float();
        return !(to.is_float() || (to.kind == Kind::scale && a.tag != AttrTag::rd));
      });
      return emit_row(op, {value(from, s)}, attrs, Type{Space::reg, false, to, s});
    }
    case Rule::bitcast_: {
      DType from = pick_type(TypeClass::any), to = pick_type(TypeClass::any);
      for (int i = 0;
           i < 50 && (to.bits != from.bits || from.is_bool() || to.is_bool() || to.is_tf32()); ++i)
        from = pick_type(TypeClass::any), to = pick_type(TypeClass::any);
      Shape s = shape(0, 3);
      return emit_row(op, {value(from, s)}, {}, Type{Space::reg, false, to, s});
    }
    case Rule::view_: {
      if (options_.launchable) return false;
      DType from = pick_type(TypeClass::int_);
      Shape s = shape(1, 2);
      Ref x = *emit({.op = Op::fill,
                     .args = {literal(from)},
                     .attrs = {{AttrTag::layout, layout_of(tile_type(from, s))}},
                     .written = tile_type(from, s)},
                    false);
      scope_.back().fixed = true;  // each assignment would have to write the same layout
      DType to = pick_type(TypeClass::any);
      int64_t bits = s.elements() * from.bits;
      for (int i = 0; i < 50 && (to.is_bool() || bits % to.bits); ++i)
        to = pick_type(TypeClass::any);
      if (to.is_bool() || bits % to.bits) return false;
      Type type = tile_type(to, {bits / to.bits});
      return emit_row(op, {x}, {{AttrTag::layout, layout_of(type)}}, type);
    }
    case Rule::lookup_: {
      DType t = pick_type(TypeClass::any),
            i = options_.launchable ? dt::i32_ : pick_type(TypeClass::int_);
      Shape table = shape(1, 2), s = shape(0, 2);
      EmitArg at = options_.launchable ? EmitArg(*emit({.op = Op::fill,
                                                        .args = {Literal::of(0)},
                                                        .written = Type{Space::reg, false, i, s}},
                                                       false))
                                       : EmitArg(value(i, s));
      return emit_row(op, {at, value(t, table)}, attributes(op, 0, t));
    }
    case Rule::pack_:
    case Rule::unpack_: {
      bool pack = op.rule == Rule::pack_;
      DType narrow = pick_type(TypeClass::any), wide = pick_type(TypeClass::int_);
      for (int i = 0; i < 50 && (narrow.is_bool() || narrow.bits > wide.bits); ++i)
        narrow = pick_type(TypeClass::any), wide = pick_type(TypeClass::int_);
      if (narrow.is_bool()) return false;
      Shape s = shape(0, 2);
      DType from = pack ? narrow : wide, to = pack ? wide : narrow;
      s.push(to.bits);  // from.bits times that is whole
      Shape out = s;
      out[out.rank - 1] = from.bits;
      return emit_row(op, {value(from, s)}, attributes(op, s.rank, to), tile_type(to, out));
    }
    case Rule::reduce_:
    case Rule::reduce_arg_:
    case Rule::scan_:
    case Rule::sort_: {
      DType t = pick_type(op.sig.operands[0].type_class);
      Shape s = shape(1, 3);
      auto attrs = attributes(op, s.rank, t);
      bool product = op.op == Op::reduce_mul || op.op == Op::scan_mul;
      if (product && options_.launchable && !t.is_int()) return false;
      return emit_row(op, {operand(op, t, s)}, attrs);
    }
    case Rule::topk_: {
      DType t = pick_type(TypeClass::arith);
      Shape s = shape(1, 3);
      auto attrs = attributes(op, s.rank, t);
      int64_t dim = s.rank - 1;
      for (const EmitAttr& a : attrs)
        if (a.tag == AttrTag::dim) dim = a.value < 0 ? a.value + s.rank : a.value;
      attrs.push_back({AttrTag::count, rng_.between(1, s[static_cast<int>(dim)])});
      return emit_row(op, {operand(op, t, s)}, attrs);
    }
    case Rule::mma_:
    case Rule::dot_: {
      constexpr DType kAccumulators[] = {dt::f32_, dt::i32_, dt::f16_, dt::f64_};
      DType a = pick_type(TypeClass::num), b = a, acc = dt::f32_;
      for (int i = 0; i < 200; ++i) {
        a = pick_type(TypeClass::num), b = rng_.chance(50) ? a : pick_type(TypeClass::num),
        acc = rng_.pick(kAccumulators);
        if (mma_types_legal(a, b, acc)) break;
      }
      if (!mma_types_legal(a, b, acc)) return false;
      int64_t m = rng_.between(1, 9), n = rng_.between(1, 9), k = rng_.between(1, 17);
      Shape sa = {m, k}, sb = {k, n}, sc = {m, n};
      if (op.rule == Rule::dot_) sb = sa, sc = {m};
      else if (rng_.chance(20)) sa = {2, m, k}, sb = {2, k, n}, sc = {2, m, n};
      std::vector<EmitArg> args = {operand(op, a, sa), operand(op, b, sb)};
      bool zero = rng_.chance(30), none = op.rule == Rule::dot_ && rng_.chance(30);
      if (!none)
        args.push_back(zero ? EmitArg(acc.is_int() ? Literal::of(0) : Literal::of_real(0))
                            : EmitArg(operand(op, acc, sc)));
      std::optional<Type> written;
      if (zero || none || rng_.chance(30)) written = tile_type(acc, sc);
      return emit_row(op, std::move(args), attributes(op, sc.rank, acc), written);
    }
    case Rule::reshape_:
    case Rule::transpose_:
    case Rule::broadcast_to_:
    case Rule::squeeze_:
    case Rule::unsqueeze_:
    case Rule::concat_:
    case Rule::slice_:
    case Rule::insert_:
    case Rule::repeat_:
      return shape_row(op);
    case Rule::load_:
    case Rule::store_:
    case Rule::gather_:
    case Rule::scatter_:
    case Rule::atomic_:
    case Rule::wait_:
    case Rule::smem_:
    case Rule::alias_:
      return memory_row(op);
  }
  return false;
}

}  // namespace tess::gen
