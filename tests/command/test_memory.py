#!/usr/bin/python3
"""The memory that `check` promises beside what runs take: their own high-water mark, and the system's."""
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import BINARY, Scratch, command_line, metrics, run, settings  # noqa: E402

CONFIG = """
seed = 3
[system]
variables = ["x", "y"]
potential = "(x^2-1)^2 + 2*(y^2-1)^2 + 0.3*x*y"
beta = 1.0
[cv]
variables = ["x"]
[integrator]
dt = 2e-3
compile_after = -1
[umbrella]
from = -1.2
to = 1.2
windows = 8
stiffness = 20.0
replicas = 1250
equilibrate = 100
steps = 100
stride = 10
"""
WITHIN = 0.1
LEAST = 2e8  # bytes of a run whose memory is promised


class Memory(Scratch):
    def promised(self, *changes):
        text = run(BINARY, "check", self.dir / "c.toml", *settings(changes)).stdout
        number, unit = re.search(r"^# memory: ([\d.]+) ([MG])B at the most, in '\w+'", text, re.MULTILINE).groups()
        return float(number) * (1e9 if unit == "G" else 1e6)

    def compare(self, text, *changes):
        (self.dir / "c.toml").write_text(text)
        promised = self.promised(*changes)
        process = subprocess.Popen(command_line(self.dir / "c.toml", self.dir / "out", *changes),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(0, process.returncode, errors)
        taken = 1024 * usage.ru_maxrss
        memory = metrics(self.dir / "out")["memory"]
        self.assertGreater(taken, LEAST)
        self.assertAlmostEqual(memory["peak_bytes"] / taken, 1, delta=0.01)
        for promise in (promised, memory["predicted_bytes"]):
            self.assertAlmostEqual(promise / taken, 1, delta=WITHIN)

    def test_samples(self):
        self.compare(CONFIG + "[closure]\nbursts = false\n", "umbrella.stride=1", "umbrella.steps=1000")

    def test_training(self):
        self.compare(CONFIG + "[generator]\nkind = 'energy'\ngenerator_widths = [32]\nbatch = 262144\niterations = 1\n"
                     "[lifting]\nstates = 100\nheal_steps = 0\nproposals = 0\n")

    def test_a_promise_grows_with_what_is_asked_for(self):
        (self.dir / "c.toml").write_text(CONFIG)
        small, large = self.promised(), self.promised("umbrella.stride=1", "umbrella.steps=10000")
        self.assertAlmostEqual(large - small, 12e4 * (10000 - 10), delta=0.2 * large)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
