"""Elementwise rows on integers and floats: writes ../data/elementwise.npz and prints the directives
of elementwise_int.vmasm, elementwise_float.vmasm and elementwise_small.vmasm.
"""
import random

from formats import *

random.seed(20)
N = 96
data = {}
lines = {}


def test(file, kernel, name, binds, ins, outs):
    out = [f'//; test: exec {name} kernel={kernel}', '//; -D ' + binds]
    out += [f'//; in {n}: data/elementwise.npz#{k}' for n, k in ins]
    out += [f'//; out {n}: data/elementwise.npz#{k}' for n, k in outs]
    lines.setdefault(file, []).extend(out)


# --- integers

def pairs(t):
    lo, hi = int_range(t)
    if t.bits <= 3:
        return [(wrap(t, i // (1 << t.bits)), wrap(t, i)) for i in range(N)]
    special = [lo, hi, 0, 1, lo + 1, hi - 1, 2, hi // 2 + 1]
    if t.kind == 'sint':
        special += [-1]
    out = [(a, b) for a in special for b in special]
    while len(out) < N:
        out.append((random.randint(lo, hi), random.randint(lo, hi)))
    return out[:N]


def integers(name):
    t = typ(name)
    ab = pairs(t)
    a, b = [x for x, _ in ab], [y for _, y in ab]
    lo, hi = int_range(t)
    d = [y if y else 1 for y in b]
    c = [random.randint(lo, hi) for _ in range(N)]
    n = [i % (t.bits + 3) if i % 7 else 255 for i in range(N)]  # u8 counts, past the width
    un = [y & mask(t) for y in b]                                # counts are unsigned

    def shl(x, k):
        return 0 if k >= t.bits else x << k

    def shr(x, k):
        return x >> min(k, t.bits)
    res = {
        'r_add': [x + y for x, y in ab],
        'r_sub': [x - y for x, y in ab],
        'r_mul': [x * y for x, y in ab],
        'r_mulhi': [x * y >> t.bits for x, y in ab],
        'r_div': [trunc_div(x, y) for x, y in zip(a, d)],
        'r_rem': [x - y * trunc_div(x, y) for x, y in zip(a, d)],
        'r_fma': [x * y + z for x, y, z in zip(a, b, c)],
        'r_min': [min(x, y) for x, y in ab],
        'r_max': [max(x, y) for x, y in ab],
        'r_neg': [-x for x in a],
        'r_abs': [abs(x) for x in a],
        'r_and': [x & y for x, y in ab],
        'r_or': [x | y for x, y in ab],
        'r_xor': [x ^ y for x, y in ab],
        'r_not': [~x for x in a],
        'r_shl': [shl(x, k) for x, k in zip(a, n)],
        'r_shr': [shr(x, k) for x, k in zip(a, n)],
        'r_shl_t': [shl(x, k) for x, k in zip(a, un)],
        'r_shr_t': [shr(x, k) for x, k in zip(a, un)],
        'r_popc': [bin(x & mask(t)).count('1') for x in a],
        'r_select': [x if x < y else z for x, y, z in zip(a, b, c)],
        'r_clamp': [min(max(x, y), z) for x, y, z in zip(a, b, c)],
    }
    cmp = {
        'eq': [x == y for x, y in ab], 'ne': [x != y for x, y in ab],
        'lt': [x < y for x, y in ab], 'le': [x <= y for x, y in ab],
        'gt': [x > y for x, y in ab], 'ge': [x >= y for x, y in ab],
    }
    ins = {'a': a, 'b': b, 'd': d, 'c': c}
    for k, v in {**ins, **res}.items():
        data[f'{name}.{k}'] = array(t, codes_of(t, v))
    data[f'{name}.n'] = np.array(n, 'u1')
    data[f'{name}.compare'] = np.array([cmp[k] for k in cmp], bool)
    test('elementwise_int', 'integers', name, f'T={name} N={N}',
         [(k, f'{name}.{k}') for k in [*ins, 'n']],
         [(k, f'{name}.{k}') for k in [*res]] + [('r_compare', f'{name}.compare')])


# i7 and u7 have odd widths that straddle bytes; u64 and i64 the widest products.
for name in 'i1 u1 i2 i3 u5 i7 i8 u8 i16 u16 i32 u32 i64 u64'.split():
    integers(name)


# --- floats

def float_specials(t):
    top = encode(t, inf(0))
    one = encode(t, num(1))
    sign = 1 << (t.bits - 1)
    plain = [0, 1, (1 << t.m) - 1, 1 << t.m, one, one + 1, encode(t, num(3)), top - 1, top]
    return [c | s for c in plain for s in (0, sign)] + [encode(t, NAN)]


def floats(name):
    t = typ(name)
    sp = float_specials(t)
    ab = [(a, b) for a in sp for b in sp]
    while len(ab) < 500:  # numbers near each other, so that rounding and cancellation happen
        e = random.randint(2, 2 ** t.e - 3)
        near = min(max(e + random.randint(-t.m - 2, t.m + 2), 0), 2 ** t.e - 2)
        ab.append(tuple((random.getrandbits(1) << (t.bits - 1)) | x << t.m | random.getrandbits(t.m)
                        for x in (e, near)))
    count = len(ab)
    a, b = [x for x, _ in ab], [y for _, y in ab]
    c = []
    for x, y in ab:  # often the negated product, rounded: then only its lost bits remain
        p = mul(decode(t, x), decode(t, y))
        c.append(encode(t, neg(p)) if random.random() < .6 else random.choice(sp))
    da, db, dc = ([decode(t, x) for x in l] for l in (a, b, c))

    def enc(values):
        return [encode(t, v) for v in values]

    def integral(mode):
        out = []
        for v in da:
            if v.kind != 'num':
                out.append(encode(t, v))
            else:
                out.append(encode(t, V('num', v.sign, Q(round_magnitude(v.q, mode, v.sign)))))
        return out
    flip = 1 << (t.bits - 1)
    cmp = [compare(x, y) for x, y in zip(da, db)]
    res = {
        'r_add': enc(add(x, y) for x, y in zip(da, db)),
        'r_sub': enc(add(x, neg(y)) for x, y in zip(da, db)),
        'r_mul': enc(mul(x, y) for x, y in zip(da, db)),
        'r_div': enc(div(x, y) for x, y in zip(da, db)),
        'r_fma': enc(add(mul(x, y), z) for x, y, z in zip(da, db, dc)),
        'r_min': enc(minimum(x, y) for x, y in zip(da, db)),
        'r_max': enc(maximum(x, y) for x, y in zip(da, db)),
        'r_min_nan': enc(minimum(x, y, True) for x, y in zip(da, db)),
        'r_max_nan': enc(maximum(x, y, True) for x, y in zip(da, db)),
        'r_neg': [x ^ flip for x in a],
        'r_abs': [x & ~flip for x in a],
        'r_select': [x if k == -1 else z for x, k, z in zip(a, cmp, c)],
        'r_clamp': enc(minimum(maximum(x, y), z) for x, y, z in zip(da, db, dc)),
        'r_floor': integral('rd'),
        'r_ceil': integral('ru'),
        'r_round': integral('ne'),
        'r_trunc': integral('rz'),
        'r_sqrt': [sqrt_code(t, v) for v in da],
    }
    truth = [[k == 0 for k in cmp], [k != 0 for k in cmp], [k == -1 for k in cmp],
             [k in (-1, 0) for k in cmp], [k == 1 for k in cmp], [k in (0, 1) for k in cmp]]
    ins = {'a': a, 'b': b, 'c': c}
    for k, v in {**ins, **res}.items():
        data[f'{name}.{k}'] = array(t, v)
    data[f'{name}.compare'] = np.array(truth, bool)
    test('elementwise_float', 'floats', name, f'T={name} N={count}',
         [(k, f'{name}.{k}') for k in ins],
         [(k, f'{name}.{k}') for k in res] + [('r_compare', f'{name}.compare')])


for name in 'f16 bf16 f32 f64'.split():
    floats(name)


# --- what floats of 8 bits and less, and tf32, can do: move, compare, neg, abs, select

def small(name):
    t = typ(name)
    if name == 'tf32':
        codes = [c << 13 for c in [0, 1, 0x3ff, 0x400, 0x1fc00, 0x1fc01, 0x3fbff, 0x3fc00, 0x3fe00]]
        codes += [c | 1 << 31 for c in codes]
    else:
        codes = list(range(1 << t.bits))
    if len(codes) <= 32:
        ab = [(x, y) for x in codes for y in codes]
    else:
        ab = [(x, y) for x in codes for y in random.sample(codes, 3) + [x]]
    a, b = [x for x, _ in ab], [y for _, y in ab]
    cmp = [compare(decode(t, x), decode(t, y)) for x, y in ab]
    flip = 1 << (31 if name == 'tf32' else t.bits - 1)
    res = {'r_neg': [x ^ flip for x in a], 'r_abs': [x & ~flip for x in a],
           'r_select': [x if k == -1 else y for x, y, k in zip(a, b, cmp)]}
    truth = [[k == 0 for k in cmp], [k != 0 for k in cmp], [k == -1 for k in cmp],
             [k in (-1, 0) for k in cmp], [k == 1 for k in cmp], [k in (0, 1) for k in cmp]]
    for k, v in {'a': a, 'b': b, **res}.items():
        data[f'{name}.{k}'] = array(t, v)
    data[f'{name}.compare'] = np.array(truth, bool)
    test('elementwise_small', 'small', name, f'T={name} N={len(ab)}',
         [(k, f'{name}.{k}') for k in ('a', 'b')],
         [(k, f'{name}.{k}') for k in res] + [('r_compare', f'{name}.compare')])


for name in 'e1m1 e2m0 e2m1 e1m2 e2m2 e3m2 e2m3 e1m5 e4m3 e5m2 e3m4 e6m1 e1m6 e7m0 tf32'.split():
    small(name)

save('elementwise.npz', data)
for file, l in lines.items():
    print(f'== {file}.vmasm')
    print('\n'.join(l))
