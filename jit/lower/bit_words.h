// A thread's words as one stream of bits in b32 words, whatever their type, and back.
#pragma once
#include "jit/lower/lowering.h"

namespace tess::jit {

Words bit_words(Lowering& l, const Words& words);
Words words_of_bits(Lowering& l, DType t, const Words& bits);

}  // namespace tess::jit
