// Questions about layouts: vector width, bank conflicts, coverage, conversions, and the
// shared-memory layout of least conflict. Exact: elimination over F2, digit rules that decide, or
// enumeration. Units: strides and vector widths in elements, widths of types in bits, shared memory
// of 32 banks of 4 bytes.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "isa/layout.h"

namespace tess {

struct VecLimits {
  int elem_bits = 0;      // 0: no limit by the access width
  int max_bits = 128;     // widest access
  int64_t alignment = 0;  // elements that the tile's base is known to be a multiple of; 0: any
  int64_t mask_run = 0;   // the mask is constant on aligned runs of so many elements; 0: no mask
};
// The widest access per thread: a power of two v such that every thread's elements split into
// aligned runs of v consecutive offsets, held by the same registers in the same order in every
// thread. order[i*v + k] is the register holding element k of access i; registers that hold a copy
// of another's element are left out.
struct Vec {
  int64_t elems = 1;
  std::vector<int64_t> order;
};
Result<Vec> vector_access(const Layout& reg, const Layout& mem, const VecLimits& limits = {});
// Width alone, by rule only where possible: no register order is built.
Result<int64_t> vector_width(const Layout& reg, const Layout& mem, const VecLimits& limits = {});

// Conflict ways of the byte addresses of one access (one entry a lane, at most 32), each of
// `width_bytes`: 4-byte accesses are one phase of 32 lanes, 8-byte two of 16, 16-byte four of 8;
// the worst count of distinct 4-byte words in one bank within a phase. 1 is free of conflicts.
int bank_ways(const std::vector<int64_t>& byte_addresses, int width_bytes);

enum class Matrix : uint8_t { none, plain, trans };  // ldmatrix / stmatrix, or not served by them
struct Banks {
  int64_t ways = 1;        // worst over all accesses
  int64_t wavefronts = 0;  // per warp, over the whole tile
  int64_t ideal = 0;       // the same without conflicts
  int64_t vec = 1;         // elements an access
  Matrix matrix = Matrix::none;
};
// Ordinary loads and stores of a register tile in shared memory, as wide as vector_access allows
// and at most max_bits (8 to 128) a lane.
Result<Banks> banks(const Layout& reg, const Layout& mem, int elem_bits, int max_bits = 128);
// The same by ldmatrix or stmatrix (.trans where that fits); E0616 where they cannot serve.
Result<Banks> matrix_banks(const Layout& reg, const Layout& mem, int elem_bits = 16);

Result<bool> is_injective(const Layout& l);  // no two coordinates give the same output
Result<bool> covers(const Layout& l);        // every output coordinate below `shape` is reached
bool divides(const Layout& part, const Layout& whole);  // whole = z * part for some z

enum class Move : uint8_t {
  none,
  reg,
  lane,
  shared,
  cluster
};                                   // where a destination register's value is fetched from
std::string_view move_name(Move m);  // none register lane shared cluster
struct Conversion {
  Move where = Move::none;
  int64_t shuffles = 0;      // per thread, for Move::lane
  int64_t shared_bytes = 0;  // of one block, for Move::shared and Move::cluster
  int64_t cost = 0;  // issue slots of one warp, roughly: 0, 0, 2 a shuffle, one way in and out of
                     // shared memory plus a barrier
};
// The cheapest way to bring a register tile from one layout into another; replicas are used.
Result<Conversion> conversion(const Layout& src, const Layout& dst, int elem_bits = 32);

// `view %x : T2 #dst` of a tile in layout #src is legal: same threads, same bits a thread (element
// r of a thread is bits [r*bits, (r+1)*bits) of it), and copies in dst are copies in src. E0618,
// E0619.
Status check_view(const Layout& src, int src_bits, const Layout& dst, int dst_bits);

// The first registers of a thread that hold different elements: `count` of them, neighbours `apart`
// elements from each other along dimension `dim`. None if they run along no one dimension.
struct RegisterRun {
  int dim = 0;
  int64_t apart = 1, count = 1;
  bool operator==(const RegisterRun&) const = default;
};
std::optional<RegisterRun> register_run(const Layout& reg);
// Where neighbours are apart: the order of memory in which as many of them lie side by side as the
// widest access moves. None if there is no such.
std::optional<RegisterRun> memory_run(const Layout& reg, int elem_bits);
// A memory layout in which `count` elements that are `apart` from each other lie where `mem` has as
// many neighbours: 0, apart, 2*apart, ... 1, apart+1, ... in every apart*count elements of dimension
// `dim`.
Result<Layout> interleaved(const Layout& mem, const RegisterRun& run);

// The memory layout of least conflict for tiles written and read in these register layouts.
struct SharedUse {
  const Layout* reg;
  bool matrix = false;  // prefer ldmatrix / stmatrix if some layout allows it
};
struct SharedChoice {
  Layout mem;
  int64_t ways = 1;        // worst over the uses
  int64_t wavefronts = 0;  // sum over the uses
  std::vector<Banks> uses;
};
Result<SharedChoice> choose_shared_layout(const std::vector<int64_t>& shape, int elem_bits,
                                          const std::vector<SharedUse>& uses);

}  // namespace tess
