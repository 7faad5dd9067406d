#include "jit/compile.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "isa/bytecode.h"
#include "isa/diag/jit.h"
#include "isa/diag/tool.h"

namespace tess::jit {
namespace {

struct ArchRow {
  int arch;
  std::string_view name;
};
constexpr ArchRow kArchs[] = {{80, "sm_80"}, {89, "sm_89"}, {901, "sm_90a"}};
constexpr std::string_view kBackends[] = {"nvrtc", "nvptx"};

class Stopwatch {
 public:
  void lap(std::string stage, std::vector<StageTime>& times) {
    auto now = std::chrono::steady_clock::now();
    times.push_back(
        {std::move(stage), std::chrono::duration<double, std::milli>(now - last_).count()});
    last_ = now;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// A step of ours gave something that does not hold: never the program's fault.
Diagnostic broken(std::string_view step, const Kernel& kernel, const Diagnostic& found) {
  Diagnostic d = make_diag(diag::internal_error,
                           fmt::format("`{}` made something unsound of kernel `{}`: {} {}", step,
                                       kernel.name, diag_id(found.code), found.message),
                           found.span);
  return d;
}

}  // namespace

std::optional<Backend> find_backend(std::string_view name) {
  for (size_t i = 0; i < std::size(kBackends); ++i)
    if (kBackends[i] == name) return static_cast<Backend>(i);
  return {};
}
std::string_view backend_name(Backend b) { return kBackends[static_cast<size_t>(b)]; }

std::optional<int> find_arch(std::string_view name) {
  for (const ArchRow& row : kArchs)
    if (row.name == name) return row.arch;
  return {};
}
const BackendRow* find_row(const Toolchain& tools, Backend b) {
  for (const BackendRow& row : tools.backends)
    if (row.id == b) return &row;
  return nullptr;
}

Result<Backend> choose_backend(const Toolchain& tools) {
  std::optional<Diagnostic> first;
  for (const BackendRow& row : tools.backends) {
    Status there = row.available();
    if (there) return row.id;
    if (!first) first = std::move(there).error();
  }
  return first ? std::move(*first)
               : make_diag(diag::nvptx_missing, "this build has no back end at all");
}

Result<TileStage> run_tile_passes(const Toolchain& tools, const VerifiedModule& module,
                                  size_t kernel, const CompileOptions& options,
                                  std::string_view last, std::vector<StageTime>& times) {
  Stopwatch watch;
  const Kernel& written = module.kernel(kernel);
  auto checked = [&](Module changed, std::string_view step) -> Result<VerifiedModule> {
    Diagnostics found;
    std::optional<VerifiedModule> verified = verify(std::move(changed), found);
    if (!verified) return broken(step, written, found.at(0));
    watch.lap(std::string(step), times);
    return std::move(*verified);
  };
  const Module& all = module.module();
  Module alone{{written}, all.layouts, all.files, all.producer, {}};
  tools.specialise(alone.kernels[0], options.facts);
  TESS_TRY(VerifiedModule special, checked(std::move(alone), "specialise"));
  TileStage at{std::move(special), 0};
  if (last == "specialise") return at;
  for (const TilePass& pass : tools.passes) {
    TESS_TRY(Module changed, pass.run(at.module, at.kernel, options));
    TESS_TRY(VerifiedModule verified, checked(std::move(changed), pass.name));
    at = {std::move(verified), 0};
    if (pass.name == last) break;
  }
  return at;
}

Result<Lowered> lower_to_block(const Toolchain& tools, const VerifiedModule& module, size_t kernel,
                               const CompileOptions& options, std::vector<StageTime>& times) {
  TESS_TRY(TileStage tile, run_tile_passes(tools, module, kernel, options, "", times));
  Stopwatch watch;
  LowerOptions lower{options.target.arch, options.guard, options.report_out_of_bounds, {}};
  if (options.describe)
    lower.describe = [&](const Kernel& k, const Inst& i) {
      return options.describe(tile.module.module(), k, i);
    };
  TESS_TRY(Lowered lowered, tools.lower(tile.module, tile.kernel, lower));
  watch.lap("lower", times);
  return lowered;
}

Result<Lowered> compile_to_block(const Toolchain& tools, const VerifiedModule& module,
                                 size_t kernel, const CompileOptions& options,
                                 std::vector<StageTime>& times) {
  TESS_TRY(Lowered lowered, lower_to_block(tools, module, kernel, options, times));
  Stopwatch watch;
  if (Status sound = check_block(lowered.block); !sound)
    return broken("lower", module.kernel(kernel), sound.error());
  watch.lap("check", times);
  return lowered;
}

Result<CompiledKernel> compile_kernel(const Toolchain& tools, const VerifiedModule& module,
                                      size_t kernel, const CompileOptions& options) {
  const BackendRow* row = find_row(tools, options.target.backend);
  if (!row)
    return make_diag(diag::nvptx_missing, fmt::format("this build has no back end `{}`",
                                                      backend_name(options.target.backend)));
  CompiledKernel out{options.target, options.facts, {}, {}, {}};
  TESS_TRY(out.lowered, compile_to_block(tools, module, kernel, options, out.times));
  Stopwatch watch;
  TESS_TRY(out.machine, row->compile(out.lowered.block, options.target.level, false));
  watch.lap(std::string(backend_name(row->id)), out.times);
  return out;
}

ModuleKey module_key(const VerifiedModule& module) {
  std::vector<uint8_t> bytes = write_bytecode(module.module());
  return {std::make_shared<const std::string>(bytes.begin(), bytes.end())};
}

Result<CompileCache::Found> CompileCache::get(const Toolchain& tools, const ModuleKey& key,
                                              const VerifiedModule& module, size_t kernel,
                                              CompileOptions options) {
  const CompileTarget& t = options.target;
  auto base = [&](const ModuleKey& k) {
    return Base{*k.content, kernel, t.arch, static_cast<int>(t.backend), t.level, options.guard,
                options.report_out_of_bounds};
  };
  std::unique_lock lock(mutex_);
  auto found = entries_.find(base(key));
  if (found == entries_.end()) found = entries_.try_emplace(base(key), Entry{key, {}}).first;
  Entry& entry = found->second;
  auto with_facts = [&entry](const LaunchFacts& facts) -> Variant* {
    for (auto& v : entry.variants)
      if (v->facts == facts) return v.get();
    return nullptr;
  };
  Variant* variant = with_facts(options.facts);
  if (!variant && entry.variants.size() >= kMostVariants) {
    options.facts = {};
    variant = with_facts(options.facts);
  }
  while (variant && !variant->kernel) {
    compiled_.wait(lock);
    variant = with_facts(options.facts);
  }
  if (variant) return Found{variant->kernel, true};

  entry.variants.push_back(std::make_unique<Variant>(Variant{options.facts, nullptr}));
  variant = entry.variants.back().get();
  lock.unlock();
  auto give_up = [&] {
    std::erase_if(entry.variants, [&](const auto& v) { return v.get() == variant; });
    compiled_.notify_all();
  };
  try {
    Result<CompiledKernel> result = compile_kernel(tools, module, kernel, options);
    auto shared = result ? std::make_shared<const CompiledKernel>(std::move(*result)) : nullptr;
    lock.lock();
    if (!shared) {
      give_up();
      return std::move(result).error();
    }
    variant->kernel = std::move(shared);
  } catch (...) {
    if (!lock.owns_lock()) lock.lock();
    give_up();
    throw;
  }
  compiled_.notify_all();
  return Found{variant->kernel, false};
}

size_t CompileCache::size() const {
  std::lock_guard lock(mutex_);
  size_t n = 0;
  for (const auto& [base, entry] : entries_)
    for (const auto& v : entry.variants) n += v->kernel != nullptr;
  return n;
}

}  // namespace tess::jit
