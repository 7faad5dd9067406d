// What was asked for: one plain struct per command, filled from the command line. Only options.cpp
// knows the library that parses it.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace tess::cli {

struct Common {
  bool json = false;           // diagnostics as JSON lines
  std::string color = "auto";  // auto, always, never
};

// How a program is loaded.
struct Program {
  std::string file;                       // - is standard input
  std::vector<std::string> bindings;      // NAME=VALUE
  std::vector<std::string> search_paths;  // of `use`
};

struct AsOptions {
  Program program;
  std::string output;              // empty: the input's name with .vmbc, or standard output
  std::vector<std::string> specs;  // "NAME=VALUE,NAME=VALUE": one specialisation each
  bool strip = false, keep_source = false;
};
struct DisOptions {
  Program program;
  std::string output;
  bool no_lines = false;  // leave out the places that instructions came from
};
struct CheckOptions {
  std::vector<std::string> files;
  Program program;  // bindings and search paths for each
  bool verbose = false;
  std::string arch = "sm_90a";  // whose compilation is reported
};
struct RunOptions {
  Program program;
  std::string kernel, engine = "interp", compare, async = "early";
  std::vector<std::string> sets, ins, outs;
  uint64_t seed = 0, steps = 0, memory = 0;
  double seconds = 0;
  uint32_t threads = 0;
  bool time = false, naive = false, report_out_of_bounds = false;
  // Of the engines that compile.
  std::string jit, arch;
  uint32_t level = 0, sim_runs = 1;
  bool guard = false, no_sim_checks = false;
  // What --compare lets differ.
  uint64_t ulp = 0;
  double rtol = 0, atol = 0;
};
struct EmitOptions {
  Program program;
  std::string kernel, target = "ptx", after, jit, arch, output, facts = "aligned";
  uint32_t level = 0;
  bool guard = false, time = false;
};
struct TraceOptions {
  RunOptions run;
  std::string block = "0,0,0", slice;
  std::vector<std::string> values;
};
struct FmtOptions {
  std::vector<std::string> files;
  std::string output;
  bool check = false, in_place = false;
};
struct ExplainOptions {
  std::string topic, output;
  bool all = false;
  std::string why;  // FILE:LINE[:COL]: the decisions taken there
  Program program;
  std::string kernel, arch = "sm_90a";
};
struct DataOptions {
  std::vector<std::string> files;
};
struct LayoutOptions {
  std::vector<std::string> expressions;
  std::string svg, cases;  // files: a picture to write; cases in the conformance notation to check
  bool draw = false;
  int element_bits = 16;
};
struct TestOptions {
  std::vector<std::string> files, engines, search_paths;
  std::string tiles;  // architecture: run what the tile passes make of the program
  bool bless = false, verbose = false;
};
struct DoctorOptions {};
struct SimOptions {
  std::string file, entry;
  std::string grid = "1", block = "32", cluster;
  uint32_t shared_bytes = 0;
  std::vector<std::string> params, dumps;  // as jit/ptxsim/sim_tool.h spells them
  int runs = 1, threads = 0;
  uint64_t seed = 0, max_steps = 0;
  std::string async = "eager";
  bool no_check = false, stats = false;
};
struct QuantizeCommand {
  std::string type, format, scale;  // names of types and of a block format
  std::string in, out, as, shape;
  std::optional<int64_t> group;
  std::optional<int> axis;
  bool zero = false;
};
struct PackCommand {
  std::string type, layout, atom, combine, in, out, shape, order = "nk";
  Program program;  // whose layouts `layout` may name; file empty: none
  int unit = 1;     // least bytes of a run
  bool undo = false;
};
// A command that the manual names and this version does not have.
struct NotBuilt {
  std::string name;
};

using Command =
    std::variant<AsOptions, DisOptions, CheckOptions, RunOptions, TraceOptions, FmtOptions,
                 ExplainOptions, DataOptions, LayoutOptions, TestOptions, DoctorOptions, SimOptions,
                 EmitOptions, QuantizeCommand, PackCommand, NotBuilt>;
struct Invocation {
  Common common;
  Command command;
};

// Help and version count as parsed with exit code 0: `text` goes to standard output. For a usage
// error `text` is the message.
struct ParsedCommandLine {
  std::optional<Invocation> invocation;
  int exit_code = 0;
  std::string text;  // what to print; of an error, what is wrong
  std::string hint = "tess --help";
};
ParsedCommandLine parse_command_line(int argc, const char* const* argv);

// The commands of the manual that are not built yet.
const std::vector<std::string>& commands_not_built();

}  // namespace tess::cli
