#!/usr/bin/python3
"""One run of several processes: the bytes of one process whatever their number; errors told once; processes that are
killed, stopped or out of time, and runs that go on with another number of them."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from butane import SYSTEM, write_butane  # noqa: E402
from command import BINARY, Case, bytes_of, command_line, metrics, run  # noqa: E402

ENVIRONMENT = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
               "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_hwloc_base_binding_policy": "none"}
PLAIN = ("--quiet", "--no-report", "--threads", "1")

UMBRELLA = """seed = 3
[system]
name = "muller_brown"
beta = 0.0666667
[cv]
variables = ["x"]
[integrator]
dt = 1e-4
[umbrella]
from = -1.5
to = 1.2
windows = 10
stiffness = 500.0
replicas = 13
equilibrate = 300
steps = 3000
stride = 40
exchange = 120
[estimate]
bins = 40
[generator]
kind = "cgan"
generator_widths = [16, 16]
critic_widths = [16, 16]
batch = 4096
iterations = 6
validate_every = 3
[coupling]
rounds = 1
windows = 6
replicas = 5
equilibrate = 200
steps = 1000
iterations = 4
[closure]
values = 10
replicas = 64
equilibrate = 200
relaxation = 2e5
passage_from = -0.5
passage_to = 0.0
passages = 50
passage_steps = 20000
[lifting]
values = 2
states = 100
heal_steps = 50
"""
FLOW = ("generator.kind='flow'", "integrator.scheme='mala'", "coupling.rounds=0", "closure.enabled=false",
        "lifting.proposals=0", "lifting.heal_steps=0", "generator.flow_steps=4")
HISTOGRAM = """seed = 5
[system]
variables = ["x", "y"]
potential = "(x^2-1)^2 + 2*(y-x^2)^2"
beta = 3.0
[cv]
variables = ["x"]
[integrator]
dt = 1e-3
[umbrella]
from = -1.4
to = 1.4
windows = 6
stiffness = 20.0
replicas = 11
equilibrate = 300
steps = 2000
stride = 20
store = "histogram"
"""
BIAS = """seed = 4
[system]
variables = ["x"]
potential = "(x^2-1)^2"
beta = 3.0
[cv]
variables = ["x"]
[integrator]
dt = 1e-3
compile_after = -1
[bias]
method = "metadynamics"
from = -1.5
to = 1.5
bins = 60
walkers = 101
equilibrate = 100
steps = 4000
stride = 100
height = 0.3
sigma = 0.1
biasfactor = 6.0
[estimate]
bins = 30
"""
BUTANE = "seed = 5\n" + SYSTEM + """[umbrella]
from = -3.141592653589793
to = 3.141592653589793
windows = 9
stiffness = 40
replicas = 6
equilibrate = 200
steps = 600
stride = 20
heat_steps = 200
exchange = 100
[estimate]
bins = 18
"""
SPLITTING = """seed = 4
[system]
name = "double_well"
beta = 3.0
[cv]
variables = ["x"]
[integrator]
dt = 1e-3
[rates]
method = "splitting"
from = -1.0
to = 1.0
replicas = 32
repeats = 4
equilibrate = 100
loops = 2
bins = 10
"""
LONG = ("umbrella.steps=6000000", "umbrella.stride=2000", "umbrella.exchange=2000", "generator.enabled=false",
        "coupling.rounds=0", "closure.enabled=false", "umbrella.replicas=30")


def alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@unittest.skipIf("not built in" in run(BINARY, "info").stdout.split("MPI", 1)[1].split("\n")[0], "built without MPI")
class Processes(Case):
    def launch(self, processes, text, name, *changes, options=PLAIN):
        """Its command line, under mpirun."""
        (self.dir / "run.toml").write_text(text)
        self.assertTrue(shutil.which("mpirun"), "MPI was built in, and there is no mpirun")
        return ["mpirun", "-n", str(processes), *command_line(self.dir / "run.toml", self.dir / name, *changes,
                                                               options=options)]

    def go_together(self, processes, text, name, *changes, options=PLAIN, status=0, env=ENVIRONMENT):
        return run(*self.launch(processes, text, name, *changes, options=options), status=status, env=env)

    def same(self, text, counts, *changes):
        alone = bytes_of(self.go(text, *changes, options=PLAIN, name="alone"))
        self.assertGreater(len(alone), 2)
        for n in counts:
            self.go_together(n, text, f"with_{n}", *changes)
            self.assertEqual(metrics(self.dir / f"with_{n}")["processes"], n)
            together = bytes_of(self.dir / f"with_{n}")
            self.assertEqual(sorted(alone), sorted(together))
            for name, content in alone.items():
                self.assertTrue(content == together[name], f"{name} of {n} processes")

    def test_umbrella_generator_closure(self):
        self.same(UMBRELLA, (4,))
        # As with GPUs whose memory the library does not reach.
        self.go_together(3, UMBRELLA, "staged", env={**ENVIRONMENT, "MICROLIFT_MPI_STAGED": "1"})
        self.assertEqual(bytes_of(self.dir / "staged"), bytes_of(self.dir / "alone"))

    def test_flow_and_metropolis(self):
        self.same(UMBRELLA, (2,), *FLOW)

    def test_histogram(self):
        self.same(HISTOGRAM, (1, 3))

    def test_shared_bias(self):
        self.same(BIAS, (3,))

    def test_molecule(self):
        write_butane(self.dir)
        self.same(BUTANE, (2,))

    def test_splitting(self):
        self.same(SPLITTING, (2,))

    def one_message(self, done):
        return [line for line in done.stderr.splitlines() if line.startswith("microlift: ")]

    def test_errors_are_told_once(self):
        changes = ("integrator.dt=0.1",)  # blows up in one trajectory, which one process has
        alone = self.go(UMBRELLA, *changes, options=PLAIN, name="alone", status=4)
        together = self.go_together(3, UMBRELLA, "together", *changes, status=4)
        self.assertEqual(self.one_message(together), self.one_message(alone))
        self.assertEqual(self.status("together")["state"], "failed")
        wrong = self.go_together(2, UMBRELLA, "wrong", "umbrella.step=1", status=2)
        self.assertEqual(len(self.one_message(wrong)), 1)

    def status(self, name):
        return json.loads((self.dir / name / "status.json").read_text())

    def samples(self, name, since):
        if not (self.dir / name / "status.json").exists():
            return False
        told = self.status(name)
        return told["started"] > since and told["stage"] == "sample"

    def begin(self, processes, name, *options, changes=LONG, env=ENVIRONMENT):
        """A long run a moment after it began to sample, and its processes."""
        since = time.time()
        line = self.launch(processes, UMBRELLA, name, *changes, options=(*PLAIN, *options))
        started = subprocess.Popen(line, text=True, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(started.kill)
        while not self.samples(name, since):
            self.assertIsNone(started.poll(), "it ended by itself")
            time.sleep(0.02)
        time.sleep(0.2)
        children = Path(f"/proc/{started.pid}/task/{started.pid}/children").read_text().split()
        own = [int(p) for p in children if Path(f"/proc/{p}/comm").read_text().strip() == "microlift"]
        self.assertEqual(len(own), processes)
        return started, own

    def end(self, started, own):
        """What was said until all of them had gone, which takes ten seconds at most."""
        begun = time.monotonic()
        errors = started.communicate(timeout=30)[1]
        while any(alive(process) for process in own) and time.monotonic() - begun < 10:
            time.sleep(0.05)
        self.assertEqual([process for process in own if alive(process)], [])
        self.assertLess(time.monotonic() - begun, 10)
        return errors

    def test_stopped_and_killed_and_resumed(self):
        alone = self.go(UMBRELLA, *LONG, options=("--quiet", "--no-report", "--threads", "2"), name="alone")
        out_of_time = self.go_together(2, UMBRELLA, "run", *LONG, options=(*PLAIN, "--wall-time", "2"), status=75)
        self.assertEqual(self.one_message(out_of_time), ["microlift: the wall time is over; continue with --resume"])
        self.assertEqual(self.status("run")["state"], "stopped")
        started, own = self.begin(3, "run", "--resume")
        os.kill(own[1], signal.SIGTERM)
        self.assertIn("microlift: stopped by signal 15; continue with --resume", self.end(started, own))
        self.assertEqual((started.returncode, self.status("run")["state"]), (143, "stopped"))
        started, own = self.begin(2, "run", "--resume")
        os.kill(own[1], signal.SIGKILL)
        self.assertEqual(self.end(started, own).count("signal 9"), 1)
        self.assertNotEqual(started.returncode, 0)
        self.go_together(4, UMBRELLA, "run", *LONG, options=(*PLAIN, "--resume"))
        self.assertEqual(bytes_of(self.dir / "run"), bytes_of(alone))

    def test_stopped_by_mpirun(self):
        # It kills after a second, and waits for that; on a machine that others fill it needs to be told otherwise.
        for seconds in ("1", "4"):
            started, own = self.begin(2, "run", "--force", changes=("umbrella.steps=600000000", *LONG[1:]),
                                      env={**ENVIRONMENT, "OMPI_MCA_odls_base_sigkill_timeout": seconds})
            started.terminate()  # it hands the signal on
            said = self.end(started, own)
            if "stopped by" in said:
                break
        self.assertIn("microlift: stopped by signal 15; continue with --resume", said)
        self.assertTrue((self.dir / "run" / "checkpoint.h5").exists())

    def test_only_runs(self):
        done = run("mpirun", "-n", 2, BINARY, "systems", status=2, env=ENVIRONMENT)
        self.assertEqual(len(self.one_message(done)), 1)


if __name__ == "__main__":
    unittest.main()
