#!/usr/bin/python3
"""The Python module: arrays in and out, runs beside those of the command, Ctrl-C, errors, docstrings, its page."""
import inspect
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import warnings
from pathlib import Path

import matplotlib
import numpy as np

import microlift

matplotlib.use("Agg")
SOURCE = Path(os.environ.get("MICROLIFT_SOURCE", Path(__file__).resolve().parents[2]))
BINARY = os.environ.get("MICROLIFT_BINARY", SOURCE / "build" / "microlift")
DATA = SOURCE / "bench" / "data"
MOLECULE = {"system": {"kind": "molecule", "topology": DATA / "ala2.prmtop", "coordinates": DATA / "ala2.inpcrd",
                       "implicit_solvent": "obc2"},
            "cv": {"variables": [{"name": "phi", "kind": "dihedral", "atoms": [4, 6, 8, 14]}]}}
WELL = {"seed": 3, "system": {"variables": ["x", "y"], "potential": "5*(x^2-1)^2 + 20*(y-0.6*sin(2*x))^2", "beta": 1.0},
        "cv": {"variables": ["x"]}, "integrator": {"dt": 1e-3},
        "umbrella": {"from": -1.6, "to": 1.6, "windows": np.int64(9), "stiffness": 60.0, "replicas": 32,
                     "equilibrate": 1000, "steps": 4000},
        "estimate": {"bins": 32}}


class Temporary(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="microlift_python_")
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)


class Arrays(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.system = microlift.System(MOLECULE, device="cpu")
        shift = 0.003 * np.random.default_rng(1).standard_normal((1100, 22, 3))
        cls.states = cls.system.start() + shift

    def test_forces_are_the_slope_of_the_energy(self):
        x, step = self.states[:1], 1e-5
        force = self.system.energy_forces(x)[1]
        moved = np.repeat(x, 12, axis=0)
        for i in range(6):
            moved[2 * i, 4 * i % 22, i % 3] += step
            moved[2 * i + 1, 4 * i % 22, i % 3] -= step
        energy = self.system.energy_forces(moved)[0]
        for i in range(6):
            slope = (energy[2 * i] - energy[2 * i + 1]) / (2 * step)
            self.assertAlmostEqual(force[0, 4 * i % 22, i % 3], -slope, delta=1e-3 + 1e-5 * abs(slope))

    def test_terms_sum_to_the_energy(self):
        terms = self.system.energy_terms(self.states)
        np.testing.assert_allclose(sum(terms.values()), self.system.energy_forces(self.states)[0], rtol=1e-12)

    def test_shapes_types_and_layouts_give_the_same(self):
        rows = self.states.reshape(-1, 66)
        double, force = self.system.energy_forces(rows)
        self.assertEqual((double.dtype, force.shape), (np.float64, (1100, 66)))
        single, by_rows = self.system.energy_forces(rows.astype(np.float32))
        self.assertEqual((single.dtype, by_rows.dtype), (np.float32, np.float32))
        # Positions are rounded by 6e-8 of 2 nm; forces reach 1e4 kJ/(mol nm), sums of 22 atoms' parts hide in them.
        np.testing.assert_allclose(single, double, atol=0.02)
        np.testing.assert_allclose(by_rows, force, atol=1e-4 * np.abs(force).max())
        columns = np.ascontiguousarray(rows.astype(np.float32).T).T
        for states in (columns, rows.astype(np.float32)[::1].copy(order="F"), list(map(list, rows.astype(np.float32)[:3]))):
            energy, there = self.system.energy_forces(states)
            if isinstance(states, np.ndarray):
                np.testing.assert_array_equal(energy, single)
                np.testing.assert_array_equal(there, by_rows)
        atoms = self.system.energy_forces(self.states.astype(np.float32))
        np.testing.assert_array_equal(atoms[1].reshape(-1, 66), by_rows)
        out = np.empty_like(self.states, dtype=np.float32)
        self.assertIs(self.system.energy_forces(self.states.astype(np.float32), out=out)[1], out)
        np.testing.assert_array_equal(out, atoms[1])

    def test_threads_do_not_change_bits(self):
        one = microlift.System(MOLECULE, device="cpu", threads=1).energy_forces(self.states.astype(np.float32))
        two = microlift.System(MOLECULE, device="cpu", threads=2).energy_forces(self.states.astype(np.float32))
        np.testing.assert_array_equal(one[0], two[0])
        np.testing.assert_array_equal(one[1], two[1])

    def test_dlpack_copies_nothing(self):
        for array in (np.arange(12.0).reshape(3, 4), np.arange(12, dtype=np.float32).reshape(3, 4).T):
            tensor = microlift.Tensor(array)
            back = np.from_dlpack(tensor)
            self.assertEqual((tensor.device, tensor.shape, tensor.data_ptr), ("cpu", array.shape, array.ctypes.data))
            self.assertEqual(back.ctypes.data, array.ctypes.data)
            self.assertEqual(back.strides, array.strides)
            address, values = array.ctypes.data, array.copy()
            del array, tensor  # the view keeps the memory
            self.assertEqual(back.ctypes.data, address)
            np.testing.assert_array_equal(back, values)
        for wrong in (np.arange(3), np.arange(3.0).astype(complex)):
            with self.assertRaises(microlift.InputError):
                microlift.Tensor(wrong)
        tensor = microlift.Tensor(self.states.astype(np.float32).reshape(-1, 66))
        for call in (lambda x: self.system.energy_forces(x)[0], self.system.cv,
                     lambda x: self.system.energy_terms(x)["bond"]):
            np.testing.assert_array_equal(call(tensor), call(tensor.numpy()))

    def test_other_systems(self):
        system = microlift.System(WELL)
        self.assertEqual((system.variables, system.cv_names, system.is_molecule), (["x", "y"], ["x"], False))
        x, y = states = np.random.default_rng(2).standard_normal((2, 50))
        energy, force = system.energy_forces(states.T)
        bend = y - 0.6 * np.sin(2 * x)
        np.testing.assert_allclose(energy, 5 * (x**2 - 1)**2 + 20 * bend**2, rtol=1e-12)
        np.testing.assert_allclose(force[:, 1], -40 * bend, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(system.cv(states.T)[:, 0], x)
        drift = microlift.System({"system": {"variables": ["x"], "drift": ["-x"], "diffusion": ["1"]}})
        energy, force = drift.energy_forces(np.array([[2.0]]))
        self.assertIsNone(energy)
        self.assertEqual(force[0, 0], -2.0)

    def test_wrong_shapes(self):
        for wrong in (np.zeros((3, 65)), np.zeros(66), np.zeros((3, 21, 3)), np.zeros((3, 3, 22))):
            with self.assertRaisesRegex(microlift.InputError, r"\(n, 66\) or \(n, 22, 3\)"):
                self.system.energy_forces(wrong)


class Runs(Temporary):
    def run_quietly(self, *arguments, **options):
        return microlift.run(*arguments, **{"progress": False, "report": False, "device": "cpu", **options})

    def test_a_run_is_that_of_the_command(self):
        heard = []
        run = self.run_quietly(WELL, self.dir / "a", set={"umbrella.stride": 50},
                               progress=lambda stage, done, total, unit: heard.append((stage, done, total, unit)))
        self.assertTrue(any(stage == "sample" for stage, *_ in heard))
        self.assertTrue(all(0 <= done <= total for _, done, total, _ in heard))
        subprocess.run([BINARY, "run", run.dir / "config.toml", "-o", self.dir / "b", "--quiet", "--no-report", "--device", "cpu"],
                       check=True, stdout=subprocess.DEVNULL)
        for name in ("config.toml", "free_energy.csv", "conditional.csv", "samples.h5"):
            self.assertEqual((self.dir / "a" / name).read_bytes(), (self.dir / "b" / name).read_bytes(), name)
        self.assertTrue(run.complete)
        free, samples = run.free_energy, run.samples
        self.assertEqual(free.cv.shape, (32,))
        self.assertEqual(free.value.min(), 0)
        self.assertTrue((free.error[np.isfinite(free.value)] >= 0).all())
        self.assertEqual(samples.state.shape, (len(samples), 2))
        self.assertEqual((samples.cv.shape, samples.window.shape, samples.weight.shape),
                         ((len(samples), 1), (len(samples),), (len(samples),)))
        np.testing.assert_array_equal(samples.cv[:, 0], samples.state[:, 0])
        # Each weight undoes the bias of all windows: the weighted mean of x is 0 by symmetry, within five errors.
        weight = np.exp(samples.weight - samples.weight.max())
        mean = np.sum(weight * samples.cv[:, 0]) / weight.sum()
        self.assertLess(abs(mean), 0.5)
        self.assertEqual(microlift.load(self.dir / "b").free_energy.value.tolist(), free.value.tolist())
        with self.assertRaisesRegex(microlift.InputError, r"\[generator\]"):
            run.generator
        with self.assertRaisesRegex(microlift.InputError, "not empty"):
            self.run_quietly(WELL, self.dir / "a")
        settings, path = dict(matplotlib.rcParams), sys.path[:]
        figure = run.plot.free_energy()
        self.assertEqual(len(figure.axes), 2)
        self.assertTrue(figure._repr_png_().startswith(b"\x89PNG"))
        self.assertEqual((settings, path), (dict(matplotlib.rcParams), sys.path))
        self.assertFalse({"data", "draw", "report", "words"} & sys.modules.keys())
        self.assertIn("<svg", run.report.read_text(encoding="utf-8"))
        with self.assertRaisesRegex(microlift.InputError, "free_energy"):
            run.plot.rates()

    def test_control_c_leaves_a_checkpoint_that_goes_on(self):
        whole = self.run_quietly(WELL, self.dir / "whole", set={"umbrella.steps": 200000})
        beats = []

        def stop():  # while the run works, which other threads see
            while not beats:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=stop)
        thread.start()
        with self.assertRaisesRegex(KeyboardInterrupt, ""):
            self.run_quietly(WELL, self.dir / "parts", set={"umbrella.steps": 200000},
                             progress=lambda stage, done, *_: beats.append(done) if stage == "sample" else None)
        thread.join()
        self.assertFalse((self.dir / "parts" / "free_energy.csv").exists())
        parts = self.run_quietly(WELL, self.dir / "parts", set={"umbrella.steps": 200000}, resume=True)
        self.assertEqual((whole.dir / "free_energy.csv").read_bytes(), (parts.dir / "free_energy.csv").read_bytes())

    def test_warnings_of_a_run_are_those_of_python(self):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run = self.run_quietly(WELL, self.dir / "a", set={"umbrella.windows": 2})
        self.assertTrue(run.metrics["warnings"])
        self.assertEqual([str(w.message) for w in caught], run.metrics["warnings"])

    def test_an_exception_of_the_listener_stops_the_run(self):
        def listen(*_):
            raise LookupError("enough")
        with self.assertRaisesRegex(LookupError, "enough"):
            self.run_quietly(WELL, self.dir / "a", set={"umbrella.steps": 200000}, progress=listen)


class Errors(Temporary):
    def test_kinds(self):
        for kind, base in ((microlift.InputError, ValueError), (microlift.DeviceError, RuntimeError),
                           (microlift.NumericalError, ArithmeticError)):
            self.assertTrue(issubclass(kind, microlift.Error) and issubclass(kind, base))

    def test_arguments(self):
        for threads in (-1, 5000, 1.5):
            with self.assertRaisesRegex(microlift.InputError, "threads is"):
                microlift.System(WELL, threads=threads)
        with self.assertRaisesRegex(microlift.InputError, "exclude"):
            microlift.run(WELL, self.dir / "out", resume=True, force=True)

    def test_places(self):
        file = self.dir / "wrong.toml"
        file.write_text('[system]\nname = "muller_brow"\n')
        with self.assertRaises(microlift.InputError) as caught:
            microlift.System(file)
        said = subprocess.run([BINARY, "evaluate", file, "--states", "x.npy", "-o", self.dir / "x.h5"],
                              capture_output=True, text=True)
        self.assertEqual(said.stderr, f"microlift: {caught.exception}\n")
        self.assertEqual((caught.exception.file, caught.exception.line, caught.exception.column), (str(file), 2, 1))
        with self.assertRaisesRegex(microlift.InputError, "^config: .*muller_brown") as caught:
            microlift.System({"system": {"name": "muller_brow"}})
        self.assertIsNone(caught.exception.line)
        with self.assertRaises(microlift.DeviceError):
            microlift.System(WELL, device="cuda:77")
        with self.assertRaisesRegex(microlift.InputError, "config.toml"):
            microlift.load(self.dir)
        with self.assertRaises(microlift.NumericalError):
            microlift.run({**WELL, "integrator": {"dt": 0.5}}, self.dir / "out", progress=False, report=False)


class Documentation(Temporary):
    def public(self):
        for name in microlift.__all__:
            thing = getattr(microlift, name)
            yield name, thing
            if inspect.isclass(thing):
                for member, value in inspect.getmembers(thing):
                    if not member.startswith("_") and (callable(value) or isinstance(value, property)
                                                       or type(value).__name__ == "cached_property"):
                        yield f"{name}.{member}", value

    def test_everything_public_has_a_docstring_and_annotations(self):
        for name, thing in self.public():
            if "Error" in name.split(".")[0] and "." in name:
                continue  # Python's own
            self.assertGreater(len(inspect.getdoc(thing) or ""), 20, name)
            if inspect.isfunction(thing):
                hints = {k: p.annotation for k, p in inspect.signature(thing).parameters.items() if k != "self"}
                self.assertNotIn(inspect.Parameter.empty, hints.values(), name)
                self.assertIsNot(inspect.signature(thing).return_annotation, inspect.Parameter.empty, name)

    def test_arrays_say_their_shape_and_unit(self):
        shape, unit = re.compile(r"\(\w+(?:, [\w ]+)*,?\)"), re.compile(r"nm|kJ|unit|rad|[Ll]ogarithm|window|[Cc]olumn")
        seen = set()
        for name, thing in self.public():
            of = getattr(thing, "fget", None) or getattr(thing, "func", None) or thing
            # What takes states takes whatever becomes an array.
            hints = [str(h) for k, h in getattr(of, "__annotations__", {}).items() if k != "return" or h is not None]
            takes = inspect.isfunction(of) and "states" in inspect.signature(of).parameters
            if not takes and not any(re.search(r"ndarray|Array|list\[float\]", h) for h in hints):
                continue
            seen.add(name)
            text = inspect.getdoc(thing)
            self.assertRegex(text, shape, name)
            self.assertRegex(text, unit, name)
        self.assertLessEqual({"System.energy_forces", "System.energy_terms", "System.cv", "System.start",
                              "Generator.sample", "FreeEnergy.cv", "FreeEnergy.value", "FreeEnergy.error",
                              "Samples.state", "Samples.cv", "Samples.window", "Samples.weight", "Tensor.numpy"}, seen)
        for name in ("Results.conditional", "Results.closure", "Results.free_energy", "Table", "FreeEnergy", "run"):
            of, _, member = name.partition(".")
            thing = getattr(microlift, of)
            self.assertRegex(inspect.getdoc(getattr(thing, member) if member else thing), unit, name)

    def test_the_page(self):
        blocks = re.findall(r"^```python\n(.*?)^```", (SOURCE / "tools/docs/python.md").read_text(encoding="utf-8"), re.M | re.S)
        self.assertGreater(len(blocks), 4)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.dir)
        os.symlink(SOURCE / "bench", "bench")
        names = {}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for block in blocks:
                exec(compile(block, "python.md", "exec"), names)
        self.assertLessEqual({str(w.message) for w in caught}, set(names["run"].metrics["warnings"]))
        self.assertEqual(names["states"].shape, (1000, 2))
        self.assertLess(abs(names["states"][:, 0] - 0.3).max(), 1e-5)
        self.assertEqual(names["energy"].shape, (1000,))
        self.assertTrue(Path("free_energy.png").is_file())


if __name__ == "__main__":
    unittest.main()
