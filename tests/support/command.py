"""The built command in tests: where it and the sources are, runs of it, and the tables that it writes."""
import csv
import json
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import numpy as np

SOURCE = Path(os.environ.get("MICROLIFT_SOURCE", Path(__file__).resolve().parents[2]))
BINARY = Path(os.environ.get("MICROLIFT_BINARY", SOURCE / "build" / "microlift")).resolve()
EXAMPLES = SOURCE / "tools" / "examples"


def settings(changes):
    """--set for each change."""
    return [word for change in changes for word in ("--set", change)]


def command_line(config, out, *changes, options=("--quiet", "--no-report")):
    """The command line of a run."""
    return [str(BINARY), "run", str(config), "-o", str(out), *map(str, options), *settings(changes)]


def run(*words, status=0, **options):
    """Runs a program and asserts its exit status."""
    done = subprocess.run([str(word) for word in words],
                          **{"capture_output": True, "text": True, "timeout": 600, **options})
    assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


# Of a run's files those that hold times, and what holds them inside.
TIMED = {"metrics.json", "checkpoint.h5", "report.html", "status.json", "run.log", ".lock"}


def bytes_of(folder):
    """What a run left, by name: the same for any threads and processes, and after being killed."""
    return {f.name: f.read_bytes() for f in sorted(Path(folder).iterdir()) if f.name not in TIMED}


def metrics(folder):
    return json.loads((Path(folder) / "metrics.json").read_text())


def keys_of_others(folder):
    """Warnings of a run that name keys of [umbrella], [bias] or [samples] where its configuration has no such table, or
    ones that no configuration has."""
    known = set(re.findall(r"^\| `([a-z_.]+)", (SOURCE / "tools" / "docs" / "keys.md").read_text(), re.MULTILINE))
    tables = set(re.findall(r"^\[(\w+)", (Path(folder) / "config.toml").read_text(), re.MULTILINE))
    return [(key, text) for text in metrics(folder).get("warnings", [])
            for key in re.findall(r"\b(?:umbrella|bias|samples)\.[a-z_]+\b", text)
            if key not in (known | {"samples.h5", "bias.csv"}) or (key in known and key.split(".")[0] not in tables)]


def rows(path):
    """The lines of a CSV file by the names in its first."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def table(path):
    """The numbers of a CSV file without its first line."""
    with open(path, newline="") as file:
        return np.array([[float(cell) for cell in row] for row in list(csv.reader(file))[1:]])


class Scratch(unittest.TestCase):
    """A test with a folder of its own, self.dir."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="microlift_")
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)


class Case(Scratch):
    """Runs of configurations that a test writes, and refusals of one line."""

    def go(self, text, *changes, name="run", options=("--quiet", "--no-report"), status=0):
        """The folder of a run; where it is to fail, what it said."""
        (self.dir / f"{name}.toml").write_text(text)
        done = run(*command_line(self.dir / f"{name}.toml", self.dir / name, *changes, options=options), status=status)
        if status:
            return done
        if (self.dir / name / "metrics.json").exists():
            self.assertEqual(keys_of_others(self.dir / name), [])
        return self.dir / name

    def refused(self, text, *changes):
        (self.dir / "bad.toml").write_text(text)
        done = run(*command_line(self.dir / "bad.toml", self.dir / "bad", *changes), status=2)
        lines = done.stderr.strip().splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        return lines[0]
