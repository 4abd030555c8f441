#!/usr/bin/env python3
"""The windows of bench/data/ala2_openmm as the files that engines write: COLVAR, DCD and windows.csv.

usage: unpack.py FOLDER

Of window W and start S: FOLDER/W_S.colvar with time, phi and psi of every sample (0.4 ps apart), FOLDER/W_S.dcd with
every twentieth; FOLDER/windows.csv has the umbrella of each COLVAR.
"""
import struct
import sys
from pathlib import Path

import numpy as np

PICOSECONDS = 0.4


def record(data):
    return struct.pack("<i", len(data)) + data + struct.pack("<i", len(data))


def write_dcd(path, frames):
    """Frames (n, atom, 3) in nm."""
    control = struct.pack("<9if10i", len(frames), 1, 1, len(frames), 0, 0, 0, 0, 0, 1.0, *[0] * 9, 24)
    title = struct.pack("<i", 1) + b"OpenMM, by unpack.py".ljust(80)
    with open(path, "wb") as file:
        file.write(record(b"CORD" + control) + record(title) + record(struct.pack("<i", frames.shape[1])))
        for frame in frames:
            for axis in range(3):
                file.write(record((10 * frame[:, axis]).astype("<f4").tobytes()))


def main():
    here, out = Path(__file__).resolve().parent, Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    angles, positions = np.load(here / "phi_psi.npy"), np.load(here / "positions.npy")
    with open(here / "windows.csv") as table:
        umbrellas = [line.strip() for line in table][1:]
    starts = 4
    with open(out / "windows.csv", "w") as table:
        table.write("file,center,stiffness\n")
        for trajectory, (rows, frames) in enumerate(zip(angles, positions)):
            name = f"{trajectory // starts:02d}_{trajectory % starts}"
            table.write(f"{name}.colvar,{umbrellas[trajectory]}\n")
            with open(out / f"{name}.colvar", "w") as colvar:
                colvar.write("#! FIELDS time phi psi\n")
                for angle in ("phi", "psi"):
                    colvar.write(f"#! SET min_{angle} -pi\n#! SET max_{angle} pi\n")
                for i, (phi, psi) in enumerate(rows):
                    colvar.write(f" {i * PICOSECONDS:.1f} {phi:.6f} {psi:.6f}\n")
            write_dcd(out / f"{name}.dcd", frames)


if __name__ == "__main__":
    main()
