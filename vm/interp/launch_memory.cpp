// The memory of a launch: parameters, workspaces, what was written.
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>

#include "isa/diag/run.h"
#include "vm/interp/execution.h"

namespace tess::interp {

void FreeAligned::operator()(uint8_t* p) const { std::free(p); }
Buffer make_buffer(uint64_t bytes) {
  constexpr uint64_t kLine = 64;
  if (bytes > uint64_t{1} << 46) return nullptr;
  return Buffer(static_cast<uint8_t*>(std::aligned_alloc(kLine, (bytes + kLine) / kLine * kLine)));
}

Diagnostic Execution::out_of_memory(uint64_t bytes) const {
  return make_diag(diag::run_memory_limit,
                   options.limits.memory_bytes && bytes
                       ? fmt::format("the memory limit of {} bytes was reached: {} more are needed",
                                     options.limits.memory_bytes, bytes)
                   : bytes ? fmt::format("no memory for {} bytes", bytes)
                           : std::string("no memory is left"),
                   {}, "fewer threads, smaller tiles or a larger limit");
}
bool Execution::take_memory(uint64_t bytes) {
  std::lock_guard lock(mutex);
  if (options.limits.memory_bytes &&
      bytes > options.limits.memory_bytes - std::min(memory, options.limits.memory_bytes))
    return false;
  memory += bytes;
  return true;
}

std::optional<Diagnostic> Execution::bind_memory(const BoundLaunch& bound) {
  launch.program = &p;
  launch.options = &options;
  launch.bound = &bound;
  launch.blocks = 1;
  for (int d = 0; d < 3; ++d) {
    launch.grid[d] = bound.grid[d];
    launch.blocks *= bound.grid[d];
  }
  launch.ordered = p.ordered;
  units = launch.blocks / p.kernel->cluster;
  const Kernel& k = *p.kernel;
  launch.params.resize(k.params.size());
  out_written.resize(k.params.size());
  for (size_t i = 0; i < k.params.size(); ++i) {
    const Type& type = k.values[i].type;
    if (type.space != Space::global) continue;
    if (k.params[i].dir == Direction::out)
      out_written[i] = std::vector<Written>(bound.tensors[i].size());
    for (size_t t = 0; t < bound.tensors[i].size(); ++t) {
      const BoundTensor& tensor = bound.tensors[i][t];
      View v;
      v.base = tensor.data;
      if (!v.base) {
        uint64_t bytes = tensor.bytes + 16;
        Buffer b = take_memory(bytes) ? make_buffer(bytes) : nullptr;
        if (!b) return out_of_memory(bytes);
        std::memset(b.get(), 0, bytes);
        v.base = b.get();
        workspaces.push_back(std::move(b));
      }
      v.type = type.dtype;
      v.rank = tensor.shape.rank;
      v.ring = type.ring;
      v.immutable = k.params[i].dir == Direction::in && !k.params[i].may_alias;
      for (int d = 0; d < v.rank; ++d) {
        v.extent[d] = v.hi[d] = tensor.shape[d];
        v.stride[d] = tensor.strides[d];
      }
      if (k.params[i].dir == Direction::out) {
        Written& w = out_written[i][t];
        uint64_t bits = tensor.bytes * 8;
        uint32_t granule = p.has_alias ? (type.dtype.bits < 8 ? 1 : 8) : type.dtype.bits;
        uint64_t need = bits / granule / 8 + 8;
        if (!take_memory(need) || !w.reset(bits, granule)) return out_of_memory(need);
        v.written = &w;
      }
      launch.params[i].push_back(v);
    }
  }
  return {};
}

std::optional<Diagnostic> Execution::prepare(Unit& u) {
  uint64_t bytes = unit_bytes(p);
  if (!take_memory(bytes) || !prepare_unit(u, launch)) return out_of_memory(bytes);
  return {};
}

void Execution::warn_unwritten(Diagnostics& warnings) const {
  for (size_t i = 0; i < out_written.size(); ++i)
    for (size_t t = 0; t < out_written[i].size(); ++t) {
      const View& v = launch.params[i][t];
      Region r;
      r.type = v.type;
      r.rank = v.rank;
      for (int d = 0; d < v.rank; ++d)
        r.n[d] = v.extent[d], r.stride[d] = v.stride[d], r.lo[d] = 0, r.hi[d] = v.extent[d];
      int64_t missing = 0;
      std::string where;
      walk(r, [&](const Run& run) {
        if (run.step == v.type.bits &&
            out_written[i][t].all(run.bit, static_cast<uint64_t>(run.n) * v.type.bits))
          return;
        for (int64_t e = 0; e < run.n; ++e) {
          if (out_written[i][t].all(run.bit + run.step * static_cast<uint64_t>(e), v.type.bits))
            continue;
          if (missing++) continue;
          int64_t linear = run.tile + run.tile_step * e;
          std::string index;
          for (int d = v.rank - 1; d >= 0; --d) {
            index = fmt::format("{}{}{}", linear % v.extent[d], index.empty() ? "" : ",", index);
            linear /= v.extent[d];
          }
          where = index;
        }
      });
      if (!missing) continue;
      const Loc& loc = p.kernel->loc;
      const std::string& name = p.kernel->values[i].name;
      warnings.push_back(make_diag(
          diag::run_unwritten_output,
          fmt::format("{} of {} elements of `{}` were never written, the first of them `{}[{}]`",
                      missing, r.elements(), name, name, where),
          Span{loc.file, loc.line, loc.col, 0}));
    }
}

}  // namespace tess::interp
