// Kernels of the instructions that make values: ids, moves, constants, random numbers.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "isa/diag/run.h"
#include "vm/interp/bulk.h"
#include "vm/interp/elementwise.h"

namespace tess::interp {
namespace {

struct Id {
  Operand d;
  int axis;
};
Flow run_block(Strand& s, const Id& x) {
  *x.d.in<int32_t>(s) = static_cast<int32_t>(s.block[x.axis]);
  return Flow::next;
}
Flow run_grid(Strand& s, const Id& x) {
  *x.d.in<int32_t>(s) = static_cast<int32_t>(s.launch->grid[x.axis]);
  return Flow::next;
}
Flow run_rank(Strand& s, const Id& x) {
  *x.d.in<int32_t>(s) = static_cast<int32_t>(s.block[0] % s.launch->program->kernel->cluster);
  return Flow::next;
}
Flow run_sms(Strand& s, const Id& x) {
  *x.d.in<int32_t>(s) = static_cast<int32_t>(s.launch->options->device_sms);
  return Flow::next;
}

StripError copy_strip(const StripArgs& args) {
  size_t bytes = args.n * static_cast<size_t>(carrier_bytes(carrier_of(args.result)));
  if (args.d != args.in[0]) std::memcpy(args.d, args.in[0], bytes);
  return StripError::none;
}

struct PoisonMove {
  Operand d, a;
  uint64_t d_poison, a_poison;
};
Flow run_poison_move(Strand& s, const PoisonMove& x) {
  std::memmove(x.d.at(s), x.a.at(s), static_cast<size_t>(x.d.size()));
  s.regs[x.d_poison] = x.a_poison == kNoRegister ? 0 : s.regs[x.a_poison];
  return Flow::next;
}

struct Fill {
  Operand d, a;
};
Flow run_fill(Strand& s, const Fill& x) {
  fill_carriers(x.d.bytes(), x.d.at(s), x.d.n, x.a.at(s));
  return Flow::next;
}

struct Ready {  // a value known when the kernel is decoded
  Operand d;
  std::vector<uint8_t> bytes;
  int64_t repeat;  // each element so many times
};
Flow run_ready(Strand& s, const Ready& x) {
  uint8_t* d = x.d.at(s);
  int bytes = x.d.bytes();
  int64_t once = static_cast<int64_t>(x.bytes.size());
  if (x.repeat == 1) {
    for (int64_t at = 0; at < x.d.size(); at += once)
      std::memcpy(d + at, x.bytes.data(), static_cast<size_t>(once));
    return Flow::next;
  }
  int64_t count = once / bytes;
  for (int64_t i = 0; i < x.d.n / x.repeat; ++i)
    fill_carriers(bytes, d + i * x.repeat * bytes, x.repeat, x.bytes.data() + i % count * bytes);
  return Flow::next;
}

// The same without keeping the row: long rows would make many of them large.
struct Iota {
  Operand d;
  int64_t extent, repeat;
};
Flow run_iota(Strand& s, const Iota& x) {
  constexpr int64_t kChunk = 512;
  uint8_t* d = x.d.at(s);
  int bytes = x.d.bytes();
  int32_t index[kChunk];
  uint64_t row[kChunk];  // carriers
  int64_t period = x.extent * x.repeat;
  for (int64_t first = 0; first < x.extent; first += kChunk) {
    int64_t n = std::min(kChunk, x.extent - first);
    for (int64_t i = 0; i < n; ++i) index[i] = static_cast<int32_t>(first + i);
    cast_bulk(x.d.type, dt::i32_, index, row, static_cast<size_t>(n));
    uint8_t* to = d + first * x.repeat * bytes;
    const uint8_t* from = reinterpret_cast<const uint8_t*>(row);
    if (x.repeat == 1) std::memcpy(to, from, static_cast<size_t>(n * bytes));
    else
      for (int64_t i = 0; i < n; ++i)
        fill_carriers(bytes, to + i * x.repeat * bytes, x.repeat, from + i * bytes);
  }
  for (int64_t at = period; at < x.d.n; at += period)
    std::memcpy(d + at * bytes, d, static_cast<size_t>(period * bytes));
  return Flow::next;
}

struct Undef {
  Operand d;
  uint64_t poison;
};
Flow run_undef(Strand& s, const Undef& x) {
  s.regs[x.poison] = 1;
  std::memset(x.d.at(s), 0, static_cast<size_t>(x.d.size()));
  return Flow::next;
}

struct Table {
  Operand d;
  std::vector<Operand> elements;
};
Flow run_table(Strand& s, const Table& x) {
  int bytes = x.d.bytes();
  for (size_t i = 0; i < x.elements.size(); ++i)
    std::memcpy(x.d.at(s) + i * static_cast<size_t>(bytes), x.elements[i].at(s),
                static_cast<size_t>(bytes));
  return Flow::next;
}

// Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3" (SC 2011),
// Philox4x32-10.
void philox(uint64_t counter, uint64_t key, uint32_t out[4]) {
  uint32_t c[4] = {static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0, 0};
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    uint64_t p0 = uint64_t{0xD2511F53} * c[0], p1 = uint64_t{0xCD9E8D57} * c[2];
    uint32_t next[4] = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(p1),
                        static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(p0)};
    std::memcpy(c, next, sizeof c);
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  std::memcpy(out, c, sizeof c);
}
struct Philox {
  Operand d, seed, offset;
};
Flow run_philox(Strand& s, const Philox& x) {
  uint64_t seed = *x.seed.in<uint64_t>(s), offset = *x.offset.in<uint64_t>(s);
  uint32_t* d = x.d.in<uint32_t>(s);
  uint32_t words[4];
  for (int64_t n = 0; n < x.d.n; ++n) {
    if (n % 4 == 0) philox(offset + static_cast<uint64_t>(n / 4), seed, words);
    d[n] = words[n % 4];
  }
  return Flow::next;
}

struct Extract {
  Operand d, a;
  std::vector<Operand> index;
};
Flow run_extract(Strand& s, const Extract& x) {
  int64_t at = 0;
  for (size_t i = 0; i < x.index.size(); ++i) {
    int64_t v = read_int(s, x.index[i]), extent = x.a.shape[static_cast<int>(i)];
    if (v < 0 || v >= extent)
      return trap(s, diag::run_extract_range,
                  fmt::format("index {} of dimension {}, which has extent {}", v, i, extent));
    at = at * extent + v;
  }
  int bytes = x.d.bytes();
  std::memcpy(x.d.at(s), x.a.at(s) + at * bytes, static_cast<size_t>(bytes));
  return Flow::next;
}

}  // namespace

KERNEL(block_x) { b.emit<run_block>(Id{b.result(), 0}); }
KERNEL(block_y) { b.emit<run_block>(Id{b.result(), 1}); }
KERNEL(block_z) { b.emit<run_block>(Id{b.result(), 2}); }
KERNEL(grid_x) { b.emit<run_grid>(Id{b.result(), 0}); }
KERNEL(grid_y) { b.emit<run_grid>(Id{b.result(), 1}); }
KERNEL(grid_z) { b.emit<run_grid>(Id{b.result(), 2}); }
KERNEL(cluster_rank) { b.emit<run_rank>(Id{b.result(), 0}); }
KERNEL(device_sms) { b.emit<run_sms>(Id{b.result(), 0}); }

KERNEL(move) {
  uint64_t d_poison = b.program().poison_reg[b.result_value()];
  if (d_poison != kNoRegister) {
    Ref a = b.arg_ref(0);
    return b.emit<run_poison_move>(
        PoisonMove{b.result(), b.arg(0), d_poison,
                   a.is_value() ? b.program().poison_reg[a.index()] : kNoRegister});
  }
  Micro m;
  m.fn = copy_strip;
  m.is_copy = true;
  m.d = b.result();
  m.in[0] = b.arg(0);
  m.n_in = 1;
  m.type = m.d.type;
  b.elementwise(m);
}
KERNEL(fill) { b.emit<run_fill>(Fill{b.result(), b.arg(0)}); }
KERNEL(iota) {
  Ready x;
  x.d = b.result();
  int rank = x.d.shape.rank, dim = rank ? b.dim(rank, rank - 1) : 0;
  int64_t extent = rank ? x.d.shape[dim] : 1;
  x.repeat = 1;
  for (int d = dim + 1; d < rank; ++d) x.repeat *= x.d.shape[d];
  constexpr int64_t kMostKept = 4096;
  if (extent > kMostKept) return b.emit<run_iota>(Iota{x.d, extent, x.repeat});
  x.bytes.resize(static_cast<size_t>(extent * x.d.bytes()));
  for (int64_t i = 0; i < extent; ++i)
    set_carrier(x.d.type, x.bytes.data(), static_cast<size_t>(i),
                cast_code(x.d.type, dt::i64_, static_cast<uint64_t>(i)));
  b.emit<run_ready>(std::move(x));
}
KERNEL(undef) { b.emit<run_undef>(Undef{b.result(), b.program().poison_reg[b.result_value()]}); }
KERNEL(rand_philox) { b.emit<run_philox>(Philox{b.result(), b.arg(0), b.arg(1)}); }
KERNEL(table) {
  Table x;
  x.d = b.result();
  for (size_t i = 0; i < b.n_args(); ++i) x.elements.push_back(b.arg(i));
  b.emit<run_table>(std::move(x));
}
KERNEL(extract) {
  Extract x;
  x.d = b.result();
  x.a = b.arg(0);
  for (size_t i = 1; i < b.n_args(); ++i) x.index.push_back(b.arg(i));
  b.emit<run_extract>(std::move(x));
}

}  // namespace tess::interp
