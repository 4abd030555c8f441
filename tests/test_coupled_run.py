#!/usr/bin/python3
"""The coupling loop on hidden_barrier, reduced: every window starts in y > 0, and the exact
populations behind the hidden barrier come out; umbrella sampling alone stays in its well."""
import csv
import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np

SOURCE = Path(os.environ.get("MICROLIFT_SOURCE", Path(__file__).resolve().parent.parent))
BINARY = Path(os.environ.get("MICROLIFT_BINARY", SOURCE / "build" / "microlift"))
EXACT = {-1: 0.313441, -0.5: 0.410336, 0: 0.5, 0.5: 0.589664, 1: 0.686559}  # P(y > 0 | x)
BARRIER = 1.56588  # F(0) - F(1), and F(0) - F(-1)


class Coupled(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.run_dir = Path(cls.folder.name) / "coupled"
        changes = ["generator.iterations=500", "generator.generator_widths=[32,32]",
                   "generator.validation_states=1000", "coupling.iterations=300",
                   "coupling.windows=20", "coupling.rounds=3", "lifting.values=5",
                   "lifting.states=1000", "lifting.heal_steps=0", "closure.enabled=false"]
        subprocess.run([BINARY, "run", SOURCE / "tools/examples/hidden_barrier.toml", "-o",
                        cls.run_dir, "--quiet", *sum((["--set", c] for c in changes), [])],
                       check=True, capture_output=True, text=True)
        cls.metrics = json.loads((cls.run_dir / "metrics.json").read_text())
        with h5py.File(cls.run_dir / "samples.h5") as file:
            cls.state = file["state"][:]

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_populations(self):
        for at, exact in EXACT.items():
            near = self.state[np.abs(self.state[:, 0] - at) < 0.03]
            self.assertGreater(len(near), 2000)
            # The number that the example promises at its own size is 0.02.
            self.assertAlmostEqual((near[:, 1] > 0).mean(), exact, delta=0.03, msg=f"x = {at}")

    def test_free_energy(self):
        with open(self.run_dir / "free_energy.csv", newline="") as file:
            rows = np.array([[float(c) for c in row] for row in list(csv.reader(file))[1:]])
        at = lambda x: np.interp(x, rows[:, 0], rows[:, 1])  # noqa: E731
        for side in (-1, 1):
            self.assertAlmostEqual(at(0) - at(side), BARRIER, delta=0.06)

    def test_alone(self):
        """At the same force evaluations: the umbrella's mean of y at x = -1 is that of y > 0."""
        ablation = self.metrics["coupling"]["ablation"]
        places = np.array(ablation["places"])[:, 0]
        i = int(np.argmin(np.abs(places + 1)))
        exact = ablation["reference"]["mean"][i]
        umbrella, both = (ablation[k][-1]["mean"][i] for k in ("umbrella", "both"))
        # E[y | x = -1] is -0.371; in one well +0.98: a population 0.69 off.
        self.assertGreater(umbrella - exact, 0.6)
        self.assertLess(abs(both - exact), 0.1)
        for kind in ("umbrella", "generator", "both"):
            costs = [p["force_evaluations"] for p in ablation[kind]]
            self.assertEqual(costs, [r["force_evaluations"] for r in
                                     self.metrics["coupling"]["rounds"]])
        errors = {k: ablation[k][-1]["conditional_error"] for k in ("umbrella", "generator", "both")}
        self.assertLess(errors["both"], 0.2 * errors["umbrella"])
        self.assertLess(errors["both"], 0.5 * errors["generator"])

    def test_rounds(self):
        rounds = self.metrics["coupling"]["rounds"]
        self.assertGreater(rounds[0]["worst_disagreement"], 0.5)
        self.assertGreater(sum(r["discarded_windows"] for r in rounds), 10)
        self.assertTrue(all(r["jump_acceptance"] > 0.1 for r in rounds[1:]))
        reasons = {n["reason"] for n in rounds[0]["next"]}
        self.assertIn("reweighted lifted states disagree", reasons)
        spent = sum(self.metrics["stages"][s]["force_evaluations"] for s in ("sample", "couple"))
        self.assertEqual(rounds[-1]["force_evaluations"], spent)


if __name__ == "__main__":
    unittest.main()
