// Types of values: where they live, what they hold, their shape. Plain data.
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "isa/dtypes.h"
#include "isa/limits.h"

namespace tess {

// Extents, outermost first. kDynamic marks an extent known only at run time (memory only).
inline constexpr int64_t kDynamic = -1;
struct Shape {
  uint8_t rank = 0;
  std::array<int64_t, limits::max_rank> dim{};

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    for (int64_t d : dims) dim[rank++] = d;
  }
  int64_t operator[](int i) const { return dim[i]; }
  int64_t& operator[](int i) { return dim[i]; }
  bool operator==(const Shape&) const = default;  // unused entries stay 0
  const int64_t* begin() const { return dim.data(); }
  const int64_t* end() const { return dim.data() + rank; }
  bool push(int64_t d) { return rank < limits::max_rank ? (dim[rank++] = d, true) : false; }
  bool is_static() const {
    for (int64_t d : *this)
      if (d < 0) return false;
    return true;
  }
  // Product of the extents; meaningful for verified static shapes.
  int64_t elements() const {
    int64_t n = 1;
    for (int64_t d : *this) n *= d;
    return n;
  }
};

enum class Space : uint8_t {
  reg,     // a scalar (rank 0) or a register tile
  shared,  // a shared tile or a view into one
  global,  // a tensor: parameter, workspace, slice or alias
  mbar,    // mbarriers
};

struct Type {
  Space space = Space::reg;
  bool ring = false;  // the first dimension is indexed by use number
  DType dtype;
  Shape shape;

  bool operator==(const Type&) const = default;
  bool is_scalar() const { return space == Space::reg && shape.rank == 0; }
  bool is_tile() const { return space == Space::reg && shape.rank > 0; }
  bool is_memory() const { return space == Space::shared || space == Space::global; }
};

inline Type scalar_type(DType t) { return Type{Space::reg, false, t, {}}; }
inline Type tile_type(DType t, Shape shape) { return Type{Space::reg, false, t, shape}; }

// "f32", "f16[128,64]", "u4[?,64]" with ? for a dynamic extent.
std::string shape_text(const Shape& shape);
std::string type_text(const Type& type);

}  // namespace tess
