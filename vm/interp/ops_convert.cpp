// Kernels of cast, bitcast, view, lookup, pack, unpack, relayout.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "isa/diag/run.h"
#include "vm/interp/bulk.h"
#include "vm/interp/elementwise.h"

namespace tess::interp {
namespace {

struct Cast {
  DType to, from;
  CastMode mode;
};
StripError run_cast(const StripArgs& args) {
  const Cast& c = *static_cast<const Cast*>(args.extra);
  cast_bulk(c.to, c.from, args.in[0], args.d, args.n, c.mode);
  return StripError::none;
}
StripError run_widen(const StripArgs& args) {
  const Cast& c = *static_cast<const Cast*>(args.extra);
  widen_int_loop(carrier_of(c.from), args.in[0], static_cast<float*>(args.d), args.n);
  return StripError::none;
}
StripError run_cast_naive(const StripArgs& args) {
  const Cast& c = *static_cast<const Cast*>(args.extra);
  for (size_t i = 0; i < args.n; ++i)
    set_carrier(c.to, args.d, i,
                cast_code(c.to, c.from, carrier_code(c.from, args.in[0], i), c.mode));
  return StripError::none;
}

uint64_t same_code(Element& e) { return e.a; }
StripError run_same_bits(const StripArgs& args) {
  std::memcpy(args.d, args.in[0],
              args.n * static_cast<size_t>(carrier_bytes(carrier_of(args.result))));
  return StripError::none;
}

struct Lookup {
  Operand index, table, d;
  int64_t entries, row;  // elements of an entry
};
template <class Index>
StripError lookup_strip(const Lookup& x, const StripArgs& args, uint64_t mask) {
  const Index* index = static_cast<const Index*>(args.in[0]);
  const uint8_t* table = args.regs + x.table.reg;
  uint64_t entries = static_cast<uint64_t>(x.entries);
  auto take = [&]<class T>(T) {
    const T* from = reinterpret_cast<const T*>(table);
    T* d = static_cast<T*>(args.d);
    for (size_t i = 0; i < args.n; ++i) {
      // A negative index, extended, is beyond every table.
      uint64_t at = static_cast<uint64_t>(static_cast<int64_t>(index[i])) & mask;
      if (at >= entries) return StripError::table_range;
      d[i] = from[at];
    }
    return StripError::none;
  };
  switch (x.d.bytes()) {
    case 1:
      return take(uint8_t{});
    case 2:
      return take(uint16_t{});
    case 4:
      return take(uint32_t{});
    default:
      return take(uint64_t{});
  }
}
StripError run_lookup(const StripArgs& args) {
  const Lookup& x = *static_cast<const Lookup*>(args.extra);
  constexpr uint64_t kAll = ~uint64_t{0};
  switch (carrier_of(x.index.type)) {
    case Carrier::u8:
      return lookup_strip<uint8_t>(x, args, kAll);
    case Carrier::i8:
      return lookup_strip<int8_t>(x, args, kAll);
    case Carrier::u16:
      return lookup_strip<uint16_t>(x, args, kAll);
    case Carrier::i16:
      return lookup_strip<int16_t>(x, args, kAll);
    case Carrier::u32:
      return lookup_strip<uint32_t>(x, args, kAll);
    case Carrier::i32:
      return lookup_strip<int32_t>(x, args, kAll);
    case Carrier::u64:
      return lookup_strip<uint64_t>(x, args, kAll);
    default:
      return lookup_strip<int64_t>(x, args, kAll);
  }
}
// Entries that are vectors.
Flow run_lookup_rows(Strand& s, const Lookup& x) {
  size_t row = static_cast<size_t>(x.row * x.d.bytes());
  const uint8_t* table = x.table.at(s);
  uint8_t* d = x.d.at(s);
  for (int64_t i = 0; i < x.index.n; ++i) {
    uint64_t at = static_cast<uint64_t>(decode_int(
        x.index.type, carrier_code(x.index.type, x.index.at(s), static_cast<size_t>(i))));
    if (at >= static_cast<uint64_t>(x.entries))
      return trap(
          s, diag::run_lookup_range,
          fmt::format("index {} into a table of {} entries", static_cast<int64_t>(at), x.entries));
    std::memcpy(d + static_cast<size_t>(i) * row, table + at * row, row);
  }
  return Flow::next;
}

// pack and unpack: the last dimension as one dense bit stream per row, read as another width.
struct Repack {
  Operand d, a;
  int64_t rows, from_row, to_row;  // elements
  uint64_t stream = 0;  // scratch for one row, where neither carrier is the stream itself
};
bool carrier_is_memory(DType t) { return t.bits % 8 == 0; }
Flow run_repack(Strand& s, const Repack& x) {
  uint8_t *d = x.d.at(s), *a = x.a.at(s);
  if (carrier_is_memory(x.a.type) && !x.a.type.is_bool()) {
    // Rows are whole bytes, so all rows are one stream.
    unpack_bulk(x.d.type, a, 0, static_cast<size_t>(x.d.n), d);
    return Flow::next;
  }
  if (carrier_is_memory(x.d.type)) {
    pack_bulk(x.a.type, a, d, 0, static_cast<size_t>(x.a.n));
    return Flow::next;
  }
  uint8_t* stream = s.regs + x.stream;
  for (int64_t row = 0; row < x.rows; ++row) {
    pack_bulk(x.a.type, a + row * x.from_row * x.a.bytes(), stream, 0,
              static_cast<size_t>(x.from_row));
    unpack_bulk(x.d.type, stream, 0, static_cast<size_t>(x.to_row),
                d + row * x.to_row * x.d.bytes());
  }
  return Flow::next;
}
void bind_repack(Binder& b) {
  Repack x;
  x.d = b.result();
  x.a = b.arg(0);
  x.from_row = x.a.shape[x.a.shape.rank - 1];
  x.to_row = x.d.shape[x.d.shape.rank - 1];
  x.rows = x.from_row ? x.a.n / x.from_row : 0;
  x.stream = b.scratch(static_cast<uint64_t>(x.from_row * x.a.type.bits / 8 + 16));
  b.emit<run_repack>(x);
}

// view: each element of the result is put together from pieces of source elements.
struct Piece {
  uint32_t element;         // of the source
  uint8_t from, length, to; // bits
};
struct Reassemble {
  Operand d, a;
  std::vector<uint32_t> first;  // by element of the result, one more at the end
  std::vector<Piece> pieces;
};
Flow run_view(Strand& s, const Reassemble& x) {
  for (size_t e = 0; e + 1 < x.first.size(); ++e) {
    uint64_t code = 0;
    for (uint32_t i = x.first[e]; i < x.first[e + 1]; ++i) {
      const Piece& p = x.pieces[i];
      uint64_t mask = p.length == 64 ? ~uint64_t{0} : (uint64_t{1} << p.length) - 1;
      code |= (carrier_code(x.a.type, x.a.at(s), p.element) >> p.from & mask) << p.to;
    }
    set_carrier(x.d.type, x.d.at(s), e, code);
  }
  return Flow::next;
}

}  // namespace

KERNEL(cast) {
  Cast c;
  c.to = b.result().type;
  c.from = b.arg(0).type;
  c.mode.round = b.has(AttrTag::rz)   ? Round::rz
                 : b.has(AttrTag::ru) ? Round::ru
                 : b.has(AttrTag::rd) ? Round::rd
                                      : Round::rne;
  c.mode.overflow = b.has(AttrTag::nosat) ? Overflow::nosat : Overflow::saturate;
  c.mode.saturate_int = b.has(AttrTag::sat);
  Micro m;
  m.fn = b.naive() ? run_cast_naive : run_cast;
  if (!b.naive() && c.to == dt::f32_ && c.from.is_int() && c.from.bits <= 16) m.fn = run_widen;
  m.d = b.result();
  m.in[0] = b.arg(0);
  m.n_in = 1;
  m.type = c.from;
  m.extra = b.keep(c);
  b.elementwise(m);
}
KERNEL(bitcast) {
  DType from = b.arg(0).type;
  if (from.bits < 8 || b.naive()) return bind_elementwise(b, same_code);
  Micro m;
  m.fn = run_same_bits;
  m.d = b.result();
  m.in[0] = b.arg(0);
  m.n_in = 1;
  m.type = from;
  b.elementwise(m);
}
KERNEL(view) {
  Reassemble x;
  x.d = b.result();
  x.a = b.arg(0);
  const std::vector<uint32_t>& bit = b.view_map().bit;
  uint32_t w1 = x.a.type.bits, w2 = x.d.type.bits;
  for (size_t i = 0; i < bit.size(); ++i) {
    uint8_t to = static_cast<uint8_t>(i % w2), from = static_cast<uint8_t>(bit[i] % w1);
    if (to == 0) x.first.push_back(static_cast<uint32_t>(x.pieces.size()));
    bool goes_on = to && from && bit[i] == bit[i - 1] + 1;
    if (goes_on) ++x.pieces.back().length;
    else x.pieces.push_back({bit[i] / w1, from, 1, to});
  }
  x.first.push_back(static_cast<uint32_t>(x.pieces.size()));
  b.emit<run_view>(std::move(x));
}
// What a tile holds does not depend on where: the same elements.
KERNEL(relayout) {
  Micro m;
  m.fn = run_same_bits;
  m.d = b.result();
  m.in[0] = b.arg(0);
  m.n_in = 1;
  m.type = m.d.type;
  m.is_copy = true;
  b.elementwise(m);
}
KERNEL(lookup) {
  Lookup x;
  x.index = b.arg(0);
  x.table = b.arg(1);
  x.d = b.result();
  x.entries = x.table.shape[0];
  x.row = x.table.shape.rank == 2 ? x.table.shape[1] : 1;
  if (x.table.shape.rank == 2) return b.emit<run_lookup_rows>(x);
  Micro m;
  m.fn = run_lookup;
  m.d = x.d;
  m.in[0] = x.index;
  m.n_in = 1;
  m.type = x.index.type;
  m.extra = b.keep(x);
  b.elementwise(m);
}
KERNEL(pack) { bind_repack(b); }
KERNEL(unpack) { bind_repack(b); }

}  // namespace tess::interp
