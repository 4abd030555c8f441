#!/usr/bin/python3
"""Energies of solvents by `microlift evaluate` against AmberTools' sander at a molecule's own coordinates:
EGB within 1e-3 kcal/mol. Ends with 77 without sander (SANDER names it).

    compare_with_sander.py MICROLIFT PRMTOP:COORDINATES…

The two programs write Coulomb's constant with a relative difference of 3.5e-5; sander's is 18.2223² kcal Å/mol/e²,
and energies that are linear in it are compared in that unit.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import h5py
    import numpy as np
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

TOLERANCE = 1e-3  # kcal/mol
SOLVENTS = {"hct": 1, "obc1": 2, "obc2": 5, "gbn": 7, "gbn2": 8}
OURS = {"gbsa_obc2": 138.935456, "custom": 138.935485}
SANDER = 18.2223 ** 2 * 4.184 / 10  # kJ nm/mol/e²


def sander_egb(program, topology, coordinates, igb, folder):
    (folder / "mdin").write_text(f"energy\\n &cntrl\\n imin=1, maxcyc=0, ntb=0, cut=999.0, rgbmax=999.0, igb={igb},"
                                 " gbsa=0, saltcon=0.0, intdiel=1.0, extdiel=78.5, ntpr=1,\\n /\\n".replace("\\n", "\n"))
    done = subprocess.run([program, "-O", "-i", "mdin", "-o", "mdout", "-p", topology, "-c", coordinates, "-r", "rst",
                           "-inf", "mdinfo"], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    found = re.findall(r"EGB\s*=\s*(-?[0-9.]+)", (folder / "mdout").read_text() if (folder / "mdout").exists() else "")
    if not found:
        raise RuntimeError(f"sander gave no EGB: {(done.stdout + done.stderr).strip()[-300:]}")
    return float(found[0])


def our_egb(microlift, topology, coordinates, solvent, folder):
    """kcal/mol at the coordinates of the file, in sander's unit of charge."""
    lines = [line for line in Path(coordinates).read_text().splitlines()[2:] if line.strip()]
    atoms = int(Path(coordinates).read_text().splitlines()[1].split()[0])
    numbers = [float(line[k:k + 12]) for line in lines for k in range(0, len(line.rstrip()), 12)]
    np.save(folder / "x.npy", 0.1 * np.array(numbers[:3 * atoms]).reshape(1, atoms, 3))
    (folder / "e.toml").write_text(f'[system]\nkind = "molecule"\ntopology = "{topology}"\n'
                                   f'implicit_solvent = "{solvent}"\nsurface = "none"\ntemperature = 300.0\n')
    subprocess.run([microlift, "evaluate", folder / "e.toml", "--states", folder / "x.npy", "-o", folder / "e.h5",
                    "--threads", "1"], check=True, capture_output=True)
    with h5py.File(folder / "e.h5") as file:
        energy = float(file["terms"]["solvent"][0])
    return energy / 4.184 * SANDER / OURS["gbsa_obc2" if solvent == "obc2" else "custom"]


def main():
    program = os.environ.get("SANDER") or shutil.which("sander")
    if not program:
        print("skipped: no sander")
        return 77
    microlift, good = str(Path(sys.argv[1]).resolve()), True
    for molecule in sys.argv[2:]:
        topology, coordinates = (str(Path(part).resolve()) for part in molecule.split(":"))
        for solvent, igb in SOLVENTS.items():
            with tempfile.TemporaryDirectory() as folder:
                try:
                    ours = our_egb(microlift, topology, coordinates, solvent, Path(folder))
                    theirs = sander_egb(program, topology, coordinates, igb, Path(folder))
                except RuntimeError as error:
                    print(f"{Path(topology).name} {solvent}: {error}")
                    good = False
                    continue
                off = abs(ours - theirs)
                good &= off < TOLERANCE
                print(f"{Path(topology).name} {solvent}: EGB {ours:.4f}, sander {theirs:.4f} kcal/mol"
                      f"{'' if off < TOLERANCE else '  WRONG'}", flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
