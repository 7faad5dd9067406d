"""Expectations of matmul and matmul_a16w, in double or exactly.

    /usr/bin/python3 tests/golden/reference/products.py
"""
import numpy as np
from common import *

out = {}

# --- matmul: operands of any type, 70 x 45 times 45 x 83
m, k, n = 70, 45, 83
for t, result in (("f32", "f32"), ("f16", "f32"), ("bf16", "bf16"), ("f64", "f64")):
    a, b = ROUND[t](uniform(1, (m, k), -1, 1)), ROUND[t](uniform(2, (k, n), -1, 1))
    out[f"matmul_{t}_{result}"] = stored(result, ROUND[result](a @ b))
for t in ("i8", "u4", "i3"):
    a, b = uniform_all(1, (m, k), t), uniform_all(2, (k, n), t)
    out[f"matmul_{t}_i32"] = (a @ b).astype(np.int32)
for t in ("e4m3", "e5m2", "e2m1"):
    values = float_values(t)
    finite = np.flatnonzero(np.isfinite(values) & (np.abs(values) <= 64))
    rng = np.random.default_rng(3)
    a, b = finite[rng.integers(0, len(finite), (m, k))], finite[rng.integers(0, len(finite), (k, n))]
    bits = 1 + int(t[1]) + int(t[3])
    out[f"matmul_{t}_a"] = pack(a, bits) if bits < 8 else a.astype(np.uint8)
    out[f"matmul_{t}_b"] = pack(b, bits) if bits < 8 else b.astype(np.uint8)
    out[f"matmul_{t}_f32"] = (values[a] @ values[b]).astype(np.float32)
save("std_matmul", out)

# --- matmul_a16w: C = A · (W - z)·s with every weight type, group 32, 5 x 96 times 96 x 37
out = {}
m, k, n, group = 5, 96, 37, 32
a = uniform(1, (m, k), -1, 1)
s = uniform(3, (k // group, n), 0.5, 1.5)


def product(t, q, z):
    """Weights as the kernel has them: each step rounded to the activation's type."""
    r = ROUND[t]
    rows = np.arange(k) // group
    w = r(r(q - z[rows]) * r(s)[rows])
    return r(a) @ w


for t in [f"{sign}{bits}" for sign in "ui" for bits in range(1, 9)]:
    q, z = uniform_all(2, (k, n), t), uniform_all(4, (k // group, n), t)
    for act in ("f16", "bf16"):
        out[f"a16w_{t}_{act}"] = stored(act, ROUND[act](product(act, q, z)))
rng = np.random.default_rng(5)
for t in SMALL_FLOATS:
    values, bits = float_values(t), 1 + int(t[1]) + int(t[3])
    # Moderate values: what wide exponents add beyond them overflows any 16-bit type.
    usable = np.flatnonzero(np.isfinite(values) & (np.abs(values) <= 64))
    q, z = usable[rng.integers(0, len(usable), (k, n))], usable[rng.integers(0, len(usable), (k // group, n))]
    for name, codes in (("w", q), ("z", z)):
        out[f"a16w_{t}_{name}"] = pack(codes, bits) if bits < 8 else codes.astype(np.uint8)
    for act in ("f16", "bf16"):
        out[f"a16w_{t}_{act}"] = stored(act, ROUND[act](product(act, values[q], values[z])))
save("std_a16w", out)
