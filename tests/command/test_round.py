#!/usr/bin/python3
"""Collective variables all round a period: free energies, averages, reduced models and lifted states beside
exact answers, which know no seam. Deviations are judged by the standard errors that the runs report."""
import sys
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import EXAMPLES, Scratch, command_line, metrics, rows, run, table  # noqa: E402

TURN = 2 * np.pi
ROTOR = """seed = 3
[system]
variables = ["x"]
potential = "2*cos(x - 0.4) + 1.2*cos(2*x)"
beta = 1.0
[cv]
variables = [{ formula = "x", period = 6.283185307179586, name = "phi" }]
[integrator]
dt = 2e-3
compile_after = -1
[umbrella]
from = -3.141592653589793
to = 3.141592653589793
windows = 15
stiffness = 16
replicas = 32
equilibrate = 1000
steps = 8000
stride = 20
[estimate]
bins = 36
"""


def rotor(x):
    return 2 * np.cos(x - 0.4) + 1.2 * np.cos(2 * x)


def normal_sum(value, error, exact):
    """Deviations from the exact profile in standard errors; each without its mean, as a free energy has
    no zero, and without the bin whose error is 0 by definition."""
    use = np.isfinite(value) & (error > 0)
    weight = 1 / error[use]**2
    apart = value[use] - exact[use]
    return (apart - np.sum(apart * weight) / np.sum(weight)) / error[use]


class Case(Scratch):
    def go(self, text, *changes, name="run", status=0):
        (self.dir / f"{name}.toml").write_text(text)
        run(*command_line(self.dir / f"{name}.toml", self.dir / name, *changes), status=status)
        return self.dir / name

    def judge(self, folder, exact, dims=1, most=4.5):
        t = table(folder / "free_energy.csv")
        z = normal_sum(t[:, dims], t[:, dims + 1], exact(*t[:, :dims].T))
        self.assertEqual(len(z), len(t) - 1)  # every bin was sampled
        self.assertLess(np.abs(z).max(), most)
        # The errors are neither far too small nor far too large: neighbours hang together, so wide bounds.
        self.assertLess(np.sqrt(np.mean(z**2)), 2.0)
        return t


class Rotor(Case):
    def test_estimators(self):
        for change in ("mbar", "wham", "umbrella_integration"):
            t = self.judge(self.go(ROTOR, f"estimate.method={change}", name=change), rotor)
            self.assertAlmostEqual(t[1, 0] - t[0, 0], TURN / 36)
        # The mean force closes.
        loop, error = metrics(self.dir / "umbrella_integration")["stages"]["estimate"]["once_round_kt"]
        self.assertLess(abs(loop), 4.5 * error)
        self.assertGreater(error, 0)
        for change in ("wham", "umbrella_integration"):
            self.judge(self.go(ROTOR, f"estimate.method={change}", "umbrella.store=histogram",
                               name="counted_" + change), rotor)

    def test_exact_and_windows(self):
        out = self.go(ROTOR)
        exact = table(out / "exact.csv")
        f = rotor(exact[:, 0])
        np.testing.assert_allclose(exact[:, 1], f - f.min(), atol=1e-9)
        found = metrics(out)
        centers = np.ravel([w["center"] for w in found["windows"]])
        np.testing.assert_allclose(centers, -np.pi + TURN / 15 * np.arange(15))
        # Every window overlaps with its next, the last with the first.
        self.assertEqual(len(found["stages"]["estimate"]["overlaps"]), 15)
        for window in found["windows"]:
            self.assertGreater(window["overlap_next"], 0.1)
        self.assertEqual(found.get("warnings", []), [])

    def test_origin(self):
        """Where the windows begin changes nothing, nor does a period less a few digits."""
        for start in (0.7, -12.0):
            self.judge(self.go(ROTOR, f"umbrella.from={start}", f"umbrella.to={start + 6.2832}",
                               name=f"from{start}"), rotor)

    def test_free_rotor_and_exchange(self):
        """Flat; exchanges across the seam are as frequent as the others, with an odd number of windows."""
        text = ROTOR.replace("2*cos(x - 0.4) + 1.2*cos(2*x)", "0*x")
        self.judge(self.go(text, "umbrella.exchange=100"), lambda x: 0 * x)
        # Weak windows, which trajectories leave all round: the parabola's edge opposite is in the weights.
        self.judge(self.go(ROTOR, "umbrella.stiffness=1.0", name="weak"), rotor)

    def test_refused(self):
        (self.dir / "bad.toml").write_text(ROTOR)
        for change, says in (("umbrella.to=4.0", "whose period is 6.283"),
                             ("system.potential=x^2", "its forces are others there"),
                             ('cv.variables=[{formula="x", period=3.0}]', "whose period is 3")):
            done = run(*command_line(self.dir / "bad.toml", self.dir / "bad", change), status=2)
            self.assertIn(says, done.stderr)


class Angle(Case):
    """A cut of atan2 inside the windows: a particle on a soft ring, whose angle has the potential's law."""

    TEXT = """seed = 5
[system]
variables = ["x", "y"]
potential = "40*(sqrt(x^2 + y^2) - 1)^2 + 1.5*x + 0.8*(x^2 - y^2)/(x^2 + y^2)"
beta = 2.0
[cv]
variables = [{ formula = "atan2(y, x)", period = 6.283185307179586, name = "phi" }]
[integrator]
dt = 5e-4
compile_after = -1
[umbrella]
from = 0.0
to = 6.283185307179586
windows = 16
stiffness = 12
replicas = 24
equilibrate = 2000
steps = 12000
stride = 40
initial = [1.0, 0.1]
[estimate]
bins = 30
"""

    def test_profile(self):
        r = np.linspace(1e-3, 2.5, 4001)

        def exact(phi):
            v = 40 * (r - 1)**2 + 1.5 * r * np.cos(phi)[:, None] + 0.8 * np.cos(2 * phi)[:, None]
            return -np.log(np.sum(r * np.exp(-2 * v), axis=1)) / 2

        self.judge(self.go(self.TEXT), exact)


class Chain(Case):
    """The dihedral angle of a chain of four atoms, over the top of its barrier: F is the torsion's potential."""

    def test_profile(self):
        text = (EXAMPLES / "dihedral.toml").read_text()
        out = self.go(text, "umbrella.from=-3.1416", "umbrella.to=3.1416", "umbrella.windows=24",
                      "umbrella.stiffness=60", "umbrella.replicas=16", "umbrella.equilibrate=1500",
                      "umbrella.steps=8000", "umbrella.stride=40", "estimate.bins=36",
                      "closure.enabled=false")
        self.judge(out, lambda x: 1.5 * (1 + np.cos(3 * x)) + 8 * ((1 + np.cos(x)) / 2)**6)


class Torus(Case):
    """Two angles: both, or one of them, all round."""

    TEXT = """seed = 7
[system]
variables = ["u", "v"]
potential = "cos(u) + 0.7*cos(v) + 0.9*cos(u - v)"
beta = 1.0
[cv]
variables = [{ formula = "u", period = 6.283185307179586 }, { formula = "v", period = 6.283185307179586 }]
[integrator]
dt = 4e-3
compile_after = -1
[umbrella]
from = [-3.141592653589793, 0.0]
to = [3.141592653589793, 6.283185307179586]
windows = [9, 8]
stiffness = 5
replicas = 16
equilibrate = 500
steps = 6000
stride = 40
exchange = 200
[estimate]
bins = [18, 16]
"""

    @staticmethod
    def exact(u, v):
        return np.cos(u) + 0.7 * np.cos(v) + 0.9 * np.cos(u - v)

    def test_both(self):
        for method in ("mbar", "wham"):
            self.judge(self.go(self.TEXT, f"estimate.method={method}", name=method), self.exact, dims=2,
                       most=5.0)

    def test_one(self):
        out = self.go(self.TEXT, "umbrella.from=[-3.141592653589793, -1.5]",
                      "umbrella.to=[3.141592653589793, 1.5]", "umbrella.windows=[9, 5]",
                      "umbrella.exchange=0", "estimate.bins=[18, 10]")
        self.judge(out, self.exact, dims=2, most=5.0)


if __name__ == "__main__":
    unittest.main()
