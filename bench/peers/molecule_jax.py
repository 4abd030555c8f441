"""Alanine dipeptide in JAX: replicas as one array (atom, axis, replica), forces by automatic differentiation of
the energy, rigid X–H, the leapfrog "middle" scheme, 2 fs, 1/ps, 300 K; no bias, which microlift's step has besides.
On a CPU one thread on one core."""
import functools
import os

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import jax
import jax.numpy as jnp
import numpy as np

KCAL, ANGSTROM, CHARGE = 4.184, 0.1, 18.2223  # AMBER's units in kJ/mol, nm, e
COULOMB, R = 138.935456, 8.31446261815324e-3
DT, FRICTION, TEMPERATURE = 0.002, 1.0, 300.0
SWEEPS = 6  # of rigid bonds; one leaves a tenth of what the last did


def sections(file):
    """Numbers of each section of a prmtop."""
    found, name, width = {}, None, 0
    for line in open(file, encoding="ascii"):
        if line.startswith("%FLAG"):
            name = line.split()[1]
            found[name] = []
        elif line.startswith("%FORMAT"):
            form = line[line.index("(") + 1:line.index(")")]
            kind = next(c for c in form if c.isalpha())
            width = int(form.upper().split(kind.upper())[1].split(".")[0])
        elif name and not line.startswith("%"):
            line = line.rstrip("\n")
            parts = [line[i:i + width] for i in range(0, len(line), width)]
            found[name] += [int(p) if kind in "iI" else float(p) if kind in "eE" else p for p in parts if p.strip()]
    return {k: np.array(v) for k, v in found.items()}


class Topology:
    """What an energy needs of a prmtop, in nm, kJ/mol, u, e, rad."""

    def __init__(self, file):
        s = sections(file)
        self.mass, self.charge = s["MASS"], s["CHARGE"] / CHARGE
        self.radius, self.screen = s["RADII"] * ANGSTROM, s["SCREEN"]
        n = self.atoms = len(self.mass)

        def table(name, columns):
            parts = [s[f"{name}_{which}_HYDROGEN"].reshape(-1, columns) for which in ("INC", "WITHOUT")]
            return parts

        rigid, bonds = table("BONDS", 3)
        length = s["BOND_EQUIL_VALUE"] * ANGSTROM
        self.rigid, self.rigid_length = rigid[:, :2] // 3, length[rigid[:, 2] - 1]
        self.bonds, self.bond_length = bonds[:, :2] // 3, length[bonds[:, 2] - 1]
        self.bond_k = (s["BOND_FORCE_CONSTANT"] * KCAL / ANGSTROM**2)[bonds[:, 2] - 1]
        angles = np.vstack(table("ANGLES", 4))
        self.angles, kind = angles[:, :3] // 3, angles[:, 3] - 1
        self.angle, self.angle_k = s["ANGLE_EQUIL_VALUE"][kind], s["ANGLE_FORCE_CONSTANT"][kind] * KCAL
        torsions = np.vstack(table("DIHEDRALS", 5))
        kind = torsions[:, 4] - 1
        self.torsions = np.abs(torsions[:, :4]) // 3
        self.torsion_k = s["DIHEDRAL_FORCE_CONSTANT"][kind] * KCAL
        self.period, self.phase = s["DIHEDRAL_PERIODICITY"][kind], s["DIHEDRAL_PHASE"][kind]
        self.set_pairs(s, n, torsions, kind)

    def set_pairs(self, s, n, torsions, kind):
        types = s["ATOM_TYPE_INDEX"] - 1
        entry = s["NONBONDED_PARM_INDEX"].reshape(types.max() + 1, -1)
        a, b = s["LENNARD_JONES_ACOEF"] * KCAL * ANGSTROM**12, s["LENNARD_JONES_BCOEF"] * KCAL * ANGSTROM**6
        scale = {}
        first = 0
        for i, count in enumerate(s["NUMBER_EXCLUDED_ATOMS"]):
            for j in s["EXCLUDED_ATOMS_LIST"][first:first + count] - 1:
                if j >= 0:
                    scale[i, int(j)] = (0.0, 0.0)
            first += count
        for row, k in zip(torsions, kind):
            if row[2] >= 0 and row[3] >= 0:
                i, j = sorted((abs(row[0]) // 3, abs(row[3]) // 3))
                scale[i, j] = (1 / s["SCEE_SCALE_FACTOR"][k], 1 / s["SCNB_SCALE_FACTOR"][k])
        pairs = [(i, j) for i in range(n) for j in range(i) if scale.get((j, i), (1, 1)) != (0.0, 0.0)]
        self.pairs = np.array(pairs)
        factors = np.array([scale.get((j, i), (1.0, 1.0)) for i, j in pairs])
        at = entry[types[self.pairs[:, 0]], types[self.pairs[:, 1]]] - 1
        self.pair_charge = COULOMB * self.charge[self.pairs[:, 0]] * self.charge[self.pairs[:, 1]] * factors[:, 0]
        self.repulsion, self.attraction = a[at] * factors[:, 1], b[at] * factors[:, 1]


def column(values):
    return jnp.asarray(values, jnp.float32)[:, None]


def differences(pairs, atoms):
    """x (atoms, 3, replicas) → x[i] − x[j]; its transpose is a product, not a scatter."""
    incidence = np.zeros((atoms, len(pairs)), np.float32)
    incidence[pairs[:, 0], np.arange(len(pairs))] += 1
    incidence[pairs[:, 1], np.arange(len(pairs))] -= 1

    @jax.custom_vjp
    def take(x):
        return x[pairs[:, 0]] - x[pairs[:, 1]]

    take.defvjp(lambda x: (take(x), None),
                lambda _, g: (jnp.tensordot(incidence, g, 1, precision=jax.lax.Precision.HIGHEST),))
    return take


def length_of(d):
    return jnp.sqrt(jnp.sum(d * d, axis=1))


def bonded_energy(t):
    bond = differences(t.bonds, t.atoms)
    arms = differences(np.vstack([t.angles[:, [0, 1]], t.angles[:, [2, 1]]]), t.atoms)
    edges = differences(np.vstack([t.torsions[:, [1, 0]], t.torsions[:, [2, 1]], t.torsions[:, [3, 2]]]), t.atoms)

    def energy(x):
        total = jnp.sum(column(t.bond_k) * (length_of(bond(x)) - column(t.bond_length))**2)
        a, b = jnp.split(arms(x), 2)
        cosine = jnp.sum(a * b, axis=1) / (length_of(a) * length_of(b))
        total += jnp.sum(column(t.angle_k) * (jnp.arccos(cosine) - column(t.angle))**2)
        u, v, w = jnp.split(edges(x), 3)
        m, n = jnp.cross(u, v, axis=1), jnp.cross(v, w, axis=1)
        phi = jnp.arctan2(jnp.sum(jnp.cross(m, n, axis=1) * v, axis=1) / length_of(v), jnp.sum(m * n, axis=1))
        return total + jnp.sum(column(t.torsion_k) * (1 + jnp.cos(column(t.period) * phi - column(t.phase))))

    return energy


def pair_energy(t):
    apart = differences(t.pairs, t.atoms)

    def energy(x):
        d = apart(x)
        y2 = 1 / jnp.sum(d * d, axis=1)
        y6 = y2**3
        return jnp.sum(column(t.pair_charge) * jnp.sqrt(y2) + y6 * (column(t.repulsion) * y6 - column(t.attraction)))

    return energy


def solvent_energy(t, solute=1.0, solvent=78.5, offset=0.009):
    """OBC2 (Onufriev, Bashford, Case, Proteins 55 (2004) 383) with the ACE surface term."""
    i, j = np.array([(i, j) for i in range(t.atoms) for j in range(t.atoms) if i != j]).T
    inner = t.radius - offset
    scaled = column((t.screen * inner)[j])
    own, radius, reach = column(inner[i]), column(t.radius), column(inner)
    factor = -0.5 * COULOMB * (1 / solute - 1 / solvent)
    charges = column(t.charge[i] * t.charge[j])
    sums = np.zeros((t.atoms, len(i)), np.float32)
    sums[i, np.arange(len(i))] = 1

    def energy(x):
        d = x[i] - x[j]  # of so many pairs a scatter is faster than a product
        r2 = jnp.sum(d * d, axis=1)
        r = jnp.sqrt(r2)
        far, near = r + scaled, jnp.maximum(own, jnp.abs(r - scaled))
        term = 1 / near - 1 / far + 0.25 * (r - scaled**2 / r) * (1 / far**2 - 1 / near**2) + 0.5 * jnp.log(near / far) / r
        term = jnp.where(own < scaled - r, term + 2 * (1 / own - 1 / near), term)
        psi = 0.5 * reach * jnp.tensordot(sums, jnp.where(far > own, term, 0.0), 1, precision=jax.lax.Precision.HIGHEST)
        born = 1 / (1 / reach - jnp.tanh(psi - 0.8 * psi**2 + 4.85 * psi**3) / radius)
        product = born[i] * born[j]
        total = factor * jnp.sum(charges / jnp.sqrt(r2 + product * jnp.exp(-r2 / (4 * product))))
        total += factor * jnp.sum(column(t.charge**2) / born)
        return total + jnp.sum(28.3919551 * (radius + 0.14)**2 * (radius / born)**6)

    return energy


class Rigid:
    """Bonds to hydrogens, all corrected at a time, a fixed number of times."""

    def __init__(self, t):
        self.take = differences(t.rigid, t.atoms)
        inverse = 1 / t.mass
        self.push = np.zeros((t.atoms, len(t.rigid)), np.float32)  # of a bond's force on its atoms, over their masses
        for k, (a, b) in enumerate(t.rigid):
            self.push[a, k], self.push[b, k] = inverse[a], -inverse[b]
        self.square = column(t.rigid_length**2)
        self.inverse = column(1 / (inverse[t.rigid[:, 0]] + inverse[t.rigid[:, 1]]))

    def apply(self, x, push, arm):
        return x + jnp.tensordot(self.push, push[:, None] * arm, 1, precision=jax.lax.Precision.HIGHEST)

    def velocities(self, x, v):
        arm = self.take(x)
        for _ in range(SWEEPS):
            v = self.apply(v, -self.inverse / self.square * jnp.sum(arm * self.take(v), axis=1), arm)
        return v

    def positions(self, x, before):
        arm = self.take(before)
        for _ in range(SWEEPS):
            d = self.take(x)
            x = self.apply(x, 0.5 * self.inverse * (self.square - jnp.sum(d * d, axis=1)) / jnp.sum(arm * d, axis=1), arm)
        return x


class JaxMolecule:
    version = f"JAX {jax.__version__}"
    replicas = 64  # the fastest on a CPU: of more the intermediates leave the cache

    def __init__(self, device):
        jax.config.update("jax_platforms", device)
        if device == "cuda":
            jax.devices("cuda")
            self.replicas = 65536
        else:
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    def prepare(self, topology, coordinates, solvent):
        t = Topology(topology)
        parts = [bonded_energy(t), pair_energy(t)] + ([solvent_energy(t)] if solvent == "obc2" else [])
        self.force = jax.jit(lambda x: -jax.grad(lambda y: sum(part(y) for part in parts))(x))
        rigid, mass = Rigid(t), jnp.asarray(t.mass, jnp.float32)[:, None, None]
        keep = np.exp(-FRICTION * DT)
        kick = jnp.sqrt((1 - keep**2) * R * TEMPERATURE / mass)

        def step(k, state):
            x, v, key = state
            v = rigid.velocities(x, v + DT / mass * self.force(x))
            moved = x + 0.5 * DT * v
            v = keep * v + kick * jax.random.normal(jax.random.fold_in(key, k), v.shape)
            moved = moved + 0.5 * DT * v
            there = rigid.positions(moved, x)
            return there, v + (there - moved) / DT, key

        @functools.partial(jax.jit, donate_argnums=0)
        def advance(state, first, steps):
            return jax.lax.fori_loop(first, first + steps, step, state)

        self.advance, self.done = advance, 0
        text = open(coordinates, encoding="ascii").read().split("\n", 2)[2]
        values = [float(line[i:i + 12]) for line in text.splitlines() for i in range(0, len(line.rstrip()), 12)]
        x = np.array(values[:3 * t.atoms], np.float32).reshape(-1, 3, 1) * np.float32(ANGSTROM)
        x = jnp.asarray(np.repeat(x, self.replicas, axis=2))
        key = jax.random.key(1, impl="unsafe_rbg")
        v = jnp.sqrt(R * TEMPERATURE / mass) * jax.random.normal(jax.random.fold_in(key, 1 << 30), x.shape)
        self.state = (x, rigid.velocities(x, v), key)
        self.note = f"{t.atoms} atoms, {self.replicas} replicas"

    def run(self, steps):
        self.state = self.advance(self.state, self.done, steps)
        self.done += steps

    def synchronize(self):
        jax.block_until_ready(self.state[0])

    def save(self, file):
        """Positions and forces of the first replica, (2, atoms, 3)."""
        x = self.state[0]
        np.save(file, np.stack([np.asarray(x[:, :, 0]), np.asarray(self.force(x)[:, :, 0])]).astype(np.float64))


CONTESTANTS = {"JAX, replicas as one array": JaxMolecule}
