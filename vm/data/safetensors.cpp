#include "vm/data/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>
#include <unordered_set>

#include "isa/diag/data.h"

namespace tess {
namespace {

struct Type {
  std::string_view name;
  int bits;
  std::optional<DType> dtype;
};
constexpr DType small_float(uint8_t bits, uint8_t exp, uint8_t man) {
  return {Kind::flt, bits, exp, man};
}
constexpr Type kTypes[] = {
    {"BOOL", 8, dt::bool_},
    {"F4", 4, small_float(4, 2, 1)},
    {"F6_E2M3", 6, small_float(6, 2, 3)},
    {"F6_E3M2", 6, small_float(6, 3, 2)},
    {"F8_E4M3", 8, dt::e4m3_},
    {"F8_E5M2", 8, dt::e5m2_},
    {"F8_E8M0", 8, dt::e8m0_},
    {"F8_E4M3FNUZ", 8, std::nullopt},
    {"F8_E5M2FNUZ", 8, std::nullopt},
    {"I8", 8, dt::i8_},
    {"U8", 8, dt::u8_},
    {"I16", 16, dt::i16_},
    {"U16", 16, dt::u16_},
    {"F16", 16, dt::f16_},
    {"BF16", 16, dt::bf16_},
    {"I32", 32, dt::i32_},
    {"U32", 32, dt::u32_},
    {"F32", 32, dt::f32_},
    {"I64", 64, dt::i64_},
    {"U64", 64, dt::u64_},
    {"F64", 64, dt::f64_},
    {"C64", 64, std::nullopt},
};

Diagnostic malformed(const Blob& blob, std::string_view what) {
  return make_diag(diag::safetensors_malformed, fmt::format("{}: {}", blob.name, what));
}

// The header as events: nothing is built but the entries, and a key that comes twice is seen.
// Depth: 1 the header, 2 a tensor or the metadata, 3 a shape or the offsets.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  SafetensorsFile file;
  std::string problem;

  bool null() override { return unexpected(); }
  bool boolean(bool) override { return unexpected(); }
  bool number_integer(number_integer_t) override { return unexpected(); }
  bool number_float(number_float_t, const string_t&) override { return unexpected(); }
  bool binary(binary_t&) override { return unexpected(); }
  bool number_unsigned(number_unsigned_t value) override {
    if (depth_ != 3 || list_->size() > kMaxTensorRank || value > uint64_t{1} << 62)
      return unexpected();
    list_->push_back(static_cast<int64_t>(value));
    return true;
  }
  bool string(string_t& text) override {
    if (depth_ != 2) return unexpected();
    if (in_metadata_) file.metadata.back().second = std::move(text);
    else if (field_ == "dtype") file.tensors.back().declared = std::move(text);
    else return unexpected();
    return true;
  }
  bool key(string_t& name) override {
    if (depth_ == 1) {
      if (!names_.insert(name).second) return fail(fmt::format("{} comes twice", json_quote(name)));
      name_ = std::move(name);
      return true;
    }
    if (in_metadata_) {
      if (!metadata_names_.insert(name).second)
        return fail(fmt::format("metadata {} comes twice", json_quote(name)));
      file.metadata.emplace_back(std::move(name), std::string());
      return true;
    }
    int bit = name == "dtype" ? 1 : name == "shape" ? 2 : name == "data_offsets" ? 4 : 0;
    if (bit == 0 || (fields_ & bit))
      return fail(fmt::format("tensor {} has a repeated or unknown field", json_quote(name_)));
    fields_ |= bit;
    field_ = std::move(name);
    return true;
  }
  bool start_object(std::size_t) override {
    if (depth_ == 0) return ++depth_, true;
    if (depth_ != 1) return unexpected();
    ++depth_;
    in_metadata_ = name_ == "__metadata__";
    fields_ = 0;
    field_.clear();
    offsets_.clear();
    if (!in_metadata_) file.tensors.push_back({.name = name_});
    return true;
  }
  bool end_object() override {
    if (depth_-- == 2 && !in_metadata_) {
      if (fields_ != 7)
        return fail(fmt::format("tensor {} lacks dtype, shape or data_offsets", json_quote(name_)));
      if (offsets_.size() != 2 || offsets_[0] > offsets_[1])
        return fail(fmt::format("tensor {}: data_offsets are no begin and end", json_quote(name_)));
      file.tensors.back().offset = static_cast<uint64_t>(offsets_[0]);
      file.tensors.back().size_bytes = static_cast<uint64_t>(offsets_[1] - offsets_[0]);
    }
    return true;
  }
  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_metadata_) return unexpected();
    if (field_ == "shape") list_ = &file.tensors.back().shape;
    else if (field_ == "data_offsets") list_ = &offsets_;
    else return unexpected();
    ++depth_;
    return true;
  }
  bool end_array() override { return --depth_, true; }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return fail(fmt::format("the header is not JSON, from its byte {}", position));
  }

 private:
  bool fail(std::string what) {
    if (problem.empty()) problem = std::move(what);
    return false;
  }
  bool unexpected() {
    return fail(depth_ <= 1 ? std::string("the header is no object of objects")
                            : fmt::format("{} holds a value that does not belong there",
                                          json_quote(name_)));
  }

  int depth_ = 0, fields_ = 0;
  bool in_metadata_ = false;
  std::string name_, field_;
  std::vector<int64_t> offsets_;
  std::vector<int64_t>* list_ = &offsets_;
  std::unordered_set<std::string> names_, metadata_names_;
};

// Type, shape and offsets against each other and against the size of the data.
Status check_entries(const Blob& blob, SafetensorsFile& file, uint64_t data_start) {
  uint64_t data_size = blob.bytes.size() - data_start, covered = 0;
  std::sort(file.tensors.begin(), file.tensors.end(), [](const auto& a, const auto& b) {
    return std::tie(a.offset, a.size_bytes, a.name) < std::tie(b.offset, b.size_bytes, b.name);
  });
  for (SafetensorsEntry& e : file.tensors) {
    auto complain = [&](std::string_view what) {
      return malformed(blob, fmt::format("tensor {}: {}", json_quote(e.name), what));
    };
    const Type* type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                    [&](const Type& t) { return t.name == e.declared; });
    if (type == std::end(kTypes))
      return complain(fmt::format("unknown dtype {}", json_quote(e.declared)));
    auto count = element_count(e.shape);
    if (!count) return complain(count.error().message);
    uint64_t bits = *count * static_cast<uint64_t>(type->bits);
    if (bits % 8 != 0)
      return complain(fmt::format("{} elements of {} bits are no whole bytes", *count, type->bits));
    if (e.size_bytes != bits / 8)
      return complain(fmt::format("{}{} is {} bytes, its offsets give {}", e.declared,
                                  shape_text(e.shape), bits / 8, e.size_bytes));
    if (e.offset > data_size || e.size_bytes > data_size - e.offset)
      return complain("its offsets lie outside the file");
    if (e.offset < covered) return complain("its bytes overlap another tensor's");
    if (e.offset > covered)
      return complain(fmt::format("{} bytes before it belong to no tensor", e.offset - covered));
    covered += e.size_bytes;
    e.dtype = type->dtype;
    e.offset += data_start;
  }
  if (covered != data_size)
    return malformed(blob,
                     fmt::format("{} bytes at its end belong to no tensor", data_size - covered));
  return ok();
}

}  // namespace

Result<SafetensorsFile> read_safetensors(const Blob& blob) {
  auto b = blob.bytes;
  if (b.size() < 10) return malformed(blob, "it is too short");
  uint64_t length = load_le(b, 0, 8);
  if (length > kMaxSafetensorsHeader)
    return malformed(blob, fmt::format("a header of {} bytes; at most {} are read", length,
                                       kMaxSafetensorsHeader));
  if (length > b.size() - 8) return malformed(blob, "it ends inside its header");
  if (length == 0 || b[8] != '{') return malformed(blob, "its header does not begin with '{'");
  HeaderReader reader;
  const char* text = reinterpret_cast<const char*>(b.data()) + 8;
  if (!nlohmann::json::sax_parse(text, text + length, &reader))
    return malformed(blob, reader.problem);
  TESS_CHECK(check_entries(blob, reader.file, 8 + length));
  return std::move(reader.file);
}

Result<HostTensor> safetensors_tensor(const Blob& blob, const SafetensorsFile& file,
                                      std::string_view name) {
  std::vector<std::string_view> names;
  for (const SafetensorsEntry& e : file.tensors) {
    names.push_back(e.name);
    if (e.name != name) continue;
    DType dtype = e.dtype.value_or(dt::u8_);
    std::vector<int64_t> shape =
        e.dtype ? e.shape : std::vector<int64_t>{static_cast<int64_t>(e.size_bytes)};
    TESS_TRY(HostTensor t, borrow_tensor(dtype, std::move(shape),
                                         blob.bytes.subspan(e.offset, e.size_bytes), blob.keep));
    t.declared = e.declared;
    t.raw = !e.dtype;
    return t;
  }
  return key_not_found(blob, name, names);
}

}  // namespace tess
