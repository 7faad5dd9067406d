// wgmma: descriptors from the shared tiles' layouts, accumulators in place.
//
// A warpgroup multiplies 64 rows of A by n columns of B, 256 bits of k at a time. Its accumulators
// are variables that only the instruction itself, and what stands behind the wait, may touch. So
// the wait names them, and registers of A are copied into ones of the instruction's own behind a
// wait for the last use of those.
#include <algorithm>

#include "isa/layout_atoms.h"
#include "jit/lower/copy_guard.h"
#include "jit/lower/pieces.h"
#include "jit/lower/shared_matrix.h"

namespace tess::jit {
namespace {

std::string type_word(DType t) {
  if (t == dt::f16_) return "f16";
  if (t == dt::bf16_) return "bf16";
  if (t.is_tf32()) return "tf32";
  if (t.is_int()) return t.is_signed() ? "s8" : "u8";
  return t.exp == 4 ? "e4m3" : "e5m2";
}

std::string fragment_word(DType t) {
  if (t.bits == 16) return "f16";
  return t.is_tf32() ? "tf32" : "s8";
}

bool is_multiplied(DType t) {
  if (t == dt::f16_ || t == dt::bf16_ || t.is_tf32()) return true;
  if (t.bits != 8) return false;
  return t.is_int() || (t.exp == 4 && t.man == 3) || (t.exp == 5 && t.man == 2);
}

// One operand in shared memory: `mn` is its dimension of rows (A) or columns (B), `k` the other.
struct Operand2d {
  SharedOrigin origin;
  int span = 0;
  bool mn_major = false;
  int64_t leading = 0, stride = 0;  // bytes
  int bytes = 2;
  bool mn_first = false;                   // A: [mn, k]; B: [k, mn]
  std::vector<int64_t> along_mn, along_k;  // elements
};

std::vector<int64_t> offsets_along(const SharedOrigin& o, int dim, int64_t n) {
  std::vector<int64_t> out, at(2, 0);
  int64_t zero = o.linear(at);
  for (int64_t x = 0; x < n; ++x) {
    at[static_cast<size_t>(dim)] = x;
    out.push_back(o.linear(at) - zero);
  }
  return out;
}

// Whether the elements [from, from + n) lie as `want(i)` elements from the first.
template <class Want>
bool lies(const std::vector<int64_t>& at, int64_t from, int64_t n, Want want) {
  for (int64_t i = 0; i < n; ++i)
    if (at[static_cast<size_t>(from + i)] - at[static_cast<size_t>(from)] != want(i)) return false;
  return true;
}

bool describe(Operand2d& o, int64_t mn, int64_t k) {
  int64_t unit = 16 / o.bytes, row = o.span ? o.span / o.bytes : unit;
  auto n_mn = static_cast<int64_t>(o.along_mn.size()), n_k = static_cast<int64_t>(o.along_k.size());
  auto step = [](const std::vector<int64_t>& at, int64_t i) {
    return i < static_cast<int64_t>(at.size()) ? at[static_cast<size_t>(i)] : 0;
  };
  o.mn_major = step(o.along_k, 1) != 1 && step(o.along_mn, 1) == 1;
  auto all = [&](const std::vector<int64_t>& at, int64_t total, int64_t n, auto want) {
    for (int64_t from = 0; from < total; from += n)
      if (!lies(at, from, n, want)) return false;
    return true;
  };
  if (!o.mn_major) {
    int64_t eight = step(o.along_mn, 8), next = step(o.along_k, unit);
    o.stride = eight * o.bytes;
    o.leading = o.span ? 16 : next * o.bytes;
    if (n_mn <= 8) eight = 8 * row, o.stride = eight * o.bytes;
    return all(o.along_mn, n_mn, mn, [&](int64_t i) { return i % 8 * row + i / 8 * eight; }) &&
           all(o.along_k, n_k, k,
               [&](int64_t i) { return o.span ? i : i % unit + i / unit * next; });
  }
  if (o.bytes != 2) return false;
  int64_t eight = step(o.along_k, 8), next = step(o.along_mn, row);
  o.stride = (o.span ? eight : next) * o.bytes;
  o.leading = (o.span ? next : eight) * o.bytes;
  return all(o.along_mn, n_mn, mn, [&](int64_t i) { return i % row + i / row * next; }) &&
         all(o.along_k, n_k, k, [&](int64_t i) { return i % 8 * row + i / 8 * eight; });
}

// It reads its operands by descriptors, which know no bounds.
bool certainly_outside(Lowering& l, const Part& part) {
  auto known = [](const Operand& o) { return o.is_imm() || o.kind == Operand::Kind::none; };
  bool all = known(part.view.use);
  for (const Bound& b : part.bounds) all &= known(b.origin) && known(b.extent);
  return all && partly_outside(l, part).bits;
}

std::optional<Operand2d> shared_operand(Lowering& l, size_t arg, bool is_a, int64_t mn, int64_t k) {
  Part part = l.part_of_arg(arg);
  Operand2d o;
  auto fail = [&](std::string what) {
    l.unsupported(std::string(is_a ? "A: " : "B: ") + what,
                  "leave the shared tile's layout out, or write one of tma.K.* and tma.MN.*");
    return std::nullopt;
  };
  if (part.view.space != Space::shared || part.view.rank() != 2 || part.gather_dim >= 0)
    return fail("the operand is no shared matrix");
  if (certainly_outside(l, part)) return fail("some of the operand is not there");
  auto span = swizzle_span(*part.view.memory, part.view.type);
  if (!span) return fail("this swizzle is not one of the hardware's");
  o.span = *span;
  o.bytes = part.view.type.bits / 8;
  o.origin = shared_origin(l, part);
  if (!o.origin.valid) return fail("where the tile begins is not known to be aligned");
  int64_t atom = o.span ? 8 * o.span : 16;
  if (o.origin.divisor % atom)
    return fail("where the tile begins is not a multiple of its swizzle");
  o.mn_first = is_a;
  int mn_dim = is_a ? 0 : 1;
  o.along_mn = offsets_along(o.origin, mn_dim, part.shape[mn_dim]);
  o.along_k = offsets_along(o.origin, 1 - mn_dim, part.shape[1 - mn_dim]);
  if (!describe(o, mn, k)) return fail("the tile does not lie in memory as wgmma reads it");
  o.origin.address =
      l.emit().add(o.origin.address, b32(static_cast<uint64_t>(o.origin.linear({0, 0}) * o.bytes)));
  return o;
}

Operand descriptor(Lowering& l, const Operand2d& o, int64_t mn, int64_t k, Operand group_bytes) {
  Emit& e = l.emit();
  uint64_t mode = o.span == 128 ? 1 : o.span == 64 ? 2 : o.span == 32 ? 3 : 0;
  Operand low = e.add(e.lshr(e.add(o.origin.address, group_bytes), 4),
                      b32(static_cast<uint64_t>(o.leading >> 4) << 16));
  int64_t at = (o.along_mn[static_cast<size_t>(mn)] + o.along_k[static_cast<size_t>(k)]) * o.bytes;
  low = e.add(low, b32(static_cast<uint64_t>(at >> 4)));
  return e.join(low, b32(static_cast<uint64_t>(o.stride >> 4) | mode << 30));
}

// Bytes from the first warpgroup's part of an operand to this one's.
Operand group_offset(Lowering& l, const TileLayout& acc, const Operand2d& o, int dim) {
  Emit& e = l.emit();
  Operand out = b32(0);
  auto at = [&](int64_t warp) {
    LayoutPoint p;
    p.warp = warp;
    return apply(acc.layout, p)[static_cast<size_t>(dim)];
  };
  for (int64_t g = 1; 4 * g < acc.warps; ++g) {
    int64_t bytes = o.along_mn[static_cast<size_t>(at(4 * g) - at(0))] * o.bytes;
    if (bytes || !(out.is_imm() && out.bits == 0))
      out = e.sel(e.eq(e.lshr(l.warp(), 2), b32(static_cast<uint64_t>(g))),
                  b32(static_cast<uint64_t>(bytes)), out);
  }
  return out;
}

// The accumulators: variables with the words of c, or unread where c is 0.
struct Accumulator {
  Words variables;
  bool zero = false;
};

bool is_zero(Lowering& l, Ref c) {
  return c.is_constant() && l.kernel().constants[c.index()].code == 0;
}

}  // namespace

void wait_for_wgmma(Lowering& l, uint32_t groups, const std::vector<uint32_t>& landed) {
  Emit& e = l.emit();
  std::vector<Operand> held[2];
  for (uint32_t site : landed)
    if (const std::vector<Operand>* words = l.accumulators_of(site))
      for (const Operand& w : *words) {
        auto& list = held[w.type == RegClass::f32 ? 0 : 1];
        if (std::find(list.begin(), list.end(), w) == list.end()) list.push_back(w);
      }
  constexpr size_t kMost = 240;
  bool waited = false;
  for (int c = 0; c < 2; ++c)
    for (size_t first = 0; first < held[c].size(); first += kMost) {
      std::vector<Operand> part(
          held[c].begin() + static_cast<std::ptrdiff_t>(first),
          held[c].begin() + static_cast<std::ptrdiff_t>(std::min(held[c].size(), first + kMost)));
      e.form_in_place(c ? "wgmma.wait_group.sync.aligned.~b" : "wgmma.wait_group.sync.aligned.~f",
                      part, {b32(groups)});
      waited = true;
    }
  if (!waited) e.form("wgmma.wait_group.sync.aligned", {b32(groups)});
}

void settle_wgmma(Lowering& l) {
  const Flights& flights = l.flights();
  auto it = flights.settle.find(l.pc());
  if (it == flights.settle.end()) return;
  wait_for_wgmma(l, it->second.groups, it->second.landed);
}

LOWER(wgmma) {
  Emit& e = l.emit();
  const Kernel& k = l.kernel();
  const Type& type = l.result_type();
  const TileLayout* layout = l.result_layout();
  if (!layout) return;
  Ref ra = l.arg_ref(0);
  bool a_in_registers = ra.is_value() && k.values[ra.index()].type.space == Space::reg;
  Tile a;
  DType ta, tb = l.part_of_arg(1).view.type;
  if (a_in_registers) {
    a = l.arg(0);
    ta = a.type;
  } else {
    ta = l.part_of_arg(0).view.type;
  }
  if (!is_multiplied(ta) || !is_multiplied(tb) || (ta.bits == 16 && ta != tb))
    return l.unsupported("there is no wgmma of these types", "cast the operands, or use `mma`");
  int64_t step = 256 / ta.bits, depth = l.part_of_arg(1).shape[0];

  // The widest instruction of whose accumulators the tile is made.
  std::optional<Pieces> c;
  int64_t n = 0;
  for (int64_t width = std::min<int64_t>(256, type.shape[1]); width >= 8 && !c; width -= 8) {
    if (type.shape[1] % width || (type.dtype.is_int() && width > 32 && width % 16) ||
        (type.dtype.is_int() && width == 40))
      continue;
    auto atom = named_atom("wgmma.m64n" + std::to_string(width) + ".C");
    if (!atom) continue;
    c = pieces_of(l, *layout, *atom, 64, static_cast<int>(width));
    n = width;
  }
  if (!c || layout->warps % 4 || layout->warps != l.strand().warps)
    return l.unsupported("the accumulator's layout is not one of wgmma's",
                         "leave the layout out, or write wgmma.m64nN.C");
  std::optional<Pieces> pa;
  if (a_in_registers) {
    auto atom = named_atom("wgmma.m64k" + std::to_string(step) + "." + fragment_word(ta) + ".A");
    if (atom) pa = pieces_of(l, *a.layout, *atom, 64, static_cast<int>(step));
    if (!pa)
      return l.unsupported("A's layout is not the fragment of wgmma", "leave the layout out");
  }
  std::optional<Operand2d> sa, sb = shared_operand(l, 1, false, n, step);
  if (!a_in_registers) sa = shared_operand(l, 0, true, 64, step);
  if (!sb || (!a_in_registers && !sa)) return;

  const Flights& flights = l.flights();
  uint32_t value = l.result_value();
  Ref rc = l.arg_ref(2);
  bool zero = is_zero(l, rc), in_place = rc.is_value() && rc.index() == value;
  // Another name's accumulators are copied, which they must have landed for.
  auto before = flights.before.find(l.pc());
  bool waits_all = false;
  if (!zero && !in_place && rc.is_value() && before != flights.before.end())
    for (uint32_t site : before->second)
      waits_all |= k.results(k.code[site])[0].index() == rc.index();
  auto again = flights.again.find(l.pc());
  if (waits_all || (a_in_registers && again != flights.again.end())) {
    int groups = waits_all ? 0 : again->second;
    if (groups < 0 || waits_all) e.form("wgmma.commit_group.sync.aligned", {});
    std::vector<uint32_t> landed;
    if (waits_all) landed = before->second;
    wait_for_wgmma(l, static_cast<uint32_t>(std::max(groups, 0)), landed);
  }
  Words acc = l.accumulator_variables(value);
  if (!zero && !in_place) {
    Words from = l.broadcast_words(l.arg(2), type.shape, layout);
    for (size_t i = 0; i < acc.size(); ++i) {
      // A constant would be put there by the instruction itself, behind the fence.
      Operand word = from[i];
      if (word.is_imm()) word = e.form1("mov.b32.~here", {b32(word.bits)});
      if (word.type != acc[i].type) word = e.op(BlockOp::as_f32, {word});
      e.assign(acc[i], word);
    }
  }

  // A's words, piece by piece.
  std::map<At, size_t> first_a;
  Words words_a;
  int64_t per_a = ta.bits >= 32 ? 1 : 32 / ta.bits;
  if (a_in_registers) {
    std::vector<int64_t> order;
    for (const auto& [origin, registers] : pa->registers) {
      first_a[origin] = order.size() / static_cast<size_t>(per_a);
      order.insert(order.end(), registers.begin(), registers.end());
    }
    words_a = l.permuted(ta, a.words, a.elements(), order);
    for (Operand& w : words_a) {
      if (w.type == RegClass::f32) w = e.op(BlockOp::as_b32, {w});
      w = e.form1("mov.b32.~here", {w});
    }
  }
  l.publish();
  e.form("wgmma.fence.sync.aligned", {});
  std::string acc_word = type.dtype == dt::f16_ ? "f16" : type.dtype.is_int() ? "s32" : "f32";
  std::string opcode = "wgmma.mma_async.sync.aligned.m64n" + std::to_string(n) + "k" +
                       std::to_string(step) + "." + acc_word + "." + type_word(ta) + "." +
                       type_word(tb) + (a_in_registers ? "" : ".~ss");
  int64_t per_c = type.dtype == dt::f16_ ? 2 : 1;
  Operand group_a = b32(0), group_b = group_offset(l, *layout, *sb, 1);
  if (sa) group_a = group_offset(l, *layout, *sa, 0);
  for (const auto& [origin, registers] : c->registers) {
    std::vector<Operand> variables;
    for (size_t i = 0; i < registers.size(); i += static_cast<size_t>(per_c)) {
      if (per_c == 2 && (registers[i] % 2 || registers[i + 1] != registers[i] + 1))
        return l.unsupported("pairs of the accumulator lie apart");
      variables.push_back(acc[static_cast<size_t>(registers[i] / per_c)]);
    }
    for (int64_t at = 0; at < depth; at += step) {
      std::vector<Operand> args;
      if (a_in_registers) {
        auto it = first_a.find({origin[0], at});
        if (it == first_a.end()) return l.broken("a piece of A is missing");
        args.assign(words_a.begin() + static_cast<std::ptrdiff_t>(it->second),
                    words_a.begin() + static_cast<std::ptrdiff_t>(it->second + 4));
      } else {
        args.push_back(descriptor(l, *sa, origin[0], at, group_a));
      }
      args.push_back(descriptor(l, *sb, origin[1], at, group_b));
      bool first = zero && at == 0;
      if (!first) args.push_back(b32(1));
      if (ta.bits == 16) {
        if (sa) args.push_back(b32(sa->mn_major));
        args.push_back(b32(sb->mn_major));
      }
      e.form_in_place(opcode + (first ? ".~zero" : ""), variables, args);
    }
  }
  l.set_accumulators(l.pc(), acc);
}

LOWER(wgmma_commit) { l.emit().form("wgmma.commit_group.sync.aligned", {}); }
LOWER(wgmma_fence) { l.emit().form("wgmma.fence.sync.aligned", {}); }
LOWER(wgmma_wait) {
  const auto& landed = l.flights().landed;
  auto it = landed.find(l.pc());
  wait_for_wgmma(l, static_cast<uint32_t>(l.scalar(0).bits),
                 it == landed.end() ? std::vector<uint32_t>{} : it->second);
}

}  // namespace tess::jit
