"""Instructions of a step of a molecule, of machine code that the emulated device says how often it executes."""
import re
import tempfile
from pathlib import Path

from cost import executed_code, profile

SOURCE = "sampling_dynamics_molecule_path.ops.cpp"  # of the kernel, as the target sass names it
# Of each molecule a job in tools/examples, and a warp of replicas there for some steps.
JOBS = {
    "alanine dipeptide": ("alanine_dipeptide", {
        "umbrella.windows": 4, "umbrella.replicas": 8, "umbrella.heat_steps": 0, "umbrella.equilibrate": 0,
        "umbrella.steps": 100, "umbrella.stride": 50}),
    "CLN025": ("chignolin", {
        "umbrella.replicas": 8, "umbrella.temperatures": "[332.0]", "umbrella.equilibrate": 0, "umbrella.steps": 4,
        "umbrella.stride": 2, "umbrella.tempering": 2}),
}
SOLVENTS = {"vacuum": "none", "OBC2": "obc2"}
# Molecule, solvent, lanes of a replica.
CASES = (("alanine dipeptide", "vacuum", 1), ("alanine dipeptide", "OBC2", 1), ("alanine dipeptide", "OBC2", 8),
         ("CLN025", "vacuum", 32), ("CLN025", "OBC2", 1), ("CLN025", "OBC2", 32))


def steps_of(command, molecule, solvent, lanes):
    """(record of the kernel, steps of all its replicas) of a small run on the emulated device. Of a team lanes that wait
    for others count, too."""
    job, sizes = JOBS[molecule]
    text = (profile.ROOT / "tools" / "examples" / f"{job}.toml").read_text(encoding="utf-8")
    sections = re.split(r"^(?=\[)", text.replace("../../", f"{profile.ROOT}/"), flags=re.MULTILINE)
    kernel = "MoleculePathBody" if lanes == 1 else "MoleculeTeamBody"
    with tempfile.TemporaryDirectory(prefix="microlift_cost_") as folder:
        file = Path(folder) / "molecule.toml"
        file.write_text("".join(s for s in sections if not re.match(r"\[(estimate|generator|lifting)\]", s)),
                        encoding="utf-8")
        lines = profile.run_once(command, {**sizes, "system.implicit_solvent": SOLVENTS[solvent]}, folder, file, {},
                                 EMULATOR_COVERAGE=folder, EMULATOR_WHOLE_WARPS=str(int(lanes > 1)),
                                 MICROLIFT_TEAM=str(lanes))
        steps = sum(value for (_, what, name), value in profile.figures(lines).items()
                    if what == "steps" and name.startswith(kernel))
        record, = (r for r in executed_code.records(folder) if kernel in r[0])
    return record, steps


def count(build, command, nvdisasm):
    """{(molecule, solvent, lanes): (kernel, [(opcode, how often the lanes of a replica execute it in a step)])}"""
    found = {}
    for case in CASES:
        record, steps = steps_of(command, *case)
        found[case] = record[0], [(opcode, n / steps) for opcode, n in executed_code.of_kernel(
            build / "sass" / f"{SOURCE}.cubin", record, nvdisasm)]
    return found
