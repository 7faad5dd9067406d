"""Expectations of the worked Hopper kernels: samples/w4a16.vmasm, samples/flash_attention.vmasm.

    /usr/bin/python3 tests/golden/reference/hopper.py
"""
import numpy as np
from common import *

G = 128


def fragments(w):
    """Weights [n, k] of 4 bits as the words that each thread of a warpgroup holds: the A operand of
    wgmma.m64k16, four of them along k, for each 64 x 64 block. PTX ISA, "wgmma, register fragments"."""
    n, k = w.shape
    out = np.zeros((n // 64, k // 64, 128, 4), np.uint32)
    for thread in range(128):
        warp, lane = divmod(thread, 32)
        for e in range(32):
            chunk, r = divmod(e, 8)
            row = warp * 16 + lane // 4 + 8 * (r >> 1 & 1)
            col = chunk * 16 + lane % 4 * 2 + (r & 1) + 8 * (r >> 2)
            nibble = w.reshape(n // 64, 64, k // 64, 64)[:, row, :, col].astype(np.uint32)
            out[:, :, thread, e // 8] |= nibble << np.uint32(4 * (e % 8))
    return out


def w4a16(key, m, n, k):
    a = uniform_int(1, (m, k), -3, 4).astype(np.float64)
    w = uniform_int(2, (n, k), 0, 16)
    s = np.ldexp(1.0, uniform_int(3, (k // G, n), -2, 2))
    z = uniform_int(4, (k // G, n), 4, 12).astype(np.float64)
    group = np.arange(k) // G
    values = (w - z.T[:, group]) * s.T[:, group]  # exact in f16
    c = a @ values.T                              # exact in f32: multiples of 1/4 below 2^20
    assert np.abs(c).max() < 2 ** 20
    for name, x in dict(a=a, s=s, z=z, c=c).items():
        out[f"{key}.{name}"] = x.astype(np.float16)
    out[f"{key}.wp"] = fragments(w)


def attention(key, b, h, hk, sq, sk):
    def values(seed, shape):
        return bf16(uniform(seed, shape, -2, 2))
    q, k, v = values(1, (b, sq, h, 128)), values(2, (b, sk, hk, 128)), values(3, (b, sk, hk, 128))
    scale = np.float32(128 ** -0.5)
    o = np.zeros_like(q)
    for i in range(b):
        for j in range(h):
            s = q[i, :, j] @ k[i, :, j * hk // h].T * float(scale)
            p = np.exp(s - s.max(1, keepdims=True))
            o[i, :, j] = p @ v[i, :, j * hk // h] / p.sum(1, keepdims=True)
    out[f"{key}.o"] = stored("bf16", bf16(o))


out = {}
w4a16("one", 16, 128, 128)
w4a16("ragged", 37, 256, 384)
save("hopper_w4a16", out)
out = {}
attention("one", 1, 1, 1, 64, 128)
attention("ragged", 2, 2, 1, 150, 300)
save("hopper_attention", out)
