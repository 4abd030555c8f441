#!/usr/bin/python3
"""Whole runs on the emulated device beside those of the CPU. In portable mathematics every result file has the
same bits; in the fast one free energies agree within their errors.

usage: test_runs.py BUILD_FOLDER
"""
import csv
import json
import os
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "support"))
from command import BINARY, SOURCE, Scratch, run, table  # noqa: E402

EMULATED = [str(SOURCE / "tools" / "checks" / "emulated.sh"), str(Path(sys.argv[1]).resolve())]
PORTABLE = ("--device", "cuda", "--math", "portable")
FAST = ("--device", "cuda", "--math", "fast")
CPU = ("--device", "cpu", "--threads", "1")
# What depends on the machine: times, counts of launches and bytes, names.
MACHINE = ("seconds", "per_second", "device", "threads", "kernel_launches", "bytes_to", "memory")


def umbrella(first, last, windows, stiffness, **more):
    keys = {"from": first, "to": last, "windows": windows, "stiffness": stiffness, "replicas": 16,
            "equilibrate": 100, "steps": 400, "stride": 20, **more}
    return "[umbrella]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in keys.items())


ESTIMATE = "[estimate]\nbins = 12\nblocks = 8\n"
PASSAGES = ("passage_from = -1.0\npassage_to = [0.0, 1.0]\npassages = 64\npassage_steps = 2000\n"
            "committor_a = [{a}, 0.3]\ncommittor_b = [{b}, 0.3]\ncommittor_points = [{at}]\ncommittor_runs = 32\n")
CLOSURE = "[closure]\nvalues = 8\nreplicas = 32\nburst_steps = 32\nrelaxation = 1e5\n"
MULLER_BROWN = '[system]\nname = "muller_brown"\nbeta = 0.0666666667\n'
SYSTEMS = {
    "built-in, closure with passages":
        '[system]\nname = "double_well"\nbeta = 2.0\n[cv]\nvariables = ["x"]\n[integrator]\ndt = 1e-3\n'
        + umbrella(-1.2, 1.2, 6, 20.0) + ESTIMATE + CLOSURE
        + PASSAGES.format(a="-1.0", b="1.0", at="0.0, 0.2"),
    "formula, curved variable, exchange, closure with passages":
        '[system]\nvariables = ["x", "y"]\nbeta = 2.0\n'
        'potential = "(x^2-1)^2 + 0.5*(y - 0.3*sin(2*x))^2 + 0.1*exp(-y^2)"\n'
        '[cv]\nvariables = ["x + 0.1*y^2"]\n[integrator]\ndt = 2e-3\n'
        + umbrella(-1.2, 1.2, 6, 20.0, exchange=60) + ESTIMATE + CLOSURE
        + PASSAGES.format(a="-1.0, 0.0", b="1.0, 0.0", at="0.0, 0.0, 0.2, 0.1"),
    "two variables, exchange":
        MULLER_BROWN + '[cv]\nvariables = ["x", "y"]\n[integrator]\ndt = 1e-4\n'
        + umbrella([-1.4, -0.2], [1.0, 1.8], [5, 4], [300.0, 300.0], exchange=60)
        + "[estimate]\nbins = [8, 8]\nblocks = 8\n",
    "drift, matrix of noise, held states":
        '[system]\nvariables = ["x", "y"]\ndrift = ["x - y^3", "-100*(y - x)"]\n'
        'diffusion = [["0.1", "0.02"], ["0.5", "10 + 0.1*tanh(y)"]]\n[cv]\nvariables = ["x"]\n'
        '[integrator]\nscheme = "euler_maruyama"\ndt = 1e-4\n' + umbrella(-1.0, 1.0, 6, 5.0) + ESTIMATE
        + '[closure]\nstart = "constrained"\nequilibrate = 50\nvalues = 8\nreplicas = 32\n'
          "burst_lags = [4, 8, 16]\nrelaxation = 0\n",
    "baoab, umbrella integration, learned coordinates":
        MULLER_BROWN + '[cv]\nvariables = ["x"]\n[integrator]\nscheme = "baoab"\ndt = 1e-3\n'
        + umbrella(-1.4, 1.0, 10, 300.0) + ESTIMATE
        + 'method = "umbrella_integration"\n[learn]\npoints = 200\nlandmarks = 20\n',
    "two angles all round, exchange, closure":
        '[system]\nvariables = ["x", "y"]\nbeta = 1.0\npotential = "cos(x) + 0.5*cos(y) + 0.3*cos(x - y)"\n'
        '[cv]\nvariables = [{ formula = "x", period = 6.283185307179586 }]\n[integrator]\ndt = 5e-3\n'
        + umbrella(-3.141592653589793, 3.141592653589793, 7, 5.0, exchange=60) + ESTIMATE + CLOSURE,
    "a dihedral angle all round, histogram":
        '[system]\nvariables = ["x0", "y0", "z0", "x1", "y1", "z1", "x2", "y2", "z2", "x3", "y3", "z3"]\nbeta = 1.0\n'
        'potential = "50*(sqrt((x1-x0)^2+(y1-y0)^2+(z1-z0)^2)-1)^2 + 50*(sqrt((x2-x1)^2+(y2-y1)^2+(z2-z1)^2)-1)^2'
        ' + 50*(sqrt((x3-x2)^2+(y3-y2)^2+(z3-z2)^2)-1)^2 + 20*(x0*x1 + y0*y1 + z0*z1)^2"\n'
        '[cv]\nvariables = [{ kind = "dihedral", atoms = [0, 1, 2, 3] }]\n[integrator]\ndt = 5e-4\n'
        + umbrella(-3.141592653589793, 3.141592653589793, 6, 10.0, store="histogram",
                   initial=[-0.323, 0.946, 0, 0, 0, 0, 1, 0, 0, 1.323, -0.946, 0]) + ESTIMATE,
    "histogram, wham":
        MULLER_BROWN + '[cv]\nvariables = ["x"]\n[integrator]\ndt = 1e-4\n'
        + umbrella(-1.4, 1.0, 10, 300.0, store="histogram") + ESTIMATE + 'method = "wham"\n',
}
COUPLED = """\
[system]
name = "hidden_barrier"
beta = 1.0
[cv]
variables = ["x"]
[integrator]
dt = 5e-4
""" + umbrella(-1.5, 1.5, 8, 40.0, initial=[0.0, 1.0]) + ESTIMATE + """\
[generator]
kind = "KIND"
generator_widths = [8]
critic_widths = [8]
batch = 64
iterations = 2
validate_every = 1
validation_states = 32
flow_steps = 2
precision = "fp32"
[lifting]
values = 1
states = 100
heal_steps = 4
proposals = 0
[coupling]
rounds = 1
windows = 4
replicas = 16
equilibrate = 100
steps = 200
iterations = 1
jump = 20
discard = 0
"""
# Rigid bonds, heat, a generator whose states are wild and go down before they are healed, weights of its states.
MOLECULE = f"""\
[system]
kind = "molecule"
topology = "{SOURCE}/bench/data/ala2.prmtop"
coordinates = "{SOURCE}/bench/data/ala2.inpcrd"
constraints = "h_bonds"
temperature = 300.0
[cv]
variables = [{{ name = "phi", kind = "dihedral", atoms = [4, 6, 8, 14] }}]
[integrator]
dt = 0.002
friction = 10.0
""" + umbrella(-3.141592653589793, 3.141592653589793, 4, 50.0, replicas=4, heat=600.0, heat_steps=20, equilibrate=20,
               steps=80, stride=10) + """\
[estimate]
bins = 6
blocks = 8
[generator]
kind = "flow"
generator_widths = [8]
batch = 32
iterations = 2
validate_every = 1
validation_states = 16
flow_steps = 2
precision = "fp32"
[lifting]
values = 1
states = 100
heal_steps = 1
proposals = 16
"""


def shared(first, last, bins, **more):
    keys = {"method": "METHOD", "from": first, "to": last, "bins": bins, "walkers": 64, "equilibrate": 40, "steps": 160,
            "stride": 20, "pace": 20, **more}
    return "[bias]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in keys.items())


LINE = ('[system]\nvariables = ["x", "y"]\nbeta = 2.0\npotential = "(x^2-1)^2 + 0.5*(y - x)^2"\n'
        '[cv]\nvariables = ["x"]\n[integrator]\ndt = 5e-3\n' + ESTIMATE)
PLANE = LINE.replace('variables = ["x"]', 'variables = ["x", "y"]').replace("bins = 12", "bins = [6, 6]")
TURN = ('[system]\nvariables = ["a", "b"]\nbeta = 1.0\npotential = "cos(a) + 0.5*(b - sin(a))^2"\n'
        '[cv]\nvariables = [{ formula = "a", period = 6.283185307179586 }]\n[integrator]\ndt = 1e-2\n' + ESTIMATE)
TURNS = ('[system]\nvariables = ["a", "b"]\nbeta = 1.0\npotential = "cos(a) + 0.5*cos(b) + 0.3*cos(a - b)"\n'
         '[cv]\nvariables = [{ formula = "a", period = 6.283185307179586 }, { formula = "b", period = 6.283185307179586 }]\n'
         '[integrator]\ndt = 1e-2\n' + ESTIMATE.replace("bins = 12", "bins = [6, 6]"))
WALL = '[[bias.walls]]\nvariable = 1\nlower = -1.2\nupper = 1.2\nstiffness = 50.0\n'
GBN2 = 'implicit_solvent = "gbn2"\nsalt = 0.15\n'
SHARED = (
    [(m, LINE + shared(-1.5, 1.5, 24, **({} if "abf" in m else {"sigma": 0.2, "biasfactor": 4.0})) + WALL)
     for m in ("metadynamics", "opes", "opes_explore", "abf", "eabf")] +
    [(m, LINE + shared(-1.5, 1.5, 24)) for m in ("metadynamics", "opes")] +  # widths from the data
    [(m, PLANE + shared([-1.5, -1.5], [1.5, 1.5], [10, 10], **({} if "abf" in m else {"sigma": 0.4, "biasfactor": 4.0})))
     for m in ("metadynamics", "opes", "abf", "eabf")] +
    [(m, TURN + shared(-3.141592653589793, 3.141592653589793, 24, **({} if "abf" in m else {"sigma": 0.4, "biasfactor": 4.0})))
     for m in ("metadynamics", "opes", "abf", "eabf")] +
    [(m, TURNS + shared([-3.141592653589793] * 2, [3.141592653589793] * 2, [10, 10],
                        **({} if "abf" in m else {"sigma": 0.7, "biasfactor": 4.0}))) for m in ("opes", "abf", "eabf")] +
    [("opes", MOLECULE.split("[cv]")[0].replace("temperature", solvent + "temperature") + "[cv]\nvariables = [" + cvs +
      "]\n" + where + "[integrator]\nscheme = " + scheme + "\ndt = 0.001\nfriction = 10.0\n" +
      f"[estimate]\nbins = {bins}\nblocks = 8\n" +
      shared(first, last, grid, walkers=32, steps=steps, sigma=sigma, biasfactor=6.0))
     for solvent, scheme, cvs, where, first, last, grid, sigma, bins, steps in (
         ("", '"lf_middle"', '{ name = "phi", kind = "dihedral", atoms = [4, 6, 8, 14] }', "", -3.141592653589793,
          3.141592653589793, 24, 0.4, 6, 160),
         ("", '"baoab"', '{ name = "d", kind = "distance", atoms = [4, 14] }, { name = "rg", kind = "gyration", atoms = [1, 4, 8, 14] }',
          "", [0.2, 0.1], [0.6, 0.5], [12, 12], [0.06, 0.06], [4, 4], 160),
         (GBN2, '"lf_middle"', '{ name = "off", kind = "rmsd", atoms = [1, 4, 6, 8, 14, 16] }, { name = "near", kind = "coordination", '
          'atoms = [1, 5], others = [15, 18], range = 0.35 }', "", [0.0, 0.0], [0.2, 4.0], [12, 12], [0.03, 0.6], [4, 4], 40),
         (GBN2, '"lf_middle"', '"cos(phi) + 0.3*theta"', 'where = [{ name = "phi", kind = "dihedral", atoms = [4, 6, 8, 14] }, '
          '{ name = "theta", kind = "angle", atoms = [4, 6, 8] }]\n', -1.0, 2.0, 24, 0.2, 6, 40))])
# Rounds of coupling under a bias that all share; no samples of one law, or none at all.
COUPLED_SHARED = COUPLED.replace(umbrella(-1.5, 1.5, 8, 40.0, initial=[0.0, 1.0]),
                                 shared(-1.5, 1.5, 24, sigma=0.3, biasfactor=4.0, initial=[0.0, 1.0]))
COUPLED_TURN = TURN.split("[estimate]")[0] + shared(-3.141592653589793, 3.141592653589793, 24, sigma=0.4, biasfactor=4.0) + \
    ESTIMATE + COUPLED[COUPLED.index("[generator]"):]
COUPLED_TURNS = TURNS.split("[estimate]")[0].replace('["a", "b"]', '["a", "b", "c"]').replace('(a - b)"', '(a - b) + (c - sin(a))^2"') + \
    shared([-3.141592653589793] * 2, [3.141592653589793] * 2, [10, 10], sigma=0.7, biasfactor=4.0) + \
    ESTIMATE.replace("bins = 12", "bins = [6, 6]") + COUPLED[COUPLED.index("[generator]"):]
WITHOUT = LINE.split("[estimate]")[0]
OTHERS = {
    "steered": LINE + shared(-1.5, 1.5, 24).replace("from = -1.5\nto = 1.5\nbins = 24\n", "path = [-1.0, 1.0]\nstiffness = 20.0\n")
    .replace("pace = 20\n", "").replace("METHOD", "steered"),
    "string": PLANE.split("[estimate]")[0] + '[bias]\nmethod = "string"\npath = [-1.0, -1.0, 1.0, 1.0]\nstiffness = [40.0, 40.0]\n'
    "images = 5\niterations = 6\nwalkers = 16\nequilibrate = 40\nsteps = 200\nstride = 20\n",
    "population_annealing": LINE + '[bias]\nmethod = "population_annealing"\nfrom = -1.5\nto = 1.5\nrungs = 3\nanneal = 40\n'
    "walkers = 256\nequilibrate = 40\nsteps = 200\nstride = 20\n",
    **{method: WITHOUT + f'[rates]\nmethod = "{method}"\nfrom = -1.0\nto = 1.0\nrepeats = 4\n' + more
       for method, more in (("splitting", "replicas = 16\nequilibrate = 100\n"),
                            ("weighted_ensemble", "replicas = 4\nsteps = 400\n"),
                            ("milestoning", "replicas = 8\nbins = 6\n"))},
}


def plain(value):
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if not any(word in k for word in MACHINE)}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return repr(value)  # NaN equals itself


def results(folder):
    """By file, and by data set: every bit of it."""
    found = {}
    for path in sorted(Path(folder).iterdir()):
        if path.suffix in (".csv", ".toml") or path.name == "diffusion_map.json":
            found[path.name] = path.read_bytes()
        elif path.name == "metrics.json":
            found[path.name] = plain(json.loads(path.read_text()))
        elif path.suffix == ".h5" and path.name != "checkpoint.h5":
            with h5py.File(path) as file:
                file.visititems(lambda name, item: found.update({f"{path.name}/{name}": item[()].tobytes()})
                                if isinstance(item, h5py.Dataset) else None)
    return found


class Runs(Scratch):
    def go(self, text, out, *options, status=0, changes=(), lanes=None):
        """lanes: of the team that a molecule's replica gets; chosen where nothing is said."""
        config = self.dir / "run.toml"
        config.write_text(text)
        words = [BINARY, "run", config, "-o", self.dir / out, "--quiet", "--no-report", *options]
        environment = {**os.environ, **({} if lanes is None else {"MICROLIFT_TEAM": str(lanes)})}
        run(*(EMULATED if "cuda" in options else []), *words, *changes, status=status, env=environment)
        return self.dir / out

    def same(self, a, b, names=None):
        a, b = results(a), results(b)
        self.assertEqual(a.keys(), b.keys())
        for name in a if names is None else names:
            self.assertEqual(a[name], b[name], name)
        return a

    def test_portable_runs_have_the_bits_of_the_cpu(self):
        for name, text in SYSTEMS.items():
            with self.subTest(name):
                number = str(list(SYSTEMS).index(name))
                found = self.same(self.go(text, "cpu" + number, *CPU), self.go(text, "cuda" + number, *PORTABLE))
                self.assertIn("free_energy.csv", found)
                if "passages" in name:
                    self.assertGreater(len(found["metrics.json"]["closure"]["sources"][0]["passages"]), 1)

    def test_fast_free_energies_agree_within_their_errors(self):
        """Another noise, so another draw. Student's t of 8 blocks exceeds 6 in one of 2000 bins; there are a
        hundred. Without a potential these windows do not overlap enough for errors."""
        for number, (name, text) in enumerate(SYSTEMS.items()):
            if "drift" in name:
                continue
            with self.subTest(name):
                text = text.split("[closure]")[0].split("[learn]")[0]
                kt = 15 if "muller_brown" in text else 0.5
                cpu, fast = (table(self.go(text, f"{where}{number}", *options) / "free_energy.csv")
                             for where, options in (("c", CPU), ("f", FAST)))
                self.assertFalse(np.array_equal(cpu, fast))
                with np.errstate(invalid="ignore"):
                    apart = np.abs(cpu[:, -2] - fast[:, -2]) / np.hypot(cpu[:, -1], fast[:, -1])
                self.assertGreater(np.isfinite(apart).sum(), 6)
                self.assertLess(np.nanmax(apart), 6)
                self.assertLess(np.nanmedian(fast[:, -1]), kt)  # the errors tell something

    def test_networks_have_the_bits_of_the_cpu(self):
        """Training, coupled rounds with jumps to what was generated, lifting, healing."""
        for kind in ("flow", "cgan"):
            with self.subTest(kind):
                text = COUPLED.replace("KIND", kind)
                cpu, cuda = self.go(text, kind, *CPU), self.go(text, kind + "_cuda", *PORTABLE)
                found = self.same(cpu, cuda)
                self.assertGreater(len(found["samples.h5/window"]), 8 * 16 * 20)  # more than the umbrella's
                self.assertEqual(*((out / "generator.safetensors").read_bytes() for out in (cpu, cuda)))
                run(*EMULATED, BINARY, "generate", cpu, "--at", 0.3, "-n", 64, "-o", self.dir / "b.npy",
                    *PORTABLE)
                run(BINARY, "generate", cpu, "--at", 0.3, "-n", 64, "-o", self.dir / "a.npy", *CPU)
                self.assertEqual((self.dir / "a.npy").read_bytes(), (self.dir / "b.npy").read_bytes())
                # In the fast mathematics products are cuBLASLt's: sums of some ten numbers of order one, rounded to
                # 2^-24 each.
                run(*EMULATED, BINARY, "generate", cpu, "--at", 0.3, "-n", 64, "-o", self.dir / "c.npy", *FAST)
                x, y = np.load(self.dir / "a.npy"), np.load(self.dir / "c.npy")
                self.assertEqual(x.shape, (64, 2))
                self.assertLess(np.abs(x - y).max(), 2e-5)

    def test_molecules_have_the_bits_of_the_cpu(self):
        gyration = MOLECULE
        for old, new in (('"phi", kind = "dihedral", atoms = [4, 6, 8, 14]', '"size", kind = "gyration", atoms = [4, 6, 8, 14, 16]'),
                         ("from = -3.141592653589793", "from = 0.16"), ("to = 3.141592653589793", "to = 0.19"),
                         ("stiffness = 50.0", "stiffness = 2e4"), ("friction = 10.0", 'friction = 10.0\nscheme = "baoab"')):
            gyration = gyration.replace(old, new)
        self.assertNotIn("3.14", gyration)
        for number, (molecule, solvent) in enumerate(((MOLECULE, ""), (MOLECULE, GBN2),
                                                      (gyration, 'implicit_solvent = "hct"\n'))):
            with self.subTest(solvent):
                text = molecule.replace("temperature", solvent + "temperature", 1)
                cpu = self.go(text, f"molecule{number}", *CPU)
                cuda = self.go(text, f"molecule_cuda{number}", *PORTABLE, lanes=1 if number == 1 else None)
                self.assertIn("lifted.h5/healed_000", self.same(cpu, cuda))
                for file in ("generator.safetensors", "lifted.dcd"):
                    self.assertEqual((cpu / file).read_bytes(), (cuda / file).read_bytes(), file)

    def test_a_small_protein_exchanges_temperatures_by_teams_of_lanes(self):
        text = (SOURCE / "tools" / "examples" / "chignolin.toml").read_text(encoding="utf-8").replace("../../", f"{SOURCE}/")
        small = [f"--set=umbrella.{key}" for key in ("replicas=2", "temperatures=[310.0]", "equilibrate=4", "steps=12",
                                                    "stride=2", "tempering=4")]
        cpu = self.go(text, "cpu", *CPU, changes=small)
        cuda = self.go(text, "cuda", *PORTABLE, changes=small)
        found = self.same(cpu, cuda)
        self.assertGreater(float(found["metrics.json"]["stages"]["sample"]["tempering_acceptance"][0]), 0)

    def test_shared_biases_have_the_bits_of_the_cpu(self):
        """One and two variables, with and without a period, mirrors and walls; a molecule in both mathematics."""
        for number, (method, text) in enumerate(SHARED):
            with self.subTest(f"{number}, {method}"):
                text = text.replace("METHOD", method)
                found = self.same(self.go(text, f"cpu{number}", *CPU), self.go(text, f"cuda{number}", *PORTABLE))
                self.assertIn("bias.csv", found)
                if "molecule" in text:
                    self.same(self.dir / f"cpu{number}", self.go(text, f"one{number}", *PORTABLE, lanes=1))
                    self.same(self.go(text, f"fast{number}", *FAST), self.go(text, f"fast_one{number}", *FAST, lanes=1))

    def test_coupling_under_a_shared_bias_has_the_bits_of_the_cpu(self):
        for name, kind, text in (("line", "flow", COUPLED_SHARED), ("line", "cgan", COUPLED_SHARED), ("turn", "cgan", COUPLED_TURN),
                                 ("turns", "cgan", COUPLED_TURNS)):
            with self.subTest(f"{name}, {kind}"):
                text = text.replace("METHOD", "opes").replace("KIND", kind)
                found = self.same(self.go(text, name + kind, *CPU), self.go(text, name + kind + "_cuda", *PORTABLE))
                self.assertGreater(float(found["metrics.json"]["stages"]["couple"]["jump_acceptance"]), 0)

    def test_work_and_rates_have_the_bits_of_the_cpu(self):
        for name, text in OTHERS.items():
            with self.subTest(name):
                found = self.same(self.go(text, name + "_cpu", *CPU), self.go(text, name + "_cuda", *PORTABLE))
                self.assertTrue({"rates.csv", "work.csv", "string.csv", "annealing.csv"} & found.keys())

    def test_a_run_goes_on_from_machine_to_machine(self):
        """Stopped on one, resumed on either: the bits of the whole run."""
        text = SYSTEMS["two variables, exchange"]
        for less, more in (("steps = 400", "steps = 50000"), ("stride = 20", "stride = 500"),
                           ("exchange = 60", "exchange = 1500")):
            self.assertIn(less, text)
            text = text.replace(less, more)
        whole = self.go(text, "whole", *CPU)
        for begun, resumed in ((PORTABLE, PORTABLE), (CPU, PORTABLE), (PORTABLE, CPU)):
            with self.subTest(f"{begun[1]} to {resumed[1]}"):
                out = self.dir / f"{begun[1]}_{resumed[1]}"
                words = [BINARY, "run", self.dir / "run.toml", "-o", out, "--quiet", "--no-report", *begun]
                process = subprocess.Popen([str(w) for w in (EMULATED if "cuda" in begun else []) + words],
                                           stderr=subprocess.DEVNULL)
                while not (out / "config.toml").exists() and process.poll() is None:
                    time.sleep(0.002)
                process.send_signal(signal.SIGINT)
                self.assertEqual(process.wait(60), 130)
                where = EMULATED if "cuda" in resumed else []
                run(*where, *words[:-len(begun)], *resumed, "--resume")
                self.same(whole, out, ["free_energy.csv", "samples.h5/state", "samples.h5/cv", "samples.h5/weight"])

    def test_other_commands(self):
        text = SYSTEMS["baoab, umbrella integration, learned coordinates"]
        out = self.go(text.split("[learn]")[0], "learned", *CPU)
        maps = []
        for where, options in (([], CPU), (EMULATED, PORTABLE)):
            run(*where, BINARY, "learn", out, *options, "--points", 200, "--landmarks", 20)
            maps.append((out / "diffusion_map.json").read_bytes())
        self.assertEqual(*maps)
        run(*EMULATED, BINARY, "bench", "mbar:samples=2000", "--device", "cuda")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
