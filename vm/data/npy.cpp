#include "vm/data/npy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "isa/diag/data.h"
#include "vm/data/atomic_file.h"

namespace tess {
namespace {

constexpr uint8_t kMagic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

Diagnostic malformed(const Blob& blob, std::string_view what) {
  return make_diag(diag::npy_malformed, fmt::format("{}: {}", blob.name, what));
}
Diagnostic unsupported(const Blob& blob, std::string_view descr, std::string_view what) {
  return make_diag(diag::npy_unsupported,
                   fmt::format("{}: element type '{}': {}", blob.name, descr, what));
}

// The header's dictionary: the few Python literals that NumPy writes, and no others.
struct Literal {
  std::string_view text;
  size_t at = 0;

  void space() {
    while (at < text.size() &&
           (text[at] == ' ' || text[at] == '\n' || text[at] == '\t' || text[at] == '\r'))
      ++at;
  }
  bool eat(char c) {
    space();
    if (at >= text.size() || text[at] != c) return false;
    ++at;
    return true;
  }
  bool eat_word(std::string_view word) {
    space();
    if (text.substr(at, word.size()) != word) return false;
    at += word.size();
    return true;
  }
  std::optional<std::string> string() {
    space();
    if (at >= text.size() || (text[at] != '\'' && text[at] != '"')) return std::nullopt;
    char quote = text[at];
    size_t end = text.find(quote, at + 1);
    if (end == std::string_view::npos) return std::nullopt;
    std::string s(text.substr(at + 1, end - at - 1));
    if (s.find('\\') != std::string::npos) return std::nullopt;
    at = end + 1;
    return s;
  }
  std::optional<int64_t> integer() {
    space();
    size_t begin = at;
    int64_t value = 0;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at)
      if (__builtin_mul_overflow(value, 10, &value) ||
          __builtin_add_overflow(value, text[at] - '0', &value))
        return std::nullopt;
    if (at == begin) return std::nullopt;
    if (at < text.size() && text[at] == 'L') ++at;  // written by Python 2
    return value;
  }
  std::optional<std::vector<int64_t>> tuple() {
    if (!eat('(')) return std::nullopt;
    std::vector<int64_t> items;
    bool comma = true;
    while (!eat(')')) {
      if (!comma || items.size() > kMaxTensorRank) return std::nullopt;
      auto n = integer();
      if (!n) return std::nullopt;
      items.push_back(*n);
      comma = eat(',');
    }
    if (items.size() == 1 && !comma) return std::nullopt;  // "(3)" is no tuple
    return items;
  }
};

bool is_printable(std::string_view s) {
  return std::all_of(s.begin(), s.end(), [](unsigned char c) { return c >= 32 && c < 127; });
}

Status set_descr(const Blob& blob, std::string_view descr, NpyHeader& h) {
  if (descr.size() < 2 || descr.size() > 20 || !is_printable(descr))
    return malformed(blob, "the element type 'descr' is not one of NumPy's");
  char order = descr[0];
  char code = descr[1];
  if (std::string_view("<>|=").find(order) == std::string_view::npos)
    return malformed(blob, "bad byte order in 'descr'");
  if (code == 'O') return unsupported(blob, descr, "Python objects are not loaded");
  uint64_t size = 0;
  for (char c : descr.substr(2)) {
    if (c < '0' || c > '9') {
      if (code == 'M' || code == 'm')
        return unsupported(blob, descr, "dates and time spans are not supported");
      return malformed(blob, "bad size in 'descr'");
    }
    size = size * 10 + static_cast<uint64_t>(c - '0');
    if (size > kMaxNpyHeader) return unsupported(blob, descr, "too large an element");
  }
  h.big_endian = order == '>' && size > 1;
  h.raw = false;
  std::optional<DType> dtype;
  switch (code) {
    case 'b':
      if (size == 1) dtype = dt::bool_;
      break;
    case 'i':
    case 'u':
      if (size == 1 || size == 2 || size == 4 || size == 8)
        dtype = DType{code == 'i' ? Kind::sint : Kind::uint, static_cast<uint8_t>(size * 8), 0, 0};
      break;
    case 'f':
      dtype = size == 2   ? std::optional(dt::f16_)
              : size == 4 ? std::optional(dt::f32_)
              : size == 8 ? std::optional(dt::f64_)
                          : std::nullopt;
      break;
    case 'V':
      if (size == 0) return unsupported(blob, descr, "elements of no bytes");
      h.raw = true;
      h.big_endian = false;
      dtype = size == 2 ? dt::u16_ : size == 4 ? dt::u32_ : size == 8 ? dt::u64_ : dt::u8_;
      if (size != 1 && *dtype == dt::u8_) h.shape.push_back(static_cast<int64_t>(size));
      break;
    case 'c':
      return unsupported(blob, descr, "complex numbers are not supported");
    case 'S':
    case 'a':
    case 'U':
      return unsupported(blob, descr, "strings are not supported");
    case 'M':
    case 'm':
      return unsupported(blob, descr, "dates and time spans are not supported");
    default:
      break;
  }
  if (!dtype) return unsupported(blob, descr, "Tessera has no such type");
  h.dtype = *dtype;
  h.descr = std::string(descr);
  return ok();
}

Status parse_dictionary(const Blob& blob, std::string_view text, NpyHeader& h) {
  Literal in{text};
  std::optional<std::string> descr;
  std::optional<bool> fortran;
  std::optional<std::vector<int64_t>> shape;
  if (!in.eat('{')) return malformed(blob, "the header is not a dictionary");
  bool comma = true;
  while (!in.eat('}')) {
    if (!comma) return malformed(blob, "the header's dictionary lacks a comma");
    auto key = in.string();
    if (!key || !in.eat(':')) return malformed(blob, "the header's dictionary has a bad key");
    if (*key == "descr" && !descr) {
      in.space();
      if (in.at < text.size() && (text[in.at] == '[' || text[in.at] == '('))
        return unsupported(blob, "[...]", "structures are not supported");
      descr = in.string();
      if (!descr) return malformed(blob, "'descr' is not a string");
    } else if (*key == "fortran_order" && !fortran) {
      if (in.eat_word("True")) fortran = true;
      else if (in.eat_word("False")) fortran = false;
      else return malformed(blob, "'fortran_order' is neither True nor False");
    } else if (*key == "shape" && !shape) {
      shape = in.tuple();
      if (!shape)
        return malformed(blob, "'shape' is not a tuple of at most 64 numbers that fit 63 bits");
    } else {
      return malformed(blob, "the header has an unknown or repeated key");
    }
    comma = in.eat(',');
  }
  in.space();
  if (in.at != text.size()) return malformed(blob, "text follows the header's dictionary");
  if (!descr || !fortran || !shape)
    return malformed(blob, "the header lacks 'descr', 'fortran_order' or 'shape'");
  TESS_CHECK(set_descr(blob, *descr, h));
  h.shape.insert(h.shape.begin(), shape->begin(), shape->end());
  h.fortran_order = *fortran;
  return ok();
}

// Column-major strides over the dimensions of the file; a last dimension of '|Vn' bytes stays
// innermost.
std::vector<int64_t> fortran_strides(const NpyHeader& h, bool item_dimension) {
  std::vector<int64_t> strides(h.shape.size(), 1);
  int64_t step = item_dimension ? h.shape.back() : 1;
  for (size_t d = 0; d < h.shape.size() - item_dimension; ++d) {
    strides[d] = step;
    if (h.shape[d] != 0) step *= h.shape[d];
  }
  return strides;
}

std::string descr_of(DType t) {
  if (t.is_bool()) return "|b1";
  if (t.bits <= 8) return t == dt::i8_ ? "|i1" : "|u1";
  if (t == dt::bf16_) return "<u2";
  char code = t.kind == Kind::sint ? 'i' : t.kind == Kind::uint ? 'u' : 'f';
  return fmt::format("<{}{}", code, t.bits / 8);
}

}  // namespace

Result<NpyHeader> parse_npy_header(const Blob& blob) {
  auto b = blob.bytes;
  if (b.size() < 10 || std::memcmp(b.data(), kMagic, sizeof kMagic) != 0)
    return malformed(blob, "it does not begin as an .npy file does");
  int major = b[6], minor = b[7];
  if (major < 1 || major > 3 || minor != 0)
    return malformed(blob,
                     fmt::format("format version {}.{} is not 1.0, 2.0 or 3.0", major, minor));
  int width = major == 1 ? 2 : 4;
  uint64_t start = 8 + static_cast<uint64_t>(width);
  if (b.size() < start) return malformed(blob, "it ends inside its header");
  uint64_t length = load_le(b, 8, width);
  if (length > kMaxNpyHeader)
    return malformed(
        blob, fmt::format("a header of {} bytes; at most {} are read", length, kMaxNpyHeader));
  if (b.size() - start < length) return malformed(blob, "it ends inside its header");
  NpyHeader h;
  h.data_offset = start + length;
  std::string_view text(reinterpret_cast<const char*>(b.data()) + start, length);
  TESS_CHECK(parse_dictionary(blob, text, h));
  if (auto count = element_count(h.shape); !count) return malformed(blob, count.error().message);
  return h;
}

Result<HostTensor> read_npy(const Blob& blob) {
  TESS_TRY(NpyHeader h, parse_npy_header(blob));
  TESS_TRY(uint64_t need, dense_bytes(h.dtype, h.shape));
  auto data = blob.bytes.subspan(h.data_offset);
  if (data.size() < need)
    return malformed(blob, fmt::format("{} needs {} bytes of data, but {} follow the header",
                                       type_text(h.dtype, h.shape), need, data.size()));
  TESS_TRY(HostTensor t, borrow_tensor(h.dtype, h.shape, data, blob.keep));
  t.raw = h.raw;
  t.declared = h.descr;
  if (h.fortran_order)
    t.strides = fortran_strides(h, h.raw && h.dtype == dt::u8_ && h.descr != "|V1");
  if (!h.big_endian) return t;
  TESS_TRY(HostTensor swapped, make_tensor(h.dtype, h.shape));
  uint64_t size = h.dtype.bits / 8;
  uint8_t* to = swapped.mutable_bytes();
  for (uint64_t i = 0; i < need; i += size)
    std::reverse_copy(t.bytes + i, t.bytes + i + size, to + i);
  swapped.strides = std::move(t.strides);
  swapped.declared = std::move(t.declared);
  return swapped;
}

std::string npy_header(DType dtype, std::span<const int64_t> shape) {
  std::vector<int64_t> packed;
  if (dtype.bits < 8) {
    auto bytes = dense_bytes(dtype, shape);
    packed = {bytes ? static_cast<int64_t>(*bytes) : 0};
    shape = packed;
  }
  std::string tuple = shape.size() == 1 ? fmt::format("({},)", shape[0])
                                        : fmt::format("({})", fmt::join(shape, ", "));
  std::string text = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}",
                                 descr_of(dtype), tuple);
  text.append(63 - (10 + text.size()) % 64, ' ');
  text += '\n';
  std::string header(reinterpret_cast<const char*>(kMagic), sizeof kMagic);
  header += {1, 0, static_cast<char>(text.size() & 0xff), static_cast<char>(text.size() >> 8)};
  return header + text;
}

Status write_npy(const std::string& path, const HostTensor& tensor) {
  TESS_TRY(HostTensor dense, to_dense(tensor));
  std::string header = npy_header(dense.dtype, dense.shape);
  TESS_TRY(AtomicFile file, AtomicFile::create(path));
  TESS_CHECK(file.write({reinterpret_cast<const uint8_t*>(header.data()), header.size()}));
  TESS_CHECK(file.write({dense.bytes, dense.size_bytes}));
  return file.commit();
}

}  // namespace tess
