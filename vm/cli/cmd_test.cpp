// `tess test`: the programs' own directives, run on every engine they name.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "frontends/vmasm/format.h"
#include "frontends/vmasm/parser.h"
#include "frontends/vmasm/print_module.h"
#include "isa/bytecode.h"
#include "isa/diag/tool.h"
#include "jit/jit_tool.h"
#include "vm/api/load.h"
#include "vm/cli/commands.h"
#include "vm/cli/session.h"
#include "vm/cli/test_file.h"
#include "vm/cli/test_plan.h"
#include "vm/cli/test_values.h"
#include "vm/data/source.h"

namespace tess::cli {
namespace {

std::string folder_of(const std::string& path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

// A file named in a directive is beside the test.
std::string beside(const std::string& folder, const std::string& source) {
  Result<Source> parsed = parse_source(source);
  return parsed && parsed->kind != SourceKind::generator && !source.starts_with('/')
             ? folder + source
             : source;
}

std::string one_spaced(std::string_view text) {
  std::string out;
  for (char c : text) {
    bool space = c == ' ' || c == '\n' || c == '\t';
    if (space && (out.empty() || out.back() == ' ')) continue;
    out += space ? ' ' : c;
  }
  while (out.ends_with(' ')) out.pop_back();
  return out;
}

struct Replacement {
  size_t begin, end;
  std::string text;
};

class Runner {
 public:
  Runner(const TestOptions& o, const Console& console) : o_(o), console_(console) {}

  int run() {
    for (const std::string& file : o_.files) run_file(file);
    if (refused_)
      console_.say(fmt::format("{} refused by engines that compile, as they must be", refused_));
    Status written = console_.write(fmt::format("{} passed, {} failed\n", passed_, failed_));
    if (!written) return console_.report(written.error());
    if (failed_) return kMismatch;
    return passed_ ? kOk : kUsage;
  }

 private:
  void pass(const std::string& what) {
    ++passed_;
    if (o_.verbose) console_.say(fmt::format("passed: {}", what));
  }
  void fail(const std::string& what, const std::string& why) {
    ++failed_;
    console_.say(fmt::format("FAILED: {}: {}", what, why));
  }
  void settle(const std::string& what, const std::string& problem) {
    problem.empty() ? pass(what) : fail(what, problem);
  }

  void run_file(const std::string& path) {
    Result<std::string> text = read_input(path);
    if (!text) return fail(path, text.error().message);
    if (is_bytecode({reinterpret_cast<const uint8_t*>(text->data()), text->size()}))
      return fail(path, "bytecode has no directives");
    Diagnostics malformed;
    TestFile file = parse_test_file(*text, malformed);
    if (!malformed.empty()) {
      console_.report(malformed, {{path, *text}});
      return fail(path, "malformed directives");
    }
    if (!file.exact_diags.empty())
      return settle(path + ": diagnostics", check_diags(path, *text, {}, file.exact_diags));

    std::vector<Replacement> blessed;
    std::set<std::vector<std::pair<std::string, std::string>>> specialisations;
    for (const TestCase& test : file.tests) {
      if (test.diags.empty() || test.kind == TestKind::exec) specialisations.insert(test.bindings);
      run_test(path, *text, test, blessed);
    }
    if (file.tests.empty()) {
      specialisations.insert({});
      settle(path + ": check", check_diags(path, *text, {}, {}));
    }
    for (const auto& bindings : specialisations) {
      std::string what = path + ": roundtrip";
      for (const auto& [name, value] : bindings) what += fmt::format(" {}={}", name, value);
      settle(what, roundtrip(path, *text, bindings));
    }
    if (!blessed.empty()) rewrite(path, *text, blessed);
  }

  LoadOptions load_options(const std::vector<std::pair<std::string, std::string>>& bindings) const {
    LoadOptions options;
    for (const auto& [name, value] : bindings) options.bindings.push_back({name, value});
    options.search_paths = o_.search_paths;
    options.allow_no_kernels = true;
    return options;
  }

  // Exactly the expected diagnostics, places and texts included.
  std::string check_diags(const std::string& path, const std::string& text,
                          const std::vector<std::pair<std::string, std::string>>& bindings,
                          const std::vector<ExpectedDiag>& expected) const {
    LoadOptions options = load_options(bindings);
    options.allow_no_kernels = expected.empty();  // a mistake only where mistakes are looked for
    Loaded loaded = load_program(path, text, options);
    if (loaded.module && loaded.diagnostics.empty() && !expected.empty())
      for (size_t k = 0; k < loaded.module->module().kernels.size(); ++k)
        if (auto made = jit::tile_program(*loaded.module, k, "sm_90a"); !made)
          loaded.diagnostics.push_back(made.error());  // what only the tile passes can see
    std::vector<std::string> got, want;
    for (const Diagnostic& d : loaded.diagnostics)
      got.push_back(
          fmt::format("{} at {}:{}: {}", diag_id(d.code), d.span.line, d.span.col, d.message));
    std::vector<bool> used(got.size());
    std::string problem;
    for (const ExpectedDiag& e : expected) {
      std::string place =
          e.at_line ? fmt::format("{} at {}:{}:", e.code, e.at_line, e.at_col) : e.code + " ";
      std::string whole =
          e.message ? fmt::format("{} at {}:{}: {}", e.code, e.at_line, e.at_col, *e.message) : "";
      bool found = false;
      for (size_t i = 0; i < got.size() && !found; ++i)
        if (!used[i] && (e.message ? got[i] == whole : got[i].starts_with(place)))
          used[i] = found = true;
      if (!found) problem += fmt::format("\n  missing:    {}", e.message ? whole : place);
    }
    for (size_t i = 0; i < got.size(); ++i)
      if (!used[i]) problem += fmt::format("\n  unexpected: {}", got[i]);
    return problem;
  }

  // as(dis(as(x))) is as(x); and the canonical text says the same as the text.
  std::string roundtrip(const std::string& path, const std::string& text,
                        const std::vector<std::pair<std::string, std::string>>& bindings) const {
    Loaded first = load_program(path, text, load_options(bindings));
    if (!first.module) return "the program does not assemble";
    std::vector<uint8_t> bytes = write_bytecode(first.module->module());
    std::string printed = vmasm::print_module(first.module->module());
    Loaded second = load_program(path + ".dis", printed, load_options({}));
    if (!second.module)
      return "the disassembly does not assemble:\n" +
             (second.diagnostics.empty()
                  ? std::string()
                  : render_diag(second.diagnostics[0], second.sources, false));
    if (write_bytecode(second.module->module()) != bytes)
      return "as(dis(as(x))) differs from as(x)";
    Loaded third =
        load_program(path, std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
                     load_options({}));
    if (!third.module) return "the bytecode does not read back";
    if (write_bytecode(third.module->module()) != bytes)
      return "writing what was read gives other bytes";

    Diagnostics found;
    std::string formatted = vmasm::format(vmasm::parse(text, 0, found));
    if (vmasm::format(vmasm::parse(formatted, 0, found)) != formatted || !found.empty())
      return "formatting the formatted text changes it";
    Loaded fourth = load_program(path, formatted, load_options(bindings));
    WriteOptions stripped{.strip_names = false, .strip_lines = true, .keep_source = false};
    if (!fourth.module || write_bytecode(fourth.module->module(), stripped) !=
                              write_bytecode(first.module->module(), stripped))
      return "the formatted text assembles to something else";
    return {};
  }

  void run_test(const std::string& path, const std::string& text, const TestCase& test,
                std::vector<Replacement>& blessed) {
    std::string what =
        fmt::format("{}:{}{}{}", path, test.line, test.name.empty() ? "" : ": ", test.name);
    if (test.kind == TestKind::check)
      return settle(what, check_diags(path, text, test.bindings, test.diags));
    bool ran = false;
    Loaded loaded = load_program(path, text, load_options(test.bindings));
    const Module* module = loaded.module ? &loaded.module->module() : nullptr;
    for (const std::string& engine : engines_of(test)) {
      ran = true;
      EngineChoice choice = parse_engine(engine);
      std::string refused = refusal(module, test, choice);
      // What is refused never starts, so has no schedules.
      std::vector<Schedule> schedules = refused.empty() ? schedules_of(module, test, choice)
                                                        : std::vector<Schedule>{{"early", 0, true}};
      for (const Schedule& schedule : schedules) {
        std::string problem = refused.empty()
                                  ? execute(path, text, test, engine, schedule, &blessed)
                                  : execute_refused(path, text, test, engine, schedule, refused);
        settle(fmt::format("{} on {}{}", what, engine, schedule.text()), problem);
      }
    }
    if (!ran && o_.engines.empty()) fail(what, "no engine");
  }

  // What `--on` asks for, of what the test allows: `//; on:` names an engine alone (`sim`) or with
  // its back end and architecture. A test of the interpreter's memory limit is for it alone.
  std::vector<std::string> engines_of(const TestCase& test) const {
    if (o_.engines.empty()) return test.engines;
    std::vector<std::string> out;
    for (const std::string& asked : o_.engines) {
      EngineChoice choice = parse_engine(asked);
      bool stated = !test.any_engine;
      bool named = std::any_of(test.engines.begin(), test.engines.end(),
                               [&](const auto& e) { return e == asked || e == choice.engine; });
      bool limits = test.memory != 0;
      if (named || (!stated && !(choice.compiles() && limits))) out.push_back(asked);
    }
    return out;
  }

  std::string execute_refused(const std::string& path, const std::string& text,
                              const TestCase& test, const std::string& engine,
                              const Schedule& schedule, const std::string& code) {
    TestCase refused = test;
    refused.prints.clear();
    // Wrong arguments are found before anything is compiled.
    bool earlier = !test.diags.empty() && test.diags[0].code.starts_with("E");
    if (!earlier) {
      ExpectedDiag d;
      d.code = code;
      refused.diags = {d};
      ++refused_;
      console_.say(
          fmt::format("refused: {}:{}: {} on {}: {}", path, test.line, test.name, engine, d.code));
    }
    return execute(path, text, refused, engine, schedule, nullptr);
  }

  struct Printed {
    std::vector<std::string> lines;
  };
  static void on_print(const tess_shown* s, void* user) {
    auto* value = const_cast<tess_tensor*>(s->value);
    std::string type = tess_tensor_dtype(value);
    for (uint32_t i = 0; i < tess_tensor_rank(value); ++i)
      type += fmt::format("{}{}{}", i ? "," : "[", tess_tensor_shape(value)[i],
                          i + 1 == tess_tensor_rank(value) ? "]" : "");
    static_cast<Printed*>(user)->lines.push_back(
        one_spaced(fmt::format("{},{},{} {} {} = {}", s->block[0], s->block[1], s->block[2],
                               s->name, type, tess_tensor_text(value))));
  }

  // Does the error agree with the one expectation that an execution can have? The words are the
  // interpreter's own.
  static std::string check_error(const api::Error& error, const TestCase& test, bool interprets) {
    if (!error)
      return test.diags.empty() ? ""
                                : fmt::format("ended well, but {} is expected", test.diags[0].code);
    if (test.diags.empty()) return fmt::format("\n{}", error.text());
    tess_diagnostic d = error.diagnostic(0);
    const ExpectedDiag& e = test.diags[0];
    bool same = e.code == d.code && (!e.at_line || (e.at_line == d.line && e.at_col == d.col)) &&
                (!interprets || !e.message || *e.message == d.message);
    if (same) return {};
    return fmt::format("expected {} at {}:{}{}, got\n{}", e.code, e.at_line, e.at_col,
                       e.message ? ": " + *e.message : "", error.text());
  }

  // With --tiles, the bytecode of the test's kernel behind the tile passes. Empty: run the program
  // as it is, because that was asked for or because it has mistakes that the test is about.
  Result<std::string> tiled(const std::string& path, const std::string& text,
                            const TestCase& test) const {
    if (o_.tiles.empty()) return std::string();
    Loaded loaded = load_program(path, text, load_options(test.bindings));
    if (!loaded.module) return std::string();
    int kernel = test.kernel.empty() ? 0 : loaded.module->find(test.kernel);
    bool found =
        kernel >= 0 && static_cast<size_t>(kernel) < loaded.module->module().kernels.size();
    if (!found) return std::string();
    TESS_TRY(Module made, jit::tile_program(*loaded.module, static_cast<size_t>(kernel), o_.tiles));
    std::vector<uint8_t> bytes = write_bytecode(made);
    return std::string(bytes.begin(), bytes.end());
  }

  std::string execute(const std::string& path, const std::string& text, const TestCase& test,
                      const std::string& engine_name, const Schedule& schedule,
                      std::vector<Replacement>* blessed) {
    auto engine = api::Engine::create(o_.search_paths);
    if (!engine) return engine.error().text();
    EngineChoice choice = parse_engine(engine_name);
    bool interprets = !choice.compiles();
    Result<std::string> program = tiled(path, text, test);
    if (!program) return render_diag(program.error(), {{path, text}}, false);
    bool as_written = program->empty();
    auto module = engine->load(path.c_str(), as_written ? text : *program,
                               as_written ? test.bindings : decltype(test.bindings){});
    if (!module) return check_error(module.error(), test, interprets);
    auto kernel = module->kernel(test.kernel.empty() ? nullptr : test.kernel.c_str());
    if (!kernel) return check_error(kernel.error(), test, interprets);

    Printed printed;
    tess_run_config config{};
    choice.write(config);
    // Kernels that are compiled look for traps only when asked.
    config.guard = !interprets && !test.diags.empty();
    config.limit_steps = test.steps;
    config.limit_memory_bytes = test.memory;
    config.limit_milliseconds = static_cast<uint64_t>(test.seconds * 1000);
    config.seed = schedule.seed;
    config.async = schedule.async;
    config.device_sms = test.device_sms;
    config.report_out_of_bounds = test.report_out_of_bounds;
    config.on_print = on_print;
    config.user = &printed;

    Arguments arguments;
    arguments.scalars = test.scalars;
    arguments.seed = test.seed;
    for (const TestTensor& in : test.inputs)
      if (in.literal.empty())
        arguments.inputs.emplace_back(in.name, beside(folder_of(path), in.source));
    auto prepared = prepare(*kernel, arguments, config);
    if (!prepared) return check_error(prepared.error(), test, interprets);
    std::set<std::string> begun;
    for (const TestTensor& in : test.inputs) {
      if (in.literal.empty()) continue;
      bool first = begun.insert(in.name).second;
      std::string problem = set_literal(*prepared, *kernel, in, first);
      if (!problem.empty()) return problem;
    }
    api::Error error = start_and_wait(prepared->run);
    std::string problem = check_error(error, test, interprets);
    if (!problem.empty() || error) return problem;

    std::vector<std::string> prints;
    for (const std::string& p : test.prints) prints.push_back(one_spaced(p));
    if (printed.lines != prints && (!prints.empty() || !printed.lines.empty())) {
      problem = "printed";
      for (const std::string& l : printed.lines) problem += "\n  " + l;
      return problem +
             fmt::format("\n  ({} lines, {} expected)", printed.lines.size(), prints.size());
    }
    return check_outputs(path, test, engine_name, *kernel, *prepared, blessed);
  }

  static std::optional<tess_param> param_named(const api::Kernel& kernel, const std::string& name) {
    for (size_t i = 0; i < kernel.param_count(); ++i)
      if (tess_param p = kernel.param(i); name == p.name) return p;
    return {};
  }

  // The literals of a list parameter are one after the other; `first` begins anew.
  static std::string set_literal(Prepared& prepared, const api::Kernel& kernel,
                                 const TestTensor& in, bool first) {
    auto param = param_named(kernel, in.name);
    if (!param || param->kind == TESS_PARAM_SCALAR)
      return fmt::format("`in {}`: the kernel has no such tensor", in.name);
    api::Value<api::Shape> shape = prepared.run.shape(in.name.c_str());
    if (!shape) return shape.error().text();
    std::string problem;
    auto t = tensor_of_literal(in.literal, param->dtype, *shape, problem);
    if (!t) return t.error().text();
    if (!problem.empty()) return fmt::format("`in {}` (line {}): {}", in.name, in.line, problem);
    std::vector<api::Tensor>& tensors = prepared.tensors[in.name];
    if (first) tensors.clear();
    tensors.push_back(std::move(*t));
    if (api::Error e = prepared.run.set(in.name.c_str(), tensors)) return e.text();
    return {};
  }

  // Every output is expected, or skipped in so many words: nothing goes unchecked by oversight.
  std::string check_outputs(const std::string& path, const TestCase& test,
                            const std::string& engine, const api::Kernel& kernel,
                            Prepared& prepared, std::vector<Replacement>* blessed) {
    std::string problem;
    for (const TestTensor& out : test.outputs) {
      auto p = param_named(kernel, out.name);
      if (!p || (p->kind != TESS_PARAM_OUT && p->kind != TESS_PARAM_INOUT))
        problem += fmt::format("\n  `out {}`: the kernel has no such output", out.name);
    }
    for (size_t i = 0; i < kernel.param_count(); ++i) {
      tess_param p = kernel.param(i);
      if (p.kind != TESS_PARAM_OUT && p.kind != TESS_PARAM_INOUT) continue;
      bool expected = false;
      size_t item = 0;
      for (const TestTensor& out : test.outputs) {
        if (out.name != p.name) continue;
        expected = true;
        if (out.skip) continue;
        std::vector<api::Tensor>& tensors = prepared.tensors[p.name];
        if (item >= tensors.size()) {
          problem += fmt::format("\n  {}: more expectations than tensors", p.name);
          break;
        }
        problem += check_output(path, out, p, tensors[item++], test, engine, blessed);
      }
      if (!expected)
        problem +=
            fmt::format("\n  {}: no expectation (`//; out {}: ..`, or `skip`)", p.name, p.name);
    }
    return problem;
  }

  std::string check_output(const std::string& path, const TestTensor& out, const tess_param& p,
                           const api::Tensor& got, const TestCase& test, const std::string& engine,
                           std::vector<Replacement>* blessed) {
    std::string problem;
    api::Shape shape = got.shape();
    auto want = out.source.empty() ? tensor_of_literal(out.literal, p.dtype, shape, problem)
                                   : api::Tensor::load(beside(folder_of(path), out.source).c_str(),
                                                       p.dtype, shape, test.seed);
    if (!want) return fmt::format("\n  {} (line {}): {}", out.name, out.line, want.error().text());
    Tolerance tolerance = out.tolerance;
    if (parse_engine(engine).compiles()) {
      tolerance.atol = std::max(tolerance.atol, out.sum);
      tolerance.rtol = std::max(tolerance.rtol, out.product);
    }
    if (problem.empty())
      if (auto difference = compare(got, *want, tolerance)) problem = *difference;
    if (problem.empty()) return {};
    if (o_.bless && out.source.empty()) {
      std::string text = literal_of(got);
      for (const Replacement& r : *blessed)
        if (r.begin == out.begin)
          return r.text == text ? "" : fmt::format("\n  {}: the engines disagree", out.name);
      blessed->push_back({out.begin, out.end, text});
      console_.say(fmt::format(
          "BLESSED: {}:{}: `out {}` now expects what {} computes; {}. Check it by other means.",
          path, out.line, out.name, engine, problem));
      return {};
    }
    return fmt::format("\n  {} (line {}): {}", out.name, out.line, problem);
  }

  void rewrite(const std::string& path, std::string text, std::vector<Replacement>& blessed) {
    std::sort(blessed.begin(), blessed.end(),
              [](const Replacement& a, const Replacement& b) { return a.begin > b.begin; });
    for (const Replacement& r : blessed) text.replace(r.begin, r.end - r.begin, r.text);
    Status written = write_output(path, text, console_);
    if (!written) fail(path, written.error().message);
  }

  const TestOptions& o_;
  const Console& console_;
  int64_t passed_ = 0, failed_ = 0, refused_ = 0;
};

}  // namespace

int run_command(const TestOptions& o, const Console& console) { return Runner(o, console).run(); }

}  // namespace tess::cli
