#!/usr/bin/python3
"""The built command on the emulated device: it is listed, a run there does not depend on the order of streams,
and a device that does not work is left alone.

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

    def test_a_run_does_not_depend_on_the_order_of_streams(self):
        """Every byte of its tables. A run computes with the hardware's functions there, whose noise is another than
        the CPU's: bits are compared with the CPU's by tests/engine/test_machines.cpp."""
        config = self.dir / "run.toml"
        config.write_text(CONFIG)
        tables = []
        for seed in range(4):
            out = self.dir / f"cuda{seed}"
            emulated("run", config, "-o", out, "--device", "cuda", "--quiet", "--no-report",
                     EMULATOR_SEED=str(seed))
            tables.append({p.name: p.read_bytes() for p in out.iterdir() if p.suffix == ".csv"})
        self.assertIn("free_energy.csv", tables[0])
        for other in tables[1:]:
            self.assertEqual(tables[0], other)

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
