// Register layouts as the lowering sees them: which register of one tile is which of another, and a
// thread's place in a tile.
#include <bit>
#include <map>

#include "isa/layout_bits.h"
#include "isa/layout_ops.h"
#include "isa/layout_query.h"
#include "jit/lower/lowering.h"

namespace tess::jit {

Layout swizzle_form(Layout memory) {
  if (memory.bits.identity()) return memory;
  auto linear = linear_of(memory);
  if (!linear || linear->constant) return memory;
  // The leading bit of each input bit's image becomes its stride.
  uint64_t leading = 0;
  for (uint64_t c : linear->columns) {
    uint64_t top = c ? std::bit_floor(c) : 0;
    if (!top || (leading & top)) return memory;
    leading |= top;
  }
  Layout out = memory;
  out.digits.clear();
  out.bits.columns.clear();
  int width = std::bit_width(leading);
  out.bits.in_bits = {static_cast<uint8_t>(width)};
  for (int b = 0; b < width; ++b) out.bits.columns.push_back({int64_t{1} << b});
  for (size_t i = 0; i < linear->in.size(); ++i) {
    uint64_t top = std::bit_floor(linear->columns[i]);
    out.bits.columns[static_cast<size_t>(std::countr_zero(top))] = {
        static_cast<int64_t>(linear->columns[i])};
    bool follows = !out.digits.empty() && out.digits.back().dim == linear->in[i].dim &&
                   static_cast<uint64_t>(out.digits.back().out[0] * out.digits.back().size) == top;
    if (follows) out.digits.back().size *= 2;
    else
      out.digits.push_back(
          {linear->in[i].label, linear->in[i].dim, 2, {static_cast<int64_t>(top)}});
  }
  return out;
}

const TileLayout* Lowering::intern(const Layout& l) {
  std::string form = print_canonical(l);
  for (int64_t s : l.shape) form += "," + std::to_string(s);
  auto it = by_form_.find(form);
  if (it != by_form_.end()) return it->second;
  TileLayout t;
  t.layout = l;
  t.registers = registers_of(l);
  t.lanes = size_of(l, Label::lane);
  t.warps = size_of(l, Label::warp);
  t.linear = !l.bits.identity();
  for (int64_t r = 0; r < t.registers; ++r) {
    LayoutPoint p;
    p.reg = r;
    t.at.push_back(apply(l, p));
  }
  for (const Digit& d : l.digits) {
    bool zero = true;
    for (int64_t o : d.out) zero &= o == 0;
    t.replicated |= zero;
  }
  if (t.linear) {
    int64_t elements = 1;
    for (int64_t s : l.shape) elements *= s;
    t.replicated = input_size(l) > elements;
  }
  t.id = static_cast<uint32_t>(pool_.size());
  pool_.push_back(std::move(t));
  return by_form_[form] = &pool_.back();
}

const TileLayout* Lowering::layout_at(int64_t index) {
  if (index < 0) return nullptr;
  size_t i = static_cast<size_t>(index);
  if (!by_index_[i]) by_index_[i] = intern(written_[i]);
  return by_index_[i];
}

const TileLayout* Lowering::layout_of(uint32_t value) { return layout_at(value_layout_[value]); }

std::vector<int64_t> Lowering::register_map(
    const TileLayout& to, const TileLayout& from,
    const std::function<std::vector<int64_t>(const std::vector<int64_t>&)>& project) {
  auto key = std::pair(to.id, from.id);
  if (!project) {
    if (&to == &from) {
      std::vector<int64_t> same(static_cast<size_t>(to.registers));
      for (size_t r = 0; r < same.size(); ++r) same[r] = static_cast<int64_t>(r);
      return same;
    }
    if (auto it = same_maps_.find(key); it != same_maps_.end()) return it->second;
  }
  auto image = [&](const std::vector<int64_t>& at) { return project ? project(at) : at; };
  std::map<std::vector<int64_t>, int64_t> register_at;
  for (int64_t r = 0; r < from.registers; ++r)
    register_at.try_emplace(from.at[static_cast<size_t>(r)], r);
  std::vector<int64_t> map;
  for (int64_t r = 0; r < to.registers; ++r) {
    auto it = register_at.find(image(to.at[static_cast<size_t>(r)]));
    if (it == register_at.end()) return {};
    map.push_back(it->second);
  }
  // Layouts are sums (or xors) of a register's and a thread's part, so that agreement of register
  // map[0] in every thread, with thread 0's agreement above, is agreement everywhere.
  int64_t warps = std::max(to.warps, from.warps), lanes = std::max(to.lanes, from.lanes);
  for (int64_t w = 0; w < warps && !map.empty(); ++w)
    for (int64_t lane = 0; lane < lanes && !map.empty(); ++lane) {
      if (w >= to.warps || lane >= to.lanes) continue;  // holds nothing of the result
      LayoutPoint p;
      p.warp = w;
      p.lane = lane;
      std::vector<int64_t> want = image(apply(to.layout, p));
      if (w >= from.warps || lane >= from.lanes) {
        map.clear();
        break;
      }
      p.reg = map[0];
      if (apply(from.layout, p) != want) map.clear();
    }
  if (!project) same_maps_[key] = map;
  return map;
}

Words Lowering::permuted(DType t, const Words& words, int64_t n, const std::vector<int64_t>& map) {
  bool same = static_cast<int64_t>(map.size()) == n;
  for (size_t r = 0; r < map.size() && same; ++r) same = map[r] == static_cast<int64_t>(r);
  if (same) return words;
  if (!t.is_bool() && t.bits == 16) {  // whole words where pairs stay together, else one prmt each
    Words out;
    for (size_t r = 0; r < map.size(); r += 2) {
      int64_t low = map[r], high = r + 1 < map.size() ? map[r + 1] : map[r];
      Operand a = words[static_cast<size_t>(low / 2)], b = words[static_cast<size_t>(high / 2)];
      if (low % 2 == 0 && high == low + 1) {
        out.push_back(a);
      } else {
        uint32_t select = (low % 2 ? 0x32 : 0x10) | (high % 2 ? 0x7600 : 0x5400);
        out.push_back(e_.form1("prmt.b32", {a, b, b32(select)}));
      }
    }
    return out;
  }
  if (!t.is_bool() && t.bits == 8) {
    Words out;
    for (size_t r = 0; r < map.size(); r += 4) {
      // Bytes from at most two words at a time.
      Operand word = b32(0);
      std::vector<int64_t> want;
      for (size_t i = r; i < r + 4; ++i) want.push_back(i < map.size() ? map[i] : map[r]);
      bool whole = want[0] % 4 == 0;
      for (int i = 1; i < 4; ++i) whole &= want[static_cast<size_t>(i)] == want[0] + i;
      if (whole) {
        out.push_back(words[static_cast<size_t>(want[0] / 4)]);
        continue;
      }
      std::vector<int64_t> sources;
      for (int64_t w : want)
        if (std::find(sources.begin(), sources.end(), w / 4) == sources.end())
          sources.push_back(w / 4);
      word = words[static_cast<size_t>(sources[0])];
      uint32_t placed = 0;  // bytes of `word` that are final
      for (size_t s = sources.size() == 1 ? 0 : 1; s < sources.size(); ++s) {
        uint32_t select = 0;
        for (int i = 0; i < 4; ++i) {
          int64_t source = want[static_cast<size_t>(i)] / 4,
                  byte = want[static_cast<size_t>(i)] % 4;
          uint32_t nibble = static_cast<uint32_t>(i);
          if (source == sources[s] && s > 0) nibble = static_cast<uint32_t>(4 + byte);
          else if (source == sources[0] && !(placed >> i & 1)) nibble = static_cast<uint32_t>(byte);
          if (source == sources[0] || source == sources[s]) placed |= 1u << i;
          select |= nibble << (4 * i);
        }
        word = e_.form1("prmt.b32", {word, words[static_cast<size_t>(sources[s])], b32(select)});
        // Bytes of the first source are in place after the first step.
      }
      out.push_back(word);
    }
    return out;
  }
  std::vector<Operand> from = elements(t, words, n), to;
  for (int64_t r : map) to.push_back(from[static_cast<size_t>(r)]);
  return pack(t, to);
}

Words Lowering::broadcast_words(const Tile& t, const Shape& shape, const TileLayout* layout) {
  int64_t n = layout ? layout->registers : 1;
  if (!t.layout) {  // a scalar
    if (t.type.is_bool() || t.type.bits >= 32) return Words(static_cast<size_t>(n), t.words[0]);
    if (t.type.bits == 16) return Words(word_count(t.type, n), splat_word(t.type, t.words[0]));
    std::vector<Operand> all(static_cast<size_t>(n), elements(t.type, t.words, 1)[0]);
    return pack(t.type, all);
  }
  if (t.layout == layout) return t.words;
  int missing = shape.rank - t.shape.rank;
  auto project = [&](const std::vector<int64_t>& at) {
    std::vector<int64_t> out;
    for (int d = 0; d < t.shape.rank; ++d)
      out.push_back(t.shape[d] == 1 ? 0 : at[static_cast<size_t>(d + missing)]);
    return out;
  };
  bool same_shape = t.shape == shape;
  std::vector<int64_t> map =
      same_shape ? register_map(*layout, *t.layout) : register_map(*layout, *t.layout, project);
  if (map.empty()) {
    broken("the operand's layout " + print_canonical(t.layout->layout) +
           " does not serve the result's " + print_canonical(layout->layout));
    return Words(word_count(t.type, n), Operand::imm(0, word_class(t.type)));
  }
  return permuted(t.type, t.words, t.layout->registers, map);
}

Operand Lowering::thread_coordinate(const TileLayout& l, int dim) {
  size_t parts = l.layout.offset.size();
  std::vector<Operand> sum(parts, b32(0));
  int64_t reached[2] = {1, 1};
  for (const Digit& d : l.layout.digits) {
    if (d.label != Label::lane && d.label != Label::warp) continue;
    bool is_lane = d.label == Label::lane;
    int64_t& below = reached[is_lane ? 0 : 1];
    Operand from = is_lane ? lane() : warp();
    Operand value = e_.op(BlockOp::udiv, {from, b32(static_cast<uint64_t>(below))});
    below *= d.size;
    bool last = is_lane ? below == 32 : false;
    if (!last) value = e_.op(BlockOp::urem, {value, b32(static_cast<uint64_t>(d.size))});
    for (size_t c = 0; c < parts; ++c)
      sum[c] = e_.add(sum[c], e_.mul(value, b32(static_cast<uint64_t>(d.out[c]))));
  }
  if (!l.linear) return sum[static_cast<size_t>(dim)];
  // P over the bits of the sum, and the constant's part is in `at`.
  Operand out = b32(0);
  size_t column = 0;
  for (size_t c = 0; c < parts; ++c)
    for (int b = 0; b < l.layout.bits.in_bits[c]; ++b, ++column) {
      int64_t image = l.layout.bits.columns[column][static_cast<size_t>(dim)];
      if (!image) continue;
      Operand bit = e_.and_(e_.lshr(sum[c], static_cast<uint32_t>(b)), b32(1));
      out = e_.xor_(out, e_.mul(bit, b32(static_cast<uint64_t>(image))));
    }
  return out;
}

Operand Lowering::holds_elements(const TileLayout& l) {
  Operand all = pred(true);
  if (l.lanes < 32) all = e_.and_(all, e_.ult(lane(), b32(static_cast<uint64_t>(l.lanes))));
  if (l.warps < strand_.warps)
    all = e_.and_(all, e_.ult(warp(), b32(static_cast<uint64_t>(l.warps))));
  return all;
}

Operand Lowering::is_first_copy(const TileLayout& l) {
  Operand first = holds_elements(l);
  if (l.linear) {
    // Thread bits that the layout's columns make dependent on earlier ones must be 0.
    auto linear = linear_of(l.layout);
    if (!linear) return first;
    uint64_t free = free_columns(linear->columns);
    for (size_t i = 0; i < linear->in.size(); ++i) {
      if (!(free >> i & 1) || linear->in[i].label == Label::reg) continue;
      Operand from = linear->in[i].label == Label::lane ? lane() : warp();
      first = e_.and_(first, e_.eq(e_.and_(e_.lshr(from, linear->in[i].bit), b32(1)), b32(0)));
    }
    return first;
  }
  int64_t reached[2] = {1, 1};
  for (const Digit& d : l.layout.digits) {
    if (d.label != Label::lane && d.label != Label::warp) continue;
    bool is_lane = d.label == Label::lane;
    int64_t& below = reached[is_lane ? 0 : 1];
    bool zero = true;
    for (int64_t o : d.out) zero &= o == 0;
    if (zero) {
      Operand value = e_.op(
          BlockOp::urem,
          {e_.op(BlockOp::udiv, {is_lane ? lane() : warp(), b32(static_cast<uint64_t>(below))}),
           b32(static_cast<uint64_t>(d.size))});
      first = e_.and_(first, e_.eq(value, b32(0)));
    }
    below *= d.size;
  }
  return first;
}

}  // namespace tess::jit
