#!/usr/bin/python3
"""A collective variable with structure finer than bins and the values of bursts: errors count it, and the
run says so; of a smooth one nothing is said."""
import sys
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import Scratch, command_line, metrics, rows, run  # noqa: E402

CONFIG = """
seed = 1
[system]
variables = ["x"]
potential = "2*(x^2-1)^2"
beta = 1.0
[cv]
variables = ["CV"]
[integrator]
dt = 1e-3
[umbrella]
from = -1.6
to = 1.6
windows = 17
stiffness = 60.0
replicas = 16
equilibrate = 1000
steps = 6000
stride = 20
[estimate]
bins = 45
[closure]
values = 14
replicas = 256
relaxation = 0
"""
RATE = 0.45455  # of the double well


class Structure(Scratch):
    def finished(self, name, cv):
        path = self.dir / f"{name}.toml"
        path.write_text(CONFIG.replace("CV", cv))
        run(*command_line(path, self.dir / name, options=("--quiet", "--no-report", "--threads", 1)))
        return self.dir / name

    def said(self, folder):
        return [w for w in metrics(folder).get("warnings", []) if "structure" in w]

    def test_smooth(self):
        self.assertEqual([], self.said(self.finished("smooth", "x + 0.1*sin(2*x)")))

    def test_rough(self):
        folder = self.finished("rough", "x + 0.01*sin(60*x)")
        self.assertEqual(1, len(self.said(folder)), metrics(folder).get("warnings"))
        x = np.linspace(-2, 2, 40001)
        xi = x + 0.01 * np.sin(60 * x)
        for source in ("burst", "conditional"):
            own = [r for r in rows(folder / "closure.csv") if r["source"] == source]
            at = np.interp([float(r["cv_1"]) for r in own], xi, x)
            first, second = 1 + 0.6 * np.cos(60 * at), -36 * np.sin(60 * at)
            exact = {"drift": second - 8 * at * (at * at - 1) * first, "diffusion": first**2}
            for name, right in exact.items():
                off = np.array([float(r[name]) for r in own]) - right
                z = off / np.array([float(r[name + "_se"]) for r in own])
                # Squares of what structure does to one value, which is no normal deviate: a factor of 3.
                self.assertLess(np.mean(z * z), 3, (source, name, z))
                self.assertGreater(np.mean(z * z), 0.03, (source, name, z))
        for source in metrics(folder)["closure"]["sources"]:
            if source.get("rates"):
                rate = source["rates"][0]
                self.assertLess(abs(rate["value"] - RATE), 3 * rate["error"], source)


if __name__ == "__main__":
    unittest.main()
