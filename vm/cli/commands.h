// The commands, one file each (cmd_<name>.cpp). Each gives an exit code.
#pragma once
#include "vm/cli/console.h"
#include "vm/cli/options.h"

namespace tess::cli {

int run_command(const AsOptions& o, const Console& console);
int run_command(const DisOptions& o, const Console& console);
int run_command(const CheckOptions& o, const Console& console);
int run_command(const RunOptions& o, const Console& console);
int run_command(const EmitOptions& o, const Console& console);
int run_command(const TraceOptions& o, const Console& console);
int run_command(const FmtOptions& o, const Console& console);
int run_command(const ExplainOptions& o, const Console& console);
int run_command(const DataOptions& o, const Console& console);
int run_command(const LayoutOptions& o, const Console& console);
int run_command(const TestOptions& o, const Console& console);
int run_command(const DoctorOptions& o, const Console& console);
int run_command(const SimOptions& o, const Console& console);
int run_command(const QuantizeCommand& o, const Console& console);
int run_command(const PackCommand& o, const Console& console);
int run_command(const NotBuilt& o, const Console& console);

}  // namespace tess::cli
