#!/usr/bin/python3
"""What the pages say is true: commands run, configurations are valid, C++ compiles and gives the right
answer, tables are those of the program, links lead somewhere. Over every *.md of the repository; what
may stand in their blocks says tools/docs/README.md.

    /usr/bin/python3 tests/project/test_docs.py --write    writes the program's tables into the pages
"""
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import BINARY, SOURCE  # noqa: E402
TOP = ("bench", "engine", "kernels", "nn", "sampling", "tests", "tools")
README_BYTES, FOLDER_LINES, PICTURE_BYTES = 8192, 30, 300_000
# Pages of a folder that are more than its map.
LONG = {"README.md", "bench/README.md", "tools/examples/README.md"}
CHANGES = "tools/docs/CHANGELOG.md"  # may name what is no more
TABLE = re.compile(r"(<!-- begin: microlift ([^\n]*) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAMED = re.compile(r"^(?:#|//) ([\w./-]+\.(?:toml|cpp|h|txt))$")
NOT_RUN = re.compile(r"#.*\[(GPU|network|long)\]")
LANGUAGES = {"sh", "toml", "cpp", "cmake", "text", "python"}
# A run on a page is shortened: no key is larger than here.
LARGEST = {
    "umbrella.replicas": 32, "umbrella.equilibrate": 2000, "umbrella.steps": 20000,
    "generator.iterations": 300, "generator.validate_every": 100, "generator.validation_states": 1000,
    "lifting.values": 5, "lifting.states": 1000, "lifting.heal_steps": 100, "lifting.proposals": 256,
    "coupling.rounds": 1, "coupling.equilibrate": 1000, "coupling.steps": 2000, "coupling.iterations": 100,
    "coupling.windows": 4, "closure.values": 12, "closure.replicas": 64, "closure.passages": 64,
    "closure.passage_steps": 20000, "closure.relaxation": 1e6, "closure.committor_runs": 64,
    "learn.points": 1000, "rates.replicas": 32, "rates.steps": 1000,
}


def pages():
    found = [SOURCE / "README.md"] + [p for top in TOP for p in sorted((SOURCE / top).rglob("*.md"))]
    return {p.relative_to(SOURCE).as_posix(): p.read_text(encoding="utf-8") for p in found}


def blocks(text):
    """(language, line number, text) of each."""
    return [(m[1], text[:m.start()].count("\n") + 2, m[2]) for m in BLOCK.finditer(text)]


def prose(text):
    return BLOCK.sub("", text)


def anchors(text):
    """Of the headings, as GitHub makes them."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            for heading in re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE)}


def links(page, text):
    """(file, anchor) of each link within the repository, the file from its root."""
    for target in LINK.findall(prose(text)):
        if not re.match(r"[a-z]+:", target):
            file, _, anchor = target.partition("#")
            path = os.path.normpath(os.path.join(os.path.dirname(page), file)) if file else page
            yield path, anchor


def settings(words):
    """The --set KEY=VALUE of a command."""
    return [w for i, w in enumerate(words) if w == "--set" or words[i - 1] == "--set"]


def reading_order():
    """The pages as links lead to them from the README."""
    text, order = pages(), ["README.md"]
    for page in order:
        order += dict.fromkeys(f for f, _ in links(page, text[page]) if f in text and f not in order)
    return order


def run(command, status=0, **options):
    done = subprocess.run(command if isinstance(command, str) else [str(c) for c in command],
                          capture_output=True, text=True, timeout=400, check=False, **options)
    assert done.returncode == status, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


class Pages(unittest.TestCase):
    def check(self, rule):
        errors = [f"{page}: {error}" for page, text in pages().items() for error in rule(page, text)]
        self.assertEqual([], errors, "\n" + "\n".join(errors))

    def test_sizes(self):
        self.assertLessEqual((SOURCE / "README.md").stat().st_size, README_BYTES)
        self.check(lambda page, text: ["over 30 lines"] if page.endswith("README.md")
                   and page not in LONG and text.count("\n") > FOLDER_LINES else [])

    def test_every_folder_has_a_readme(self):
        folders = {p.parent for top in TOP for p in (SOURCE / top).rglob("*")
                   if p.is_file() and "__pycache__" not in p.parts}
        folders |= {f for folder in folders for f in folder.parents if f.is_relative_to(SOURCE)}
        self.assertEqual([], sorted(str(f) for f in folders if not (f / "README.md").is_file()))

    def test_links(self):
        text = pages()
        self.check(lambda page, own: [
            f"no {file}{'#' * bool(anchor)}{anchor}" for file, anchor in links(page, own)
            if not (SOURCE / file).exists() or anchor and anchor not in anchors(text.get(file, ""))])
        self.assertEqual(set(text), set(reading_order()), "pages that no link leads to")

    def test_files_that_are_named(self):
        """`folder/file.suffix` and `folder/` in the text, with wildcards, too; a source by its name alone;
        scripts in commands."""
        paths = re.compile(r"`(?:\./)?((?:%s)/[\w./*-]*(?:\.\w+|/))`" % "|".join(TOP))
        in_blocks = re.compile(r"(?:^|\s)(?:\./)?((?:tools|tests|bench)/[\w./-]+\.(?:sh|py|toml))\b")
        names = re.compile(r"`([a-z][a-z0-9_.]*\.(?:h|cuh|cpp|cu|py|sh|cmake|inc))`")
        known = {p.name for top in TOP for p in (SOURCE / top).rglob("*.*")}
        self.check(lambda page, text: [] if page == CHANGES else [
            f"no {name}" for name in {*paths.findall(text), *in_blocks.findall(text)}
            if not any(SOURCE.glob(name.rstrip("/")))] + sorted(set(names.findall(text)) - known))

    def test_scripts_and_pictures(self):
        text = "".join(pages().values())
        for name in set(re.findall(r"\./(tools/\w+\.sh)", text)):
            self.assertTrue(os.access(SOURCE / name, os.X_OK), name)
            run(["sh", "-n", SOURCE / name])
        for page, own in pages().items():
            for file, _ in links(page, own):
                if file.endswith(".png"):
                    self.assertLess((SOURCE / file).stat().st_size, PICTURE_BYTES, file)

    def test_blocks_are_of_a_kind_that_is_tested(self):
        self.check(lambda page, text: [f"{line}: a block of '{language}'" for language, line, _
                                       in blocks(text) if language not in LANGUAGES]
                   + ["a block with words behind its language, or without an end"]
                   * (len(re.findall(r"^\s*```", text, re.MULTILINE)) != 2 * len(blocks(text))))

    def test_tables_are_those_of_the_program(self):
        found = []
        for page, text in pages().items():
            for _, command, table, _ in TABLE.findall(text):
                found.append(command)
                self.assertEqual(run([BINARY, *command.split()]), table,
                                 f"{page}: run: python3 tests/project/test_docs.py --write")
        self.assertEqual(["check --keys", "check --plumed", "systems --markdown"], sorted(found))


class Blocks(unittest.TestCase):
    """All blocks in reading order, in one copy of the source tree with the build folder in it."""

    def setUp(self):
        scratch = Path(tempfile.mkdtemp(prefix="microlift_docs_"))
        self.addCleanup(shutil.rmtree, scratch, ignore_errors=True)
        self.dir = scratch / "microlift"
        self.dir.mkdir()
        for name in (*TOP, "README.md", "CMakeLists.txt"):
            copy = shutil.copytree if (SOURCE / name).is_dir() else shutil.copy
            copy(SOURCE / name, self.dir / name)
        (self.dir / "build").symlink_to(BINARY.parent)
        (scratch / "home").mkdir()
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("MICROLIFT_")}
        self.environment["HOME"] = str(scratch / "home")
        self.environment["PATH"] = f"{Path(sys.executable).parent}:{self.environment['PATH']}"
        cache = BINARY.parent / "CMakeCache.txt"
        self.compiler = "c++"
        if cache.is_file():
            self.compiler = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.*)$", cache.read_text(), re.MULTILINE)[1]
        self.environment["CXX"] = self.compiler
        self.can_build = (BINARY.parent / "cmake_install.cmake").is_file()
        self.output, self.not_run = {}, []

    def shell(self, line):
        return run(line, shell=True, cwd=self.dir, env=self.environment)

    def shortened(self, line):
        """A run of microlift with no more work than LARGEST says, and without its report."""
        words = shlex.split(line)
        if words[:2] != ["./build/microlift", "run"]:
            return line
        full = tomllib.loads(self.shell(shlex.join([words[0], "check", words[2], *settings(words)])))
        for key, largest in LARGEST.items():
            section, name = key.split(".")
            if key == "rates.steps" and full.get(section, {}).get("method") != "weighted_ensemble":
                continue
            if full.get(section, {}).get("enabled", True) and full.get(section, {}).get(name, 0) > largest:
                words += ["--set", f"{key}={largest}"]
        return shlex.join([*words, "--quiet", "--no-report"])

    def command(self, where, line):
        mark, line = NOT_RUN.search(line), re.sub(r"\s+#.*", "", line)
        words = shlex.split(line)
        if line in self.output:
            return
        if mark:
            self.not_run.append(f"{where}: {line} ({mark[1]})")
            if words[:2] == ["./build/microlift", "run"]:
                self.shell(shlex.join([words[0], "check", words[2], *settings(words)]))
        elif not self.can_build and (words[0] == "cmake" or "/build/" in words[0][len("./build/"):]):
            self.not_run.append(f"{where}: {line} (the program does not lie in a build folder)")
        else:
            self.output[line] = self.shell(self.shortened(line))

    def toml(self, text):
        """A file, or a part of one: its tables and keys in place of those of an example."""
        name = NAMED.match(text.splitlines()[0])
        if name:
            (self.dir / name[1]).write_text(text, encoding="utf-8")
        else:
            part = tomllib.loads(text)
            whole = tomllib.loads((self.dir / "tools/examples/formula_2d.toml").read_text(encoding="utf-8"))
            for key, value in part.items():
                keep = isinstance(value, dict) and key not in ("system", "cv")
                whole[key] = {**whole.get(key, {}), **value} if keep else value
            (self.dir / "part.toml").write_text(as_toml(whole), encoding="utf-8")
        self.shell(f"./build/microlift check {name[1] if name else 'part.toml'}")

    def cpp(self, text):
        name = NAMED.match(text.splitlines()[0])
        if name:
            (self.dir / name[1]).parent.mkdir(exist_ok=True)
            (self.dir / name[1]).write_text(text, encoding="utf-8")
            return
        self.assertNotIn("int main", text, "a program needs a name, and a CMakeLists.txt beside it")
        (self.dir / "part.cpp").write_text(text, encoding="utf-8")
        self.shell(f"{self.compiler} -std=c++20 -march=native -I. -fsyntax-only part.cpp")

    def test_all(self):
        text = pages()
        for page in reading_order():
            lists = "".join(b for language, _, b in blocks(text[page]) if language == "cmake")
            for language, _, block in blocks(text[page]):
                name = NAMED.match(block.splitlines()[0]) if language == "cpp" else None
                if name and name[1].endswith(".cpp"):
                    self.assertIn(Path(name[1]).name, lists, f"{page}: nothing builds it")
            for language, number, block in blocks(text[page]):
                with self.subTest(page=page, line=number):
                    if language == "sh":
                        for line in re.sub(r"\\\n\s*", "", block).splitlines():
                            self.command(f"{page}:{number}", line)
                    elif language == "toml":
                        self.toml(block)
                    elif language in ("cpp", "cmake"):
                        self.cpp(block)
        for line in self.not_run:
            print("not run:", line, flush=True)
        self.every_command_is_shown()
        self.the_users_run()
        self.the_users_rates()
        if self.can_build:
            self.the_users_programs()

    def every_command_is_shown(self):
        known = re.findall(r"^  (\w+) ", run([BINARY, "--help"]).partition("Subcommands:")[2], re.MULTILINE)
        shown = {shlex.split(line)[1] for line in self.output if line.startswith("./build/microlift ")}
        self.assertEqual(set(known), shown)

    def the_users_run(self):
        """mine.toml: the files of the table, and states that have the law they should."""
        table = pages()["tools/docs/running.md"]
        first_cells = " ".join(re.findall(r"^\| (`.*?) \|", table.partition("## What comes out")[2].partition("## ")[0],
                                          re.MULTILINE))
        listed = set(re.findall(r"`(\w+\.(?:csv|h5|toml|json|html|safetensors|pdb|dcd|log)|[A-Z]+)`", first_cells))
        written = {p.name for p in (self.dir / "out" / "mine").iterdir() if p.name[0] != "."}
        of_others = {"energies.csv", "correlation.csv", "input_samples.safetensors",  # lifting.energies, [samples]
                     "bias.csv", "bias.h5", "convergence.csv", "COLVAR", "HILLS", "temperatures.csv", "work.csv",
                     "steered.csv", "annealing.csv", "string.csv", "rates.csv", "rates.h5",  # [bias], [rates]
                     "torsions.h5", "lifted_torsions.h5", "lifted.dcd", "reference.pdb",  # molecules
                     "input_initial.csv", "input_cv_1.json"}
        self.assertEqual(set(), of_others - listed)
        self.assertEqual(written, listed - of_others)
        for name in ("states.npy", "healed.npy"):
            states = np.load(self.dir / name)
            self.assertEqual((1000, 2), states.shape)
            # Both hold x at 0.3, up to the rounding of single precision.
            self.assertLess(np.abs(states[:, 0] - 0.3).max(), 1e-5)
        # y given x is N(0.6 sin 0.6, 1/40): healing, 20 relaxation times long, has forgotten the
        # generator. Five standard errors.
        y = states[:, 1]
        self.assertLess(abs(y.mean() - 0.6 * np.sin(0.6)), 5 * np.sqrt(1 / 40 / 1000))

    def the_users_rates(self):
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

    def the_users_programs(self):
        """Programs in C++ compile without warnings, and print a value, its error and the exact one."""
        builds = "".join(out for line, out in self.output.items() if "cmake --build" in line)
        self.assertNotIn("warning", builds)
        programs = [line for line in self.output if re.fullmatch(r"\./(\w+)/build/\1", line)]
        self.assertTrue(programs)
        for line in programs:
            with self.subTest(program=line):
                value, error, exact = map(float, re.search(
                    r"= (\S+) \+- (\S+), exactly (\S+)$", self.output[line]).groups())
                self.assertGreater(error, 0)
                self.assertLess(error, 0.05 * abs(exact))
                self.assertLess(abs(value - exact), 4 * error)


class Refusals(unittest.TestCase):
    def test_an_unknown_benchmark_and_an_unwritable_file_are_refused(self):
        run([BINARY, "bench", "muller_browm"], status=2)
        run([BINARY, "bench", "fast_slow", "--json", "/nowhere/x.json"], status=2)


def as_toml(config):
    """JSON's text but for tables."""
    def value(v):
        if isinstance(v, dict):
            return "{" + ", ".join(f"{k} = {value(w)}" for k, w in v.items()) + "}"
        return "[" + ", ".join(map(value, v)) + "]" if isinstance(v, list) else json.dumps(v)
    single = [f"{k} = {value(v)}" for k, v in config.items() if not isinstance(v, dict)]
    tables = ["\n".join([f"[{name}]", *(f"{k} = {value(v)}" for k, v in table.items())])
              for name, table in config.items() if isinstance(table, dict)]
    return "\n".join(single + tables) + "\n"


def write_tables():
    for page, text in pages().items():
        new = TABLE.sub(lambda m: m[1] + run([BINARY, *m[2].split()]) + m[4], text)
        if new != text:
            (SOURCE / page).write_text(new, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write_tables()
    else:
        unittest.main(verbosity=2)
