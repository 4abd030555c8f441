#!/usr/bin/python3
"""What the README shows is true: its tables are those of the program, its configurations are valid,
its commands run, its C++ example compiles against the installed library and gives the right answer.

Blocks are marked behind the language: `sh test` is run, `toml check FILE` is checked and kept as
FILE for the commands, `cpp build FILE` and `cmake build FILE` are the files of the example.

    /usr/bin/python3 tests/project/test_docs.py --write    writes the tables of systems and keys
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

SOURCE = Path(os.environ.get("MICROLIFT_SOURCE", Path(__file__).resolve().parents[2]))
BINARY = Path(os.environ.get("MICROLIFT_BINARY", SOURCE / "build" / "microlift"))
README = SOURCE / "README.md"
TABLE = re.compile(r"(<!-- begin: microlift ([^\n]*) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# The README's run, shortened: the same stages in seconds.
SHORTER = ["--set", "generator.iterations=300", "--set", "generator.validate_every=100",
           "--set", "lifting.heal_steps=100", "--set", "lifting.states=1000",
           "--set", "lifting.values=5", "--quiet"]


def run(command, status=0, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=400,
                          **options)
    assert done.returncode == status, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def blocks(language, mark):
    """(words behind the mark, text) of every such block."""
    found = []
    for kind, info, text in BLOCK.findall(README.read_text(encoding="utf-8")):
        words = info.split()
        if kind == language and words[:1] == [mark]:
            found.append((words[1:], text))
    assert found, f"the README has no block '{language} {mark}'"
    return found


class Readme(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="microlift_readme_"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def test_tables_are_those_of_the_program(self):
        tables = TABLE.findall(README.read_text(encoding="utf-8"))
        self.assertEqual(["systems --markdown", "check --keys"], [t[1] for t in tables])
        for _, command, text, _ in tables:
            self.assertEqual(run([BINARY, *command.split()]), text,
                             "run: python3 tests/project/test_docs.py --write")

    def test_commands_and_configurations(self):
        (self.dir / "tools").symlink_to(SOURCE / "tools")
        for (name,), text in blocks("toml", "check"):
            (self.dir / name).write_text(text)
            run([BINARY, "check", name], cwd=self.dir)
        ran = []
        for _, text in blocks("sh", "test"):
            for line in text.splitlines():
                words = line.split()
                self.assertEqual("./build/microlift", words[0], line)
                extra = SHORTER if words[1] == "run" else []
                run([BINARY, *words[1:], *extra], cwd=self.dir)
                ran.append(words[1])
        self.assertEqual({"info", "systems", "check", "bench", "run", "generate", "report"},
                         set(ran))

        listed = set(re.findall(r"^\| `([\w.]+\.(?:csv|h5|toml|json|html|safetensors))` \|",
                                README.read_text(encoding="utf-8"), re.MULTILINE))
        written = {p.name for p in (self.dir / "out" / "mine").iterdir() if p.name[0] != "."}
        of_rings = {"energies.csv", "correlation.csv"}  # with lifting.energies
        self.assertEqual(written, listed - of_rings)
        for name in ("states.npy", "healed.npy"):
            states = np.load(self.dir / name)
            self.assertEqual((1000, 2), states.shape)
            # Both hold x at 0.3, up to the rounding of single precision.
            self.assertLess(np.abs(states[:, 0] - 0.3).max(), 1e-5)
        # y given x is N(0.6 sin 0.6, 1/40): healing, 20 relaxation times long, has forgotten the
        # generator. Five standard errors.
        y = states[:, 1]
        self.assertLess(abs(y.mean() - 0.6 * np.sin(0.6)), 5 * np.sqrt(1 / 40 / 1000))

        results = json.loads((self.dir / "rates.json").read_text())
        self.assertEqual(["muller_brown", "formula"], [r["name"] for r in results])
        for result in results:
            for key in ("device", "threads", "precision", "math", "steps_per_second", "min",
                        "median", "max", "checks"):
                self.assertIn(key, result)
            self.assertLessEqual(result["min"], result["median"])
            self.assertLessEqual(result["median"], result["max"])
            if "share_of_ceiling" in result:
                self.assertGreater(result["clock_hz"], 1e8)
        self.assertAlmostEqual(results[1]["ratio_to_builtin"],
                               results[1]["steps_per_second"]
                               / results[1]["builtin_steps_per_second"],
                               delta=0.5 * results[1]["ratio_to_builtin"])

    def test_an_unknown_benchmark_and_an_unwritable_file_are_refused(self):
        run([BINARY, "bench", "muller_browm"], status=2)
        run([BINARY, "bench", "fast_slow", "--json", self.dir / "none" / "x.json"], status=2)

    def test_scripts_exist(self):
        text = README.read_text(encoding="utf-8")
        for name in set(re.findall(r"(?:\./)?(tools/\w+\.(?:sh|py|toml))", text)):
            self.assertTrue((SOURCE / name).is_file(), name)
        for name in re.findall(r"\]\(([^)]+\.png)\)", text):
            self.assertLess((SOURCE / name).stat().st_size, 300_000)
        for name in re.findall(r"\./(tools/\w+\.sh)", text):
            self.assertTrue(os.access(SOURCE / name, os.X_OK), name)
            run(["sh", "-n", SOURCE / name])

    @unittest.skipUnless((BINARY.parent / "cmake_install.cmake").is_file(), "not a build folder")
    def test_cpp_example(self):
        example, prefix = self.dir / "banana", self.dir / "prefix"
        example.mkdir()
        for language in ("cpp", "cmake"):
            for (name,), text in blocks(language, "build"):
                (example / name).write_text(text)
        cache = (BINARY.parent / "CMakeCache.txt").read_text()
        compiler = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.*)$", cache, re.MULTILINE)[1]
        run(["cmake", "--install", BINARY.parent, "--prefix", prefix])
        run(["cmake", "-S", example, "-B", example / "build", f"-DCMAKE_PREFIX_PATH={prefix}",
             f"-DCMAKE_CXX_COMPILER={compiler}"])
        self.assertNotIn("warning", run(["cmake", "--build", example / "build"]))
        out = run([example / "build" / "banana"])
        value, error = map(float, re.match(r"F\(0\) - F\(1\) = (\S+) \+- (\S+),", out).groups())
        self.assertLess(error, 0.05)
        self.assertLess(abs(value - 1), 4 * error)


def write_tables():
    def table(match):
        return match[1] + run([BINARY, *match[2].split()]) + match[4]
    README.write_text(TABLE.sub(table, README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write_tables()
    else:
        unittest.main(verbosity=2)
