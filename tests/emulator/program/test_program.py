#!/usr/bin/python3
"""The built command on the emulated device: it is listed, a run there has the bits of the CPU, and a device that
does not work is left alone.

usage: test_program.py BUILD_FOLDER
"""
import os
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "support"))
from command import BINARY, SOURCE, Scratch, run  # noqa: E402

BUILD = Path(sys.argv[1])
EMULATED = SOURCE / "tools" / "checks" / "emulated.sh"
CONFIG = """\
[system]
name = "double_well"
beta = 2.0
[cv]
variables = ["x"]
[integrator]
dt = 1e-3
[umbrella]
from = -1.2
to = 1.2
windows = 4
stiffness = 20.0
replicas = 8
equilibrate = 50
steps = 400
stride = 50
[estimate]
"""


def emulated(*words, status=0, **environment):
    return run(EMULATED, BUILD, BINARY, *words, status=status, env={**os.environ, **environment})


class Program(Scratch):
    def test_the_device_is_listed(self):
        self.assertIn("cuda:0: emulated device", emulated("info").stdout)
        self.assertNotIn("emulated", run(BINARY, "info").stdout)

    def test_a_run_has_the_bits_of_the_cpu(self):
        config = self.dir / "run.toml"
        config.write_text(CONFIG)
        options = ("--quiet", "--no-report", "--threads", "1")
        run(BINARY, "run", config, "-o", self.dir / "cpu", "--device", "cpu", *options)
        files = sorted(p.name for p in (self.dir / "cpu").iterdir() if p.suffix == ".csv")
        self.assertTrue(files)
        for seed in range(3):
            out = self.dir / f"cuda{seed}"
            emulated("run", config, "-o", out, "--device", "cuda", *options, EMULATOR_SEED=str(seed))
            for name in files:
                self.assertEqual((self.dir / "cpu" / name).read_bytes(), (out / name).read_bytes(), name)

    def test_a_device_that_does_not_work(self):
        """`auto` takes the CPU, `cuda` says why not."""
        config = self.dir / "run.toml"
        config.write_text(CONFIG)
        out = ("-o", self.dir / "out", "--quiet", "--no-report", "--force")
        emulated("run", config, *out, "--device", "auto", EMULATOR_BROKEN="1")
        text = emulated("run", config, *out, "--device", "cuda", EMULATOR_BROKEN="1", status=3).stderr
        self.assertIn("busy or unavailable", text)
        text = emulated("run", config, *out, "--device", "cuda:1", status=3).stderr
        self.assertIn("no CUDA device 1", text)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
