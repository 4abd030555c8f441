"""How often each instruction of a kernel's machine code is executed, without a GPU: the emulated device counts the
lanes that execute each statement of its PTX, and the machine code says which statement each instruction is of.

Most operations of floats, loads and stores are one instruction for one statement; where the assembler has made
copies of them (loops that it unrolls), each is executed an equal part of the times. What else stands in a basic block
goes with these."""
import re
import struct
import subprocess
from pathlib import Path

LINE = re.compile(r'\s*//## File "\.nv_debug_ptx_txt", line (\d+)')
INSTRUCTION = re.compile(r"\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)")
LABEL = re.compile(r"\.L_[\w.]+:")
ENDS = ("BRA", "EXIT", "RET", "CALL", "BRX", "BSYNC", "WARPSYNC")  # of a basic block
ALIKE = [(re.compile(pattern), prefixes) for pattern, prefixes in (
    (r"ld\.(?!param|shared|local|const)", ("LDG", "LD.")), (r"st\.(?!param|shared|local)", ("STG", "ST.")),
    (r"ld\.shared", ("LDS",)), (r"st\.shared", ("STS",)),
    (r"fma\.\S*f32", ("FFMA",)), (r"(?:add|sub)\.\S*f32", ("FADD",)), (r"mul\.\S*f32", ("FMUL",)),
    (r"(?:rsqrt|rcp|ex2|lg2|sin|cos|tanh|sqrt)\.approx", ("MUFU",)))]


def records(folder):
    """[(kernel, digest of its opcodes, lanes that executed each instruction of its PTX)] of what processes on the
    emulated device have left in a folder (tests/emulator/coverage/record.h)."""
    rows = [line.split() for file in Path(folder).glob("*.covered")
            for line in file.read_text(encoding="utf-8").splitlines() if line != "end"]
    return [(name, int(digest), [int(lanes) for run in runs.split(",") for lanes, times in (run.split("*"),)
                                 for _ in range(int(times))]) for name, digest, runs in rows]


def digest(opcodes):
    """As the emulated device has it: FNV-1a."""
    found = 14695981039346656037
    for byte in b"".join(opcode.encode() + b"\0" for opcode in opcodes):
        found = (found ^ byte) * 1099511628211 % 2**64
    return found


def section(path, name):
    """The bytes of a section of an ELF file of 64 bits; nothing where there is none."""
    data = path.read_bytes()
    start, = struct.unpack_from("<Q", data, 0x28)
    size, count, strings = struct.unpack_from("<HHH", data, 0x3A)
    heads = [struct.unpack_from("<IIQQQQIIQQ", data, start + k * size) for k in range(count)]
    for head in heads:
        begin = heads[strings][4] + head[0]
        if data[begin:data.index(b"\0", begin)].decode() == name:
            return data[head[4]:head[4] + head[5]]
    return b""


def statements(cubin, name):
    """[(line, opcode)] of the kernel in the PTX that its machine code was made from."""
    lines = section(cubin, ".nv_debug_ptx_txt").decode().split("\0")
    entry = next((k for k, line in enumerate(lines) if f".entry {name}(" in line), None)
    if entry is None:
        raise ValueError(f"{cubin} does not say which PTX {name} is of; build the target sass anew")
    found = []
    for k in range(lines.index("{", entry) + 1, len(lines)):
        text = re.sub(r"//.*", "", lines[k])
        if text.strip() == "}":
            break
        for part in re.sub(r"^\s*\$?[\w$]+:", "", text).split(";"):
            words = re.sub(r"^[\s{}]*(?:@!?%?\w+)?", "", part).split()
            if words and not words[0].startswith("."):
                found.append((k + 1, words[0]))
    return found


def machine_code(cubin, name, nvdisasm):
    """[(opcode, line of PTX, whether a basic block begins)] of the kernel."""
    text = subprocess.run([nvdisasm, "-gp", "-c", cubin], capture_output=True, text=True, check=True).stdout
    begin = text.index(f"\n.text.{name}:")
    end = text.find("\n//-----", begin)
    found, line, begins = [], 0, True
    for row in text[begin:end if end > 0 else None].splitlines():
        if m := LINE.match(row):
            line = int(m[1])
        elif LABEL.match(row.strip()):
            begins = True
        elif m := INSTRUCTION.match(row):
            found.append((m[1], line, begins))
            begins = m[1].startswith(ENDS)
    return found


def prefixes_of(opcode):
    return next((prefixes for pattern, prefixes in ALIKE if pattern.match(opcode)), None)


def times(code, of_ptx, lanes):
    """How often each instruction of machine_code() is executed, lanes being those of the statements of_ptx."""
    at = {}
    for (line, opcode), n in zip(of_ptx, lanes):
        at[line] = (max(n, at.get(line, (0,))[0]), prefixes_of(opcode))
    copies = {}
    for opcode, line, _ in code:
        if line in at and at[line][1] and opcode.startswith(at[line][1]):
            copies[line] = copies.get(line, 0) + 1
    found, first = [0.0] * len(code), 0
    while first < len(code):
        last = first + 1
        while last < len(code) and not code[last][2]:
            last += 1
        known = {k: at[line][0] / copies[line] for k, (opcode, line, _) in enumerate(code[first:last], first)
                 if line in copies and opcode.startswith(at[line][1])}
        rest = list(known.values()) or [at[line][0] for _, line, _ in code[first:last] if line in at]
        mean = sum(rest) / len(rest) if rest else 0.0
        found[first:last] = [known.get(k, mean) for k in range(first, last)]
        first = last
    return found


def of_kernel(cubin, record, nvdisasm):
    """[(opcode, how often it is executed)] of the kernel of a record."""
    name, made_from, lanes = record
    of_ptx = statements(cubin, name)
    if digest(opcode for _, opcode in of_ptx) != made_from:
        raise ValueError(f"{cubin} was made from another PTX than what was executed; build all anew")
    code = machine_code(cubin, name, nvdisasm)
    return [(opcode, n) for (opcode, _, _), n in zip(code, times(code, of_ptx, lanes))]
