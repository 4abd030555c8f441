#!/usr/bin/env python3
"""Umbrella windows on phi of alanine dipeptide by OpenMM, as samples made elsewhere: bench/data/ala2_openmm.

usage: openmm_windows.py PRMTOP INPCRD -o FOLDER [--windows N] [--starts N] [--ns NS] [--every STEPS] [--thin N]

Windows of 100 kJ/mol/rad^2 all round phi, each from several starts that were heated to 800 K on their way there, as in
openmm_free_energy.py, whose system, thermostat and starts these are (ff96 in vacuum, 300 K, rigid bonds to hydrogens,
LangevinMiddleIntegrator with 2 fs and 1/ps, platform Reference). Trajectory w * STARTS + s is start s of window w.
Writes phi_psi.npy (trajectory, sample, 2) in rad, of every THINth sample positions.npy (trajectory, frame, atom, 3) in nm
about the atoms' mean, rounded to 1 pm, and windows.csv; unpack.py beside them makes COLVAR and DCD of these.
Trajectories that are done are kept in FOLDER/parts, and a run that was stopped goes on. Needs OpenMM.
"""
import argparse
from pathlib import Path

import numpy as np

import openmm_free_energy as umbrella

STIFFNESS = 100.0
PHI, PSI = (4, 6, 8, 14), (6, 8, 14, 16)


def positions(context):
    return context.getState(getPositions=True).getPositions(asNumpy=True)._value


def dihedral(x, atoms):
    a, b, c, d = (x[i] for i in atoms)
    f, g, h = a - b, b - c, d - c
    m, n = np.cross(f, g), np.cross(h, g)
    return np.arctan2(np.dot(np.cross(n, m), g) / np.linalg.norm(g), np.dot(m, n))


def sample(options, window, start):
    """Angles and thinned positions of one start in one window."""
    context, integrator = umbrella.simulation(options.prmtop, options.inpcrd, PHI,
                                              options.seed + 1000 * window + start)
    context.setParameter("k", STIFFNESS)
    centre = -np.pi + 2 * np.pi * window / options.windows
    begin = umbrella.angle(context, PHI)
    way = (centre - begin + np.pi) % (2 * np.pi) - np.pi
    integrator.setTemperature(umbrella.HOT)
    context.setVelocitiesToTemperature(umbrella.HOT, options.seed + start)
    for piece in range(50):  # 25 ps on the way
        at = begin + way * (piece + 1) / 50
        context.setParameter("c", (at + np.pi) % (2 * np.pi) - np.pi)
        integrator.step(250)
    context.setParameter("c", centre)
    integrator.step(12500)
    integrator.setTemperature(umbrella.TEMPERATURE)
    integrator.step(12500)
    angles, frames = [], []
    for i in range(int(options.ns * 1000 / umbrella.DT / options.every)):
        integrator.step(options.every)
        x = positions(context)
        angles.append([dihedral(x, PHI), dihedral(x, PSI)])
        if i % options.thin == 0:
            frames.append(np.round(1000 * (x - x.mean(axis=0))))
    return np.array(angles, "f4"), np.array(frames, "i2")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prmtop")
    parser.add_argument("inpcrd")
    parser.add_argument("-o", dest="out", required=True, type=Path)
    parser.add_argument("--windows", type=int, default=24)
    parser.add_argument("--starts", type=int, default=4)
    parser.add_argument("--ns", type=float, default=0.2, help="of each start in each window")
    parser.add_argument("--every", type=int, default=200, help="steps between samples")
    parser.add_argument("--thin", type=int, default=20, help="samples between positions that are kept")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    parts = options.out / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    made = []
    for start in range(options.starts):
        for window in range(options.windows):
            kept = parts / f"{window}_{start}.npz"
            if not kept.exists():
                angles, frames = sample(options, window, start)
                np.savez(kept, angles=angles, frames=frames)
                print(window, start, flush=True)
    for window in range(options.windows):
        for start in range(options.starts):
            with np.load(parts / f"{window}_{start}.npz") as part:
                made.append((part["angles"], part["frames"]))
    np.save(options.out / "phi_psi.npy", np.array([m[0] for m in made]))
    positions_of = np.array([m[1] for m in made]) / 1000.0
    np.save(options.out / "positions.npy", positions_of.astype("f4"))
    with open(options.out / "windows.csv", "w") as table:
        table.write("center,stiffness\n")
        for window in range(options.windows):
            for _ in range(options.starts):
                table.write(f"{-np.pi + 2 * np.pi * window / options.windows:.9f},{STIFFNESS}\n")


if __name__ == "__main__":
    main()
