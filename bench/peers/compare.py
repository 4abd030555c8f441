#!/usr/bin/env python3
"""microlift beside what one would otherwise use, on identical work, on this machine.

    python3 bench/peers/compare.py [ensemble|training|sampling|mbar|molecule|all …] --microlift build/microlift
        --json FILE --plot FILE.png

Every contestant runs in a process of its own and alternates with microlift: a pair is one run of each,
and what counts is the ratio of their rates within a pair (median, least, greatest). Clocks stop after the
device has finished; start, compilation and warm-up are not counted. A contestant whose result is wrong has
no rate. Peers that are not installed are listed with what to install (requirements.txt).

`share` is processor time over wall time and cores while the clock ran: on a busy machine, how much of it a
contestant got. `per_cpu` compares work per processor second, which other work on the machine hardly moves;
it flatters peers that leave cores idle.
"""
import argparse
import contextlib
import datetime
import json
import os
import platform
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import law

HERE = Path(__file__).resolve().parent
# Module, name, package to install, devices.
# The strongest come first: what a time limit cuts off is the end of the list.
ENSEMBLES = [("ensemble_triton", "Triton in registers", "triton", ("cuda",)),
             ("ensemble_numba_cuda", "Numba-CUDA in registers", "numba-cuda", ("cuda",)),
             ("ensemble_numba", "numba", "numba", ("cpu",)),
             ("ensemble_numba", "numba, trajectory by trajectory", "numba", ("cpu",)),
             ("ensemble_jax", "JAX scan, XLA generator", "jax", ("cpu", "cuda")),
             ("ensemble_torch", "torch eager", "torch", ("cpu", "cuda")),
             ("ensemble_numpy", "numpy", "numpy", ("cpu",)),
             ("ensemble_jax", "JAX scan", "jax", ("cpu", "cuda")),
             ("ensemble_torch", "torch compiled", "torch", ("cpu", "cuda")),
             ("ensemble_torch", "torch CUDA graph", "torch", ("cuda",)),
             ("ensemble_jax", "JAX vmap", "jax", ("cpu", "cuda")),
             ("ensemble_jax", "diffrax", "diffrax", ("cpu", "cuda")),
             ("ensemble_torch", "torchsde", "torchsde", ("cpu", "cuda"))]
TRAINING = [("training_jax", "JAX scan", "jax", ("cpu", "cuda")),
            ("training_torch", "torch CUDA graph", "torch", ("cuda",)),
            ("training_torch", "torch compiled", "torch", ("cpu", "cuda")),
            ("training_torch", "torch eager", "torch", ("cpu", "cuda"))]
SAMPLING = [("training_torch", "torch eager sampling", "torch", ("cpu", "cuda")),
            ("training_torch", "torch compiled sampling", "torch", ("cpu", "cuda")),
            ("training_jax", "JAX sampling", "jax", ("cpu", "cuda"))]
MBAR = [("mbar_peers", "pymbar", "pymbar", ("cpu",)),
        ("mbar_peers", "pymbar adaptive", "pymbar", ("cpu",)),
        ("mbar_peers", "FastMBAR", "FastMBAR", ("cpu", "cuda"))]

MOLECULES = [("molecule_jax", "JAX, replicas as one array", "jax", ("cpu", "cuda")),
             ("molecule_openmm", "OpenMM CUDA", "openmm[cuda12]", ("cuda",)),
             ("molecule_openmm", "OpenMM Reference", "openmm", ("cpu",)),
             ("molecule_openmm", "OpenMM CPU, one thread", "openmm", ("cpu",)),
             ("molecule_jaxmd", "JAX-MD, flexible, 1 fs", "jax-md openmm", ("cpu", "cuda")),
             ("molecule_torchmd", "TorchMD, flexible, 1 fs", "torchmd moleculekit parmed", ("cpu", "cuda"))]
BENCH_OF = {"none": "molecule_vacuum", "obc2": "molecule_obc2"}
DIPEPTIDE = HERE.parent / "data" / "ala2"


class Failed(Exception):
    pass


class TooSlow(Failed):
    pass


class Peer:
    """A contestant's process."""

    def __init__(self, module, name, device, limit):
        self.name, self.limit = name, limit
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), module, name, device], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self.log, cwd=HERE)
        try:
            self.hello = self.read(max(limit, 60))
        except Failed as error:
            self.hello = {"ok": False, "error": str(error)}
        if not self.hello["ok"]:
            self.stop()

    def read(self, limit):
        ready, _, _ = select.select([self.process.stdout], [], [], limit)
        if not ready:
            raise TooSlow(f"no answer within {limit:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            tail = self.log.read().decode(errors="replace").strip().splitlines()
            raise Failed("ended early: " + (tail[-1][:300] if tail else "no message"))
        return json.loads(line)

    def ask(self, **request):
        limit = self.limit * (4 if request["do"] == "prepare" else 1)  # compilation
        try:
            self.process.stdin.write((json.dumps(request) + "\n").encode())
            self.process.stdin.flush()
            answer = self.read(limit)
        except (BrokenPipeError, Failed) as error:
            self.stop()
            raise error if isinstance(error, Failed) else Failed("ended early")
        if not answer["ok"]:
            raise Failed(answer["error"])
        return answer

    def processor_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def run(self, units):
        before = self.processor_seconds()
        seconds = self.ask(do="run", units=units)["seconds"]
        return seconds, self.processor_seconds() - before

    def load(self, file):
        self.ask(do="save", file=str(file))
        return np.load(file)

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def close(self):
        self.stop()
        self.log.close()
        self.process.stdout.close()
        with contextlib.suppress(BrokenPipeError):  # of a request that it did not live to read
            self.process.stdin.close()


class Comparison:
    def __init__(self, options, device, file=None, append=False):
        """file: where each row is written as soon as it is known; append: behind what stands there."""
        self.options, self.device, self.file = options, device, file
        self.rows, self.absent, self.versions = [], {}, {}
        self.folder = Path(tempfile.mkdtemp(prefix="microlift-peers-"))
        self.cores = len(os.sched_getaffinity(0))
        self.deadline = 0.0
        self.before = {"versions": {}, "absent": {}, "results": []}
        if append and file and file.exists():
            self.before = json.loads(file.read_text(encoding="utf-8"))

    def microlift(self, work, options=(), **size):
        """One repeat of a benchmark: the JSON object with its rate."""
        file = self.folder / "microlift.json"
        size.setdefault("seconds", self.options.seconds)
        name = f"{work}:" + ",".join(f"{k}={v}" for k, v in {**size, "repeats": 1}.items())
        done = subprocess.run([self.options.microlift, "bench", name, "--json", str(file), *options],
                              capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            raise Failed("microlift: " + done.stderr.strip()[-300:])
        return json.loads(file.read_text())[0]

    def contestants(self, table):
        for module, name, package, devices in table:
            if self.device not in devices:
                continue
            if self.options.peers and not any(p in name for p in self.options.peers):
                continue
            if time.monotonic() > self.deadline:
                print(f"  {name}: not started, the time limit is over", flush=True)
                continue
            peer = Peer(module, name, self.device, self.options.point_limit)
            if peer.hello["ok"]:
                self.versions[name] = peer.hello["version"]
                yield module, name, peer
            elif "absent" in peer.hello:
                self.absent[name] = f"pip install {package} ({peer.hello['absent']})"
                print(f"  {name}: absent; {self.absent[name]}", flush=True)
            else:
                self.absent[name] = peer.hello["error"]
                print(f"  {name}: {peer.hello['error']}", flush=True)
            peer.close()

    def record(self, work, name, size, ours, theirs, **more):
        """ours, theirs: lists of (rate, processor share) of the pairs."""
        ratios = [a[0] / b[0] for a, b in zip(ours, theirs)]
        per_cpu = [(a[0] / a[1]) / (b[0] / b[1]) for a, b in zip(ours, theirs) if a[1] and b[1]]
        row = {"work": work, "peer": name, "device": self.device, **size,
               "microlift": statistics.median(a[0] for a in ours),
               "rate": statistics.median(b[0] for b in theirs),
               "ratio": {"median": statistics.median(ratios), "min": min(ratios),
                         "max": max(ratios)}, "pairs": len(ratios)}
        if per_cpu and self.device == "cpu":
            row["per_cpu"] = statistics.median(per_cpu)
            row["share"] = statistics.median(b[1] for b in theirs)
            row["microlift_share"] = statistics.median(a[1] for a in ours)
        row.update(more)
        self.add(row)
        sizes = " ".join(f"{k} {v}" for k, v in size.items())
        print(f"  {name:26s} {sizes:24s} microlift {row['microlift']:.3e}, it {row['rate']:.3e}: "
              f"{row['ratio']['median']:.2f} times ({row['ratio']['min']:.2f} to "
              f"{row['ratio']['max']:.2f})"
              + (f", per processor second {row['per_cpu']:.2f}" if "per_cpu" in row else ""),
              flush=True)

    def failed(self, work, name, size, error):
        self.add({"work": work, "peer": name, "device": self.device, **size, "error": str(error)})
        print(f"  {name:26s} {size}: no rate: {error}", flush=True)

    def units(self, peer, first, multiple):
        """How many units take about the wanted time; the last run at that number is the warm-up."""
        units = first
        peer.run(units)  # what is left to compile
        while True:
            seconds, _ = peer.run(units)
            if seconds >= 0.1 * self.options.seconds:
                break
            units *= 4
        if seconds > self.options.point_limit / 3:
            raise TooSlow(f"{seconds / units:.3g} s a unit")
        fit = max(1, round(self.options.seconds / seconds * units / multiple)) * multiple
        peer.run(fit)
        return fit

    def pairs(self, peer, units, rate_of, ours, cores=None):
        mine, theirs = [], []
        for _ in range(self.options.pairs):
            result = ours()
            mine.append((result["median"], result.get("cpu_share", 0)))
            seconds, cpu = peer.run(units)
            theirs.append((rate_of(units) / seconds, cpu / seconds / (cores or self.cores)))
        return mine, theirs

    # --- the works ----------------------------------------------------------------------------

    def ensemble(self):
        exact = law.chain_law()
        print("ensemble: Müller–Brown, kT 15, umbrella, Euler–Maruyama, fp32; trajectory-steps a second",
              flush=True)
        for module, name, peer in self.contestants(ENSEMBLES):
            for n in self.options.trajectories:
                size = {"trajectories": n}
                if time.monotonic() > self.deadline:
                    self.failed("ensemble", name, size, "not run: the time limit is over")
                    break
                try:
                    note = peer.ask(do="prepare", size={"n": n})["note"]
                    half = law.CHECK_STEPS // 2
                    seconds, _ = peer.run(half)  # compiles too
                    peer.run(half)
                    states = peer.load(self.folder / "states.npy")
                    off, _ = law.check_states(states, exact)
                    steps = self.units(peer, half, 32)
                    mine, theirs = self.pairs(peer, steps, lambda units: n * units,
                                              lambda: self.microlift("ensemble", n=n))
                    states = peer.load(self.folder / "states.npy")
                    if not np.isfinite(states).all() or np.abs(states).max() > 10:
                        raise Failed("states are not finite after the timed steps")
                except (Failed, ValueError) as error:
                    self.failed("ensemble", name, size, error)
                    if isinstance(error, TooSlow) or peer.process.poll() is not None:
                        break
                    continue
                self.record("ensemble", name, size, mine, theirs, steps=steps, note=note,
                            worst_deviation_in_standard_errors=off)

    def training(self):
        print("training: cGAN updates a second (five critic steps, one generator step)", flush=True)
        for module, name, peer in self.contestants(TRAINING):
            for width in self.options.widths:
                for batch in self.options.batches:
                    size = {"width": width, "batch": batch}
                    if time.monotonic() > self.deadline:
                        self.failed("training", name, size, "not run: the time limit is over")
                        continue
                    if peer.process.poll() is not None:
                        peer = Peer(module, name, self.device, self.options.point_limit)
                    try:
                        note = peer.ask(do="prepare",
                                        size={"batch": batch, "width": width})["note"]
                        before = float(peer.load(self.folder / "quality.npy")[0])
                        updates = self.units(peer, 1, 1)
                        mine, theirs = self.pairs(
                            peer, updates, lambda units: units,
                            lambda: self.microlift("training", batch=batch, width=width))
                        after = float(peer.load(self.folder / "quality.npy")[0])
                        if not after < before:
                            raise Failed(f"it does not learn: W1/sigma {before:.3f} -> {after:.3f}")
                    except Failed as error:
                        self.failed("training", name, size, error)
                        continue
                    self.record("training", name, size, mine, theirs, note=note,
                                wasserstein=[before, after])

    def sampling(self):
        states = self.options.states
        print("sampling: generated states a second", flush=True)
        for module, name, peer in self.contestants(SAMPLING):
            for width in self.options.widths:
                size = {"width": width, "states": states}
                try:
                    peer.ask(do="prepare", size={"width": width, "states": states})
                    times = self.units(peer, 1, 1)
                    mine, theirs = self.pairs(
                        peer, times, lambda units: units * states,
                        lambda: self.microlift("sampling", width=width, states=states))
                    out = peer.load(self.folder / "states.npy")
                    if out.shape != (states,) or not np.isfinite(out).all():
                        raise Failed("states are missing or not finite")
                except Failed as error:
                    self.failed("sampling", name, size, error)
                    continue
                self.record("sampling", name, size, mine, theirs)

    def mbar(self):
        print("mbar: samples a second, 50 windows; microlift's time includes errors, theirs does not",
              flush=True)
        for samples in self.options.samples:
            prefix = self.folder / "mbar"
            try:
                self.microlift("estimate", samples=samples, save=prefix)
            except Failed as error:
                self.failed("mbar", "microlift", {"samples_per_window": samples}, error)
                continue
            expected = np.load(f"{prefix}_free_energies.npy").ravel()
            for module, name, peer in self.contestants(MBAR):
                size = {"windows": 50, "samples_per_window": samples}
                try:
                    peer.ask(do="prepare", size={"samples": f"{prefix}_samples.npy"})
                    seconds, _ = peer.run(1)
                    mine, theirs = self.pairs(peer, 1, lambda units: 50 * samples * units,
                                              lambda: self.microlift("estimate", samples=samples))
                    found = peer.load(self.folder / "f.npy").ravel()
                    off = float(np.abs(found - found[0] - expected + expected[0]).max())
                    if not off <= 1e-6:
                        raise Failed(f"its free energies differ by {off:.2g} kT")
                except Failed as error:
                    self.failed("mbar", name, size, error)
                    continue
                self.record("mbar", name, size, mine, theirs, largest_difference=off)

    def molecule(self):
        print("molecule: alanine dipeptide, 2 fs and rigid X–H, or flexible and 1 fs beside peers without rigid bonds; "
              "replica-steps a second, one thread on a CPU", flush=True)
        threads = ("--threads", "1") if self.device == "cpu" else ()
        for module, name, peer in self.contestants(MOLECULES):
            for solvent in ("none", "obc2"):
                size = {"solvent": solvent}
                try:
                    ready = peer.ask(do="prepare", size={"topology": f"{DIPEPTIDE}.prmtop", "solvent": solvent,
                                                         "coordinates": f"{DIPEPTIDE}.inpcrd"})
                    note, replicas, constraints = ready["note"], ready["replicas"], ready["constraints"]
                    peer.run(max(20, 500 // replicas))
                    off = self.force_difference(peer.load(self.folder / "state.npy"), solvent, constraints)
                    if not off <= 1e-4:
                        raise Failed(f"its forces are off by {off:.2g} of the largest")
                    steps = self.units(peer, max(10, 100 // replicas), 1)
                    mine, theirs = self.pairs(peer, steps, lambda units, each=replicas: units * each,
                                              lambda: self.microlift(BENCH_OF[solvent], threads,
                                                                     constraints=constraints), cores=1)
                    if not np.isfinite(peer.load(self.folder / "state.npy")).all():
                        raise Failed("its state is not finite")
                except Failed as error:
                    self.failed("molecule", name, size, error)
                    continue
                self.record("molecule", name, size, mine, theirs, note=note, force_difference=off)

    def force_difference(self, state, solvent, constraints):
        """Of forces at one state, over the largest: theirs against `microlift evaluate`."""
        import h5py
        positions, forces = state
        (self.folder / "molecule.toml").write_text(
            f'[system]\nkind = "molecule"\ntopology = "{DIPEPTIDE}.prmtop"\nimplicit_solvent = "{solvent}"\n'
            f'constraints = "{constraints}"\ntemperature = 300.0\n', encoding="utf-8")
        np.save(self.folder / "place.npy", positions[None])
        done = subprocess.run([self.options.microlift, "evaluate", self.folder / "molecule.toml", "--states",
                               self.folder / "place.npy", "-o", self.folder / "place.h5", "--threads", "1"],
                              capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise Failed("microlift: " + done.stderr.strip()[-300:])
        with h5py.File(self.folder / "place.h5") as file:
            ours = file["force"][:].reshape(forces.shape)
        return float(np.linalg.norm(ours - forces, axis=1).max() / np.linalg.norm(forces, axis=1).max())

    # --- what comes out -----------------------------------------------------------------------

    def report(self):
        machine = {"date": datetime.date.today().isoformat(), "cores": self.cores,
                   "system": platform.platform(), "python": platform.python_version(),
                   "load": os.getloadavg(), "remark": self.options.remark}
        try:
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
                if line.startswith("model name"):
                    machine["processor"] = line.split(":", 1)[1].strip()
                    break
        except OSError:
            pass
        if self.device == "cuda":
            machine["gpu"] = subprocess.run(
                ["nvidia-smi", "--query-gpu=name,driver_version,clocks.sm,clocks.max.sm,memory.total",
                 "--format=csv,noheader"], capture_output=True, text=True, check=False).stdout.strip()
        commit = subprocess.run(["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"],
                                capture_output=True, text=True, check=False).stdout.strip()
        return {"machine": machine, "commit": commit, "device": self.device,
                "versions": {**self.before["versions"], **self.versions},
                "absent": {**self.before["absent"], **self.absent},
                "results": self.before["results"] + self.rows}

    def add(self, row):
        self.rows.append(row)
        self.save()

    def save(self):
        if self.file:
            partial = self.file.with_name(self.file.name + ".partial")
            partial.write_text(json.dumps(self.report(), indent=1) + "\n", encoding="utf-8")
            partial.replace(self.file)


def plot(report, file):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    good = [r for r in report["results"] if "ratio" in r]
    works = [w for w in ("ensemble", "training", "sampling", "mbar") if any(r["work"] == w for r in good)]
    if not works:
        return
    figure, axes = plt.subplots(2, len(works), figsize=(5.2 * len(works), 8), squeeze=False)
    x_of = {"ensemble": "trajectories", "training": "batch", "sampling": "width",
            "mbar": "samples_per_window"}
    for column, work in enumerate(works):
        rows, x_name = [r for r in good if r["work"] == work], x_of[work]
        groups = {}
        for r in rows:
            label = r["peer"] + (f", width {r['width']}" if work == "training" else "")
            groups.setdefault(label, []).append(r)
        top, bottom = axes[0][column], axes[1][column]
        own = {}
        for label, group in groups.items():
            group.sort(key=lambda r: r[x_name])
            x = [r[x_name] for r in group]
            line, = top.plot(x, [r["rate"] for r in group], "o-", ms=4, label=label)
            y = [r["ratio"]["median"] for r in group]
            bottom.errorbar(x, y, [[r["ratio"]["median"] - r["ratio"]["min"] for r in group],
                                   [r["ratio"]["max"] - r["ratio"]["median"] for r in group]],
                            fmt="o-", ms=4, capsize=2, color=line.get_color(), label=label)
            for r in group:
                key = label.split(", width")[1] if work == "training" else ""
                own.setdefault(key, {}).setdefault(r[x_name], []).append(r["microlift"])
        for key, points in own.items():
            x = sorted(points)
            top.plot(x, [statistics.median(points[v]) for v in x], "k^-", ms=5, lw=2,
                     label="microlift" + (f", width{key}" if key else ""))
        for axis in (top, bottom):
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.set_xlabel(x_name.replace("_", " "))
            axis.grid(alpha=0.3, which="both")
        bottom.axhline(1, color="k", lw=0.8)
        top.set_ylabel({"ensemble": "trajectory-steps / s", "training": "updates / s",
                        "sampling": "states / s", "mbar": "samples / s"}[work])
        top.set_title(work)
        top.legend(fontsize=7)
        bottom.set_ylabel("microlift over peer (median, range)")
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def markdown(report):
    machine = report["machine"]
    lines = [f"{machine.get('gpu') or machine.get('processor', '')}, {machine['cores']} cores, "
             f"commit {report['commit']}, {machine['date']}. {machine['remark']}".strip(), ""]
    titles = {"ensemble": "trajectory-steps/s", "training": "updates/s", "sampling": "states/s",
              "mbar": "samples/s", "molecule": "replica-steps/s"}
    for work, unit in titles.items():
        rows = [r for r in report["results"] if r["work"] == work]
        if not rows:
            continue
        lines += [f"### {work} ({unit})", "",
                  "| peer | size | microlift | peer | ratio (least to greatest) | per CPU second |",
                  "| --- | --- | --- | --- | --- | --- |"]
        for r in rows:
            size = ", ".join(f"{k.replace('_', ' ')} {r[k]}" for k in
                             ("width", "batch", "trajectories", "states", "samples_per_window", "solvent") if k in r)
            if "ratio" in r:
                q = r["ratio"]
                lines.append(f"| {r['peer']} | {size} | {r['microlift']:.2e} | {r['rate']:.2e} | "
                             f"{q['median']:.2f} ({q['min']:.2f} to {q['max']:.2f}) | "
                             + (f"{r['per_cpu']:.2f}" if "per_cpu" in r else "") + " |")
            else:
                lines.append(f"| {r['peer']} | {size} | | | no rate: {r['error'][:120]} | |")
        lines.append("")
    if report["absent"]:
        lines += ["Absent: " + "; ".join(f"{k}: {v}" for k, v in report["absent"].items()) + "."]
    lines += ["Versions: " + "; ".join(f"{k}: {v}" for k, v in report["versions"].items()) + "."]
    return "\n".join(lines) + "\n"


def numbers(text):
    return [int(float(v)) for v in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("work", nargs="*", default=["all"],
                        choices=["ensemble", "training", "sampling", "mbar", "molecule", "all"])
    parser.add_argument("--microlift", default="build/microlift")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--append", action="store_true", help="keep what --json FILE holds already")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="about, of each timed run")
    parser.add_argument("--point-limit", type=float, default=60, help="seconds of any one request")
    parser.add_argument("--time-limit", type=float, default=3600, help="seconds after which none starts")
    parser.add_argument("--trajectories", type=numbers, default=numbers("1e2,1e3,1e4,1e5,1e6,1e7"))
    parser.add_argument("--batches", type=numbers, default=numbers("256,4096,65536"))
    parser.add_argument("--widths", type=numbers, default=numbers("64,128"))
    parser.add_argument("--states", type=int, default=1 << 18)
    parser.add_argument("--samples", type=numbers, default=numbers("2e4,1e5"))
    parser.add_argument("--peers", nargs="*", help="only those whose name contains one of these")
    parser.add_argument("--remark", default="", help="what to say of the machine")
    options = parser.parse_args()
    path = shutil.which(options.microlift) or options.microlift
    if not Path(path).exists():
        parser.error(f"there is no {options.microlift}; build it, or name it with --microlift")
    options.microlift = str(Path(path).resolve())
    info = subprocess.run([options.microlift, "bench", "ensemble:n=64,seconds=0.01,repeats=1"],
                          capture_output=True, text=True, check=False)
    found = "cpu" if info.stdout.startswith("CPU") else "cuda"
    device = found if options.device == "auto" else options.device
    if device != found:
        parser.error(f"microlift runs on {found} here, not on {device}")
    print(f"microlift on {info.stdout.splitlines()[0] if info.stdout else found}", flush=True)
    comparison = Comparison(options, device, options.json, options.append)
    works = ["ensemble", "training", "sampling", "mbar", "molecule"] if "all" in options.work else options.work
    shares = {"ensemble": 45, "training": 35, "sampling": 10, "mbar": 10, "molecule": 10}  # of the time limit
    end = time.monotonic() + options.time_limit
    try:
        for k, work in enumerate(works):
            left = end - time.monotonic()
            comparison.deadline = time.monotonic() + left * shares[work] / sum(
                shares[w] for w in works[k:])
            getattr(comparison, work)()
    except KeyboardInterrupt:
        print("stopped; what was measured is kept", file=sys.stderr)
    shutil.rmtree(comparison.folder, ignore_errors=True)
    comparison.save()
    report = comparison.report()
    if options.markdown:
        options.markdown.write_text(markdown(report), encoding="utf-8")
    if options.plot:
        try:
            plot(report, options.plot)
        except ImportError as error:
            print(f"no picture: {error}", file=sys.stderr)
    return 0 if any("ratio" in r for r in report["results"]) else 1


if __name__ == "__main__":
    sys.exit(main())
