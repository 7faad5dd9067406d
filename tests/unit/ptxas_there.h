// Where ptxas is, for tests that look at machine code; empty, and said once, where there is none.
#pragma once
#include <doctest/doctest.h>

#include <cstdlib>
#include <string>

#include "jit/cubin/ptxas.h"

namespace tess::test {

inline const std::string& ptxas_path() {
  static const std::string path = [] {
    const char* root = std::getenv("CUDA_HOME");
    Result<std::string> found = jit::find_ptxas(jit::ptxas_places(root ? root : ""));
    if (!found) MESSAGE("machine code is not looked at without ptxas: " << found.error().message);
    return found ? *found : std::string();
  }();
  return path;
}

}  // namespace tess::test
