#!/usr/bin/python3
"""Headline numbers of the example configurations that no other test runs, at a reduced size. Tolerances
are four of the standard errors that the run itself reports, unless the example promises a share."""
import math
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import EXAMPLES, Scratch, command_line, metrics, rows, run  # noqa: E402
KT = 15  # of the Müller-Brown examples


def muller_brown(x, y):
    return sum(h * np.exp(a * (x - x0)**2 + b * (x - x0) * (y - y0) + c * (y - y0)**2)
               for h, a, b, c, x0, y0 in ((-200, -1, 0, -10, 1, 0), (-100, -1, 0, -10, 0, 0.5),
                                          (-170, -6.5, 11, -6.5, -0.5, 1.5),
                                          (15, 0.7, 0.6, 0.7, -1, 1)))


def drawn(random, density, low, high, n):
    """n draws from a density on a grid."""
    x = np.linspace(low, high, 4001)
    share = np.cumsum(density(x))
    return np.interp(random.random(n), share / share[-1], x)


def square_slope_of_dihedral(phi, random, n=20000):
    """|grad phi|^2 averaged over the springs of the chain in dihedral.toml, and its standard error: slopes
    by Blondel and Karplus, J. Comput. Chem. 17 (1996) 1132."""
    r = [drawn(random, lambda r: r**2 * np.exp(-50 * (r - 1)**2), 0.4, 1.6, n) for _ in range(3)]
    t = [drawn(random, lambda t: np.sin(t) * np.exp(-20 * (t - 1.9)**2), 0.6, 3.1, n) for _ in range(2)]
    zero = np.zeros(n)
    f = np.stack([r[0] * np.cos(t[0]), r[0] * np.sin(t[0]), zero], 1)
    g = np.stack([-r[1], zero, zero], 1)
    h = np.stack([-r[2] * np.cos(t[1]), r[2] * np.sin(t[1]) * np.cos(phi),
                  r[2] * np.sin(t[1]) * np.sin(phi)], 1)
    a, b = (v / (v * v).sum(1)[:, None] for v in (np.cross(f, g), np.cross(h, g)))
    along_f, along_h, length = ((f * g).sum(1) / r[1])[:, None], ((h * g).sum(1) / r[1])[:, None], r[1][:, None]
    first, last = -length * a, length * b
    second = -first + along_f * a - along_h * b
    third = -first - second - last
    square = sum((v * v).sum(1) for v in (first, second, third, last))
    return square.mean(), square.std() / math.sqrt(n)


class Examples(Scratch):
    def run_example(self, name, *changes):
        """The metrics of a run, and its tables."""
        out = Path(tempfile.mkdtemp(dir=self.dir))
        run(*command_line(EXAMPLES / f"{name}.toml", out, *changes))
        return metrics(out), {path.stem: rows(path) for path in out.glob("*.csv")}

    def near(self, figure, exact, most_error, share=0.0):
        """Within four reported errors, which are small enough to tell, or within a promised share."""
        self.assertLess(figure["error"], most_error)
        self.assertLess(abs(figure["value"] - exact), max(4 * figure["error"], share * exact), figure)

    def free_energy(self, table, exact, below, bins):
        """Deviations from exact(row), in reported errors, in at least so many bins with F < below."""
        rows = [r for r in table if 0 < float(r["std_error"]) < math.inf
                and float(r["free_energy"]) < below]
        self.assertGreaterEqual(len(rows), bins)
        f, se = (np.array([float(r[k]) for r in rows]) for k in ("free_energy", "std_error"))
        off = f - np.array([exact(r) for r in rows])
        z = (off - np.average(off, weights=se**-2)) / se
        # Bins of one run move together: their mean square is no sharp test, the largest one is.
        self.assertLess(np.abs(z).max(), 4.5, z)
        return se

    def sources(self, metrics):
        return {s["source"]: s for s in metrics["closure"]["sources"]}

    def poor(self, metrics):
        return [w for w in metrics.get("warnings", []) if "variable is poor" in w]

    def test_formula_2d(self):
        """y given x is Gaussian with a constant variance, so that F is the potential's term in x."""
        _, tables = self.run_example("formula_2d", "umbrella.steps=10000")

        def exact(row):  # a bin's average
            x = float(row["cv_1"]) + 0.05 * (np.arange(32) + 0.5 - 16) / 32
            return -math.log(np.exp(-5 * (x**2 - 1)**2 - 0.8 * x).mean())
        se = self.free_energy(tables["free_energy"], exact, below=8, bins=50)
        self.assertLess(se.max(), 0.2)

    def test_tetraalanine(self):
        """The whole loop. Of 100 attempts or more to swap temperatures a quarter is accepted, with an error of 0.04;
        lifted states have psi exactly, and at steps of 4 fs healing loses none of them, however little the flow
        has learnt."""
        metrics, tables = self.run_example(
            "tetraalanine", "umbrella.replicas=4", "umbrella.steps=1000", "umbrella.equilibrate=1500",
            "umbrella.heat_steps=1000", "generator.iterations=100", "generator.validate_every=100",
            "lifting.values=4", "lifting.states=100", "lifting.heal_steps=50", "lifting.proposals=16",
            "lifting.energies=2", "lifting.energy_states=100", "lifting.reference_steps=256", "closure.values=12",
            "closure.replicas=16", "closure.burst_steps=250", "closure.passages=16", "closure.passage_steps=1000")
        stage = metrics["stages"]["sample"]
        self.assertEqual(len(stage["tempering_acceptance"]), 2)
        for share in stage["tempering_acceptance"]:
            self.assertLess(abs(share - 0.25), 0.15)
        self.assertLess(metrics["lifting"]["constraint_residual"], 1e-5)
        self.assertLess(metrics["lifting"]["healed_constraint_residual"], 1e-5)
        self.assertFalse([w for w in metrics["warnings"] if "blew up" in w])
        # At least the one state of the 16 that weighs most.
        self.assertGreaterEqual(metrics["proposals"]["effective"]["worst"], 1 / 16.01)
        self.assertLess(metrics["energies"]["healed"]["histogram"], metrics["energies"]["generator"]["histogram"])
        self.assertLessEqual({"burst", "free_energy"}, set(self.sources(metrics)))

    def test_alanine_dipeptide_openmm(self):
        """F of OpenMM's windows within errors of a longer run of OpenMM's own."""
        _, tables = self.run_example("alanine_dipeptide_openmm", "generator.iterations=50", "generator.validate_every=50",
                                     "lifting.values=4", "lifting.states=100", "lifting.heal_steps=20",
                                     "lifting.proposals=16")
        long = np.loadtxt(EXAMPLES.parents[1] / "bench" / "results" / "alanine_dipeptide_openmm.csv", delimiter=",",
                          skiprows=1)

        def exact(row):
            return np.interp(float(row["cv_1"]), long[:, 0], long[:, 1], period=2 * math.pi)
        se = self.free_energy(tables["free_energy"], exact, below=40, bins=50)
        self.assertLess(np.median(se), 4)

    def test_rates(self):
        """The time by quadrature, at a quarter of the replicas."""
        metrics, tables = self.run_example("rates", "rates.replicas=128")
        time = next(row for row in tables["rates"] if row["quantity"] == "mfpt")
        self.near({"value": float(time["value"]), "error": float(time["std_error"])}, 182.418, 0.08 * 182.418)
        self.assertEqual(metrics["rates"]["method"], "splitting")

    def test_chignolin(self):
        """Of 128 attempts or more to swap temperatures a quarter is accepted, with an error of 0.04; energies have
        Boltzmann's ratio, and 16 ps unfold nothing at 300 K."""
        metrics, _ = self.run_example("chignolin", "umbrella.equilibrate=2000", "umbrella.steps=2000")
        stage = metrics["stages"]["sample"]
        self.assertEqual(stage["minimised_starts"]["windows"], 0)
        self.assertEqual(len(stage["tempering_acceptance"]), 5)
        for share in stage["tempering_acceptance"]:
            self.assertLess(abs(share - 0.27), 0.15)
        for slope in stage["rung_slopes"]:
            self.assertLess(abs(slope["mean"] - slope["expected"]), 5 * slope["std_error"])
            self.assertLess(slope["std_error"], slope["expected"] / 3)  # it can tell
        deviation = [rung["cv"]["rmsd"]["mean"] for rung in stage["rungs"]]
        self.assertLess(deviation[0], 0.08)
        self.assertLess(deviation[0], deviation[-1])

    def test_dihedral(self):
        """Springs do not see the angle: F is the torsion's potential, D the mean square of its slope."""
        metrics, tables = self.run_example(
            "dihedral", "umbrella.steps=10000", "closure.passages=32", "closure.replicas=64",
            "closure.relaxation=1e7")

        def torsion(phi):
            return 1.5 * (1 + np.cos(3 * phi)) + 8 * ((1 + np.cos(phi)) / 2)**6

        def exact(row):
            phi = float(row["cv_1"]) + 5.383 / 54 * (np.arange(32) + 0.5 - 16) / 32
            return -math.log(np.exp(-torsion(phi)).mean())
        se = self.free_energy(tables["free_energy"], exact, below=8, bins=50)
        self.assertLess(se.max(), 0.2)
        random = np.random.default_rng(1)
        rows = [r for r in tables["closure"] if r["source"] == "conditional"]
        self.assertGreaterEqual(len(rows), 50)
        center = np.array([float(r["cv_1"]) for r in rows])
        mean, error = np.transpose([square_slope_of_dihedral(phi, random) for phi in center])
        value, se = (np.array([float(r[k]) for r in rows]) for k in ("diffusion", "diffusion_se"))
        self.assertLess(np.abs((value - mean) / np.hypot(se, error)).max(), 4.5)
        self.assertLess((se / value).max(), 0.05)
        # The passage by quadrature: the integral of e^F/D times that of e^-F beyond, up to the wall.
        phi = np.linspace(0.45, 5.833, 20001)
        beyond = np.cumsum(np.exp(-torsion(phi))[::-1])[::-1] * (phi[1] - phi[0])
        inside = (phi > 1.1) & (phi < 3.14159)
        passage = (np.exp(torsion(phi)) / np.interp(phi, center, mean) * beyond)[inside].sum() \
            * (phi[1] - phi[0])
        self.near(self.sources(metrics)["conditional"]["passages"][0], passage, 0.2)

    def test_two_cvs(self):
        """The free energy of both variables is the potential itself."""
        _, tables = self.run_example("two_cvs", "umbrella.steps=5000", "closure.enabled=false")

        def exact(row):
            part = (np.arange(8) + 0.5 - 4) / 8 / 15  # both bins are 1/15 wide
            v = muller_brown(float(row["cv_1"]) + part[:, None], float(row["cv_2"]) + part[None, :])
            return -KT * math.log(np.exp(-(v + 147) / KT).mean())
        se = self.free_energy(tables["free_energy"], exact, below=60, bins=90)
        self.assertLess(np.median(se), 2)

    def test_muller_brown(self):
        """x closes nine times too fast, and the run says so."""
        metrics, _ = self.run_example(
            "muller_brown", "generator.enabled=false", "coupling.rounds=0", "umbrella.replicas=64",
            "umbrella.steps=50000", "closure.passages=256", "closure.relaxation=1e8",
            "closure.replicas=256")
        found = self.sources(metrics)
        self.near(found["full"]["passages"][0], 6.87, 0.6)
        self.near(found["conditional"]["passages"][0], 0.774, 0.1)
        self.assertTrue(self.poor(metrics))

    def test_channel(self):
        metrics, _ = self.run_example("channel", "umbrella.steps=10000", "closure.passages=512",
                                      "closure.relaxation=1e8", "closure.replicas=1024")
        found = self.sources(metrics)
        self.near(found["full"]["passages"][0], 19.87, 1.2)
        self.near(found["conditional"]["passages"][0], 12.698, 0.3, share=0.05)
        # Its error takes in what a longer lag would change: 1.5 at this size.
        self.near(found["burst"]["passages"][0], 19.87, 2, share=0.1)
        self.assertTrue(self.poor(metrics))

    def test_fast_slow(self):
        """Means and total variance of y given x1, of the samples and of a generator trained briefly."""
        metrics, tables = self.run_example(
            "fast_slow", "umbrella.replicas=16", "umbrella.steps=20000",
            "umbrella.equilibrate=5000", "generator.iterations=400", "generator.batch=256",
            "lifting.values=5", "lifting.states=1000")
        s2 = 0.05
        decay = math.exp(-s2 / 2)
        trace = {}
        for source in ("physics", "generator"):
            total = 0
            for name, mean in (("y1", lambda x: decay * (np.cos(x) - s2 * np.sin(x))),
                               ("y2", lambda x: decay * (np.sin(x) + s2 * np.cos(x)))):
                rows = [r for r in tables["conditional"] if r["source"] == source
                        and r["variable"] == name and math.isfinite(float(r["mean_se"]))]
                self.assertGreater(len(rows), 50)
                x, found, se, variance = (np.array([float(r[k]) for r in rows])
                                          for k in ("cv_1", "mean", "mean_se", "variance"))
                total += variance.mean()
                if source == "physics":
                    self.assertLess(np.abs((found - mean(x)) / se).max(), 4.5)
            trace[source] = total
        self.assertAlmostEqual(trace["physics"], 0.096393, delta=0.003)
        self.assertAlmostEqual(trace["generator"], 0.096393, delta=0.02)

    def test_muller_brown_bath(self):
        """F is that of two variables; lifted states need a tenth of the steps of naive ones at most."""
        metrics, tables = self.run_example(
            "muller_brown_bath", "umbrella.replicas=16", "umbrella.steps=50000",
            "generator.iterations=800", "generator.batch=256", "lifting.values=5",
            "lifting.states=300", "lifting.proposals=0", "lifting.heal_steps=0")
        y = np.linspace(-1.5, 3, 2000)

        def exact(row):
            x = float(row["cv_1"]) + 0.05 * (np.arange(8) + 0.5 - 4) / 8
            return -KT * math.log(np.exp(-(muller_brown(x[:, None], y) + 147) / KT).mean())
        self.free_energy(tables["free_energy"], exact, below=60, bins=25)
        # The ends have too few samples at this size to say what physics is.
        for value in metrics["consistency"]["values"][1:-1]:
            self.assertLessEqual(value["share_of_naive"], 0.1, value["relaxation"])


if __name__ == "__main__":
    unittest.main()
