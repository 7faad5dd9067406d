// Elementwise instructions as one step over strips that fit the first cache.
//
// For each strip of n consecutive result elements, in order: every operand that is not laid out as
// the result is spread into a buffer, then each micro runs over the strip. Results that only the
// group itself reads never leave their strip buffer.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "isa/diag/run.h"
#include "vm/interp/fast_loops.h"
#include "vm/interp/program.h"

namespace tess::interp {
namespace {

constexpr int64_t kStripBytes = 28 * 1024;  // of all buffers of a group
constexpr int64_t kMostStrip = 4096, kLeastStrip = 64;

// An operand against the result's row-major order: sizes from outer to inner with the operand's
// stride, which is 0 where it is repeated. Adjacent dimensions are merged, so the innermost stride
// is 0 or 1.
struct Spread {
  int rank = 0;
  int64_t size[limits::max_rank + 1], stride[limits::max_rank + 1];
  bool direct() const { return rank == 0 || (rank == 1 && stride[0] == 1); }
  bool splat() const { return rank == 1 && stride[0] == 0; }
};

Spread spread_of(const Shape& from, int64_t from_n, const Shape& to, int64_t to_n) {
  Spread s;
  if (from_n == to_n) return s;  // the same elements in the same order
  int64_t stride = 1, strides[limits::max_rank];
  for (int d = to.rank - 1, f = from.rank - 1; d >= 0; --d, --f) {
    int64_t n = f >= 0 ? from[f] : 1;
    strides[d] = n == 1 ? 0 : stride;
    stride *= n;
  }
  for (int d = 0; d < to.rank; ++d) {
    if (to[d] == 1) continue;
    if (s.rank && s.stride[s.rank - 1] == strides[d] * to[d]) {
      s.size[s.rank - 1] *= to[d];
      s.stride[s.rank - 1] = strides[d];
    } else {
      s.size[s.rank] = to[d];
      s.stride[s.rank++] = strides[d];
    }
  }
  return s;
}

template <class T>
void spread_strip(const Spread& s, const T* from, int64_t first, int64_t n, T* out) {
  int64_t inner = s.size[s.rank - 1], at[limits::max_rank + 1];
  int64_t rest = first;
  for (int d = s.rank - 1; d >= 0; --d) {
    at[d] = rest % s.size[d];
    rest /= s.size[d];
  }
  const T* row = from;
  for (int d = 0; d < s.rank - 1; ++d) row += at[d] * s.stride[d];
  int64_t column = at[s.rank - 1];
  while (n > 0) {
    int64_t take = std::min(n, inner - column);
    if (s.stride[s.rank - 1] == 0) {
      T v = *row;
      for (int64_t i = 0; i < take; ++i) out[i] = v;
    } else {
      std::memcpy(out, row + column, static_cast<size_t>(take) * sizeof(T));
    }
    out += take;
    n -= take;
    column = 0;
    for (int d = s.rank - 2; d >= 0; --d) {
      row += s.stride[d];
      if (++at[d] < s.size[d]) break;
      row -= at[d] * s.stride[d];
      at[d] = 0;
    }
  }
}

struct Source {
  // splat and periodic: the same for every strip, made once.
  enum class Kind : uint8_t { direct, splat, spread, periodic, strip };
  Kind kind = Kind::direct;
  uint64_t place = 0;   // in the register file: the operand's start; of a result: where to put it
  uint64_t buffer = 0;  // in the register file: all kinds but direct (first: the buffer's number)
  size_t maker = 0;     // of a strip: the micro that makes it
  int64_t bytes = 0;    // of an element
  Spread spread;
};
struct GroupMicro {
  StripFn fn;
  Source in[3], d;
  int n_in;
  DType type, result;
  const void* extra;
  uint32_t pc;
};
struct Group {
  std::vector<GroupMicro> micros;
  int64_t n = 0, strip = 0;
};

Flow strip_trap(Strand& s, StripError error, uint32_t pc) {
  s.running = pc;
  switch (error) {
    case StripError::divide_by_zero:
      return trap(s, diag::run_divide_by_zero, "integer division by zero");
    case StripError::nowrap:
      return trap(s, diag::run_nowrap,
                  "an integer result overflows, though `nowrap` says that none does");
    default:
      return trap(s, diag::run_lookup_range, "an index is outside of the table");
  }
}

// One micro whose operands are all laid out as its result.
Flow run_direct(Strand& s, const Group& g) {
  const GroupMicro& m = g.micros[0];
  StripArgs args{
      s.regs + m.d.place, {}, static_cast<size_t>(g.n), m.type, m.result, m.extra, s.regs};
  for (int i = 0; i < m.n_in; ++i) args.in[i] = s.regs + m.in[i].place;
  if (StripError e = m.fn(args); e != StripError::none) return strip_trap(s, e, m.pc);
  return Flow::next;
}

const void* spread(Strand& s, const Source& in, int64_t first, int64_t n) {
  uint8_t* out = s.regs + in.buffer;
  const uint8_t* from = s.regs + in.place;
  const Spread& p = in.spread;
  if (p.rank == 2 && p.stride[0] == 1 && p.stride[1] == 0) {
    repeat_loop(static_cast<int>(in.bytes), from, p.size[1], first, out, n);
    return out;
  }
  switch (in.bytes) {
    case 1:
      spread_strip(in.spread, from, first, n, out);
      break;
    case 2:
      spread_strip(in.spread, reinterpret_cast<const uint16_t*>(from), first, n,
                   reinterpret_cast<uint16_t*>(out));
      break;
    case 4:
      spread_strip(in.spread, reinterpret_cast<const uint32_t*>(from), first, n,
                   reinterpret_cast<uint32_t*>(out));
      break;
    default:
      spread_strip(in.spread, reinterpret_cast<const uint64_t*>(from), first, n,
                   reinterpret_cast<uint64_t*>(out));
      break;
  }
  return out;
}

const void* prepare(Strand& s, const Source& in, int64_t first, int64_t n) {
  switch (in.kind) {
    case Source::Kind::direct:
      return s.regs + in.place + first * in.bytes;
    case Source::Kind::strip:
    case Source::Kind::splat:
    case Source::Kind::periodic:
      return s.regs + in.buffer;
    case Source::Kind::spread:
      break;
  }
  return spread(s, in, first, n);
}

Flow run_group(Strand& s, const Group& g) {
  for (const GroupMicro& m : g.micros)
    for (int i = 0; i < m.n_in; ++i)
      if (m.in[i].kind == Source::Kind::periodic) spread(s, m.in[i], 0, std::min(g.strip, g.n));
      else if (m.in[i].kind == Source::Kind::splat)
        fill_carriers(static_cast<int>(m.in[i].bytes), s.regs + m.in[i].buffer,
                      std::min(g.strip, g.n), s.regs + m.in[i].place);
  for (int64_t first = 0; first < g.n; first += g.strip) {
    int64_t n = std::min(g.strip, g.n - first);
    for (const GroupMicro& m : g.micros) {
      StripArgs args{nullptr, {}, static_cast<size_t>(n), m.type, m.result, m.extra, s.regs};
      for (int i = 0; i < m.n_in; ++i) args.in[i] = prepare(s, m.in[i], first, n);
      args.d = s.regs + m.d.place + (m.d.kind == Source::Kind::direct ? first * m.d.bytes : 0);
      if (StripError e = m.fn(args); e != StripError::none) return strip_trap(s, e, m.pc);
    }
  }
  return Flow::next;
}

// Of an operand that repeats as a whole: how many result elements it takes once; else 0.
int64_t period_of(const Source& in) {
  if (in.kind == Source::Kind::direct || in.kind == Source::Kind::splat ||
      in.kind == Source::Kind::strip || in.spread.stride[0] != 0)
    return 0;
  int64_t period = 1;
  for (int d = 1; d < in.spread.rank; ++d) period *= in.spread.size[d];
  return period;
}

template <auto F>
Step group_step(Program& p, Group g, uint32_t pc, uint32_t count) {
  auto owner = std::make_shared<Group>(std::move(g));
  const void* decoded = owner.get();
  p.owned.push_back(std::move(owner));
  return {[](Strand& s, const void* d) { return F(s, *static_cast<const Group*>(d)); }, decoded, pc,
          count};
}

}  // namespace

namespace {

Flow run_nothing(Strand&, const void*) { return Flow::next; }

// Leaves out copies onto their own place. What they store, the micro that makes the value stores.
void drop_copies(std::vector<Micro>& micros, std::vector<bool>& stored) {
  size_t kept = 0;
  for (size_t i = 0; i < micros.size(); ++i) {
    bool in_place = micros[i].is_copy && micros[i].in[0].reg == micros[i].d.reg;
    if (!in_place) {
      micros[kept] = micros[i];
      stored[kept++] = stored[i];
      continue;
    }
    for (size_t m = kept; m-- > 0;)
      if (micros[m].d.reg == micros[i].d.reg) {
        stored[m] = stored[m] || stored[i];
        break;
      }
  }
  micros.resize(kept);
  stored.resize(kept);
}

}  // namespace

Step make_group(Program& p, std::vector<Micro> micros, std::vector<bool> stored) {
  uint32_t pc = micros[0].pc, count = static_cast<uint32_t>(micros.size());
  drop_copies(micros, stored);
  if (micros.empty()) return {run_nothing, nullptr, pc, count};
  Group g;
  g.n = micros[0].d.n;
  bool direct = micros.size() == 1;
  std::vector<size_t> last_use(micros.size(), 0);  // of a strip: the last micro that reads it
  for (size_t i = 0; i < micros.size(); ++i) {
    const Micro& m = micros[i];
    GroupMicro out{m.fn, {}, {}, m.n_in, m.type, m.d.type, m.extra, m.pc};
    for (int a = 0; a < m.n_in; ++a) {
      Source& in = out.in[a];
      in.place = m.in[a].reg;
      in.bytes = m.in[a].bytes();
      size_t maker = i;
      while (maker > 0 && micros[maker - 1].d.reg != m.in[a].reg) --maker;
      if (maker > 0 && !stored[maker - 1]) {
        in.kind = Source::Kind::strip;
        in.maker = maker - 1;
        last_use[maker - 1] = i;
        continue;
      }
      in.spread = spread_of(m.in[a].shape, m.in[a].n, m.d.shape, m.d.n);
      if (in.spread.direct()) continue;
      in.kind = in.spread.splat() ? Source::Kind::splat : Source::Kind::spread;
      if (int64_t period = period_of(in); period && period <= kMostStrip)
        in.kind = Source::Kind::periodic;
      direct = false;
    }
    out.d.place = m.d.reg;
    out.d.bytes = m.d.bytes();
    if (!stored[i]) out.d.kind = Source::Kind::strip;
    g.micros.push_back(out);
  }
  if (direct) return group_step<run_direct>(p, std::move(g), pc, count);

  // Buffers by number; one whose content is read for the last time is free for what comes after,
  // and a micro that allows it writes over an operand that dies there.
  std::vector<int64_t> buffer_bytes;
  std::vector<size_t> free;
  auto fresh = [&](int64_t bytes) {
    buffer_bytes.push_back(bytes);
    return buffer_bytes.size() - 1;
  };
  auto take = [&](int64_t bytes) -> size_t {
    for (size_t f = 0; f < free.size(); ++f)
      if (buffer_bytes[free[f]] == bytes) {
        size_t found = free[f];
        free.erase(free.begin() + static_cast<std::ptrdiff_t>(f));
        return found;
      }
    return fresh(bytes);
  };
  for (size_t i = 0; i < g.micros.size(); ++i) {
    GroupMicro& m = g.micros[i];
    std::vector<size_t> dying;
    for (int a = 0; a < m.n_in; ++a) {
      Source& in = m.in[a];
      if (in.kind == Source::Kind::strip) {
        in.buffer = g.micros[in.maker].d.buffer;
        if (last_use[in.maker] == i &&
            std::find(dying.begin(), dying.end(), in.buffer) == dying.end())
          dying.push_back(in.buffer);
      } else if (in.kind != Source::Kind::direct) {
        // What is made once per group needs a buffer that nothing else writes.
        bool once = in.kind != Source::Kind::spread;
        in.buffer = once ? fresh(in.bytes) : take(in.bytes);
        if (!once) dying.push_back(in.buffer);
      }
    }
    if (m.d.kind == Source::Kind::strip) {
      auto over = std::find_if(dying.begin(), dying.end(), [&](size_t b) {
        return micros[i].may_overwrite && buffer_bytes[b] == m.d.bytes;
      });
      if (over != dying.end()) {
        m.d.buffer = *over;
        dying.erase(over);
      } else {
        m.d.buffer = take(m.d.bytes);
      }
      if (last_use[i] <= i) dying.push_back(m.d.buffer);  // nothing reads it
    }
    free.insert(free.end(), dying.begin(), dying.end());
  }
  int64_t bytes_per_element = 1;
  for (int64_t bytes : buffer_bytes) bytes_per_element += bytes;
  g.strip = std::clamp(kStripBytes / bytes_per_element, kLeastStrip, kMostStrip) / 64 * 64;
  g.strip = std::min(g.strip, (g.n + 63) / 64 * 64);
  // Strips of whole periods see a repeated operand the same way each time.
  for (const GroupMicro& m : g.micros)
    for (int a = 0; a < m.n_in; ++a)
      if (m.in[a].kind == Source::Kind::periodic && period_of(m.in[a]) <= g.strip)
        g.strip = g.strip / period_of(m.in[a]) * period_of(m.in[a]);
  std::vector<uint64_t> place;
  uint64_t at = p.scratch_reg;
  for (int64_t bytes : buffer_bytes) {
    place.push_back(at);
    at += static_cast<uint64_t>((g.strip * bytes + 63) / 64 * 64);
  }
  for (GroupMicro& m : g.micros) {
    for (int a = 0; a < m.n_in; ++a) {
      Source& in = m.in[a];
      if (in.kind == Source::Kind::periodic && g.strip % period_of(in))
        in.kind = Source::Kind::spread;
      if (in.kind != Source::Kind::direct) in.buffer = place[in.buffer];
    }
    if (m.d.kind == Source::Kind::strip) m.d.place = place[m.d.buffer];
  }
  p.scratch_bytes = std::max(p.scratch_bytes, at - p.scratch_reg);
  return group_step<run_group>(p, std::move(g), pc, count);
}

}  // namespace tess::interp
