#!/usr/bin/python3
"""Runs that keep counts instead of samples (umbrella.store = "histogram"): the same free energy, no file
that grows, the same bytes after a stop and with any number of threads, and clear refusals."""
import re
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import BINARY, Scratch, command_line, metrics, run, settings, table  # noqa: E402
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
[umbrella]
from = -1.2
to = 1.2
windows = 7
stiffness = 20.0
replicas = 32
equilibrate = 500
steps = 8000
stride = 20
[estimate]
method = "wham"
bins = 24
"""


class Histogram(Scratch):
    def setUp(self):
        super().setUp()
        (self.dir / "c.toml").write_text(CONFIG)

    def command(self, name, *changes, options=()):
        return command_line(self.dir / "c.toml", self.dir / name, *changes,
                            options=("--quiet", "--no-report", *options))

    def run_to(self, name, *changes, options=()):
        run(*self.command(name, *changes, options=options))
        return self.dir / name

    def test_same_free_energy(self):
        stored = self.run_to("stored")
        for method in ("wham", "umbrella_integration"):
            change = f"estimate.method='{method}'"
            reference = table(self.run_to(f"stored_{method}", change) / "free_energy.csv")
            counted = self.run_to(f"counted_{method}", change, "umbrella.store='histogram'")
            found = table(counted / "free_energy.csv")
            # The same trajectories and cells; the margins of the cells end elsewhere.
            np.testing.assert_allclose(found, reference, rtol=0, atol=1e-6)
            self.assertGreater(found[:, 2].max(), 0.01)
        self.assertTrue((stored / "samples.h5").exists())
        self.assertFalse((counted / "samples.h5").exists())
        self.assertFalse((counted / "conditional.csv").exists())
        # Every sample inside the grid is counted in its window, and the others are named.
        rows = table(counted / "histogram.csv")
        told = metrics(counted)
        outside = told["stages"]["sample"]["outside_share"]
        self.assertEqual(7, len(set(rows[:, 0])))
        self.assertAlmostEqual(rows[:, 2].sum(), 7 * 32 * 400 * (1 - outside), delta=0.5)
        self.assertEqual(7 * 32 * 400, told["stages"]["estimate"]["samples"])
        # The windows' moments are those of the stored states, whose x is ξ.
        means = np.array([w["mean"][0] for w in told["windows"]])
        for w in (2, 3, 4):  # four standard deviations inside the grid; bins are 0.1 wide
            mine = rows[rows[:, 0] == w]
            self.assertAlmostEqual(np.average(mine[:, 1], weights=mine[:, 2]), means[w], delta=0.01)
        run(BINARY, "report", counted)

    def test_no_growth(self):
        """Ten times the steps: the checkpoint and the memory promised stay as they are."""
        sizes, promised = [], []
        for steps in (800, 8000):
            changes = ("umbrella.store='histogram'", f"umbrella.steps={steps}")
            out = self.run_to(f"steps_{steps}", *changes)
            sizes.append(sum(f.stat().st_size for f in out.iterdir() if f.suffix in (".h5", ".csv")))
            text = run(BINARY, "check", self.dir / "c.toml", *settings(changes)).stdout
            self.assertIn("samples 0.0 MB", text)
            number, unit = re.search(r"^# memory: ([\d.]+) ([MG])B", text, re.MULTILINE).groups()
            promised.append(float(number) * (1000 if unit == "G" else 1))
        self.assertLess(abs(sizes[1] - sizes[0]), 0.2 * sizes[0] + 4096)
        self.assertAlmostEqual(*promised, delta=0.1 * promised[0])  # the program's own varies

    def test_threads_and_stop(self):
        changes = ("umbrella.store='histogram'", "umbrella.steps=1000000", "umbrella.stride=100")
        whole = self.run_to("whole", *changes, options=("--threads", "1"))
        for delay in (0.4, 0.1, 0.0):  # earlier, where the run ended first
            process = subprocess.Popen(self.command("parts", *changes, options=("--threads", "2", "--force")),
                                       stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            while not (self.dir / "parts" / "config.toml").exists() and process.poll() is None:
                time.sleep(0.01)
            time.sleep(delay)
            process.send_signal(signal.SIGTERM)
            if process.wait() == 143:
                break
            for file in (self.dir / "parts").iterdir():
                file.unlink()
        self.assertEqual(143, process.returncode)
        parts = self.run_to("parts", *changes, options=("--threads", "2", "--resume"))
        for name in ("free_energy.csv", "histogram.csv"):
            self.assertEqual((whole / name).read_bytes(), (parts / name).read_bytes(), name)
        first, second = (metrics(d)["windows"] for d in (whole, parts))
        self.assertEqual(first, second)

    def test_refusals(self):
        for change, says in ((("estimate.method='mbar'",), "needs the samples"),
                             (("generator.kind='cgan'",), "[generator] works on samples"),
                             (("closure.enabled=true",), "[closure] works on samples"),
                             (("umbrella.store='nothing'",), "umbrella.store")):
            done = run(*self.command("no", "umbrella.store='histogram'", *change), status=2)
            self.assertIn(says, done.stderr)
            self.assertEqual(1, len(done.stderr.splitlines()))
            self.assertFalse((self.dir / "no").exists())


if __name__ == "__main__":
    unittest.main()
