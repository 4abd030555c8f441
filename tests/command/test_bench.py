#!/usr/bin/python3
"""`microlift bench --compare`: figures beside those of a file."""
import copy
import datetime
import json
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import BINARY, Scratch, run  # noqa: E402

FIGURE = {"name": "mbar", "device": "CPU, 2 threads, 16 lanes", "threads": 2, "precision": "float64", "math": "portable",
          "samples_per_second": 100.0, "min": 90.0, "median": 100.0, "max": 110.0}


def figure(name="mbar", rate=100.0, **changes):
    return {**FIGURE, "name": name, "samples_per_second": rate, "median": rate, "min": 0.9 * rate, "max": 1.1 * rate,
            **changes}


class Comparisons(Scratch):
    def file(self, name, content):
        path = self.dir / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def compare(self, old, new, *options, status=0):
        return run(BINARY, "bench", "--compare", self.file("old.json", old), "--with", self.file("new.json", new),
                   *options, status=status)

    def test_ratio_and_range(self):
        lines = self.compare([figure(), figure("generate"), figure("a"), figure("gone")],
                             [figure("generate", 50.0), figure("mbar", 105.0), figure("a", 200.0), figure("fresh")]
                             ).stdout.splitlines()
        rows = {line.split()[0]: line for line in lines if line}
        self.assertIn("samples/s  0.500 (0.409 to 0.611), slower", rows["generate"])
        self.assertTrue(rows["mbar"].endswith("samples/s  1.050 (0.859 to 1.283)"), rows["mbar"])
        self.assertIn("2.000 (1.636 to 2.444), faster", rows["a"])
        self.assertIn(f"not in {self.dir}/old.json: fresh", lines)
        self.assertIn(f"in {self.dir}/old.json alone: gone", lines)

    def test_what_is_no_comparison(self):
        for key, value in (("device", "CPU, 2 threads, 8 lanes"), ("threads", 1), ("precision", "float32"), ("math", "fast"),
                           ("processor", "another")):
            with self.subTest(key):
                done = self.compare([figure(processor="one")], [figure(**{"processor": "one", key: value})])
                before = figure(processor="one")[key]
                self.assertIn(f"no comparison: {key} {value} ({before} before)", done.stdout)
                self.assertNotIn("1.000 (", done.stdout)
        other = figure()
        other["states_per_second"] = other.pop("samples_per_second")
        self.assertIn("no comparison: unit states_per_second (samples_per_second before)",
                      self.compare([figure()], [other]).stdout)
        # Files of before the processor's name stood there.
        self.assertIn("1.000 (", self.compare([figure()], [figure(processor="one", settings="", version="9")]).stdout)

    def test_sizes_are_benchmarks_of_their_own(self):
        old = [figure("ensemble", 10.0, settings="n=10"), figure("ensemble", 20.0, settings="n=20")]
        new = [figure("ensemble", 20.0, settings="n=20"), figure("ensemble", 5.0, settings="n=30")]
        text = self.compare(old, new).stdout
        self.assertIn("ensemble:n=20   2.000e+01  2.000e+01", text)
        self.assertIn("not in " + str(self.dir / "old.json") + ": ensemble:n=30", text)
        self.assertIn("alone: ensemble:n=10", text)

    def test_a_fall_fails_where_asked(self):
        self.compare([figure()], [figure(rate=80.0)])
        self.compare([figure()], [figure(rate=80.0)], "--fail-below", 0.75)
        done = self.compare([figure(), figure("a")], [figure(rate=80.0), figure("a")], "--fail-below", 0.9, status=4)
        self.assertEqual(done.stderr.count("\n"), 1)
        self.assertIn("mbar 0.8", done.stderr)
        self.assertNotIn("a 1", done.stderr)
        self.compare([figure()], [figure()], "--fail-below", "nan", status=2)
        done = self.compare([figure()], [figure(threads=1)], "--fail-below", 0.9, status=2)
        self.assertIn("no rate can be compared", done.stderr)

    def test_malformed_files_are_refused_by_name(self):
        half = copy.deepcopy(FIGURE)
        del half["median"]
        for content, says in (("{", "no JSON"), ("{}", "no list"), ("[1]", "no object"), ('[{"a": 1}]', "no name"),
                              ([half], "'mbar' has no median"), ([figure(min=0)], "'mbar' has no min above 0"),
                              ([figure(max="x")], "'mbar' has no max"), ([figure(min=105.0)], "not in order"),
                              ("[" * 5000, "no JSON")):
            with self.subTest(says):
                good, bad = self.file("good.json", [figure()]), self.file("bad.json", content)
                for sides in ((bad, good), (good, bad)):
                    done = run(BINARY, "bench", "--compare", sides[0], "--with", sides[1], status=2)
                    self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
                    self.assertIn(f"{bad}: not what 'microlift bench --json' writes", done.stderr)
                    self.assertIn(says, done.stderr)
        # Before anything runs.
        self.assertIn("no.json", run(BINARY, "bench", "--compare", self.dir / "no.json", status=2).stderr)
        bad = self.file("bad.json", "")
        self.assertEqual(run(BINARY, "bench", "--compare", bad, status=2).stdout, "")

    def test_options_that_do_not_go_together(self):
        file = self.file("old.json", [figure()])
        for options in (("--with", file), ("--fail-below", 0.9), ("--compare", file, "--with", file, "mbar"),
                        ("--compare", file, "--with", file, "--json", self.dir / "x.json"),
                        ("--compare", file, "--with", file, "--fail-below", 0)):
            run(BINARY, "bench", *options, status=2)

    def test_a_run_beside_an_earlier_one(self):
        file = self.dir / "figures.json"
        words = (BINARY, "bench", "ensemble:n=2000,seconds=0.01,repeats=2", "--threads", 1, "--json", file)
        run(*words)
        once, = json.loads(file.read_text())
        self.assertEqual(once["settings"], "n=2000")
        self.assertEqual(run(BINARY, "--version").stdout.split()[-1], once["version"])
        self.assertLess(abs(datetime.date.fromisoformat(once["date"]) - datetime.date.today()).days, 2)
        # The file that is compared with may be the one that is written.
        text = run(*words, "--compare", file).stdout
        self.assertRegex(text, r"\nensemble:n=2000 +\S+e\S+ +\S+e\S+ +steps/s +\d")
        self.assertIn(f"beside {file} ({once['version']}, {once['date']}", text)


if __name__ == "__main__":
    unittest.main(verbosity=2)
