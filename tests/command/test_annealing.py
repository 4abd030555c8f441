#!/usr/bin/python3
"""Populations that come down from a high temperature: the partition function of harmonic systems and its error, wells
that no walker leaves at the end, what sampling then finds; what is warned of; threads and stops; refusals."""
import math
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from butane import SYSTEM, energy, write_butane  # noqa: E402
from command import EXAMPLES, Case, command_line, metrics, rows, run, table  # noqa: E402

HARMONIC = """seed = 3
[system]
variables = ["x", "y"]
potential = "2*x^2 + 0.5*y^2"
beta = 2.0
[cv]
variables = ["x"]
[integrator]
dt = 1e-2
compile_after = -1
[bias]
method = "population_annealing"
from = -1.0
to = 1.0
walkers = 1024
equilibrate = 1000
hottest = 10.0
rungs = 12
anneal = 100
steps = 2000
stride = 100
[estimate]
bins = 20
"""
# At the system's temperature a barrier of 20 kT.
WELLS = HARMONIC.replace("2*x^2 + 0.5*y^2", "4*(x^2-1)^2 + 0.3*x + 0.5*y^2").replace("beta = 2.0", "beta = 5.0").replace(
    "from = -1.0\nto = 1.0", "from = -1.4\nto = 1.4").replace("dt = 1e-2", "dt = 2e-3").replace(
        "anneal = 100", "anneal = 500").replace("bins = 20", "bins = 41").replace("hottest = 10.0", "hottest = 20.0").replace("rungs = 12", "rungs = 20")


class Harmonic(Case):
    def test_partition_function(self):
        """ln Z(β)/Z(β₀) = −D/2 ln β/β₀, the mean energy D/2 kT, at every temperature."""
        out = self.go(HARMONIC, "bias.walkers=8192")
        t = table(out / "annealing.csv")
        self.assertEqual(len(t), 13)
        np.testing.assert_allclose(t[[0, -1], 0], [0.2, 2.0], rtol=1e-12)
        z = (t[1:, 1] + np.log(t[1:, 0] / t[0, 0])) / t[1:, 2]
        self.assertLess(np.abs(z).max(), 4)
        self.assertLess(t[-1, 2], 0.05)
        # Of 8192 walkers, some of them of one family.
        np.testing.assert_allclose(t[:, 3] * t[:, 0], 1, atol=0.12)
        found = metrics(out)["annealing"]
        self.assertEqual(found["log_z"], t[-1, 1])
        self.assertNotIn("warnings", metrics(out))

    def test_errors_cover(self):
        square, profile = [], []
        for seed in range(20):
            out = self.go(HARMONIC, f"seed={300 + seed}", name=f"s{seed}")
            found = metrics(out)["annealing"]
            square.append(((found["log_z"] + math.log(10)) / found["std_error"])**2)
            t = table(out / "free_energy.csv")
            use = t[:, 2] > 0
            profile.append(np.mean(((t[use, 1] - 2 * t[use, 0]**2) / t[use, 2])**2))
        # The mean of 20 squares of standard normal numbers has the deviation 0.32.
        self.assertGreater(np.mean(square), 0.3)
        self.assertLess(np.mean(square), 1.95)
        self.assertLess(np.mean(profile), 1.95)

    def test_the_run_samples_the_last_temperature(self):
        out = self.go(HARMONIC, "bias.walkers=4096")
        import h5py
        with h5py.File(out / "samples.h5") as file:
            x = np.array(file["cv"])[:, 0]
            self.assertEqual(np.ptp(np.array(file["weight"])), 0)
        self.assertEqual(len(x), 4096 * 20)
        self.assertLess(abs(x.var() * 8 - 1), 0.05)


class Wells(Case):
    def test_populations_of_wells_that_do_not_mix(self):
        out = self.go(WELLS, "bias.walkers=4096")
        t = table(out / "free_energy.csv")
        exact = 4 * (t[:, 0]**2 - 1)**2 + 0.3 * t[:, 0]
        left, right = (np.nanargmin(np.where(side, t[:, 1], np.nan)) for side in (t[:, 0] < 0, t[:, 0] > 0))
        off = (t[right, 1] - t[left, 1]) - (exact[right] - exact[left])
        self.assertLess(abs(off), 4 * t[right, 2])
        self.assertLess(t[right, 2], 0.05)

    def test_wide_bins_are_told(self):
        """Where a bin spans several kT its mean is not the value at its centre: bins are blamed, not the step."""
        changes = ("bias.walkers=2048", "bias.from=-1.6", "bias.to=1.6")
        said = "\n".join(metrics(self.go(WELLS, *changes, "estimate.bins=14", name="wide"))["warnings"])
        self.assertIn("the likely cause: bins so wide", said)
        self.assertIn("estimate.bins", said)
        narrow = metrics(self.go(WELLS, *changes, "estimate.bins=120", name="narrow")).get("warnings", [])
        self.assertFalse(any("bins so wide" in w for w in narrow), narrow)

    def test_few_families_are_told(self):
        out = self.go(WELLS, "bias.walkers=512", "bias.rungs=2", "bias.anneal=1", "bias.hottest=1000")
        self.assertIn("all walkers at the end come from", "\n".join(metrics(out)["warnings"]))


class HiddenBarrier(Case):
    def test_example(self):
        """Both sides of a barrier that x does not see, and the averages that windows get wrong."""
        out = self.dir / "hidden"
        run(*command_line(EXAMPLES / "hidden_barrier_population.toml", out))
        f, e = table(out / "free_energy.csv"), table(out / "exact.csv")
        use = f[:, 2] > 0
        z = (f[use, 1] - e[use, 1]) / f[use, 2]
        z -= np.average(z, weights=1 / f[use, 2])
        self.assertLess(np.abs(z).max(), 4.5)
        means = np.array([[float(r["cv_1"]), float(r["mean"]), float(r["mean_se"])] for r in rows(out / "conditional.csv")])
        np.testing.assert_allclose(means[:, 0], e[:, 0])
        z = (means[:, 1] - e[:, 2]) / means[:, 2]
        self.assertLess(np.abs(z).max(), 4.5)
        self.assertLess(np.sqrt(np.mean(z**2)), 2.0)
        self.assertLess(means[:, 2].max(), 0.05)


class Molecule(Case):
    def test_butane(self):
        write_butane(self.dir)
        text = "seed = 5\n" + SYSTEM + """[bias]
method = "population_annealing"
from = -3.141592653589793
to = 3.141592653589793
walkers = 1024
equilibrate = 4000
hottest = 4.0
rungs = 8
anneal = 500
steps = 2000
stride = 200
[estimate]
bins = 24
"""
        out = self.go(text)
        t = table(out / "free_energy.csv")
        exact = energy(t[:, 0])
        low = np.argmin(t[:, 1])
        use = np.isfinite(t[:, 2]) & (t[:, 2] > 0) & (exact < 12)
        z = (t[use, 1] - exact[use] + exact[low]) / t[use, 2]
        self.assertLess(np.sqrt(np.mean(z**2)), 2.0)
        self.assertLess(abs(metrics(out)["stages"]["sample"]["temperature"] - 300), 6)


class Stops(Case):
    FILES = ("annealing.csv", "free_energy.csv")

    def test_threads(self):
        one = self.go(HARMONIC, name="one", options=("--quiet", "--no-report", "--threads", 1))
        two = self.go(HARMONIC, name="two", options=("--quiet", "--no-report", "--threads", 2))
        for name in self.FILES:
            self.assertEqual((one / name).read_bytes(), (two / name).read_bytes(), name)

    def test_goes_on(self):
        whole = self.go(HARMONIC, "bias.anneal=5000", name="whole")
        line = command_line(self.dir / "whole.toml", self.dir / "cut", "bias.anneal=5000")
        process = subprocess.Popen(line, stderr=subprocess.DEVNULL)
        time.sleep(0.8)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
        run(*line, "--resume")
        for name in self.FILES:
            self.assertEqual((whole / name).read_bytes(), (self.dir / "cut" / name).read_bytes(), name)


class Refusals(Case):
    def test_what_is_wrong_is_named(self):
        for change, words in (("bias.walkers=1021", "which no number from 4 to 32 divides"),
                              ("bias.walkers=28", "which no number from 4 to 32 divides with 8 or more left"),
                              ("bias.hottest=1.0", "bias.hottest"),
                              ("estimate.method=umbrella_integration", "which needs windows")):
            with self.subTest(change):
                self.assertIn(words, self.refused(HARMONIC, change))

    def test_check(self):
        (self.dir / "x.toml").write_text(HARMONIC)
        said = run(command_line("x", "y")[0], "check", self.dir / "x.toml").stdout
        self.assertIn("# bias: population_annealing: 1024 walkers in 32 islands", said)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
