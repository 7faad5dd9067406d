"""Directives of shapes.vmasm, by NumPy."""
from cases import *

c = Cases('shapes')
rng = np.random.default_rng(24)
c.file('shapes.vmasm')
for t in ('i8', 'u3', 'f16', 'e2m3', 'bool', 'f64', 'i1'):
    kind = typ(t)
    if kind.kind in ('sint', 'uint', 'bool'):
        lo, hi = int_range(kind)
        x = rng.integers(lo, min(hi, 100) + 1, (2, 3, 4))
    else:
        x = rng.integers(-15, 16, (2, 3, 4)) / 2
    outs = {
        'r1': x.reshape(6, 4), 'r2': x.reshape(24), 'r3': x.reshape(4, 1, 3, 2),
        't1': x.swapaxes(1, 2), 't2': x.transpose(2, 0, 1), 't3': x.transpose(1, 0, 2),
        'b1': np.broadcast_to(x[:, :1], (2, 3, 4)), 'b2': np.broadcast_to(x[0, 0], (2, 2, 4)),
        's1': x[:, 1], 's2': x[0], 'u1': x[:, None], 'u2': x[..., None],
        'c0': np.concatenate([x, x[::-1]]), 'c1': np.concatenate([x, x[:, 1:2], x], 1),
        'c2': np.concatenate([x, x[:, :, 2:4]], 2),
        'p1': x[0:2, 1:3, 2], 'p2': x[1:2, 0, :],
        'n1': np.where(np.isin(np.arange(24).reshape(2, 3, 4), [5, 6, 9, 10]), x[1:2, 0:1, 3:4], x),
        'n2': x, 'e1': np.repeat(x, 2, 2), 'e0': np.repeat(x, 3, 0),
    }
    n2 = np.array(x)
    n2[1, :, 0:2] = x[0, :, 2:4]
    outs['n2'] = n2
    c.case(t, 'shapes', f'T={t}', ins={'x': (t, x)}, outs={k: (t, v) for k, v in outs.items()})
c.done()
