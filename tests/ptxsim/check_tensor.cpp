// Tensor copies and reductions of every rank, swizzle and element size, ragged at both ends, with
// strides between elements and NaN fill; multicast; and tensor maps changed by the kernel.
#include <fmt/format.h>

#include "jit/ptxsim/tensor_map.h"
#include "tests/ptxsim/form_check.h"
#include "tests/ptxsim/reduce_oracle.h"

namespace tess::ptxsim {
namespace {

using jit::TensorSwizzle;
using jit::TensorType;

// A box of a tensor that lies at an offset of a buffer.
struct Tile {
  int rank = 1;
  TensorType type = TensorType::u8;
  uint32_t element = 1;
  TensorSwizzle swizzle = TensorSwizzle::none;
  uint32_t size[5] = {1, 1, 1, 1, 1}, box[5] = {1, 1, 1, 1, 1}, step[5] = {1, 1, 1, 1, 1};
  int32_t start[5] = {};
  bool nan_fill = false;

  uint32_t span() const {
    return swizzle == TensorSwizzle::b32 ? 32 : swizzle == TensorSwizzle::b64 ? 64 : 128;
  }
  uint32_t count(int i) const { return (box[i] + step[i] - 1) / step[i]; }
  uint32_t elements() const { return count(0) * count(1) * count(2) * count(3) * count(4); }
  uint32_t bytes() const { return elements() * element; }
  uint64_t tensor_bytes() const {
    uint64_t n = element;
    for (uint32_t s : size) n *= s;
    return n;
  }
  std::string coordinates() const {
    std::string s = "{";
    for (int i = 0; i < rank; ++i) s += fmt::format("{}{}", i ? ", " : "", start[i]);
    return s + "}";
  }
  jit::TensorMapSpec spec(uint64_t address) const {
    jit::TensorMapSpec s;
    s.type = type, s.rank = rank, s.address = address, s.swizzle = swizzle;
    s.fill = nan_fill ? jit::TensorFill::nan : jit::TensorFill::zeros;
    uint64_t stride = element;
    for (int i = 0; i < rank; ++i) {
      s.size[i] = size[i], s.box[i] = box[i], s.element_stride[i] = step[i];
      stride *= size[i];
      if (i + 1 < rank) s.stride[i] = stride;
    }
    return s;
  }
  // Byte of element i of the box in shared memory: in rows of the swizzle's span the 16-byte chunk
  // is exchanged by the row.
  uint32_t shared_at(uint32_t i) const {
    uint32_t byte = i * element;
    if (swizzle == TensorSwizzle::none) return byte;
    uint32_t row = byte / span(), chunk = byte % span() / 16,
             turn = span() == 128  ? row % 8
                    : span() == 64 ? row / 2 % 4
                                   : row / 4 % 2;
    return row * span() + (chunk ^ turn) * 16 + byte % 16;
  }
  // Byte of element i in the tensor; false if it lies outside.
  bool global_at(uint32_t i, uint64_t& at) const {
    uint64_t scale = element;
    at = 0;
    bool inside = true;
    for (int q = 0; q < rank; ++q) {
      int64_t c = int64_t(i % count(q)) * step[q] + start[q];
      i /= count(q);
      inside &= c >= 0 && c < int64_t(size[q]);
      at += uint64_t(c) * scale;
      scale *= size[q];
    }
    return inside;
  }
};

uint32_t type_bytes(TensorType t) {
  const uint32_t bytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};
  return bytes[int(t)];
}

Tile tile(int rank, TensorType type, TensorSwizzle swizzle) {
  Tile t;
  t.rank = rank, t.type = type, t.element = type_bytes(type), t.swizzle = swizzle;
  uint32_t es = t.element, inner = t.span() / es;
  const uint32_t size[5] = {inner + 16 / es * 3, 11, 5, 4, 3}, box[5] = {inner, 8, 3, 2, 2};
  const int32_t start[5] = {int32_t(16 / es) * 2 - 1, -2, 3, 1, -1};
  for (int i = 0; i < rank; ++i) t.size[i] = size[i], t.box[i] = box[i], t.start[i] = start[i];
  return t;
}

int rank_of(const Words& w) {
  for (int i = 1; i <= 5; ++i)
    if (has_word(w, fmt::format("{}d", i))) return i;
  return 0;
}

// Runs with the tensor in the input (for loads) or the output (for stores). The buffers' addresses
// are not known before the launch, so the map's address is replaced by the kernel.
constexpr const char* kPlaceMap =
    "mov.u64 %d90, tile;\nadd.u64 %d91, %d90, 15360;\nshl.b32 %r90, %tx, 2;\ncvt.u64.u32 %d92, "
    "%r90;\nadd.u64 %d93, %d91, %d92;\nmov.u64 %d94, map0;\nadd.u64 %d94, %d94, "
    "%d92;\nld.param.u32 "
    "%r91, [%d94];\nmul.wide.u32 %d95, %t, 0;\nadd.u64 %d96, %out, {0};\nmov.u32 %r92, "
    "%ctaid.x;\nmul.wide.u32 %d97, %r92, 256;\nadd.u64 %d96, %d96, %d97;\nadd.u64 %d93, %d96, "
    "%d92;\nsetp.ge.u32 %p8, %tx, 32;\n@!%p8 st.global.u32 [%d93], "
    "%r91;\nfence.proxy.async;\nbar.sync "
    "0;\nsetp.ne.u32 %p8, %tx, 0;\n@%p8 bra PLACED;\n"
    "tensormap.replace.tile.global_address.global.b1024.b64 [%d96], {1};\n"
    "fence.proxy.async;\nPLACED:\nfence.acq_rel.gpu;\nbar.sync 0;\n";

std::string place_map(size_t scratch, const char* address) {
  return fmt::format(fmt::runtime(kPlaceMap), scratch, address);
}

// Shared memory bytes as `out` shows them: 1 to 8 KiB from the first 32 threads.
std::string dump(uint32_t bytes) {
  return fmt::format(
      "bar.sync 0;\nmov.u32 %r80, tile;\nmov.u32 %r81, %ctaid.x;\nmul.lo.u32 %r81, %r81, "
      "{0};\nmov.u32 "
      "%r82, %tx;\nDUMP: setp.ge.u32 %p9, %r82, {0};\n@%p9 bra DUMPED;\nadd.u32 %r83, %r80, "
      "%r82;\nld.shared.u8 %r84, [%r83];\nadd.u32 %r85, %r82, %r81;\ncvt.u64.u32 %d80, "
      "%r85;\nadd.u64 "
      "%d80, %d80, %out;\nst.global.u8 [%d80], %r84;\nadd.u32 %r82, %r82, 32;\nbra "
      "DUMP;\nDUMPED:\n",
      bytes);
}

jit::TensorMap encoded(const Tile& t, std::string& error) {
  auto m = encode_tensor_map(t.spec(1 << 20));
  if (!m) error = m.error().message;
  return m ? *m : jit::TensorMap{};
}

uint8_t fill_byte(const Tile& t, uint32_t byte) {
  if (!t.nan_fill) return 0;
  // The NaN of the element's type with all of its lower bits set.
  return byte % t.element == t.element - 1 ? 0x7f : 0xff;
}

Verdict load_tile(const std::string& opcode, const Words& w, const Tile& t, AsyncMode mode) {
  bool multicast = has_word(w, "multicast::cluster");
  std::string hint = has_word(w, "L2::cache_hint") ? ", %d110" : "", error;
  FormRun run;
  run.options.async = mode;
  fill_input(run, t.tensor_bytes(), t.element);
  run.grid = {2, 1, 1}, run.cluster = {2, 1, 1};
  uint32_t n = t.bytes();
  run.out_bytes = (2 * n + 255) / 128 * 128 + 512;
  run.maps = {encoded(t, error)};
  if (!error.empty()) return wrong(error);
  // Offsets behind registers in every address.
  std::string issue = fmt::format("{} [%d98+16], [%d99+128, {}], [%r99+8]{}{};\n", opcode,
                                  t.coordinates(), multicast ? ", %h0" : "", hint);
  // One copy of the first block for both, or one of each block.
  run.body =
      place_map(run.out_bytes - 512, "%in") +
      fmt::format(
          "mov.u64 %d110, 0;\nmov.u16 %h0, 3;\nmov.u64 %d98, tile;\nsub.u64 %d98, %d98, "
          "16;\nsub.u64 %d99, %d96, 128;\nmov.u32 %r99, bar;\nsub.u32 %r99, %r99, "
          "8;\nsetp.ne.u32 %p0, %tx, 0;\n@%p0 bra "
          "READY;\nmbarrier.init.shared.b64 [bar], 1;\nfence.mbarrier_init.release.cluster;\n"
          "mbarrier.arrive.expect_tx.shared.b64 _, [bar], {};\nREADY:\nbarrier.cluster.arrive;\n"
          "barrier.cluster.wait;\nsetp.ne.u32 %p1, {}, 0;\n@!%p1 {}W: "
          "mbarrier.try_wait.parity.shared.b64 %p2, [bar], 0;\n@!%p2 bra W;\n",
          n, multicast ? "%t" : "%tx", issue) +
      dump(n) + "barrier.cluster.arrive;\nbarrier.cluster.wait;\n";
  if (!run.run()) return wrong(run.error);
  for (uint32_t block = 0; block < 2; ++block)
    for (uint32_t i = 0; i < t.elements(); ++i) {
      uint64_t at;
      bool inside = t.global_at(i, at);
      for (uint32_t b = 0; b < t.element; ++b)
        if (run.out[block * n + t.shared_at(i) + b] != (inside ? run.in[at + b] : fill_byte(t, b)))
          return wrong(fmt::format("rank {} swizzle {} type {} element {}", t.rank, int(t.swizzle),
                                   int(t.type), i));
    }
  return good();
}

// The tile is the input's bytes; the tensor holds the bytes behind them.
Verdict store_tile(const std::string& opcode, const Words& w, const Tile& t, AsyncMode mode,
                   const std::string& op = {}, const std::string& type = {}) {
  std::string hint = has_word(w, "L2::cache_hint") ? ", %d110" : "", error;
  FormRun run;
  run.options.async = mode;
  uint32_t n = t.bytes();
  size_t tensor = t.tensor_bytes(), padded = (tensor + 127) / 128 * 128;
  run.in.resize(n + tensor);
  Random r{n};
  for (size_t i = 0; i + t.element <= run.in.size(); i += t.element) {
    uint64_t v = op.empty() ? r.next() : small_value(type, r.next());
    std::memcpy(&run.in[i], &v, t.element);
  }
  run.out_bytes = padded + 512;
  run.maps = {encoded(t, error)};
  if (!error.empty()) return wrong(error);
  auto copy = [](const char* label, const char* from, size_t bytes, bool to_shared) {
    return fmt::format(
        "mov.u32 %r70, %tx;\n{0}A: setp.ge.u32 %p7, %r70, {1};\n@%p7 bra {0}B;\ncvt.u64.u32 %d70, "
        "%r70;\nadd.u64 %d71, %d70, %in;\nld.global.u8 %r71, [%d71+{2}];\n{3}add.u32 %r70, %r70, "
        "32;\nbra {0}A;\n{0}B:\n",
        label, bytes, from,
        to_shared ? "mov.u32 %r72, tile;\nadd.u32 %r72, %r72, %r70;\nst.shared.u8 [%r72], %r71;\n"
                  : "add.u64 %d72, %d70, %out;\nst.global.u8 [%d72], %r71;\n");
  };
  run.body =
      place_map(padded, "%out") + "mov.u64 %d110, 0;\n" + copy("S", "0", n, true) +
      copy("G", std::to_string(n).c_str(), tensor, false) +
      fmt::format(
          "fence.proxy.async;\nbar.sync 0;\nsetp.ne.u32 %p0, %tx, 0;\n@%p0 bra END;\n{} [%d96, "
          "{}], [tile]{};\ncp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;\nEND:\n",
          opcode, t.coordinates(), hint);
  if (!run.run()) return wrong(run.error);
  std::vector<uint8_t> want(run.in.begin() + n, run.in.end());
  for (uint32_t i = 0; i < t.elements(); ++i) {
    uint64_t at;
    if (!t.global_at(i, at)) continue;
    uint64_t a = 0, b = 0;
    std::memcpy(&a, &want[at], t.element);
    std::memcpy(&b, &run.in[t.shared_at(i)], t.element);
    a = op.empty() ? b : reduced(op, type, a, b);
    std::memcpy(&want[at], &a, t.element);
  }
  return std::memcmp(want.data(), run.out.data(), want.size()) == 0
             ? good()
             : wrong(
                   fmt::format("rank {} swizzle {} type {}", t.rank, int(t.swizzle), int(t.type)));
}

std::vector<Tile> tiles(int rank) {
  std::vector<Tile> all;
  for (auto swizzle :
       {TensorSwizzle::none, TensorSwizzle::b32, TensorSwizzle::b64, TensorSwizzle::b128})
    for (auto type : {TensorType::u8, TensorType::f16, TensorType::f32, TensorType::s64}) {
      if (rank > 3 && type == TensorType::u8) continue;
      all.push_back(tile(rank, type, swizzle));
    }
  Tile nan = tile(rank, TensorType::bf16, TensorSwizzle::none);
  nan.nan_fill = true;
  all.push_back(nan);
  Tile stepped = tile(rank, TensorType::u32, TensorSwizzle::none);
  stepped.step[rank - 1] = 2;
  if (rank == 1) stepped.box[0] = 32;
  all.push_back(stepped);
  return all;
}

Verdict check_copy(const std::string& opcode, const Words& w) {
  bool store = has_word(w, "bulk_group");
  int i = 0;
  for (const Tile& t : tiles(rank_of(w))) {
    AsyncMode mode = AsyncMode(i++ % 3);
    Verdict v = store ? store_tile(opcode, w, t, mode) : load_tile(opcode, w, t, mode);
    if (!v.wrong.empty()) return v;
  }
  return good();
}

Verdict check_reduce(const std::string& opcode, const Words& w) {
  std::string op;
  for (const char* o : {"add", "min", "max", "inc", "dec", "and", "or", "xor"})
    if (has_word(w, o)) op = o;
  struct Case {
    TensorType type;
    const char* name;
  };
  const Case cases[] = {{TensorType::u32, "u32"}, {TensorType::s32, "s32"},
                        {TensorType::u64, "u64"}, {TensorType::s64, "s64"},
                        {TensorType::f16, "f16"}, {TensorType::bf16, "bf16"},
                        {TensorType::f32, "f32"}, {TensorType::f64, "f64"}};
  bool bitwise = op == "and" || op == "or" || op == "xor", count = op == "inc" || op == "dec";
  int i = 0;
  for (const Case& c : cases) {
    bool real = c.name[0] == 'f' || c.name[0] == 'b';
    if ((bitwise && real) || (count && c.type != TensorType::u32)) continue;
    if ((c.type == TensorType::f32 || c.type == TensorType::f64) && op != "add") continue;
    ++i;
    Verdict v = store_tile(opcode, w, tile(rank_of(w), c.type, TensorSwizzle(i % 4)),
                           AsyncMode(i % 3), op, c.name);
    if (!v.wrong.empty()) return v;
  }
  return good();
}

// A prefetch reads nothing that can be seen; its map must be a valid one.
Verdict check_prefetch(const std::string& opcode, const Words& w) {
  std::string error;
  Tile t = tile(rank_of(w), TensorType::f16, TensorSwizzle::b64);
  FormRun run;
  run.in.resize(t.tensor_bytes());
  run.out_bytes = 1024;
  run.maps = {encoded(t, error)};
  run.body = place_map(512, "%in") + fmt::format("mov.u64 %d110, 0;\n{} [%d96, {}]{};\n", opcode,
                                                 t.coordinates(),
                                                 has_word(w, "L2::cache_hint") ? ", %d110" : "");
  if (!run.run()) return wrong(run.error);
  run.maps[0] = {};
  std::memset(run.maps[0].bytes, 1, 128);
  run.body = fmt::format("mov.u64 %d110, 0;\n{} [map0, {}]{};\n", opcode, t.coordinates(),
                         has_word(w, "L2::cache_hint") ? ", %d110" : "");
  run.run();
  return run.found("T1035") ? good() : wrong("a wrong map is not reported");
}

// A map that is wrong in one field, set right by the kernel, loads the right box.
Verdict check_replace(const std::string& opcode, const Words& w) {
  const std::string field = w[3];
  bool wide = field == "global_address" || field == "global_stride";
  if (wide != (w.back() == "b64")) return impossible();
  Tile t = tile(2, TensorType::f64, TensorSwizzle::b64);
  t.box[0] = 8, t.size[0] = 14;
  if (field == "elemtype") t.type = TensorType::bf16, t.element = 2, t.box[0] = 32, t.size[0] = 56;
  if (field == "fill_mode")
    t.type = TensorType::f16, t.element = 2, t.box[0] = 32, t.size[0] = 56, t.nan_fill = true;
  std::string error, ordinal, value;
  jit::TensorMapSpec spec = t.spec(1 << 20);
  if (field == "rank") value = "1";
  else if (field == "box_dim") ordinal = "1", value = "8", spec.box[1] = 2;
  else if (field == "global_dim") ordinal = "1", value = "11", spec.size[1] = 4;
  else if (field == "global_stride") {
    ordinal = "0";
    value = std::to_string(spec.stride[0]);
    spec.stride[0] = 1024;
  } else if (field == "element_stride") {
    ordinal = "1", value = "1", spec.element_stride[1] = 2;
  } else if (field == "elemtype") {
    value = "10", spec.type = TensorType::u16;
  } else if (field == "interleave_layout") {
    value = "0";
  } else if (field == "swizzle_mode") {
    value = "2", spec.swizzle = TensorSwizzle::b128;
  } else if (field == "fill_mode") {
    value = "1", spec.fill = jit::TensorFill::zeros;
  }
  auto m = encode_tensor_map(spec);
  if (!m) return wrong(m.error().message);
  SimTensorMap raw;
  std::memcpy(static_cast<void*>(&raw), m->bytes, sizeof raw);
  if (field == "rank") raw.rank = 1;
  if (field == "interleave_layout") raw.interleave = 2;
  if (field == "elemtype") raw.fill = 0;
  jit::TensorMap wrong_map = *m;
  std::memcpy(wrong_map.bytes, static_cast<const void*>(&raw), sizeof raw);
  FormRun run;
  fill_input(run, t.tensor_bytes(), 9);
  uint32_t n = t.bytes();
  run.out_bytes = (n + 255) / 128 * 128 + 512;
  run.maps = {wrong_map};
  bool shared = has_word(w, "shared::cta"), generic = !shared && !has_word(w, "global");
  // A map in shared memory is changed there and copied to global memory.
  std::string at = shared ? "%d91+0" : generic ? "%d99+128" : "%d96";
  std::string set = field == "global_address"
                        ? fmt::format("{} [{}], %in;\n", opcode, at)
                        : fmt::format("{} [{}]{}, {};\n", opcode, at,
                                      ordinal.empty() ? "" : ", " + ordinal, value);
  std::string move_in, move_out;
  for (int i = 0; i < 8 && shared; ++i) {
    move_in += fmt::format(
        "ld.global.v4.u32 {{%r60, %r61, %r62, %r63}}, [%d96+{0}];\nst.shared.v4.u32 "
        "[%d91+{0}], {{%r60, %r61, %r62, %r63}};\n",
        16 * i);
    move_out += fmt::format(
        "ld.shared.v4.u32 {{%r60, %r61, %r62, %r63}}, [%d91+{0}];\n"
        "st.global.v4.u32 [%d96+{0}], {{%r60, %r61, %r62, %r63}};\n",
        16 * i);
  }
  run.body =
      place_map(run.out_bytes - 512, field == "global_address" ? "4096" : "%in") +
      fmt::format(
          "sub.u64 %d99, %d96, 128;\nsetp.ne.u32 %p0, %tx, 0;\n@%p0 bra "
          "READY;\n{}{}{}fence.proxy.async;\n"
          "mbarrier.init.shared.b64 [bar], 1;\nfence.mbarrier_init.release.cluster;\n"
          "mbarrier.arrive.expect_tx.shared.b64 _, [bar], {};\n"
          "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [tile], "
          "[%d96, {}], [bar];\nREADY: bar.sync 0;\nW: mbarrier.try_wait.parity.shared.b64 %p2, "
          "[bar], 0;\n@!%p2 bra W;\n",
          move_in, set, move_out, n, t.coordinates()) +
      dump(n);
  if (!run.run()) return wrong(run.error);
  for (uint32_t i = 0; i < t.elements(); ++i) {
    uint64_t g;
    bool inside = t.global_at(i, g);
    for (uint32_t b = 0; b < t.element; ++b)
      if (run.out[t.shared_at(i) + b] != (inside ? run.in[g + b] : fill_byte(t, b)))
        return wrong(fmt::format("element {}", i));
  }
  // Untouched, the map must not give the same.
  std::string without = run.body;
  without.erase(without.find(set), set.size());
  FormRun other = run;
  other.body = without;
  other.options.max_steps = 20000;
  if (other.run() && other.out == run.out) return wrong("the field has no effect");
  return good();
}

Verdict check_fence_copy(const std::string& opcode, const Words&) {
  FormRun run;
  fill_input(run, 256, 3);
  run.out_bytes = 512;
  run.body = fmt::format(
      "mov.u64 %d0, tile;\nmul.wide.u32 %d1, %tx, 4;\nadd.u64 %d2, %d1, %in;\nadd.u64 %d3, %d1, "
      "%d0;\nld.global.u32 %r0, [%d2];\nst.shared.u32 [%d3+128], %r0;\nbar.sync 0;\n{} [%out+128], "
      "[%d0+128], 128;\n",
      opcode);
  if (!run.run()) return wrong(run.error);
  return std::memcmp(&run.out[128], run.in.data(), 128) == 0 ? good() : wrong("the bytes");
}

}  // namespace

std::vector<NamedCheck> tensor_checks() {
  return {{"tensor_copy", check_copy},
          {"tensor_reduce", check_reduce},
          {"tensor_prefetch", check_prefetch},
          {"tensormap_replace", check_replace},
          {"tensormap_fence_copy", check_fence_copy}};
}

}  // namespace tess::ptxsim
