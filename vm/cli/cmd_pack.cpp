#include <fmt/format.h>

#include <deque>

#include "isa/diag/tool.h"
#include "isa/layout_atoms.h"
#include "vm/cli/commands.h"
#include "vm/cli/program.h"
#include "vm/cli/weights.h"
#include "vm/data/pack.h"
#include "vm/data/source.h"

namespace tess::cli {
namespace {

// The layouts of a program, by name, each able to name those before it.
struct NamedLayouts {
  std::deque<std::pair<std::string, Layout>> all;
  LayoutEnv env() const {
    LayoutEnv e;
    e.layout = [this](std::string_view name) -> const Layout* {
      for (const auto& [n, layout] : all)
        if (n == name && !n.empty()) return &layout;
      return nullptr;
    };
    return e;
  }
};

Result<NamedLayouts> layouts_of(const Module& module) {
  NamedLayouts named;
  for (const LayoutDef& def : module.layouts) {
    TESS_TRY(Layout layout, parse_layout_expr(def.text, named.env()));
    named.all.emplace_back(def.name, std::move(layout));
  }
  return named;
}

Result<PackOptions> options_of(const PackCommand& o) {
  PackOptions p;
  p.unit_bytes = o.unit;
  p.last_outermost = o.order == "nk";
  TESS_TRY(std::vector<int64_t> combine, shape_named(o.combine));
  if (combine.size() > 2)
    return make_diag(diag::usage, fmt::format("--combine {}: at most two numbers", o.combine));
  if (!combine.empty()) {
    p.combine[0] = combine[0];
    p.combine[1] = combine.size() == 2 ? combine[1] : 1;
  }
  return p;
}

Result<std::vector<int64_t>> shape_of(const PackCommand& o, const Source& source, DType type) {
  TESS_TRY(std::vector<int64_t> shape, shape_named(o.shape));
  if (!shape.empty()) return shape;
  if (o.undo || source.kind == SourceKind::generator)
    return make_diag(diag::usage, "--shape K,N is needed: what the weights are");
  TESS_TRY(HostTensor t, open_source(source));
  if (t.dtype.bits == type.bits && !t.raw && t.shape.size() >= 2) return t.shape;
  return make_diag(diag::usage,
                   fmt::format("the file holds {}, which does not say the shape of {} weights",
                               type_text(t.dtype, t.shape), dtype_name(type)),
                   {}, "--shape K,N");
}

struct Job {
  PackPlan plan;
  HostTensor result;
};
Result<Job> run(const PackCommand& o, const Layout& layout) {
  TESS_TRY(DType type, dtype_named(o.type));
  TESS_TRY(Source source, parse_source(o.in));
  TESS_TRY(std::vector<int64_t> shape, shape_of(o, source, type));
  TESS_TRY(PackOptions options, options_of(o));
  TESS_TRY(PackPlan plan, plan_pack(type, shape, layout, options));
  if (o.undo) {
    TESS_TRY(HostTensor packed, load_source(source, plan.packed_dtype, plan.packed_shape));
    TESS_TRY(HostTensor weights, unpack(plan, packed));
    return Job{std::move(plan), std::move(weights)};
  }
  TESS_TRY(HostTensor weights, load_source(source, type, plan.shape));
  TESS_TRY(HostTensor packed, pack(plan, weights));
  return Job{std::move(plan), std::move(packed)};
}

}  // namespace

int run_command(const PackCommand& o, const Console& console) {
  if (o.layout.empty() == o.atom.empty())
    return console.report(
        make_diag(diag::usage, "`tess pack` takes either --layout EXPR or --atom NAME"));
  NamedLayouts named;
  if (!o.program.file.empty()) {
    OpenedProgram program = open_program(o.program, {}, console);
    if (!program.module) return program.exit_code;
    Result<NamedLayouts> found = layouts_of(program.module->module());
    if (!found) return console.report(found.error(), program.sources);
    named = std::move(*found);
  }
  const std::string& text = o.atom.empty() ? o.layout : o.atom;
  Result<Layout> layout =
      o.atom.empty() ? parse_layout_expr(o.layout, named.env()) : named_atom(o.atom, {0, 1, 1, 0});
  if (!layout) return console.report(layout.error(), Sources{{"layout", text}});
  Result<Dest> dest = parse_dest(o.out);
  if (!dest) return console.report(dest.error());
  Result<Job> job = run(o, *layout);
  if (!job) return console.report(job.error());
  if (dest->kind == DestKind::print) {
    Status written = console.write(format_tensor(job->result) + "\n");
    if (!written) return console.report(written.error());
  } else if (Status saved = save_dest(*dest, job->result); !saved) {
    return console.report(saved.error());
  }
  const PackPlan& plan = job->plan;
  std::string weights = type_text(plan.dtype, plan.shape),
              packed = type_text(plan.packed_dtype, plan.packed_shape);
  console.say(fmt::format("{} -> {}: {} x {} bytes a lane", o.undo ? packed : weights,
                          o.undo ? weights : packed, plan.units, plan.unit_bytes));
  if (!o.undo) console.raw(pack_recipe(plan));
  return kOk;
}

}  // namespace tess::cli
