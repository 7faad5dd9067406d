"""Products with operands in shared memory: tests/golden/mma_shared.vmasm."""
import numpy as np

from common import save

a = np.arange(32 * 32, dtype=np.float32).reshape(32, 32) % 64 - 20
b = (np.arange(32 * 32, dtype=np.float32) * 5 % 37 - 11).reshape(32, 32)
c = a @ b
save("mma_shared", {"a": a.astype(np.float16), "b": b.astype(np.float16), "c": c,
                    "a8": a.astype(np.int8), "b8": b.astype(np.int8), "c8": c.astype(np.int32)})
