// Appends instructions to a kernel: for passes that write their results instruction by instruction.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "isa/module.h"

namespace tess::jit::tile {

class KernelWriter {
 public:
  explicit KernelWriter(Kernel& k) : k_(k) {}

  Ref value(std::string name, const Type& type) {
    k_.values.push_back({std::move(name), type});
    return Ref::value(static_cast<uint32_t>(k_.values.size() - 1));
  }
  Ref constant(DType t, int64_t v) {
    Constant c{t, static_cast<uint64_t>(v) & (t.bits == 64 ? ~uint64_t{0} : 0xffffffffu)};
    for (size_t i = 0; i < k_.constants.size(); ++i)
      if (k_.constants[i] == c) return Ref::constant(static_cast<uint32_t>(i));
    k_.constants.push_back(c);
    return Ref::constant(static_cast<uint32_t>(k_.constants.size() - 1));
  }
  Ref i32(int64_t v) { return constant(dt::i32_, v); }
  Ref access(uint32_t base, const std::vector<Index>& indices) {
    Access a{base, Ref::none(), static_cast<uint32_t>(k_.indices.size()),
             static_cast<uint32_t>(indices.size())};
    k_.indices.insert(k_.indices.end(), indices.begin(), indices.end());
    k_.accesses.push_back(a);
    return Ref::access(static_cast<uint32_t>(k_.accesses.size() - 1));
  }
  // base[at, :, :, ...]
  Ref part(Ref base, Ref at) {
    std::vector<Index> indices{{IndexKind::point, at, Ref::none(), 0}};
    for (int d = 1; d < k_.values[base.index()].type.shape.rank; ++d)
      indices.push_back({IndexKind::all, Ref::none(), Ref::none(), 0});
    return access(base.index(), indices);
  }
  void append(Op op, const std::vector<Ref>& results, const std::vector<Ref>& args,
              const std::vector<Attr>& attrs, const Loc& loc) {
    Inst i;
    i.op = op;
    i.n_results = static_cast<uint8_t>(results.size());
    i.n_args = static_cast<uint16_t>(args.size());
    i.n_attrs = static_cast<uint8_t>(attrs.size());
    i.first_ref = static_cast<uint32_t>(k_.refs.size());
    i.first_attr = static_cast<uint32_t>(k_.attrs.size());
    i.loc = loc;
    k_.refs.insert(k_.refs.end(), results.begin(), results.end());
    k_.refs.insert(k_.refs.end(), args.begin(), args.end());
    k_.attrs.insert(k_.attrs.end(), attrs.begin(), attrs.end());
    k_.code.push_back(i);
  }
  Ref scalar(Op op, DType t, Ref a, Ref b, const Loc& loc) {
    Ref v = value("", scalar_type(t));
    append(op, {v}, {a, b}, {}, loc);
    return v;
  }

 private:
  Kernel& k_;
};

}  // namespace tess::jit::tile
