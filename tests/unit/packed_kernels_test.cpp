// The packed kernels of the standard library: repack and unpack against the host's packing, and
// matmul_a16w_packed against matmul_a16w, bit for bit, for every type of 1 to 8 bits.
#include <cmath>
#include <cstring>

#include "data_test.h"
#include "isa/numerics.h"
#include "vm/api/tess.hpp"
#include "vm/data/pack.h"

using namespace tess;

namespace {

api::Tensor share(HostTensor& t) {
  auto made = api::Tensor::borrow(dtype_name(t.dtype).c_str(), t.shape, t.mutable_bytes(),
                                  t.size_bytes, true);
  REQUIRE_MESSAGE(made, std::string(made.error().text()));
  return std::move(*made);
}

using Numbers = std::vector<std::pair<const char*, int64_t>>;
using Tensors = std::vector<std::pair<const char*, HostTensor*>>;

void run(const char* file, const char* kernel, const api::Bindings& bindings,
         const Numbers& numbers, const Tensors& tensors) {
  auto engine = api::Engine::create();
  REQUIRE(engine);
  auto module =
      engine->load_file((std::string(TESS_SOURCE_ROOT "/stdlib/") + file).c_str(), bindings);
  REQUIRE_MESSAGE(module, std::string(module.error().text()));
  auto found = module->kernel(kernel);
  REQUIRE(found);
  auto launch = found->run();
  REQUIRE(launch);
  auto done = [](api::Error e) { REQUIRE_MESSAGE(!e, std::string(e.text())); };
  for (auto [name, value] : numbers) done(launch->set(name, value));
  for (auto [name, tensor] : tensors) done(launch->set(name, share(*tensor)));
  done(launch->start());
  done(launch->wait());
}

std::vector<DType> weight_types() {
  std::vector<DType> types;
  for (DType t : all_dtypes())
    if (t.bits <= 8 && (t.is_int() || t.is_float())) types.push_back(t);
  return types;
}

// Codes of finite values up to 64: what wide exponents add beyond them overflows 16-bit types.
HostTensor weights(DType t, std::vector<int64_t> shape, uint64_t seed) {
  HostTensor w = scrambled(t, std::move(shape), seed);
  if (!t.is_float()) return w;
  std::vector<uint64_t> usable;
  for (uint64_t c = 0; c < uint64_t{1} << t.bits; ++c)
    if (std::fabs(decode_float(t, c)) <= 64) usable.push_back(c);
  uint64_t n = *element_count(w.shape);
  for (uint64_t i = 0; i < n; ++i) {
    uint64_t c = element_code(w, i) * 37 + i;
    set_element_code(w, i, usable[c % usable.size()]);
  }
  return w;
}

HostTensor fractions(DType t, std::vector<int64_t> shape, uint64_t seed, double low, double high) {
  HostTensor bits = scrambled(dt::u16_, shape, seed), out = must(make_tensor(t, shape));
  uint64_t n = *element_count(shape);
  for (uint64_t i = 0; i < n; ++i)
    set_element_value(out, i, low + (high - low) * element_value(bits, i) / 65536);
  return out;
}

PackPlan stdlib_plan(DType t, int64_t k, int64_t n) {
  Layout b = must(parse_layout_expr("mma.m16n8k16.f16.B"));
  PackOptions o;
  o.combine[0] = 8, o.combine[1] = 4;
  o.unit_bytes = 16;
  return must(plan_pack(t, std::vector<int64_t>{k, n}, b, o));
}

bool same_bytes(const HostTensor& a, const HostTensor& b) {
  return a.size_bytes == b.size_bytes && std::memcmp(a.bytes, b.bytes, a.size_bytes) == 0;
}

}  // namespace

TEST_CASE("repack does what the host's packing does, unpack undoes it") {
  const int64_t k = 133, n = 37;
  for (DType t : weight_types()) {
    CAPTURE(dtype_name(t));
    api::Bindings bindings{{"W", dtype_name(t)}, {"U", std::to_string(t.bits)}};
    PackPlan plan = stdlib_plan(t, k, n);
    HostTensor w = scrambled(t, {k, n}, 3), want = must(pack(plan, w)),
               packed = must(make_tensor(plan.packed_dtype, plan.packed_shape)),
               back = must(make_tensor(t, {k, n}));
    run("repack.vmasm", "repack", bindings, {{"k", k}, {"n", n}}, {{"w", &w}, {"p", &packed}});
    CHECK(same_bytes(packed, want));
    run("repack.vmasm", "unpack", bindings, {{"k", k}, {"n", n}}, {{"p", &packed}, {"w", &back}});
    CHECK(same_elements(back, w));
  }
}

TEST_CASE("the packed product is the plain one, bit for bit, for every type") {
  struct Case {
    int64_t k, n, group;
  };
  size_t products = 0;
  for (DType t : weight_types())
    for (DType act : {dt::f16_, dt::bf16_})
      for (Case c : {Case{165, 139, 1}, {96, 37, 32}}) {
        if (t.exp >= 6 && act == dt::f16_) continue;  // beyond f16: all infinities
        CAPTURE(dtype_name(t));
        CAPTURE(dtype_name(act));
        CAPTURE(c.k);
        const int64_t m = 5;
        std::string g = std::to_string(c.group);
        HostTensor a = fractions(act, {m, c.k}, 1, -1, 1), w = weights(t, {c.k, c.n}, 2),
                   s = fractions(act, {c.k / c.group, c.n}, 3, 0.5, 1.5),
                   z = weights(t, {c.k / c.group, c.n}, 4),
                   plain = must(make_tensor(act, {m, c.n})),
                   fast = must(make_tensor(act, {m, c.n})),
                   p = must(pack(stdlib_plan(t, c.k, c.n), w));
        Numbers sizes{{"m", m}, {"n", c.n}, {"k", c.k}};
        run("matmul_a16w.vmasm", "matmul_a16w",
            {{"W", dtype_name(t)}, {"T", dtype_name(act)}, {"G", g}}, sizes,
            {{"a", &a}, {"w", &w}, {"s", &s}, {"z", &z}, {"c", &plain}});
        run("matmul_a16w_packed.vmasm", "matmul_a16w_packed",
            {{"W", dtype_name(t)}, {"T", dtype_name(act)}, {"G", g}, {"U", std::to_string(t.bits)}},
            sizes, {{"a", &a}, {"p", &p}, {"s", &s}, {"z", &z}, {"c", &fast}});
        CHECK(same_bytes(plain, fast));
        // Finite numbers, and not all alike.
        bool differ = false;
        for (uint64_t i = 0; i < uint64_t(m * c.n); ++i) {
          REQUIRE(std::isfinite(element_value(plain, i)));
          differ = differ || element_code(plain, i) != element_code(plain, 0);
        }
        CHECK(differ);
        ++products;
      }
  CHECK(products == 2 * (2 * 43 - 3));
}
