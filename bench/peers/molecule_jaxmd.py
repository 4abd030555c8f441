"""Alanine dipeptide in JAX-MD, which reads the prmtop through OpenMM: its own AMBER energy and `nvt_langevin`, 1/ps,
300 K, replicas by vmap. Its constraints project along the bonds as they stand after a step, which loses heat (232 K
with rigid X–H and 2 fs), hence all bonds are springs and a step is 1 fs; it has no implicit solvent. No bias, which
microlift's step has besides. On a CPU one thread on one core."""
import functools
import os
from importlib.metadata import version

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import jax
import jax.numpy as jnp
import numpy as np

KCAL, ANGSTROM = 4.184, 0.1  # in kJ/mol and nm
TIME = 0.04888821            # ps: its unit, of kcal/mol, Å and u
DT = 0.001                   # ps
KT = 8.31446261815324e-3 / KCAL * 300


class JaxMd:
    constraints = "none"
    replicas = 8  # the fastest on a CPU: of more the intermediates leave the cache

    def __init__(self, device):
        self.version = f"JAX-MD {version('jax-md')}, JAX {jax.__version__}"
        jax.config.update("jax_platforms", device)
        if device == "cuda":
            jax.devices("cuda")
            self.replicas = 16384
        else:
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        # Not before: its import makes arrays, and with them JAX takes its device and counts the processors.
        from jax_md import simulate
        from jax_md.mm_forcefields.amber import energy
        from jax_md.mm_forcefields.io import openmm
        from jax_md.mm_forcefields.nonbonded.electrostatics import CutoffCoulomb
        self.amber_energy, self.coulomb, self.reader, self.langevin = energy, CutoffCoulomb, openmm, simulate.nvt_langevin

    def prepare(self, topology, coordinates, solvent):
        if solvent != "none":
            raise NotImplementedError("JAX-MD has no implicit solvent")
        loaded = self.reader.load_amber_system(topology, coordinates, removeCMMotion=False)
        system = self.reader.convert_openmm_system(*loaded, precision="single")
        energies, neighbours, _, shift = self.amber_energy(system.params, system.topology, system.box_vectors,
                                                           self.coulomb(), system.nb_options)
        pairs = neighbours.allocate(system.positions)  # without cutoff: all, once

        def energy(x, **_):
            return energies(x, pairs)["etotal"]

        start, step = self.langevin(energy, shift, dt=DT / TIME, kT=KT, gamma=TIME)
        keys = jax.random.split(jax.random.key(1, impl="unsafe_rbg"), self.replicas)
        x = jnp.repeat(system.positions[None], self.replicas, axis=0)
        self.state = jax.vmap(start, in_axes=(0, 0, None))(keys, x, system.masses)

        @functools.partial(jax.jit, donate_argnums=0)
        def advance(state, steps):
            return jax.lax.fori_loop(0, steps, lambda _, now: jax.vmap(step)(now), state)

        self.advance = advance
        self.note = f"{len(system.masses)} atoms, {self.replicas} replicas, 1 fs, all bonds springs"

    def run(self, steps):
        self.state = self.advance(self.state, steps)

    def synchronize(self):
        jax.block_until_ready(self.state.position)

    def save(self, file):
        """Positions and forces of the first replica, (2, atoms, 3)."""
        x, force = (np.asarray(a[0], np.float64) for a in (self.state.position, self.state.force))
        np.save(file, np.stack([x * ANGSTROM, force * KCAL / ANGSTROM]))


CONTESTANTS = {"JAX-MD, flexible, 1 fs": JaxMd}
