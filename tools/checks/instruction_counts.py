#!/usr/bin/env python3
"""Instructions that six benchmark kernels execute for AVX2, counted by callgrind: unlike seconds they are the same
whatever else runs on the machine.

usage: instruction_counts.py PROGRAM [--check | --write]
  PROGRAM  the target counted_kernels of a build with tests
  --check  compare with bench/results/instructions.json: exit status 1 where a kernel takes over 3 % more
  --write  write that file, and its table in bench/README.md

Exit status 77 without valgrind or AVX2, and where --check finds another compiler than the table's.
"""
import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
TABLE = SOURCE / "bench" / "results" / "instructions.json"
PAGE = SOURCE / "bench" / "README.md"
BEGIN, END = "<!-- begin: instructions -->\n", "<!-- end: instructions -->"
MOLECULE = [SOURCE / "bench" / "data" / name for name in ("ala2.prmtop", "ala2.inpcrd")]
COUNTED = "microlift::counted(std::function<void ()> const&)"  # tests/project/instructions/kernels.lanes.cpp
TOLERANCE = 1.03
SKIPPED = 77


def missing():
    """Why nothing can be counted here, or nothing."""
    if not shutil.which("valgrind"):
        return "valgrind was not found; tools/build/setup.sh tests installs it"
    flags = re.search(r"^flags.*", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    if not flags or not {"avx2", "fma"} <= set(flags[0].split()):
        return "this machine has no AVX2"
    return None


def totals(folder):
    """Instructions of each call of what is counted, in order."""
    parts = []
    for file in folder.iterdir():
        text = file.read_text(encoding="utf-8", errors="replace")
        if "Trigger: --dump-after" in text:
            parts.append((int(re.search(r"^part: (\d+)", text, re.MULTILINE)[1]),
                          int(re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)[1])))
    return [instructions for _, instructions in sorted(parts)]


def count(program):
    """The table as this program has it."""
    with tempfile.TemporaryDirectory(prefix="microlift_counts_") as folder:
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--collect-atstart=no", f"--toggle-collect={COUNTED}",
             f"--dump-after={COUNTED}", f"--callgrind-out-file={folder}/counts", program, *MOLECULE],
            capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{program} under callgrind: exit status {done.returncode}\n{done.stderr[-2000:]}")
        compiler, *lines = done.stdout.splitlines()
        kernels = []
        for line, instructions in zip(lines, totals(Path(folder)), strict=True):
            name, units, unit = line.split(" ", 2)
            kernels.append({"kernel": name, "unit": unit, "instructions": round(instructions / int(units), 3)})
    return {"compiler": compiler, "march": "x86-64-v3", "kernels": kernels}


def same_compiler(a, b):
    """Of one name and one major.minor version."""
    return re.match(r"\D*\d+\.\d+", a)[0] == re.match(r"\D*\d+\.\d+", b)[0]


def check(new, old):
    """What got worse, as lines; nothing if all is well."""
    wrong = []
    now = {row["kernel"]: row for row in new["kernels"]}
    for row in old["kernels"]:
        name, most = row["kernel"], TOLERANCE * row["instructions"]
        if name not in now:
            wrong.append(f"{name}: not counted any more; write the table anew")
        elif now[name]["instructions"] > most:
            wrong.append(f"{name}: {now[name]['instructions']:.6g} instructions of one {row['unit']}, "
                         f"{row['instructions']:.6g} in the table")
    known = {row["kernel"] for row in old["kernels"]}
    return wrong + [f"{name}: not in the table; write it anew" for name in now if name not in known]


def markdown(table):
    lines = [f"| kernel | instructions for {table['march']}, {table['compiler']} | of one |", "| --- | --- | --- |"]
    lines += [f"| `{row['kernel']}` | {row['instructions']:.5g} | {row['unit']} |" for row in table["kernels"]]
    return "\n".join(lines) + "\n"


def with_table(text, table):
    """The page with the table in its place; ValueError without the markers."""
    begin = text.index(BEGIN) + len(BEGIN)
    return text[:begin] + markdown(table) + text[text.index(END, begin):]


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].replace("%", "%%"))
    parser.add_argument("program", type=Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if why := missing():
        print(f"instruction_counts: {why}", file=sys.stderr)
        return SKIPPED
    new = count(options.program.resolve())
    old = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {"compiler": "", "kernels": []}
    before = {row["kernel"]: row["instructions"] for row in old["kernels"]}
    for row in new["kernels"]:
        change = row["instructions"] / before[row["kernel"]] - 1 if row["kernel"] in before else 0
        print(f"{row['kernel']:16s} {row['instructions']:14.3f} instructions of one {row['unit']} ({100 * change:+.2f} %)")
    if options.write:
        TABLE.write_text(json.dumps(new, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), new), encoding="utf-8")
    elif options.check:
        if not same_compiler(new["compiler"], old["compiler"]):
            print(f"instruction_counts: the table is of {old['compiler']}, this program of {new['compiler']}: "
                  "nothing to compare", file=sys.stderr)
            return SKIPPED
        wrong = check(new, old)
        for line in wrong:
            print("instruction_counts: " + line, file=sys.stderr)
        return 1 if wrong else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
