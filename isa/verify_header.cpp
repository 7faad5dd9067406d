// The header of a kernel: limits, names, types, constants, parameters and host expressions.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "isa/diag/verify.h"
#include "isa/limits.h"
#include "isa/numerics.h"
#include "isa/verify_kernel.h"

namespace tess {

namespace {

bool valid_shape(const Shape& s, int64_t most, bool dynamic) {
  if (s.rank > limits::max_rank) return false;
  for (int i = 0; i < limits::max_rank; ++i) {
    if (i >= s.rank ? s[i] != 0
                    : !((dynamic && s[i] == kDynamic) || (s[i] >= 1 && s[i] <= most)))
      return false;
  }
  return true;
}

bool valid_element(const Type& t) {
  return t.space == Space::mbar ? t.dtype == DType{} && t.shape.rank == 1 : is_valid_dtype(t.dtype);
}

bool valid_name(std::string_view name) {
  if (name.size() > static_cast<size_t>(limits::max_name_bytes)) return false;
  return std::none_of(name.begin(), name.end(),
                      [](unsigned char c) { return c <= ' ' || c == 0x7f; });
}

}  // namespace

bool KernelVerifier::check_host_expr(const HostExpr& e, uint32_t before, std::string_view what) {
  if (e.tokens.size() > static_cast<size_t>(limits::max_host_tokens) || !well_formed(e)) {
    report(diag::bad_host_expr,
           fmt::format("{} of `{}` is no well-formed expression", what, k_.name), kernel_span());
    return false;
  }
  for (const HostToken& t : e.tokens) {
    if (t.op != HostOp::param) continue;
    bool known = t.value >= 0 && t.value < before;
    if (known) {
      const Param& p = k_.params[t.value];
      known = (p.dir == Direction::scalar || p.dir == Direction::let) &&
              k_.values[t.value].type.dtype.is_int();
    }
    if (!known) {
      report(diag::bad_host_expr,
             fmt::format(
                 "{} of `{}` uses something that is no integer scalar parameter or earlier let",
                 what, k_.name),
             kernel_span());
      return false;
    }
  }
  return true;
}

void KernelVerifier::check_params() {
  std::set<std::string_view> names;
  if (k_.params.size() > static_cast<size_t>(limits::max_params))
    return report(diag::limit_exceeded,
                  fmt::format("`{}` has {} parameters; at most {}", k_.name, k_.params.size(),
                              limits::max_params),
                  kernel_span());
  for (uint32_t i = 0; i < k_.params.size(); ++i) {
    const Param& p = k_.params[i];
    const Value& v = k_.values[i];
    auto bad = [&](std::string why) {
      report(diag::bad_param, fmt::format("parameter `{}`: {}", v.name, why), kernel_span());
    };
    bool scalar = p.dir == Direction::scalar || p.dir == Direction::let;
    if (v.name.empty() || !names.insert(v.name).second)
      report(diag::bad_name, fmt::format("parameter {} of `{}` has no name of its own", i, k_.name),
             kernel_span());
    if (scalar != v.type.is_scalar() || (!scalar && v.type.space != Space::global)) {
      bad("its type does not fit its kind");
      continue;
    }
    uint32_t before = p.dir == Direction::let || p.dir == Direction::workspace
                          ? i
                          : static_cast<uint32_t>(k_.params.size());
    if (p.dir == Direction::let) {
      if (!v.type.dtype.is_int() || v.type.dtype.bits < 32)
        bad("a let is an integer of 32 or 64 bits");
      check_host_expr(p.let, i, "a let");
    } else if (!p.let.tokens.empty()) {
      bad("only a let has a value");
    }
    if (scalar) {
      if (!p.shape.empty() || !p.strides.empty() || !p.list.tokens.empty())
        bad("a scalar has no shape");
      bool facts = p.divisible != 1 || p.lo || p.hi;
      if (facts && (!v.type.dtype.is_int() || p.divisible < 1 || (p.lo && p.hi && *p.lo > *p.hi)))
        bad("its facts are not those of an integer");
      continue;
    }
    if (p.shape.size() != v.type.shape.rank) {
      bad("its shape and its type differ");
      continue;
    }
    for (size_t d = 0; d < p.shape.size(); ++d) {
      bool fixed = p.shape[d].is_constant();
      if (!check_host_expr(p.shape[d], before, "an extent")) continue;
      if (fixed ? v.type.shape[d] != p.shape[d].constant() || v.type.shape[d] < 1
                : v.type.shape[d] != kDynamic)
        bad("its shape and its type differ");
    }
    if (!p.strides.empty() && p.strides.size() != p.shape.size())
      bad(fmt::format("{} strides for {} dimensions", p.strides.size(), p.shape.size()));
    for (const HostExpr& e : p.strides) check_host_expr(e, before, "a stride");
    if (!p.list.tokens.empty()) check_host_expr(p.list, before, "a list length");
    if (p.aligned & (p.aligned - 1) || p.aligned > 1 << 20)
      bad(fmt::format("aligned({}): a power of two up to 2^20", p.aligned));
    if (p.may_alias && p.dir != Direction::in) bad("`may_alias` is for `in` parameters");
    if (p.dir == Direction::workspace && (!p.list.tokens.empty() || !p.strides.empty()))
      bad("a workspace has a plain shape");
  }
}

bool KernelVerifier::check_header() {
  uint32_t all = static_cast<uint32_t>(k_.params.size());
  auto bad = [&](std::string why) {
    report(diag::bad_header, fmt::format("kernel `{}`: {}", k_.name, why), kernel_span());
  };
  if (k_.values.size() < k_.params.size()) {
    report(diag::bad_reference, "fewer values than parameters", kernel_span());
    return false;
  }
  if (k_.values.size() > static_cast<size_t>(limits::max_values) ||
      k_.code.size() > static_cast<size_t>(limits::max_insts)) {
    report(diag::limit_exceeded, fmt::format("kernel `{}` is too large", k_.name), kernel_span());
    return false;
  }
  if (k_.name.empty() || !valid_name(k_.name))
    report(diag::bad_name, "a kernel without a valid name", kernel_span());
  if (k_.warps < 1 || k_.warps > limits::max_warps)
    bad(fmt::format("warps({}); 1 to {}", k_.warps, limits::max_warps));
  if (k_.cluster < 1 || k_.cluster > limits::max_cluster)
    bad(fmt::format("cluster({}); 1 to {}", k_.cluster, limits::max_cluster));
  if (k_.grid_rank < 1 || k_.grid_rank > 3) bad("a grid has one to three dimensions");
  if (k_.blocks_per_sm > 32) bad(fmt::format("blocks_per_sm({}); at most 32", k_.blocks_per_sm));
  for (const Binding& b : k_.bindings)
    if (!valid_name(b.name) || b.name.empty() ||
        (b.type ? !is_valid_dtype(*b.type) : !valid_constant(b.value)))
      report(diag::bad_name, fmt::format("kernel `{}` has an invalid binding", k_.name),
             kernel_span());
  for (size_t i = 1; i < k_.bindings.size(); ++i)
    if (k_.bindings[i - 1].name >= k_.bindings[i].name)
      report(diag::bad_name, fmt::format("the bindings of `{}` are not sorted by name", k_.name),
             kernel_span());
  for (const Value& v : k_.values) {
    bool memory = v.type.is_memory();
    int64_t most = memory ? limits::max_extent : limits::max_tile_elements;
    if (!valid_name(v.name) || !valid_element(v.type) || !valid_shape(v.type.shape, most, memory) ||
        (v.type.ring && (v.type.space != Space::shared || v.type.shape.rank < 2)) ||
        v.type.space > Space::mbar) {
      report(diag::bad_name,
             fmt::format("value `{}` of `{}` has an invalid name or type", v.name, k_.name),
             kernel_span());
      return false;
    }
  }
  for (const Constant& c : k_.constants)
    if (!valid_constant(c)) {
      report(diag::bad_constant,
             fmt::format("a constant of `{}` has no canonical code of its type", k_.name),
             kernel_span());
      return false;
    }
  for (const HostExpr& e : k_.grid) check_host_expr(e, all, "the grid");
  check_params();
  return !failed_;
}

bool KernelVerifier::valid_constant(const Constant& c) {
  if (!is_valid_dtype(c.type)) return false;
  if (c.type.is_bool()) return c.code <= 1;
  if (c.type.is_tf32() && (c.code & 0x1fff)) return false;
  if (is_nan_code(c.type, c.code) && c.code != nan_code(c.type)) return false;  // one NaN per type
  return c.type.bits == 64 || c.code >> c.type.bits == 0;
}

}  // namespace tess
