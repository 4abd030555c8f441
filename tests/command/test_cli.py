#!/usr/bin/python3
"""The built command: every refusal is one message and the right exit status, nothing half written;
runs, resumes, stops by signal, gives the same bytes with one and two threads."""
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import BINARY, EXAMPLES, SOURCE, metrics  # noqa: E402

# Small enough for seconds, with every stage in it.
SMALL = """
seed = 3
[system]
variables = ["x", "y"]
potential = "(x^2-1)^2 + 2*(y^2-1)^2 + 0.3*x*y"
beta = 1.0
[cv]
variables = [{ formula = "x", unit = "nm" }]
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
stride = 40
[estimate]
bins = 24
[generator]
kind = "cgan"
generator_widths = [16, 16]
critic_widths = [16, 16]
batch = 64
iterations = 200
validate_every = 100
[lifting]
values = 5
states = 500
heal_steps = 100
[closure]
enabled = true
"""
# Long enough to be stopped in the middle.
LONG = ["--set", "umbrella.steps=40000000", "--set", "umbrella.stride=400000"]
# Drawing the report takes most of the time of a run as small as SMALL.
PLAIN = ("--quiet", "--no-report")
RESULTS = ("free_energy.csv", "conditional.csv", "generator.safetensors")


def run(*arguments, limit=None, timeout=300, **options):
    """The finished process; `limit` is the largest file that it may write, in bytes."""
    def before():
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return subprocess.run([str(BINARY), *map(str, arguments)], capture_output=True, text=True,
                          timeout=timeout, preexec_fn=before, **options)


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="microlift_cli_"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.config = self.dir / "small.toml"
        self.config.write_text(SMALL)

    def refused(self, *arguments, status=2, says="", **options):
        """The message of a command that has to end with this status and one line on stderr."""
        done = run(*arguments, **options)
        self.assertEqual(done.returncode, status, f"{arguments}: {done.stdout}{done.stderr}")
        lines = done.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("microlift: "), lines[0])
        self.assertIn("; ", lines[0])
        self.assertIn(says, lines[0])
        return lines[0]

    def succeed(self, *arguments, **options):
        done = run(*arguments, **options)
        self.assertEqual(done.returncode, 0, f"{arguments}: {done.stdout}{done.stderr}")
        return done

    def no_partial_files(self, where):
        left = [p for p in Path(where).rglob("*") if p.name.endswith((".partial", ".tmp"))]
        self.assertEqual(left, [])


class Refusals(Case):
    def test_command_line(self):
        self.refused("foo", says="unknown command 'foo'")
        self.refused("ru", says="did you mean 'run'?")
        self.refused("run", says="CONFIG")
        self.refused("run", self.config, says="--out")
        self.refused("run", self.config, "-o", self.dir / "o", "--sede", "1", says="--sede")
        self.refused("run", self.config, "-o", self.dir / "o", "--threads", "two", says="--threads")
        self.refused("run", self.config, "-o", self.dir / "o", "--threads", "-1", says="--threads")
        self.refused("run", self.config, "-o", self.dir / "o", "--seed", "-1", says="--seed")
        self.refused("run", self.config, "-o", self.dir / "o", "--force", "--resume", says="--resume")
        self.refused("check", says="CONFIG")
        self.refused("generate", self.dir, "-n", "3", "-o", "a.npy", says="--at")
        self.refused("generate", self.dir, "--at", "x", "-n", "3", "-o", "a.npy", says="--at x")
        self.refused("generate", self.dir, "--at", "1", "-n", "0", "-o", "a.npy", says="--count")
        self.refused("generate", self.dir, "--at", "1", "-n", "3", "-o", "a.txt", says=".npy")
        self.refused("generate", self.dir / "no", "--at", "1", "-n", "3", "-o", "a.npy",
                     says="no such directory")
        self.refused("report", self.dir / "no", says="no such directory")
        self.refused("report", self.dir, says="no config.toml")
        self.refused("systems", "no_such", says="unknown system 'no_such'")
        self.assertEqual(run().returncode, 2)
        self.assertFalse((self.dir / "o").exists())

    def test_help_and_lists(self):
        text = self.succeed("--help").stdout
        for command in ("run", "generate", "report", "check", "systems", "info", "bench"):
            self.assertIn(command, text)
            self.assertIn("--help", self.succeed(command, "--help").stdout)
        self.assertIn("130/143", text)
        self.assertIn("microlift", self.succeed("--version").stdout)
        names = self.succeed("systems").stdout
        for name in ("double_well", "channel", "hidden_barrier", "muller_brown", "fast_slow"):
            self.assertIn(name, names)
            self.assertIn("collective variable", self.succeed("systems", name).stdout)
        info = self.succeed("info").stdout
        self.assertIn("device     cpu", info)
        built_in = "CUDA       built in" in info
        for library in ("cuBLASLt", "NVRTC", "Thrust", "cuDNN"):
            self.assertEqual(built_in, library in info, info)
        self.assertIn("`umbrella.windows`", self.succeed("check", "--keys").stdout)

    def test_one_fault_is_one_line(self):
        """A wrong key of an optional table does not make others say that the table is missing."""
        for change in ("generator.latent=-1", "generator.iteration=3", "estimate.bin=3", "closure.values=3"):
            for example in ("hidden_barrier", "muller_brown"):
                done = run("check", EXAMPLES / f"{example}.toml", "--set", change, "--set",
                           "closure.start=healed", "--set", "learn.enabled=true")
                self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done.stderr)
                self.assertIn(change.split("=")[0].split(".")[1], done.stderr)
        self.refused("check", self.config, "--set", 'cv.variables=[{formula="x", period=0.5}]',
                     says="whose period is 0.5")

    def test_configuration(self):
        self.refused("check", self.dir / "no.toml", says="cannot read the configuration")
        self.refused("check", self.dir, says="it is a directory")
        message = self.refused("check", self.config, "--set", "umbrella.windows=-3",
                               says="--set umbrella.windows=-3: key 'umbrella.windows'")
        self.assertIn("found -3", message)
        bad = self.dir / "bad.toml"
        bad.write_text(SMALL.replace("windows = 7", "windos = 7"))
        line = SMALL[:SMALL.index("windows = 7")].count("\n") + 1
        self.refused("check", bad, says=f"{bad}:{line}:1: unknown key 'umbrella.windos'; did you mean")
        bad.write_text(SMALL.replace("0.3*x*y", "0.3*x*"))
        self.refused("run", bad, "-o", self.dir / "o", says="system.potential")
        self.refused("check", bad, says="system.potential")
        bad.write_text(SMALL.replace("0.3*x*y", "0.3*x*z"))
        self.refused("check", bad, says="'z'")
        bad.write_text(SMALL.replace('formula = "x"', 'formula = "x + w"'))
        self.refused("check", bad, says="'w'")
        self.refused("run", self.config, "-o", self.dir / "o", "--set", "umbrella.windows=1000000",
                     "--set", "umbrella.replicas=2000", says="of memory")
        self.assertFalse((self.dir / "o").exists())

    def test_every_fault_of_a_file_is_named(self):
        bad = self.dir / "bad.toml"
        bad.write_text(SMALL.replace("windows = 7", "windos = 7")
                       .replace("stride = 40", "stride = 30")
                       .replace("batch = 64", "batch = 5000000")
                       .replace("seed = 3", 'seed = "three"')
                       .replace("0.3*x*y", "0.3*x*z"))
        says = ("'seed' must be", "'z'", "did you mean 'umbrella.windows'?",
                "does not divide 'umbrella.steps'", "≤ 4194304")
        for command in (["check", bad], ["run", bad, "-o", self.dir / "o"]):
            done = run(*command)
            self.assertEqual(done.returncode, 2, done.stdout)
            lines = done.stderr.splitlines()
            self.assertEqual(len(lines), len(says), done.stderr)
            places = []
            for line, text in zip(lines, says):
                self.assertIn(text, line)
                places.append(int(re.match(rf"microlift: {bad}:(\d+):\d+: ", line)[1]))
            self.assertEqual(places, sorted(places))
        self.assertFalse((self.dir / "o").exists())

    def test_strings_of_options_need_no_quotes(self):
        start = self.dir / "start.csv"
        start.write_text("x,y\n1,1\n-1,1\n")
        text = self.succeed("check", self.config, "--set", "umbrella.initial=./start.csv",
                            cwd=self.dir).stdout
        self.assertIn('initial = "./start.csv"', text)
        self.refused("check", self.config, "--set", "umbrella.initial=../no.csv",
                     says="names the file '../no.csv', which does not exist")
        self.refused("check", self.config, "--set", "umbrella.initial=1.2.3",
                     says="names the file '1.2.3', which does not exist")
        start.write_text("x\n1\n")
        self.refused("check", self.config, "--set", f"umbrella.initial={start}", says="1 column")

    def test_check_is_a_configuration(self):
        for example in sorted(EXAMPLES.glob("*.toml")):
            if "diffusion_map" in example.read_text():
                continue  # needs a map that was learned first: tests/command/test_learned.py
            with self.subTest(example.name):
                once = self.succeed("check", example).stdout
                resolved = self.dir / "resolved.toml"
                resolved.write_text(once)
                # What the program itself takes is measured, and may round otherwise.
                figures = re.compile(r"[0-9.]+ GB")
                self.assertEqual(figures.sub("GB", self.succeed("check", resolved).stdout), figures.sub("GB", once))
                self.assertIn("force evaluations", once)
                self.assertIn("# memory: ", once)
                tomllib.loads(once)

    def test_device(self):
        for name in ("gpu", "cuda:99", "cuda:x", "cpu:1"):
            done = run("run", self.config, "-o", self.dir / "o", "--device", name)
            self.assertIn(done.returncode, (2, 3), done.stderr)
            self.assertFalse((self.dir / "o").exists())
        self.refused("run", self.config, "-o", self.dir / "o", "--device", "cuda:99", status=3)
        self.refused("bench", "mbar", "--device", "gpu", says="--device")
        self.refused("bench", "mbar", "--device", "cuda:99", status=3)

    def test_directories(self):
        full = self.dir / "full"
        full.mkdir()
        (full / "mine.txt").write_text("mine")
        self.refused("run", self.config, "-o", full, says="not empty")
        self.assertEqual([p.name for p in full.iterdir()], ["mine.txt"])
        self.refused("run", self.config, "-o", full / "mine.txt", says="it is a file")
        if os.geteuid() != 0:
            closed = self.dir / "closed"
            closed.mkdir(mode=0o500)
            self.refused("run", self.config, "-o", closed / "o", says="Permission denied")

    def test_standard_output_that_is_full(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run([str(BINARY), "systems"], stdout=full, stderr=subprocess.PIPE,
                                  text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("cannot write", done.stderr)


class Runs(Case):
    @classmethod
    def setUpClass(cls):
        cls.shared = Path(tempfile.mkdtemp(prefix="microlift_cli_"))
        cls.addClassCleanup(shutil.rmtree, cls.shared, ignore_errors=True)
        config = cls.shared / "small.toml"
        config.write_text(SMALL)
        cls.out = cls.shared / "out"
        cls.done = run("run", config, "-o", cls.out, "--threads", "2")

    def setUp(self):
        super().setUp()
        self.assertEqual(self.done.returncode, 0, self.done.stderr)

    def test_files(self):
        for name in ("config.toml", "free_energy.csv", "conditional.csv", "closure.csv", "samples.h5",
                     "generator.safetensors", "metrics.json", "checkpoint.h5", "report.html"):
            self.assertTrue((self.out / name).is_file(), name)
        self.assertTrue(self.done.stdout.strip())
        metrics(self.out)
        self.no_partial_files(self.out)
        header = (self.out / "free_energy.csv").read_text().splitlines()[0]
        self.assertEqual(header, "cv_1,free_energy,std_error")
        header = (self.out / "conditional.csv").read_text().splitlines()[0]
        self.assertEqual(header, "cv_1,variable,mean,mean_se,variance,source")
        header = (self.out / "closure.csv").read_text().splitlines()[0]
        self.assertEqual(header, "cv_1,drift,drift_se,diffusion,diffusion_se,source")

    def test_samples_are_readable(self):
        import h5py
        with h5py.File(self.out / "samples.h5") as file:
            count = file["state"].shape[0]
            self.assertGreater(count, 0)
            self.assertEqual(file["state"].shape, (count, 2))
            self.assertEqual(file["window"].shape, (count,))
            self.assertEqual(file["weight"].shape, (count,))
            self.assertEqual(file["cv"].shape[0], count)
            self.assertIn("units", file["state"].attrs)
            self.assertEqual(list(file["cv"].attrs["units"]), ["nm"])
            self.assertTrue(np.isfinite(file["state"][:]).all())

    def test_potential_for_pictures(self):
        import h5py
        with h5py.File(self.out / "samples.h5") as file:
            state = file["state"][:].astype(float)
        with h5py.File(self.out / "potential.h5") as file:
            self.assertEqual(file.attrs["format"], "microlift potential 1")
            self.assertEqual(list(file["potential"].attrs["variables"]), ["x", "y"])
            rows, drawn = file["sample"][:], file["sample_potential"][:]
            axes = file["axis_1"][:], file["axis_2"][:]
            grid, cv = file["potential"][:], file["cv"][:]
            self.assertNotIn("observed", file)

        def potential(x, y):
            return (x**2 - 1)**2 + 2 * (y**2 - 1)**2 + 0.3 * x * y
        self.assertTrue((np.diff(rows) > 0).all())
        np.testing.assert_allclose(drawn, potential(*state[rows].T), rtol=1e-12, atol=1e-12)
        x, y = np.meshgrid(*axes)
        np.testing.assert_allclose(grid, potential(x, y), rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(cv, x[None])
        for axis, values in zip(axes, state[rows].T):
            self.assertGreater(np.mean((values > axis[0]) & (values < axis[-1])), 0.998)

    def test_same_bytes_with_one_thread_and_from_the_resolved_file(self):
        other = self.dir / "one"
        self.succeed("run", self.out / "config.toml", "-o", other, "--threads", "1", *PLAIN)
        for name in ("config.toml", *RESULTS):
            self.assertEqual((other / name).read_bytes(), (self.out / name).read_bytes(), name)

    def test_quiet_and_force(self):
        other = self.dir / "two"
        other.mkdir()
        (other / "mine.txt").write_text("mine")
        listed = set(re.findall(r"^\| `([\w.]+\.(?:csv|h5|json|html|safetensors))` \|",
                                (SOURCE / "tools/docs/running.md").read_text(encoding="utf-8"), re.MULTILINE))
        listed |= {"histogram.csv", "generator_flow.safetensors"}
        for name in listed:
            (other / name).write_text("old")
        done = self.succeed("run", self.config, "-o", other, "--force", *PLAIN,
                            "--set", "generator.enabled=false", "--set", "closure.enabled=false")
        self.assertEqual(done.stderr, "")
        self.assertEqual((other / "mine.txt").read_text(), "mine")
        self.assertEqual([p.name for p in other.iterdir() if p.read_bytes() == b"old"], [])
        self.assertFalse((other / "closure.csv").exists())
        self.refused("run", self.config, "-o", other, says="not empty")
        self.refused("run", self.config, "-o", other, "--resume", says="another configuration")

    def test_generate(self):
        npy = self.dir / "states.npy"
        for extra in ([], ["--heal", "50"]):
            self.succeed("generate", self.out, "--at", "-0.5", "-n", "1000", "-o", npy, *extra)
            states = np.load(npy)
            self.assertEqual(states.shape, (1000, 2))
            self.assertTrue(np.isfinite(states).all())
            if not extra:
                self.assertLess(np.abs(states[:, 0] + 0.5).max(), 1e-4)
        self.succeed("generate", self.out, "--at", "0.3", "-n", "10", "-o", npy, "--seed", "5")
        first = npy.read_bytes()
        self.succeed("generate", self.out, "--at", "0.3", "-n", "10", "-o", npy, "--seed", "5",
                     "--threads", "1")
        self.assertEqual(npy.read_bytes(), first)
        self.succeed("generate", self.out, "--at", "0.3", "-n", "10", "-o", npy, "--seed", "6")
        self.assertNotEqual(npy.read_bytes(), first)
        self.refused("generate", self.out, "--at", "0.3,0.4", "-n", "10", "-o", npy)
        self.refused("generate", self.out, "--at", "0.3", "-n", "10", "-o", self.dir / "no" / "a.npy",
                     says="cannot write")
        full = self.dir / "full.npy"
        self.refused("generate", self.out, "--at", "0.3", "-n", "100000", "-o", full, limit=100000,
                     says="cannot write")
        self.no_partial_files(self.dir)
        self.assertFalse(full.exists())

    def damaged(self, name, change):
        """A copy of the run in which one file's bytes were changed."""
        copy = self.dir / f"copy_{len(list(self.dir.iterdir()))}"
        shutil.copytree(self.out, copy)
        (copy / name).write_bytes(change((copy / name).read_bytes()))
        return copy

    def test_damaged_weights(self):
        name = "generator.safetensors"
        for change in (lambda b: b[:-1], lambda b: b[:5], lambda b: b"", lambda b: b[:100] + b"\0" + b[101:],
                       lambda b: b[:-9] + bytes([b[-9] ^ 1]) + b[-8:]):
            self.refused("generate", self.damaged(name, change), "--at", "0.3", "-n", "10", "-o",
                         self.dir / "a.npy", says=name)
        gone = self.damaged(name, lambda b: b)
        (gone / name).unlink()
        self.refused("generate", gone, "--at", "0.3", "-n", "10", "-o", self.dir / "a.npy", says=name)

    def test_damaged_checkpoint(self):
        for change in (lambda b: b[:-1], lambda b: b[:300], lambda b: b"",
                       lambda b: b[:2000] + bytes([b[2000] ^ 1]) + b[2001:]):
            copy = self.damaged("checkpoint.h5", change)
            self.refused("run", self.config, "-o", copy, "--resume", "--quiet", says="checkpoint.h5")

    def test_report(self):
        copy = self.damaged("report.html", lambda b: b"")
        done = self.succeed("report", copy)
        self.assertEqual(done.stdout.strip(), str(copy / "report.html"))
        page = (copy / "report.html").read_text()
        self.assertIn("<html", page)
        copy = self.damaged("metrics.json", lambda b: b[:50])
        self.refused("report", copy, says="metrics.json")
        # A machine without Python: no program can be started.
        (self.dir / "lie.c").write_text("#include <errno.h>\nint execve(const char *f, char *const a[], "
                                        "char *const e[]) { errno = ENOENT; return -1; }\n")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self.dir / "lie.so", self.dir / "lie.c"], check=True)
        self.refused("report", self.out, env={**os.environ, "LD_PRELOAD": str(self.dir / "lie.so")},
                     says="python3 with numpy, matplotlib and h5py")

    def test_full_disk(self):
        for limit in (0, 20000, 100000):
            out = self.dir / f"limit_{limit}"
            self.refused("run", self.config, "-o", out, "--quiet", limit=limit, says="cannot write")
            self.no_partial_files(out)

    def test_generator_outside_its_data(self):
        """A hole between two windows, and a value beyond them: a warning, in the report too."""
        out = self.dir / "hole"
        done = self.succeed("run", self.config, "-o", out, "--set", "umbrella.windows=2", "--set",
                            "umbrella.stiffness=200", "--set", "closure.enabled=false")
        self.assertIn("the generator was asked outside its data", done.stdout)
        self.assertRegex(done.stdout, r"bins hold no samples at x = -0\.\d+ to 0\.\d+")
        self.assertIn("asked outside its data", (out / "report.html").read_text())
        self.assertNotIn("asked outside its data", self.done.stdout)
        beyond = self.succeed("generate", self.out, "--at", "1.5", "-n", "10", "-o",
                              self.dir / "a.npy")
        self.assertIn("--at 1.5 lies outside the range [-1.2, 1.2]", beyond.stderr)
        within = self.succeed("generate", self.out, "--at", "1.1", "-n", "10", "-o",
                              self.dir / "a.npy")
        self.assertNotIn("outside", within.stderr)

    def test_proposals_that_are_not_accepted(self):
        """An untrained flow's Gaussian on a law that is a thin ring: hardly a proposal is accepted."""
        text = SMALL.replace('["x", "y"]', '["x", "y", "z"]')
        text = re.sub('potential = .*', 'potential = "(x^2-1)^2 + 3000*(y^2+z^2-1)^2"', text)
        text = text.replace("dt = 2e-3", "dt = 2e-5").replace('kind = "cgan"', 'kind = "flow"')
        text = text.replace("equilibrate = 500", "equilibrate = 30000\ninitial = [0, 1, 0]")
        self.config.write_text(text)
        out = self.dir / "ring"
        done = self.succeed("run", self.config, "-o", out, "--set", "generator.iterations=2", "--set",
                            "generator.flow_steps=2", "--set", "closure.enabled=false", "--set",
                            "lifting.proposals=1000")
        self.assertIn("hardly any of the generator's proposals is accepted", done.stdout)
        self.assertIn("Hardly any of the generator", (out / "report.html").read_text())

    def test_energies_that_are_all_equal(self):
        """Given x, the potential is known: there is no histogram of it to compare."""
        self.config.write_text(re.sub("potential = .*", 'potential = "(x^2-1)^2"', SMALL))
        done = self.succeed("run", self.config, "-o", self.dir / "flat", "--no-report", "--set",
                            "lifting.energies=3", "--set", "closure.enabled=false")
        self.assertIn("there is no histogram", done.stdout)

    def test_kinds_compared(self):
        """The run's kind and two others on the same samples: a table of the three."""
        out = self.dir / "kinds"
        self.succeed("run", self.config, "-o", out, "--quiet", "--set",
                     'generator.compare=["flow", "energy"]', "--set", "closure.enabled=false", "--set",
                     "generator.precision=bf16")
        told = metrics(out)
        self.assertEqual(told["stages"]["train"]["precision"],  # the CPU knows one only
                         "fp32" if told["device"].startswith("CPU") else "bf16")
        compared = told["compare"]
        self.assertEqual([row["kind"] for row in compared], ["cgan", "flow", "energy"])
        self.assertEqual([row["updates"] for row in compared], [200, 400, 400])
        for row in compared:
            for key in ("seconds", "best_w1", "median", "worst", "states_per_second"):
                self.assertGreater(row[key], 0, key)
            self.assertLessEqual(row["median"], row["worst"])
        for kind in ("flow", "energy"):
            self.assertTrue((out / f"generator_{kind}.safetensors").is_file())
        page = (out / "report.html").read_text()
        self.assertIn("Kinds of generator", page)
        self.assertIn("states lifted a second", page)

    def test_mala_with_large_steps(self):
        out = self.dir / "mala"
        self.succeed("run", self.config, "-o", out, *PLAIN, "--set", "integrator.scheme=mala", "--set",
                     "integrator.dt=0.15", "--set", "generator.enabled=false", "--set",
                     "closure.enabled=false")
        told = metrics(out)
        sample = told["stages"]["sample"]
        self.assertGreater(sample["step_acceptance"], 0.02)
        self.assertLess(sample["lowest_step_acceptance"], 0.3)
        self.assertLessEqual(sample["lowest_step_acceptance"], sample["step_acceptance"])
        words = r"mala accepts only 0\.\d+ of its steps in window \d+ at x = "
        self.assertTrue(any(re.search(words, w) for w in told["warnings"]))

    def test_blow_up(self):
        out = self.dir / "blown"
        message = self.refused("run", self.config, "-o", out, "--quiet", "--set", "integrator.dt=10",
                               status=4)
        self.assertRegex(message, "(?i)traject.*step|step.*traject")
        self.no_partial_files(out)


class Signals(Case):
    def stop(self, out, how, seconds, *extra):
        """Starts a run, sends the signal after some time; the finished process."""
        process = subprocess.Popen([str(BINARY), "run", str(self.config), "-o", str(out), *PLAIN,
                                    *extra], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(seconds)
        process.send_signal(how)
        output, errors = process.communicate(timeout=120)
        return process.returncode, output, errors

    def stop_midway(self, out, how, seconds, *extra):
        """The same, sooner if the run ended first: the machine has more time for it than before."""
        for _ in range(5):
            shutil.rmtree(out, ignore_errors=True)
            code, _, errors = self.stop(out, how, seconds, *extra)
            if code != 0:
                break
            seconds *= 0.7
        return code, errors

    def test_signals(self):
        for how, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            out = self.dir / f"stopped_{status}"
            code, _, errors = self.stop(out, how, 1.5, *LONG)
            self.assertEqual(code, status, errors)
            self.assertEqual(len(errors.strip().splitlines()), 1, errors)
            self.assertIn("--resume", errors)
            self.assertTrue((out / "checkpoint.h5").is_file())
            self.no_partial_files(out)

    def test_two_runs_in_one_directory(self):
        out = self.dir / "shared"
        first = subprocess.Popen([str(BINARY), "run", str(self.config), "-o", str(out), *PLAIN, *LONG],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(100):
                if (out / "config.toml").exists():
                    break
                time.sleep(0.05)
            self.refused("run", self.config, "-o", out, "--resume", *LONG, says="another microlift")
        finally:
            first.kill()
            first.wait()

    def test_killed_at_random_moments_and_resumed(self):
        settings = ["--set", "umbrella.steps=40000", "--set", "generator.iterations=1500"]
        whole = self.dir / "whole"
        begin = time.time()
        self.succeed("run", self.config, "-o", whole, *PLAIN, *settings)
        seconds = time.time() - begin
        random = np.random.default_rng(int(os.environ.get("MICROLIFT_TEST_SEED", "1")))
        for moment in random.uniform(0.05, 0.9, 5):
            out = self.dir / "killed"
            code, _ = self.stop_midway(out, signal.SIGKILL, moment * seconds, *settings)
            self.assertEqual(code, -signal.SIGKILL, f"the run ended before {moment * seconds:.2f} s")
            self.succeed("run", self.config, "-o", out, *PLAIN, "--resume", *settings)
            for name in RESULTS:
                self.assertEqual((out / name).read_bytes(), (whole / name).read_bytes(),
                                 f"{name}, killed at {moment:.2f} of the run")
            self.no_partial_files(out)

    def test_mala_stopped_and_resumed(self):
        settings = sum((["--set", s] for s in (
            "integrator.scheme=mala", "integrator.dt=0.03", "umbrella.steps=80000",
            "umbrella.stride=800", "generator.enabled=false", "closure.enabled=false")), [])
        whole, out = self.dir / "whole", self.dir / "stopped"
        begin = time.time()
        self.succeed("run", self.config, "-o", whole, *PLAIN, *settings)
        code, errors = self.stop_midway(out, signal.SIGTERM, 0.5 * (time.time() - begin), *settings)
        self.assertEqual(code, 143, errors)
        self.succeed("run", self.config, "-o", out, *PLAIN, "--resume", *settings)
        self.assertEqual((out / "free_energy.csv").read_bytes(),
                         (whole / "free_energy.csv").read_bytes())
        shares = [metrics(o)["stages"]["sample"]["step_acceptance"]
                  for o in (whole, out)]
        self.assertEqual(*shares)
        self.assertGreater(shares[0], 0.5)

    def test_stopped_inside_a_coupling_round_and_resumed(self):
        """By SIGTERM, which leaves a checkpoint of the middle of the round, and by SIGKILL."""
        settings = sum((["--set", s] for s in (
            'generator.kind="flow"', "generator.batch=64", "generator.validate_every=100",
            "generator.flow_steps=2", "lifting.proposals=0",
            "coupling.rounds=2", "coupling.windows=4", "coupling.replicas=32",
            "coupling.equilibrate=500", "coupling.steps=30000", "coupling.jump=400",
            "coupling.exchange=400", "coupling.iterations=100", "lifting.heal_steps=0",
            "closure.enabled=false")), [])
        whole = self.dir / "whole"
        self.succeed("run", self.config, "-o", whole, *PLAIN, *settings)

        def record(out):
            return metrics(out)["coupling"]

        self.assertEqual(len(record(whole)["rounds"]), 3)
        random = np.random.default_rng(int(os.environ.get("MICROLIFT_TEST_SEED", "1")))
        for rounds, how in ((1, signal.SIGTERM), (2, signal.SIGKILL)):
            out = self.dir / f"stopped_{rounds}_{how}"
            process = subprocess.Popen([str(BINARY), "run", str(self.config), "-o", str(out),
                                        *PLAIN, *settings], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.PIPE, text=True)
            planned = 0
            while process.poll() is None and planned < rounds:
                try:  # the record is written when a round is planned, right before its sampling
                    planned = len(record(out)["rounds"])
                except (OSError, KeyError):
                    pass
                time.sleep(0.005)
            time.sleep(random.uniform(0.02, 0.2))
            process.send_signal(how)
            _, errors = process.communicate(timeout=120)
            self.assertNotEqual(process.returncode, 0, "it ended first")
            self.succeed("run", self.config, "-o", out, *PLAIN, "--resume", *settings)
            for name in RESULTS:
                self.assertEqual((out / name).read_bytes(), (whole / name).read_bytes(),
                                 f"{name}, round {rounds}, signal {how}, {errors}")
            self.assertEqual(record(out), record(whole))
            self.no_partial_files(out)


if __name__ == "__main__":
    if not BINARY.is_file():
        sys.exit(f"{BINARY}: there is no such program; build first, or set MICROLIFT_BINARY")
    unittest.main()
