// Text for one instruction of a form: operands by decoder, and a module around it that loads three
// 64-bit inputs and a predicate per lane and stores a 64-bit result and two predicates.
#pragma once
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "jit/ptxsim/sim_driver.h"

namespace tess::ptxsim {

struct Inputs {
  uint64_t a = 0, b = 0, c = 0;
  bool p = false;
};

// "skip" where the spelling needs operands that a single instruction cannot have.
std::string operands_of(std::string_view builder, const std::string& opcode);
std::string form_module(const std::string& instruction);
std::vector<std::string> words_of(const std::string& opcode);
// Inputs with few distinct values, so that matches and votes are mixed.
std::vector<Inputs> make_inputs_for_warp(uint64_t seed);
// Two words per lane: the result and the predicates.
std::vector<uint64_t> run_form(Simulator& s, jit::ModuleId m, const std::vector<Inputs>& in);

}  // namespace tess::ptxsim
