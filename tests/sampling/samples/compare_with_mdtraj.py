#!/usr/bin/env python3
"""Trajectories that microlift writes are what mdtraj reads, and the other way round.

usage: compare_with_mdtraj.py MICROLIFT

Samples of bench/data/ala2_openmm go through a short run; its lifted.dcd and reference.pdb, and generated states as DCD
and PDB, have in mdtraj the coordinates of the .npy. DCD and XTC by mdtraj give the run the same samples as .npy does.
Exits with 77 where mdtraj is missing.
"""
import json
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
states = 100
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


def taken(out):
    """The states that a run took, from its copy of them."""
    data = (out / "input_samples.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    entry = json.loads(data[8:8 + size])["state"]
    first, last = (8 + size + offset for offset in entry["data_offsets"])
    return np.frombuffer(data[first:last], "<f4").reshape(entry["shape"])


def main():
    try:
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
        state = taken(out)
        assert np.abs(state - positions.reshape(len(positions), -1)).max() == 0
        # The run refuses a COLVAR that its own phi is not near to.
        phi = mdtraj.compute_dihedrals(atoms, [[4, 6, 8, 14]])[:, 0]
        with open(folder / "COLVAR", "w") as file:
            file.write("#! FIELDS time phi\n" + "".join(f"{i} {v:.6f}\n" for i, v in enumerate(phi)))
        for kind, off in (("dcd", 1e-6), ("xtc", 6e-4)):
            atoms.save(str(folder / f"states.{kind}"))
            again = go(folder, f'states.{kind}"]\ncolvar = ["COLVAR', kind)
            assert np.abs(taken(again) - state).max() < off, kind
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
