#include "jit/lower/emit.h"

#include <algorithm>
#include <bit>

namespace tess::jit {

Operand f32(float v) { return Operand::imm(std::bit_cast<uint32_t>(v), RegClass::f32); }

namespace {

RegClass result_class(BlockOp op, const std::vector<Operand>& args, RegClass type) {
  std::string_view sig = block_op_info(op).signature;
  std::string_view made = sig.substr(0, sig.find(' '));
  for (int c = 0; c < 6; ++c)
    if (class_name(static_cast<RegClass>(c)) == made) return static_cast<RegClass>(c);
  if (op == BlockOp::sel) return args[1].type;
  return op == BlockOp::param || args.empty() ? type : args[0].type;
}

uint64_t mask_of(RegClass c) {
  int bits = c == RegClass::pred ? 1 : class_bytes(c) * 8;
  return bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
}

int64_t as_signed(const Operand& o) {
  return o.type == RegClass::b32 ? static_cast<int32_t>(o.bits) : static_cast<int64_t>(o.bits);
}

bool commutes(BlockOp op) {
  switch (op) {
    case BlockOp::add:
    case BlockOp::mul:
    case BlockOp::and_:
    case BlockOp::or_:
    case BlockOp::xor_:
    case BlockOp::eq:
    case BlockOp::ne:
      return true;
    default:
      return false;
  }
}

std::optional<uint64_t> fold_constants(BlockOp op, const std::vector<Operand>& a, RegClass type) {
  uint64_t x = a.empty() ? 0 : a[0].bits, y = a.size() > 1 ? a[1].bits : 0;
  int64_t sx = a.empty() ? 0 : as_signed(a[0]), sy = a.size() > 1 ? as_signed(a[1]) : 0;
  switch (op) {
    case BlockOp::add:
      return x + y;
    case BlockOp::sub:
      return x - y;
    case BlockOp::mul:
      return x * y;
    case BlockOp::udiv:
      return y ? std::optional(x / y) : std::nullopt;
    case BlockOp::urem:
      return y ? std::optional(x % y) : std::nullopt;
    case BlockOp::sdiv:
      return sy > 0 ? std::optional<uint64_t>(sx / sy) : std::nullopt;
    case BlockOp::srem:
      return sy > 0 ? std::optional<uint64_t>(sx % sy) : std::nullopt;
    case BlockOp::and_:
      return x & y;
    case BlockOp::or_:
      return x | y;
    case BlockOp::xor_:
      return x ^ y;
    case BlockOp::not_:
      return ~x;
    case BlockOp::shl:
      return x << y;
    case BlockOp::lshr:
      return x >> y;
    case BlockOp::ashr:
      return static_cast<uint64_t>(sx >> y);
    case BlockOp::eq:
      return x == y;
    case BlockOp::ne:
      return x != y;
    case BlockOp::slt:
      return sx < sy;
    case BlockOp::sle:
      return sx <= sy;
    case BlockOp::ult:
      return x < y;
    case BlockOp::ule:
      return x <= y;
    case BlockOp::zext16:
    case BlockOp::trunc16:
    case BlockOp::zext:
    case BlockOp::trunc:
    case BlockOp::as_f32:
    case BlockOp::as_b32:
    case BlockOp::as_f64:
    case BlockOp::as_b64:
    case BlockOp::mov:
      return x;
    case BlockOp::sext:
      return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(x)));
    default:
      return {};
  }
}

}  // namespace

uint32_t Emit::name_index(std::string_view name) {
  std::string clean;
  for (char c : name)
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
        (c >= '0' && c <= '9' && !clean.empty()) || (c == '_' && !clean.empty()))
      clean += c;
  if (clean.size() > 32) clean.resize(32);
  auto [it, fresh] = names_.try_emplace(clean, static_cast<uint32_t>(k_.names.size()));
  if (clean.empty()) return it->second = 0;
  if (fresh) k_.names.push_back(clean);
  return it->second;
}

void Emit::name(std::string_view name) { name_ = name_index(name); }

Operand Emit::new_reg(RegClass type) {
  k_.regs.push_back({type, false, name_});
  return Operand::reg(static_cast<RegId>(k_.regs.size() - 1), type);
}

Operand Emit::variable(RegClass type, std::string_view name) {
  k_.regs.push_back({type, true, name_index(name)});
  return Operand::reg(static_cast<RegId>(k_.regs.size() - 1), type);
}

void Emit::push(BlockOp op, const Form* form, const std::vector<Operand>& results,
                const std::vector<Operand>& args) {
  BlockInst inst;
  inst.op = op;
  inst.form = form;
  inst.n_results = static_cast<uint8_t>(results.size());
  inst.n_args = static_cast<uint16_t>(args.size());
  inst.first = static_cast<uint32_t>(k_.operands.size());
  inst.tile = tile_;
  k_.operands.insert(k_.operands.end(), results.begin(), results.end());
  k_.operands.insert(k_.operands.end(), args.begin(), args.end());
  k_.code.push_back(inst);
}

// What is read from a variable differs from time to time and is never known.
bool Emit::key_of(BlockOp op, const Form* form, const std::vector<Operand>& args, RegClass type,
                  Key& out) const {
  out.op = op;
  out.form = form;
  out.type = type;
  for (const Operand& a : args) {
    if (is_variable(a)) return false;
    out.args.emplace_back(
        static_cast<uint8_t>(static_cast<int>(a.kind) * 8 + static_cast<int>(a.type)), a.bits);
  }
  return true;
}

std::optional<Operand> Emit::fold(BlockOp op, const std::vector<Operand>& a, RegClass type) {
  bool constant = !a.empty() && op != BlockOp::param && op != BlockOp::param_address &&
                  op != BlockOp::shared_address;
  for (const Operand& o : a) constant &= o.is_imm();
  if (op == BlockOp::sel) {
    if (a[0].is_imm()) return a[0].bits ? a[1] : a[2];
    if (a[1] == a[2]) return a[1];
    return {};
  }
  if (constant) {
    if (auto v = fold_constants(op, a, type)) return Operand::imm(*v & mask_of(type), type);
    return {};
  }
  if (a.size() != 2) return op == BlockOp::mov ? std::optional(a[0]) : std::nullopt;
  const Operand &x = a[0], &y = a[1];
  bool y_imm = y.is_imm();
  uint64_t all = mask_of(x.type);
  switch (op) {
    case BlockOp::add:
      if (y_imm && y.bits == 0) return x;
      if (y_imm && x.is_reg() && addends_.count(x.id())) {
        auto [base, c] = addends_.at(x.id());
        return add(base, b32(y.bits + static_cast<uint32_t>(c)));
      }
      break;
    case BlockOp::sub:
    case BlockOp::shl:
    case BlockOp::lshr:
    case BlockOp::ashr:
      if (y_imm && y.bits == 0) return x;
      break;
    case BlockOp::or_:
      if (y_imm && y.bits == 0) return x;
      if (y_imm && y.bits == all) return y;
      if (x == y && !is_variable(x)) return x;
      break;
    case BlockOp::xor_:
      if (y_imm && y.bits == 0) return x;
      break;
    case BlockOp::and_:
      if (y_imm && y.bits == 0) return y;
      if (y_imm && y.bits == all) return x;
      if (x == y && !is_variable(x)) return x;
      break;
    case BlockOp::mul:
      if (y_imm && y.bits == 0) return y;
      if (y_imm && y.bits == 1) return x;
      if (y_imm && std::has_single_bit(y.bits))
        return shl(x, static_cast<uint32_t>(std::countr_zero(y.bits)));
      break;
    case BlockOp::udiv:
      if (y_imm && std::has_single_bit(y.bits))
        return lshr(x, static_cast<uint32_t>(std::countr_zero(y.bits)));
      break;
    case BlockOp::urem:
      if (y_imm && std::has_single_bit(y.bits)) return and_(x, Operand::imm(y.bits - 1, y.type));
      break;
    case BlockOp::sdiv:
      if (y_imm && y.bits == 1) return x;
      break;
    default:
      break;
  }
  return {};
}

Operand Emit::op(BlockOp op, std::initializer_list<Operand> list, RegClass type) {
  std::vector<Operand> args(list);
  if (args.size() == 2 && commutes(op) && args[0].is_imm()) std::swap(args[0], args[1]);
  type = result_class(op, args, type);
  if (auto folded = fold(op, args, type)) return *folded;
  Key key;
  bool keyed = key_of(op, nullptr, args, type, key);
  if (keyed)
    if (auto it = known_.find(key); it != known_.end()) return it->second[0];
  Operand result = new_reg(type);
  push(op, nullptr, {result}, args);
  varies({result}, args, true);
  if (op == BlockOp::add && type == RegClass::b32 && args[1].is_imm() && !is_variable(args[0]))
    addends_[result.id()] = {args[0], static_cast<int32_t>(args[1].bits)};
  if (keyed) {
    known_[key] = {result};
    scopes_.back().keys.push_back(std::move(key));
  }
  return result;
}

std::vector<Operand> Emit::form(std::string_view opcode, const std::vector<Operand>& args) {
  const Form* f = find_form(opcode);
  if (!f) {
    if (problem_.empty()) problem_ = "no such form: " + std::string(opcode);
    return std::vector<Operand>(8, b32(0));
  }
  Key key;
  bool pure = f->effect == Effect::pure || f->effect == Effect::fetch;
  bool keyed = pure && key_of(BlockOp::form, f, args, RegClass::pred, key);
  if (keyed)
    if (auto it = known_.find(key); it != known_.end()) return it->second;
  std::vector<Operand> results;
  for (const Group& g : f->groups)
    if (g.result && g.kind != GroupKind::tied)
      for (int i = 0; i < g.count; ++i) results.push_back(new_reg(g.type));
  push(BlockOp::form, f, results, args);
  varies(results, args, pure);
  if (keyed) {
    known_[key] = results;
    scopes_.back().keys.push_back(std::move(key));
  }
  return results;
}

Operand Emit::form1(std::string_view opcode, std::initializer_list<Operand> args) {
  std::vector<Operand> results = form(opcode, args);
  if (results.empty() && problem_.empty())
    problem_ = "a form without result: " + std::string(opcode);
  return results.empty() ? b32(0) : results[0];
}

void Emit::form_in_place(std::string_view opcode, const std::vector<Operand>& variables,
                         const std::vector<Operand>& args) {
  const Form* f = find_form(opcode);
  if (!f) {
    if (problem_.empty()) problem_ = "no such form: " + std::string(opcode);
    return;
  }
  push(BlockOp::form, f, variables, args);
}

std::pair<Operand, Operand> Emit::halves(Operand word) {
  if (word.is_imm()) {
    if (word.type == RegClass::b32)
      return {Operand::imm(word.bits & 0xffff, RegClass::b16),
              Operand::imm(word.bits >> 16, RegClass::b16)};
    return {b32(word.bits), b32(word.bits >> 32)};
  }
  auto r = form(word.type == RegClass::b32 ? "unpack.b32" : "unpack.b64", {word});
  return {r[0], r[1]};
}

Operand Emit::join(Operand low, Operand high) {
  int bits = class_bytes(low.type) * 8;
  if (low.is_imm() && high.is_imm())
    return Operand::imm(low.bits | high.bits << bits, bits == 16 ? RegClass::b32 : RegClass::b64);
  return form1(bits == 16 ? "mov.b32" : "mov.b64", {low, high});
}

void Emit::assign(Operand variable, Operand value) {
  if (variable == value) return;
  push(BlockOp::mov, nullptr, {variable}, {value});
}

Operand Emit::snapshot(Operand value) {
  if (!is_variable(value)) return value;
  Operand r = new_reg(value.type);
  push(BlockOp::mov, nullptr, {r}, {value});
  varies({r}, {}, false);
  return r;
}

uint32_t Emit::variance(Operand o) const {
  if (!o.is_reg()) return 0;
  if (is_variable(o)) return loops_;
  auto it = variance_.find(o.id());
  return it == variance_.end() ? 0 : std::min(it->second, loops_);
}

void Emit::varies(const std::vector<Operand>& results, const std::vector<Operand>& args,
                  bool pure) {
  uint32_t most = pure ? 0 : loops_;
  for (const Operand& a : args) most = std::max(most, variance(a));
  if (most)
    for (const Operand& r : results) variance_[r.id()] = most;
}

std::pair<Operand, int32_t> Emit::apart(Operand o) const {
  auto it = o.is_reg() ? addends_.find(o.id()) : addends_.end();
  return it == addends_.end() ? std::pair(o, 0) : it->second;
}

bool Emit::is_open(uint32_t scope) const {
  for (const Scope& s : scopes_)
    if (s.id == scope) return true;
  return false;
}

void Emit::open() { scopes_.push_back({next_scope_++, {}}); }
void Emit::close() {
  for (const Key& key : scopes_.back().keys) known_.erase(key);
  scopes_.pop_back();
}

void Emit::control(BlockOp op, std::initializer_list<Operand> args) { push(op, nullptr, {}, args); }
void Emit::begin_if(Operand condition) {
  control(BlockOp::if_, {condition});
  blocks_.push_back(false);
  open();
}
void Emit::begin_else() {
  close();
  control(BlockOp::else_);
  open();
}
void Emit::begin_loop(uint32_t unroll) {
  control(BlockOp::loop, {b32(unroll)});
  blocks_.push_back(true);
  ++loops_;
  open();
}
void Emit::begin_latch() {
  close();
  control(BlockOp::latch);
  open();
}
void Emit::end() {
  close();
  loops_ -= blocks_.back();
  blocks_.pop_back();
  control(BlockOp::end);
}

}  // namespace tess::jit
