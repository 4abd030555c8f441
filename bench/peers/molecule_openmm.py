"""Alanine dipeptide in OpenMM: one replica a context, rigid X–H, LangevinMiddle, 2 fs, 1/ps, 300 K; no bias,
which microlift's step has besides."""
import numpy as np
import openmm
from openmm import app, unit

SOLVENTS = {"none": None, "obc2": app.OBC2}


class OpenMm:
    def __init__(self, device, platform, properties):
        if (platform == "CUDA") != (device == "cuda"):
            raise RuntimeError(f"{platform} does not run on {device}")
        self.platform = openmm.Platform.getPlatformByName(platform)
        self.properties = properties
        self.version = f"OpenMM {openmm.Platform.getOpenMMVersion()}"

    def prepare(self, topology, coordinates, solvent):
        prmtop = app.AmberPrmtopFile(topology)
        system = prmtop.createSystem(constraints=app.HBonds, implicitSolvent=SOLVENTS[solvent],
                                     removeCMMotion=False)
        integrator = openmm.LangevinMiddleIntegrator(300, 1, 0.002)
        integrator.setConstraintTolerance(1e-5)
        self.context = openmm.Context(system, integrator, self.platform, self.properties)
        self.context.setPositions(app.AmberInpcrdFile(coordinates).positions)
        self.context.setVelocitiesToTemperature(300)
        self.note = f"{system.getNumParticles()} atoms"

    def run(self, steps):
        self.context.getIntegrator().step(steps)

    def synchronize(self):
        self.context.getState(energy=True)

    def save(self, file):
        """Positions and forces, (2, atoms, 3)."""
        state = self.context.getState(positions=True, forces=True)
        np.save(file, [state.getPositions(asNumpy=True).value_in_unit(unit.nanometer),
                       state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)])


CONTESTANTS = {"OpenMM Reference": lambda device: OpenMm(device, "Reference", {}),
               "OpenMM CPU, one thread": lambda device: OpenMm(device, "CPU", {"Threads": "1"}),
               "OpenMM CUDA": lambda device: OpenMm(device, "CUDA", {"Precision": "mixed"})}
