#!/usr/bin/python3
"""Long runs: the wall time, the status from files alone, the log, the disk."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import BINARY, Case, command_line, run, settings  # noqa: E402

TEXT = """
seed = 5
[system]
variables = ["x"]
potential = "(x^2-1)^2"
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
steps = 4000
stride = 400
[estimate]
bins = 12
"""
PLAIN = ("--quiet", "--no-report")
LONG = ("umbrella.steps=40000000", "umbrella.stride=400000")


class Production(Case):
    def start(self, out, *changes):
        (self.dir / "job.toml").write_text(TEXT)
        return subprocess.Popen(command_line(self.dir / "job.toml", self.dir / out, *changes, options=PLAIN),
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def status(self, out):
        told = json.loads(run(BINARY, "status", self.dir / out, "--json").stdout)
        return told, run(BINARY, "status", self.dir / out).stdout

    def wait_for_steps(self, out):
        for _ in range(300):
            file = self.dir / out / "status.json"
            if file.exists() and json.loads(file.read_text())["figures"].get("trajectory_steps", 0) > 0:
                return
            time.sleep(0.1)
        self.fail("the run says nothing of its steps")

    def test_wall_time_ends_in_time_and_resume_has_the_same_bytes(self):
        # Ten seconds of a fast core, of which no more than three are taken: the rest of the wall time is left
        # for the checkpoint.
        changes = ("umbrella.steps=20000000", "umbrella.stride=200000")
        whole = self.go(TEXT, *changes, name="whole")
        began = time.monotonic()
        stopped = self.go(TEXT, *changes, name="parts", status=75,
                          options=(*PLAIN, "--threads", "1", "--wall-time", "5"))
        self.assertLess(time.monotonic() - began, 5)
        self.assertIn("--resume", stopped.stderr)
        self.assertTrue((self.dir / "parts" / "checkpoint.h5").is_file())
        told, text = self.status("parts")
        self.assertEqual(("stopped", 75), (told["state"], told["exit_status"]))
        self.assertIn("wall time is over", text)
        steps = told["figures"]["trajectory_steps"]
        self.assertTrue(0 < steps < told["total"], steps)
        so_far = [h5py.File(file) for file in sorted((self.dir / "parts" / "samples").iterdir())]
        so_far = {name: np.concatenate([file[name] for file in so_far]) for name in ("state", "cv", "window")}
        parts = self.go(TEXT, *changes, name="parts", options=(*PLAIN, "--resume"))
        for name in ("free_energy.csv", "samples.h5"):
            self.assertEqual((whole / name).read_bytes(), (parts / name).read_bytes(), name)
        self.assertFalse((parts / "samples").exists())
        with h5py.File(whole / "samples.h5") as file:
            self.assertEqual(told["figures"]["samples"], len(so_far["cv"]))
            self.assertTrue(0 < len(so_far["cv"]) < len(file["cv"]))
            for name, values in so_far.items():
                np.testing.assert_array_equal(values, file[name][:len(values)], name)
        told, text = self.status("parts")
        self.assertEqual(("finished", 0), (told["state"], told["exit_status"]))
        self.assertGreater(told["figures"]["free_energy_error"], 0)
        log = (parts / "run.log").read_text().splitlines()
        self.assertTrue(all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ", line) for line in log))
        words = [line.split(" ", 2)[1] for line in log]
        self.assertEqual([1, 1, 1, 1], [words.count(w) for w in ("begins:", "stopped:", "goes", "finished")])

    def test_status_of_a_run_that_goes_on_is_killed_or_was_elsewhere(self):
        process = self.start("run", *LONG)
        try:
            self.wait_for_steps("run")
            told, text = self.status("run")
            self.assertEqual(("running", process.pid, "sample"), (told["state"], told["process"], told["stage"]))
            self.assertGreater(told["rate"], 0)
            self.assertAlmostEqual(7 * 32 * 40000500, told["total"])
            self.assertIn(" left", text)
            self.assertIn(f"process {process.pid} on {os.uname().nodename}", text)
        finally:
            process.kill()
            process.wait()
        file = self.dir / "run" / "status.json"
        told = json.loads(file.read_text())
        told["looked"] -= 10  # the time that passes before anyone may say so
        file.write_text(json.dumps(told))
        self.assertEqual("killed", self.status("run")[0]["state"])
        told["host"] = "another"
        file.write_text(json.dumps(told))
        self.assertEqual("running", self.status("run")[0]["state"])
        told["looked"] -= 20
        file.write_text(json.dumps(told))
        told, text = self.status("run")
        self.assertEqual("stale", told["state"])
        self.assertIn("--resume", text)

    def test_status_of_a_run_that_failed_or_was_told_to_stop(self):
        self.go(TEXT, "integrator.dt=10", name="blown", status=4)
        told, text = self.status("blown")
        self.assertEqual(("failed", 4), (told["state"], told["exit_status"]))
        self.assertEqual("failed", text.split()[0])
        process = self.start("told", *LONG)
        self.wait_for_steps("told")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(143, process.wait(timeout=30))
        self.assertEqual(("stopped", 143), tuple(self.status("told")[0][k] for k in ("state", "exit_status")))

    def test_samples_thinned_and_compressed(self):
        whole = self.go(TEXT, name="whole", options=PLAIN)
        few = self.go(TEXT, "output.thin=3", "output.compress=4", name="few", options=PLAIN)
        self.assertEqual((whole / "free_energy.csv").read_bytes(), (few / "free_energy.csv").read_bytes())
        self.assertLess(2 * (few / "samples.h5").stat().st_size, (whole / "samples.h5").stat().st_size)
        with h5py.File(whole / "samples.h5") as all_of_them, h5py.File(few / "samples.h5") as kept:
            for name in ("state", "cv", "window", "weight"):
                self.assertEqual("gzip", kept[name].compression)
                rows = all_of_them[name][:].reshape(10, 7 * 32, -1)[::3].reshape(kept[name].shape)
                np.testing.assert_array_equal(rows, kept[name][:], name)
            np.testing.assert_array_equal([0, 7, 32, 4], kept["window"].attrs["blocks"])
            with h5py.File(few / "potential.h5") as drawn:  # of the rows that are left
                x = kept["state"][:, 0].astype(float)[drawn["sample"][:]]
                np.testing.assert_allclose(drawn["sample_potential"][:], (x * x - 1)**2, rtol=1e-9, atol=1e-9)
        self.go(f"""
[samples]
states = ["{few}/samples.h5"]
temperature = 300.0
from = -1.2
to = 1.2
[cv]
variables = ["x"]
""", name="taken", options=PLAIN)
        for key in ("thin=2", "compress=1"):
            done = self.go(TEXT, "umbrella.store=histogram", "output." + key, name="none", options=PLAIN, status=2)
            self.assertRegex(done.stderr, "^microlift: .*key 'output.*samples.h5, which this run does not write.*\n$")

    def test_what_is_no_status_is_refused(self):
        for content in (None, "", "{}", '{"state": 3, "looked": 1}', '{"looked": "x"}', "[" * 500,
                        '{"state": "finished", "looked": 1}'):
            if content is not None:
                (self.dir / "status.json").write_text(content)
            done = run(BINARY, "status", self.dir, status=2)
            self.assertRegex(done.stderr, r"^microlift: .*status\.json: .*; give the directory of a run.*\n$")

    def test_times_that_are_none(self):
        for text in ("", "0", "-3", "2x", "h", "3600 ", "1h5", "nan", "inf", "1e300"):
            done = self.go(TEXT, name="none", options=(*PLAIN, "--wall-time=" + text), status=2)
            self.assertEqual(1, len(done.stderr.splitlines()), done.stderr)
            self.assertIn("--wall-time", done.stderr)
        self.go(TEXT, name="some", options=(*PLAIN, "--wall-time=1d2h30m5s"))

    def test_a_disk_that_is_too_small(self):
        (self.dir / "job.toml").write_text(TEXT)
        self.assertNotIn(" free\n", run(BINARY, "check", self.dir / "job.toml").stdout)
        # In memory, half of what there is: 40 bytes of disk a sample are more than that, 16 of memory are not.
        small = Path("/dev/shm")
        if not small.is_dir() or not os.access(small, os.W_OK):
            self.skipTest("there is no small file system")
        steps = shutil.disk_usage(small).free // 38 // (7 * 32)
        folder = Path(tempfile.mkdtemp(dir=small))
        try:
            changes = (f"umbrella.steps={steps}", "umbrella.stride=1")
            done = run(BINARY, "check", self.dir / "job.toml", *settings(changes), cwd=folder)
            self.assertRegex(done.stdout, r"# disk: up to \S+ GB\n# warning: the file system here has \S+ GB free\n")
            done = run(*command_line(self.dir / "job.toml", folder / "out", *changes, options=PLAIN), status=2)
            self.assertEqual(1, len(done.stderr.splitlines()), done.stderr)
            self.assertRegex(done.stderr, r"writes up to \S+ GB, and its file system has \S+ GB free; free some space")
            self.assertFalse((folder / "out" / "config.toml").exists())
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    unittest.main(verbosity=2)
