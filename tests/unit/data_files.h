// Small files of each format, made by hand.
#pragma once
#include <bit>

#include "data_test.h"

namespace tess {

// A header of a multiple of 8 bytes, as writers make it, so that the data is aligned.
inline std::string safetensors_bytes(std::string header, std::string_view data) {
  while (header.size() % 8 != 0) header += ' ';
  std::string s;
  put(s, header.size(), 8);
  return s + header + std::string(data);
}

inline void put_string(std::string& s, std::string_view text) {
  put(s, text.size(), 8);
  s += text;
}

struct GgufBuilder {
  std::string entries, tensors, data;
  uint64_t entry_count = 0, tensor_count = 0, alignment = 32;
  uint32_t version = 3;

  std::string& entry(std::string_view key, uint32_t type) {
    put_string(entries, key);
    put(entries, type, 4);
    ++entry_count;
    return entries;
  }
  void tensor(std::string_view name, std::vector<uint64_t> dims, uint32_t type,
              std::string_view bytes) {
    tensor_at(name, std::move(dims), type, data.size());
    data += bytes;
    data.resize((data.size() + alignment - 1) / alignment * alignment, '\0');
  }
  void tensor_at(std::string_view name, std::vector<uint64_t> dims, uint32_t type,
                 uint64_t offset) {
    put_string(tensors, name);
    put(tensors, dims.size(), 4);
    for (uint64_t n : dims) put(tensors, n, 8);
    put(tensors, type, 4);
    put(tensors, offset, 8);
    ++tensor_count;
  }
  std::string bytes() const {
    std::string s = "GGUF";
    put(s, version, 4);
    put(s, tensor_count, 8);
    put(s, entry_count, 8);
    s += entries + tensors;
    if (tensor_count != 0) s.resize((s.size() + alignment - 1) / alignment * alignment, '\0');
    return s + data;
  }
};

// Every value type, tensors of a scalar, a block and an unknown type.
inline std::string small_gguf(uint32_t version) {
  GgufBuilder g;
  g.version = version;
  g.alignment = 64;
  put(g.entry("general.alignment", 4), 64, 4);
  put(g.entry("u8", 0), 200, 1);
  put(g.entry("i8", 1), 0xfd, 1);
  put(g.entry("u16", 2), 60000, 2);
  put(g.entry("i16", 3), 0xfffd, 2);
  put(g.entry("u32", 4), 4000000000, 4);
  put(g.entry("i32", 5), 0xfffffffd, 4);
  put(g.entry("f32", 6), std::bit_cast<uint32_t>(1.5f), 4);
  put(g.entry("bool", 7), 1, 1);
  put_string(g.entry("string", 8), "he\"y");
  put(g.entry("u64", 10), ~uint64_t{0}, 8);
  put(g.entry("i64", 11), static_cast<uint64_t>(-3), 8);
  put(g.entry("f64", 12), std::bit_cast<uint64_t>(0.1), 8);
  auto array = [&](std::string_view key, uint32_t element, uint64_t count) -> std::string& {
    std::string& s = g.entry(key, 9);
    put(s, element, 4);
    put(s, count, 8);
    return s;
  };
  std::string& nested = array("nested", 9, 3);
  for (std::vector<int> inner : {std::vector<int>{1, 2}, {}, {3}}) {
    put(nested, 5, 4);
    put(nested, inner.size(), 8);
    for (int n : inner) put(nested, static_cast<uint64_t>(n), 4);
  }
  std::string& strings = array("strings", 8, 2);
  put_string(strings, "a");
  put_string(strings, "");
  array("empty", 12, 0);
  std::string& longer = array("long", 3, 500);
  for (int i = 0; i < 500; ++i) put(longer, static_cast<uint64_t>(i), 2);
  std::string floats;
  for (float x : {1.f, 2.f, 3.f, 4.f, 5.f, 6.f}) put(floats, std::bit_cast<uint32_t>(x), 4);
  g.tensor("f", {3, 2}, 0, floats);
  g.tensor("q", {64, 2}, 3, std::string(80, 'q'));
  g.tensor("new", {7}, 99, "");
  return g.bytes();
}

}  // namespace tess
