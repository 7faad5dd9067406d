// What the environment says about this machine: the only place that reads it for compiling.
#pragma once
#include <string>

namespace tess::cli {

std::string cuda_root();         // CUDA_HOME or CUDA_PATH; empty if neither is set
std::string temporary_folder();  // TMPDIR, or the system's
// On PATH or in the toolkit's bin; empty if it is nowhere.
std::string find_program(const std::string& name);

}  // namespace tess::cli
