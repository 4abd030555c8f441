#!/usr/bin/python3
"""What ptxas reported of the kernels that the target `sass` assembles (sass/*.ptxas in the build folder): a
trajectory kernel keeps its state in registers. And what the linked program holds, needs and defines.

usage: test_cuda_build.py BUILD_FOLDER
"""
import json
import os
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

BUILD = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ["MICROLIFT_BUILD"])
ENTRY = re.compile(
    r"Compiling entry function '(?P<name>[^']+)' for '(?P<arch>[^']+)'"
    r".*?(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads.*?Used (?P<registers>\d+) registers", re.S)

STEPPING = re.compile("PathBody|PassageBody|MoleculeForcesBody")  # of names of kernels that move trajectories


def kernels(text):
    """(name, architecture, registers, stack bytes, spill bytes) of every kernel in a ptxas report."""
    for m in ENTRY.finditer(text):
        yield (m["name"], m["arch"], int(m["registers"]), int(m["stack"]),
               int(m["stores"]) + int(m["loads"]))


def readable(names):
    try:
        out = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True,
                             check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return names
    return [name.replace("microlift::", "").removeprefix("void ") for name in out]


def symbols(path, *options):
    out = subprocess.run(["nm", *options, str(path)], capture_output=True, text=True, check=True)
    return out.stdout.splitlines()


class CudaBuild(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        reports = sorted((BUILD / "sass").glob("*.ptxas"))
        cls.kernels = [k for path in reports for k in kernels(path.read_text())]

    def setUp(self):
        if "registers" in self._testMethodName and not self.kernels:
            self.skipTest("the target sass was not built")

    def test_path_kernels_stay_in_registers(self):
        paths = [k for k in self.kernels if STEPPING.search(k[0])]
        # Five systems, three integrators, two mathematics at the least.
        self.assertGreaterEqual(len({k[0] for k in paths}), 16)
        for name, (_, arch, registers, stack, spill) in zip(readable([k[0] for k in paths]), paths):
            print(f"{arch} {registers:4d} registers {stack:4d} B stack {spill:4d} B spills  {name}")
        bad = [k for k in paths if k[3] or k[4]]
        self.assertEqual([], bad)

    def test_spills_of_registers_elsewhere_are_listed(self):
        others = [k for k in self.kernels if not STEPPING.search(k[0]) and (k[3] or k[4])]
        for name, (_, arch, registers, stack, spill) in zip(readable([k[0] for k in others]), others):
            print(f"note: {arch} {registers} registers, {stack} B stack, {spill} B spills: {name}")

    def test_architectures(self):
        """Those asked for; else of the GPU at hand, and PTX alone where there is none."""
        made = {code for command in json.loads((BUILD / "compile_commands.json").read_text())
                if command["file"].endswith(".cu")
                for codes in re.findall(r"arch=compute_\d+a?,code=(\S+)", command["command"])
                for code in re.findall(r"(?:sm|compute)_\d+a?", codes)}
        asked = re.search(r"^CMAKE_CUDA_ARCHITECTURES:\w+=(.+)$",
                          (BUILD / "CMakeCache.txt").read_text(), re.MULTILINE)
        if asked:
            numbers = {re.match(r"\d+a?", a)[0] for a in asked[1].split(";")}
            self.assertEqual(numbers, {code.split("_")[1] for code in made})
        elif shutil.which("nvidia-smi"):
            self.assertTrue(any(code.startswith("sm_") for code in made), made)
        else:
            self.assertEqual({"compute_90"}, made)

    def test_report_is_understood(self):
        text = ("ptxas info    : Compiling entry function '_Zx' for 'sm_90'\n"
                "ptxas info    : Function properties for _Zx\n"
                "    8 bytes stack frame, 4 bytes spill stores, 16 bytes spill loads\n"
                "ptxas info    : Used 40 registers, used 1 barriers\n")
        self.assertEqual([("_Zx", "sm_90", 40, 8, 20)], list(kernels(text)))

    def test_passes_share_no_launcher(self):
        """A host template that both passes define would be merged by the linker into either one."""
        host, cuda = set(), set()
        for path in BUILD.rglob("*.o"):
            if not path.name.endswith((".ops.cpp.o", ".cu.o")):
                continue
            into = cuda if path.name.endswith(".cu.o") else host
            for line in symbols(path):
                kind, name = line.split()[-2:]
                if kind in "WVu" and "microlift" in name:
                    into.add(name)
        self.assertTrue(host and cuda)
        launchers = re.compile(r"\d(for_each_lane|for_each_index|for_each_block|run_lanes|"
                               r"TypedPathKernel|typed_path_kernel|make_path_kernel)")
        shared = sorted(host & cuda)
        for name in readable(shared):
            print("note: defined by both passes:", name)
        self.assertEqual([], [name for name in shared if launchers.search(name)])

    def test_starts_without_a_driver(self):
        program = BUILD / "microlift"
        needed = subprocess.run(["readelf", "-d", str(program)], capture_output=True, text=True,
                                check=True).stdout
        self.assertNotRegex(needed, r"NEEDED.*libcuda\.so")
        subprocess.run([str(program), "--version"], check=True, capture_output=True)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
