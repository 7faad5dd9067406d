#include <fmt/format.h>

#include "isa/bytecode_reader.h"

namespace tess::bytecode {

// --- kernels
HostExpr Reader::expr(size_t n_params) {
  const uint8_t* at = p_;
  HostExpr e;
  uint32_t n = count(limits::max_host_tokens, 1, "host operators");
  if (n > 1 && charge(n * sizeof(HostToken) + kHeapUse)) e.tokens.reserve(n);
  for (uint32_t i = 0; i < n && !failed_; ++i) {
    HostToken t;
    t.op =
        static_cast<HostOp>(enumeration(static_cast<uint8_t>(HostOp::occupancy), "host operator"));
    if (t.op == HostOp::constant) t.value = snum();
    if (t.op == HostOp::param) t.value = index(n_params, "parameter");
    e.tokens.push_back(t);
  }
  if (!failed_ && !well_formed(e))
    fail(diag::bytecode_value, "a host expression does not leave one value", at);
  return e;
}
void Reader::exprs(std::vector<HostExpr>& list, size_t n_params) {
  uint32_t n = count(limits::max_rank, 2, "host expressions");
  reserve(list, n);
  for (uint32_t i = 0; i < n && !failed_; ++i) list.push_back(expr(n_params));
}

void Reader::read_param(Kernel& k, uint32_t n_params) {
  Param& p = k.params.emplace_back();
  p.dir = static_cast<Direction>(enumeration(static_cast<uint8_t>(Direction::let), "direction"));
  uint32_t bits = static_cast<uint32_t>(num_to(kAllParamBits, "the presence bits of a parameter"));
  param_names_.push_back(name(false));
  exprs(p.shape, n_params);
  if (bits & kHasStrides) exprs(p.strides, n_params);
  if (bits & kHasList) p.list = expr(n_params);
  if (bits & kHasLet) p.let = expr(n_params);
  if (bits & kHasAligned) p.aligned = num32("an alignment");
  p.may_alias = bits & kMayAlias;
  p.kept = bits & kKept;
  if (bits & kHasDivisible) p.divisible = snum();
  if (bits & kHasLo) p.lo = snum();
  if (bits & kHasHi) p.hi = snum();
}

// A value, a constant or nothing.
Ref Reader::scalar_ref(const Kernel& k) {
  const uint8_t* at = p_;
  uint64_t v = num();
  if ((v & 3) == 2) [[unlikely]]
    return bad_ref(at, "access", v >> 2, 0);
  return direct_ref(k, v, at);
}
Ref Reader::direct_ref(const Kernel& k, uint64_t v, const uint8_t* at) {
  uint64_t i = v >> 2;
  switch (v & 3) {
    case 0:
      if (i < k.values.size()) [[likely]]
        return Ref::value(static_cast<uint32_t>(i));
      return bad_ref(at, "value", i, k.values.size());
    case 1:
      if (i < k.constants.size()) [[likely]]
        return Ref::constant(static_cast<uint32_t>(i));
      return bad_ref(at, "constant", i, k.constants.size());
    default:
      if (i == 0) [[likely]]
        return Ref::none();
      return bad_ref(at, "nothing", i, 1);
  }
}
Ref Reader::bad_ref(const uint8_t* at, const char* what, uint64_t i, uint64_t n) {
  fail_index(what, i, n, at);
  return Ref::none();
}
// What a number stands for where accesses are allowed.
Ref Reader::any_ref(Kernel& k, uint64_t v, const uint8_t* at, const Totals& totals) {
  return (v & 3) == 2 ? access(k, v >> 2, at, totals) : direct_ref(k, v, at);
}
// The parts of an access are no accesses, so nothing here nests.
Ref Reader::access(Kernel& k, uint64_t base, const uint8_t* at, const Totals& totals) {
  if (base >= k.values.size()) return bad_ref(at, "value", base, k.values.size());
  Access a;
  a.base = static_cast<uint32_t>(base);
  a.item = scalar_ref(k);
  a.first_index = static_cast<uint32_t>(k.indices.size());
  a.n_indices = static_cast<uint32_t>(num_to(limits::max_rank, "the rank of an access"));
  if (k.accesses.size() == totals.accesses || a.n_indices > totals.indices - k.indices.size()) {
    fail(diag::bytecode_count, "more accesses or indices than announced", at);
    return Ref::none();
  }
  for (uint32_t j = 0; j < a.n_indices; ++j) {
    Index x;
    x.kind =
        static_cast<IndexKind>(enumeration(static_cast<uint8_t>(IndexKind::all), "index kind"));
    if (x.kind != IndexKind::all) x.start = scalar_ref(k);
    if (x.kind == IndexKind::span) x.stop = scalar_ref(k);
    if (x.kind == IndexKind::range) x.extent = snum();
    k.indices.push_back(x);
  }
  k.accesses.push_back(a);
  return Ref::access(static_cast<uint32_t>(k.accesses.size() - 1));
}

void Reader::read_attr(Kernel& k, int last_tag) {
  const uint8_t* at = p_;
  Attr a;
  uint8_t tag = byte();
  const AttrInfo* info = tag < kTags ? attr_by_tag_[tag] : nullptr;
  if (!info)
    return fail(diag::bytecode_unknown_code, fmt::format("attribute {} is not known", tag), at);
  if (tag <= last_tag) return fail(diag::bytecode_value, "attributes do not ascend", at);
  a.tag = info->tag;
  switch (info->kind) {
    case AttrKind::flag:
      break;
    case AttrKind::integer:
      a.value = snum();
      break;
    case AttrKind::constant:
      a.value = index(k.constants.size(), "constant");
      break;
    case AttrKind::layout:
      a.value = index(module_.layouts.size(), "layout");
      break;
    case AttrKind::perm:
      a.value = perm();
      break;
  }
  k.attrs.push_back(a);
}
int64_t Reader::perm() {
  const uint8_t* at = p_;
  int64_t v = static_cast<int64_t>(num());
  int n = perm_size(v);
  uint32_t seen = 0;
  for (int i = 0; i < n && i < limits::max_rank; ++i) seen |= 1u << perm_at(v, i);
  bool tight = n < limits::max_rank ? (v & 0xFFFFFFFF) >> (4 * n) == 0 : n == limits::max_rank;
  if (v >> 36 || !tight || seen != (1u << n) - 1)
    fail(diag::bytecode_value, "not a permutation", at);
  return v;
}

// `n_refs`: how many of the kernel's references are in use.
void Reader::read_inst(Kernel& k, const Totals& totals, uint32_t& n_refs) {
  const uint8_t *at = p_, *p = p_;
  uint64_t code = num(p);
  const OpInfo* info = code < kCodes ? op_by_code_[code] : nullptr;
  uint64_t parts = num(p), n_args = num(p);
  uint64_t n_results = parts & 15, n_attributes = parts >> 4;
  p_ = p;
  if (!info) [[unlikely]]
    return fail(diag::bytecode_unknown_code, fmt::format("instruction {} is not known", code), at);
  if (n_results > limits::max_results || n_args > limits::max_args || n_attributes > 255 ||
      n_attributes > totals.attrs - k.attrs.size() || n_results + n_args > totals.refs - n_refs)
      [[unlikely]]
    return fail(diag::bytecode_count, "more operands or attributes than announced", at);
  Inst& inst = k.code.emplace_back();
  inst.op = info->op;
  inst.n_results = static_cast<uint8_t>(n_results);
  inst.n_attrs = static_cast<uint8_t>(n_attributes);
  inst.n_args = static_cast<uint16_t>(n_args);
  inst.first_ref = n_refs;
  inst.first_attr = static_cast<uint32_t>(k.attrs.size());
  Ref* refs = k.refs.data() + n_refs;
  const uint64_t n_values = k.values.size();
  for (uint64_t i = 0; i < n_results + n_args; ++i) {
    at = p;
    uint64_t v = num(p);
    if ((v & 3) == 0 && v >> 2 < n_values) [[likely]] {
      refs[i] = Ref::value(static_cast<uint32_t>(v >> 2));
      continue;
    }
    p_ = p;
    if ((v & 3) == 2 && i < n_results) [[unlikely]]
      return (void)bad_ref(at, "access", v >> 2, 0);
    refs[i] = any_ref(k, v, at, totals);
    p = p_;
  }
  p_ = p;
  n_refs += static_cast<uint32_t>(n_results + n_args);
  int last_tag = 0;
  for (uint64_t i = 0; i < n_attributes && !failed_; ++i) {
    read_attr(k, last_tag);
    if (!failed_) last_tag = static_cast<int>(k.attrs.back().tag);
  }
}

void Reader::read_bindings(Kernel& k) {
  ++scope_;
  uint32_t n = count(~0u, 3, "bindings");
  reserve(k.bindings, n);
  for (uint32_t i = 0; i < n && !failed_; ++i) {
    Binding& b = k.bindings.emplace_back();
    b.name = copy(name(false));
    if (enumeration(1, "binding kind") == 0) b.type = value_dtype();
    else if (uint32_t c = index(constants_.size(), "constant"); !failed_) b.value = constants_[c];
  }
}

void Reader::read_kernel(Kernel& k) {
  const uint8_t* at = p_;
  std::string_view s = string();
  if (!failed_ && (s.empty() || s.size() > limits::max_name_bytes))
    return fail(diag::bytecode_value, fmt::format("a name of {} bytes", s.size()), at);
  k.name = copy(s);
  read_bindings(k);

  ++scope_;
  uint32_t n_params = count(limits::max_params, 4, "parameters");
  reserve(k.params, n_params);
  param_names_.clear();
  for (uint32_t i = 0; i < n_params && !failed_; ++i) read_param(k, n_params);
  at = p_;
  k.grid_rank = static_cast<uint8_t>(num_to(3, "the rank of a grid"));
  if (!failed_ && k.grid_rank == 0)
    return fail(diag::bytecode_value, "a grid without dimensions", at);
  for (int i = 0; i < k.grid_rank; ++i) k.grid[i] = expr(n_params);
  k.warps = num32("warps");
  k.cluster = num32("cluster");
  k.blocks_per_sm = num32("blocks_per_sm");
  uint64_t flags = num_to(kAllKernelBits, "the flags of a kernel");
  k.cooperative = flags & kCooperative;
  k.sync_manual = flags & kSyncManual;
  k.fast = {(flags & kContract) != 0, (flags & kFtz) != 0, (flags & kApprox) != 0};

  at = p_;
  uint32_t n_values = count(limits::max_values, 1, "values");
  uint32_t n_constants = count(kMaxRefs, 1, "constants");
  Totals totals;
  totals.accesses = count(kMaxRefs, 3, "accesses");
  totals.indices = count(kMaxRefs, 1, "indices");
  totals.attrs = count(kMaxRefs, 1, "attributes");
  totals.refs = count(kMaxRefs, 1, "references");
  uint32_t n_insts = count(limits::max_insts, 3, "instructions");
  if (failed_) return;
  if (n_values < n_params)
    return fail(diag::bytecode_count, fmt::format("{} parameters, {} values", n_params, n_values),
                at);
  reserve(k.values, n_values);
  const uint8_t* p = p_;
  for (uint32_t i = 0; i < n_values && !failed_; ++i) {
    at = p;
    uint64_t t = num(p);
    if (t >= types_.size()) [[unlikely]]
      return fail(diag::bytecode_index, fmt::format("type {} of {}", t, types_.size()), at);
    k.values.emplace_back(Name(), types_[t]);
  }
  if (failed_) return;
  p_ = p;
  for (uint32_t i = 0; i < n_params && !failed_; ++i) set_name(k.values[i], param_names_[i]);
  reserve(k.constants, n_constants);
  for (uint32_t i = 0; i < n_constants && !failed_; ++i) {
    uint32_t c = index(constants_.size(), "constant");
    if (!failed_) k.constants.push_back(constants_[c]);
  }
  reserve(k.accesses, totals.accesses);
  reserve(k.indices, totals.indices);
  reserve(k.refs, totals.refs);
  reserve(k.attrs, totals.attrs);
  reserve(k.code, n_insts);
  if (failed_) return;
  k.refs.resize(totals.refs);
  uint32_t n_refs = 0;
  for (uint32_t i = 0; i < n_insts && !failed_; ++i) read_inst(k, totals, n_refs);
  if (!failed_ && (n_refs != totals.refs || k.attrs.size() != totals.attrs ||
                   k.accesses.size() != totals.accesses || k.indices.size() != totals.indices))
    fail(diag::bytecode_count, "fewer operands, attributes or accesses than announced", p_);
}
}  // namespace tess::bytecode
