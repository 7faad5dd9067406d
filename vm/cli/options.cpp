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
  app->add_option(
         "--on", o.engine,
         "the engine: interp, interp-naive, sim, cuda; as sim:nvptx:sm_80 with back end and "
         "architecture")
      ->type_name("ENGINE")
      ->capture_default_str();
  repeated(app, "--set", o.sets, "a scalar parameter; sizes follow from the inputs", "NAME=VALUE");
  repeated(app, "--in", o.ins,
           "an input: file.npy, file.npz#key, file.safetensors#name, file.gguf#name, or zeros ones "
           "iota uniform(seed) "
           "normal(seed) const(v)",
           "NAME=SRC");
  repeated(app, "--out", o.outs, "an output: file.npy, file.npz#key, or - to print it", "NAME=DST");
  app->add_option("--seed", o.seed, "of generators that name none, and of --async random")
      ->type_name("N");
  app->add_option("--async", o.async, "when copies complete: early, late, random")
      ->type_name("WHEN")
      ->capture_default_str();
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

void jit_options(CLI::App* app, std::string& jit, std::string& arch, uint32_t& level, bool& guard) {
  app->add_option("--jit", jit, "the back end: nvrtc, nvptx (default: the first that is there)")
      ->type_name("NAME");
  app->add_option("--arch", arch, "sm_80, sm_89, sm_90a (default: the GPU's, else sm_90a)")
      ->type_name("ARCH");
  app->add_option("-O,--opt", level, "of nvptx: 0, or 3 for everything LLVM has")
      ->check(CLI::IsMember({0, 3}))
      ->type_name("N");
  app->add_flag("--guard", guard, "the kernel checks bounds and traps itself");
}

// Commands whose arguments are not ours to read.
std::optional<Invocation> passed_on(int argc, const char* const* argv) {
  if (argc < 2) return {};
  std::string name = argv[1];
  for (const std::string& n : commands_not_built())
    if (n == name) return Invocation{{}, NotBuilt{name}};
  return {};
}

}  // namespace

const std::vector<std::string>& commands_not_built() {
  static const std::vector<std::string> names = {"bench", "tune",  "build",      "graph",
                                                 "repl",  "cache", "completion", "man"};
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
  check_app->add_flag("-v,--verbose", check.verbose,
                      "list every kernel, its parameters, sizes and layouts");
  check_app->add_option("--arch", check.arch, "whose compilation -v reports")
      ->type_name("ARCH")
      ->capture_default_str();

  RunOptions run;
  auto* run_app = app.add_subcommand("run", "run a kernel");
  run_options(run_app, run);
  run_app->add_flag("--time", run.time, "say how long it took");
  jit_options(run_app, run.jit, run.arch, run.level, run.guard);
  run_app->add_option("--sim-runs", run.sim_runs, "on sim: try so many completions and schedules")
      ->check(CLI::Range(1, 100000))
      ->type_name("N");
  run_app->add_flag("--no-sim-checks", run.no_sim_checks, "on sim: do not look for races");
  run_app->add_option("--ulp", run.ulp, "representable values that --compare lets differ")
      ->type_name("N");
  run_app->add_option("--rtol", run.rtol, "relative difference that --compare accepts")
      ->type_name("X");
  run_app->add_option("--atol", run.atol, "absolute difference that --compare accepts")
      ->type_name("X");
  run_app
      ->add_option("--compare", run.compare, "run on a second engine too and compare every output")
      ->type_name("ENGINE");

  EmitOptions emit;
  auto* emit_app = app.add_subcommand("emit", "what a program becomes on its way to machine code");
  program_options(emit_app, emit.program, true);
  emit_app->add_option("--kernel", emit.kernel, "one kernel (default: all)")->type_name("NAME");
  emit_app->add_option("--target", emit.target, "ast module tile block cuda llvm ptx cubin sass")
      ->check(
          CLI::IsMember({"ast", "module", "tile", "block", "cuda", "llvm", "ptx", "cubin", "sass"}))
      ->capture_default_str();
  emit_app->add_option("--dump-after", emit.after, "instead: as a step left it; `help` lists them")
      ->type_name("STEP");
  jit_options(emit_app, emit.jit, emit.arch, emit.level, emit.guard);
  emit_app
      ->add_option("--facts", emit.facts,
                   "of the launch: aligned (addresses divide by 16, numbers by 128), none")
      ->check(CLI::IsMember({"aligned", "none"}))
      ->capture_default_str();
  emit_app->add_flag("--time", emit.time, "say how long each step took");
  output_option(emit_app, emit.output, "default: standard output");

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
  explain_app
      ->add_option("--why", explain.why, "the layouts and conversions of a place in a program")
      ->type_name("FILE:LINE[:COL]");
  explain_app->add_option("--kernel", explain.kernel, "of one kernel (default: all)")
      ->type_name("NAME");
  explain_app->add_option("--arch", explain.arch, "for which --why speaks")
      ->type_name("ARCH")
      ->capture_default_str();
  program_options(explain_app, explain.program, false);
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
  test_app->add_option("--on", test.engines, "these engines: interp,sim:nvptx:sm_80,..")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("ENGINE,..");
  repeated(test_app, "-I,--include", test.search_paths, "folder searched by `use`", "DIR");
  test_app->add_option("--tiles", test.tiles, "run the programs as the tile passes leave them")
      ->type_name("ARCH");
  test_app->add_flag("--bless", test.bless,
                     "write what the interpreter computes into literal expectations");
  test_app->add_flag("-v,--verbose", test.verbose, "name each test");

  QuantizeCommand quantize;
  auto* quantize_app = app.add_subcommand(
      "quantize", "weights rounded to 1..8 bits with scales of groups; error statistics");
  quantize_app->add_option("--type", quantize.type, "u1..u8 i1..i8, or eXmY of 3 to 8 bits")
      ->type_name("T");
  quantize_app
      ->add_option("--format", quantize.format, "instead: mxfp4, mxfp6, mxfp8, nvfp4 or nf4")
      ->type_name("NAME");
  quantize_app
      ->add_option("--group", quantize.group,
                   "neighbours that share a scale; 0: the whole axis (default 128)")
      ->type_name("G");
  quantize_app->add_flag("--zero", quantize.zero, "a zero point for each group");
  quantize_app
      ->add_option("--axis", quantize.axis, "along which groups lie (default 0, k of W[k,n])")
      ->type_name("K");
  quantize_app->add_option("--scale", quantize.scale, "type of the scales (default f16)")
      ->type_name("T");
  quantize_app->add_option("--in", quantize.in, "the weights")->type_name("SRC")->required();
  quantize_app->add_option("--as", quantize.as, "their type, where SRC cannot say it: bf16 in npy")
      ->type_name("T");
  quantize_app->add_option("--shape", quantize.shape, "their shape, where SRC has none")
      ->type_name("K,N");
  quantize_app
      ->add_option("--out", quantize.out,
                   "gets w (codes), s (scales), z (zero points); #NAME: as NAME.w, ...")
      ->type_name("FILE.npz[#NAME]")
      ->required();

  PackCommand pack;
  auto* pack_app = app.add_subcommand(
      "pack", "weights permuted so that each lane of a warp loads its fragment as wide integers");
  pack_app->add_option("--type", pack.type, "of the weights: any type of 1 to 8 bits")
      ->type_name("T")
      ->required();
  pack_app->add_option("--layout", pack.layout, "of a tile: an expression, or #name of --program")
      ->type_name("EXPR");
  pack_app->add_option("--atom", pack.atom, "instead: a named atom, as mma.m16n8k16.f16.B")
      ->type_name("NAME");
  pack_app->add_option("--program", pack.program.file, "whose layouts --layout may name")
      ->type_name("FILE");
  program_options(pack_app, pack.program, false);
  pack_app
      ->add_option("--combine", pack.combine,
                   "fragments in one tile along k and n (default: as few along k as it takes)")
      ->type_name("R[,C]");
  pack_app->add_option("--unit", pack.unit, "least bytes of a lane in one run")
      ->type_name("BYTES")
      ->capture_default_str()
      ->check(CLI::IsMember({1, 2, 4, 8, 16}));
  pack_app->add_option("--order", pack.order, "tiles of which dimension are counted outermost")
      ->capture_default_str()
      ->check(CLI::IsMember({"nk", "kn"}));
  pack_app->add_option("--in", pack.in, "the weights; a sub-byte type as its packed bytes")
      ->type_name("SRC")
      ->required();
  pack_app->add_option("--shape", pack.shape, "of the weights, where SRC cannot say it")
      ->type_name("K,N");
  pack_app->add_option("-o,--out", pack.out, "file.npy, file.npz#key, or - to print")
      ->type_name("DST")
      ->required();
  pack_app->add_flag("--undo", pack.undo, "from packed back to the weights");

  auto* doctor_app =
      app.add_subcommand("doctor", "what this machine has, what it lacks and how to get it");

  SimOptions sim;
  auto* sim_app =
      app.add_subcommand("sim", "run PTX on the simulator, and report races and bad accesses");
  sim_app->add_option("FILE", sim.file, "PTX; - is standard input")->required()->type_name("");
  sim_app->add_option("--entry", sim.entry, "the kernel, if the module has several")
      ->type_name("NAME");
  sim_app->add_option("--grid", sim.grid, "blocks")->type_name("X,Y,Z")->capture_default_str();
  sim_app->add_option("--block", sim.block, "threads of a block")
      ->type_name("X,Y,Z")
      ->capture_default_str();
  sim_app->add_option("--cluster", sim.cluster, "blocks of a cluster (default: as the kernel says)")
      ->type_name("X,Y,Z");
  sim_app->add_option("--smem", sim.shared_bytes, "dynamic shared memory")->type_name("BYTES");
  repeated(sim_app, "--param", sim.params,
           "one for each parameter, in order: 42, 1.5, f16:1.5, "
           "buf:BYTES[=zeros|ones|iota|rand(SEED)|uninit], file:NAME, "
           "tmap:BUF,TYPE,SIZExSIZE..,BOXxBOX..",
           "VALUE");
  repeated(sim_app, "--dump", sim.dumps, "show a buffer afterwards", "N[:TYPE[:COUNT]]");
  sim_app->add_option("--sim-runs", sim.runs, "more than one tries other schedules")
      ->type_name("N")
      ->check(CLI::Range(1, 1000000));
  sim_app->add_option("--seed", sim.seed, "of the first schedule")->type_name("N");
  sim_app->add_option("--async", sim.async, "when asynchronous copies land")
      ->check(CLI::IsMember({"eager", "lazy", "random"}))
      ->capture_default_str();
  sim_app->add_flag("--no-check", sim.no_check, "only compute: no race or initialisation checks");
  sim_app->add_flag("--stats", sim.stats, "count instructions and accesses");
  sim_app->add_option("--max-steps", sim.max_steps, "stop after so many warp instructions")
      ->type_name("N");
  sim_app->add_option("--threads", sim.threads, "threads of the simulator (default: one per core)")
      ->type_name("N");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    std::ostringstream out, err;
    int code = app.exit(e, out, err);
    parsed.exit_code = code == 0 ? 0 : 2;
    parsed.text = code == 0 ? out.str() : std::string(e.what());
    bool extras = code == static_cast<int>(CLI::ExitCodes::ExtrasError);
    if (extras && parsed.text.find('=') != std::string::npos)
      parsed.hint = "one NAME=VALUE for each option: --set m=3 --set n=41";
    return parsed;
  }

  auto give = [&](Command c) { parsed.invocation = Invocation{common, std::move(c)}; };
  if (*as_app) give(as);
  else if (*dis_app) give(dis);
  else if (*check_app) give(check);
  else if (*run_app) give(run);
  else if (*emit_app) give(emit);
  else if (*trace_app) give(trace);
  else if (*fmt_app) give(fmt);
  else if (*explain_app) give(explain);
  else if (*data_app) give(data);
  else if (*layout_app) give(layout);
  else if (*test_app) give(test);
  else if (*quantize_app) give(quantize);
  else if (*pack_app) give(pack);
  else if (*doctor_app) give(DoctorOptions{});
  else if (*sim_app) give(sim);
  return parsed;
}

}  // namespace tess::cli
