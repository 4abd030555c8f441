"""microlift evaluate: what it writes of built-in, formula and molecular systems, and what it refuses."""

import math
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
BINARY = os.environ["MICROLIFT_BINARY"]
DATA = Path(__file__).resolve().parents[1] / "sampling" / "molecule" / "data"


class Evaluate(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.dir = Path(self.temporary.name)
        self.addCleanup(self.temporary.cleanup)

    def run_it(self, config, states, *more):
        (self.dir / "c.toml").write_text(config)
        if not isinstance(states, Path):
            np.save(self.dir / "states.npy", states)
            states = self.dir / "states.npy"
        return subprocess.run([BINARY, "evaluate", self.dir / "c.toml", "--states", states,
                               "-o", self.dir / "out.h5", *more], capture_output=True, text=True)

    def evaluate(self, config, states, *more):
        done = self.run_it(config, states, *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        with h5py.File(self.dir / "out.h5") as out:
            arrays = {}
            out.visititems(lambda name, item: arrays.__setitem__(name, item[:])
                           if isinstance(item, h5py.Dataset) else None)
        return arrays

    def refused(self, config, states, *words):
        done = self.run_it(config, states)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertFalse((self.dir / "out.h5").exists())

    def test_formulas(self):
        x = np.random.default_rng(1).normal(size=(50, 2))
        got = self.evaluate('[system]\nvariables = ["x", "y"]\npotential = "x^4 + x*y + 2*y^2"\nbeta = 1.0\n'
                            '[cv]\nvariables = ["x - y"]\n', x)
        np.testing.assert_allclose(got["energy"], x[:, 0]**4 + x[:, 0] * x[:, 1] + 2 * x[:, 1]**2, rtol=1e-12)
        force = -np.stack([4 * x[:, 0]**3 + x[:, 1], x[:, 0] + 4 * x[:, 1]], axis=1)
        np.testing.assert_allclose(got["force"], force, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(got["cv"][:, 0], x[:, 0] - x[:, 1], rtol=1e-12)
        self.assertNotIn("terms/bond", got)

    def test_built_in(self):
        x = np.array([[-0.558224, 1.441726]])  # the deepest minimum
        got = self.evaluate('[system]\nname = "muller_brown"\n', x)
        self.assertAlmostEqual(got["energy"][0], -146.699517, places=5)
        self.assertLess(np.abs(got["force"]).max(), 2e-3)
        self.assertNotIn("cv", got)

    def test_without_a_potential(self):
        got = self.evaluate('[system]\nvariables = ["x"]\ndrift = ["-3*x"]\ndiffusion = ["0.5"]\n',
                            np.array([[2.0], [-1.0]]))
        np.testing.assert_allclose(got["force"], [[-6.0], [3.0]])
        self.assertNotIn("energy", got)

    def molecule(self, *lines):
        return "\n".join(['[system]', 'kind = "molecule"', f'topology = "{DATA}/ala2.prmtop"', *lines,
                          '[cv]', 'variables = [{ kind = "dihedral", atoms = [4, 6, 8, 14] }, '
                          '{ kind = "distance", atoms = [0, 21] }]', ''])

    def test_a_molecule(self):
        text = (DATA / "ala2.inpcrd").read_text().split("\n", 2)[2].split()
        x = np.array([float(word) for word in text[:66]]) / 10
        shaken = x + np.random.default_rng(2).normal(0, 0.002, (40, 66))
        flat = self.evaluate(self.molecule('implicit_solvent = "obc2"'), shaken)
        cube = self.evaluate(self.molecule('implicit_solvent = "obc2"'), shaken.reshape(40, 22, 3),
                             "--threads", "1")
        for name in flat:
            np.testing.assert_array_equal(flat[name], cube[name])
        terms = sum(value for name, value in flat.items() if name.startswith("terms/"))
        np.testing.assert_allclose(terms, flat["energy"], rtol=1e-12)
        self.assertEqual(len([name for name in flat if name.startswith("terms/")]), 9)
        self.assertEqual(np.abs(flat["terms/cmap"]).max(), 0)
        self.assertGreater(flat["terms/surface"].min(), 0)
        # No force and no torque on the whole.
        force = flat["force"].reshape(40, 22, 3)
        largest = np.abs(force).max()
        self.assertLess(np.abs(force.sum(axis=1)).max(), 1e-9 * largest)
        self.assertLess(np.abs(np.cross(shaken.reshape(40, 22, 3), force).sum(axis=1)).max(), 1e-9 * largest)
        # The force is the energy's slope.
        h, d = 1e-5, 17
        ends = np.array([shaken[0], shaken[0]])
        ends[:, d] += [h, -h]
        ends = self.evaluate(self.molecule('implicit_solvent = "obc2"'), ends)["energy"]
        self.assertAlmostEqual(-(ends[0] - ends[1]) / (2 * h) / flat["force"][0, d], 1, places=5)
        atoms = shaken[0].reshape(22, 3)
        self.assertAlmostEqual(flat["cv"][0, 1], math.dist(atoms[0], atoms[21]), places=12)
        self.assertEqual(self.evaluate(self.molecule(), shaken)["terms/solvent"].max(), 0)

    def test_what_is_not_finite_is_named(self):
        config = (f'[system]\nkind = "molecule"\ntopology = "{DATA / "ala2.prmtop"}"\n')
        lines = (DATA / "ala2.inpcrd").read_text().splitlines()[2:]
        x = 0.1 * np.array([float(line[k:k + 12]) for line in lines for k in range(0, len(line.rstrip()), 12)])[:66]
        bad = x.copy()
        bad[3 * 21:] = bad[:3]  # the last atom on the first
        done = self.run_it(config, np.array([x, bad, bad]))
        self.assertEqual(done.returncode, 0)
        self.assertIn("not finite at 2 of 3 states; the first is state 1: the largest force", done.stderr)
        self.assertRegex(done.stderr, r"on (ACE 1 H1 \(atom 0\)|NME 3 H.* \(atom 21\)), where the term "
                                      r"(lennard_jones|coulomb) pulls most")

    def test_a_trajectory(self):
        got = self.evaluate(self.molecule(), DATA / "ala2.pdb")
        self.assertEqual(got["force"].shape, (1, 66))

    def test_refusals(self):
        x = np.zeros((1, 66))
        self.refused(self.molecule(), np.zeros((3, 65)), "65", "66")
        self.refused(self.molecule('implicit_solvent = "obc3"'), x, "c.toml:4", "obc2")
        self.refused(self.molecule("salt = 0.1"), x, "system.salt", "solvent")
        self.refused('[system]\nkind = "molecule"\n', x, "system.topology", "missing")
        self.refused('[system]\nkind = "molecule"\ntopology = "none.prmtop"\n', x, "none.prmtop")
        self.refused('[system]\nname = "muller_brown"\nsalt = 0.1\n', x, "salt")
        self.refused('[system]\nkind = "molecule"\nname = "muller_brown"\n', x, "system.name", "molecule")
        for name in ("pipe.dcd", "pipe.xtc", "pipe.pdb"):  # nobody writes into it
            os.mkfifo(self.dir / name)
            self.refused(self.molecule(), self.dir / name, name, "the name of a file")
        done = subprocess.run([BINARY, "run", self.dir / "c.toml", "-o", self.dir / "o"], capture_output=True,
                              text=True)
        self.assertEqual(done.returncode, 2)


if __name__ == "__main__":
    unittest.main()
