#include <fmt/format.h>

#include <cstring>

#include "isa/bytecode.h"
#include "isa/bytecode_parts.h"
#include "isa/diag/bytecode.h"
#include "isa/numerics.h"

namespace tess {
namespace {

using namespace bytecode;

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

class Reader {
 public:
  Reader(std::span<const uint8_t> bytes)
      : begin_(bytes.data()), p_(begin_), end_(begin_ + bytes.size()) {
    budget_ = kBytecodeExpansion * bytes.size() + kBytecodeSlack - kFixedUse;
  }

  Result<Module> run(ReadOptions options) {
    read_header(options);
    read_sections();
    if (failed_) return std::move(error_);
    return std::move(module_);
  }

 private:
  // --- errors: the first one counts; after it every read gives 0 at once
  [[gnu::cold]] [[gnu::noinline]] void fail(Diag code, std::string message, const uint8_t* at) {
    if (!failed_) error_ = make_diag(code, fmt::format("byte {}: {}", at - begin_, message));
    failed_ = true;
    p_ = end_ = begin_;
  }

  // --- numbers and bytes
  uint8_t byte() {
    if (p_ == end_) return fail(diag::bytecode_truncated, "the data ends here", p_), 0;
    return *p_++;
  }
  uint64_t num() {
    if (p_ != end_ && *p_ < 0x80) return *p_++;
    return long_num();
  }
  // The same from a cursor in a register, for the loops that matter.
  uint64_t num(const uint8_t*& p) {
    if (p != end_ && *p < 0x80) [[likely]]
      return *p++;
    if (end_ - p > 1 && p[1] - 1u < 0x7F) {  // two bytes, the second neither 0 nor followed
      uint64_t v = (p[0] & 0x7Fu) | uint64_t{p[1]} << 7;
      return p += 2, v;
    }
    p_ = p;
    uint64_t v = long_num();
    p = p_;
    return v;
  }
  [[gnu::noinline]] uint64_t long_num() {
    const uint8_t* at = p_;
    uint64_t v = 0;
    for (int shift = 0;; shift += 7) {
      if (p_ == end_)
        return fail(diag::bytecode_truncated, "a number continues past the end", at), 0;
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
  int64_t snum() { return unzigzag(num()); }
  // A number of at most `most`.
  uint64_t num_to(uint64_t most, const char* what) {
    const uint8_t* at = p_;
    uint64_t v = num();
    if (v > most) [[unlikely]]
      return fail(diag::bytecode_number, fmt::format("{} is {}, above {}", what, v, most), at), 0;
    return v;
  }
  uint32_t num32(const char* what) { return static_cast<uint32_t>(num_to(0xFFFFFFFF, what)); }
  // The number of elements that follow, each of at least `least_bytes` bytes in the file.
  uint32_t count(uint64_t limit, size_t least_bytes, const char* what) {
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
  uint32_t index(size_t size, const char* what) {
    const uint8_t* at = p_;
    uint64_t i = num();
    if (i >= size) [[unlikely]]
      return fail(diag::bytecode_index, fmt::format("{} {} of {}", what, i, size), at), 0;
    return static_cast<uint32_t>(i);
  }
  // --- memory
  bool charge(uint64_t bytes) {
    if (bytes > budget_) [[unlikely]] {
      fail(diag::bytecode_expands,
           "what follows would take more memory than the file's size allows", p_);
      return false;
    }
    budget_ -= bytes;
    return true;
  }
  template <class T>
  void reserve(std::vector<T>& v, size_t n) {
    if (charge(n * sizeof(T) + (n ? kHeapUse : 0))) v.reserve(n);
  }
  std::string copy(std::string_view s) {
    // Short strings live inside the object.
    if (s.size() > 15 && !charge(s.size() + 1 + kHeapUse)) return {};
    return std::string(s);
  }
  void set_name(Value& v, std::string_view s) {
    if (s.size() <= 14 || charge(s.size() + 1 + kHeapUse)) v.name = s;
  }

  // --- header and sections
  void read_header(ReadOptions options) {
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

  static const char* section_name(uint64_t number) {
    constexpr const char* kNames[] = {"", "strings", "types", "layouts", "constants", "kernels",
                                      "", "names",   "lines", "source",  "producer"};
    return kNames[number];
  }
  static bool is_known(uint64_t number) { return number >= 1 && number <= 10 && number != 6; }

  // The headers of all sections first, then their contents: the parts of a kernel stand in three of
  // them and are read together, while its memory is at hand.
  void read_sections() {
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

  void find_sections() {
    uint64_t last = 0;
    while (!failed_ && p_ != end_) {
      const uint8_t* at = p_;
      uint64_t code = num(), length = num(), number = code / 2;
      if (failed_) return;
      if (number <= last)
        return fail(diag::bytecode_section,
                    fmt::format("section {} after section {}", number, last), at);
      last = number;
      if (length > static_cast<size_t>(end_ - p_))
        return fail(
            diag::bytecode_truncated,
            fmt::format("section {} declares {} bytes, {} remain", number, length, end_ - p_), at);
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

  // Goes on at another place, leaving this one to come back to.
  struct Cursor {
    const uint8_t *p = nullptr, *end = nullptr;
  };
  void exchange(Cursor& c) {
    if (failed_) return;
    std::swap(p_, c.p);
    std::swap(end_, c.end);
  }
  // All of a section must have been read.
  void check_end(SectionId id) {
    if (failed_ || p_ == end_) return;
    size_t number = static_cast<size_t>(id);
    fail(diag::bytecode_section,
         fmt::format("section {} ({}) has {} bytes too many", number, section_name(number),
                     end_ - p_),
         p_);
  }
  void read_section(SectionId id) {
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
  void read_strings() {
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
  std::string_view string() {
    uint32_t i = index(strings_.size(), "string");
    return failed_ ? std::string_view() : strings_[i];
  }
  // A name that nothing else in the scope has; 0 for none when `optional`.
  std::string_view name(bool optional) {
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

  DType dtype() {
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
  DType value_dtype() {
    const uint8_t* at = p_;
    DType t = dtype();
    if (!failed_ && t == DType{}) fail(diag::bytecode_value, "a scalar type is missing", at);
    return t;
  }
  uint8_t enumeration(uint8_t last, const char* what) {
    const uint8_t* at = p_;
    uint8_t b = byte();
    if (b > last) [[unlikely]]
      return fail(diag::bytecode_unknown_code, fmt::format("{} {} is not known", what, b), at),
             uint8_t{0};
    return b;
  }

  void read_types() {
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
  void read_layouts() {
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
  void read_constants() {
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

  // --- kernels
  HostExpr expr(size_t n_params) {
    const uint8_t* at = p_;
    HostExpr e;
    uint32_t n = count(limits::max_host_tokens, 1, "host operators");
    if (n > 1 && charge(n * sizeof(HostToken) + kHeapUse)) e.tokens.reserve(n);
    for (uint32_t i = 0; i < n && !failed_; ++i) {
      HostToken t;
      t.op = static_cast<HostOp>(
          enumeration(static_cast<uint8_t>(HostOp::occupancy), "host operator"));
      if (t.op == HostOp::constant) t.value = snum();
      if (t.op == HostOp::param) t.value = index(n_params, "parameter");
      e.tokens.push_back(t);
    }
    if (!failed_ && !well_formed(e))
      fail(diag::bytecode_value, "a host expression does not leave one value", at);
    return e;
  }
  void exprs(std::vector<HostExpr>& list, size_t n_params) {
    uint32_t n = count(limits::max_rank, 2, "host expressions");
    reserve(list, n);
    for (uint32_t i = 0; i < n && !failed_; ++i) list.push_back(expr(n_params));
  }

  void read_param(Kernel& k, uint32_t n_params) {
    Param& p = k.params.emplace_back();
    p.dir = static_cast<Direction>(enumeration(static_cast<uint8_t>(Direction::let), "direction"));
    uint32_t bits =
        static_cast<uint32_t>(num_to(kAllParamBits, "the presence bits of a parameter"));
    param_names_.push_back(name(false));
    exprs(p.shape, n_params);
    if (bits & kHasStrides) exprs(p.strides, n_params);
    if (bits & kHasList) p.list = expr(n_params);
    if (bits & kHasLet) p.let = expr(n_params);
    if (bits & kHasAligned) p.aligned = num32("an alignment");
    p.may_alias = bits & kMayAlias;
    p.kept = bits & kKept;
    if (bits & kHasDivisible) p.divisible = snum();
    if (bits & kHasLo) p.lo = snum();
    if (bits & kHasHi) p.hi = snum();
  }

  struct Totals {
    uint32_t accesses, indices, attrs, refs;
  };

  // A value, a constant or nothing.
  Ref scalar_ref(const Kernel& k) {
    const uint8_t* at = p_;
    uint64_t v = num();
    if ((v & 3) == 2) [[unlikely]]
      return bad_ref(at, "access", v >> 2, 0);
    return direct_ref(k, v, at);
  }
  Ref direct_ref(const Kernel& k, uint64_t v, const uint8_t* at) {
    uint64_t i = v >> 2;
    switch (v & 3) {
      case 0:
        if (i < k.values.size()) [[likely]]
          return Ref::value(static_cast<uint32_t>(i));
        return bad_ref(at, "value", i, k.values.size());
      case 1:
        if (i < k.constants.size()) [[likely]]
          return Ref::constant(static_cast<uint32_t>(i));
        return bad_ref(at, "constant", i, k.constants.size());
      default:
        if (i == 0) [[likely]]
          return Ref::none();
        return bad_ref(at, "nothing", i, 1);
    }
  }
  Ref bad_ref(const uint8_t* at, const char* what, uint64_t i, uint64_t n) {
    fail(diag::bytecode_index, fmt::format("{} {} of {}", what, i, n), at);
    return Ref::none();
  }
  // What a number stands for where accesses are allowed.
  [[gnu::noinline]] Ref any_ref(Kernel& k, uint64_t v, const uint8_t* at, const Totals& totals) {
    return (v & 3) == 2 ? access(k, v >> 2, at, totals) : direct_ref(k, v, at);
  }
  // The parts of an access are no accesses, so nothing here nests.
  Ref access(Kernel& k, uint64_t base, const uint8_t* at, const Totals& totals) {
    if (base >= k.values.size()) return bad_ref(at, "value", base, k.values.size());
    Access a;
    a.base = static_cast<uint32_t>(base);
    a.item = scalar_ref(k);
    a.first_index = static_cast<uint32_t>(k.indices.size());
    a.n_indices = static_cast<uint32_t>(num_to(limits::max_rank, "the rank of an access"));
    if (k.accesses.size() == totals.accesses || a.n_indices > totals.indices - k.indices.size()) {
      fail(diag::bytecode_count, "more accesses or indices than announced", at);
      return Ref::none();
    }
    for (uint32_t j = 0; j < a.n_indices; ++j) {
      Index x;
      x.kind =
          static_cast<IndexKind>(enumeration(static_cast<uint8_t>(IndexKind::all), "index kind"));
      if (x.kind != IndexKind::all) x.start = scalar_ref(k);
      if (x.kind == IndexKind::span) x.stop = scalar_ref(k);
      if (x.kind == IndexKind::range) x.extent = snum();
      k.indices.push_back(x);
    }
    k.accesses.push_back(a);
    return Ref::access(static_cast<uint32_t>(k.accesses.size() - 1));
  }

  void read_attr(Kernel& k, int last_tag) {
    const uint8_t* at = p_;
    Attr a;
    uint8_t tag = byte();
    const AttrInfo* info = tag < kTags ? attr_by_tag_[tag] : nullptr;
    if (!info)
      return fail(diag::bytecode_unknown_code, fmt::format("attribute {} is not known", tag), at);
    if (tag <= last_tag) return fail(diag::bytecode_value, "attributes do not ascend", at);
    a.tag = info->tag;
    switch (info->kind) {
      case AttrKind::flag:
        break;
      case AttrKind::integer:
        a.value = snum();
        break;
      case AttrKind::constant:
        a.value = index(k.constants.size(), "constant");
        break;
      case AttrKind::layout:
        a.value = index(module_.layouts.size(), "layout");
        break;
      case AttrKind::perm:
        a.value = perm();
        break;
    }
    k.attrs.push_back(a);
  }
  int64_t perm() {
    const uint8_t* at = p_;
    int64_t v = static_cast<int64_t>(num());
    int n = perm_size(v);
    uint32_t seen = 0;
    for (int i = 0; i < n && i < limits::max_rank; ++i) seen |= 1u << perm_at(v, i);
    bool tight = n < limits::max_rank ? (v & 0xFFFFFFFF) >> (4 * n) == 0 : n == limits::max_rank;
    if (v >> 36 || !tight || seen != (1u << n) - 1)
      fail(diag::bytecode_value, "not a permutation", at);
    return v;
  }

  // `n_refs`: how many of the kernel's references are in use.
  void read_inst(Kernel& k, const Totals& totals, uint32_t& n_refs) {
    const uint8_t *at = p_, *p = p_;
    uint64_t code = num(p);
    const OpInfo* info = code < kCodes ? op_by_code_[code] : nullptr;
    uint64_t parts = num(p), n_args = num(p);
    uint64_t n_results = parts & 15, n_attributes = parts >> 4;
    p_ = p;
    if (!info) [[unlikely]]
      return fail(diag::bytecode_unknown_code, fmt::format("instruction {} is not known", code),
                  at);
    if (n_results > limits::max_results || n_args > limits::max_args || n_attributes > 255 ||
        n_attributes > totals.attrs - k.attrs.size() || n_results + n_args > totals.refs - n_refs)
        [[unlikely]]
      return fail(diag::bytecode_count, "more operands or attributes than announced", at);
    Inst& inst = k.code.emplace_back();
    inst.op = info->op;
    inst.n_results = static_cast<uint8_t>(n_results);
    inst.n_attrs = static_cast<uint8_t>(n_attributes);
    inst.n_args = static_cast<uint16_t>(n_args);
    inst.first_ref = n_refs;
    inst.first_attr = static_cast<uint32_t>(k.attrs.size());
    Ref* refs = k.refs.data() + n_refs;
    const uint64_t n_values = k.values.size();
    for (uint64_t i = 0; i < n_results + n_args; ++i) {
      at = p;
      uint64_t v = num(p);
      if ((v & 3) == 0 && v >> 2 < n_values) [[likely]] {
        refs[i] = Ref::value(static_cast<uint32_t>(v >> 2));
        continue;
      }
      p_ = p;
      if ((v & 3) == 2 && i < n_results) [[unlikely]]
        return (void)bad_ref(at, "access", v >> 2, 0);
      refs[i] = any_ref(k, v, at, totals);
      p = p_;
    }
    p_ = p;
    n_refs += static_cast<uint32_t>(n_results + n_args);
    int last_tag = 0;
    for (uint64_t i = 0; i < n_attributes && !failed_; ++i) {
      read_attr(k, last_tag);
      if (!failed_) last_tag = static_cast<int>(k.attrs.back().tag);
    }
  }

  void read_bindings(Kernel& k) {
    ++scope_;
    uint32_t n = count(~0u, 3, "bindings");
    reserve(k.bindings, n);
    for (uint32_t i = 0; i < n && !failed_; ++i) {
      Binding& b = k.bindings.emplace_back();
      b.name = copy(name(false));
      if (enumeration(1, "binding kind") == 0) b.type = value_dtype();
      else if (uint32_t c = index(constants_.size(), "constant"); !failed_) b.value = constants_[c];
    }
  }

  void read_kernel(Kernel& k) {
    const uint8_t* at = p_;
    std::string_view s = string();
    if (!failed_ && (s.empty() || s.size() > limits::max_name_bytes))
      return fail(diag::bytecode_value, fmt::format("a name of {} bytes", s.size()), at);
    k.name = copy(s);
    read_bindings(k);

    ++scope_;
    uint32_t n_params = count(limits::max_params, 4, "parameters");
    reserve(k.params, n_params);
    param_names_.clear();
    for (uint32_t i = 0; i < n_params && !failed_; ++i) read_param(k, n_params);
    at = p_;
    k.grid_rank = static_cast<uint8_t>(num_to(3, "the rank of a grid"));
    if (!failed_ && k.grid_rank == 0)
      return fail(diag::bytecode_value, "a grid without dimensions", at);
    for (int i = 0; i < k.grid_rank; ++i) k.grid[i] = expr(n_params);
    k.warps = num32("warps");
    k.cluster = num32("cluster");
    k.blocks_per_sm = num32("blocks_per_sm");
    uint64_t flags = num_to(kAllKernelBits, "the flags of a kernel");
    k.cooperative = flags & kCooperative;
    k.sync_manual = flags & kSyncManual;
    k.fast = {(flags & kContract) != 0, (flags & kFtz) != 0, (flags & kApprox) != 0};

    at = p_;
    uint32_t n_values = count(limits::max_values, 1, "values");
    uint32_t n_constants = count(kMaxRefs, 1, "constants");
    Totals totals;
    totals.accesses = count(kMaxRefs, 3, "accesses");
    totals.indices = count(kMaxRefs, 1, "indices");
    totals.attrs = count(kMaxRefs, 1, "attributes");
    totals.refs = count(kMaxRefs, 1, "references");
    uint32_t n_insts = count(limits::max_insts, 3, "instructions");
    if (failed_) return;
    if (n_values < n_params)
      return fail(diag::bytecode_count, fmt::format("{} parameters, {} values", n_params, n_values),
                  at);
    reserve(k.values, n_values);
    const uint8_t* p = p_;
    for (uint32_t i = 0; i < n_values && !failed_; ++i) {
      at = p;
      uint64_t t = num(p);
      if (t >= types_.size()) [[unlikely]]
        return fail(diag::bytecode_index, fmt::format("type {} of {}", t, types_.size()), at);
      k.values.emplace_back(Name(), types_[t]);
    }
    if (failed_) return;
    p_ = p;
    for (uint32_t i = 0; i < n_params && !failed_; ++i) set_name(k.values[i], param_names_[i]);
    reserve(k.constants, n_constants);
    for (uint32_t i = 0; i < n_constants && !failed_; ++i) {
      uint32_t c = index(constants_.size(), "constant");
      if (!failed_) k.constants.push_back(constants_[c]);
    }
    reserve(k.accesses, totals.accesses);
    reserve(k.indices, totals.indices);
    reserve(k.refs, totals.refs);
    reserve(k.attrs, totals.attrs);
    reserve(k.code, n_insts);
    if (failed_) return;
    k.refs.resize(totals.refs);
    uint32_t n_refs = 0;
    for (uint32_t i = 0; i < n_insts && !failed_; ++i) read_inst(k, totals, n_refs);
    if (!failed_ && (n_refs != totals.refs || k.attrs.size() != totals.attrs ||
                     k.accesses.size() != totals.accesses || k.indices.size() != totals.indices))
      fail(diag::bytecode_count, "fewer operands, attributes or accesses than announced", p_);
  }
  void read_kernels() {
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
  void read_names(Kernel& k) {
    ++scope_;  // `x` and `%x` may be two things
    for (size_t v = k.params.size(); v < k.values.size() && !failed_; ++v)
      if (std::string_view s = name(true); !s.empty()) set_name(k.values[v], s);
  }

  void read_files() {
    uint32_t n = count(~0u, 1, "files");
    reserve(module_.files, n);
    for (uint32_t i = 0; i < n && !failed_; ++i) module_.files.push_back(copy(string()));
  }
  void read_lines(Kernel& k) {
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

  void read_text(std::string& text) {
    std::string_view s{reinterpret_cast<const char*>(p_), static_cast<size_t>(end_ - p_)};
    if (!is_utf8(s)) return fail(diag::bytecode_value, "the text is not UTF-8", p_);
    text = copy(s);
    p_ = end_;
  }

  static constexpr uint64_t kMaxRefs = 0x3FFFFFFF;  // Ref::index
  static constexpr size_t kLeastKernelBytes = 17;
  static constexpr uint64_t kHeapUse = 32;  // allowance for the allocator per block
  static constexpr uint64_t kFixedUse = 64 << 10;
  static constexpr int kTags = 256, kCodes = 1024;

  const uint8_t *begin_, *p_, *end_;
  Cursor sections_[static_cast<size_t>(SectionId::producer) + 1];
  uint64_t budget_ = 0;
  bool failed_ = false;
  Diagnostic error_;
  Module module_;
  std::vector<std::string_view> strings_, param_names_;
  std::vector<uint32_t> last_use_;  // by string: the scope that last used it as a name
  uint32_t scope_ = 0;
  std::vector<Type> types_;
  std::vector<Constant> constants_;
  const OpInfo* op_by_code_[kCodes] = {};
  const AttrInfo* attr_by_tag_[kTags] = {};
};

}  // namespace

bool is_bytecode(std::span<const uint8_t> bytes) {
  return bytes.size() >= sizeof kBytecodeMagic &&
         std::memcmp(bytes.data(), kBytecodeMagic, sizeof kBytecodeMagic) == 0;
}

Result<Module> read_bytecode(std::span<const uint8_t> bytes, ReadOptions options) {
  return Reader(bytes).run(options);
}

}  // namespace tess
