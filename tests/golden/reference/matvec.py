"""Expectations of products with GGUF weights, in double: from tests/data/gguf_blocks.npz, whose values are
by an independent decoder, and from tensors of tests/data/smollm2_sample.gguf decoded here.

    /usr/bin/python3 tests/golden/reference/matvec.py
"""
import numpy as np
from common import *
from gguf_file import Gguf

blocks = np.load(DATA.parent.parent / "data" / "gguf_blocks.npz")
out = {}
rows, each = 8, 3  # 24 blocks as 8 rows of 3
for name in "Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q4_K Q5_K Q6_K IQ4_NL".split():
    f = name.lower()
    w = blocks[f"{name}_values"].astype(np.float64).reshape(rows, -1)
    out[f"{f}_w"] = blocks[f"{name}_blocks"].reshape(rows, -1)
    x = uniform(1, w.shape[1], -1, 1).astype(np.float32).astype(np.float64)
    out[f"{f}_values"] = w.astype(np.float32)
    out[f"{f}_y"] = (w @ x).astype(np.float32)
    if f in ("q4_1", "q8_0"):
        x = uniform(1, (3, w.shape[1]), -1, 1).astype(np.float32).astype(np.float64)
        out[f"{f}_rows"] = (x @ w.T).astype(np.float32)

model = Gguf(DATA.parent.parent / "data" / "smollm2_sample.gguf")
x = uniform(1, 576, -1, 1).astype(np.float32).astype(np.float64)
out["attn_k"] = (model.values("blk.0.attn_k.weight").astype(np.float64) @ x).astype(np.float32)
out["token_embd"] = (model.values("token_embd.weight.first256").astype(np.float64) @ x).astype(np.float32)
save("std_matvec", out)
