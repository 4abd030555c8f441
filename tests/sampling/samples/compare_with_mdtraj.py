#!/usr/bin/env python3
"""Trajectories that microlift writes are what mdtraj reads, and the other way round.

usage: compare_with_mdtraj.py MICROLIFT

Samples of bench/data/ala2_openmm go through a short run; its lifted.dcd and reference.pdb, and generated states as DCD
and PDB, have in mdtraj the coordinates of the .npy. DCD and XTC by mdtraj give the run the same samples as .npy does.
Exits with 77 where mdtraj is missing.
"""
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).resolve().parents[3]
RUN = """seed = 1
[system]
kind = "molecule"
topology = "{data}/ala2.prmtop"
coordinates = "{data}/ala2.inpcrd"
constraints = "h_bonds"
[samples]
states = ["{states}"]
from = -3.141592653589793
to = 3.141592653589793
[cv]
variables = [{{ name = "phi", kind = "dihedral", atoms = [4, 6, 8, 14] }}]
[integrator]
dt = 0.002
[estimate]
bins = 20
"""
GENERATOR = """[generator]
kind = "flow"
iterations = 50
validate_every = 50
validation_states = 200
[lifting]
values = 3
states = 50
heal_steps = 20
proposals = 16
energies = 0
"""


def microlift(*words):
    subprocess.run([sys.argv[1], *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def go(folder, states, name, more=""):
    (folder / f"{name}.toml").write_text(RUN.format(data=SOURCE / "bench/data", states=states) + more)
    microlift("run", folder / f"{name}.toml", "-o", folder / name, "--quiet", "--no-report")
    return folder / name


def main():
    try:
        import h5py
        import mdtraj
    except ImportError as missing:
        print(f"skipped: {missing}")
        return 77
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        positions = np.load(SOURCE / "bench/data/ala2_openmm/positions.npy")[::8, ::5].reshape(-1, 22, 3)
        np.save(folder / "states.npy", positions)
        out = go(folder, "states.npy", "npy", GENERATOR)
        top = mdtraj.load(str(out / "reference.pdb")).topology
        assert top.n_atoms == 22 and [a.name for a in top.atoms][:5] == ["H1", "CH3", "H2", "H3", "C"], top
        atoms = mdtraj.Trajectory(positions, top)
        with h5py.File(out / "samples.h5") as file:
            state, phi = file["state"][...], file["cv"][:, 0]
        there = mdtraj.compute_dihedrals(atoms, [[4, 6, 8, 14]])[:, 0]
        assert np.abs((phi - there + np.pi) % (2 * np.pi) - np.pi).max() < 1e-4
        for kind, off in (("dcd", 1e-6), ("xtc", 6e-4)):
            atoms.save(str(folder / f"states.{kind}"))
            again = go(folder, f"states.{kind}", kind)
            with h5py.File(again / "samples.h5") as file:
                assert np.abs(file["state"][...] - state).max() < off, kind
        for kind in ("npy", "dcd", "pdb"):
            microlift("generate", out, "--at", "1.0", "-n", "12", "-o", folder / f"made.{kind}", "--quiet")
        made = np.load(folder / "made.npy").reshape(12, 22, 3)
        for kind, off in (("dcd", 1e-6), ("pdb", 6e-5)):
            read = mdtraj.load(str(folder / f"made.{kind}"), **({"top": top} if kind == "dcd" else {}))
            assert read.xyz.shape == made.shape and np.abs(read.xyz - made).max() < off, kind
        assert mdtraj.load(str(out / "lifted.dcd"), top=top).n_frames == 60
    print("mdtraj reads what microlift writes, and microlift what mdtraj writes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
