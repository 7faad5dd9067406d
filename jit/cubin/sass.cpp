#include "jit/cubin/sass.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "isa/diag/jit.h"

namespace tess::jit {
namespace {

struct OpRow {
  uint16_t code;
  std::string_view name;
  SassClass c;
};
constexpr OpRow kOps[] = {
#define SASS_OP(code, name, c) {code, #name, SassClass::c},
#include "jit/cubin/sass_ops.def"
#undef SASS_OP
};
const OpRow* find_op(uint16_t code) {
  for (const OpRow& r : kOps)
    if (r.code == code) return &r;
  return nullptr;
}
constexpr uint16_t kBranch = 0x147, kNop = 0x118, kMultiplyAdd = 0x024;
constexpr uint64_t kZeroRegister = 255;
constexpr std::string_view kSized[] = {"LDG", "STG", "LDS", "STS", "LDL", "STL", "LDGSTS"};

template <class T>
bool get(std::string_view bytes, uint64_t at, T& to) {
  if (at > bytes.size() || bytes.size() - at < sizeof(T)) return false;
  std::memcpy(&to, bytes.data() + at, sizeof(T));
  return true;
}

int64_t sign_extend(uint64_t v, int bits) {
  return static_cast<int64_t>(v << (64 - bits)) >> (64 - bits);
}

SassInst decode(uint64_t low, uint64_t high, uint32_t address, int sm) {
  SassInst i;
  i.address = address;
  i.code = low & 0x1ff;
  i.guarded = ((low >> 12) & 7) != 7;
  i.copies = i.code == kMultiplyAdd && ((low >> 24) & 0xff) == kZeroRegister;
  const OpRow* row = find_op(i.code);
  std::string_view name = row ? row->name : "";
  if (std::find(std::begin(kSized), std::end(kSized), name) != std::end(kSized)) {
    constexpr uint8_t kBytes[] = {1, 1, 2, 2, 4, 8, 16, 0};
    i.bytes = kBytes[(high >> 9) & 7];
  } else if (name == "LDSM" || name == "STSM") {
    i.bytes = static_cast<uint8_t>(1 << ((high >> 8) & 3));
  } else if (i.code == kBranch) {
    // Words from the next instruction on: bits 34..81, before sm_90; then eight lower bits at 16.
    uint64_t upper = (low >> 34) | ((high & 0x3ffff) << 30);
    int64_t words = sm < 90
                        ? sign_extend(upper, 48)
                        : sign_extend(upper, 48) * 256 + static_cast<int64_t>((low >> 16) & 0xff);
    i.target = int64_t{address} + 16 + 4 * words;
  }
  return i;
}

void find_loops(SassKernel& k) {
  for (size_t n = 0; n < k.code.size(); ++n) {
    const SassInst& i = k.code[n];
    // A branch to itself stands behind the end of every kernel.
    if (i.target < 0 || i.target >= int64_t{i.address}) continue;
    k.loops.push_back({static_cast<size_t>(i.target / 16), n});
  }
  std::sort(k.loops.begin(), k.loops.end(), [](const SassLoop& a, const SassLoop& b) {
    return a.first != b.first ? a.first < b.first : a.last > b.last;
  });
  for (SassLoop& outer : k.loops)
    for (const SassLoop& inner : k.loops)
      if (&inner != &outer && inner.first >= outer.first && inner.last <= outer.last)
        outer.innermost = false;
}

}  // namespace

std::string_view sass_name(const SassInst& i) {
  const OpRow* row = find_op(i.code);
  return row ? row->name : "?";
}
SassClass sass_class(const SassInst& i) {
  const OpRow* row = find_op(i.code);
  return i.copies ? SassClass::move : row ? row->c : SassClass::other;
}

int SassKernel::count(std::string_view name, size_t from, size_t to) const {
  return count_bytes(name, -1, from, to);
}
int SassKernel::count_bytes(std::string_view name, int bytes, size_t from, size_t to) const {
  int n = 0;
  for (size_t i = from; i < (to ? to : code.size()); ++i)
    n += sass_name(code[i]) == name && (bytes < 0 || code[i].bytes == bytes);
  return n;
}
int SassKernel::count(SassClass c, size_t from, size_t to) const {
  int n = 0;
  for (size_t i = from; i < (to ? to : code.size()); ++i) n += sass_class(code[i]) == c;
  return n;
}

Result<std::vector<SassKernel>> read_cubin(std::string_view cubin) {
  auto bad = [](std::string why) { return make_diag(diag::cubin_malformed, std::move(why)); };
  if (!cubin.starts_with("\x7f"
                         "ELF\x02\x01"))
    return bad("not an ELF file for 64 bits");
  uint64_t sections = 0;
  uint32_t flags = 0;
  uint16_t n = 0, names = 0, machine = 0;
  if (!get(cubin, 18, machine) || !get(cubin, 40, sections) || !get(cubin, 48, flags) ||
      !get(cubin, 60, n) || !get(cubin, 62, names) || names >= n)
    return bad("the header is cut off");
  if (machine != 190) return bad("not code for a GPU");
  // The architecture moved when the ABI became version 8.
  int sm = static_cast<int>(cubin[8] >= 8 ? (flags >> 8) & 0xff : flags & 0xff);
  if (sm < 80 || sm > 90) return bad(fmt::format("code for sm_{}", sm));
  uint64_t names_at = 0;
  if (!get(cubin, sections + 64ull * names + 24, names_at)) return bad("no section names");
  std::vector<SassKernel> out;
  for (uint16_t s = 0; s < n; ++s) {
    uint32_t name = 0;
    uint64_t at = 0, size = 0;
    uint64_t header = sections + 64ull * s;
    if (!get(cubin, header, name) || !get(cubin, header + 24, at) || !get(cubin, header + 32, size))
      return bad("a section header is cut off");
    if (names_at + name >= cubin.size()) return bad("a section name is outside of the file");
    std::string_view text = cubin.substr(names_at + name);
    text = text.substr(0, text.find('\0'));
    if (!text.starts_with(".text.")) continue;
    if (at > cubin.size() || size > cubin.size() - at || size % 16 || size > UINT32_MAX)
      return bad("code is cut off");
    SassKernel k;
    k.entry = text.substr(6);
    k.sm = sm;
    for (uint64_t a = 0; a < size; a += 16) {
      uint64_t low = 0, high = 0;
      get(cubin, at + a, low);
      get(cubin, at + a + 8, high);
      k.code.push_back(decode(low, high, static_cast<uint32_t>(a), sm));
    }
    while (!k.code.empty() && k.code.back().code == kNop) k.code.pop_back();
    find_loops(k);
    out.push_back(std::move(k));
  }
  return out;
}

std::string sass_summary(const SassKernel& k) {
  std::map<std::string, int> counts;
  for (const SassInst& i : k.code)
    ++counts[fmt::format("{}{}", sass_name(i), i.bytes ? fmt::format(".{}", i.bytes) : "")];
  std::string out = fmt::format("{} sm_{}: {} instructions\n", k.entry, k.sm, k.code.size());
  for (auto& [name, n] : counts) out += fmt::format("  {:4} {}\n", n, name);
  return out;
}

}  // namespace tess::jit
