#include <fmt/format.h>

#include "isa/host_expr.h"
#include "jit/jit_tool.h"
#include "vm/cli/commands.h"
#include "vm/cli/program.h"

namespace tess::cli {
namespace {

std::string kernel_report(const Kernel& k, const KernelInfo& info) {
  auto name_of = [&](uint32_t v) {
    return std::string(v < k.values.size() ? k.values[v].name : "?");
  };
  std::string grid;
  for (int i = 0; i < k.grid_rank; ++i)
    grid += fmt::format("{}{}", i ? ", " : "", host_text(k.grid[i], name_of));
  std::string out =
      fmt::format("kernel {}\n  grid({}) warps({}){}{}\n", kernel_key(k), grid, k.warps,
                  k.cluster > 1 ? fmt::format(" cluster({})", k.cluster) : "",
                  k.cooperative ? " cooperative" : "");
  // Without sharing by liveness: what the tiles take if all are alive at once.
  int64_t shared_bits = 0, tiles = 0, scalars = 0;
  for (size_t v = k.params.size(); v < k.values.size(); ++v) {
    const Type& t = k.values[v].type;
    if (t.is_tile()) ++tiles;
    if (t.is_scalar()) ++scalars;
  }
  for (const Inst& inst : k.code)
    if (inst.op == Op::smem) {
      const Type& t = k.values[k.results(inst)[0].index()].type;
      shared_bits += (t.shape.elements() * t.dtype.bits + 7) / 8 * 8;
    }
  out += fmt::format(
      "  {} instructions, nested {} deep; {} tiles, {} scalars; shared memory at most {} bytes\n",
      k.code.size(), info.max_nesting, tiles, scalars, shared_bits / 8);
  for (uint32_t p = 0; p < k.params.size(); ++p)
    out += fmt::format("  {}: {}\n", k.values[p].name, type_text(k.values[p].type));
  return out;
}

}  // namespace

int run_command(const CheckOptions& o, const Console& console) {
  int code = kOk;
  for (const std::string& file : o.files) {
    Program program = o.program;
    program.file = file;
    LoadOptions options;
    options.allow_no_kernels = true;
    OpenedProgram opened = open_program(program, std::move(options), console);
    code = std::max(code, opened.exit_code);
    if (!opened.module || !o.verbose) continue;
    std::string text;
    for (size_t i = 0; i < opened.module->module().kernels.size(); ++i) {
      text += kernel_report(opened.module->kernel(i), opened.module->info(i));
      Result<std::string> compiled = jit::compiler_report(*opened.module, i, o.arch);
      if (compiled) text += *compiled;
      else code = std::max(code, console.report(compiled.error(), opened.sources));
    }
    if (Status written = console.write(text); !written) return console.report(written.error());
  }
  return code;
}

}  // namespace tess::cli
