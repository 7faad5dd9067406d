#include "jit/ptxsim/sim_driver.h"

#include <fmt/format.h>

#include "isa/diag/sim.h"
#include "jit/ptxsim/tensor_map.h"

namespace tess::ptxsim {

Result<jit::ModuleId> Simulator::load(std::string_view ptx, std::string_view name) {
  SimModule m;
  TESS_TRY(m.parsed, parse_ptx(std::string(ptx), std::string(name)));
  const Module& p = *m.parsed;
  m.addresses.assign(p.vars.size(), 0);
  for (size_t i = 0; i < p.vars.size(); ++i) {
    const Variable& v = p.vars[i];
    if (v.space != Space::global && v.space != Space::constant) continue;
    if (v.external && v.init.empty() && v.bytes == 0) continue;
    TESS_TRY(m.addresses[i], memory_.allocate(v.bytes, std::string(v.name), true));
    Allocation* a = memory_.at(m.addresses[i]);
    if (!v.init.empty())
      std::memcpy(a->data.get(), v.init.data(), std::min<size_t>(v.init.size(), a->bytes));
  }
  for (size_t i = 0; i < p.vars.size(); ++i)
    for (const auto& fix : p.vars[i].fixups) {
      uint64_t value = 0;
      bool found = false;
      for (size_t k = 0; k < p.vars.size(); ++k)
        if (p.vars[k].name == fix.symbol && m.addresses[k])
          value = m.addresses[k] + uint64_t(fix.addend), found = true;
      if (!found || !m.addresses[i])
        return make_diag(
            diag::kSimUnresolved,
            fmt::format("{}:{}: the initializer of '{}' needs '{}', which has no address here",
                        p.name, p.vars[i].line, p.vars[i].name, fix.symbol));
      std::memcpy(memory_.at(m.addresses[i])->data.get() + fix.offset, &value, fix.bytes);
    }
  for (size_t i = 0; i < p.vars.size(); ++i)
    if (m.addresses[i] && p.vars[i].space == Space::constant)
      memory_.at(m.addresses[i])->read_only = true;
  // Every kernel must decode: an unknown form fails when the module is loaded.
  uint32_t id = next_module_++;
  std::vector<std::string> entries;
  for (const Function& f : p.functions)
    if (f.entry && f.defined) entries.emplace_back(f.name);
  modules_[id] = std::move(m);
  for (const std::string& e : entries)
    if (auto r = program(jit::ModuleId(id), e); !r) {
      auto error = r.error();
      (void)unload(jit::ModuleId(id));
      return error;
    }
  return jit::ModuleId(id);
}

Status Simulator::unload(jit::ModuleId id) {
  auto it = modules_.find(uint32_t(id));
  if (it == modules_.end()) return make_diag(diag::kSimMemory, "no such module");
  for (uint64_t a : it->second.addresses)
    if (a) TESS_CHECK(memory_.release(a));
  modules_.erase(it);
  return ok();
}

Result<std::pair<jit::DevicePtr, uint64_t>> Simulator::symbol(jit::ModuleId id,
                                                              std::string_view name) const {
  auto it = modules_.find(uint32_t(id));
  if (it == modules_.end()) return make_diag(diag::kSimMemory, "no such module");
  const SimModule& m = it->second;
  for (size_t i = 0; i < m.addresses.size(); ++i)
    if (m.addresses[i] && m.parsed->vars[i].name == name)
      return std::pair<jit::DevicePtr, uint64_t>(m.addresses[i], m.parsed->vars[i].bytes);
  return make_diag(diag::kSimUnresolved, fmt::format("the module has no variable '{}'", name));
}

Result<std::shared_ptr<const Program>> Simulator::program(jit::ModuleId id,
                                                          std::string_view entry) {
  auto it = modules_.find(uint32_t(id));
  if (it == modules_.end()) return make_diag(diag::kSimMemory, "no such module");
  SimModule& m = it->second;
  auto& slot = m.programs[std::string(entry)];
  if (!slot) {
    auto linked = link_program(m.parsed, entry, m.addresses);
    if (!linked) {
      m.programs.erase(std::string(entry));
      return linked.error();
    }
    slot = *linked;
  }
  return slot;
}

namespace {

constexpr uint64_t kRegistersPerSm = 65536;

// What ptxas (13.0) allocates per thread for a kernel that uses setmaxnreg: .maxnreg, or an equal
// share of the register file for .minnctapersm blocks of the declared size, and no more than the
// largest setmaxnreg.inc asks for. 0 if neither is given: then it ignores setmaxnreg.
uint32_t registers_at_entry(const Program& p) {
  const Function& f = *p.functions[0].source;
  if (!p.uses_setmaxnreg) return 0;
  uint64_t limit = f.maxnreg;
  if (!limit) {
    const uint32_t* size = f.reqntid[0] ? f.reqntid : f.maxntid;
    uint64_t threads = uint64_t(size[0]) * std::max(1u, size[1]) * std::max(1u, size[2]);
    if (!threads || !f.minnctapersm) return 0;
    limit = kRegistersPerSm / ((threads + 31) / 32 * 32 * f.minnctapersm) / 8 * 8;
  }
  limit = std::min<uint64_t>(limit, p.most_registers ? p.most_registers : 256);
  return uint32_t((limit + 7) / 8 * 8);  // the hardware allocates eight at a time
}

}  // namespace

Result<SimResult> Simulator::run(const jit::LaunchSpec& s) {
  TESS_TRY(std::shared_ptr<const Program> p, program(s.module, s.entry));
  const Function& f = *p->functions[0].source;
  auto bad = [&](std::string why) {
    return make_diag(diag::kSimLaunch, fmt::format("{}: {}", s.entry, why));
  };
  auto positive = [](const jit::Dim3& d) { return d.x && d.y && d.z; };
  if (!positive(s.grid) || s.grid.x > 0x7fffffff || s.grid.y > 65535 || s.grid.z > 65535)
    return bad(fmt::format("the grid ({},{},{}) is not within 1..2147483647, 65535, 65535",
                           s.grid.x, s.grid.y, s.grid.z));
  if (!positive(s.block) || s.block.x > 1024 || s.block.y > 1024 || s.block.z > 64 ||
      s.block.count() > 1024)
    return bad(fmt::format("the block ({},{},{}) has no or more than 1024 threads", s.block.x,
                           s.block.y, s.block.z));
  if (f.reqntid[0] &&
      (f.reqntid[0] != s.block.x || f.reqntid[1] != s.block.y || f.reqntid[2] != s.block.z))
    return bad(fmt::format("the kernel requires blocks of ({},{},{}) threads", f.reqntid[0],
                           f.reqntid[1], f.reqntid[2]));
  if (f.maxntid[0] && s.block.count() > uint64_t(f.maxntid[0]) * f.maxntid[1] * f.maxntid[2])
    return bad(fmt::format("the block has {} threads, the kernel allows {}", s.block.count(),
                           uint64_t(f.maxntid[0]) * f.maxntid[1] * f.maxntid[2]));
  Launch l;
  l.cluster = s.cluster;
  l.explicit_cluster = s.cluster.x != 0 || f.cluster[0] || f.explicit_cluster;
  if (f.cluster[0]) {
    jit::Dim3 required{f.cluster[0], f.cluster[1], f.cluster[2]};
    if (s.cluster.x && !(s.cluster == required))
      return bad("the kernel requires another cluster size");
    l.cluster = required;
  }
  if (!l.cluster.x) l.cluster = {1, 1, 1};
  if (!positive(l.cluster) || l.cluster.count() > 16 || l.cluster.x > 16 || l.cluster.y > 16 ||
      l.cluster.z > 16)
    return bad("a cluster has 1 to 16 blocks");
  if (s.grid.x % l.cluster.x || s.grid.y % l.cluster.y || s.grid.z % l.cluster.z)
    return bad("the grid is not a multiple of the cluster");
  uint64_t shared = uint64_t(p->static_shared) + s.shared_bytes;
  if (shared > kSharedStart + (227u << 10))
    return bad(fmt::format("{} bytes of shared memory are asked for, {} are possible",
                           shared - kSharedStart, 227u << 10));
  if (s.params.size() != p->params.size())
    return bad(
        fmt::format("{} parameters are needed, {} are given", p->params.size(), s.params.size()));
  l.params.assign(p->param_bytes, 0);
  for (size_t i = 0; i < s.params.size(); ++i) {
    if (s.params[i].size() != p->params[i].bytes)
      return bad(fmt::format("parameter {} ('{}') has {} bytes, {} are given", i, p->params[i].name,
                             p->params[i].bytes, s.params[i].size()));
    if (!s.params[i].empty())
      std::memcpy(l.params.data() + p->params[i].offset, s.params[i].data(), s.params[i].size());
  }
  l.program = p;
  l.memory = &memory_;
  l.options = options;
  l.grid = s.grid, l.block = s.block;
  l.dynamic_start = p->static_shared;
  l.dynamic_shared = s.shared_bytes;
  l.shared_end = uint32_t(shared);
  if (s.cooperative) {
    l.options.resident_clusters =
        uint32_t(std::min<uint64_t>(l.grid.count() / l.cluster.count(), 4096));
  }
  l.registers = registers_at_entry(*p);
  uint64_t warps = (l.block.count() + 31) / 32;
  if (uint64_t(l.registers) * 32 * warps > kRegistersPerSm)
    return bad(
        fmt::format("{} warps of {} registers per thread need more than the {} registers of "
                    "a multiprocessor",
                    warps, l.registers, kRegistersPerSm));
  run_launch(l);
  SimResult r;
  r.findings = std::move(l.findings);
  r.stats = std::move(l.stats);
  r.output = std::move(l.output);
  r.steps = l.steps;
  r.program = p;
  return r;
}

struct DriverFunctions {
  static Simulator& of(void* self) { return *static_cast<Simulator*>(self); }
  static Result<jit::DeviceInfo> device(void*) {
    jit::DeviceInfo d;
    d.name = "PTX simulator";
    d.sm = 90;
    d.sm_count = 132;
    d.global_bytes = kMaxTotalBytes;
    d.shared_bytes_per_block = 227 << 10;
    d.max_threads_per_block = 1024;
    return d;
  }
  static Result<jit::ModuleId> load(void* s, std::string_view image, std::string_view name) {
    return of(s).load(image, name);
  }
  static Status unload(void* s, jit::ModuleId id) { return of(s).unload(id); }
  static Result<std::pair<jit::DevicePtr, uint64_t>> symbol(void* s, jit::ModuleId id,
                                                            std::string_view name) {
    return of(s).symbol(id, name);
  }
  static Result<jit::DevicePtr> allocate(void* s, uint64_t bytes) {
    return of(s).memory().allocate(bytes, fmt::format("allocation of {} bytes", bytes), false);
  }
  static Status release(void* s, jit::DevicePtr p) { return of(s).memory().release(p); }
  static Result<Allocation*> range(void* s, jit::DevicePtr p, uint64_t bytes) {
    Allocation* a = of(s).memory().find(p);
    if (!a || p < a->base || p - a->base > a->bytes || a->bytes - (p - a->base) < bytes)
      return make_diag(diag::kSimMemory,
                       fmt::format("{} bytes at {:#x} are not inside an allocation", bytes, p));
    return a;
  }
  static Status copy_in(void* s, jit::DevicePtr to, std::span<const std::byte> from) {
    TESS_TRY(Allocation * a, range(s, to, from.size()));
    if (from.empty()) return ok();
    if (!from.empty()) std::memcpy(a->data.get() + (to - a->base), from.data(), from.size());
    if (a->valid) std::memset(a->valid.get() + (to - a->base), 1, from.size());
    return ok();
  }
  static Status copy_out(void* s, std::span<std::byte> to, jit::DevicePtr from) {
    TESS_TRY(Allocation * a, range(s, from, to.size()));
    if (!to.empty()) std::memcpy(to.data(), a->data.get() + (from - a->base), to.size());
    return ok();
  }
  static Status fill(void* s, jit::DevicePtr to, uint8_t value, uint64_t bytes) {
    TESS_TRY(Allocation * a, range(s, to, bytes));
    std::memset(a->data.get() + (to - a->base), value, bytes);
    if (a->valid) std::memset(a->valid.get() + (to - a->base), 1, bytes);
    return ok();
  }
  static Result<jit::StreamId> create_stream(void* s) {
    return jit::StreamId(of(s).next_stream_++);
  }
  static Status destroy_stream(void*, jit::StreamId) { return ok(); }
  static Status launch(void* s, const jit::LaunchSpec& spec) {
    TESS_TRY(of(s).last_, of(s).run(spec));
    const SimResult& r = of(s).last_;
    if (!r.findings.empty()) return finding_diagnostic(r.findings[0]);
    return ok();
  }
  static Status synchronize(void*, jit::StreamId) { return ok(); }
  static Result<jit::TensorMap> encode(void*, const jit::TensorMapSpec& spec) {
    return encode_tensor_map(spec);
  }
  static void close(void*) {}
};

jit::Driver simulator_driver(Simulator& s) {
  using F = DriverFunctions;
  static constexpr jit::DriverTable kTable{
      F::device,         F::load,    F::unload,      F::symbol, F::allocate,
      F::release,        F::copy_in, F::copy_out,    F::fill,   F::create_stream,
      F::destroy_stream, F::launch,  F::synchronize, F::encode, F::close};
  return {&s, &kTable};
}

}  // namespace tess::ptxsim
