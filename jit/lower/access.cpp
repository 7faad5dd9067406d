// Tiles between registers and memory: the widest accesses that layout, strides, alignment and
// bounds allow.
#include "jit/lower/access.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>
#include <numeric>

#include "isa/layout_ops.h"
#include "jit/lower/guard.h"

namespace tess::jit {
namespace {

int memory_bits(DType t) { return t.is_bool() ? 8 : t.bits; }

// Runs of `run` registers along dimension d, `step` apart, or none if the registers form no such.
std::vector<int64_t> runs_of(const TileLayout& l, int d, int64_t run, int64_t step = 1) {
  std::map<std::vector<int64_t>, std::vector<int64_t>> runs;
  std::vector<const std::vector<int64_t>*> order;
  for (int64_t r = 0; r < l.registers; ++r) {
    std::vector<int64_t> key = l.at[static_cast<size_t>(r)];
    int64_t within = key[static_cast<size_t>(d)] / step % run;
    key[static_cast<size_t>(d)] -= within * step;
    auto [it, fresh] = runs.try_emplace(key, std::vector<int64_t>(static_cast<size_t>(run), -1));
    if (fresh) order.push_back(&it->second);
    if (it->second[static_cast<size_t>(within)] < 0) it->second[static_cast<size_t>(within)] = r;
  }
  std::vector<int64_t> out;
  for (const std::vector<int64_t>* run_regs : order)
    for (int64_t r : *run_regs) {
      if (r < 0) return {};
      out.push_back(r);
    }
  return out;
}

bool aligned_to(const Part& part, const TileLayout& l, int d, int64_t run, int64_t step) {
  const MemoryView& v = part.view;
  if (thread_bits(l, d) & static_cast<uint64_t>((run - 1) * step)) return false;
  size_t unit = static_cast<size_t>(v.dim[static_cast<size_t>(d)]);
  if (v.start_divisor[unit] % (run * step) || (v.ends() && v.room_divisor % run)) return false;
  if (v.space == Space::global)
    for (size_t s = 0; s < v.start.size(); ++s) {
      if (s == unit || v.stride_divisor[s] % run == 0) continue;
      bool is_point = std::find(v.dim.begin(), v.dim.end(), static_cast<int>(s)) == v.dim.end();
      int64_t d_start = v.start_divisor[s], d_stride = v.stride_divisor[s];
      int64_t both =
          d_start >= (1 << 20) ? 1 << 20 : d_start * std::min<int64_t>(d_stride, 1 << 20);
      if (!is_point || both % run) return false;
    }
  for (const Bound& b : part.bounds)
    if (b.dim == d && (b.origin_divisor % (run * step) || b.extent_divisor % (run * step)))
      return false;
  return true;
}

const char* space_word(const MemoryView& v) {
  return v.space == Space::global ? "global" : v.remote ? "shared::cluster" : "shared";
}

// Pieces of memory, in order, gathered into words.
struct Stream {
  Lowering& l;
  DType type;
  Words words;
  int64_t bit = 0;

  void add(Operand piece, int bytes) {
    Emit& e = l.emit();
    if (bytes >= 4) {
      words.push_back(piece);
      bit += bytes * 8;
      return;
    }
    uint32_t at = static_cast<uint32_t>(bit % 32);
    if (at == 0) words.push_back(piece);
    else words.back() = e.or_(words.back(), e.shl(piece, at));
    bit += bytes * 8;
  }
};

struct Unit {
  std::string words;  // of the opcode: "v4.b32"
  int count = 1;      // registers
  RegClass type = RegClass::b32;
};
Unit unit_of(DType t, int bytes) {
  RegClass c = word_class(t);
  if (t.is_bool() || t.bits < 32) c = RegClass::b32;
  int each = class_bytes(c);
  if (bytes < each) {
    if (bytes == 2) return {"b16", 1, RegClass::b16};
    return {"u8", 1, RegClass::b32};
  }
  int count = bytes / each;
  return {fmt::format("{}{}",
                      count == 4   ? "v4."
                      : count == 2 ? "v2."
                                   : "",
                      class_name(c)),
          count, c};
}

}  // namespace

StorageRun storage_run(const MemoryView& v, int d) {
  size_t s = static_cast<size_t>(v.dim[static_cast<size_t>(d)]);
  if (v.space == Space::global) {
    if (!v.stride[s].is_imm() || v.stride[s].bits != 1) return {};
    return {int64_t{1} << 20, 1};
  }
  const Layout& m = *v.memory;
  int64_t run = 0, step = 1;
  for (const Digit& g : m.digits)
    if (g.label == Label::dim && g.dim == s) {
      if (g.out[0] == 1) run = g.size & -g.size;
      if (run || !std::has_single_bit(static_cast<uint64_t>(g.size))) break;
      step *= g.size;
    }
  if (!run) return {};
  for (const Digit& g : m.digits)
    if (!(g.label == Label::dim && g.dim == s && g.out[0] == 1) && g.out[0] != 0)
      run = std::min(run, g.out[0] & -g.out[0]);
  if (!m.offset.empty() && m.offset[0]) run = std::min(run, m.offset[0] & -m.offset[0]);
  if (!m.bits.identity()) {
    // Low bits stay themselves, and nothing else comes to them.
    int64_t kept = 1;
    for (size_t b = 0; b < m.bits.columns.size(); ++b, kept *= 2) {
      bool clean = m.bits.columns[b][0] == int64_t{1} << b;
      for (size_t o = 0; o < m.bits.columns.size(); ++o)
        if (o != b && (m.bits.columns[o][0] >> b & 1)) clean = false;
      if (!clean) break;
    }
    run = std::min(run, kept);
  }
  return {run, step};
}

AccessPlan plan_access(Lowering& l, const Part& part, const TileLayout& layout, bool masked) {
  AccessPlan plan;
  int bits = memory_bits(part.view.type);
  for (int64_t r = 0; r < layout.registers; ++r) plan.registers.push_back(r);
  if (bits % 8 == 0) plan.unit = bits / 8;
  if (layout.layout.shape.empty()) return plan;
  plan.registers = runs_of(layout, 0, 1);
  for (int d = 0; d < part.view.rank() && !masked; ++d) {
    if (d == part.gather_dim) continue;
    auto [longest, step] = storage_run(part.view, d);
    for (int64_t run = 2; run <= longest && run <= layout.registers; run *= 2) {
      if (!aligned_to(part, layout, d, run, step)) break;
      std::vector<int64_t> registers = runs_of(layout, d, run, step);
      if (registers.empty()) break;
      if (run * bits % 8) continue;
      int64_t bytes = run * bits / 8;
      int unit = static_cast<int>(
          std::min<int64_t>({bytes & -bytes, 16, part.view.alignment & -part.view.alignment}));
      if (unit < plan.unit || (unit == plan.unit && run <= plan.run)) continue;
      plan = {run, unit, std::move(registers)};
    }
  }
  return plan;
}

std::string cache_words(const Lowering& l) {
  if (l.has(AttrTag::evict_first)) return ".L1::evict_first";
  if (l.has(AttrTag::evict_last)) return ".L1::evict_last";
  if (l.has(AttrTag::no_allocate)) return ".L1::no_allocate";
  return "";
}

namespace {

// Below a byte: one element from the one or two bytes it lies in.
Operand load_bits(Lowering& l, Operand element, const MemoryView& v, const std::string& opcode) {
  Emit& e = l.emit();
  uint32_t bits = static_cast<uint32_t>(memory_bits(v.type));
  Operand bit = e.mul(element, Operand::imm(bits, element.type));
  Operand byte = e.add(v.base, e.lshr(bit, 3));
  Operand shift = element.type == RegClass::b64 ? e.trunc(bit) : bit;
  shift = e.and_(shift, b32(7));
  Operand value = e.variable(RegClass::b32, "bits");
  e.assign(value, e.form1(opcode, {byte, b32(0)}));
  if (8 % bits != 0) {  // may straddle
    e.begin_if(e.ult(b32(8 - bits), shift));
    Operand next = e.form1(opcode, {byte, b32(1)});
    e.assign(value, e.or_(value, e.shl(next, 8)));
    e.end();
  }
  return e.form1("shr.u32", {e.snapshot(value), shift});
}

// The same, written: its bits of the 32-bit word are cleared and set, each by one reduction, so
// that others may write the word's other bits at the same time.
void store_bits(Lowering& l, Operand element, const MemoryView& v, Operand code) {
  Emit& e = l.emit();
  uint32_t bits = static_cast<uint32_t>(memory_bits(v.type));
  bool global = v.space == Space::global;
  Operand bit = e.mul(element, Operand::imm(bits, element.type));
  Operand first = global ? e.trunc(bit) : bit;
  // Byte by byte, since an element may lie in two words.
  uint32_t mask = (1u << bits) - 1;
  Operand in_byte = e.and_(first, b32(7));
  Operand spread = e.form1("shl.b32", {e.and_(code, b32(mask)), in_byte});
  Operand spread_mask = e.form1("shl.b32", {b32(mask), in_byte});
  Operand byte = e.add(v.base, e.lshr(bit, 3));
  for (uint32_t part = 0; part < (8 % bits ? 2u : 1u); ++part) {
    Operand value = e.and_(e.lshr(spread, 8 * part), b32(255));
    Operand keep = e.and_(e.lshr(spread_mask, 8 * part), b32(255));
    if (part) e.begin_if(e.ne(keep, b32(0)));
    Operand at = part ? e.add(byte, Operand::imm(1, byte.type)) : byte;
    Operand low = e.and_(global ? e.trunc(at) : at, b32(3));
    Operand word = e.and_(at, global ? b64(~uint64_t{3}) : b32(~3u));
    Operand shift = e.shl(low, 3);
    Operand new_bits = e.form1("shl.b32", {value, shift});
    Operand changed = e.form1("shl.b32", {keep, shift});
    std::string place = global ? "gpu.global" : "cta.shared";
    e.form(fmt::format("red.relaxed.{}.and.b32", place), {word, b32(0), e.not_(changed)});
    e.form(fmt::format("red.relaxed.{}.or.b32", place), {word, b32(0), new_bits});
    if (part) e.end();
  }
}

// What guard mode reports if it was asked to: elements that are wanted and out of bounds.
void report_outside(Lowering& l, const AccessPlan& plan, Addresser& where, Operand acts,
                    const Words* mask) {
  if (!l.options().report_out_of_bounds) return;
  Emit& e = l.emit();
  Operand any = pred(false);
  for (size_t i = 0; i < plan.registers.size(); i += static_cast<size_t>(plan.run)) {
    int64_t reg = plan.registers[i];
    Operand outside = e.not_(where.inside(reg));
    if (mask) outside = e.and_(outside, (*mask)[static_cast<size_t>(reg)]);
    any = e.or_(any, outside);
  }
  fault_if(l, e.and_(acts, any), diag::run_out_of_bounds);
}

}  // namespace

bool in_whole_bytes(Lowering& l, const Part& part, const TileLayout& layout) {
  return plan_access(l, part, layout, false).unit != 0;
}

Words load_part(Lowering& l, const Part& part, const Tile& like, const Tile* mask, uint64_t pad) {
  Emit& e = l.emit();
  const TileLayout& layout = *like.layout;
  const MemoryView& v = part.view;
  AccessPlan plan = plan_access(l, part, layout, mask != nullptr);
  Addresser where(l, part, layout);
  bool global = v.space == Space::global;
  bool immutable = global && v.root < l.kernel().params.size() &&
                   l.kernel().params[v.root].dir == Direction::in &&
                   !l.kernel().params[v.root].may_alias;
  DType memory_type = v.type.is_bool() ? dt::u8_ : v.type;
  std::string opcode = fmt::format("ld.{}{}{}.", space_word(v), immutable ? ".nc" : "",
                                   global ? cache_words(l) : "");
  Operand holds = l.holds_elements(layout);
  Words mask_words;
  if (mask) mask_words = l.broadcast_words(*mask, like.shape, &layout);
  report_outside(l, plan, where, holds, mask ? &mask_words : nullptr);

  int64_t n = static_cast<int64_t>(plan.registers.size());
  int pieces = plan.unit ? static_cast<int>(plan.run * memory_bits(v.type) / 8 / plan.unit) : 1;
  Stream stream{l, memory_type, {}, 0};
  std::vector<Operand> slow;
  Constant pad_code{memory_type, v.type.is_bool() ? (pad != 0) : pad};
  if (plan.unit) where.at(plan.registers[0]);  // what all addresses share, before any branch
  // Loads under one condition stand in one branch.
  struct Piece {
    Address at;
    Operand element;
  };
  for (int64_t first = 0; first < n;) {
    Operand condition = e.and_(holds, where.inside(plan.registers[static_cast<size_t>(first)]));
    if (mask)
      condition = e.and_(
          condition, mask_words[static_cast<size_t>(plan.registers[static_cast<size_t>(first)])]);
    int64_t last = first + plan.run;
    while (last < n) {
      Operand next = e.and_(holds, where.inside(plan.registers[static_cast<size_t>(last)]));
      if (mask)
        next = e.and_(next,
                      mask_words[static_cast<size_t>(plan.registers[static_cast<size_t>(last)])]);
      if (!(next == condition)) break;
      last += plan.run;
    }
    bool always = condition.is_imm() && condition.bits;
    bool never = condition.is_imm() && !condition.bits;
    std::vector<Operand> got;   // in order, of pieces or elements
    std::vector<Operand> kept;  // variables, where the load may not happen
    Unit unit = plan.unit ? unit_of(memory_type, plan.unit) : Unit{"u8", 1, RegClass::b32};
    int64_t count = (last - first) / plan.run * pieces * unit.count;
    if (!always) {
      // What a piece reads as where it is not loaded.
      Words pads;
      if (plan.unit) {
        size_t elements = static_cast<size_t>(last - first);
        Operand code = Operand::imm(pad_code.code, element_class(memory_type));
        pads = l.pack(memory_type, std::vector<Operand>(elements, code));
      }
      for (int64_t i = 0; i < count; ++i) {
        Operand var = e.variable(unit.type, "loaded");
        Operand value = Operand::imm(0, unit.type);
        if (!plan.unit) {
          value = b32(pad_code.code);
        } else if (class_bytes(unit.type) * unit.count >= 4 && plan.unit >= 4) {
          value = pads[static_cast<size_t>(i)];
        } else {
          int64_t bit = i * plan.unit * 8;
          uint64_t word = pads[static_cast<size_t>(bit / 32)].bits >> (bit % 32);
          value = Operand::imm(word & (plan.unit == 2 ? 0xffff : 0xff), unit.type);
        }
        e.assign(var, value);
        kept.push_back(var);
      }
      if (!never) e.begin_if(condition);
    }
    if (!never)
      for (int64_t i = first; i < last; i += plan.run) {
        int64_t reg = plan.registers[static_cast<size_t>(i)];
        if (!plan.unit) {
          got.push_back(load_bits(l, where.element_at(reg), v, opcode + "u8"));
          continue;
        }
        Address at = where.at(reg);
        for (int p = 0; p < pieces; ++p) {
          std::vector<Operand> loaded =
              e.form(opcode + unit.words,
                     {at.base, b32(static_cast<uint32_t>(at.offset + p * plan.unit))});
          got.insert(got.end(), loaded.begin(), loaded.end());
        }
      }
    if (!always) {
      for (size_t i = 0; i < got.size(); ++i) e.assign(kept[i], got[i]);
      if (!never) e.end();
      got.clear();
      for (const Operand& k : kept) got.push_back(e.snapshot(k));
    }
    for (const Operand& g : got) {
      if (!plan.unit) slow.push_back(g);
      else
        stream.add(g.type == RegClass::b16 ? e.op(BlockOp::zext16, {g}) : g,
                   std::min(plan.unit, class_bytes(unit.type)));
    }
    first = last;
  }
  // From the order of memory to that of registers.
  std::vector<int64_t> place(static_cast<size_t>(layout.registers), -1);
  std::map<std::vector<int64_t>, int64_t> at;
  for (int64_t i = 0; i < n; ++i)
    at[layout.at[static_cast<size_t>(plan.registers[static_cast<size_t>(i)])]] = i;
  for (int64_t r = 0; r < layout.registers; ++r)
    place[static_cast<size_t>(r)] = at[layout.at[static_cast<size_t>(r)]];
  Words words = plan.unit ? stream.words : l.pack(memory_type, slow);
  words = l.permuted(memory_type, words, n, place);
  if (v.type.is_bool()) {
    Words out;
    for (const Operand& b : l.elements(memory_type, words, layout.registers))
      out.push_back(e.ne(b, b32(0)));
    return out;
  }
  return words;
}

void store_part(Lowering& l, const Part& part, const Tile& value, const Tile* mask,
                std::optional<Operand> writer) {
  Emit& e = l.emit();
  const TileLayout& layout = *value.layout;
  const MemoryView& v = part.view;
  AccessPlan plan = plan_access(l, part, layout, mask != nullptr);
  Addresser where(l, part, layout);
  bool global = v.space == Space::global;
  DType memory_type = v.type.is_bool() ? dt::u8_ : v.type;
  std::string opcode = fmt::format("st.{}{}.", space_word(v), global ? cache_words(l) : "");
  Operand holds = writer ? *writer : l.is_first_copy(layout);
  Words mask_words;
  if (mask) mask_words = l.broadcast_words(*mask, value.shape, &layout);
  report_outside(l, plan, where, holds, mask ? &mask_words : nullptr);
  Words source = value.words;
  if (v.type.is_bool()) {
    std::vector<Operand> bytes;
    for (const Operand& p : value.words) bytes.push_back(e.sel(p, b32(1), b32(0)));
    source = l.pack(memory_type, bytes);
  }
  int64_t n = static_cast<int64_t>(plan.registers.size());
  Words words = l.permuted(memory_type, source, layout.registers, plan.registers);
  std::vector<Operand> codes;
  if (!plan.unit) codes = l.elements(memory_type, words, n);
  Unit unit = plan.unit ? unit_of(memory_type, plan.unit) : Unit{};
  int pieces = plan.unit ? static_cast<int>(plan.run * memory_bits(v.type) / 8 / plan.unit) : 1;
  if (plan.unit) where.at(plan.registers[0]);  // what all addresses share, before any branch
  // All conditions before the first branch, which would hide what is computed inside of it.
  std::vector<Operand> conditions;
  for (int64_t i = 0; i < n; i += plan.run) {
    int64_t reg = plan.registers[static_cast<size_t>(i)];
    Operand condition = e.and_(holds, where.inside(reg));
    if (mask) condition = e.and_(condition, mask_words[static_cast<size_t>(reg)]);
    conditions.push_back(condition);
  }
  Operand open = pred(true);
  bool is_open = false;
  for (int64_t i = 0; i < n; i += plan.run) {
    int64_t reg = plan.registers[static_cast<size_t>(i)];
    Operand condition = conditions[static_cast<size_t>(i / plan.run)];
    if (condition.is_imm() && !condition.bits) continue;
    if (is_open && !(condition == open)) {
      e.end();
      is_open = false;
    }
    if (!is_open && !condition.is_imm()) {
      e.begin_if(condition);
      open = condition;
      is_open = true;
    }
    if (!plan.unit) {
      store_bits(l, where.element_at(reg), v, codes[static_cast<size_t>(i)]);
      continue;
    }
    Address at = where.at(reg);
    int64_t bit = i * memory_bits(v.type);
    for (int p = 0; p < pieces; ++p, bit += plan.unit * 8) {
      std::vector<Operand> args{at.base, b32(static_cast<uint32_t>(at.offset + p * plan.unit))};
      if (plan.unit >= class_bytes(word_class(memory_type)) && plan.unit >= 4) {
        int64_t word_bits = class_bytes(unit.type) * 8;
        for (int c = 0; c < unit.count; ++c)
          args.push_back(words[static_cast<size_t>(bit / word_bits + c)]);
      } else {
        Operand word = words[static_cast<size_t>(bit / 32)];
        Operand piece = e.lshr(word, static_cast<uint32_t>(bit % 32));
        args.push_back(plan.unit == 2 ? e.op(BlockOp::trunc16, {piece}) : piece);
      }
      e.form(opcode + unit.words, args);
    }
  }
  if (is_open) e.end();
  // Lanes that had to try again come together before the next aligned instruction.
  if (!plan.unit) e.form("bar.warp.sync", {b32(0xffffffff)});
}

}  // namespace tess::jit
