#!/usr/bin/python3
"""The notebooks of tools/python run, cell after cell, at sizes that take seconds; and in full by

    PYTHONPATH=build/tools/python /usr/bin/python3 tests/python/test_notebooks.py --full
"""
import ast
import json
import os
import sys
import tempfile
import time
import unittest
import warnings
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
SOURCE = Path(os.environ.get("MICROLIFT_SOURCE", Path(__file__).resolve().parents[2]))
FOLDER = SOURCE / "tools" / "python" / "notebooks"
FULL = "--full" in sys.argv
SMALL = {
    "quickstart": {"replicas": 16, "equilibrate": 2000, "steps": 4000, "iterations": 40, "draws": 200},
    "alanine_dipeptide": {"windows": 12, "replicas": 4, "equilibrate": 500, "steps": 1000, "iterations": 40,
                          "conformations": 1000, "draws": 100, "heal": 50},
}


def cells(name):
    """(text, tags) of the cells of code."""
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code), f"{name}: keep no output"
    return [("".join(cell["source"]), cell["metadata"].get("tags", [])) for cell in code]


def show(value):
    """What a front end would do with the last value of a cell."""
    return value._repr_png_() if hasattr(value, "_repr_png_") else repr(value)


def execute(name, out):
    """The names that a notebook leaves, and what its cells show."""
    names, shown = {"__name__": name}, []
    for text, tags in cells(name):
        tree = ast.parse(text, filename=f"{name}.ipynb")
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, f"{name}.ipynb", "exec"), names)
        if last is not None:
            shown.append(show(eval(compile(ast.Expression(last.value), f"{name}.ipynb", "eval"), names)))
        if "parameters" in tags:
            small = {} if FULL else SMALL[name]
            assert small.keys() <= names.keys(), f"{name}: a parameter has another name"
            names.update(small, out=str(out))
    return names, shown


class Notebooks(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="microlift_notebook_")
        self.addCleanup(folder.cleanup)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(FOLDER)  # as Jupyter does
        self.out = Path(folder.name) / "run"

    def run_notebook(self, name):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive")
            warnings.filterwarnings("ignore", ".*blew up while they were healed")  # of a generator that has hardly learnt
            begin = time.monotonic()
            names, shown = execute(name, self.out)
        self.assertLessEqual({str(w.message) for w in caught}, set(names["run"].metrics["warnings"]))
        print(f"{name}: {time.monotonic() - begin:.1f} s", file=sys.stderr)
        self.assertTrue(any(isinstance(s, bytes) and s.startswith(b"\x89PNG") for s in shown))
        return names

    def test_quickstart(self):
        names = self.run_notebook("quickstart")
        states = names["states"]
        self.assertEqual(states.shape, (names["draws"], 2))
        # A variable that is the collective variable is set, not made.
        np.testing.assert_allclose(states[:, 0], -0.1, atol=1e-6)
        self.assertGreater(np.std(states[:, 1]), 0)
        # Forces are those of the potential: against differences of the energy, in double precision.
        x, step = states[:20].astype(float), 1e-5
        _, force = names["system"].energy_forces(x)
        for k in range(2):
            there, back = x.copy(), x.copy()
            there[:, k] += step
            back[:, k] -= step
            slope = (names["system"].energy_forces(there)[0] - names["system"].energy_forces(back)[0]) / (2 * step)
            np.testing.assert_allclose(force[:, k], -slope, rtol=1e-5, atol=1e-3)
        self.assertTrue((self.out / "report.html").is_file())

    def test_alanine_dipeptide(self):
        names = self.run_notebook("alanine_dipeptide")
        # The dihedral angle is set to single precision; healing holds it by a restraint, which fluctuates.
        raw, healed = names["system"].cv(names["raw"])[:, 0], names["system"].cv(names["healed"])[:, 0]
        np.testing.assert_allclose(raw, names["at"], atol=1e-4)
        deviation = np.std(healed)
        self.assertLess(deviation, 0.5)
        self.assertLess(abs(np.mean(healed) - names["at"]), 0.2)
        energy = [np.median(names["system"].energy_forces(s)[0]) for s in (names["raw"], names["healed"])]
        self.assertLess(energy[1], energy[0])  # what is relaxed lies lower
        self.assertEqual(names["structures"].shape, (names["draws"], 22, 3))


if __name__ == "__main__":
    unittest.main(argv=[a for a in sys.argv if a != "--full"])
