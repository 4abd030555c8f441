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
import itertools
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
LONG = {"plane", "learned"}
LEAST = 1e-13    # error of exact answers, of what is compared


def run(command, case, seed):
    """The figures of one run."""
    with tempfile.TemporaryDirectory(prefix="calibrate_") as scratch:
        folder = Path(scratch)
        text = case.prepare(command, folder, seed) if case.prepare else case.text
        (folder / "run.toml").write_text(text)
        words = [command, "run", folder / "run.toml", "-o", folder / "out", "--no-report", "--quiet",
                 "--threads", "1", "--seed", seed]
        for change in case.changes:
            words += ["--set", change]
        done = subprocess.run([str(w) for w in words], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{case.name}, seed {seed}: status {done.returncode}\n{done.stderr}")
        return list(case.figures(folder / "out"))


def deviations(value, error, exact, size=0.0):
    """z, with errors of no less than LEAST, and the greatest error, claimed or made, both of what is
    compared, or of `size` where that is more."""
    size = np.maximum(np.maximum(np.abs(exact), np.abs(value)), size)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(value == exact, 0.0, (value - exact) / np.maximum(error, LEAST * size))
        off = np.maximum(error, np.abs(value - exact)) / size
    good = np.isfinite(z)
    return z[good], float(np.max(off[good & np.isfinite(off)], initial=0.0))


def summary(runs):
    """Of the z of every run. Runs in which all values are right, and known, to the last digits of single
    precision are left out: leaving out single values of others would keep those that are off."""
    exact = sum(off <= ROUNDING for _, off in runs)
    runs = [z for z, off in runs if len(z) and off > ROUNDING]
    if not runs:
        return {"exact": exact}
    z = np.concatenate(runs)
    each = [float(np.mean(r * r)) for r in runs if len(r)]
    return {"values": len(z), "runs": len(each), "mean_z2": float(np.mean(z * z)),
            "spread": float(np.std(each, ddof=1) / math.sqrt(len(each))) if len(each) > 1 else None,
            "within_1": float(np.mean(np.abs(z) < 1)), "within_2": float(np.mean(np.abs(z) < 2)),
            "mean_z": float(np.mean(z)), "worst": float(np.max(np.abs(z))), "exact": exact}


def calibrate(command, names, seeds, jobs):
    found = {}
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        # Long runs first, so that no core waits for another's last one.
        cases = {name: CASES[name]() for name in names}
        runs = {(name, seed): pool.submit(run, command, cases[name], seed)
                for name in sorted(names, key=lambda name: name not in LONG) for seed in seeds}
        for name, seed in itertools.product(names, seeds):
            own = {}  # one entry of a run for each quantity
            for quantity, *figure in runs[name, seed].result():
                own.setdefault((name, quantity), []).append(deviations(*figure))
            for key, parts in own.items():
                found.setdefault(key, []).append((np.concatenate([z for z, _ in parts]),
                                                  max(off for _, off in parts)))
    return {key: summary(runs) for key, runs in found.items()}


def table(results):
    lines = ["| system | quantity | runs | mean z² | within 1 | within 2 | mean z | worst |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for (name, quantity), s in results.items():
        if "mean_z2" not in s:
            word = "exact to 1e-6" if s["exact"] else "no finite error"
            lines.append(f"| {name} | {quantity} | | {word} | | | | |")
            continue
        runs = f"{s['runs']}" + (f", {s['exact']} exact" if s["exact"] else "")
        spread = "" if s["spread"] is None else f" ± {s['spread']:.2g}"
        lines.append(f"| {name} | {quantity} | {runs} | {s['mean_z2']:.3g}{spread} | {s['within_1']:.2f} | "
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
