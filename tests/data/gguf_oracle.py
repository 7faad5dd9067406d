"""Writes gguf_blocks.npz: random GGUF blocks and their values by the `gguf` package, an independent decoder.

    pip install gguf numpy
    python3 tests/data/gguf_oracle.py

Keys, for each block type T: `T_blocks`, u8 [blocks, bytes of a block], and `T_values`, f32 [blocks,
elements of a block]. The bytes are random, so that every code and scale field occurs; the f16 scales
are kept finite and of moderate size. The first block is quantised from a ramp, the second is all zero.
"""
import pathlib

import gguf
import numpy as np

types = "Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q4_K Q5_K Q6_K IQ4_NL".split()
# Byte offsets of the f16 scale fields in a block.
scales = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0],
}
blocks = 24
rng = np.random.default_rng(11)
arrays = {}
for name in types:
    kind = gguf.GGMLQuantizationType[name]
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    data = rng.integers(0, 256, (blocks, size), dtype=np.uint8)
    for at in scales[name]:
        value = (rng.standard_normal(blocks) * 0.05).astype("<f2")
        data[:, at:at + 2] = value.view(np.uint8).reshape(blocks, 2)
    data[1] = 0
    try:
        data[0] = gguf.quants.quantize(np.linspace(-1, 1, elements, dtype=np.float32), kind)
    except NotImplementedError:
        pass  # the package has no encoder for this type: the block stays random
    values = gguf.quants.dequantize(data, kind).reshape(blocks, elements)
    assert values.dtype == np.float32 and np.isfinite(values).all()
    arrays[f"{name}_blocks"] = data
    arrays[f"{name}_values"] = values

np.savez_compressed(pathlib.Path(__file__).parent / "gguf_blocks.npz", **arrays)
