"""engines.vmasm: rows of several lengths, doubled."""
import numpy as np

from common import save

out = {}
for n in (64, 60, 62, 61):
    out[f"rows_{n}"] = (2 * np.arange(3 * n, dtype=np.float32)).reshape(3, n)
save("engines", out)
