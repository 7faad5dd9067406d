"""Expectations of tests/golden/wgmma.vmasm: products in exact arithmetic.

    /usr/bin/python3 tests/golden/reference/wgmma.py
"""
from fractions import Fraction

import numpy as np
from common import *


def exactly(a, b, c=None, sa=None, sb=None):
    """c + a·b with one rounding to f32 for each step over k, in order; with scales for blocks of k."""
    m, k = a.shape
    n = b.shape[1]
    out = np.zeros((m, n), np.float32)
    for i in range(m):
        for j in range(n):
            acc = Fraction(float(c[i, j])) if c is not None else Fraction(0)
            for p in range(k):
                term = Fraction(float(a[i, p])) * Fraction(float(b[p, j]))
                if sa is not None:
                    block = p * sa.shape[1] // k
                    term *= Fraction(float(sa[i, block])) * Fraction(float(sb[block, j]))
                acc = Fraction(float(to_f32(acc + term)))
            out[i, j] = float(acc)
    return out


def to_f32(x):
    """The nearest f32 of a fraction, ties to even; no value here is subnormal or too large."""
    if x == 0:
        return 0.0
    sign, x = (-1, -x) if x < 0 else (1, x)
    e = 0
    while x >= 1 << 24:
        x /= 2
        e += 1
    while x < 1 << 23:
        x *= 2
        e -= 1
    whole, rest = x.numerator // x.denominator, x - x.numerator // x.denominator
    if rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole & 1):
        whole += 1
    return sign * float(whole) * 2.0 ** e


out = {}
a, b = (ROUND["f16"](uniform(s, shape, -2, 2)) for s, shape in ((1, (64, 32)), (2, (32, 16))))
once = exactly(a, b)
twice = exactly(a, b, once)
out["d"], out["e"] = once, twice

codes_a, codes_b = uniform_bits(1, (6, 64), 4), uniform_bits(2, (64, 5), 8)
values = float_values("e2m1"), float_values("e4m3")
codes_b = np.where((codes_b & np.uint64(127)) == 127, np.uint64(1), codes_b)
scale_a = np.exp2(uniform_int(3, (6, 4), -3, 4).astype(np.float64))
scale_b = np.round(uniform(4, (4, 5), 0.5, 4) * 16) / 16
c = uniform(5, (6, 5), -8, 8).astype(np.float32)
va, vb = values[0][codes_a.astype(int)], values[1][codes_b.astype(int)]
out["a4"] = pack(codes_a, 4)
out["b8"] = codes_b.astype(np.uint8)
out["sa"] = (np.log2(scale_a) + 127).astype(np.uint8)  # e8m0
out["sb"] = scale_b.astype(np.float16)
out["c"] = c
out["scaled"] = exactly(va, vb, c, scale_a, scale_b.astype(np.float16))
save("wgmma", out)
