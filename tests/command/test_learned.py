#!/usr/bin/python3
"""Learned coordinates end to end, by the built command and the shipped examples: from samples to a
map, from the map to a biased run and a closure; the slow variable of a system only observed."""
import json
import statistics
import sys
import unittest
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import BINARY, EXAMPLES, Scratch, metrics, rows, run, settings  # noqa: E402

SMALL = """
seed = 1
[system]
variables = ["x", "y"]
potential = "(x^2-1)^2 + 2*y^2"
beta = 3.0
[cv]
variables = ["x"]
[integrator]
dt = 1e-2
[umbrella]
from = -1.5
to = 1.5
windows = 7
stiffness = 15.0
replicas = 8
equilibrate = 200
steps = 2000
stride = 20
[estimate]
"""


class Learned(Scratch):
    FLAT = "a bias on it moves nothing there"

    def run_command(self, *arguments, status=0):
        return run(BINARY, *arguments, status=status, cwd=self.dir)

    def start(self, config, folder, *changes, status=0):
        return self.run_command("run", config, "-o", folder, "--quiet", *settings(changes), status=status)

    def metrics(self, folder):
        return metrics(self.dir / folder)

    def test_slow_variable_of_the_observed_fast_slow_system(self):
        example = EXAMPLES / "fast_slow_observed.toml"
        for seed in (1, 2):
            folder = self.dir / f"seed_{seed}"
            self.start(example, folder, f"seed={seed}")
            learned = self.metrics(folder)["learn"]
            self.assertEqual(learned["independent"][0], 1)
            self.assertGreaterEqual(abs(learned["rank_correlation"][0]["x1"]), 0.99)
        self.assertIn("Learned coordinates", (folder / "report.html").read_text())
        # The run's stage and the command do the same; Euclidean distances do not find x1.
        mine = (folder / "diffusion_map.json").read_bytes()
        self.run_command("learn", folder, "--bursts", "--unweighted", "--quiet", "--threads", "1")
        self.assertEqual((folder / "diffusion_map.json").read_bytes(), mine)
        self.run_command("learn", folder, "--unweighted", "--points", "2000", "--quiet", "-o",
                         "plain.json")
        plain = json.loads((self.dir / "plain.json").read_text())
        self.assertLess(abs(plain["rank_correlation"][0]["x1"]), 0.98)

    def test_biasing_a_learned_coordinate_of_muller_brown(self):
        self.start(EXAMPLES / "muller_brown.toml", "out/muller_brown", "generator.enabled=false",
                   "coupling.enabled=false", "closure.enabled=false", "umbrella.replicas=64",
                   "umbrella.equilibrate=20000", "umbrella.steps=40000", "umbrella.stride=200",
                   "umbrella.exchange=400")
        self.run_command("learn", "out/muller_brown", "--quiet")
        self.start(EXAMPLES / "muller_brown_learned.toml", "learned", "umbrella.replicas=32",
                   "umbrella.equilibrate=10000", "umbrella.steps=20000",
                   "closure.passage_steps=200")
        with h5py.File(self.dir / "learned" / "samples.h5") as file:
            x, log_weight = file["state"][:, 0], file["weight"][:]
        weight = np.exp(log_weight - log_weight.max())
        p = weight[x > 0].sum() / weight.sum()
        exact = 0.085425
        error = -np.log(p / (1 - p)) + np.log(exact / (1 - exact))
        self.assertLess(abs(error), 0.2, "kT")
        # The closure's mean time from the deep well into the other; 6.87 from the deep minimum to
        # x = 0.6235 in the full model, by a solution of its equation. The run's own full model, which
        # takes a minute here, is cut short.
        sources = {s["source"]: s for s in self.metrics("learned")["closure"]["sources"]}
        time = sources["free_energy"]["passages"][0]["value"]
        self.assertLess(abs(time / 6.87 - 1), 0.25, time)

    def test_classical_lifting(self):
        """The mean state of a curved level set lies off it by what curvature and variance say."""
        config = self.dir / "a.toml"
        config.write_text(SMALL.replace('["x"]', '["x + 0.3*y^2"]') + """
[generator]
kind = "energy"
iterations = 400
[lifting]
values = 9
states = 2000
heal_steps = 0
""")
        told = self.start(config, "out", "umbrella.steps=40000").stdout
        told += self.run_command("learn", "out", "--points", "1000", "--quiet").stdout
        self.assertNotIn(self.FLAT, told)  # x + 0.3 y^2 changes everywhere, and so does what is slow
        table = rows(self.dir / "out" / "classical_lifting.csv")

        def median(column, source, variable="y"):
            return statistics.median(float(r[column]) for r in table
                                     if (r["source"], r["variable"]) == (source, variable))

        harmonics = "geometric_harmonics"
        # One state for each value: E|y - E y| of the nearly normal y is 0.798 of its deviation.
        self.assertEqual(median("spread_over_sigma", harmonics), 0)
        self.assertAlmostEqual(median("w1_over_sigma", harmonics), 0.798, delta=0.05)
        # Right in the mean: 112 000 samples, of about 70 harmonics. Five errors of 0.025.
        self.assertLess(median("mean_over_sigma", harmonics), 0.125)
        # x + 0.3 y^2 of the mean state is off by 0.3 Var(y): 0.3 / 12 where y is normal. Newton steps
        # mend that, at the cost of the mean of x.
        self.assertAlmostEqual(median("residual", harmonics), 0.025, delta=0.003)
        self.assertLess(median("residual", harmonics + "_projected"), 1e-5)
        self.assertGreater(median("mean_over_sigma", harmonics + "_projected", "x"), 0.4)
        self.assertLess(median("mean_over_sigma", harmonics, "x"), 0.125)
        self.assertLess(median("w1_over_sigma", "generator_projected"), 0.25)
        self.assertLess(median("w1_over_sigma", "samples"), 0.1)
        self.assertAlmostEqual(median("spread_over_sigma", "samples"), 1, delta=0.1)
        self.assertEqual(self.metrics("out")["classical_lifting"][harmonics]["residual"]["median"],
                         median("residual", harmonics))
        self.assertIn("Classical lifting", (self.dir / "out" / "report.html").read_text())

    def test_flat_variable(self):
        config = self.dir / "a.toml"
        # tanh(6 x) does not change in the wells at -1 and 1.
        config.write_text(SMALL.replace('["x"]', '["tanh(6*x)"]'))
        told = self.start(config, "flat", "umbrella.stiffness=0.5", "umbrella.from=-0.9",
                          "umbrella.to=0.9").stdout
        self.assertIn(self.FLAT, told)
        self.assertIn(self.FLAT, (self.dir / "flat" / "report.html").read_text())
        # Two wells 9 kT below their barrier: the slow coordinate is a step.
        config.write_text(SMALL)
        self.start(config, "cold", "system.beta=9", "umbrella.stiffness=30.0",
                   "umbrella.steps=20000")
        told = self.run_command("learn", "cold", "--points", "1000", "--quiet").stdout
        self.assertRegex(told, r"gradient vanishes at [\d.]+ % \(coordinate 1\)")

    def test_refusals_and_warnings(self):
        config = self.dir / "a.toml"
        runs = iter(range(100))

        def run(*changes, **k):
            return self.start(config, f"run_{next(runs)}", *changes, **k)

        def refused(*words):
            message = run(status=2).stderr
            self.assertEqual(message.count("\n"), 1, message)
            for word in words:
                self.assertIn(word, message)

        config.write_text(SMALL.replace('"x"]\n[int', '{ kind = "diffusion_map" }]\n[int'))
        refused("a.toml:", "'cv.variables[].file' is missing")
        (self.dir / "broken.json").write_text("{}")
        config.write_text(SMALL.replace(
            '"x"]\n[int', '{ kind = "diffusion_map", file = "broken.json" }]\n[int'))
        refused("broken.json", "microlift learn")
        config.write_text(SMALL.replace("[estimate]", "[learn]"))
        refused("a.toml:", "[estimate]")
        message = self.run_command("learn", self.dir, status=2).stderr
        self.assertEqual(message.count("\n"), 1)
        # Too few samples for the eigenproblem.
        config.write_text(SMALL + "[learn]\n")
        message = run("umbrella.steps=20", "umbrella.replicas=2", status=2).stderr
        self.assertRegex(message, r"a\.toml:\d+.* 14 samples, which are too few for 6 coordinates")
        self.assertEqual(message.count("\n"), 1, message)
        message = run("learn.points=64", status=2).stderr
        self.assertIn("64 different points are too few for 120 landmarks", message)
        self.assertEqual(message.count("\n"), 1, message)
        # A bandwidth that disconnects the samples: once in the summary, and in the report.
        shown = self.start(config, "torn", "learn.epsilon=1e-5", "learn.points=300",
                           "learn.unweighted=true").stdout
        torn = "bandwidth epsilon = 1e-05 disconnects the samples into 7 or more groups"
        self.assertIn(torn, shown)
        self.assertEqual(shown.count("learned coordinates:"), 1, shown)
        self.assertIn(torn, (self.dir / "torn/report.html").read_text())
        # So do too few neighbours.
        shown = self.run_command("learn", "torn", "--neighbours", "2", "--points", "300",
                                 "--unweighted", "--quiet").stdout
        self.assertIn("with 2 neighbours of each sample", shown)
        self.assertEqual(shown.count("warning"), 1, shown)


if __name__ == "__main__":
    unittest.main()
