#include "jit/tile/webs.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace tess::jit::tile {

void uses_of(const Kernel& k, const Inst& inst, std::vector<Use>& out) {
  out.clear();
  auto args = k.args(inst);
  for (size_t a = 0; a < args.size(); ++a) {
    uint16_t arg = static_cast<uint16_t>(a);
    Ref r = args[a];
    if (r.is_value()) out.push_back({{arg, UsePlace::kOperand}, r.index()});
    if (!r.is_access()) continue;
    const Access& access = k.accesses[r.index()];
    out.push_back({{arg, UsePlace::kBase}, access.base});
    if (access.item.is_value()) out.push_back({{arg, UsePlace::kItem}, access.item.index()});
    auto indices = k.indices_of(access);
    for (size_t i = 0; i < indices.size(); ++i) {
      int16_t at = static_cast<int16_t>(i);
      if (indices[i].start.is_value()) out.push_back({{arg, at}, indices[i].start.index()});
      if (indices[i].stop.is_value())
        out.push_back({{arg, static_cast<int16_t>(at | UsePlace::kStop)}, indices[i].stop.index()});
    }
  }
}

namespace {

bool ends_flow(Op op) {
  return op == Op::break_ || op == Op::continue_ || op == Op::return_ || op == Op::trap;
}
bool is_control(Op op) {
  return op_info(op).form == Form::control || op == Op::test || ends_flow(op);
}
bool is_loop(Op op) { return op == Op::for_ || op == Op::while_; }

// Straight runs of instructions; every control instruction is a run of its own.
struct Runs {
  std::vector<uint32_t> of;     // by pc
  std::vector<uint32_t> begin;  // by run
  std::vector<std::vector<uint32_t>> before;
};

Runs find_runs(const Kernel& k, const KernelInfo& info) {
  Runs r;
  r.of.resize(k.code.size());
  bool fresh = true;
  for (uint32_t pc = 0; pc < k.code.size(); ++pc) {
    bool control = is_control(k.code[pc].op);
    if (fresh || control) r.begin.push_back(pc);
    r.of[pc] = static_cast<uint32_t>(r.begin.size() - 1);
    fresh = control;
  }
  r.before.resize(r.begin.size());
  auto edge = [&](uint32_t from, uint32_t to) { r.before[to].push_back(from); };
  // Control that comes to the end of the run before `pc`.
  auto falls_into = [&](uint32_t pc, uint32_t to) {
    if (pc > 0 && !ends_flow(k.code[pc - 1].op)) edge(r.of[pc - 1], to);
  };
  for (uint32_t run = 0; run < r.begin.size(); ++run) {
    uint32_t pc = r.begin[run];
    Op op = k.code[pc].op;
    if (op == Op::else_) {
      // Entered from its `if`, whose match it is.
      continue;
    }
    if (op != Op::end) {
      falls_into(pc, run);
      if (is_loop(op)) falls_into(info.match[pc], run);
      continue;
    }
    uint32_t opener = info.match[pc];
    Op opened = k.code[opener].op;
    if (is_loop(opened)) {
      edge(r.of[opener], run);
    } else {
      falls_into(pc, run);
      if (opened == Op::if_) {
        uint32_t other = info.match[opener];
        if (other != pc) falls_into(other, run);
        else edge(r.of[opener], run);
      }
    }
  }
  for (uint32_t pc = 0; pc < k.code.size(); ++pc) {
    Op op = k.code[pc].op;
    uint32_t match = info.match[pc];
    if (op == Op::if_ && k.code[match].op == Op::else_) edge(r.of[pc], r.of[match]);
    if (op == Op::break_ || op == Op::test) edge(r.of[pc], r.of[info.match[match]]);
    if (op == Op::continue_) edge(r.of[pc], r.of[match]);
  }
  return r;
}

class WebFinder {
 public:
  WebFinder(const Kernel& k, const KernelInfo& info) : k_(k), runs_(find_runs(k, info)) {}

  Webs run() {
    defs_of_.resize(k_.values.size());
    Webs w;
    w.of_result.resize(k_.code.size());
    w.of_use.resize(k_.code.size());
    for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
      auto results = k_.results(k_.code[pc]);
      for (uint8_t r = 0; r < results.size(); ++r) {
        uint32_t v = results[r].index();
        w.of_result[pc].push_back(Webs::kNone);
        if (!tile(v)) continue;
        w.of_result[pc].back() = static_cast<uint32_t>(defs_.size());
        defs_of_[v].push_back(static_cast<uint32_t>(defs_.size()));
        defs_.push_back({pc, r});
        value_.push_back(v);
      }
    }
    parent_.resize(defs_.size());
    std::iota(parent_.begin(), parent_.end(), 0u);
    std::vector<Use> uses;
    for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
      uses_of(k_, k_.code[pc], uses);
      for (const Use& u : uses)
        w.of_use[pc].push_back(tile(u.value) ? reaching(pc, u.value) : Webs::kNone);
    }
    number(w);
    return w;
  }

 private:
  bool tile(uint32_t v) const { return k_.values[v].type.is_tile(); }
  uint32_t find(uint32_t x) {
    while (parent_[x] != x) x = parent_[x] = parent_[parent_[x]];
    return x;
  }
  void join(uint32_t a, uint32_t b) {
    a = find(a), b = find(b);
    parent_[std::max(a, b)] = std::min(a, b);
  }
  uint32_t last_def(uint32_t v, uint32_t from, uint32_t below) const {
    const auto& defs = defs_of_[v];
    auto it = std::partition_point(defs.begin(), defs.end(),
                                   [&](uint32_t d) { return defs_[d].pc < below; });
    if (it == defs.begin()) return Webs::kNone;
    uint32_t d = *std::prev(it);
    return defs_[d].pc >= from ? d : Webs::kNone;
  }
  uint32_t run_end(uint32_t run) const {
    return run + 1 < runs_.begin.size() ? runs_.begin[run + 1]
                                        : static_cast<uint32_t>(k_.code.size());
  }
  // The class of what `v` may hold where the run begins.
  uint32_t entering(uint32_t run, uint32_t v) {
    auto [it, fresh] = entering_.try_emplace({run, v}, 0);
    if (!fresh) return it->second;
    uint32_t node = it->second = new_node();
    std::vector<std::pair<uint32_t, uint32_t>> open{{run, node}};
    while (!open.empty()) {
      auto [at, its_node] = open.back();
      open.pop_back();
      for (uint32_t p : runs_.before[at]) {
        uint32_t d = last_def(v, runs_.begin[p], run_end(p));
        if (d != Webs::kNone) {
          join(its_node, d);
          continue;
        }
        auto [known, first] = entering_.try_emplace({p, v}, 0);
        if (first) {
          known->second = new_node();
          open.emplace_back(p, known->second);
        }
        join(its_node, known->second);
      }
    }
    return node;
  }
  uint32_t new_node() {
    parent_.push_back(static_cast<uint32_t>(parent_.size()));
    return parent_.back();
  }
  uint32_t reaching(uint32_t pc, uint32_t v) {
    uint32_t run = runs_.of[pc];
    uint32_t d = last_def(v, runs_.begin[run], pc);
    return d != Webs::kNone ? d : entering(run, v);
  }
  void number(Webs& w) {
    std::map<uint32_t, uint32_t> number_of;
    for (uint32_t d = 0; d < defs_.size(); ++d) {
      auto [it, fresh] = number_of.try_emplace(find(d), static_cast<uint32_t>(w.webs.size()));
      if (fresh) w.webs.push_back({value_[d], {}});
      w.webs[it->second].defs.push_back(defs_[d]);
    }
    for (auto& results : w.of_result)
      for (uint32_t& x : results)
        if (x != Webs::kNone) x = number_of.at(find(x));
    std::vector<Use> uses;
    for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
      uses_of(k_, k_.code[pc], uses);
      for (size_t i = 0; i < uses.size(); ++i) {
        uint32_t& x = w.of_use[pc][i];
        if (x == Webs::kNone) continue;
        auto it = number_of.find(find(x));
        if (it != number_of.end()) {
          x = it->second;
          continue;
        }
        // Nothing reaches a use in dead code: any web of the name serves.
        const auto& defs = defs_of_[uses[i].value];
        if (defs.empty()) x = Webs::kNone;
        else x = number_of.at(find(defs[0]));
      }
    }
  }

  const Kernel& k_;
  Runs runs_;
  std::vector<WebDef> defs_;
  std::vector<uint32_t> value_;                 // by definition
  std::vector<std::vector<uint32_t>> defs_of_;  // by value
  std::vector<uint32_t> parent_;                // definitions, then joins
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> entering_;
};

}  // namespace

Webs find_webs(const Kernel& k, const KernelInfo& info) { return WebFinder(k, info).run(); }

}  // namespace tess::jit::tile
