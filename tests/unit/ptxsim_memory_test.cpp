// Tensor copies of every rank and swizzle with ragged edges, reductions, atomics, warp collectives
// and matrix loads, each against a direct statement of what the ISA says.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <functional>

#include "isa/numerics.h"
#include "jit/ptxsim/forms.h"
#include "tests/ptxsim/form_text.h"
#include "tests/ptxsim/kernel_cases.h"

using namespace tess;
using namespace tess::ptxsim;

namespace {

struct Device {
  Simulator sim;
  jit::ModuleId module{};
  explicit Device(const std::string& ptx) {
    auto m = sim.load(ptx, "test.ptx");
    REQUIRE_MESSAGE(bool(m), (m ? "" : m.error().message));
    module = *m;
  }
  uint64_t buffer(size_t bytes) { return *sim.memory().allocate(bytes, "buffer", true); }
  template <class T>
  T* host(uint64_t p) {
    return reinterpret_cast<T*>(sim.memory().at(p)->data.get());
  }
  void run(jit::Dim3 block, std::initializer_list<std::span<const std::byte>> params) {
    std::vector<std::span<const std::byte>> list(params);
    jit::LaunchSpec l;
    l.module = module, l.entry = "k", l.block = block, l.params = list;
    auto r = sim.run(l);
    REQUIRE_MESSAGE(bool(r), (r ? "" : r.error().message));
    for (auto& f : r->findings) FAIL_CHECK(render_finding(f));
  }
};
template <class T>
std::span<const std::byte> bytes(const T& v) {
  return std::as_bytes(std::span(&v, 1));
}

}  // namespace

TEST_CASE("tensor copies of every rank and swizzle, ragged, there and back") {
  for (int rank = 1; rank <= 5; ++rank)
    for (auto swizzle : {jit::TensorSwizzle::none, jit::TensorSwizzle::b32, jit::TensorSwizzle::b64,
                         jit::TensorSwizzle::b128})
      for (uint32_t es : {1u, 2u, 4u}) {
        if (rank == 1 && swizzle != jit::TensorSwizzle::none && es != 2) continue;
        const uint32_t span = swizzle == jit::TensorSwizzle::b32   ? 32
                              : swizzle == jit::TensorSwizzle::b64 ? 64
                                                                   : 128;
        uint32_t size[5] = {span / es + 16 / es * 3, 11, 5, 4, 3}, box[5] = {span / es, 8, 3, 2, 2};
        int32_t start[5] = {int32_t(16 / es) * 2 - 3, -2, 3, 1, -1};
        for (int i = rank; i < 5; ++i) size[i] = box[i] = 1, start[i] = 0;
        uint64_t elements = 1, tile = es;
        for (int i = 0; i < rank; ++i) elements *= size[i], tile *= box[i];
        std::string coords;
        for (int i = 0; i < rank; ++i) coords += fmt::format("{}{}", i ? ", " : "", start[i]);
        // Load the box, write it out as it lies in shared memory, and store the box back into a
        // second tensor.
        std::string s = fmt::format(
            ".version 8.6\n.target sm_90a\n.address_size 64\n.shared .align 1024 .b8 "
            "tile[{0}];\n.shared .align 8 .b64 bar;\n"
            ".visible .entry k(.param .align 64 .b8 m[128], .param .align 64 .b8 m2[128], .param "
            ".u64 out) {{\n.reg .pred %p, %q;\n.reg .b32 %r<8>;\n.reg .b64 %d<8>;\n"
            "mov.b64 %d0, m;\ncvta.param.u64 %d0, %d0;\nmov.b64 %d5, m2;\ncvta.param.u64 %d5, "
            "%d5;\nld.param.u64 %d1, [out];\nmov.u32 %r0, %tid.x;\nsetp.ne.u32 %p, %r0, 0;\n@%p "
            "bra W;\n"
            "mbarrier.init.shared.b64 [bar], "
            "1;\nfence.mbarrier_init.release.cluster;\nmbarrier.arrive.expect_tx.shared.b64 _, "
            "[bar], {0};\n"
            "cp.async.bulk.tensor.{1}d.shared::cluster.global.mbarrier::complete_tx::bytes [tile], "
            "[%d0, {{{2}}}], [bar];\n"
            "T: mbarrier.try_wait.parity.shared.b64 %q, [bar], 0;\n@!%q bra T;\nW:\nbar.sync "
            "0;\nmov.u32 %r1, %r0;\nL: setp.ge.u32 %q, %r1, {0};\n@%q bra E;\nmov.u32 %r2, "
            "tile;\nadd.u32 %r2, %r2, %r1;\n"
            "ld.shared.u8 %r3, [%r2];\ncvt.u64.u32 %d2, %r1;\nadd.s64 %d2, %d2, %d1;\nst.global.u8 "
            "[%d2], %r3;\nadd.u32 %r1, %r1, 32;\nbra L;\nE:\nbar.sync 0;\n@%p bra X;\n"
            "cp.async.bulk.tensor.{1}d.global.shared::cta.bulk_group [%d5, {{{2}}}], "
            "[tile];\ncp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;\nX: ret;\n}}\n",
            tile, rank, coords);
        Device dev(s);
        dev.sim.options.async = AsyncMode(rank % 3);
        uint64_t g = dev.buffer(elements * es), g2 = dev.buffer(elements * es),
                 out = dev.buffer(tile);
        Random r{uint64_t(rank) * 100 + es};
        for (uint64_t i = 0; i < elements * es; ++i)
          dev.host<uint8_t>(g)[i] = uint8_t(1 + r.below(255));
        jit::TensorMapSpec spec;
        spec.type = es == 1   ? jit::TensorType::u8
                    : es == 2 ? jit::TensorType::f16
                              : jit::TensorType::u32;
        spec.rank = rank;
        spec.swizzle = swizzle;
        uint64_t stride = es;
        for (int i = 0; i < rank; ++i) {
          spec.size[i] = size[i], spec.box[i] = box[i];
          stride *= size[i];
          if (i + 1 < rank) spec.stride[i] = stride;
        }
        jit::Driver d = simulator_driver(dev.sim);
        spec.address = g;
        auto m = d.table->encode_tensor_map(d.self, spec);
        REQUIRE_MESSAGE(bool(m), (m ? "" : m.error().message));
        spec.address = g2;
        auto m2 = d.table->encode_tensor_map(d.self, spec);
        dev.run({32, 1, 1}, {bytes(*m), bytes(*m2), bytes(out)});
        int wrong = 0;
        std::vector<uint8_t> back(elements * es, 0);
        for (uint64_t i = 0; i < tile / es; ++i) {
          uint64_t left = i, at = 0, scale = 1;
          bool inside = true;
          for (int q = 0; q < rank; ++q) {
            int64_t c = int64_t(left % box[q]) + start[q];
            left /= box[q];
            inside &= c >= 0 && c < int64_t(size[q]);
            at += uint64_t(c) * scale;
            scale *= size[q];
          }
          // Rows of `span` bytes, eight per period: the 16-byte chunk is exchanged by the row.
          uint64_t byte = i * es, row = byte / span, chunk = byte % span / 16;
          if (swizzle != jit::TensorSwizzle::none) {
            uint64_t turn = span == 128 ? row % 8 : span == 64 ? row / 2 % 4 : row / 4 % 2;
            byte = row * span + (chunk ^ turn) * 16 + byte % 16;
          }
          for (uint32_t b = 0; b < es; ++b) {
            uint8_t want = inside ? dev.host<uint8_t>(g)[at * es + b] : 0;
            wrong += dev.host<uint8_t>(out)[byte + b] != want;
            if (inside) back[at * es + b] = want;
          }
        }
        CHECK_MESSAGE(wrong == 0,
                      "rank " << rank << " swizzle " << int(swizzle) << " element " << es);
        CHECK(std::memcmp(back.data(), dev.host<uint8_t>(g2), back.size()) == 0);
      }
}

TEST_CASE("reducing copies and tensor reductions") {
  for (const char* op : {"add", "min", "max", "and", "or", "xor", "inc", "dec"}) {
    std::string o = op, type = o == "and" || o == "or" || o == "xor" ? "b32" : "u32";
    std::string s = fmt::format(
        ".version 8.6\n.target sm_90a\n.address_size 64\n.shared .align 128 .b8 "
        "tile[256];\n.visible .entry k(.param .u64 g, .param .align 64 .b8 m[128]) {{\n.reg .pred "
        "%p;\n.reg .b32 %r<8>;\n.reg .b64 %d<8>;\n"
        "ld.param.u64 %d0, [g];\nmov.b64 %d1, m;\nmov.u32 %r0, %tid.x;\nmov.u32 %r1, "
        "tile;\nshl.b32 %r2, %r0, 2;\nadd.u32 %r2, %r2, %r1;\nmul.lo.u32 %r3, %r0, "
        "5;\nst.shared.u32 [%r2], %r3;\n"
        "fence.proxy.async.shared::cta;\nbar.sync 0;\nsetp.ne.u32 %p, %r0, 0;\n@%p bra "
        "E;\ncp.reduce.async.bulk.global.shared::cta.bulk_group.{0}.{1} [%d0], [%r1], 128;\n"
        "cp.async.bulk.commit_group;\ncp.async.bulk.wait_group "
        "0;\ncp.reduce.async.bulk.tensor.1d.global.shared::cta.{0}.tile.bulk_group [%d1, {{32}}], "
        "[%r1];\ncp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;\nE: ret;\n}}\n",
        op, type);
    Device dev(s);
    uint64_t g = dev.buffer(64 * 4);
    for (uint32_t i = 0; i < 64; ++i) dev.host<uint32_t>(g)[i] = i * 3;
    jit::TensorMapSpec spec;
    spec.type = jit::TensorType::u32;
    spec.rank = 1, spec.address = g, spec.size[0] = 64, spec.box[0] = 32;
    jit::Driver d = simulator_driver(dev.sim);
    auto m = d.table->encode_tensor_map(d.self, spec);
    REQUIRE(bool(m));
    dev.run({32, 1, 1}, {bytes(g), bytes(*m)});
    for (uint32_t i = 0; i < 64; ++i) {
      uint32_t a = i * 3, b = i % 32 * 5;
      uint32_t want = o == "add"   ? a + b
                      : o == "min" ? std::min(a, b)
                      : o == "max" ? std::max(a, b)
                      : o == "and" ? a & b
                      : o == "or"  ? a | b
                      : o == "xor" ? a ^ b
                      : o == "inc" ? (a >= b ? 0 : a + 1)
                                   : (a == 0 || a > b ? b : a - 1);
      CHECK_MESSAGE(dev.host<uint32_t>(g)[i] == want, op << " " << i);
    }
  }
}

TEST_CASE("atomics of every operation and type, contended and not") {
  int forms = 0;
  for (const Form& form : all_forms()) {
    if (form.builder != "atomic") continue;
    for (const std::string& opcode : expand_form(form, 4096)) {
      auto w = words_of(opcode);
      const std::string& type = w.back();
      bool vector = opcode.find(".v2") != std::string::npos ||
                    opcode.find(".v4") != std::string::npos ||
                    opcode.find(".v8") != std::string::npos;
      if (vector || type == "b128" || opcode.find("shared") != std::string::npos ||
          opcode.find("cache_hint") != std::string::npos)
        continue;
      std::string op;
      for (const char* o : {"and", "or", "xor", "exch", "cas", "add", "inc", "dec", "min", "max"})
        if (std::find(w.begin(), w.end(), o) != w.end()) op = o;
      int n = type == "f16x2" || type == "bf16x2" ? 32
              : type == "bf16"                    ? 16
                                                  : std::atoi(type.c_str() + 1);
      std::string reg = n == 64 ? "%d" : n == 16 ? "%h" : "%r", width = fmt::format("b{}", n);
      bool atom = w[0] == "atom";
      // 32 lanes on 4 places: lane l works on place l % 4, in lane order.
      std::string s = fmt::format(
          ".version 8.6\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .u64 g, .param "
          ".u64 v, .param .u64 o) {{\n.reg .b16 %h<8>;\n.reg .b32 %r<8>;\n.reg .b64 %d<8>, %a<8>;\n"
          "ld.param.u64 %a0, [g];\nld.param.u64 %a1, [v];\nld.param.u64 %a2, [o];\nmov.u32 %r0, "
          "%tid.x;\nand.b32 %r1, %r0, 3;\nmul.wide.u32 %a3, %r1, 8;\nadd.s64 %a0, %a0, "
          "%a3;\nmul.wide.u32 %a3, %r0, 16;\n"
          "add.s64 %a1, %a1, %a3;\nadd.s64 %a2, %a2, %a3;\nld.global.{0} {1}2, "
          "[%a1];\nld.global.{0} {1}3, [%a1+8];\n{2} {3}[%a0], {1}2{4};\n{5}ret;\n}}\n",
          width, reg, opcode, atom ? reg + "4, " : "", op == "cas" ? ", " + reg + "3" : "",
          atom ? fmt::format("st.global.{} [%a2], {}4;\n", width, reg) : "");
      Device dev(s);
      uint64_t g = dev.buffer(32), v = dev.buffer(512), o = dev.buffer(512);
      Random r{uint64_t(forms) + 3};
      bool half = n == 16 || type == "f16x2" || type == "bf16x2",
           real = type[0] == 'f' || type.substr(0, 2) == "bf";
      DType t = type == "f32"               ? dt::f32_
                : type == "f64"             ? dt::f64_
                : type.substr(0, 2) == "bf" ? dt::bf16_
                                            : dt::f16_;
      auto make = [&]() -> uint64_t {
        uint64_t x = real         ? encode_float(t, double(int(r.below(65)) - 32) / 4)
                     : r.below(3) ? r.below(9)
                                  : r.next();
        return half && n == 32 ? x * 0x10001 : x;
      };
      uint64_t mask = n == 64 ? ~0ull : (1ull << n) - 1;
      uint64_t place[4];
      for (int i = 0; i < 4; ++i) dev.host<uint64_t>(g)[i] = place[i] = make() & mask;
      for (int i = 0; i < 64; ++i) dev.host<uint64_t>(v)[i] = make() & mask;
      dev.run({32, 1, 1}, {bytes(g), bytes(v), bytes(o)});
      auto one = [&](uint64_t a, uint64_t b, uint64_t c) -> uint64_t {
        auto signed_of = [&](uint64_t x) { return n == 64 ? int64_t(x) : int64_t(int32_t(x)); };
        if (op == "and") return a & b;
        if (op == "or") return a | b;
        if (op == "xor") return a ^ b;
        if (op == "exch") return b;
        if (op == "cas") return a == b ? c : a;
        if (op == "inc") return a >= b ? 0 : a + 1;
        if (op == "dec") return a == 0 || a > b ? b : a - 1;
        if (real) {
          if (n == 32 && half) {
            uint64_t lo = arith_code(t, '+', a & 0xffff, b & 0xffff),
                     hi = arith_code(t, '+', a >> 16 & 0xffff, b >> 16 & 0xffff);
            return hi << 16 | lo;
          }
          return arith_code(t, '+', a, b);
        }
        if (op == "add") return (a + b) & mask;
        bool less = type[0] == 's' ? signed_of(a) < signed_of(b) : a < b;
        return (op == "min") == less ? a : b;
      };
      bool good = true;
      for (int l = 0; l < 32; ++l) {
        uint64_t old = place[l % 4], b = dev.host<uint64_t>(v)[2 * l],
                 c = dev.host<uint64_t>(v)[2 * l + 1];
        if (atom) good &= (dev.host<uint64_t>(o)[2 * l] & mask) == old;
        place[l % 4] = one(old, b, c);
      }
      for (int i = 0; i < 4; ++i) good &= (dev.host<uint64_t>(g)[i] & mask) == place[i];
      CHECK_MESSAGE(good, opcode);
      ++forms;
    }
  }
  MESSAGE(forms << " forms");
  CHECK(forms > 500);
}

TEST_CASE("warp collectives against direct definitions") {
  struct Case {
    std::string text;
    std::function<uint32_t(const std::vector<Inputs>&, int, uint32_t&)> want;
  };
  auto a = [](const std::vector<Inputs>& in, int l) { return uint32_t(in[size_t(l)].a); };
  auto votes = [](const std::vector<Inputs>& in) {
    uint32_t v = 0;
    for (int l = 0; l < 32; ++l) v |= uint32_t(in[size_t(l)].p) << l;
    return v;
  };
  std::vector<Case> cases = {
      {"shfl.sync.up.b32 %rd|%p1, %ra, 3, 0, -1;",
       [&](auto& in, int l, uint32_t& f) {
         f = l >= 3;
         return a(in, l >= 3 ? l - 3 : l);
       }},
      {"shfl.sync.down.b32 %rd|%p1, %ra, 5, 31, -1;",
       [&](auto& in, int l, uint32_t& f) {
         f = l + 5 < 32;
         return a(in, l + 5 < 32 ? l + 5 : l);
       }},
      {"shfl.sync.bfly.b32 %rd|%p1, %ra, 9, 31, -1;",
       [&](auto& in, int l, uint32_t& f) {
         f = 1;
         return a(in, l ^ 9);
       }},
      {"shfl.sync.idx.b32 %rd|%p1, %ra, 6, 0x181f, -1;",
       [&](auto& in, int l, uint32_t& f) {
         f = 1;
         return a(in, l / 8 * 8 + 6);
       }},
      {"shfl.sync.down.b32 %rd|%p1, %ra, 3, 0x181f, -1;",
       [&](auto& in, int l, uint32_t& f) {
         f = l % 8 + 3 < 8;
         return a(in, f ? l + 3 : l);
       }},
      {"vote.sync.ballot.b32 %rd, %p0, -1;", [&](auto& in, int, uint32_t&) { return votes(in); }},
      {"vote.sync.all.pred %p1, %p0, -1;",
       [&](auto& in, int, uint32_t& f) {
         f = votes(in) == ~0u;
         return 0u;
       }},
      {"vote.sync.any.pred %p1, %p0, -1;",
       [&](auto& in, int, uint32_t& f) {
         f = votes(in) != 0;
         return 0u;
       }},
      {"vote.sync.uni.pred %p1, %p0, -1;",
       [&](auto& in, int, uint32_t& f) {
         f = votes(in) == 0 || votes(in) == ~0u;
         return 0u;
       }},
      {"redux.sync.add.u32 %rd, %ra, -1;",
       [&](auto& in, int, uint32_t&) {
         uint32_t s = 0;
         for (int l = 0; l < 32; ++l) s += a(in, l);
         return s;
       }},
      {"redux.sync.min.s32 %rd, %ra, -1;",
       [&](auto& in, int, uint32_t&) {
         int32_t s = INT32_MAX;
         for (int l = 0; l < 32; ++l) s = std::min(s, int32_t(a(in, l)));
         return uint32_t(s);
       }},
      {"redux.sync.max.u32 %rd, %ra, -1;",
       [&](auto& in, int, uint32_t&) {
         uint32_t s = 0;
         for (int l = 0; l < 32; ++l) s = std::max(s, a(in, l));
         return s;
       }},
      {"redux.sync.xor.b32 %rd, %ra, -1;",
       [&](auto& in, int, uint32_t&) {
         uint32_t s = 0;
         for (int l = 0; l < 32; ++l) s ^= a(in, l);
         return s;
       }},
      {"redux.sync.and.b32 %rd, %ra, -1;",
       [&](auto& in, int, uint32_t&) {
         uint32_t s = ~0u;
         for (int l = 0; l < 32; ++l) s &= a(in, l);
         return s;
       }},
      {"redux.sync.or.b32 %rd, %ra, -1;",
       [&](auto& in, int, uint32_t&) {
         uint32_t s = 0;
         for (int l = 0; l < 32; ++l) s |= a(in, l);
         return s;
       }},
      {"match.sync.any.b32 %rd, %ra, -1;",
       [&](auto& in, int l, uint32_t&) {
         uint32_t s = 0;
         for (int k = 0; k < 32; ++k) s |= uint32_t(a(in, k) == a(in, l)) << k;
         return s;
       }},
      {"match.sync.all.b32 %rd|%p1, %ra, -1;",
       [&](auto& in, int, uint32_t& f) {
         f = 1;
         for (int k = 0; k < 32; ++k) f &= a(in, k) == a(in, 0);
         return f ? ~0u : 0u;
       }},
      {"elect.sync %rd|%p1, -1;",
       [&](auto&, int l, uint32_t& f) {
         f = l == 0;
         return 0u;
       }},
      {"activemask.b32 %rd;", [&](auto&, int, uint32_t&) { return ~0u; }},
      {"movmatrix.sync.aligned.m8n8.trans.b16 %rd, %ra;",
       [&](auto& in, int l, uint32_t&) {
         auto e = [&](int r, int c) { return a(in, r * 4 + c / 2) >> (16 * (c & 1)) & 0xffff; };
         return e(2 * (l % 4), l / 4) | e(2 * (l % 4) + 1, l / 4) << 16;
       }},
      {"bar.red.popc.u32 %rd, 0, %p0;",
       [&](auto& in, int, uint32_t&) { return uint32_t(std::popcount(votes(in))); }},
      {"bar.red.and.pred %p1, 0, %p0;",
       [&](auto& in, int, uint32_t& f) {
         f = votes(in) == ~0u;
         return 0u;
       }},
      {"bar.red.or.pred %p1, 0, %p0;",
       [&](auto& in, int, uint32_t& f) {
         f = votes(in) != 0;
         return 0u;
       }},
  };
  for (const Case& c : cases) {
    Simulator s;
    auto m = s.load(form_module(c.text), "warp.ptx");
    REQUIRE_MESSAGE(bool(m), c.text << (m ? "" : m.error().message));
    for (uint64_t seed = 0; seed < 6; ++seed) {
      std::vector<Inputs> in = make_inputs_for_warp(seed);
      std::vector<uint64_t> got = run_form(s, *m, in);
      REQUIRE_MESSAGE(got.size() == 64, c.text);
      for (int l = 0; l < 32; ++l) {
        uint32_t flag = 0, want = c.want(in, l, flag);
        CHECK_MESSAGE(
            (uint32_t(got[size_t(2 * l)]) == want && (got[size_t(2 * l + 1)] & 1) == flag),
            c.text << " lane " << l);
      }
    }
  }
}

TEST_CASE("ldmatrix and stmatrix move what the ISA says") {
  for (int n : {1, 2, 4})
    for (bool trans : {false, true}) {
      std::string regs = n == 1   ? "{%r4}"
                         : n == 2 ? "{%r4, %r5}"
                                  : "{%r4, %r5, %r6, %r7}",
                  t = trans ? ".trans" : "";
      std::string s = fmt::format(
          ".version 8.6\n.target sm_90a\n.address_size 64\n.shared .align 128 .b8 "
          "tile[1024];\n.visible .entry k(.param .u64 in, .param .u64 out) {{\n.reg .b32 "
          "%r<16>;\n.reg .b64 %d<8>;\n"
          "ld.param.u64 %d0, [in];\nld.param.u64 %d1, [out];\nmov.u32 %r0, %tid.x;\nmul.wide.u32 "
          "%d2, %r0, 16;\nadd.s64 %d3, %d0, %d2;\nadd.s64 %d4, %d1, %d2;\n"
          "ld.global.v4.u32 {{%r8, %r9, %r10, %r11}}, [%d3];\nmov.u32 %r1, tile;\nxor.b32 %r2, "
          "%r0, 5;\nshl.b32 %r2, %r2, 4;\nadd.u32 %r2, %r2, %r1;\nst.shared.v4.u32 [%r2], {{%r8, "
          "%r9, %r10, %r11}};\nbar.sync 0;\n"
          "mov.u32 %r4, 0;\nmov.u32 %r5, 0;\nmov.u32 %r6, 0;\nmov.u32 %r7, "
          "0;\nldmatrix.sync.aligned.m8n8.x{0}{1}.shared.b16 {2}, [%r2];\nst.global.v4.u32 [%d4], "
          "{{%r4, %r5, %r6, %r7}};\n"
          "shl.b32 %r3, %r0, 4;\nadd.u32 %r3, %r3, %r1;\nadd.u32 %r3, %r3, "
          "512;\nstmatrix.sync.aligned.m8n8.x{0}{1}.shared.b16 [%r3], {2};\nbar.sync "
          "0;\nld.shared.v4.u32 {{%r8, %r9, %r10, %r11}}, [tile+512];\n"
          "st.global.v4.u32 [%d1+512], {{%r8, %r9, %r10, %r11}};\nret;\n}}\n",
          n, t, regs);
      Device dev(s);
      dev.sim.options.check_init = false;  // x1 and x2 leave part of the tile unwritten
      uint64_t in = dev.buffer(512), out = dev.buffer(1024);
      Random r{77};
      for (int i = 0; i < 256; ++i) dev.host<uint16_t>(in)[i] = uint16_t(r.next());
      dev.sim.options.check_races = false;  // all lanes write the last row's copy
      dev.run({32, 1, 1}, {bytes(in), bytes(out)});
      // Row r of matrix i is lane 8i+r's own input.
      auto element = [&](int i, int row, int col) {
        return dev.host<uint16_t>(in)[(8 * i + row) * 8 + col];
      };
      for (int l = 0; l < 32; ++l)
        for (int i = 0; i < n; ++i)
          for (int h = 0; h < 2; ++h) {
            int row = l / 4, col = 2 * (l % 4) + h;
            CHECK(dev.host<uint16_t>(out)[l * 8 + i * 2 + h] ==
                  (trans ? element(i, col, row) : element(i, row, col)));
          }
      for (int c = 0; c < 8; ++c) CHECK(dev.host<uint16_t>(out)[256 + c] == element(0, 0, c));
    }
}

TEST_CASE("long: a GEMM of 1024 cubed takes less than two seconds without checkers") {
  LaunchOptions o;
  o.check_races = o.check_init = o.check_async = o.stats = false;
  Outcome r = run_gemm(kernel_ptx("gemm", "sm_80").text, o, 1024, 1024, 1024, false);
  CHECK(r.clean());
  MESSAGE("1024 cubed: " << r.seconds << " s");
  LaunchOptions all;
  all.threads = 1;
  Outcome c = run_gemm(kernel_ptx("gemm", "sm_80").text, all, 256, 256, 256, true);
  CHECK(c.clean());
  MESSAGE("all checkers: " << double(c.stats.lane_instructions) / c.seconds / 1e6
                           << " M lane instructions per second");
}
