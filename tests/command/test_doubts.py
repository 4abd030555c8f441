#!/usr/bin/python3
"""Runs that are wrong say so: data that never move, windows without a link, too few blocks, answers that
are not the exact ones, generators that nothing judged. And runs that are right say nothing."""
import sys
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import Scratch, command_line, metrics, run, table  # noqa: E402

WELL = """
seed = 1
[system]
variables = ["x"]
potential = "3*(x^2-1)^2+0.5*x"
beta = 1.0
[cv]
variables = ["x"]
[integrator]
dt = 1e-3
[umbrella]
from = -1.5
to = 1.5
windows = 16
stiffness = 40.0
replicas = 32
equilibrate = 2000
steps = 5000
stride = 50
[estimate]
bins = 40
"""
PLANE = """
seed = 1
[system]
variables = ["x", "y"]
drift = ["-x", "-y"]
diffusion = ["1", "1"]
[cv]
variables = ["x"]
[integrator]
scheme = "euler_maruyama"
dt = 1e-3
[umbrella]
from = -1.0
to = 1.0
windows = 9
stiffness = 20.0
replicas = 32
equilibrate = 1000
steps = 4000
stride = 100
[estimate]
bins = 20
[generator]
kind = "energy"
iterations = 600
batch = 128
validate_every = 200
validation_states = 1000
[lifting]
values = 5
states = 2000
heal_steps = 0
"""


class Doubts(Scratch):
    def words(self, text, *changes):
        (self.dir / "c.toml").write_text(text)
        return command_line(self.dir / "c.toml", self.dir / "out", *changes,
                            options=("--quiet", "--no-report", "--threads", "1", "--force"))

    def warnings(self, text, *changes):
        run(*self.words(text, *changes))
        return metrics(self.dir / "out").get("warnings", [])

    def error(self, text, *changes, status):
        return run(*self.words(text, *changes), status=status).stderr

    def assertSaid(self, words, warnings):
        self.assertTrue(any(words in w for w in warnings), warnings)

    def profile(self):
        return table(self.dir / "out" / "free_energy.csv")

    def test_right_runs_say_nothing(self):
        for seed in range(1, 5):
            self.assertEqual(self.warnings(WELL, f"seed={seed}"), [])

    def test_never_moves(self):
        said = self.error(WELL, "integrator.dt=1e-20", status=2)  # known before the first step
        self.assertIn("choose a larger integrator.dt", said)
        frozen = ["integrator.dt=1000.0", "integrator.scheme='mala'"]
        for changes in (frozen, frozen + ["umbrella.store='histogram'"]):
            said = self.error(WELL, *changes, status=4)
            self.assertIn("never move", said)
            self.assertIn("integrator.dt", said)
            self.assertEqual(len(said.strip().splitlines()), 1, said)

    def test_no_overlap(self):
        warnings = self.warnings(WELL, "integrator.dt=1e-7", "umbrella.windows=40",
                                 "umbrella.stiffness=1e6", "umbrella.equilibrate=500")
        self.assertEqual(sum("overlap" in w for w in warnings), 1, warnings)
        error = self.profile()[:, 2]
        self.assertGreater(np.isinf(error).sum(), 30)
        self.assertEqual(np.isfinite(error).sum() + np.isinf(error).sum() + np.isnan(error).sum(),
                         40)

    def test_one_bin(self):
        self.assertSaid("there is one bin", self.warnings(WELL, "estimate.bins=1"))

    def test_few_blocks(self):
        self.assertIn("estimate.blocks", self.error(WELL, "estimate.blocks=2", status=2))
        # Two replicas, too short to divide: no error bars; long enough: segments of time.
        warnings = self.warnings(WELL, "umbrella.replicas=2", "umbrella.steps=500")
        self.assertSaid("no standard errors", warnings)
        self.assertTrue(np.isnan(self.profile()[:, 2]).sum() >= 39)
        for store in ("samples", "histogram"):
            self.warnings(WELL, "umbrella.replicas=2", "umbrella.steps=50000",
                          f"umbrella.store='{store}'")
            self.assertGreaterEqual(
                metrics(self.dir / "out")["stages"]["estimate"]["error_blocks"], 8)

    def test_errors_of_few_replicas_cover(self):
        """Of the difference of two bins far apart, 24 seeds: within two errors in 95.45 %."""
        for store in ("samples", "histogram"):
            for replicas in (1, 2, 3):
                within = 0
                for seed in range(1, 25):
                    run(*self.words(WELL, f"seed={seed}", f"umbrella.replicas={replicas}",
                                    "umbrella.steps=25000", f"umbrella.store='{store}'"))
                    f = self.profile()
                    low = int(np.nanargmin(f[:, 1]))
                    x = f[:, 0]
                    exact = 3 * (x * x - 1) ** 2 + 0.5 * x
                    with np.errstate(all="ignore"):
                        z = (f[:, 1] - (exact - exact[low])) / f[:, 2]
                    within += np.nanmean(np.abs(np.delete(z, low)) < 2) / 24
                # Bins of a run go together: the share's error is at most that of 24 draws, 0.042.
                self.assertGreater(within, 0.9545 - 3 * 0.042, (store, replicas))

    def test_wall_too_steep_for_the_step(self):
        warnings = self.warnings(
            WELL, "system.potential='3*(x^2-1)^2+0.5*x+0.5*3e4*max(0,x-1)^2'",
            "umbrella.replicas=64", "umbrella.to=1.05")
        self.assertSaid("is not the exact one", warnings)
        self.assertSaid("integrator.dt", warnings)

    def test_a_start_that_still_shows(self):
        """A step too short for the motion is not called too large."""
        warnings = self.warnings(WELL, "system.potential='5/(1+exp(200*x))+x^2'", "integrator.dt=1e-7")
        self.assertSaid("is not the exact one", warnings)
        self.assertSaid("the likely cause: the start still shows", warnings)

    def test_windows_stuck_in_a_hidden_well(self):
        hidden = WELL.replace('["x"]\npotential = "3*(x^2-1)^2+0.5*x"',
                              '["x", "y"]\npotential = '
                              '"3*(x^2-1)^2+(0.5+10*x^2)*(y^2-1)^2-0.4*x*y"')
        self.assertIn('"y"', hidden)
        warnings = self.warnings(hidden, "system.beta=20.0", "umbrella.stiffness=20.0",
                                 "umbrella.windows=31", "integrator.dt=2e-4",
                                 "umbrella.initial=[0.0, 1.0]", "estimate.bins=30")
        self.assertSaid("is not the exact one", warnings)
        self.assertSaid("states of y", warnings)

    def test_what_the_variable_determines_is_no_alarm(self):
        warnings = self.warnings(PLANE.replace(
            '[cv]', 'observe = ["x^2", "sin(3*x)", "y"]\n[cv]'), "generator.iterations=6000")
        self.assertFalse([w for w in warnings if "far from physics" in w], warnings)

    def test_constant_variable(self):
        text = PLANE.replace('"-y"]', '"0"]').replace('["1", "1"]', '["1", "0"]')
        done = run(*self.words(text))
        self.assertNotIn("nan", done.stdout + done.stderr)
        self.assertNotIn("NaN", (self.dir / "out" / "metrics.json").read_text())

    def test_nothing_held_out(self):
        for share in ("1e-9", "0.999"):
            warnings = self.warnings(PLANE, f"generator.held_out={share}")
            self.assertSaid("held out", warnings)
            self.assertIsNone(metrics(self.dir / "out")["stages"]["train"]["best_w1"])

    def test_quadrature_that_is_not_sure(self):
        flat = WELL.replace('["x"]\npotential = "3*(x^2-1)^2+0.5*x"',
                            '["x", "y"]\npotential = "3*(x^2-1)^2+0.5*x+cos(y)"')
        done = run(*[w for w in self.words(flat) if w != "--quiet"])
        self.assertIn("no exact.csv", done.stderr)
        self.assertFalse((self.dir / "out" / "exact.csv").exists())


if __name__ == "__main__":
    unittest.main()
