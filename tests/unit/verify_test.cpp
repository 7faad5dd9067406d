// The verifier on modules that no assembler would make, and what it proves about those it accepts.
#include "isa/verify.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "isa/builder.h"
#include "isa/diag/verify.h"

using namespace tess;

namespace {

struct Made {
  Module module;
  Kernel& k() { return module.kernels[0]; }
  Made() {
    module.kernels.emplace_back();
    k().name = "k";
    Builder b(k());
    uint32_t n = b.scalar_param("n", dt::i32_);
    uint32_t x = b.tensor_param("x", Direction::in, dt::f32_, {b.host(n)});
    uint32_t y = b.tensor_param("y", Direction::out, dt::f32_, {b.host(n)});
    auto v = b.emit({.op = Op::load, .args = {b.access(x, {b.range(b.i32(0), 8)})}});
    REQUIRE(v);
    REQUIRE(b.emit({.op = Op::store, .args = {*v, b.access(y, {b.range(b.i32(0), 8)}), Ref::none()}}));
  }
  // The codes that the verifier reports, in order; empty when it accepts.
  std::vector<Diag> codes() {
    Diagnostics d;
    auto verified = verify(module, d);
    std::vector<Diag> out;
    bool error = false;
    for (const Diagnostic& x : d) {
      out.push_back(x.code);
      error |= find_diag(x.code)->severity != Severity::warning;
    }
    CHECK(verified.has_value() == !error);
    return out;
  }
};

void append(Kernel& k, Op op) {
  Inst i;
  i.op = op;
  i.first_ref = static_cast<uint32_t>(k.refs.size());
  i.first_attr = static_cast<uint32_t>(k.attrs.size());
  k.code.push_back(i);
}

}  // namespace

TEST_CASE("a built module verifies") { CHECK(Made().codes().empty()); }

TEST_CASE("blocks_unbalanced: end, else and openers without partners") {
  for (Op op : {Op::end, Op::else_, Op::while_}) {
    Made m;
    append(m.k(), op);
    CHECK(m.codes() == std::vector{diag::blocks_unbalanced});
  }
}

TEST_CASE("limit_exceeded: nesting beyond the limit is refused, at the limit accepted") {
  for (int depth : {256, 257, 100000}) {
    Made m;
    for (int i = 0; i < depth; ++i) append(m.k(), Op::while_);
    for (int i = 0; i < depth; ++i) append(m.k(), Op::end);
    std::vector<Diag> codes = m.codes();
    bool refused = std::count(codes.begin(), codes.end(), diag::limit_exceeded) > 0;
    CHECK(refused == (depth > 256));
  }
}

TEST_CASE("bad_reference: every index of the module is checked before it is used") {
  auto refused = [](auto change) {
    Made m;
    change(m.k());
    CHECK(m.codes() == std::vector{diag::bad_reference});
  };
  refused([](Kernel& k) { k.refs[0] = Ref::value(1000); });
  refused([](Kernel& k) { k.refs[0] = Ref::constant(0); });
  refused([](Kernel& k) { k.refs[1] = Ref::access(1000); });
  refused([](Kernel& k) { k.code[0].first_ref = 0xfffffff0; });
  refused([](Kernel& k) { k.code[0].n_args = 60000; });
  refused([](Kernel& k) { k.code[0].first_attr = 0xffffffff, k.code[0].n_attrs = 255; });
  refused([](Kernel& k) { k.accesses[0].base = 99; });
  refused([](Kernel& k) { k.accesses[0].first_index = 0xffffffff; });
  refused([](Kernel& k) { k.accesses[0].n_indices = 0xffffffff; });
  refused([](Kernel& k) { k.indices[0].start = Ref::none(); });
  refused([](Kernel& k) { k.indices[0].start = Ref::constant(77); });
  refused([](Kernel& k) { k.indices[0].kind = static_cast<IndexKind>(200); });
  refused([](Kernel& k) { k.code[0].op = static_cast<Op>(60000); });
  refused([](Kernel& k) {
    k.attrs.push_back({AttrTag::layout, 5});
    k.code[0].first_attr = 0, k.code[0].n_attrs = 1;
  });
  refused([](Kernel& k) {
    k.attrs.push_back({static_cast<AttrTag>(250), 5});
    k.code[0].first_attr = 0, k.code[0].n_attrs = 1;
  });
}

TEST_CASE("bad_header: warps, cluster and grid of a module that was not parsed") {
  for (auto change : {+[](Kernel& k) { k.warps = 0; }, +[](Kernel& k) { k.warps = 33; },
                      +[](Kernel& k) { k.cluster = 17; }, +[](Kernel& k) { k.grid_rank = 4; },
                      +[](Kernel& k) { k.blocks_per_sm = 1000; }}) {
    Made m;
    change(m.k());
    CHECK(m.codes() == std::vector{diag::bad_header});
  }
}

TEST_CASE("bad_host_expr: malformed postfix and references that are no integer scalars") {
  for (HostExpr e : {HostExpr{}, HostExpr{{{HostOp::add, 0}}}, HostExpr{{{HostOp::param, 1}}},
                     HostExpr{{{HostOp::param, -1}}}, HostExpr{{{HostOp::param, 99}}},
                     HostExpr{{{HostOp::constant, 1}, {HostOp::constant, 2}}}}) {
    Made m;
    m.k().grid[0] = e;
    CHECK(m.codes() == std::vector{diag::bad_host_expr});
  }
}

TEST_CASE("bad_constant: a code wider than its type") {
  for (Constant c : {Constant{dt::bool_, 2}, Constant{dt::u4_, 16}, Constant{dt::f16_, 0x10000},
                     Constant{dt::tf32_, 1}, Constant{dt::f32_, 0xffc00000}, Constant{DType{Kind::flt, 9, 4, 4}, 0}}) {
    Made m;
    m.k().constants.push_back(c);
    CHECK(m.codes() == std::vector{diag::bad_constant});
  }
}

TEST_CASE("bad_name: duplicate kernels, nameless parameters, control characters, absurd types") {
  Made twice;
  twice.module.kernels.push_back(twice.k());
  CHECK(twice.codes() == std::vector{diag::bad_name});
  for (auto change : {+[](Kernel& k) { k.values[0].name = ""; }, +[](Kernel& k) { k.values[1].name = "n"; },
                      +[](Kernel& k) { k.name = "a\x1b"; }, +[](Kernel& k) { k.values[3].type.shape.rank = 9; },
                      +[](Kernel& k) { k.values[3].type.shape[7] = 1; },
                      +[](Kernel& k) { k.values[3].type.dtype.bits = 77; },
                      +[](Kernel& k) { k.values[3].type.shape[0] = int64_t{1} << 60; }}) {
    Made m;
    change(m.k());
    CHECK(m.codes() == std::vector{diag::bad_name});
  }
}

TEST_CASE("the declared type of a result must be the one the rules give") {
  Made m;
  m.k().values[3].type.shape[0] = 4;
  std::vector<Diag> codes = m.codes();
  CHECK(std::count(codes.begin(), codes.end(), diag::result_type) == 1);
}

TEST_CASE("matching partners are recorded for the engines") {
  Made m;
  Kernel& k = m.k();
  Builder b(k);
  REQUIRE(b.emit({.op = Op::if_, .args = {Literal::of_bool(true)}}));  // 2
  REQUIRE(b.emit({.op = Op::while_}));                                // 3
  REQUIRE(b.emit({.op = Op::break_}));                                // 4
  REQUIRE(b.emit({.op = Op::end}));                                   // 5
  REQUIRE(b.emit({.op = Op::else_}));                                 // 6
  REQUIRE(b.emit({.op = Op::end}));                                   // 7
  Diagnostics d;
  auto v = verify(m.module, d);
  REQUIRE(v);
  CHECK(v->info(0).match == std::vector<uint32_t>{0, 1, 6, 5, 3, 3, 7, 2});
  CHECK(v->info(0).max_nesting == 2);
}
