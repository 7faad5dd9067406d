"""Directives of make.vmasm and bits.vmasm: Philox from Salmon et al. 2011, checked against the known
answers of Random123; bit streams from ISA.md section 2.
"""
import random

from cases import *

random.seed(23)


def philox(counter, key):
    """Philox4x32-10: four counter words and two key words to four words."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [p1 >> 32 ^ c[1] ^ k[0], p1 & 0xffffffff, p0 >> 32 ^ c[3] ^ k[1], p0 & 0xffffffff]
        k = [(k[0] + 0x9E3779B9) & 0xffffffff, (k[1] + 0xBB67AE85) & 0xffffffff]
    return c


ONES = 0xffffffff
assert philox([0] * 4, [0] * 2) == [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]
assert philox([ONES] * 4, [ONES] * 2) == [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]
assert philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]) == \
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]


def rand(seed, offset, n):
    out = []
    for i in range(n):
        at = offset + i // 4
        out.append(philox([at & ONES, at >> 32 & ONES, 0, 0], [seed & ONES, seed >> 32])[i % 4])
    return out


c = Cases('make_and_bits')
c.file('make.vmasm')
ids = [[[[x, y, z, 3, 2, 2, 0, 132] for x in range(3)] for y in range(2)] for z in range(2)]
c.case('ids', 'ids', outs={'y': ('i32', ids)})
for t, n in (('i8', 20), ('u3', 8), ('i16', 20), ('u64', 20)):
    c.case(f'iota {t}', 'made', f'T={t}',
           outs={'row': (t, list(range(n))[:8] * 1), 'column': (t, [[i] * 4 for i in range(3)]),
                 'filled': (t, [3] * 6)})
for t in ('f16', 'bf16', 'f32', 'f64'):
    c.case(f'iota {t}', 'made', f'T={t}',
           outs={'row': (t, list(range(8))), 'column': (t, [[i] * 4 for i in range(3)]),
                 'filled': (t, [3] * 6)})
bf = typ('bf16')
# Rounded to nearest even: bf16 holds integers to 256 only.
c.case('iota rounds', 'long_iota', 'T=bf16 N=600',
       outs={'y': ('bf16', [decode(bf, encode(bf, num(i))) for i in range(600)])})
f16 = typ('f16')
c.case('iota rounds f16', 'long_iota', 'T=f16 N=2100',
       outs={'y': ('f16', [decode(f16, encode(f16, num(i))) for i in range(2100)])})
c.case('philox known answer', 'philox', 'N=4', 'seed=0 offset=0', outs={'y': ('u32', rand(0, 0, 4))})
for seed, offset in ((7, 0), (0x123456789abcdef0, 5), (2 ** 64 - 1, 2 ** 32 - 1), (1, 2 ** 40 + 3)):
    c.case(f'philox {seed} {offset}', 'philox', 'N=11', f'seed={seed} offset={offset}',
           outs={'y': ('u32', rand(seed, offset, 11))})

c.file('bits.vmasm')
for a, b in (('f32', 'u32'), ('i32', 'f32'), ('f16', 'i16'), ('bf16', 'u16'), ('f64', 'i64'),
             ('i8', 'u8'), ('e4m3', 'u8'), ('u8', 'e5m2'), ('e5m2', 'e4m3'), ('i4', 'u4'),
             ('u4', 'e2m1'), ('u6', 'e3m2'), ('e2m3', 'i6'), ('u5', 'i5'), ('u8', 'e8m0'), ('u1', 'i1'),
             ('f16', 'bf16')):
    ta, tb = typ(a), typ(b)
    codes = [random.getrandbits(ta.bits) for _ in range(24)]

    def clean(t):
        return [c if decode(t, c).kind != 'nan' else 0 for c in codes]
    codes = clean(ta)
    codes = clean(tb)
    key = f'bitcast.{a}.{b}'
    c.data[key], c.data[key + '.y'] = array(ta, codes), array(tb, codes)
    c.case(f'bitcast {a} {b}', 'bitcast_pair', f'A={a} B={b}', ins={'x': f'data/make_and_bits.npz#{key}'},
           outs={'y': f'data/make_and_bits.npz#{key}.y'})


def repack(t, to, rows):
    out = []
    for row in rows:
        total = sum((v & mask(t)) << (i * t.bits) for i, v in enumerate(row))
        count = len(row) * t.bits // to.bits
        out.append([wrap(to, total >> (i * to.bits)) for i in range(count)])
    return out


for a, n, b in (('u4', 8, 'u32'), ('u3', 8, 'u8'), ('i3', 16, 'u16'), ('u5', 64, 'i64'), ('u1', 8, 'i8'),
                ('i6', 16, 'u32'), ('u7', 32, 'i32'), ('u2', 6, 'u3'), ('u8', 12, 'u32'), ('i16', 4, 'u64')):
    ta, tb = typ(a), typ(b)
    lo, hi = int_range(ta)
    x = [[random.randint(lo, hi) for _ in range(n)] for _ in range(3)]
    y = repack(ta, tb, x)
    m = len(y[0])
    c.case(f'pack {a} {b}', 'packed', f'E={a} P={b} N={n} M={m}', ins={'x': (a, x)},
           outs={'y': (b, y), 'back': (a, x)})
# floats may be packed and unpacked too: e2m1 codes in u16
t = typ('e2m1')
codes = [[random.getrandbits(4) for _ in range(8)] for _ in range(3)]
c.data['pack.e2m1'] = array(t, flatten(codes))
c.case('pack e2m1 u16', 'packed', 'E=e2m1 P=u16 N=8 M=2', ins={'x': 'data/make_and_bits.npz#pack.e2m1'},
       outs={'y': ('u16', repack(typ('u4'), typ('u16'), codes)), 'back': 'data/make_and_bits.npz#pack.e2m1'})

table = [random.randint(-99, 99) for _ in range(16)]
idx = [[random.randrange(16) for _ in range(6)] for _ in range(3)]
for it in ('u4', 'i8', 'u8', 'i32', 'u64'):
    c.case(f'lookup {it}', 'looked_up', f'I={it}', ins={'i': (it, idx), 't': ('i16', table)},
           outs={'y': ('i16', [[table[k] for k in r] for r in idx])})
vectors = [[random.randint(0, 255) for _ in range(4)] for _ in range(5)]
vidx = [[random.randrange(5) for _ in range(3)] for _ in range(2)]
c.case('lookup of vectors', 'looked_up_vectors', ins={'i': ('u3', vidx), 't': ('u8', vectors)},
       outs={'y': ('u8', [[vectors[k] for k in r] for r in vidx])})
c.done()
