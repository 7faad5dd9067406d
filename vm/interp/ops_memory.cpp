// Kernels of load, store, gather, scatter, prefetch, fence, smem, alias.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "isa/diag/run.h"
#include "vm/interp/bulk.h"
#include "vm/interp/memory_ops.h"
#include "vm/interp/program.h"

namespace tess::interp {

std::string memory_name(const Strand& s, uint32_t value) {
  const std::string& name = s.launch->program->kernel->values[value].name;
  if (name.empty()) return fmt::format("%{}", value);
  return value < s.launch->program->kernel->params.size() ? name : "%" + name;
}

Flow report_bounds(Strand& s, uint32_t value) {
  return trap(s, diag::run_out_of_bounds,
              fmt::format("access to `{}` out of bounds", memory_name(s, value)));
}
Flow report_unwritten(Strand& s, uint32_t value) {
  bool shared = s.launch->program->kernel->values[value].type.space == Space::shared;
  return trap(s, diag::run_unwritten,
              fmt::format("{} `{}` is read where it was never written",
                          shared ? "shared memory" : "output", memory_name(s, value)));
}

bool run_written(const Written& w, DType t, const Run& run) {
  if (run.step == t.bits) return w.all(run.bit, static_cast<uint64_t>(run.n) * t.bits);
  for (int64_t i = 0; i < run.n; ++i)
    if (!w.all(run.bit + run.step * static_cast<uint64_t>(i), t.bits)) return false;
  return true;
}
void mark_written(Written& w, DType t, const Run& run) {
  if (run.step == t.bits) return w.mark(run.bit, static_cast<uint64_t>(run.n) * t.bits);
  for (int64_t i = 0; i < run.n; ++i) w.mark(run.bit + run.step * static_cast<uint64_t>(i), t.bits);
}

MaskView::MaskView(const Operand& mask, const Shape& tile) : operand(mask) {
  if (!mask) return;
  int64_t stride = 1;
  rank = tile.rank;
  for (int d = tile.rank - 1, m = mask.shape.rank - 1; d >= 0; --d, --m) {
    int64_t n = m >= 0 ? mask.shape[m] : 1;
    size[d] = tile[d];
    strides[d] = n == 1 ? 0 : stride;
    stride *= n;
  }
  dense = mask.n == tile.elements();
}
int64_t MaskView::offset(int64_t tile) const {
  if (dense) return tile;
  int64_t at = 0;
  for (int d = rank - 1; d >= 0; --d) {
    at += tile % size[d] * strides[d];
    tile /= size[d];
  }
  return at;
}

Run single(const Run& run, int64_t i) {
  return {run.tile + run.tile_step * i, 1, run.bit + run.step * static_cast<uint64_t>(i), run.step,
          1};
}

uint64_t pad_carrier(const Binder& b, DType t) {
  uint64_t carrier = 0, code = 0;
  if (auto pad = b.attr(AttrTag::pad)) code = b.kernel().constants[static_cast<size_t>(*pad)].code;
  set_carrier(t, &carrier, 0, code);
  return carrier;
}

Shape shape_of(const AccessPlan& plan) {
  Shape tile;
  const Shape& all = plan.base_type.shape;
  if (plan.n_positions == 0) tile = all;
  for (int d = 0; d < plan.n_positions; ++d) {
    const AccessPlan::Position& p = plan.position[d];
    if (p.gather) tile.push(p.start.n);
    else if (p.kind == IndexKind::range) tile.push(p.extent);
    else if (p.kind == IndexKind::all) tile.push(all[d]);
  }
  return tile;
}

namespace {

struct Load {
  AccessPlan plan;
  Operand d;
  MaskView mask;
  uint64_t pad = 0;  // one carrier
  bool report = false;
};

Flow run_load(Strand& s, const Load& x) {
  Region r;
  if (resolve(s, x.plan, r) != Flow::next) return Flow::trap;
  if (s.tracked && !x.mask && touch(s, r, Touch::read, x.plan.base) != Flow::next)
    return Flow::trap;
  uint8_t* d = x.d.at(s);
  bool inside = r.inside();
  if (!inside && x.report && !x.mask) return report_bounds(s, x.plan.base);
  if (!inside || x.mask) fill_carriers(x.d.bytes(), d, x.d.n, &x.pad);
  if (x.mask && x.report && !inside) {
    // Only elements that the mask lets through count.
    int64_t reached = 0, wanted = 0;
    walk(r, [&](const Run& run) {
      for (int64_t i = 0; i < run.n; ++i) reached += x.mask.at(s, single(run, i).tile);
    });
    for (int64_t i = 0; i < x.d.n; ++i) wanted += x.mask.at(s, i);
    if (reached != wanted) return report_bounds(s, x.plan.base);
  }
  bool unwritten = false, raced = false;
  if (!x.mask) {
    walk(r, [&](const Run& run) {
      if (r.written && !run_written(*r.written, r.type, run)) unwritten = true;
      load_run(r.type, r.base, run, d);
    });
    return unwritten ? report_unwritten(s, x.plan.base) : Flow::next;
  }
  walk(r, [&](const Run& run) {
    for (int64_t i = 0; i < run.n; ++i) {
      Run one = single(run, i);
      if (!x.mask.at(s, one.tile)) continue;
      if (!raced) raced = touch(s, r, one, Touch::read, x.plan.base) != Flow::next;
      if (r.written && !run_written(*r.written, r.type, one)) unwritten = true;
      load_run(r.type, r.base, one, d);
    }
  });
  if (raced) return Flow::trap;
  return unwritten ? report_unwritten(s, x.plan.base) : Flow::next;
}

struct Store {
  AccessPlan plan;
  Operand v;
  MaskView mask;
  MaskView value;  // where a tile element's value is
  bool report = false;
  uint64_t spread = 0;  // scratch for a value that is broadcast
  int64_t n = 0;
};

Flow run_store(Strand& s, const Store& x) {
  Region r;
  if (resolve(s, x.plan, r) != Flow::next) return Flow::trap;
  if (s.launch->ordered) ++s.launch->memory_changes;
  if (x.report && !r.inside() && !x.mask) return report_bounds(s, x.plan.base);
  if (s.tracked && !x.mask && touch(s, r, Touch::write, x.plan.base) != Flow::next)
    return Flow::trap;
  const uint8_t* v = x.v.at(s);
  int bytes = x.v.bytes();
  if (!x.value.dense) {
    uint8_t* out = s.regs + x.spread;
    if (x.v.n == 1) fill_carriers(bytes, out, x.n, v);
    else
      for (int64_t i = 0; i < x.n; ++i)
        std::memcpy(out + i * bytes, v + x.value.offset(i) * bytes, static_cast<size_t>(bytes));
    v = out;
  }
  if (!x.mask) {
    walk(r, [&](const Run& run) {
      store_run(r.type, v, r.base, run);
      if (r.written) mark_written(*r.written, r.type, run);
    });
    return Flow::next;
  }
  bool raced = false;
  walk(r, [&](const Run& run) {
    for (int64_t i = 0; i < run.n && !raced; ++i) {
      Run one = single(run, i);
      if (!x.mask.at(s, one.tile)) continue;
      raced = touch(s, r, one, Touch::write, x.plan.base) != Flow::next;
      if (raced) return;
      store_run(r.type, v, r.base, one);
      if (r.written) mark_written(*r.written, r.type, one);
    }
  });
  return raced ? Flow::trap : Flow::next;
}

// The view as a region, for what is known of its memory.
Region memory_of(const View& v) {
  Region r;
  r.base = v.base;
  r.type = v.type;
  r.immutable = v.immutable;
  return r;
}

// gather and scatter: one index tile per dimension.
struct Indexed {
  AccessPlan plan;
  Operand value;  // the result of gather, what scatter writes
  MaskView value_at;
  std::vector<Operand> index;
  std::vector<MaskView> index_at;
  MaskView mask;
  int64_t n = 0;
  uint64_t pad = 0;
  bool report = false;
};

Flow run_gather(Strand& s, const Indexed& x) {
  const View* v = base_view(s, x.plan);
  if (!v) return Flow::trap;
  uint8_t* d = x.value.at(s);
  int bytes = x.value.bytes();
  for (int64_t i = 0; i < x.n; ++i) {
    Run one{i, 1, v->origin, v->type.bits, 1};
    bool inside = !v->nothing;
    bool wanted = !x.mask || x.mask.at(s, i);
    for (size_t k = 0; wanted && k < x.index.size(); ++k) {
      int64_t at =
          decode_int(x.index[k].type, carrier_code(x.index[k].type, x.index[k].at(s),
                                                   static_cast<size_t>(x.index_at[k].offset(i))));
      inside &= at >= v->lo[k] && at < v->hi[k];
      one.bit += static_cast<uint64_t>(v->stride[k]) * static_cast<uint64_t>(at) * v->type.bits;
    }
    inside &= v->reaches(one.bit);
    if (!wanted || !inside) {
      if (wanted && x.report) return report_bounds(s, x.plan.base);
      std::memcpy(d + i * bytes, &x.pad, static_cast<size_t>(bytes));
      continue;
    }
    if (s.tracked && touch(s, memory_of(*v), one, Touch::read, x.plan.base) != Flow::next)
      return Flow::trap;
    if (v->written && !run_written(*v->written, v->type, one))
      return report_unwritten(s, x.plan.base);
    load_run(v->type, v->base, one, d);
  }
  return Flow::next;
}

Flow run_scatter(Strand& s, const Indexed& x) {
  const View* v = base_view(s, x.plan);
  if (!v) return Flow::trap;
  if (s.launch->ordered) ++s.launch->memory_changes;
  for (int64_t i = 0; i < x.n; ++i) {
    if (x.mask && !x.mask.at(s, i)) continue;
    Run one{x.value_at.offset(i), 1, v->origin, v->type.bits, 1};
    bool inside = !v->nothing;
    for (size_t k = 0; k < x.index.size(); ++k) {
      int64_t at =
          decode_int(x.index[k].type, carrier_code(x.index[k].type, x.index[k].at(s),
                                                   static_cast<size_t>(x.index_at[k].offset(i))));
      inside &= at >= v->lo[k] && at < v->hi[k];
      one.bit += static_cast<uint64_t>(v->stride[k]) * static_cast<uint64_t>(at) * v->type.bits;
    }
    inside &= v->reaches(one.bit);
    if (!inside) {
      if (x.report) return report_bounds(s, x.plan.base);
      continue;
    }
    if (s.tracked && touch(s, memory_of(*v), one, Touch::write, x.plan.base) != Flow::next)
      return Flow::trap;
    store_run(v->type, x.value.at(s), v->base, one);
    if (v->written) mark_written(*v->written, v->type, one);
  }
  return Flow::next;
}

struct Smem {
  uint32_t value;
  uint64_t place;
  Type type;
  bool track;
};
Flow run_smem(Strand& s, const Smem& x) {
  View& v = s.views[x.value];
  v = View{};
  v.base = s.shared + x.place;
  v.type = x.type.dtype;
  v.rank = x.type.shape.rank;
  v.ring = x.type.ring;
  int64_t stride = 1;
  for (int d = v.rank - 1; d >= 0; --d) {
    v.extent[d] = v.hi[d] = x.type.shape[d];
    v.stride[d] = stride;
    stride *= x.type.shape[d];
  }
  v.written = &s.shared_written[x.value];
  if (!v.written->reset(static_cast<uint64_t>(stride) * v.type.bits, v.type.bits))
    return trap(s, diag::run_memory_limit, "no memory for shared memory's bookkeeping");
  if (!s.tracked) return Flow::next;
  uint64_t bytes = (static_cast<uint64_t>(stride) * v.type.bits + 7) / 8;
  return check_bytes(s, v.base, bytes, Touch::write, by_strand(s), x.value);
}

struct Alias {
  AccessPlan plan;
  Operand byte;
  uint32_t value;
  Type type;
};
// Everything from the byte offset on, in the new type; bounds are those of the tensor's memory.
Flow run_alias(Strand& s, const Alias& x) {
  const View* base = base_view(s, x.plan);
  if (!base) return Flow::trap;
  int64_t byte = read_int(s, x.byte);
  // The bits that the tensor's own bounds reach: from its first to behind its last element.
  uint64_t first = base->origin, last = base->origin;
  bool nothing = base->nothing;
  if (base->limited) first = base->first_bit, last = base->last_bit - base->type.bits;
  for (int d = 0; d < base->rank && !base->limited; ++d) {
    if (base->lo[d] >= base->hi[d]) nothing = true;
    first += static_cast<uint64_t>(base->stride[d] * base->lo[d]) * base->type.bits;
    last += static_cast<uint64_t>(base->stride[d] * (base->hi[d] - 1)) * base->type.bits;
  }
  last += base->type.bits;
  View v;
  v.base = base->base;
  v.type = x.type.dtype;
  v.rank = x.type.shape.rank;
  v.immutable = base->immutable;
  v.written = base->written;
  v.origin = base->origin + static_cast<uint64_t>(byte) * 8;
  // What is never written is read bytewise; its base may lie anywhere.
  uint64_t base_bit = v.immutable ? 0 : reinterpret_cast<uintptr_t>(v.base) * 8;
  if (v.type.bits >= 16 && (base_bit + v.origin) % v.type.bits)
    return trap(s, diag::run_misaligned,
                fmt::format("byte {} of `{}` is no place for elements of {}", byte,
                            memory_name(s, x.plan.base), dtype_name(v.type)));
  int64_t stride = 1;
  for (int d = v.rank - 1; d >= 0; --d) {
    v.extent[d] = v.hi[d] = x.type.shape[d];
    v.stride[d] = stride;
    if (__builtin_mul_overflow(stride, x.type.shape[d], &stride)) stride = limits::max_extent;
  }
  v.nothing = nothing;
  v.limited = true;
  v.first_bit = first;
  v.last_bit = last;
  // Rows that begin behind the end are out of bounds as a whole, which keeps walks short.
  int64_t room = static_cast<int64_t>(last - v.origin);
  int64_t row_bits = v.rank ? v.stride[0] * v.type.bits : 1;
  if (v.rank && !nothing) v.hi[0] = std::clamp<int64_t>(room / row_bits + 1, 0, v.extent[0]);
  s.views[x.value] = v;
  return Flow::next;
}

struct Nothing {};
Flow run_nothing(Strand&, const Nothing&) { return Flow::next; }
Flow run_fence(Strand& s, const Nothing&) {
  if (s.tracked) memory_fence(s);
  return Flow::next;
}

}  // namespace

KERNEL(load) {
  Load x;
  x.plan = b.access(0);
  x.d = b.result();
  if (b.has_arg(1)) x.mask = MaskView(b.arg(1), x.d.shape);
  x.pad = pad_carrier(b, x.d.type);
  x.report = b.options().report_out_of_bounds;
  b.emit<run_load>(x);
}

KERNEL(store) {
  Store x;
  x.plan = b.access(1);
  x.v = b.arg(0);
  Shape tile = shape_of(x.plan);
  x.n = tile.elements();
  x.value = MaskView(x.v, tile);
  if (!x.value.dense) x.spread = b.scratch(static_cast<uint64_t>(x.n * x.v.bytes()));
  if (b.has_arg(2)) x.mask = MaskView(b.arg(2), tile);
  x.report = b.options().report_out_of_bounds;
  b.emit<run_store>(x);
}

KERNEL(gather) {
  Indexed x;
  x.plan = b.access(0);
  x.value = b.result();
  x.n = x.value.n;
  for (size_t i = 1; i + 1 < b.n_args(); ++i) {
    x.index.push_back(b.arg(i));
    x.index_at.push_back(MaskView(b.arg(i), x.value.shape));
  }
  size_t last = b.n_args() - 1;
  if (b.has_arg(last)) x.mask = MaskView(b.arg(last), x.value.shape);
  x.pad = pad_carrier(b, x.value.type);
  x.report = b.options().report_out_of_bounds;
  b.emit<run_gather>(x);
}

KERNEL(scatter) {
  Indexed x;
  x.value = b.arg(0);
  x.plan = b.access(1);
  Shape shape;
  size_t last = b.n_args() - 1;
  for (size_t i = 2; i < last; ++i) {
    x.index.push_back(b.arg(i));
    Shape s = x.index.back().shape, out;
    int rank = std::max(s.rank, shape.rank);
    for (int d = 0; d < rank; ++d) {
      int64_t p = d < rank - s.rank ? 1 : s[d - (rank - s.rank)],
              q = d < rank - shape.rank ? 1 : shape[d - (rank - shape.rank)];
      out.push(p == 1 ? q : p);
    }
    shape = out;
  }
  for (const Operand& o : x.index) x.index_at.push_back(MaskView(o, shape));
  x.n = shape.elements();
  x.value_at = MaskView(x.value, shape);
  if (b.has_arg(last)) x.mask = MaskView(b.arg(last), shape);
  x.report = b.options().report_out_of_bounds;
  b.emit<run_scatter>(x);
}

KERNEL(prefetch) { b.emit<run_nothing>(Nothing{}); }
// Other blocks see a block's accesses in program order; a fence matters to the check of races only.
KERNEL(fence) { b.emit<run_fence>(Nothing{}); }
KERNEL(smem) {
  uint32_t v = b.result_value();
  b.emit<run_smem>(Smem{v, b.program().shared_place[v], b.result_type(), true});
}
KERNEL(alias) {
  b.emit<run_alias>(Alias{b.access(0), b.arg(1), b.result_value(), b.result_type()});
}

}  // namespace tess::interp
