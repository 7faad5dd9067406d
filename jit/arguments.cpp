#include "jit/arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "isa/diag/tool.h"
#include "isa/numerics.h"
#include "jit/print_record.h"

namespace tess::jit {
namespace {

constexpr uint64_t kGridStateBytes = 256;
constexpr uint64_t kPrintWords = 1 << 20;

bool is_tensor(Direction d) { return d != Direction::scalar && d != Direction::let; }

// The largest power of two that divides v, at most `most`; of 0 everything does.
int64_t power_of_two(int64_t v, int64_t most) {
  uint64_t low = static_cast<uint64_t>(v) | static_cast<uint64_t>(most);
  return static_cast<int64_t>(low & (~low + 1));
}

template <class T>
std::vector<std::byte> bytes_of(const T& value) {
  std::vector<std::byte> out(sizeof value);
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}

// A scalar's code, widened to the register: signed integers keep their value, all else its bits.
std::vector<std::byte> scalar_bytes(DType type, uint64_t code, RegClass reg) {
  uint64_t wide = type.is_signed() ? static_cast<uint64_t>(decode_int(type, code)) : code;
  std::vector<std::byte> out = bytes_of(wide);
  out.resize(static_cast<size_t>(class_bytes(reg)));
  return out;
}

// What is only read may begin anywhere on the host (base_alignment). A device asks for elements at
// multiples of their size: there it gets an address of its own.
bool is_askew(const BoundTensor& t, DType type) {
  return type.bits >= 16 && reinterpret_cast<uintptr_t>(t.data) % (type.bits / 8u);
}

// What stands between the elements of a tensor must survive, and so must the other bits of a byte.
bool covers_its_bytes(const BoundTensor& t, int bits) {
  if (bits < 8) return false;
  int64_t next = 1;
  for (int i = t.shape.rank - 1; i >= 0; --i) {
    if (t.shape[i] > 1 && t.strides[i] != next) return false;
    next *= t.shape[i];
  }
  return true;
}

}  // namespace

LaunchFacts facts_of(const Kernel& kernel, const BoundLaunch& launch) {
  LaunchFacts out;
  size_t n = kernel.params.size();
  out.alignment.assign(n, 0);
  out.divisor.assign(n, 0);
  for (uint32_t p = 0; p < n; ++p) {
    const DType type = kernel.values[p].type.dtype;
    if (is_tensor(kernel.params[p].dir)) {
      uint64_t all = kMostAlignment;
      for (const BoundTensor& t : launch.tensors[p])
        if (!is_askew(t, type)) all |= reinterpret_cast<uintptr_t>(t.data);
      out.alignment[p] = static_cast<uint32_t>(all & (~all + 1));
    } else if (type.is_int()) {
      int64_t v = decode_int(type, launch.scalars[p]);
      out.divisor[p] = v % kWholeTiles == 0 ? kWholeTiles : power_of_two(v, kMostDivisor);
    }
  }
  return out;
}

LaunchFacts aligned_facts(const Kernel& kernel) {
  LaunchFacts out;
  for (uint32_t p = 0; p < kernel.params.size(); ++p) {
    bool tensor = is_tensor(kernel.params[p].dir);
    out.alignment.push_back(tensor ? kMostAlignment : 0);
    out.divisor.push_back(!tensor && kernel.values[p].type.dtype.is_int() ? kWholeTiles : 0);
  }
  return out;
}

// --- tensor maps

namespace {

bool same(const TensorMapSpec& a, const TensorMapSpec& b) {
  auto equal = [](const auto& x, const auto& y) { return std::equal(x, x + std::size(x), y); };
  return a.type == b.type && a.rank == b.rank && a.address == b.address && equal(a.size, b.size) &&
         equal(a.stride, b.stride) && equal(a.box, b.box) &&
         equal(a.element_stride, b.element_stride) && a.interleave == b.interleave &&
         a.swizzle == b.swizzle && a.promotion == b.promotion && a.fill == b.fill;
}

std::optional<TensorType> tensor_type(DType t) {
  if (t == dt::f16_) return TensorType::f16;
  if (t == dt::bf16_) return TensorType::bf16;
  if (t == dt::f32_ || t.is_tf32()) return TensorType::f32;
  if (t == dt::f64_) return TensorType::f64;
  if (t == dt::i32_) return TensorType::s32;
  if (t == dt::i64_) return TensorType::s64;
  switch (t.bits) {
    case 16:
      return TensorType::u16;
    case 32:
      return TensorType::u32;
    case 64:
      return TensorType::u64;
    default:
      return t.bits <= 8 ? std::optional(TensorType::u8) : std::nullopt;
  }
}

}  // namespace

Result<TensorMapSpec> tensor_map_spec(DType type, const BoundTensor& tensor, DevicePtr address,
                                      const TensorMapNeed& need) {
  int rank = tensor.shape.rank;
  auto refuse = [&](std::string why) {
    return make_diag(diag::internal_error, "a tensor map cannot be made: " + std::move(why));
  };
  std::optional<TensorType> code = tensor_type(type);
  if (!code || rank < 1 || rank > 5 || need.box.size() != static_cast<size_t>(rank))
    return refuse(fmt::format("{} of rank {} with a box of rank {}", dtype_name(type), rank,
                              need.box.size()));
  TensorMapSpec out;
  out.type = *code;
  out.rank = rank;
  out.address = address;
  out.swizzle = need.swizzle;
  out.promotion = TensorPromotion::b128;
  // Elements that a byte or less holds are counted in bytes along the innermost dimension.
  auto in_bytes = [&](int64_t elements) {
    return type.bits < 8 ? elements * type.bits / 8 : elements;
  };
  for (int i = 0; i < rank; ++i) {
    int from = rank - 1 - i;
    int64_t size = tensor.shape[from], box = need.box[static_cast<size_t>(from)];
    if (i == 0) size = in_bytes(size), box = in_bytes(box);
    out.size[i] = static_cast<uint64_t>(size);
    out.box[i] = static_cast<uint32_t>(box);
    // Along one element nothing is stepped, but the map's rules ask for a stride all the same.
    if (i == 0) continue;
    int64_t stride = tensor.strides[from] * type.bits;
    if (tensor.shape[from] <= 1 || stride == 0) stride = (stride + 127) / 128 * 128;
    out.stride[i - 1] = static_cast<uint64_t>(stride) / 8;
  }
  return out;
}

Result<TensorMap> encode_cached(const Driver& driver, const TensorMapSpec& spec,
                                TensorMapCache& cache) {
  for (auto it = cache.maps.begin(); it != cache.maps.end(); ++it) {
    if (!same(it->first, spec)) continue;
    ++cache.hits;
    cache.maps.splice(cache.maps.begin(), cache.maps, it);
    return it->second;
  }
  TESS_TRY(TensorMap map, driver.table->encode_tensor_map(driver.self, spec));
  ++cache.encoded;
  cache.maps.emplace_front(spec, map);
  if (cache.maps.size() > TensorMapCache::kMost) cache.maps.pop_back();
  return map;
}

// --- device memory

DeviceArguments::DeviceArguments(const Driver& driver, const Kernel& kernel,
                                 const BoundLaunch& launch)
    : driver_(driver), kernel_(kernel), launch_(launch), addresses_(launch.tensors.size()) {
  for (size_t p = 0; p < addresses_.size(); ++p) addresses_[p].assign(launch.tensors[p].size(), 0);
}

DeviceArguments::~DeviceArguments() {
  for (DevicePtr p : owned_) (void)driver_.table->release(driver_.self, p);
}

// Host memory of all tensors, those that overlap joined.
void DeviceArguments::find_regions() {
  std::vector<Region> all;
  for (uint32_t p = 0; p < kernel_.params.size(); ++p) {
    Direction dir = kernel_.params[p].dir;
    if (!is_tensor(dir) || dir == Direction::workspace) continue;
    const DType type = kernel_.values[p].type.dtype;
    int bits = type.bits;
    for (const BoundTensor& t : launch_.tensors[p]) {
      if (!t.bytes || is_askew(t, type)) continue;
      bool written = dir != Direction::in;
      bool read = dir != Direction::out || !covers_its_bytes(t, bits);
      all.push_back({t.data, t.bytes, read, written, written && bits < 8, 0});
    }
  }
  std::sort(all.begin(), all.end(),
            [](const Region& a, const Region& b) { return a.host < b.host; });
  for (const Region& r : all) {
    if (regions_.empty() || r.host >= regions_.back().host + regions_.back().bytes) {
      regions_.push_back(r);
      continue;
    }
    Region& last = regions_.back();
    last.bytes = std::max(last.bytes, static_cast<uint64_t>(r.host - last.host) + r.bytes);
    last.read = true;  // one may read what the other writes
    last.written |= r.written;
    last.sub_byte |= r.sub_byte;
  }
}

Result<DevicePtr> DeviceArguments::allocate(uint64_t bytes) {
  TESS_TRY(DevicePtr p, driver_.table->allocate(driver_.self, bytes));
  owned_.push_back(p);
  return p;
}

Status DeviceArguments::place_region(Region& r) {
  uint64_t skew = reinterpret_cast<uintptr_t>(r.host) % kMostAlignment;
  uint64_t end = skew + r.bytes, room = r.sub_byte ? (end + 3) / 4 * 4 : end;
  TESS_TRY(DevicePtr base, allocate(room));
  r.device = base + skew;
  if (r.sub_byte && skew) TESS_CHECK(driver_.table->fill(driver_.self, base, 0, skew));
  if (room > end) TESS_CHECK(driver_.table->fill(driver_.self, base + end, 0, room - end));
  if (!r.read) return ok();
  return driver_.table->copy_in(driver_.self, r.device,
                                {reinterpret_cast<const std::byte*>(r.host), r.bytes});
}

Status DeviceArguments::place_workspace(uint32_t param, KeptWorkspaces& kept) {
  const BoundTensor& t = launch_.tensors[param][0];
  if (!t.bytes) return ok();
  uint64_t room = (t.bytes + 3) / 4 * 4;
  TESS_TRY(addresses_[param][0], allocate(room));
  TESS_CHECK(driver_.table->fill(driver_.self, addresses_[param][0], 0, room));
  if (!kernel_.params[param].kept) return ok();
  std::vector<std::byte>& content = kept[param];
  if (content.size() != t.bytes) content.assign(t.bytes, std::byte{0});
  return driver_.table->copy_in(driver_.self, addresses_[param][0], content);
}

Status DeviceArguments::place(KeptWorkspaces& kept) {
  find_regions();
  for (Region& r : regions_) TESS_CHECK(place_region(r));
  for (uint32_t p = 0; p < kernel_.params.size(); ++p) {
    if (kernel_.params[p].dir == Direction::workspace) {
      TESS_CHECK(place_workspace(p, kept));
      continue;
    }
    for (size_t i = 0; i < launch_.tensors[p].size(); ++i) {
      const BoundTensor& t = launch_.tensors[p][i];
      if (!t.bytes) continue;
      if (is_askew(t, kernel_.values[p].type.dtype)) {
        TESS_TRY(addresses_[p][i], allocate(t.bytes));
        TESS_CHECK(driver_.table->copy_in(driver_.self, addresses_[p][i],
                                          {reinterpret_cast<const std::byte*>(t.data), t.bytes}));
        continue;
      }
      auto after = std::upper_bound(regions_.begin(), regions_.end(), t.data,
                                    [](const uint8_t* at, const Region& r) { return at < r.host; });
      const Region& r = *(after - 1);
      addresses_[p][i] = r.device + static_cast<uint64_t>(t.data - r.host);
    }
  }
  return ok();
}

Status DeviceArguments::copy_back(KeptWorkspaces& kept) {
  for (const Region& r : regions_)
    if (r.written)
      TESS_CHECK(driver_.table->copy_out(
          driver_.self, {reinterpret_cast<std::byte*>(r.host), r.bytes}, r.device));
  for (auto& [param, content] : kept)
    if (addresses_[param][0])
      TESS_CHECK(driver_.table->copy_out(driver_.self, content, addresses_[param][0]));
  return ok();
}

// --- parameters

Result<std::vector<std::byte>> DeviceArguments::parameter(const BlockParam& p,
                                                          const Lowered& lowered,
                                                          const HostEnv& env,
                                                          TensorMapCache& maps) {
  switch (p.kind) {
    case ParamKind::pointer:
      return bytes_of(addresses_.at(p.source).at(0));
    case ParamKind::list: {
      const std::vector<DevicePtr>& items = addresses_.at(p.source);
      DevicePtr table = 0;
      if (!items.empty()) {
        TESS_TRY(table, allocate(items.size() * sizeof(DevicePtr)));
        TESS_CHECK(driver_.table->copy_in(driver_.self, table, std::as_bytes(std::span(items))));
      }
      return bytes_of(table);
    }
    case ParamKind::scalar:
      return scalar_bytes(kernel_.values.at(p.source).type.dtype, launch_.scalars.at(p.source),
                          p.type);
    case ParamKind::expression: {
      TESS_TRY(int64_t value, evaluate(p.expr, env));
      return bytes_of(value);
    }
    case ParamKind::tensor_map: {
      const TensorMapNeed& need = lowered.maps.at(p.source);
      DType type = kernel_.values.at(need.param).type.dtype;
      BoundTensor tensor = launch_.tensors.at(need.param).at(0);
      DevicePtr address = addresses_.at(need.param).at(0);
      if (tensor.shape.elements() == 0) {
        // A map has no extent of 0: it shows one row of zeros instead.
        constexpr size_t kRowBytes = 16;
        TESS_TRY(address, allocate(kRowBytes));
        TESS_CHECK(driver_.table->fill(driver_.self, address, 0, kRowBytes));
        for (int d = 0; d < tensor.shape.rank; ++d) tensor.shape[d] = 1;
        tensor.shape[tensor.shape.rank - 1] = int64_t{kRowBytes} * 8 / type.bits;
      }
      TESS_TRY(TensorMapSpec spec, tensor_map_spec(type, tensor, address, need));
      TESS_TRY(TensorMap map, encode_cached(driver_, spec, maps));
      return bytes_of(map);
    }
    case ParamKind::grid_state: {
      TESS_TRY(DevicePtr state, allocate(kGridStateBytes));
      TESS_CHECK(driver_.table->fill(driver_.self, state, 0, kGridStateBytes));
      return bytes_of(state);
    }
    case ParamKind::fault: {
      TESS_TRY(fault_, allocate(sizeof(FaultRecord)));
      FaultRecord empty;
      empty.fuel = fuel_, empty.turns = turns_;
      TESS_CHECK(driver_.table->copy_in(driver_.self, fault_, std::as_bytes(std::span(&empty, 1))));
      return bytes_of(fault_);
    }
    case ParamKind::print: {
      TESS_TRY(print_, allocate(sizeof(PrintHead) + kPrintWords * 8));
      PrintHead head{0, kPrintWords};
      TESS_CHECK(driver_.table->copy_in(driver_.self, print_, std::as_bytes(std::span(&head, 1))));
      return bytes_of(print_);
    }
  }
  return make_diag(diag::internal_error, "a kernel parameter of unknown kind");
}

Result<std::span<const std::span<const std::byte>>> DeviceArguments::parameters(
    const Lowered& lowered, const DeviceFacts& device, TensorMapCache& maps) {
  HostEnv env;
  env.device_sms = device.sms;
  env.occupancy = std::max<int64_t>(device.occupancy, kernel_.blocks_per_sm);
  env.value_of = [this](uint32_t v) {
    return v < launch_.scalars.size() ? decode_int(kernel_.values[v].type.dtype, launch_.scalars[v])
                                      : 0;
  };
  bytes_.clear();
  spans_.clear();
  for (const BlockParam& p : lowered.block.params) {
    TESS_TRY(std::vector<std::byte> bytes, parameter(p, lowered, env, maps));
    bytes_.push_back(std::move(bytes));
  }
  for (const auto& b : bytes_) spans_.emplace_back(b);
  return std::span<const std::span<const std::byte>>(spans_);
}

Result<DeviceArguments::PrintedWords> DeviceArguments::printed() const {
  PrintedWords out;
  if (!print_) return out;
  PrintHead head;
  TESS_CHECK(
      driver_.table->copy_out(driver_.self, std::as_writable_bytes(std::span(&head, 1)), print_));
  out.dropped = head.used > kPrintWords;
  out.words.resize(std::min(head.used, kPrintWords));
  if (!out.words.empty())
    TESS_CHECK(driver_.table->copy_out(driver_.self, std::as_writable_bytes(std::span(out.words)),
                                       print_ + sizeof(PrintHead)));
  return out;
}

Result<std::optional<FaultRecord>> DeviceArguments::fault() const {
  if (!fault_) return std::optional<FaultRecord>();
  FaultRecord record;
  TESS_CHECK(driver_.table->copy_out(
      driver_.self, {reinterpret_cast<std::byte*>(&record), sizeof record}, fault_));
  return record.claimed ? std::optional(record) : std::nullopt;
}

}  // namespace tess::jit
