#!/usr/bin/env python3
"""The free energy of a dihedral angle by OpenMM: what runs of molecules are compared with.

usage: openmm_free_energy.py PRMTOP INPCRD FIRST SECOND THIRD FOURTH -o FILE.csv [--windows N] [--ns NS]
                             [--starts N] [--seed N]

Umbrellas of 200 kJ/mol/rad^2 all round, rigid bonds to hydrogens, LangevinMiddleIntegrator with 2 fs and
1/ps at 300 K in vacuum, platform Reference. Each window is sampled from several starts of its own: the
molecule, brought to the window in 50 ps and kept there for 50 ps at 800 K, cooled for 50 ps, since what the
angle does not see (in alanine dipeptide psi) is not the same on both sides of barriers that 300 K does not cross.
WHAM on bins of 3 degrees; errors by leaving out one start of all windows after the other (jackknife).
Counts of windows that are done are kept beside FILE.csv, and a run that was stopped goes on with the next.
Writes phi (rad), free_energy and std_error (kJ/mol, minimum 0). Needs OpenMM.
"""
import argparse
import json
from pathlib import Path

import numpy as np

STIFFNESS, TEMPERATURE, HOT, DT, BINS = 200.0, 300.0, 800.0, 0.002, 120
KT = 8.31446261815324e-3 * TEMPERATURE


def simulation(prmtop, inpcrd, atoms, seed):
    import openmm
    from openmm import app, unit
    topology = app.AmberPrmtopFile(prmtop)
    system = topology.createSystem(nonbondedMethod=app.NoCutoff, constraints=app.HBonds, removeCMMotion=False)
    bias = openmm.CustomTorsionForce(
        "0.5*k*d^2; d = min(abs(theta - c), 6.283185307179586 - abs(theta - c))")
    for name, value in (("k", STIFFNESS), ("c", 0.0)):
        bias.addGlobalParameter(name, value)
    bias.addTorsion(*atoms, [])
    system.addForce(bias)
    integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, 1 / unit.picosecond, DT)
    integrator.setRandomNumberSeed(seed)
    context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(app.AmberInpcrdFile(inpcrd).positions)
    context.applyConstraints(1e-8)
    return context, integrator


def angle(context, atoms):
    x = context.getState(getPositions=True).getPositions(asNumpy=True)._value
    a, b, c, d = (x[i] for i in atoms)
    f, g, h = a - b, b - c, d - c
    m, n = np.cross(f, g), np.cross(h, g)
    return np.arctan2(np.dot(np.cross(n, m), g) / np.linalg.norm(g), np.dot(m, n))


def sample(options, window, start):
    """Counts by bin of one start in one window."""
    context, integrator = simulation(options.prmtop, options.inpcrd, options.atoms,
                                     options.seed + 1000 * window + start)
    centre = -np.pi + 2 * np.pi * window / options.windows
    begin = angle(context, options.atoms)
    way = (centre - begin + np.pi) % (2 * np.pi) - np.pi
    integrator.setTemperature(HOT)
    context.setVelocitiesToTemperature(HOT, options.seed + start)
    for piece in range(100):  # 50 ps on the way
        at = begin + way * (piece + 1) / 100
        context.setParameter("c", (at + np.pi) % (2 * np.pi) - np.pi)
        integrator.step(250)
    context.setParameter("c", centre)
    integrator.step(25000)
    integrator.setTemperature(TEMPERATURE)
    integrator.step(25000)
    counts = np.zeros(BINS, int)
    for _ in range(int(options.ns * 1000 / DT / 50)):
        integrator.step(50)
        counts[int((angle(context, options.atoms) + np.pi) / (2 * np.pi) * BINS) % BINS] += 1
    return counts


def wham(counts, windows):
    """counts: (window, bin). Free energy by bin, kT."""
    centres = -np.pi + 2 * np.pi * np.arange(windows) / windows
    phi = -np.pi + 2 * np.pi * (np.arange(BINS) + 0.5) / BINS
    off = (phi[None] - centres[:, None] + np.pi) % (2 * np.pi) - np.pi
    bias = 0.5 * STIFFNESS * off**2 / KT
    n, total, f = counts.sum(axis=1), counts.sum(axis=0), np.zeros(windows)
    for _ in range(200000):
        p = total / (n[:, None] * np.exp(f[:, None] - bias)).sum(axis=0)
        new = -np.log((p[None] * np.exp(-bias)).sum(axis=1))
        new -= new[0]
        if np.abs(new - f).max() < 1e-9:
            break
        f = new
    with np.errstate(divide="ignore"):
        free = -np.log(p)
    return phi, free - free.min()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prmtop")
    parser.add_argument("inpcrd")
    parser.add_argument("atoms", type=int, nargs=4)
    parser.add_argument("-o", dest="out", required=True, type=Path)
    parser.add_argument("--windows", type=int, default=48)
    parser.add_argument("--ns", type=float, default=0.5, help="of each start in each window")
    parser.add_argument("--starts", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    kept = options.out.with_suffix(".counts.json")
    done = json.loads(kept.read_text()) if kept.exists() else {}
    for start in range(options.starts):
        for window in range(options.windows):
            key = f"{start}.{window}"
            if key in done:
                continue
            done[key] = sample(options, window, start).tolist()
            kept.write_text(json.dumps(done))
            print(key, flush=True)
    counts = np.array([[done[f"{s}.{w}"] for w in range(options.windows)] for s in range(options.starts)])
    phi, free = wham(counts.sum(axis=0), options.windows)
    parts = np.array([wham(np.delete(counts, s, axis=0).sum(axis=0), options.windows)[1]
                      for s in range(options.starts)])
    parts -= parts.mean(axis=1, keepdims=True)
    error = np.sqrt((options.starts - 1) * parts.var(axis=0))
    with open(options.out, "w") as file:
        file.write("phi,free_energy,std_error\n")
        for row in zip(phi, free * KT, error * KT):
            file.write(",".join(f"{v:.6f}" for v in row) + "\n")


if __name__ == "__main__":
    main()
