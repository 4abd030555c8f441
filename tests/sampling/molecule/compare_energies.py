#!/usr/bin/python3
"""Energies and forces of `microlift evaluate` against OpenMM's Reference platform: of every molecule
conformations from a hot run in vacuum, for every implicit solvent, through the prmtop and through the
System's XML; and harmonic impropers as OpenMM writes them. Ends with 77 without OpenMM.

    compare_energies.py [--count 100] [--salt MOL/L] [--surface none] [--numbers OUT.json] MICROLIFT PRMTOP:COORDINATES…

Bars: 2e-3 kJ/mol of energies, 1e-5 of the largest force of a conformation. --numbers writes OpenMM's
total energies of the first three conformations of each, with the conformations, for tests without it.
"""
import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

try:
    import h5py
    import numpy as np
    import openmm
    from openmm import app, unit
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

ENERGY, FORCE = 2e-3, 1e-5
SOLVENTS = {"none": None, "hct": app.HCT, "obc1": app.OBC1, "obc2": app.OBC2, "gbn": app.GBn, "gbn2": app.GBn2}
KJ, KJ_NM = unit.kilojoule_per_mole, unit.kilojoule_per_mole / unit.nanometer


def load_positions(path):
    if path.suffix == ".pdb":
        return app.PDBFile(str(path)).getPositions(asNumpy=True)
    return app.AmberInpcrdFile(str(path)).getPositions(asNumpy=True)


def conformations(prmtop, positions, count):
    """(count, atoms, 3) in nm, as single precision holds them."""
    system = prmtop.createSystem(constraints=app.HBonds, implicitSolvent=app.OBC2)
    integrator = openmm.LangevinMiddleIntegrator(600, 5, 0.002)
    integrator.setRandomNumberSeed(7)
    simulation = app.Simulation(prmtop.topology, system, integrator, openmm.Platform.getPlatformByName("CPU"),
                                {"Threads": "1"})
    simulation.context.setPositions(positions)
    simulation.minimizeEnergy(maxIterations=100)
    simulation.context.setVelocitiesToTemperature(600, 7)
    frames = []
    rng = np.random.default_rng(7)
    for _ in range(count):
        simulation.step(100)
        x = simulation.context.getState(positions=True).getPositions(asNumpy=True).value_in_unit(unit.nanometer)
        x = x - x.mean(axis=0)
        # Bonds that were rigid are stretched, too.
        frames.append((x + rng.normal(0, 0.003, x.shape)).astype(np.float32).astype(np.float64))
    return np.array(frames)


def openmm_results(system, frames):
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    energies, forces = [], []
    for x in frames:
        context.setPositions(x)
        state = context.getState(energy=True, forces=True)
        energies.append(state.getPotentialEnergy().value_in_unit(KJ))
        forces.append(state.getForces(asNumpy=True).value_in_unit(KJ_NM))
    return np.array(energies), np.array(forces)


def evaluate(microlift, folder, lines, frames):
    (folder / "evaluate.toml").write_text("[system]\nkind = \"molecule\"\ntemperature = 298.15\n" + "\n".join(lines))
    np.save(folder / "states.npy", frames)
    subprocess.run([microlift, "evaluate", folder / "evaluate.toml", "--states", folder / "states.npy", "-o",
                    folder / "out.h5", "--threads", "1"], check=True)
    with h5py.File(folder / "out.h5") as out:
        terms = sum(out["terms"][name][:] for name in out["terms"])
        energy, force = out["energy"][:], out["force"][:].reshape(frames.shape)
    assert np.allclose(terms, energy, rtol=1e-12, atol=1e-9)
    return energy, force


# Of OpenMM's readers of CHARMM, AMBER and GROMACS files.
IMPROPERS = ["k*min(dtheta, 2*pi-dtheta)^2; dtheta = abs(theta-theta0);pi = 3.141593;",
             f"k*min(dtheta, 2*{np.pi}-dtheta)^2; dtheta = abs(theta-theta0)",
             "0.5*k*(thetap-theta0)^2; thetap = step(-(theta-theta0+pi))*2*pi+theta+step(theta-theta0-pi)*(-2*pi); "
             f"pi = {np.pi:.15g}"]


def compare_impropers(microlift, topology, frames):
    """Harmonic impropers about every atom with three bonds, through XML."""
    prmtop = app.AmberPrmtopFile(str(topology))
    bound = {}
    for a, b in prmtop.topology.bonds():
        bound.setdefault(a.index, []).append(b.index)
        bound.setdefault(b.index, []).append(a.index)
    good = True
    for number, energy in enumerate(IMPROPERS):
        system = prmtop.createSystem(removeCMMotion=False)
        force = openmm.CustomTorsionForce(energy)
        force.addPerTorsionParameter("k")
        force.addPerTorsionParameter("theta0")
        for atom, others in bound.items():
            if len(others) == 3:
                force.addTorsion(atom, *others, (80.0 + atom, (-0.6, 0.0, np.pi, 3.0)[atom % 4]))
        system.addForce(force)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            (folder / "system.xml").write_text(openmm.XmlSerializer.serialize(system))
            good &= compare(f"{topology.name} with {force.getNumTorsions()} impropers, form {number + 1}, xml", evaluate(
                microlift, folder, ['topology = "system.xml"'], frames), openmm_results(system, frames))
    return good


def compare(name, ours, theirs):
    energy = np.abs(ours[0] - theirs[0]).max()
    largest = np.linalg.norm(theirs[1], axis=2).max(axis=1)
    force = (np.linalg.norm(ours[1] - theirs[1], axis=2).max(axis=1) / largest).max()
    good = energy < ENERGY and force < FORCE
    print(f"{name}: energy {energy:.1e} kJ/mol, force {force:.1e} of the largest{'' if good else '  WRONG'}", flush=True)
    return good


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--salt", type=float, default=0.0)
    parser.add_argument("--surface", choices=["ace", "none"], default="ace")
    parser.add_argument("--numbers", type=Path)
    parser.add_argument("microlift")
    parser.add_argument("molecules", nargs="+")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    good, numbers = True, {}
    for molecule in options.molecules:
        topology, coordinates = (Path(part).resolve() for part in molecule.split(":"))
        prmtop = app.AmberPrmtopFile(str(topology))
        frames = conformations(prmtop, load_positions(coordinates), options.count)
        numbers[topology.name] = {"states": frames[:3].reshape(len(frames[:3]), -1).tolist()}
        for name, model in SOLVENTS.items():
            salt = {"implicitSolventSaltConc": options.salt * unit.molar} if model and options.salt else {}
            surface = {} if options.surface == "ace" or not model else {"gbsaModel": None}
            try:
                system = prmtop.createSystem(implicitSolvent=model, removeCMMotion=False, **salt, **surface)
            except ValueError as error:
                print(f"{topology.name} {name}: OpenMM refuses it: {error}")
                continue
            theirs = openmm_results(system, frames)
            numbers[topology.name][name] = theirs[0][:3].tolist()
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                solvent = [f'implicit_solvent = "{name}"'] if model else []
                if surface:
                    solvent.append('surface = "none"')
                if salt:
                    solvent.append(f"salt = {options.salt}")
                good &= compare(f"{topology.name} {name} prmtop", evaluate(
                    options.microlift, folder, [f'topology = "{topology}"'] + solvent, frames), theirs)
                (folder / "system.xml").write_text(openmm.XmlSerializer.serialize(system))
                good &= compare(f"{topology.name} {name} xml", evaluate(
                    options.microlift, folder, ['topology = "system.xml"'], frames), theirs)
        good &= compare_impropers(options.microlift, topology, frames)
    if options.numbers:
        options.numbers.write_text(json.dumps(numbers))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
