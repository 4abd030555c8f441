#!/usr/bin/python3
"""Walkers that are pulled along a path and back: their work beside exact laws, free energy differences by Jarzynski,
Crooks and BAR with their errors, the free energy along the path, in one and two collective variables and of a molecule;
what is warned of; stops and threads; refusals."""
import math
import re
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from butane import SYSTEM, energy, write_butane  # noqa: E402
from command import EXAMPLES, Case, command_line, metrics, rows, run, table  # noqa: E402

TRAP = """seed = 3
[system]
variables = ["x"]
potential = "0"
beta = 1.0
[cv]
variables = ["x"]
[integrator]
dt = 5e-3
compile_after = -1
[bias]
method = "steered"
path = [0.0, 1.0]
stiffness = 5.0
walkers = 2048
equilibrate = 400
steps = 4000
stride = 100
[estimate]
bins = 20
"""
WELL = TRAP.replace('"0"', '"(x^2-1)^2"').replace("beta = 1.0", "beta = 3.0").replace("dt = 5e-3", "dt = 1e-3").replace(
    "[0.0, 1.0]", "[-1.0, 0.0]").replace("stiffness = 5.0", "stiffness = 50.0")
FOUR = ("jarzynski_forward", "jarzynski_reverse", "crooks", "bar")


def well(x):
    return (x**2 - 1)**2


def restrained(potential, center, stiffness, beta):
    """−ln ∫ e^{−β (V + κ (x − c)²/2)}/β."""
    x = np.linspace(-4, 4, 40001)
    return -np.log(np.sum(np.exp(-beta * (potential(x) + 0.5 * stiffness * (x - center)**2))) * (x[1] - x[0])) / beta


def quiet(*more):
    return ("--quiet", "--no-report", *more)


def works(folder):
    all_rows = rows(folder / "work.csv")
    return tuple(np.array([float(r["work"]) for r in all_rows if r["direction"] == way])
                 for way in ("forward", "reverse"))


class Trap(Case):
    def test_work_of_a_dragged_trap(self):
        """⟨W⟩ = v² [t − τ (1 − e^{−t/τ})], variance 2 ⟨W⟩/β, ΔF = 0."""
        out = self.go(TRAP, "bias.walkers=8192")
        t, tau, v = 20.0, 0.2, 1 / 20
        mean = v**2 * (t - tau * (1 - math.exp(-t / tau)))
        for work in works(out):
            self.assertEqual(len(work), 8192)
            self.assertLess(abs(work.mean() - mean), 4 * math.sqrt(2 * mean / 8192))
            # Of the variance of a normal law: the relative error √(2/n).
            self.assertLess(abs(work.var(ddof=1) / (2 * mean) - 1), 4 * math.sqrt(2 / 8192) + 0.01)
        found = metrics(out)["steered"]
        for name in FOUR:
            value = found["difference"][name]
            self.assertLess(value["std_error"], 0.01, name)
            self.assertLess(abs(value["value"]), 0.01, name)
        self.assertLess(abs(found["slope"] - 1), 4 * found["slope_error"])
        self.assertNotIn("warnings", metrics(out))

    def test_final_variable(self):
        """ξ at the end trails the trap by v τ."""
        out = self.go(TRAP, "bias.steps=400")
        last = np.array([float(r["cv_1"]) for r in rows(out / "work.csv") if r["direction"] == "forward"])
        v, tau = 1 / 2, 0.2
        self.assertLess(abs(last.mean() - (1 - v * tau)), 4 * math.sqrt(0.2 / len(last)) + 2e-3)

    def test_errors_cover(self):
        """Over 20 seeds deviations from 0 have the size of the errors that are told."""
        squares = {name: [] for name in FOUR}
        slopes, path = [], []
        for seed in range(20):
            out = self.go(TRAP, f"seed={100 + seed}", "bias.walkers=512", "bias.steps=1000", name=f"s{seed}")
            found = metrics(out)["steered"]
            for name in FOUR:
                value = found["difference"][name]
                squares[name].append(((value["value"] - value.get("bias", 0)) / value["std_error"])**2)
            slopes.append(((found["slope"] - 1) / found["slope_error"])**2)
            t = table(out / "free_energy.csv")
            z = (t[:, 1] - np.average(t[:, 1], weights=1 / np.maximum(t[:, 2], 1e-3)**2)) / np.where(t[:, 2] > 0, t[:, 2],
                                                                                                 np.inf)
            path.append(np.mean(z**2))
        for name, z2 in {**squares, "slope": slopes}.items():
            # The mean of 20 squares of standard normal numbers has the deviation 0.32.
            self.assertGreater(np.mean(z2), 0.3, name)
            self.assertLess(np.mean(z2), 1.95, name)
        self.assertLess(np.mean(path), 1.6)

    def test_jarzynski_is_told_not_to_be_trusted(self):
        """Pulled so fast that e^{dissipation} walkers are not there."""
        out = self.go(TRAP, "bias.steps=200", "bias.path=[0.0,4.0]", "bias.walkers=256", "integrator.dt=1e-3")
        said = "\n".join(metrics(out)["warnings"])
        self.assertIn("Jarzynski's average of the work forward rests on", said)
        self.assertIn("hardly overlaps", said)
        checks = {c["name"]: c["found"] for c in metrics(out)["checks"]}
        self.assertTrue(checks["work"])

    def test_starts_that_move(self):
        out = self.go(TRAP, "bias.equilibrate=20", "bias.path=[2.0,3.0]")
        self.assertTrue(any("at the beginning of the path walkers still move" in w for w in metrics(out)["warnings"]))


class Well(Case):
    def test_difference_and_profile(self):
        out = self.go(WELL, "bias.steps=8000")
        found = metrics(out)["steered"]["difference"]
        exact = restrained(well, 0.0, 50, 3) - restrained(well, -1.0, 50, 3)
        for name in FOUR:
            off = abs(found[name]["value"] - exact)
            self.assertLess(off, 4 * found[name]["std_error"] + abs(found[name].get("bias", 0)), name)
        t = table(out / "free_energy.csv")
        self.assertTrue((t[:, 2] >= 0).all())
        z = (t[:, 1] - well(t[:, 0]) + well(t[np.argmin(t[:, 1]), 0])) / np.where(t[:, 2] > 0, t[:, 2], np.inf)
        self.assertLess(np.abs(z).max(), 4.5)
        self.assertLess(np.abs(t[:, 1] - well(t[:, 0])).max(), 0.1)
        way = table(out / "steered.csv")
        self.assertEqual(len(way), 81)
        exact = np.array([restrained(well, c, 50, 3) for c in way[:, 0]])
        off = way[1:, 1] - (exact - exact[0])[1:]
        self.assertLess(np.abs(off / way[1:, 2]).max(), 4.5)
        self.assertAlmostEqual(way[-1, 1], found["bar"]["value"], places=6)

    def test_errors_cover(self):
        """Of F(0) − F(−1) along the path, over 20 seeds."""
        square = []
        for seed in range(20):
            out = self.go(WELL, f"seed={200 + seed}", "bias.walkers=256", name=f"s{seed}")
            t = table(out / "free_energy.csv")
            low, error = np.argmin(t[:, 1]), t[-1, 2]
            square.append(((t[-1, 1] - (well(t[-1, 0]) - well(t[low, 0]))) / error)**2)
        self.assertLess(np.mean(square), 1.95)
        self.assertGreater(np.mean(square), 0.3)


PLANE = """seed = 6
[system]
variables = ["x", "y"]
potential = "(x^2-1)^2 + 2*(y - 0.5*x^2)^2"
beta = 3.0
[cv]
variables = ["x", "y"]
[integrator]
dt = 1e-3
compile_after = -1
[bias]
method = "steered"
path = [-1.0, 0.5, 0.0, 0.0, 1.0, 0.5]
stiffness = [60.0, 60.0]
walkers = 1024
equilibrate = 1000
steps = 12000
stride = 100
initial = [-1.0, 0.5]
[estimate]
bins = [25, 2]
"""


class Plane(Case):
    def test_path_of_three_points(self):
        out = self.go(PLANE, "bias.initial=\"line\"")
        t = table(out / "free_energy.csv")
        self.assertEqual(len(t), 25)
        np.testing.assert_allclose(t[[0, 12, 24], :2], [[-1, 0.5], [0, 0], [1, 0.5]], atol=1e-12)
        # The mean over a box of half the width of the bias.
        h = 0.5 / math.sqrt(180)
        u = np.linspace(-h, h, 41)
        x, y = t[:, 0, None, None] + u[:, None], t[:, 1, None, None] + u
        exact = -np.log(np.mean(np.exp(-3 * (well(x) + 2 * (y - 0.5 * x**2)**2)), axis=(1, 2))) / 3
        low = np.argmin(t[:, 2])
        z = (t[:, 2] - (exact - exact[low])) / np.where(t[:, 3] > 0, t[:, 3], np.inf)
        self.assertLess(np.abs(z).max(), 4.5)
        self.assertLess(np.sqrt(np.mean(z**2)), 1.8)
        self.assertLess(np.abs(t[:, 2] - (exact - exact[low])).max(), 0.15)


class Molecule(Case):
    def test_dihedral(self):
        """United-atom butane from trans over the barrier to gauche: F(φ) is the torsion's own potential."""
        write_butane(self.dir)
        text = "seed = 5\n" + SYSTEM + """[bias]
method = "steered"
path = [3.4, 1.1]
stiffness = 300.0
walkers = 256
equilibrate = 1000
heat_steps = 1000
steps = 10000
stride = 100
[estimate]
bins = 30
"""
        out = self.go(text)
        t = table(out / "free_energy.csv")
        exact = energy(t[:, 0])
        low = np.argmin(t[:, 1])
        z = (t[:, 1] - exact + exact[low]) / np.where(t[:, 2] > 0, t[:, 2], np.inf)
        self.assertLess(np.abs(z).max(), 4.5)
        self.assertLess(np.sqrt(np.mean(z**2)), 2.0)
        self.assertLess(np.std(t[:, 1] - exact), 0.6)  # kJ/mol


class Stops(Case):
    FILES = ("work.csv", "steered.csv", "free_energy.csv")

    def test_threads(self):
        one = self.go(WELL, name="one", options=quiet("--threads", 1))
        two = self.go(WELL, name="two", options=quiet("--threads", 2))
        for name in self.FILES:
            self.assertEqual((one / name).read_bytes(), (two / name).read_bytes(), name)

    def test_moves_of_several_steps(self):
        """Relations of work hold for any length of the moves."""
        out = self.go(WELL, "bias.move=20", "bias.steps=8000")
        found = metrics(out)["steered"]["difference"]["bar"]
        exact = restrained(well, 0.0, 50, 3) - restrained(well, -1.0, 50, 3)
        self.assertLess(abs(found["value"] - exact), 4 * found["std_error"])

    def test_goes_on(self):
        whole = self.go(WELL, "bias.steps=40000", name="whole")
        line = command_line(self.dir / "whole.toml", self.dir / "cut", "bias.steps=40000")
        for wait in (1.0, 1.5):
            process = subprocess.Popen([*line, "--resume"], stderr=subprocess.DEVNULL)
            time.sleep(wait)
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20)
        run(*line, "--resume")
        for name in self.FILES:
            self.assertEqual((whole / name).read_bytes(), (self.dir / "cut" / name).read_bytes(), name)


class Report(Case):
    def test_section(self):
        out = self.go(WELL, options=("--quiet",))
        page = (out / "report.html").read_text()
        self.assertIn('id="steered"', page)
        self.assertIn("What to trust", page)
        self.assertIn("take BAR", page)
        plane = self.go(PLANE, "bias.steps=2000", name="plane", options=("--quiet",))
        self.assertIn("Free energy on the path", (plane / "report.html").read_text())


class Refusals(Case):
    def test_what_is_wrong_is_named(self):
        for change, words in (("bias.path=[1.0]", "has 1 number for 1 collective variable"),
                              ("bias.path=[1.0,1.0]", "are the same"),
                              ("bias.stiffness=0", "needs a key 'bias.stiffness' above 0"),
                              ("bias.move=7", "'bias.move' = 7 does not divide 'bias.stride' = 100"),
                              ("bias.walkers=1", "says nothing of how much they differ"),
                              ("bias.from=-1", "is of a bias on a grid"),
                              ("generator.kind=cgan", "leaves no samples of one law")):
            with self.subTest(change):
                self.assertIn(words, self.refused(TRAP, change))
        self.assertIn("estimate.method", self.refused(TRAP, "estimate.method=mbar"))
        self.assertIn("key 'bias.path' is missing", self.refused(TRAP.replace("path = [0.0, 1.0]\n", "")))

    def test_check(self):
        (self.dir / "trap.toml").write_text(TRAP)
        said = run(command_line("x", "y")[0], "check", self.dir / "trap.toml").stdout
        self.assertIn("# bias: steered: 2048 walkers each way", said)
        self.assertIn('method = "work"', said)
        self.assertNotIn("wham", said)

    def test_summary(self):
        (self.dir / "trap.toml").write_text(TRAP)
        out = self.dir / "run"
        said = run(*command_line(self.dir / "trap.toml", out, "bias.walkers=256", options=("--no-report",))).stdout
        bar = metrics(out)["steered"]["difference"]["bar"]
        value, error = map(float, re.search(r"free energy difference (\S+) \+- (\S+) by BAR", said).groups())
        self.assertAlmostEqual(value, bar["value"], delta=bar["std_error"] / 10)
        self.assertAlmostEqual(error, bar["std_error"], delta=bar["std_error"] / 10)
        self.assertNotIn("window", " ".join(check["passed"] for check in metrics(out)["checks"]))
        # What it writes it reads again.
        run(*command_line(out / "config.toml", self.dir / "again", options=quiet()))
        self.assertEqual((out / "work.csv").read_bytes(), (self.dir / "again" / "work.csv").read_bytes())


class Example(Case):
    def test_steered_well(self):
        out = self.dir / "example"
        run(*command_line(EXAMPLES / "steered_well.toml", out, "bias.walkers=512"))
        found = metrics(out)["steered"]["difference"]["bar"]
        self.assertLess(abs(found["value"]), 4 * found["std_error"])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
