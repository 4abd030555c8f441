#!/usr/bin/python3
"""The directory of a run is whole in itself, and what a run depends on cannot change unnoticed."""
import os
import shutil
import sys
import unittest
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import BINARY, Scratch, metrics, run, settings  # noqa: E402

JOB = """
seed = 1
[system]
variables = ["x", "y"]
potential = "3*(x^2-1)^2 + 2*(y-x)^2"
beta = 1.0
[cv]
variables = ["x"]
[integrator]
dt = 1e-3
[umbrella]
from = -1.2
to = 1.2
windows = 9
stiffness = 30.0
replicas = 16
equilibrate = 500
steps = 5000
stride = 50
initial = "data/start.csv"
[estimate]
bins = 20
[generator]
kind = "energy"
iterations = 100
batch = 128
validate_every = 50
validation_states = 500
[lifting]
values = 5
states = 500
heal_steps = 0
[learn]
points = 300
landmarks = 30
coordinates = 2
"""


class Inputs(Scratch):
    def setUp(self):
        super().setUp()
        self.project = self.dir / "project"
        (self.project / "data").mkdir(parents=True)
        (self.project / "data" / "start.csv").write_text("y,x\n-1,-1\n0,0\n1,1\n")
        (self.project / "job.toml").write_text(JOB)
        self.elsewhere = self.dir / "elsewhere"
        self.elsewhere.mkdir()

    def start(self, config, out, *changes, options=(), status=0, cwd=None):
        return run(BINARY, "run", config, "-o", out, "--quiet", "--no-report", "--threads", 1, *options,
                   *settings(changes), status=status, cwd=cwd or self.dir)

    def files(self, folder):
        """The bytes of the results."""
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()
                if path.suffix in (".csv", ".safetensors", ".toml", ".npy", ".json")
                and path.name not in ("metrics.json", "status.json")}

    def test_moved_and_without_its_inputs(self):
        # From another folder, where the relative path of the file of states leads nowhere.
        self.start(self.project / "job.toml", "first", cwd=self.elsewhere)
        out = self.elsewhere / "first"
        before = self.files(out)
        self.assertIn('initial = "input_initial.csv"', (out / "config.toml").read_text())
        def lift(folder):
            run(BINARY, "generate", folder, "--at", 0.5, "-n", 10, "--quiet", "-o",
                self.dir / "states.npy", cwd=self.dir)
            return (self.dir / "states.npy").read_bytes()
        states = lift(out)
        shutil.move(self.project, self.dir / "gone")
        moved = self.dir / "moved"
        shutil.move(out, moved)
        self.assertEqual(lift(moved), states)
        run(BINARY, "learn", moved, "--quiet", cwd=self.elsewhere)
        run(BINARY, "report", moved, cwd=self.elsewhere)
        self.start(moved / "config.toml", moved, options=("--resume",))
        # The configuration that it keeps makes it again, elsewhere and over itself.
        self.start(moved / "config.toml", "again")
        self.assertEqual(self.files(self.dir / "again"), before)
        self.start("moved/config.toml", "moved", options=("--force",))
        self.assertEqual(self.files(moved), before)

    def test_resumed_without_the_file_of_states(self):
        job = self.project / "job.toml"
        self.start(job, "whole", "generator.enabled=false", "learn.enabled=false")
        self.start(job, "part", "generator.enabled=false", "learn.enabled=false")
        (self.dir / "part" / "checkpoint.h5").unlink()  # as if it was stopped before the first
        start = self.project / "data" / "start.csv"
        content = start.read_text()
        start.write_text(content.replace("0,0", "0,0.5"))
        changes = ("generator.enabled=false", "learn.enabled=false")
        done = self.start(job, "part", *changes, options=("--resume",), status=2)
        self.assertIn("began with another file than 'umbrella.initial' names now", done.stderr)
        start.unlink()
        self.start(job, "part", *changes, options=("--resume",))
        self.assertEqual(self.files(self.dir / "part"), self.files(self.dir / "whole"))

    def test_a_learned_map_is_the_runs_own(self):
        self.start(self.project / "job.toml", "first")
        learned = JOB[:JOB.index("[generator]")].replace('initial = "data/start.csv"\n', "")
        learned = learned.replace('variables = ["x"]\n[int', 'variables = [{ kind = "diffusion_map", '
                                  'file = "first/diffusion_map.json" }]\n[int').replace("1.2", "0.8")
        config = self.dir / "learned.toml"
        config.write_text(learned)
        self.start(config, "second")
        second = self.dir / "second"
        kept = (second / "input_cv_1.json").read_bytes()
        self.assertEqual(kept, (self.dir / "first" / "diffusion_map.json").read_bytes())
        self.assertIn("checksum = ", (second / "config.toml").read_text())
        run(BINARY, "learn", "first", "--quiet", "--alpha", 0, "--unweighted", cwd=self.dir)
        self.assertNotEqual(kept, (self.dir / "first" / "diffusion_map.json").read_bytes())
        done = self.start(config, "second", options=("--resume",), status=2)
        self.assertIn("began with another file than 'cv.variables[0].file' names now", done.stderr)
        # Nothing outside is asked: neither the other run nor its folder.
        shutil.rmtree(self.dir / "first")
        self.start(config, "second", options=("--resume",))
        self.start(second / "config.toml", "third", cwd=self.elsewhere)
        self.assertEqual(self.files(self.elsewhere / "third"), self.files(second))
        # One digit of the copy.
        (second / "input_cv_1.json").write_bytes(kept.replace(b"1", b"2", 1))
        done = run(BINARY, "learn", second, "--quiet", status=2)
        self.assertIn("it is another file, or was altered", done.stderr)

    def test_two_files_of_one_name(self):
        (self.dir / "data").mkdir()
        (self.dir / "data" / "start.csv").write_text("1,1\n")
        done = run(BINARY, "check", self.project / "job.toml", status=2, cwd=self.dir)
        self.assertIn("there are two", done.stderr)
        run(BINARY, "check", self.project / "job.toml", "--set", "umbrella.initial=data/start.csv",
            cwd=self.dir)
        (self.dir / "data" / "start.csv").write_bytes(
            (self.project / "data" / "start.csv").read_bytes())
        run(BINARY, "check", self.project / "job.toml", cwd=self.dir)

    def test_samples_without_an_estimate(self):
        config = self.dir / "job.toml"
        config.write_text(JOB[:JOB.index("[estimate]")].replace('initial = "data/start.csv"\n', ""))
        self.start(config, "out")
        with h5py.File(self.dir / "out" / "samples.h5") as file:
            self.assertEqual(file["state"].shape, (9 * 16 * 100, 2))
            self.assertNotIn("weight", file)  # nobody knows it
            np.testing.assert_array_equal(file["cv"][:, 0], file["state"][:, 0])
        done = run(BINARY, "learn", self.dir / "out", "--quiet", status=2)
        self.assertIn("have no weights", done.stderr)
        run(BINARY, "learn", self.dir / "out", "--quiet", "--unweighted", "--points", 300, "--landmarks",
            30)
        run(BINARY, "report", self.dir / "out")

    def test_files_of_another_run(self):
        job = self.project / "job.toml"
        for out, seed in (("one", 1), ("other", 2)):
            self.start(job, out, f"seed={seed}")
        one, other = self.dir / "one", self.dir / "other"
        lift = (BINARY, "generate", one, "--at", 0.5, "-n", 10, "--quiet", "-o", self.dir / "states.npy")
        refusals = {"generator.safetensors": lift, "samples.h5": (BINARY, "learn", one, "--quiet")}
        for name, command in refusals.items():
            own = (one / name).read_bytes()
            shutil.copy(other / name, one / name)
            done = run(*command, status=2)
            self.assertIn(f"{name}: a run of another configuration than config.toml beside it", done.stderr)
            if name == "samples.h5":
                self.assertIn("wrote it than metrics.json", run(BINARY, "report", one, status=2).stderr)
            (one / name).write_bytes(own)
            run(*command)

    def test_no_states(self):
        empty = self.dir / "empty.npy"
        for shape in ((0, 2), (3, 0)):
            np.save(empty, np.zeros(shape))
            done = self.start(self.project / "job.toml", "out", f'umbrella.initial="{empty}"', status=2)
            self.assertIn(f"its shape ({shape[0]}, {shape[1]}) holds no states", done.stderr)
        np.save(empty, np.zeros((3, 2)))
        empty.write_bytes(empty.read_bytes()[:-8])
        done = self.start(self.project / "job.toml", "out", f'umbrella.initial="{empty}"', status=2)
        self.assertIn("it is cut off", done.stderr)

    def test_directories_that_are_no_run(self):
        small = ("generator.enabled=false", "learn.enabled=false", "umbrella.steps=100")
        job = self.project / "job.toml"
        os.symlink("nowhere", self.dir / "link")
        done = self.start(job, "link", *small, status=2)
        self.assertIn("it is a link to 'nowhere', which does not exist", done.stderr)
        foreign = self.dir / "foreign"
        foreign.mkdir()
        (foreign / "samples.h5").write_text("mine")
        done = self.start(job, "foreign", *small, options=("--resume",), status=2)
        self.assertIn("there is no run to go on with", done.stderr)
        self.assertEqual((foreign / "samples.h5").read_text(), "mine")
        (foreign / "metrics.json").mkdir()
        (foreign / "metrics.json" / "inside").write_text("mine")
        done = self.start(job, "foreign", *small, options=("--force",), status=2)
        self.assertIn("metrics.json: it is no file", done.stderr)
        self.assertEqual((foreign / "samples.h5").read_text(), "mine")

    def test_options_out_of_range(self):
        self.start(self.project / "job.toml", "out", "learn.enabled=false")
        for seed in ("-1", "18446744073709551616", "1e3", "abc"):
            for command in (["check", self.project / "job.toml"],
                            ["generate", "out", "--at", "0", "-n", "1", "-o", "s.npy"]):
                done = run(BINARY, *command, "--seed", seed, status=2, cwd=self.dir)
                self.assertIn(f"--seed {seed}: not a seed; give an integer from 0", done.stderr)
                self.assertLess(len(done.stderr), 120)
        done = run(BINARY, "generate", "out", "--at", "1e308", "-n", 2, "-o", "s.npy", "--quiet",
                   status=2, cwd=self.dir)
        self.assertIn("beyond single precision", done.stderr)
        self.assertFalse((self.dir / "s.npy").exists())

    def test_no_control_characters_on_the_terminal(self):
        done = run(BINARY, "check", self.project / "job.toml", "--set",
                   'system.variables=["x","y\\u0000"]', status=2)
        self.assertIn("is not a name; use letters", done.stderr)
        done = run(BINARY, "check", self.project / "job.toml", "--set", "umbrella.initial=data",
                   cwd=self.project, status=2)
        self.assertIn("'data', which is no file; give", done.stderr)
        escape, high = "\x1b[31mred", "\u009b31m"
        done = run(BINARY, "check", self.project / "job.toml", "--set", f"umbrella.initial=a{high}.csv",
                   status=2)
        self.assertNotIn(high, done.stderr)
        done = run(BINARY, "check", self.dir / f"no{escape}.toml", status=2)
        self.assertIn("no\\x1b[31mred.toml", done.stderr)
        self.assertNotIn("\x1b", done.stderr)

    def test_passages_beyond_the_end(self):
        config = self.dir / "job.toml"
        text = JOB[:JOB.index("[generator]")].replace('initial = "data/start.csv"\n', "")
        config.write_text(text + "[closure]\nvalues = 9\nreplicas = 256\nrelaxation = 0\npassages = 16\n"
                          "passage_from = -0.9\npassage_to = [0.5, 3.0]\npassage_steps = 2000\n")
        self.start(config, "out")
        told = metrics(self.dir / "out")
        sources = [s for s in told["closure"]["sources"] if s["source"] != "full"]
        self.assertTrue(sources)
        for source in sources:
            near, beyond = source["passages"]
            self.assertGreater(near["value"], 0)
            self.assertIsNone(beyond["value"])
            self.assertIsNone(beyond["error"])
            self.assertTrue(any("to 3 leads beyond the end" in w and source["source"] in w
                                for w in told["warnings"]), told["warnings"])
        self.start(config, "no", "closure.passage_from=-1.3", status=2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
