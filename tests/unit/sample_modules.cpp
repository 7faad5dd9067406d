#include "tests/unit/sample_modules.h"

#include "isa/numerics.h"

namespace tess::tests {
namespace {

uint32_t add_value(Kernel& k, std::string name, Type type) {
  k.values.push_back({std::move(name), type});
  return static_cast<uint32_t>(k.values.size() - 1);
}
Ref add_constant(Kernel& k, Constant c) {
  for (uint32_t i = 0; i < k.constants.size(); ++i)
    if (k.constants[i] == c) return Ref::constant(i);
  k.constants.push_back(c);
  return Ref::constant(static_cast<uint32_t>(k.constants.size() - 1));
}
Ref i32(Kernel& k, int v) { return add_constant(k, {dt::i32_, static_cast<uint32_t>(v)}); }
Ref add_access(Kernel& k, uint32_t base, std::vector<Index> indices, Ref item = Ref::none()) {
  k.accesses.push_back(
      {base, item, static_cast<uint32_t>(k.indices.size()), static_cast<uint32_t>(indices.size())});
  k.indices.insert(k.indices.end(), indices.begin(), indices.end());
  return Ref::access(static_cast<uint32_t>(k.accesses.size() - 1));
}
Index range(Ref start, int64_t extent) { return {IndexKind::range, start, Ref::none(), extent}; }
void add_inst(Kernel& k, Op op, std::vector<Ref> results, std::vector<Ref> args,
              std::vector<Attr> attrs = {}, Loc loc = {}) {
  Inst i;
  i.op = op;
  i.n_results = static_cast<uint8_t>(results.size());
  i.n_args = static_cast<uint16_t>(args.size());
  i.n_attrs = static_cast<uint8_t>(attrs.size());
  i.first_ref = static_cast<uint32_t>(k.refs.size());
  i.first_attr = static_cast<uint32_t>(k.attrs.size());
  i.loc = loc;
  k.refs.insert(k.refs.end(), results.begin(), results.end());
  k.refs.insert(k.refs.end(), args.begin(), args.end());
  k.attrs.insert(k.attrs.end(), attrs.begin(), attrs.end());
  k.code.push_back(i);
}
Type tensor(DType t, Shape shape) { return {Space::global, false, t, shape}; }
HostExpr param(int64_t i) { return {{{HostOp::param, i}}}; }

}  // namespace

Module saxpy_module() {
  Module m;
  m.files = {"saxpy.vmasm"};
  m.producer = "by hand";
  Kernel& k = m.kernels.emplace_back();
  k.name = "saxpy";
  k.loc = {0, 2, 1};
  uint32_t n = add_value(k, "n", scalar_type(dt::i32_));
  uint32_t a = add_value(k, "a", scalar_type(dt::f32_));
  uint32_t x = add_value(k, "x", tensor(dt::f32_, {kDynamic}));
  uint32_t y = add_value(k, "y", tensor(dt::f32_, {kDynamic}));
  k.params.resize(4);
  k.params[2].dir = Direction::in;
  k.params[2].shape = {param(n)};
  k.params[3].dir = Direction::inout;
  k.params[3].shape = {param(n)};
  k.grid[0] = host_apply(HostOp::cdiv, param(n), HostExpr::of(1024));

  uint32_t t = add_value(k, "", scalar_type(dt::i32_));
  uint32_t i = add_value(k, "i", scalar_type(dt::i32_));
  uint32_t vx = add_value(k, "x", tile_type(dt::f32_, {1024}));
  uint32_t vy = add_value(k, "y", tile_type(dt::f32_, {1024}));
  uint32_t sum = add_value(k, "", tile_type(dt::f32_, {1024}));
  add_inst(k, Op::block_x, {Ref::value(t)}, {}, {}, {0, 5, 10});
  add_inst(k, Op::mul, {Ref::value(i)}, {Ref::value(t), i32(k, 1024)}, {}, {0, 5, 5});
  add_inst(k, Op::load, {Ref::value(vx)},
           {add_access(k, x, {range(Ref::value(i), 1024)}), Ref::none()}, {}, {0, 6, 5});
  add_inst(k, Op::load, {Ref::value(vy)},
           {add_access(k, y, {range(Ref::value(i), 1024)}), Ref::none()}, {}, {0, 7, 5});
  add_inst(k, Op::fma, {Ref::value(sum)}, {Ref::value(a), Ref::value(vx), Ref::value(vy)}, {},
           {0, 8, 12});
  add_inst(k, Op::store, {},
           {Ref::value(sum), add_access(k, y, {range(Ref::value(i), 1024)}), Ref::none()}, {},
           {0, 8, 5});
  return m;
}

}  // namespace tess::tests
