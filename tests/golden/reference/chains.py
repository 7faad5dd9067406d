"""Directives of chains.vmasm: long chains of elementwise instructions on tiles of awkward sizes, in NumPy
integers and floats (each step exact or one NumPy operation of the same type).
"""
from cases import *

c = Cases('chains')
c.file('chains.vmasm')
M, N = 7, 333


def wrapped(t, a):
    a = a & mask(t)
    return np.where(a >> (t.bits - 1), a - (1 << t.bits), a) if t.kind == 'sint' else a


for name in ('i32', 'u8', 'i3', 'u5', 'i16'):
    t = typ(name)
    w = lambda a: wrapped(t, np.asarray(a, np.int64))
    x = w(np.arange(M * N).reshape(M, N))
    row = w(np.arange(M)).reshape(M, 1)
    col = w(np.arange(N) * 5 + 1).reshape(N)
    a = w(w(x * 3) + row)
    b = w(a ^ col)
    d = np.where(b < a, w(a - b), np.maximum(b, row))
    e = w(d * d + x)
    for i in range(3):
        e, a = w(e + a), w(-e)
    s = np.where(e > a, 1, 0)
    c.case(name, 'integers', f'I={name}', ins={'x': 'iota', 'r': 'iota', 'c': 'iota(1, 5)' if t.bits > 3 else 'iota(1, -3)'},
           outs={'y': (name, e), 'z': (name, a), 'n': ('i32', s.sum(1))})
for name, d in (('f16', np.float16), ('f32', np.float32), ('f64', np.float64)):
    x = np.arange(M * N).reshape(M, N).astype(d)
    row = np.arange(M).reshape(M, 1).astype(d)
    a = x * d(0.37) + row
    b = (a - np.floor(a)) * d(3.1)
    e = np.where(b > d(1.5), np.sqrt(b), np.abs(b - d(1)))
    e = np.maximum(e, row * d(0.01)) / (row + d(1))
    c.case(name, 'floats', f'F={name}', ins={'x': 'iota', 'r': 'iota'},
           outs={'y': (name, e), 'n': ('i32', (e > d(0.5)).sum(1))})
c.done()
