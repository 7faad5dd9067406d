// Runs kernels given as text on the interpreter.
#pragma once
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "isa/launch.h"
#include "isa/numerics.h"
#include "isa/verify.h"
#include "vm/interp/interp.h"

namespace tess::test {

// A dense row-major tensor; elements as codes.
struct HostTensor {
  DType type;
  std::vector<int64_t> shape;
  std::vector<uint8_t> bytes;

  HostTensor(DType t, std::vector<int64_t> s);
  int64_t elements() const;
  uint64_t at(int64_t i) const {
    return read_bits(bytes.data(), static_cast<uint64_t>(i) * type.bits, type.bits);
  }
  void set(int64_t i, uint64_t code) {
    write_bits(bytes.data(), static_cast<uint64_t>(i) * type.bits, type.bits, code);
  }
  double value(int64_t i) const;
  void set_value(int64_t i, double v);
  template <class T>
  T* as() {
    return reinterpret_cast<T*>(bytes.data());
  }
};
HostTensor values(DType t, std::vector<int64_t> shape, const std::vector<double>& v);
// Random codes with many special values; `plain`: numbers between -4 and 4 instead.
HostTensor random_tensor(DType t, std::vector<int64_t> shape, std::mt19937_64& random,
                         bool plain = false);
// NaNs of one type become the one canonical code.
uint64_t canonical(DType t, uint64_t code);
bool same(const HostTensor& a, const HostTensor& b, int64_t* where = nullptr);

VerifiedModule assemble(const std::string& text);

struct Arg {
  uint64_t scalar = 0;
  std::vector<HostTensor*> tensors;
  Arg(int64_t v) : scalar(static_cast<uint64_t>(v)) {}
  Arg(int v) : scalar(static_cast<uint64_t>(static_cast<int64_t>(v))) {}
  Arg(HostTensor& t) : tensors{&t} {}
  Arg(std::vector<HostTensor*> list) : tensors(std::move(list)) {}
};
interp::Outcome run(const VerifiedModule& m, const std::vector<Arg>& args,
                    const interp::Options& options = {});
interp::Outcome run(const std::string& text, const std::vector<Arg>& args,
                    const interp::Options& options = {});
// "T0820" of the error, or "" on success.
std::string error_of(const interp::Outcome& o);

}  // namespace tess::test
