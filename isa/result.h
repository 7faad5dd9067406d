// Result<T>: a value or one Diagnostic. The only way code below vm/cli reports failure.
// Not thread-safe by itself; move-only if T is.
#pragma once
#include <cassert>
#include <optional>
#include <utility>
#include <variant>

#include "isa/diag.h"

namespace tess {

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : v_(std::in_place_index<0>, std::move(value)) {}
  Result(Diagnostic error) : v_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const { return v_.index() == 0; }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T& value() { assert(*this); return std::get<0>(v_); }
  const T& value() const { assert(*this); return std::get<0>(v_); }
  Diagnostic& error() { assert(!*this); return std::get<1>(v_); }
  const Diagnostic& error() const { assert(!*this); return std::get<1>(v_); }

 private:
  std::variant<T, Diagnostic> v_;
};

// Success without a value.
struct Unit {};
using Status = Result<Unit>;
inline Status ok() { return Status(Unit{}); }

// Evaluates a Result expression; returns its error from the enclosing function, else binds the value.
#define TESS_CONCAT_(a, b) a##b
#define TESS_CONCAT(a, b) TESS_CONCAT_(a, b)
#define TESS_TRY(decl, expr) TESS_TRY_(TESS_CONCAT(try_result_, __LINE__), decl, expr)
#define TESS_TRY_(tmp, decl, expr)              \
  auto&& tmp = (expr);                          \
  if (!tmp) return std::move(tmp).error();      \
  decl = std::move(*tmp)
#define TESS_CHECK(expr)                                              \
  do {                                                                \
    if (auto&& check_result = (expr); !check_result)                  \
      return std::move(check_result).error();                         \
  } while (0)

}  // namespace tess
