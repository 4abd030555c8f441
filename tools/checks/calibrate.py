#!/usr/bin/env python3
"""Do the error bars cover? Runs the command over many seeds on systems with exact answers, and prints for
every quantity the mean of z² = ((value − exact)/error)², the share of values within one and two errors
(0.68 and 0.95 of normal deviates) and the greatest |z|.

usage: calibrate.py COMMAND [--only NAME]… [--seeds N] [--first SEED] [--jobs N] [--json FILE]
                    [--list] [--check LOW HIGH]
  COMMAND   the built command, for instance build/microlift
  --only    one of the systems (--list), or more
  --check   exit status 1 where a mean z² lies outside

Values of one run go together (neighbouring bins share samples), so the mean of z² is known to about
sqrt(2/runs), no better than its own spread over the seeds, which is printed.
"""
import argparse
import concurrent.futures
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "calibration"))
import numpy as np  # noqa: E402

from cases import CASES  # noqa: E402

ROUNDING = 1e-6  # of what is compared: states are single precision


def run(command, case, seed):
    """The figures of one run."""
    with tempfile.TemporaryDirectory(prefix="calibrate_") as scratch:
        folder = Path(scratch)
        (folder / "run.toml").write_text(case.text)
        words = [command, "run", folder / "run.toml", "-o", folder / "out", "--no-report", "--quiet",
                 "--threads", "1", "--seed", seed]
        for change in case.changes:
            words += ["--set", change]
        done = subprocess.run([str(w) for w in words], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{case.name}, seed {seed}: status {done.returncode}\n{done.stderr}")
        return list(case.figures(folder / "out"))


def deviations(value, error, exact, least=ROUNDING):
    """z, with errors of no less than `least` of what is compared, but of values that are right and known to
    the last digits of single precision, and whether there are such."""
    size = np.maximum(np.abs(exact), np.abs(value))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(value == exact, 0.0, (value - exact) / np.maximum(error, least * size))
    good = np.isfinite(z)
    exactly = np.maximum(error, np.abs(value - exact)) <= ROUNDING * size
    return z[good & ~exactly], bool(np.any(exactly[good]))


def summary(runs):
    """Of the z of every run, where there are any."""
    exact = any(exactly for _, exactly in runs)
    runs = [z for z, _ in runs if len(z)]
    if not runs:
        return {"exact": exact}
    z = np.concatenate(runs)
    each = [float(np.mean(r * r)) for r in runs if len(r)]
    return {"values": len(z), "runs": len(each), "mean_z2": float(np.mean(z * z)),
            "spread": float(np.std(each, ddof=1) / math.sqrt(len(each))) if len(each) > 1 else None,
            "within_1": float(np.mean(np.abs(z) < 1)), "within_2": float(np.mean(np.abs(z) < 2)),
            "mean_z": float(np.mean(z)), "worst": float(np.max(np.abs(z)))}


def calibrate(command, names, seeds, jobs):
    found = {}
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool, \
            tempfile.TemporaryDirectory(prefix="calibrate_") as prepared:
        waiting, least = [], {}
        for name in names:
            case = CASES[name]()
            least[name] = case.least or ROUNDING
            if case.prepare:
                case.text = case.prepare(command, Path(prepared))
            waiting += [(name, pool.submit(run, command, case, seed)) for seed in seeds]
        for name, future in waiting:
            own = {}  # one entry of a run for each quantity
            for quantity, value, error, exact in future.result():
                own.setdefault((name, quantity), []).append(
                    deviations(value, error, exact, least[name]))
            for key, parts in own.items():
                found.setdefault(key, []).append((np.concatenate([z for z, _ in parts]),
                                                  any(exactly for _, exactly in parts)))
    return {key: summary(runs) for key, runs in found.items()}


def table(results):
    lines = ["| system | quantity | mean z² | within 1 | within 2 | mean z | worst |",
             "| --- | --- | --- | --- | --- | --- | --- |"]
    for (name, quantity), s in results.items():
        if "mean_z2" not in s:
            word = "exact to 1e-6" if s["exact"] else "no finite error"
            lines.append(f"| {name} | {quantity} | {word} | | | | |")
            continue
        spread = "" if s["spread"] is None else f" ± {s['spread']:.2g}"
        lines.append(f"| {name} | {quantity} | {s['mean_z2']:.3g}{spread} | {s['within_1']:.2f} | "
                     f"{s['within_2']:.2f} | {s['mean_z']:.2f} | {s['worst']:.1f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="?")
    parser.add_argument("--only", action="append", choices=list(CASES))
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--check", type=float, nargs=2, metavar=("LOW", "HIGH"))
    given = parser.parse_args()
    if given.list:
        print("\n".join(CASES))
        return
    if not given.command:
        parser.error("give the command")
    seeds = range(given.first, given.first + given.seeds)
    results = calibrate(given.command, given.only or list(CASES), seeds, given.jobs)
    print(table(results))
    if given.json:
        Path(given.json).write_text(json.dumps(
            [{"system": name, "quantity": quantity, **s}
             for (name, quantity), s in results.items()], indent=1) + "\n")
    if given.check:
        low, high = given.check
        bad = [key for key, s in results.items() if not low <= s.get("mean_z2", 1.0) <= high]
        sys.exit(f"outside {low} to {high}: {bad}" if bad else 0)


if __name__ == "__main__":
    main()
