// What a launch gives a compiled kernel: facts about the actual arguments, device memory for the
// tensors and workspaces, and the bytes of every parameter, hidden ones included. Works through
// jit/driver.h, so it is the same for the simulator and a GPU.
//
// A tensor's device address is congruent to its host address modulo 16, so facts follow from host
// pointers and an unaligned array stays one. Tensors that overlap in host memory (`may_alias`, one
// input given twice) overlap in the same way on the device. Device memory has the exact size of the
// host memory it stands for, but that of written tensors of sub-byte elements ends at a whole
// 32-bit word: their bytes are updated by 32-bit compare-and-swap.
#pragma once
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "isa/launch.h"
#include "jit/driver.h"
#include "jit/fault_record.h"
#include "jit/lower/lower.h"

namespace tess::jit {

inline constexpr uint32_t kMostAlignment = 16;  // bytes; nothing loads wider
inline constexpr int64_t kMostDivisor = 16;     // elements
inline constexpr int64_t kWholeTiles = 128;     // or this: what tiles of usual sizes divide

// Alignment of each tensor (of a list, what all its items have) and powers of two that divide the
// integer scalars and lets, both capped.
LaunchFacts facts_of(const Kernel& kernel, const BoundLaunch& launch);
// The same for a launch of the friendliest arguments: what `tess emit` shows.
LaunchFacts aligned_facts(const Kernel& kernel);

// Contents of `kept` workspaces between launches of one kernel, by parameter; zeros at first.
using KeptWorkspaces = std::map<uint32_t, std::vector<std::byte>>;

// Encoded tensor maps of one driver, by everything that goes into them. The oldest go when there
// are more than kMost.
struct TensorMapCache {
  static constexpr size_t kMost = 1024;
  std::list<std::pair<TensorMapSpec, TensorMap>> maps;
  uint64_t hits = 0, encoded = 0;
};
Result<TensorMap> encode_cached(const Driver& driver, const TensorMapSpec& spec,
                                TensorMapCache& cache);
// The map of a tensor in device memory, with this box and swizzle.
Result<TensorMapSpec> tensor_map_spec(DType type, const BoundTensor& tensor, DevicePtr address,
                                      const TensorMapNeed& need);

// The device memory of one launch. Freed by `release`, whatever happened.
class DeviceArguments {
 public:
  DeviceArguments(const Driver& driver, const Kernel& kernel, const BoundLaunch& launch);
  DeviceArguments(const DeviceArguments&) = delete;
  DeviceArguments& operator=(const DeviceArguments&) = delete;
  ~DeviceArguments();

  // Allocates and copies in.
  Status place(KeptWorkspaces& kept);
  // The kernel's parameters, in order; valid while this lives. Call once, after `place`.
  Result<std::span<const std::span<const std::byte>>> parameters(const Lowered& lowered,
                                                                 const DeviceFacts& device,
                                                                 TensorMapCache& maps);
  // Written tensors and kept workspaces back to the host.
  Status copy_back(KeptWorkspaces& kept);
  // How long loops and waits go on in guard mode; before `parameters`.
  void set_fuel(uint32_t fuel, uint32_t turns) { fuel_ = fuel, turns_ = turns; }
  // The words behind the head of what was printed, as many as were used and fit; whether more was.
  struct PrintedWords {
    std::vector<uint64_t> words;
    bool dropped = false;
  };
  Result<PrintedWords> printed() const;
  Result<std::optional<FaultRecord>> fault() const;  // none: nothing faulted, or no guard

  DevicePtr address(uint32_t param, size_t item = 0) const { return addresses_[param][item]; }

 private:
  struct Region {
    uint8_t* host = nullptr;
    uint64_t bytes = 0;
    bool read = false, written = false, sub_byte = false;
    DevicePtr device = 0;  // of `host`
  };
  void find_regions();
  Result<DevicePtr> allocate(uint64_t bytes);
  Status place_region(Region& r);
  Status place_workspace(uint32_t param, KeptWorkspaces& kept);
  Result<std::vector<std::byte>> parameter(const BlockParam& p, const Lowered& lowered,
                                           const HostEnv& env, TensorMapCache& maps);

  const Driver& driver_;
  const Kernel& kernel_;
  const BoundLaunch& launch_;
  std::vector<Region> regions_;
  std::vector<std::vector<DevicePtr>> addresses_;
  std::vector<DevicePtr> owned_;
  DevicePtr fault_ = 0, print_ = 0;
  uint32_t fuel_ = 0, turns_ = 0;
  std::vector<std::vector<std::byte>> bytes_;
  std::vector<std::span<const std::byte>> spans_;
};

}  // namespace tess::jit
