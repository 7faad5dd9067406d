// Integer arithmetic. Bits, shifts and logic: alu_bits.cpp.
#include "isa/diag/sim.h"
#include "jit/ptxsim/lanes.h"

namespace tess::ptxsim {
namespace {

template <class T>
using U = std::make_unsigned_t<T>;
template <class T>
using Twice = std::conditional_t<
    sizeof(T) == 2, std::conditional_t<std::is_signed_v<T>, int32_t, uint32_t>,
    std::conditional_t<sizeof(T) == 4, std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>,
                       std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>>>;

template <class T>
T wrap_mul(T a, T b) {
  return T(U<T>(Twice<U<T>>(U<T>(a)) * Twice<U<T>>(U<T>(b))));
}
template <class T>
T high_mul(T a, T b) {
  return T((Twice<T>(a) * Twice<T>(b)) >> (8 * sizeof(T)));
}
inline int32_t clamp32(int64_t v) {
  return int32_t(v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : v);
}

// --- binary, by name
#define BINARY(id, expr)                                                        \
  struct id {                                                                   \
    template <class T>                                                          \
    static Flow run(Warp& w, const Op& op, uint32_t mask) {                     \
      return map_row<T, T, T>(w, op, mask, [](T a, T b) -> T { return expr; }); \
    }                                                                           \
  };
BINARY(Add, T(U<T>(a) + U<T>(b)))
BINARY(Sub, T(U<T>(a) - U<T>(b)))
BINARY(MulLo, wrap_mul(a, b))
BINARY(MulHi, high_mul(a, b))
BINARY(Min, a < b ? a : b)
BINARY(Max, a < b ? b : a)
BINARY(And, T(a& b))
BINARY(Or, T(a | b))
BINARY(Xor, T(a ^ b))

struct Div {
  template <class T>
  static Flow run(Warp& w, const Op& op, uint32_t mask) {
    const Word<T>* b = row_of<T>(w, op.a[2]);
    if (w.check_init)
      for (uint32_t m = mask; m; m &= m - 1)
        if (lane_get<T>(b[std::countr_zero(m)]) == 0) {
          report_finding(*w.launch,
                         make_finding(w, w.op_index(op), std::countr_zero(m), diag::kSimIntDivZero,
                                      "the divisor is zero"),
                         false, uint64_t(w.op_index(op)) | 1ull << 40);
          break;
        }
    return map_row<T, T, T>(w, op, mask, [](T a, T b) -> T {
      if (b == 0) return T(-1);
      if constexpr (std::is_signed_v<T>)
        if (b == -1) return T(U<T>(0) - U<T>(a));
      return T(a / b);
    });
  }
};
struct Rem {
  template <class T>
  static Flow run(Warp& w, const Op& op, uint32_t mask) {
    return map_row<T, T, T>(w, op, mask, [](T a, T b) -> T {
      if (b == 0) return a;
      if constexpr (std::is_signed_v<T>)
        if (b == -1) return T(0);
      return T(a % b);
    });
  }
};

template <class T, class F>
uint32_t pairwise(uint32_t a, uint32_t b, F f) {
  return uint32_t(uint16_t(f(T(a), T(b)))) | uint32_t(uint16_t(f(T(a >> 16), T(b >> 16)))) << 16;
}
template <class T, int kind>
Flow binary_pair(Warp& w, const Op& op, uint32_t mask) {
  bool relu = op.k[0];
  return map_row<uint32_t, uint32_t, uint32_t>(w, op, mask, [relu](uint32_t a, uint32_t b) {
    return pairwise<T>(a, b, [relu](T x, T y) -> T {
      T r = kind == 0   ? T(uint16_t(x) + uint16_t(y))
            : kind == 1 ? (x < y ? x : y)
                        : (x < y ? y : x);
      return relu && r < T(0) ? T(0) : r;
    });
  });
}

Flow add_sat(Warp& w, const Op& op, uint32_t mask) {
  return map_row<int32_t, int32_t, int32_t>(
      w, op, mask, [](int32_t a, int32_t b) { return clamp32(int64_t(a) + b); });
}
Flow sub_sat(Warp& w, const Op& op, uint32_t mask) {
  return map_row<int32_t, int32_t, int32_t>(
      w, op, mask, [](int32_t a, int32_t b) { return clamp32(int64_t(a) - b); });
}
Flow min_relu(Warp& w, const Op& op, uint32_t mask) {
  return map_row<int32_t, int32_t, int32_t>(
      w, op, mask, [](int32_t a, int32_t b) { return std::max(0, std::min(a, b)); });
}
Flow max_relu(Warp& w, const Op& op, uint32_t mask) {
  return map_row<int32_t, int32_t, int32_t>(
      w, op, mask, [](int32_t a, int32_t b) { return std::max(0, std::max(a, b)); });
}

inline int64_t low24(uint32_t v, bool is_signed) {
  return is_signed ? int64_t(int32_t(v << 8) >> 8) : int64_t(v & 0xffffff);
}
template <bool is_signed, bool high>
uint32_t multiply24(uint32_t a, uint32_t b) {
  int64_t p = low24(a, is_signed) * low24(b, is_signed);
  return high ? uint32_t(p >> 16) : uint32_t(p);
}
template <bool is_signed, bool high>
Flow mul24(Warp& w, const Op& op, uint32_t mask) {
  return map_row<uint32_t, uint32_t, uint32_t>(w, op, mask, multiply24<is_signed, high>);
}
template <bool is_signed, bool high>
Flow mad24(Warp& w, const Op& op, uint32_t mask) {
  bool sat = op.k[0];
  return map_row<uint32_t, uint32_t, uint32_t, uint32_t>(
      w, op, mask, [sat](uint32_t a, uint32_t b, uint32_t c) {
        uint32_t p = multiply24<is_signed, high>(a, b);
        return sat ? uint32_t(clamp32(int64_t(int32_t(p)) + int32_t(c))) : p + c;
      });
}

// Sign or zero extension of the low n bits; bit masks of n bits at position a.
template <bool is_signed, bool clamp>
Flow szext(Warp& w, const Op& op, uint32_t mask) {
  return map_row<uint32_t, uint32_t, uint32_t>(w, op, mask, [](uint32_t a, uint32_t n) -> uint32_t {
    if (clamp && n >= 32) return a;
    n &= 31;
    if (n == 0) return 0;
    return is_signed ? uint32_t(int32_t(a << (32 - n)) >> (32 - n)) : a & ((1u << n) - 1);
  });
}
template <bool clamp>
Flow bmsk(Warp& w, const Op& op, uint32_t mask) {
  return map_row<uint32_t, uint32_t, uint32_t>(w, op, mask, [](uint32_t a, uint32_t b) -> uint32_t {
    if (clamp) {
      if (a >= 32 || b == 0) return 0;
      b = std::min(b, 32u);
    } else {
      a &= 31, b &= 31;
    }
    return uint32_t(((1ull << b) - 1) << a);
  });
}

// --- unary
struct Abs {
  template <class T>
  static Flow run(Warp& w, const Op& op, uint32_t mask) {
    return map_row<T, T>(w, op, mask, [](T a) -> T { return a < 0 ? T(U<T>(0) - U<T>(a)) : a; });
  }
};
struct Neg {
  template <class T>
  static Flow run(Warp& w, const Op& op, uint32_t mask) {
    return map_row<T, T>(w, op, mask, [](T a) -> T { return T(U<T>(0) - U<T>(a)); });
  }
};
struct Not {
  template <class T>
  static Flow run(Warp& w, const Op& op, uint32_t mask) {
    return map_row<T, T>(w, op, mask, [](T a) -> T { return T(~a); });
  }
};
struct Cnot {
  template <class T>
  static Flow run(Warp& w, const Op& op, uint32_t mask) {
    return map_row<T, T>(w, op, mask, [](T a) -> T { return a == 0 ? T(1) : T(0); });
  }
};
struct Brev {
  template <class T>
  static Flow run(Warp& w, const Op& op, uint32_t mask) {
    return map_row<T, T>(w, op, mask, [](T a) -> T {
      U<T> v = U<T>(a), r = 0;
      for (int i = 0; i < int(8 * sizeof(T)); ++i) r = U<T>((r << 1) | ((v >> i) & 1));
      return T(r);
    });
  }
};
// --- wide and multiply-add
template <class T>
Flow mul_wide(Warp& w, const Op& op, uint32_t mask) {
  return map_row<Twice<T>, T, T>(w, op, mask, [](T a, T b) { return Twice<T>(a) * Twice<T>(b); });
}
template <class T>
Flow mad_wide(Warp& w, const Op& op, uint32_t mask) {
  using W = Twice<T>;
  return map_row<W, T, T, W>(w, op, mask,
                             [](T a, T b, W c) { return W(U<W>(W(a) * W(b)) + U<W>(c)); });
}
struct MadLo {
  template <class T>
  static Flow run(Warp& w, const Op& op, uint32_t mask) {
    return map_row<T, T, T, T>(
        w, op, mask, [](T a, T b, T c) -> T { return T(U<T>(wrap_mul(a, b)) + U<T>(c)); });
  }
};
struct MadHi {
  template <class T>
  static Flow run(Warp& w, const Op& op, uint32_t mask) {
    return map_row<T, T, T, T>(
        w, op, mask, [](T a, T b, T c) -> T { return T(U<T>(high_mul(a, b)) + U<T>(c)); });
  }
};
struct Sad {
  template <class T>
  static Flow run(Warp& w, const Op& op, uint32_t mask) {
    return map_row<T, T, T, T>(w, op, mask, [](T a, T b, T c) -> T {
      return T(U<T>(c) + (a < b ? U<T>(U<T>(b) - U<T>(a)) : U<T>(U<T>(a) - U<T>(b))));
    });
  }
};
Flow mad_hi_sat(Warp& w, const Op& op, uint32_t mask) {
  return map_row<int32_t, int32_t, int32_t, int32_t>(
      w, op, mask,
      [](int32_t a, int32_t b, int32_t c) { return clamp32(int64_t(high_mul(a, b)) + c); });
}

// --- carry: k[0] subtract, k[1] carry in, k[2] carry out
template <class T>
Flow with_carry(Warp& w, const Op& op, uint32_t mask) {
  const Word<T>*a = row_of<T>(w, op.a[1]), *b = row_of<T>(w, op.a[2]);
  Word<T>* d = row_of<T>(w, op.a[0]);
  uint32_t out = 0;
  each_lane(mask, [&](int l) {
    // Subtraction is a + ~b + 1; the carry flag holds the borrow, as PTX has it.
    uint32_t in = op.k[1] ? (w.carry >> l) & 1 : 0;
    unsigned __int128 x = a[l], y = b[l], r;
    bool c;
    if (op.k[0]) {
      c = x < y + in;
      r = x - y - in;
    } else {
      r = x + y + in;
      c = (r >> (8 * sizeof(T))) & 1;
    }
    d[l] = Word<T>(T(r));
    out |= uint32_t(c) << l;
  });
  if (op.k[2]) w.carry = (w.carry & ~mask) | out;
  return Flow::next;
}
template <class T>
Flow mad_with_carry(Warp& w, const Op& op, uint32_t mask) {
  const Word<T>*a = row_of<T>(w, op.a[1]), *b = row_of<T>(w, op.a[2]), *c = row_of<T>(w, op.a[3]);
  Word<T>* d = row_of<T>(w, op.a[0]);
  uint32_t out = 0;
  each_lane(mask, [&](int l) {
    T p = op.k[3] ? high_mul(T(a[l]), T(b[l])) : wrap_mul(T(a[l]), T(b[l]));
    unsigned __int128 r =
        (unsigned __int128)(U<T>(p)) + U<T>(c[l]) + (op.k[1] ? (w.carry >> l) & 1 : 0);
    d[l] = Word<T>(U<T>(r));
    out |= uint32_t((r >> (8 * sizeof(T))) & 1) << l;
  });
  if (op.k[2]) w.carry = (w.carry & ~mask) | out;
  return Flow::next;
}

// k[0], k[1]: a, b signed
template <bool four>
Flow dot(Warp& w, const Op& op, uint32_t mask) {
  bool as = op.k[0], bs = op.k[1], high = op.k[2];
  return map_row<uint32_t, uint32_t, uint32_t, uint32_t>(
      w, op, mask, [=](uint32_t a, uint32_t b, uint32_t c) {
        int64_t sum = int64_t(uint64_t(c));
        for (int i = 0; i < (four ? 4 : 2); ++i) {
          uint32_t bb = b >> (8 * (i + (!four && high ? 2 : 0)));
          int64_t x, y = bs ? int64_t(int8_t(bb)) : int64_t(uint8_t(bb));
          if (four) x = as ? int64_t(int8_t(a >> (8 * i))) : int64_t(uint8_t(a >> (8 * i)));
          else x = as ? int64_t(int16_t(a >> (16 * i))) : int64_t(uint16_t(a >> (16 * i)));
          sum += x * y;
        }
        return uint32_t(sum);
      });
}

}  // namespace

bool build_int_binary(Builder& b) {
  if (!b.expect_operands(2 + 1)) return false;
  std::string_view t = b.last_mod(), o = b.opcode();
  int bits = Builder::bits_of(t);
  b.op.a[0] = b.destination(0, bits);
  b.op.a[1] = b.source(1, bits);
  b.op.a[2] = b.source(2, bits);
  Exec& e = b.op.exec;
  b.op.k[0] = b.has("relu");
  if (t == "u16x2" || t == "s16x2") {
    bool s = t == "s16x2";
    if (o == "add") e = binary_pair<uint16_t, 0>;
    else if (o == "min") e = s ? binary_pair<int16_t, 1> : binary_pair<uint16_t, 1>;
    else e = s ? binary_pair<int16_t, 2> : binary_pair<uint16_t, 2>;
  } else if (o == "add") e = b.has("sat") ? add_sat : pick6<Add>(t);
  else if (o == "sub") e = b.has("sat") ? sub_sat : pick6<Sub>(t);
  else if (o == "mul") e = b.has("hi") ? pick6<MulHi>(t) : pick6<MulLo>(t);
  else if (o == "mul24")
    e = t == "s32" ? (b.has("hi") ? mul24<true, true> : mul24<true, false>)
                   : (b.has("hi") ? mul24<false, true> : mul24<false, false>);
  else if (o == "div") e = pick6<Div>(t);
  else if (o == "rem") e = pick6<Rem>(t);
  else if (o == "min") e = b.has("relu") ? min_relu : pick6<Min>(t);
  else if (o == "max") e = b.has("relu") ? max_relu : pick6<Max>(t);
  else if (o == "and") e = pick6<And>(t);
  else if (o == "or") e = pick6<Or>(t);
  else if (o == "xor") e = pick6<Xor>(t);
  else if (o == "szext")
    e = t == "s32" ? (b.has("clamp") ? szext<true, true> : szext<true, false>)
                   : (b.has("clamp") ? szext<false, true> : szext<false, false>);
  else if (o == "bmsk") e = b.has("clamp") ? bmsk<true> : bmsk<false>;
  return e != nullptr;
}

bool build_int_unary(Builder& b) {
  if (!b.expect_operands(2)) return false;
  std::string_view t = b.last_mod(), o = b.opcode();
  int bits = Builder::bits_of(t);
  b.op.a[0] = b.destination(0, bits);
  b.op.a[1] = b.source(1, bits);
  b.op.exec = o == "abs"    ? pick6<Abs>(t)
              : o == "neg"  ? pick6<Neg>(t)
              : o == "not"  ? pick6<Not>(t)
              : o == "cnot" ? pick6<Cnot>(t)
                            : pick6<Brev>(t);
  return b.op.exec != nullptr;
}

bool build_int_wide(Builder& b) {
  if (!b.expect_operands(3)) return false;
  std::string_view t = b.last_mod();
  int bits = Builder::bits_of(t);
  b.op.a[0] = b.destination(0, 2 * bits);
  b.op.a[1] = b.source(1, bits);
  b.op.a[2] = b.source(2, bits);
  b.op.exec = t == "u16"   ? mul_wide<uint16_t>
              : t == "s16" ? mul_wide<int16_t>
              : t == "u32" ? mul_wide<uint32_t>
                           : mul_wide<int32_t>;
  return true;
}

bool build_int_wide_mad(Builder& b) {
  if (!b.expect_operands(4)) return false;
  std::string_view t = b.last_mod();
  int bits = Builder::bits_of(t);
  b.op.a[0] = b.destination(0, 2 * bits);
  b.op.a[1] = b.source(1, bits);
  b.op.a[2] = b.source(2, bits);
  b.op.a[3] = b.source(3, 2 * bits);
  b.op.exec = t == "u16"   ? mad_wide<uint16_t>
              : t == "s16" ? mad_wide<int16_t>
              : t == "u32" ? mad_wide<uint32_t>
                           : mad_wide<int32_t>;
  return true;
}

bool build_int_mad(Builder& b) {
  if (!b.expect_operands(4)) return false;
  std::string_view t = b.last_mod(), o = b.opcode();
  int bits = Builder::bits_of(t);
  b.op.a[0] = b.destination(0, bits);
  for (size_t i = 1; i < 4; ++i) b.op.a[i] = b.source(i, bits);
  b.op.k[0] = b.has("sat");
  if (o == "sad") b.op.exec = pick6<Sad>(t);
  else if (o == "mad24")
    b.op.exec = t == "s32" ? (b.has("hi") ? mad24<true, true> : mad24<true, false>)
                           : (b.has("hi") ? mad24<false, true> : mad24<false, false>);
  else if (b.has("sat")) b.op.exec = mad_hi_sat;
  else b.op.exec = b.has("hi") ? pick6<MadHi>(t) : pick6<MadLo>(t);
  return b.op.exec != nullptr;
}

bool build_int_carry(Builder& b) {
  if (!b.expect_operands(3)) return false;
  int bits = Builder::bits_of(b.last_mod());
  b.op.a[0] = b.destination(0, bits);
  b.op.a[1] = b.source(1, bits);
  b.op.a[2] = b.source(2, bits);
  b.op.k[0] = b.opcode().substr(0, 3) == "sub";
  b.op.k[1] = b.opcode().size() == 4;
  b.op.k[2] = b.has("cc");
  b.op.exec = bits == 64 ? with_carry<uint64_t> : with_carry<uint32_t>;
  return true;
}

bool build_int_mad_carry(Builder& b) {
  if (!b.expect_operands(4)) return false;
  std::string_view t = b.last_mod();
  int bits = Builder::bits_of(t);
  b.op.a[0] = b.destination(0, bits);
  for (size_t i = 1; i < 4; ++i) b.op.a[i] = b.source(i, bits);
  b.op.k[1] = b.opcode() == "madc";
  b.op.k[2] = b.has("cc");
  b.op.k[3] = b.has("hi");
  b.op.exec = t == "u32"   ? mad_with_carry<uint32_t>
              : t == "s32" ? mad_with_carry<int32_t>
              : t == "u64" ? mad_with_carry<uint64_t>
                           : mad_with_carry<int64_t>;
  return true;
}

bool build_int_dot(Builder& b) {
  if (!b.expect_operands(4)) return false;
  b.op.a[0] = b.destination(0, 32);
  for (size_t i = 1; i < 4; ++i) b.op.a[i] = b.source(i, 32);
  b.op.k[0] = b.last_mod(1) == "s32";
  b.op.k[1] = b.last_mod() == "s32";
  b.op.k[2] = b.has("hi");
  b.op.exec = b.opcode() == "dp4a" ? dot<true> : dot<false>;
  return true;
}

}  // namespace tess::ptxsim
