// A verified kernel to machine code: the tile passes, the lowering to block IR, a back end. Every
// step is a row of a table, checked after it ran, and can be looked at (`tess emit --dump-after`).
// All functions are pure and thread-safe; CompileCache locks itself.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "isa/verify.h"
#include "jit/compiled.h"
#include "jit/lower/lower.h"

namespace tess::jit {

enum class Backend : uint8_t { nvrtc, nvptx };
std::optional<Backend> find_backend(std::string_view name);
std::string_view backend_name(Backend b);

// 80, 89 and 901, as in LowerOptions.
std::optional<int> find_arch(std::string_view name);  // "sm_90a"

struct CompileTarget {
  int arch = 901;
  Backend backend = Backend::nvrtc;
  int level = 0;  // 0: the light pipeline; 3: everything the back end has
  bool operator==(const CompileTarget&) const = default;
};

struct CompileOptions {
  CompileTarget target;
  bool guard = false, report_out_of_bounds = false;  // the latter in guard mode
  LaunchFacts facts;
  // Text of an instruction of the module that the passes made, for comments.
  std::function<std::string(const Module&, const Kernel&, const Inst&)> describe;
};

struct StageTime {
  std::string stage;
  double milliseconds = 0;
};

// A tile pass: a kernel of a module becomes a module of that kernel alone.
struct TilePass {
  std::string_view name, doc;
  Result<Module> (*run)(const VerifiedModule& module, size_t kernel, const CompileOptions& options);
};
struct BackendRow {
  Backend id = Backend::nvrtc;
  std::string_view source_name;  // "cuda", "llvm": of --target
  Status (*available)() = nullptr;
  Result<std::string> (*source)(const BlockKernel& k, int level) = nullptr;
  Result<Compiled> (*compile)(const BlockKernel& k, int level, bool cubin) = nullptr;  // or PTX
};
struct Toolchain {
  void (*specialise)(Kernel& kernel, const LaunchFacts& facts) = nullptr;
  std::span<const TilePass> passes;
  Result<Lowered> (*lower)(const VerifiedModule& module, size_t kernel,
                           const LowerOptions& options) = nullptr;
  std::span<const BackendRow> backends;
};
// The product's own (jit/toolchain.cpp). Another one serves tests.
const Toolchain& default_toolchain();

const BackendRow* find_row(const Toolchain& tools, Backend b);
// The first back end that can be used here; the first one's error if none can.
Result<Backend> choose_backend(const Toolchain& tools);

// The kernel, alone and with the launch's facts in its header, behind the tile passes, up to and
// with the pass named (empty: all of them).
struct TileStage {
  VerifiedModule module;
  size_t kernel = 0;
};
Result<TileStage> run_tile_passes(const Toolchain& tools, const VerifiedModule& module,
                                  size_t kernel, const CompileOptions& options,
                                  std::string_view last, std::vector<StageTime>& times);
// The block IR, lowered and not yet checked; and checked.
Result<Lowered> lower_to_block(const Toolchain& tools, const VerifiedModule& module, size_t kernel,
                               const CompileOptions& options, std::vector<StageTime>& times);
Result<Lowered> compile_to_block(const Toolchain& tools, const VerifiedModule& module,
                                 size_t kernel, const CompileOptions& options,
                                 std::vector<StageTime>& times);

struct CompiledKernel {
  CompileTarget target;
  LaunchFacts facts;
  Lowered lowered;
  Compiled machine;  // PTX
  std::vector<StageTime> times;
};
Result<CompiledKernel> compile_kernel(const Toolchain& tools, const VerifiedModule& module,
                                      size_t kernel, const CompileOptions& options);

// What a module is, for the cache: its bytecode. Two modules of one content share their kernels.
struct ModuleKey {
  std::shared_ptr<const std::string> content;
  bool operator==(const ModuleKey& o) const {
    return content == o.content || *content == *o.content;
  }
};
ModuleKey module_key(const VerifiedModule& module);

// CompiledKernel kernels by (module, kernel, target, guard, facts). A kernel that several threads
// ask for is compiled once; failures are not kept. One kernel has at most `kMostVariants`
// specialisations for facts; further launches share the one that takes nothing for granted.
class CompileCache {
 public:
  static constexpr size_t kMostVariants = 16;
  struct Found {
    std::shared_ptr<const CompiledKernel> kernel;
    bool hit = false;  // it was there already
  };
  Result<Found> get(const Toolchain& tools, const ModuleKey& key, const VerifiedModule& module,
                    size_t kernel, CompileOptions options);
  size_t size() const;

 private:
  struct Variant {
    LaunchFacts facts;
    std::shared_ptr<const CompiledKernel> kernel;  // null: some thread compiles it
  };
  using Base = std::tuple<std::string_view, size_t, int, int, int, bool, bool>;
  struct Entry {
    ModuleKey key;  // keeps the view of Base alive
    std::vector<std::unique_ptr<Variant>> variants;
  };
  mutable std::mutex mutex_;
  std::condition_variable compiled_;
  std::map<Base, Entry> entries_;
};

}  // namespace tess::jit
