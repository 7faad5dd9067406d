#include <algorithm>

#include "isa/diag/jit.h"
#include "isa/diag/run.h"
#include "vm/api/objects.h"

using namespace tess;

namespace tess::api {
namespace {

// Handed out when there is no memory for another; never destroyed.
tess_error& the_out_of_memory_error() {
  static tess_error error = [] {
    tess_error e;
    e.kind = TESS_ERROR_ENVIRONMENT;
    e.diagnostics.push_back(make_diag(diag::out_of_memory, "the machine has not enough memory"));
    e.codes.push_back(diag_id(diag::out_of_memory));
    e.text = e.text_color = render_diag(e.diagnostics[0], {}, false);
    e.json = render_diag_json(e.diagnostics[0], {});
    return e;
  }();
  return error;
}
// Made before it is needed.
const tess_error& made_early = the_out_of_memory_error();

Severity severity_of(Diag code) {
  const DiagInfo* info = find_diag(code);
  return info ? info->severity : Severity::error;
}

}  // namespace

tess_error* out_of_memory_error() { return &the_out_of_memory_error(); }

tess_error_kind kind_of(Diag code) {
  int number = static_cast<int>(code);
  if (code == diag::run_interrupted) return TESS_ERROR_INTERRUPTED;
  if (code == diag::internal_error) return TESS_ERROR_INTERNAL;
  if (number >= 900 && number < 920) return TESS_ERROR_USAGE;
  if (number >= 920 && number < 930) return TESS_ERROR_ENVIRONMENT;
  if (number >= 1300 && number < 1320) return TESS_ERROR_ENVIRONMENT;
  if (code == diag::nvrtc_missing || code == diag::nvptx_missing || code == diag::ptxas_missing)
    return TESS_ERROR_ENVIRONMENT;
  switch (severity_of(code)) {
    case Severity::trap:
      return TESS_ERROR_TRAP;
    case Severity::limit:
      return TESS_ERROR_LIMIT;
    default:
      return TESS_ERROR_INPUT;
  }
}

tess_error* make_error(Diagnostics diagnostics, std::shared_ptr<const Sources> sources) {
  // By place, errors before the warnings that came with them.
  std::stable_sort(diagnostics.begin(), diagnostics.end(),
                   [](const Diagnostic& a, const Diagnostic& b) {
                     auto key = [](const Diagnostic& d) {
                       return std::tuple(severity_of(d.code) == Severity::warning, d.span.file,
                                         d.span.line, d.span.col);
                     };
                     return key(a) < key(b);
                   });
  auto error = std::make_unique<tess_error>();
  error->kind = kind_of(diagnostics.at(0).code);
  for (const Diagnostic& d : diagnostics) error->codes.push_back(diag_id(d.code));
  error->diagnostics = std::move(diagnostics);
  error->sources = sources ? std::move(sources) : std::make_shared<const Sources>();
  return error.release();
}
tess_error* make_error(Diagnostic diagnostic, std::shared_ptr<const Sources> sources) {
  Diagnostics all;
  all.push_back(std::move(diagnostic));
  return make_error(std::move(all), std::move(sources));
}
tess_error* misuse(std::string message) {
  return make_error(make_diag(diag::api_misuse, std::move(message)));
}

namespace {

template <class Render>
const char* rendered(const tess_error* error, std::string tess_error::*field,
                     Render&& render) noexcept {
  if (!error) return "";
  tess_error* e = const_cast<tess_error*>(error);  // owned by one thread, as tess.h says
  if ((e->*field).empty()) try {
      for (const Diagnostic& d : e->diagnostics) e->*field += render(d, *e->sources);
    } catch (...) {
      return "error: not enough memory to say what is wrong\n";
    }
  return (e->*field).c_str();
}

}  // namespace
}  // namespace tess::api

using namespace tess::api;

tess_error_kind tess_error_get_kind(const tess_error* error) {
  return error ? error->kind : static_cast<tess_error_kind>(0);
}
const char* tess_error_code(const tess_error* error) {
  return error ? error->codes[0].c_str() : "";
}
const char* tess_error_message(const tess_error* error) {
  return error ? error->diagnostics[0].message.c_str() : "";
}
const char* tess_error_text(const tess_error* error) {
  return rendered(error, &tess_error::text,
                  [](const Diagnostic& d, const Sources& s) { return render_diag(d, s, false); });
}
const char* tess_error_text_color(const tess_error* error) {
  return rendered(error, &tess_error::text_color,
                  [](const Diagnostic& d, const Sources& s) { return render_diag(d, s, true); });
}
const char* tess_error_json(const tess_error* error) {
  return rendered(error, &tess_error::json,
                  [](const Diagnostic& d, const Sources& s) { return render_diag_json(d, s); });
}
size_t tess_error_count(const tess_error* error) { return error ? error->diagnostics.size() : 0; }

int tess_error_diagnostic(const tess_error* error, size_t index, tess_diagnostic* out) {
  if (!error || !out || index >= error->diagnostics.size()) return 0;
  constexpr const char* kSeverities[] = {"error", "warning", "trap", "limit"};
  const Diagnostic& d = error->diagnostics[index];
  tess_diagnostic result{};
  result.code = error->codes[index].c_str();
  result.severity = kSeverities[static_cast<int>(severity_of(d.code))];
  result.message = d.message.c_str();
  result.hint = d.hint.c_str();
  bool placed = d.span.line != 0 && error->sources && d.span.file < error->sources->size();
  result.file = placed ? (*error->sources)[d.span.file].name.c_str() : "";
  result.line = d.span.line;
  result.col = d.span.col;
  result.len = d.span.len;
  write_struct(out, result);
  return 1;
}

int tess_error_trap(const tess_error* error, tess_trap* out) {
  if (!error || !out || !error->trap) return 0;
  const Trap& t = *error->trap;
  tess_trap result{};
  result.kernel = t.kernel.c_str();
  for (int i = 0; i < 3; ++i) result.block[i] = t.block[i];
  result.strand = t.strand;
  result.instruction = t.instruction;
  result.file = t.file.c_str();
  result.line = t.line;
  result.col = t.col;
  write_struct(out, result);
  return 1;
}

void tess_error_destroy(tess_error* error) {
  if (error != out_of_memory_error()) delete error;
}
