// Branches, calls, exits, traps, printf, and the small instructions around control flow.
#include <fmt/format.h>

#include "isa/diag/sim.h"
#include "jit/ptxsim/access.h"
#include "jit/ptxsim/control.h"
#include "jit/ptxsim/lanes.h"

namespace tess::ptxsim {
namespace {

constexpr uint32_t kMaxCallDepth = 512;
constexpr uint32_t kMaxLocalBytes = 512u << 10;

// The warp's loop has put the program counters of the group's other lanes behind the operation.
Flow branch(Warp& w, const Op& op, uint32_t mask) {
  each_lane(mask, [&](int l) { w.pc[l] = op.target; });
  return Flow::jump;
}

Flow branch_index(Warp& w, const Op& op, uint32_t mask) {
  const auto& table = w.program->branch_tables[size_t(op.imm)];
  Flow f = Flow::jump;
  each_lane(mask, [&](int l) {
    uint32_t i = w.row32(op.a[0])[l];
    if (i >= table.size()) {
      if (f == Flow::jump)
        f = report_fault(w, op, l, diag::kSimBadControl,
                         fmt::format("branch index {} of a list of {} targets", i, table.size()));
    } else {
      w.pc[l] = table[i];
    }
  });
  return f;
}

bool grow_local(Warp& w, uint32_t need) {
  if (need <= w.local_bytes) return true;
  if (need > kMaxLocalBytes) return false;
  uint32_t bytes = std::min(kMaxLocalBytes, std::max(need, w.local_bytes * 2));
  std::vector<uint8_t> data(size_t(bytes) * 32), valid(w.check_init ? size_t(bytes) * 32 : 0);
  for (int l = 0; l < 32; ++l) {
    std::memcpy(&data[size_t(l) * bytes], w.local.data() + size_t(l) * w.local_bytes,
                w.local_bytes);
    if (w.check_init)
      std::memcpy(&valid[size_t(l) * bytes], w.local_valid.data() + size_t(l) * w.local_bytes,
                  w.local_bytes);
  }
  w.local.swap(data);
  w.local_valid.swap(valid);
  w.local_bytes = bytes;
  return true;
}

uint8_t* frame_bytes(Warp& w, int l, uint32_t offset) {
  return w.local.data() + size_t(l) * w.local_bytes + offset;
}

void save_registers(Warp& w, const ProgramFunction& f, int l, std::vector<uint32_t>& out) {
  const Function& s = *f.source;
  for (size_t i = 0; i < s.regs.size(); ++i) {
    if (s.regs[i].kind == 'p') {
      out.push_back((w.preds[f.preds[i]] >> l) & 1);
    } else if (s.regs[i].bits <= 32) {
      out.push_back(w.row32(f.rows[i])[l]);
    } else {
      for (int part = 0; part < (s.regs[i].bits > 64 ? 2 : 1); ++part) {
        uint64_t v = w.row64(f.rows[i] + 64 * part)[l];
        out.push_back(uint32_t(v));
        out.push_back(uint32_t(v >> 32));
      }
    }
  }
}
void restore_registers(Warp& w, const ProgramFunction& f, int l, const std::vector<uint32_t>& in) {
  const Function& s = *f.source;
  size_t at = 0;
  for (size_t i = 0; i < s.regs.size(); ++i) {
    if (s.regs[i].kind == 'p') {
      uint32_t& p = w.preds[f.preds[i]];
      p = (p & ~(1u << l)) | in[at++] << l;
    } else if (s.regs[i].bits <= 32) {
      w.row32(f.rows[i])[l] = in[at++];
    } else {
      for (int part = 0; part < (s.regs[i].bits > 64 ? 2 : 1); ++part, at += 2)
        w.row64(f.rows[i] + 64 * part)[l] = uint64_t(in[at + 1]) << 32 | in[at];
    }
  }
}

Flow enter(Warp& w, const Op& op, int l, uint32_t callee) {
  const Program& p = *w.program;
  const ProgramFunction& to = p.functions[callee];
  Lane& lane = w.lane[l];
  if (lane.calls.size() >= kMaxCallDepth)
    return report_fault(w, op, l, diag::kSimBadControl,
                        fmt::format("calls nest deeper than {}", kMaxCallDepth));
  uint32_t base = lane.frame + p.functions[lane.function].frame_bytes + lane.extra;
  if (!grow_local(w, base + to.frame_bytes))
    return report_fault(w, op, l, diag::kSimLimit, "the thread's stack grows beyond 512 KiB");
  const Instruction& in = *p.sites[w.op_index(op)].instruction;
  // Arguments: by position from the caller's .param variables into the callee's.
  const ProgramFunction& from = p.functions[lane.function];
  const Operand* args = nullptr;
  for (size_t i = 1; i < in.operands.size(); ++i)
    if (in.operands[i].kind == OpKind::vector &&
        (in.operands[i - 1].kind == OpKind::function || in.operands[i - 1].kind == OpKind::reg))
      args = &in.operands[i];
  size_t given = args ? args->elems.size() : 0;
  if (given != to.source->params.size())
    return report_fault(w, op, l, diag::kSimBadControl,
                        fmt::format("'{}' takes {} arguments, {} are given", to.source->name,
                                    to.source->params.size(), given));
  for (size_t i = 0; i < given; ++i) {
    int32_t src = args->elems[i].index, dst = to.source->params[i];
    uint64_t n = std::min(from.source->vars[src].bytes, to.source->vars[dst].bytes);
    std::memcpy(frame_bytes(w, l, base + to.var_offset[dst]),
                frame_bytes(w, l, lane.frame + from.var_offset[src]), n);
    if (w.check_init)
      std::memcpy(&w.local_valid[size_t(l) * w.local_bytes + base + to.var_offset[dst]],
                  &w.local_valid[size_t(l) * w.local_bytes + lane.frame + from.var_offset[src]], n);
  }
  Frame f;
  f.return_pc = w.op_index(op) + 1;
  f.function = callee;
  f.caller = lane.function;
  f.base = lane.frame;
  f.extra = lane.extra;
  lane.extra = 0;
  if (to.recursive) save_registers(w, to, l, f.saved);
  lane.calls.push_back(std::move(f));
  lane.frame = base;
  lane.function = callee;
  w.pc[l] = to.first_op;
  if (w.check_init) {
    for (Row r = to.first_row; r < to.end_row; r += 32) w.init[r >> 5] &= ~(1u << l);
    for (int32_t q = to.first_pred; q < to.end_pred; ++q) w.pred_init[q] &= ~(1u << l);
  }
  return Flow::jump;
}

Flow call(Warp& w, const Op& op, uint32_t mask) {
  Flow f = Flow::jump;
  each_lane(mask, [&](int l) {
    if (f != Flow::jump) return;
    uint32_t callee = uint32_t(op.imm);
    if (op.k[0]) {
      uint64_t v = w.row64(op.a[0])[l];
      if (v == 0 || v > w.program->functions.size() || w.program->functions[v - 1].source->entry) {
        f = report_fault(w, op, l, diag::kSimBadControl,
                         fmt::format("indirect call of {:#x}, which is no function", v));
        return;
      }
      callee = uint32_t(v - 1);
    }
    f = enter(w, op, l, callee);
  });
  return f;
}

Flow leave(Warp& w, const Op& op, uint32_t mask) {
  const Program& p = *w.program;
  uint32_t ended = 0;
  each_lane(mask, [&](int l) {
    Lane& lane = w.lane[l];
    if (lane.calls.empty() || op.k[0]) {
      ended |= 1u << l;
      return;
    }
    Frame f = std::move(lane.calls.back());
    lane.calls.pop_back();
    const Instruction& in = *p.sites[f.return_pc - 1].instruction;
    const ProgramFunction &callee = p.functions[f.function], &caller = p.functions[f.caller];
    if (!in.operands.empty() && in.operands[0].kind == OpKind::vector && in.operands.size() > 1) {
      const auto& out = in.operands[0].elems;
      for (size_t i = 0; i < out.size() && i < callee.source->returns.size(); ++i) {
        int32_t dst = out[i].index, src = callee.source->returns[i];
        uint64_t n = std::min(caller.source->vars[dst].bytes, callee.source->vars[src].bytes);
        std::memcpy(frame_bytes(w, l, f.base + caller.var_offset[dst]),
                    frame_bytes(w, l, lane.frame + callee.var_offset[src]), n);
        if (w.check_init)
          std::memcpy(
              &w.local_valid[size_t(l) * w.local_bytes + f.base + caller.var_offset[dst]],
              &w.local_valid[size_t(l) * w.local_bytes + lane.frame + callee.var_offset[src]], n);
      }
    }
    if (callee.recursive) {
      restore_registers(w, callee, l, f.saved);
      for (Row r = callee.first_row; r < callee.end_row; r += 32)
        if (w.check_init) w.init[r >> 5] |= 1u << l;
      for (int32_t q = callee.first_pred; q < callee.end_pred; ++q)
        if (w.check_init) w.pred_init[q] |= 1u << l;
    }
    lane.frame = f.base;
    lane.extra = f.extra;
    lane.function = f.caller;
    w.pc[l] = f.return_pc;
  });
  if (ended) {
    end_lanes(w, ended);
    return ended == mask ? Flow::done : Flow::jump;
  }
  return Flow::jump;
}

std::string read_text(Warp& w, uint64_t a) {
  std::string s;
  Allocation* al = w.launch->memory->find(a);
  if (!al || a < al->base) return s;
  for (uint64_t i = a - al->base; i < al->bytes && al->data[i] && s.size() < 4096; ++i)
    s += char(al->data[i]);
  return s;
}

// One conversion of a printf format at a time; arguments lie in the buffer, 4- or 8-byte aligned.
std::string format_text(Warp& w, int l, const std::string& f, uint64_t buffer) {
  std::string out;
  uint64_t at = 0;
  uint64_t local = buffer - kLocalWindow;
  auto fetch = [&](uint32_t n) -> uint64_t {
    at = (at + n - 1) / n * n;
    uint64_t v = 0;
    if (local < (1ull << 32) && local + at + n <= w.local_bytes)
      std::memcpy(&v, frame_bytes(w, l, uint32_t(local + at)), n);
    at += n;
    return v;
  };
  for (size_t i = 0; i < f.size(); ++i) {
    if (f[i] != '%') {
      out += f[i];
      continue;
    }
    if (i + 1 < f.size() && f[i + 1] == '%') {
      out += '%';
      ++i;
      continue;
    }
    std::string spec = "%";
    ++i;
    while (i < f.size() && std::strchr("-+ #0123456789.", f[i]) && spec.size() < 20) spec += f[i++];
    int longs = 0;
    while (i < f.size() && std::strchr("lhzjt", f[i]))
      longs += f[i] == 'l' || f[i] == 'z' || f[i] == 'j' || f[i] == 't', ++i;
    if (i >= f.size()) break;
    char c = f[i], text[512] = "";
    int width = std::atoi(spec.c_str() + 1);
    if (width > 200 || width < -200) spec = "%";
    size_t dot = spec.find('.');
    if (dot != spec.npos && std::atoi(spec.c_str() + dot + 1) > 100) spec.resize(dot);
    if (std::strchr("di", c))
      std::snprintf(text, sizeof text, (spec + "lld").c_str(),
                    longs ? (long long)(int64_t(fetch(8))) : (long long)(int32_t(fetch(4))));
    else if (std::strchr("uxXo", c))
      std::snprintf(
          text, sizeof text, (spec + "ll" + c).c_str(),
          longs ? (unsigned long long)(fetch(8)) : (unsigned long long)(uint32_t(fetch(4))));
    else if (std::strchr("fFeEgGaA", c))
      std::snprintf(text, sizeof text, (spec + c).c_str(), std::bit_cast<double>(fetch(8)));
    else if (c == 'c') text[0] = char(fetch(4)), text[1] = 0;
    else if (c == 'p') std::snprintf(text, sizeof text, "0x%llx", (unsigned long long)(fetch(8)));
    else if (c == 's') {
      out += read_text(w, fetch(8));
      continue;
    }
    out += text;
  }
  return out;
}

// k[0] 0 vprintf, 1 __assertfail
Flow system_call(Warp& w, const Op& op, uint32_t mask) {
  const Instruction& in = *w.program->sites[w.op_index(op)].instruction;
  const Operand* args = &in.operands.back();
  Flow f = Flow::next;
  each_lane(mask, [&](int l) {
    if (f != Flow::next) return;
    const ProgramFunction& from = w.program->functions[w.lane[l].function];
    auto argument = [&](size_t i) {
      uint64_t v = 0;
      if (args->kind == OpKind::vector && i < args->elems.size()) {
        int32_t var = args->elems[i].index;
        std::memcpy(&v, frame_bytes(w, l, w.lane[l].frame + from.var_offset[var]),
                    std::min<uint64_t>(8, from.source->vars[var].bytes));
      }
      return v;
    };
    if (op.k[0]) {
      f = report_fault(w, op, l, diag::kSimTrap,
                       fmt::format("assertion `{}' failed at {}:{}", read_text(w, argument(0)),
                                   read_text(w, argument(1)), uint32_t(argument(2))));
      return;
    }
    std::string text = format_text(w, l, read_text(w, argument(0)), argument(1));
    {
      std::lock_guard lock(w.launch->mutex);
      if (w.launch->output.size() < (16u << 20)) w.launch->output += text;
    }
    if (!in.operands.empty() && in.operands[0].kind == OpKind::vector && in.operands.size() > 1 &&
        !in.operands[0].elems.empty()) {
      int32_t var = in.operands[0].elems[0].index;
      uint32_t n = uint32_t(text.size());
      uint32_t at = w.lane[l].frame + from.var_offset[var];
      std::memcpy(frame_bytes(w, l, at), &n, 4);
      if (w.check_init) std::memset(&w.local_valid[size_t(l) * w.local_bytes + at], 1, 4);
    }
  });
  return f;
}

Flow trap_now(Warp& w, const Op& op, uint32_t mask) {
  return report_fault(w, op, std::countr_zero(mask), diag::kSimTrap, "the kernel executed trap");
}

Flow sleep(Warp& w, const Op& op, uint32_t mask) {
  // Other warps go first; time itself passes with the cluster's steps.
  w.sleep_until =
      w.cluster->steps + std::min<uint32_t>(w.row32(op.a[0])[std::countr_zero(mask)] / 8, 4096);
  ++w.polls;
  return Flow::next;
}

// k[0] 0 save, 1 restore, 2 allocate (imm alignment); k[1] wide. The stack grows behind the frame.
Flow stack(Warp& w, const Op& op, uint32_t mask) {
  Flow f = Flow::next;
  each_lane(mask, [&](int l) {
    if (f != Flow::next) return;
    Lane& lane = w.lane[l];
    uint32_t bottom = lane.frame + w.program->functions[lane.function].frame_bytes;
    auto get = [&](Row r) { return op.k[1] ? w.row64(r)[l] : uint64_t(w.row32(r)[l]); };
    auto put = [&](uint64_t v) {
      if (op.k[1]) w.row64(op.a[0])[l] = v;
      else w.row32(op.a[0])[l] = uint32_t(v);
    };
    if (op.k[0] == 0) return put(bottom + lane.extra);
    if (op.k[0] == 1) {
      uint64_t v = get(op.a[1]);
      if (v < bottom || v > bottom + lane.extra)
        f = report_fault(
            w, op, l, diag::kSimBadControl,
            fmt::format("stackrestore to {:#x}, which was not saved in this function", v));
      else lane.extra = uint32_t(v - bottom);
      return;
    }
    uint64_t size = get(op.a[1]), align = uint64_t(op.imm);
    uint64_t start = (bottom + lane.extra + align - 1) / align * align;
    if (size > kMaxLocalBytes ||
        !grow_local(w, uint32_t(std::min<uint64_t>(start + size, kMaxLocalBytes + 1)))) {
      f = report_fault(w, op, l, diag::kSimLimit, "the thread's stack grows beyond 512 KiB");
      return;
    }
    lane.extra = uint32_t((start + size + 15) / 16 * 16 - bottom);
    if (!grow_local(w, bottom + lane.extra)) {
      f = report_fault(w, op, l, diag::kSimLimit, "the thread's stack grows beyond 512 KiB");
      return;
    }
    put(start);
  });
  return f;
}

Flow active_mask(Warp& w, const Op& op, uint32_t mask) {
  each_lane(mask, [&](int l) { w.row32(op.a[0])[l] = mask; });
  return Flow::next;
}

}  // namespace

void init_local(Warp& w, uint32_t bytes) {
  w.local_bytes = bytes;
  w.local.assign(size_t(bytes) * 32, 0);
  w.local_valid.assign(w.check_init ? size_t(bytes) * 32 : 0, 0);
}

bool build_branch(Builder& b) {
  if (!b.expect_operands(1)) return false;
  const Operand& o = b.in.operands[0];
  if (o.kind != OpKind::label || size_t(o.index) >= b.function.source->labels.size())
    return b.fail("the target must be a label of this function");
  b.op.target = uint32_t(o.index);
  b.op.flags |= 0x8000 | kFlagBranch;
  b.op.exec = branch;
  return true;
}

bool build_branch_index(Builder& b) {
  if (!b.expect_operands(2)) return false;
  b.op.a[0] = b.source(0, 32);
  const Operand& o = b.in.operands[1];
  if (o.kind != OpKind::label || size_t(o.index) >= b.function.source->branch_lists.size())
    return b.fail("the second operand must be a .branchtargets list");
  b.op.imm = int64_t(b.program.branch_tables.size());
  std::vector<uint32_t> table;
  for (int32_t l : b.function.source->branch_lists[o.index]) table.push_back(uint32_t(l));
  b.program.branch_tables.push_back(std::move(table));
  b.op.exec = branch_index;
  return true;
}

bool build_call(Builder& b) {
  if (b.count() < 1) return b.fail("needs a function");
  size_t i = b.in.operands[0].kind == OpKind::vector ? 1 : 0;
  if (i >= b.count()) return b.fail("needs a function");
  const Operand& f = b.in.operands[i];
  for (const Operand& o : b.in.operands)
    for (const Operand& e : o.elems)
      if (o.kind == OpKind::vector &&
          (e.kind != OpKind::local_var || b.function.source->vars[e.index].space != Space::param))
        return b.fail("arguments and results of calls must be .param variables");
  if (f.kind == OpKind::reg) {
    b.op.a[0] = b.source(f, 64);
    b.op.k[0] = 1;
    b.op.exec = call;
    return true;
  }
  if (f.kind != OpKind::function) return b.fail("needs a function");
  auto it = b.state.function_index.find(f.text);
  if (it != b.state.function_index.end()) {
    b.op.imm = it->second;
    const Function& callee = *b.program.functions[size_t(it->second)].source;
    size_t given = i + 1 < b.count() && b.in.operands[i + 1].kind == OpKind::vector
                       ? b.in.operands[i + 1].elems.size()
                       : 0;
    if (callee.entry) return b.fail("a kernel cannot be called");
    if (given != callee.params.size())
      return b.fail(fmt::format("'{}' takes {} arguments, {} are given", callee.name,
                                callee.params.size(), given));
    b.op.exec = call;
    return true;
  }
  if (f.text == "vprintf" || f.text == "__assertfail") {
    b.op.k[0] = f.text == "__assertfail";
    b.op.exec = system_call;
    return true;
  }
  return b.fail(fmt::format("'{}' is not defined in the module", f.text));
}

bool build_return_exit(Builder& b) {
  b.op.k[0] = b.opcode() == "exit";
  b.op.exec = leave;
  return true;
}

bool build_trap(Builder& b) {
  b.op.exec = trap_now;
  return true;
}

bool build_nanosleep(Builder& b) {
  if (!b.expect_operands(1)) return false;
  b.op.a[0] = b.source(0, 32);
  b.op.flags |= kFlagPolls;
  b.op.exec = sleep;
  return true;
}

bool build_alloca_stack(Builder& b) {
  Op& op = b.op;
  int bits = Builder::bits_of(b.last_mod());
  bool save = b.opcode() == "stacksave", restore = b.opcode() == "stackrestore";
  if (!b.expect_operands(save || restore ? 1 : 2, save || restore ? 1 : 3)) return false;
  op.k[0] = save ? 0 : restore ? 1 : 2;
  op.k[1] = bits == 64;
  if (!restore) op.a[0] = b.destination(0, bits);
  if (!save) op.a[1] = b.source(restore ? 0 : 1, bits);
  op.imm = 16;
  if (b.count() == 3 && !b.immediate(2, op.imm)) return false;
  if (op.imm < 1 || op.imm > 4096 || (op.imm & (op.imm - 1)))
    return b.fail("the alignment must be a power of two up to 4096");
  op.exec = stack;
  return b.ok();
}

bool build_active_mask(Builder& b) {
  if (!b.expect_operands(1)) return false;
  b.op.a[0] = b.destination(0, 32);
  b.op.exec = active_mask;
  return true;
}

}  // namespace tess::ptxsim
