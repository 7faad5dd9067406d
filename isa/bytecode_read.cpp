#include <fmt/format.h>

#include <cstring>

#include "isa/bytecode_reader.h"
#include "isa/numerics.h"

namespace tess {
namespace bytecode {
namespace {

// Valid UTF-8 without zero bytes, overlong forms, surrogates or code points above 10FFFF.
bool is_utf8(std::string_view s) {
  for (size_t i = 0; i < s.size();) {
    uint8_t lead = static_cast<uint8_t>(s[i++]);
    if (lead < 0x80) {
      if (lead == 0) return false;
      continue;
    }
    int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    if (lead < 0xC2 || lead > 0xF4 || s.size() - i < static_cast<size_t>(more)) return false;
    uint32_t point = lead & (0x3F >> more);
    for (int k = 0; k < more; ++k) {
      uint8_t c = static_cast<uint8_t>(s[i++]);
      if ((c & 0xC0) != 0x80) return false;
      point = point << 6 | (c & 0x3F);
    }
    constexpr uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (point < kLeast[more] || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000))
      return false;
  }
  return true;
}

// One code for each value: what a computed NaN or the ignored bits of a tf32 could otherwise vary.
bool is_canonical(Constant c) {
  if (c.type.is_bool()) return c.code <= 1;
  if (c.type.bits < 64 && c.code >> c.type.bits) return false;
  if (c.type.is_tf32() && (c.code & 0x1FFF)) return false;
  return c.type.is_int() || !is_nan_code(c.type, c.code) || c.code == nan_code(c.type);
}

const char* section_name(uint64_t number) {
  constexpr const char* kNames[] = {"", "strings", "types", "layouts", "constants", "kernels",
                                    "", "names",   "lines", "source",  "producer"};
  return kNames[number];
}
bool is_known(uint64_t number) { return number >= 1 && number <= 10 && number != 6; }

}  // namespace

// --- numbers
void Reader::fail(Diag code, std::string message, const uint8_t* at) {
  if (!failed_) error_ = make_diag(code, fmt::format("byte {}: {}", at - begin_, message));
  failed_ = true;
  p_ = end_ = begin_;
}
void Reader::fail_above(const char* what, uint64_t v, uint64_t most, const uint8_t* at) {
  fail(diag::bytecode_number, fmt::format("{} is {}, above {}", what, v, most), at);
}
void Reader::fail_index(const char* what, uint64_t i, uint64_t n, const uint8_t* at) {
  fail(diag::bytecode_index, fmt::format("{} {} of {}", what, i, n), at);
}
uint64_t Reader::long_num() {
  const uint8_t* at = p_;
  uint64_t v = 0;
  for (int shift = 0;; shift += 7) {
    if (p_ == end_) return fail(diag::bytecode_truncated, "a number continues past the end", at), 0;
    uint8_t b = *p_++;
    if (shift == 63 && b > 1)
      return fail(diag::bytecode_number, "a number has more than 64 bits", at), 0;
    v |= uint64_t{b & 0x7Fu} << shift;
    if (b < 0x80) {
      if (b == 0 && shift)
        return fail(diag::bytecode_number, "a number is longer than needed", at), 0;
      return v;
    }
  }
}
uint32_t Reader::count(uint64_t limit, size_t least_bytes, const char* what) {
  const uint8_t* at = p_;
  uint64_t n = num();
  if (n > limit)
    return fail(diag::bytecode_count, fmt::format("{} {}, above the limit of {}", n, what, limit),
                at),
           0;
  if (n > static_cast<size_t>(end_ - p_) / least_bytes)
    return fail(diag::bytecode_count,
                fmt::format("{} {} do not fit the {} bytes that remain", n, what, end_ - p_), at),
           0;
  return static_cast<uint32_t>(n);
}

// --- header and sections
void Reader::read_header(ReadOptions options) {
  if (!is_bytecode({begin_, end_}))
    return fail(diag::bytecode_magic, "not the magic number of .vmbc", begin_);
  if (static_cast<size_t>(end_ - begin_) < kBytecodeHeaderBytes)
    return fail(diag::bytecode_truncated, "the header is cut short", begin_);
  auto field = [&](size_t at, int bytes) {
    uint64_t v = 0;
    std::memcpy(&v, begin_ + at, bytes);
    return v;
  };
  if (field(16, 2) != kBytecodeMajor)
    return fail(
        diag::bytecode_version,
        fmt::format("major version {}, this program reads {}", field(16, 2), kBytecodeMajor),
        begin_ + 16);
  if (field(20, 4) != 0)
    return fail(diag::bytecode_value, "the reserved word of the header is not zero", begin_ + 20);
  if (options.check_checksum &&
      field(8, 8) != bytecode_checksum({begin_ + 16, static_cast<size_t>(end_ - begin_ - 16)}))
    return fail(diag::bytecode_checksum, "the checksum is not that of the contents", begin_ + 8);
  p_ = begin_ + kBytecodeHeaderBytes;
}

// The headers of all sections first, then their contents: the parts of a kernel stand in three of
// them and are read together, while its memory is at hand.
void Reader::read_sections() {
  find_sections();
  constexpr SectionId kRequired[] = {SectionId::strings, SectionId::types, SectionId::layouts,
                                     SectionId::constants, SectionId::kernels};
  const uint8_t* file_end = end_;
  for (SectionId id : kRequired) {
    if (failed_) return;
    size_t number = static_cast<size_t>(id);
    if (!sections_[number].p)
      return fail(diag::bytecode_section,
                  fmt::format("section {} ({}) is missing", number, section_name(number)),
                  file_end);
    if (id != SectionId::kernels) read_section(id);
  }
  read_kernels();
  for (SectionId id : {SectionId::source, SectionId::producer})
    if (sections_[static_cast<size_t>(id)].p && !failed_) read_section(id);
}

void Reader::find_sections() {
  uint64_t last = 0;
  while (!failed_ && p_ != end_) {
    const uint8_t* at = p_;
    uint64_t code = num(), length = num(), number = code / 2;
    if (failed_) return;
    if (number <= last)
      return fail(diag::bytecode_section, fmt::format("section {} after section {}", number, last),
                  at);
    last = number;
    if (length > static_cast<size_t>(end_ - p_))
      return fail(diag::bytecode_truncated,
                  fmt::format("section {} declares {} bytes, {} remain", number, length, end_ - p_),
                  at);
    bool optional = code & 1;
    if (is_known(number)) {
      if (code != section_code(static_cast<SectionId>(number)))
        return fail(diag::bytecode_section,
                    fmt::format("section {} ({}) is marked {}", number, section_name(number),
                                optional ? "optional" : "required"),
                    at);
      sections_[number] = {p_, p_ + length};
    } else if (!optional) {
      return fail(diag::bytecode_unknown_section,
                  fmt::format("section {} is not known and not optional", number), at);
    }
    p_ += length;
  }
}
// All of a section must have been read.
void Reader::check_end(SectionId id) {
  if (failed_ || p_ == end_) return;
  size_t number = static_cast<size_t>(id);
  fail(
      diag::bytecode_section,
      fmt::format("section {} ({}) has {} bytes too many", number, section_name(number), end_ - p_),
      p_);
}
void Reader::read_section(SectionId id) {
  exchange(sections_[static_cast<size_t>(id)]);
  switch (id) {
    case SectionId::strings:
      read_strings();
      break;
    case SectionId::types:
      read_types();
      break;
    case SectionId::layouts:
      read_layouts();
      break;
    case SectionId::constants:
      read_constants();
      break;
    case SectionId::source:
      read_text(module_.source);
      break;
    case SectionId::producer:
      read_text(module_.producer);
      break;
    default:
      break;  // read_kernels
  }
  check_end(id);
}

// --- the tables
void Reader::read_strings() {
  uint32_t n = count(~0u, 1, "strings");
  reserve(strings_, n);
  reserve(last_use_, n);
  if (failed_) return;
  last_use_.resize(n, 0);
  uint64_t total = 0;
  for (uint32_t i = 0; i < n; ++i) {
    uint64_t length = num_to(end_ - p_, "the length of a string");
    if (failed_) return;
    total += length;  // no overflow: below 2^64 for any file that fits memory
    strings_.push_back({nullptr, length});
  }
  if (total > static_cast<size_t>(end_ - p_))
    return fail(diag::bytecode_truncated,
                fmt::format("strings of {} bytes, {} remain", total, end_ - p_), p_);
  for (std::string_view& s : strings_) {
    s = {reinterpret_cast<const char*>(p_), s.size()};
    if (!is_utf8(s)) return fail(diag::bytecode_value, "a string is not UTF-8", p_);
    if (&s != strings_.data() && !((&s)[-1] < s))
      return fail(diag::bytecode_value, "strings do not ascend", p_);
    p_ += s.size();
  }
}
std::string_view Reader::string() {
  uint32_t i = index(strings_.size(), "string");
  return failed_ ? std::string_view() : strings_[i];
}
// A name that nothing else in the scope has; 0 for none when `optional`.
std::string_view Reader::name(bool optional) {
  const uint8_t* at = p_;
  uint64_t i = num();
  if (optional && i-- == 0) return {};
  if (failed_) return {};
  if (i >= strings_.size())
    return fail(diag::bytecode_index, fmt::format("string {} of {}", i, strings_.size()), at),
           std::string_view();
  std::string_view s = strings_[i];
  if (s.empty() || s.size() > limits::max_name_bytes)
    return fail(diag::bytecode_value, fmt::format("a name of {} bytes", s.size()), at),
           std::string_view();
  if (last_use_[i] == scope_)
    return fail(diag::bytecode_value, "a name is used twice", at), std::string_view();
  last_use_[i] = scope_;
  return s;
}

DType Reader::dtype() {
  const uint8_t* at = p_;
  DType t;
  t.kind = static_cast<Kind>(byte());
  t.bits = byte();
  t.exp = byte();
  t.man = byte();
  if (!failed_ && t != DType{} && !is_valid_dtype(t))
    fail(diag::bytecode_value,
         fmt::format("no scalar type has kind {}, {} bits, exponent {}, mantissa {}",
                     static_cast<int>(t.kind), t.bits, t.exp, t.man),
         at);
  return t;
}
DType Reader::value_dtype() {
  const uint8_t* at = p_;
  DType t = dtype();
  if (!failed_ && t == DType{}) fail(diag::bytecode_value, "a scalar type is missing", at);
  return t;
}
uint8_t Reader::enumeration(uint8_t last, const char* what) {
  const uint8_t* at = p_;
  uint8_t b = byte();
  if (b > last) [[unlikely]]
    return fail(diag::bytecode_unknown_code, fmt::format("{} {} is not known", what, b), at),
           uint8_t{0};
  return b;
}

void Reader::read_types() {
  uint32_t n = count(~0u, 7, "types");
  reserve(types_, n);
  for (uint32_t i = 0; i < n && !failed_; ++i) {
    const uint8_t* at = p_;
    Type t;
    t.space = static_cast<Space>(enumeration(static_cast<uint8_t>(Space::mbar), "memory space"));
    t.ring = enumeration(1, "ring flag");
    t.dtype = dtype();
    t.shape.rank = static_cast<uint8_t>(num_to(limits::max_rank, "a rank"));
    for (int d = 0; d < t.shape.rank; ++d)
      t.shape[d] = static_cast<int64_t>(num_to(limits::max_extent + 1, "an extent plus one")) - 1;
    if (!failed_ && (t.dtype == DType{}) != (t.space == Space::mbar))
      fail(diag::bytecode_value, "barriers, and nothing else, have no scalar type", at);
    types_.push_back(t);
  }
}
void Reader::read_layouts() {
  ++scope_;
  uint32_t n = count(~0u, 3, "layouts");
  reserve(module_.layouts, n);
  for (uint32_t i = 0; i < n && !failed_; ++i) {
    enumeration(kLayoutSpelling, "layout kind");
    LayoutDef& l = module_.layouts.emplace_back();
    l.name = copy(name(true));
    l.text = copy(string());
  }
}
void Reader::read_constants() {
  uint32_t n = count(~0u, 5, "constants");
  reserve(constants_, n);
  for (uint32_t i = 0; i < n && !failed_; ++i) {
    const uint8_t* at = p_;
    Constant c;
    c.type = value_dtype();
    c.code = num();
    if (!failed_ && !is_canonical(c))
      fail(diag::bytecode_value,
           fmt::format("{:#x} is no canonical code of {}", c.code, dtype_name(c.type)), at);
    constants_.push_back(c);
  }
}
void Reader::read_kernels() {
  for (const OpInfo& op : all_ops())
    if (op.code < kCodes) op_by_code_[op.code] = &op;
  for (const AttrInfo& a : all_attrs()) attr_by_tag_[static_cast<int>(a.tag)] = &a;
  Cursor& names = sections_[static_cast<size_t>(SectionId::names)];
  Cursor& lines = sections_[static_cast<size_t>(SectionId::lines)];
  const bool has_names = names.p, has_lines = lines.p;
  if (has_lines) {
    exchange(lines);
    read_files();
    exchange(lines);
  }
  exchange(sections_[static_cast<size_t>(SectionId::kernels)]);
  uint32_t n = count(limits::max_kernels, kLeastKernelBytes, "kernels");
  reserve(module_.kernels, n);
  for (uint32_t i = 0; i < n && !failed_; ++i) {
    Kernel& k = module_.kernels.emplace_back();
    read_kernel(k);
    if (has_names) {
      exchange(names);
      read_names(k);
      exchange(names);
    }
    if (has_lines) {
      exchange(lines);
      read_lines(k);
      exchange(lines);
    }
  }
  check_end(SectionId::kernels);
  if (has_names) exchange(names), check_end(SectionId::names);
  if (has_lines) exchange(lines), check_end(SectionId::lines);
}

// --- the parts of a kernel in optional sections
void Reader::read_names(Kernel& k) {
  ++scope_;  // `x` and `%x` may be two things
  for (size_t v = k.params.size(); v < k.values.size() && !failed_; ++v)
    if (std::string_view s = name(true); !s.empty()) set_name(k.values[v], s);
}

void Reader::read_files() {
  uint32_t n = count(~0u, 1, "files");
  reserve(module_.files, n);
  for (uint32_t i = 0; i < n && !failed_; ++i) module_.files.push_back(copy(string()));
}
void Reader::read_lines(Kernel& k) {
  Loc last;
  const uint8_t* p = p_;
  // Without any file there is no number to check.
  const uint64_t n_files = module_.files.empty() ? ~uint64_t{0} : module_.files.size();
  auto read = [&](Loc& loc) {
    const uint8_t* at = p;
    uint64_t v = num(p);
    int64_t line = int64_t{last.line} + unzigzag(v >> 1);
    uint64_t file = v & 1 ? num(p) : last.file, col = num(p);
    if (line < 0 || line > 0xFFFFFFFF || col > 0xFFFFFFFF || file > 0xFFFFFFFF) [[unlikely]] {
      fail(diag::bytecode_number, "a line, column or file number above 32 bits", at);
    } else if (line != 0 && file >= n_files) [[unlikely]] {
      fail(diag::bytecode_index, fmt::format("file {} of {}", file, n_files), at);
    }
    last = {static_cast<uint32_t>(file), static_cast<uint32_t>(line), static_cast<uint32_t>(col)};
    loc = last;
  };
  if (failed_) return;
  read(k.loc);
  for (Inst& i : k.code) {
    if (failed_) return;
    read(i.loc);
  }
  if (!failed_) p_ = p;
}

void Reader::read_text(std::string& text) {
  std::string_view s{reinterpret_cast<const char*>(p_), static_cast<size_t>(end_ - p_)};
  if (!is_utf8(s)) return fail(diag::bytecode_value, "the text is not UTF-8", p_);
  text = copy(s);
  p_ = end_;
}
}  // namespace bytecode

bool is_bytecode(std::span<const uint8_t> bytes) {
  return bytes.size() >= sizeof kBytecodeMagic &&
         std::memcmp(bytes.data(), kBytecodeMagic, sizeof kBytecodeMagic) == 0;
}

Result<Module> read_bytecode(std::span<const uint8_t> bytes, ReadOptions options) {
  return bytecode::Reader(bytes).run(options);
}

}  // namespace tess
