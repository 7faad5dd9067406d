#include "jit/tile/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>

#include "isa/diag/layout.h"
#include "isa/layout_ops.h"

namespace tess::jit::tile {
namespace {

constexpr size_t kMostCandidates = 12;
constexpr int kMostRounds = 8;
// Costs are counted in sixteenths, so that a tie falls to converting where a tile is made.
constexpr int64_t kFine = 16;

class Planner {
 public:
  Planner(const Kernel& k, const Webs& webs, Relations& relations, Pool& pool, Plan& plan)
      : k_(k), webs_(webs), relations_(relations), pool_(pool), plan_(plan) {}

  Status run(const std::vector<LayoutId>& written) {
    plan_.webs.resize(webs_.webs.size());
    plan_.modes.resize(plan_.relations.size());
    touching_.resize(webs_.webs.size());
    for (uint32_t r = 0; r < plan_.relations.size(); ++r)
      for (uint32_t s = 0; s < plan_.relations[r].slots.size(); ++s)
        touching_[plan_.relations[r].slots[s].web].push_back({r, s});
    TESS_CHECK(pin(written));
    propose();
    search();
    for (uint32_t w = 0; w < plan_.webs.size(); ++w) weigh_second(w);
    plan_.cost = total_ / kFine;
    return ok();
  }

 private:
  struct Touch {
    uint32_t relation, slot;
  };

  uint32_t origin(const char* rule, uint32_t pc, bool written = false) {
    plan_.origins.push_back({rule, pc, written});
    return static_cast<uint32_t>(plan_.origins.size() - 1);
  }

  uint32_t role_origin(const char* role, uint32_t pc) {
    auto [it, fresh] = roles_.try_emplace({role, pc}, 0);
    if (fresh) it->second = origin(role, pc);
    return it->second;
  }

  Status pin(const std::vector<LayoutId>& written) {
    std::vector<std::pair<uint32_t, uint32_t>> pinned;  // web, origin
    for (uint32_t w = 0; w < webs_.webs.size(); ++w) {
      uint32_t first = 0;
      for (const WebDef& d : webs_.webs[w].defs) {
        const Inst& inst = k_.code[d.pc];
        auto l = k_.attr(inst, AttrTag::layout);
        if (!l || d.result != 0) continue;
        LayoutId id = written[static_cast<size_t>(*l)];
        if (plan_.webs[w].pinned == kNoLayout) {
          plan_.webs[w].pinned = id;
          first = d.pc;
          pinned.emplace_back(w, origin("written", d.pc, true));
        } else if (plan_.webs[w].pinned != id) {
          return two_layouts(w, first, d.pc);
        }
      }
    }
    for (auto [w, o] : pinned) offer(w, plan_.webs[w].pinned, o);
    settle();
    return ok();
  }

  Status two_layouts(uint32_t w, uint32_t first, uint32_t second) const {
    auto span = [&](uint32_t pc) {
      const Loc& l = k_.code[pc].loc;
      return Span{l.file, l.line, l.col, 1};
    };
    const std::string& name = k_.values[webs_.webs[w].value].name;
    Span at = span(first), here = span(second);
    Diagnostic d = make_diag(
        diag::layout_two_written,
        fmt::format(
            "`%{}` is given one layout at {}:{} and another at {}:{}, and both reach one use", name,
            at.line, at.col, here.line, here.col),
        here,
        fmt::format("write the same layout at both places, or convert here: "
                    "`%{} = relayout %… #…`",
                    name));
    d.notes.push_back({"the other layout is written here", span(first)});
    return d;
  }

  // --- candidates
  void offer(uint32_t web, LayoutId layout, uint32_t o) {
    WebPlan& w = plan_.webs[web];
    if (layout < 0 || (w.pinned != kNoLayout && w.pinned != layout) ||
        w.candidates.size() >= kMostCandidates)
      return;
    for (const Candidate& c : w.candidates)
      if (c.layout == layout) return;
    w.candidates.push_back({layout, o});
    fresh_.push_back({web, layout, o});
  }
  void settle() {
    std::vector<Mode> made;
    while (!fresh_.empty()) {
      auto [web, layout, o] = fresh_.front();
      fresh_.pop_front();
      for (Touch t : touching_[web]) {
        made.clear();
        relations_.modes(plan_.relations[t.relation], t.slot, layout, made);
        for (Mode& m : made) add_mode(t.relation, std::move(m), o);
      }
    }
  }
  void add_mode(uint32_t relation, Mode m, uint32_t o) {
    auto& modes = plan_.modes[relation];
    if (std::find(modes.begin(), modes.end(), m) != modes.end()) return;
    m.origin = o;
    modes.push_back(m);
    const Relation& r = plan_.relations[relation];
    for (size_t i = 0; i < r.slots.size(); ++i) {
      const char* role = relations_.role(r, i);
      bool own = role && !plan_.origins[o].written && m.layout[i] >= 0;
      offer(r.slots[i].web, m.layout[i], own ? role_origin(role, r.pc) : o);
    }
  }

  void propose() {
    // Products first, then what moves memory widely, then reductions: where room is short, the
    // earlier ones stay.
    std::vector<std::pair<int, std::pair<uint32_t, Anchor>>> anchors;
    for (uint32_t r = 0; r < plan_.relations.size(); ++r) {
      Rule rule = op_info(k_.code[plan_.relations[r].pc].op).rule;
      int rank = rule == Rule::mma_ ? 0 : rule == Rule::load_ || rule == Rule::store_ ? 1 : 2;
      for (const Anchor& a : relations_.anchors(plan_.relations[r]))
        anchors.push_back({rank, {r, a}});
    }
    std::stable_sort(anchors.begin(), anchors.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [rank, at] : anchors) {
      const Relation& r = plan_.relations[at.first];
      propose_at(r.slots[at.second.slot].web, at.second.layout, origin(at.second.rule, r.pc));
      settle();
    }
    for (uint32_t w = 0; w < plan_.webs.size(); ++w) {
      const Type& t = k_.values[webs_.webs[w].value].type;
      uint32_t pc = webs_.webs[w].defs.empty() ? 0 : webs_.webs[w].defs[0].pc;
      if (plan_.webs[w].candidates.empty()) {
        int64_t run = std::max(1, 128 / t.dtype.bits);
        while (run & (run - 1)) run &= run - 1;
        if (auto l = wide_layout(t.shape, t.shape.rank - 1, run, warps_of(w)))
          offer(w, pool_.add(*l), origin("spread over all threads", pc));
        settle();
      }
    }
    // An instruction that no candidate serves, and memory written from less than the whole tile.
    for (uint32_t r = 0; r < plan_.relations.size(); ++r) complete(r);
  }

  void propose_at(uint32_t web, LayoutId layout, uint32_t o) {
    offer(web, layout, o);
    WebPlan& w = plan_.webs[web];
    for (uint8_t c = 0; c < w.candidates.size(); ++c) {
      if (w.candidates[c].layout != layout) continue;
      // An instruction's own wish says more than what came down from another.
      if (own_.insert({web, layout}).second && !plan_.origins[w.candidates[c].origin].written)
        w.candidates[c].origin = o;
      starts_.emplace_back(web, c);
    }
  }

  int warps_of(uint32_t web) const {
    return touching_[web].empty() ? static_cast<int>(k_.warps)
                                  : plan_.relations[touching_[web][0].relation].warps;
  }

  bool served(uint32_t relation) {
    for (const Mode& m : plan_.modes[relation])
      if (possible(relation, m)) return true;
    return false;
  }
  void complete(uint32_t relation) {
    const Relation& r = plan_.relations[relation];
    if (served(relation)) return;
    uint32_t o = origin("spread over all threads", r.pc);
    std::vector<Mode> made;
    auto attempt = [&](const Result<Layout>& l, uint32_t slot) {
      if (!l) return;
      made.clear();
      relations_.modes(r, slot, pool_.add(*l), made);
      for (Mode& m : made) add_mode(relation, std::move(m), o);
      settle();
    };
    for (const Mode& m : relations_.whole_modes(r)) add_mode(relation, m, o);
    settle();
    for (uint32_t s = 0; s < r.slots.size() && !served(relation); ++s) {
      const Shape& shape = r.slots[s].type.shape;
      attempt(wide_layout(shape, shape.rank - 1, 1, r.warps), s);
      if (!served(relation)) attempt(everywhere(shape, r.warps), s);
    }
  }

  // --- cost
  // `ideal`: whether a mode can be had at all, whatever the webs are in.
  // Bringing slot `i` from (to, for a result) its web's layout.
  int64_t conversion_cost(const Slot& s, LayoutId want, LayoutId web) {
    if (want == kNoLayout || want == web || web == kNoLayout) return 0;
    if (s.in_flight) return kImpossible * kFine;
    int bits = s.type.dtype.bits;
    int64_t move = want == kInShared ? pool_.best_shared_access(web, bits) + 30
                   : s.result        ? pool_.move(want, web, bits).cost
                                     : pool_.move(web, want, bits).cost;
    return move * kFine + (s.result || move == 0 ? 0 : 1);
  }
  // Whether a mode can be had at all.
  bool possible(uint32_t relation, const Mode& m) {
    const Relation& r = plan_.relations[relation];
    int64_t cost = m.cost;
    for (size_t i = 0; i < r.slots.size(); ++i) {
      const WebPlan& w = plan_.webs[r.slots[i].web];
      if (!w.candidates.empty())
        cost += conversion_cost(r.slots[i], m.layout[i], w.candidates[0].layout);
    }
    return cost < kImpossible;
  }

  // The costs of conversions by mode, slot and the web's candidate, filled in as they are asked
  // for.
  struct Table {
    size_t slots = 0;
    std::vector<int64_t> cell;
  };
  int64_t& cell(Table& t, size_t mode, size_t slot, size_t candidate) {
    return t.cell[(mode * t.slots + slot) * kMostCandidates + candidate];
  }
  int64_t best_of(uint32_t relation) {
    const auto& modes = plan_.modes[relation];
    if (modes.empty()) return 0;
    const Relation& r = plan_.relations[relation];
    Table& t = tables_[relation];
    int64_t best = INT64_MAX;
    for (uint32_t m = 0; m < modes.size(); ++m) {
      int64_t cost = modes[m].cost * kFine * r.weight;
      for (size_t i = 0; i < t.slots && cost < best; ++i) {
        uint32_t web = r.slots[i].web;
        int64_t& c = cell(t, m, i, current_[web]);
        if (c < 0)
          c = std::min(kImpossible,
                       conversion_cost(r.slots[i], modes[m].layout[i], plan_.webs[web].layout)) *
              r.slots[i].weight;
        cost += c;
      }
      if (cost >= best) continue;
      best = cost;
      plan_.chosen[relation] = m;
    }
    return best;
  }

  // --- search
  // Every step begins where an instruction proposed a layout and takes along what follows it; then
  // single webs are tried, until nothing helps.
  void search() {
    plan_.chosen.assign(plan_.relations.size(), 0);
    cost_.assign(plan_.relations.size(), 0);
    tables_.resize(plan_.relations.size());
    current_.assign(plan_.webs.size(), 0);
    visited_.assign(plan_.webs.size(), 0);
    for (uint32_t r = 0; r < plan_.relations.size(); ++r) {
      tables_[r].slots = plan_.relations[r].slots.size();
      tables_[r].cell.assign(plan_.modes[r].size() * tables_[r].slots * kMostCandidates, -1);
    }
    for (WebPlan& w : plan_.webs)
      if (!w.candidates.empty())
        w.layout = w.candidates[0].layout, w.origin = w.candidates[0].origin;
    total_ = 0;
    for (uint32_t r = 0; r < plan_.relations.size(); ++r) total_ += cost_[r] = best_of(r);
    for (int round = 0; round < kMostRounds; ++round) {
      int64_t before = total_;
      for (auto [web, candidate] : starts_) grow(web, candidate);
      for (uint32_t w = 0; w < plan_.webs.size(); ++w) settle(w);
      if (total_ == before) break;
    }
  }

  void set(uint32_t web, uint8_t candidate) {
    WebPlan& w = plan_.webs[web];
    current_[web] = candidate;
    w.layout = w.candidates[candidate].layout;
    w.origin = w.candidates[candidate].origin;
    for (Touch t : touching_[web]) {
      total_ -= cost_[t.relation];
      total_ += cost_[t.relation] = best_of(t.relation);
    }
  }
  void settle(uint32_t web) {
    for (uint8_t c = 0; c < plan_.webs[web].candidates.size(); ++c) {
      uint8_t before = current_[web];
      if (before == c) continue;
      int64_t cost = total_;
      set(web, c);
      if (total_ >= cost) set(web, before);
    }
  }

  // Changes one web and then, along the modes that fit, those that would follow it; keeps the
  // cheapest of the states passed through. What follows a matrix product's fragments reaches far:
  // there also the last state without the branches that had better not followed.
  void grow(uint32_t start, uint8_t candidate) {
    if (current_[start] == candidate) return;
    struct Step {
      uint32_t web;
      uint8_t candidate;
      size_t parent;  // the step it follows
    };
    const std::vector<uint8_t> before = current_;
    std::vector<uint8_t> cheapest = current_;
    int64_t best = total_;
    std::vector<Step> steps{{start, candidate, 0}};
    std::fill(visited_.begin(), visited_.end(), 0);
    visited_[start] = 1;
    for (size_t i = 0; i < steps.size(); ++i) {
      const Step step = steps[i];
      set(step.web, step.candidate);
      LayoutId layout = plan_.webs[step.web].layout;
      if (total_ < best) best = total_, cheapest = current_;
      for (Touch t : touching_[step.web]) {
        const Relation& r = plan_.relations[t.relation];
        const Mode* follow = nullptr;
        for (const Mode& m : plan_.modes[t.relation])
          if (m.layout[t.slot] == layout && (!follow || m.cost < follow->cost)) follow = &m;
        if (!follow) continue;
        for (size_t s = 0; s < r.slots.size(); ++s) {
          uint32_t other = r.slots[s].web;
          const WebPlan& o = plan_.webs[other];
          if (visited_[other] || o.layout == follow->layout[s]) continue;
          for (uint8_t c = 0; c < o.candidates.size(); ++c)
            if (o.candidates[c].layout == follow->layout[s]) {
              visited_[other] = 1;
              steps.push_back({other, c, i});
            }
        }
      }
    }
    const std::vector<Candidate>& candidates = plan_.webs[start].candidates;
    bool product =
        op_info(k_.code[plan_.origins[candidates[candidate].origin].pc].op).rule == Rule::mma_;
    std::vector<uint8_t> branch(product ? steps.size() : 0);
    for (size_t i = branch.size(); i-- > 1;) {
      const std::vector<uint8_t> whole = current_;
      const int64_t cost = total_;
      std::fill(branch.begin(), branch.end(), 0);
      branch[i] = 1;
      for (size_t j = i; j < steps.size(); ++j)
        if (j == i || branch[steps[j].parent])
          branch[j] = 1, set(steps[j].web, before[steps[j].web]);
      if (steps[i].parent) settle(steps[steps[i].parent].web);
      if (total_ >= cost) restore(whole);
    }
    if (total_ >= best) restore(cheapest);
  }

  void restore(const std::vector<uint8_t>& state) {
    for (uint32_t w = 0; w < state.size(); ++w)
      if (current_[w] != state[w]) set(w, state[w]);
  }

  void weigh_second(uint32_t web) {
    WebPlan& w = plan_.webs[web];
    if (w.candidates.empty()) return;
    const uint8_t now = current_[web];
    const int64_t before = total_;
    int64_t best = INT64_MAX;
    for (uint8_t c = 0; c < w.candidates.size(); ++c) {
      if (c == now) continue;
      set(web, c);
      if (total_ - before < best) best = total_ - before, w.second = w.candidates[c].layout;
    }
    set(web, now);
    if (w.second != kNoLayout) w.second_cost = best / kFine;
  }

  struct Fresh {
    uint32_t web;
    LayoutId layout;
    uint32_t origin;
  };
  const Kernel& k_;
  const Webs& webs_;
  Relations& relations_;
  Pool& pool_;
  Plan& plan_;
  std::vector<std::vector<Touch>> touching_;  // by web
  std::deque<Fresh> fresh_;
  std::set<std::pair<uint32_t, LayoutId>> own_;
  std::map<std::pair<std::string_view, uint32_t>, uint32_t> roles_;
  std::vector<int64_t> cost_;                         // by relation
  std::vector<Table> tables_;                         // by relation
  std::vector<uint8_t> current_, visited_;            // by web: its candidate; seen in this step
  std::vector<std::pair<uint32_t, uint8_t>> starts_;  // webs and candidates that anchors proposed
  int64_t total_ = 0;
};

}  // namespace

Result<Plan> make_plan(const Kernel& k, const Webs& webs, Relations& relations, Pool& pool,
                       std::vector<Relation> relation_list, const std::vector<LayoutId>& written) {
  Plan plan;
  plan.relations = std::move(relation_list);
  TESS_CHECK(Planner(k, webs, relations, pool, plan).run(written));
  return plan;
}

}  // namespace tess::jit::tile
