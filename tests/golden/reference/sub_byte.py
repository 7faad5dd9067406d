"""Directives of sub_byte.vmasm: matrices of every narrow width, rows at any bit."""
import random

from cases import *

random.seed(28)
c = Cases('sub_byte')
c.file('sub_byte.vmasm')
for name in 'i1 u1 i2 u3 i3 u4 i5 u6 i7 e2m1 e3m2 e2m3 e1m1 e1m5'.split():
    t = typ(name)
    for m, n in ((5, 7), (11, 3), (1, 13)):
        codes = [random.getrandbits(t.bits) for _ in range(m * n)]
        old = [random.getrandbits(t.bits) for _ in range(m * n)]
        flipped = [codes[i * n + j] for j in range(n) for i in range(m)]
        # Rows 1.. and odd columns written, the others as before.
        part = [codes[i * n + j] if i >= 1 and j % 2 else old[i * n + j] for i in range(m) for j in range(n)]
        key = f'{name}.{m}.{n}'
        for k, v in (('x', codes), ('old', old), ('flipped', flipped), ('part', part)):
            c.data[f'{key}.{k}'] = array(t, v)
        f = f'data/sub_byte.npz#{key}.'
        c.case(f'{name} {m}x{n}', 'flip', f'T={name}', f'm={m} n={n}', ins={'x': f + 'x'}, outs={'y': f + 'flipped'})
        c.case(f'{name} {m}x{n} in part', 'part', f'T={name}', f'm={m} n={n}', ins={'x': f + 'x', 'y': f + 'old'},
               outs={'y': f + 'part'})
c.done()
