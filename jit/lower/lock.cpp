// lock, unlock, wait: one thread asks the word, with pauses, while its strand waits at a barrier.
#include <fmt/format.h>

#include "jit/lower/access.h"
#include "jit/lower/arith.h"
#include "jit/lower/atomic.h"
#include "jit/lower/guard.h"
#include "jit/lower/mbar.h"

namespace tess::jit {
namespace {

constexpr uint32_t kFirstPause = 32, kLongestPause = 1024;  // nanoseconds

struct Word {
  Operand base, offset;
  std::string place;  // "gpu.global"
  Operand inside;
};

Word word_of(Lowering& l) {
  Part part = l.part_of_arg(0);
  const TileLayout* one = l.intern(Layout{});
  Addresser where(l, part, *one);
  Word w;
  Address at = where.at(0);
  w.base = at.base;
  w.offset = b32(static_cast<uint32_t>(at.offset));
  w.place = fmt::format("{}.{}", scope_word(l, part.view),
                        part.view.space == Space::global ? "global" : "shared");
  w.inside = where.inside(0);
  fault_if(l, l.emit().not_(w.inside), diag::run_sync_bounds);
  return w;
}

// The first thread does `body` if the word exists.
template <class Body>
void on_word(Lowering& l, const Word& w, Body body) {
  in_first_thread(l, [&] {
    if (!w.inside.is_imm()) l.emit().begin_if(w.inside);
    body();
    if (!w.inside.is_imm()) l.emit().end();
  });
}

// Until `done`, which emits the question.
template <class Done>
void ask_until(Lowering& l, Done done) {
  Emit& e = l.emit();
  Operand pause = e.variable(RegClass::b32, "pause");
  e.assign(pause, b32(kFirstPause));
  Patience patience(l);
  e.begin_loop();
  e.control(BlockOp::break_if, {done()});
  patience.give_up_if_spent();
  e.begin_latch();
  Operand now = e.snapshot(pause);
  e.form("nanosleep.u32", {now});
  e.assign(pause, e.sel(e.ult(now, b32(kLongestPause)), e.shl(now, 1), now));
  e.end();
}

Compare comparison(const Lowering& l) {
  if (l.has(AttrTag::ne)) return Compare::ne;
  if (l.has(AttrTag::lt)) return Compare::lt;
  if (l.has(AttrTag::le)) return Compare::le;
  if (l.has(AttrTag::gt)) return Compare::gt;
  return l.has(AttrTag::ge) ? Compare::ge : Compare::eq;
}

}  // namespace

LOWER(lock) {
  Emit& e = l.emit();
  Word w = word_of(l);
  on_word(l, w, [&] {
    ask_until(l, [&] {
      Operand held = e.form1(fmt::format("atom.acquire.{}.cas.b32", w.place),
                             {w.base, w.offset, b32(0), b32(1)});
      return e.eq(held, b32(0));
    });
  });
  l.barrier();
}

LOWER(unlock) {
  Word w = word_of(l);
  l.barrier();
  on_word(l, w, [&] {
    Operand held = l.emit().form1(fmt::format("atom.release.{}.exch.b32", w.place),
                                  {w.base, w.offset, b32(0)});
    fault_if(l, l.emit().eq(held, b32(0)), diag::run_unlock);
  });
}

LOWER(wait) {
  Emit& e = l.emit();
  Word w = word_of(l);
  Tile v = l.arg(1);
  Compare compare = comparison(l);
  const char* order = l.has(AttrTag::relaxed) ? "relaxed" : "acquire";
  bool global = w.place.ends_with("global");
  on_word(l, w, [&] {
    ask_until(l, [&] {
      Operand found;
      if (global)
        found = e.form1(fmt::format("ld.{}.{}.b{}", order, w.place, int{v.type.bits}),
                        {w.base, w.offset});
      else
        found = e.form1(fmt::format("atom.{}.{}.or.b{}", order, w.place, int{v.type.bits}),
                        {w.base, w.offset, Operand::imm(0, word_class(v.type))});
      return compare_elements(l, compare, v.type, found, v.words[0]);
    });
  });
  l.barrier();
}

}  // namespace tess::jit
