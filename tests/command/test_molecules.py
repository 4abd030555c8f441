#!/usr/bin/python3
"""Runs of molecules: exact free energies, the same bytes for any number of threads and after a kill, results
that need no file outside their folder, and what is refused."""
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from butane import BUTANE, CONFIG, R, ButaneScratch, butane_pdb, energy, pentane  # noqa: E402
from command import SOURCE, BINARY, command_line, metrics, run, table  # noqa: E402

DATA = SOURCE / "tests" / "sampling" / "molecule" / "data"
PEPTIDES = SOURCE / "bench" / "data"
PEPTIDE = """seed = 1
[system]
kind = "molecule"
topology = "{data}/cln025.prmtop"
coordinates = "{data}/{coordinates}.inpcrd"
constraints = "h_bonds"
hydrogen_mass = 3.0
[cv]
variables = [{{ name = "ends", kind = "distance", atoms = [4, 146] }}]
[integrator]
dt = 0.004
[umbrella]
from = 0.3
to = 4.0
windows = 2
stiffness = 1.0
replicas = 8
heat_steps = 200
equilibrate = 100
steps = 400
stride = 100
[estimate]
bins = 10
"""


class Molecules(ButaneScratch):
    def test_free_energy_is_the_torsion(self):
        """Bonds and angles do not couple to it, so F is V, all round. Deviations in the errors that the run
        reports; of 71 such numbers the largest stays below 4.5 and their mean square near 1."""
        out = self.go("run")
        t = table(out / "free_energy.csv")
        phi, free, error = t.T
        use = error > 0
        self.assertGreaterEqual(use.sum(), len(t) - 1)
        # A bin holds the mean density.
        fine = phi[:, None] + np.linspace(-0.5, 0.5, 21) * (phi[1] - phi[0])
        exact = -R * 300 * np.log(np.exp(-energy(fine) / (R * 300)).mean(axis=1))
        weight = 1 / error[use]**2
        apart = free[use] - exact[use]
        z = (apart - np.sum(apart * weight) / np.sum(weight)) / error[use]
        self.assertLess(np.abs(z).max(), 4.5)
        self.assertLess(np.mean(z**2), 3)  # neighbouring bins share their errors
        stage = metrics(out)["stages"]["sample"]
        self.assertLess(abs(stage["temperature"] - 300), 4 * stage["temperature_error"])
        self.assertEqual(metrics(out)["system"]["energy_unit"], "kJ/mol")
        self.assertIn("BUT", (out / "reference.pdb").read_text())

    def test_generator_coupling_and_what_follows(self):
        """Of butane everything but phi is bonds and angles, whose law is Gaussian to a few per cent: a flow learns
        it in seconds. Lifted states have phi exactly, jumps of the coupled round are accepted, weights are even,
        and the free energy stays the torsion. The closure is that of free runs."""
        out = self.go("all", "umbrella.steps=6000", "generator.kind='flow'", "generator.iterations=600",
                      "generator.generator_widths=[32, 32]", "generator.validate_every=300",
                      "coupling.rounds=1", "coupling.windows=6", "coupling.replicas=32", "coupling.equilibrate=400",
                      "coupling.steps=2000", "coupling.jump=400", "coupling.iterations=100", "lifting.values=8",
                      "lifting.states=500", "lifting.heal_steps=100", "lifting.proposals=200",
                      "lifting.energies=4", "lifting.energy_states=500", "closure.values=32",
                      "closure.replicas=256", "closure.burst_steps=160", "integrator.friction=50", "closure.passage_from=-1.1",
                      "closure.passage_to=[1.1]", "closure.passages=32", "closure.passage_steps=20000")
        found = metrics(out)
        self.assertLess(found["lifting"]["constraint_residual"], 1e-5)
        self.assertLess(found["lifting"]["healed_constraint_residual"], 1e-5)
        self.assertGreater(found["coupling"]["rounds"][1]["jump_acceptance"], 0.1)
        self.assertGreater(found["proposals"]["effective"]["worst"], 0.1)
        self.assertLess(found["molecule"]["healed"]["clashes"], 0.05)
        # 4 values of 500 states beside long runs: what their floor says, and 0.1.
        self.assertLess(found["energies"]["healed"]["histogram"], found["energies"]["floor"] + 0.1)
        t = table(out / "free_energy.csv")
        exact = energy(t[:, 0])
        use = (t[:, 2] > 0) & (exact < exact.min() + 12)
        apart = t[use, 1] - exact[use]
        self.assertLess(np.std(apart), 0.5)  # kJ/mol, of 64 replicas with bins of 5 degrees
        sources = {s["source"]: s for s in found["closure"]["sources"]}
        self.assertIn("burst", sources)
        self.assertIn("free_energy", sources)
        self.assertGreater((out / "lifted.dcd").stat().st_size, 1000)
        states = self.dir / "made.npy"
        run(BINARY, "generate", out, "--at", "0.5", "-n", "50", "-o", states, "--heal", "20")
        x = np.load(states).reshape(50, 4, 3)
        f, g, h = x[:, 0] - x[:, 1], x[:, 1] - x[:, 2], x[:, 3] - x[:, 2]
        a, b = np.cross(f, g), np.cross(h, g)
        phi = np.arctan2(np.einsum("ij,ij->i", np.cross(b, a), g) / np.linalg.norm(g, axis=1),
                         np.einsum("ij,ij->i", a, b))
        self.assertLess(np.abs(phi - 0.5).max(), 1e-4)

    def test_basins_that_no_trajectory_leaves(self):
        """A torsion with a barrier of 80 kJ/mol is turned by the heat of the start in some trajectories and never
        again: the run names it. Unheated, all have the basin of the file."""
        chain, structure = pentane()
        barrier = f'<Torsion p1="1" p2="2" p3="3" p4="4" periodicity="2" phase="{np.pi}" k="40"/>'
        (self.dir / "butane.xml").write_text(chain.replace("<Torsions>", "<Torsions>" + barrier))
        (self.dir / "butane.pdb").write_text(structure)
        for heat, found in ((3000, True), (0, False)):
            with self.subTest(heat=heat):
                out = self.go(f"heat{heat}", f"umbrella.heat={heat}", "umbrella.windows=12", "umbrella.replicas=32",
                              "umbrella.steps=2000", "umbrella.equilibrate=500", "umbrella.heat_steps=8000")
                said = [w for w in metrics(out).get("warnings", []) if "basins that trajectories do not leave" in w]
                self.assertEqual(len(said), 1 if found else 0, said)
                if found:
                    self.assertIn("C2-C3-C4-C5", said[0])
                    self.assertTrue(any("C2-C3-C4-C5" in name for name in metrics(out)["basins"]))

    def test_temperatures_are_exchanged(self):
        """The law at the system's temperature stays what it is, whatever swaps with it."""
        out = self.go("ladder", "umbrella.temperatures=[360.0, 440.0]", "umbrella.tempering=200",
                      "umbrella.replicas=24")
        t = table(out / "free_energy.csv")
        use = t[:, 2] > 0
        apart = t[use, 1] - energy(t[use, 0])
        weight = 1 / t[use, 2]**2
        z = (apart - np.sum(apart * weight) / np.sum(weight)) / t[use, 2]
        self.assertLess(np.abs(z).max(), 4.5)
        accepted = metrics(out)["stages"]["sample"]["tempering_acceptance"]
        self.assertEqual(len(accepted), 2)
        self.assertTrue(all(0.2 < share < 1 for share in accepted))
        stage = metrics(out)["stages"]["sample"]
        for rung, temperature in zip(stage["rungs"], (300, 360, 440), strict=True):
            self.assertAlmostEqual(rung["temperature"], temperature, 6)
            # Student's t with 431 degrees of freedom exceeds 5 once in a million.
            off = rung["velocities"]["mean"] - temperature
            self.assertLess(abs(off), 5 * rung["velocities"]["std_error"])
            self.assertGreater(rung["cv"]["phi"]["std_error"], 0)
        for slope in stage["rung_slopes"]:
            self.assertLess(abs(slope["mean"] - slope["expected"]), 5 * slope["std_error"])
            self.assertLess(5 * slope["std_error"], slope["expected"])  # it can tell

    def test_starts_with_overlapping_atoms_are_minimised(self):
        """As tleap stretches CLN025 a hydrogen of PRO 4 lies on another atom (test_descents.cpp: steps from there
        blow up). A start that steps can leave stays as it is."""
        for coordinates, windows in (("cln025", 2), ("cln025_folded", 0)):
            with self.subTest(coordinates):
                self.config.write_text(PEPTIDE.format(data=PEPTIDES, coordinates=coordinates))
                done = run(*command_line(self.config, self.dir / coordinates, options=("--no-report",)))
                stage = metrics(self.dir / coordinates)["stages"]["sample"]
                self.assertEqual(stage["minimised_starts"]["windows"], windows)
                self.assertEqual(done.stderr.count("minimised the starts of 2 windows"), windows / 2, done.stderr)
                if windows:
                    self.assertGreater(stage["minimised_starts"]["moved"]["ends"], 0)
                    self.assertLess(stage["minimised_starts"]["moved"]["ends"], 0.1)  # nm

    def test_what_blows_up_is_named(self):
        """By replica, atom and the term that pulled when it began: of a step at which bonds cannot but grow,
        and of an angle that is as stiff as no step can follow."""
        done = run(*command_line(self.config, self.dir / "wild", "integrator.dt=0.03", "umbrella.heat_steps=0",
                                 options=("--quiet", "--no-report")), status=4)
        self.assertRegex(done.stderr, r"window \d+ at phi = .*, replica \d+.*on BUT 1 C\d \(atom \d\), where the "
                                      r"term bond pulls most")
        self.assertEqual(done.stderr.strip().count("\n"), 0, done.stderr)
        for stiffness, said in (("50000000", "where the term angle pulls most"),
                                # Finite all the same, but of 4e7 K.
                                ("500000", "the steps are too long: velocities have the temperature")):
            with self.subTest(stiffness):
                (self.dir / "butane.xml").write_text(BUTANE.replace('a="1.95" k="500"', f'a="1.95" k="{stiffness}"'))
                done = run(*command_line(self.config, self.dir / stiffness, "umbrella.heat_steps=0",
                                         options=("--quiet", "--no-report")), status=4)
                self.assertIn(said, done.stderr)

    def test_threads_and_kills_change_nothing(self):
        short = ["umbrella.steps=30000", "umbrella.windows=9"]
        whole = self.go("whole", *short, options=("--quiet", "--no-report", "--threads", "1"))
        two = self.go("two", *short, options=("--quiet", "--no-report", "--threads", "2"))
        killed = self.dir / "killed"
        for wait in (0.3, 0.8, 1.5):
            resume = ("--resume",) if killed.exists() else ()
            child = subprocess.Popen(command_line(self.config, killed, *short,
                                                  options=("--quiet", "--no-report", *resume)),
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(wait)
            child.send_signal(signal.SIGTERM if wait < 1 else signal.SIGKILL)
            child.wait()
        run(*command_line(self.config, killed, *short, options=("--quiet", "--no-report", "--resume")))
        for file in ("free_energy.csv", "samples.h5"):
            for other in (two, killed):
                self.assertEqual((whole / file).read_bytes(), (other / file).read_bytes(), f"{other.name} {file}")

    def test_a_ladder_goes_on_where_it_was_stopped(self):
        ladder = ["umbrella.temperatures=[400.0, 500.0]", "umbrella.tempering=500", "umbrella.windows=9",
                  "umbrella.replicas=16", "umbrella.steps=120000"]
        whole, stopped = self.go("whole", *ladder), self.dir / "stopped"
        child = subprocess.Popen(command_line(self.config, stopped, *ladder), stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        while not (stopped / "input_coordinates").exists() and child.poll() is None:
            time.sleep(0.02)
        time.sleep(0.4)  # it samples
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(), 143)
        self.assertTrue((stopped / "checkpoint.h5").exists())
        run(*command_line(self.config, stopped, *ladder, options=("--quiet", "--no-report", "--resume")))
        for file in ("free_energy.csv", "samples.h5"):
            self.assertEqual((whole / file).read_bytes(), (stopped / file).read_bytes(), file)

    def test_a_folder_needs_nothing_outside(self):
        out = self.go("run", "umbrella.steps=2000")
        again = self.dir / "elsewhere"
        shutil.copytree(out, again)
        for file in ("butane.xml", "butane.pdb"):
            (self.dir / file).unlink()
        text = (again / "config.toml").read_text()
        self.assertIn('topology = "input_topology"', text)
        run(*command_line(again / "config.toml", self.dir / "anew"))
        self.assertEqual((self.dir / "anew" / "free_energy.csv").read_bytes(),
                         (out / "free_energy.csv").read_bytes())
        run(*command_line(self.config, out, "umbrella.steps=2000",
                          options=("--quiet", "--no-report", "--resume")))

    def test_distance_gyration_and_coordination(self):
        """Of the ends of butane: radius of gyration of two atoms is half their distance, and coordination a
        function of it, so that the three free energies are one; by the sum of bins on either side of a value."""
        shares = []
        for kind, cut, low, high, stiffness in (("kind='distance', atoms=[0,3]", 0.335, 0.24, 0.44, 8000),
                                                ("kind='gyration', atoms=[0,3]", 0.1675, 0.12, 0.22, 32000),
                                                ("kind='coordination', atoms=[0,3], range=0.35", None, 0.25, 0.9, 800)):
            out = self.go("cv" + str(len(shares)), f"cv.variables=[{{{kind}}}]", f"umbrella.from={low}",
                          f"umbrella.to={high}", f"umbrella.stiffness={stiffness}", "umbrella.windows=9")
            value, free, error = table(out / "free_energy.csv").T
            use = np.isfinite(free) & (error < 1.5)
            self.assertGreater(use.sum(), len(use) / 2)
            edge = cut if cut else 1 / (1 + (0.335 / 0.35)**6)
            weight = np.exp(-free[use] / (R * 300))
            far = value[use] > edge if cut else value[use] < edge
            shares.append(np.log(weight[far].sum() / weight[~far].sum()))
        # ln of a ratio of populations; bins at the cut and errors of the runs leave 0.15.
        print(shares)
        self.assertLess(np.ptp(shares), 0.3)

    def test_refusals(self):
        self.refused("atoms' must name four different atoms of 4", "cv.variables=[{kind='dihedral', atoms=[0,1,2,9]}]")
        self.refused("a radius of gyration needs", "cv.variables=[{kind='gyration', atoms=[0,0]}]")
        self.refused("integrator.scheme", "integrator.scheme='leimkuhler_matthews'")
        self.refused("does not go with a molecule", "integrator.mass=2")
        self.refused("system.beta", "system.beta=1")
        (self.dir / "butane.pdb").write_text("\n".join(butane_pdb().splitlines()[1:]))
        self.refused("butane.pdb")
        self.config.write_text(re.sub(r"coordinates.*\n", "", CONFIG))
        self.refused("system.coordinates")

    def test_states_that_no_step_can_leave(self):
        atoms = butane_pdb().splitlines()
        place = slice(30, 54)
        twice = [*atoms[:1], atoms[1][:30] + atoms[0][place] + atoms[1][54:], *atoms[2:]]
        (self.dir / "butane.pdb").write_text("\n".join(twice))
        self.refused("BUT 1 C1 (atom 0) and BUT 1 C2 (atom 1) lie at one place")
        far = [a[:30] + f"{float(a[30:38]) + 9000:8.3f}" + a[38:] if a.startswith("ATOM") else a for a in atoms]
        (self.dir / "butane.pdb").write_text("\n".join(far))
        self.refused("move the molecule to the origin")
        (self.dir / "butane.pdb").write_text(butane_pdb())
        (self.dir / "butane.xml").write_text(BUTANE.replace('k="100000"', 'k="1e60"'))
        self.refused("forces are beyond single precision")

    def test_files_of_a_run_that_were_altered(self):
        out = self.go("run", "umbrella.steps=2000")
        for name, says in (("input_topology", "system.topology"), ("input_coordinates", "system.coordinates")):
            whole = (out / name).read_text()
            # A value of the file is another one, and all else is as it was.
            (out / name).write_text(whole.replace('k="500"', 'k="501"').replace("1.00  0.00", "1.00  1.00"))
            done = run(*command_line(out / "config.toml", self.dir / "anew"), status=2)
            self.assertIn(f"key '{says}' names the file", done.stderr)
            self.assertIn("it is another file, or was altered", done.stderr)
            done = run(*command_line(self.config, out, "umbrella.steps=2000",
                                     options=("--quiet", "--no-report", "--resume")), status=2)
            self.assertIn(name, done.stderr)
            (out / name).write_text(whole)

    def test_lf_middle_is_of_molecules(self):
        self.config.write_text('[system]\nname = "double_well"\n[cv]\nvariables = ["x"]\n[integrator]\n'
                               'scheme = "lf_middle"\ndt = 0.01\n[umbrella]\nfrom = -1\nto = 1\nwindows = 5\n'
                               'stiffness = 10\n')
        self.refused("integrator.scheme")


if __name__ == "__main__":
    unittest.main()
