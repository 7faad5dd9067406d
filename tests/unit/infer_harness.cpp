#include "infer_harness.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <algorithm>
#include <filesystem>

#include "isa/launch.h"
#include "vm/api/load.h"

namespace tess::test {
namespace {

VerifiedModule loaded(const std::string& name, std::string text, const Bindings& bindings) {
  LoadOptions options;
  for (const auto& [n, v] : bindings) options.bindings.push_back({n, v});
  options.search_paths = {TESS_SOURCE_ROOT "/stdlib"};
  Loaded l = load_program(name, std::move(text), options);
  std::string why = l.diagnostics.empty() ? "" : render_diag(l.diagnostics[0], l.sources, false);
  REQUIRE_MESSAGE(l.module, why);
  return std::move(*l.module);
}

}  // namespace

VerifiedModule load_file(const std::string& path, const Bindings& bindings) {
  std::string full = TESS_SOURCE_ROOT "/" + path;
  auto text = read_program_file(full);
  REQUIRE_MESSAGE(text, full);
  return loaded(full, std::move(*text), bindings);
}

VerifiedModule load_text(const std::string& text) { return loaded("text.vmasm", text, {}); }

jit::Inferred infer(const VerifiedModule& m, size_t kernel, jit::Sm sm) {
  auto r = jit::infer_layouts(m, kernel, {sm});
  REQUIRE_MESSAGE(r, (r ? std::string() : r.error().message));
  return std::move(*r);
}

VerifiedModule verified(Module m) {
  Diagnostics found;
  auto v = verify(std::move(m), found);
  REQUIRE_MESSAGE(v, (found.empty() ? std::string() : found[0].message));
  return std::move(*v);
}

std::string broken_promise(const Module& m) {
  if (m.kernels.size() != 1) return "not one kernel";
  const Kernel& k = m.kernels[0];
  std::vector<int64_t> layout_of(k.values.size(), -1);
  for (uint32_t pc = 0; pc < k.code.size(); ++pc) {
    const Inst& inst = k.code[pc];
    for (uint32_t i = 0; i < inst.n_results; ++i) {
      uint32_t v = k.results(inst)[i].index();
      const Type& t = k.values[v].type;
      bool shared = op_info(inst.op).rule == Rule::smem_;
      if (!t.is_tile() && !shared) continue;
      auto l = k.attr(inst, AttrTag::layout);
      if (!l)
        return fmt::format("instruction {}: `{}` without a layout", pc, op_info(inst.op).name);
      if (layout_of[v] >= 0 && layout_of[v] != *l)
        return fmt::format("instruction {}: `{}` in two layouts", pc, k.values[v].name);
      layout_of[v] = *l;
    }
  }
  return {};
}

std::vector<std::string> program_files() {
  std::vector<std::string> files;
  for (const char* folder : {"samples", "stdlib"})
    for (const auto& e :
         std::filesystem::directory_iterator(std::string(TESS_SOURCE_ROOT "/") + folder))
      if (e.path().extension() == ".vmasm")
        files.push_back(std::string(folder) + "/" + e.path().filename().string());
  std::sort(files.begin(), files.end());
  return files;
}

Ran run_with(const VerifiedModule& m, size_t kernel, std::vector<gen::RandomArg> args) {
  std::vector<LaunchArg> launch = gen::launch_args(args);
  Ran r;
  auto bound = bind_launch(m.kernel(kernel), launch, {});
  if (!bound) return {{}, bound.error().message};
  interp::Options options;
  options.threads = 1;
  interp::Outcome o = interp::run(m, kernel, *bound, options);
  if (o.error) r.error = diag_id(o.error->code);
  for (const gen::RandomArg& a : args)
    for (const gen::RandomTensor& t : a.tensors) r.tensors.push_back(t.bytes);
  return r;
}

}  // namespace tess::test
