// Types of values: where they live, what they hold, their shape. Plain data.
#pragma once
#include <array>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <string>

#include "isa/dtypes.h"
#include "isa/limits.h"

namespace tess {

// Extents, outermost first. kDynamic marks an extent known only at run time (memory only).
inline constexpr int64_t kDynamic = -1;

// Modules hold a type for every value, so a shape is small: 48 bits an extent. What does not fit
// them is far beyond every limit and stored as the nearest number that does.
struct Shape {
 private:
  static constexpr int64_t kMost = (int64_t{1} << 47) - 1;
  static constexpr int kBytes = 6;
  static_assert(limits::max_extent < kMost);
  static_assert(std::endian::native == std::endian::little);

 public:
  uint8_t rank = 0;
  uint8_t before = 0;  // an extent is the upper 48 of the 64 bits that begin two bytes before it
  std::array<uint8_t, kBytes * limits::max_rank> bytes{};  // unused ones stay 0

  // What `shape[i]` is while the shape may change.
  class Extent {
   public:
    Extent(Shape& shape, int i) : shape_(shape), i_(i) {}
    Extent(const Extent&) = default;
    operator int64_t() const { return shape_.get(i_); }
    Extent& operator=(int64_t v) { return shape_.set(i_, v), *this; }
    Extent& operator=(const Extent& e) { return *this = int64_t{e}; }
    Extent& operator+=(int64_t v) { return *this = int64_t{*this} + v; }
    Extent& operator-=(int64_t v) { return *this = int64_t{*this} - v; }
    Extent& operator*=(int64_t v) { return *this = int64_t{*this} * v; }
    Extent& operator/=(int64_t v) { return *this = int64_t{*this} / v; }
    Extent& operator++() { return *this += 1; }
    Extent& operator--() { return *this -= 1; }
    friend void swap(Extent a, Extent b) {
      int64_t v = a;
      a = b;
      b = v;
    }

   private:
    Shape& shape_;
    int i_;
  };
  class Iterator {
   public:
    using iterator_category = std::random_access_iterator_tag;
    using value_type = int64_t;
    using difference_type = std::ptrdiff_t;
    using reference = int64_t;
    using pointer = void;

    Iterator() = default;
    Iterator(const Shape& shape, int i) : shape_(&shape), i_(i) {}
    int64_t operator*() const { return shape_->get(i_); }
    int64_t operator[](std::ptrdiff_t n) const { return *(*this + n); }
    Iterator& operator+=(std::ptrdiff_t n) { return i_ += static_cast<int>(n), *this; }
    Iterator& operator-=(std::ptrdiff_t n) { return *this += -n; }
    Iterator& operator++() { return *this += 1; }
    Iterator& operator--() { return *this += -1; }
    Iterator operator++(int) { return ++i_, Iterator(*shape_, i_ - 1); }
    Iterator operator--(int) { return --i_, Iterator(*shape_, i_ + 1); }
    friend Iterator operator+(Iterator a, std::ptrdiff_t n) { return a += n; }
    friend Iterator operator+(std::ptrdiff_t n, Iterator a) { return a += n; }
    friend Iterator operator-(Iterator a, std::ptrdiff_t n) { return a += -n; }
    friend std::ptrdiff_t operator-(const Iterator& a, const Iterator& b) { return a.i_ - b.i_; }
    bool operator==(const Iterator& other) const { return i_ == other.i_; }
    auto operator<=>(const Iterator& other) const { return i_ <=> other.i_; }

   private:
    const Shape* shape_ = nullptr;
    int i_ = 0;
  };

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    for (int64_t d : dims) set(rank++, d);
  }
  int64_t operator[](int i) const { return get(i); }
  Extent operator[](int i) { return {*this, i}; }
  bool operator==(const Shape&) const = default;
  Iterator begin() const { return {*this, 0}; }
  Iterator end() const { return {*this, rank}; }
  bool push(int64_t d) { return rank < limits::max_rank ? (set(rank++, d), true) : false; }
  // The last extent goes away.
  void pop() { set(--rank, 0); }
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

 private:
  int64_t get(int i) const {
    int64_t v;
    std::memcpy(&v, reinterpret_cast<const uint8_t*>(this) + kBytes * i, sizeof v);
    return v >> 16;
  }
  void set(int i, int64_t v) {
    v = v < -kMost ? -kMost : v > kMost ? kMost : v;
    std::memcpy(bytes.data() + kBytes * i, &v, kBytes);
  }
};
static_assert(sizeof(Shape) == 50 && offsetof(Shape, bytes) == 2);

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

static_assert(sizeof(Type) == 56);

inline Type scalar_type(DType t) { return Type{Space::reg, false, t, {}}; }
inline Type tile_type(DType t, Shape shape) { return Type{Space::reg, false, t, shape}; }

// "f32", "f16[128,64]", "u4[?,64]" with ? for a dynamic extent.
std::string shape_text(const Shape& shape);
std::string type_text(const Type& type);

}  // namespace tess
