#include "jit/lower/lowering.h"

#include <fmt/format.h>

#include <algorithm>

#include "isa/diag/jit.h"
#include "isa/diag/tool.h"
#include "isa/layout_ops.h"
#include "isa/verify_kernel.h"
#include "jit/tile/shapes.h"
#include "jit/tile/webs.h"

namespace tess::jit {

void specialise(Kernel& kernel, const LaunchFacts& facts) {
  for (size_t i = 0; i < kernel.params.size(); ++i) {
    Param& p = kernel.params[i];
    if (i < facts.alignment.size()) p.aligned = std::max(p.aligned, facts.alignment[i]);
    if (i < facts.divisor.size() && facts.divisor[i] > 1 && facts.divisor[i] % p.divisible == 0)
      p.divisible = facts.divisor[i];
  }
}

Lowering::Lowering(const VerifiedModule& module, size_t kernel, const LowerOptions& options,
                   Lowered& out)
    : vm_(module),
      m_(module.module()),
      k_(module.kernel(kernel)),
      info_(module.info(kernel)),
      options_(options),
      out_(out),
      e_(out.block),
      facts_(k_) {}

// --- values

// A name needs a variable if it is assigned in several places, or used outside of the block that
// assigns it.
void Lowering::find_variables() {
  is_variable_.assign(k_.values.size(), false);
  value_layout_.assign(k_.values.size(), -1);
  constexpr uint32_t kUnset = ~0u;
  std::vector<uint32_t> scope_of(k_.values.size(), kUnset);
  std::vector<uint32_t> open{0};
  uint32_t next = 1;
  std::vector<tile::Use> uses;
  auto is_open = [&](uint32_t s) { return std::find(open.begin(), open.end(), s) != open.end(); };
  for (uint32_t pc = 0; pc < k_.code.size(); ++pc) {
    const Inst& inst = k_.code[pc];
    if (inst.op == Op::end || inst.op == Op::else_) open.pop_back();
    uses.clear();
    tile::uses_of(k_, inst, uses);
    for (const tile::Use& u : uses)
      if (scope_of[u.value] != kUnset && !is_open(scope_of[u.value])) is_variable_[u.value] = true;
    bool opens = inst.op == Op::for_ || inst.op == Op::while_ || inst.op == Op::if_ ||
                 inst.op == Op::else_ || inst.op == Op::parallel || inst.op == Op::warps;
    if (opens) open.push_back(next++);
    for (Ref r : k_.results(inst)) {
      uint32_t v = r.index();
      if (scope_of[v] != kUnset) is_variable_[v] = true;
      else scope_of[v] = open.back();
      if (auto l = k_.attr(inst, AttrTag::layout)) value_layout_[v] = *l;
    }
  }
  for (size_t v = 0; v < k_.values.size(); ++v)
    if (k_.values[v].type.space != Space::reg) is_variable_[v] = false;
}

void Lowering::bind_params() {
  bindings_.resize(k_.values.size());
  for (uint32_t i = 0; i < k_.params.size(); ++i) {
    const Param& p = k_.params[i];
    const Type& type = k_.values[i].type;
    BlockParam bp;
    bp.source = i;
    bp.name = k_.values[i].name;
    bool is_scalar = p.dir == Direction::scalar || p.dir == Direction::let;
    bp.kind = is_scalar               ? ParamKind::scalar
              : p.list.tokens.empty() ? ParamKind::pointer
                                      : ParamKind::list;
    bp.type = !is_scalar                                     ? RegClass::b64
              : type.dtype.is_bool() || type.dtype.bits < 32 ? RegClass::b32
                                                             : word_class(type.dtype);
    out_.block.params.push_back(bp);
    if (!is_scalar) continue;
    e_.name(bp.name);
    Operand value = e_.op(BlockOp::param, {b32(i)}, bp.type);
    if (type.dtype.is_bool()) value = e_.ne(value, b32(0));
    bindings_[i].set = true;
    bindings_[i].words = {value};
  }
}

Tile Lowering::shape_of(uint32_t value) {
  Tile t;
  t.type = k_.values[value].type.dtype;
  t.shape = k_.values[value].type.shape;
  if (t.shape.rank > 0) {
    t.layout = layout_of(value);
    if (!t.layout) broken("a tile without a layout: %" + k_.values[value].name);
  }
  return t;
}

Lowering::Binding& Lowering::variable_of(uint32_t value) {
  Binding& b = bindings_[value];
  if (b.set) return b;
  Tile t = shape_of(value);
  size_t n = word_count(t.type, t.elements());
  for (size_t i = 0; i < n; ++i)
    b.words.push_back(e_.variable(word_class(t.type), k_.values[value].name));
  b.set = true;
  return b;
}

Tile Lowering::tile_of(Ref r) {
  if (r.is_constant()) return constant_tile(k_.constants[r.index()]);
  uint32_t value = r.index();
  Tile t = shape_of(value);
  if (!r.is_value()) {
    broken("an operand that is no register value");
    return t;
  }
  Binding& b = is_variable_[value] ? variable_of(value) : bindings_[value];
  if (!b.set) {
    broken("a value is used before it is made: %" + k_.values[value].name);
    t.words.assign(word_count(t.type, t.elements()), Operand::imm(0, word_class(t.type)));
    return t;
  }
  t.words = b.words;
  if (is_variable_[value] && t.shape.rank == 0) {
    if (!b.now || !e_.is_open(b.now_scope)) {
      b.now = e_.snapshot(b.words[0]);
      b.now_scope = e_.scope();
    }
    t.words = {*b.now};
  }
  return t;
}

void Lowering::set_value(uint32_t value, Words words) {
  if (is_variable_[value]) {
    Binding& b = variable_of(value);
    if (b.words.size() != words.size())
      return broken(fmt::format("{} words where {} are wanted", words.size(), b.words.size()));
    for (size_t i = 0; i < words.size(); ++i) e_.assign(b.words[i], words[i]);
    b.now.reset();
    return;
  }
  for (Operand& w : words) w = e_.snapshot(w);
  bind(value, std::move(words));
}

void Lowering::bind(uint32_t value, Words words) {
  bindings_[value].set = true;
  bindings_[value].words = std::move(words);
}

void Lowering::set(size_t result, Words words) {
  const Type& t = result_type(result);
  const TileLayout* layout = t.shape.rank ? layout_of(result_value(result)) : nullptr;
  size_t want = word_count(t.dtype, layout ? layout->registers : 1);
  if (words.size() != want)
    return broken(fmt::format("{} words where {} are wanted", words.size(), want));
  // A result that is made of variables, one of which is about to change.
  if (n_results() > 1 || is_variable_[result_value(result)])
    for (Operand& w : words) w = e_.snapshot(w);
  set_value(result_value(result), std::move(words));
}

void Lowering::forget_scalars() {
  for (Binding& b : bindings_) b.now.reset();
}

const Layout* Lowering::memory_layout(uint32_t value) {
  const Type& type = k_.values[value].type;
  std::vector<int64_t> dims(type.shape.begin(), type.shape.end());
  Layout layout;
  if (int64_t i = value_layout_[value]; i >= 0) {
    layout = swizzle_form(written_[static_cast<size_t>(i)]);
    if (type.ring && layout.dims + 1 == type.shape.rank) {
      // The layout of one slot: slots follow each other.
      int64_t extent = extent_of(layout);
      for (Digit& d : layout.digits) ++d.dim;
      layout.digits.push_back({Label::dim, 0, type.shape[0], {extent}});
      layout.dims = static_cast<uint8_t>(type.shape.rank);
      if (!layout.bits.identity()) {  // the swizzle leaves the slot's bits alone
        int need = 0;
        while (int64_t{1} << need < extent * type.shape[0]) ++need;
        while (layout.bits.in_bits[0] < need) {
          layout.bits.columns.push_back({int64_t{1} << layout.bits.in_bits[0]});
          ++layout.bits.in_bits[0];
        }
      }
    }
  } else {
    Result<Layout> rows = row_major(dims);
    if (!rows) {
      fail(rows.error());
      return nullptr;
    }
    layout = *rows;
  }
  return keep(std::move(layout));
}

// --- threads

Operand Lowering::from_first_thread(Operand word) {
  bool is_pred = word.type == RegClass::pred;
  if (is_pred) word = e_.sel(word, b32(1), b32(0));
  if (strand_.warps == 1 && !strand_.one_thread) {
    auto shuffle = [&](Operand w) {
      return e_.form1("shfl.sync.idx.b32", {w, b32(0), b32(31), b32(0xffffffff)});
    };
    if (class_bytes(word.type) == 8) {
      Operand bits = word.type == RegClass::f64 ? e_.op(BlockOp::as_b64, {word}) : word;
      auto [low, high] = e_.halves(bits);
      Operand whole = e_.join(shuffle(low), shuffle(high));
      return word.type == RegClass::f64 ? e_.op(BlockOp::as_f64, {whole}) : whole;
    }
    if (word.type == RegClass::f32)
      return e_.op(BlockOp::as_f32, {shuffle(e_.op(BlockOp::as_b32, {word}))});
    Operand all = shuffle(word);
    return is_pred ? e_.ne(all, b32(0)) : all;
  }
  if (strand_.one_thread) return is_pred ? e_.ne(word, b32(0)) : word;
  Operand at = scratch(8);
  std::string type(class_name(word.type));
  e_.begin_if(e_.eq(thread(), b32(0)));
  e_.form("st.shared." + type, {at, b32(0), word});
  e_.end();
  barrier();
  Operand all = e_.form1("ld.shared." + type, {at, b32(0)});
  barrier();
  return is_pred ? e_.ne(all, b32(0)) : all;
}

const TileLayout* Lowering::any_layout(const Shape& shape) {
  Result<Layout> l = tile::wide_layout(shape, shape.rank - 1, 4, static_cast<int>(strand_.warps));
  if (l) return intern(*l);
  fail(l.error());
  return nullptr;
}

// --- failing

void Lowering::fail(Diagnostic d) {
  failed_ = true;
  if (error_) return;
  if (d.span.line == 0 && pc_ < k_.code.size()) {
    const Loc& at = inst().loc;
    d.span = {at.file, at.line, at.col, 1};
  }
  error_ = std::move(d);
}
void Lowering::unsupported(std::string what, std::string hint) {
  fail(make_diag(diag::not_lowered, fmt::format("`{}`: {}", op_info(inst().op).name, what), {},
                 hint));
}
void Lowering::broken(std::string what) {
  std::string name = pc_ < k_.code.size() ? std::string(op_info(inst().op).name) : "kernel";
  fail(make_diag(diag::internal_error, fmt::format("lowering of `{}`: {}", name, what)));
}

// --- the walk

namespace {
using Fn = void (*)(Lowering&);
constexpr Fn kLower[] = {
#define INST(id, ...) lower<Op::id>,
#include "isa/isa.def"
#undef INST
};
}  // namespace

void Lowering::lower_inst() {
  const Inst& i = inst();
  TileNote note;
  note.loc = i.loc;
  note.text = options_.describe ? options_.describe(k_, i) : std::string(op_info(i.op).name);
  out_.block.tiles.push_back(std::move(note));
  e_.at_tile(static_cast<uint32_t>(out_.block.tiles.size() - 1));
  e_.name(i.n_results ? k_.values[result_value(0)].name : "");
  settle_wgmma(*this);
  kLower[static_cast<size_t>(i.op)](*this);
}

// What the architecture lacks, by the instructions' rows.
Status Lowering::check_arch() const {
  if (has_arch(90)) return ok();
  auto lacks = [](std::string what, const Loc& at) {
    return make_diag(diag::arch_lacks, what + " sm_90a", {at.file, at.line, at.col, 1},
                     "compile with --arch sm_90a");
  };
  if (k_.cluster > 1) return lacks(fmt::format("kernel `{}`: clusters need", k_.name), k_.loc);
  for (const Inst& i : k_.code)
    if (op_info(i.op).arch == Arch::sm_90a)
      return lacks(fmt::format("`{}` needs", op_info(i.op).name), i.loc);
  return ok();
}

Status Lowering::run() {
  Result<std::deque<Layout>> layouts = parse_layouts(m_);
  if (!layouts) return layouts.error();
  written_ = std::move(*layouts);
  by_index_.resize(written_.size());
  BlockKernel& b = out_.block;
  b.name = k_.name;
  b.arch = options_.arch;
  b.threads = k_.warps * 32;
  b.cluster = k_.cluster;
  if (Status there = check_arch(); !there) return there;
  b.blocks_per_sm = k_.blocks_per_sm;
  b.files = m_.files;
  strand_.warps = k_.warps;
  strand_.number = strand_.barrier = b32(0);
  block_ = strand_;
  find_variables();
  plan_shared();
  find_codebooks();
  find_async_memory();
  bind_params();
  fill_up();
  fill_codebooks();
  for (pc_ = 0; pc_ < k_.code.size() && !failed_; ++pc_) lower_inst();
  place_scratch();
  if (error_) return *error_;
  if (!e_.problem().empty()) return make_diag(diag::internal_error, e_.problem());
  return ok();
}

Result<Lowered> lower_kernel(const VerifiedModule& module, size_t kernel,
                             const LowerOptions& options) {
  Lowered out;
  Lowering lowering(module, kernel, options, out);
  TESS_CHECK(lowering.run());
  return out;
}

}  // namespace tess::jit
