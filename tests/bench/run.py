#!/usr/bin/python3
"""The interpreter's speed goals, as ratios measured in one run.

    tests/bench/run.py TESS INTERP_BENCH [--rounds N] [--write]

Everything is measured N times in turn, and the best time of each counts: what else the machine does
makes all of them slower. `--write` puts the table into results/interpreter.md. Exit codes: 0, whether the
goals are met or not; 6 if NumPy does not run on OpenBLAS.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

CORES = len(os.sched_getaffinity(0))
THREADS = min(2, CORES)
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[variable] = str(THREADS)
import numpy as np  # noqa: E402


def stop(message, code=6):
    print(f"bench: {message}", file=sys.stderr)
    sys.exit(code)


def openblas():
    """The OpenBLAS library that NumPy's products run on."""
    a = np.ones((256, 256), np.float32)
    a @ a
    found = set()
    for line in open("/proc/self/maps"):
        name = line.split(maxsplit=5)[-1].strip() if "/" in line else ""
        if any(word in name.lower() for word in ("blas", "mkl", "blis", "armpl")):
            found.add(name)
    good = sorted(n for n in found if "openblas" in n.lower())
    if not good:
        np.show_config()
        stop(f"NumPy runs on {', '.join(sorted(found)) or 'no BLAS that is known here'}, not on OpenBLAS: "
             "install libopenblas0-pthread")
    return good[0]


def cpu_model():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def numpy_matmul():
    rng = np.random.default_rng(1)
    a, b = (rng.random((1024, 1024), np.float32) for _ in range(2))
    best = 1e9
    for _ in range(5):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return best


def benchmarks(program, only):
    out = subprocess.run([program, "--benchmark_format=json", "--benchmark_min_time=0.3", f"--benchmark_filter={only}"],
                         check=True, capture_output=True, text=True).stdout
    return {b["name"].split("/manual")[0].split("/real")[0]: b for b in json.loads(out)["benchmarks"]}


def assemble_seconds(tess, text, folder):
    """Wall time and processor time."""
    words = [str(tess), "as", str(text), "-o", str(folder / "out.vmbc")]
    start = time.perf_counter()
    _, status, usage = os.wait4(os.posix_spawn(words[0], words, os.environ), 0)
    if status:
        stop("tess as failed", 1)
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tess")
    parser.add_argument("bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    blas = openblas()
    print(f"{cpu_model()}, {CORES} cores; NumPy {np.__version__} on {os.path.realpath(blas)}, {THREADS} threads; "
          f"load {os.getloadavg()[0]:.1f}", flush=True)

    best = {}

    def note(key, value, least=True):
        best[key] = value if key not in best else (min if least else max)(best[key], value)

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for megabytes in (5, 50):
            with open(folder / f"{megabytes}.vmasm", "wb") as f:
                subprocess.run([options.bench, "--text", str(megabytes)], check=True, stdout=f)
        for i in range(options.rounds):
            note("numpy matmul", numpy_matmul())
            found = benchmarks(options.bench, "matmul|gemv|read_memory|dispatch|bytecode")
            note("matmul", found["matmul"]["real_time"] / 1e3)
            for name in ("gemv/q4_1", "gemv/q8_0", "read_memory", "bytecode/read", "bytecode/read_and_free", "bytecode/read_fresh_pages", "bytecode/write"):
                note(name, found[name]["bytes_per_second"] / 1e9, least=False)
            for name in ("chain", "memory", "reduce", "scalar"):
                note(f"dispatch {name}", found[f"dispatch_{name}"]["ns_per_instruction"])
            for megabytes in (5, 50) if i < 3 else (5,):
                size = (folder / f"{megabytes}.vmasm").stat().st_size / 1e6
                wall, processor = assemble_seconds(options.tess, folder / f"{megabytes}.vmasm", folder)
                note(f"as {megabytes}", size / wall, least=False)
                note(f"as {megabytes} processor", size / processor, least=False)
            print(f"round {i + 1} of {options.rounds}", flush=True)

    flops = 2 * 1024**3
    read = best["read_memory"]
    rows = [
        ("f32 matmul 1024³, samples/matmul.vmasm", f"{flops / best['matmul'] / 1e9:.1f} GFLOP/s",
         f"{100 * best['numpy matmul'] / best['matmul']:.1f} % of NumPy's {flops / best['numpy matmul'] / 1e9:.1f} GFLOP/s", "≥ 50 %"),
        ("Q4_1 GEMV 49152×576, stdlib/matvec_gguf.vmasm", f"{best['gemv/q4_1']:.2f} GB/s packed",
         f"{100 * best['gemv/q4_1'] / read:.1f} % of a two-thread read of 1 GB at {read:.1f} GB/s", "≥ 5 %, aim 30 %"),
        ("Q8_0 GEMV 49152×576", f"{best['gemv/q8_0']:.2f} GB/s packed", f"{100 * best['gemv/q8_0'] / read:.1f} % of the same", "none"),
        *((f"dispatch, 1 KB tiles: {what}", f"{best['dispatch ' + name]:.0f} ns per instruction", "", goal) for name, what, goal in (
            ("chain", "five elementwise instructions", "≤ 1000 ns"), ("memory", "load and store", "≤ 1000 ns"),
            ("reduce", "reduction, subtraction", "≤ 1000 ns"), ("scalar", "scalars only", "none"))),
        ("`tess as`, 5 MB of text", f"{best['as 5']:.1f} MB/s", "", "≥ 5 MB/s"),
        ("`tess as`, 50 MB of text", f"{best['as 50']:.1f} MB/s", f"{best['as 50 processor'] / best['as 5 processor']:.2f} of the speed at 5 MB, in processor time", "linear"),
        ("bytecode reader", f"{best['bytecode/read'] * 1e3:.0f} MB/s", "", "≥ 200 MB/s"),
        ("bytecode reader, and the module freed", f"{best['bytecode/read_and_free'] * 1e3:.0f} MB/s", "", "none"),
        ("the same, each round on fresh pages", f"{best['bytecode/read_fresh_pages'] * 1e3:.0f} MB/s", "", "none"),
        ("bytecode writer", f"{best['bytecode/write'] * 1e3:.0f} MB/s", "", "none"),
    ]
    table = "| what | speed | ratio in this run | goal |\n|---|---|---|---|\n" + "".join(
        f"| {' | '.join(row)} |\n" for row in rows)
    print("\n" + table)
    if options.write:
        target = pathlib.Path(__file__).resolve().parent / "results" / "interpreter.md"
        target.parent.mkdir(exist_ok=True)
        target.write_text(f"""# The interpreter's speed

Made by `./dev bench --write` on {datetime.date.today()}: {cpu_model()}, {CORES} cores, {THREADS} threads each for
the interpreter, NumPy and the read; NumPy {np.__version__} on {"/".join(pathlib.Path(os.path.realpath(blas)).parts[-2:])}. Best of
{options.rounds} rounds that measure everything in turn; load average {os.getloadavg()[0]:.1f}. Ratios are within this run.

{table}""")


main()
