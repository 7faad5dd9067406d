"""Casts between all kinds. Writes ../data/casts.npz and prints the directives of casts.vmasm and
casts_modes.vmasm.
"""
import random

from formats import *

random.seed(22)
data = {}
SCALARS = ('bool i1 u1 i3 u5 i8 u8 i16 u16 i32 u32 i64 u64 f64 f32 tf32 f16 bf16 e4m3 e5m2 e8m0 '
           'e2m1 e3m2 e2m3 e1m2 e1m6 e6m1').split()


def boundaries(t):
    """Codes near every rounding and overflow border of the other types."""
    values = []
    for name in SCALARS:
        o = typ(name)
        if o.kind in ('sint', 'uint', 'bool'):
            lo, hi = int_range(o)
            values += [lo - 1, lo, hi, hi + 1, lo + Q(1, 2), hi + Q(1, 2)]
        elif o.kind == 'flt':
            top = max_finite(o)
            step = Q(2) ** (floor_log2(top) - o.m)
            least = Q(2) ** (1 - o.bias - o.m)
            for v in (top, top + step / 4, top + step / 2, top + step, least, least / 2, least / 4,
                      least * Q(3, 2), least * 3 / 4, 1 + Q(1, 2 ** (o.m + 1)),
                      1 + Q(3, 2 ** (o.m + 1)), 1 + Q(1, 2 ** (o.m + 1)) + Q(1, 2 ** (o.m + 9))):
                values += [v, -v]
    return values


def source_codes(t):
    if t.bits <= 8 and t.kind != 'bool':
        return list(range(1 << t.bits))
    if t.kind == 'bool':
        return [0, 1]
    out = []
    if t.kind in ('sint', 'uint'):
        lo, hi = int_range(t)
        for v in boundaries(t):
            if v.denominator == 1 if isinstance(v, Q) else True:
                if lo <= v <= hi:
                    out.append(int(v) & mask(t))
        for _ in range(60):
            out.append(random.getrandbits(random.randint(1, t.bits)) & mask(t))
        out = sorted(set(out))
    else:
        for v in boundaries(t):
            for mode in ('rz', 'ru'):
                out.append(encode(t, num(v), mode))
        out += [encode(t, inf(0)), encode(t, inf(1)), encode(t, V('num', 1, Q(0))), 0, encode(t, NAN)]
        for _ in range(60):
            out.append(encode(t, num((-1) ** random.getrandbits(1) * Q(random.getrandbits(60)) /
                                     Q(2) ** random.randint(0, 90))))
        out = sorted(set(out))
    return out


def convert(source, target, code, mode='ne', int_sat=False, sat=True):
    v = decode(source, code)
    if target.kind == 'bool':
        return 0 if v.kind == 'num' and v.q == 0 else 1
    if target.kind in ('sint', 'uint'):
        if source.kind in ('sint', 'uint', 'bool'):
            x = int(real(v))
            lo, hi = int_range(target)
            return (min(max(x, lo), hi) if int_sat else x) & mask(target)
        return to_int(target, v) & mask(target)
    return encode(target, v, mode, sat)


def every_pair():
    """One test per source type, to all others with the default rounding (e8m0: rz)."""
    print('== casts.vmasm')
    for name in SCALARS:
        s = typ(name)
        codes = source_codes(s)
        data[f'{name}.x'] = array(s, codes)
        print(f'//; test: exec {name} kernel=casts')
        print(f'//; -D S={name} N={len(codes)}')
        print(f'//; in x: data/casts.npz#{name}.x')
        for target in SCALARS:
            t = typ(target)
            if target == 'bool':  # NaN to bool is not stated
                ys = [convert(s, t, c) if decode(s, c).kind != 'nan' else None for c in codes]
            else:
                ys = [convert(s, t, c, 'rz' if target == 'e8m0' else 'ne') for c in codes]
            if None in ys:
                print(f'//; out to_{target}: skip')
                continue
            data[f'{name}.{target}'] = array(t, ys)
            print(f'//; out to_{target}: data/casts.npz#{name}.{target}')


def modes():
    print('== casts_modes.vmasm')
    sources = 'f64 f32 bf16 i64 u64 i32'.split()
    targets = 'f32 f16 bf16 tf32 e4m3 e5m2 e2m1 e3m2 e1m6'.split()
    for name in sources:
        s = typ(name)
        codes = source_codes(s)
        data.setdefault(f'{name}.x', array(s, codes))
        codes = codes_from(s, data[f'{name}.x'])
        print(f'//; test: exec {name} kernel=rounding')
        print(f'//; -D S={name} N={len(codes)}')
        print(f'//; in x: data/casts.npz#{name}.x')
        for target in targets:
            t = typ(target)
            for mode in ('rz', 'ru', 'rd'):
                data[f'{name}.{target}.{mode}'] = array(t, [convert(s, t, c, mode) for c in codes])
                print(f'//; out {mode}_{target}: data/casts.npz#{name}.{target}.{mode}')
        t = typ('e8m0')
        data[f'{name}.e8m0.ru'] = array(t, [convert(s, t, c, 'ru') for c in codes])
        print(f'//; out ru_e8m0: data/casts.npz#{name}.e8m0.ru')
    for name in 'f64 f32 f16 bf16'.split():
        s = typ(name)
        codes = codes_from(s, data[f'{name}.x'])
        print(f'//; test: exec {name} kernel=nosat')
        print(f'//; -D S={name} N={len(codes)}')
        print(f'//; in x: data/casts.npz#{name}.x')
        for target in ('e4m3', 'e5m2'):
            t = typ(target)
            data[f'{name}.{target}.nosat'] = array(t, [convert(s, t, c, sat=False) for c in codes])
            print(f'//; out to_{target}: data/casts.npz#{name}.{target}.nosat')
    ints = 'i1 u1 i3 u5 i8 u8 i16 u16 i32 u32 i64 u64'.split()
    for name in ints:
        s = typ(name)
        codes = codes_from(s, data[f'{name}.x'])
        print(f'//; test: exec {name} kernel=clamped')
        print(f'//; -D S={name} N={len(codes)}')
        print(f'//; in x: data/casts.npz#{name}.x')
        for target in ints:
            t = typ(target)
            data[f'{name}.{target}.sat'] = array(t, [convert(s, t, c, int_sat=True) for c in codes])
            print(f'//; out to_{target}: data/casts.npz#{name}.{target}.sat')


def codes_from(t, a):
    if t.bits < 8:
        total = int.from_bytes(a.tobytes(), 'little')
        return [total >> (i * t.bits) & mask(t) for i in range(len(source_codes(t)))]
    return [int(c) for c in a.view('u%d' % (t.bits // 8))]


every_pair()
modes()
save('casts.npz', data)
