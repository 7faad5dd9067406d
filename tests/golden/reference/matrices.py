"""Directives of mma.vmasm: accumulation over k in order, one fused multiply-add each, rounded to the
accumulator's type.
"""
import random

from cases import *

random.seed(26)
c = Cases('matrices')


def fma(t, a, b, s):
    if t.kind == 'sint':
        return wrap(t, a * b + s)
    return decode(t, encode(t, add(mul(a, b), s)))


def element(t, wide):
    if t.kind != 'flt':
        lo, hi = int_range(t)
        return random.choice([lo, hi, random.randint(lo, hi)])
    while True:
        if t.bits <= 8:
            v = decode(t, random.getrandbits(t.bits))
        else:
            e = max(1, min(2 ** t.e - 2, t.bias + random.randint(-wide, wide)))
            code = random.getrandbits(1) << (t.e + t.m) | e << t.m | random.getrandbits(t.m)
            v = decode(t, code << 13 if t.name == 'tf32' else code)
        if v.kind == 'num':
            return v


def tile(t, shape, wide=6):
    if not shape:
        return element(t, wide)
    return [tile(t, shape[1:], wide) for _ in range(shape[0])]


def zero(t):
    return 0 if t.kind == 'sint' else num(0)


def mma(t, a, b, s, promote=0):
    out = []
    for i in range(len(a)):
        row = []
        for j in range(len(b[0])):
            total = s[i][j] if s else zero(t)
            k = 0
            while k < len(b):
                chunk = range(k, min(k + (promote or len(b)), len(b)))
                part = zero(t) if promote else total
                for kk in chunk:
                    part = fma(t, a[i][kk], b[kk][j], part)
                total = decode(t, encode(t, add(total, part))) if promote else part
                k = chunk.stop
            row.append(total)
        out.append(row)
    return out


def family(a, b, d, wide=6):
    ta, tb, td = typ(a), typ(b), typ(d)
    x, y, s = tile(ta, (3, 19), wide), tile(tb, (19, 5), wide), tile(td, (3, 5), wide)
    name = f'{a} {b} {d}'
    yt = [list(r) for r in zip(*y)]
    # dot of row i of x with row i of a tile: the columns 0..2 of y
    ys = yt[:3]
    dots = [mma(td, [x[i]], [[v] for v in ys[i]], [[s[i][0]]])[0][0] for i in range(3)]
    dots0 = [mma(td, [x[i]], [[v] for v in ys[i]], None)[0][0] for i in range(3)]
    c.case(name, 'product', f'A={a} B={b} D={d}',
           ins={'a': (a, x), 'b': (b, y), 'c': (d, s), 'v': (b, ys), 'w': (d, [r[0] for r in s])},
           outs={'d': (d, mma(td, x, y, s)), 'z': (d, mma(td, x, y, None)),
                 'shared': (d, mma(td, x, y, s)), 'e': (d, dots), 'f': (d, dots0)})


c.file('mma.vmasm')
for a, b, d in (('f16', 'f16', 'f16'), ('f16', 'f16', 'f32'), ('bf16', 'bf16', 'f32'), ('tf32', 'tf32', 'f32'),
                ('f32', 'f32', 'f32'), ('f64', 'f64', 'f64')):
    family(a, b, d, 4 if d == 'f16' else 20)
for a, b in (('e4m3', 'e4m3'), ('e4m3', 'e5m2'), ('e5m2', 'e5m2'), ('e2m1', 'e2m1'), ('e3m2', 'e2m3'),
             ('e2m1', 'e4m3'), ('e5m2', 'e1m2'), ('e3m4', 'e1m6'), ('e2m0', 'e6m1'), ('e1m1', 'e4m3')):
    family(a, b, 'f32')
for a, b in (('e4m3', 'e4m3'), ('e4m3', 'e5m2'), ('e5m2', 'e4m3'), ('e5m2', 'e5m2')):
    family(a, b, 'f16')
for a, b in (('i8', 'i8'), ('u8', 'u8'), ('u8', 'i8'), ('i8', 'u8'), ('i4', 'i4'), ('u4', 'i8'), ('i3', 'u5'),
             ('i1', 'u1'), ('u7', 'i2'), ('u6', 'u6')):
    family(a, b, 'i32')

# Special operands: infinity times zero, infinities of both signs, NaN.
t, d = typ('f16'), typ('f32')
sp = [inf(0), inf(1), num(0), V('num', 1, Q(0)), num(1), NAN]
x = [[u, num(1)] for u in sp]
y = [sp, [num(-1)] * 6]
c.case('special f16', 'special', ins={'a': ('f16', x), 'b': ('f16', y)},
       outs={'d': ('f32', mma(d, x, y, None))})

bx = [[tile(typ('f16'), (2, 9), 6) for _ in range(3)] for _ in range(2)]
by = [[tile(typ('f16'), (9, 4), 6) for _ in range(3)] for _ in range(2)]
c.case('batches', 'batches', ins={'a': ('f16', bx), 'b': ('f16', by)},
       outs={'d': ('f32', [[mma(d, bx[i][j], by[i][j], None) for j in range(3)] for i in range(2)])})

f8 = typ('e4m3')
x, y, s = tile(typ('f16'), (4, 70), 8), tile(typ('f16'), (70, 3), 8), tile(d, (4, 3), 3)
h = typ('f16')
hx, hy = tile(f8, (4, 70)), tile(f8, (70, 3))
c.case('promote', 'promoted', ins={'a': ('f16', x), 'b': ('f16', y), 'c': ('f32', s)},
       outs={'p32': ('f32', mma(d, x, y, s, 32)), 'p1': ('f32', mma(d, x, y, s, 1)),
             'p99': ('f32', mma(d, x, y, s, 99))})
c.done()
