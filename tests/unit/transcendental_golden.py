#!/usr/bin/env python3
"""Recomputes the results in transcendental_golden.inc with mpmath (400 bits, then one exact rounding).

usage: transcendental_golden.py FILE     rewrites the third number of every row
"""
import re
import struct
import sys
from fractions import Fraction

from mpmath import mp, mpf

mp.prec = 400
FUNCTIONS = {
    "exp": mp.exp, "exp2": lambda x: mp.power(2, x), "log": mp.log, "log2": lambda x: mp.log(x) / mp.log(2),
    "sin": mp.sin, "cos": mp.cos, "tanh": mp.tanh, "erf": mp.erf,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)), "rsqrt": lambda x: 1 / mp.sqrt(x), "rcp": lambda x: 1 / x,
}


def value(code):
    return struct.unpack("<f", struct.pack("<I", code))[0]


def fraction(x):
    sign, mantissa, exponent, _ = x._mpf_
    f = Fraction(int(mantissa)) * Fraction(2) ** exponent
    return -f if sign else f


def round_f32(exact):
    """Nearest even by bisecting the codes of the magnitudes; infinity beyond the last half ulp."""
    sign, exact = (0x80000000, -exact) if exact < 0 else (0, exact)
    of = lambda code: Fraction(value(code)) if code < 0x7F800000 else Fraction(2) ** 128
    low, high = 0, 0x7F800000
    if exact >= of(high):
        return sign | high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if of(middle) <= exact else (low, middle)
    twice, both = 2 * exact, of(low) + of(low + 1)
    up = twice > both or (twice == both and low % 2)
    return sign | (low + up)


def main(path):
    def row(match):
        name, code = match.group(1), int(match.group(2), 16)
        result = round_f32(fraction(FUNCTIONS[name](mpf(value(code)))))
        return f"{{Fn::{name}, 0x{code:08X}, 0x{result:08X}}},"

    text = open(path).read()
    open(path, "w").write(re.sub(r"\{Fn::(\w+), 0x(\w+), 0x(\w+)\},", row, text))


main(sys.argv[1])
