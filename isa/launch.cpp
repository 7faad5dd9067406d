#include "isa/launch.h"

#include <fmt/format.h>

#include <algorithm>

#include "isa/diag/run.h"
#include "isa/numerics.h"

namespace tess {
namespace {

using Wide = __int128;

// Addressable by every engine, in bits.
constexpr Wide kMostBits = Wide{1} << 62;
constexpr int64_t kMostGridX = (int64_t{1} << 31) - 1, kMostGridYZ = 65535;

std::string list_text(const Shape& s) { return shape_text(s); }
std::string list_text(const std::vector<int64_t>& s) {
  std::string out = "[";
  for (size_t i = 0; i < s.size(); ++i) out += fmt::format("{}{}", i ? "," : "", s[i]);
  return out + "]";
}

// Bits from the first element to behind the last one; 0 if there is no element.
Wide span_bits(const Shape& shape, const Shape& strides, int bits) {
  Wide last = 0;
  for (int i = 0; i < shape.rank; ++i) {
    if (shape[i] == 0) return 0;
    last += Wide{shape[i] - 1} * strides[i];
    if (last > kMostBits) return kMostBits * bits;
  }
  return (last + 1) * bits;
}

Shape row_major(const Shape& shape) {
  Shape strides;
  strides.rank = shape.rank;
  Wide next = 1;
  for (int i = shape.rank - 1; i >= 0; --i) {
    strides[i] = next > kMostBits ? 0 : static_cast<int64_t>(next);
    next = next > kMostBits ? next : next * std::max<int64_t>(shape[i], 1);
  }
  return strides;
}

// What two tensors are compared by for overlap: a run of bits, repeated at the largest stride.
struct Extent {
  const uint8_t* data;
  Wide bits;         // whole span
  Wide period, row;  // largest stride in bits, and the span of one step of it; period 0: one row
  uint32_t param;
  bool written, may_alias;
  Wide begin() const { return Wide(reinterpret_cast<uintptr_t>(data)) * 8; }
  Wide end() const { return begin() + bits; }
};

Extent extent_of(const BoundTensor& t, int bits, uint32_t param, bool written, bool may_alias) {
  Extent e{t.data, span_bits(t.shape, t.strides, bits), 0, 0, param, written, may_alias};
  e.row = e.bits;
  int outer = -1;
  for (int i = 0; i < t.shape.rank; ++i)
    if (t.shape[i] > 1 && (outer < 0 || t.strides[i] > t.strides[outer])) outer = i;
  if (outer >= 0 && e.bits > 0) {
    Shape inner = t.shape;
    inner[outer] = 1;
    e.period = Wide{t.strides[outer]} * bits;
    e.row = span_bits(inner, t.strides, bits);
    if (e.row > e.period) e.period = 0, e.row = e.bits;
  }
  return e;
}

// Exact for runs and for rows of one common stride (columns of one matrix); else errs towards yes.
bool overlap(const Extent& a, const Extent& b) {
  if (a.bits == 0 || b.bits == 0 || a.end() <= b.begin() || b.end() <= a.begin()) return false;
  if (a.period == 0 || a.period != b.period) return true;
  Wide shift = (b.begin() - a.begin()) % a.period;
  if (shift < 0) shift += a.period;
  return shift < a.row || shift + b.row > a.period;
}

class Binder {
 public:
  Binder(const Kernel& kernel, const std::vector<LaunchArg>& args, const DeviceFacts& device)
      : kernel_(kernel), args_(args) {
    env_.device_sms = device.sms;
    env_.occupancy = std::max<int64_t>(device.occupancy, kernel.blocks_per_sm);
    env_.value_of = [this](uint32_t v) {
      return v < out_.scalars.size() ? decode_int(kernel_.values[v].type.dtype, out_.scalars[v])
                                     : 0;
    };
  }

  Result<BoundLaunch> bind() {
    size_t n = kernel_.params.size();
    out_.scalars.assign(n, 0);
    out_.tensors.resize(n);
    arg_of_.assign(n, nullptr);
    TESS_CHECK(match_arguments());
    for (uint32_t p = 0; p < n; ++p)
      if (kernel_.params[p].dir == Direction::scalar) TESS_CHECK(bind_scalar(p));
    for (uint32_t p = 0; p < n; ++p)
      if (kernel_.params[p].dir == Direction::let) TESS_CHECK(bind_let(p));
    for (uint32_t p = 0; p < n; ++p) {
      Direction dir = kernel_.params[p].dir;
      if (dir == Direction::workspace) TESS_CHECK(bind_workspace(p));
      else if (dir != Direction::scalar && dir != Direction::let) TESS_CHECK(bind_tensors(p));
    }
    TESS_CHECK(check_overlaps());
    TESS_CHECK(bind_grid());
    return std::move(out_);
  }

 private:
  const Param& param(uint32_t p) const { return kernel_.params[p]; }
  const Type& type(uint32_t p) const { return kernel_.values[p].type; }
  std::string name(uint32_t p) const { return fmt::format("`{}`", kernel_.values[p].name); }
  std::string tensor_name(uint32_t p, size_t item) const {
    return args_of(p).tensors.size() > 1 || !param(p).list.tokens.empty()
               ? fmt::format("`{}` (tensor {} of the list)", kernel_.values[p].name, item)
               : name(p);
  }
  const LaunchArg& args_of(uint32_t p) const { return *arg_of_[p]; }
  Diagnostic fail(Diag code, std::string message, std::string hint = {}) const {
    return make_diag(code, std::move(message),
                     {kernel_.loc.file, kernel_.loc.line, kernel_.loc.col, 0}, std::move(hint));
  }
  std::string text(const HostExpr& e) const {
    return host_text(
        e, [&](uint32_t v) { return v < kernel_.values.size() ? kernel_.values[v].name : "?"; });
  }

  Result<int64_t> value(const HostExpr& e, const std::string& what) const {
    Result<int64_t> v = evaluate(e, env_);
    if (!v) {
      Diagnostic d = std::move(v).error();
      return fail(
          d.code,
          fmt::format("{} (`{}`) of kernel `{}`: {}", what, text(e), kernel_.name, d.message),
          d.hint);
    }
    return v;
  }
  // Between 0 and the limit of an extent.
  Result<int64_t> extent(const HostExpr& e, const std::string& what) const {
    TESS_TRY(int64_t v, value(e, what));
    if (v < 0 || v > limits::max_extent)
      return fail(diag::launch_extent,
                  fmt::format("{} (`{}`) is {} with these arguments; it must be 0 to {}", what,
                              text(e), v, limits::max_extent));
    return v;
  }

  Status match_arguments() {
    size_t wanted = 0;
    for (const Param& p : kernel_.params)
      wanted += p.dir != Direction::workspace && p.dir != Direction::let;
    if (args_.size() != wanted)
      return fail(diag::launch_argument_count,
                  fmt::format("kernel `{}` takes {} argument{}, {} given", kernel_.name, wanted,
                              wanted == 1 ? "" : "s", args_.size()));
    size_t next = 0;
    for (uint32_t p = 0; p < kernel_.params.size(); ++p) {
      Direction dir = param(p).dir;
      if (dir == Direction::workspace || dir == Direction::let) continue;
      arg_of_[p] = &args_[next++];
      bool list = !param(p).list.tokens.empty();
      if (dir == Direction::scalar && !args_of(p).tensors.empty())
        return fail(
            diag::launch_argument_kind,
            fmt::format("{} is a scalar ({}), but a tensor is given", name(p), type_text(type(p))));
      if (dir != Direction::scalar && !list && args_of(p).tensors.empty())
        return fail(
            diag::launch_argument_kind,
            fmt::format("{} is a tensor ({}), but none is given", name(p), type_text(type(p))));
    }
    return ok();
  }

  Status bind_scalar(uint32_t p) {
    DType t = type(p).dtype;
    uint64_t code = args_of(p).scalar,
             mask = t.bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << t.bits) - 1;
    if (t.is_bool()) mask = 1;
    bool sign_extended = t.is_signed() && static_cast<uint64_t>(decode_int(t, code & mask)) == code;
    if (code != (code & mask) && !sign_extended)
      return fail(diag::launch_scalar_range,
                  fmt::format("{} is {}; {} does not fit it", name(p), dtype_name(t),
                              t.is_signed() ? fmt::format("{}", static_cast<int64_t>(code))
                                            : fmt::format("{}", code)));
    out_.scalars[p] = code & mask;
    if (!t.is_int()) return ok();
    int64_t v = decode_int(t, code & mask);
    const Param& fact = param(p);
    if (fact.divisible > 1 && v % fact.divisible != 0)
      return fail(diag::launch_fact_divisible,
                  fmt::format("{} is {}, declared divisible({})", name(p), v, fact.divisible));
    // The upper bound is exclusive, as in every a..b.
    if ((fact.lo && v < *fact.lo) || (fact.hi && v >= *fact.hi))
      return fail(diag::launch_fact_range, fmt::format("{} is {}, declared {}..{}", name(p), v,
                                                       fact.lo ? fmt::format("{}", *fact.lo) : "",
                                                       fact.hi ? fmt::format("{}", *fact.hi) : ""));
    return ok();
  }

  Status bind_let(uint32_t p) {
    TESS_TRY(int64_t v, value(param(p).let, fmt::format("let {}", name(p))));
    DType t = type(p).dtype;
    uint64_t mask = t.bits >= 64 ? ~uint64_t{0} : (uint64_t{1} << t.bits) - 1;
    out_.scalars[p] = static_cast<uint64_t>(v) & mask;
    if (decode_int(t, out_.scalars[p]) != v)
      return fail(diag::launch_extent,
                  fmt::format("let {} (`{}`) is {} with these arguments, which does not fit {}",
                              name(p), text(param(p).let), v, dtype_name(t)));
    return ok();
  }

  // The declared shape and strides with these arguments.
  Status declared(uint32_t p, BoundTensor& t) const {
    const Param& d = param(p);
    for (size_t i = 0; i < d.shape.size(); ++i) {
      TESS_TRY(int64_t v, extent(d.shape[i], fmt::format("extent {} of {}", i, name(p))));
      t.shape.push(v);
    }
    t.strides = row_major(t.shape);
    for (size_t i = 0; i < d.strides.size() && i < t.shape.rank; ++i) {
      TESS_TRY(int64_t v, extent(d.strides[i], fmt::format("stride {} of {}", i, name(p))));
      t.strides[static_cast<int>(i)] = v;
    }
    int bits = type(p).dtype.bits;
    Wide all = span_bits(t.shape, t.strides, bits);
    if (all > kMostBits)
      return fail(diag::launch_extent,
                  fmt::format("{} {} with strides {} is too large to address", name(p),
                              list_text(t.shape), list_text(t.strides)));
    t.bytes = static_cast<uint64_t>((all + 7) / 8);
    return ok();
  }

  Status bind_workspace(uint32_t p) {
    BoundTensor t;
    TESS_CHECK(declared(p, t));
    out_.tensors[p].push_back(t);
    return ok();
  }

  Status bind_tensors(uint32_t p) {
    BoundTensor shape;
    TESS_CHECK(declared(p, shape));
    const std::vector<TensorRef>& given = args_of(p).tensors;
    int64_t count = 1;
    if (!param(p).list.tokens.empty()) {
      TESS_TRY(count, extent(param(p).list, fmt::format("the list length of {}", name(p))));
    }
    if (given.size() != static_cast<uint64_t>(count))
      return fail(diag::launch_list_length,
                  fmt::format("{} takes {} tensor{}, {} given", name(p), count,
                              count == 1 ? "" : "s", given.size()));
    for (size_t i = 0; i < given.size(); ++i) TESS_CHECK(bind_tensor(p, i, given[i], shape));
    return ok();
  }

  Status bind_tensor(uint32_t p, size_t item, const TensorRef& given, const BoundTensor& declared) {
    DType dtype = type(p).dtype;
    const Shape& shape = declared.shape;
    bool written = param(p).dir == Direction::out || param(p).dir == Direction::inout;
    std::string who = tensor_name(p, item);
    if (given.dtype != dtype)
      return fail(diag::launch_dtype, fmt::format("{} holds {}, the tensor given holds {}", who,
                                                  dtype_name(dtype), dtype_name(given.dtype)));
    if (given.shape.size() != shape.rank)
      return fail(diag::launch_rank,
                  fmt::format("{} has {} dimension{} {}, the tensor given has {} {}", who,
                              shape.rank, shape.rank == 1 ? "" : "s", list_text(shape),
                              given.shape.size(), list_text(given.shape)));
    if (!std::equal(shape.begin(), shape.end(), given.shape.begin())) {
      std::string declared_text;
      for (size_t i = 0; i < param(p).shape.size(); ++i)
        declared_text += (i ? "," : "") + text(param(p).shape[i]);
      return fail(diag::launch_shape,
                  fmt::format("{} is [{}] = {} with these arguments, the tensor given is {}", who,
                              declared_text, list_text(shape), list_text(given.shape)));
    }
    TESS_CHECK(check_strides(who, given, declared, written));
    if (given.bytes < declared.bytes)
      return fail(diag::launch_bytes,
                  fmt::format("{} needs {} bytes for {} {}, {} are given", who, declared.bytes,
                              dtype_name(dtype), list_text(shape), given.bytes));
    if (!given.data && declared.bytes)
      return fail(diag::launch_bytes, fmt::format("{} has no memory (a null address)", who));
    uint64_t aligned = base_alignment(param(p), dtype);
    uint64_t off = reinterpret_cast<uintptr_t>(given.data) % aligned;
    if (off && declared.bytes)
      return fail(diag::launch_alignment,
                  fmt::format("{} must start at a multiple of {} bytes; its address is {} past one",
                              who, aligned, off));
    if (written && !given.writable)
      return fail(diag::launch_read_only,
                  fmt::format("{} is written by the kernel, but its memory is read-only", who));
    BoundTensor bound = declared;
    bound.data = given.data;
    extents_.push_back(extent_of(bound, dtype.bits, p, written, param(p).may_alias));
    out_.tensors[p].push_back(bound);
    return ok();
  }

  Status check_strides(const std::string& who, const TensorRef& given, const BoundTensor& declared,
                       bool written) {
    const Shape& shape = declared.shape;
    if (!given.strides.empty() && given.strides.size() != shape.rank)
      return fail(diag::launch_strides,
                  fmt::format("{} has {} dimensions, the tensor given has {} strides", who,
                              shape.rank, given.strides.size()));
    if (declared.bytes == 0) return ok();
    Shape have = row_major(shape);
    for (size_t i = 0; i < given.strides.size(); ++i) have[static_cast<int>(i)] = given.strides[i];
    for (int i = 0; i < shape.rank; ++i) {
      if (shape[i] <= 1) continue;  // never stepped along
      if (have[i] != declared.strides[i])
        return fail(diag::launch_strides,
                    fmt::format("{} has strides {}, the tensor given has {}", who,
                                list_text(declared.strides), list_text(have)));
      if (written && have[i] == 0)
        return fail(diag::launch_strides,
                    fmt::format("{} is written, so stride {} must not be 0 along {} elements", who,
                                i, shape[i]));
    }
    return ok();
  }

  Status check_overlaps() const {
    std::vector<const Extent*> order;
    for (const Extent& e : extents_)
      if (e.bits) order.push_back(&e);
    std::sort(order.begin(), order.end(),
              [](const Extent* a, const Extent* b) { return a->begin() < b->begin(); });
    // Written tensors and the others are each swept against the written ones still open.
    std::vector<const Extent*> open_written, open_read;
    auto close = [](std::vector<const Extent*>& open, Wide at) {
      std::erase_if(open, [at](const Extent* e) { return e->end() <= at; });
    };
    auto clash = [&](const Extent& a, const std::vector<const Extent*>& open) -> const Extent* {
      for (const Extent* b : open)
        if (!(a.may_alias || b->may_alias) && overlap(a, *b)) return b;
      return nullptr;
    };
    for (const Extent* e : order) {
      close(open_written, e->begin());
      const Extent* other = clash(*e, open_written);
      if (e->written && !other) {
        close(open_read, e->begin());
        other = clash(*e, open_read);
      }
      if (other) {
        const Extent& written = e->written ? *e : *other;
        const Extent& second = e->written ? *other : *e;
        return fail(
            diag::launch_overlap,
            written.param == second.param
                ? fmt::format("two tensors of {} overlap, and it is written", name(written.param))
                : fmt::format("{} is written and overlaps {} in memory", name(written.param),
                              name(second.param)));
      }
      (e->written ? open_written : open_read).push_back(e);
    }
    return ok();
  }

  Status bind_grid() {
    constexpr const char* kAxes[] = {"x", "y", "z"};
    int64_t blocks = 1;
    bool overflow = false;
    for (int i = 0; i < 3; ++i) {
      TESS_TRY(int64_t v, value(kernel_.grid[i], fmt::format("the grid's {}", kAxes[i])));
      int64_t most = i == 0 ? kMostGridX : kMostGridYZ;
      if (v < 0 || v > most)
        return fail(
            diag::launch_grid,
            fmt::format("the grid of `{}` has {} blocks along {} (`{}`); it must be 0 to {}",
                        kernel_.name, v, kAxes[i], text(kernel_.grid[i]), most));
      out_.grid[i] = v;
      overflow |= __builtin_mul_overflow(blocks, v, &blocks);
    }
    if (overflow)
      return fail(
          diag::launch_grid,
          fmt::format("the grid of `{}` has more blocks than can be counted", kernel_.name));
    if (kernel_.cluster > 1 && out_.grid[0] % kernel_.cluster != 0)
      return fail(diag::launch_cluster,
                  fmt::format("the grid of `{}` has {} blocks along x, no multiple of cluster({})",
                              kernel_.name, out_.grid[0], kernel_.cluster));
    Wide resident = Wide{env_.device_sms} * env_.occupancy;
    if (kernel_.cooperative && blocks > resident)
      return fail(
          diag::launch_cooperative,
          fmt::format("cooperative kernel `{}` has {} blocks; {} multiprocessors hold {}",
                      kernel_.name, blocks, env_.device_sms, static_cast<int64_t>(resident)));
    return ok();
  }

  const Kernel& kernel_;
  const std::vector<LaunchArg>& args_;
  HostEnv env_;
  BoundLaunch out_;
  std::vector<const LaunchArg*> arg_of_;  // by parameter
  std::vector<Extent> extents_;
};

}  // namespace

uint64_t base_alignment(const Param& p, DType dtype) {
  bool only_read = p.dir == Direction::in && !p.may_alias;
  uint64_t element = dtype.bits >= 16 && !only_read ? dtype.bits / 8u : 1u;
  return std::max<uint64_t>(p.aligned, element);
}

Result<BoundLaunch> bind_launch(const Kernel& kernel, const std::vector<LaunchArg>& args,
                                const DeviceFacts& device) {
  return Binder(kernel, args, device).bind();
}

}  // namespace tess
