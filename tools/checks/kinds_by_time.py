#!/usr/bin/env python3
"""How long each kind of generator takes to come within given distances of held-out samples.

usage: kinds_by_time.py BINARY [--config FILE] [--kinds NAME,NAME] [--distances D,D] [--looks N] [--seeds N,N]

Samples CONFIG anew for every kind and seed, trains with the kind's own defaults, and looks at the held-out samples
--looks times on the way. The distance is W1/sigma, the mean over bins of xi and variables. A look's time is its share
of the training's, looks included. Prints medians over the seeds, as a table for tools/docs/methods.md.
"""
import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = ("system", "cv", "integrator", "umbrella", "bias", "estimate")


def base(file):
    """The configuration as far as the estimate, without the sections that come after."""
    parts = re.split(r"(?m)^(?=\[)", file.read_text(encoding="utf-8"))
    return "".join(p for p in parts if not p.startswith("[") or re.match(r"\[+(\w+)", p).group(1) in KEPT)


def train(binary, text, kind, seed, looks, folder):
    updates = int(re.search(r"(?m)^iterations = (\d+)", subprocess.run(
        [binary, "check", write(folder, text, kind, seed, "")], capture_output=True, text=True, check=True).stdout).group(1))
    config = write(folder, text, kind, seed, f"validate_every = {max(1, updates // looks)}\n")
    out = folder / f"{kind}_{seed}"
    subprocess.run([binary, "run", config, "-o", out], check=True, stdout=subprocess.DEVNULL)
    return json.loads((out / "metrics.json").read_text(encoding="utf-8"))["stages"]["train"]


def write(folder, text, kind, seed, more):
    file = folder / "config.toml"
    file.write_text(re.sub(r"(?m)^seed = .*$", f"seed = {seed}", text)
                    + f'\n[generator]\nkind = "{kind}"\n{more}', encoding="utf-8")
    return file


def reached(stage, distance):
    """Seconds until the mean distance first was this small; None if it never was."""
    history = stage["history"]
    for update, mean in zip(history["validation_update"], history["w1_mean"]):
        if mean <= distance:
            return stage["seconds"] * update / stage["updates"]
    return None


def median(values):
    values = list(values)
    return "not reached" if None in values else f"{statistics.median(values):.2g}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path)
    parser.add_argument("--config", type=Path, default=ROOT / "tools/examples/muller_brown.toml")
    parser.add_argument("--kinds", default="cgan,energy,flow,score")
    parser.add_argument("--distances", default="0.1,0.05,0.03,0.02")
    parser.add_argument("--looks", type=int, default=40)
    parser.add_argument("--seeds", default="1,2,3")
    options = parser.parse_args()
    binary, text = options.binary.resolve(), base(options.config)
    distances = [float(d) for d in options.distances.split(",")]
    print("| kind | " + " | ".join(f"seconds to {d:g}" for d in distances) + " | at the end | seconds in all |")
    print("| --- |" + " ---: |" * (len(distances) + 2))
    with tempfile.TemporaryDirectory(prefix="microlift-kinds-") as name:
        for kind in options.kinds.split(","):
            stages = [train(binary, text, kind, int(seed), options.looks, Path(name))
                      for seed in options.seeds.split(",")]
            print(f"| `{kind}` | " + " | ".join(median(reached(s, d) for s in stages) for d in distances)
                  + f" | {median(s['best_w1'] for s in stages)} | {median(s['seconds'] for s in stages)} |", flush=True)
        print(f"\nsampling floor {median(s['w1_floor'] for s in stages)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
