"""United-atom butane, whose free energy along its torsion is that torsion's potential, and chains made of it: files
of an OpenMM System, a structure and a run, and a test case that has them."""
import re

import numpy as np

from command import Scratch, command_line, run

R = 8.31446261815324e-3  # kJ/(mol K)
C = [355.03 * R, -68.19 * R, 791.32 * R]  # kJ/mol

BUTANE = f"""<?xml version="1.0" ?>
<System type="System" version="1">
<Particles>{'<Particle mass="15"/>' * 4}</Particles>
<Constraints/>
<Forces>
<Force type="HarmonicBondForce" version="2" usesPeriodic="0"><Bonds>
{''.join(f'<Bond p1="{i}" p2="{i + 1}" d=".153" k="100000"/>' for i in range(3))}
</Bonds></Force>
<Force type="HarmonicAngleForce" version="2" usesPeriodic="0"><Angles>
{''.join(f'<Angle p1="{i}" p2="{i + 1}" p3="{i + 2}" a="1.95" k="500"/>' for i in range(2))}
</Angles></Force>
<Force type="PeriodicTorsionForce" version="2" usesPeriodic="0"><Torsions>
<Torsion p1="0" p2="1" p3="2" p4="3" periodicity="1" phase="0" k="{C[0]}"/>
<Torsion p1="0" p2="1" p3="2" p4="3" periodicity="2" phase="{np.pi}" k="{C[1]}"/>
<Torsion p1="0" p2="1" p3="2" p4="3" periodicity="3" phase="0" k="{C[2]}"/>
</Torsions></Force>
</Forces>
</System>
"""
SYSTEM = """[system]
kind = "molecule"
topology = "butane.xml"
coordinates = "butane.pdb"
[cv]
variables = [{ name = "phi", kind = "dihedral", atoms = [0, 1, 2, 3] }]
[integrator]
dt = 0.002
friction = 5.0
"""
CONFIG = "seed = 5\n" + SYSTEM + """[umbrella]
from = -3.141592653589793
to = 3.141592653589793
windows = 18
stiffness = 40
replicas = 64
equilibrate = 2000
steps = 10000
stride = 100
heat_steps = 2000
[estimate]
bins = 72
"""


def butane_pdb():
    r, theta, phi = 1.53, 1.95, np.pi
    s, c = r * np.sin(theta), -r * np.cos(theta)
    atoms = [(-c, s, 0), (0, 0, 0), (r, 0, 0), (r + c, s * np.cos(phi), s * np.sin(phi))]
    lines = [f"ATOM  {i + 1:5d}  C{i + 1}  BUT A   1    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           C"
             for i, (x, y, z) in enumerate(atoms)]
    return "\n".join([*lines, "END", ""])


def energy(phi):
    return C[0] * (1 + np.cos(phi)) + C[1] * (1 - np.cos(2 * phi)) + C[2] * (1 + np.cos(3 * phi))


def pdb_of(places):
    lines = [f"ATOM  {i + 1:5d}  C{i + 1}  CHN A   1    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           C"
             for i, (x, y, z) in enumerate(10 * np.asarray(places))]
    return "\n".join([*lines, "END", ""])


def pentane():
    """Butane with one atom more, and the same energy of both torsions: they do not know of one another."""
    def grown(text, entry):
        """With a copy of each such entry, one atom further, of the last place."""
        found = re.findall(rf"<{entry} [^/]*/>", text)
        first = {"Bond": 2, "Angle": 1, "Torsion": 0}[entry]
        more = [re.sub(r'p(\d)="(\d+)"', lambda m: f'p{m[1]}="{int(m[2]) + 1}"', line)
                for line in found if f'p1="{first}"' in line]
        return text.replace(found[-1], found[-1] + "".join(more))
    text = BUTANE.replace("<Particles>", '<Particles><Particle mass="15"/>')
    for entry in ("Bond", "Angle", "Torsion"):
        text = grown(text, entry)
    up = 0.5 * (np.pi - 1.95)
    steps = [0.153 * np.array([np.cos(up), (-1)**k * np.sin(up), 0]) for k in range(4)]
    return text, pdb_of(np.vstack([np.zeros(3), np.cumsum(steps, axis=0)]))


def write_butane(folder):
    """The files that SYSTEM names."""
    (folder / "butane.xml").write_text(BUTANE)
    (folder / "butane.pdb").write_text(butane_pdb())


class ButaneScratch(Scratch):
    def setUp(self):
        super().setUp()
        write_butane(self.dir)
        self.config = self.dir / "butane.toml"
        self.config.write_text(CONFIG)

    def go(self, name, *changes, options=("--quiet", "--no-report")):
        out = self.dir / name
        run(*command_line(self.config, out, *changes, options=options))
        return out

    def refused(self, text, *changes):
        out = self.dir / "refused"
        done = run(*command_line(self.config, out, *changes), status=2)
        self.assertIn(text, done.stderr)
        self.assertFalse(out.exists())
