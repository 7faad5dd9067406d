#include "interp_harness.h"

#include <doctest/doctest.h>

#include <cmath>

#include "frontends/vmasm/lower.h"

namespace tess::test {

HostTensor::HostTensor(DType t, std::vector<int64_t> s) : type(t), shape(std::move(s)) {
  bytes.resize(static_cast<size_t>((elements() * type.bits + 7) / 8));
}
int64_t HostTensor::elements() const {
  int64_t n = 1;
  for (int64_t d : shape) n *= d;
  return n;
}
double HostTensor::value(int64_t i) const {
  if (type.is_float() || type.kind == Kind::scale) return decode_float(type, at(i));
  int64_t v = decode_int(type, at(i));
  return type == dt::u64_ ? static_cast<double>(static_cast<uint64_t>(v)) : static_cast<double>(v);
}
void HostTensor::set_value(int64_t i, double v) {
  set(i, cast_code(type, dt::f64_, std::bit_cast<uint64_t>(v)));
}

HostTensor values(DType t, std::vector<int64_t> shape, const std::vector<double>& v) {
  HostTensor out(t, std::move(shape));
  for (int64_t i = 0; i < out.elements(); ++i)
    out.set_value(i, v[static_cast<size_t>(i) % v.size()]);
  return out;
}

HostTensor random_tensor(DType t, std::vector<int64_t> shape, std::mt19937_64& random, bool plain) {
  HostTensor out(t, std::move(shape));
  for (int64_t i = 0; i < out.elements(); ++i) {
    uint64_t bits = random();
    if (t.is_bool()) {
      out.set(i, bits & 1);
    } else if (plain) {
      out.set_value(i, static_cast<double>(static_cast<int64_t>(bits % 8001) - 4000) / 1000);
    } else if (t.is_float() && bits % 8 == 0) {
      constexpr double kSpecial[] = {0.0, -0.0,  1,     -1,     INFINITY, -INFINITY, NAN,
                                     0.5, 65504, 1e-40, 3.4e38, 2.5,      -2.5,      1e-8};
      out.set(i, encode_float(t, kSpecial[bits / 8 % std::size(kSpecial)]));
    } else if (bits % 8 == 1) {
      out.set(i, cast_code(t, dt::i64_, bits / 8 % 5 - 2));
    } else {
      out.set(i, t.bits == 64 ? bits : bits >> 8 & ((1ull << t.bits) - 1));
    }
  }
  return out;
}

uint64_t canonical(DType t, uint64_t code) { return is_nan_code(t, code) ? nan_code(t) : code; }
bool same(const HostTensor& a, const HostTensor& b, int64_t* where) {
  if (a.type != b.type || a.shape != b.shape) return false;
  for (int64_t i = 0; i < a.elements(); ++i)
    if (canonical(a.type, a.at(i)) != canonical(b.type, b.at(i))) {
      if (where) *where = i;
      return false;
    }
  return true;
}

VerifiedModule assemble(const std::string& text) {
  Sources sources;
  Diagnostics out;
  vmasm::CompileOptions options;
  auto module = vmasm::compile({"test.vmasm", text}, options, sources, out);
  std::optional<VerifiedModule> verified;
  if (module) verified = verify(std::move(*module), out);
  std::string messages;
  for (const Diagnostic& d : out) messages += render_diag(d, sources, false);
  if (!verified) FAIL(messages << "\n" << text);
  return *verified;
}

interp::Outcome run(const VerifiedModule& m, const std::vector<Arg>& args,
                    const interp::Options& options) {
  std::vector<LaunchArg> launch;
  for (const Arg& a : args) {
    LaunchArg l;
    l.scalar = a.scalar;
    for (HostTensor* t : a.tensors)
      l.tensors.push_back({t->type, t->bytes.data(), t->bytes.size(), t->shape, {}, true});
    launch.push_back(std::move(l));
  }
  auto bound = bind_launch(m.kernel(0), launch, {});
  if (!bound) FAIL(bound.error().message);
  return interp::run(m, 0, *bound, options);
}
interp::Outcome run(const std::string& text, const std::vector<Arg>& args,
                    const interp::Options& options) {
  return run(assemble(text), args, options);
}

std::string error_of(const interp::Outcome& o) { return o.error ? diag_id(o.error->code) : ""; }

}  // namespace tess::test
