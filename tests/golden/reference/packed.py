"""Weights as repack.vmasm lays them out, from the fragment of operand B of mma.m16n8k16: the codes of
products.py's 96 x 37 weights, bit by bit.

    /usr/bin/python3 tests/golden/reference/packed.py
"""
import numpy as np
from common import *

K, N, BK, NW = 96, 37, 128, 32
FLOATS = ["e1m1", "e2m1", "e4m0", "e3m2", "e2m4", "e4m3", "e5m2"]

lane, reg = np.meshgrid(np.arange(32), np.arange(BK * NW // 32), indexing="ij")
fragment, r = reg // 4, reg % 4
row = fragment // (NW // 8) * 16 + 2 * (lane % 4) + r % 2 + 8 * (r // 2)
col = fragment % (NW // 8) * 8 + lane // 4


def packed(codes, bits):
    """u32[n tiles, k tiles, bits, lane, 4] of codes [K, N]."""
    tiles_n, tiles_k = -(-N // NW), -(-K // BK)
    padded = np.zeros((tiles_k * BK, tiles_n * NW), np.uint8)
    padded[:K, :N] = codes
    out = np.zeros((tiles_n, tiles_k, bits, 32, 4), np.uint32)
    for i in range(tiles_n):
        for j in range(tiles_k):
            lanes = padded[j * BK + row, i * NW + col]
            for l in range(32):
                words = pack(lanes[l], bits).view("<u4").reshape(bits, 4)
                out[i, j, :, l] = words
    return out


out = {}
for t in [f"{sign}{bits}" for sign in "ui" for bits in range(1, 9)]:
    bits = int(t[1])
    out[t] = packed(uniform_bits(2, (K, N), bits), bits)
plain = np.load(DATA / "std_a16w.npz")
for t in FLOATS:
    bits = 1 + int(t[1]) + int(t[3])
    stream = np.unpackbits(plain[f"a16w_{t}_w"], bitorder="little")[:K * N * bits].reshape(K, N, bits)
    out[t] = packed((stream << np.arange(bits, dtype=np.uint8)).sum(axis=2), bits)
save("std_packed", out)
