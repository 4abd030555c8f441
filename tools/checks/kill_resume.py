#!/usr/bin/python3
"""Kills a run at random moments of all its stages, lets it go on, and compares every result file.

    kill_resume.py BINARY [--system NAME] [--trials N] [--seed S] [--signal KILL|TERM]
                   [--keep DIR]

METHOD is one of [bias]: its bias is made, frozen, sampled until its target error is met, and then a round of coupling
follows. One run is left alone. Each trial starts the same run, ends it at a random moment (with SIGKILL, or with
SIGTERM, where it must be gone within five seconds), goes on with --resume, now and then ends that, too,
and finishes. Then all files but those with times in them have to hold the bytes of the run that was left
alone. Exit status 1 and a line for each difference, where there are any.
"""
import argparse
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "bench" / "data"
FORMULA = """
seed = 11
[system]
variables = ["x", "y"]
potential = "(x^2-1)^2 + 2*(y^2-1)^2 + 0.3*x*y"
beta = 1.0
[cv]
variables = ["x"]
[integrator]
scheme = "leimkuhler_matthews"
dt = 2e-3
[umbrella]
from = -1.2
to = 1.2
windows = 7
stiffness = 20.0
replicas = 32
equilibrate = 400
steps = 8000
stride = 400
[estimate]
bins = 24
[generator]
generator_widths = [16, 16]
critic_widths = [16, 16]
batch = 64
iterations = 150
validate_every = 50
compare = ["flow"]
[lifting]
values = 3
states = 300
heal_steps = 60
[coupling]
rounds = 2
windows = 4
replicas = 16
equilibrate = 200
steps = 4000
iterations = 100
discard = 3.0
[learn]
enabled = true
points = 600
landmarks = 40
[closure]
enabled = true
"""
MOLECULE = f"""
seed = 7
[system]
kind = "molecule"
topology = "{DATA}/ala2.prmtop"
coordinates = "{DATA}/ala2.inpcrd"
constraints = "h_bonds"
temperature = 300.0
[cv]
variables = [{{ name = "phi", kind = "dihedral", atoms = [4, 6, 8, 14] }}]
[integrator]
dt = 0.002
friction = 1.0
[umbrella]
from = -3.141592653589793
to = 3.141592653589793
windows = 12
stiffness = 100.0
replicas = 16
heat_steps = 400
equilibrate = 400
steps = 2000
stride = 100
exchange = 100
temperatures = [340.0]
tempering = 100
[estimate]
bins = 36
[generator]
kind = "flow"
generator_widths = [16, 16]
batch = 64
iterations = 150
validate_every = 50
[lifting]
values = 1
states = 100
heal_steps = 20
energies = 1
energy_states = 100
[coupling]
rounds = 1
windows = 6
replicas = 16
equilibrate = 100
steps = 600
iterations = 60
[closure]
enabled = true
values = 8
replicas = 16
burst_lags = [20, 40]
relaxation = 2000
passage_from = -1.4
passage_to = [-0.9]
passages = 16
passage_steps = 400
"""
WORK = """
seed = 5
[system]
variables = ["x", "y"]
potential = "(x^2-1)^2 + 2*(y - 0.5*x^2)^2"
beta = 3.0
[cv]
variables = ["x", "y"]
[integrator]
dt = 1e-3
[bias]
walkers = 512
equilibrate = 400
stride = 100
initial = "line"
[estimate]
bins = [20, 20]
"""
STEERED = WORK.replace("[bias]", """[bias]
method = "steered"
path = [-1.0, 0.5, 0.0, 0.0, 1.0, 0.5]
stiffness = [60.0, 60.0]
steps = 20000""")
STRING = WORK.replace("[bias]", """[bias]
method = "string"
path = [-1.0, 0.5, 1.0, 0.5]
stiffness = [100.0, 100.0]
images = 12
iterations = 60
steps = 4000""").replace("walkers = 512", "walkers = 64")
POPULATION = WORK.replace("[bias]", """[bias]
method = "population_annealing"
from = [-1.5, -0.5]
to = [1.5, 1.5]
rungs = 12
steps = 4000""")
BIAS = """
seed = 5
[system]
variables = ["x", "y"]
potential = "(x^2-1)^2 + 2*(y^2-1)^2 + 0.3*x*y"
beta = 2.0
[cv]
variables = ["x"]
[integrator]
dt = 2e-3
[bias]
method = "METHOD"
from = -1.3
to = 1.3
bins = 52
walkers = 512
equilibrate = 400
steps = 24000
stride = 200
sigma = 0.1
height = 0.2
barrier = 3.0
target_error = 0.03
[estimate]
bins = 26
[generator]
generator_widths = [16, 16]
critic_widths = [16, 16]
batch = 64
iterations = 100
validate_every = 50
[lifting]
values = 3
states = 300
heal_steps = 60
[coupling]
rounds = 1
windows = 4
replicas = 64
equilibrate = 200
steps = 4000
iterations = 50
[closure]
enabled = true
[output]
plumed = true
"""
# The lines of BIAS that not all methods ask for.
METHODS = {"metadynamics": ("sigma", "height"), "opes": ("sigma", "barrier"), "opes_explore": ("sigma", "barrier"),
           "abf": (), "eabf": ()}


def biased(method):
    own = METHODS.get(method, ())
    lines = [line for line in BIAS.splitlines() if line.split(" = ")[0] in own
             or line.split(" = ")[0] not in ("sigma", "height", "barrier")]
    return "\n".join(lines).replace("METHOD", method) + "\n"


CONFIGS = {"formula": FORMULA, "molecule": MOLECULE, "steered": STEERED, "string": STRING, "population": POPULATION,
           **{m: biased(m) for m in METHODS}}
LADDER = biased("tempering")
LADDER = LADDER[:LADDER.index("[generator]")].replace("[bias]\n", "[bias]\ntemperatures = [0.8, 1.2]\n")
for old, new in (('variables = ["x"]', 'variables = ["(x^2-1)^2 + 2*(y^2-1)^2 + 0.3*x*y"]'), ("from = -1.3", "from = -0.5"),
                 ("to = 1.3", "to = 12.0"), ("target_error = 0.03\n", "")):
    LADDER = LADDER.replace(old, new)
CONFIGS["tempering"] = LADDER
# What stages took differs from run to run, and the checkpoint holds it.
WITH_TIMES = {"metrics.json", "checkpoint.h5", ".lock", "report.html", "status.json", "run.log"}
STOPPED_WITHIN = 5.0  # seconds, of SIGTERM


def command(binary, folder, *more):
    return [binary, "run", folder / "run.toml", "-o", folder / "out", "--threads", "1", "--no-report",
            "--quiet", *more]


def results(out):
    return {p.name: p.read_bytes() for p in sorted(out.iterdir()) if p.name not in WITH_TIMES}


def figures(out):
    """metrics.json without what depends on the clock."""
    text = (out / "metrics.json").read_text()
    return re.sub(r'"(seconds|steps_per_second|states_per_second|bytes_to_device|bytes_to_host|'
                  r'peak_bytes|predicted_bytes|bytes_in_loop|kernel_launches|force_evaluations)": *[^,\n]*', "", text)


class Trial:
    def __init__(self, binary, folder, how, seconds, chance):
        self.binary, self.folder, self.how = binary, folder, how
        self.seconds, self.chance = seconds, chance
        self.slowest = 0.0

    def start(self, *more):
        return subprocess.Popen(command(self.binary, self.folder, *more), stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE)

    def end_at_random(self, process):
        """Whether it was still running."""
        try:
            process.wait(self.chance.uniform(0, self.seconds))
            return False
        except subprocess.TimeoutExpired:
            pass
        process.send_signal(self.how)
        begun = time.monotonic()
        process.wait()
        self.slowest = max(self.slowest, time.monotonic() - begun)
        return True

    def run(self):
        out = self.folder / "out"
        process = self.start()
        kills = 0
        while self.end_at_random(process):
            kills += 1
            process = self.start("--resume")
            if kills == 3 or self.chance.random() < 0.6:
                break
        error = process.communicate()[1].decode()
        if process.returncode != 0:
            return kills, f"status {process.returncode}: {error.strip()}"
        partial = [p.name for p in out.iterdir() if p.name.endswith(".partial")]
        return kills, f"left behind {partial}" if partial else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", type=Path)
    parser.add_argument("--system", choices=list(CONFIGS), default="formula")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--signal", choices=("KILL", "TERM"), default="KILL")
    parser.add_argument("--keep", type=Path, help="where the directory of a failed trial is kept")
    options = parser.parse_args()
    binary = options.binary.resolve()
    with tempfile.TemporaryDirectory(prefix="microlift_kill_") as name:
        folder = Path(name)
        (folder / "run.toml").write_text(CONFIGS[options.system])
        begun = time.monotonic()
        subprocess.run(command(binary, folder), check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - begun
        right, right_figures = results(folder / "out"), figures(folder / "out")
        print(f"{len(right)} files, {sum(map(len, right.values()))} bytes, in {seconds:.1f} s", flush=True)
        failed = kills = 0
        slowest = 0.0
        for number in range(options.trials):
            shutil.rmtree(folder / "out")
            chance = random.Random(f"{options.seed} {number}")
            trial = Trial(binary, folder, getattr(signal, "SIG" + options.signal), seconds, chance)
            killed, wrong = trial.run()
            kills += killed
            slowest = max(slowest, trial.slowest)
            if not wrong:
                mine = results(folder / "out")
                different = [n for n in sorted(right.keys() | mine.keys()) if right.get(n) != mine.get(n)]
                if figures(folder / "out") != right_figures:
                    different.append("metrics.json")
                wrong = f"other bytes in {', '.join(different)}" if different else ""
            if options.signal == "TERM" and trial.slowest > STOPPED_WITHIN:
                wrong = f"stopped after {trial.slowest:.1f} s"
            if wrong:
                failed += 1
                print(f"trial {number} of seed {options.seed}, {killed} kills: {wrong}", flush=True)
                if options.keep:
                    shutil.copytree(folder / "out", options.keep / f"trial{number}", dirs_exist_ok=True)
            if (number + 1) % 10 == 0 and number + 1 < options.trials:
                print(f"{number + 1} trials, {kills} kills, {failed} failed", flush=True)
        print(f"{options.trials} trials, {kills} kills, {failed} failed"
              + (f", slowest stop {slowest:.2f} s" if options.signal == "TERM" else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
