#include "jit/ptxsim/report.h"

#include <fmt/format.h>

#include "isa/diag/sim.h"
#include "jit/ptxsim/machine.h"

namespace tess::ptxsim {

std::string_view op_class_name(OpClass c) {
  constexpr std::string_view kNames[] = {
      "integer", "logic", "real",   "convert", "move", "compare", "control", "global", "shared",
      "local",   "param", "atomic", "barrier", "warp", "tensor",  "async",   "other"};
  return kNames[size_t(c)];
}

void LaunchStats::add(const LaunchStats& o) {
  for (size_t i = 0; i < by_class.size(); ++i) by_class[i] += o.by_class[i];
  warp_instructions += o.warp_instructions;
  lane_instructions += o.lane_instructions;
  async_bytes += o.async_bytes;
  if (sites.size() < o.sites.size()) sites.resize(o.sites.size());
  for (size_t i = 0; i < o.sites.size(); ++i) {
    SiteStats& a = sites[i];
    const SiteStats& b = o.sites[i];
    a.executed += b.executed, a.lanes += b.lanes, a.requests += b.requests, a.sectors += b.sectors;
    a.wavefronts += b.wavefronts, a.ideal += b.ideal, a.stalls += b.stalls;
  }
}

Place place_of(const Program& p, uint32_t i) {
  Place r;
  if (i >= p.sites.size()) return r;
  const Site& s = p.sites[i];
  r.ptx_line = s.ptx_line;
  r.file = s.line ? std::string(p.module->file_name(s.file)) : "";
  r.line = s.line, r.col = s.col;
  if (r.file.empty()) r.file = p.module->name, r.line = s.ptx_line, r.col = 0;
  r.instruction = s.opcode;
  if (s.instruction)
    for (auto m : s.instruction->mods) (r.instruction += '.') += m;
  return r;
}

Finding make_finding(const Warp& w, uint32_t op_index, int lane, Diag code, std::string message) {
  Finding f;
  f.code = code;
  f.message = std::move(message);
  f.where.place = place_of(*w.program, op_index);
  f.where.block = w.block->id;
  uint32_t t = w.index * 32 + uint32_t(lane < 0 ? 0 : lane);
  const jit::Dim3& d = w.launch->block;
  f.where.thread = {t % d.x, t / d.x % d.y, t / d.x / d.y};
  return f;
}

bool report_finding(Launch& l, Finding f, bool fatal, uint64_t key) {
  std::lock_guard lock(l.mutex);
  if (fatal) l.stopped = true;
  if (!fatal && key) {
    key ^= uint64_t(static_cast<uint16_t>(f.code)) << 48;
    auto [it, fresh] = l.seen.try_emplace(key, uint32_t(l.findings.size()));
    if (!fresh) {
      if (it->second < l.findings.size()) ++l.findings[it->second].count;
      return false;
    }
  }
  if (l.findings.size() < l.options.max_findings || fatal) l.findings.push_back(std::move(f));
  if (l.findings.size() >= l.options.max_findings) l.stopped = true;
  return true;
}

Flow report_fault(Warp& w, const Op& op, int lane, Diag code, std::string message) {
  report_finding(*w.launch, make_finding(w, w.op_index(op), lane, code, std::move(message)), true,
                 0);
  return Flow::stop;
}

namespace {

std::string dim(const jit::Dim3& d) {
  return d.z   ? fmt::format("({},{},{})", d.x, d.y, d.z)
         : d.y ? fmt::format("({},{})", d.x, d.y)
               : fmt::format("{}", d.x);
}
std::string place_text(const Place& p) {
  std::string s =
      p.col ? fmt::format("{}:{}:{}", p.file, p.line, p.col) : fmt::format("{}:{}", p.file, p.line);
  if (!p.instruction.empty()) s += fmt::format(" [{} at PTX line {}]", p.instruction, p.ptx_line);
  return s;
}
std::string access_text(const Access& a) {
  std::string s = a.place.file.empty() ? "" : place_text(a.place) + ": ";
  s += a.what;
  if (!a.place.file.empty())
    s += fmt::format(" (block {}, thread {})", dim(a.block), dim(a.thread));
  return s;
}
std::string access_json(const Access& a) {
  return fmt::format(
      R"({{"file":{},"line":{},"col":{},"ptx_line":{},"instruction":{},"block":[{},{},{}],"thread":[{},{},{}],"what":{}}})",
      json_quote(a.place.file), a.place.line, a.place.col, a.place.ptx_line,
      json_quote(a.place.instruction), a.block.x, a.block.y, a.block.z, a.thread.x, a.thread.y,
      a.thread.z, json_quote(a.what));
}

}  // namespace

std::string render_finding(const Finding& f) {
  const DiagInfo* info = find_diag(f.code);
  std::string s;
  if (!f.where.place.file.empty()) s += place_text(f.where.place) + ": ";
  s += fmt::format("[{}] {}: {}", diag_id(f.code), info ? info->summary : "", f.message);
  if (!f.where.place.file.empty())
    s += fmt::format(" (block {}, thread {})", dim(f.where.block), dim(f.where.thread));
  if (f.count > 1) s += fmt::format(" ({} times)", f.count);
  if (!f.where.what.empty() && f.others.empty()) s += "\n    " + f.where.what;
  for (const Access& a : f.others) s += "\n    " + access_text(a);
  return s;
}

std::string finding_json(const Finding& f) {
  const DiagInfo* info = find_diag(f.code);
  std::string others;
  for (const Access& a : f.others) others += (others.empty() ? "" : ",") + access_json(a);
  return fmt::format(R"({{"code":{},"name":{},"message":{},"where":{},"others":[{}],"count":{}}})",
                     json_quote(diag_id(f.code)), json_quote(info ? info->summary : ""),
                     json_quote(f.message), access_json(f.where), others, f.count);
}

Diagnostic finding_diagnostic(const Finding& f) {
  std::string at = f.where.place.file.empty() ? "" : place_text(f.where.place) + ": ";
  Diagnostic d = make_diag(
      f.code,
      at + f.message +
          (f.where.place.file.empty()
               ? ""
               : fmt::format(" (block {}, thread {})", dim(f.where.block), dim(f.where.thread))));
  for (const Access& a : f.others) d.notes.push_back({access_text(a), {}});
  return d;
}

namespace {

struct LineRow {
  Place place;
  SiteStats s;
};
std::vector<LineRow> by_line(const Program& p, const LaunchStats& s) {
  std::vector<LineRow> rows;
  std::map<std::pair<uint64_t, uint32_t>, size_t> at;
  for (size_t i = 0; i < s.sites.size() && i < p.sites.size(); ++i) {
    const Site& site = p.sites[i];
    auto key = site.line ? std::make_pair(uint64_t(site.file) << 32 | site.line, 0u)
                         : std::make_pair(uint64_t(0), site.ptx_line);
    auto [it, fresh] = at.try_emplace(key, rows.size());
    if (fresh) {
      rows.push_back({place_of(p, uint32_t(i)), {}});
      rows.back().place.instruction.clear();
    }
    SiteStats& a = rows[it->second].s;
    const SiteStats& b = s.sites[i];
    a.executed += b.executed, a.lanes += b.lanes, a.requests += b.requests, a.sectors += b.sectors;
    a.wavefronts += b.wavefronts, a.ideal += b.ideal, a.stalls += b.stalls;
  }
  return rows;
}

}  // namespace

std::string stats_text(const Program& p, const LaunchStats& s) {
  std::string out =
      fmt::format("{} warp instructions, {} lane instructions, {} bytes copied asynchronously\n",
                  s.warp_instructions, s.lane_instructions, s.async_bytes);
  for (int i = 0; i < kOpClasses; ++i)
    if (s.by_class[size_t(i)])
      out += fmt::format("  {:10} {:>12}\n", op_class_name(OpClass(i)), s.by_class[size_t(i)]);
  for (const LineRow& r : by_line(p, s)) {
    if (!r.s.requests && !r.s.stalls) continue;
    out += fmt::format("  {}:{}:", r.place.file, r.place.line);
    if (r.s.sectors)
      out += fmt::format(" {} requests, {:.2f} sectors each", r.s.requests,
                         double(r.s.sectors) / double(r.s.requests));
    if (r.s.ideal)
      out += fmt::format(" {} shared passes, {} bank conflicts", r.s.ideal,
                         r.s.wavefronts - r.s.ideal);
    if (r.s.stalls) out += fmt::format(" {} waits", r.s.stalls);
    out += "\n";
  }
  return out;
}

std::string stats_json(const Program& p, const LaunchStats& s) {
  std::string classes, lines;
  for (int i = 0; i < kOpClasses; ++i)
    classes += fmt::format("{}{}:{}", i ? "," : "", json_quote(op_class_name(OpClass(i))),
                           s.by_class[size_t(i)]);
  for (const LineRow& r : by_line(p, s))
    if (r.s.executed)
      lines += fmt::format(
          R"({}{{"file":{},"line":{},"executed":{},"lanes":{},"requests":{},"sectors":{},"shared_passes":{},"bank_conflicts":{},"waits":{}}})",
          lines.empty() ? "" : ",", json_quote(r.place.file), r.place.line, r.s.executed, r.s.lanes,
          r.s.requests, r.s.sectors, r.s.ideal, r.s.wavefronts - r.s.ideal, r.s.stalls);
  return fmt::format(
      R"({{"warp_instructions":{},"lane_instructions":{},"async_bytes":{},"by_class":{{{}}},"lines":[{}]}})",
      s.warp_instructions, s.lane_instructions, s.async_bytes, classes, lines);
}

}  // namespace tess::ptxsim
