"""Expectations of tests/golden/hopper_loops.vmasm: products of small integers, exact in every type and order.

    /usr/bin/python3 tests/golden/reference/hopper_loops.py
"""
import numpy as np
from common import *

out = {}


def integers(seed, shape, low=-3, high=4):
    return uniform_int(seed, shape, low, high).astype(np.float64)


def put(name, **arrays):
    for key, (t, x) in arrays.items():
        out[f"{name}.{key}"] = x.astype(np.int8) if t == "i8" else x.astype(np.int32) if t == "i32" else stored(t, x)


# Rows of 70 and columns of 72 reach out of tiles; k of 200 ends inside one.
for name, m, n, k in (("plain", 70, 72, 200), ("wide", 136, 136, 200)):
    a, b = integers(1, (m, k)), integers(2, (k, n))
    put(name, a=("f16", a), b=("f16", b), c=("f32", a @ b))
a, b = integers(1, (70, 200)), integers(2, (72, 200))
put("turned", a=("bf16", a), b=("bf16", b), c=("f32", a @ b.T))
a, b = integers(1, (70, 336), -128, 128), integers(2, (80, 336), -128, 128)
put("bytes", a=("i8", a), b=("i8", b), c=("i32", a @ b.T))
a, b, s = integers(1, (70, 200)), integers(2, (200, 72)), np.ldexp(1.0, uniform_int(3, (200,), -1, 2))
put("scaled", a=("f16", a), b=("f16", b), s=("f16", s), c=("f32", a * s @ b))
# Two products in a row: c = sum over blocks of (a · kᵀ + 1) · v.
a, k, v = integers(1, (70, 64), -1, 2), integers(2, (200, 64), -1, 2), integers(3, (200, 64), -1, 2)
put("chain", a=("f16", a), k=("f16", k), v=("f16", v), c=("f32", (a @ k.T + 1) @ v))
assert all(np.abs(out[f"{n}.c"]).max() < 1 << 23 for n in ("plain", "wide", "turned", "bytes", "scaled", "chain"))
assert np.abs(a @ k.T + 1).max() < 2048
save("hopper_loops", out)
