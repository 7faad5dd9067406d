// `tess emit`: what a program becomes on its way to machine code.
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "frontends/vmasm/dump.h"
#include "frontends/vmasm/parser.h"
#include "frontends/vmasm/print_module.h"
#include "isa/diag/device.h"
#include "isa/diag/tool.h"
#include "jit/jit_tool.h"
#include "vm/cli/commands.h"
#include "vm/cli/machine.h"
#include "vm/cli/program.h"

namespace tess::cli {
namespace {

std::string list_text(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& w : words) out += (out.empty() ? "" : ", ") + w;
  return out;
}

// The kernels asked for, by name or by name and specialisation.
Result<std::vector<size_t>> chosen_kernels(const Module& m, const std::string& name) {
  std::vector<size_t> out;
  std::vector<std::string_view> names;
  for (size_t i = 0; i < m.kernels.size(); ++i) {
    names.push_back(m.kernels[i].name);
    if (name.empty() || m.kernels[i].name == name || kernel_key(m.kernels[i]) == name)
      out.push_back(i);
  }
  if (!out.empty()) return out;
  std::string near = nearest_name(name, names);
  return make_diag(
      diag::kernel_not_found,
      name.empty() ? "the program has no kernel" : fmt::format("there is no kernel `{}`", name), {},
      near.empty() ? "" : fmt::format("did you mean `{}`?", near));
}

// A command's output; its exit status in `status`.
std::string output_of(const std::string& command, int& status) {
  std::string out;
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return status = -1, out;
  char buffer[65536];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.append(buffer, n);
  int code = pclose(pipe);
  status = WIFEXITED(code) ? WEXITSTATUS(code) : -1;
  return out;
}

struct TemporaryFile {
  std::string path;
  explicit TemporaryFile(const std::string& bytes) {
    path = temporary_folder() + "/tess-XXXXXX";
    int fd = mkstemp(path.data());
    if (fd < 0) {
      path.clear();
      return;
    }
    bool whole = ::write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
    ::close(fd);
    if (!whole) unlink(path.c_str()), path.clear();
  }
  ~TemporaryFile() {
    if (!path.empty()) unlink(path.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
};

Result<std::string> disassemble(const std::string& cubin) {
  struct Tool {
    const char *name, *options;
  };
  for (Tool tool : {Tool{"nvdisasm", "-c"}, Tool{"cuobjdump", "-sass"}}) {
    std::string path = find_program(tool.name);
    if (path.empty()) continue;
    TemporaryFile file(cubin);
    if (file.path.empty())
      return make_diag(diag::output_unwritable, "no temporary file can be written");
    int status = 0;
    std::string out =
        output_of(fmt::format("'{}' {} '{}' 2>&1", path, tool.options, file.path), status);
    if (status == 0) return out;
    return make_diag(diag::disassembler_failed,
                     fmt::format("{} ended with code {}: {}", path, status, out));
  }
  return make_diag(diag::disassembler_missing, "neither nvdisasm nor cuobjdump is found", {},
                   "install cuda-nvdisasm-13-0 from NVIDIA's repository");
}

Result<std::string> emit_kernel(const VerifiedModule& module, size_t kernel, const EmitOptions& o,
                                const Console& console) {
  jit::EmitRequest r;
  r.target = o.target == "sass" ? "cubin" : o.target;
  r.after = o.after;
  r.backend = o.jit;
  r.arch = o.arch;
  r.level = static_cast<int>(o.level);
  r.guard = o.guard;
  r.aligned = o.facts == "aligned";
  r.cuda_root = cuda_root();
  r.describe = vmasm::print_inst;
  TESS_TRY(jit::Emitted emitted, jit::emit(module, kernel, r));
  if (o.time)
    for (const auto& [step, ms] : emitted.milliseconds)
      console.say(fmt::format("{}: {}: {:.2f} ms", kernel_key(module.kernel(kernel)), step, ms));
  if (emitted.module) return vmasm::print_module(*emitted.module, {.lines = false});
  if (o.target == "sass" && o.after.empty()) return disassemble(emitted.bytes);
  return std::move(emitted.bytes);
}

int emit_tree(const EmitOptions& o, const Console& console) {
  Result<std::string> text = read_input(o.program.file);
  if (!text) return console.report(text.error());
  if (text->starts_with("VMBC") || text->find('\0') != std::string::npos)
    return console.report(
        make_diag(diag::bytes_expected, fmt::format("{}: not a text", o.program.file)));
  Diagnostics found;
  vmasm::Ast tree = vmasm::parse(*text, 0, found);
  if (!found.empty()) return console.report(found, {{o.program.file, *text}});
  Status written = write_output(o.output, vmasm::dump(tree), console);
  return written ? kOk : console.report(written.error());
}

}  // namespace

int run_command(const EmitOptions& o, const Console& console) {
  std::vector<std::string> steps = jit::emit_steps();
  if (!o.after.empty() && std::find(steps.begin(), steps.end(), o.after) == steps.end())
    return console.report(make_diag(diag::bad_option, fmt::format("--dump-after {}", o.after), {},
                                    "the steps are " + list_text(steps)));
  if (o.target == "ast" && o.after.empty()) return emit_tree(o, console);
  OpenedProgram opened = open_program(o.program, {}, console);
  if (!opened.module) return opened.exit_code;
  const Module& m = opened.module->module();
  Result<std::vector<size_t>> kernels = chosen_kernels(m, o.kernel);
  if (!kernels) return console.report(kernels.error());
  Sources places = module_sources(m, opened.sources);
  if (o.target == "cubin" && o.after.empty() && kernels->size() > 1)
    return console.report(
        make_diag(diag::kernel_ambiguous,
                  fmt::format("the program has {} kernels, and a cubin is of one", kernels->size()),
                  {}, "--kernel NAME"));
  std::string out;
  for (size_t kernel : *kernels) {
    if (o.target == "module" && o.after.empty()) {
      out += vmasm::print_kernel(m, m.kernels[kernel], {.lines = false});
      continue;
    }
    Result<std::string> text = emit_kernel(*opened.module, kernel, o, console);
    if (!text) return console.report(text.error(), places);
    out += (out.empty() ? "" : "\n") + *text;
  }
  Status written = write_output(o.output, out, console);
  return written ? kOk : console.report(written.error());
}

}  // namespace tess::cli
