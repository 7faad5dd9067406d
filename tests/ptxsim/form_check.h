// One test per spelling of an instruction form: which check belongs to a decoder, a kernel that
// runs a piece of PTX on known bytes, and the spellings to try. Every expectation is host
// arithmetic written in the check.
#pragma once
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "jit/ptxsim/forms.h"
#include "jit/ptxsim/sim_driver.h"

namespace tess::ptxsim {

using Words = std::vector<std::string>;

struct Verdict {
  bool tested = false;  // false and nothing wrong: no program has this spelling
  std::string wrong;
};
Verdict good();
Verdict wrong(std::string what);
Verdict impossible();

using FormCheck = Verdict (*)(const std::string& opcode, const Words& words);
// Null if the decoder's forms have no check; has_oracle() knows the arithmetic ones.
FormCheck find_form_check(std::string_view builder);

struct NamedCheck {
  const char* builder;
  FormCheck check;
};
std::vector<NamedCheck> memory_checks();
std::vector<NamedCheck> atomic_checks();
std::vector<NamedCheck> control_checks();
std::vector<NamedCheck> order_checks();
std::vector<NamedCheck> warp_checks();
std::vector<NamedCheck> async_checks();
std::vector<NamedCheck> mbarrier_checks();
std::vector<NamedCheck> tensor_checks();
std::vector<NamedCheck> matrix_checks();

// Every spelling of a form if there are at most `limit`; else a choice in which each alternative of
// each modifier occurs.
std::vector<std::string> spellings(const Form& form, size_t limit);

bool has_word(const Words& w, std::string_view m);
std::string join_words(const Words& w);
// Bits of a type; e4m3x2 and its like are not among them.
int type_bits(const std::string& type);
// "%r" and the like for a register of that many bits, and "b32" and the like.
std::string register_prefix(int bits);
std::string bits_type(int bits);
// "{%r3, %r4}" from `first`, or "%r3" if count is 1 and not in braces.
std::string register_list(int bits, int first, int count, bool braces = true);

// A kernel around `body`. Registers: %p0..15, %h, %r, %d (16, 32, 64 bits) 0..127, %q (128) 0..7;
// %t thread in the grid, %tx thread in the block, %in and %out the buffers, %mi and %mo this
// thread's 64 bytes of each. `tile` is 16 KiB of shared memory, `bar` 64 bytes of mbarriers.
struct FormRun {
  std::string module_text;  // declarations in front of the kernel
  std::string body;
  std::vector<uint8_t> in;  // filled with known bytes by fill_input
  size_t out_bytes = 0;
  jit::Dim3 grid{1, 1, 1}, block{32, 1, 1}, cluster{0, 0, 0};
  std::vector<jit::TensorMap> maps;  // parameters map0, map1
  std::string directives;
  LaunchOptions options;

  std::vector<uint8_t> out;  // zeros before the launch
  std::vector<Finding> findings;
  std::string error;
  // False if it did not load, start, or had a finding: error says what.
  bool run();
  bool found(std::string_view code) const;  // a finding with this id, like "T1026"
};
void fill_input(FormRun& r, size_t bytes, uint64_t seed);

template <class T>
T value_at(const std::vector<uint8_t>& bytes, size_t at) {
  T v;
  std::memcpy(&v, bytes.data() + at, sizeof v);
  return v;
}

}  // namespace tess::ptxsim
