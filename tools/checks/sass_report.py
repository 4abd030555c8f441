#!/usr/bin/env python3
"""What the compiled kernels can reach on an H100, without one: disassembles what the build's target `sass`
made, finds the loop over steps of each trajectory kernel in the fast mathematics, also of a formula compiled at
run time, and counts its instructions a trajectory-step by pipe. Of the fused network kernels it counts
tensor-core instructions, registers and local memory. A molecule's step is a walk through tables: how often it
executes each instruction is counted on the emulated device.

usage: sass_report.py BUILD [--tools | --check | --write] [--executed COMMAND…]
  BUILD       a build folder with the CUDA backend, its tests and the target sass, or an object or cubin file
  --tools     only say whether the disassembler is there
  --check     compare with bench/results/sass.json: exit status 1 where a kernel takes over 5 % more
              instructions a step than there, or the Müller-Brown step over 85, a kernel of the library that LOCAL
              does not name uses local memory, or one of a network has no tensor-core instruction
  --write     write bench/results/sass.json and sass.md
  --executed  count steps of a molecule, too, by small runs of this command on the emulated device
              (tools/checks/emulated.sh BUILD BUILD/microlift); --write keeps the table's without it

Needs cuobjdump and nvdisasm: from the CUDA toolkit, from PATH, or from PyPI (nvidia-cuda-cuobjdump and
nvidia-cuda-nvdisasm; tools/build/disassembler.sh BUILD installs them into the build folder). Exit status
77 without them, and where sass was not built.
"""
import argparse
import collections
import functools
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "bench" / "results"
TOLERANCE = 1.05
MOST = 85  # instructions of a step of the Müller-Brown potential, with its own code and by a formula
SKIPPED = 77

# H100 SXM: processors, warp schedulers each, clock; lanes a clock and processor of each pipe; registers
# and warps that a processor holds. CUDA C++ Programming Guide, "Arithmetic Instructions", 9.0.
PROCESSORS, SCHEDULERS, CLOCK = 132, 4, 1.755e9
LANES = {"fma": 128, "imad": 64, "alu": 64, "sfu": 16}
REGISTERS, WARPS, BLOCKS = 65536, 64, 32
THREADS = 256  # of a block: kThreadsPerBlock of engine/launch/lanes.h

DIMENSIONS = {"DoubleWell": 1, "Channel": 2, "HiddenBarrier": 2, "MullerBrown": 2, "FastSlow": 2,
              "MullerBrown by formula": 2}
PRECISIONS = ("tf32", "bf16", "tf32x3", "fp32")  # kernels/lane/precision.h
FORMULA_TEST = "Mueller-Brown as a formula compiles with both mathematics"
# Kernels that may use local memory, and bytes of stack at most. None of them steps a trajectory or a network.
LOCAL = {
    # arrays by variable, as many as a system may have
    "FillKernelBody": 528, "KernelSumsBody": 528, "MultiplyRecomputedBody": 528, "NearestNeighboursBody": 528,
    "LiftedProposalBody": 16, "LiftedWeightBody": 16, "ScoreBatchBody": 16,
    "PortableProductBody": 64,  # 16 sums side by side
    # spills of a few registers
    "BurstDriftBody": 72, "BurstSumsKernel": 96, "ConditionalKernel": 32, "GatherBody": 8, "MeasureKernel": 32,
    "DeviceSegmentedRadixSortKernel": 8,  # CUB's
}
PIPES = ("fma", "imad", "alu", "sfu", "memory", "control", "uniform")
NAMES = {
    "fma": ("FFMA", "FMUL", "FADD", "HFMA2"),
    "imad": ("IMAD",),
    "sfu": ("MUFU", "I2F.", "F2I", "F2F", "FRND", "POPC", "FLO"),
    "memory": ("LD", "ST", "ATOM", "RED"),
    "control": ("BRA", "BSSY", "BSYNC", "EXIT", "NOP", "WARPSYNC", "CALL", "RET", "BREAK", "BMOV"),
    "uniform": ("U", "R2UR", "S2UR", "VOTEU"),
}


def pipe_of(opcode):
    for pipe, prefixes in NAMES.items():
        if opcode.startswith(prefixes):
            return pipe
    return "alu"


def find_tool(name, build=None):
    places = [shutil.which(name), "/usr/local/cuda/bin/" + name]
    if os.environ.get("CUDA_HOME"):
        places.insert(0, os.environ["CUDA_HOME"] + "/bin/" + name)
    for folder in [f"{build}/disassembler", *sys.path]:
        places += sorted(glob.glob(f"{folder}/nvidia/cu*/bin/{name}"))
        places.append(f"{folder}/nvidia/{name[2:] if name.startswith('nv') else name}/bin/{name}")
    for place in places:
        if place and os.access(place, os.X_OK):
            return place
    return None


class Loop:
    """The instructions of one pass through a loop, first to last."""

    def __init__(self, instructions):
        self.opcodes = [opcode for _, opcode, _ in instructions]
        self.pipes = collections.Counter(pipe_of(o) for o in self.opcodes)

    def count(self, prefix):
        return sum(o.startswith(prefix) for o in self.opcodes)


INSTRUCTION = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)\s*([^;]*);")


def instructions_of(sass):
    """(address, opcode, operands) of every instruction of one function's listing."""
    out = []
    for line in sass.splitlines():
        m = INSTRUCTION.match(line)
        if m:
            out.append((int(m[1], 16), m[2], m[3].strip()))
    return out


def loops_of(instructions):
    """[(first, last)] of the loops, inner ones before those around them."""
    at = {address: i for i, (address, _, _) in enumerate(instructions)}
    ranges = set()
    for i, (address, opcode, operands) in enumerate(instructions):
        m = re.search(r"0x([0-9a-f]+)$", operands) if opcode.startswith("BRA") else None
        if m and int(m[1], 16) in at and int(m[1], 16) < address:
            ranges.add((at[int(m[1], 16)], i))
    return sorted(ranges, key=lambda r: r[1] - r[0])


def step_loop(instructions):
    """The innermost loop that draws normals (one lg2 a pair of them); None where there is none."""
    ranges = loops_of(instructions)
    drawing = []
    for first, last in ranges:
        inner = any((a, b) != (first, last) and first <= a and b <= last for a, b in ranges)
        loop = Loop(instructions[first:last + 1])
        if not inner and loop.count("MUFU.LG2"):
            drawing.append(loop)
    return max(drawing, key=lambda loop: loop.count("MUFU.LG2"), default=None)


def describe(name):
    """{system, cv, scheme, rounds, …} of a demangled path kernel in the fast mathematics, or None."""
    m = re.search(r"PathBody<microlift::(\w+), microlift::(\w+)<([^>]*)>, .*?microlift::(\w+Bias|"
                  r"LevelSetConstraint), microlift::(\w+), microlift::(\w+)(?:, \(?(?:int)?\)?(\d+))?>",
                  name)
    if not m or m[6] != "Fast":
        return None
    numbers = re.findall(r"\d+", re.sub(r"\(int\)", "", m[3]))
    cv = "x" if m[2] == "CoordinateCv" else f"{numbers[0]} linear"
    return {"system": m[1], "cv": cv, "bias": "held" if m[4] == "LevelSetConstraint" else "umbrella",
            "scheme": m[5], "rounds": int(m[7] or 10)}


def local_instructions(instructions):
    return sum(o.startswith(("LDL", "STL")) for _, o, _ in instructions)


def row(info, instructions, resources):
    loop = step_loop(instructions)
    if loop is None:
        return None
    steps = 2 * loop.count("MUFU.LG2") / DIMENSIONS[info["system"]]
    registers = resources["REG"]
    held = -(-registers // 8) * 8 * THREADS  # registers of a block
    blocks = min(REGISTERS // held, WARPS * 32 // THREADS, BLOCKS)
    per_step = {pipe: loop.pipes[pipe] / steps for pipe in PIPES}
    return {**info, **bounds(per_step), "registers": registers,
            "stack_bytes": resources.get("STACK", 0), "local_instructions": local_instructions(instructions),
            "warps_of_64": blocks * THREADS // 32}


def bounds(per_step):
    """Instructions of a step by pipe, and the steps a second at most that follow."""
    total = sum(per_step.values())
    limits = {"issue": PROCESSORS * SCHEDULERS * 32 * CLOCK / total}
    for pipe, lanes in LANES.items():
        if per_step[pipe]:
            limits[pipe] = PROCESSORS * lanes * CLOCK / per_step[pipe]
    # The integer products run on half of the FMA lanes.
    limits["fma"] = PROCESSORS * 128 * CLOCK / (per_step["fma"] + 2 * per_step["imad"])
    binding = min(limits, key=limits.get)
    return {"instructions": round(total, 2), **{pipe: round(per_step[pipe], 2) for pipe in PIPES},
            "ceiling_steps_per_second": limits[binding], "issue_ceiling_steps_per_second": limits["issue"],
            "bound_by": binding}


def demangled(names):
    if not names:
        return []
    out = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True)
    return out.stdout.splitlines()


@functools.cache
def functions_of(path, cuobjdump):
    """[(demangled name, instructions, resources)] of the functions of an object."""
    return list(read_functions(path, cuobjdump))


def read_functions(path, cuobjdump):
    def run(*options):
        return subprocess.run([cuobjdump, *options, str(path)], capture_output=True, text=True,
                              check=True).stdout

    architecture = ["-arch", "sm_90"] if path.suffix == ".o" else []
    resources = {}
    name = None
    for line in run("-res-usage", *architecture).splitlines():
        m = re.search(r"Function ([^:\s]+):", line)
        if m:
            name = m[1]
        elif name and "REG:" in line:
            resources[name] = {k: int(v) for k, v in re.findall(r"(\w+):(\d+)", line)}
            name = None
    text = run("-sass", *architecture)
    parts = re.split(r"^\s*Function : (\S+)\s*$", text, flags=re.M)[1:]
    names, bodies = parts[::2], parts[1::2]
    for mangled, readable, body in zip(names, demangled(names), bodies):
        yield readable, instructions_of(body), resources[mangled]


def path_rows(path, cuobjdump):
    for name, instructions, resources in functions_of(path, cuobjdump):
        info = describe(name)
        made = row(info, instructions, resources) if info else None
        if made:
            yield made


def formula_rows(build, cuobjdump, ptxas):
    """The formula that a test hands to NVRTC, assembled from the PTX that it leaves."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([build / "tests" / "microlift_tests", "-tc=" + FORMULA_TEST], check=True,
                       env={**os.environ, "MICROLIFT_WRITE_PTX": folder}, stdout=subprocess.DEVNULL)
        for ptx in sorted(Path(folder).glob("*.ptx")):
            cubin = ptx.with_suffix(".cubin")
            subprocess.run([ptxas, "-arch=sm_90", ptx, "-o", cubin], check=True)
            for _, instructions, resources in functions_of(cubin, cuobjdump):
                yield row({"system": "MullerBrown by formula", "cv": "x", "bias": "umbrella",
                           "scheme": ptx.stem, "rounds": 10}, instructions, resources)


def network_rows(path, cuobjdump):
    for name, instructions, resources in functions_of(path, cuobjdump):
        m = re.search(r"microlift::(\w+)TileKernel<\(microlift::Precision\)(\d)>", name)
        if m:
            yield {"kernel": m[1], "precision": PRECISIONS[int(m[2])],
                   "instructions": len(instructions),
                   "tensor_core_instructions": sum(o.startswith("HMMA") for _, o, _ in instructions),
                   "registers": resources["REG"], "stack_bytes": resources.get("STACK", 0),
                   "local_instructions": local_instructions(instructions)}


DRAWS = {"OurWords": "words, Philox of the project", "CurandWords": "words, Philox of cuRAND",
         "OurNormals": "normals, of the project", "CurandNormals": "normals, of cuRAND"}


def draw_rows(path, cuobjdump):
    """Four numbers in a loop over a trajectory's blocks, and cuRAND's (tests/support/curand_words.cu)."""
    for name, instructions, resources in functions_of(path, cuobjdump):
        m = re.search(r"draw_kernel<.*?(\w+)>", name)
        loops = loops_of(instructions) if m else []
        if loops:
            first, last = loops[-1]
            yield {"draw": DRAWS[m[1]], "instructions": last + 1 - first, "registers": resources["REG"]}


def molecule_rows(build, command, cuobjdump, nvdisasm):
    """Steps of molecules (tools/checks/cost/molecules.py)."""
    from cost import molecules
    for (molecule, solvent, lanes), (kernel, executed) in molecules.count(build, command, nvdisasm).items():
        per_step = dict.fromkeys(PIPES, 0.0)
        for opcode, times in executed:
            per_step[pipe_of(opcode)] += times
        readable, = demangled([kernel])
        instructions, resources = next(
            rest for name, *rest in functions_of(build / "sass" / f"{molecules.SOURCE}.cubin", cuobjdump)
            if name == readable)
        yield {"molecule": molecule, "solvent": solvent, "lanes": lanes, **bounds(per_step),
               "code": len(instructions), "registers": resources["REG"],
               "stack_bytes": resources.get("STACK", 0), "local_instructions": local_instructions(instructions)}


def struct_of(name):
    """The struct that a launch took, of a kernel's demangled name; of another library's kernel its own name."""
    name = name.replace("(anonymous namespace)::", "").removeprefix("void ")
    m = re.search(r"\bmicrolift::(?:lane|index|block|row|team)_kernel<(?:\w+::)*(\w+)", name)
    return m[1] if m else re.sub(r"<.*|\(.*", "", name).split("::")[-1]


def in_local_memory(paths, cuobjdump):
    """{struct: bytes of stack at most} of all kernels that do not live in registers alone: what ptxas spills, and
    arrays that it can not keep there, are both loads and stores of local memory."""
    found = {}
    for path in paths:
        for name, instructions, resources in functions_of(path, cuobjdump):
            if local_instructions(instructions) or resources.get("STACK", 0):
                struct = struct_of(name)
                found[struct] = max(found.get(struct, 0), resources.get("STACK", 0))
    return found


def beyond_registers(found):
    """What is wrong with in_local_memory(), as lines."""
    return [f"{struct}: uses local memory, {size} B of stack, {LOCAL.get(struct, 0)} B are allowed"
            for struct, size in sorted(found.items()) if struct not in LOCAL or size > LOCAL[struct]] + [
        f"{struct}: uses no local memory any more; take it off LOCAL" for struct in LOCAL if struct not in found]


def too_long(rows):
    """Of the job's own step: umbrella windows along a coordinate, plain schemes, ten rounds."""
    return [f"{key(r)}: {r['instructions']} instructions a step, more than {MOST}" for r in rows
            if r["system"].startswith("MullerBrown") and r["cv"] == "x" and r["bias"] == "umbrella"
            and r["scheme"] in ("EulerMaruyama", "LeimkuhlerMatthews") and r["instructions"] > MOST]


def key(r):
    return f"{r['system']}, {r['cv']}, {r['bias']}, {r['scheme']}, {r['rounds']} rounds"


def local_memory(r):
    return f"{r['stack_bytes']} B" if r["local_instructions"] or r["stack_bytes"] else "none"


def markdown(rows, networks, draws, molecules, compiler):
    head = ["kernel", "instructions", "FMA", "IMAD", "ALU", "SFU", "memory", "control", "uniform",
            "registers", "local memory", "warps of 64", "steps/s at most", "bound by"]
    out = ["# Kernels on the H100, counted in their machine code", "",
           "Trajectories: instructions a step in the loop over steps, noise included, fast mathematics. "
           f"{compiler}. The bound is the slowest of issue (132 processors × 4 schedulers × 32 lanes × "
           "1.755 GHz) and of each pipe. Written by `tools/checks/sass_report.py BUILD --write`.", "",
           "| " + " | ".join(head) + " |", "|" + " --- |" + " ---: |" * (len(head) - 2) + " --- |"]
    for r in rows:
        cells = [key(r), f"{r['instructions']:.1f}"] + [f"{r[p]:.1f}" for p in PIPES]
        cells += [str(r["registers"]), local_memory(r), str(r["warps_of_64"]),
                  f"{r['ceiling_steps_per_second']:.2e}", r["bound_by"]]
        out.append("| " + " | ".join(cells) + " |")
    out += ["", "Molecules: a step of a replica, rigid bonds to hydrogens, one biased variable (a dihedral angle of the "
            "dipeptide, the deviation of ten atoms of CLN025), by a lane or by the lanes of a team, those that wait for "
            "others included; how often each instruction is executed was counted on the emulated device.", "",
            "| molecule | lanes | instructions | " + " | ".join(head[2:9]) + " | in the code | registers | local memory | "
            "steps/s at most | bound by |", "| --- |" + " ---: |" * 11 + " --- | ---: | --- |"]
    for r in molecules:
        out.append(f"| {r['molecule']}, {r['solvent']} | {r['lanes']} | {r['instructions']:.0f} | "
                   + " | ".join(f"{r[p]:.0f}" for p in PIPES)
                   + f" | {r['code']} | {r['registers']} | {local_memory(r)} | "
                   f"{r['ceiling_steps_per_second']:.2e} | {r['bound_by']} |")
    out += ["", "Fused kernels of the networks (`nn/generators/gan_tiles.h`); 256 threads a block.", "",
            "| kernel | precision | instructions in the code | of tensor cores | registers | "
            "local memory |", "| --- | --- | ---: | ---: | ---: | --- |"]
    for r in networks:
        out.append(f"| {r['kernel']} | {r['precision']} | {r['instructions']} | "
                   f"{r['tensor_core_instructions']} | {r['registers']} | {local_memory(r)} |")
    out += ["", "Four random numbers of one trajectory, drawn in a loop over its blocks: instructions of the "
            "loop's code, fast mathematics.", "", "| numbers | instructions | registers |",
            "| --- | ---: | ---: |"]
    out += [f"| {r['draw']} | {r['instructions']} | {r['registers']} |" for r in draws]
    return "\n".join(out) + "\n"


def molecule_key(r):
    return r["molecule"], r["solvent"], f"{r['lanes']} lanes"


def longer_molecules(molecules, table):
    """What a molecule's step takes more than in the table, as lines."""
    old = {molecule_key(r): r for r in table.get("molecules", [])}
    wrong = []
    for r in molecules:
        name = molecule_key(r)
        if name not in old:
            wrong.append(f"{', '.join(name)}: not in the table; write it anew")
        elif r["instructions"] > TOLERANCE * old[name]["instructions"]:
            wrong.append(f"{', '.join(name)}: {r['instructions']:.0f} instructions a step, "
                         f"{old[name]['instructions']:.0f} in the table")
    return wrong


def check(rows, networks, table):
    """What got worse, as lines; nothing if all is well."""
    now = {key(r): r for r in rows}
    wrong = []
    for old in table["kernels"]:
        new = now.get(key(old))
        if new is None:
            wrong.append(f"{key(old)}: no such kernel in the build any more")
        elif new["instructions"] > TOLERANCE * old["instructions"]:
            wrong.append(f"{key(old)}: {new['instructions']} instructions a step, "
                         f"{old['instructions']} in the table")
    for r in rows:
        if r["local_instructions"] or r["stack_bytes"]:
            wrong.append(f"{key(r)}: uses local memory")
        if key(r) not in {key(old) for old in table["kernels"]}:
            wrong.append(f"{key(r)}: not in the table; write it anew")
    wrong += too_long(rows)
    named = {(r["kernel"], r["precision"]): r for r in networks}
    for old in table["networks"]:
        name = (old["kernel"], old["precision"])
        r = named.get(name)
        if r is None:
            wrong.append(f"{name[0]}, {name[1]}: no such kernel in the build any more")
        elif not r["tensor_core_instructions"]:
            wrong.append(f"{name[0]}, {name[1]}: no tensor-core instruction")
        elif r["local_instructions"] or r["stack_bytes"]:
            wrong.append(f"{name[0]}, {name[1]}: uses local memory")
    return wrong


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].replace("%", "%%"))
    parser.add_argument("build", type=Path)
    parser.add_argument("--tools", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--executed", nargs="+", metavar="COMMAND")
    options = parser.parse_args()
    cuobjdump, nvdisasm = (find_tool(name, options.build) for name in ("cuobjdump", "nvdisasm"))
    if not cuobjdump or not nvdisasm:
        print("sass_report: cuobjdump or nvdisasm was not found; they come with the CUDA toolkit, or "
              "from PyPI: pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm", file=sys.stderr)
        return SKIPPED
    if options.tools:
        return 0
    os.environ["PATH"] = os.path.dirname(nvdisasm) + os.pathsep + os.environ["PATH"]

    paths, formulas = [options.build], []
    if options.build.is_dir():
        paths = sorted((options.build / "sass").glob("*.cubin"))
        if not paths:
            print(f"sass_report: {options.build} holds no machine code to count; build its target sass",
                  file=sys.stderr)
            return SKIPPED
        formulas = formula_rows(options.build, cuobjdump, find_tool("ptxas") or "ptxas")
    rows = sorted([r for path in paths for r in path_rows(path, cuobjdump)] + list(formulas), key=key)
    networks = sorted((r for path in paths for r in network_rows(path, cuobjdump)),
                      key=lambda r: (r["kernel"], PRECISIONS.index(r["precision"])))
    if not rows:
        print(f"sass_report: no trajectory kernel for sm_90 under {options.build}", file=sys.stderr)
        return 1
    version = subprocess.run([find_tool("nvcc") or "nvcc", "--version"], capture_output=True, text=True)
    m = re.search(r"release .*", version.stdout)
    compiler = "nvcc " + m[0] if m else "nvcc"
    draws = sorted((r for path in paths for r in draw_rows(path, cuobjdump)), key=lambda r: r["draw"])
    table = json.loads((RESULTS / "sass.json").read_text())
    molecules = table.get("molecules", []) if not options.executed else list(
        molecule_rows(options.build, options.executed, cuobjdump, nvdisasm))
    text = markdown(rows, networks, draws, molecules, compiler)
    print(text)
    if options.write:
        (RESULTS / "sass.md").write_text(text)
        (RESULTS / "sass.json").write_text(
            json.dumps({"compiler": compiler, "kernels": rows, "networks": networks, "draws": draws,
                        "molecules": molecules}, indent=1) + "\n")
    if options.check:
        wrong = check(rows, networks, table) + longer_molecules(molecules, table)
        if options.build.is_dir():
            wrong += beyond_registers(in_local_memory(paths, cuobjdump))
        for line in wrong:
            print("sass_report: " + line, file=sys.stderr)
        if wrong:
            print(f"sass_report: the table was made with {table['compiler']}, this is {compiler}",
                  file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
