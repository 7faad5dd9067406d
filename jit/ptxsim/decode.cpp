#include "jit/ptxsim/decode.h"

#include <fmt/format.h>

#include <bit>

namespace tess::ptxsim {

int Builder::bits_of(std::string_view t) {
  if (t == "pred") return 1;
  if (t == "f16x2" || t == "bf16x2" || t == "u16x2" || t == "s16x2" || t == "tf32") return 32;
  if (t == "bf16") return 16;
  if (t.size() < 2 || (t[0] != 'b' && t[0] != 'u' && t[0] != 's' && t[0] != 'f')) return 0;
  std::string_view n = t.substr(1);
  if (n == "8") return 8;
  if (n == "16") return 16;
  if (n == "32") return 32;
  if (n == "64") return 64;
  if (n == "128") return 128;
  return 0;
}

bool Builder::expect_operands(size_t low, size_t high) {
  if (high == 0) high = low;
  if (count() >= low && count() <= high) return true;
  return fail(low == high ? fmt::format("takes {} operands, found {}", low, count())
                          : fmt::format("takes {} to {} operands, found {}", low, high, count()));
}

void Builder::touch(int32_t what, const std::string& name, bool is_use) {
  (is_use ? used : defined).emplace_back(what, name);
}

Row Builder::constant(uint64_t value, int bits) {
  bool wide = bits > 32;
  if (!wide) value &= bits >= 32 ? 0xffffffffull : (1ull << bits) - 1;
  auto [it, fresh] = state.constants.try_emplace({value, wide ? 64 : 32}, 0);
  if (fresh) {
    auto& c = program.constants;
    while (c.size() % 16) c.push_back(0);
    it->second = ~Row(c.size());
    for (int l = 0; l < 32; ++l) {
      c.push_back(uint32_t(value));
      if (wide) c.push_back(uint32_t(value >> 32));
    }
    if (wide && bits == 128)
      for (int l = 0; l < 64; ++l) c.push_back(0);
  }
  return it->second;
}

Row Builder::scratch(int bits) {
  Row r = program.reg_words;
  program.reg_words += bits > 64 ? 128 : bits > 32 ? 64 : 32;
  return r;
}

int32_t Builder::scratch_predicate() { return program.pred_count++; }

int Builder::register_bits(const Operand& o) const {
  if (o.kind != OpKind::reg) return 0;
  const ScalarType& t = function.source->regs[o.index];
  return t.kind == 'p' ? 1 : t.bits;
}

static int row_class(int bits) { return bits > 64 ? 128 : bits > 32 ? 64 : 32; }

Row Builder::source(const Operand& o, int bits, bool real) {
  switch (o.kind) {
    case OpKind::reg: {
      const ScalarType& t = function.source->regs[o.index];
      if (t.kind == 'p') {
        fail(fmt::format("'{}' is a predicate, a {}-bit register is needed", o.text, bits));
        return kNoRow;
      }
      if (row_class(t.bits) != row_class(bits) || (t.bits > bits && bits < 32 && t.bits > 32)) {
        fail(fmt::format("'{}' has {} bits, {} are needed", function.source->reg_names[o.index],
                         t.bits, bits));
        return kNoRow;
      }
      Row r = function.rows[o.index];
      touch(r, function.source->reg_names[o.index], true);
      return r;
    }
    case OpKind::integer:
      if (real && bits >= 32 && o.value != 0) {
        fail("an integer constant cannot be an operand of a floating-point instruction");
        return kNoRow;
      }
      return constant(uint64_t(o.value), bits);
    case OpKind::f32:
      if (bits == 64)
        return constant(std::bit_cast<uint64_t>(double(std::bit_cast<float>(uint32_t(o.value)))),
                        64);
      return constant(uint64_t(uint32_t(o.value)), bits);
    case OpKind::f64:
      if (bits == 64) return constant(uint64_t(o.value), 64);
      if (bits == 32)
        return constant(std::bit_cast<uint32_t>(float(std::bit_cast<double>(o.value))), 32);
      fail("a floating-point constant does not fit a 16-bit operand");
      return kNoRow;
    case OpKind::module_var:
    case OpKind::local_var:
      return address_row(o, bits);
    case OpKind::function: {
      auto it = state.function_index.find(o.text);
      if (it == state.function_index.end()) {
        fail(fmt::format("'{}' is not declared", o.text));
        return kNoRow;
      }
      return constant(uint64_t(it->second) + 1, bits);
    }
    case OpKind::special: {
      auto [it, fresh] = state.specials.try_emplace({o.index, o.lane}, 0);
      bool wide = bits > 32;
      if (wide) {  // one wide row per use: they are rare
        Row r = scratch(64);
        program.specials.push_back({Special(o.index), o.lane, r, true});
        if (fresh) state.specials.erase(it);
        return r;
      }
      if (fresh) {
        it->second = scratch(32);
        program.specials.push_back({Special(o.index), o.lane, it->second, false});
      }
      return it->second;
    }
    case OpKind::sink:
      fail("'_' cannot be read");
      return kNoRow;
    default:
      fail("a register or constant is needed here");
      return kNoRow;
  }
}

Row Builder::destination(const Operand& o, int bits) {
  if (o.kind == OpKind::sink) return scratch(bits);
  if (o.kind != OpKind::reg) {
    fail("the destination must be a register");
    return kNoRow;
  }
  const ScalarType& t = function.source->regs[o.index];
  if (t.kind == 'p' || row_class(t.bits) != row_class(bits)) {
    fail(fmt::format("'{}' has {} bits, {} are needed", function.source->reg_names[o.index], t.bits,
                     bits));
    return kNoRow;
  }
  Row r = function.rows[o.index];
  touch(r, function.source->reg_names[o.index], false);
  return r;
}

int32_t Builder::predicate_source(const Operand& o, bool* negated) {
  if (o.kind == OpKind::integer) return o.value ? 1 : 0;
  if (o.kind != OpKind::reg || function.source->regs[o.index].kind != 'p') {
    fail("a predicate is needed here");
    return 0;
  }
  if (negated) *negated = o.negated;
  else if (o.negated) fail("the predicate cannot be negated here");
  int32_t p = function.preds[o.index];
  touch(p | kTouchesPred, function.source->reg_names[o.index], true);
  return p;
}

int32_t Builder::predicate_destination(const Operand& o) {
  if (o.kind == OpKind::sink) return scratch_predicate();
  if (o.kind != OpKind::reg || function.source->regs[o.index].kind != 'p') {
    fail("the destination must be a predicate");
    return 0;
  }
  int32_t p = function.preds[o.index];
  touch(p | kTouchesPred, function.source->reg_names[o.index], false);
  return p;
}

Space Builder::space() const {
  for (auto m : in.mods) {
    if (m == "global") return Space::global;
    if (m.substr(0, 6) == "shared" && (m.size() == 6 || m[6] == ':')) return Space::shared;
    if (m == "local") return Space::local;
    if (m.substr(0, 5) == "param") return Space::param;
    if (m == "const") return Space::constant;
  }
  return Space::generic;
}

// Bits of the frame offset that say which memory a variable is in.
static bool is_kernel_param(const ProgramFunction& f, int32_t var) {
  if (!f.source->entry) return false;
  for (int32_t p : f.source->params)
    if (p == var) return true;
  return false;
}

bool Builder::address(size_t i, int slot, Space) {
  if (i >= count() || in.operands[i].kind != OpKind::address || in.operands[i].elems.empty())
    return fail("an address in brackets is needed");
  const Operand& o = in.operands[i];
  const Operand& base = o.elems[0];
  op.imm = o.value;
  switch (base.kind) {
    case OpKind::reg: {
      int bits = register_bits(base);
      if (bits != 32 && bits != 64) return fail("an address register has 32 or 64 bits");
      op.a[slot] = source(base, bits);
      op.k[9] = bits == 64 ? kBase64 : kBase32;
      return ok();
    }
    case OpKind::integer:
      op.imm = int64_t(uint64_t(o.value) + uint64_t(base.value));
      op.k[9] = kBaseNone;
      return true;
    case OpKind::module_var: {
      const Variable& v = program.module->vars[base.index];
      uint64_t at = v.space == Space::shared ? program.shared_offset[base.index]
                                             : (*state.variable_address)[base.index];
      if (v.space == Space::shared && space() == Space::generic)
        at += 0;  // a shared symbol keeps its window offset
      op.imm = int64_t(uint64_t(op.imm) + at);
      op.k[9] = kBaseNone;
      return true;
    }
    case OpKind::local_var: {
      if (is_kernel_param(function, base.index)) {
        op.imm += function.var_offset[base.index];
        op.k[9] = kBaseNone;
        return true;
      }
      op.imm += function.var_offset[base.index];
      op.k[9] = kBaseFrame;
      return true;
    }
    default:
      return fail("the address base must be a register, a variable or a constant");
  }
}

Row Builder::address_row(const Operand& o, int bits) {
  const Operand& base = o.kind == OpKind::address && !o.elems.empty() ? o.elems[0] : o;
  int64_t offset = o.kind == OpKind::address ? o.value : base.value;
  if (o.kind == OpKind::address && base.kind == OpKind::reg && offset == 0)
    return source(base, bits);
  if (base.kind == OpKind::module_var) {
    const Variable& v = program.module->vars[base.index];
    uint64_t at = v.space == Space::shared ? program.shared_offset[base.index]
                                           : (*state.variable_address)[base.index];
    return constant(at + uint64_t(offset), bits);
  }
  if (base.kind == OpKind::local_var && is_kernel_param(function, base.index))
    return constant(function.var_offset[base.index] + uint64_t(offset), bits);
  if (base.kind == OpKind::integer) return constant(uint64_t(base.value) + uint64_t(offset), bits);
  fail("this operand cannot be an address with an offset here");
  return kNoRow;
}

bool Builder::address_operand(const Operand& o, int slot) {
  if (o.kind != OpKind::address || o.elems.empty()) return fail("an address in brackets is needed");
  const Operand& base = o.elems[0];
  bool in_register = base.kind == OpKind::reg;
  int bits = in_register ? register_bits(base) : 64;
  if (bits != 32 && bits != 64) return fail("an address register has 32 or 64 bits");
  op.a[slot] = in_register ? source(base, bits) : address_row(o, bits);
  op.k[slot] = bits == 64 ? kBase64 : kBase32;
  if (in_register && o.value != 0) {
    if (op.target == 0) {
      op.target = uint32_t(program.address_offsets.size());
      program.address_offsets.push_back({});
    }
    program.address_offsets[op.target][size_t(slot)] = o.value;
  }
  return ok();
}

bool Builder::immediate(size_t i, int64_t& value) {
  if (i >= count() || in.operands[i].kind != OpKind::integer)
    return fail("an integer constant is needed");
  value = in.operands[i].value;
  return true;
}

void Builder::add_arg(Row r) {
  if (op.nargs == 0) op.args = uint32_t(program.args.size());
  program.args.push_back(r);
  ++op.nargs;
}
void Builder::add_args(std::initializer_list<Row> rows) {
  for (Row r : rows) add_arg(r);
}

}  // namespace tess::ptxsim
