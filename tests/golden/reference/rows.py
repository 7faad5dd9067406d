"""Expectations of softmax, RMS norm, layer norm and the activations, in double.

    /usr/bin/python3 tests/golden/reference/rows.py
"""
import math

import numpy as np
from common import *

out = {}


def put(key, t, x):
    out[f"{key}_{t}"] = stored(t, ROUND[t](x))


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


for t in ("f32", "f16", "bf16"):
    put("softmax", t, softmax(ROUND[t](uniform(1, (7, 601), -8, 8))))

    eps = float(np.float32(1e-5))
    x = ROUND[t](uniform(2, (5, 1100), -3, 4))
    w = ROUND[t](uniform(3, 1100, 0.5, 1.5))
    b = ROUND[t](uniform(4, 1100, -1, 1))
    put("rmsnorm", t, x / np.sqrt((x * x).mean(axis=1, keepdims=True) + eps) * w)
    d = x - x.mean(axis=1, keepdims=True)
    put("layernorm", t, d / np.sqrt((d * d).mean(axis=1, keepdims=True) + eps) * w + b)

# A long run of -inf before the first number: the row's maximum is not known for several pieces.
x = np.full((2, 300), -np.inf)
x[0, 290:] = np.linspace(-1, 1, 10)
x[1, ::7] = np.linspace(-5, 5, len(x[1, ::7]))
out["softmax_masked_x"] = x.astype(np.float32)
put("softmax_masked", "f32", softmax(out["softmax_masked_x"].astype(np.float64)))

# activations, n not a multiple of anything
n = 2501
erf = np.vectorize(math.erf)
for t in ("f32", "f16", "bf16"):
    x = ROUND[t](uniform(5, n, -6, 6))
    y = ROUND[t](uniform(6, n, -2, 2))
    sigmoid = 1 / (1 + np.exp(-x))
    put("relu", t, np.maximum(x, 0))
    put("silu", t, x * sigmoid)
    put("swiglu", t, x * sigmoid * y)
    put("gelu", t, 0.5 * x * (1 + erf(x / math.sqrt(2))))
    put("gelu_tanh", t, 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))
    put("residual", t, x + y)

# rotary embedding: pairs (i, i + D/2) of each head turn by position · base^(-2i/D)
b, s, h, d, first, base = 2, 19, 3, 16, 5, 10000.0
for t in ("f32", "f16"):
    x = ROUND[t](uniform(7, (b, s, h, d), -1, 1))
    angle = (first + np.arange(s))[:, None] * base ** (-2 * np.arange(d // 2) / d)
    c, z = np.cos(angle)[None, :, None, :], np.sin(angle)[None, :, None, :]
    lo, hi = x[..., :d // 2], x[..., d // 2:]
    put("rope", t, np.concatenate([lo * c - hi * z, hi * c + lo * z], axis=-1))

# 8 bits per row, in f32 as the kernel: each step one rounding. Row 3 is zero, row 4 tiny.
x = uniform(8, (5, 601), -3, 3).astype(np.float16)
x[3], x[4] = 0, x[4] / np.float16(1e4)
out["quantise_x"] = x
for q, most in (("e4m3", 448), ("e5m2", 57344), ("i8", 127)):
    s = np.abs(x).astype(np.float32).max(axis=1) / np.float32(most)
    with np.errstate(divide="ignore"):
        inv = np.where(s == 0, np.float32(0), np.float32(1) / s)
    v = np.clip(x.astype(np.float32) * inv[:, None], -most, most)
    out[f"quantise_{q}_s"] = s
    if q == "i8":
        out["quantise_i8_q"] = np.rint(v).astype(np.int8)
        out["dequantise_i8"] = (out["quantise_i8_q"].astype(np.float32) * s[:, None]).astype(np.float16)
    else:
        out[f"quantise_{q}_q"] = encode(q, v)

save("std_rows", out)
