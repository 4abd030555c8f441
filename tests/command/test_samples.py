#!/usr/bin/python3
"""Samples made elsewhere: their free energy with honest errors (none, windows, weights), what a generator learns of
them, a system that they are of, files of every format, stops and threads, refusals."""
import shutil
import sys
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import SOURCE, Case, bytes_of, command_line, metrics, run, table  # noqa: E402

# F(x) = x²/2 kT, and y = x² with a deviation of 0.3.
SPREAD = 0.3
ALONE = """seed = 3
[samples]
FILES
from = -2.0
to = 2.0
[cv]
variables = ["x"]
[estimate]
bins = 40
"""


def series(random, n, mean=0.0, deviation=1.0, memory=0.9):
    """Samples of a normal law, each correlated with the one before."""
    x = np.empty(n)
    x[0] = random.normal()
    kick = np.sqrt(1 - memory**2) * random.normal(size=n)
    for i in range(1, n):
        x[i] = memory * x[i - 1] + kick[i]
    return mean + deviation * x


def states(random, x):
    return np.column_stack([x, x**2 + SPREAD * random.normal(size=len(x))])


def write_csv(path, values, names="x,y"):
    np.savetxt(path, values, delimiter=",", header=names, comments="", fmt="%.9g")


def write_colvar(path, columns, sets=()):
    names = list(columns)
    with open(path, "w") as file:
        file.write("#! FIELDS " + " ".join(names) + "\n")
        for line in sets:
            file.write(f"#! SET {line}\n")
        for row in zip(*columns.values()):
            file.write(" " + " ".join(f"{v:.9f}" for v in row) + "\n")


class SamplesCase(Case):
    def windows(self, random, centers, stiffness, n=4000, memory=0.9):
        """Trajectories under umbrellas: of the law of x they leave a normal one."""
        rows = []
        for w, center in enumerate(centers):
            x = series(random, n, stiffness * center / (1 + stiffness), (1 + stiffness)**-0.5, memory)
            np.save(self.dir / f"window{w}.npy", states(random, x).astype("f4"))
            rows.append(f"window{w}.npy,{center},{stiffness}")
        (self.dir / "windows.csv").write_text("file,center,stiffness\n" + "\n".join(rows) + "\n")
        return f'states = {[f"window{w}.npy" for w in range(len(centers))]}\nwindows = "windows.csv"\nenergy_unit = "kT"'

    def deviations(self, out, kt=1.0):
        """Of F from x²/2 kT, in standard errors, and the errors."""
        t = table(out / "free_energy.csv")
        use = np.isfinite(t[:, 1]) & (t[:, 2] > 0)
        off = t[use, 1] - kt * t[use, 0]**2 / 2
        return off / t[use, 2], t[use, 2], t[use, 0], off


class FreeEnergy(SamplesCase):
    def test_weights(self):
        """The thinnest whole path: a .npy of states and a column of bias energies, in kJ/mol at 300 K."""
        random = np.random.default_rng(1)
        kt = 8.31446261815324e-3 * 300
        x = series(random, 40000, deviation=2.0)
        write_colvar(self.dir / "COLVAR", {"time": np.arange(len(x)), "metad.bias": -0.375 * kt * x**2})
        np.save(self.dir / "states.npy", states(random, x))
        out = self.go(ALONE.replace("FILES", 'states = ["states.npy"]\ncolvar = ["COLVAR"]\nweights = "metad.bias"\n'
                                             'temperature = 300.0').replace('["x"]', '["x0"]'))
        z, error, _, off = self.deviations(out, kt)
        self.assertGreater(len(z), 38)
        self.assertLess(np.sqrt(np.mean(z**2)), 2.0)
        self.assertLess(np.abs(off).max(), 0.3 * kt)
        self.assertLess(error.max(), 0.2 * kt)


    def test_windows(self):
        """MBAR over windows.csv, of COLVAR files alone too; several trajectories of a window, of other lengths."""
        random = np.random.default_rng(2)
        centers = np.linspace(-2, 2, 9)
        files = self.windows(random, centers, 8.0)
        out = self.go(ALONE.replace("FILES", files).replace('["x"]', '["x0"]'))
        z, error, _, off = self.deviations(out)
        self.assertLess(np.sqrt(np.mean(z**2)), 2.0)
        self.assertLess(error.max(), 0.3)
        self.assertGreater(len(z), 38)
        found = metrics(out)
        self.assertEqual(len(found["windows"]), 9)
        self.assertEqual(found["given"], {"trajectories": 9, "samples": 36000, "windows": 9, "bias": "windows"})
        # Samples remember 0.9: (1 + 0.9)/(1 - 0.9).
        self.assertLess(abs(np.mean([w["inefficiency"] for w in found["windows"]]) - 19), 4)
        rows = ["center,stiffness,file"]
        for w, center in enumerate(centers):
            for part, (first, last) in enumerate(((0, 1500), (1500, 4000))):
                x = np.load(self.dir / f"window{w}.npy")[first:last, 0]
                write_colvar(self.dir / f"COLVAR.{w}.{part}", {"time": np.arange(len(x)), "x": x, "b.bias": x**2})
                rows.append(f"{center},{8 * 2.494338785445972},COLVAR.{w}.{part}")
        (self.dir / "windows.csv").write_text("\n".join(rows) + "\n")
        parts = self.go(ALONE.replace("FILES", 'colvar = ["COLVAR.*"]\nwindows = "windows.csv"\ntemperature = 300.0'),
                        name="parts")
        self.assertEqual(metrics(parts)["given"]["trajectories"], 18)
        self.assertEqual(metrics(parts)["system"]["variables"], ["x"])
        a, b = table(out / "free_energy.csv"), table(parts / "free_energy.csv")
        np.testing.assert_allclose(b[:, 1] / 2.494338785445972, a[:, 1], atol=2e-3)

    def test_unbiased(self):
        """Trajectories of different lengths without a bias, a formula of a column, a name with a dot."""
        random = np.random.default_rng(3)
        for i, n in enumerate((9000, 16000)):
            x = series(random, n)
            write_colvar(self.dir / f"COLVAR{i}", {"time": np.arange(n), "d1.x": 0.5 * x, "uw.bias": x})
        out = self.go(ALONE.replace("FILES", 'colvar = ["COLVAR0", "COLVAR1"]').replace('["x"]', '["2*d1_x"]'))
        z, error, _, off = self.deviations(out)
        self.assertLess(np.sqrt(np.mean(z**2)), 2.0)
        self.assertEqual(metrics(out)["system"]["variables"], ["d1_x"])

    def test_errors_are_honest(self):
        """Of 24 sets of correlated samples, by weights and by windows, the mean of z^2 over bins far apart is one."""
        for kind in ("weights", "windows"):
            squares = []
            for seed in range(24):
                random = np.random.default_rng([seed, len(kind)])
                if kind == "weights":
                    x = series(random, 8000, deviation=1.5)
                    write_colvar(self.dir / "COLVAR", {"time": np.arange(len(x)), "x": x,
                                                       "opes.bias": -(0.5 - 1 / 4.5) * x**2})
                    text = ALONE.replace("FILES", 'colvar = ["COLVAR"]\nweights = ["opes.bias"]\nenergy_unit = "kT"')
                else:
                    text = ALONE.replace("FILES", self.windows(random, np.linspace(-2, 2, 7), 6.0, 3000, 0.7)) \
                        .replace('["x"]', '["x0"]')
                out = self.go(text, "estimate.bins=20", "samples.from=-1.8", "samples.to=1.8", name=f"{kind}{seed}")
                t = table(out / "free_energy.csv")
                least = int(np.nanargmin(t[:, 1]))
                off = t[:, 1] - t[:, 0]**2 / 2 - (t[least, 1] - t[least, 0]**2 / 2)
                z = off / np.where(t[:, 2] > 0, t[:, 2], np.nan)
                squares.append(np.nanmean(z[[1, 5, 14, 18]]**2))
                shutil.rmtree(out)
            mean, error = np.mean(squares), np.std(squares) / np.sqrt(len(squares))
            with self.subTest(kind, mean=mean, error=error):
                print(f"{kind}: mean z^2 {mean:.2f} +- {error:.2f}")
                self.assertLess(mean, 1 + max(3 * error, 0.6))
                self.assertGreater(mean, 0.35)


HIDDEN = ALONE.replace('["x"]', '["x"]').replace("bins = 40", "bins = 20")


class Hidden(SamplesCase):
    """A bias on z while x is asked for: z given x is N(x, 1), and N(x, 4) in the samples."""

    def files(self, seed=5, n=30000):
        random = np.random.default_rng(seed)
        x = series(random, n)
        z = x + series(random, n, deviation=2.0)
        write_colvar(self.dir / "COLVAR", {"time": np.arange(n), "x": x, "z": z, "b": -0.375 * (z - x)**2})
        return 'colvar = ["COLVAR"]\nweights = "b"\nenergy_unit = "kT"'

    def test_averages_and_generator(self):
        out = self.go(HIDDEN.replace("FILES", self.files()) + "[generator]\nkind = \"flow\"\niterations = 1500\n",
                      options=("--quiet",))
        z, error, _, off = self.deviations(out)
        self.assertLess(np.sqrt(np.mean(z**2)), 2.2)
        with open(out / "conditional.csv") as file:
            rows = [line.strip().split(",") for line in file][1:]
        for source, least in (("physics", 4.0), ("generator", 0.0)):
            mine = [r for r in rows if r[5] == source and abs(float(r[0])) < 1.2]
            self.assertEqual({r[1] for r in mine}, {"z"})
            x, mean, se, variance = (np.array([float(r[k]) for r in mine]) for k in (0, 2, 3, 4))
            if source == "physics":
                self.assertLess(np.sqrt(np.mean(((mean - x) / se)**2)), 2.0)
                self.assertLess(se.max(), 0.25)
            self.assertLess(np.abs(mean - x).max(), 0.3)
            self.assertLess(abs(variance.mean() - 1), 0.15, source)
        states = self.dir / "states.npy"
        from command import BINARY
        run(BINARY, "generate", out, "--at", "0.5", "-n", "4000", "-o", states)
        made = np.load(states)
        self.assertEqual(made.shape, (4000, 2))
        np.testing.assert_allclose(made[:, 0], 0.5, atol=1e-6)
        self.assertLess(abs(made[:, 1].mean() - 0.5), 0.2)
        self.assertLess(abs(made[:, 1].std() - 1), 0.15)
        run(BINARY, "generate", out, "--at", "0.5", "-n", "4", "-o", self.dir / "s.dcd", status=2)
        page = (out / "report.html").read_text()
        self.assertIn("made elsewhere", page)


class Whole(SamplesCase):
    """The run's directory is whole in itself, and its bytes do not depend on threads."""

    TEXT = HIDDEN + "[generator]\nkind = \"flow\"\niterations = 60\nvalidate_every = 20\n[learn]\npoints = 300\n"

    def test_threads_and_inputs_that_are_gone(self):
        from command import BINARY
        text = self.TEXT.replace("FILES", Hidden.files(self, n=6000))
        one = self.go(text, name="one", options=("--quiet", "--no-report", "--threads", "1"))
        two = self.go(text, name="two", options=("--quiet", "--no-report", "--threads", "2"))
        self.assertEqual(bytes_of(one), bytes_of(two))
        (self.dir / "COLVAR").unlink()
        run(BINARY, "run", self.dir / "one.toml", "-o", one, "--resume", "--quiet")  # nothing to do
        run(BINARY, "report", one)
        run(BINARY, "generate", one, "--at", "0.1", "-n", "3", "-o", self.dir / "s.npy")
        again = self.dir / "again"
        shutil.copytree(one, self.dir / "kept")
        shutil.rmtree(one)
        run(BINARY, "run", self.dir / "kept" / "config.toml", "-o", again, "--quiet", "--no-report")
        self.assertEqual(bytes_of(again), bytes_of(two))

    def test_killed_at_any_moment(self):
        import os
        import signal
        import subprocess
        import time
        text = self.TEXT.replace("FILES", Hidden.files(self, n=6000))
        whole = self.go(text, name="whole")
        (self.dir / "run.toml").write_text(text)
        random = np.random.default_rng(1)
        for attempt in range(5):
            out = self.dir / f"killed{attempt}"
            line = command_line(self.dir / "run.toml", out)
            started = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(random.uniform(0.05, 2.5))
            started.send_signal(signal.SIGKILL)
            started.wait()
            hidden = self.dir / "COLVAR.away"
            gone = attempt % 2 and (out / "config.toml").exists() and (out / "input_samples.safetensors").exists()
            if gone:
                os.replace(self.dir / "COLVAR", hidden)
            run(*line, "--resume")
            if gone:
                os.replace(hidden, self.dir / "COLVAR")
            self.assertEqual(bytes_of(out), bytes_of(whole), attempt)


WELL = """seed = 2
[system]
variables = ["x", "y"]
potential = "(x^2-1)^2 + 4*(y-x)^2"
beta = 3.0
[cv]
variables = ["x"]
[integrator]
dt = 2e-3
compile_after = -1
[estimate]
bins = 40
"""
WINDOWS = """[umbrella]
from = -1.5
to = 1.5
windows = 12
stiffness = 20.0
replicas = 16
equilibrate = 1000
steps = 10000
stride = 50
"""


class System(SamplesCase):
    """Samples of a system that is described: those that a run of windows left, taken by other runs."""

    def test_a_run_of_its_own_samples(self):
        first = self.go(WELL + WINDOWS, name="first")
        taken = WELL + """[samples]
states = ["first/samples.h5"]
from = -1.5
to = 1.5
places = 12
"""
        again = self.go(taken, name="again")
        self.assertEqual(metrics(again)["given"], {"trajectories": 192, "samples": 38400, "windows": 12, "bias": "windows"})
        a, b = table(first / "free_energy.csv"), table(again / "free_energy.csv")
        np.testing.assert_allclose(b[:, 1], a[:, 1], atol=1e-6)
        np.testing.assert_allclose(b[:, 2], a[:, 2], rtol=0.05, atol=1e-4)
        # Along another variable by the weights that the first run found: y - x is N(0, 1/24), whatever x.
        other = self.go(taken.replace('["x"]', '["y - x"]').replace("1.5", "0.4"), name="other")
        self.assertEqual(metrics(other)["given"]["bias"], "weights")
        t = table(other / "free_energy.csv")
        z = (t[:, 1] - 4 * t[:, 0]**2)[t[:, 2] > 0] / t[t[:, 2] > 0, 2]
        self.assertLess(np.sqrt(np.mean(z**2)), 2.2)
        self.assertIn("samples.h5: its line of names is not that of the system's variables", self.refused(
            taken.replace('["x", "y"]', '["x", "z"]').replace("y-x", "z-x")))

    def test_one_bias_of_its_own(self):
        """The COLVAR of a run with [bias], all walkers in one file, and its samples.h5 give what the run itself found."""
        bias = WINDOWS.replace("[umbrella]", "[bias]").replace("windows = 12\nstiffness = 20.0\nreplicas = 16\n", "walkers = 64\n") \
            .replace("steps = 10000", "steps = 20000\nheight = 1.0\nsigma = 0.1")
        first = self.go(WELL + bias + "[output]\nplumed = true\n", name="first")
        a = table(first / "free_energy.csv")
        use = np.isfinite(a[:, 2]) & (a[:, 2] > 0) & (a[:, 1] < 2.5)
        for name, files, kt in (("h5", 'states = ["first/samples.h5"]', 1), ("colvar",
                                'colvar = ["first/COLVAR"]\nweights = "metadynamics.bias"\nenergy_unit = "kT"', 1 / 3)):
            system = WELL if kt == 1 else WELL[:WELL.index("[system]")] + WELL[WELL.index("[cv]"):].replace(
                "[integrator]\ndt = 2e-3\ncompile_after = -1\n", "")
            if kt != 1:  # energies in the unit of kT, which is a third of the potential's
                text = (first / "COLVAR").read_text().splitlines()
                lines = [line if line.startswith("#") else " ".join(
                    [*line.split()[:2], repr(3 * float(line.split()[2]))]) for line in text]
                (first / "COLVAR").write_text("\n".join(lines) + "\n")
            again = self.go(system + f"[samples]\n{files}\nfrom = -1.5\nto = 1.5\n", name=name)
            self.assertEqual(metrics(again)["given"]["trajectories"], 64)
            b = table(again / "free_energy.csv")
            off = (kt * b[:, 1] - a[:, 1])[use]
            self.assertLess(np.std(off), 0.03, name)
            self.assertLess(abs(np.nanmedian(kt * b[use, 2] / a[use, 2]) - 1), 0.25)

    def test_coupling_and_closure(self):
        """A round of coupling adds windows at lifted states; the closure's passages as of any run."""
        self.go(WELL + WINDOWS, "umbrella.steps=4000", name="first")
        out = self.go(WELL + """[samples]
states = ["first/samples.h5"]
from = -1.5
to = 1.5
places = 12
[generator]
kind = "flow"
iterations = 300
validate_every = 100
[coupling]
rounds = 1
windows = 4
replicas = 16
steps = 2000
equilibrate = 500
iterations = 100
[closure]
values = 8
replicas = 64
[lifting]
values = 5
states = 400
heal_steps = 50
proposals = 200
""", name="whole", options=("--quiet",))
        found = metrics(out)
        self.assertGreater(len(found["windows"]), 12)
        t = table(out / "free_energy.csv")
        use = t[:, 2] > 0
        off = (t[:, 1] - (t[:, 0]**2 - 1)**2)[use]
        z = (off - np.average(off, weights=t[use, 2]**-2)) / t[use, 2]
        self.assertLess(np.sqrt(np.mean(z**2)), 2.0)
        self.assertTrue((out / "closure.csv").exists())


OPENMM = """seed = 1
[system]
kind = "molecule"
topology = "DATA/ala2.prmtop"
coordinates = "DATA/ala2.inpcrd"
constraints = "h_bonds"
[samples]
states = ["*.dcd"]
colvar = ["*.colvar"]
colvar_stride = 20
windows = "windows.csv"
[cv]
variables = [{ name = "phi", kind = "dihedral", atoms = [4, 6, 8, 14] }]
[integrator]
dt = 0.002
[estimate]
bins = 60
""".replace("DATA", str(SOURCE / "bench" / "data"))


class OpenMM(SamplesCase):
    """Windows that OpenMM sampled, beside a longer run of its own."""

    def setUp(self):
        super().setUp()
        run(sys.executable, SOURCE / "bench" / "data" / "ala2_openmm" / "unpack.py", self.dir)

    def beside(self, out):
        """Deviations from the longer run, less their weighted mean, in errors of both."""
        long = table(SOURCE / "bench" / "results" / "alanine_dipeptide_openmm.csv")
        t = table(out / "free_energy.csv")
        f, se = (np.interp(t[:, 0], long[:, 0], long[:, k], period=2 * np.pi) for k in (1, 2))
        error = np.hypot(se, t[:, 2])
        known = np.isfinite(error)  # bins that few blocks reach have no error
        error, off = error[known], (t[:, 1] - f)[known]
        off -= np.average(off, weights=error**-2)
        return off / error, off

    def test_free_energy(self):
        text = """seed = 1
[samples]
colvar = ["*.colvar"]
windows = "windows.csv"
temperature = 300.0
[cv]
variables = ["phi"]
[estimate]
bins = 60
"""
        out = self.go(text, options=("--quiet",))
        z, off = self.beside(out)
        self.assertLess(np.sqrt(np.mean(z**2)), 2.0)
        self.assertLess(np.sqrt(np.mean(off**2)), 0.5)  # kJ/mol
        self.assertEqual(metrics(out)["system"]["periods"], [2 * np.pi])
        page = (out / "report.html").read_text()
        self.assertIn("96 trajectories in 24 windows", page)
        self.assertNotIn("detailed balance", page)
        plane = self.go(text.replace('["phi"]', '["phi", "psi"]').replace('windows = "windows.csv"', ""), "estimate.bins=20",
                        name="plane")
        self.assertEqual(table(plane / "free_energy.csv").shape, (400, 4))

    def test_molecule(self):
        """The atoms' own phi is that of the COLVAR; a generator, states for other engines, and these read again."""
        from command import BINARY
        out = self.go(OPENMM + """[generator]
kind = "flow"
iterations = 300
validate_every = 100
[lifting]
values = 4
states = 100
heal_steps = 50
proposals = 64
energies = 2
energy_states = 100
reference_steps = 256
""", options=("--quiet",))
        z, off = self.beside(out)
        self.assertGreater(len(z), 50)
        self.assertLess(np.sqrt(np.mean(z**2)), 2.0)
        self.assertLess(np.sqrt(np.mean(off**2)), 1.5)  # kJ/mol, of 2400 samples
        self.assertLess(metrics(out)["lifting"]["constraint_residual"], 1e-5)
        for kind in ("npy", "dcd", "pdb"):
            run(BINARY, "generate", out, "--at", "1.0", "-n", "5", "-o", self.dir / f"starts.{kind}")
        import h5py
        phi = {}
        for kind in ("npy", "dcd", "pdb"):
            run(BINARY, "evaluate", out / "config.toml", "--states", self.dir / f"starts.{kind}", "-o",
                self.dir / f"{kind}.h5")
            with h5py.File(self.dir / f"{kind}.h5") as file:
                phi[kind] = file["cv"][:, 0]
        np.testing.assert_allclose(phi["npy"], 1.0, atol=1e-5)
        np.testing.assert_allclose(phi["dcd"], phi["npy"], atol=1e-5)
        np.testing.assert_allclose(phi["pdb"], phi["npy"], atol=2e-3)

    def test_units(self):
        """Coordinates of an array in angstrom, several trajectories in one array, a table of windows without names."""
        folder = SOURCE / "bench" / "data" / "ala2_openmm"
        np.save(self.dir / "states.npy", 10 * np.load(folder / "positions.npy"))
        text = OPENMM.replace('["*.dcd"]', '["states.npy"]').replace("colvar_stride = 20", 'colvar_stride = 20\nlength_unit = "angstrom"') \
            .replace('"windows.csv"', f'"{folder / "windows.csv"}"')
        a, b = self.go(text, name="a"), self.go(OPENMM, name="b")
        np.testing.assert_allclose(table(a / "free_energy.csv"), table(b / "free_energy.csv"), atol=0.02, rtol=1e-3)
        self.assertRegex(self.refused(text.replace("[4, 6, 8, 14]", "[6, 8, 14, 16]")), r"00_0.colvar:6, .*states.npy, state 0")
        # In nm an angle is the same: a distance is not.
        distance = text.replace('kind = "dihedral", atoms = [4, 6, 8, 14]', 'kind = "distance", atoms = [4, 14]') \
            .replace("colvar_stride", "from = 0.2\nto = 0.6\ncolvar_stride")
        x = np.load(folder / "positions.npy")
        for i, frames in enumerate(x):
            r = np.linalg.norm(frames[:, 4] - frames[:, 14], axis=1)
            write_colvar(self.dir / f"{i // 4:02d}_{i % 4}.colvar", {"time": np.arange(25), "phi": r})
        distance = distance.replace("colvar_stride = 20", "colvar_stride = 1").replace(
            f'windows = "{folder / "windows.csv"}"', "")
        self.go(distance, name="c")
        self.assertRegex(self.refused(distance.replace('length_unit = "angstrom"', "")), r"'phi' is 0\.\d+ in the COLVAR and \d\.")

    def test_what_does_not_belong_together(self):
        wrong = OPENMM.replace("[4, 6, 8, 14]", "[6, 8, 14, 16]")
        self.assertRegex(self.refused(wrong), r"00_0\.colvar:6, .*00_0\.dcd, state 0 \(counted from 0\): 'phi' is")
        self.assertIn("has 500 rows, of which 500 are told to be of states, and",
                      self.refused(OPENMM.replace("colvar_stride = 20", "colvar_stride = 1")))


class Refusals(SamplesCase):
    def test_one_line_each(self):
        random = np.random.default_rng(1)
        x = series(random, 50)
        base = ALONE.replace("FILES", 'states = ["s.npy"]\ncolvar = ["C"]\nweights = "b"\nenergy_unit = "kT"') \
            .replace('["x"]', '["x0"]')
        colvar = {"time": np.arange(50), "b": x}

        def case(expected, text=base, *changes, states=x[:, None], columns=None, raw=None):
            np.save(self.dir / "s.npy", states)
            write_colvar(self.dir / "C", columns or colvar)
            if raw:
                (self.dir / "C").write_text(raw((self.dir / "C").read_text()))
            line = self.refused(text, *changes)
            for part in expected.split("|"):
                self.assertIn(part, line)

        case("C has 40 rows|s.npy has 50 states", columns={k: v[:40] for k, v in colvar.items()})
        case("names the column 'b'|its columns are time, c", columns={"time": np.arange(50), "c": x})
        case("C:12: the row has 1 numbers", raw=lambda t: "\n".join(t.splitlines()[:11] + [" 10.0"]))
        case("C:1: there is no line '#! FIELDS", raw=lambda t: "\n".join(t.splitlines()[1:]) + "\n")
        case("C:7: 'nan' in column 'b'", raw=lambda t: "\n".join(t.splitlines()[:6] + [" 5 nan"] + t.splitlines()[7:]))
        case("time goes from", raw=lambda t: t + "#! FIELDS time b\n 10.0 1.0\n")
        case("s.npy: row 3, column 0", states=np.where(np.arange(50) == 3, np.nan, x)[:, None])
        case("C:51: the last row has no end of line, as if the file was cut off", raw=lambda t: t[:-4])
        case("names the column 'b' twice", base.replace('weights = "b"', 'weights = ["b", "b"]'))
        for twice in ('["C", "C"]', '["C", "./C"]', '["C*", "C"]'):
            case("key 'samples.colvar' names|C twice", base.replace('["C"]', twice))
        case("key 'samples.states' names|s.npy twice", base.replace('["s.npy"]', '["s.npy", "*.npy"]'))
        (self.dir / "folder").mkdir()
        case("'samples.colvar' names 'folder', which is a directory", base.replace('["C"]', '["folder"]'))
        write_colvar(self.dir / "D", colvar)
        (self.dir / "w.csv").write_text("file,center,stiffness\nC,0,1\n./C,1,1\n")
        case("w.csv:3: there is a window of './C' in line 2, too", base.replace('weights = "b"', 'windows = "w.csv"'))
        (self.dir / "w.csv").write_text("file,center,stiffness\na/C,0,1\nb/C,1,1\n")
        case("w.csv:3: this row and that of line 2", base.replace('weights = "b"', 'windows = "w.csv"'))
        (self.dir / "w.csv").write_text("center,stiffness\n0,1\n1,1\n")
        windows = base.replace('weights = "b"', 'windows = "w.csv"')
        case("w.csv: it has 2 windows for 1 trajectory", windows)
        case("there are both 'samples.weights' and 'samples.windows'", base.replace("from", 'windows = "w.csv"\nfrom'))
        case("key 'samples.temperature' is missing", base.replace('energy_unit = "kT"', ""))
        case("none.npy", base.replace('"s.npy"', '"none.npy"'))
        case("names 'none*.npy', and no file is called so", base.replace('"s.npy"', '"none*.npy"'))
        case("there are both [umbrella] and [samples]", base + "[umbrella]\nfrom = 0\nto = 1\nwindows = 3\nstiffness = 1.0\n")
        case("without a [system] there is nothing that moves", base + "[closure]\n")
        case("key 'samples.from' is missing", base.replace("from = -2.0\n", ""))
        case("key 'samples.colvar' names 2 files, and 'samples.states' has one trajectory", base.replace('["C"]', '["C", "D"]'))
        case("reweighted, which no estimator of windows does", base.replace("[estimate]", '[estimate]\nmethod = "wham"'))

    def test_healing_needs_a_system(self):
        from command import BINARY
        out = self.go(Whole.TEXT.replace("FILES", Hidden.files(self, n=2000)), "generator.iterations=20",
                      "generator.validate_every=10")
        done = run(BINARY, "generate", out, "--at", "0.3", "-n", "2", "--heal", "10", "-o", self.dir / "h.npy", status=2)
        self.assertIn("--heal 10: healing needs a system that moves", done.stderr)
        self.assertFalse((self.dir / "h.npy").exists())

    def test_mark_of_utf8(self):
        """Editors put one at the beginning of a file."""
        files = Hidden.files(self, n=2000)
        whole = self.go(HIDDEN.replace("FILES", files), name="whole")
        (self.dir / "COLVAR").write_bytes(b"\xef\xbb\xbf" + (self.dir / "COLVAR").read_bytes())
        marked = self.go(HIDDEN.replace("FILES", files), name="marked")
        np.testing.assert_array_equal(table(marked / "free_energy.csv"), table(whole / "free_energy.csv"))

    def test_windows_of_files_of_one_name(self):
        """COLVAR files of one name in folders of their own, each under its own umbrella."""
        random = np.random.default_rng(6)
        rows = []
        for w, center in enumerate((-1.0, 0.0, 1.0)):
            (self.dir / f"run{w}").mkdir()
            x = series(random, 4000, 4 * center / 5, 5**-0.5)
            write_colvar(self.dir / f"run{w}" / "COLVAR", {"time": np.arange(len(x)), "x": x})
            rows.append(f"run{w}/COLVAR,{center},4.0")
        (self.dir / "windows.csv").write_text("file,center,stiffness\n" + "\n".join(rows) + "\n")
        out = self.go(ALONE.replace("FILES", 'colvar = ["run*/COLVAR"]\nwindows = "windows.csv"\nenergy_unit = "kT"'))
        self.assertEqual(metrics(out)["given"]["windows"], 3)

    def test_atoms(self):
        data = SOURCE / "tests" / "sampling" / "molecule" / "data"
        text = ALONE.replace("FILES", f'states = ["{data}/ala2.xtc"]') \
            .replace('variables = ["x"]', 'variables = [{ kind = "dihedral", atoms = [4, 6, 8, 14] }]') \
            .replace("seed = 3", 'seed = 3\n[system]\nkind = "molecule"\ntopology = "%s"\n[integrator]\ndt = 0.001'
                     % (data / "ala_gly.prmtop"))
        self.assertIn("ala2.xtc: its states have 66 coordinates, the system has", self.refused(text))
        whole = (data / "ala2.xtc").read_bytes()
        (self.dir / "cut.xtc").write_bytes(whole[:-40])
        cut = text.replace(f"{data}/ala2.xtc", "cut.xtc").replace("ala_gly.prmtop", "ala2.prmtop")
        self.assertRegex(self.refused(cut), r"cut\.xtc: it ends within frame \d")


if __name__ == "__main__":
    unittest.main()
