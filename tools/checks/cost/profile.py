"""The launches of the main job, counted in small runs and carried to the sizes of production.

Every figure is taken to be a product of a + b n over the sizes n, of a + b n + c m where parts add (ADDING): one
run is made with all sizes small, and one with each of them doubled."""
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import sass_report
from cost import executed_code

ROOT = Path(__file__).resolve().parents[3]
JOB = ROOT / "tools" / "examples" / "muller_brown.toml"
# key: (small, production); where a key is of steps, the number of their stride that they hold.
SIZES = {
    "umbrella.replicas": (8, 3584),           # 28 windows: 1e5 trajectories
    "umbrella.steps": (2000, 25000),          # 1e7 samples
    "umbrella.equilibrate": (1000, 100000),
    "generator.iterations": (20, 20000),
    "generator.batch": (128, 65536),
    "closure.replicas": (32, 1024),
    "closure.passages": (32, 100000),
    "closure.committor_runs": (32, 4096),
    "closure.relaxation": (1000000, 1000000000),  # trajectory-steps
    "lifting.states": (500, 20000),
    "lifting.heal_steps": (100, 2000),
}
# Sizes of work that is done one after the other, so that their parts add; all else multiplies.
ADDING = [("umbrella.steps", "umbrella.equilibrate"), tuple(key for key in SIZES if key.startswith("closure."))]
GROUPS = ADDING + [(key,) for key in SIZES if not any(key in group for group in ADDING)]
# Where a kernel's work ends to grow: reduced models pass so often at most (close/passages.cpp).
ENOUGH = {("closure.passages", "PassageBody<TableSystem"): 4096}
FIXED = {"coupling.rounds": 0, "umbrella.stride": 250, "umbrella.exchange": 500}


def run_once(command, sizes, folder, job=JOB, fixed=FIXED, **environment):
    """[{stage, steps, waits, …, kernels}] of one run."""
    file, out = Path(folder) / "launches", Path(folder) / "out"
    file.unlink(missing_ok=True)
    settings = [f"--set={key}={value}" for key, value in {**fixed, **sizes}.items()]
    subprocess.run([*command, "run", str(job), "-o", str(out), "--force", *settings], check=True,
                   env={**os.environ, "MICROLIFT_LAUNCHES": str(file), **environment}, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def short(name):
    """A type's name as both the program and the machine code spell it."""
    return re.sub(r"\((?:int|anonymous namespace|microlift::Precision)\)(?:::)?|microlift::| ", "", name)


def figures(lines):
    """{(stage, what, kernel): number} of a run; a stage of several parts is one."""
    sums = {}
    def add(key, value):
        sums[key] = sums.get(key, 0) + value
    for line in lines:
        for what in ("steps", "waits", "bytes_to_device", "bytes_to_host"):
            add((line["stage"], what, ""), line[what])
        for kernel, counted in line["kernels"].items():
            for what, value in zip(("launches", "lanes", "steps"), counted):
                add((line["stage"], what, short(kernel)), value)
    return sums


def executed(command, kernels):
    """{kernel: share of its code's instructions that a lane executes in a step}, of kernels whose names begin so, by a
    run of the small job's closure on the emulated device, its passages cut short: instructions of PTX, of all
    lanes."""
    sections = re.split(r"^(?=\[)", JOB.read_text(encoding="utf-8"), flags=re.MULTILINE)
    with tempfile.TemporaryDirectory(prefix="microlift_cost_") as folder:
        job = Path(folder) / "closure.toml"
        job.write_text("".join(s for s in sections if not s.startswith(("[generator]", "[coupling]"))),
                       encoding="utf-8")
        sizes = {key: small for key, (small, _) in SIZES.items() if not key.startswith(("generator.", "lifting."))}
        lines = run_once(command, {**sizes, "closure.passage_steps": 20000}, folder, job,
                         EMULATOR_COVERAGE=folder)
        steps = {}
        for (_, what, kernel), value in figures(lines).items():
            if what == "steps" and kernel.startswith(kernels):
                steps[kernel] = steps.get(kernel, 0) + value
        records = executed_code.records(folder)
    names = [short(name) for name in sass_report.demangled([record[0] for record in records])]
    shares = {}
    for name, (_, _, lanes) in zip(names, records):
        for kernel, taken in steps.items():
            if f"<{kernel}," in name and taken:
                shares[kernel] = shares.get(kernel, 0) + sum(lanes) / taken / len(lanes)
    return shares


def measure(command):
    """{"small": figures, KEY: figures with that size doubled}; keys joined by '|' for JSON."""
    small = {key: pair[0] for key, pair in SIZES.items()}
    with tempfile.TemporaryDirectory(prefix="microlift_cost_") as folder:
        runs = {"small": run_once(command, small, folder)}
        for key, value in small.items():
            runs[key] = run_once(command, {**small, key: 2 * value}, folder)
    return {name: {"|".join(key): value for key, value in sorted(figures(lines).items())}
            for name, lines in runs.items()}


def acts(size, stage, what, kernel):
    """Whether a figure may depend on a size. First passages end by chance: what changes them otherwise is noise, and
    so would be its growth."""
    if stage != "close" or kernel == "ConditionalKernel":
        return True
    if size.startswith(("umbrella.", "generator.")):
        return False
    passing = kernel.startswith(("Passage", "KeepAliveBody", "ScanKernel"))
    # Launches of passages, each with a wait, grow with the time of the longest: with the logarithm of their number.
    if what == "launches" and passing or what == "waits":
        return size == "closure.relaxation" and not kernel
    by_chance = passing or not kernel and what == "steps"
    return not by_chance or size in ("closure.passages", "closure.committor_runs", "closure.relaxation")


def size_for(kernel, key, size):
    return min([size] + [most for (which, name), most in ENOUGH.items() if which == key and kernel.startswith(name)])


def at_production(measured, sizes=None):
    """{(stage, what, kernel): number} at the sizes of production, or at those given."""
    sizes = sizes or {key: pair[1] for key, pair in SIZES.items()}
    out = {}
    for key, base in measured["small"].items():
        value = base
        for group in GROUPS if base else ():
            factor = 1
            for size in group:
                if acts(size, *key.split("|")):
                    growth = min(max(measured[size].get(key, base) / base - 1, 0), 1)
                    factor += growth * (size_for(key[key.rindex("|") + 1:], size, sizes[size]) / SIZES[size][0] - 1)
            value *= factor
        out[tuple(key.split("|"))] = value
    return out
