"""Instructions of a step of a molecule, of machine code that the emulated device says how often it executes."""
import re
import tempfile
from pathlib import Path

from cost import executed_code, profile

JOB = profile.ROOT / "tools" / "examples" / "alanine_dipeptide.toml"
SOURCE = "sampling_dynamics_molecule_path.ops.cpp"  # of the kernel, as the target sass names it
# A warp for a hundred steps.
SIZES = {"umbrella.windows": 4, "umbrella.replicas": 8, "umbrella.heat_steps": 0, "umbrella.equilibrate": 0,
         "umbrella.steps": 100, "umbrella.stride": 50}
SOLVENTS = {"vacuum": {}, "OBC2": {"system.implicit_solvent": "obc2"}}


def steps_of(command, settings):
    """(record of the kernel, steps of all its lanes) of a small run on the emulated device."""
    text = JOB.read_text(encoding="utf-8").replace("../../", f"{profile.ROOT}/")
    sections = re.split(r"^(?=\[)", text, flags=re.MULTILINE)
    with tempfile.TemporaryDirectory(prefix="microlift_cost_") as folder:
        job = Path(folder) / "molecule.toml"
        job.write_text("".join(s for s in sections if not re.match(r"\[(estimate|generator|lifting)\]", s)),
                       encoding="utf-8")
        lines = profile.run_once(command, {**SIZES, **settings}, folder, job, {}, EMULATOR_COVERAGE=folder)
        steps = sum(value for (_, what, kernel), value in profile.figures(lines).items()
                    if what == "steps" and kernel.startswith("MoleculePathBody"))
        record, = (r for r in executed_code.records(folder) if "MoleculePathBody" in r[0])
    return record, steps


def count(build, command, nvdisasm):
    """{solvent: (kernel, [(opcode, how often a lane executes it in a step)])}"""
    found = {}
    for solvent, settings in SOLVENTS.items():
        record, steps = steps_of(command, settings)
        found[solvent] = record[0], [(opcode, n / steps) for opcode, n in executed_code.of_kernel(
            build / "sass" / f"{SOURCE}.cubin", record, nvdisasm)]
    return found
