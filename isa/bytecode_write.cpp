// A kernel, in section 5:
//
//   name   bindings (count; each: name, 0 type | 1 constant)   parameters (count; each below)
//   grid rank, that many expressions   warps cluster blocks_per_sm   flags
//   counts of values constants accesses indices attributes references instructions
//   values        type (the names of locals are in section 7)
//   constants     index into section 4
//   instructions  code, results + 16 * attributes, operands, references, attributes (tag, value)
//
//   parameter     direction, presence bits, name, shape (count, expressions), what the bits say
//   expression    number of tokens; each: code, value of a constant or parameter
//   reference     4 * index + kind; 3: none; for an access the index is that of its base, and its
//   item,
//                 number of indices and indices (kind, references, extent) follow
//
// One program has one encoding: locals, constants and layouts are numbered in the order in which
// instructions first use them, and what nothing uses is left out (but for named layouts).
#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_map>

#include "isa/bytecode.h"
#include "isa/bytecode_parts.h"
#include "isa/numerics.h"

namespace tess {

uint64_t bytecode_checksum(std::span<const uint8_t> bytes) {
  // Each step is invertible in the state and in the word.
  constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15;
  auto step = [](uint64_t h, uint64_t word) {
    h = (h ^ word) * kMultiplier;
    return h ^ h >> 32;
  };
  uint64_t h = step(0x5445535345524121, bytes.size());
  size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, bytes.data() + i, 8);
    h = step(h, word);
  }
  uint64_t tail = 0;
  for (size_t shift = 0; i < bytes.size(); ++i, shift += 8) tail |= uint64_t{bytes[i]} << shift;
  return step(step(h, tail), 0);
}

namespace {

static_assert(std::endian::native == std::endian::little);

struct Bytes {
  std::vector<uint8_t> data;

  void byte(uint8_t b) { data.push_back(b); }
  void num(uint64_t v) {
    for (; v >= 0x80; v >>= 7) data.push_back(static_cast<uint8_t>(v) | 0x80);
    data.push_back(static_cast<uint8_t>(v));
  }
  void snum(int64_t v) { num(bytecode::zigzag(v)); }
  void raw(std::string_view s) { data.insert(data.end(), s.begin(), s.end()); }
  void raw(const Bytes& b) { data.insert(data.end(), b.data.begin(), b.data.end()); }
};

// Entries numbered in order of first use, each given by its encoding.
class Table {
 public:
  uint32_t index_of(std::string_view encoded) {
    if (auto it = index_.find(std::string(encoded)); it != index_.end()) return it->second;
    auto it = index_.emplace(std::string(encoded), static_cast<uint32_t>(entries_.size())).first;
    entries_.push_back(&it->first);
    return it->second;
  }
  const std::vector<const std::string*>& entries() const { return entries_; }

 private:
  std::unordered_map<std::string, uint32_t> index_;
  std::vector<const std::string*> entries_;
};

// Old indices and new ones.
struct Numbering {
  static constexpr uint32_t kUnused = 0xffffffff;
  std::vector<uint32_t> to, from;

  explicit Numbering(size_t n = 0) : to(n, kUnused) {}
  void use(uint32_t old) {
    if (to[old] != kUnused) return;
    to[old] = static_cast<uint32_t>(from.size());
    from.push_back(old);
  }
};

// How the parts of a kernel are numbered in the file.
struct Order {
  Numbering values, constants;
  uint64_t n_accesses = 0, n_indices = 0, n_attrs = 0, n_refs = 0;
};

// One code for each value.
Constant canonical(Constant c) {
  if (c.type.is_tf32()) c.code &= ~uint64_t{0x1FFF};
  if (c.type.kind != Kind::boolean && !c.type.is_int() && is_nan_code(c.type, c.code))
    c.code = nan_code(c.type);
  return c;
}

class Writer {
 public:
  Writer(const Module& module, WriteOptions options) : module_(module), options_(options) {}

  std::vector<uint8_t> run() {
    number_all();
    collect_strings();
    Bytes kernels, names, lines, layouts;
    kernels.num(module_.kernels.size());
    for (size_t i = 0; i < module_.kernels.size(); ++i)
      write_kernel(module_.kernels[i], orders_[i], kernels);
    write_layouts(layouts);
    if (has_names_) write_names(names);
    if (has_lines_) write_lines(lines);

    Bytes out;
    out.data.reserve(kernels.data.size() + names.data.size() + lines.data.size() + 4096);
    for (uint8_t b : kBytecodeMagic) out.byte(b);
    out.data.resize(kBytecodeHeaderBytes);
    out.data[16] = kBytecodeMajor & 0xff, out.data[17] = kBytecodeMajor >> 8;
    out.data[18] = kBytecodeMinor & 0xff, out.data[19] = kBytecodeMinor >> 8;
    section(out, SectionId::strings, strings_section());
    section(out, SectionId::types, table_section(types_));
    section(out, SectionId::layouts, layouts);
    section(out, SectionId::constants, table_section(constants_));
    section(out, SectionId::kernels, kernels);
    if (has_names_) section(out, SectionId::names, names);
    if (has_lines_) section(out, SectionId::lines, lines);
    if (options_.keep_source && !module_.source.empty())
      text_section(out, SectionId::source, module_.source);
    if (!module_.producer.empty()) text_section(out, SectionId::producer, module_.producer);
    uint64_t checksum = bytecode_checksum(std::span(out.data).subspan(16));
    std::memcpy(out.data.data() + 8, &checksum, 8);
    return std::move(out.data);
  }

 private:
  static void section(Bytes& out, SectionId id, const Bytes& contents) {
    out.num(bytecode::section_code(id));
    out.num(contents.data.size());
    out.raw(contents);
  }
  static void text_section(Bytes& out, SectionId id, std::string_view text) {
    out.num(bytecode::section_code(id));
    out.num(text.size());
    out.raw(text);
  }
  void number_all() {
    layouts_ = Numbering(module_.layouts.size());
    for (const Kernel& k : module_.kernels) orders_.push_back(number_kernel(k));
    for (uint32_t i = 0; i < module_.layouts.size(); ++i)
      if (!module_.layouts[i].name.empty()) layouts_.use(i);
  }
  Order number_kernel(const Kernel& k) {
    Order order{Numbering(k.values.size()), Numbering(k.constants.size())};
    auto use = [&](Ref r) {
      if (r.is_value()) order.values.use(r.index());
      if (r.is_constant()) order.constants.use(r.index());
    };
    for (uint32_t i = 0; i < k.params.size(); ++i) order.values.use(i);
    for (const Inst& inst : k.code) {
      order.n_refs += inst.n_results + inst.n_args;
      order.n_attrs += inst.n_attrs;
      for (Ref r : k.results(inst)) use(r);
      for (Ref r : k.args(inst)) {
        use(r);
        if (!r.is_access()) continue;
        const Access& a = k.accesses[r.index()];
        order.n_accesses += 1;
        order.n_indices += a.n_indices;
        order.values.use(a.base);
        use(a.item);
        for (const Index& i : k.indices_of(a)) use(i.start), use(i.stop);
      }
      for (const Attr& a : k.attrs_of(inst)) {
        AttrKind kind = find_attr(a.tag)->kind;
        if (kind == AttrKind::constant) order.constants.use(static_cast<uint32_t>(a.value));
        if (kind == AttrKind::layout) layouts_.use(static_cast<uint32_t>(a.value));
      }
    }
    return order;
  }

  // Ascending, so that a reader sees at once that each stands there once.
  void collect_strings() {
    auto add = [&](std::string_view s) { string_index_.emplace(s, 0); };
    for (uint32_t i : layouts_.from) {
      const LayoutDef& l = module_.layouts[i];
      if (!options_.strip_names && !l.name.empty()) add(l.name);
      add(l.text);
    }
    for (size_t k = 0; k < orders_.size(); ++k) {
      const Kernel& kernel = module_.kernels[k];
      add(kernel.name);
      for (const Binding& b : kernel.bindings) add(b.name);
      for (uint32_t v : orders_[k].values.from)
        if (v < kernel.params.size()) {
          add(kernel.values[v].name);
        } else if (!options_.strip_names && !kernel.values[v].name.empty()) {
          has_names_ = true;
          add(kernel.values[v].name);
        }
    }
    has_lines_ = !options_.strip_lines && any_lines();
    if (has_lines_)
      for (const std::string& f : module_.files) add(f);
    for (const auto& entry : string_index_) strings_.push_back(entry.first);
    std::sort(strings_.begin(), strings_.end());
    for (uint32_t i = 0; i < strings_.size(); ++i) string_index_[strings_[i]] = i;
  }
  bool any_lines() const {
    return !module_.files.empty() || std::ranges::any_of(module_.kernels, [](const Kernel& k) {
      return k.loc != Loc{} ||
             std::ranges::any_of(k.code, [](const Inst& i) { return i.loc != Loc{}; });
    });
  }
  Bytes strings_section() const {
    Bytes out;
    out.num(strings_.size());
    for (std::string_view s : strings_) out.num(s.size());
    for (std::string_view s : strings_) out.raw(s);
    return out;
  }
  static Bytes table_section(const Table& table) {
    Bytes out;
    out.num(table.entries().size());
    for (const std::string* entry : table.entries()) out.raw(*entry);
    return out;
  }

  static std::string_view view(const Bytes& b) {
    return {reinterpret_cast<const char*>(b.data.data()), b.data.size()};
  }
  uint32_t string_index(std::string_view s) const { return string_index_.find(s)->second; }
  uint64_t optional_string(std::string_view s) const {
    return s.empty() ? 0 : uint64_t{string_index(s)} + 1;
  }
  static void dtype(Bytes& out, DType t) {
    out.byte(static_cast<uint8_t>(t.kind));
    out.byte(t.bits);
    out.byte(t.exp);
    out.byte(t.man);
  }
  uint32_t type_index(const Type& t) {
    scratch_.data.clear();
    scratch_.byte(static_cast<uint8_t>(t.space));
    scratch_.byte(t.ring);
    dtype(scratch_, t.dtype);
    scratch_.byte(t.shape.rank);
    for (int64_t d : t.shape) scratch_.num(static_cast<uint64_t>(d + 1));
    return types_.index_of(view(scratch_));
  }
  uint32_t constant_index(Constant c) {
    scratch_.data.clear();
    dtype(scratch_, c.type);
    scratch_.num(c.code);
    return constants_.index_of(view(scratch_));
  }

  static void expr(Bytes& out, const HostExpr& e) {
    out.num(e.tokens.size());
    for (const HostToken& t : e.tokens) {
      out.byte(static_cast<uint8_t>(t.op));
      if (t.op == HostOp::constant) out.snum(t.value);
      if (t.op == HostOp::param) out.num(static_cast<uint64_t>(t.value));
    }
  }
  static void exprs(Bytes& out, const std::vector<HostExpr>& list) {
    out.num(list.size());
    for (const HostExpr& e : list) expr(out, e);
  }

  void write_param(const Param& p, std::string_view name, Bytes& out) {
    using namespace bytecode;
    uint32_t bits = 0;
    if (!p.strides.empty()) bits |= kHasStrides;
    if (!p.list.tokens.empty()) bits |= kHasList;
    if (!p.let.tokens.empty()) bits |= kHasLet;
    if (p.aligned != 0) bits |= kHasAligned;
    if (p.may_alias) bits |= kMayAlias;
    if (p.kept) bits |= kKept;
    if (p.divisible != 1) bits |= kHasDivisible;
    if (p.lo) bits |= kHasLo;
    if (p.hi) bits |= kHasHi;
    out.byte(static_cast<uint8_t>(p.dir));
    out.num(bits);
    out.num(string_index(name));
    exprs(out, p.shape);
    if (bits & kHasStrides) exprs(out, p.strides);
    if (bits & kHasList) expr(out, p.list);
    if (bits & kHasLet) expr(out, p.let);
    if (bits & kHasAligned) out.num(p.aligned);
    if (bits & kHasDivisible) out.snum(p.divisible);
    if (bits & kHasLo) out.snum(*p.lo);
    if (bits & kHasHi) out.snum(*p.hi);
  }

  void write_ref(const Kernel& k, const Order& order, Ref r, Bytes& out) {
    if (r.is_value()) r = Ref::value(order.values.to[r.index()]);
    if (r.is_constant()) r = Ref::constant(order.constants.to[r.index()]);
    if (!r.is_access()) return out.num(bytecode::ref_number(r));
    const Access& a = k.accesses[r.index()];
    out.num(bytecode::ref_number(Ref::access(order.values.to[a.base])));
    write_ref(k, order, a.item, out);
    out.num(a.n_indices);
    for (const Index& i : k.indices_of(a)) {
      out.byte(static_cast<uint8_t>(i.kind));
      if (i.kind != IndexKind::all) write_ref(k, order, i.start, out);
      if (i.kind == IndexKind::span) write_ref(k, order, i.stop, out);
      if (i.kind == IndexKind::range) out.snum(i.extent);
    }
  }

  void write_inst(const Kernel& k, const Order& order, const Inst& inst, Bytes& out) {
    out.num(op_info(inst.op).code);
    out.num(inst.n_results + uint64_t{inst.n_attrs} * 16);
    out.num(inst.n_args);
    for (Ref r : k.results(inst)) write_ref(k, order, r, out);
    for (Ref r : k.args(inst)) write_ref(k, order, r, out);
    for (const Attr& a : k.attrs_of(inst)) {
      out.byte(static_cast<uint8_t>(a.tag));
      switch (find_attr(a.tag)->kind) {
        case AttrKind::flag:
          break;
        case AttrKind::integer:
          out.snum(a.value);
          break;
        case AttrKind::constant:
          out.num(order.constants.to[a.value]);
          break;
        case AttrKind::layout:
          out.num(layouts_.to[a.value]);
          break;
        case AttrKind::perm:
          out.num(static_cast<uint64_t>(a.value));
          break;
      }
    }
  }

  void write_kernel(const Kernel& k, const Order& order, Bytes& out) {
    out.num(string_index(k.name));
    out.num(k.bindings.size());
    for (const Binding& b : k.bindings) {
      out.num(string_index(b.name));
      out.byte(b.type ? 0 : 1);
      if (b.type) dtype(out, *b.type);
      else out.num(constant_index(b.value));
    }
    out.num(k.params.size());
    for (size_t i = 0; i < k.params.size(); ++i) write_param(k.params[i], k.values[i].name, out);
    out.num(k.grid_rank);
    for (int i = 0; i < k.grid_rank; ++i) expr(out, k.grid[i]);
    out.num(k.warps);
    out.num(k.cluster);
    out.num(k.blocks_per_sm);
    out.num(bytecode::kernel_flags(k));

    for (uint64_t n :
         {uint64_t{order.values.from.size()}, uint64_t{order.constants.from.size()},
          order.n_accesses, order.n_indices, order.n_attrs, order.n_refs, uint64_t{k.code.size()}})
      out.num(n);
    for (uint32_t v : order.values.from) out.num(type_index(k.values[v].type));
    for (uint32_t c : order.constants.from) out.num(constant_index(canonical(k.constants[c])));
    for (const Inst& i : k.code) write_inst(k, order, i, out);
  }

  void write_layouts(Bytes& out) {
    out.num(layouts_.from.size());
    for (uint32_t i : layouts_.from) {
      const LayoutDef& l = module_.layouts[i];
      out.byte(bytecode::kLayoutSpelling);
      out.num(options_.strip_names ? 0 : optional_string(l.name));
      out.num(string_index(l.text));
    }
  }

  void write_names(Bytes& out) {
    for (size_t k = 0; k < module_.kernels.size(); ++k) {
      const Kernel& kernel = module_.kernels[k];
      for (size_t i = kernel.params.size(); i < orders_[k].values.from.size(); ++i)
        out.num(optional_string(kernel.values[orders_[k].values.from[i]].name));
    }
  }

  // Places as differences: 2 * zigzag(line) + (1 if the file changes, which then follows), column.
  void write_lines(Bytes& out) {
    out.num(module_.files.size());
    for (const std::string& f : module_.files) out.num(string_index(f));
    for (const Kernel& k : module_.kernels) {
      Loc last;
      auto put = [&](const Loc& loc) {
        bool moved = loc.file != last.file;
        out.num(bytecode::zigzag(int64_t{loc.line} - last.line) * 2 + moved);
        if (moved) out.num(loc.file);
        out.num(loc.col);
        last = loc;
      };
      put(k.loc);
      for (const Inst& i : k.code) put(i.loc);
    }
  }

  const Module& module_;
  WriteOptions options_;
  std::unordered_map<std::string_view, uint32_t> string_index_;
  std::vector<std::string_view> strings_;
  std::vector<Order> orders_;  // by kernel
  Numbering layouts_;
  bool has_names_ = false, has_lines_ = false;
  Table types_, constants_;
  Bytes scratch_;
};

}  // namespace

std::vector<uint8_t> write_bytecode(const Module& module, WriteOptions options) {
  return Writer(module, options).run();
}

}  // namespace tess
