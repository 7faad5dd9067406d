#include "jit/lower/guard.h"

#include <cstddef>

#include "jit/fault_record.h"

namespace tess::jit {
namespace {

Operand field(Lowering& l, size_t offset, const char* opcode) {
  Operand record = l.fault_record();
  return l.emit().form1(opcode, {record, b32(offset)});
}

void put(Lowering& l, size_t offset, Operand value) {
  l.emit().form("st.global.b32", {l.fault_record(), b32(offset), value});
}

constexpr const char* kRead = "ld.relaxed.gpu.global.b32";

}  // namespace

Operand Lowering::fault_record() {
  return e_.op(BlockOp::param, {b32(hidden_param(ParamKind::fault, 0, "fault"))}, RegClass::b64);
}

void fault_if(Lowering& l, Operand bad, Diag code) {
  if (!l.options().guard || (bad.is_imm() && !bad.bits)) return;
  Emit& e = l.emit();
  if (!bad.is_imm()) e.begin_if(bad);
  Operand before = e.form1("atom.relaxed.gpu.global.cas.b32",
                           {l.fault_record(), b32(offsetof(FaultRecord, claimed)), b32(0), b32(1)});
  e.begin_if(e.eq(before, b32(0)));
  put(l, offsetof(FaultRecord, code), b32(static_cast<uint32_t>(code)));
  BlockOp block[] = {BlockOp::ctaid_x, BlockOp::ctaid_y, BlockOp::ctaid_z};
  for (size_t i = 0; i < 3; ++i)
    put(l, offsetof(FaultRecord, block) + 4 * i, e.op(block[i], {}));
  put(l, offsetof(FaultRecord, strand), e.add(l.strand().number, b32(l.strand().first_number)));
  put(l, offsetof(FaultRecord, tile), b32(e.kernel().tiles.size() - 1));
  e.end();
  if (!bad.is_imm()) e.end();
}

void fault_if_any(Lowering& l, const TileLayout* layout, const std::vector<Operand>& bad,
                  Diag code) {
  if (!l.options().guard) return;
  Emit& e = l.emit();
  Operand any = pred(false);
  for (Operand b : bad) any = e.or_(any, b);
  fault_if(l, layout ? e.and_(any, l.holds_elements(*layout)) : any, code);
}

// Read once, at the beginning of the kernel, so that all threads begin with the same.
void Lowering::fill_up() {
  if (!options_.guard) return;
  fuel_ = e_.variable(RegClass::b32, "fuel");
  e_.assign(fuel_, field(*this, offsetof(FaultRecord, fuel), "ld.global.b32"));
}

Operand has_fuel(Lowering& l) {
  Emit& e = l.emit();
  Operand now = e.snapshot(l.fuel());
  Operand some = e.ne(now, b32(0));
  fault_if(l, e.not_(some), diag::run_step_limit);
  e.assign(l.fuel(), e.sel(some, e.sub(now, b32(1)), b32(0)));
  return some;
}

Patience::Patience(Lowering& l) : l_(l) {
  if (!l.options().guard) return;
  turns_ = l.emit().variable(RegClass::b32, "turns");
  l.emit().assign(turns_, field(l, offsetof(FaultRecord, turns), kRead));
}

void Patience::give_up_if_spent() {
  if (!l_.options().guard) return;
  Emit& e = l_.emit();
  Operand now = e.snapshot(turns_);
  Operand spent = e.eq(now, b32(0));
  fault_if(l_, spent, diag::run_deadlock);
  Operand others = field(l_, offsetof(FaultRecord, claimed), kRead);
  e.control(BlockOp::break_if, {e.ne(others, b32(0))});
  e.assign(turns_, e.sub(now, b32(1)));
}

}  // namespace tess::jit
