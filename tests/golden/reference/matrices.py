"""Directives of mma.vmasm: accumulation over k in order, one fused multiply-add each, rounded to the
accumulator's type. Engines that compile may sum in any order, tensor cores cut small terms off.
"""
import random

from cases import *

random.seed(26)
c = Cases('matrices')


def fma(t, a, b, s):
    if t.kind == 'sint':
        return wrap(t, a * b + s)
    return decode(t, encode(t, add(mul(a, b), s)))


def element(t, wide, most=None):
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
        if v.kind == 'num' and not (most and v.q > most):
            return v


def tile(t, shape, wide=6, most=None):
    if not shape:
        return element(t, wide, most)
    return [tile(t, shape[1:], wide, most) for _ in range(shape[0])]


def within(a, b, d, x, y, s):
    """sum=X for x times y plus s. The tensor cores keep 14 bits of sums of 8-bit floats, and cut rather
    than round what they align."""
    if d.kind != 'flt':
        return []
    narrow = a.bits <= 8 and b.bits <= 8 and a.m <= 3 and b.m <= 3
    unit = max(2 * rounding(d), Q(1, 2 ** 13) if narrow else 0)
    rows = [[mul(p, q) for p, q in zip(r, col)] + ([v] if v else []) for r, col, v in zip(x, y, s)]
    return [sum_within(d, rows, unit)]


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
    most = 16 if d == 'f16' and a != 'f16' else None  # no sum overflows, in any order
    x, y, s = tile(ta, (3, 19), wide, most), tile(tb, (19, 5), wide, most), tile(td, (3, 5), wide)
    name = f'{a} {b} {d}'
    yt = [list(r) for r in zip(*y)]
    # dot of row i of x with row i of a tile: the columns 0..2 of y
    ys = yt[:3]
    dots = [mma(td, [x[i]], [[v] for v in ys[i]], [[s[i][0]]])[0][0] for i in range(3)]
    dots0 = [mma(td, [x[i]], [[v] for v in ys[i]], None)[0][0] for i in range(3)]
    every = within(ta, tb, td, [r for r in x for _ in yt], [col for _ in x for col in yt], [v for r in s for v in r])
    dotted = within(ta, tb, td, x, ys, [r[0] for r in s])
    c.case(name, 'product', f'A={a} B={b} D={d}',
           ins={'a': (a, x), 'b': (b, y), 'c': (d, s), 'v': (b, ys), 'w': (d, [r[0] for r in s])},
           outs={'d': (d, mma(td, x, y, s), *every), 'z': (d, mma(td, x, y, None), *every),
                 'shared': (d, mma(td, x, y, s), *every), 'e': (d, dots, *dotted), 'f': (d, dots0, *dotted)})


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
products = [(r, col) for i in range(2) for j in range(3) for r in bx[i][j] for col in zip(*by[i][j])]
c.case('batches', 'batches', ins={'a': ('f16', bx), 'b': ('f16', by)},
       outs={'d': ('f32', [[mma(d, bx[i][j], by[i][j], None) for j in range(3)] for i in range(2)],
                   *within(t, t, d, [p[0] for p in products], [p[1] for p in products], [None] * len(products)))})

f8 = typ('e4m3')
x, y, s = tile(typ('f16'), (4, 70), 8), tile(typ('f16'), (70, 3), 8), tile(d, (4, 3), 3)
h = typ('f16')
hx, hy = tile(f8, (4, 70)), tile(f8, (70, 3))
every = within(h, h, d, [r for r in x for _ in y[0]], [col for _ in x for col in zip(*y)], [v for r in s for v in r])
c.case('promote', 'promoted', ins={'a': ('f16', x), 'b': ('f16', y), 'c': ('f32', s)},
       outs={'p32': ('f32', mma(d, x, y, s, 32), *every), 'p1': ('f32', mma(d, x, y, s, 1), *every),
             'p99': ('f32', mma(d, x, y, s, 99), *every)})
c.done()
