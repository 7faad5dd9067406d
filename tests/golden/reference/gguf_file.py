"""A small GGUF reader: tensors by name, Q4_1, Q8_0 and f32 decoded with the arithmetic of the `gguf` package
(one f32 multiplication, then one addition), restated in NumPy."""
import mmap
import struct

import numpy as np

F32, F16, Q4_1, Q8_0 = 0, 1, 3, 8
NAMES = {F32: "F32", F16: "F16", Q4_1: "Q4_1", Q8_0: "Q8_0"}
BLOCK = {F32: (1, 4), F16: (1, 2), Q4_1: (32, 20), Q8_0: (32, 34)}  # elements, bytes
SCALARS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd"))


def q4_1(raw):
    d = raw[:, 0:2].copy().view("<f2").astype(np.float32)
    m = raw[:, 2:4].copy().view("<f2").astype(np.float32)
    q = np.concatenate([raw[:, 4:] & 15, raw[:, 4:] >> 4], axis=1).astype(np.float32)
    return q * d + m


def q8_0(raw):
    d = raw[:, 0:2].copy().view("<f2").astype(np.float32)
    return raw[:, 2:].copy().view(np.int8).astype(np.float32) * d


class Gguf:
    """`tensors`: name -> (shape, outermost first; type; byte offset; bytes)."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as f:
            self.bytes = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        self.at = 0
        magic, version, tensors, pairs = self.take("<4sIQQ")
        assert magic == b"GGUF" and version in (2, 3)
        self.metadata = {}
        for _ in range(pairs):
            key = self.string()
            self.metadata[key] = self.value(*self.take("<I"))
        self.tensors = {}
        for _ in range(tensors):
            name = self.string()
            rank, = self.take("<I")
            shape = self.take(f"<{rank}Q")[::-1]
            kind, offset = self.take("<IQ")
            self.tensors[name] = shape, kind, offset
        align = self.metadata.get("general.alignment", 32)
        self.base = -(-self.at // align) * align

    def take(self, layout):
        out = struct.unpack_from(layout, self.bytes, self.at)
        self.at += struct.calcsize(layout)
        return out

    def string(self):
        n, = self.take("<Q")
        self.at += n
        return self.bytes[self.at - n:self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind == 9:
            inner, n = self.take("<IQ")
            return [self.value(inner) for _ in range(n)]
        return self.take("<" + SCALARS[kind])[0]

    def kind(self, name):
        return NAMES.get(self.tensors[name][1], f"type {self.tensors[name][1]}")

    def raw(self, name):
        """u8 [blocks, bytes of a block]."""
        shape, kind, offset = self.tensors[name]
        elements, size = BLOCK[kind]
        n = int(np.prod(shape)) // elements * size
        return np.frombuffer(self.bytes, np.uint8, n, self.base + offset).reshape(-1, size)

    def values(self, name):
        """f32 in the tensor's shape."""
        shape, kind, _ = self.tensors[name]
        raw = self.raw(name)
        decoded = {F32: lambda: raw.copy().view("<f4"), Q4_1: lambda: q4_1(raw), Q8_0: lambda: q8_0(raw)}[kind]()
        return decoded.reshape(shape)
