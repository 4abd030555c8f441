#!/usr/bin/python3
"""Collective variables that are angles of a right triangle, that jump, or that go round: right, or said to be
wrong. And what a run says that it checked."""
import math
import sys
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import Scratch, command_line, metrics, run, table  # noqa: E402

REST = """
[integrator]
dt = {dt}
[umbrella]
from = {0}
to = {1}
windows = 17
stiffness = {2}
initial = {initial}
replicas = 32
equilibrate = 1000
steps = 10000
stride = 50
[estimate]
bins = 40
"""


def job(variables, potential, cv, *windows, dt=2e-3, initial="[0.5, 0.5]"):
    return (f'seed = 5\n[system]\nvariables = {variables}\npotential = "{potential}"\nbeta = 1.0\n'
            f'[cv]\nvariables = [{cv}]\n' + REST.format(*windows, dt=dt, initial=initial))


RING = "20*(sqrt(x^2+y^2)-1)^2 + 0.5*x"


class Angles(Scratch):
    def start(self, text, *changes, status=0):
        (self.dir / "c.toml").write_text(text)
        return run(*command_line(self.dir / "c.toml", self.dir / "out", *changes,
                                 options=("--quiet", "--no-report", "--threads", "1", "--force")), status=status)

    def agrees(self, exact):
        """Mean z² of the deviations from their weighted mean. Neighbouring bins share their noise, so it may
        be 2; a free energy that is off by 0.2 kT gives more than 10 here."""
        x, f, s = table(self.dir / "out" / "free_energy.csv").T
        known = np.isfinite(f) & (s > 0)
        d, s = (f - np.array([exact(v) for v in x]))[known], s[known]
        z = (d - np.average(d, weights=1 / s**2)) / s
        self.assertLess(np.mean(z**2), 2, z)
        self.assertGreater(known.sum(), 30)

    def test_angles_of_a_triangle(self):
        """From 0 to pi, the ends of acos included: exactly 0.5 cos(angle) plus a constant, since the radial
        part is the same for every angle but for a shift that 20 kT per square makes small (0.5 cos / 40)."""
        for cv, windows, exact in (
                ("acos(x/sqrt(x^2+y^2))", (0.1, 3.0, 40.0), math.cos),
                ("asin(x/(x^2+y^2)^0.5)", (-1.5, 1.5, 40.0), math.sin)):
            with self.subTest(cv):
                self.start(job('["x", "y"]', RING, f'"{cv}"', *windows, dt=1e-3))
                self.agrees(lambda t, f=exact: 0.5 * f(t))

    def test_jumps(self):
        for variables, potential, cv, reach, initial in (
                ('["x"]', "0.5*x^2", '"x + 0.1*x/abs(x)"', 1.5, "[0.5]"),
                ('["x", "y"]', "4*(x^2+y^2-1)^2", '"atan2(y, x) + 0.1*x"', 2.9, "[0.5, 0.5]")):
            with self.subTest(cv):
                self.start(job(variables, potential, cv, -reach, reach, 30.0, initial=initial))
                said = [w for w in metrics(self.dir / "out")["warnings"] if " jumps, by up to " in w]
                self.assertEqual(len(said), 1)
        self.assertIn("by up to 6.2", said[0])

    def test_no_jumps(self):
        """Folds, quotients and angles that stay away from their cut."""
        for cv, low, high in (("abs(x) + y/(1+x^2)", 0.3, 1.5), ("atan2(y, x)", -2.2, 2.2),
                              ("max(x, y)", -0.5, 1.5)):
            with self.subTest(cv):
                self.start(job('["x", "y"]', RING, f'"{cv}"', low, high, 40.0, dt=1e-3))
                self.assertFalse([w for w in metrics(self.dir / "out").get("warnings", []) if "jumps" in w])

    def test_a_sign_alone(self):
        done = self.start(job('["x"]', "0.5*x^2", '"x/abs(x)"', -0.9, 0.9, 30.0, initial="[0.5]"), status=2)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assertIn("does not depend on the state", done.stderr)

    def test_what_was_checked(self):
        """Every check that such a run makes, in metrics.json; what found something says so."""
        text = job('["x", "y"]', "(x^2-1)^2 + y^2", '"x"', -1.5, 1.5, 30.0)
        self.start(text)
        checks = {c["name"]: c["found"] for c in metrics(self.dir / "out")["checks"]}
        self.assertEqual(set(checks), {
            "starts", "ends", "spacing", "balance", "finite", "samples", "equilibration", "halves", "windows",
            "estimators", "stationary", "jumps", "steps", "single_force", "single_state", "single_variable",
            "bins", "exact"})
        self.assertEqual([name for name, found in checks.items() if found], [])
        wall = job('["x"]', "0.5*x^2 + log(1 + exp(40*(x-1)))", '"x"', -2, 2.4, 40.0, dt=5e-4, initial="[0.5]")
        self.start(wall)  # 4 kT within a bin
        checks = {c["name"]: c["found"] for c in metrics(self.dir / "out")["checks"]}
        self.assertTrue(checks["bins"])
        self.assertFalse(checks["steps"])

    def test_a_checkpoint_of_another_run(self):
        text = job('["x"]', "(x^2-1)^2", '"x"', -1.5, 1.5, 30.0, initial="[0.5]")
        self.start(text)
        (self.dir / "out").rename(self.dir / "first")
        self.start(text, "system.beta=2.0")
        (self.dir / "first" / "checkpoint.h5").write_bytes((self.dir / "out" / "checkpoint.h5").read_bytes())
        done = run(*command_line(self.dir / "c.toml", self.dir / "first",
                                 options=("--quiet", "--no-report", "--threads", "1", "--resume")), status=2)
        self.assertIn("belongs to another configuration", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
