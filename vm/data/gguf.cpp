#include "vm/data/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <unordered_set>

#include "isa/diag/data.h"

namespace tess {
namespace {

constexpr DType kNoType{};
constexpr GgufType kTypes[] = {
#define GGUF_TYPE(name, number, elements, bytes, dtype) {#name, number, elements, bytes, dtype},
#include "vm/data/gguf_types.def"
#undef GGUF_TYPE
};

struct ValueType {
  std::string_view name;
  uint32_t bytes;  // of a fixed-size value; else the least that one takes
};
constexpr ValueType kValues[] = {{"u8", 1},  {"i8", 1},  {"u16", 2},  {"i16", 2},    {"u32", 4},
                                 {"i32", 4}, {"f32", 4}, {"bool", 1}, {"string", 8}, {"array", 12},
                                 {"u64", 8}, {"i64", 8}, {"f64", 8}};

constexpr uint64_t kTextLimit = 160;  // bytes of a value's text
constexpr uint64_t kMaxName = 65535;  // bytes of a key or tensor name
constexpr uint64_t kMaxDims = 8;      // GGUF itself says 4
constexpr uint64_t kLeastEntry = 8 + 4 + 1, kLeastTensor = 8 + 4 + 4 + 8;

struct Cursor {
  const Blob& blob;
  uint64_t at = 0;

  uint64_t left() const { return blob.bytes.size() - at; }
  Diagnostic malformed(std::string_view what) const {
    return make_diag(diag::gguf_malformed, fmt::format("{}: {}", blob.name, what));
  }
  Result<uint64_t> number(int width) {
    if (left() < static_cast<uint64_t>(width))
      return malformed(fmt::format("it ends inside its header, at byte {}", at));
    uint64_t v = load_le(blob.bytes, at, width);
    at += static_cast<uint64_t>(width);
    return v;
  }
  Result<std::string_view> string(uint64_t limit) {
    TESS_TRY(uint64_t length, number(8));
    if (length > left())
      return malformed(
          fmt::format("a string of {} bytes at byte {} runs past the end", length, at - 8));
    if (length > limit)
      return malformed(
          fmt::format("a name of {} bytes at byte {}; at most {} are read", length, at - 8, limit));
    std::string_view s(reinterpret_cast<const char*>(blob.bytes.data()) + at, length);
    at += length;
    return s;
  }
};

double scalar_value(GgufValue type, uint64_t bits) {
  switch (type) {
    case GgufValue::i8:
      return static_cast<int8_t>(bits);
    case GgufValue::i16:
      return static_cast<int16_t>(bits);
    case GgufValue::i32:
      return static_cast<int32_t>(bits);
    case GgufValue::i64:
      return static_cast<double>(static_cast<int64_t>(bits));
    case GgufValue::f32:
      return std::bit_cast<float>(static_cast<uint32_t>(bits));
    case GgufValue::f64:
      return std::bit_cast<double>(bits);
    default:
      return static_cast<double>(bits);
  }
}

std::string scalar_text(GgufValue type, uint64_t bits) {
  switch (type) {
    case GgufValue::boolean:
      return bits ? "true" : "false";
    case GgufValue::i64:
      return fmt::format("{}", static_cast<int64_t>(bits));
    case GgufValue::u64:
      return fmt::format("{}", bits);
    case GgufValue::f32:
      return fmt::format("{}", std::bit_cast<float>(static_cast<uint32_t>(bits)));
    default:
      return fmt::format("{}", scalar_value(type, bits));
  }
}

Result<GgufValue> value_type(Cursor& in) {
  TESS_TRY(uint64_t type, in.number(4));
  if (type >= std::size(kValues))
    return in.malformed(fmt::format("unknown value type {} at byte {}", type, in.at - 4));
  return static_cast<GgufValue>(type);
}

// The text of a value while it is read; stops growing at kTextLimit.
struct Text {
  std::string s;
  bool full() const { return s.size() >= kTextLimit; }
  void add(std::string_view part) {
    if (full()) return;
    s += part;
    if (full()) s += "...";
  }
  void add_string(std::string_view part) {
    if (full()) return;
    bool cut = part.size() > kTextLimit;
    s += json_quote(cut ? part.substr(0, kTextLimit) : part);
    if (cut) s += "...";
  }
};

struct OpenArray {
  GgufValue element;
  uint64_t left;
};

Result<OpenArray> open_array(Cursor& in) {
  TESS_TRY(GgufValue element, value_type(in));
  TESS_TRY(uint64_t count, in.number(8));
  if (count > in.left() / kValues[static_cast<uint32_t>(element)].bytes)
    return in.malformed(
        fmt::format("an array of {} elements at byte {} runs past the end", count, in.at - 12));
  return OpenArray{element, count};
}

Status scalar_or_string(Cursor& in, GgufValue type, Text& text) {
  if (type == GgufValue::string) {
    TESS_TRY(std::string_view s, in.string(~uint64_t{0}));
    text.add_string(s);
    return ok();
  }
  TESS_TRY(uint64_t bits, in.number(static_cast<int>(kValues[static_cast<uint32_t>(type)].bytes)));
  if (type == GgufValue::boolean && bits > 1)
    return in.malformed(fmt::format("a bool of value {} at byte {}", bits, in.at - 1));
  if (!text.full()) text.add(scalar_text(type, bits));
  return ok();
}

// Reads a value with arrays in arrays on an explicit stack.
Status read_value(Cursor& in, GgufEntry& entry) {
  Text text;
  entry.offset = in.at;
  if (entry.type != GgufValue::array) {
    TESS_CHECK(scalar_or_string(in, entry.type, text));
  } else {
    std::vector<OpenArray> open;
    TESS_TRY(OpenArray outer, open_array(in));
    entry.element = outer.element;
    entry.count = outer.left;
    open.push_back(outer);
    text.add("[");
    bool first = true;
    while (!open.empty()) {
      OpenArray& array = open.back();
      if (array.left == 0) {
        text.add("]");
        open.pop_back();
        first = false;
        continue;
      }
      uint64_t width = kValues[static_cast<uint32_t>(array.element)].bytes;
      bool fixed = array.element != GgufValue::string && array.element != GgufValue::array &&
                   array.element != GgufValue::boolean;
      if (fixed && text.full()) {  // open_array has checked that they are there
        in.at += array.left * width;
        array.left = 0;
        continue;
      }
      --array.left;
      if (!first) text.add(", ");
      first = false;
      if (array.element != GgufValue::array) {
        TESS_CHECK(scalar_or_string(in, array.element, text));
        continue;
      }
      if (open.size() >= kMaxGgufNesting)
        return in.malformed(fmt::format("arrays nest deeper than {}", kMaxGgufNesting));
      TESS_TRY(OpenArray inner, open_array(in));
      open.push_back(inner);
      text.add("[");
      first = true;
    }
  }
  entry.size_bytes = in.at - entry.offset;
  entry.text = std::move(text.s);
  return ok();
}

Status read_metadata(Cursor& in, uint64_t count, GgufFile& file) {
  std::unordered_set<std::string_view> keys;
  for (uint64_t i = 0; i < count; ++i) {
    GgufEntry entry;
    TESS_TRY(std::string_view key, in.string(kMaxName));
    if (!keys.insert(key).second)
      return in.malformed(fmt::format("metadata {} comes twice", json_quote(key)));
    entry.key = std::string(key);
    TESS_TRY(entry.type, value_type(in));
    TESS_CHECK(read_value(in, entry));
    if (key == "general.alignment") {
      if (entry.type != GgufValue::u32) return in.malformed("general.alignment is no u32");
      file.alignment = load_le(in.blob.bytes, entry.offset, 4);
      if (file.alignment == 0 || file.alignment % 8 != 0)
        return in.malformed(
            fmt::format("general.alignment is {}, not a multiple of 8", file.alignment));
    }
    file.metadata.push_back(std::move(entry));
  }
  return ok();
}

Status read_tensors(Cursor& in, uint64_t count, GgufFile& file) {
  std::unordered_set<std::string_view> names;
  for (uint64_t i = 0; i < count; ++i) {
    GgufTensor t;
    TESS_TRY(std::string_view name, in.string(kMaxName));
    if (!names.insert(name).second)
      return in.malformed(fmt::format("tensor {} comes twice", json_quote(name)));
    t.name = std::string(name);
    auto complain = [&](std::string_view what) {
      return in.malformed(fmt::format("tensor {}: {}", json_quote(name), what));
    };
    TESS_TRY(uint64_t rank, in.number(4));
    if (rank > kMaxDims)
      return complain(fmt::format("{} dimensions; at most {} are read", rank, kMaxDims));
    for (uint64_t d = 0; d < rank; ++d) {
      TESS_TRY(uint64_t n, in.number(8));
      if (n >> 62) return complain(fmt::format("a dimension of {}", n));
      t.shape.insert(t.shape.begin(), static_cast<int64_t>(n));
    }
    TESS_TRY(uint64_t type, in.number(4));
    TESS_TRY(t.offset, in.number(8));
    t.type = static_cast<uint32_t>(type);
    auto elements = element_count(t.shape);
    if (!elements) return complain(elements.error().message);
    if (const GgufType* known = find_gguf_type(t.type)) {
      uint64_t row = t.shape.empty() ? 1 : static_cast<uint64_t>(t.shape.back());
      if (row % known->block_elements != 0)
        return complain(
            fmt::format("rows of {} elements are no whole blocks of {}", row, known->name));
      t.size_bytes = *elements / known->block_elements * known->block_bytes;
    }
    if (t.offset % file.alignment != 0)
      return complain(fmt::format("its offset {} is no multiple of the alignment {}", t.offset,
                                  file.alignment));
    file.tensors.push_back(std::move(t));
  }
  return ok();
}

// Offsets become the file's own; every tensor lies in the file and none overlaps another.
Status place_tensors(Cursor& in, GgufFile& file) {
  uint64_t padding = (file.alignment - in.at % file.alignment) % file.alignment;
  uint64_t start = in.at + std::min(padding, in.left()), size = in.blob.bytes.size() - start;
  std::vector<const GgufTensor*> order;
  for (GgufTensor& t : file.tensors) {
    if (t.offset > size || t.size_bytes > size - t.offset)
      return in.malformed(fmt::format("tensor {} lies outside the file", json_quote(t.name)));
    t.offset += start;
    if (t.size_bytes != 0) order.push_back(&t);
  }
  std::sort(order.begin(), order.end(), [](auto* a, auto* b) { return a->offset < b->offset; });
  for (size_t i = 1; i < order.size(); ++i)
    if (order[i - 1]->offset + order[i - 1]->size_bytes > order[i]->offset)
      return in.malformed(fmt::format("tensors {} and {} overlap", json_quote(order[i - 1]->name),
                                      json_quote(order[i]->name)));
  return ok();
}

const GgufEntry* find_entry(const GgufFile& file, std::string_view key) {
  for (const GgufEntry& e : file.metadata)
    if (e.key == key) return &e;
  return nullptr;
}

}  // namespace

std::span<const GgufType> gguf_types() { return kTypes; }

const GgufType* find_gguf_type(uint32_t number) {
  for (const GgufType& t : kTypes)
    if (t.number == number) return &t;
  return nullptr;
}

std::string_view gguf_value_name(GgufValue type) {
  return kValues[static_cast<uint32_t>(type)].name;
}

Result<GgufFile> read_gguf(const Blob& blob) {
  Cursor in{blob};
  GgufFile file;
  TESS_TRY(uint64_t magic, in.number(4));
  if (magic != 0x46554747) return in.malformed("it does not begin with GGUF");
  TESS_TRY(uint64_t version, in.number(4));
  if (version != 2 && version != 3) {
    bool swapped = version == 0x02000000 || version == 0x03000000;
    return in.malformed(swapped ? std::string("a big-endian file")
                                : fmt::format("version {} is neither 2 nor 3", version));
  }
  file.version = static_cast<uint32_t>(version);
  TESS_TRY(uint64_t tensors, in.number(8));
  TESS_TRY(uint64_t entries, in.number(8));
  if (entries > in.left() / kLeastEntry)
    return in.malformed(fmt::format("{} metadata entries do not fit the file", entries));
  if (tensors > in.left() / kLeastTensor)
    return in.malformed(fmt::format("{} tensors do not fit the file", tensors));
  TESS_CHECK(read_metadata(in, entries, file));
  TESS_CHECK(read_tensors(in, tensors, file));
  TESS_CHECK(place_tensors(in, file));
  return file;
}

Result<HostTensor> gguf_tensor(const Blob& blob, const GgufFile& file, std::string_view name) {
  std::vector<std::string_view> names;
  for (const GgufTensor& t : file.tensors) {
    names.push_back(t.name);
    if (t.name != name) continue;
    const GgufType* type = find_gguf_type(t.type);
    if (!type)
      return make_diag(diag::block_type_unknown,
                       fmt::format("{}: tensor {} has the unknown type {}", blob.name,
                                   json_quote(name), t.type));
    bool blocks = type->block_elements != 1;
    std::vector<int64_t> shape = t.shape;
    if (blocks) shape.back() = shape.back() / type->block_elements * type->block_bytes;
    TESS_TRY(HostTensor tensor,
             borrow_tensor(blocks ? dt::u8_ : type->dtype, std::move(shape),
                           blob.bytes.subspan(t.offset, t.size_bytes), blob.keep));
    tensor.raw = blocks;
    tensor.declared = std::string(type->name);
    return tensor;
  }
  return key_not_found(blob, name, names);
}

std::optional<double> gguf_number(const Blob& blob, const GgufFile& file, std::string_view key) {
  const GgufEntry* e = find_entry(file, key);
  if (!e || e->type == GgufValue::string || e->type == GgufValue::array) return std::nullopt;
  return scalar_value(e->type, load_le(blob.bytes, e->offset, static_cast<int>(e->size_bytes)));
}

std::optional<std::string_view> gguf_string(const Blob& blob, const GgufFile& file,
                                            std::string_view key) {
  const GgufEntry* e = find_entry(file, key);
  if (!e || e->type != GgufValue::string) return std::nullopt;
  return std::string_view(reinterpret_cast<const char*>(blob.bytes.data()) + e->offset + 8,
                          e->size_bytes - 8);
}

}  // namespace tess
