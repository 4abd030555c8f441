#!/usr/bin/env python3
"""F(phi) of alanine dipeptide in vacuum by the biases of OpenMM: what [bias] is compared with.

usage: openmm_biases.py PRMTOP INPCRD METHOD -o FILE.csv [--steps N] [--runs N] [--seed N]
       openmm_biases.py --compare DIR FILE.csv…

METHOD is metadynamics (openmm.app.Metadynamics) or opes (the package openmm-opes). Rigid bonds to hydrogens,
LangevinMiddleIntegrator with 2 fs and 1/ps at 300 K, platform Reference. Each of several independent runs makes its
bias in the first half of its steps and is sampled in the second, under a bias that stays: F is the histogram with the
bias taken off. Mean and standard error are of the runs. Writes phi (rad), free_energy and std_error (kJ/mol, mean 0),
and prints the processor's seconds. --compare prints how far F of a run of microlift is from each file, in kT, and in
standard errors of both. Needs OpenMM, for opes openmm-opes, too.
"""
import argparse
import sys
import time
from pathlib import Path

import numpy as np

TEMPERATURE, DT, BINS, STRIDE = 300.0, 0.002, 60, 50
KT = 8.31446261815324e-3 * TEMPERATURE
ATOMS = (4, 6, 8, 14)
BARRIER, SIGMA, GRID = 40.0, 0.2, 121   # kJ/mol, rad, points with both ends
HEIGHT, PACE, BIASFACTOR = 1.0, 250, 16.0


def simulation(options, seed):
    """The simulation, its bias, and the steps that go on making it."""
    import openmm
    from openmm import app, unit
    topology = app.AmberPrmtopFile(options.prmtop)
    system = topology.createSystem(nonbondedMethod=app.NoCutoff, constraints=app.HBonds, removeCMMotion=False)
    phi = openmm.CustomTorsionForce("theta")
    phi.addTorsion(*ATOMS, [])
    variable = app.BiasVariable(phi, -np.pi, np.pi, SIGMA, True, GRID)
    if options.method == "opes":
        from openmm_opes import OPES
        bias = OPES(system, [variable], TEMPERATURE * unit.kelvin, BARRIER, PACE, None)
    else:
        bias = app.Metadynamics(system, [variable], TEMPERATURE * unit.kelvin, BIASFACTOR,
                                HEIGHT * unit.kilojoules_per_mole, PACE)
    integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, 1 / unit.picosecond, DT)
    integrator.setRandomNumberSeed(seed)
    made = app.Simulation(topology.topology, system, integrator, openmm.Platform.getPlatformByName("Reference"))
    made.context.setPositions(app.AmberInpcrdFile(options.inpcrd).positions)
    made.context.applyConstraints(1e-8)
    made.context.setVelocitiesToTemperature(TEMPERATURE, seed)
    return made, bias


def profile(options, seed):
    """F by bin of one run, kJ/mol; infinite where it never was."""
    made, bias = simulation(options, seed)
    half = options.steps // 2
    bias.step(made, half)
    group = {bias._force.getForceGroup()}
    weight = np.zeros(BINS)
    for _ in range(half // STRIDE):
        made.step(STRIDE)
        energy = made.context.getState(getEnergy=True, groups=group).getPotentialEnergy()._value
        phi = bias.getCollectiveVariables(made)[0]
        weight[int((phi + np.pi) / (2 * np.pi) * BINS) % BINS] += np.exp(energy / KT)
    with np.errstate(divide="ignore"):
        return -KT * np.log(weight)


def measure(options):
    begun, profiles = time.process_time(), []
    for number in range(options.runs):
        profiles.append(profile(options, options.seed + number))
        print(f"run {number + 1} of {options.runs}, {time.process_time() - begun:.0f} s", file=sys.stderr, flush=True)
    f = np.array(profiles)
    seen = np.isfinite(f).all(axis=0)
    f -= f[:, seen].mean(axis=1, keepdims=True)
    phi = -np.pi + 2 * np.pi * (np.arange(BINS) + 0.5) / BINS
    error = f.std(axis=0, ddof=1) / np.sqrt(options.runs)
    with open(options.output, "w", encoding="utf-8") as file:
        file.write("phi,free_energy,std_error\n")
        for row in zip(phi[seen], f.mean(axis=0)[seen], error[seen]):
            file.write("{:.6f},{:.6f},{:.6f}\n".format(*row))
    print(f"{options.method}: {options.runs} runs of {options.steps} steps, {time.process_time() - begun:.0f} s of the "
          f"processor, root mean square error {np.sqrt(np.mean(error[seen]**2)) / KT:.3f} kT")


def read(path):
    return np.genfromtxt(path, delimiter=",", skip_header=1)


def coarse(table, bins=BINS):
    """F and error by coarser bins, of finer ones."""
    each = len(table) // bins
    weight = np.exp(-table[:, 1] / KT).reshape(bins, each)
    share = weight / weight.sum(axis=1, keepdims=True)
    return (-KT * np.log(weight.sum(axis=1)), np.sqrt(((share * table[:, 2].reshape(bins, each))**2).sum(axis=1)))


def compare(folder, files):
    f, error = coarse(read(Path(folder) / "free_energy.csv"))
    for name in files:
        theirs = read(name)
        at = np.floor((theirs[:, 0] + np.pi) / (2 * np.pi) * BINS).astype(int)
        apart = f[at] - theirs[:, 1]
        apart -= apart.mean()
        z = apart / np.hypot(error[at], theirs[:, 2])
        print(f"{Path(name).name}: {len(theirs)} bins, {np.sqrt(np.mean(apart**2)) / KT:.3f} kT apart, "
              f"root mean square {np.sqrt(np.mean(z**2)):.2f} standard errors, at most {np.abs(z).max():.1f}")


def main():
    if "--compare" in sys.argv[1:2]:
        return compare(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prmtop")
    parser.add_argument("inpcrd")
    parser.add_argument("method", choices=("metadynamics", "opes"))
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--steps", type=int, default=4_000_000)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    return measure(parser.parse_args())


if __name__ == "__main__":
    main()
