#!/usr/bin/python3
"""Variables that are constant, or that the collective variable determines; trainings that nothing judges;
bandwidths that see no difference: each is named, none is a number that looks like a result."""
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import BINARY, Scratch, metrics, run, settings  # noqa: E402

HEAD = """
seed = 1
[system]
variables = ["x", "y"]
"""
REST = """
[cv]
variables = ["x"]
[integrator]
scheme = "euler_maruyama"
dt = 1e-2
[umbrella]
from = -1.0
to = 1.0
windows = 9
stiffness = 20.0
replicas = 16
equilibrate = 200
steps = 20000
stride = 100
[estimate]
bins = 20
[generator]
kind = "energy"
iterations = 800
batch = 128
validate_every = 200
validation_states = 500
[lifting]
values = 5
states = 2000
heal_steps = 0
"""
WELL = HEAD + 'potential = "x^2 + 2*y^2"\nbeta = 1.0\n'


class SpecialVariables(Scratch):
    def start(self, text, *changes):
        config = self.dir / "job.toml"
        config.write_text(text)
        done = run(BINARY, "run", config, "-o", self.dir / "out", "--quiet", "--no-report", "--threads", 1,
                   "--force", *settings(changes))
        return done.stdout, metrics(self.dir / "out")

    def test_constant(self):
        said, told = self.start(HEAD + 'drift = ["-x", "0"]\ndiffusion = ["1", "0"]\n' + REST,
                                "generator.iterations=100")
        self.assertNotIn("nan", said)
        self.assertIn("the same in every sample: y; the generator has nothing to learn", said)
        self.assertNotIn("generator_w1", told["lifting"])

    def test_determined(self):
        said, told = self.start(WELL + 'observe = ["x^2", "sin(3*x)", "y"]\n' + REST,
                                "umbrella.steps=100000")
        self.assertEqual(told["lifting"]["determined"], "y1, y2")
        # They follow x alone: at a value of x they have one value. A generator that misses it by a tenth of
        # the spread that they have over all samples has learned nothing of them to speak of.
        of = {name: [row["w1_over_sigma"] for row in told["lifting"]["w1"] if row["variable"] == name]
              for name in ("y1", "y2", "y3")}
        self.assertLess(max(of["y1"] + of["y2"]), 0.1)
        self.assertEqual(len(of["y1"]), len(of["y3"]))

    def test_nothing_held_out(self):
        said, _ = self.start(WELL + REST, "generator.held_out=1e-9", "generator.iterations=100")
        self.assertIn("nothing held out to judge them", said)
        self.assertIn("nothing was held out of the training", said)
        self.assertNotIn("W1/sigma 0 ", said)

    def test_flat_bandwidth(self):
        text = WELL + REST[:REST.index("[generator]")]
        learn = ("learn.enabled=true", "learn.points=400", "learn.landmarks=30")
        _, told = self.start(text, *learn, "learn.epsilon=1e9")
        named = [w for w in told["warnings"] if "learned coordinates" in w]
        self.assertEqual(len(named), 1, named)
        self.assertIn("epsilon = 1e+09 is far above the squared distances", named[0])
        _, told = self.start(text, *learn)
        self.assertFalse([w for w in told.get("warnings", []) if "is flat" in w])


if __name__ == "__main__":
    unittest.main(verbosity=2)
