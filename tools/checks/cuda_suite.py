#!/usr/bin/env python3
"""The steps of tools/cuda_suite.sh. Each has a bound in seconds, at which it is stopped and counts as
failed; their sum is what the whole may take."""
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

SOURCE = Path(__file__).resolve().parents[2]
# Seconds: 530 of the 540 that the whole may take. The sanitizers run side by side. The tests of the
# program, which need minutes and say least about the device, come last and get what the others left.
WHOLE = 540
BOUNDS = {"build": 170, "equality": 25, "tests": 60, "sanitizers": 60, "benchmarks": 75, "peers": 140}
PROGRAM_TESTS = "^(docs|report|install|peers|coupled_run|closure_run|learned|phi4|examples)_py$"
CLI_TESTS = "^cli_py$"  # runs alone, for a minute or two
CPU_BOUNDS = {"build": 600, "tests": 60, "equality": 60, "sanitizers": 10, "benchmarks": 60, "peers": 60}
BENCHMARKS = ["muller_brown", "formula", "fast_slow", "ensemble:n=10000000", "cgan_b256", "cgan_b4096",
              "cgan_b65536", "training:width=128,batch=4096", "generate", "mbar"]
BENCHMARKS += [f"{work},precision={precision}" for precision in ("bf16", "tf32x3", "fp32")
               for work in ("training:batch=4096", "sampling:states=262144")]
CONTEXTS = 4  # tests at a time: each has a context of its own on the one GPU
TOOLS = ["memcheck", "racecheck", "initcheck"]


class Suite:
    def __init__(self, options):
        self.options, self.steps = options, []
        self.cpu = options.cpu
        self.bounds = CPU_BOUNDS if self.cpu else BOUNDS
        self.dir, self.build = options.dir.resolve(), options.build.resolve()
        self.benchmarks, self.peers, self.device = [], {}, {}
        self.begin = time.monotonic()

    def environment(self):
        env = dict(os.environ, PYTHONUNBUFFERED="1")
        if not self.cpu:
            env["MICROLIFT_REQUIRE_CUDA"] = "1"
        return env

    def start(self, name, command):
        """Its own process group, its output in DIR/NAME.log."""
        log = open(self.dir / f"{name}.log", "w", encoding="utf-8")
        log.write("$ " + " ".join(map(str, command)) + "\n")
        log.flush()
        try:
            return subprocess.Popen([str(c) for c in command], stdout=log, stderr=subprocess.STDOUT,
                                    cwd=SOURCE, env=self.environment(), start_new_session=True), log
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
            wrong = "stopped at its bound"
        log.close()
        if wrong:
            tail = (self.dir / f"{name}.log").read_text(encoding="utf-8", errors="replace")
            print(f"suite: {name}: {wrong}\n" + "\n".join(tail.splitlines()[-15:]), file=sys.stderr)
        return wrong

    def run(self, name, command, bound):
        begin = time.monotonic()
        process, log = self.start(name, command)
        wrong = self.finish(name, process, log, begin + bound)
        return wrong, time.monotonic() - begin

    def record(self, name, wrong, seconds, detail="", bound=None):
        self.steps.append({"step": name, "result": "failed" if wrong else "passed", "why": wrong or "",
                           "seconds": round(seconds, 1), "bound": bound or self.bounds.get(name),
                           "detail": detail})
        print(f"suite: {name}: {'FAILED, ' + wrong if wrong else 'passed'} "
              f"({seconds:.0f} s of {self.steps[-1]['bound']}) {detail}", flush=True)

    def skip(self, name, why):
        self.steps.append({"step": name, "result": "skipped", "why": why, "seconds": 0,
                           "bound": self.bounds.get(name), "detail": ""})
        print(f"suite: {name}: skipped, {why}", flush=True)

    # --- steps --------------------------------------------------------------------------------

    def find_device(self):
        if self.cpu:
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
        if self.options.no_build:
            self.skip("build", "--no-build")
            return
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        if (self.build / "CMakeCache.txt").exists():
            generator = []
        configure = ["cmake", "-S", SOURCE, "-B", self.build, *generator, "-DCMAKE_BUILD_TYPE=Release",
                     "-DMICROLIFT_HARNESS_SANITIZERS=OFF"]
        if self.cpu:
            configure += ["-DMICROLIFT_CUDA=OFF"]
        else:
            architecture = self.device["compute_cap"].replace(".", "")
            configure += ["-DMICROLIFT_CUDA=ON", f"-DCMAKE_CUDA_ARCHITECTURES={architecture}"]
        wrong, seconds = self.run("configure", configure, 60)
        if not wrong:
            wrong, more = self.run("build", ["cmake", "--build", self.build, "-j",
                                             str(len(os.sched_getaffinity(0)))],
                                   self.bounds["build"] - seconds)
            seconds += more
        self.record("build", wrong, seconds)

    def tests(self):
        if self.cpu:
            wrong, seconds = self.run("tests", [self.build / "tests" / "microlift_tests", "--no-colors",
                                                "--source-file=*test_devices.cpp,*test_philox.cpp"],
                                      self.bounds["tests"])
        else:
            wrong, seconds = self.ctest("tests", ["-E", f"{PROGRAM_TESTS}|{CLI_TESTS}"],
                                        self.bounds["tests"])
        self.record_tests("tests", wrong, seconds, self.bounds["tests"])

    def program_tests(self):
        for name, tests in (("program_tests", PROGRAM_TESTS), ("cli_tests", CLI_TESTS)):
            left = int(WHOLE - (time.monotonic() - self.begin))
            if self.cpu or left < 20:
                self.skip(name, "need a GPU" if self.cpu else "no time left")
                continue
            wrong, seconds = self.ctest(name, ["-R", tests], left)
            self.record_tests(name, wrong, seconds, left)

    def ctest(self, name, choice, bound):
        # Each test ends a little before the step: one that hangs must not hide the others.
        return self.run(name, ["ctest", "--test-dir", self.build, *choice, "--timeout", bound - 5,
                               "--output-on-failure", "-j", min(CONTEXTS, len(os.sched_getaffinity(0)))], bound)

    def record_tests(self, name, wrong, seconds, bound):
        text = (self.dir / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        # Those of a ctest that was stopped, too.
        ended = re.findall(r"^ *\d+/\d+ Test +#\d+: (\S+) \.+(.*?) +[\d.]+ sec$", text, re.MULTILINE)
        failed = [test for test, result in ended if "Passed" not in result]
        found = re.findall(r"test cases:.*", text)
        if not ended and not found and not wrong:
            wrong = "no test ran"
        detail = found[-1] if found else ""
        if ended:
            detail = f"{len(ended) - len(failed)} passed" + "".join(f", {test} failed" for test in failed)
        self.record(name, wrong, seconds, detail, bound)

    def machine_tests(self, *before):
        return [*before, self.build / "tests" / "microlift_tests", "--no-colors",
                "--source-file=*test_machines.cpp"]

    def equality(self):
        wrong, seconds = self.run("equality", self.machine_tests(), self.bounds["equality"])
        text = (self.dir / "equality.log").read_text(encoding="utf-8", errors="replace")
        if not wrong and not re.search(r"test cases: +[1-9]", text):
            wrong = "no test ran"
        self.record("equality", wrong, seconds, "portable trajectories bit for bit, "
                    + ("one thread and two" if self.cpu else "CPU and CUDA"))

    def sanitizers(self):
        program = shutil.which("compute-sanitizer") or shutil.which(
            "compute-sanitizer", path="/usr/local/cuda/bin:/usr/local/cuda/compute-sanitizer")
        if self.cpu or not program:
            self.skip("sanitizers", "needs a GPU" if self.cpu else "compute-sanitizer was not found")
            return
        begin = time.monotonic()
        running = {tool: self.start(tool, self.machine_tests(
            program, "--tool", tool, "--error-exitcode", "9")) for tool in TOOLS}
        for tool, (process, log) in running.items():
            wrong = self.finish(tool, process, log, begin + self.bounds["sanitizers"])
            text = (self.dir / f"{tool}.log").read_text(encoding="utf-8", errors="replace")
            found = re.findall(r"=+ (?:ERROR|RACECHECK) SUMMARY: .*", text)
            if not wrong and not found:
                wrong = "no summary: it did not look"
            self.record(tool, wrong, time.monotonic() - begin, found[-1].strip("= ") if found else "",
                        self.bounds["sanitizers"])

    def bench(self):
        program, begin = self.build / "microlift", time.monotonic()
        names = ["ensemble:n=10000"] if self.cpu else BENCHMARKS
        tuned = "seconds=0.05,repeats=1" if self.cpu else "seconds=0.2,repeats=5"
        failures = []
        for name in names:
            file = self.dir / "bench.json"
            plain = name in ("muller_brown", "formula", "fast_slow")
            full = name if plain else name + ("," if ":" in name else ":") + tuned
            left = begin + self.bounds["benchmarks"] - time.monotonic()
            wrong = "no time left" if left < 2 else self.run(
                "bench_" + re.sub(r"\W", "_", name), [program, "bench", full, "--json", file], left)[0]
            if wrong:
                failures.append(f"{name}: {wrong}")
                continue
            for result in json.loads(file.read_text(encoding="utf-8")):
                self.benchmarks.append({**result, "asked": name})
            file.unlink()
        self.record("benchmarks", "; ".join(failures), time.monotonic() - begin,
                    f"{len(self.benchmarks)} of {len(names)}")

    def compare(self):
        file = self.dir / "peers.json"
        file.unlink(missing_ok=True)
        command = [self.options.python, SOURCE / "bench" / "peers" / "compare.py", "--microlift",
                   self.build / "microlift", "--json", file, "--markdown", self.dir / "peers.md",
                   "--plot", self.dir / "peers.png", "--time-limit", self.bounds["peers"] - 25]
        if self.cpu:
            command += ["ensemble", "--peers", "numpy", "--trajectories", "1000", "--pairs", "1",
                        "--seconds", "0.05", "--device", "cpu"]
        else:
            command += ["ensemble", "training", "sampling", "--device", "cuda", "--pairs", "2",
                        "--seconds", "0.1", "--trajectories", "1e7,1e4", "--widths", "64",
                        "--batches", "256,65536", "--point-limit", "30"]
        wrong, seconds = self.run("peers", command, self.bounds["peers"])
        if file.exists():
            self.peers = json.loads(file.read_text(encoding="utf-8"))
        rated = sum("ratio" in r for r in self.peers.get("results", []))
        self.record("peers", wrong, seconds, f"{rated} comparisons, absent: "
                    + (", ".join(self.peers.get("absent", {})) or "none"))

    # --- goals and files ----------------------------------------------------------------------

    def goals(self):
        """What the project sets itself on a GPU, beside what was measured; None: unmeasured."""
        def best(work, peers, **size):
            found = [r["ratio"]["median"] for r in self.peers.get("results", [])
                     if r["work"] == work and "ratio" in r and any(r["peer"].startswith(p) for p in peers)
                     and all(r.get(k) == v for k, v in size.items())]
            return min(found) if found else None

        def rate(name, figure="median"):
            found = [b[figure] for b in self.benchmarks if b["asked"] == name and figure in b]
            return found[0] if found else None

        clock = float(self.device.get("clocks.max.sm") or 0) * 1e6
        # 3.8e11 at 1.755 GHz on 132 multiprocessors: 78 instructions a step, by instruction issue.
        step_rate = rate("ensemble:n=10000000")
        share = step_rate / (3.8e11 * clock / 1.755e9) if step_rate and clock else None
        big = {"trajectories": 10_000_000}
        goals = [("ensemble, share of the issue ceiling at the highest clock", 0.75, share),
                 ("formula over the built-in system", 0.9, rate("formula", "ratio_to_builtin")),
                 ("ensemble over JAX", 20, best("ensemble", ["JAX"], **big)),
                 ("ensemble over PyTorch eager", 100, best("ensemble", ["torch eager"], **big)),
                 ("ensemble over a multi-step kernel in registers", 1.2,
                  best("ensemble", ["Triton", "Numba-CUDA"], **big)),
                 ("training, batch 256, over PyTorch eager", 40,
                  best("training", ["torch eager"], batch=256, width=64)),
                 ("training, batch 256, over a whole-step CUDA graph", 15,
                  best("training", ["torch CUDA graph"], batch=256, width=64)),
                 ("training, batch 65536, over PyTorch eager", 10,
                  best("training", ["torch eager"], batch=65536, width=64))]
        return [] if self.cpu else [
            {"goal": name, "at_least": least, "measured": value,
             "met": None if value is None else value >= least} for name, least, value in goals]

    def commit(self):
        def git(*words):
            return subprocess.run(["git", "-C", str(SOURCE), *words], capture_output=True, text=True,
                                  check=False).stdout.strip()
        head = git("rev-parse", "--short", "HEAD")
        return head + (" with changes" if head and git("status", "--porcelain", "-uno") else "")

    def write(self, seconds):
        report = {"device": self.device, "commit": self.commit(), "cores": len(os.sched_getaffinity(0)),
                  "date": time.strftime("%Y-%m-%d", time.gmtime()), "seconds": round(seconds, 1),
                  "steps": self.steps, "goals": self.goals(), "benchmarks": self.benchmarks,
                  "peers": self.peers}
        (self.dir / "suite.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        device = ", ".join(f"{k} {v}" for k, v in self.device.items() if k != "kind")
        lines = [f"{device}; {report['cores']} cores; commit {report['commit']}; {report['date']}; "
                 f"{seconds:.0f} s", "", "| step | result | seconds (bound) | |", "| --- | --- | --- | --- |"]
        for s in self.steps:
            lines.append(f"| {s['step']} | {s['result']} | {s['seconds']} ({s['bound']}) | "
                         f"{s['why']} {s['detail']} |")
        if report["goals"]:
            lines += ["", "| goal | at least | measured |", "| --- | --- | --- |"]
            for g in report["goals"]:
                value = "unmeasured" if g["measured"] is None else f"{g['measured']:.3g}"
                lines.append(f"| {g['goal']} | {g['at_least']} | {value} |")
        lines += ["", "| benchmark | median | least | greatest |", "| --- | --- | --- | --- |"]
        for b in self.benchmarks:
            unit = next(k for k in b if k.endswith("_per_second")).replace("_per_second", "/s")
            lines.append(f"| {b['asked']} | {b['median']:.3e} {unit} | {b['min']:.3e} | {b['max']:.3e} |")
        text = "\n".join(lines) + "\n"
        peers = self.dir / "peers.md"
        if peers.exists():
            text += "\n" + peers.read_text(encoding="utf-8")
        (self.dir / "suite.md").write_text(text, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(prog="cuda_suite.sh", description=__doc__)
    parser.add_argument("dir", type=Path, metavar="DIR", help="where results go")
    parser.add_argument("--cpu", action="store_true", help="try the script itself, with the CPU")
    parser.add_argument("--build", type=Path, help="build folder (build-suite)",
                        default=SOURCE / "build-suite")
    parser.add_argument("--no-build", action="store_true", help="take the build folder as it is")
    parser.add_argument("--python", default=sys.executable, help="a Python that has the peers")
    suite = Suite(parser.parse_args())
    if not suite.find_device():
        return 3
    suite.dir.mkdir(parents=True, exist_ok=True)
    for step in (suite.do_build, suite.equality, suite.tests, suite.sanitizers, suite.bench,
                 suite.compare, suite.program_tests):
        try:
            step()
        except (OSError, ValueError, KeyError, StopIteration) as error:
            suite.record(step.__name__, f"{type(error).__name__}: {error}", 0)
        suite.write(time.monotonic() - suite.begin)  # after every step: nothing is lost
    failed = [s["step"] for s in suite.steps if s["result"] == "failed"]
    print(f"suite: {'failed: ' + ', '.join(failed) if failed else 'all steps passed'}; "
          f"{suite.dir / 'suite.md'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
