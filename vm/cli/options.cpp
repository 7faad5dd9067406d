// The only file that includes CLI11: it is slow to compile.
#include "vm/cli/options.h"

#include <CLI/CLI.hpp>

#include "vm/api/tess.h"

namespace tess::cli {
namespace {

CLI::Option* repeated(CLI::App* app, const char* flags, std::vector<std::string>& into,
                      const char* doc, const char* shape) {
  return app->add_option(flags, into, doc)->allow_extra_args(false)->type_name(shape);
}

void program_options(CLI::App* app, Program& p, bool with_file) {
  if (with_file)
    app->add_option("FILE", p.file, "text or bytecode; - is standard input")
        ->required()
        ->type_name("");
  repeated(app, "-D,--define", p.bindings, "what a `const` or `type` stands for", "NAME=VALUE");
  repeated(app, "-I,--include", p.search_paths, "folder searched by `use`", "DIR");
}

void output_option(CLI::App* app, std::string& into, const char* doc) {
  app->add_option("-o,--output", into, doc)->type_name("FILE");
}

void run_options(CLI::App* app, RunOptions& o) {
  program_options(app, o.program, true);
  app->add_option("--kernel", o.kernel, "the kernel, if the program has several")
      ->type_name("NAME");
  app->add_option("--on", o.engine, "the engine: interp, interp-naive")
      ->type_name("ENGINE")
      ->capture_default_str();
  repeated(app, "--set", o.sets, "a scalar parameter; sizes follow from the inputs", "NAME=VALUE");
  repeated(app, "--in", o.ins,
           "an input: file.npy, file.npz#key, file.safetensors#name, file.gguf#name, or zeros ones "
           "iota uniform(seed) "
           "normal(seed) const(v)",
           "NAME=SRC");
  repeated(app, "--out", o.outs, "an output: file.npy, file.npz#key, or - to print it", "NAME=DST");
  app->add_option("--seed", o.seed, "of generators that name none")->type_name("N");
  app->add_option("--steps", o.steps, "stop after so many instructions")->type_name("N");
  app->add_option("--memory", o.memory, "stop above so many bytes (K, M, G)")
      ->type_name("BYTES")
      ->transform(CLI::AsSizeValue(false));
  app->add_option("--seconds", o.seconds, "stop after so long")->type_name("S");
  app->add_option("--threads", o.threads, "threads of the interpreter (default: one per core)")
      ->type_name("N");
  app->add_flag("--naive", o.naive, "the same as --on interp-naive");
  app->add_flag("--report-out-of-bounds", o.report_out_of_bounds, "an access out of bounds traps");
}

// Commands whose arguments are not ours to read.
std::optional<Invocation> passed_on(int argc, const char* const* argv) {
  if (argc < 2) return {};
  std::string name = argv[1];
  if (name == "sim") return Invocation{{}, SimOptions{{argv + 2, argv + argc}}};
  for (const std::string& n : commands_not_built())
    if (n == name) return Invocation{{}, NotBuilt{name}};
  return {};
}

}  // namespace

const std::vector<std::string>& commands_not_built() {
  static const std::vector<std::string> names = {"emit",  "bench", "tune",  "build",      "pack",
                                                 "graph", "repl",  "cache", "completion", "man"};
  return names;
}

ParsedCommandLine parse_command_line(int argc, const char* const* argv) {
  ParsedCommandLine parsed;
  if ((parsed.invocation = passed_on(argc, argv))) return parsed;
  CLI::App app("Tessera: assembles, checks and runs .vmasm programs", "tess");
  app.set_version_flag("--version", std::string("tess ") + tess_version());
  app.require_subcommand(1);
  app.fallthrough();
  Common common;
  app.add_flag("--json", common.json, "diagnostics as JSON, one object per line");
  app.add_option("--color", common.color, "colours: auto, always, never")
      ->check(CLI::IsMember({"auto", "always", "never"}))
      ->capture_default_str();

  AsOptions as;
  auto* as_app = app.add_subcommand("as", "text to bytecode");
  program_options(as_app, as.program, true);
  output_option(as_app, as.output, "default: the input's name with .vmbc");
  repeated(as_app, "--spec", as.specs, "one specialisation of the module; may be repeated",
           "NAME=VALUE,..");
  as_app->add_flag("--strip", as.strip, "leave out local names and line tables");
  as_app->add_flag("--source", as.keep_source,
                   "keep the generic text, so that it can be specialised later");

  DisOptions dis;
  auto* dis_app = app.add_subcommand("dis", "bytecode to text");
  program_options(dis_app, dis.program, true);
  output_option(dis_app, dis.output, "default: standard output");
  dis_app->add_flag("--no-lines", dis.no_lines, "leave out where each instruction came from");

  CheckOptions check;
  auto* check_app = app.add_subcommand("check", "parse and verify");
  check_app->add_option("FILE", check.files, "text or bytecode")->required()->type_name("");
  program_options(check_app, check.program, false);
  check_app->add_flag("-v,--verbose", check.verbose, "list every kernel, its parameters and sizes");

  RunOptions run;
  auto* run_app = app.add_subcommand("run", "run a kernel");
  run_options(run_app, run);
  run_app->add_flag("--time", run.time, "say how long it took");
  run_app
      ->add_option("--compare", run.compare, "run on a second engine too and compare every output")
      ->type_name("ENGINE");

  TraceOptions trace;
  auto* trace_app =
      app.add_subcommand("trace", "run a kernel and show each value one block computes");
  run_options(trace_app, trace.run);
  trace_app->add_option("--block", trace.block, "the block")
      ->type_name("X,Y,Z")
      ->capture_default_str();
  repeated(trace_app, "--value", trace.values, "only this name; may be repeated", "%NAME");
  trace_app->add_option("--slice", trace.slice, "the part of each tile to show, as 0:4,0:4")
      ->type_name("RANGES");

  FmtOptions fmt;
  auto* fmt_app = app.add_subcommand("fmt", "the canonical form of a text");
  fmt_app->add_option("FILE", fmt.files, "- is standard input")->required()->type_name("");
  output_option(fmt_app, fmt.output, "default: standard output");
  fmt_app->add_flag("-i,--in-place", fmt.in_place, "rewrite the files");
  fmt_app->add_flag("--check", fmt.check, "only say which files would change");

  ExplainOptions explain;
  auto* explain_app =
      app.add_subcommand("explain", "what a code, instruction, type, attribute or limit is");
  explain_app->add_option("TOPIC", explain.topic, "E0303, mma, e4m3, keep, ...")->type_name("");
  explain_app->add_flag("--all", explain.all, "the whole reference, as Markdown");
  output_option(explain_app, explain.output, "default: standard output");

  DataOptions data;
  auto* data_app = app.add_subcommand(
      "data", "list the tensors and metadata of npy, npz, safetensors and GGUF files");
  data_app->add_option("FILE", data.files, "the files")->required()->type_name("");

  LayoutOptions layout;
  auto* layout_app =
      app.add_subcommand("layout", "what a layout is: every spelling, sizes, banks, a picture");
  layout_app->add_option("EXPR", layout.expressions, "layouts, as in `layout #name = EXPR`")
      ->type_name("");
  layout_app->add_flag("--draw", layout.draw, "draw it as well");
  layout_app->add_option("--svg", layout.svg, "draw it into a file")->type_name("FILE");
  layout_app
      ->add_option("--bits", layout.element_bits, "bits of an element, for the banks in a picture")
      ->type_name("N")
      ->capture_default_str()
      ->check(CLI::Range(1, 64));
  layout_app->add_option("--cases", layout.cases, "check the cases in a file")->type_name("FILE");

  TestOptions test;
  auto* test_app = app.add_subcommand("test", "run the `//;` directives of .vmasm files");
  test_app->add_option("FILE", test.files, "the files")->required()->type_name("");
  repeated(test_app, "--on", test.engines, "only these engines; may be repeated", "ENGINE");
  repeated(test_app, "-I,--include", test.search_paths, "folder searched by `use`", "DIR");
  test_app->add_flag("--bless", test.bless,
                     "write what the interpreter computes into literal expectations");
  test_app->add_flag("-v,--verbose", test.verbose, "name each test");

  auto* doctor_app =
      app.add_subcommand("doctor", "what this machine has, what it lacks and how to get it");

  // Shown in the help; taken out before the parser sees them (passed_on).
  app.add_subcommand("sim", "run PTX on the simulator; `tess sim --help` lists its options");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    std::ostringstream out, err;
    int code = app.exit(e, out, err);
    parsed.exit_code = code == 0 ? 0 : 2;
    parsed.text = code == 0 ? out.str() : std::string(e.what());
    return parsed;
  }

  auto give = [&](Command c) { parsed.invocation = Invocation{common, std::move(c)}; };
  if (*as_app) give(as);
  else if (*dis_app) give(dis);
  else if (*check_app) give(check);
  else if (*run_app) give(run);
  else if (*trace_app) give(trace);
  else if (*fmt_app) give(fmt);
  else if (*explain_app) give(explain);
  else if (*data_app) give(data);
  else if (*layout_app) give(layout);
  else if (*test_app) give(test);
  else if (*doctor_app) give(DoctorOptions{});
  return parsed;
}

}  // namespace tess::cli
