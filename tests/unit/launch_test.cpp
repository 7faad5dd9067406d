// Launch binding: what is computed from the arguments, and every mismatch with its code and
// sentence.
#include "isa/launch.h"

#include <doctest/doctest.h>

#include "isa/diag/run.h"

using namespace tess;

namespace {

HostExpr param_expr(uint32_t v) { return {{{HostOp::param, v}}}; }
HostExpr plus(HostExpr a, int64_t b) {
  return host_apply(HostOp::add, std::move(a), HostExpr::of(b));
}

// kernel k(n: i32 1..1000 divisible(2), x: in f32[n], y: inout f32[n]) grid(cdiv(n, 64))
Kernel saxpy_like() {
  Kernel k;
  k.name = "k";
  k.loc = {0, 3, 1};
  k.values = {{"n", scalar_type(dt::i32_)},
              {"x", {Space::global, false, dt::f32_, {kDynamic}}},
              {"y", {Space::global, false, dt::f32_, {kDynamic}}}};
  k.params.resize(3);
  k.params[0].divisible = 2;
  k.params[0].lo = 1;
  k.params[0].hi = 1000;
  k.params[1].dir = Direction::in;
  k.params[1].shape = {param_expr(0)};
  k.params[2].dir = Direction::inout;
  k.params[2].shape = {param_expr(0)};
  k.grid[0] = host_apply(HostOp::cdiv, param_expr(0), HostExpr::of(64));
  return k;
}

struct Memory {
  alignas(64) uint8_t bytes[8192] = {};
};

TensorRef tensor(DType t, uint8_t* data, std::vector<int64_t> shape, uint64_t bytes = 4096) {
  return {t, data, bytes, std::move(shape), {}, true};
}

std::vector<LaunchArg> good(Memory& x, Memory& y, int64_t n = 100) {
  return {{static_cast<uint64_t>(n), {}},
          {0, {tensor(dt::f32_, x.bytes, {n})}},
          {0, {tensor(dt::f32_, y.bytes, {n})}}};
}

struct Failure {
  Diag code{};
  std::string message;
};
Failure failure(const Kernel& k, const std::vector<LaunchArg>& args, DeviceFacts device = {}) {
  Result<BoundLaunch> r = bind_launch(k, args, device);
  if (r) return {};
  CHECK(r.error().span.line == k.loc.line);
  return {r.error().code, r.error().message};
}
void check_failure(const Kernel& k, const std::vector<LaunchArg>& args, Diag code,
                   std::string_view message, DeviceFacts device = {}) {
  Failure f = failure(k, args, device);
  CHECK(diag_id(f.code) == diag_id(code));
  CHECK(f.message == message);
}

}  // namespace

TEST_CASE("scalars, shapes, strides, byte counts and the grid follow from the arguments") {
  Memory x, y;
  Kernel k = saxpy_like();
  Result<BoundLaunch> r = bind_launch(k, good(x, y), {});
  REQUIRE(r);
  CHECK(r->grid[0] == 2);
  CHECK(r->grid[1] == 1);
  CHECK(r->scalars == std::vector<uint64_t>{100, 0, 0});
  REQUIRE(r->tensors[2].size() == 1);
  CHECK(r->tensors[1][0].data == x.bytes);
  CHECK(r->tensors[1][0].shape == Shape{100});
  CHECK(r->tensors[1][0].strides == Shape{1});
  CHECK(r->tensors[1][0].bytes == 400);
}

TEST_CASE("lets follow scalars, workspaces follow lets") {
  Memory x, y;
  Kernel k = saxpy_like();
  k.values.push_back({"t", scalar_type(dt::i32_)});
  k.values.push_back({"w", {Space::global, false, dt::u4_, {kDynamic, 3}}});
  k.params.resize(5);
  k.params[3].dir = Direction::let;
  k.params[3].let = plus(param_expr(0), 1);
  k.params[4].dir = Direction::workspace;
  k.params[4].shape = {param_expr(3), HostExpr::of(3)};
  Result<BoundLaunch> r = bind_launch(k, good(x, y), {});
  REQUIRE(r);
  CHECK(r->scalars[3] == 101);
  CHECK(r->tensors[4][0].data == nullptr);
  CHECK(r->tensors[4][0].strides == Shape{3, 1});
  CHECK(r->tensors[4][0].bytes == 152);  // 303 nibbles

  k.params[3].let = host_apply(HostOp::mul, param_expr(0), HostExpr::of(int64_t{1} << 40));
  check_failure(k, good(x, y), diag::launch_extent,
                "let `t` (`n*1099511627776`) is 109951162777600 with these arguments, which does "
                "not fit i32");
}

TEST_CASE("an empty tensor needs no memory, and an empty grid is legal") {
  Memory x, y;
  Kernel k = saxpy_like();
  k.params[0].lo = 0;
  auto args = good(x, y, 0);
  args[1].tensors[0].data = nullptr;
  args[1].tensors[0].bytes = 0;
  Result<BoundLaunch> r = bind_launch(k, args, {});
  REQUIRE(r);
  CHECK(r->grid[0] == 0);
}

TEST_CASE("arguments of the wrong number or kind") {
  Memory x, y;
  Kernel k = saxpy_like();
  auto args = good(x, y);
  args.pop_back();
  check_failure(k, args, diag::launch_argument_count, "kernel `k` takes 3 arguments, 2 given");
  args = good(x, y);
  args[0].tensors = args[1].tensors;
  check_failure(k, args, diag::launch_argument_kind,
                "`n` is a scalar (i32), but a tensor is given");
  args = good(x, y);
  args[1].tensors.clear();
  check_failure(k, args, diag::launch_argument_kind, "`x` is a tensor (f32[?]), but none is given");
}

TEST_CASE("scalars: range of the type, facts") {
  Memory x, y;
  Kernel k = saxpy_like();
  auto with_n = [&](uint64_t n) {
    auto args = good(x, y);
    args[0].scalar = n;
    return args;
  };
  check_failure(k, with_n(uint64_t{1} << 32), diag::launch_scalar_range,
                "`n` is i32; 4294967296 does not fit it");
  check_failure(k, with_n(99), diag::launch_fact_divisible, "`n` is 99, declared divisible(2)");
  check_failure(k, with_n(1000), diag::launch_fact_range, "`n` is 1000, declared 1..1000");
  check_failure(k, with_n(0), diag::launch_fact_range, "`n` is 0, declared 1..1000");
  // -2, as 32 bits and sign-extended to 64: the same value, out of the fact's range.
  check_failure(k, with_n(0xfffffffe), diag::launch_fact_range, "`n` is -2, declared 1..1000");
  check_failure(k, with_n(~uint64_t{1}), diag::launch_fact_range, "`n` is -2, declared 1..1000");
}

TEST_CASE("tensors: type, rank, shape, bytes, null, alignment, read-only") {
  Memory x, y;
  Kernel k = saxpy_like();
  auto args = good(x, y);
  args[1].tensors[0].dtype = dt::f16_;
  check_failure(k, args, diag::launch_dtype, "`x` holds f32, the tensor given holds f16");
  args = good(x, y);
  args[1].tensors[0].shape = {10, 10};
  check_failure(k, args, diag::launch_rank,
                "`x` has 1 dimension [100], the tensor given has 2 [10,10]");
  args = good(x, y);
  args[1].tensors[0].shape = {99};
  check_failure(k, args, diag::launch_shape,
                "`x` is [n] = [100] with these arguments, the tensor given is [99]");
  args = good(x, y);
  args[1].tensors[0].bytes = 399;
  check_failure(k, args, diag::launch_bytes, "`x` needs 400 bytes for f32 [100], 399 are given");
  args = good(x, y);
  args[1].tensors[0].data = nullptr;
  check_failure(k, args, diag::launch_bytes, "`x` has no memory (a null address)");
  args = good(x, y);
  args[1].tensors[0].data += 3;
  CHECK(bind_launch(k, args, {}));  // only read
  k.params[1].may_alias = true;
  check_failure(k, args, diag::launch_alignment,
                "`x` must start at a multiple of 4 bytes; its address is 3 past one");
  k.params[1].may_alias = false;
  args = good(x, y);
  args[2].tensors[0].data += 2;
  check_failure(k, args, diag::launch_alignment,
                "`y` must start at a multiple of 4 bytes; its address is 2 past one");
  args = good(x, y);
  k.params[1].aligned = 16;
  args[1].tensors[0].data = x.bytes + 12;
  check_failure(k, args, diag::launch_alignment,
                "`x` must start at a multiple of 16 bytes; its address is 12 past one");
  k.params[1].aligned = 0;
  CHECK(bind_launch(k, args, {}));
  args = good(x, y);
  args[2].tensors[0].writable = false;
  check_failure(k, args, diag::launch_read_only,
                "`y` is written by the kernel, but its memory is read-only");
}

TEST_CASE("strides: declared, given, and irrelevant along one element") {
  Memory x, y;
  Kernel k = saxpy_like();
  k.values[1].type.shape = {kDynamic, kDynamic};
  k.params[1].shape = {HostExpr::of(4), HostExpr::of(5)};
  k.params[1].strides = {HostExpr::of(8), HostExpr::of(1)};
  auto args = good(x, y);
  args[1].tensors[0] = tensor(dt::f32_, x.bytes, {4, 5});
  check_failure(k, args, diag::launch_strides, "`x` has strides [8,1], the tensor given has [5,1]");
  args[1].tensors[0].strides = {8, 1};
  Result<BoundLaunch> r = bind_launch(k, args, {});
  REQUIRE(r);
  CHECK(r->tensors[1][0].bytes == (3 * 8 + 5) * 4);
  args[1].tensors[0].strides = {8, 1, 1};
  check_failure(k, args, diag::launch_strides,
                "`x` has 2 dimensions, the tensor given has 3 strides");

  k.params[1].shape = {HostExpr::of(1), HostExpr::of(5)};
  args[1].tensors[0].shape = {1, 5};
  args[1].tensors[0].strides = {77, 1};
  CHECK(bind_launch(k, args, {}));

  k.params[2].strides = {HostExpr::of(0)};
  args[2].tensors[0].strides = {0};
  check_failure(k, args, diag::launch_strides,
                "`y` is written, so stride 0 must not be 0 along 100 elements");
  k.params[2].strides = {HostExpr::of(-1)};
  Failure f = failure(k, args);
  CHECK(diag_id(f.code) == diag_id(diag::launch_extent));
}

TEST_CASE("written memory overlaps nothing, unless an `in` may alias") {
  Memory x, y;
  Kernel k = saxpy_like();
  auto args = good(x, y);
  args[1].tensors[0].data = y.bytes + 396;
  check_failure(k, args, diag::launch_overlap, "`y` is written and overlaps `x` in memory");
  k.params[1].may_alias = true;
  CHECK(bind_launch(k, args, {}));
  k.params[1].may_alias = false;
  args[1].tensors[0].data = y.bytes + 400;  // adjacent
  CHECK(bind_launch(k, args, {}));
  k.params[2].dir = Direction::in;  // two readers may share
  args[1].tensors[0].data = y.bytes;
  CHECK(bind_launch(k, args, {}));
}

TEST_CASE("column blocks of one matrix do not overlap; columns that meet do") {
  Memory m;
  Kernel k = saxpy_like();
  for (int p : {1, 2}) {
    k.values[p].type.shape = {kDynamic, kDynamic};
    k.params[p].shape = {HostExpr::of(10), HostExpr::of(4)};
    k.params[p].strides = {HostExpr::of(8), HostExpr::of(1)};
  }
  auto at = [&](int64_t a, int64_t b) {
    std::vector<LaunchArg> args(3);
    args[0].scalar = 100;
    args[1].tensors = {tensor(dt::f32_, m.bytes + 4 * a, {10, 4})};
    args[2].tensors = {tensor(dt::f32_, m.bytes + 4 * b, {10, 4})};
    args[1].tensors[0].strides = args[2].tensors[0].strides = {8, 1};
    return bind_launch(k, args, {}).operator bool();
  };
  CHECK(at(0, 4));
  CHECK(at(4, 0));
  CHECK(at(4, 8));  // the right half of row 0 and the left half of row 1
  CHECK_FALSE(at(0, 3));
  CHECK_FALSE(at(3, 0));
  CHECK_FALSE(at(0, 5));
}

// Every pair of small strided tensors against enumeration: never a false "no overlap".
TEST_CASE("overlap is never missed") {
  Memory m;
  Kernel k = saxpy_like();
  for (int p : {1, 2}) k.values[p].type.shape = {kDynamic, kDynamic};
  int disjoint = 0, clashes = 0, cautious = 0;
  for (int64_t rows = 1; rows <= 3; ++rows)
    for (int64_t cols = 1; cols <= 3; ++cols)
      for (int64_t s = 1; s <= 6; ++s)
        for (int64_t t = 1; t <= 6; ++t)
          for (int64_t a = 0; a <= 8; ++a) {
            k.params[1].shape = k.params[2].shape = {HostExpr::of(rows), HostExpr::of(cols)};
            k.params[1].strides = {HostExpr::of(s), HostExpr::of(1)};
            k.params[2].strides = {HostExpr::of(t), HostExpr::of(1)};
            std::vector<LaunchArg> args(3);
            args[0].scalar = 100;
            args[1].tensors = {tensor(dt::f32_, m.bytes + 4 * a, {rows, cols})};
            args[2].tensors = {tensor(dt::f32_, m.bytes + 4 * 4, {rows, cols})};
            args[1].tensors[0].strides = {s, 1};
            args[2].tensors[0].strides = {t, 1};
            bool shared = false;
            for (int64_t i = 0; i < rows * cols; ++i)
              for (int64_t j = 0; j < rows * cols; ++j)
                shared |= a + i / cols * s + i % cols == 4 + j / cols * t + j % cols;
            bool accepted = failure(k, args).code == Diag{};
            if (shared) REQUIRE_FALSE(accepted);
            (shared ? clashes : accepted ? disjoint : cautious)++;
          }
  CHECK(disjoint > 500);
  CHECK(clashes > 1000);
  CHECK(cautious < disjoint / 2);
}

TEST_CASE("lists take their number of tensors") {
  Memory x, y;
  Kernel k = saxpy_like();
  k.params[1].list = HostExpr::of(2);
  auto args = good(x, y);
  check_failure(k, args, diag::launch_list_length, "`x` takes 2 tensors, 1 given");
  args[1].tensors.push_back(tensor(dt::f32_, x.bytes + 400, {100}));
  Result<BoundLaunch> r = bind_launch(k, args, {});
  REQUIRE(r);
  CHECK(r->tensors[1].size() == 2);
  args[1].tensors[1].shape = {7};
  check_failure(
      k, args, diag::launch_shape,
      "`x` (tensor 1 of the list) is [n] = [100] with these arguments, the tensor given is [7]");
  k.params[1].list = HostExpr();
  args = good(x, y);
  args[1].tensors.push_back(args[1].tensors[0]);
  check_failure(k, args, diag::launch_list_length, "`x` takes 1 tensor, 2 given");
}

TEST_CASE("expressions that overflow, divide by zero or leave their range name the place") {
  Memory x, y;
  Kernel k = saxpy_like();
  k.grid[0] = host_apply(HostOp::div, HostExpr::of(5), plus(param_expr(0), -100));
  Failure f = failure(k, good(x, y));
  CHECK(diag_id(f.code) == diag_id(diag::host_zero_divisor));
  CHECK(f.message.starts_with("the grid's x (`5/(n + (-100))`)"));

  k.grid[0] = host_apply(HostOp::mul, param_expr(0), HostExpr::of(INT64_MAX));
  CHECK(diag_id(failure(k, good(x, y)).code) == diag_id(diag::host_overflow));
  k.grid[0] = {{{HostOp::add, 0}}};
  CHECK(diag_id(failure(k, good(x, y)).code) == diag_id(diag::host_malformed));

  k = saxpy_like();
  k.grid[1] = HostExpr::of(65536);
  check_failure(k, good(x, y), diag::launch_grid,
                "the grid of `k` has 65536 blocks along y (`65536`); it must be 0 to 65535");
  k = saxpy_like();
  k.params[1].shape = {plus(param_expr(0), -101)};
  check_failure(
      k, good(x, y), diag::launch_extent,
      "extent 0 of `x` (`n + (-101)`) is -1 with these arguments; it must be 0 to 70368744177664");
  k = saxpy_like();
  k.values[1].type.shape = {kDynamic, kDynamic};
  k.params[1].shape = {HostExpr::of(limits::max_extent), HostExpr::of(limits::max_extent)};
  CHECK(diag_id(failure(k, good(x, y)).code) == diag_id(diag::launch_extent));
}

TEST_CASE("clusters divide the grid, cooperative launches are resident") {
  Memory x, y;
  Kernel k = saxpy_like();
  k.cluster = 4;
  check_failure(k, good(x, y), diag::launch_cluster,
                "the grid of `k` has 2 blocks along x, no multiple of cluster(4)");
  k.cluster = 2;
  CHECK(bind_launch(k, good(x, y), {}));
  k.cooperative = true;
  CHECK(bind_launch(k, good(x, y), {2, 1}));
  CHECK(bind_launch(k, good(x, y), {1, 2}));
  check_failure(k, good(x, y), diag::launch_cooperative,
                "cooperative kernel `k` has 2 blocks; 1 multiprocessors hold 1", {1, 1});
}
