#!/usr/bin/python3
"""Systems given by drift and noise: free energies that are known, in their own unit of energy, for
collective variables of any gradient, unequal mobilities and correlated noise; what is refused and said."""
import sys
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import BINARY, Scratch, command_line, metrics, rows, run, table  # noqa: E402

# V = 2 (ξ² − 1)² and a spring across, kT = 1; drift = −D grad V.
SCALED = """
variables = ["x"]
drift = ["-8*x*(x^2-1)"]
diffusion = ["sqrt(2)"]
"""
TWO_MOBILITIES = """
variables = ["x", "y"]
drift = ["-8*(x-y)*((x-y)^2-1) - (x+y)", "0.25*8*(x-y)*((x-y)^2-1) - 0.25*(x+y)"]
diffusion = ["sqrt(2)", "sqrt(0.5)"]
"""
CORRELATED = """
variables = ["x", "y"]
drift = ["-8*x*(x^2-1) + 0.8*(y-x)", "-0.6*8*x*(x^2-1) - 0.8*(y-x)"]
diffusion = [["sqrt(2)", "0"], ["0.6*sqrt(2)", "0.8*sqrt(2)"]]
"""
PLANE = """
variables = ["x", "y"]
drift = ["-2*x - 1.2*y", "-1.2*x - 2*y"]
diffusion = [["sqrt(2)", "0"], ["0.6*sqrt(2)", "0.8*sqrt(2)"]]
"""


def config(system, cv, reach, stiffness):
    return f"""
seed = 1
[system]{system}
[cv]
variables = [{cv}]
[integrator]
dt = 1e-3
[umbrella]
from = {-reach}
to = {reach}
windows = 15
stiffness = {stiffness}
replicas = 64
equilibrate = 2000
steps = 8000
stride = 100
[estimate]
bins = 28
"""


class Mobility(Scratch):
    def finished(self, name, text, *changes):
        path = self.dir / f"{name}.toml"
        path.write_text(text)
        done = run(*command_line(path, self.dir / name, *changes,
                                 options=("--quiet", "--no-report", "--threads", 1)))
        return self.dir / name, done

    def check_free_energy(self, folder, exact):
        """Within five of its standard errors of −kT ln of the density's mean over each bin, up to a
        constant: that of least squares, as noise chooses the bin that is zero."""
        found = table(folder / "free_energy.csv")
        at, value, error = found[:, :-2], found[:, -2], found[:, -1]
        width = [np.diff(np.unique(np.round(column, 9)))[0] for column in at.T]
        steps = (np.arange(9) - 4) / 9
        offsets = np.stack(np.meshgrid(*(steps * w for w in width)), -1).reshape(-1, at.shape[1])
        kt = metrics(folder)["system"]["kt"]
        off = value + kt * np.log(np.exp(-exact(at[:, None, :] + offsets)).mean(1))
        seen = error > 0
        z = (off - np.average(off[seen], weights=error[seen]**-2))[seen] / error[seen]
        self.assertLess(np.abs(z).max(), 5, z)

    def test_free_energies(self):
        for name, system, cv, scale, kt in (
                ("double", SCALED, '"2*x"', 2, 4), ("half", SCALED, '"0.5*x"', 0.5, 0.25),
                ("mobilities", TWO_MOBILITIES, '"x-y"', 1, 1.25),
                ("correlated", CORRELATED, '"x"', 1, 1)):
            with self.subTest(name):
                # Windows of one width in kT, whatever the unit.
                folder, done = self.finished(name, config(system, cv, 1.4 * scale, 40 * kt / scale**2))
                self.assertAlmostEqual(kt, metrics(folder)["system"]["kt"], delta=1e-6 * kt)
                self.check_free_energy(folder, lambda s, r=scale: 2 * ((s[..., 0] / r)**2 - 1)**2)
                said = f"kT = D = {kt:.6g}"
                self.assertIn(said, metrics(folder)["system"]["energy_unit"])
                self.assertIn(said, done.stdout)
                self.assertIn(said, run(BINARY, "check", self.dir / f"{name}.toml").stdout)
                self.assertEqual([], metrics(folder).get("warnings", []))
        for row in rows(self.dir / "correlated" / "conditional.csv"):  # E(y | x) = x
            if row["source"] == "physics" and row["variable"] == "y":
                off = float(row["mean"]) - float(row["cv_1"])
                # A bin is 0.1 wide, and x within it leans to the wells: less than 0.02.
                self.assertLess(abs(off), 5 * float(row["mean_se"]) + 0.02)

    def test_closure(self):
        """By detailed balance the averaged drift is −kT dF/dξ with F in kT, and D is kT."""
        for name, system, cv, kt in (("mobilities", TWO_MOBILITIES, '"x-y"', 1.25),
                                     ("correlated", CORRELATED, '"x"', 1)):
            with self.subTest(name):
                text = config(system, cv, 1.4, 40 * kt) + "[closure]\nbursts = false\n"
                folder, _ = self.finished(name, text)
                found = [r for r in rows(folder / "closure.csv") if r["source"] == "conditional"]
                self.assertEqual(28, len(found))
                for row in found:
                    x = float(row["cv_1"])
                    self.assertAlmostEqual(-kt * 8 * x * (x * x - 1), float(row["drift"]),
                                           delta=5 * float(row["drift_se"]))
                    self.assertAlmostEqual(kt, float(row["diffusion"]), delta=1e-6)

    def test_other_estimators(self):
        text = config(TWO_MOBILITIES, '"x-y"', 1.4, 50)
        for method in ("wham", "umbrella_integration"):
            with self.subTest(method):
                folder, _ = self.finished(method, text, f"estimate.method='{method}'",
                                          "umbrella.exchange=1000")
                if method == "wham":
                    self.check_free_energy(folder, lambda s: 2 * (s[..., 0]**2 - 1)**2)
                found = table(folder / "free_energy.csv")
                middle = np.interp(0, found[:, 0], found[:, 1])
                self.assertAlmostEqual(2 * 1.25, middle, delta=5 * found[:, 2].max() + 0.1)

    def test_two_variables(self):
        text = config(PLANE, '"x", "y"', 1.2, 10).replace("= 15", "= 7").replace("= 28", "= 12")
        folder, _ = self.finished("plane", text, "umbrella.replicas=16", "umbrella.exchange=1000")
        self.check_free_energy(folder, lambda s: (s**2).sum(-1))

    def test_refused_and_said(self):
        (self.dir / "c.toml").write_text(config(PLANE, '"x^2 + y"', 1, 10))
        message = run(*command_line(self.dir / "c.toml", self.dir / "c"), status=2).stderr
        for part in ("c.toml:", "cv.variables", "depends on the state"):
            self.assertIn(part, message)
        self.assertEqual(1, message.count("\n"))
        # One fault is said once, whatever follows from it.
        for noise, says in (('["0", "1"]', "is zero"), ('["1e-20", "1"]', "beyond single precision")):
            still = config('\nvariables = ["x", "y"]\ndrift = ["-x", "-y"]\n'
                           f"diffusion = {noise}\n", '"x"', 1, 10)
            (self.dir / "c.toml").write_text(still)
            message = run(*command_line(self.dir / "c.toml", self.dir / "c"), status=2).stderr
            self.assertIn(says, message)
            self.assertEqual(1, message.count("\n"), message)
        currents = PLANE.replace("-1.2*x - 2*y", "3*x - 2*y")
        folder, _ = self.finished("currents", config(currents, '"x"', 1, 10), "umbrella.steps=1000",
                                  "umbrella.equilibrate=10")
        self.assertTrue(any("detailed balance" in w for w in metrics(folder)["warnings"]))
        self.assertIn("detailed balance", run(BINARY, "check", self.dir / "currents.toml").stdout)


if __name__ == "__main__":
    unittest.main()
