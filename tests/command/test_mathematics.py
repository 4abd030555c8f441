#!/usr/bin/python3
"""--math: what the CPU computes in, what it refuses, and that a run goes on in what it was begun in."""
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import h5py

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from seal import reseal  # noqa: E402

BINARY = os.environ["MICROLIFT_BINARY"]
CONFIG = """
[system]
variables = ["x"]
potential = "2*x^2"
beta = 1.0
[cv]
variables = ["x"]
[integrator]
dt = 1e-2
[umbrella]
from = -1.0
to = 1.0
windows = 5
stiffness = 20.0
replicas = 4
steps = 2000
stride = 20
[estimate]
"""


class Mathematics(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="microlift_math_")
        self.addCleanup(self.scratch.cleanup)
        self.dir = Path(self.scratch.name)
        (self.dir / "run.toml").write_text(CONFIG)

    def run_it(self, *options, command="run"):
        return subprocess.run([BINARY, command, *map(str, options)], cwd=self.dir, capture_output=True,
                              text=True, timeout=60)

    def run_to(self, out, *options):
        return self.run_it("run.toml", "-o", out, "--device", "cpu", "--threads", 1, "--quiet", "--no-report",
                           *options)

    def refused(self, done, *says):
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        for words in says:
            self.assertIn(words, done.stderr)

    def test_the_cpu_is_portable(self):
        for out, options in (("plain", ()), ("asked", ("--math", "portable"))):
            done = self.run_to(out, *options)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(json.loads((self.dir / out / "metrics.json").read_text())["math"], "portable")
            with h5py.File(self.dir / out / "checkpoint.h5") as file:
                self.assertEqual(file.attrs["math"], "portable")
        self.assertEqual((self.dir / "plain/free_energy.csv").read_bytes(),
                         (self.dir / "asked/free_energy.csv").read_bytes())

    def test_what_the_cpu_refuses(self):
        self.refused(self.run_to("o", "--math", "fast"), "--math fast", "portable")
        self.refused(self.run_to("o", "--math", "exact"), "--math", "'exact'", "fast or portable")
        self.assertFalse((self.dir / "o").exists())  # before anything is written
        for command, options in (("bench", ("mbar:samples=100",)), ("generate", ("o", "--at", 0, "-n", 1, "-o", "x.npy"))):
            done = self.run_it(*options, "--device", "cpu", "--math", "fast", command=command)
            self.assertEqual(done.returncode, 2, done.stderr)

    def test_a_run_goes_on_as_it_was_begun(self):
        self.assertEqual(self.run_to("o").returncode, 0)
        self.refused(self.run_to("o", "--resume", "--math", "fast"), "--math fast")
        done = self.run_to("o", "--resume", "--math", "portable")
        self.assertEqual(done.returncode, 0, done.stderr)
        file = self.dir / "o/checkpoint.h5"
        for value, says in (("fast", "fast mathematics"), ("other", "in which mathematics")):
            with h5py.File(file, "r+") as store:
                store.attrs["math"] = value
            reseal(file)
            self.refused(self.run_to("o", "--resume"), "checkpoint.h5", says, "--force")
        with h5py.File(file, "r+") as store:  # an earlier version said nothing, and was portable
            del store.attrs["math"]
        reseal(file)
        done = self.run_to("o", "--resume")
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
