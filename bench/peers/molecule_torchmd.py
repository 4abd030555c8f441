"""Alanine dipeptide in TorchMD, which reads the prmtop through moleculekit and ParmEd: its own forces and Langevin
integrator, 1/ps, 300 K. It has no rigid bonds, hence all are springs and a step is 1 fs, and no implicit solvent; its
replicas are one array, but it computes their forces one after the other. No bias, which microlift's step has besides.
On a CPU one thread on one core."""
import os
from importlib.metadata import version

import numpy as np
import torch
from moleculekit.molecule import Molecule
from torchmd.forcefields.forcefield import ForceField
from torchmd.forces import Forces
from torchmd.integrator import Integrator, maxwell_boltzmann
from torchmd.parameters import Parameters
from torchmd.systems import System

KCAL, ANGSTROM = 4.184, 0.1  # in kJ/mol and nm
TERMS = ("bonds", "angles", "dihedrals", "impropers", "1-4", "electrostatics", "lj")


class TorchMd:
    constraints = "none"
    replicas = 16  # the time of a replica does not depend on it

    def __init__(self, device):
        self.version = f"TorchMD {version('torchmd')}, PyTorch {torch.__version__}"
        if device == "cuda":
            torch.zeros(1, device=device)
        else:
            torch.set_num_threads(1)
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        self.device = torch.device(device)

    def prepare(self, topology, coordinates, solvent):
        if solvent != "none":
            raise NotImplementedError("TorchMD has no implicit solvent")
        torch.manual_seed(1)
        molecule = Molecule(topology)
        molecule.read(coordinates)
        parameters = Parameters(ForceField.create(molecule, topology), molecule, TERMS, torch.float, self.device)
        system = self.system = System(molecule.numAtoms, self.replicas, torch.float, self.device)
        system.set_positions(molecule.coords)
        system.set_velocities(maxwell_boltzmann(parameters.masses, 300, self.replicas))
        system.set_masses(parameters.masses[:, 0])
        forces = Forces(parameters, terms=TERMS)
        forces.compute(system.pos, system.box, system.forces)
        self.integrator = Integrator(system, forces, 1, self.device, gamma=1, T=300)  # fs, 1/ps, K
        self.note = f"{molecule.numAtoms} atoms, {self.replicas} replicas, 1 fs, all bonds springs"

    def run(self, steps):
        self.integrator.step(steps)

    def synchronize(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def save(self, file):
        """Positions and forces of the first replica, (2, atoms, 3)."""
        x, force = (a[0].double().cpu().numpy() for a in (self.system.pos, self.system.forces))
        np.save(file, np.stack([x * ANGSTROM, force * KCAL / ANGSTROM]))


CONTESTANTS = {"TorchMD, flexible, 1 fs": TorchMd}
