#!/usr/bin/python3
"""Checks of every run on its own states: steps that are too long, single precision that is not enough,
bins that are too wide. Each is found, named, and silent where nothing is wrong."""
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import Scratch, command_line, metrics, run  # noqa: E402

CONFIG = """
seed = 1
[system]
variables = ["x", "y"]
{system}
[cv]
variables = ["x"]
[integrator]
scheme = "leimkuhler_matthews"
dt = 1e-3
[umbrella]
from = -1.0
to = 1.0
windows = 16
stiffness = 20.0
replicas = 32
equilibrate = 2000
steps = 20000
stride = 100
initial = [0.0, 0.0]
[estimate]
bins = 40
"""
POTENTIAL = 'potential = "{}"\nbeta = 1.0'
WALL = POTENTIAL.format("0.5*{}*max(0,x-1)^2+0.5*y^2")


class Accuracy(Scratch):
    def config(self, system):
        path = self.dir / "c.toml"
        path.write_text(CONFIG.format(system=system))
        return path

    def checked(self, system, *changes):
        """What a run says of its accuracy, and its warnings."""
        config, out = self.config(system), self.dir / "out"
        run(*command_line(config, out, *changes, options=("--quiet", "--no-report", "--force")))
        found = metrics(out)
        return found["accuracy"], [w for w in found.get("warnings", [])]

    def assert_warns(self, warnings, *parts):
        self.assertTrue(any(all(p in w for p in parts) for w in warnings), (parts, warnings))

    def assert_silent(self, warnings, part):
        self.assertFalse([w for w in warnings if part in w])

    def test_step_too_long_at_a_wall(self):
        # h = k dt = 10 and 100; a free energy that is off by 1.1 and 4.8 kT in the last bin.
        for k in ("1e4", "1e5"):
            accuracy, warnings = self.checked(WALL.format(k))
            self.assert_warns(warnings, "integrator.dt = 0.001 is too long", "window at x =", "try")
            step = accuracy["step"]
            self.assertGreater(step["excess"], 2 * step["excess_error"])
            self.assertGreater(step["excess"], 0.5 * step["excess_expected"])
        # The step that is named resolves the wall.
        text = next(w for w in warnings if "is too long" in w)
        dt = float(text.split("try ")[1].split(",")[0])
        self.assertLessEqual(dt * 1e5, 1.0)
        for change in ("integrator.scheme='mala'", "integrator.dt=2e-6"):
            self.assert_silent(self.checked(WALL.format("1e5"), change)[1], "is too long")

    def test_without_stored_samples(self):
        accuracy, warnings = self.checked(WALL.format("1e4"), "umbrella.store='histogram'",
                                          "umbrella.replicas=512", "umbrella.steps=2000",
                                          "estimate.method='wham'")
        self.assert_warns(warnings, "integrator.dt = 0.001 is too long")
        self.assertGreater(accuracy["step"]["acceptance"], 0.9)

    def test_step_short_enough(self):
        # h = 1: the free energy is right within its errors.
        accuracy, warnings = self.checked(WALL.format("1e3"))
        self.assert_silent(warnings, "is too long")
        self.assertGreater(accuracy["step"]["acceptance"], 0.9)

    def test_step_of_other_schemes(self):
        # Euler-Maruyama in a well of h = 0.4: a variance of 1.25; exact by Leimkuhler-Matthews.
        stiff = POTENTIAL.format("x^2+200*y^2")
        _, warnings = self.checked(stiff, "integrator.scheme='euler_maruyama'")
        self.assert_warns(warnings, "is too long", "force on y")
        self.assert_silent(self.checked(stiff)[1], "is too long")
        # The frequency 100 of the wall, times dt: 3.
        _, warnings = self.checked(WALL.format("1e4"), "integrator.scheme='baoab'",
                                   "integrator.dt=3e-2", "integrator.friction=5")
        self.assert_warns(warnings, "is too long")

    def test_step_without_a_potential(self):
        drift = 'drift = ["-{}*max(0,x-1)", "-y"]\ndiffusion = ["1.4", "1.4"]'
        change = "integrator.scheme='euler_maruyama'"
        self.assert_warns(self.checked(drift.format("3e3"), change)[1], "is too long", "drift of x")
        self.assert_silent(self.checked(drift.format("3e2"), change)[1], "is too long")

    def test_far_from_zero(self):
        for far in (1e5, 3e5, 1e6):
            config = self.config(POTENTIAL.format(f"0.5*(x-{far})^2+0.5*y^2"))
            done = run(*command_line(config, self.dir / "out", f"umbrella.from={far - 1}",
                                     f"umbrella.to={far + 1}", f"umbrella.initial=[{far}, 0.0]"), status=2)
            self.assertIn("'x' goes up to", done.stderr)
            self.assertIn("count it from", done.stderr)
        _, warnings = self.checked(POTENTIAL.format("0.5*x^2+0.5*(y-1e5)^2"), "umbrella.initial=[0.0, 1e5]")
        self.assert_warns(warnings, "where y is", "rounding is felt")

    def test_step_below_single_precision(self):
        config = self.config(WALL.format("1"))
        done = run(*command_line(config, self.dir / "out", "integrator.dt=1e-20"), status=2)
        self.assertIn("choose a larger integrator.dt", done.stderr)
        done = run(*command_line(config, self.dir / "out", "umbrella.stiffness=1e20"), status=2)
        self.assertIn("choose a smaller umbrella.stiffness", done.stderr)

    def test_held_exponential(self):
        accuracy, warnings = self.checked(POTENTIAL.format("x^2+10*(0.01*log(max(exp(100*x),1)))^2+0.5*y^2"))
        self.assert_warns(warnings, "single precision is not enough for the force on x", "exp((100*x))")
        self.assertGreater(accuracy["precision"]["drift_error_kt"], 0.02)

    def test_enough_precision(self):
        # A mixture whose terms are below the least number of single precision.
        mixture = "-log(exp(-5*(x-1)^2-200)+exp(-5*(x+1)^2-200))+0.5*y^2"
        accuracy, warnings = self.checked(POTENTIAL.format(mixture))
        self.assertEqual([], warnings)
        self.assertLess(accuracy["precision"]["drift_error_kt"], 1e-3)

    def test_energies_of_acceptances(self):
        change = "integrator.scheme='mala'"
        _, warnings = self.checked(POTENTIAL.format("1e7+x^2+y^2"), change)
        self.assert_warns(warnings, "rounds energies")
        self.assert_silent(self.checked(POTENTIAL.format("10+x^2+y^2"), change)[1], "rounds energies")

    def test_wide_bins(self):
        steep = POTENTIAL.format("5*x^20+0.5*y^2")
        ranges = ("integrator.dt=2e-4", "umbrella.from=-1.2", "umbrella.to=1.2", "umbrella.windows=13",
                  "umbrella.stiffness=40")
        self.assert_warns(self.checked(steep, "estimate.bins=25", *ranges)[1], "the bins are wide")
        self.assert_silent(self.checked(steep, "estimate.bins=400", *ranges)[1], "the bins are wide")


if __name__ == "__main__":
    unittest.main()
