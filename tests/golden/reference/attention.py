"""Expectations of flash attention: plain softmax(q·kᵀ·scale)·v in double.

    /usr/bin/python3 tests/golden/reference/attention.py
"""
import math

import numpy as np
from common import *


def attention(t, b, h, hk, sq, sk, d, c, causal):
    q = ROUND[t](uniform(1, (b, sq, h, d), -2, 2))
    k = ROUND[t](uniform(2, (b, sk, hk, d), -2, 2))
    v = ROUND[t](uniform(3, (b, sk, hk, d), -1, 1))
    k, v = (np.repeat(x, h // hk, axis=2) for x in (k, v))
    s = np.einsum("bihd,bjhd->bhij", q, k) * c * math.log(2)
    if causal:  # the last query sees the last key
        s = np.where(np.arange(sk) <= np.arange(sq)[:, None] + sk - sq, s, -np.inf)
    top = s.max(axis=-1, keepdims=True)
    e = np.exp(s - np.where(np.isfinite(top), top, 0))
    total = e.sum(axis=-1, keepdims=True)
    p = e / np.where(total == 0, 1, total)  # a query without keys gives zeros
    return stored(t, ROUND[t](np.einsum("bhij,bjhd->bihd", p, v)))


out = {}
for t in ("f16", "bf16", "f32"):
    for causal in (False, True):
        mode = "true" if causal else "false"
        out[f"small_{t}_{mode}"] = attention(t, 2, 4, 2, 21, 37, 12, 0.5, causal)
        out[f"few_keys_{t}_{mode}"] = attention(t, 1, 3, 3, 37, 21, 12, 0.5, causal)
out["default_true"] = attention("f16", 1, 2, 1, 70, 130, 64, 0.18, True)
out["default_false"] = attention("f16", 1, 2, 1, 70, 130, 64, 0.18, False)
save("std_attention", out)
