#!/usr/bin/python3
"""Collective variables of molecules through whole runs: formulas of named quantities, deviations from a structure
(rmsd), two torsions at once, learned coordinates; each beside an exact answer."""
import json
import re
import sys
import unittest
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import SOURCE, command_line, metrics, run, table  # noqa: E402
from butane import CONFIG, R, ButaneScratch, energy, pdb_of, pentane  # noqa: E402

KT = 300 * R
PI = 3.141592653589793


def deviation(x, reference):
    """After the best rotation (Kabsch)."""
    a, b = x - x.mean(0), reference - reference.mean(0)
    u, s, v = np.linalg.svd(a.T @ b)
    s[2] *= np.sign(np.linalg.det(u @ v))
    return np.sqrt(max(0.0, (np.sum(a**2) + np.sum(b**2) - 2 * s.sum()) / len(x)))


def deviations(free, error, exact, most=4.5):
    """Of a profile from the exact one, in the errors that the run reports."""
    use = (error > 0) & np.isfinite(free) & np.isfinite(exact)
    weight = 1 / error[use]**2
    apart = free[use] - exact[use]
    return (apart - np.sum(apart * weight) / weight.sum()) / error[use]


def in_bins(centres, density, fine=41):
    """F of bins that hold the mean of a density."""
    width = centres[1] - centres[0]
    at = centres[:, None] + width * np.linspace(-0.5, 0.5, fine)
    return -KT * np.log(density(at).mean(axis=1))


def learned_value(learned, y, k=0):
    """Coordinate k of what `learn` wrote, at features y (..., feature)."""
    marks = np.array(learned["landmarks"]).reshape(-1, y.shape[-1])
    g = np.exp(-((y[..., None, :] - marks)**2).sum(-1) / learned["length2"])
    c = np.array(learned["values"]).reshape(len(learned["outside"]), -1)[k]
    return (g @ c + 1e-10 * learned["outside"][k]) / (g.sum(-1) + 1e-10)


def dihedral(x, atoms):
    a, b, c = (x[:, atoms[k + 1]] - x[:, atoms[k]] for k in range(3))
    m, n = np.cross(a, b), np.cross(b, c)
    return np.arctan2(np.einsum("ij,ij->i", np.cross(m, n), b) / np.linalg.norm(b, axis=1),
                      np.einsum("ij,ij->i", m, n))


class MoleculeVariables(ButaneScratch):
    def assert_profile(self, out, density):
        t = table(out / "free_energy.csv")
        z = deviations(t[:, 1], t[:, 2], in_bins(t[:, 0], density))
        self.assertGreater(len(z), 0.8 * len(t))
        # Of so many correlated numbers.
        self.assertLess(np.abs(z).max(), 4.5, z)
        self.assertLess(np.mean(z**2), 3)

    def test_a_formula_all_round(self):
        """xi = phi + 0.4 sin(phi) goes round with phi: F is V and the logarithm of dxi/dphi."""
        phi = np.linspace(-PI, PI, 20001)
        xi = phi + 0.4 * np.sin(phi)
        out = self.go("round", "cv.where=[{name='phi', kind='dihedral', atoms=[0,1,2,3]}]",
                      "cv.variables=[{formula='phi + 0.4*sin(phi)', period=6.283185307179586}]")
        self.assert_profile(out, lambda s: np.interp(
            (s + PI) % (2 * PI) - PI, xi, np.exp(-energy(phi) / KT) / (1 + 0.4 * np.cos(phi))))

    def test_a_cosine_and_what_follows(self):
        """xi = cos(phi) has its ends where its slope vanishes; lifted states lie on it all the same."""
        out = self.go("cosine", "cv.variables=['cos(dihedral(x0,y0,z0,x1,y1,z1,x2,y2,z2,x3,y3,z3))']",
                      "umbrella.from=-0.9", "umbrella.to=0.9", "umbrella.stiffness=100", "estimate.bins=36",
                      "umbrella.windows=13", "generator.kind='flow'", "generator.iterations=400",
                      "generator.generator_widths=[32, 32]", "lifting.values=8", "lifting.states=400",
                      "lifting.heal_steps=200", "coupling.rounds=1", "coupling.windows=5", "coupling.replicas=32",
                      "coupling.equilibrate=1000", "coupling.steps=4000", "coupling.jump=400",
                      "closure.values=12", "closure.replicas=64", "closure.burst_steps=160",
                      "integrator.friction=50", "lifting.energies=4", "lifting.energy_states=300")
        self.assert_profile(out, lambda c: np.exp(-energy(np.arccos(c)) / KT) / np.sqrt(1 - c**2))
        found = metrics(out)
        # Of a range of 1.8, after healing; what the generator makes is moved onto the value, too.
        self.assertLess(found["lifting"]["constraint_residual"], 1e-4)
        self.assertLess(found["lifting"]["healed_constraint_residual"], 1e-4)
        self.assertLessEqual({"burst", "free_energy"}, {s["source"] for s in found["closure"]["sources"]})

    def test_a_deviation_of_a_rigid_trimer(self):
        """Two rigid bonds and an angle that is free: P(cos theta) goes like sqrt(4 - cos^2 theta), and the
        deviation from the straight trimer is a function of theta."""
        bond = 0.15
        self.config.write_text(CONFIG.replace("butane", "trimer"))
        (self.dir / "trimer.xml").write_text(
            '<System type="System" version="1"><Particles>' + '<Particle mass="12"/>' * 3 + "</Particles>"
            f'<Constraints><Constraint p1="0" p2="1" d="{bond}"/><Constraint p1="1" p2="2" d="{bond}"/></Constraints>'
            "<Forces/></System>")

        def trimer(theta):
            return bond * np.array([[1, 0, 0], [0, 0, 0], [np.cos(theta), np.sin(theta), 0]])
        (self.dir / "trimer.pdb").write_text(pdb_of(trimer(2.2)))
        straight = trimer(PI)
        theta = np.linspace(PI, 0.2, 4001)
        d = np.array([deviation(trimer(t), straight) for t in theta])
        self.assertTrue(np.all(np.diff(d) > 0))
        density = np.sin(theta) * np.sqrt(4 - np.cos(theta)**2) / np.gradient(d, theta) * -1
        reference = ", ".join(f"{v:.9g}" for v in straight.ravel())
        low, high = deviation(trimer(2.9), straight), deviation(trimer(0.6), straight)
        out = self.go("trimer", f"cv.variables=[{{kind='rmsd', atoms=[0,1,2], reference=[{reference}]}}]",
                      f"umbrella.from={low}", f"umbrella.to={high}", "umbrella.windows=9",
                      "umbrella.stiffness=60000", "estimate.bins=40")
        self.assert_profile(out, lambda s: np.interp(s, d, density))

    def test_a_reference_from_a_file(self):
        """The run's own configuration has its numbers, and needs the file no more."""
        (self.dir / "bent.pdb").write_text(pdb_of([[0.05, 0.14, 0], [0, 0, 0], [0.153, 0, 0], [0.2, 0.1, 0.1]]))
        changes = ("cv.variables=[{kind='rmsd', atoms=[0,1,3], reference='bent.pdb', by_mass=true}]",
                   "umbrella.from=0.02", "umbrella.to=0.06", "umbrella.stiffness=50000", "umbrella.windows=5",
                   "umbrella.steps=1000", "umbrella.heat_steps=1000")
        out = self.go("file", *changes)
        (self.dir / "bent.pdb").unlink()
        self.assertNotIn("bent.pdb", (out / "config.toml").read_text())
        run(*command_line(out / "config.toml", self.dir / "anew"))
        self.assertEqual((out / "free_energy.csv").read_bytes(), (self.dir / "anew" / "free_energy.csv").read_bytes())

    def set_pentane(self):
        topology, places = pentane()
        (self.dir / "pentane.xml").write_text(topology)
        (self.dir / "pentane.pdb").write_text(places)
        self.config.write_text(
            re.sub(r"variables = .*", "variables = [{ name = 'one', kind = 'dihedral', atoms = [0, 1, 2, 3] }, "
                   "{ name = 'two', kind = 'dihedral', atoms = [1, 2, 3, 4] }]", CONFIG.replace("butane", "pentane")))
        return ["umbrella.windows=[12, 12]", "umbrella.replicas=16", "umbrella.equilibrate=1000",
                "umbrella.steps=4000", "estimate.bins=[36, 36]"]

    def test_two_torsions(self):
        """F is the sum of both energies; either integrated out leaves the other's."""
        out = self.go("map", *self.set_pentane())
        t = table(out / "free_energy.csv")
        side = t[:36, 1]
        one = in_bins(side, lambda phi: np.exp(-energy(phi) / KT))
        exact = (one[:, None] + one[None, :]).ravel()
        z = deviations(t[:, 2], t[:, 3], exact)
        self.assertGreater(len(z), 0.95 * len(t))
        self.assertLess(np.abs(z).max(), 6)  # of 1296, whose errors are of sixteen blocks or fewer
        self.assertLess(np.mean(z**2), 3)
        weight = np.exp(-np.nan_to_num(t[:, 2], nan=1e3) / KT).reshape(36, 36)
        error = np.nan_to_num(t[:, 3]).reshape(36, 36)
        for axis in (0, 1):
            left = -KT * np.log(weight.sum(axis=axis))
            # As if the errors along what is summed had one sign.
            of_left = (weight * error).sum(axis=axis) / weight.sum(axis=axis)
            self.assertLess(np.abs(deviations(left, of_left, one)).max(), 4.5)

    def test_two_torsions_are_lifted(self):
        out = self.go("lifted", *self.set_pentane(), "generator.kind='flow'", "generator.iterations=500",
                      "generator.generator_widths=[32, 32]", "lifting.values=8", "lifting.states=400",
                      "lifting.heal_steps=100", "lifting.proposals=200", "coupling.rounds=1", "coupling.windows=8",
                      "coupling.replicas=32", "coupling.equilibrate=400", "coupling.steps=2000", "coupling.jump=400",
                      "coupling.iterations=100")
        found = metrics(out)
        self.assertLess(found["lifting"]["constraint_residual"], 1e-5)
        self.assertLess(found["lifting"]["healed_constraint_residual"], 1e-5)
        self.assertGreater(found["coupling"]["rounds"][1]["jump_acceptance"], 0.1)
        self.assertGreater(found["proposals"]["effective"]["worst"], 0.1)

    def test_two_torsions_are_closed(self):
        """Drift and diffusion matrix of free runs, hot and with much friction: passages to a gauche state of the
        reduced model and of the molecule itself."""
        out = self.go("closed", *self.set_pentane(), "integrator.friction=50", "system.temperature=900",
                      "closure.values=144", "closure.replicas=128", "closure.burst_steps=160",
                      "closure.passage_from=[3.1, 3.1]", "closure.passage_to=[1.1, 3.1]",
                      "closure.passage_radius=0.5", "closure.passages=128", "closure.passage_steps=40000")
        closure = metrics(out)["closure"]
        # Left out with a molecule, and so it stays for a run that goes on from this file.
        self.assertRegex((out / "config.toml").read_text(), r"(?m)^relaxation = 0(\.0)?$")
        self.assertTrue(closure["plateau"])
        times = {s["source"]: s["passages"][0] for s in closure["sources"]}
        for source in ("burst", "free_energy"):
            error = np.hypot(times[source]["error"], times["full"]["error"])
            self.assertLess(abs(times[source]["value"] - times["full"]["value"]), 4 * error, times)
        self.assertLess(times["free_energy"]["error"], 0.1 * times["free_energy"]["value"])

    def test_a_learned_coordinate(self):
        """The slowest function of butane tells trans from gauche. It is one of cosine and sine of phi alone, so that F
        along it is known."""
        taught = self.go("taught", "learn.points=1200", "learn.coordinates=2", "learn.landmarks=40")
        file = taught / "diffusion_map.json"
        learned = json.loads(file.read_text())
        self.assertEqual(2, len(learned["features"]))

        def xi(phi):
            return learned_value(learned, np.stack([np.cos(phi), np.sin(phi)], axis=-1))
        wells = xi(np.radians([-63.45, 180.0, 63.45]))
        spread = learned["high"][0] - learned["low"][0]
        self.assertGreater(np.abs(wells[[0, 2]] - wells[1]).min(), 0.3 * spread, wells)
        low, high = learned["low"][0] + 0.02 * spread, learned["high"][0] - 0.02 * spread
        out = self.go("along", f"cv.variables=[{{kind='diffusion_map', file='{file}'}}]", f"umbrella.from={low}",
                      f"umbrella.to={high}", "umbrella.windows=14", "umbrella.stiffness=60", "estimate.bins=40",
                      "umbrella.equilibrate=10000", "umbrella.steps=40000", "umbrella.stride=400",
                      "umbrella.exchange=400", "umbrella.replicas=32")  # both ways round have the same values
        t = table(out / "free_energy.csv")
        phi = np.linspace(-PI, PI, 400001)
        edges = np.linspace(low, high, 41)
        mass = np.histogram(xi(phi), bins=edges, weights=np.exp(-energy(phi) / KT))[0]
        with np.errstate(divide="ignore"):
            z = deviations(t[:, 1], t[:, 2], -KT * np.log(mass))
        self.assertGreater(len(z), 35)
        self.assertLess(np.abs(z).max(), 4.5, z)
        self.assertLess(np.mean(z**2), 3)

    def test_wells_of_alanine_dipeptide(self):
        """The slowest function of samples, told apart by all torsions, tells in which well phi lies, at a bandwidth that
        resolves the wells: by one threshold, of both wells the share that lies on its side."""
        self.config.write_text(CONFIG.replace('"butane.xml"', f'"{SOURCE / "bench/data/ala2.prmtop"}"')
                               .replace('"butane.pdb"', f'"{SOURCE / "bench/data/ala2.inpcrd"}"\nconstraints = "h_bonds"')
                               .replace("[0, 1, 2, 3]", "[4, 6, 8, 14]"))
        out = self.go("peptide", "umbrella.windows=24", "umbrella.stiffness=100", "umbrella.replicas=16",
                      "umbrella.steps=6000", "umbrella.heat_steps=6000", "learn.points=1000", "learn.coordinates=3",
                      "learn.landmarks=60", "learn.epsilon=0.1")
        learned = json.loads((out / "diffusion_map.json").read_text())
        self.assertEqual(8, len(learned["features"]))
        with h5py.File(out / "samples.h5") as file:
            x = np.asarray(file["state"][::3], float).reshape(-1, 22, 3)
        y = []
        for feature in learned["features"]:
            atoms = [int(n) for n in re.findall(r"x(\d+)", feature)]
            y.append((np.cos if feature.startswith("cos") else np.sin)(dihedral(x, atoms)))
        xi = learned_value(learned, np.stack(y, axis=-1))
        phi = dihedral(x, [4, 6, 8, 14])
        right = (phi > 0) & (phi < 2.1)
        shares = [0.5 * (np.mean(side * xi[right] > side * cut) + np.mean(side * xi[~right] <= side * cut))
                  for cut in np.quantile(xi, np.linspace(0.01, 0.99, 99)) for side in (1, -1)]
        self.assertGreater(max(shares), 0.95)  # 0.98 to 0.99 of other seeds and frictions

    def test_refusals(self):
        self.refused("changes as the molecule moves or turns", "cv.variables=['x0 - x1']")
        self.refused("changes as the molecule moves or turns", "cv.variables=['x0^2 + y0^2 + z0^2']")
        self.refused("unknown name 'psi'", "cv.variables=['cos(psi)']")
        self.refused("has no name", "cv.where=[{kind='distance', atoms=[0,1]}]")
        self.refused("cannot be the name of", "cv.where=[{name='a b', kind='distance', atoms=[0,1]}]")
        self.refused("used twice", "cv.where=[{name='x0', kind='distance', atoms=[0,1]}]")
        self.refused("key 'cv.where[1]': at character 5 of the formula: unknown name 'q'",
                     "cv.where=[{name='r', kind='distance', atoms=[0,1]}, {name='s', formula='r + q'}]")
        self.refused("key 'cv.where[].formula' is missing", "cv.where=[{name='r'}]")
        self.refused("does not go with kind", "cv.variables=[{kind='distance', atoms=[0,1], reference=[1,2,3]}]")
        self.refused("has 3 numbers, for 2 atoms", "cv.variables=[{kind='rmsd', atoms=[0,1], reference=[1,2,3]}]")
        self.refused("cannot read", "cv.variables=[{kind='rmsd', atoms=[0,1], reference='none.pdb'}]")
        self.refused("which a molecule's is not", "learn.bursts=true")
        self.refused("needs two different atoms", "cv.variables=[{kind='rmsd', atoms=[0,0]}]")


if __name__ == "__main__":
    unittest.main()
