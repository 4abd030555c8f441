#!/usr/bin/env python3
"""Checks who includes whom: kernels <- engine <- nn <- sampling <- {tools, bench, tests}.

    python3 tools/check_layers.py [ROOT]

Also: every include in quotes exists and is a path from the root; heavy or foreign headers stay in
their one place; macros are defined only where the house rules allow them. Exit status 1 and one
line for each finding.
"""
import re
import sys
from pathlib import Path

MAY_INCLUDE = {
    "kernels": {"kernels"},
    "engine": {"kernels", "engine"},
    "nn": {"kernels", "engine", "nn"},
    "sampling": {"kernels", "engine", "nn", "sampling"},
}
MAY_INCLUDE["tools"] = MAY_INCLUDE["sampling"] | {"tools", "bench"}
MAY_INCLUDE["bench"] = MAY_INCLUDE["sampling"] | {"bench"}
MAY_INCLUDE["tests"] = MAY_INCLUDE["sampling"] | {"tests", "tools", "bench"}

SUFFIXES = {".h", ".cpp", ".cu", ".cuh"}
# Headers that only one file may include, because they are slow to compile or a dependency that has
# to stay replaceable.
ONLY_IN = {
    "toml++": {"engine/config.cpp"},
    "hdf5.h": {"engine/checkpoint.cpp"},
}
# The names of the C preprocessor that others define, or that a test needs.
MACRO_FILES = {"kernels/lane.h", "engine/error.h"}
MACRO_FREE = ("kernels", "engine", "nn", "sampling", "bench", "tools")
MACRO_PREFIXES = ("TOML_", "DOCTEST_")

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)
DEFINE = re.compile(r"^\s*#\s*define\s+(\w+)", re.MULTILINE)


def without_comments(text):
    """The text with comments blanked, strings kept."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)
    return token.sub(lambda m: m[0] if m[0].startswith('"') else re.sub(r"[^\n]", " ", m[0]), text)


def check_file(root, path):
    """Findings of one file as 'path:line: text'."""
    name = path.relative_to(root).as_posix()
    folder = name.split("/")[0]
    raw = path.read_text(encoding="utf-8")
    # A raw string may hold source of another program, for example a kernel made at run time.
    text = without_comments(re.sub(r'R"(\w*)\(.*?\)\1"', lambda m: "\n" * m[0].count("\n"), raw,
                                   flags=re.DOTALL))
    found = []

    def report(match, what):
        found.append(f"{name}:{text.count(chr(10), 0, match.start(2 if match.re is INCLUDE else 1)) + 1}: {what}")

    for match in INCLUDE.finditer(text):
        quoted, target = match[1] == '"', match[2]
        for only, files in ONLY_IN.items():
            if only in target and name not in files:
                report(match, f"includes {target}; only {', '.join(sorted(files))} may")
        first = target.split("/")[0]
        if not quoted:
            if first in MAY_INCLUDE:
                report(match, f'includes <{target}>; write "{target}"')
            continue
        if first not in MAY_INCLUDE or not (root / target).is_file():
            report(match, f"includes \"{target}\", which is no path from the root")
        elif first not in MAY_INCLUDE[folder]:
            report(match, f"{folder}/ includes \"{target}\"; it may include only "
                   + ", ".join(f"{f}/" for f in sorted(MAY_INCLUDE[folder])))
    if folder in MACRO_FREE and name not in MACRO_FILES:
        local = set(re.findall(r"^\s*#\s*undef\s+(\w+)", text, re.MULTILINE))
        for match in DEFINE.finditer(text):
            if match[1] not in local and not match[1].startswith(MACRO_PREFIXES):
                report(match, f"defines the macro {match[1]}; only "
                       + " and ".join(sorted(MACRO_FILES)) + " may")
    return found


def check(root):
    """(number of files read, findings)."""
    found, files = [], 0
    for folder in MAY_INCLUDE:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in SUFFIXES and path.is_file():
                files += 1
                found += check_file(root, path)
    return files, found


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve()
    files, found = check(root)
    for line in found:
        print(line)
    if files == 0:
        print(f"{root}: no sources found")
        return 1
    print(f"check_layers: {files} files, {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
