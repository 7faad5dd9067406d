"""Expectations of saxpy, transpose, histogram, prefix sum and top-k.

    /usr/bin/python3 tests/golden/reference/vectors.py
"""
import numpy as np
from common import *

out = {}

# saxpy: the exact product and sum in extended precision, rounded once
for n in (1, 2500):
    x, y = (uniform(s, n, -1, 1).astype(np.float32).astype(np.longdouble) for s in (1, 2))
    out[f"saxpy_{n}"] = (np.longdouble(2.5) * x + y).astype(np.float32)

# transpose
m, n = 45, 37
for t in "u1 i3 u4 i8 u16 i64".split():
    bits = int(t[1:])
    codes = uniform_bits(3, (m, n), bits).T
    whole = f"u{bits // 8}", f"{t[0]}{bits // 8}"
    out[f"transpose_{t}"] = pack(codes, bits) if bits < 8 else codes.astype(whole[0], order="C").view(whole[1])
for t in "f16 bf16 f32 f64".split():
    out[f"transpose_{t}"] = stored(t, ROUND[t](uniform(3, (m, n))).T)

# histogram: counts are added to what is there
x = uniform_int(5, 10001, -3, 210)
out["histogram"] = (3 + np.bincount(x[(x >= 0) & (x < 200)], minlength=200)).astype(np.int32)

# prefix sum: integers modulo 2^N
n = 5003
for t in "u8 i16 i32 u64".split():
    bits = int(t[1:])
    x = uniform_bits(6, n, bits)
    with np.errstate(over="ignore"):
        out[f"scan_{t}"] = np.cumsum(x, dtype=np.uint64).astype(f"u{bits // 8}").view(f"{t[0]}{bits // 8}")
for t in ("f32", "f64"):
    out[f"scan_{t}"] = stored(t, np.cumsum(ROUND[t](uniform(6, n, -1, 1)).astype(np.longdouble)).astype(np.float64))


# top-k and argmax: a stable sort of the negated values puts ties in index order
def topk(x, k):
    at = np.argsort(-x, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(x, at, 1), at.astype(np.int32)


for t in ("f32", "f16", "bf16"):
    v, i = topk(ROUND[t](uniform(7, (6, 701), -1, 1)), 8)
    out[f"topk_{t}_v"], out[f"topk_{t}_i"] = stored(t, v), i
v, i = topk(uniform_int(8, (3, 1000), -20, 20), 5)  # nearly all ties
out["topk_i32_v"], out["topk_i32_i"] = v.astype(np.int32), i
for t in ("f32", "f16"):
    out[f"argmax_{t}"] = np.argmax(ROUND[t](uniform(7, (5, 2701), -1, 1)), axis=1).astype(np.int32)

save("std_vectors", out)
