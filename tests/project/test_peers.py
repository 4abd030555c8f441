#!/usr/bin/python3
"""The comparison with peers itself, small and on the CPU: ratios come out, a wrong
contestant has no rate, the table in bench/README.md is that of
the results."""
import argparse
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import BINARY, SOURCE  # noqa: E402
PEERS = SOURCE / "bench" / "peers"
sys.path[:0] = [str(PEERS), str(SOURCE / "tools" / "docs"), str(SOURCE / "tools" / "checks")]

import numpy as np  # noqa: E402

import compare  # noqa: E402
import h5py  # noqa: E402
import law  # noqa: E402
import results  # noqa: E402


def run(*command, **options):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=200,
                          check=False, **options)


class Peers(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="microlift_peers_"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def test_numpy_beside_microlift(self):
        file = self.dir / "peers.json"
        done = run(sys.executable, PEERS / "compare.py", "ensemble", "--microlift", BINARY, "--device",
                   "cpu", "--peers", "numpy", "--trajectories", "999", "--pairs", "2", "--seconds",
                   "0.05", "--json", file, "--markdown", self.dir / "peers.md", "--plot",
                   self.dir / "peers.png")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        report = json.loads(file.read_text())
        row, = report["results"]
        self.assertEqual((row["peer"], row["trajectories"], row["pairs"]), ("numpy", 999, 2))
        q = row["ratio"]
        self.assertTrue(0 < q["min"] <= q["median"] <= q["max"])
        self.assertLess(row["worst_deviation_in_standard_errors"], law.SIGMAS)
        self.assertIn("| numpy | trajectories 999 |", (self.dir / "peers.md").read_text())
        self.assertGreater((self.dir / "peers.png").stat().st_size, 1000)

    def test_law_of_the_chain(self):
        """Two programs for one quadrature (constants in one of them are floats); and the law tells a wrong step and wrong noise."""
        file = self.dir / "bench.json"
        done = run(BINARY, "bench", "ensemble:n=2000,seconds=0.01,repeats=1", "--threads", "1", "--json",
                   file)
        self.assertEqual(done.returncode, 0, done.stderr)
        ours = json.loads(file.read_text())[0]
        exact = law.chain_law()
        for d, name in enumerate("xy"):
            self.assertAlmostEqual(ours[f"exact_mean_{name}"], exact["mean"][d], places=7)
            self.assertAlmostEqual(ours[f"exact_variance_{name}"], exact["variance"][d], places=7)

        def states(dt, sigma, n=20000):
            rng = np.random.default_rng(3)
            x, y = (np.full(n, s) for s in law.START)
            for _ in range(law.CHECK_STEPS):
                fx, fy = law.force(x, y)
                x = x + dt * fx + sigma * rng.standard_normal(n)
                y = y + dt * fy + sigma * rng.standard_normal(n)
            return x, y

        law.check_states(states(law.DT, law.SIGMA), exact)
        with self.assertRaises(ValueError):
            law.check_states(states(2 * law.DT, law.SIGMA), exact)
        with self.assertRaises(ValueError):
            law.check_states(states(law.DT, 1.05 * law.SIGMA), exact)
        with self.assertRaises(ValueError):
            law.check_states(np.full((2, 2000), np.nan), exact)

    def test_absent_peer_is_listed(self):
        hidden = self.dir / "numba.py"
        hidden.write_text("raise ImportError('no numba here')\n")
        file = self.dir / "peers.json"
        done = run(sys.executable, PEERS / "compare.py", "ensemble", "--microlift", BINARY, "--device",
                   "cpu", "--peers", "numba", "--json", file, cwd=self.dir,
                   env={**os.environ, "PYTHONPATH": str(self.dir)})
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("pip install numba", json.loads(file.read_text())["absent"]["numba"])

    def test_forces_decide_on_a_molecule(self):
        """Right forces have a rate, forces off by 1e-3 and a solvent that is missing the reason why not."""
        place = [float(v) for line in (SOURCE / "bench/data/ala2.inpcrd").read_text().splitlines()[2:]
                 for v in line.split()]
        x = 0.1 * np.array(place[:66]).reshape(22, 3) + 1e-3 * np.random.default_rng(1).standard_normal((22, 3))
        (self.dir / "m.toml").write_text(
            f'[system]\nkind = "molecule"\ntopology = "{SOURCE}/bench/data/ala2.prmtop"\nimplicit_solvent = "none"\n'
            'constraints = "none"\ntemperature = 300.0\n')
        np.save(self.dir / "x.npy", x[None])
        done = run(BINARY, "evaluate", self.dir / "m.toml", "--states", self.dir / "x.npy", "-o", self.dir / "f.h5")
        self.assertEqual(done.returncode, 0, done.stderr)
        with h5py.File(self.dir / "f.h5") as file:
            np.save(self.dir / "state.npy", [x, file["force"][:].reshape(22, 3)])
        (self.dir / "made_peer.py").write_text(f"""
import time
import numpy as np
class Made:
    version, replicas = "1", 1
    def __init__(self, constraints, factor):
        self.constraints, self.factor = constraints, factor
    def prepare(self, topology, coordinates, solvent):
        if solvent != "none":
            raise NotImplementedError("it is made without solvent")
        self.note = "made"
    def run(self, steps):
        time.sleep(1e-4 * steps)
    def synchronize(self):
        pass
    def save(self, file):
        state = np.load({str(self.dir / "state.npy")!r})
        state[1] *= self.factor
        np.save(file, state)
CONTESTANTS = {{"right": lambda device: Made("none", 1), "wrong": lambda device: Made("none", 1.001),
               "other bonds": lambda device: Made("h_bonds", 1)}}
""")
        options = argparse.Namespace(microlift=BINARY, peers=None, point_limit=60, seconds=0.02, pairs=1)
        made = [("made_peer", name, "", ("cpu",)) for name in ("right", "wrong", "other bonds")]
        comparison = compare.Comparison(options, "cpu")
        self.addCleanup(shutil.rmtree, comparison.folder, ignore_errors=True)
        comparison.deadline = time.monotonic() + 100
        with mock.patch.object(compare, "MOLECULES", made), \
                mock.patch.dict(os.environ, {"PYTHONPATH": str(self.dir)}), \
                contextlib.redirect_stdout(io.StringIO()):
            comparison.molecule()
        rows = {(r["peer"], r["solvent"]): r for r in comparison.rows}
        self.assertGreater(rows["right", "none"]["ratio"]["median"], 1)
        for name in ("wrong", "other bonds"):
            self.assertNotIn("ratio", rows[name, "none"])
            self.assertIn("its forces are off by", rows[name, "none"]["error"])
        self.assertEqual(rows["right", "obc2"]["error"], "it is made without solvent")
        report = {"machine": {"cores": 1, "date": "", "remark": ""}, "commit": "", "results": comparison.rows}
        self.assertIn("| alanine dipeptide | right | OBC2 | no rate: it is made without solvent |",
                      results.comparison(report, SOURCE / "bench"))

    def test_settings_of_benchmarks(self):
        for name, word in (("ensemble:k=3", "no setting 'k'"), ("ensemble:n=x", "n = 'x'"),
                           ("ensemble:n", "key=value"), ("molecule_vacuum:constraints=x", "constraints = 'x'"), ("training:batch=-1", "batch")):
            done = run(BINARY, "bench", name + (",n=64,seconds=0.01,repeats=1" if "k=" in name else ""))
            self.assertEqual(done.returncode, 2, name + done.stderr)
            self.assertIn(word, done.stderr)

    def test_page_has_the_results(self):
        text = results.PAGE.read_text(encoding="utf-8")
        self.assertEqual(results.with_table(text), text,
                         "run: python3 tools/docs/results.py --write")


if __name__ == "__main__":
    unittest.main(verbosity=2)
