"""Scalar types of the ISA in exact arithmetic, from ISA.md section 2 alone.

A value is V(kind, sign, q): kind 'num', 'inf' or 'nan'; sign 0 or 1; q the magnitude as a Fraction.
Codes are the bit patterns as Python ints.
"""
from collections import namedtuple
from fractions import Fraction as Q
from math import isqrt
import os
import re

import numpy as np

V = namedtuple('V', 'kind sign q')
NAN = V('nan', 0, Q(0))


def inf(sign):
    return V('inf', sign, Q(0))


def num(x, sign=None):
    x = Q(x)
    return V('num', (1 if x < 0 else 0) if sign is None else sign, abs(x))


def real(v):
    """The rational value of a finite V."""
    return -v.q if v.sign else v.q


Type = namedtuple('Type', 'name kind bits e m bias')


def typ(name):
    if name == 'bool':
        return Type(name, 'bool', 8, 0, 0, 0)
    if g := re.fullmatch(r'([iu])(\d+)', name):
        return Type(name, 'sint' if g[1] == 'i' else 'uint', int(g[2]), 0, 0, 0)
    if name == 'e8m0':
        return Type(name, 'scale', 8, 8, 0, 127)
    fixed = {'f64': (64, 11, 52), 'f32': (32, 8, 23), 'tf32': (32, 8, 10), 'f16': (16, 5, 10),
             'bf16': (16, 8, 7)}
    if name in fixed:
        bits, e, m = fixed[name]
    else:
        g = re.fullmatch(r'e(\d)m(\d)', name)
        e, m = int(g[1]), int(g[2])
        bits = 1 + e + m
    return Type(name, 'flt', bits, e, m, 2 ** (e - 1) - 1)


def has_inf(t):
    return t.bits >= 16 or t.name == 'e5m2'


def has_nan(t):
    return has_inf(t) or t.name in ('e4m3', 'e8m0')


def mask(t):
    return (1 << t.bits) - 1


# --- integers


def int_range(t):
    if t.kind == 'bool':
        return 0, 1
    if t.kind == 'sint':
        return -(1 << (t.bits - 1)), (1 << (t.bits - 1)) - 1
    return 0, (1 << t.bits) - 1


def wrap(t, x):
    x &= mask(t)
    return x - (1 << t.bits) if t.kind == 'sint' and x >> (t.bits - 1) else x


def trunc_div(a, b):
    q = abs(a) // abs(b)
    return -q if (a < 0) != (b < 0) else q


# --- floats


def max_finite(t):
    if t.name == 'e4m3':
        return Q(448)
    top = 2 ** t.e - 1 - (1 if has_inf(t) else 0)
    return Q(2) ** (top - t.bias) * (2 - Q(1, 2 ** t.m)) if top > 0 else Q(2 ** t.m - 1) * Q(2) ** (1 - t.bias - t.m)


def decode(t, code):
    if t.kind in ('sint', 'uint', 'bool'):
        return num(wrap(t, code) if t.kind != 'bool' else code)
    if t.kind == 'scale':
        return NAN if code == 255 else num(Q(2) ** (code - 127))
    if t.name == 'tf32':
        code >>= 13
    sign = code >> (t.e + t.m) & 1
    exponent = code >> t.m & (2 ** t.e - 1)
    mantissa = code & (2 ** t.m - 1)
    if t.name == 'e4m3' and exponent == 15 and mantissa == 7:
        return NAN
    if has_inf(t) and exponent == 2 ** t.e - 1:
        return NAN if mantissa else inf(sign)
    if exponent == 0:
        return V('num', sign, Q(mantissa) * Q(2) ** (1 - t.bias - t.m))
    return V('num', sign, Q(2 ** t.m + mantissa) * Q(2) ** (exponent - t.bias - t.m))


def floor_log2(q):
    n = q.numerator.bit_length() - q.denominator.bit_length()
    if Q(2) ** n > q:
        n -= 1
    return n


def round_magnitude(x, mode, sign):
    """A non-negative Fraction to an integer: ne, rz, ru (up), rd (down) of the signed value."""
    n = x.numerator // x.denominator
    rest = x - n
    if rest == 0:
        return n
    if mode == 'ne':
        return n + (1 if rest > Q(1, 2) or (rest == Q(1, 2) and n % 2) else 0)
    if mode == 'rz':
        return n
    return n + (1 if (mode == 'ru') != bool(sign) else 0)


def nan_code(t):
    if t.name == 'e4m3':
        return 0x7f
    if t.kind == 'scale':
        return 0xff
    code = (2 ** t.e - 1) << t.m | 1 << (t.m - 1)
    return code << 13 if t.name == 'tf32' else code


def encode(t, v, mode='ne', sat=True):
    """The code of a value rounded to a float type; `sat` matters to types of 8 bits and less."""
    if t.kind == 'scale':
        return encode_scale(v, mode)
    sign_bit = v.sign << (t.e + t.m)
    small = t.bits <= 8
    biggest = max_finite(t)

    def finite(q):
        if q == 0:
            return 0
        exponent = max(floor_log2(q), 1 - t.bias)
        n = q / Q(2) ** (exponent - t.m)
        assert n.denominator == 1
        n = n.numerator
        return n if n < 2 ** t.m else ((exponent + t.bias) << t.m) + (n - 2 ** t.m)

    def overflow():
        if small and (sat or not has_nan(t)):
            return finite(biggest)
        if t.name == 'e4m3':
            return 0x7f
        return (2 ** t.e - 1) << t.m

    if v.kind == 'nan':
        code = (nan_code(t) >> (13 if t.name == 'tf32' else 0)) if has_nan(t) else finite(biggest)
        sign_bit = 0
    elif v.kind == 'inf':
        code = overflow()
    elif v.q == 0:
        code = 0
    else:
        exponent = max(floor_log2(v.q), 1 - t.bias)
        step = Q(2) ** (exponent - t.m)
        q = round_magnitude(v.q / step, mode, v.sign) * step
        if q <= biggest:
            code = finite(q)
        elif not small and (mode == 'rz' or mode == ('rd', 'ru')[v.sign]):
            code = finite(biggest)
        else:
            code = overflow()
    code |= sign_bit
    return code << 13 if t.name == 'tf32' else code


def encode_scale(v, mode):
    """Of |x|; rz or ru. At most 2^-127 gives 0; infinity 0xfe; NaN 0xff."""
    assert mode in ('rz', 'ru')
    if v.kind == 'nan':
        return 255
    if v.kind == 'inf':
        return 254
    if v.q <= Q(2) ** -127:
        return 0
    n = floor_log2(v.q)
    if mode == 'ru' and Q(2) ** n != v.q:
        n += 1
    return min(max(n + 127, 0), 254)


def to_int(t, v, sat=True):
    """Float to int: toward zero, clamped, NaN gives 0."""
    lo, hi = int_range(t)
    if v.kind == 'nan':
        return 0
    if v.kind == 'inf':
        return lo if v.sign else hi
    n = v.q.numerator // v.q.denominator
    return min(max(-n if v.sign else n, lo), hi)


# --- operations on V


def add(a, b):
    if a.kind == 'nan' or b.kind == 'nan':
        return NAN
    if a.kind == 'inf' or b.kind == 'inf':
        if a.kind == b.kind and a.sign != b.sign:
            return NAN
        return a if a.kind == 'inf' else b
    s = real(a) + real(b)
    if s == 0:  # x + -x is +0; -0 + -0 is -0
        return V('num', a.sign & b.sign if a.q == 0 and b.q == 0 else 0, Q(0))
    return num(s)


def neg(a):
    return a if a.kind == 'nan' else V(a.kind, 1 - a.sign, a.q)


def mul(a, b):
    if a.kind == 'nan' or b.kind == 'nan':
        return NAN
    s = a.sign ^ b.sign
    if a.kind == 'inf' or b.kind == 'inf':
        zero = (a.kind == 'num' and a.q == 0) or (b.kind == 'num' and b.q == 0)
        return NAN if zero else inf(s)
    return V('num', s, a.q * b.q)


def div(a, b):
    if a.kind == 'nan' or b.kind == 'nan':
        return NAN
    s = a.sign ^ b.sign
    if a.kind == 'inf':
        return NAN if b.kind == 'inf' else inf(s)
    if b.kind == 'inf':
        return V('num', s, Q(0))
    if b.q == 0:
        return NAN if a.q == 0 else inf(s)
    return V('num', s, a.q / b.q)


def key(v):
    """Total order of the numbers: -0 below +0."""
    if v.kind == 'inf':
        return (-1, 0, 0) if v.sign else (1, 0, 0)
    return (0, real(v), 0 if v.sign else 1)


def minimum(a, b, nan=False):
    if a.kind == 'nan' or b.kind == 'nan':
        if nan:
            return NAN
        return b if a.kind == 'nan' else a
    return a if key(a) <= key(b) else b


def maximum(a, b, nan=False):
    if a.kind == 'nan' or b.kind == 'nan':
        if nan:
            return NAN
        return b if a.kind == 'nan' else a
    return a if key(a) >= key(b) else b


def compare(a, b):
    """-1, 0, 1, or None if either is NaN."""
    if a.kind == 'nan' or b.kind == 'nan':
        return None
    x, y = key(a)[:2], key(b)[:2]
    return (x > y) - (x < y)


def sqrt_code(t, v):
    if v.kind == 'nan' or (v.sign and (v.kind == 'inf' or v.q)):
        return encode(t, NAN)
    if v.kind == 'inf' or v.q == 0:
        return encode(t, v)
    # Enough bits that only exact roots end in zeros; a set last bit stands for the rest.
    shift = 2 * (t.m + 40) + abs(floor_log2(v.q)) + 4
    shift += shift % 2
    n = v.q * 2 ** shift
    n = n.numerator // n.denominator
    r = isqrt(n)
    exact = r * r == v.q * 2 ** shift
    return encode(t, num(Q(2 * r + (0 if exact else 1), 2 ** (shift // 2 + 1))))


# --- arrays of codes


def codes_of(t, values):
    """Codes of Python numbers or 'nan', 'inf', '-inf', '-0'."""
    out = []
    for x in values:
        if t.kind in ('sint', 'uint', 'bool'):
            out.append(int(x) & mask(t))
        elif x == 'nan':
            out.append(encode(t, NAN))
        elif x in ('inf', '-inf'):
            out.append(encode(t, inf(x == '-inf')))
        elif x == '-0':
            out.append(encode(t, V('num', 1, Q(0))))
        else:
            out.append(encode(t, num(x)))
    return out


def stream(t, codes):
    """The codes as the ISA stores them: sub-byte types as a dense little-endian bit stream."""
    total = 0
    for n, c in enumerate(codes):
        total |= (int(c) & mask(t)) << (n * t.bits)
    return np.frombuffer(total.to_bytes((len(codes) * t.bits + 7) // 8, 'little'), np.uint8)


def array(t, codes, shape=None):
    """What a .npy file holds for the type (vm/data/README.md)."""
    raw = stream(t, codes)
    if t.bits < 8:
        return raw
    kinds = {'bool': '?', 'f64': '<f8', 'f32': '<f4', 'tf32': '<f4', 'f16': '<f2', 'bf16': '<u2'}
    kind = kinds.get(t.name)
    if not kind:
        kind = '|u1' if t.bits == 8 and t.kind in ('flt', 'scale') else \
            ('<i' if t.kind == 'sint' else '<u') + str(t.bits // 8)
    a = np.frombuffer(raw.tobytes(), kind)
    return a.reshape(shape) if shape else a


def save(name, tensors):
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'data')
    np.savez_compressed(os.path.join(folder, name), **tensors)
