#!/usr/bin/env python3
"""What a bias that all walkers share costs: seconds of the processor, on one thread.

usage: bias_cost.py BINARY [--system muller_brown|muller_brown_plane|alanine_dipeptide] [--walkers N] [--steps N]
                    [--repeats N] [--methods NAME,NAME] [--compile-after N]

Runs by turns: windows of no stiffness (the same walkers without a bias), then each method of [bias] at its default
pace of 100 steps and at one of 1500, with and without which updates are told from what the table takes at every step.
Without a bias Müller-Brown is the system compiled ahead, with one formulas, which a long run compiles.
The difference between two lengths leaves out what a run takes besides its steps; of repeats the least counts.
"""
import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WELLS = """seed = 1
[system]
name = "muller_brown"
beta = 0.0666667
[cv]
variables = [{variables}]
[integrator]
dt = 1e-4
compile_after = {compile_after}
"""
MOLECULE = f"""seed = 1
[system]
kind = "molecule"
topology = "{ROOT}/bench/data/ala2.prmtop"
coordinates = "{ROOT}/bench/data/ala2.inpcrd"
constraints = "h_bonds"
temperature = 300.0
[cv]
variables = [{{ name = "phi", kind = "dihedral", atoms = [4, 6, 8, 14] }}]
[integrator]
dt = 0.002
friction = 1.0
"""
NONE = """[umbrella]
stiffness = 1e-6
replicas = {quarter}
equilibrate = 0
steps = {steps}
stride = {stride}
"""
BIAS = """[bias]
method = "{method}"
bins = 100
walkers = {walkers}
equilibrate = 0
steps = {steps}
freeze = 0.85
stride = {stride}
pace = {pace}
"""
ESTIMATE = """[estimate]
enabled = false
"""
START = "initial = [-0.5, 1.5]\n"
HILLS = "sigma = 0.05\nbarrier = 150.0\nheight = 20.0\n"
LINE = "from = -1.5\nto = 1.2\n"
PLANE = "from = [-1.5, -0.3]\nto = [1.2, 2.0]\n"
RING = "from = -3.141592653589793\nto = 3.141592653589793\n"
# system, keys of windows and bias, of windows, of the bias, steps, stride, paces
SYSTEMS = {
    "muller_brown": (WELLS.replace("{variables}", '"x"'), LINE + START, "windows = 4\n", HILLS, 2000, 200, (100, 1500)),
    "muller_brown_plane": (WELLS.replace("{variables}", '"x", "y"'), PLANE + START, "windows = 2\n", HILLS, 1000, 200, (100,)),
    "alanine_dipeptide": (MOLECULE, RING, "windows = 4\nheat_steps = 100\n", "sigma = 0.1\nbarrier = 40.0\nheight = 1.2\n", 400,
                          50, (100,)),
}
# With the keys of hills that each asks for.
METHODS = {"metadynamics": ("sigma", "height"), "opes": ("sigma", "barrier"), "opes_explore": ("sigma", "barrier"),
           "abf": (), "eabf": ()}


def seconds(binary, folder, text):
    (folder / "run.toml").write_text(text)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = subprocess.run([binary, "run", folder / "run.toml", "-o", folder / "out", "--force", "--quiet", "--no-report",
                          "--threads", "1"], capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(run.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=Path)
    parser.add_argument("--system", choices=SYSTEMS, default="muller_brown")
    parser.add_argument("--walkers", type=int, default=100_000)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--compile-after", type=float, default=1e9, help="0: formulas by the compiler from the start")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--methods", default=",".join(METHODS))
    options = parser.parse_args()
    system, both, windows, bias, usual, stride, paces = SYSTEMS[options.system]
    length = options.steps or usual
    cases = {"none": system + NONE + both + windows + ESTIMATE}
    for method in options.methods.split(","):
        own = "".join(line + "\n" for line in bias.splitlines() if line.split(" = ")[0] in METHODS[method])
        for pace in paces:
            cases[f"{method}, pace {pace}"] = (system + BIAS.replace("{method}", method).replace("{pace}", str(pace)) +
                                               both + own + ESTIMATE)
    found = {name: [] for name in cases}
    with tempfile.TemporaryDirectory() as name:
        for _ in range(options.repeats):
            for case, text in cases.items():
                took = [seconds(options.binary.resolve(), Path(name),
                                text.replace("{walkers}", str(options.walkers)).replace("{steps}", str(steps))
                                .replace("{quarter}", str(options.walkers // 4)).replace("{stride}", str(stride))
                                .replace("{compile_after}", str(options.compile_after)))
                        for steps in (length, 2 * length)]
                found[case].append(took[1] - took[0])
                print(f"{case}: {found[case][-1]:.2f} s", file=sys.stderr, flush=True)
    steps = length * options.walkers
    for case, took in found.items():
        print(f"{case}: {1e9 * min(took) / steps:.2f} ns a step, {min(took) / min(found['none']) - 1:+.0%}")


if __name__ == "__main__":
    main()
