// Helpers of the data tests.
#pragma once
#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "vm/data/blob.h"
#include "vm/data/tensor.h"

namespace tess {

inline std::string data_path(const std::string& name) {
  return std::string(TESS_SOURCE_ROOT "/tests/data/") + name;
}

inline std::string read_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  REQUIRE(in.good());
  return {std::istreambuf_iterator<char>(in), {}};
}

// Over a copy in exactly as many heap bytes, so that a sanitizer sees a read past the end.
inline Blob blob_of(std::string_view text, std::string name = "test") {
  auto bytes = std::make_shared<std::vector<uint8_t>>(text.begin(), text.end());
  return {{bytes->data(), bytes->size()}, bytes, std::move(name)};
}

inline void put(std::string& s, uint64_t value, int width) {
  for (int i = 0; i < width; ++i) s += static_cast<char>(value >> (8 * i));
}

// A new folder, removed with everything in it at the end.
struct TemporaryFolder {
  std::filesystem::path path;
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "tess_data_XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
  std::string file(const std::string& name) const { return (path / name).string(); }
  size_t entries() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(path),
                                             std::filesystem::directory_iterator()));
  }
};

template <class T>
T must(Result<T> r) {
  if (!r) FAIL(r.error().message);
  return std::move(*r);
}
inline void must_do(const Status& s) {
  if (!s) FAIL(s.error().message);
}
template <class T>
std::string error_of(const Result<T>& r) {
  return r ? std::string("no error") : diag_id(r.error().code) + ": " + r.error().message;
}

inline bool same_elements(const HostTensor& a, const HostTensor& b) {
  if (a.dtype != b.dtype || a.shape != b.shape) return false;
  uint64_t n = *element_count(a.shape);
  for (uint64_t i = 0; i < n; ++i)
    if (element_code(a, i) != element_code(b, i)) return false;
  return true;
}

// Every element another pseudo-random code.
inline HostTensor scrambled(DType dtype, std::vector<int64_t> shape, uint64_t seed = 1) {
  HostTensor t = must(make_tensor(dtype, std::move(shape)));
  uint64_t n = *element_count(t.shape), state = seed;
  for (uint64_t i = 0; i < n; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    set_element_code(t, i, dtype.is_bool() ? state >> 63 : state >> (64 - dtype.bits));
  }
  return t;
}

}  // namespace tess
