#include "jit/lower/packed_bits.h"

#include <algorithm>

namespace tess::jit {

Operand BitStream::from(int64_t k, int64_t used) {
  Emit& e = l_.emit();
  if (std::find(shifted_.begin(), shifted_.end(), k) == shifted_.end()) shifted_.push_back(k);
  if (k < 0) return e.shl(words_[0], static_cast<uint32_t>(-k));
  size_t word = static_cast<size_t>(k / 32);
  uint32_t shift = static_cast<uint32_t>(k % 32);
  if (shift == 0) return words_[word];
  if (shift + used <= 32 || word + 1 >= words_.size()) return e.lshr(words_[word], shift);
  return e.form1("shf.r.wrap.b32", {words_[word], words_[word + 1], b32(shift)});
}

bool BitStream::is_cheap(int64_t k) const {
  return (k >= 0 && k % 32 == 0) ||
         std::find(shifted_.begin(), shifted_.end(), k) != shifted_.end();
}

// One shift serves both if they are about 16 bits apart.
std::optional<BitStream::Halves> BitStream::one_shift(int64_t a, int64_t b, int width, int slack) {
  int64_t least = std::max(a, b - 16) - slack, most = std::min(a, b - 16);
  if (least > most) return {};
  int64_t k = most;
  for (int64_t c = least; c <= most; ++c)
    if (is_cheap(c) && (c < 0 || c % 32 || std::max(a, b) + width <= c + 32)) {
      k = c;
      break;
    }
  if (k < 0 && std::max(a, b) + width - k > 32) return {};
  Halves h;
  h.word = from(k, std::max(a, b) + width - k);
  h.at_low = static_cast<int>(a - k);
  h.at_high = static_cast<int>(b - 16 - k);
  return h;
}

// A byte permutation serves both if each lies near enough to the bottom of some byte, in two
// neighbouring words.
std::optional<BitStream::Halves> BitStream::whole_bytes(int64_t a, int64_t b, int width,
                                                        int slack) {
  int64_t low = a / 8, high = b / 8;
  if (a < 0 || b < 0 || a % 8 > slack || b % 8 > slack) return {};
  int64_t last = (std::max(a, b) + width - 1) / 8, first = std::min(low, high);
  int64_t word = first / 4;
  if (last >= word * 4 + 8) return {};
  bool two = last >= word * 4 + 4 && word + 1 < static_cast<int64_t>(words_.size());
  auto nibble = [&](int64_t byte) { return static_cast<uint32_t>(byte - word * 4) & 7; };
  auto next = [&](int64_t byte, int64_t field) {
    return (field + width - 1) / 8 > byte ? byte + 1 : byte;
  };
  uint32_t select =
      nibble(low) | nibble(next(low, a)) << 4 | nibble(high) << 8 | nibble(next(high, b)) << 12;
  Operand x = words_[static_cast<size_t>(word)];
  Operand y = two ? words_[static_cast<size_t>(word + 1)] : x;
  Halves h;
  h.word = l_.emit().form1("prmt.b32", {x, y, b32(select)});
  h.at_low = static_cast<int>(a % 8);
  h.at_high = static_cast<int>(b % 8);
  return h;
}

BitStream::Halves BitStream::halves(int64_t a, int64_t b, int width, int slack) {
  if (auto h = one_shift(a, b, width, slack)) return *h;
  if (auto h = whole_bytes(a, b, width, slack)) return *h;
  auto pick = [&](int64_t least, int64_t most, int64_t end) {
    for (int64_t k = least; k <= most; ++k)
      if (is_cheap(k) && (k < 0 || k % 32 || end <= k + 32)) return k;
    return most;
  };
  Halves h;
  int64_t ka = pick(a - slack, a, a + width), kb = pick(b - 16 - slack, b - 16, b + width);
  Operand low = from(ka, a + width - ka), high = from(kb, b + width - kb);
  h.word = l_.emit().form1("prmt.b32", {low, high, b32(0x7610)});
  h.at_low = static_cast<int>(a - ka);
  h.at_high = static_cast<int>(b - 16 - kb);
  return h;
}

// A word begun where the field is its lowest byte serves the next ones of the same phase too.
BitStream::Byte BitStream::top_byte(int64_t a, int width) {
  int64_t end = a + width, k = end - 8;
  auto holds = [&](int64_t c) { return end - 8 >= c && end <= c + 32 && (end - c) % 8 == 0; };
  if (holds(a / 32 * 32)) k = a / 32 * 32;
  else
    for (int64_t c : shifted_)
      if (holds(c)) k = c;
  return {from(k, 32), static_cast<uint32_t>((end - k) / 8 - 1)};
}

Words bytes_in_order(Lowering& l, const Words& words, const std::vector<int64_t>& order) {
  Emit& e = l.emit();
  auto word = [&](int64_t byte) { return words[static_cast<size_t>(byte / 4)]; };
  // Two bytes, in the lower half.
  struct Two {
    Operand x, y;
    uint32_t select;
  };
  auto two = [&](int64_t a, int64_t b) {
    uint32_t at_b = static_cast<uint32_t>(b % 4) + (a / 4 == b / 4 ? 0 : 4);
    return Two{word(a), word(b), static_cast<uint32_t>(a % 4) | at_b << 4};
  };
  Words out;
  for (size_t i = 0; i < order.size(); i += 4) {
    auto at = [&](size_t j) { return order[std::min(i + j, order.size() - 1)]; };
    if (at(0) % 4 == 0 && at(1) == at(0) + 1 && at(2) == at(0) + 2 && at(3) == at(0) + 3) {
      out.push_back(word(at(0)));
      continue;
    }
    // Usually from two words.
    int64_t first = at(0) / 4, other = first;
    bool from_two = true;
    for (size_t j = 1; j < 4; ++j) {
      int64_t w = at(j) / 4;
      if (w == first || w == other) continue;
      if (other == first) other = w;
      else from_two = false;
    }
    if (from_two) {
      uint32_t select = 0;
      for (size_t j = 0; j < 4; ++j)
        select |= (static_cast<uint32_t>(at(j) % 4) + (at(j) / 4 == first ? 0 : 4)) << 4 * j;
      out.push_back(e.form1("prmt.b32", {words[static_cast<size_t>(first)],
                                         words[static_cast<size_t>(other)], b32(select)}));
      continue;
    }
    Two low = two(at(0), at(1)), high = two(at(2), at(3));
    out.push_back(e.form1("prmt.b32", {e.form1("prmt.b32", {low.x, low.y, b32(low.select)}),
                                       e.form1("prmt.b32", {high.x, high.y, b32(high.select)}),
                                       b32(0x5410)}));
  }
  return out;
}

}  // namespace tess::jit
