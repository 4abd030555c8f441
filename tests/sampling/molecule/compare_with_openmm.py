#!/usr/bin/python3
"""Compares what molecule_dump reads of AMBER topologies with what OpenMM makes of them, for every implicit
solvent, through the prmtop and through the System's XML. Ends with 77 without OpenMM.

    compare_with_openmm.py MOLECULE_DUMP PRMTOP…
"""
import json
import math
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

try:
    import openmm
    from openmm import app, unit
except ImportError:
    print("skipped: this Python has no openmm")
    sys.exit(77)

TOLERANCE = 1e-7  # relative: topologies have eight digits
SOLVENTS = {"none": None, "hct": app.HCT, "obc1": app.OBC1, "obc2": app.OBC2, "gbn": app.GBn, "gbn2": app.GBn2}
OFFSETS = {"gbn2": 0.0195141}


def plain(value):
    return value.value_in_unit_system(unit.md_unit_system) if unit.is_quantity(value) else value


class Differences:
    def __init__(self, what):
        self.what, self.count, self.compared = what, 0, 0

    def check(self, place, ours, theirs, scale=0.0):
        self.compared += 1
        if abs(ours - theirs) > TOLERANCE * max(abs(theirs), abs(ours), scale):
            self.count += 1
            if self.count < 10:
                print(f"{self.what}: {place}: {ours!r}, OpenMM {theirs!r}")

    def same(self, place, ours, theirs):
        self.compared += 1
        if ours != theirs:
            self.count += 1
            if self.count < 10:
                print(f"{self.what}: {place}: {ours!r}, OpenMM {theirs!r}")


def forces(system, kind):
    return [f for f in system.getForces() if isinstance(f, kind)]


def terms_of(system):
    """{kind: sorted rows (atoms, numbers)} of everything bonded, of energies that are not zero."""
    rows = {"bonds": [], "angles": [], "torsions": []}
    for f in forces(system, openmm.HarmonicBondForce):
        for i in range(f.getNumBonds()):
            a, b, length, k = map(plain, f.getBondParameters(i))
            rows["bonds"].append(([a, b], length, k))
    for f in forces(system, openmm.HarmonicAngleForce):
        for i in range(f.getNumAngles()):
            a, b, c, angle, k = map(plain, f.getAngleParameters(i))
            rows["angles"].append(([a, b, c], angle, k))
    for f in forces(system, openmm.PeriodicTorsionForce):
        for i in range(f.getNumTorsions()):
            a, b, c, d, n, phase, k = map(plain, f.getTorsionParameters(i))
            if k != 0:
                rows["torsions"].append(([a, b, c, d], n, phase, k))
    return rows


def compare_bonded(ours, system, found):
    for kind, theirs in terms_of(system).items():
        mine = [row for row in ours.get(kind, []) if kind != "torsions" or row[-1] != 0]
        found.same(f"number of {kind}", len(mine), len(theirs))
        for a, b in zip(sorted(mine), sorted(theirs)):
            found.same(kind, a[0], list(b[0]))
            for x, y in zip(a[1:], b[1:]):
                found.check(f"{kind} {a[0]}", x, y)
    rigid = sorted([[a, b], length] for a, b, length in
                   (map(plain, system.getConstraintParameters(i)) for i in range(system.getNumConstraints())))
    found.same("number of rigid bonds", len(ours.get("rigid_bonds", [])), len(rigid))
    maps = forces(system, openmm.CMAPTorsionForce)
    count = sum(f.getNumTorsions() for f in maps)
    found.same("number of map terms", len(ours.get("correction_terms", [])), count)
    for f in maps:
        for m in range(f.getNumMaps()):
            size, energy = f.getMapParameters(m)
            for i, e in enumerate(plain(energy)):
                found.check(f"map {m} [{i}]", ours["maps"][m][1][i], plain(e), 1.0)
        for t in range(f.getNumTorsions()):
            row = f.getTorsionParameters(t)
            found.same(f"map term {t}", ours["correction_terms"][t],
                       [row[0], list(row[1:5]), list(row[5:9])])


def law(sigma, epsilon):
    return 4 * epsilon * sigma ** 12, 4 * epsilon * sigma ** 6


def pair_law(atoms, exceptions, i, j):
    if (i, j) in exceptions:
        return exceptions[(i, j)]
    a, b = atoms[i], atoms[j]
    return (a[0] * b[0], *law((a[1] + b[1]) / 2, math.sqrt(a[2] * b[2])))


def compare_pairs(ours, system, found):
    """Every pair's charges, A and B, however they are written down."""
    nonbonded, = forces(system, openmm.NonbondedForce)
    n = system.getNumParticles()
    theirs = [tuple(map(plain, nonbonded.getParticleParameters(i))) for i in range(n)]
    exceptions = {}
    for e in range(nonbonded.getNumExceptions()):
        i, j, q, sigma, epsilon = map(plain, nonbonded.getExceptionParameters(e))
        exceptions[(min(i, j), max(i, j))] = (q, *law(sigma, epsilon))
    custom = forces(system, openmm.CustomNonbondedForce)
    if custom:  # NBFIX: a table of √A and B by type
        tables = [custom[0].getTabulatedFunction(k).getFunctionParameters() for k in range(2)]
        types = [int(custom[0].getParticleParameters(i)[0]) for i in range(n)]
    atoms = [(a[6], a[7], a[8]) for a in ours["atoms"]]
    mine = {tuple(e[0]): (e[1], *law(e[2], e[3])) for e in ours.get("exceptions", [])}
    for i in range(n):
        found.check(f"mass {i}", ours["atoms"][i][5], plain(system.getParticleMass(i)))
        found.check(f"charge {i}", atoms[i][0], theirs[i][0])
    for i in range(n):
        for j in range(i + 1, n):
            a = pair_law(atoms, mine, i, j)
            b = pair_law(theirs, exceptions, i, j)
            if custom and (i, j) not in exceptions:
                k = types[i] + tables[0][0] * types[j]
                b = (b[0], tables[0][2][k] ** 2, tables[1][2][k])
            scale = 10 * 12  # of the twelfth power; OpenMM too takes roots of eight digits
            for x, y in zip(a, b):
                found.compared += 1
                if abs(x - y) > scale * TOLERANCE * max(abs(x), abs(y)):
                    found.same(f"pair {i} {j}", a, b)
                    break


def compare_solvent(ours, system, name, found):
    mine = ours["solvent"]
    found.same("solvent", mine["kind"], name)
    if name == "none":
        return
    offset = OFFSETS.get(name, 0.009)
    found.same("offset", mine["offset"], offset)
    native = forces(system, openmm.GBSAOBCForce)
    custom = forces(system, openmm.CustomGBForce)
    for i in range(system.getNumParticles()):
        radius, scale = mine["atoms"][i][:2]
        if native:
            q, r, s = map(plain, native[0].getParticleParameters(i))
            found.check(f"radius {i}", radius, r)
            found.check(f"scale {i}", scale, s)
        else:
            row = custom[0].getParticleParameters(i)
            found.check(f"radius {i}", radius - offset, row[1])
            found.check(f"scale {i}", scale * (radius - offset), row[2])
            if name == "gbn2":
                for x, y in zip(mine["atoms"][i][2:], row[3:6]):
                    found.check(f"tanh {i}", x, y)
    if custom:
        text = custom[0].getEnergyTermParameters(0)[0]
        kappa = float(text.split("kappa=")[1].split(";")[0])
        found.check("kappa", mine["kappa"], kappa)


def dump(program, *arguments):
    ran = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if ran.returncode != 0:
        raise RuntimeError(ran.stderr.strip())
    return json.loads(ran.stdout)


def compare_files(program, path):
    """What is written as PDB and DCD, read by mdtraj where it is there."""
    try:
        import mdtraj
    except ImportError:
        print("skipped: this Python has no mdtraj")
        return 0
    coordinates = Path(path).with_suffix(".inpcrd")
    with tempfile.TemporaryDirectory() as folder:
        ours = dump(program, path, coordinates, "none", 0, 300, folder)
        pdb = mdtraj.load(f"{folder}/molecule.pdb", standard_names=False)
        dcd = mdtraj.load(f"{folder}/frames.dcd", top=pdb)
        bonds = {tuple(sorted(b)) for b in ours["bonded"]}
        found = Differences(f"{Path(path).name} read by mdtraj")
        found.same("frames", dcd.n_frames, 3)
        found.same("bonds", bonds, {tuple(sorted((a.index, b.index))) for a, b in pdb.topology.bonds})
        for i, atom in enumerate(pdb.topology.atoms):
            found.same(f"atom {i}", ours["atoms"][i][4], atom.element.atomic_number)
            found.same(f"residue of {i}", ours["atoms"][i][1], atom.residue.name)
            for d in range(3):
                x = ours["position"][3 * i + d]
                found.same(f"PDB {i} {d}", abs(pdb.xyz[0, i, d] - x) < 0.51e-4, True)
                found.same(f"DCD {i} {d}", abs(dcd.xyz[2, i, d] - x) < 1e-6, True)
    print(f"{found.what}: {found.compared} compared, {found.count} differ")
    return int(found.count > 0)


def main():
    program, topologies = sys.argv[1], sys.argv[2:]
    warnings.simplefilter("ignore")
    failed = 0
    for path in topologies:
        if Path(path).with_suffix(".inpcrd").exists():
            failed += compare_files(program, path)
        topology = app.AmberPrmtopFile(path)
        for name, solvent in SOLVENTS.items():
            for salt in (0.0, 0.15) if name != "none" else (0.0,):
                what = f"{Path(path).name} {name} {salt}"
                try:
                    system = topology.createSystem(implicitSolvent=solvent, rigidWater=False,
                                                   implicitSolventSaltConc=salt * unit.molar)
                except ValueError as error:  # a radius beyond GBn's necks
                    print(f"{what}: OpenMM refuses: {error}")
                    try:
                        dump(program, path, "-", name, salt)
                        failed += 1
                        print(f"{what}: was read")
                    except RuntimeError as refusal:
                        print(f"{what}: so do we: {refusal}")
                    continue
                with tempfile.NamedTemporaryFile("w", suffix=".xml") as xml:
                    xml.write(openmm.XmlSerializer.serialize(system))
                    xml.flush()
                    read = {"prmtop": (path, "-", name, salt)}
                    if not forces(system, openmm.CustomNonbondedForce):
                        read["xml"] = (xml.name,)
                    for how, arguments in read.items():
                        found = Differences(f"{what} by {how}")
                        try:
                            ours = dump(program, *arguments)
                        except RuntimeError as error:
                            print(f"{what} by {how}: {error}")
                            failed += 1
                            continue
                        compare_bonded(ours, system, found)
                        compare_pairs(ours, system, found)
                        compare_solvent(ours, system, name, found)
                        failed += found.count > 0
                        print(f"{found.what}: {found.compared} compared, {found.count} differ")
    print("failed" if failed else "all agree")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
