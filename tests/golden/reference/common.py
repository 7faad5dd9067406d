"""What the reference scripts share: the generators of vm/data/README.md restated, casts to small floats,
bit packing, and writing. NumPy only; nothing here comes from the code under test."""
import pathlib

import numpy as np

DATA = pathlib.Path(__file__).parent.parent / "data"
M32 = np.uint64(0xFFFFFFFF)


def philox(n, seed):
    """Words w0..w3 of Philox4x32-10 for counters 0..n-1, as u64 arrays."""
    c = [np.arange(n, dtype=np.uint64) & M32, np.arange(n, dtype=np.uint64) >> np.uint64(32),
         np.zeros(n, np.uint64), np.zeros(n, np.uint64)]
    k = [np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32)]
    s = np.uint64(32)
    for _ in range(10):
        p, q = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(q >> s) ^ c[1] ^ k[0], q & M32, (p >> s) ^ c[3] ^ k[1], p & M32]
        k = [(k[0] + np.uint64(0x9E3779B9)) & M32, (k[1] + np.uint64(0xBB67AE85)) & M32]
    return c


def uniform(seed, shape, low=0.0, high=1.0):
    """The generator `uniform` for floats, in double: still to be rounded to the type."""
    w = philox(int(np.prod(shape)), seed)
    u = ((w[0] << np.uint64(32) | w[1]) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return (low + (high - low) * u).reshape(shape)


def uniform_int(seed, shape, low, high):
    """The generator `uniform(seed, low, high)` for integers in low..high-1; high - low < 2^31."""
    w = philox(int(np.prod(shape)), seed)
    span, s = np.uint64(high - low), np.uint64(32)
    top = (w[0] * span + (w[1] * span >> s)) >> s
    return (top.astype(np.int64) + low).reshape(shape)


def uniform_bits(seed, shape, bits):
    """`uniform(seed)` over every value of an integer type of up to 64 bits, as its bits."""
    w = philox(int(np.prod(shape)), seed)
    x = (w[0] << np.uint64(32) | w[1]) >> np.uint64(64 - bits)
    return x.reshape(shape)


def uniform_all(seed, shape, t):
    """`uniform(seed)` over every value of an integer type of up to 32 bits, as values."""
    bits = int(t[1:])
    x = uniform_bits(seed, shape, bits).astype(np.int64)
    return np.where(x >> bits - 1, x - (1 << bits), x) if t[0] == "i" else x


# --- types

def bf16(x):
    """Doubles rounded to bf16, as doubles. Only for values in bf16's normal range."""
    m, e = np.frexp(np.asarray(x, np.float64))
    return np.ldexp(np.rint(np.ldexp(m, 8)), e - 8)


ROUND = {
    "f64": lambda x: np.asarray(x, np.float64),
    "f32": lambda x: np.asarray(x).astype(np.float32).astype(np.float64),
    "f16": lambda x: np.asarray(x).astype(np.float16).astype(np.float64),
    "bf16": bf16,
}


def stored(t, x):
    """Doubles that are values of t, as the array a file holds: bf16 as <u2."""
    if t == "bf16":
        return (np.asarray(x, np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return np.asarray(x).astype({"f64": np.float64, "f32": np.float32, "f16": np.float16}[t])


SMALL_FLOATS = [f"e{x}m{bits - 1 - x}" for bits in range(3, 9) for x in range(1, bits)]


def float_values(t):
    """The value of every code of an eXmY type: e4m3 and e5m2 as OCP has them, others finite throughout,
    bias 2^(X-1)-1, subnormals."""
    x, y = int(t[1]), int(t[3:])
    bias = (1 << x - 1) - 1
    codes = np.arange(1 << (1 + x + y))
    sign = np.where(codes >> (x + y) & 1, -1.0, 1.0)
    e, m = codes >> y & (1 << x) - 1, codes & (1 << y) - 1
    v = sign * np.where(e == 0, np.ldexp(m / 2.0**y, 1 - bias), np.ldexp(1 + m / 2.0**y, e - bias))
    if t == "e4m3":
        v[codes & 0x7F == 0x7F] = np.nan
    if t == "e5m2":
        v[codes & 0x7F == 0x7C] *= np.inf
        v[codes & 0x7F > 0x7C] = np.nan
    return v


def encode(t, x):
    """Finite values no larger than the largest to the nearest codes of an 8-bit eXmY, ties to even."""
    values = float_values(t)[:128]  # ascending from +0
    last = int(np.flatnonzero(np.isfinite(values))[-1])
    a = np.abs(np.asarray(x, np.float64))
    up = np.minimum(np.searchsorted(values[:last + 1], a), last)  # the least code at or above
    down = np.maximum(up - 1, 0)
    below, above = a - values[down], values[up] - a
    code = np.where((below < above) | ((below == above) & (down % 2 == 0)), down, up)
    return (code | np.signbit(x) * 128).astype(np.uint8)


def pack(codes, bits):
    """Codes as a dense little-endian bit stream."""
    c = np.asarray(codes).astype(np.uint64).reshape(-1, 1)
    stream = (c >> np.arange(bits, dtype=np.uint64) & np.uint64(1)).astype(np.uint8)
    return np.packbits(stream.reshape(-1), bitorder="little")


def save(name, arrays):
    """One npz, the same bytes for the same content."""
    import io
    import zipfile
    DATA.mkdir(exist_ok=True)
    with zipfile.ZipFile(DATA / f"{name}.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as z:
        for key, value in sorted(arrays.items()):
            buffer = io.BytesIO()
            np.save(buffer, np.ascontiguousarray(value))
            z.writestr(zipfile.ZipInfo(f"{key}.npy"), buffer.getvalue(), zipfile.ZIP_DEFLATED)
