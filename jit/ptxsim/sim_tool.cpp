#include "jit/ptxsim/sim_tool.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "isa/diag/sim.h"
#include "jit/ptxsim/half.h"
#include "jit/ptxsim/sim_driver.h"

namespace tess::ptxsim {
namespace {

Diagnostic bad(std::string why) { return make_diag(diag::kSimTool, std::move(why)); }

std::vector<std::string_view> split(std::string_view s, char by) {
  std::vector<std::string_view> out;
  for (;;) {
    size_t n = s.find(by);
    out.push_back(s.substr(0, n));
    if (n == s.npos) return out;
    s.remove_prefix(n + 1);
  }
}

bool to_integer(std::string_view s, uint64_t& out) {
  bool minus = !s.empty() && s[0] == '-';
  if (minus) s.remove_prefix(1);
  int base = 10;
  if (s.size() > 2 && s[0] == '0' && (s[1] | 0x20) == 'x') base = 16, s.remove_prefix(2);
  auto [p, ec] = std::from_chars(s.data(), s.data() + s.size(), out, base);
  if (ec != std::errc() || p != s.data() + s.size()) return false;
  if (minus) out = 0 - out;
  return true;
}

bool to_bytes(std::string_view s, uint64_t& out) {  // 4096, 64K, 2M
  uint64_t unit = 1;
  if (!s.empty() && (s.back() == 'K' || s.back() == 'M' || s.back() == 'G')) {
    unit = s.back() == 'K' ? 1u << 10 : s.back() == 'M' ? 1u << 20 : 1u << 30;
    s.remove_suffix(1);
  }
  return !s.empty() && s[0] != '-' && to_integer(s, out) && out <= kMaxTotalBytes / unit &&
         (out *= unit, true);
}

bool to_real(std::string_view s, double& out) {
  auto [p, ec] = std::from_chars(s.data(), s.data() + s.size(), out);
  return ec == std::errc() && p == s.data() + s.size();
}

struct Argument {
  std::vector<std::byte> bytes;
  uint64_t buffer = 0, buffer_bytes = 0;
};

class Arguments {
 public:
  Arguments(Simulator& s, const SimToolOptions& o) : sim_(s), options_(o) {}

  Result<std::vector<Argument>> make(const Program& p) {
    if (options_.params.size() != p.params.size()) {
      std::string want;
      for (const ProgramParam& x : p.params)
        want += fmt::format("{}{} ({} bytes)", want.empty() ? "" : ", ", x.name, x.bytes);
      return bad(fmt::format("the kernel has {} parameters, {} are given: {}", p.params.size(),
                             options_.params.size(), want));
    }
    std::vector<Argument> out;
    for (size_t i = 0; i < p.params.size(); ++i) {
      TESS_TRY(Argument a, one(options_.params[i], p.params[i], out));
      if (a.bytes.size() != p.params[i].bytes)
        return bad(fmt::format("parameter {} '{}' gives {} bytes, {} has {}", i, options_.params[i],
                               a.bytes.size(), p.params[i].name, p.params[i].bytes));
      out.push_back(std::move(a));
    }
    return out;
  }

 private:
  static std::vector<std::byte> raw(uint64_t v, size_t n) {
    std::vector<std::byte> b(std::min<size_t>(n, 8));
    std::memcpy(b.data(), &v, b.size());
    return b;
  }

  Result<Argument> one(const std::string& text, const ProgramParam& p,
                       const std::vector<Argument>& before) {
    std::string_view s = text;
    Argument a;
    auto starts = [&](std::string_view x) { return s.substr(0, x.size()) == x; };
    if (starts("buf:")) return buffer(s.substr(4), text);
    if (starts("file:")) {
      if (!options_.read_file) return bad("files cannot be read here");
      TESS_TRY(std::string data, options_.read_file(std::string(s.substr(5))));
      TESS_TRY(a.buffer, sim_.memory().allocate(data.size(), text, true));
      a.buffer_bytes = data.size();
      std::memcpy(sim_.memory().at(a.buffer)->data.get(), data.data(), data.size());
      a.bytes = raw(a.buffer, 8);
      return a;
    }
    if (starts("tmap:")) return tensor_map(s.substr(5), text, before);
    uint64_t v;
    double d;
    bool real = false;
    std::string_view type;
    for (std::string_view prefix : {"f16:", "bf16:", "f32:", "f64:", "f:"})
      if (starts(prefix)) {
        type = prefix.substr(0, prefix.size() - 1);
        s.remove_prefix(prefix.size());
        real = true;
        break;
      }
    if (!real && to_integer(s, v)) {
      a.bytes = raw(v, p.bytes);
      return a;
    }
    if (!to_real(s, d))
      return bad(fmt::format("parameter '{}' is not a number, buf:, file: or tmap:", text));
    if (p.bytes == 8) v = std::bit_cast<uint64_t>(d);
    else if (p.bytes == 4) v = std::bit_cast<uint32_t>(float(d));
    else if (p.bytes == 2) v = type == "bf16" ? float_to_bf16(float(d)) : float_to_half(float(d));
    else
      return bad(
          fmt::format("parameter '{}' is a real number, {} has {} bytes", text, p.name, p.bytes));
    a.bytes = raw(v, p.bytes);
    return a;
  }

  Result<Argument> buffer(std::string_view s, const std::string& text) {
    Argument a;
    size_t eq = s.find('=');
    std::string_view fill = eq == s.npos ? "zeros" : s.substr(eq + 1);
    if (!to_bytes(s.substr(0, eq), a.buffer_bytes))
      return bad(fmt::format("'{}': the size is not a number of bytes", text));
    bool f32 = false;
    if (size_t at = fill.find('@'); at != fill.npos) {
      if (fill.substr(at) != "@f32" && fill.substr(at) != "@f16")
        return bad(fmt::format("'{}': the element type is @f16 or @f32", text));
      f32 = fill.substr(at) == "@f32";
      fill = fill.substr(0, at);
    }
    uint64_t seed = 0;
    bool random = fill == "rand" || fill.substr(0, 5) == "rand(";
    if (fill.substr(0, 5) == "rand(" &&
        (fill.back() != ')' || !to_integer(fill.substr(5, fill.size() - 6), seed)))
      return bad(fmt::format("'{}': rand takes a seed in parentheses", text));
    TESS_TRY(a.buffer, sim_.memory().allocate(a.buffer_bytes, text, fill != "uninit"));
    Allocation* m = sim_.memory().at(a.buffer);
    Random r{seed * 77 + 5};
    auto put = [&](uint64_t at, const void* v, size_t n) {
      std::memcpy(m->data.get() + at, v, std::min<uint64_t>(n, m->bytes - at));
    };
    if (random) {
      for (uint64_t i = 0; i < m->bytes; i += 4) {
        auto value = [&] { return float(int(r.below(2001)) - 1000) / 1000.f; };
        uint32_t v = f32 ? std::bit_cast<uint32_t>(value())
                         : float_to_half(value()) | float_to_half(value()) << 16;
        put(i, &v, 4);
      }
    } else if (fill == "iota") {
      for (uint64_t i = 0; i < m->bytes; i += 4) {
        uint32_t v = f32 ? std::bit_cast<uint32_t>(float(i / 4)) : uint32_t(i / 4);
        put(i, &v, 4);
      }
    } else if (fill == "ones") {
      for (uint64_t i = 0; i < m->bytes; i += 4) {
        uint32_t v = f32 ? 0x3f800000u : 0x3c003c00u;
        put(i, &v, 4);
      }
    } else if (fill != "zeros" && fill != "uninit") {
      return bad(fmt::format(
          "'{}': a buffer is filled with zeros, ones, iota, rand(SEED) or uninit", text));
    }
    a.bytes = raw(a.buffer, 8);
    return a;
  }

  // tmap:PARAM,TYPE,SIZES,BOX[,swizzle=..][,fill=nan]
  Result<Argument> tensor_map(std::string_view s, const std::string& text,
                              const std::vector<Argument>& before) {
    auto parts = split(s, ',');
    if (parts.size() < 4)
      return bad(fmt::format(
          "'{}': a tensor map is tmap:PARAM,TYPE,SIZExSIZE,BOXxBOX[,swizzle=128|64|32][,fill=nan]",
          text));
    uint64_t index;
    if (!to_integer(parts[0], index) || index >= before.size() || !before[index].buffer)
      return bad(fmt::format("'{}': '{}' is not the number of an earlier parameter with a buffer",
                             text, parts[0]));
    constexpr std::string_view kTypes[] = {"u8",      "u16",  "u32",     "s32", "u64",
                                           "s64",     "f16",  "f32",     "f64", "bf16",
                                           "f32_ftz", "tf32", "tf32_ftz"};
    constexpr uint32_t kBytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};
    jit::TensorMapSpec spec;
    size_t type = 0;
    while (type < std::size(kTypes) && kTypes[type] != parts[1]) ++type;
    if (type == std::size(kTypes))
      return bad(fmt::format("'{}': unknown element type '{}'", text, parts[1]));
    spec.type = jit::TensorType(type);
    spec.address = before[index].buffer;
    auto sizes = split(parts[2], 'x'), boxes = split(parts[3], 'x');
    if (sizes.size() > 5 || sizes.size() != boxes.size())
      return bad(fmt::format(
          "'{}': sizes and box must have the same 1 to 5 dimensions, innermost first", text));
    spec.rank = int(sizes.size());
    uint64_t stride = kBytes[type];
    for (size_t i = 0; i < sizes.size(); ++i) {
      uint64_t box;
      if (!to_integer(sizes[i], spec.size[i]) || !to_integer(boxes[i], box) || box > 256 ||
          spec.size[i] > (1ull << 32))
        return bad(fmt::format("'{}': dimension {} is not a number in range", text, i));
      spec.box[i] = uint32_t(box);
      if (i) spec.stride[i - 1] = stride;
      stride *= spec.size[i];
      if (stride > kMaxTotalBytes) return bad(fmt::format("'{}': the tensor is too large", text));
    }
    if (stride > before[index].buffer_bytes)
      return bad(fmt::format("'{}': the tensor takes {} bytes, the buffer has {}", text, stride,
                             before[index].buffer_bytes));
    for (size_t i = 4; i < parts.size(); ++i) {
      if (parts[i] == "swizzle=128") spec.swizzle = jit::TensorSwizzle::b128;
      else if (parts[i] == "swizzle=64") spec.swizzle = jit::TensorSwizzle::b64;
      else if (parts[i] == "swizzle=32") spec.swizzle = jit::TensorSwizzle::b32;
      else if (parts[i] == "swizzle=none") spec.swizzle = jit::TensorSwizzle::none;
      else if (parts[i] == "fill=nan") spec.fill = jit::TensorFill::nan;
      else return bad(fmt::format("'{}': unknown option '{}'", text, parts[i]));
    }
    jit::Driver d = simulator_driver(sim_);
    TESS_TRY(jit::TensorMap m, d.table->encode_tensor_map(d.self, spec));
    Argument a;
    a.bytes.assign(m.bytes, m.bytes + sizeof m.bytes);
    return a;
  }

  Simulator& sim_;
  const SimToolOptions& options_;
};

Result<std::string> dump(Simulator& sim, const std::vector<Argument>& args,
                         const std::string& text) {
  auto parts = split(text, ':');
  uint64_t index, count = 16;
  if (!to_integer(parts[0], index) || index >= args.size() || !args[index].buffer)
    return bad(fmt::format("--dump {}: no such buffer parameter", text));
  std::string_view type = parts.size() > 1 ? parts[1] : "u32";
  if (parts.size() > 2 && !to_integer(parts[2], count))
    return bad(fmt::format("--dump {}: the count is not a number", text));
  uint32_t size = type == "f64" || type == "u64" || type == "s64"    ? 8
                  : type == "f16" || type == "bf16" || type == "u16" ? 2
                  : type == "u8"                                     ? 1
                                                                     : 4;
  const Allocation* m = sim.memory().at(args[index].buffer);
  count = std::min<uint64_t>(count, args[index].buffer_bytes / size);
  std::string out = fmt::format("parameter {}:", index);
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t v = 0;
    std::memcpy(&v, m->data.get() + i * size, size);
    if (type == "f32") out += fmt::format(" {}", std::bit_cast<float>(uint32_t(v)));
    else if (type == "f64") out += fmt::format(" {}", std::bit_cast<double>(v));
    else if (type == "f16" || type == "bf16")
      out += fmt::format(" {}", half_value(type == "bf16", uint32_t(v)));
    else if (type == "s32") out += fmt::format(" {}", int32_t(v));
    else if (type == "s64") out += fmt::format(" {}", int64_t(v));
    else if (type == "u32" || type == "u64" || type == "u16" || type == "u8")
      out += fmt::format(" {}", v);
    else return bad(fmt::format("--dump {}: unknown type '{}'", text, type));
  }
  return out + "\n";
}

}  // namespace

Result<SimToolResult> sim_main(const SimToolOptions& o) {
  AsyncMode mode;
  if (o.async == "eager") mode = AsyncMode::eager;
  else if (o.async == "lazy") mode = AsyncMode::lazy;
  else if (o.async == "random") mode = AsyncMode::random;
  else return bad(fmt::format("--async is eager, lazy or random, not '{}'", o.async));
  if (o.runs < 1 || o.runs > 100000) return bad("--sim-runs is 1..100000");
  SimToolResult result;
  std::string runs_json;
  for (int run = 0; run < o.runs; ++run) {
    Simulator sim;
    LaunchOptions& l = sim.options;
    l.seed = o.seed + uint64_t(run);
    // A sweep goes through the modes and, behind the first three runs, shuffles the warps.
    l.async = o.runs == 1 ? mode : AsyncMode((int(mode) + run) % 3);
    l.shuffle_warps = o.runs == 1 ? o.seed != 0 : run >= 3;
    l.check_races = l.check_init = l.check_async = o.check;
    l.stats = o.stats || o.json;
    if (o.max_steps) l.max_steps = o.max_steps;
    l.threads = o.threads;
    l.interrupt = o.interrupt;
    TESS_TRY(jit::ModuleId module, sim.load(o.ptx, o.file));
    std::string entry = o.entry;
    if (entry.empty()) {
      TESS_TRY(std::shared_ptr<const Module> parsed, parse_ptx(o.ptx, o.file));
      for (const Function& f : parsed->functions)
        if (f.entry && f.defined) {
          if (!entry.empty())
            return bad("the module has more than one kernel: name one with --entry");
          entry = f.name;
        }
    }
    TESS_TRY(std::shared_ptr<const Program> program, sim.program(module, entry));
    TESS_TRY(std::vector<Argument> args, Arguments(sim, o).make(*program));
    std::vector<std::span<const std::byte>> spans;
    for (const Argument& a : args) spans.emplace_back(a.bytes);
    jit::LaunchSpec spec;
    spec.module = module;
    spec.entry = entry;
    spec.grid = o.grid, spec.block = o.block, spec.cluster = o.cluster;
    spec.shared_bytes = o.shared_bytes;
    spec.params = spans;
    TESS_TRY(SimResult r, sim.run(spec));
    constexpr std::string_view kModes[] = {"eager", "lazy", "random"};
    result.clean &= r.findings.empty();
    if (o.json) {
      std::string findings;
      for (const Finding& f : r.findings)
        findings += (findings.empty() ? "" : ",") + finding_json(f);
      std::string dumps;
      for (const std::string& d : o.dumps) {
        TESS_TRY(std::string text, dump(sim, args, d));
        dumps += (dumps.empty() ? "" : ",") + json_quote(text);
      }
      runs_json += fmt::format(
          R"({}{{"run":{},"async":{},"seed":{},"steps":{},"findings":[{}],"printed":{},"dumps":[{}],"stats":{}}})",
          run ? "," : "", run, json_quote(kModes[int(l.async)]), l.seed, r.steps, findings,
          json_quote(r.output), dumps, stats_json(*program, r.stats));
      continue;
    }
    if (run == 0 || !r.findings.empty()) result.output += r.output;
    for (const Finding& f : r.findings) result.output += render_finding(f) + "\n";
    if (!r.findings.empty())
      result.output += fmt::format("run {} of {}: --async {} --seed {}: {} finding{}\n", run + 1,
                                   o.runs, kModes[int(l.async)], l.seed, r.findings.size(),
                                   r.findings.size() == 1 ? "" : "s");
    if (run == 0) {
      if (o.stats) result.output += stats_text(*program, r.stats);
      for (const std::string& d : o.dumps) {
        TESS_TRY(std::string text, dump(sim, args, d));
        result.output += text;
      }
    }
    if (!r.findings.empty()) break;
  }
  if (o.json)
    result.output = fmt::format(R"({{"file":{},"clean":{},"runs":[{}]}})", json_quote(o.file),
                                result.clean, runs_json) +
                    "\n";
  else if (result.clean)
    result.output += fmt::format("{} run{}: no findings\n", o.runs, o.runs == 1 ? "" : "s");
  return result;
}

}  // namespace tess::ptxsim
