#!/usr/bin/python3
"""PLUMED inputs instead of [bias] and [cv]: what published forms of them stand for, runs of them, files that PLUMED's
tools read, and inputs that are refused with file, line and column."""
import re
import subprocess
import sys
import time
import tomllib
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import BINARY, EXAMPLES, SOURCE, Scratch, command_line, run, table  # noqa: E402

PI = np.pi
MOLECULE = f"""seed = 1
[system]
kind = "molecule"
topology = "{SOURCE}/bench/data/ala2.prmtop"
coordinates = "{SOURCE}/bench/data/ala2.inpcrd"
constraints = "h_bonds"
temperature = 300.0
[integrator]
dt = 0.002
"""
RUN = "[{section}]\nplumed = {names}\n{more}"
# As tutorials and PLUMED-NEST write them: continued lines, both kinds of labels, comments, expressions.
METAD = """# Activate MOLINFO functionalities
MOLINFO STRUCTURE=ala2.pdb
phi: TORSION ATOMS=@phi-2
psi: TORSION ATOMS=@psi-2
metad: METAD ARG=phi ...
# Deposit a Gaussian every 500 time steps, with initial height equal to 1.2 kJ/mol
  PACE=500 HEIGHT=1.2 BIASFACTOR=8# <- as in the tutorial
  SIGMA=0.3
  FILE=HILLS GRID_MIN=-pi GRID_MAX=pi
...
PRINT ARG=phi,psi,metad.bias FILE=COLVAR STRIDE=10
"""
OLD_METAD = """# vim:ft=plumed
phi: TORSION ATOMS=5,7,9,15
psi: TORSION ATOMS=7,9,15,17

METAD ...
  LABEL=metad
  ARG=phi,psi
  FILE=Hills.data
  TEMP=300.0
  PACE=500
  HEIGHT=1.2
  SIGMA=0.35,0.35
  BIASFACTOR=10.0
  GRID_MIN=-pi,-pi
  GRID_MAX=pi,pi
  GRID_BIN=100,100
  CALC_RCT
  WALKERS_MPI
... METAD

PRINT FMT=%g STRIDE=500 FILE=Colvar.data ARG=phi,psi,metad.bias,metad.rct
ENDPLUMED
this is read no more
"""
OPES = """UNITS LENGTH=A ENERGY=kcal/mol TIME=fs
phi: TORSION ATOMS=5,7,9,15
psi: TORSION ATOMS=7,9,15,17
ene: ENERGY
opes: OPES_METAD ...
  ARG=phi
  FILE=Kernels.data
  TEMP=300
  PACE=500
  BARRIER=10
  SIGMA=0.15
  SIGMA_MIN=0.0005
  STATE_WFILE=State.data STATE_WSTRIDE=500000
  NLIST
  WALKERS_MPI
...
PRINT STRIDE=500 FILE=Colvar.data ARG=*
"""


def pdb():
    """The molecule as PLUMED's MOLINFO reads it."""
    names = "HH31 CH3 HH32 HH33 C O N H CA HA CB HB1 HB2 HB3 C O N H CH3 HH31 HH32 HH33".split()
    residues = ["ACE"] * 6 + ["ALA"] * 10 + ["NME"] * 6
    return "".join(f"ATOM  {i + 1:5d} {a:<4s} {r} A{1 + (i > 5) + (i > 15):4d}    {0.1 * i:8.3f}{0.3 * (i % 3):8.3f}"
                   f"{0.2 * (i % 2):8.3f}  1.00  1.00\n" for i, (a, r) in enumerate(zip(names, residues))) + "END\n"


class Case(Scratch):
    def setUp(self):
        super().setUp()
        (self.dir / "ala2.pdb").write_text(pdb())

    def config(self, *inputs, section="bias", more="", molecule=MOLECULE):
        """A configuration beside inputs plumed.dat, or plumed.0.dat and so on."""
        names = ["plumed.dat"] if len(inputs) == 1 else [f"plumed.{i}.dat" for i in range(len(inputs))]
        for name, text in zip(names, inputs):
            (self.dir / name).write_text(text)
        file = self.dir / "run.toml"
        listed = f'"{names[0]}"' if section == "bias" else "[" + ", ".join(f'"{n}"' for n in names) + "]"
        file.write_text(molecule + RUN.format(section=section, names=listed, more=more))
        return file

    def check(self, *inputs, **options):
        return tomllib.loads(run(BINARY, "check", self.config(*inputs, **options)).stdout)

    def refused(self, *inputs, **options):
        lines = run(BINARY, "check", self.config(*inputs, **options), status=2).stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, lines)
        return lines[0].replace(str(self.dir) + "/", "")


class Inputs(Case):
    def test_metadynamics(self):
        found = self.check(METAD, more="stride = 100\n")
        bias = found["bias"]
        self.assertEqual([v["atoms"] for v in found["cv"]["variables"]], [[4, 6, 8, 14]])
        self.assertEqual(found["cv"]["variables"][0]["name"], "phi")
        self.assertEqual([(v["name"], v["atoms"]) for v in found["cv"]["where"]], [("psi", [6, 8, 14, 16])])
        self.assertEqual((bias["method"], bias["pace"], bias["height"], bias["biasfactor"], bias["sigma"]),
                         ("metadynamics", 500, 1.2, 8.0, 0.3))
        self.assertEqual((bias["from"], bias["to"]), (-PI, PI))
        self.assertEqual(bias["bins"], int(np.ceil(2 * PI / (0.2 * 0.3))))  # PLUMED's own, a fifth of the width
        self.assertEqual(bias["stride"], 100)  # the configuration's
        self.assertNotIn("plumed", bias)
        self.assertEqual({key: found["output"][key] for key in ("plumed", "columns")},
                         {"plumed": True, "columns": ["phi", "psi", "metad.bias"]})

    def test_the_old_style(self):
        found = self.check(OLD_METAD)
        bias = found["bias"]
        self.assertEqual([v["atoms"] for v in found["cv"]["variables"]], [[4, 6, 8, 14], [6, 8, 14, 16]])
        self.assertEqual((bias["bins"], bias["sigma"], bias["stride"]), ([100, 100], [0.35, 0.35], 500))
        self.assertEqual(found["output"]["columns"], ["phi", "psi", "metad.bias"])
        # How many walkers MPI has, the input does not say: the configuration may.
        self.assertEqual(self.check(OLD_METAD, more="height = 4.8\n")["bias"]["height"], 4.8)

    def test_opes_and_units(self):
        bias = self.check(OPES)["bias"]
        self.assertEqual(bias["method"], "opes")
        self.assertAlmostEqual(bias["barrier"], 41.84)
        self.assertEqual(bias["sigma"], 0.15)
        kt = 8.31446261815324e-3 * 300
        explored = self.check(OPES.replace("OPES_METAD", "OPES_METAD_EXPLORE"))["bias"]
        self.assertEqual(explored["method"], "opes_explore")
        self.assertAlmostEqual(explored["sigma"], 0.15 * np.sqrt(41.84 / kt))
        adaptive = self.check(OPES.replace("SIGMA=0.15\n  SIGMA_MIN=0.0005", "SIGMA=ADAPTIVE"))["bias"]
        self.assertEqual((adaptive["sigma"], adaptive["from"], adaptive["bins"]), (0.0, -PI, 100))
        uniform = self.check(OPES.replace("TEMP=300", "BIASFACTOR=inf"))["bias"]
        self.assertEqual(uniform["biasfactor"], 1e6)

    def test_lengths(self):
        """Å and kcal/mol: widths, grids, stiffness, walls without a half."""
        text = """UNITS LENGTH=A ENERGY=kcal/mol TIME=fs
d: DISTANCE ATOMS=1,22 NOPBC
METAD ARG=d SIGMA=0.5 PACE=100 TAU=4000 BIASFACTOR=6 TEMP=300 GRID_MIN=2 GRID_MAX=12 GRID_SPACING=0.1
UPPER_WALLS ARG=d AT=11 KAPPA=10 OFFSET=0.5 LABEL=up
RESTRAINT ARG=d AT=7.5 KAPPA=0.2
"""
        bias = self.check(text)["bias"]
        np.testing.assert_allclose([bias["sigma"], bias["from"], bias["to"]], [0.05, 0.2, 1.2])
        self.assertEqual(bias["bins"], 100)
        # TAU: kT (γ − 1) PACE dt/τ, τ of 4 ps.
        self.assertAlmostEqual(bias["height"], 8.31446261815324e-3 * 300 * 5 * 100 * 0.002 / 4)
        up, well = bias["walls"]
        np.testing.assert_allclose([up["upper"], up["stiffness"]], [1.05, 2 * 10 * 4.184 * 100])
        self.assertNotIn("lower", up)
        np.testing.assert_allclose([well["lower"], well["upper"], well["stiffness"]], [0.75, 0.75, 0.2 * 4.184 * 100])

    def test_values_of_variables(self):
        """Every kind of variable has PLUMED's value, in the engine's units: by `evaluate` on the PDB's places."""
        import h5py
        kinds = {
            "d: DISTANCE ATOMS=1,22": lambda x: np.linalg.norm(x[0] - x[21]),
            "a: ANGLE ATOMS=1,9,22": lambda x: np.arccos(
                np.dot(x[0] - x[8], x[21] - x[8]) / np.linalg.norm(x[0] - x[8]) / np.linalg.norm(x[21] - x[8])),
            "r: GYRATION ATOMS=1-22:3": lambda x: np.sqrt(((x[::3] - x[::3].mean(0))**2).sum(1).mean()),
            "n: COORDINATION GROUPA=1,2 GROUPB=9-11 R_0=0.5 NN=8": lambda x: sum(
                1 / (1 + (np.linalg.norm(x[i] - x[j]) / 0.5)**8) for i in (0, 1) for j in (8, 9, 10)),
            "n: COORDINATION GROUPA=1,2 GROUPB=9-11 SWITCH={RATIONAL R_0=0.5}": lambda x: sum(
                1 / (1 + (np.linalg.norm(x[i] - x[j]) / 0.5)**6) for i in (0, 1) for j in (8, 9, 10)),
            "UNITS LENGTH=A\nd: DISTANCE ATOMS=1,22\nc: CUSTOM ARG=d FUNC={x^2 + sin(x)} PERIODIC=NO": lambda x: (
                lambda d: d**2 + np.sin(d))(10 * np.linalg.norm(x[0] - x[21])),
            "d: DISTANCE ATOMS=1,22\ne: DISTANCE ATOMS=2,9\nc: COMBINE ARG=d,e COEFFICIENTS=2,-1 POWERS=1,2 PERIODIC=NO":
                lambda x: 2 * np.linalg.norm(x[0] - x[21]) - np.linalg.norm(x[1] - x[8])**2,
            "d: DISTANCE ATOMS=1,22\ne: DISTANCE ATOMS=2,9\nc: MATHEVAL ARG=d,e VAR=a,b FUNC=a*exp(-b) PERIODIC=NO":
                lambda x: np.linalg.norm(x[0] - x[21]) * np.exp(-np.linalg.norm(x[1] - x[8])),
        }
        x = np.random.default_rng(5).normal(0.0, 0.3, (1, 22, 3))
        np.save(self.dir / "states.npy", x.reshape(1, 66))
        for text, value in kinds.items():
            with self.subTest(text):
                label = text.splitlines()[-1].split(":")[0]
                config = self.config(f"{text}\nMETAD ARG={label} SIGMA=0.05 HEIGHT=1 PACE=100 BIASFACTOR=6 "
                                     "GRID_MIN=0 GRID_MAX=1\n")
                run(BINARY, "evaluate", config, "--states", self.dir / "states.npy", "-o", self.dir / "out.h5")
                with h5py.File(self.dir / "out.h5") as file:
                    self.assertAlmostEqual(float(np.array(file["cv"]).ravel()[0]), value(x[0]), places=9)
        # After the best rotation nothing is left of a turn.
        (self.dir / "ref.pdb").write_text(pdb())
        own = np.array([[float(line[i:i + 8]) / 10 for i in (30, 38, 46)] for line in pdb().splitlines()[:-1]])
        turn = np.linalg.qr(np.random.default_rng(6).normal(size=(3, 3)))[0]
        turn *= np.sign(np.linalg.det(turn))
        np.save(self.dir / "states.npy", (own @ turn.T + 0.4).reshape(1, 66))
        config = self.config("r: RMSD REFERENCE=ref.pdb TYPE=OPTIMAL\nMETAD ARG=r SIGMA=0.05 HEIGHT=1 PACE=100 "
                             "BIASFACTOR=6 GRID_MIN=0 GRID_MAX=1\n")
        run(BINARY, "evaluate", config, "--states", self.dir / "states.npy", "-o", self.dir / "out.h5")
        with h5py.File(self.dir / "out.h5") as file:
            self.assertLess(float(np.array(file["cv"]).ravel()[0]), 1e-6)

    def test_drr(self):
        text = "phi: TORSION ATOMS=5,7,9,15\nDRR ARG=phi GRID_MIN=-pi GRID_MAX=pi GRID_BIN=60 TEMP=300 OUTPUTFREQ=1000\n"
        bias = self.check(text)["bias"]
        self.assertEqual((bias["method"], bias["bins"], bias["full_samples"]), ("eabf", 60, 500.0))
        self.assertAlmostEqual(bias["stiffness"], 8.31446261815324e-3 * 300 / (2 * PI / 60)**2)

    def test_windows(self):
        """One input with a value for each replica, or one for each window."""
        whole = "MOLINFO STRUCTURE=ala2.pdb\nphi: TORSION ATOMS=@phi-2\nbb: RESTRAINT ARG=phi KAPPA=200.0 AT={}\n" \
                "PRINT ARG=phi,bb.bias FILE=colvar.dat STRIDE=100\n"
        centres = np.arange(32) * 2 * PI / 32 - PI
        umbrella = self.check(whole.format("@replicas:" + ",".join(f"{c:.6f}" for c in centres)), section="umbrella")["umbrella"]
        self.assertEqual((umbrella["windows"], umbrella["stiffness"]), (32, 200.0))
        np.testing.assert_allclose([umbrella["from"], umbrella["to"]], [-PI, PI], atol=1e-6)
        several = self.check(*[whole.format(c) for c in ("-1.5", "-0.5", "-1.0", "0")], section="umbrella")
        self.assertEqual([several["umbrella"][k] for k in ("from", "to", "windows")], [-1.5, 0.0, 4])
        self.assertEqual(several["cv"]["variables"][0]["atoms"], [4, 6, 8, 14])
        line = self.refused(*[whole.format(c) for c in ("-1.5", "-0.5", "-1.0", "0.3")], section="umbrella")
        self.assertIn("plumed.0.dat:3:5: the windows of 'phi' are not equally far apart", line)
        line = self.refused(whole.format("-1"), whole.format("1").replace("200", "100"), section="umbrella")
        self.assertIn("plumed.1.dat:3:5: the restraint has another KAPPA", line)
        self.assertIn("umbrella.plumed", self.refused(whole.format("-1")))

    def test_pulling(self):
        text = "phi: TORSION ATOMS=5,7,9,15\nMOVINGRESTRAINT ARG=phi STEP0=1000 AT0=-2.6 KAPPA0=500 STEP1=21000 AT1=1.2\n"
        if "steered" not in run(BINARY, "check", "--keys").stdout:
            self.assertIn("plumed.dat:2:1: the action 'MOVINGRESTRAINT' is not read here", self.refused(text))
            return
        bias = self.check(text)["bias"]
        self.assertEqual([bias[k] for k in ("method", "path", "stiffness", "steps", "equilibrate")],
                         ["steered", [-2.6, 1.2], 500.0, 20000, 1000])

    def test_included(self):
        (self.dir / "common.dat").write_text("phi: TORSION ATOMS=5,7,9,15\n")
        text = "INCLUDE FILE=common.dat\nMETAD ARG=phi SIGMA=0.3 HEIGHT=1 PACE=500 BIASFACTOR=8\n"
        self.assertEqual(self.check(text)["cv"]["variables"][0]["atoms"], [4, 6, 8, 14])
        (self.dir / "common.dat").write_text("phi: TORSION ATOMS=5,7,9\n")
        self.assertIn("common.dat:1:20: 'TORSION' has other than 4", self.refused(text))
        (self.dir / "common.dat").write_text("INCLUDE FILE=common.dat\n")
        self.assertIn("common.dat:1:1: inputs include one another", self.refused(text))

    def test_the_page_has_the_table(self):
        page = (SOURCE / "tools" / "docs" / "plumed.md").read_text()
        for line in run(BINARY, "check", "--plumed").stdout.splitlines()[2:]:
            self.assertIn(line, page)
            action, here, *keys = [cell.strip() for cell in line.strip("|").split("|")]
            # What the table calls refused is refused, by its name.
            for key in re.findall(r"`(\w+)`(?!\*n\*)", keys[2]):
                if action.strip("`") in ("TORSION", "DISTANCE", "ANGLE", "METAD", "OPES_METAD", "OPES_METAD_EXPLORE", "DRR"):
                    for value in ("", "=1"):
                        done = run(BINARY, "check", self.config(f"x: {action.strip('`')} {key}{value}\n"), status=2)
                        self.assertIn(f"key '{key}'", done.stderr)


class Refusals(Case):
    GOOD = "phi: TORSION ATOMS=5,7,9,15\nMETAD ARG=phi SIGMA=0.3 HEIGHT=1 PACE=500 BIASFACTOR=8 LABEL=m\n"

    def test_one_line_each(self):
        metad = "METAD ARG=phi SIGMA=0.3 HEIGHT=1 PACE=500 BIASFACTOR=8 "
        phi = "phi: TORSION ATOMS=5,7,9,15\n"
        for text, where, said in [
                (self.GOOD + "PBMETAD ARG=phi\n", "3:1", "action 'PBMETAD' is not read here"),
                (self.GOOD + "METADD ARG=phi\n", "3:1", "did you mean 'METAD'"),
                (self.GOOD + "garbage!\n", "3:1", "'garbage!' is no action"),
                (phi + metad + "HIGHT=1\n", "2:56", "did you mean 'HEIGHT'"),
                (phi + metad + "HEIGHT=1\n", "2:56", "stands twice"),
                (phi + metad + "ADAPTIVE=GEOM\n", "2:56", "key 'ADAPTIVE' of 'METAD' is not read here"),
                (phi + metad + "CALC_RCT=1\n", "2:56", "is a flag"),
                (phi + metad + "TEMP\n", "2:56", "has no value"),
                (phi + metad + "TEMP= 300\n", "2:56", "has no value"),
                (phi + metad + "TEMP=298\n", "2:61", "the molecule has 300.0 K"),
                (phi + metad.replace("8", "0.5"), "2:54", "with 1 or less there is no bias"),
                (phi + metad.replace("SIGMA=0.3", "SIGMA=0.3x"), "2:21", "no finite number"),
                (phi + metad.replace("SIGMA=0.3", "SIGMA=1/0"), "2:21", "no finite number"),
                (phi + metad.replace("SIGMA=0.3", "SIGMA=0.3,0.2"), "2:21", "2 values for 1 variable"),
                (phi + metad.replace("PACE=500", "PACE=1.5"), "2:39", "no whole number"),
                (phi + metad.replace("HEIGHT=1 ", ""), "2:1", "has no HEIGHT"),
                (phi + metad + "GRID_MIN=0 GRID_MAX=pi", "2:65", "is not its period"),
                ("UNITS LENGTH=Ang\n" + self.GOOD, "1:14", "no unit of PLUMED"),
                ("UNITS ENERGY=-1\n" + self.GOOD, "1:14", "no unit of PLUMED"),
                ("UNITS NATURAL\n" + self.GOOD, "1:7", "'NATURAL'"),
                (phi.replace("15", "23") + metad, "1:20", "names atom 23, and the molecule has 22"),
                (phi.replace("5,", "0,") + metad, "1:20", "names atom 0"),
                (phi.replace(",15", "") + metad, "1:20", "other than 4 different atoms"),
                (phi.replace("5,", "com,") + metad, "1:20", "'com' in 'ATOMS' is no atom"),
                (phi.replace("5,7,9,15", "@phi-2") + metad, "1:20", "no MOLINFO"),
                ("MOLINFO STRUCTURE=ala2.pdb\n" + phi.replace("5,7,9,15", "@phi-7") + metad, "2:20", "residue 7"),
                ("MOLINFO STRUCTURE=ala2.pdb\n" + phi.replace("5,7,9,15", "@phi-1") + metad, "2:20", "of residue 0"),
                ("MOLINFO STRUCTURE=none.pdb\n" + self.GOOD, "1:19", "which does not exist"),
                (phi + metad + "...\n PACE=3\n", "2:56", "end nowhere"),
                (phi + metad + "...\n ... OPES\n", "3:6", "what is open is 'METAD'"),
                (phi + metad + "FILE={a b\n", "2:61", "not closed"),
                (phi + metad + "FILE=a}\n", "2:62", "nothing opened"),
                (phi + "a: CUSTOM ARG=b FUNC=x PERIODIC=NO\nb: CUSTOM ARG=a FUNC=x PERIODIC=NO\n" + metad,
                 "2:15", "'b' is defined in line 3, behind its use"),
                (phi + "a: CUSTOM ARG=a FUNC=x PERIODIC=NO\n" + metad, "2:15", "by itself"),
                (phi + "a: CUSTOM ARG=phi FUNC=x*q PERIODIC=NO\n" + metad, "2:24", "names 'q'"),
                (phi + "phi: TORSION ATOMS=7,9,15,17\n" + metad, "2:1", "stands in line 1, too"),
                (metad, "1:11", "no action has the label 'phi'"),
                (self.GOOD + metad, "3:1", "second adaptive bias"),
                (self.GOOD + "psi: TORSION ATOMS=7,9,15,17\nRESTRAINT ARG=psi AT=1 KAPPA=2\n", "4:1", "does not bias"),
                (self.GOOD + "UPPER_WALLS ARG=phi AT=1 KAPPA=2\n", "3:1", "on one side alone"),
                (self.GOOD + "UPPER_WALLS ARG=phi AT=1 KAPPA=2 EXP=4\n", "3:38", "power is other than 2"),
                (self.GOOD + "PRINT ARG=phi,psi STRIDE=10\n", "3:11", "'PRINT' names 'psi'"),
                (self.GOOD + "RESTART\n", "3:1", "'--resume'"),
                (phi + metad + "RESTART=YES\n", "2:64", "does not go on"),
                (phi + metad.replace("SIGMA=0.3", "SIGMA=0.3\xe9"), "2:24", "ASCII"),
                (phi, "1:1", "no bias"), ("", "1:1", "no bias"),
                ("d: DISTANCE ATOMS=1,22\n" + metad.replace("phi", "d"), "2:1", "bias.from"),
        ]:
            with self.subTest(text=text):
                options = {}
                if said == "bias.from":
                    lines = run(BINARY, "check", self.config(text), status=2).stderr.strip().splitlines()
                    self.assertEqual(len(lines), 2)
                    self.assertTrue(all("'bias." in line for line in lines), lines)
                    continue
                line = self.refused(text, **options)
                self.assertTrue(line.startswith(f"microlift: plumed.dat:{where}: "), line)
                self.assertIn(said, line)

    def test_every_fault_is_told(self):
        text = "phi: TORSION ATOMS=5,7,9\nd: DISTANCE ATOMS=1,99\nm: METAD ARG=phi SIGMA=0.3 PACE=500\nNONSENSE\n"
        lines = run(BINARY, "check", self.config(text), status=2).stderr.strip().splitlines()
        # That of METAD follows from the torsion's.
        self.assertEqual([re.search(r"plumed\.dat:(\d+):", line)[1] for line in lines], ["1", "2", "4"])

    def test_configurations(self):
        self.assertIn("both [cv] and 'bias.plumed'", self.refused(self.GOOD, more='[cv]\nvariables = ["x0"]\n'))
        self.assertIn("'bias.height' is said by the PLUMED input, too", self.refused(self.GOOD, more="height = 2.0\n"))
        self.assertIn("the system is no molecule", self.refused(
            self.GOOD, molecule='[system]\nname = "double_well"\n[integrator]\ndt = 1e-3\n'))
        file = self.config(self.GOOD)
        (self.dir / "plumed.dat").unlink()
        self.assertIn("run.toml:11:1: key 'bias.plumed' names the file", run(BINARY, "check", file, status=2).stderr)


class Runs(Case):
    def go(self, *inputs, name="run", section="bias", more="", options=("--quiet", "--no-report")):
        out = self.dir / name
        run(*command_line(self.config(*inputs, section=section, more=more), out, options=options))
        return out

    MORE = "walkers = 256\nequilibrate = 1000\nsteps = 20000\nstride = 400\n[estimate]\nbins = 24\n"

    def test_free_energies_agree(self):
        """F(φ) of metadynamics, OPES and windows, each by its input, within errors over the region φ < 0."""
        windows = "phi: TORSION ATOMS=5,7,9,15\nRESTRAINT ARG=phi KAPPA=200 AT=@replicas:" + \
            ",".join(f"{c:.6f}" for c in np.arange(24) * 2 * PI / 24 - PI) + "\n"
        profiles = [table(self.go(text, name=name, section=section, more=more) / "free_energy.csv")
                    for name, text, section, more in (
                        ("metad", METAD.replace("PACE=500", "PACE=100").replace("STRIDE=10", "STRIDE=400"), "bias", self.MORE),
                        ("opes", OPES.replace("PACE=500", "PACE=100"), "bias", self.MORE),
                        ("windows", windows, "umbrella", "replicas = 12\nequilibrate = 4000\nsteps = 20000\nheat = 600.0\n"
                         "[estimate]\nbins = 24\n"))]
        for i, j in ((0, 1), (0, 2), (1, 2)):
            a, b = profiles[i], profiles[j]
            use = np.isfinite(a[:, 1]) & np.isfinite(b[:, 1]) & (a[:, 0] < 0) & (a[:, 2] > 0) & (b[:, 2] > 0)
            self.assertGreater(use.sum(), 8)
            d, e = a[use, 1] - b[use, 1], np.hypot(a[use, 2], b[use, 2])
            d = d - np.sum(d / e**2) / np.sum(1 / e**2)
            self.assertLess(np.median(np.abs(d) / e), 4, (i, j))

    def test_hills_and_colvar(self):
        out = self.go(METAD, more=self.MORE.replace("stride = 400", "stride = 1000").replace("steps = 20000", "steps = 8000"))
        lines = (out / "HILLS").read_text().splitlines()
        self.assertEqual(lines[:5], ["#! FIELDS time phi sigma_phi height biasf", "#! SET multivariate false",
                                     "#! SET kerneltype stretched-gaussian", "#! SET min_phi -pi", "#! SET max_phi pi"])
        hills = np.loadtxt(out / "HILLS")
        made = table(out / "bias.csv")
        gamma = hills[0, 4]
        self.assertEqual(gamma, 8.0)
        d = made[:, :1] - hills[:, 1]
        d -= 2 * PI * np.round(d / (2 * PI))
        half = 0.5 * (d / hills[:, 2])**2
        stretch = 1 / (1 - np.exp(-6.25))
        total = np.where(half < 6.25, stretch * np.exp(-half) + 1 - stretch, 0) @ hills[:, 3]
        # Heights are those of F: times (γ − 1)/γ they are the bias.
        np.testing.assert_allclose(total * (gamma - 1) / gamma, made[:, 1], rtol=1e-6, atol=1e-6 * made[:, 1].max())
        head = (out / "COLVAR").read_text().splitlines()[:6]
        self.assertEqual(head[:5], ["#! FIELDS time phi psi metad.bias", "#! SET min_phi -pi", "#! SET max_phi pi",
                                    "#! SET min_psi -pi", "#! SET max_psi pi"])
        self.assertNotIn("SET", head[5])
        colvar = np.loadtxt(out / "COLVAR")
        self.assertEqual(len(colvar), 256 * 4)
        import h5py
        with h5py.File(out / "samples.h5") as file:
            x = np.array(file["state"]).reshape(-1, 22, 3)
            np.testing.assert_allclose(colvar[:, 1], np.array(file["cv"])[:, 0], atol=1e-6)
        psi = dihedral(*(x[:, i] for i in (6, 8, 14, 16)))
        off = colvar[:, 2] - psi
        self.assertLess(np.abs(off - 2 * PI * np.round(off / (2 * PI))).max(), 2e-4)
        # The bias in COLVAR is that of bias.csv at phi.
        near = np.interp(colvar[:, 1], np.append(made[:, 0], PI), np.append(made[:, 1], made[0, 1]))
        self.assertLess(np.abs(colvar[:, 3] - near).max(), 0.01 * made[:, 1].max())

    def test_a_directory_is_whole(self):
        """Its configuration has the keys that the input stands for, and gives the same bytes without it."""
        short = "walkers = 64\nequilibrate = 200\nsteps = 2000\nstride = 500\n[estimate]\nbins = 24\n"
        out = self.go(METAD, more=short)
        (self.dir / "plumed.dat").unlink()
        (self.dir / "ala2.pdb").unlink()
        run(*command_line(out / "config.toml", self.dir / "again"))
        for name in ("free_energy.csv", "bias.csv", "HILLS", "COLVAR", "config.toml"):
            self.assertEqual((out / name).read_bytes(), (self.dir / "again" / name).read_bytes(), name)


    def test_killed_and_resumed(self):
        """The same bytes, also where the input is gone when the run goes on."""
        more = "walkers = 256\nequilibrate = 500\nsteps = 8000\nstride = 1000\n[estimate]\nbins = 24\n"
        whole, out = self.go(METAD, more=more, name="whole"), self.dir / "killed"
        words = command_line(self.dir / "run.toml", out)
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and not (out / "checkpoint.h5").exists():
                time.sleep(0.01)
            process.kill()
        (self.dir / "plumed.dat").unlink()
        run(*command_line(self.dir / "run.toml", out, options=("--quiet", "--no-report", "--resume")))
        for name in ("free_energy.csv", "bias.csv", "HILLS", "COLVAR", "config.toml"):
            self.assertEqual((whole / name).read_bytes(), (out / name).read_bytes(), name)


def dihedral(a, b, c, d):
    u, v, w = b - a, c - b, d - c
    n, m = np.cross(u, v), np.cross(v, w)
    return np.arctan2((np.cross(n, m) * v).sum(1) / np.linalg.norm(v, axis=1), (n * m).sum(1))


class Example(Case):
    def test_the_example(self):
        """F(φ) beside that of OpenMM's windows, at a reduced size."""
        out = self.dir / "example"
        run(*command_line(EXAMPLES / "alanine_dipeptide_plumed.toml", out, "bias.walkers=256", "bias.steps=40000",
                          "bias.equilibrate=2000", "estimate.bins=60"))
        t, other = table(out / "free_energy.csv"), table(SOURCE / "bench" / "results" / "alanine_dipeptide_openmm.csv")
        use = np.isfinite(t[:, 1]) & (t[:, 1] < 25) & (t[:, 0] < 0) & (t[:, 2] > 0)
        self.assertGreater(use.sum(), 15)
        d = t[use, 1] - np.interp(t[use, 0], other[:, 0], other[:, 1])
        e = t[use, 2]
        d = d - np.sum(d / e**2) / np.sum(1 / e**2)
        self.assertLess(np.median(np.abs(d) / e), 4)


if __name__ == "__main__":
    unittest.main()
