"""Expectations of NF4: codes into the table of normal quantiles of the QLoRA paper, one scale per 64.

    /usr/bin/python3 tests/golden/reference/nf4.py
"""
import numpy as np
from common import *

quantiles = np.array([
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
], np.float32)
blocks = 70
w = uniform_bits(1, (blocks, 32), 8).astype(np.uint8)
s = uniform(2, blocks, 0.5, 2).astype(np.float32)
codes = np.stack([w >> 4, w & 15], axis=-1).reshape(blocks, 64)
assert len(np.unique(codes)) == 16
save("std_nf4", {"y": quantiles[codes] * s[:, None]})
