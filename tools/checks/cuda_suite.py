#!/usr/bin/env python3
"""What tools/cuda_suite.sh does, in parts, the most telling first; each has a bound in seconds, at which it is
stopped and counts as failed. A part's results are kept in DIR/parts, and a part that has some from this commit and
this device is not run again unless --only names it: what was cut short goes on."""
import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import suite_report

SOURCE = Path(__file__).resolve().parents[2]
# Seconds: 470 of the 480 that the whole may take. Tests of the program, which need minutes and say least about
# the device, come last and get what the others left.
WHOLE = 480
BOUNDS = {"build": 170, "tests": 55, "bits": 25, "trajectories": 70, "training": 85, "sanitizers": 65}
PARTS = [part for part in BOUNDS if part != "build"] + ["program"]
# Trying the script: with the CPU, and on the emulated device, which is thousands of times slower than a GPU.
CPU_BOUNDS = {"build": 600, **dict.fromkeys(PARTS, 60)}
EMULATED_BOUNDS = {"build": 0, **dict.fromkeys(PARTS, 1800)}
PROGRAM_TESTS = "_py$"
CLI_TESTS = "^cli_py$"  # runs alone, for a minute or two
# Say nothing about the device, and are not built for it.
OTHER_TESTS = "^(fuzz_|harness_|emulat|cost_py|sass_counts|dispatch_py)|_emulated$"
TARGETS = ["microlift_command", "microlift_tests"]
CONTEXTS = 4  # tests at a time: each has a context of its own on the one GPU
BENCHMARKS = {
    "trajectories": ["muller_brown", "formula", "fast_slow", "ensemble:n=10000000", "mbar"],
    "training": ["cgan_b256", "cgan_b4096", "cgan_b65536", "training:width=128,batch=4096", "generate"]
    + [f"{work},precision={precision}" for precision in ("bf16", "tf32x3", "fp32")
       for work in ("training:batch=4096", "sampling:states=262144")]}
# The same paths, as small as they get, and for how long: a hardly trained generator fails the benchmark's check.
TRIED = {"trajectories": ["ensemble:n=1000"], "training": ["training:batch=256"]}
TUNED = {"cuda": "seconds=0.2,repeats=5", "cpu": "seconds=0.3,repeats=1", "emulated": "seconds=0.01,repeats=1"}
PEERS = {"trajectories": ["ensemble", "--trajectories", "1e7,1e4"],
         "training": ["training", "sampling", "--widths", "64", "--batches", "256,65536"]}
TOOLS = ["memcheck", "racecheck", "initcheck"]
STOPPED = "stopped at its bound"


def tests_of(log):
    """Tests of CTest that passed, and that failed, by what it has written."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    ended = re.findall(r"^ *\d+/\d+ Test +#\d+: (\S+) \.+(.*?) +[\d.]+ sec$", text, re.MULTILINE)
    passed = [test for test, result in ended if "Passed" in result]
    return passed, [test for test, result in ended if "Passed" not in result]


class Suite:
    def __init__(self, options):
        self.options = options
        self.mode = "emulated" if options.emulated else "cpu" if options.cpu else "cuda"
        self.bounds = {"cuda": BOUNDS, "cpu": CPU_BOUNDS, "emulated": EMULATED_BOUNDS}[self.mode]
        self.dir = options.dir.resolve()
        self.build = (options.emulated or options.build).resolve()
        self.device, self.begin = {}, time.monotonic()
        self.at_work = set()  # processes
        self.part, self.steps, self.benchmarks, self.peers = None, [], [], {}  # of the part at work

    def environment(self):
        env = dict(os.environ, PYTHONUNBUFFERED="1")
        if self.mode != "cpu":
            env["MICROLIFT_REQUIRE_CUDA"] = "1"
        return env

    def on_device(self, command):
        """As it is called where the device is the emulated one."""
        if self.mode != "emulated":
            return command
        return [SOURCE / "tools" / "checks" / "emulated.sh", self.build, *command]

    def start(self, name, command):
        """Its own process group, its output in DIR/NAME.log."""
        log = open(self.dir / f"{name}.log", "w", encoding="utf-8")
        log.write("$ " + " ".join(map(str, command)) + "\n")
        log.flush()
        try:
            process = subprocess.Popen([str(c) for c in command], stdout=log, stderr=subprocess.STDOUT,
                                       cwd=SOURCE, env=self.environment(), start_new_session=True)
            self.at_work.add(process)
            return process, log
        except OSError as error:
            log.write(f"{error}\n")
            return None, log

    def finish(self, name, process, log, deadline):
        """None if it went well, else what went wrong."""
        if process is None:
            log.close()
            return "did not start"
        try:
            status = process.wait(max(0.1, deadline - time.monotonic()))
            wrong = None if status == 0 else f"exit status {status}"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            wrong = STOPPED
        self.at_work.discard(process)
        log.close()
        if wrong:
            tail = (self.dir / f"{name}.log").read_text(encoding="utf-8", errors="replace")
            print(f"suite: {name}: {wrong}\n" + "\n".join(tail.splitlines()[-15:]), file=sys.stderr)
        return wrong

    def end_all(self):
        """What is at work goes with the suite, so that a later call has the device to itself."""
        for process in self.at_work:
            os.killpg(process.pid, signal.SIGKILL)

    def run(self, name, command, bound):
        begin = time.monotonic()
        process, log = self.start(name, command)
        wrong = self.finish(name, process, log, begin + bound)
        return wrong, time.monotonic() - begin

    def bound(self):
        """Seconds that the part at work has."""
        if self.part == "program":
            return max(0, int(WHOLE - (time.monotonic() - self.begin)))
        return self.bounds[self.part]

    def record(self, name, wrong, seconds, detail="", bound=None):
        self.steps.append({"step": name, "result": "failed" if wrong else "passed", "why": wrong or "",
                           "seconds": round(seconds, 1), "bound": bound or self.bound(), "detail": detail})
        print(f"suite: {name}: {'FAILED, ' + wrong if wrong else 'passed'} "
              f"({seconds:.0f} s of {self.steps[-1]['bound']}) {detail}", flush=True)

    def skip(self, name, why):
        self.steps.append({"step": name, "result": "skipped", "why": why, "seconds": 0,
                           "bound": self.bound(), "detail": ""})
        print(f"suite: {name}: skipped, {why}", flush=True)

    # --- steps --------------------------------------------------------------------------------

    def find_device(self):
        if self.mode == "emulated":
            self.device = {"name": "emulated device", "kind": "emulated"}
            wrong, _ = self.run("device", self.on_device([self.build / "microlift", "info"]), 60)
            return wrong is None
        if self.mode == "cpu":
            model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
            self.device = {"name": model[1] if model else "CPU", "kind": "cpu"}
            return True
        keys = ["name", "compute_cap", "driver_version", "clocks.max.sm", "clocks.max.mem",
                "clocks.sm", "memory.total", "power.limit"]
        try:
            out = subprocess.run(["nvidia-smi", f"--query-gpu={','.join(keys)}",
                                  "--format=csv,noheader,nounits"], capture_output=True, text=True,
                                 timeout=30, check=True).stdout.splitlines()
        except (OSError, subprocess.SubprocessError):
            out = []
        if not out:
            print("cuda_suite: no CUDA device answers (nvidia-smi lists none); run this on a machine "
                  "with a GPU, or try the script with --cpu", file=sys.stderr)
            return False
        self.device = dict(zip(keys, (v.strip() for v in out[0].split(","))), kind="cuda")
        return True

    def do_build(self):
        if self.options.no_build or self.mode == "emulated":
            self.skip("build", "taken as it is")
            return
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        if (self.build / "CMakeCache.txt").exists():
            generator = []
        configure = ["cmake", "-S", SOURCE, "-B", self.build, *generator, "-DCMAKE_BUILD_TYPE=Release",
                     "-DMICROLIFT_HARNESS_SANITIZERS=OFF"]
        if self.mode == "cpu":
            configure += ["-DMICROLIFT_CUDA=OFF"]
        else:
            architecture = self.device["compute_cap"].replace(".", "")
            configure += ["-DMICROLIFT_CUDA=ON", f"-DCMAKE_CUDA_ARCHITECTURES={architecture}"]
        wrong, seconds = self.run("configure", configure, 60)
        if not wrong:
            wrong, more = self.run("build", ["cmake", "--build", self.build, "--target", *TARGETS, "-j",
                                             str(len(os.sched_getaffinity(0)))], self.bound() - seconds)
            seconds += more
        self.record("build", wrong, seconds)

    def do_tests(self):
        before = 0
        if self.mode == "cuda":
            wrong, seconds, before = self.ctest("tests", ["-E", f"{PROGRAM_TESTS}|{OTHER_TESTS}"], self.bound())
        elif self.mode == "emulated":
            wrong, seconds, before = self.ctest("tests", ["-L", "emulated"], self.bound())
        else:
            wrong, seconds = self.run("tests", [self.build / "tests" / "microlift_tests", "--no-colors",
                                                "--source-file=*test_devices.cpp,*test_philox.cpp"],
                                      self.bound())
        self.record_tests("tests", wrong, seconds, self.bound(), before)

    def do_program(self):
        for name, choice in (
                ("program_tests", ["-R", PROGRAM_TESTS, "-E", f"{CLI_TESTS}|{OTHER_TESTS}"]),
                ("cli_tests", ["-R", CLI_TESTS])):
            left = self.bound()
            if self.mode != "cuda" or left < 20:
                self.skip(name, "need a GPU" if self.mode != "cuda" else "no time left")
                continue
            wrong, seconds, before = self.ctest(name, choice, left)
            self.record_tests(name, wrong, seconds, left, before)

    def ctest(self, name, choice, bound):
        """Where an earlier call was cut short, what had not passed by then; and what of them all has passed."""
        file, log = self.dir / "parts" / f"{name}.passed", self.dir / f"{name}.log"
        known = self.read_kept(file)
        passed = set(known["passed"]) | set(tests_of(log)[0]) if known else set()
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({**self.here(), "passed": sorted(passed)}) + "\n", encoding="utf-8")
        log.unlink(missing_ok=True)
        # Records of what earlier calls executed stay where they are.
        again = ["-E", "^(" + "|".join(map(re.escape, sorted(passed))) + ")$", "-FS", ".*"] if passed else []
        if again and "-E" in choice:
            again[1] += "|" + choice[choice.index("-E") + 1]
        # Each test ends a little before the step: one that hangs must not hide the others.
        wrong, seconds = self.run(name, ["ctest", "--test-dir", self.build, *choice, *again, "--timeout", bound - 5,
                                         "--output-on-failure", "-j",
                                         min(CONTEXTS, len(os.sched_getaffinity(0)))], bound)
        if wrong != STOPPED:
            file.unlink()
        return wrong, seconds, len(passed)

    def record_tests(self, name, wrong, seconds, bound, before=0):
        log = self.dir / f"{name}.log"
        passed, failed = tests_of(log)  # those of a ctest that was stopped, too
        found = re.findall(r"test cases:.*", log.read_text(encoding="utf-8", errors="replace"))
        if not passed and not failed and not found and not before and not wrong:
            wrong = "no test ran"
        detail = found[-1] if found else ""
        if passed or failed or before:
            detail = f"{before + len(passed)} passed" + "".join(f", {test} failed" for test in failed)
        self.record(name, wrong, seconds, detail, bound)

    def machine_tests(self, *before):
        return [*before, self.build / "tests" / "microlift_tests", "--no-colors",
                "--source-file=*test_machines.cpp"]

    def do_bits(self):
        wrong, seconds = self.run("bits", self.on_device(self.machine_tests()), self.bound())
        text = (self.dir / "bits.log").read_text(encoding="utf-8", errors="replace")
        if not wrong and not re.search(r"test cases: +[1-9]", text):
            wrong = "no test ran"
        self.record("bits", wrong, seconds, "portable trajectories bit for bit, "
                    + ("one thread and two" if self.mode == "cpu" else "CPU and CUDA"))

    def do_sanitizers(self):
        program = shutil.which("compute-sanitizer") or shutil.which(
            "compute-sanitizer", path="/usr/local/cuda/bin:/usr/local/cuda/compute-sanitizer")
        if self.mode != "cuda" or not program:
            self.skip("sanitizers", "need a GPU" if self.mode != "cuda" else
                      "compute-sanitizer was not found")
            return
        begin = time.monotonic()
        running = {tool: self.start(tool, self.machine_tests(
            program, "--tool", tool, "--error-exitcode", "9")) for tool in TOOLS}
        for tool, (process, log) in running.items():
            wrong = self.finish(tool, process, log, begin + self.bound())
            text = (self.dir / f"{tool}.log").read_text(encoding="utf-8", errors="replace")
            found = re.findall(r"=+ (?:ERROR|RACECHECK) SUMMARY: .*", text)
            if not wrong and not found:
                wrong = "no summary: it did not look"
            self.record(tool, wrong, time.monotonic() - begin, found[-1].strip("= ") if found else "")

    def do_trajectories(self):
        self.measure("ensemble")

    def do_training(self):
        self.measure("networks")

    def measure(self, kind):
        """The part's benchmarks, then its peers, which get half of its time and what was left."""
        begin, end = time.monotonic(), time.monotonic() + self.bound()
        self.bench("benchmarks_" + kind, end - self.bound() / 2)
        self.compare("peers_" + kind, end)

    def bench(self, step, end):
        begin = time.monotonic()
        names = BENCHMARKS[self.part] if self.mode == "cuda" else TRIED[self.part]
        made, failures = [], []
        for name in names:
            file = self.dir / "bench.json"
            plain = name in ("muller_brown", "formula", "fast_slow")
            full = name if plain else name + ("," if ":" in name else ":") + TUNED[self.mode]
            left = end - time.monotonic()
            wrong = "no time left" if left < 2 else self.run(
                "bench_" + re.sub(r"\W", "_", name), self.on_device(
                    [self.build / "microlift", "bench", full, "--json", file]), left)[0]
            if wrong:
                failures.append(f"{name}: {wrong}")
                continue
            for result in json.loads(file.read_text(encoding="utf-8")):
                made.append({**result, "asked": name})
            file.unlink()
        if self.mode != "emulated":  # whose rates mean nothing
            self.benchmarks += made
        self.record(step, "; ".join(failures), time.monotonic() - begin, f"{len(made)} of {len(names)}"
                    + (", no rate is kept" if self.mode == "emulated" else ""))

    def compare(self, step, end):
        if self.mode == "emulated" or (self.mode == "cpu" and self.part == "training"):
            self.skip(step, "need a GPU")
            return
        file, bound = self.dir / f"{step}.json", int(end - time.monotonic())
        file.unlink(missing_ok=True)
        command = [self.options.python, SOURCE / "bench" / "peers" / "compare.py", *PEERS[self.part],
                   "--microlift", self.build / "microlift", "--json", file, "--markdown",
                   self.dir / f"{step}.md", "--plot", self.dir / f"{step}.png", "--time-limit",
                   max(5, bound - 15)]
        if self.mode == "cpu":
            command += ["--peers", "numpy", "--trajectories", "1000", "--pairs", "1", "--seconds", "0.05",
                        "--device", "cpu"]
        else:
            command += ["--device", "cuda", "--pairs", "2", "--seconds", "0.1", "--point-limit", "20"]
        wrong, seconds = self.run(step, command, bound)
        if file.exists():
            self.peers = json.loads(file.read_text(encoding="utf-8"))
        rated = sum("ratio" in r for r in self.peers.get("results", []))
        self.record(step, wrong, seconds, f"{rated} comparisons, absent: "
                    + (", ".join(self.peers.get("absent", {})) or "none"), bound)

    # --- parts, kept ----------------------------------------------------------------------------

    def here(self):
        return {"device": self.device, "commit": suite_report.commit()}

    def read_kept(self, file):
        """What an earlier call wrote, if it was of this device and commit; else None."""
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        same = found["device"].get("name") == self.device.get("name") and found["commit"] == suite_report.commit()
        return found if same else None

    def kept(self, part):
        return self.read_kept(self.dir / "parts" / f"{part}.json")

    def work(self, part):
        self.part, self.steps, self.benchmarks, self.peers = part, [], [], {}
        try:
            getattr(self, "do_" + part)()
        except (OSError, ValueError, KeyError, StopIteration) as error:
            self.record(part, f"{type(error).__name__}: {error}", 0)
        folder = self.dir / "parts"
        folder.mkdir(exist_ok=True)
        (folder / f"{part}.json").write_text(json.dumps(
            {**self.here(), "steps": self.steps, "benchmarks": self.benchmarks, "peers": self.peers},
            indent=1) + "\n", encoding="utf-8")

    def collect(self):
        """All parts that there are, as one."""
        parts = [found for part in ("build", *PARTS) if (found := self.kept(part))]
        self.steps = [s for part in parts for s in part["steps"]]
        self.benchmarks = [b for part in parts for b in part["benchmarks"]]
        self.peers = {}
        for part in parts:
            for key, value in part["peers"].items():
                if isinstance(value, list):
                    self.peers.setdefault(key, []).extend(value)
                elif isinstance(value, dict):
                    self.peers.setdefault(key, {}).update(value)
                else:
                    self.peers[key] = value


def main():
    parser = argparse.ArgumentParser(prog="cuda_suite.sh", description=__doc__)
    parser.add_argument("dir", type=Path, metavar="DIR", help="where results go")
    parser.add_argument("--only", choices=PARTS, action="append", metavar="PART",
                        help="run this part, again if need be, and no other: " + ", ".join(PARTS))
    parser.add_argument("--cpu", action="store_true", help="try the script itself, with the CPU")
    parser.add_argument("--emulated", type=Path, metavar="BUILD",
                        help="try it on the emulated device of this build: all but speed")
    parser.add_argument("--build", type=Path, help="build folder (build-suite)",
                        default=SOURCE / "build-suite")
    parser.add_argument("--no-build", action="store_true", help="take the build folder as it is")
    parser.add_argument("--python", default=sys.executable, help="a Python that has the peers")
    options = parser.parse_args()
    if options.cpu and options.emulated:
        parser.error("--cpu and --emulated exclude one another")
    suite = Suite(options)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        return work_through(suite, options)
    finally:
        suite.end_all()


def work_through(suite, options):
    """The parts that have no results yet; an exit status."""
    existed = suite.dir.exists()
    if suite.mode == "emulated":
        suite.dir.mkdir(parents=True, exist_ok=True)
    if not suite.find_device():
        if not existed:
            shutil.rmtree(suite.dir, ignore_errors=True)
        return 3
    suite.dir.mkdir(parents=True, exist_ok=True)
    parts = ["build"] + [part for part in PARTS if not options.only or part in options.only]
    for part in parts:
        old = suite.kept(part)
        if old and part != "build" and not options.only:
            print(f"suite: {part}: kept from an earlier call", flush=True)
            continue
        suite.work(part)
        suite.collect()
        suite_report.write(suite, time.monotonic() - suite.begin)  # after every part: nothing is lost
    suite.collect()
    failed = [s["step"] for s in suite.steps if s["result"] == "failed"]
    print(f"suite: {'failed: ' + ', '.join(failed) if failed else 'all steps passed'}; "
          f"{suite.dir / 'suite.md'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
