#include "tests/ptxsim/mutants.h"

#include <functional>
#include <map>
#include <optional>

namespace tess::ptxsim {
namespace {

using Change = std::optional<std::string>;

bool contains(const std::string& s, const char* what) { return s.find(what) != s.npos; }

Change replaced(const std::string& s, const std::string& from, const std::string& to) {
  size_t at = s.find(from);
  if (at == s.npos) return {};
  return s.substr(0, at) + to + s.substr(at + from.size());
}

// The opcode word of a line, behind labels' tabs and a guard; empty for directives.
std::string opcode(const std::string& line) {
  size_t i = line.find_first_not_of(" \t{");
  if (i == line.npos || line[i] == '/' || line[i] == '.' || line[i] == '$') return {};
  if (line[i] == '@') i = line.find_first_not_of(" \t", line.find_first_of(" \t", i));
  if (i == line.npos) return {};
  size_t end = line.find_first_of(" \t;", i);
  return line.substr(i, end - i);
}

// The n-th integer literal operand behind the opcode (registers and names are not literals).
struct Literal {
  size_t at, length;
  long long value;
};
std::vector<Literal> literals(const std::string& line) {
  std::vector<Literal> out;
  size_t start = line.find(opcode(line)) + opcode(line).size();
  for (size_t i = start; i < line.size();) {
    bool word = isalnum(line[i]) || line[i] == '_' || line[i] == '%' || line[i] == '$';
    if (!word) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < line.size() &&
           (isalnum(line[end]) || line[end] == '_' || line[end] == '%' || line[end] == '$'))
      ++end;
    if (isdigit(line[i]) && !(end - i > 1 && (line[i + 1] == 'f' || line[i + 1] == 'd')) &&
        (i == 0 || line[i - 1] != '.'))
      out.push_back({i, end - i, std::strtoll(line.substr(i, end - i).c_str(), nullptr, 0)});
    i = end;
  }
  return out;
}
Change with_literal(const std::string& line, size_t which_from_end, long long delta) {
  auto all = literals(line);
  if (all.size() <= which_from_end) return {};
  const Literal& l = all[all.size() - 1 - which_from_end];
  return line.substr(0, l.at) + std::to_string(l.value + delta) + line.substr(l.at + l.length);
}

// Exchanges the first two registers of the first {...} list.
Change swapped(const std::string& line, size_t list) {
  size_t open = 0;
  for (size_t n = 0; n <= list; ++n) {
    open = line.find('{', n ? open + 1 : line.find(opcode(line)));
    if (open == line.npos) return {};
  }
  size_t comma = line.find(',', open), end = line.find_first_of(",}", comma + 1);
  if (comma == line.npos || end == line.npos) return {};
  std::string a = line.substr(open + 1, comma - open - 1),
              b = line.substr(comma + 1, end - comma - 1);
  auto trim = [](std::string s) {
    size_t i = s.find_first_not_of(' ');
    return i == s.npos ? s : s.substr(i);
  };
  if (trim(a) == trim(b)) return {};
  return line.substr(0, open + 1) + trim(b) + ", " + trim(a) + line.substr(end);
}

struct Rule {
  const char* name;
  std::function<bool(const std::string& op)> applies;
  std::function<Change(const std::string& line)> change;
};

bool starts(const std::string& s, const char* p) { return s.rfind(p, 0) == 0; }

const std::vector<Rule>& rules() {
  auto removed = [](const std::string&) -> Change { return ""; };
  static const std::vector<Rule> all = {
      {"removed barrier",
       [](auto& o) { return starts(o, "bar.sync") || starts(o, "barrier.sync"); }, removed},
      {"removed cluster barrier arrive and wait",
       [](auto& o) { return starts(o, "barrier.cluster"); }, removed},
      {"removed copy wait", [](auto& o) { return starts(o, "cp.async.wait"); }, removed},
      {"removed copy commit", [](auto& o) { return o == "cp.async.commit_group"; }, removed},
      {"copy wait one group short", [](auto& o) { return starts(o, "cp.async.wait_group"); },
       [](auto& l) { return with_literal(l, 0, 1); }},
      {"removed fence", [](auto& o) { return starts(o, "fence") || starts(o, "membar"); }, removed},
      {"weakened acquire", [](auto& o) { return contains(o, ".acquire") && !starts(o, "barrier"); },
       [](auto& l) { return replaced(l, ".acquire", ".relaxed"); }},
      {"weakened release",
       [](auto& o) {
         return contains(o, ".release") && !starts(o, "fence") && !starts(o, "barrier");
       },
       [](auto& l) { return replaced(l, ".release", ".relaxed"); }},
      {"relaxed cluster barrier",
       [](auto& o) { return starts(o, "barrier.cluster.arrive.release"); },
       [](auto& l) { return replaced(l, ".release", ".relaxed"); }},
      {"narrowed scope", [](auto& o) { return contains(o, ".gpu"); },
       [](auto& l) { return replaced(l, ".gpu", ".cta"); }},
      {"removed mbarrier init", [](auto& o) { return starts(o, "mbarrier.init"); }, removed},
      {"arrival count too high", [](auto& o) { return starts(o, "mbarrier.init"); },
       [](auto& l) -> Change {
         // The count is a register or a literal.
         size_t comma = l.rfind(',');
         if (comma == l.npos) return {};
         auto all = literals(l);
         if (!all.empty() && all.back().at > comma) return with_literal(l, 0, 1);
         return l.substr(0, comma) + ", 77;";
       }},
      {"arrival count too low", [](auto& o) { return starts(o, "mbarrier.init"); },
       [](auto& l) -> Change {
         size_t comma = l.rfind(',');
         if (comma == l.npos) return {};
         auto all = literals(l);
         if (!all.empty() && all.back().at > comma)
           return all.back().value > 1 ? with_literal(l, 0, -1) : Change();
         return l.substr(0, comma) + ", 1;";
       }},
      {"removed arrive", [](auto& o) { return starts(o, "mbarrier.arrive"); }, removed},
      {"double arrive", [](auto& o) { return starts(o, "mbarrier.arrive"); },
       [](auto& l) -> Change { return l + "\n" + l; }},
      {"wrong transaction bytes", [](auto& o) { return starts(o, "mbarrier.arrive.expect_tx"); },
       [](auto& l) -> Change {
         size_t comma = l.rfind(',');
         return comma == l.npos ? Change() : l.substr(0, comma) + ", 4080;";
       }},
      {"phase not waited for", [](auto& o) { return starts(o, "mbarrier.try_wait"); },
       [](auto& l) -> Change {
         size_t p = l.find('p', l.find("b64")), end = l.find(',', p);
         return p == l.npos || end == l.npos ? Change()
                                             : "\tsetp.eq.u32 " + l.substr(p, end - p) + ", 0, 0;";
       }},
      {"wrong phase", [](auto& o) { return starts(o, "mbarrier.try_wait"); },
       [](auto& l) -> Change {
         size_t comma = l.rfind(','), end = l.rfind(';');
         if (comma == l.npos || end == l.npos) return {};
         std::string r = l.substr(comma + 1, end - comma - 1);
         return "\t{ .reg .b32 flipped; xor.b32 flipped, " + r + ", 1; " + l.substr(0, comma) +
                ", flipped; }";
       }},
      {"removed copy",
       [](auto& o) {
         return starts(o, "cp.async.ca") || starts(o, "cp.async.cg") ||
                starts(o, "cp.async.bulk.tensor") || starts(o, "cp.async.bulk.shared");
       },
       removed},
      {"removed bulk commit or wait",
       [](auto& o) { return starts(o, "cp.async.bulk.commit") || starts(o, "cp.async.bulk.wait"); },
       removed},
      {"wrong multicast mask", [](auto& o) { return contains(o, ".multicast"); },
       [](auto& l) -> Change {
         size_t comma = l.rfind(',');
         return comma == l.npos
                    ? Change()
                    : "\t{ .reg .b16 only; mov.b16 only, 1; " + l.substr(0, comma) + ", only; }";
       }},
      {"removed wgmma fence", [](auto& o) { return starts(o, "wgmma.fence"); }, removed},
      {"removed wgmma commit", [](auto& o) { return starts(o, "wgmma.commit"); }, removed},
      {"removed wgmma wait", [](auto& o) { return starts(o, "wgmma.wait"); }, removed},
      {"wgmma wait one group short", [](auto& o) { return starts(o, "wgmma.wait"); },
       [](auto& l) { return with_literal(l, 0, 1); }},
      {"wgmma discards the sum", [](auto& o) { return starts(o, "wgmma.mma_async"); },
       [](auto& l) -> Change {
         auto all = literals(l);
         if (all.size() < 5 || all[all.size() - 5].value != 1) return {};
         return with_literal(l, 4, -1);
       }},
      {"wgmma operands exchanged", [](auto& o) { return starts(o, "wgmma.mma_async"); },
       [](auto& l) -> Change {
         size_t close = l.find('}'), c1 = l.find(',', close), c2 = l.find(',', c1 + 1),
                c3 = l.find(',', c2 + 1);
         if (c3 == l.npos) return {};
         return l.substr(0, c1 + 1) + l.substr(c2 + 1, c3 - c2 - 1) + "," +
                l.substr(c1 + 1, c2 - c1 - 1) + l.substr(c3);
       }},
      {"wrong descriptor", [](auto& o) { return o == "or.b64" || o == "add.s64"; },
       [](auto& l) -> Change {
         auto all = literals(l);
         if (all.empty() || all.back().value < (1ll << 32)) return {};
         return with_literal(l, 0, 1ll << 33);
       }},
      {"wrong swizzle", [](auto& o) { return o == "xor.b32"; },
       [](auto& l) -> Change {
         size_t comma = l.rfind(',');
         return comma == l.npos || contains(l, "-1") ? Change() : l.substr(0, comma) + ", 0;";
       }},
      {"transposition lost", [](auto& o) { return starts(o, "ldmatrix") && contains(o, ".trans"); },
       [](auto& l) { return replaced(l, ".trans", ""); }},
      {"transposition added",
       [](auto& o) { return starts(o, "ldmatrix") && !contains(o, ".trans"); },
       [](auto& l) { return replaced(l, ".x4", ".x4.trans"); }},
      {"fragments exchanged in load", [](auto& o) { return starts(o, "ldmatrix"); },
       [](auto& l) { return swapped(l, 0); }},
      {"fragments exchanged in mma", [](auto& o) { return starts(o, "mma.sync"); },
       [](auto& l) { return swapped(l, 1); }},
      {"wrong shuffle distance", [](auto& o) { return starts(o, "shfl"); },
       [](auto& l) -> Change {
         auto all = literals(l);
         if (all.size() < 3) return {};
         return with_literal(l, 2, all[all.size() - 3].value == 1 ? 1 : -1);
       }},
      {"misaligned vector access",
       [](auto& o) { return (starts(o, "ld") || starts(o, "st")) && contains(o, ".v4"); },
       [](auto& l) -> Change {
         size_t close = l.find(']');
         return close == l.npos ? Change() : l.substr(0, close) + "+4" + l.substr(close);
       }},
      {"misaligned copy",
       [](auto& o) { return starts(o, "cp.async.ca") || starts(o, "cp.async.cg"); },
       [](auto& l) -> Change {
         size_t close = l.find(']');
         return close == l.npos ? Change() : l.substr(0, close) + "+8" + l.substr(close);
       }},
      {"wrong shared offset",
       [](auto& o) { return starts(o, "st.shared") || starts(o, "ld.shared"); },
       [](auto& l) -> Change {
         size_t close = l.find(']');
         return close == l.npos || contains(l, ".v") ? Change()
                                                     : l.substr(0, close) + "+4" + l.substr(close);
       }},
      {"wrong guard",
       [](auto& o) {
         return starts(o, "setp.ge.s32") || starts(o, "setp.lt.s32") || starts(o, "setp.gt.u32") ||
                starts(o, "setp.lt.u32");
       },
       [](auto& l) -> Change {
         if (auto r = replaced(l, "setp.ge", "setp.gt")) return r;
         if (auto r = replaced(l, "setp.lt", "setp.le")) return r;
         return replaced(l, "setp.gt", "setp.ge");
       }},
      {"wrong stride", [](auto& o) { return starts(o, "mul.wide"); },
       [](auto& l) -> Change {
         auto all = literals(l);
         return all.empty() ? Change() : with_literal(l, 0, all.back().value);
       }},
      {"lock not released",
       [](auto& o) { return starts(o, "st.release") || starts(o, "red.release"); }, removed},
  };
  return all;
}

}  // namespace

std::vector<Mutant> make_mutants(const std::string& ptx) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < ptx.size();) {
    size_t end = ptx.find('\n', at);
    if (end == ptx.npos) end = ptx.size();
    lines.push_back(ptx.substr(at, end - at));
    at = end + 1;
  }
  std::vector<Mutant> out;
  std::map<std::string, int> ordinal;
  bool in_body = false;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (lines[i] == "{") in_body = true;
    if (lines[i] == "}") in_body = false;
    if (!in_body) continue;
    // Statements may continue over lines: those that do not end here are left alone.
    std::string op = opcode(lines[i]);
    if (op.empty() || lines[i].find(';') == std::string::npos) continue;
    for (const Rule& r : rules()) {
      if (!r.applies(op)) continue;
      Change c = r.change(lines[i]);
      if (!c || *c == lines[i]) continue;
      Mutant m;
      m.rule = r.name;
      m.line = uint32_t(i + 1);
      m.before = lines[i];
      m.after = *c;
      std::string key = m.rule + ": " + op;
      m.name = key + " #" + std::to_string(++ordinal[key]);
      for (size_t k = 0; k < lines.size(); ++k) m.text += (k == i ? *c : lines[k]) + "\n";
      out.push_back(std::move(m));
    }
  }
  return out;
}

}  // namespace tess::ptxsim
