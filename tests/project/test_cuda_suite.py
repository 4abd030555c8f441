#!/usr/bin/python3
"""tools/cuda_suite.sh without a GPU: its bounds, its parts, what it keeps, with the CPU and with a build that
pretends to hold the emulated device."""
import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import BINARY, SOURCE  # noqa: E402

sys.path.insert(0, str(SOURCE / "tools" / "checks"))
import cuda_suite  # noqa: E402
import suite_report  # noqa: E402


def run(*command):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=600)


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text + "\n")
    path.chmod(0o755)


class CudaSuite(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="microlift_suite_"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.script, self.out = SOURCE / "tools" / "cuda_suite.sh", self.dir / "out"

    def cpu(self, *more, build=BINARY.parent):
        return run(self.script, self.out, "--cpu", "--no-build", "--build", build, "--python",
                   sys.executable, *more)

    def results(self):
        return {s["step"]: s["result"] for s in
                json.loads((self.out / "suite.json").read_text())["steps"]}

    def failing_build(self):
        """A folder whose tests fail and whose program is the real one."""
        build = self.dir / "build"
        script(build / "tests" / "microlift_tests",
               "echo '[doctest] test cases: 1 | 0 passed | 1 failed'; exit 1")
        (build / "microlift").symlink_to(BINARY)
        return build

    def suite(self, **options):
        """As on a machine with a GPU; nothing of it is started."""
        given = {"dir": self.out, "only": None, "cpu": False, "emulated": None, "build": self.dir,
                 "no_build": True, "python": sys.executable, **options}
        suite = cuda_suite.Suite(argparse.Namespace(**given))
        suite.device = {"name": "a GPU"}
        self.out.mkdir(exist_ok=True)
        return suite

    def test_bounds(self):
        self.assertLessEqual(cuda_suite.WHOLE, 8 * 60)
        self.assertLessEqual(sum(cuda_suite.BOUNDS.values()), cuda_suite.WHOLE - 10)
        self.assertEqual(["build", "tests", "bits", "trajectories", "training", "sanitizers"],
                         list(cuda_suite.BOUNDS))

    @unittest.skipIf(shutil.which("nvidia-smi"), "there may be a GPU")
    def test_without_a_gpu(self):
        done = run(self.script, self.out)
        self.assertEqual(done.returncode, 3)
        self.assertEqual(1, len(done.stderr.strip().splitlines()), done.stderr)
        self.assertIn("no CUDA device", done.stderr)
        self.assertFalse(self.out.exists())

    def test_on_the_cpu(self):
        done = self.cpu()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual({"build": "skipped", "tests": "passed", "bits": "passed",
                          "benchmarks_ensemble": "passed", "peers_ensemble": "passed",
                          "benchmarks_networks": "passed", "peers_networks": "skipped",
                          "sanitizers": "skipped", "program_tests": "skipped",
                          "cli_tests": "skipped"}, self.results())
        report = json.loads((self.out / "suite.json").read_text())
        self.assertEqual(2, len(report["benchmarks"]))
        self.assertEqual(1, sum("ratio" in r for r in report["peers"]["results"]))
        text = (self.out / "suite.md").read_text()
        for word in ("bits", "ensemble:n=1000", "numpy"):
            self.assertIn(word, text)

    def test_a_failing_part_is_recorded_and_can_be_run_alone(self):
        done = self.cpu("--only", "bits", build=self.failing_build())
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertEqual({"build": "skipped", "bits": "failed"}, self.results())
        # It has results, which a call without --only takes as they are; with --only they are replaced.
        (self.out / "parts" / "tests.json").write_text(
            (self.out / "parts" / "bits.json").read_text().replace("bits", "tests"))
        for part in ("trajectories", "training"):
            shutil.copy(self.out / "parts" / "tests.json", self.out / "parts" / f"{part}.json")
        done = self.cpu()
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("bits: kept", done.stdout)
        self.assertEqual("skipped", self.results()["sanitizers"])
        self.assertEqual(self.cpu("--only", "bits").returncode, 1)  # what failed beside it is still there
        self.assertEqual(("passed", "failed"), (self.results()["bits"], self.results()["tests"]))

    def test_what_is_cut_short_ends_and_is_done_again(self):
        build, at_work = self.failing_build(), self.dir / "at_work"
        script(build / "tests" / "microlift_tests", f"echo $$ > {at_work}; exec sleep 300")
        command = [self.script, self.out, "--cpu", "--no-build", "--build", build, "--only", "bits"]
        suite = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not (at_work.exists() and at_work.read_text().strip()) and time.monotonic() < end:
            time.sleep(0.05)
        child = int(at_work.read_text())
        suite.terminate()
        self.assertEqual(128 + signal.SIGTERM, suite.wait(60))
        while Path(f"/proc/{child}").exists() and time.monotonic() < end:
            time.sleep(0.05)
        self.assertFalse(Path(f"/proc/{child}").exists())
        self.assertFalse((self.out / "parts" / "bits.json").exists())
        script(build / "tests" / "microlift_tests", "echo '[doctest] test cases: 1 | 1 passed'")
        self.assertEqual(0, run(*command).returncode)
        self.assertEqual("passed", self.results()["bits"])

    def test_results_of_another_device_or_commit_are_not_kept(self):
        suite = self.suite()
        suite.do_bits = lambda: suite.record("bits", None, 1.0)
        suite.work("bits")
        self.assertEqual("bits", suite.kept("bits")["steps"][0]["step"])
        with mock.patch.object(suite_report, "commit", return_value="another"):
            self.assertIsNone(suite.kept("bits"))
        suite.device = {"name": "another GPU"}
        self.assertIsNone(suite.kept("bits"))

    def test_a_missing_sanitizer_is_skipped(self):
        suite = self.suite()
        with mock.patch.object(shutil, "which", return_value=None):
            suite.work("sanitizers")
        self.assertEqual([("skipped", "compute-sanitizer was not found")],
                         [(s["result"], s["why"]) for s in suite.steps])

    def test_four_contexts_at_most_on_one_gpu(self):
        suite, commands = self.suite(), []
        suite.run = lambda name, command, bound: commands.append(command) or (None, 1.0)
        with mock.patch.object(os, "sched_getaffinity", return_value=set(range(16))):
            suite.ctest("tests", [], 50)
        self.assertEqual(4, commands[0][commands[0].index("-j") + 1])

    def test_time_that_is_left_goes_to_the_program_tests(self):
        suite = self.suite()
        suite.part, suite.begin = "program", suite.begin - cuda_suite.WHOLE
        suite.do_program()
        self.assertEqual({"no time left"}, {s["why"] for s in suite.steps})

    def emulated_build(self, **tests):
        """A folder that pretends to hold the emulated device, and these tests of its label."""
        build = self.dir / "build"
        script(build / "emulator" / "libcudart.so", "")
        # Fails unless the emulator's libraries come first.
        first = f'case "$LD_LIBRARY_PATH" in {build}/emulator*) ;; *) exit 9;; esac\n'
        script(build / "microlift", first + 'while [ $# -gt 1 ]; do shift; done\n'
               'case "$1" in *.json) echo "[{\\"median\\": 1}]" > "$1";; esac')
        script(build / "tests" / "microlift_tests", first + "echo '[doctest] test cases: 4 | 4 passed'")
        (build / "CTestTestfile.cmake").write_text('add_test(other "/bin/false")\n' + "".join(
            f'add_test({name} "{command}")\nset_tests_properties({name} PROPERTIES LABELS emulated)\n'
            for name, command in tests.items()))
        return build

    @unittest.skipUnless((SOURCE / "tools" / "checks" / "emulated.sh").exists(), "no emulated device")
    def test_tests_that_passed_before_a_part_was_cut_short_are_not_run_again(self):
        ran, go = self.dir / "ran", self.dir / "go"
        script(self.dir / "first", f"echo ran >> {ran}")
        script(self.dir / "second", f"[ -e {go} ] || exec sleep 300")
        build = self.emulated_build(first=self.dir / "first", second=self.dir / "second")
        command = [self.script, self.out, "--emulated", build, "--only", "tests"]
        suite = subprocess.Popen([str(c) for c in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end, log = time.monotonic() + 60, self.out / "tests.log"
        while time.monotonic() < end and not (log.exists() and "Passed" in log.read_text()):
            time.sleep(0.05)
        suite.terminate()
        suite.wait(60)
        self.assertFalse((self.out / "parts" / "tests.json").exists())
        go.touch()
        self.assertEqual(0, run(*command).returncode)
        self.assertEqual(["ran"], ran.read_text().split())
        report = json.loads((self.out / "suite.json").read_text())
        self.assertEqual(["2 passed"], [s["detail"] for s in report["steps"] if s["step"] == "tests"])
        self.assertEqual(0, run(*command).returncode)  # it had ended: all of it once more
        self.assertEqual(["ran", "ran"], ran.read_text().split())

    @unittest.skipUnless((SOURCE / "tools" / "checks" / "emulated.sh").exists(), "no emulated device")
    def test_rehearsal(self):
        """Every command that needs the device goes through emulated.sh; no rate is kept."""
        build = self.emulated_build(one="/bin/true")
        done = run(self.script, self.out, "--emulated", build)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual({"build": "skipped", "tests": "passed", "bits": "passed",
                          "benchmarks_ensemble": "passed", "peers_ensemble": "skipped",
                          "benchmarks_networks": "passed", "peers_networks": "skipped",
                          "sanitizers": "skipped", "program_tests": "skipped",
                          "cli_tests": "skipped"}, self.results())
        report = json.loads((self.out / "suite.json").read_text())
        self.assertEqual(([], []), (report["benchmarks"], report["goals"]))
        shutil.rmtree(build / "emulator")
        self.assertEqual(3, run(self.script, self.dir / "none", "--emulated", build).returncode)
        self.assertFalse((self.dir / "none").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
