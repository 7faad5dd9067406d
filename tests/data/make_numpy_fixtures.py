"""Writes the files under tests/data/numpy with NumPy itself; data_test reads them.

    python3 tests/data/make_numpy_fixtures.py

`NAME.npy` goes with `NAME.txt`, what NumPy prints for it, and `values.txt` holds every file's elements.
"""
import pathlib

import numpy as np
from numpy.lib import format as npy

here = pathlib.Path(__file__).parent / "numpy"
here.mkdir(exist_ok=True)
for old in here.iterdir():
    old.unlink()
rng = np.random.default_rng(7)
arrays = {}

for code in "b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8".split():
    dtype = np.dtype(code if code != "b1" else "?")
    if dtype.kind == "f":
        a = rng.standard_normal((3, 5)).astype(dtype)
    elif dtype.kind == "b":
        a = rng.integers(0, 2, (3, 5)).astype(dtype)
    else:
        info = np.iinfo(dtype)
        a = rng.integers(info.min, info.max, (3, 5), dtype=dtype, endpoint=True)
    arrays[code] = a
    if dtype.itemsize > 1:
        arrays["big_" + code] = a.astype(dtype.newbyteorder(">"))

arrays["fortran"] = np.asfortranarray(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
arrays["scalar"] = np.array(2.5, dtype=np.float64)
arrays["empty"] = np.zeros((0, 3), dtype=np.float32)
arrays["void2"] = np.array([0x3F80, 0xC000, 0x7FC0], dtype=np.uint16).view("V2")
arrays["void20"] = np.arange(60, dtype=np.uint8).view("V20")

# Printing: exponents, rounding, padding, infinities, edges, wrapping, three dimensions.
arrays["print_mixed"] = np.array([1.0, 2.5, -3.25, 1e-3, 123.0])
arrays["print_exponent"] = np.array([1e-5, 1.5, 2e9, -3.14159265358979], dtype=np.float32)
arrays["print_special"] = np.array([[np.nan, 1.0], [-np.inf, np.inf]], dtype=np.float32)
arrays["print_third"] = np.array([1 / 3, 2 / 3, 1.0], dtype=np.float64)
arrays["print_third_f32"] = np.array([1 / 3, 2 / 3, -1.0], dtype=np.float32)
arrays["print_third_f16"] = np.array([1 / 3, 2 / 3, 100.1, 0.1], dtype=np.float16)
arrays["print_large"] = np.arange(2000, dtype=np.int32).reshape(40, 50)
arrays["print_large_1d"] = np.linspace(0, 1, 1001)
arrays["print_cube"] = np.arange(24, dtype=np.int16).reshape(2, 3, 4) - 7
arrays["print_cube_large"] = np.arange(8000, dtype=np.float32).reshape(20, 20, 20) / 7
arrays["print_wrap"] = np.arange(60, dtype=np.float32) * 1.25 - 20
arrays["print_bool"] = np.arange(40).reshape(2, 20) % 3 == 0
arrays["print_zero"] = np.zeros((2, 2), dtype=np.float32)
arrays["print_minus_zero"] = np.array([-0.0, 0.0, 1e-7, 5e-324])
arrays["print_wide"] = np.array([1e8, 1e7, 1.0])
arrays["print_ratio"] = np.array([1000.0, 1.0, 0.5])
arrays["print_ratio_exponent"] = np.array([1001.0, 1.0])

values = []
for name, a in arrays.items():
    np.save(here / f"{name}.npy", a)
    (here / f"{name}.txt").write_text(np.array2string(a) + "\n" if a.dtype.kind != "V" else "")
    if a.dtype.kind != "V" and a.size <= 60:
        flat = [float(x).hex() if a.dtype.kind == "f" else str(int(x)) for x in a.flatten(order="C")]
        values.append(f"{name} {len(flat)} " + " ".join(flat))
(here / "values.txt").write_text("\n".join(values) + "\n")

for version in ((1, 0), (2, 0), (3, 0)):
    with open(here / f"version{version[0]}.npy", "wb") as f:
        npy.write_array(f, np.arange(6, dtype=np.int32).reshape(2, 3), version=version)

np.savez(here / "stored.npz", a=arrays["f4"], b=arrays["i8"], fortran=arrays["fortran"])
np.savez_compressed(here / "deflated.npz", a=arrays["f4"], zeros=np.zeros(5000, dtype=np.int16), fortran=arrays["fortran"])

# What Tessera must refuse.
np.save(here / "bad_object.npy", np.array([{}, []], dtype=object), allow_pickle=True)
np.save(here / "bad_complex.npy", np.array([1j]))
np.save(here / "bad_string.npy", np.array(["ab"]))
np.save(here / "bad_date.npy", np.array(["2020-01-01"], dtype="M8[D]"))
np.save(here / "bad_struct.npy", np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f4")]))
np.save(here / "bad_longdouble.npy", np.array([1], dtype=np.longdouble))
