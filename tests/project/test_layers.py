#!/usr/bin/python3
"""The rules of the source tree: who includes whom, where macros are, how headers and sources look."""
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(os.environ.get("MICROLIFT_SOURCE", Path(__file__).resolve().parents[2]))

# A folder may include itself and what stands here.
BELOW = {
    "kernels": set(),
    "engine": {"kernels"},
    "nn": {"kernels", "engine"},
    "sampling": {"kernels", "engine", "nn"},
    "tools": {"kernels", "engine", "nn", "sampling", "bench"},
    "bench": {"kernels", "engine", "nn", "sampling", "tools"},
    "tests": {"kernels", "engine", "nn", "sampling", "tools", "bench"},
}
# Inside: a folder may include itself and what stands here; a folder that is not named is an error.
BASE = {"sampling/numerics", "sampling/samples", "sampling/formula", "sampling/molecule",
        "sampling/molecule/coordinates", "sampling/molecule/files", "sampling/samples/files"}
MODEL = BASE | {"sampling/dynamics", "sampling/model"}
BIASED = MODEL | {"sampling/bias"}
RARE = {"sampling/rates"}
CLOSED = BIASED | {"sampling/estimate", "sampling/estimate/reweight", "sampling/closure", "sampling/work"}
STAGES = CLOSED | RARE | {"sampling/lift", "sampling/learn", "sampling/run", "sampling/run/config", "sampling/run/files"}
INSIDE = {
    "kernels/lane": set(),
    "kernels/random": {"kernels/lane"},
    "kernels/net": {"kernels/lane"},
    "kernels/block": {"kernels/lane", "kernels/net"},
    "kernels/dynamics": {"kernels/lane", "kernels/random"},
    "kernels/molecule": {"kernels/lane", "kernels/random", "kernels/dynamics"},
    "engine": set(),
    "engine/device": {"engine"},
    "engine/launch": {"engine", "engine/device"},
    "engine/comm": {"engine", "engine/device"},
    "engine/files": {"engine"},
    "engine/config": {"engine"},
    "nn/layers": set(),
    "nn/train": {"nn/layers"},
    "nn/generators": {"nn/layers", "nn/train"},
    "sampling/numerics": set(),
    "sampling/samples": {"sampling/numerics"},
    "sampling/samples/files": {"sampling/numerics", "sampling/samples", "sampling/molecule", "sampling/molecule/files"},
    "sampling/formula": {"sampling/numerics"},
    "sampling/molecule": {"sampling/numerics", "sampling/samples", "sampling/formula"},
    "sampling/molecule/coordinates": {"sampling/numerics", "sampling/molecule"},
    "sampling/molecule/files": {"sampling/numerics", "sampling/molecule"},
    "sampling/dynamics": BASE,
    "sampling/dynamics/systems": BASE | {"sampling/dynamics"},
    "sampling/model": BASE | {"sampling/dynamics"},
    "sampling/bias": MODEL,
    "sampling/bias/plumed": MODEL | {"sampling/bias"},
    "sampling/rates": MODEL,
    "sampling/estimate": BIASED,
    "sampling/estimate/reweight": BIASED | {"sampling/estimate"},
    "sampling/work": BIASED,
    "sampling/lift": BIASED,
    "sampling/learn": BIASED,
    "sampling/closure": CLOSED,
    "sampling/run/config": CLOSED | RARE | {"sampling/lift", "sampling/learn", "sampling/bias/plumed"},
    "sampling/run": CLOSED | RARE | {"sampling/lift", "sampling/learn", "sampling/run/config", "sampling/run/files"},
    "sampling/run/files": CLOSED | {"sampling/run"},
    "sampling/run/stages": STAGES,
    "sampling/run/stages/accuracy": STAGES,
    "sampling/run/stages/bias": STAGES,
    "sampling/run/stages/close": STAGES,
    "sampling/run/stages/consistency": STAGES,
    "sampling/run/stages/molecule": STAGES,
    "sampling/run/stages/taken": STAGES,
    "sampling/run/stages/work": STAGES,
    "sampling/run/stages/rates": STAGES,
}
MOST_PAIRS = 20  # sources with their headers in a folder
TOP_LEVEL = set(BELOW) | {"CMakeLists.txt", "README.md", "LICENSE"}
SUFFIXES = {".h", ".cuh", ".cpp", ".cu"}
MACRO_FILES = {"kernels/lane/lane.h", "kernels/lane/simd.h", "engine/error.h"}
# Switches of other libraries that only a macro can set.
FOREIGN_MACROS = ("TOML_", "DOCTEST_CONFIG_", "CUB_", "THRUST_", "QUALIFIERS")  # the last is cuRAND's
# Words of the machine code's own world that have no place below the engine.
HOST_STATE = re.compile(r"\b(new|malloc|std::vector|std::string|std::thread|cudaMalloc)\b")


def sources():
    for folder in BELOW:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES:
                yield path.relative_to(ROOT), path.read_text(encoding="utf-8")


def without_comments(text):
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)


def include_errors(path, text):
    errors = []
    folder = path.parts[0]
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
        if not match:
            continue
        target = Path(match.group(1))
        where = f"{path}:{number}: includes {target}"
        if target.parts[0] not in BELOW:
            errors.append(f"{where}: not a path from the root")
        elif target.parts[0] != folder and target.parts[0] not in BELOW[folder]:
            errors.append(f"{where}: {folder} may not include {target.parts[0]}")
        elif not (ROOT / target).exists():
            errors.append(f"{where}: no such file")
        elif target.suffix not in {".h", ".cuh", ".inc"}:
            errors.append(f"{where}: not a header")
    return errors


def inside_errors(path, text):
    folder = path.parent.as_posix()
    if path.parts[0] not in {"kernels", "engine", "nn", "sampling"}:
        return []
    if folder not in INSIDE:
        return [f"{path}: {folder} stands in no rule"]
    return [f"{path}: {folder} may not include {target}"
            for target in re.findall(r'^\s*#\s*include\s*"([^"]+)"', text, re.M)
            if Path(target).parts[0] == path.parts[0]
            and Path(target).parent.as_posix() not in INSIDE[folder] | {folder}]


def macro_errors(path, text):
    errors = []
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r"\s*#\s*define\s+(\w+)", line)
        if not match or match.group(1).startswith(FOREIGN_MACROS):
            continue
        name = match.group(1)
        if path.as_posix() not in MACRO_FILES:
            errors.append(f"{path}:{number}: macro {name} outside {sorted(MACRO_FILES)}")
        elif path.name == "simd.h" and not re.search(rf"#undef {name}\b", text):
            errors.append(f"{path}:{number}: macro {name} is not undefined again")
    return errors


TYPE = re.compile(r"^(?:struct|class|enum class|enum) (\w+)\b(?! *;)|^using (\w+) =", re.M)


def types(text):
    return {a or b for a, b in TYPE.findall(text)}


def grouped_errors(files):
    """Types of sources that headers have, too: grouped sources are one unit, which may include both."""
    headers = {name: path for path, text in files if path.suffix == ".h" for name in types(text)}
    return [f"{path}: {name} is also in {headers[name]}" for path, text in files
            if path.suffix == ".cpp" and not re.search(r"\.(ops|lanes)\.cpp$", path.name)
            for own in re.findall(r"^namespace \{\n(.*?)^\}  // namespace$", text, re.M | re.S)
            for name in sorted(types(own) & headers.keys())]


class Layers(unittest.TestCase):
    def check(self, rule):
        errors = [error for path, text in sources() for error in rule(path, text)]
        self.assertEqual([], errors, "\n" + "\n".join(errors))

    def test_there_is_something_to_check(self):
        self.assertGreater(sum(1 for _ in sources()), 20)

    def test_top_level(self):
        listing = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True)
        if listing.returncode != 0:
            self.skipTest("not a git checkout")
        names = {Path(line).parts[0] for line in listing.stdout.splitlines()}
        self.assertEqual(TOP_LEVEL, {name for name in names if not name.startswith(".")})

    def test_includes(self):
        self.check(include_errors)

    def test_includes_inside(self):
        self.check(inside_errors)

    def test_folders_are_small(self):
        stems = {}
        for path, _ in sources():
            stems.setdefault(path.parent, set()).add(path.name.split(".")[0])
        self.assertEqual({}, {folder.as_posix(): len(names) for folder, names in stems.items()
                              if len(names) > MOST_PAIRS})

    def test_macros(self):
        self.check(macro_errors)

    def test_headers_open_with_pragma_once(self):
        self.check(lambda path, text: [f"{path}: no #pragma once"] if path.suffix in {".h", ".cuh"}
                   and not re.search(r"^#pragma once$", text, re.M) else [])

    def test_kernels_have_no_host_state(self):
        self.check(lambda path, text: [f"{path}: {m.group(0)}" for m in
                                       HOST_STATE.finditer(without_comments(text))]
                   if path.parts[0] == "kernels" else [])

    def test_no_using_namespace_in_headers(self):
        self.check(lambda path, text: [f"{path}: using namespace"] if path.suffix in {".h", ".cuh"}
                   and re.search(r"^\s*using namespace", text, re.M) else [])

    def test_names_in_grouped_sources(self):
        library = [(path, text) for path, text in sources()
                   if path.parts[0] in {"kernels", "engine", "nn", "sampling"}]
        errors = grouped_errors(library)
        self.assertEqual([], errors, "\n" + "\n".join(errors))

    def test_the_rules_refuse(self):
        header, source = "struct Rows {\n};\n", "namespace {\nusing Rows = int;\n}  // namespace\n"
        self.assertTrue(grouped_errors([(Path("engine/a.h"), header), (Path("nn/b.cpp"), source)]))
        self.assertFalse(grouped_errors([(Path("engine/a.h"), "struct Rows;\n"), (Path("nn/b.cpp"), source)]))
        self.assertTrue(include_errors(Path("kernels/a.h"), '#include "engine/error.h"'))
        self.assertTrue(include_errors(Path("engine/a.h"), '#include "nn/layers/mlp.h"'))
        self.assertTrue(include_errors(Path("nn/a.h"), '#include "sampling/dynamics/systems.h"'))
        self.assertTrue(include_errors(Path("tools/a.h"), '#include "tests/support/devices.h"'))
        self.assertTrue(include_errors(Path("engine/a.h"), '#include "error.h"'))
        self.assertFalse(include_errors(Path("sampling/a.h"), '#include "kernels/lane/lane.h"'))
        self.assertTrue(inside_errors(Path("nn/layers/a.h"), '#include "nn/train/judge.h"'))
        self.assertTrue(inside_errors(Path("engine/a/b.h"), ""))
        self.assertFalse(inside_errors(Path("nn/train/a.h"), '#include "nn/layers/mlp.h"'))
        self.assertTrue(macro_errors(Path("engine/a.h"), "#define A 1"))
        self.assertTrue(macro_errors(Path("kernels/lane/simd.h"), "#define A 1"))
        self.assertFalse(macro_errors(Path("kernels/lane/simd.h"), "#define A 1\n#undef A"))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
