#include "jit/ptxsim/access.h"

#include <fmt/format.h>

#include "isa/diag/sim.h"
#include "jit/ptxsim/decode.h"
#include "jit/ptxsim/lanes.h"

namespace tess::ptxsim {

std::string describe_address(const Warp& w, Space space, uint64_t a) {
  if (space == Space::generic) {
    if (a - kSharedWindow < (1ull << 32)) space = Space::shared, a -= kSharedWindow;
    else if (a - kLocalWindow < (1ull << 32)) space = Space::local, a -= kLocalWindow;
    else if (a - kParamWindow < (1ull << 32)) space = Space::param, a -= kParamWindow;
    else space = Space::global;
  }
  switch (space) {
    case Space::shared: {
      uint32_t rank = uint32_t(a >> kRankShift);
      uint64_t offset = a & ((1u << kRankShift) - 1);
      std::string name;
      const Program& p = *w.program;
      for (size_t i = 0; i < p.shared_offset.size(); ++i) {
        const Variable& v = p.module->vars[i];
        uint64_t start = p.shared_offset[i], size = v.bytes ? v.bytes : w.launch->dynamic_shared;
        if (start != UINT32_MAX && offset >= start && offset < start + std::max<uint64_t>(size, 1))
          name = fmt::format(" ({}+{})", v.name, offset - start);
      }
      return rank ? fmt::format("shared memory of block rank {} at {:#x}{}", rank - 1, offset, name)
                  : fmt::format("shared memory at {:#x}{}", offset, name);
    }
    case Space::local:
      return fmt::format("local memory at {:#x}", a);
    case Space::param:
      return fmt::format("parameter memory at {:#x}", a);
    default: {
      // The nearest allocation tells what was probably meant.
      const Allocation* best = nullptr;
      for (auto& [base, al] : w.launch->memory->all())
        if (base <= a) best = al.get();
      if (best && a < best->base + best->bytes)
        return fmt::format("{:#x}, offset {} of {} ({} bytes)", a, a - best->base, best->name,
                           best->bytes);
      if (best && a - best->base < (4ull << 30))
        return fmt::format("{:#x}, {} bytes behind the end of {} ({} bytes)", a,
                           a - best->base - best->bytes, best->name, best->bytes);
      return fmt::format("{:#x}", a);
    }
  }
}

Block* shared_owner(Warp& w, uint64_t address) {
  uint64_t rank = address >> kRankShift;
  if (rank == 0) return w.block;
  return rank - 1 < w.cluster->blocks.size() ? w.cluster->blocks[rank - 1].get() : nullptr;
}

static bool fault(Warp& w, const Op& op, int lane, Diag code, Space space, uint64_t a,
                  uint32_t bytes, std::string why) {
  report_fault(
      w, op, lane, code,
      fmt::format("{} of {} bytes at {}: {}", std::string(w.program->sites[w.op_index(op)].opcode),
                  bytes, describe_address(w, space, a), why));
  return false;
}

bool locate(Warp& w, const Op& op, int lane, Space space, uint64_t a, uint32_t bytes,
            uint32_t align, Intent intent, Located& out) {
  uint64_t original = a;
  Space asked = space;
  if (space == Space::generic) {
    if (a - kSharedWindow < (1ull << 32)) space = Space::shared, a -= kSharedWindow;
    else if (a - kLocalWindow < (1ull << 32)) space = Space::local, a -= kLocalWindow;
    else if (a - kParamWindow < (1ull << 32)) space = Space::param, a -= kParamWindow;
    else space = Space::global;
  }
  if (a & (align - 1))
    return fault(w, op, lane, diag::kSimMisaligned, asked, original, bytes,
                 fmt::format("must be a multiple of {}", align));
  out.space = space;
  out.valid = nullptr;
  out.shadow = nullptr;
  switch (space) {
    case Space::shared: {
      Block* b = w.block;
      if (a >> kRankShift) {
        b = shared_owner(w, a);
        if (!b)
          return fault(w, op, lane, diag::kSimOutOfBounds, asked, original, bytes,
                       "there is no such block in the cluster");
        if (b != w.block && b->live_threads == 0)
          return fault(w, op, lane, diag::kSimClusterExit, asked, original, bytes,
                       "that block has ended");
        a &= (1u << kRankShift) - 1;
      }
      if (a < kSharedStart || a + bytes > w.launch->shared_end)
        return fault(
            w, op, lane, diag::kSimOutOfBounds, asked, original, bytes,
            fmt::format("the block has {} bytes of shared memory, from {:#x} to {:#x}",
                        w.launch->shared_end - kSharedStart, kSharedStart, w.launch->shared_end));
      out.bytes = b->shared.data() + a;
      out.valid = b->shared_valid.empty() ? nullptr : b->shared_valid.data() + a;
      out.shadow = b->shared_shadow.get();
      out.offset = a;
      out.object = 1ull << 63 | uint64_t(b->rank + 1) << 40 | a;
      out.owner = b;
      out.shared_address = uint32_t(a);
      return true;
    }
    case Space::local: {
      if (a + bytes > w.local_bytes || a > w.local_bytes)
        return fault(w, op, lane, diag::kSimOutOfBounds, asked, original, bytes,
                     fmt::format("the thread has {} bytes of local memory", w.local_bytes));
      size_t at = size_t(lane) * w.local_bytes + a;
      out.bytes = w.local.data() + at;
      out.valid = w.local_valid.empty() ? nullptr : w.local_valid.data() + at;
      return true;
    }
    case Space::param: {
      const Op& o = op;
      (void)o;
      if (intent != Intent::read)
        return fault(w, op, lane, diag::kSimReadOnly, asked, original, bytes,
                     "kernel parameters cannot be written");
      if (a + bytes > w.launch->params.size() || a > w.launch->params.size())
        return fault(w, op, lane, diag::kSimOutOfBounds, asked, original, bytes,
                     fmt::format("the parameters take {} bytes", w.launch->params.size()));
      out.bytes = w.launch->params.data() + a;
      return true;
    }
    default: {
      Allocation* al = w.last_allocation;
      if (!al || a - al->base >= al->bytes) al = w.launch->memory->find(a);
      if (!al || a < al->base || a - al->base > al->bytes || al->bytes - (a - al->base) < bytes)
        return fault(w, op, lane, diag::kSimOutOfBounds, asked, original, bytes,
                     "outside of every allocation");
      w.last_allocation = al;
      uint64_t at = a - al->base;
      if (al->read_only && intent != Intent::read)
        return fault(w, op, lane, diag::kSimReadOnly, asked, original, bytes,
                     fmt::format("{} is constant", al->name));
      out.bytes = al->data.get() + at;
      out.valid = al->valid ? al->valid.get() + at : nullptr;
      out.shadow = al->shadow.get();
      out.offset = at;
      out.object = a;
      out.allocation = al;
      out.space = Space::global;
      return true;
    }
  }
}

bool all_valid(const Located& at, uint32_t bytes) {
  if (!at.valid) return true;
  for (uint32_t i = 0; i < bytes; ++i)
    if (!load_word<Word8>(at.valid + i)) return false;
  return true;
}

Flow report_uninit_memory(Warp& w, const Op& op, int lane, Space space, uint64_t address) {
  report_finding(*w.launch,
                 make_finding(w, w.op_index(op), lane, diag::kSimUninitMemory,
                              fmt::format("reads {}, which nobody has written",
                                          describe_address(w, space, address))),
                 false, uint64_t(w.op_index(op)) | 2ull << 40);
  return Flow::next;
}

namespace {

// Loads and stores. k[0] element bytes, k[1] elements, k[2] sign-extend, k[3] space, k[4] 0 weak
// 1 strong 2 acquire or release, k[5] scope, k[6] 1 if register rows are 64-bit (2: 128-bit pairs),
// k[7] bit 0: device-function parameter space; args: register rows.
inline uint64_t load_bytes(const uint8_t* p, int n) {
  return n == 1   ? load_word<Word8>(p)
         : n == 2 ? load_word<Word16>(p)
         : n == 4 ? load_word<Word32>(p)
                  : load_word<Word64>(p);
}
inline void store_bytes(uint8_t* p, uint64_t v, int n) {
  if (n == 1) store_word<Word8>(p, uint8_t(v));
  else if (n == 2) store_word<Word16>(p, uint16_t(v));
  else if (n == 4) store_word<Word32>(p, uint32_t(v));
  else store_word<Word64>(p, v);
}

void count_memory(Warp& w, const Op& op, uint32_t mask, Space space, const uint64_t* addresses,
                  uint32_t bytes) {
  if (!w.launch->options.stats) return;
  SiteStats& s = w.cluster->stats.sites[w.op_index(op)];
  ++s.requests;
  if (space == Space::generic) {
    uint64_t a = addresses[std::countr_zero(mask)];
    space = a - kSharedWindow < (1ull << 32) ? Space::shared
            : a >= kArenaBase                ? Space::global
                                             : Space::local;
  }
  if (space == Space::global) {
    // Sectors of 32 bytes, counted once per request.
    uint64_t seen[32], last = ~0ull;
    int n = 0;
    each_lane(mask, [&](int l) {
      for (uint64_t sector = addresses[l] >> 5; sector <= (addresses[l] + bytes - 1) >> 5;
           ++sector) {
        if (sector == last) continue;
        last = sector;
        bool known = false;
        for (int i = n - 1; i >= 0 && !known; --i) known = seen[i] == sector;
        if (!known) {
          if (n < 32) seen[n++] = sector;
          ++s.sectors;
        }
      }
    });
  } else if (space == Space::shared) {
    // Passes: lanes of a quarter (16 bytes), half (8) or whole (4 and less) warp go together; each
    // pass takes as many wavefronts as the most distinct words in one bank.
    uint32_t lanes_together = bytes >= 16 ? 8 : bytes == 8 ? 16 : 32;
    for (uint32_t first = 0; first < 32; first += lanes_together) {
      uint32_t part = mask & (lanes_together == 32 ? ~0u : ((1u << lanes_together) - 1) << first);
      if (!part) continue;
      uint32_t words[32][4], count[32] = {}, most = 1;
      each_lane(part, [&](int l) {
        for (uint64_t word = addresses[l] >> 2; word <= (addresses[l] + bytes - 1) >> 2; ++word) {
          uint32_t bank = word & 31;
          bool known = false;
          for (uint32_t i = 0; i < std::min(count[bank], 4u) && !known; ++i)
            known = words[bank][i] == uint32_t(word);
          if (known) continue;
          if (count[bank] < 4) words[bank][count[bank]] = uint32_t(word);
          most = std::max(most, ++count[bank]);
        }
      });
      s.wavefronts += most;
      ++s.ideal;
    }
  }
}

Flow load(Warp& w, const Op& op, uint32_t mask) {
  const Row* rows = w.args(op);
  int n = op.k[0], count = op.k[1];
  uint32_t bytes = uint32_t(n) * uint32_t(count);
  Space space = Space(op.k[3]);
  uint64_t addresses[32];
  bool races = w.cluster->race != nullptr;
  for (uint32_t m = mask; m; m &= m - 1) {
    int l = std::countr_zero(m);
    uint64_t a = addresses[l] = lane_address(w, op, l);
    Located at;
    if (!locate(w, op, l, space, a, bytes, bytes, Intent::read, at)) return Flow::stop;
    bool written = all_valid(at, bytes);
    for (int i = 0; i < count; ++i) {
      Row r = rows[i];
      if (n == 16) {
        w.row64(r)[l] = load_bytes(at.bytes + 16 * i, 8);
        w.row64(r + 64)[l] = load_bytes(at.bytes + 16 * i + 8, 8);
      } else {
        uint64_t v = load_bytes(at.bytes + n * i, n);
        if (op.k[2]) v = uint64_t(int64_t(v << (64 - 8 * n)) >> (64 - 8 * n));
        if (op.k[6]) w.row64(r)[l] = v;
        else w.row32(r)[l] = op.k[8] == 16 ? uint32_t(v & 0xffff) : uint32_t(v);
      }
      if (!written) {
        Located part = at;
        part.valid += n * i;
        if (!all_valid(part, uint32_t(n))) poison(w, r, l);
      }
    }
    if (races && at.shadow) {
      race_access(w, op, l, at, bytes, op.k[4] ? Touch::strong_read : Touch::read, Scope(op.k[5]));
      if (op.k[4]) race_acquire(w, l, at.object, Scope(op.k[5]), op.k[4] == 2);
    }
  }
  if (space != Space::param && space != Space::local)
    count_memory(w, op, mask, space, addresses, bytes);
  if (op.k[4]) ++w.polls;
  return Flow::next;
}

Flow store(Warp& w, const Op& op, uint32_t mask) {
  const Row* rows = w.args(op);
  int n = op.k[0], count = op.k[1];
  uint32_t bytes = uint32_t(n) * uint32_t(count);
  Space space = Space(op.k[3]);
  uint64_t addresses[32];
  bool races = w.cluster->race != nullptr;
  for (uint32_t m = mask; m; m &= m - 1) {
    int l = std::countr_zero(m);
    uint64_t a = addresses[l] = lane_address(w, op, l);
    Located at;
    if (!locate(w, op, l, space, a, bytes, bytes, Intent::write, at)) return Flow::stop;
    if (races && at.shadow) {
      race_access(w, op, l, at, bytes, op.k[4] ? Touch::strong_write : Touch::write,
                  Scope(op.k[5]));
      if (op.k[4]) race_release(w, l, at.object, Scope(op.k[5]), false, op.k[4] == 2);
    }
    for (int i = 0; i < count; ++i) {
      Row r = rows[i];
      if (n == 16) {
        store_bytes(at.bytes + 16 * i, w.row64(r)[l], 8);
        store_bytes(at.bytes + 16 * i + 8, w.row64(r + 64)[l], 8);
      } else {
        store_bytes(at.bytes + n * i, op.k[6] ? w.row64(r)[l] : w.row32(r)[l], n);
      }
    }
    mark_valid(at, bytes);
  }
  if (space != Space::param && space != Space::local) {
    count_memory(w, op, mask, space, addresses, bytes);
    progress(w);
  }
  return Flow::next;
}

int extent(Builder& b) { return b.has("v2") ? 2 : b.has("v4") ? 4 : b.has("v8") ? 8 : 1; }

// The register operands of a load or store: {a, b} or one.
bool value_rows(Builder& b, size_t i, int bits, int count, bool destination) {
  const Operand& o = b.in.operands[i];
  std::vector<const Operand*> list;
  if (o.kind == OpKind::vector)
    for (auto& e : o.elems) list.push_back(&e);
  else list.push_back(&o);
  if (int(list.size()) != count)
    return b.fail(fmt::format("{} registers are needed, found {}", count, list.size()));
  // Registers may be wider than the type.
  int wide = bits > 64 ? 128 : 0;
  if (!wide) {
    wide = bits > 32 ? 64 : 32;
    for (auto* e : list)
      if (b.register_bits(*e) == 64) wide = 64;
  }
  b.op.k[6] = wide == 64 ? 1 : wide == 128 ? 2 : 0;
  b.op.k[8] = 0;
  for (auto* e : list) {
    if (destination && b.register_bits(*e) == 16) b.op.k[8] = 16;
    b.add_arg(destination ? b.destination(*e, wide) : b.source(*e, wide));
  }
  return b.ok();
}

bool memory_modes(Builder& b, bool is_store) {
  std::string_view t = b.last_mod();
  int bits = Builder::bits_of(t);
  b.op.k[0] = uint8_t(bits / 8);
  b.op.k[1] = uint8_t(extent(b));
  if (b.op.k[0] * b.op.k[1] > 16) return b.fail("a vector access is at most 16 bytes wide");
  b.op.k[2] = t[0] == 's';
  Space space = b.space();
  const Operand& address = b.in.operands[is_store ? 0 : 1];
  // Parameters of device functions and call arguments live in the frame.
  if (space == Space::param || space == Space::generic) {
    if (b.op.k[9] == kBaseFrame) space = Space::local;
    else if (space == Space::param && !b.function.source->entry && !address.elems.empty() &&
             address.elems[0].kind == OpKind::reg)
      space = Space::local;
    else if (space == Space::param && is_store)
      return b.fail("kernel parameters cannot be written");
  }
  if (space == Space::constant) space = Space::global;
  b.op.k[3] = uint8_t(space);
  bool strong = b.has("relaxed") || b.has("volatile") || b.has("mmio");
  b.op.k[4] = b.has("acquire") || b.has("release") ? 2 : strong ? 1 : 0;
  b.op.k[5] = uint8_t(b.op.k[4] ? scope_of(b, Scope::sys) : Scope::none);
  if (b.op.k[4] && !is_store) b.op.flags |= kFlagPolls;
  if (b.op.k[4] && (space == Space::global || space == Space::generic))
    b.op.flags |= kFlagGlobalSync;
  return true;
}

Flow hint(Warp&, const Op&, uint32_t) { return Flow::next; }

Flow discard(Warp& w, const Op& op, uint32_t mask) {
  Flow f = Flow::next;
  each_lane(mask, [&](int l) {
    Located at;
    if (f == Flow::next &&
        !locate(w, op, l, Space(op.k[3]), lane_address(w, op, l), 128, 128, Intent::write, at))
      f = Flow::stop;
    if (f == Flow::next && at.shadow && w.cluster->race)
      race_access(w, op, l, at, 128, Touch::write, Scope::none);
  });
  return f;
}

Flow policy(Warp& w, const Op& op, uint32_t mask) {
  uint64_t* d = w.row64(op.a[0]);
  each_lane(mask, [&](int l) { d[l] = 0x1000000000000000ull; });
  return Flow::next;
}

}  // namespace

bool build_load(Builder& b) {
  if (!b.expect_operands(2, 3)) return false;
  if (b.count() == 3 && !b.has("L2::cache_hint"))
    return b.fail("a third operand needs .L2::cache_hint");
  if (!b.address(1)) return false;
  if (!memory_modes(b, false)) return false;
  if (!value_rows(b, 0, b.op.k[0] * 8, b.op.k[1], true)) return false;
  b.op.exec = load;
  return true;
}

bool build_store(Builder& b) {
  if (!b.expect_operands(2, 3)) return false;
  if (b.count() == 3 && !b.has("L2::cache_hint"))
    return b.fail("a third operand needs .L2::cache_hint");
  if (!b.address(0)) return false;
  if (!memory_modes(b, true)) return false;
  if (!value_rows(b, 1, b.op.k[0] * 8, b.op.k[1], false)) return false;
  if (Space(b.op.k[3]) == Space::local) b.op.flags |= kFlagMoves;
  b.op.exec = store;
  return true;
}

bool build_hint_only(Builder& b) {
  b.op.exec = hint;
  if (b.opcode() != "pmevent" && !b.address(0)) return false;
  b.used.clear();
  return true;
}

bool build_discard(Builder& b) {
  if (!b.expect_operands(2) || !b.address(0)) return false;
  b.op.k[3] = uint8_t(b.space());
  b.op.exec = discard;
  return true;
}

bool build_create_policy(Builder& b) {
  if (b.count() < 1) return b.fail("needs a destination");
  b.op.a[0] = b.destination(0, 64);
  b.op.exec = policy;
  return true;
}

}  // namespace tess::ptxsim
