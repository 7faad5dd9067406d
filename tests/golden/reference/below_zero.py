"""Parts of memory that begin below 0, and slots of rings: tests/golden/below_zero.vmasm."""
import numpy as np

from common import save

data = {}
x = np.arange(256).reshape(16, 16)


def part(a, rows, columns):
    """The elements of a[rows, columns] that are there, 0 where none is."""
    out = np.zeros((len(rows), len(columns)), a.dtype)
    for r, i in enumerate(rows):
        for c, j in enumerate(columns):
            if 0 <= i < a.shape[0] and 0 <= j < a.shape[1]:
                out[r, c] = a[i, j]
    return out


data["y"] = part(x, range(-5, 3), range(-5, 3)).astype(np.float16)
z = x.copy()
z[:1, :3] = 99  # rows -5 .. 0 and columns -3 .. 2
data["z"] = z.astype(np.float16)
p = x @ part(x, range(-5, 11), range(8, 16))
data["p"] = np.stack([p, p]).astype(np.float32)

ring = np.arange(192).reshape(3, 64)
data["slot1"] = ring[1].astype(np.int32)
ring[1] = np.arange(64) + 1000
ring[1, 3:5] = -1
data["ring1"] = ring.astype(np.int32)

data["behind"] = np.concatenate([np.full(32, 5), np.arange(64)]).reshape(3, 32).astype(np.int32)

x = np.arange(512).reshape(2, 16, 16)
data["product"] = np.stack([x[0] @ x[1, :, :8], x[1] @ x[1, :, :8]]).astype(np.float32)

save("below_zero", data)
