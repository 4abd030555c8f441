#!/usr/bin/python3
"""One bias for all walkers: every method on a double well beside the exact free energy, all round a period, in two
collective variables, on a molecule; files for PLUMED; walls; stops and threads; refusals."""
import re
import sys
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import BINARY, EXAMPLES, Case, command_line, metrics, run, table  # noqa: E402

EVERY = """seed = 4
[system]
variables = ["x"]
potential = "(x^2-1)^2"
beta = 3.0
[cv]
variables = ["x"]
[integrator]
dt = 1e-3
compile_after = -1
[bias]
method = "metadynamics"
from = -1.5
to = 1.5
bins = 120
walkers = 1024
equilibrate = 500
steps = 24000
stride = 200
height = 0.3
sigma = 0.1
biasfactor = 6.0
barrier = 4.0
[estimate]
bins = 50
"""
GRID = "bins pace "
# The keys of [bias] here that not all methods ask for.
KEYS = {"metadynamics": GRID + "height sigma biasfactor", "opes": GRID + "sigma biasfactor barrier",
        "opes_explore": GRID + "sigma biasfactor barrier", "abf": GRID, "eabf": GRID, "steered": ""}


def by(method, text):
    """A configuration whose [bias] is made so, and has no keys of other methods."""
    others = {k for keys in KEYS.values() for k in keys.split()} - set(KEYS[method].split())
    before, bias, after = re.fullmatch(r"(.*\n\[bias\]\n)(.*?)(\n\[.*)", text, re.DOTALL).groups()
    lines = [line for line in bias.split("\n") if line.split(" = ")[0] not in others]
    return before + re.sub(r'method = "\w+"', f'method = "{method}"', "\n".join(lines)) + after


WELL = by("metadynamics", EVERY)
METHODS = {"metadynamics": 5 / 6, "opes": 5 / 6, "opes_explore": 5 / 6, "abf": 1, "eabf": 1}
KT = 1 / 3


def well(x):
    return (x**2 - 1)**2


def level(a):
    return a - a.mean()


class Well(Case):
    def test_methods(self):
        for method, share in METHODS.items():
            with self.subTest(method):
                out = self.go(by(method, EVERY), name=method)
                t = table(out / "free_energy.csv")
                # F is exact under the frozen bias, so within its errors.
                use = t[:, 2] > 0
                z = (level(t[use, 1] - well(t[use, 0]))) / t[use, 2]
                self.assertEqual(use.sum(), 49)
                self.assertLess(np.sqrt(np.mean(z**2)), 2.0)
                self.assertLess(np.abs(z).max(), 4.5)
                self.assertLess(np.std(t[:, 1] - well(t[:, 0])), 0.1 * KT)
                made = table(out / "bias.csv")
                np.testing.assert_allclose(made[:, 0], np.linspace(-1.5, 1.5, 121), atol=1e-12)
                # A shorter run than the one that is to reach 0.05 kT.
                self.assertLess(np.std(made[:, 1] + share * well(made[:, 0])), 0.15 * KT)
                self.assertGreater(made[:, 2].min(), 0)
                steps = table(out / "convergence.csv")
                made, sampled = steps[steps[:, 3] == 0], steps[steps[:, 3] == 1]
                self.assertEqual(made[-1, 0], 12000)
                self.assertLess(made[-1, 2], 0.15 * KT)
                self.assertLess(made[-1, 2], 0.5 * made[0, 2])
                # Then the free energy of samples: errors fall as their root, and all of them are the last look.
                self.assertEqual(sampled[-1, 0], 24000)
                self.assertLess(sampled[-1, 2], 0.6 * sampled[0, 2])
                self.assertAlmostEqual(sampled[-1, 2], np.sqrt(np.mean(t[:, 2]**2)), places=12)
                crossings = metrics(out)["bias"]["crossings"][0]
                self.assertGreater(crossings["all"], 300)

    def test_weights(self):
        """Averages by the weights of samples.h5: ⟨x²⟩ by quadrature."""
        import h5py
        out = self.go(WELL)
        with h5py.File(out / "samples.h5") as file:
            x, w = np.array(file["cv"])[:, 0], np.exp(np.array(file["weight"]) - np.max(file["weight"]))
        grid = np.linspace(-3, 3, 6001)
        p = np.exp(-3 * well(grid))
        exact = np.sum(grid**2 * p) / np.sum(p)
        walkers = x.reshape(-1, 1024), w.reshape(-1, 1024)
        parts = np.array([np.sum(a**2 * b) / np.sum(b) for a, b in zip(*(np.split(v, 16, axis=1) for v in walkers))])
        self.assertLess(abs(parts.mean() - exact), 4.5 * parts.std(ddof=1) / 4)

    def test_width_from_data(self):
        out = self.go(WELL, "bias.sigma=0")
        # The deviation in a well of curvature 8, halved: less of the spread over both.
        self.assertLess(abs(metrics(out)["bias"]["sigma"][0] - 0.5 / np.sqrt(24)), 0.03)
        self.assertLess(np.std(table(out / "bias.csv")[:, 1] + 5 / 6 * well(table(out / "bias.csv")[:, 0])), 0.15 * KT)

    def test_target_error(self):
        """Sampling ends when the error is small enough, and the error is true: z² over seeds and bins."""
        squares, target = [], 0.15 * KT
        for seed in range(1, 9):
            out = self.go(WELL, f"bias.target_error={target}", f"seed={seed}", "bias.walkers=512", name=f"target{seed}")
            made, t = metrics(out)["bias"], table(out / "free_energy.csv")
            self.assertEqual(made["ended"], "the target error is met")
            self.assertLess(made["frozen_steps"], 12000)
            self.assertEqual(made["frozen_steps"] % 200, 0)
            error = np.sqrt(np.mean(t[:, 2]**2))
            self.assertLessEqual(error, target)
            self.assertAlmostEqual(made["std_error"], error, places=12)
            lowest = t[:, 2] == 0
            use = ~lowest
            z = (t[use, 1] - (well(t[use, 0]) - well(t[lowest, 0]))) / t[use, 2]
            squares.append(np.mean(z**2))
        # Bins of a run share the lowest: eight numbers of mean 1 and a deviation near 1, so 0.35 for their mean.
        self.assertLess(np.mean(squares), 2.05)
        self.assertGreater(np.mean(squares), 0.3)
        out = self.go(WELL, "bias.target_error=1e-4", "bias.steps=4000", name="never")
        self.assertEqual(metrics(out)["bias"]["ended"], "all steps are done")

    def test_walls(self):
        text = EVERY + "[output]\nplumed = true\n"
        for method in ("metadynamics", "eabf"):
            out = self.go(by(method, text), "bias.walls=[{variable=1,lower=-0.5,upper=1.3,stiffness=300.0}]", name=method)
            colvar = np.loadtxt(out / "COLVAR")
            self.assertLess(np.mean(colvar[:, 1] < -0.8), 1e-3)
            t = table(out / "free_energy.csv")
            inside = (t[:, 0] > -0.5) & (t[:, 0] < 1.3) & (t[:, 2] > 0)
            z = (t[inside, 1] - well(t[inside, 0]))
            self.assertLess(np.std(z), 0.1 * KT)

    def test_threads_and_stops(self):
        for method in METHODS:
            one = self.go(by(method, EVERY), "bias.steps=8000", name=method + "1",
                          options=("--quiet", "--no-report", "--threads", 1))
            two = self.go(by(method, EVERY), "bias.steps=8000", name=method + "2",
                          options=("--quiet", "--no-report", "--threads", 2))
            for name in ("bias.csv", "convergence.csv", "free_energy.csv"):
                self.assertEqual((one / name).read_bytes(), (two / name).read_bytes(), f"{method}: {name}")

    def test_hills(self):
        out = self.go(WELL + "[output]\nplumed = true\n")
        hills = np.loadtxt(out / "HILLS")  # time x sigma height biasf
        made = table(out / "bias.csv")
        z = (made[:, :1] - hills[:, 1]) / hills[:, 2]
        # PLUMED's kernels end at √12.5 widths, stretched so that no step is left there.
        stretch = 1 / (1 - np.exp(-6.25))
        total = np.where(0.5 * z**2 < 6.25, stretch * np.exp(-0.5 * z**2) + 1 - stretch, 0) @ hills[:, 3]
        np.testing.assert_allclose(total * 5 / 6, made[:, 1], rtol=1e-6)
        head = (out / "HILLS").read_text().splitlines()[:2]
        self.assertEqual(head[0], "#! FIELDS time x sigma_x height biasf")
        colvar = np.loadtxt(out / "COLVAR")
        self.assertEqual(len(colvar), 1024 * 60)
        self.assertTrue((out / "COLVAR").read_text().startswith("#! FIELDS time x metadynamics.bias\n"))


HIDDEN = """seed = 3
[system]
name = "hidden_barrier"
beta = 1.0
[cv]
variables = ["x"]
[integrator]
dt = 5e-4
[bias]
method = "opes"
from = -1.5
to = 1.5
bins = 60
walkers = 512
equilibrate = 2000
steps = 20000
stride = 100
sigma = 0.1
barrier = 8.0
initial = [1.0, 1.0]
[estimate]
bins = 60
[generator]
kind = "energy"
iterations = 500
generator_widths = [32, 32]
validation_states = 1000
[lifting]
values = 5
states = 1000
heal_steps = 0
[coupling]
rounds = 2
windows = 8
replicas = 64
equilibrate = 2000
steps = 10000
iterations = 300
"""
ABOVE = {-1: 0.313441, -0.5: 0.410336, 0: 0.5, 0.5: 0.589664, 1: 0.686559}  # P(y > 0 | x)


def hidden(x):
    """F by quadrature, and dF from bin to bin."""
    y = np.linspace(-4, 4, 4001)[:, None]
    v = 3 * (x**2 - 1)**2 + (0.5 + 10 * x**2) * (y**2 - 1)**2 - 0.4 * x * y
    return -np.log(np.exp(-v).sum(axis=0))


class Coupled(Case):
    """Rounds of coupling under one bias: walkers begin in one well of y, and jump to lifted states."""
    WALKERS = 512  # of every round, too

    def check(self, out, places):
        import h5py
        with h5py.File(out / "samples.h5") as file:
            state, weight = file["state"][:], file["weight"][:]
        walker = np.arange(len(state)) % self.WALKERS
        for at in places:
            near = np.abs(state[:, 0] - at) < 0.03
            w = np.exp(weight[near] - weight[near].max())
            up = (state[near, 1] > 0) - 0.19 * (state[near, 0] - at)  # dP/dx is 0.18 to 0.20
            total = np.bincount(walker[near], w * up, self.WALKERS)
            count = np.bincount(walker[near], w, self.WALKERS)
            share = total.sum() / count.sum()
            error = np.sqrt(((total - share * count)**2).sum()) / count.sum()
            self.assertLess(error, 0.04, f"x = {at}")
            self.assertLess(abs(share - ABOVE[at]), 4 * error, f"x = {at}: {share} +- {error}")
        t = table(out / "free_energy.csv")
        use = np.isfinite(t[:, 1]) & (t[:, 2] > 0) & (hidden(t[:, 0]) - hidden(t[:, 0]).min() < 6)
        z = (t[use, 1] - hidden(t[use, 0])) / t[use, 2]
        z -= np.sum(z / t[use, 2]) / np.sum(1 / t[use, 2]**2) / t[use, 2]
        self.assertLess(np.sqrt(np.mean(z**2)), 2.0)

    def test_everywhere(self):
        out = self.go(HIDDEN)
        self.check(out, ABOVE)
        coupling = metrics(out)["coupling"]
        self.assertEqual([r["round"] for r in coupling["rounds"]], [0, 1, 2])
        self.assertGreater(coupling["rounds"][-1]["jump_acceptance"], 0.02)

    def test_behind_a_wall(self):
        """Walls keep x where the barrier in y is 7 kT: hardly a walker leaves the well that it began in but by a jump,
        one in ten begins in that of y < 0, and a third belongs there."""
        import h5py
        x = np.linspace(0.7, 1.4, 32)
        np.save(self.dir / "starts.npy", np.stack([x, np.where(np.arange(32) % 10 == 5, -1.0, 1.0)], axis=1))
        changes = ("bias.walls=[{variable=1,lower=0.85,upper=1.2,stiffness=2000.0}]", "bias.from=0.7", "bias.to=1.4",
                   "bias.bins=40", f'bias.initial="{self.dir / "starts.npy"}"')
        for method in ("opes", "eabf"):
            alone = self.go(by(method, HIDDEN[:HIDDEN.index("[generator]")]), *changes, name=method + "_alone")
            with h5py.File(alone / "samples.h5") as file:
                self.assertGreater(np.mean(file["state"][:, 1] > 0), 0.85)
            self.check(self.go(by(method, HIDDEN), *changes, name=method), [1])


class Extended(Case):
    def test_harmonic(self):
        """eABF on V = 2x²: x and λ are Gaussian, F = 2x² within errors, over the range."""
        out = self.go(by("eabf", EVERY).replace("(x^2-1)^2", "2*x^2"))
        t = table(out / "free_energy.csv")
        use = t[:, 2] > 0
        z = (t[use, 1] - 2 * t[use, 0]**2) / t[use, 2]
        z -= np.sum(z / t[use, 2]) / np.sum(1 / t[use, 2])
        self.assertLess(np.sqrt(np.mean(z**2)), 2.0)


class Round(Case):
    def test_springs_that_are_too_stiff_for_the_step(self):
        text = by("eabf", EVERY).replace("dt = 1e-3", "dt = 1e-2")
        self.assertIn("dt = 1e-2", text)
        done = self.go(text, status=2)
        self.assertRegex(done.stderr, r"^microlift: .*run.toml:9:1: key 'integrator.dt' is 0.01, in which the springs")

    def test_rotor(self):
        text = EVERY.replace('["x"]\n[integrator]', '[{ formula = "x", period = 6.283185307179586 }]\n[integrator]')
        text = text.replace("(x^2-1)^2", "cos(x - 0.4) + 0.6*cos(2*x)").replace("sigma = 0.1", "sigma = 0.2")
        for method, share in METHODS.items():
            out = self.go(by(method, text), "bias.from=-3.141592653589793", "bias.to=3.141592653589793", "bias.steps=48000", "integrator.dt=2e-3", name=method)
            t = table(out / "free_energy.csv")
            exact = np.cos(t[:, 0] - 0.4) + 0.6 * np.cos(2 * t[:, 0])
            self.assertLess(np.std(t[:, 1] - exact), 0.1 * KT, method)
            made = table(out / "bias.csv")
            self.assertEqual(len(made), 120)
            exact = np.cos(made[:, 0] - 0.4) + 0.6 * np.cos(2 * made[:, 0])
            self.assertLess(np.std(made[:, 1] + share * exact), 0.15 * KT, method)


PLANE = """seed = 5
[system]
variables = ["x", "y"]
potential = "(x^2-1)^2 + 0.5*(y - 0.3*x)^2"
beta = 3.0
[cv]
variables = ["x", "y"]
[integrator]
dt = 2e-3
compile_after = -1
[bias]
method = "metadynamics"
from = [-1.5, -1.2]
to = [1.5, 1.2]
bins = [40, 32]
walkers = 1024
equilibrate = 500
steps = 24000
stride = 200
height = 1.0
sigma = [0.15, 0.15]
biasfactor = 6.0
barrier = 4.0
[estimate]
bins = [20, 16]
"""


class Plane(Case):
    def test_methods(self):
        for method in METHODS:
            out = self.go(by(method, PLANE), name=method)
            t = table(out / "free_energy.csv")
            exact = well(t[:, 0]) + 0.5 * (t[:, 1] - 0.3 * t[:, 0])**2
            use = np.isfinite(t[:, 2]) & (t[:, 3] > 0)
            self.assertGreater(use.mean(), 0.95, method)
            z = (t[use, 2] - exact[use]) / t[use, 3]
            weight = 1 / t[use, 3]
            z -= np.sum(z * weight) / np.sum(weight**2) * weight
            self.assertLess(np.sqrt(np.mean(z**2)), 1.5, method)


class Molecule(Case):
    def test_dihedral(self):
        """A molecule takes every method but abf, and its kernel the table: F(φ) of two methods within their errors."""
        profiles = []
        for method in ("opes", "eabf"):
            config, out = self.dir / f"{method}.toml", self.dir / method
            text = (EXAMPLES / "alanine_dipeptide_bias.toml").read_text().replace("../..", str(EXAMPLES.parents[1]))
            config.write_text(by(method, text))
            run(*command_line(config, out, "bias.walkers=256", "bias.steps=10000",
                              "bias.equilibrate=1000", "estimate.bins=24"))
            t = table(out / "free_energy.csv")
            self.assertTrue(np.isfinite(t[:, 1]).sum() > 12)
            profiles.append(t)
        use = np.isfinite(profiles[0][:, 1]) & np.isfinite(profiles[1][:, 1]) & (profiles[0][:, 0] < 0)
        a, b = (p[use] for p in profiles)
        error = np.hypot(a[:, 2], b[:, 2])
        self.assertLess(np.median(np.abs(level(a[:, 1] - b[:, 1])) / error), 4)


LADDER = """seed = 2
[system]
variables = ["x", "y", "z", "w"]
potential = "0.5*x^2 + y^2 + 1.5*z^2 + 2*w^2"
beta = 1.0
[cv]
variables = ["0.5*x^2 + y^2 + 1.5*z^2 + 2*w^2"]
[integrator]
dt = 5e-3
compile_after = -1
[bias]
method = "tempering"
temperatures = [1.5, 2.2, 3.3, 5.0]
from = 0.0
to = 60.0
bins = 300
walkers = 512
equilibrate = 500
steps = 40000
stride = 100
[estimate]
bins = 60
"""


class Ladder(Case):
    def test_harmonic(self):
        """Four harmonic variables: βF − β₀F₀ = 2 ln β/β₀ and ⟨V⟩ = 2 kT at every temperature, and z² over seeds."""
        squares = []
        for seed in range(1, 5):
            out = self.go(LADDER, f"seed={seed}", name=f"ladder{seed}")
            t = table(out / "temperatures.csv")
            np.testing.assert_allclose(t[:, 0], [1, 1.5, 2.2, 3.3, 5])
            self.assertEqual(t[0, 1], 0)
            f = (t[1:, 1] + 2 * np.log(t[1:, 0])) / t[1:, 2]
            # The time step of 5e-3 moves ⟨V⟩ by less than 1e-4.
            energy = (t[:, 3] - 2 * t[:, 0]) / t[:, 4]
            self.assertLess(t[:, 2].max(), 0.05)
            self.assertLess(np.abs(f).max(), 4.5)
            self.assertLess(np.abs(energy).max(), 4.5)
            squares.append(np.mean(np.concatenate([f, energy])**2))
        # Temperatures go together: some two independent numbers of each seed.
        self.assertLess(np.mean(squares), 2.6)
        self.assertGreater(np.mean(squares), 0.15)

    def test_refusals(self):
        for change, key in (("bias.temperatures=[0.9]", "bias.temperatures"), ("bias.temperatures=[]", "bias.temperatures"),
                            ("bias.method=opes", "bias.temperatures"), ('cv.variables=["x"]', "bias.method")):
            self.assertIn(key, self.refused(LADDER, change))
        line = self.refused(LADDER + "[generator]\n[coupling]\nrounds = 1\n")
        for part in ("[coupling]", "'bias.method'"):
            self.assertIn(part, line)


class Advice(Case):
    def test_pilot(self):
        """The well: two basins, a barrier of 3 kT, and nothing hidden; plain `check` says none of it."""
        (self.dir / "well.toml").write_text(WELL)
        begin = run(BINARY, "check", self.dir / "well.toml").stdout
        text = run(BINARY, "check", self.dir / "well.toml", "--advise").stdout
        self.assertTrue(text.startswith(begin))
        lines = text[len(begin):].splitlines()
        self.assertTrue(all(line.startswith("# ") for line in lines))
        self.assertIn("2 basins", text)
        height = float(re.search(r"highest barrier is ([\d.]+) kT", text)[1])
        self.assertLess(abs(height - 3), 0.5)
        self.assertIn("abf", text)
        self.assertRegex(text, r"with barrier = [\d.]+ \(in the unit where kT = 0\.333\)")
        # y's barrier of more than 10 kT at x = ±1 is behind x, and walkers go round by x = 0.
        (self.dir / "hidden.toml").write_text(HIDDEN[:HIDDEN.index("[generator]")])
        self.assertIn("y, the slowest", run(BINARY, "check", self.dir / "hidden.toml", "--advise").stdout)

    def test_both_wells_of_a_built_in_system(self):
        """Its walkers begin in one well, those of the pilot do not."""
        text = WELL.replace('variables = ["x"]\npotential = "(x^2-1)^2"', 'name = "double_well"')
        self.assertNotEqual(text, WELL)
        (self.dir / "built_in.toml").write_text(text)
        said = run(BINARY, "check", self.dir / "built_in.toml", "--advise").stdout
        self.assertIn("60 of 60 bins", said)
        self.assertIn("2 basins", said)

    def test_what_was_not_reached_is_unknown(self):
        """At x = ±3 the well is 192 kT high: nothing is said of how many basins there are, nor of barriers."""
        (self.dir / "wide.toml").write_text(WELL.replace("from = -1.5", "from = -3.0").replace("to = 1.5", "to = 3.0"))
        text = run(BINARY, "check", self.dir / "wide.toml", "--advise").stdout
        text = text[text.index("# advice"):]
        self.assertRegex(text, r"\d+ of 60 bins were not reached: what lies there is unknown")
        for words in (" basins; ", "one basin", "barrier =", "by themselves"):
            self.assertNotIn(words, text)

    def test_nothing_to_advise_on(self):
        steered = by("steered", EVERY).replace("from = -1.5\nto = 1.5\n", "path = [-1.0, 1.0]\nstiffness = 50.0\n")
        alone = WELL[:WELL.index("[bias]")] + "[rates]\nfrom = -1.0\nto = 1.0\n"
        np.save(self.dir / "s.npy", np.linspace(-1, 1, 200)[:, None])
        given = WELL[:WELL.index("[bias]")] + '[samples]\nstates = ["s.npy"]\nfrom = -1.0\nto = 1.0\n'
        for text, words in ((steered, "has a path"), (alone, "[rates] alone"), (given, "are made already"),
                            (given[given.index("[cv]"):].replace("[integrator]\ndt = 1e-3\ncompile_after = -1\n", "")
                             .replace('"x"', '"x0"'), "needs a [system]")):
            (self.dir / "none.toml").write_text(text)
            done = run(BINARY, "check", self.dir / "none.toml", "--advise", status=2)
            self.assertEqual(done.stdout, "")
            self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
            self.assertRegex(done.stderr, r"none\.toml:\d+")
            self.assertIn(words, done.stderr)
            self.assertIn("--advise", done.stderr)


class Words(Case):
    def test_checks_without_windows(self):
        out = self.go(WELL, "bias.steps=4000", "bias.walkers=128")
        passed = [check["passed"] for check in metrics(out)["checks"]]
        self.assertIn("means do not drift", passed)
        self.assertNotIn("window", " ".join(passed))


class CoupledMolecule(Case):
    def test_rounds(self):
        """A flow learns alanine dipeptide from walkers of one bias; its states start others, and they jump."""
        out = self.dir / "coupled"
        (self.dir / "coupled.toml").write_text(
            (EXAMPLES / "alanine_dipeptide_bias.toml").read_text().replace("../..", str(EXAMPLES.parents[1])) + """
[generator]
kind = "flow"
generator_widths = [32, 32]
batch = 256
iterations = 200
validate_every = 100
[lifting]
values = 2
states = 100
heal_steps = 20
[coupling]
rounds = 1
windows = 8
replicas = 16
equilibrate = 400
steps = 2000
jump = 400
iterations = 100
""")
        run(*command_line(self.dir / "coupled.toml", out, "bias.walkers=128", "bias.steps=4000",
                          "bias.equilibrate=1000", "bias.stride=200", "estimate.bins=24"))
        rounds = metrics(out)["coupling"]["rounds"]
        self.assertEqual(len(rounds), 2)
        self.assertEqual(rounds[1]["windows"] + rounds[1]["discarded_windows"], 2)
        self.assertIn("jump_acceptance", rounds[1])
        self.assertGreater(np.isfinite(table(out / "free_energy.csv")[:, 1]).sum(), 12)


class Refusals(Case):
    def test_one_line_each(self):
        for change, key, said in [
                ("bias.sigma=0.001", "bias.sigma", "spacing"), ("bias.sigma=2.0", "bias.sigma", "quarter"),
                ("bias.biasfactor=0.5", "bias.biasfactor", "1 or less"), ("bias.stride=7", "bias.stride", "divide"),
                ("bias.steps=100", "bias.st", "stride"), ("bias.method=ebf", "bias.method", "abf"),
                ("bias.bins=4", "bias.bins", "8"), ("bias.to=-2.0", "bias.to", "less than"),
                ("bias.walls=[{variable=2,lower=0.0,stiffness=1.0}]", "bias.walls[0].variable", "count them"),
                ("bias.walls=[{variable=1,stiffness=1.0}]", "bias.walls", "lower"),
                ("bias.freeze=1.0", "bias.freeze", "< 1"), ("estimate.method=umbrella_integration", "estimate.method", "[bias]"),
                ]:
            with self.subTest(change):
                line = self.refused(WELL, change)
                self.assertIn(key, line)
                self.assertIn(said, line)
                self.assertNotIn("'umbrella", line)
        coupled = WELL.replace('variables = ["x"]', 'variables = ["x", "y"]', 1).replace(
            "(x^2-1)^2", "(x^2-1)^2 + y^2") + "[generator]\n[coupling]\nrounds = 1\n"
        for change in ("coupling.exchange=200", "coupling.ablation=true"):
            self.assertIn("[bias] has none", self.refused(coupled, change))
        self.assertIn("'bias.target_error'", self.refused(WELL, "bias.target_error=0.1", "estimate.enabled=false"))
        self.assertIn("there are both [umbrella] and [bias]", self.refused(WELL + "[umbrella]\nfrom = -1\n"))
        self.assertIn("'bias.draw'", self.refused(by("eabf", WELL), "bias.draw=7"))
        self.assertIn("springs", self.refused(by("eabf", WELL), "bias.stiffness=0.5"))

    def test_keys_of_other_methods(self):
        """Each is named with its place and its methods; what a run wrote down for all methods is taken again."""
        for method, key, value, owners in (
                ("abf", "biasfactor", "6.0", 'methods "metadynamics", "opes", "opes_explore"'),
                ("metadynamics", "full_samples", "100.0", 'methods "abf", "eabf"'), ("opes", "height", "1.0e-1", 'method "metadynamics"'),
                ("eabf", "temperatures", "[1.0, 2.0]", 'method "tempering"'), ("abf", "images", "30", 'method "string"'),
                ("opes", "move", "2", 'method "steered"'), ("metadynamics", "rungs", "3", 'method "population_annealing"')):
            text = by(method, EVERY).replace("\n[estimate]", f"\n{key} = {value}\n[estimate]")
            line = self.refused(text)
            number = text[:text.index(f"\n{key} = ")].count("\n") + 2
            self.assertIn(f"bad.toml:{number}:", line)
            self.assertIn(f"key 'bias.{key}' is of the {owners}, and key 'bias.method' is \"{method}\"", line)
        population = by("steered", EVERY).replace('"steered"', '"population_annealing"')
        self.assertIn("'bias.bins'", self.refused(population, "bias.bins=50"))
        (self.dir / "well.toml").write_text(by("abf", EVERY))
        written = run(BINARY, "check", self.dir / "well.toml").stdout
        self.assertIn("\nheight = 1.0\n", written)
        (self.dir / "again.toml").write_text(written)
        self.assertEqual(run(BINARY, "check", self.dir / "again.toml").stdout, written)


if __name__ == "__main__":
    unittest.main()
