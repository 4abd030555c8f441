#!/usr/bin/python3
"""Run-time dispatch on the CPU: AVX-512, AVX2 and the baseline give the same bits.

The build of the tests dispatches a few kernels (tests/dispatch/), compared here. Where the command itself
was built with MICROLIFT_CPU=dispatch, whole runs are compared too: trajectories, estimates, networks.
"""
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import BINARY, EXAMPLES  # noqa: E402
CHECK = os.environ.get("MICROLIFT_DISPATCH_CHECK", "")
LANES = {"baseline": 4, "avx2": 8, "avx512": 16}
FORMULA = """\
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
from = -1.4
to = 1.4
windows = 9
stiffness = 40.0
replicas = 24
equilibrate = 500
steps = 4000
stride = 40
exchange = 80
initial = "line"
[estimate]
method = "wham"
[generator]
kind = "cgan"
[closure]
enabled = true
"""
# The baseline is slow: a processor without fma takes dozens of times as long as one with AVX-512.
SMALLER = ["generator.iterations=5", "generator.batch=64", "generator.validation_states=200",
           "lifting.values=5", "lifting.states=100", "lifting.heal_steps=20",
           "closure.enabled=false", "umbrella.equilibrate=200", "umbrella.steps=800"]


def run(level, *command, **options):
    """At a level of the CPU; None: at the highest."""
    environment = {k: v for k, v in os.environ.items() if k != "MICROLIFT_CPU_LEVEL"}
    if level is not None:
        environment["MICROLIFT_CPU_LEVEL"] = level
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, env=environment,
                          **options)


def words(text):
    return dict(line.split(None, 1) for line in text.splitlines())


def machine_levels():
    """Those that /proc/cpuinfo promises: what the program finds by itself."""
    flags = set(Path("/proc/cpuinfo").read_text().split("flags", 1)[1].split("\n", 1)[0].split())
    levels = ["baseline"]
    if {"avx2", "fma", "bmi1", "bmi2"} <= flags:
        levels.append("avx2")
        if {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"} <= flags:
            levels.append("avx512")
    return levels


@unittest.skipUnless(CHECK, "the tests were not built for x86-64, or with sanitizers")
class Kernels(unittest.TestCase):
    def test_same_bits(self):
        levels = machine_levels()
        highest = words(run(None, CHECK, check=True).stdout)
        self.assertEqual(levels[-1], highest["level"])
        for level in levels:
            found = words(run(level, CHECK, check=True).stdout)
            self.assertEqual(level, found.pop("level"))
            self.assertEqual(LANES[level], int(found.pop("lanes")))
            self.assertEqual({k: highest[k] for k in found}, found)
        # The window sits at -0.5 with a width of sqrt(15/500) = 0.17: numbers, not zeros.
        self.assertLess(abs(float(highest["mean"]) + 0.5), 0.2)
        self.assertEqual(5, len({highest[k] for k in ("paths", "arithmetic", "float", "double",
                                                      "formula")}))

    def test_levels_that_cannot_be_had(self):
        done = run("sse9", CHECK)
        self.assertEqual(2, done.returncode)
        self.assertIn("MICROLIFT_CPU_LEVEL: 'sse9' is no level; use avx512, avx2 or baseline", done.stderr)
        for level in set(LANES) - set(machine_levels()):
            done = run(level, CHECK)
            self.assertEqual(3, done.returncode)
            self.assertIn(f"this machine has no {level}", done.stderr)


class Command(unittest.TestCase):
    def setUp(self):
        info = run(None, BINARY, "info", check=True).stdout
        self.level, built = info.split("CPU level", 1)[1].split("\n", 1)[0].split(None, 1)
        self.built = built.strip("()").removeprefix("built: ").split(", ")

    def test_info(self):
        self.assertIn(self.level, self.built)
        self.assertIn(self.level, machine_levels())
        done = run("sse9", BINARY, "info")
        self.assertEqual(2, done.returncode)
        self.assertEqual(1, len(done.stderr.splitlines()))
        for level in machine_levels():
            done = run(level, BINARY, "info")
            if level in self.built:
                self.assertIn(f"{LANES[level]} lanes", done.stdout)
            else:
                self.assertEqual(3, done.returncode)
                self.assertIn(f"this build has no {level}", done.stderr)

    def compare(self, config, *changes):
        if len(self.built) == 1:
            self.skipTest("the command was built for one instruction set")
        with tempfile.TemporaryDirectory() as folder:
            seen = {}
            for level in machine_levels():
                out = Path(folder) / level
                run(level, BINARY, "run", config, "-o", out, "--quiet", "--device", "cpu",
                    *sum((["--set", c] for c in changes), []), check=True)
                files = {f: (out / f).read_bytes()
                         for f in ("free_energy.csv", "conditional.csv", "generator.safetensors")}
                with h5py.File(out / "samples.h5") as file:
                    for name in ("state", "cv", "window", "weight"):
                        values = file[name][:]
                        self.assertTrue(np.isfinite(values).all())
                        files[name] = values.tobytes()
                seen[level] = files
            for level, files in seen.items():
                for name, content in files.items():
                    self.assertTrue(content == seen["baseline"][name], f"{name} at {level}")

    def test_muller_brown(self):
        self.compare(EXAMPLES / "muller_brown.toml", "umbrella.windows=12",
                     "umbrella.replicas=21", "umbrella.exchange=0", "umbrella.stride=40",
                     "coupling.rounds=0", *SMALLER)

    def test_formula(self):
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
            config.write(FORMULA)
            config.flush()
            self.compare(config.name, *SMALLER)


if __name__ == "__main__":
    unittest.main()
