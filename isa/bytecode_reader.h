// Private to the bytecode reader: its state and how it takes numbers. bytecode_read.cpp reads
// the header, the sections and the tables, bytecode_read_kernel.cpp one kernel.
#pragma once
#include "isa/bytecode.h"
#include "isa/bytecode_parts.h"
#include "isa/diag/bytecode.h"

namespace tess::bytecode {

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
  [[gnu::cold]] void fail(Diag code, std::string message, const uint8_t* at);
  [[gnu::cold]] void fail_above(const char* what, uint64_t v, uint64_t most, const uint8_t* at);
  [[gnu::cold]] void fail_index(const char* what, uint64_t i, uint64_t n, const uint8_t* at);

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
  uint64_t long_num();
  int64_t snum() { return unzigzag(num()); }
  // A number of at most `most`.
  uint64_t num_to(uint64_t most, const char* what) {
    const uint8_t* at = p_;
    uint64_t v = num();
    if (v > most) [[unlikely]]
      return fail_above(what, v, most, at), 0;
    return v;
  }
  uint32_t num32(const char* what) { return static_cast<uint32_t>(num_to(0xFFFFFFFF, what)); }
  // The number of elements that follow, each of at least `least_bytes` bytes in the file.
  uint32_t count(uint64_t limit, size_t least_bytes, const char* what);
  uint32_t index(size_t size, const char* what) {
    const uint8_t* at = p_;
    uint64_t i = num();
    if (i >= size) [[unlikely]]
      return fail_index(what, i, size, at), 0;
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

  // --- header, sections and tables (bytecode_read.cpp)

  // Goes on at another place, leaving this one to come back to.
  struct Cursor {
    const uint8_t *p = nullptr, *end = nullptr;
  };
  void exchange(Cursor& c) {
    if (failed_) return;
    std::swap(p_, c.p);
    std::swap(end_, c.end);
  }
  void read_header(ReadOptions options);
  void read_sections();
  void find_sections();
  void check_end(SectionId id);
  void read_section(SectionId id);
  void read_strings();
  std::string_view string();
  std::string_view name(bool optional);
  DType dtype();
  DType value_dtype();
  uint8_t enumeration(uint8_t last, const char* what);
  void read_types();
  void read_layouts();
  void read_constants();
  void read_kernels();
  void read_names(Kernel& k);
  void read_files();
  void read_lines(Kernel& k);
  void read_text(std::string& text);

  // --- one kernel (bytecode_read_kernel.cpp)
  struct Totals {
    uint32_t accesses, indices, attrs, refs;
  };
  HostExpr expr(size_t n_params);
  void exprs(std::vector<HostExpr>& list, size_t n_params);
  void read_param(Kernel& k, uint32_t n_params);
  Ref scalar_ref(const Kernel& k);
  Ref direct_ref(const Kernel& k, uint64_t v, const uint8_t* at);
  Ref bad_ref(const uint8_t* at, const char* what, uint64_t i, uint64_t n);
  [[gnu::noinline]] Ref any_ref(Kernel& k, uint64_t v, const uint8_t* at, const Totals& totals);
  Ref access(Kernel& k, uint64_t base, const uint8_t* at, const Totals& totals);
  void read_attr(Kernel& k, int last_tag);
  int64_t perm();
  void read_inst(Kernel& k, const Totals& totals, uint32_t& n_refs);
  void read_bindings(Kernel& k);
  void read_kernel(Kernel& k);

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

}  // namespace tess::bytecode
