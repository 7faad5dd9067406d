#include "vm/interp/flights.h"

#include <fmt/format.h>

#include <cstring>

#include "isa/diag/run.h"
#include "vm/interp/atomics.h"
#include "vm/interp/bulk.h"
#include "vm/interp/memory_ops.h"
#include "vm/interp/unit.h"

namespace tess::interp {
namespace {

void perform(Transfer& t) {
  if (!t.from_gather.empty()) t.from.gather = t.from_gather.data();
  if (!t.to_gather.empty()) t.to.gather = t.to_gather.data();
  DType type = t.to.type;
  int bytes = carrier_bytes(carrier_of(type));
  int64_t n = t.to.elements();
  std::vector<uint8_t> tile = std::move(t.value);
  if (tile.empty()) {
    tile.resize(static_cast<size_t>(n * bytes));
    fill_carriers(bytes, tile.data(), n, &t.pad);
    walk(t.from, [&](const Run& run) { load_run(type, t.from.base, run, tile.data()); });
  }
  for (size_t i = 0; i < t.mask.size(); ++i)
    if (!t.mask[i])
      std::memcpy(tile.data() + i * static_cast<size_t>(bytes), &t.pad, static_cast<size_t>(bytes));
  walk(t.to, [&](const Run& run) {
    if (!t.combine) {
      store_run(type, tile.data(), t.to.base, run);
      if (t.to.written) mark_written(*t.to.written, type, run);
      return;
    }
    for (int64_t i = 0; i < run.n; ++i) {
      Run one = single(run, i);
      uint64_t old = read_bits(t.to.base, one.bit, type.bits);
      uint64_t v = carrier_code(type, tile.data(), static_cast<size_t>(one.tile));
      write_bits(t.to.base, one.bit, type.bits, atomic_combined(*t.combine, type, old, v, 0));
      if (t.to.written) mark_written(*t.to.written, type, one);
    }
  });
}

bool is_copy_of(const Flight& f, const Strand* s, Agent kind, uint32_t clock) {
  return f.issuer == s && !f.arrival && f.signals.empty() && f.kind == kind && f.clock <= clock;
}

Flow complete(Unit& u, Flight f) {
  if (u.launch->ordered) ++u.launch->memory_changes;
  for (Transfer& t : f.transfers) perform(t);
  for (const Flight::Signal& signal : f.signals) {
    if (signal.use.slot->phase != signal.use.phase) {
      Strand& s = *f.issuer;
      s.running = f.pc;
      u.failed = &s;
      if (f.arrival) return want_arrival(s, signal.use, "the arrival of copies at");
      return trap(
          s, diag::run_mbar_bytes,
          fmt::format("{} bytes come to {} after its phase {} has ended: nothing expected them",
                      signal.bytes, use_text(s, signal.use), signal.use.phase),
          "`mbar.expect` them before the phase's last arrival");
    }
    expect(signal.use, -signal.bytes);
  }
  if (f.arrival) arrive(f.signals[0].use, f.knows);
  return Flow::next;
}

Flow take(Unit& u, size_t i) {
  Flight f = std::move(u.flights[i]);
  u.flights.erase(u.flights.begin() + static_cast<std::ptrdiff_t>(i));
  return complete(u, std::move(f));
}

}  // namespace

Flow launch_flight(Strand& s, Flight f) {
  Unit& u = *s.home->unit;
  f.id = u.next_flight++;
  f.issuer = &s;
  f.pc = s.running;
  if (s.launch->options->async == Async::early) return complete(u, std::move(f));
  u.flights.push_back(std::move(f));
  return Flow::next;
}

Flow complete_groups(Strand& s, Agent kind, uint32_t clock) {
  Unit& u = *s.home->unit;
  for (size_t i = 0; i < u.flights.size();) {
    if (!is_copy_of(u.flights[i], &s, kind, clock)) ++i;
    else if (take(u, i) != Flow::next) return Flow::trap;
  }
  return Flow::next;
}

bool complete_one(Unit& u, bool random, bool& trapped) {
  trapped = false;
  if (u.flights.empty()) return false;
  size_t i = random ? u.random() % u.flights.size() : 0;
  if (u.flights[i].arrival) {
    // The copies that it stands for come first.
    const Flight& f = u.flights[i];
    for (size_t j = 0; j < u.flights.size(); ++j)
      if (is_copy_of(u.flights[j], f.issuer, Agent::copy, f.clock)) {
        i = j;
        break;
      }
  }
  trapped = take(u, i) != Flow::next;
  return true;
}

}  // namespace tess::interp
