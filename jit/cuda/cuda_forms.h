// PTX forms as small device functions: `ldmatrix_x4(r0, r1, r2, r3, address)`. Constants (offsets,
// group counts) are template arguments; an address whose offset is 0 takes none.
#pragma once
#include <string>

#include "jit/block_ir/block_ir.h"

namespace tess::jit {

// "ldmatrix_x4": the opcode without words that say nothing new. Distinct for distinct forms.
std::string form_function_name(const Form& form);
// Whether some constant of the operands must be a template argument.
bool form_has_constants(const Form& form, std::span<const Operand> results,
                        std::span<const Operand> args);
// The function's definition, for operands like these.
std::string form_function(const Form& form, std::span<const Operand> results,
                          std::span<const Operand> args);
// Which operands are constants: offsets and groups of kind imm. By operand, results first.
std::vector<bool> form_constants(const Form& form, size_t n_results, size_t n_args);

std::string_view cuda_class(RegClass c);  // "u32"

}  // namespace tess::jit
