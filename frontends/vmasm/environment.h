// Private to lowering: what the names of one file mean, and constant evaluation.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "frontends/vmasm/lower.h"
#include "isa/builder.h"

namespace tess::vmasm {

// A constant: a literal, with a type if one was written (`const X : f32 = 0.5`).
struct ConstValue {
  Literal literal;
  std::optional<DType> type;
};

// Numbers and words of an expression that is no name: 12, 0x1.8p3, inf, nan, true, false.
std::optional<Literal> literal_of_word(std::string_view text);
// `a op b`; none on division by zero, overflow or mixed kinds. For neg and bit_not, b is ignored.
std::optional<Literal> fold(Operator op, const Literal& a, const Literal& b);
// cdiv, rem, min, max, abs of literals; none for other names.
std::optional<Literal> fold_call(std::string_view name, std::span<const Literal> args);
std::optional<int64_t> literal_int(const Literal& l);

struct File;
struct FuncDef {
  const File* file = nullptr;
  ItemId item;
};
struct LayoutDefinition {
  const File* file = nullptr;
  LayoutId layout;
};

// One parsed file and its names. Functions and layouts of the files it uses are visible too.
struct File {
  Ast ast;
  std::map<std::string, ConstValue, std::less<>> consts;
  std::map<std::string, DType, std::less<>> types;
  // const or type -> the specialisation parameters its value came from, itself included.
  std::map<std::string, std::set<std::string>, std::less<>> depends;
  std::map<std::string, FuncDef, std::less<>> funcs;
  std::map<std::string, LayoutDefinition, std::less<>> layouts;
};

// Collects the definitions of a parsed file; `define` overrides a const or type by name (null:
// none). Files it uses are found through `used` by the name written.
struct EnvironmentInput {
  const CompileOptions* options = nullptr;
  const std::vector<Define>* defines = nullptr;  // for the main file only
  std::function<const File*(const Item&, const Ast&)> used;
};
void build_environment(File& file, const EnvironmentInput& in, Diagnostics& out);

// Evaluates a constant expression with the names of `file` (and `extra`, which comes first).
using ConstLookup = std::function<std::optional<ConstValue>(std::string_view)>;
std::optional<Literal> eval_const(const Ast& ast, ExprId e, const ConstLookup& lookup,
                                  Diagnostics& out);

// Whether a syntax error was reported on the lines of these tokens: then nodes there may be
// incomplete.
bool misparsed(const Ast& ast, TokenRange tokens, std::span<const Diagnostic> parse_errors);
// The tokens of a kernel or func up to its body.
TokenRange header_of(const Ast& ast, const Item& item);

}  // namespace tess::vmasm
