#!/usr/bin/env python3
"""What a bias that all walkers share costs on Müller-Brown: seconds of the processor, on one thread.

usage: bias_cost.py BINARY [--walkers N] [--steps N] [--repeats N]

Runs by turns: windows of no stiffness (the same walkers without a bias), then each method of [bias] at its default
pace of 100 steps and at one of 1500, with and without which updates are told from what the table takes at every step.
The difference between two lengths leaves out what a run takes besides its steps; of repeats the least counts.
"""
import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

SYSTEM = """seed = 1
[system]
name = "muller_brown"
beta = 0.0666667
[cv]
variables = ["x"]
[integrator]
dt = 1e-4
"""
NONE = """[umbrella]
from = -1.5
to = 1.2
windows = 4
stiffness = 1e-6
replicas = {quarter}
equilibrate = 200
steps = {steps}
stride = 200
initial = [-0.5, 1.5]
[estimate]
enabled = false
"""
BIAS = """[bias]
method = "{method}"
from = -1.5
to = 1.2
bins = 100
walkers = {walkers}
equilibrate = 200
steps = {steps}
freeze = 0.85
stride = 200
pace = {pace}
sigma = 0.05
barrier = 150.0
height = 20.0
initial = [-0.5, 1.5]
[estimate]
enabled = false
"""
METHODS = ("metadynamics", "opes", "opes_explore", "abf", "eabf")


def seconds(binary, folder, text):
    (folder / "run.toml").write_text(SYSTEM + text)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([binary, "run", folder / "run.toml", "-o", folder / "out", "--force", "--quiet", "--no-report",
                    "--threads", "1"], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=Path)
    parser.add_argument("--walkers", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    cases = {"none": NONE}
    for method in METHODS:
        for pace in (100, 1500):
            cases[f"{method}, pace {pace}"] = BIAS.replace("{method}", method).replace("{pace}", str(pace))
    found = {name: [] for name in cases}
    with tempfile.TemporaryDirectory() as name:
        for _ in range(options.repeats):
            for case, text in cases.items():
                took = [seconds(options.binary.resolve(), Path(name),
                                text.format(walkers=options.walkers, quarter=options.walkers // 4, steps=steps))
                        for steps in (options.steps, 2 * options.steps)]
                found[case].append(took[1] - took[0])
                print(f"{case}: {found[case][-1]:.2f} s", file=sys.stderr, flush=True)
    steps = options.steps * options.walkers
    for case, took in found.items():
        print(f"{case}: {1e9 * min(took) / steps:.2f} ns a step, {min(took) / min(found['none']) - 1:+.0%}")


if __name__ == "__main__":
    main()
