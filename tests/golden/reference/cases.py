"""Prints the `//;` directives of small cases with their numbers in them, and keeps large ones for an npz.

    c = Cases('shapes')
    c.case('perm', 'transpose', ins={'x': ('i8', a)}, outs={'y': ('i8', b)})
    c.done()
"""
from formats import *


def text(t, v):
    if t.kind == 'bool':
        return '1' if v else '0'
    if t.kind in ('sint', 'uint'):
        return str(int(v))
    if isinstance(v, str):
        return v
    if isinstance(v, V):
        if v.kind == 'nan':
            return 'nan'
        if v.kind == 'inf' or v.q == 0:
            return '-' * v.sign + ('inf' if v.kind == 'inf' else '0')
        v = real(v)
    if isinstance(v, Q):
        f = float(v)
        assert Q(f) == v, v
        v = f
    v = float(v)
    if v != v:
        return 'nan'
    return repr(v) if abs(v) == float('inf') or v != int(v) or abs(v) > 1e6 or str(v) == '-0.0' else str(int(v))


# Sums and products whose order is free (numerics class `sum`): engines that compile may differ from
# the stated order, by what both orders' roundings allow.


def rounding(t):
    return Q(1, 2 ** (t.m + 1))


def magnitude(v):
    return v.q if v.kind == 'num' else Q(0)


def sum_within(t, rows, unit=None):
    """The terms of each element, as values: sum=X."""
    most = max(((len(r) - 1) * sum(map(magnitude, r)) for r in rows), default=0)
    return f'sum={float(2 * (unit or rounding(t)) * most):.3g}'


def product_within(t, n):
    return f'product={float(2 * (n - 1) * rounding(t)):.3g}'


class Cases:
    def __init__(self, name, keep=72):
        self.name, self.keep, self.data = name, keep, {}

    def tensor(self, case, param, spec):
        if isinstance(spec, str):
            return spec
        name, values, *tolerance = spec
        t = typ(name)
        tail = ''.join(', ' + x for x in tolerance)
        flat = flatten(values)
        if len(flat) <= self.keep:
            return '[' + ' '.join(text(t, v) for v in flat) + ']' + tail
        key = f'{case}.{param}'.replace(' ', '_')
        if t.kind in ('sint', 'uint', 'bool'):
            codes = [int(v) & mask(t) for v in flat]
        else:
            codes = [v_code(t, v) for v in flat]
        self.data[key] = array(t, codes, shape_of(values) if t.bits >= 8 else None)
        return f'data/{self.name}.npz#{key}{tail}'

    def case(self, name, kernel, binds='', set='', ins={}, outs={}, more=()):
        print(f'//; test: exec {name}' + (f' kernel={kernel}' if kernel else ''))
        if binds:
            print(f'//; -D {binds}')
        if set:
            print(f'//; set {set}')
        for param, spec in ins.items():
            print(f'//; in {param}: {self.tensor(name, param, spec)}')
        for param, spec in outs.items():
            print(f'//; out {param}: {self.tensor(name, param, spec)}')
        for line in more:
            print(f'//; {line}')

    def file(self, name):
        print(f'== {name}')

    def done(self):
        if self.data:
            save(f'{self.name}.npz', self.data)


def shape_of(l):
    if isinstance(l, np.ndarray):
        return l.shape
    return (len(l),) + shape_of(l[0]) if isinstance(l, (list, tuple)) and not isinstance(l, V) else ()


def flatten(l):
    out = []
    for x in l:
        if isinstance(x, (list, tuple, np.ndarray)) and not isinstance(x, V):
            out += flatten(list(x))
        else:
            out.append(x)
    return out


def v_code(t, v):
    if isinstance(v, V):
        return encode(t, v)
    if isinstance(v, str):
        return codes_of(t, [v])[0]
    if isinstance(v, Q):
        return encode(t, num(v))
    f = float(v)
    if f != f:
        return encode(t, NAN)
    if abs(f) == float('inf'):
        return encode(t, inf(int(f < 0)))
    return encode(t, V('num', 1, Q(0)) if str(f) == '-0.0' else num(Q(f)))
