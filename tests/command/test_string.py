#!/usr/bin/python3
"""Strings through two collective variables by swarms of trajectories: the Müller-Brown surface's passes its saddles, the
free energy along it, a plane whose string is known, a molecule's two torsions; threads and stops; refusals."""
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import EXAMPLES, Case, command_line, metrics, run, table  # noqa: E402

VALLEY = """seed = 3
[system]
variables = ["x", "y"]
potential = "2*(x^2-1)^2 + 20*(y - 0.5*x^2)^2"
beta = 5.0
[cv]
variables = ["x", "y"]
[integrator]
dt = 1e-3
compile_after = -1
[bias]
method = "string"
path = [-1.0, 0.0, 1.0, 0.0]
images = 21
stiffness = [200.0, 200.0]
walkers = 64
equilibrate = 50
lag = 10
iterations = 200
steps = 2000
stride = 20
initial = "line"
"""


def distance(points, to):
    """Of a point from the lines between points."""
    a, d = points[:-1], np.diff(points, axis=0)
    part = np.clip(((to - a) * d).sum(axis=1) / (d * d).sum(axis=1), 0, 1)
    return np.sqrt((((a + part[:, None] * d) - to)**2).sum(axis=1)).min()


class MullerBrown(Case):
    def test_passes_the_saddles(self):
        out = self.dir / "string"
        said = run(*command_line(EXAMPLES / "muller_brown_string.toml", out, "bias.walkers=32", "bias.iterations=200")).stdout
        t = table(out / "string.csv")
        points = t[:, :2]
        for saddle in ((-0.822, 0.624), (0.212, 0.293)):
            self.assertLess(distance(points, np.array(saddle)), 0.03)
        # Both ends have gone to their minima.
        self.assertLess(np.linalg.norm(points[0] - (-0.558, 1.442)), 0.03)
        self.assertLess(np.linalg.norm(points[-1] - (0.623, 0.028)), 0.03)
        # Saddles above the deep minimum by 106.03 and 74.45, of a point near them and with the restraint's width.
        exact = self.restrained(points)
        exact -= exact[np.argmin(t[:, 4])]
        z = (t[:, 4] - exact) / np.where(t[:, 5] > 0, t[:, 5], np.inf)
        self.assertLess(np.abs(z).max(), 4.5)
        self.assertLess(t[:, 5].max(), 1.0)
        self.assertLess(abs(t[points[:, 0] < -0.6, 4].max() - 106.03), 1.5)
        self.assertLess(abs(t[points[:, 0] > 0.0, 4].max() - 74.45), 1.5)
        # The two saddles are what is told of it.
        highest = metrics(out)["string"]["highest"]
        self.assertEqual(len(highest), 2)
        self.assertEqual(said.count("  string     F = "), 2)
        for one, saddle in zip(highest, ((-0.822, 0.624), (0.212, 0.293))):
            self.assertLess(np.linalg.norm(np.array(one["at"]) - saddle), 0.06)
            self.assertEqual(one["free_energy"], t[one["point"], 4])

    @staticmethod
    def restrained(points, stiffness=4000.0):
        """−ln ∫ e^{−V − κ (ξ − z)²/2} by quadrature, β = 1."""
        a, b, c = (-1, -1, -6.5, 0.7), (0, 0, 11, 0.6), (-10, -10, -6.5, 0.7)
        u = np.linspace(-0.12, 0.12, 161)
        found = []
        for p in points:
            x, y = np.meshgrid(p[0] + u, p[1] + u, indexing="ij")
            v = sum(h * np.exp(a[i] * (x - x0)**2 + b[i] * (x - x0) * (y - y0) + c[i] * (y - y0)**2)
                    for i, (h, x0, y0) in enumerate(((-200, 1, 0), (-100, 0, 0.5), (-170, -0.5, 1.5), (15, -1, 1))))
            total = v + 0.5 * stiffness * ((x - p[0])**2 + (y - p[1])**2)
            found.append(total.min() - np.log(np.mean(np.exp(total.min() - total))))
        return np.array(found)


class Valley(Case):
    def test_valley(self):
        """Along y = x²/2, F = 2 (x² − 1)² but for the restraint's width."""
        out = self.go(VALLEY)
        t = table(out / "string.csv")
        x, y = t[:, 0], t[:, 1]
        inner = slice(1, -1)
        self.assertLess(np.abs(y - 0.5 * x**2)[inner].max(), 0.05)
        self.assertLess(abs(abs(x[0]) - 1), 0.08)
        # Points in equal distances.
        steps = np.hypot(np.diff(x), np.diff(y))
        self.assertLess(np.ptp(steps) / steps.mean(), 0.05)
        barrier = t[np.argmin(np.abs(x)), 4] - 0.5 * (t[0, 4] + t[-1, 4])
        # By quadrature of the restrained free energy at (0, 0) and (±1, 1/2).
        self.assertLess(abs(barrier - self.restrained_barrier()), 4 * t[len(t) // 2, 5] + 0.06)
        found = metrics(out)["string"]
        self.assertEqual(found["points"], 21)
        self.assertLess(found["looks"][-1]["from_the_end"], found["looks"][0]["from_the_end"])

    @staticmethod
    def restrained_barrier():
        u = np.linspace(-2.5, 2.5, 801)
        x, y = np.meshgrid(u, u)
        v = 2 * (x**2 - 1)**2 + 20 * (y - 0.5 * x**2)**2

        def free(a, b):
            return -np.log(np.sum(np.exp(-5 * (v + 100 * ((x - a)**2 + (y - b)**2))))) / 5
        return free(0, 0) - free(1, 0.5)

    def test_threads(self):
        one = self.go(VALLEY, "bias.iterations=40", name="one", options=("--quiet", "--no-report", "--threads", 1))
        two = self.go(VALLEY, "bias.iterations=40", name="two", options=("--quiet", "--no-report", "--threads", 2))
        self.assertEqual((one / "string.csv").read_bytes(), (two / "string.csv").read_bytes())

    def test_goes_on(self):
        whole = self.go(VALLEY, "bias.steps=20000", name="whole")
        line = command_line(self.dir / "whole.toml", self.dir / "cut", "bias.steps=20000")
        process = subprocess.Popen(line, stderr=subprocess.DEVNULL)
        time.sleep(0.6)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
        run(*line, "--resume")
        self.assertEqual((whole / "string.csv").read_bytes(), (self.dir / "cut" / "string.csv").read_bytes())

    def test_too_few_iterations_for_errors(self):
        """No error of the points, instead of one by two numbers, and a line that says how many it takes."""
        few = self.go(VALLEY, "bias.iterations=6", name="few")
        self.assertTrue(np.isnan(table(few / "string.csv")[:, 2:4]).all())
        told = [w for w in metrics(few)["warnings"] if "no errors of its points" in w]
        self.assertEqual(len(told), 1)
        self.assertIn("give 7 bias.iterations or more", told[0])
        enough = self.go(VALLEY, "bias.iterations=7", name="enough")
        self.assertTrue(np.isfinite(table(enough / "string.csv")[:, 2:4]).all())
        self.assertFalse(any("no errors" in w for w in metrics(enough).get("warnings", [])))

    def test_one_that_still_moves_is_told(self):
        out = self.go(VALLEY, "bias.iterations=24", "bias.path=[-1.0,1.2,1.0,1.2]", "bias.lag=2", "bias.walkers=256")
        self.assertTrue(any("the string still moves" in w for w in metrics(out).get("warnings", [])))

    def test_report(self):
        out = self.go(VALLEY, "bias.iterations=40", options=("--quiet",))
        self.assertIn('id="string"', (out / "report.html").read_text())


class Molecule(Case):
    def test_alanine_dipeptide(self):
        """(φ, ψ) from C7eq to C7ax in vacuum: finite, in equal distances, higher in between."""
        text = f"""seed = 2
[system]
kind = "molecule"
topology = "{EXAMPLES.parents[1]}/bench/data/ala2.prmtop"
coordinates = "{EXAMPLES.parents[1]}/bench/data/ala2.inpcrd"
constraints = "h_bonds"
temperature = 300.0
[cv]
variables = [{{ name = "phi", kind = "dihedral", atoms = [4, 6, 8, 14] }},
             {{ name = "psi", kind = "dihedral", atoms = [6, 8, 14, 16] }}]
[integrator]
dt = 0.002
friction = 5.0
[bias]
method = "string"
path = [-1.4, 1.2, 1.2, -0.9]
images = 12
stiffness = [300.0, 300.0]
walkers = 16
equilibrate = 50
heat_steps = 500
lag = 10
iterations = 30
steps = 1000
stride = 20
"""
        out = self.go(text)
        t = table(out / "string.csv")
        self.assertTrue(np.isfinite(t).all())
        steps = np.hypot(np.diff(t[:, 0]), np.diff(t[:, 1]))
        self.assertLess(np.ptp(steps) / steps.mean(), 0.1)
        self.assertGreater(t[2:-2, 4].max(), 15)  # kJ/mol
        self.assertLess(t[:, 5].max(), 5)


class Refusals(Case):
    def test_what_is_wrong_is_named(self):
        for change, words in (("bias.path=[1.0,2.0,3.0]", "has 3 numbers for 2 collective variables"),
                              ("bias.images=2", "bias.images"), ("bias.walkers=1", "says nothing of how much they differ"),
                              ("closure.dt=0.01", "leaves no samples of one law")):
            with self.subTest(change):
                self.assertIn(words, self.refused(VALLEY, change))

    def test_check(self):
        (self.dir / "x.toml").write_text(VALLEY)
        said = run(command_line("x", "y")[0], "check", self.dir / "x.toml").stdout
        self.assertIn("# bias: string: 21 points with 64 walkers each", said)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
