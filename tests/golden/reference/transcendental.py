"""Transcendental rows, correctly rounded: decimal arithmetic of 150 digits, far more than a double
needs. Writes ../data/transcendental.npz and prints the directives of transcendental.vmasm.
"""
import decimal
import random
from decimal import Decimal as D

from formats import *

decimal.getcontext().prec = 150
decimal.getcontext().Emax = decimal.MAX_EMAX
decimal.getcontext().Emin = decimal.MIN_EMIN
random.seed(21)


def dec(q):
    return D(q.numerator) / D(q.denominator)


def series(first, ratio):
    """The sum of terms t(n+1) = t(n) * ratio(n) until they no longer count."""
    total, term, n = D(0), first, 1
    while term and term.adjusted() > total.adjusted() - 160 or n < 3:
        total += term
        term *= ratio(n)
        n += 1
    return total


def arctan_inverse(k):
    total, power, n = D(0), D(1) / k, 0
    while power.adjusted() > -170:
        total += power / (2 * n + 1) * (-1) ** n
        power /= k * k
        n += 1
    return total


PI = 4 * (4 * arctan_inverse(5) - arctan_inverse(239))
LN2 = D(2).ln()


def sin_cos(x):
    """Both, of a Decimal of moderate size, by reduction to [-pi/4, pi/4]."""
    k = int((x / (PI / 2)).to_integral_value(decimal.ROUND_HALF_EVEN))
    r = x - k * (PI / 2)
    s = series(r, lambda n: -r * r / ((2 * n) * (2 * n + 1)))
    c = series(D(1), lambda n: -r * r / ((2 * n - 1) * (2 * n)))
    return [(s, c), (c, -s), (-s, -c), (-c, s)][k % 4]


def erf(x):
    if abs(x) > 15:
        return (1 - D(10) ** -140).copy_sign(x)
    total, term, n = D(0), x, 0
    while term.adjusted() > -200 or n < 3:
        total += term / (2 * n + 1)
        n += 1
        term *= -x * x / n
        if not term:
            break
    return total * 2 / PI.sqrt()


def tanh(x):
    if abs(x) > 200:
        return (1 - D(10) ** -140).copy_sign(x)
    if abs(x) < D('1e-20'):
        return x - x ** 3 / 3 + 2 * x ** 5 / 15
    e = (2 * x).exp()
    return (e - 1) / (e + 1)


def back(d):
    return num(Q(d), 1 if d.is_signed() else 0)


def exp_of(x):
    """e^x as a V; far beyond any type it stays huge or tiny."""
    x = min(max(x, D(-3000)), D(3000))
    return back(x.exp())


def evaluate(op, v):
    zero = v.kind == 'num' and v.q == 0
    if v.kind == 'nan':
        return NAN
    if op == 'rcp':
        return div(num(1), v)
    if op == 'rsqrt':
        if zero:
            return inf(v.sign)
        if v.sign:
            return NAN
        return num(0) if v.kind == 'inf' else back(1 / dec(v.q).sqrt())
    if op in ('exp', 'exp2'):
        if v.kind == 'inf':
            return num(0) if v.sign else v
        if op == 'exp':
            return num(1) if zero else exp_of(dec(real(v)))
        if real(v).denominator == 1:
            return num(Q(2) ** max(min(int(real(v)), 4000), -4000))
        return exp_of(dec(real(v)) * LN2)
    if op in ('log', 'log2'):
        if zero:
            return inf(1)
        if v.sign:
            return NAN
        if v.kind == 'inf' or v.q == 1:
            return v if v.kind == 'inf' else num(0)
        n = floor_log2(v.q)
        if op == 'log2' and v.q == Q(2) ** n:
            return num(n)
        return back(dec(v.q).ln() / (LN2 if op == 'log2' else 1))
    if op in ('sin', 'cos'):
        if v.kind == 'inf':
            return NAN
        if zero:
            return v if op == 'sin' else num(1)
        return back(sin_cos(dec(real(v)))[op == 'cos'])
    if op == 'tanh':
        return num(1, v.sign) if v.kind == 'inf' else v if zero else back(tanh(dec(real(v))))
    if op == 'erf':
        return num(1, v.sign) if v.kind == 'inf' else v if zero else back(erf(dec(real(v))))
    if op == 'sigmoid':
        if v.kind == 'inf':
            return num(0 if v.sign else 1)
        x = dec(real(v))
        return back(1 / (1 + min(max(-x, D(-3000)), D(3000)).exp()))
    raise KeyError(op)


def power(a, b):
    """IEEE 754 pow."""
    if b.kind == 'num' and b.q == 0 or a.kind == 'num' and real(a) == 1:
        return num(1)
    if a.kind == 'nan' or b.kind == 'nan':
        return NAN
    integer = b.kind == 'num' and b.q.denominator == 1
    odd = integer and b.q.numerator % 2 == 1
    if b.kind == 'inf':
        if a.kind == 'num' and a.q == 1:
            return num(1)
        grows = (a.kind == 'inf' or a.q > 1) != bool(b.sign)
        return inf(0) if grows else num(0)
    if a.kind == 'inf' or a.q == 0:
        big = (a.kind == 'inf') != bool(b.sign)
        s = a.sign if odd else 0
        return inf(s) if big else V('num', s, Q(0))
    if a.sign and not integer:
        return NAN
    s = a.sign if odd else 0
    if integer and b.q <= 64:
        q = a.q ** int(b.q)
        return V('num', s, 1 / q if b.sign else q)
    n = floor_log2(a.q)
    if a.q == Q(2) ** n and (n * real(b)).denominator == 1:
        return V('num', s, Q(2) ** max(min(int(n * real(b)), 4000), -4000))
    root = Q(isqrt(a.q.numerator), isqrt(a.q.denominator))
    if b.q == Q(1, 2) and root * root == a.q:  # exact roots must not be blurred
        return V('num', s, 1 / root if b.sign else root)
    r = exp_of(dec(real(b)) * dec(a.q).ln())
    return V('num', s, r.q)


OPS = 'rsqrt rcp exp exp2 log log2 sin cos tanh erf sigmoid'.split()
BASE = ['nan', 'inf', '-inf', 0, '-0', 1, -1, 2, -2, 4, 9, Q(1, 4), Q(1, 2), Q(-1, 2), Q(3, 2), 3, 10,
        -10, 100, -100, Q(1, 1000), Q(-1, 1000), 88, 89, -87, -104, 20, -20, 11, -17, Q(22, 7), 709, -745]
data = {}


def one(name):
    t = typ(name)
    codes = codes_of(t, BASE) + [1, 1 | 1 << (t.bits - 1), encode(t, num(max_finite(t)))]
    if t.e == 11:  # the reduction of 1e308 would need a thousand digits
        codes[-1] = encode(t, num(10 ** 22))
    while len(codes) < 120:
        e = t.bias + random.randint(-6, 5)
        codes.append(random.getrandbits(1) << (t.bits - 1) | e << t.m | random.getrandbits(t.m))
    exponents = codes_of(t, ['nan', 'inf', '-inf', 0, '-0', 1, -1, 2, 3, -3, Q(1, 2), Q(-1, 2), Q(5, 2)])
    bases = codes[:16]
    ab = [(x, y) for x in bases for y in exponents]
    while len(ab) < 240:
        ab.append((codes[random.randrange(36, 120)] & ~(1 << (t.bits - 1)),
                   codes[random.randrange(36, 120)]))
    data[f'{name}.x'] = array(t, codes)
    data[f'{name}.a'] = array(t, [x for x, _ in ab])
    data[f'{name}.b'] = array(t, [y for _, y in ab])
    lines = [f'//; test: exec {name} kernel=transcendental', f'//; -D T={name}',
             '//; on: interp interp-naive']
    lines += [f'//; in {n}: data/transcendental.npz#{name}.{n}' for n in 'xab']
    for op in OPS:
        data[f'{name}.{op}'] = array(t, [encode(t, evaluate(op, decode(t, c))) for c in codes])
    data[f'{name}.pow'] = array(t, [encode(t, power(decode(t, x), decode(t, y))) for x, y in ab])
    # f64 is evaluated in long double and may round twice (isa/transcendental.h)
    lines += [f'//; out r_{op}: data/transcendental.npz#{name}.{op}' +
              (', ulp=1' if name == 'f64' and op != 'rcp' else '') for op in OPS + ['pow']]
    return lines


if __name__ == '__main__':
    print('== transcendental.vmasm')
    for name in 'f16 bf16 f32 f64'.split():
        print('\n'.join(one(name)))
    save('transcendental.npz', data)
