#!/usr/bin/python3
"""What hostile surroundings do to the command: folders that others write to, closed streams, processes
side by side, signals at any moment, files altered behind a right checksum."""
import os
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
from command import BINARY, SOURCE  # noqa: E402
from seal import reseal  # noqa: E402

SMALL = """
seed = 3
[system]
variables = ["x", "y"]
potential = "(x^2-1)^2 + 2*y^2 + 0.3*x*y"
beta = 1.0
[cv]
variables = ["x"]
[integrator]
scheme = "mala"
dt = 2e-3
compile_after = -1
[umbrella]
from = -1.0
to = 1.0
windows = 5
stiffness = 15.0
replicas = 8
equilibrate = 100
steps = 1000
stride = 50
[estimate]
bins = 10
"""
GENERATOR = """
[generator]
generator_widths = [8]
critic_widths = [8]
batch = 32
iterations = 40
validate_every = 20
[lifting]
values = 2
states = 100
heal_steps = 10
"""
PLAIN = ("--no-report", "--quiet", "--threads", "1")
WITHIN = 5.0  # seconds in which a signal stops a run
RESULTS = ("free_energy.csv", "samples.h5")


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="microlift_hostile_"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.config = self.dir / "small.toml"
        self.config.write_text(SMALL)

    def run_it(self, *arguments, **options):
        options.setdefault("cwd", self.dir)
        return subprocess.run([str(BINARY), *map(str, arguments)], capture_output=True, text=True,
                              errors="replace", timeout=120, **options)

    def succeed(self, *arguments, **options):
        done = self.run_it(*arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def refused(self, *arguments, says="", status=2, **options):
        done = self.run_it(*arguments, **options)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertIn(says, done.stderr)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        return done.stderr

    def preload(self, source):
        """The environment with a library of this C source before all others."""
        (self.dir / "lie.c").write_text("#define _GNU_SOURCE\n" + source)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", "lie.so", "lie.c", "-ldl"], cwd=self.dir,
                       check=True)
        return {**os.environ, "LD_PRELOAD": str(self.dir / "lie.so")}


class Execution(Case):
    def test_the_working_folder_is_not_imported(self):
        for name in ("matplotlib", "numpy", "h5py"):
            (self.dir / f"{name}.py").write_text('open("executed", "w").write("x")')
        (self.dir / "matplotlibrc").write_text("backend: no_such_backend\n")
        (self.dir / "python3").write_text("#!/bin/sh\n: > executed\n")
        (self.dir / "python3").chmod(0o755)
        environment = {**os.environ, "PYTHONPATH": str(self.dir), "PATH": ":.:" + os.environ["PATH"]}
        self.succeed("run", self.config, "-o", "o", "--quiet", env=environment)
        self.assertTrue((self.dir / "o/report.html").exists())
        self.succeed("report", "o", env=environment)
        self.assertFalse((self.dir / "executed").exists())

    def test_a_script_that_others_may_write_is_not_run(self):
        self.succeed("run", self.config, "-o", "o", *PLAIN)
        for place, mode in (("x", 0o755), ("bin", 0o777), ("bin", 0o1777)):
            root = self.dir / f"{place}{mode}"
            script = root / "share/microlift/report/report.py"
            (root / place).mkdir(parents=True)
            script.parent.mkdir(parents=True)
            script.write_text("import sys\nopen(sys.argv[-1] + '/executed', 'w')\n")
            (root / "share/microlift/report.py").write_text(script.read_text())
            shutil.copy(BINARY, root / place / "microlift")
            root.chmod(mode)
            subprocess.run([root / place / "microlift", "report", "o"], cwd=self.dir, timeout=60,
                           capture_output=True)
            self.assertFalse((self.dir / "o/executed").exists(), (place, oct(mode)))

    def test_names_do_not_steer_the_terminal(self):
        evil = self.dir / "\x1b]0;evil\x07\x9b.toml"
        for command in (("check", evil), ("run", evil, "-o", "o"), ("report", "\x1b[2J")):
            message = self.refused(*command)
            self.assertFalse([c for c in message if c != "\n" and not c.isprintable()], repr(message))
        self.assertIn("\\x1b", message)


class Streams(Case):
    def test_closed_streams_become_no_file(self):
        for number, closed in enumerate(("", "<&-", ">&-", "2>&-", "<&- >&- 2>&-")):
            out = self.dir / f"o{number}"
            done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", str(BINARY), "run", self.config,
                                   "-o", out, "--no-report", "--threads", "1"], timeout=60,
                                  capture_output=True)
            self.assertEqual(done.returncode, 0, closed)
            self.assertEqual((out / ".lock").read_bytes(), b"")
            for name in RESULTS:
                first = self.dir / "o0" / name
                self.assertEqual((out / name).read_bytes(), first.read_bytes(), (closed, name))


class SideBySide(Case):
    def test_two_writers_of_one_file(self):
        self.config.write_text(SMALL + GENERATOR)
        self.succeed("run", self.config, "-o", "o", *PLAIN)
        n, place = 100000, self.dir / "x.npy"
        for _ in range(4):
            both = [subprocess.Popen([BINARY, "generate", "o", "--at", at, "-n", str(n), "-o", "x.npy",
                                      "--quiet", "--threads", "1"], cwd=self.dir) for at in ("-0.9", "0.9")]
            self.assertEqual([p.wait(60) for p in both], [0, 0])
            self.assertIn(int((np.load(place)[:, 0] < 0).sum()), (0, n))

    def test_others_keep_out_of_a_run(self):
        long = ("--set", "umbrella.steps=100000000")
        run = subprocess.Popen([BINARY, "run", self.config, "-o", "o", *PLAIN, *long], cwd=self.dir,
                               stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            for _ in range(100):
                if (self.dir / "o/config.toml").exists():
                    break
                time.sleep(0.05)
            self.refused("learn", "o", says="another microlift is at work there")
            self.refused("generate", "o", "--at", "0", "-n", "1", "-o", "a.npy",
                         says="another microlift is at work there")
        finally:
            run.kill()
            run.wait()

    def test_leftovers_of_killed_processes_are_removed(self):
        folder = self.dir / "o"
        folder.mkdir()
        (folder / ".lock").touch()
        dead = subprocess.Popen(["true"])
        dead.wait()
        mine = folder / f".mine.{os.getpid()}-0.partial"
        for left in (folder / f".samples.h5.{dead.pid}-3.partial", mine):
            left.write_text("x")
        self.succeed("run", self.config, "-o", "o", "--force", *PLAIN)
        self.assertEqual([p.name for p in folder.glob(".*.partial")], [mine.name])

    def test_file_systems_without_locks(self):
        lie = ("#include <errno.h>\n#include <stdarg.h>\n#include <fcntl.h>\n"
               "int flock(int a, int b) { errno = EOPNOTSUPP; return -1; }\n")
        done = self.succeed("run", self.config, "-o", "a", *PLAIN, env=self.preload(lie))
        self.assertEqual(done.stderr, "")  # another kind of lock will do
        lie += "int fcntl64(int f, int c, ...) { if (c == 37) { errno = EINVAL; return -1; } return 0; }\n" \
               "int fcntl(int f, int c, ...) { if (c == 37) { errno = EINVAL; return -1; } return 0; }\n"
        done = self.succeed("run", self.config, "-o", "b", *PLAIN, env=self.preload(lie))
        self.assertIn("cannot be locked", done.stderr)

    def test_no_threads(self):
        import resource
        if os.geteuid() != 0:
            self.skipTest("only root may become a user with few processes")
        self.dir.chmod(0o755)
        out = self.dir / "free"
        out.mkdir(mode=0o777)
        out.chmod(0o777)

        def nobody():
            resource.setrlimit(resource.RLIMIT_NPROC, (2, 2))
            os.setgroups([])
            os.setgid(65534)
            os.setuid(64999)  # of whom nothing else runs

        reachable = shutil.copy(BINARY, self.dir / "microlift")
        done = subprocess.run([reachable, "run", self.config, "-o", out / "o", "--quiet", "--threads", "8"],
                              capture_output=True, text=True, timeout=60, preexec_fn=nobody)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("--threads: only ", done.stderr)


class Signals(Case):
    """Stopped within five seconds, wherever: what takes minutes is asked for."""

    def stopped(self, after, *arguments, config=SMALL, command="run", environment=None, resumes=True):
        self.config.write_text(config)
        shutil.rmtree(self.dir / "o", ignore_errors=True)
        process = subprocess.Popen([str(BINARY), command, *map(str, arguments)], cwd=self.dir,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, **(environment or {})})
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.kill)
        time.sleep(after)
        self.assertIsNone(process.poll(), "it ended by itself")
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        self.assertLess(time.monotonic() - begun, WITHIN)
        self.assertEqual(process.returncode, 143)
        self.assertIn("--resume", process.stderr.read())
        out = self.dir / "o"
        self.assertFalse([p for p in self.dir.rglob("*.partial")])
        return out

    def run_with(self, *settings):
        more = [word for setting in settings for word in ("--set", setting)]
        return ("small.toml", "-o", "o", *PLAIN, *more)

    def test_inside_one_stride(self):
        settings = ("umbrella.steps=400000000", "umbrella.stride=400000000", "integrator.compile_after=-1")
        out = self.stopped(1.5, *self.run_with(*settings))
        with h5py.File(out / "checkpoint.h5") as file:
            step, sampled = file["ensemble_counts"][...]
        self.assertGreater(step, 100)
        self.assertEqual(sampled, 0)

    def test_a_stride_that_was_cut_gives_the_same_bytes(self):
        settings = ("umbrella.steps=6000000", "umbrella.stride=3000000", "umbrella.replicas=2",
                    "umbrella.windows=3")
        self.stopped(0.7, *self.run_with(*settings))
        self.succeed("run", *self.run_with(*settings), "--resume")
        shutil.move(self.dir / "o", self.dir / "resumed")
        self.succeed("run", *self.run_with(*settings))
        for name in RESULTS:
            self.assertEqual((self.dir / "resumed" / name).read_bytes(),
                             (self.dir / "o" / name).read_bytes(), name)

    def test_many_windows(self):
        self.stopped(3, *self.run_with("umbrella.windows=12000", "umbrella.replicas=1",
                                       "umbrella.equilibrate=0", "umbrella.steps=100"))

    def test_exact_answers_of_many_bins(self):
        self.stopped(3, *self.run_with("estimate.bins=3000000"))

    def test_wide_training(self):
        self.stopped(3, *self.run_with("generator.generator_widths=[2048,2048]", "generator.batch=4096"),
                     config=SMALL + GENERATOR)

    def test_hanging_compiler(self):
        compiler = self.dir / "c++"
        compiler.write_text("#!/bin/sh\nsleep 300 & echo $! > child; wait\n")
        compiler.chmod(0o755)
        temporary = self.dir / "tmp"
        temporary.mkdir()
        environment = {"MICROLIFT_CXX": str(compiler), "TMPDIR": str(temporary), "MICROLIFT_CACHE": "off"}
        settings = ("integrator.compile_after=0", "umbrella.steps=20000000")
        self.stopped(1.5, *self.run_with(*settings), environment=environment,
                     config=SMALL.replace("compile_after = -1\n", ""))
        self.assertEqual(list(temporary.iterdir()), [])

    def test_killed_while_compiling(self):
        compiler = self.dir / "c++"
        compiler.write_text("#!/bin/sh\necho $$ > compiler\nexec sleep 300\n")
        compiler.chmod(0o755)
        temporary = self.dir / "tmp"
        temporary.mkdir()
        self.config.write_text(SMALL.replace("compile_after = -1\n", ""))
        command = [str(BINARY), "run", "small.toml", "-o", "o", *PLAIN, "--set", "integrator.compile_after=0"]
        environment = {**os.environ, "MICROLIFT_CXX": str(compiler), "TMPDIR": str(temporary),
                       "MICROLIFT_CACHE": "off"}
        process = subprocess.Popen(command, cwd=self.dir, env=environment, stderr=subprocess.DEVNULL)
        for _ in range(200):
            if list(temporary.glob("*/lock")):
                break
            time.sleep(0.05)
        time.sleep(0.3)
        process.kill()
        process.wait()
        self.assertEqual(len(list(temporary.iterdir())), 1)
        environment["MICROLIFT_CXX"] = "/bin/true"
        done = subprocess.run([*command, "--resume"], cwd=self.dir, env=environment, capture_output=True,
                              text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("'/bin/true' made no library", done.stderr)
        self.assertEqual(list(temporary.iterdir()), [])

    def test_commands_that_cannot_be_resumed(self):
        self.succeed("run", self.config, "-o", "o", *PLAIN, "--set", "umbrella.steps=400000")
        process = subprocess.Popen([BINARY, "learn", "o", "--points", "60000", "--landmarks", "300",
                                    "--threads", "1", "--quiet", "-o", "map.json"], cwd=self.dir,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stderr.close)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(WITHIN), 143)
        self.assertEqual(process.stderr.read(), "microlift: stopped by signal 15\n")
        self.assertFalse((self.dir / "map.json").exists())

    def test_waiting_for_a_pipe(self):
        os.mkfifo(self.dir / "pipe")
        self.stopped(0.5, "pipe", "-o", "o", *PLAIN)
        os.mkfifo(self.dir / "start.npy")
        self.refused("run", *self.run_with('umbrella.initial="start.npy"'), says="umbrella.initial")


class Altered(Case):
    """Checkpoints, samples and maps that somebody changed and gave a right checksum."""

    def test_checkpoints(self):
        source = self.dir / "source"
        process = subprocess.Popen([BINARY, "run", self.config, "-o", source, *PLAIN, "--set",
                                    "umbrella.steps=20000000"], stderr=subprocess.DEVNULL)
        time.sleep(1.0)
        process.send_signal(signal.SIGTERM)
        process.wait(10)

        def attempt(says, change):
            shutil.rmtree(self.dir / "o", ignore_errors=True)
            shutil.copytree(source, self.dir / "o")
            with h5py.File(self.dir / "o/checkpoint.h5", "r+") as file:
                change(file)
            reseal(self.dir / "o/checkpoint.h5")
            return self.refused("run", self.config, "-o", "o", *PLAIN, "--set", "umbrella.steps=20000000",
                                "--resume", says="checkpoint.h5: " if not says else says)

        def replace(name, **what):
            def change(file):
                del file[name]
                file.create_dataset(name, **what)
            return change

        def put(name, value, at=...):
            def change(file):
                file[name][at] = value
            return change

        def metrics(text):
            return lambda file: file.attrs.__setitem__("metrics", text)

        for change in (
                replace("window_stiffness", data=np.zeros(0)),
                replace("window_center", data=np.zeros((0, 2))),
                replace("window_center", shape=(1 << 62, 4), dtype="f8", chunks=(1024, 1)),
                put("samples_first_segment", -1), put("samples_first_segment", 1 << 62),
                replace("samples_segments", shape=(1 << 40,), dtype="i8", chunks=(1024,)),
                replace("blocks", data=np.array([0, 0, 1 << 31, 1 << 31, 4])),
                put("ensemble_counts", [2**32 + 205000, 0]), put("ensemble_counts", [-1, 0]),
                put("ensemble_counts", [100, 7]), put("ensemble", np.nan), put("round", -1), put("round", 3),
                put("error_blocks", 10**9), put("ensemble_accepted", -1), put("ensemble_counters", -5),
                metrics('{"stages":{"sample":{"seconds":"x"}}}'), metrics('{"warnings":5}'), metrics("[]"),
                lambda file: file.__delitem__("ensemble"),
                lambda file: file.attrs.__setitem__("stage", "train"),
                lambda file: file.attrs.__setitem__("stage", "couple"),
                lambda file: file.__setitem__("more", h5py.ExternalLink("/etc/passwd", "/"))):
            attempt("", change)
        for change in (put("samples_first_segment", 7), put("samples_segments", 1 << 40),
                       replace("samples_segments", data=np.array([1 << 62, 1 << 62]))):
            attempt("samples/00000", change)

    def test_samples(self):
        self.succeed("run", self.config, "-o", "o", *PLAIN)
        whole = (self.dir / "o/samples.h5").read_bytes()

        def attempt(says, change):
            (self.dir / "o/samples.h5").write_bytes(whole)
            with h5py.File(self.dir / "o/samples.h5", "r+") as file:
                change(file)
            reseal(self.dir / "o/samples.h5")
            begun = time.monotonic()
            self.refused("learn", "o", "--points", "100", "--landmarks", "20", "--threads", "1", "--quiet",
                         says=says)
            self.assertLess(time.monotonic() - begun, 10)

        def claim(file):
            del file["state"]
            made = file.create_dataset("state", shape=(10**15, 2), dtype="f4", chunks=(1024, 2))
            made.attrs["variables"] = made.attrs["units"] = np.array(["x", "y"], dtype=object)

        attempt("claims more than it holds", claim)
        attempt("'y' that is not finite", lambda f: f["state"].__setitem__((3, 1), np.nan))
        attempt("a weight that is not finite", lambda f: f["weight"].__setitem__(3, np.nan))
        attempt("the variables a, b", lambda f: f["state"].attrs.__setitem__(
            "variables", np.array(["a", "b"], dtype=object)))

    def test_map(self):
        self.succeed("run", self.config, "-o", "o", *PLAIN)
        self.succeed("learn", "o", "--points", "300", "--landmarks", "20", "--threads", "1", "--quiet")
        place = self.dir / "o/diffusion_map.json"
        text = place.read_text()
        use = ("--set", f'cv.variables=[{{kind="diffusion_map", file="{place}", coordinate=1}}]')
        self.succeed("check", self.config, *use)
        at = text.index('"landmarks":[') + 16
        digit = text[at]
        place.write_text(text[:at] + ("1" if digit != "1" else "2") + text[at + 1:])
        self.refused("check", self.config, *use, says="checksum does not match")


class KeptFormulas(Case):
    def setUp(self):
        super().setUp()
        self.config.write_text(SMALL.replace("compile_after = -1", "compile_after = 0"))
        self.cache = self.dir / "cache"
        self.compiler = self.dir / "c++"
        self.compiler.write_text(f"""#!/bin/sh
case "$*" in *-\\#\\#\\#*) ;; *) echo >> {self.dir}/compiled ;; esac
exec c++ "$@"
""")
        self.compiler.chmod(0o755)

    def compiled_by_a_run(self, cache=None, says=""):
        """How often the compiler was called; the results are those of bytecode."""
        log = self.dir / "compiled"
        log.write_text("")
        done = self.succeed("run", self.config, "-o", "o", "--force", *PLAIN, env={
            **os.environ, "MICROLIFT_CXX": str(self.compiler), "MICROLIFT_CACHE": str(cache or self.cache)})
        self.assertNotIn("stay bytecode", done.stderr)
        self.assertIn(says, done.stderr)
        if not (self.dir / "bytecode").exists():
            self.succeed("run", self.config, "-o", "bytecode", *PLAIN, "--set", "integrator.compile_after=-1")
        found, expected = ((self.dir / folder / "free_energy.csv").read_bytes() for folder in ("o", "bytecode"))
        self.assertEqual(found, expected)
        return len(log.read_text())

    def kept(self):
        files = list(self.cache.iterdir())
        self.assertEqual(len(files), 1)
        return files[0]

    def test_found_again(self):
        self.assertEqual(self.compiled_by_a_run(), 1)
        self.assertEqual(self.compiled_by_a_run(), 0)
        self.assertEqual(self.compiled_by_a_run(cache="off"), 1)
        self.assertEqual(self.cache.stat().st_mode & 0o777, 0o700)
        self.assertEqual(self.kept().stat().st_mode & 0o777, 0o600)
        self.config.write_text(self.config.read_text().replace("2*y^2", "3*y^2"))
        shutil.rmtree(self.dir / "bytecode")
        self.assertEqual(self.compiled_by_a_run(), 1)

    def test_altered_or_writable_files_are_made_anew(self):
        self.assertEqual(self.compiled_by_a_run(), 1)
        whole = self.kept().read_bytes()
        for spoil in (lambda file: file.write_bytes(whole[:-300]),
                      lambda file: file.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:]),
                      lambda file: file.write_bytes(b""),
                      lambda file: file.chmod(0o666)):
            spoil(self.kept())
            self.assertEqual(self.compiled_by_a_run(), 1)
            self.assertEqual(self.compiled_by_a_run(), 0)

    def test_folders_that_others_may_enter_are_not_used(self):
        self.assertEqual(self.compiled_by_a_run(), 1)
        self.cache.chmod(0o755)
        for _ in range(2):
            self.assertEqual(self.compiled_by_a_run(says="is not this user's alone"), 1)


class Generated(Case):
    def test_far_from_the_samples(self):
        self.config.write_text(SMALL + GENERATOR)
        self.succeed("run", self.config, "-o", "o", *PLAIN)
        done = self.run_it("generate", "o", "--at", "1e308", "-n", "2", "-o", "far.npy", "--quiet")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("give a value near the range", done.stderr)
        self.assertFalse((self.dir / "far.npy").exists())


class Reports(Case):
    def test_odd_directories_and_files(self):
        self.config.write_text(SMALL.replace('variables = ["x"]\n', 'variables = [{ formula = "x", unit = "'
                                             + "u" * 5000 + '" }]\n'))
        done = self.succeed("run", self.config, "-o", "o", "--quiet")
        self.assertTrue((self.dir / "o/report.html").exists(), done.stderr)
        shutil.move(self.dir / "o", self.dir / "-d")
        self.succeed("report", "--", "-d")
        (self.dir / "-d/metrics.json").write_text("[" * 200000)
        self.refused("report", "--", "-d", says="metrics.json")


class Killed(Case):
    def test_killed_at_random(self):
        for system, how, trials in (("formula", "KILL", 2), ("formula", "TERM", 2), ("opes", "KILL", 1), ("eabf", "KILL", 1),
                                    ("tempering", "KILL", 2)):
            done = subprocess.run(["/usr/bin/python3", SOURCE / "tools/checks/kill_resume.py", BINARY, "--system", system,
                                   "--trials", str(trials), "--signal", how], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
