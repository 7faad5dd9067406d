"""Directives of reduce.vmasm, scan.vmasm and order.vmasm. Sums are pairwise: split at the largest
power of two below n, each addition rounded to the type; engines that compile may take any order.
"""
import random

from cases import *

random.seed(25)
c = Cases('reductions')


def value(t, x):
    """A Python number, or text, as an operand of type t: int or V."""
    return x if t.kind != 'flt' else decode(t, codes_of(t, [x])[0])


def rounded(t, v):
    return wrap(t, v) if t.kind in ('sint', 'uint') else decode(t, encode(t, v))


def op(name, t):
    flt = t.kind == 'flt'
    return {
        'add': lambda a, b: rounded(t, add(a, b) if flt else a + b),
        'mul': lambda a, b: rounded(t, mul(a, b) if flt else a * b),
        'min': lambda a, b: minimum(a, b) if flt else min(a, b),
        'max': lambda a, b: maximum(a, b) if flt else max(a, b),
        'min_nan': lambda a, b: minimum(a, b, True) if flt else min(a, b),
        'max_nan': lambda a, b: maximum(a, b, True) if flt else max(a, b),
        'and': lambda a, b: a & b, 'or': lambda a, b: a | b, 'xor': lambda a, b: a ^ b,
    }[name]


def pairwise(f, xs):
    if len(xs) == 1:
        return xs[0]
    half = 1 << ((len(xs) - 1).bit_length() - 1)
    return f(pairwise(f, xs[:half]), pairwise(f, xs[half:]))


def along(x, dim, f):
    """Applies f (list to list) along a dimension of a nested list."""
    a = np.empty(shape_of(x), object)
    flat = flatten(x)
    for i, v in enumerate(flat):
        a.reshape(-1)[i] = (v,)  # boxed: a V is a tuple too
    a = np.moveaxis(a, dim, -1)
    rows = [[v[0] for v in r] for r in a.reshape(-1, a.shape[-1])]
    out = [f(r) for r in rows]
    shape = a.shape[:-1] + (len(out[0]),)
    b = np.empty((len(out), len(out[0])), object)
    for i, r in enumerate(out):
        for j, v in enumerate(r):
            b[i, j] = (v,)
    b = np.moveaxis(b.reshape(shape), -1, dim)

    def unbox(b):
        return [unbox(r) for r in b] if b.ndim > 1 else [v[0] for v in b]
    return unbox(b)


def arg(xs, greatest):
    best = None
    for i, x in enumerate(xs):
        nan = isinstance(x, V) and x.kind == 'nan'
        if nan:
            continue
        if best is None:
            best = i
            continue
        # By comparison, so that -0 and +0 tie.
        k = compare(x, xs[best]) if isinstance(x, V) else (x > xs[best]) - (x < xs[best])
        if (k == 1) if greatest else (k == -1):
            best = i
    return 0 if best is None else best


def sorted_indices(xs, descending):
    def rank(i):
        x = xs[i]
        if isinstance(x, V):
            if x.kind == 'nan':
                return (1, 0, i)
            x = real(x) if x.kind == 'num' else Q(10) ** 400 * (-1) ** x.sign
        return (0, -x if descending else x, i)
    return sorted(range(len(xs)), key=rank)


def tile(t, shape, special):
    """Random elements, some of them special."""
    n = int(np.prod(shape))
    if t.kind == 'flt':
        pool = ['nan', 'inf', '-inf', 0, '-0', 1, -1, 1.5]
        xs = [value(t, random.choice(pool)) if random.random() < special else
              rounded(t, num(Q(random.randint(-4000, 4000), 1 << random.randint(0, 9))))
              for _ in range(n)]
    else:
        lo, hi = int_range(t)
        xs = [random.choice([lo, hi, 0]) if random.random() < special else random.randint(lo, hi)
              for _ in range(n)]

    def nest(xs, shape):
        if len(shape) == 1:
            return xs
        k = len(xs) // shape[0]
        return [nest(xs[i * k:(i + 1) * k], shape[1:]) for i in range(shape[0])]
    return nest(xs, shape)


def rows_along(x, dim):
    """The terms of each element of a reduction."""
    rows = []
    along(x, dim, lambda r: [rows.append(r)])
    return rows


def within_any_order(name, t, rows):
    if t.kind != 'flt' or name not in ('add', 'mul'):
        return []
    return [sum_within(t, rows) if name == 'add' else product_within(t, len(rows[0]))]


def drop(x, dim):
    return along(x, dim, lambda r: [r[0]])


SHAPE = (3, 5, 4)


def reduces(name, special, label=''):
    t = typ(name)
    x = tile(t, SHAPE, special)
    names = ['add', 'mul', 'min', 'max', 'min_nan', 'max_nan']
    if t.kind != 'flt':
        names = ['add', 'mul', 'min', 'max', 'and', 'or', 'xor']
    outs = {}
    for n in names:
        f = op(n, t)
        within = [within_any_order(n, t, rows_along(x, d)) for d in range(3)]
        outs[f'{n}_0'] = (name, along(x, 0, lambda r: [pairwise(f, r)])[0], *within[0])
        outs[f'{n}_1'] = (name, along(x, 1, lambda r: [pairwise(f, r)]), *within[1])
        outs[f'{n}_2'] = (name, [[v[0] for v in r] for r in along(x, 2, lambda r: [pairwise(f, r)])], *within[2])
    for n, g in (('argmin', False), ('argmax', True)):
        outs[f'{n}_0'] = ('i32', along(x, 0, lambda r: [arg(r, g)])[0])
        outs[f'{n}_1'] = ('i32', along(x, 1, lambda r: [arg(r, g)]))
        outs[f'{n}_2'] = ('i32', [[v[0] for v in r] for r in along(x, 2, lambda r: [arg(r, g)])])
    kernel = 'reduce_float' if t.kind == 'flt' else 'reduce_int'
    c.case(f'{name}{label}', kernel, f"{'T' if t.kind == 'flt' else 'I'}={name}", ins={'x': (name, x)}, outs=outs)


c.file('reduce.vmasm')
for name in 'i3 u5 i8 i16 u32 i64 u64'.split():
    reduces(name, .1)
for name in 'f16 bf16 f32 f64'.split():
    reduces(name, 0)
    reduces(name, .5, ' special')

# Pairwise and one after the other differ, in every type and for lengths that are no power of two.
for name, n in (('f16', 7), ('bf16', 13), ('f32', 1000), ('f32', 33), ('f64', 100)):
    t = typ(name)
    while True:
        x = [rounded(t, num(Q(random.randint(1, 10 ** 4), random.randint(1, 10 ** 4)))) for _ in range(n)]
        f = op('add', t)
        total = pairwise(f, x)
        running = x[0]
        for v in x[1:]:
            running = f(running, v)
        if running != total:
            break
    m = op('mul', t)
    y = [rounded(t, num(Q(random.randint(900, 1100), 1000))) for _ in range(n)]
    c.case(f'pairwise {name} {n}', 'scalar', f'T={name} N={n}', ins={'x': (name, x), 'y': (name, y)},
           outs={'s': (name, [total], sum_within(t, [x])), 'k': (name, [total], sum_within(t, [x])),
                 'p': (name, [pairwise(m, y)], product_within(t, n))})
t = typ('f32')
x = tile(t, (3, 7), 0)
f = op('add', t)
# All dimensions at once: the elements in row-major order, as one list.
c.case('all dimensions', 'all_dimensions', ins={'x': ('f32', x)},
       outs={'s': ('f32', [pairwise(f, flatten(x))], sum_within(t, [flatten(x)])),
             'k': ('f32', [pairwise(f, flatten(x))], sum_within(t, [flatten(x)])),
             'm': ('f32', [pairwise(op('max', t), flatten(x))])})
b = [[random.random() < .4 for _ in range(6)] for _ in range(4)]
b[1], b[2] = [True] * 6, [False] * 6
c.case('bool', 'reduce_bool', ins={'x': ('bool', b)},
       outs={'any_1': ('bool', [any(r) for r in b]), 'all_1': ('bool', [all(r) for r in b]),
             'any_0': ('bool', [any(r[i] for r in b) for i in range(6)]),
             'all_0': ('bool', [all(r[i] for r in b) for i in range(6)]),
             'and_1': ('bool', [all(r) for r in b]), 'or_1': ('bool', [any(r) for r in b]),
             'xor_1': ('bool', [sum(r) % 2 for r in b]), 's': ('bool', [True, False])})

# --- scans: element i is the pairwise combination of the elements up to i


def scanned(f, xs, exclusive, reverse, identity):
    xs = xs[::-1] if reverse else xs
    if exclusive:
        out = [identity] + [pairwise(f, xs[:i]) for i in range(1, len(xs))]
    else:
        out = [pairwise(f, xs[:i + 1]) for i in range(len(xs))]
    return out[::-1] if reverse else out


def identity(n, t):
    if t.kind == 'flt':
        return {'add': num(0), 'mul': num(1), 'min': inf(0), 'max': inf(1)}[n]
    lo, hi = int_range(t)
    return {'add': 0, 'mul': 1, 'min': hi, 'max': lo, 'and': wrap(t, -1), 'or': 0, 'xor': 0}[n]


def scans(name, exact_only, special=.1):
    """Exact rows in every type; float sums only where order cannot show (small integers)."""
    t = typ(name)
    flt = t.kind == 'flt'
    x = tile(t, (4, 6), special)
    if flt and exact_only:
        x = [[num(random.randint(-8, 8)) for _ in range(6)] for _ in range(4)]
        x = [[V('num', 0, v.q) if v.q == 0 else v for v in r] for r in x]
    names = (['add', 'mul', 'min', 'max'] if exact_only else ['min', 'max']) if flt else \
        ['add', 'mul', 'min', 'max', 'and', 'or', 'xor']
    outs = {}
    for n in names:
        f, e = op(n, t), identity(n, t)
        source = x
        if n == 'mul' and flt:  # powers of two: exact
            source = [[num(Q(2) ** min(max(int(real(v)), -1), 2)) for v in r] for r in x]
        outs[f'{n}_1'] = (name, along(source, 1, lambda r: scanned(f, r, False, False, e)))
        outs[f'{n}_0'] = (name, along(source, 0, lambda r: scanned(f, r, False, False, e)))
        outs[f'{n}_x'] = (name, along(source, 1, lambda r: scanned(f, r, True, False, e)))
        outs[f'{n}_r'] = (name, along(source, 1, lambda r: scanned(f, r, False, True, e)))
        outs[f'{n}_xr'] = (name, along(source, 0, lambda r: scanned(f, r, True, True, e)))
    kernel = ('scan_sums' if exact_only else 'scan_order') if flt else 'scan_int'
    ins = {'x': (name, x)}
    if flt and exact_only:
        ins['y'] = (name, [[num(Q(2) ** min(max(int(real(v)), -1), 2)) for v in r] for r in x])
    c.case(name, kernel, f"{'T' if flt else 'I'}={name}", ins=ins, outs=outs)


c.file('scan.vmasm')
for name in 'i3 u5 i8 u16 i32 i64 u64'.split():
    scans(name, True)
for name in 'f16 bf16 f32 f64'.split():
    scans(name, True)
    scans(name, False, .6)

# Element i of a float scan is the pairwise combination of the elements up to i.
for name, n in (('f16', 13), ('bf16', 13), ('f32', 37), ('f64', 37)):
    t = typ(name)
    x = [rounded(t, num(Q(random.randint(1, 10 ** 4), random.randint(1, 10 ** 4)))) for _ in range(n)]
    y = [rounded(t, num(Q(random.randint(900, 1100), 1000))) for _ in range(n)]
    f, m = op('add', t), op('mul', t)
    c.case(f'pairwise {name}', 'scan_pairwise', f'T={name} N={n}', ins={'x': (name, x), 'y': (name, y)},
           outs={'a': (name, scanned(f, x, False, False, num(0)), sum_within(t, [x])),
                 'e': (name, scanned(f, x, True, False, num(0)), sum_within(t, [x])),
                 'r': (name, scanned(f, x, False, True, num(0)), sum_within(t, [x])),
                 'p': (name, scanned(m, y, False, False, num(1)), product_within(t, n))})

# --- sort and topk

c.file('order.vmasm')
for name in 'i3 u4 i8 u16 i32 u64 f16 bf16 f32 f64'.split():
    t = typ(name)
    for label, special in (('', .1), (' special', .7)):
        x = tile(t, (4, 9), special)
        outs = {}

        def pick(order, count=None):
            vals = lambda r: [r[i] for i in order(r)][:count]
            idx = lambda r: order(r)[:count]
            return vals, idx
        up = lambda r: sorted_indices(r, False)
        down = lambda r: sorted_indices(r, True)
        for key_, dim, order, count in (('up', 1, up, None), ('down', 1, down, None), ('down0', 0, down, None),
                                        ('top', 1, down, 4), ('least', 1, up, 9), ('least0', 0, up, 2)):
            vals, idx = pick(order, count)
            outs[key_] = (name, along(x, dim, vals))
            outs[key_ + '_i'] = ('i32', along(x, dim, idx))
        c.case(name + label, 'order', f'T={name}', ins={'x': (name, x)}, outs=outs)
c.done()
