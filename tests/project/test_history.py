#!/usr/bin/python3
"""Rates over time and instructions that are counted: what is kept, what is refused, and the tables of bench/README.md."""
import json
import os
import sys
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import BINARY, SOURCE, Scratch, run  # noqa: E402

sys.path[:0] = [str(SOURCE / "bench"), str(SOURCE / "tools" / "checks")]
import history  # noqa: E402
import instruction_counts  # noqa: E402

FIX = "run: python3 bench/history.py"


class History(Scratch):
    def test_page_has_the_tables(self):
        text = history.PAGE.read_text(encoding="utf-8")
        self.assertEqual(history.with_table(text), text, FIX)
        counts = json.loads(instruction_counts.TABLE.read_text(encoding="utf-8"))
        self.assertEqual(instruction_counts.with_table(text, counts), text, "run: instruction_counts.py PROGRAM --write")

    def test_figures_of_a_run_are_kept(self):
        file = self.dir / "rates.json"
        run(BINARY, "bench", "ensemble:n=2000,seconds=0.01,repeats=2", "--threads", 1, "--json", file)
        figures = json.loads(file.read_text())
        figures[0]["cpu_share"] = 0.95
        figures.append({**figures[0], "name": "mbar", "settings": "", "cpu_share": 0.85})
        file.write_text(json.dumps(figures))
        with mock.patch.object(history, "HISTORY", self.dir / "history.csv"), \
                mock.patch.object(history, "PAGE", self.dir / "page.md"):
            history.PAGE.write_text(f"before\n{history.BEGIN}{history.END}\nafter\n")
            for commit in ("1", "2"):
                with mock.patch.object(sys, "argv", ["history.py", str(file), "--commit", commit]), \
                        mock.patch.object(sys, "stdout", open(os.devnull, "w")), \
                        mock.patch.object(sys, "stderr", open(os.devnull, "w")):
                    history.main()
            rows = history.read()
            self.assertEqual([("ensemble:n=2000", "1", "1"), ("ensemble:n=2000", "2", "1")],
                             [(r["benchmark"], r["commit"], r["threads"]) for r in rows])
            self.assertAlmostEqual(1, float(rows[0]["rate"]) / figures[0]["median"], 3)
            self.assertRegex(history.PAGE.read_text(), r"\| `ensemble:n=2000` \| .*, 1 \| steps/s \| .* \| 1\.00 \(20.*\) \|\n<!-- end")


class Instructions(unittest.TestCase):
    OLD = {"compiler": "GCC 12.2.0", "kernels": [{"kernel": k, "unit": "step", "instructions": 100.0} for k in "ab"]}

    def table(self, **counts):
        return {"kernels": [{"kernel": k, "unit": "step", "instructions": v} for k, v in counts.items()]}

    def test_more_than_three_per_cent_is_refused(self):
        self.assertEqual([], instruction_counts.check(self.table(a=102.9, b=50), self.OLD))
        wrong, = instruction_counts.check(self.table(a=103.1, b=100), self.OLD)
        self.assertEqual("a: 103.1 instructions of one step, 100 in the table", wrong)
        gone, fresh = instruction_counts.check(self.table(a=100, c=1), self.OLD)
        self.assertIn("b: not counted any more", gone)
        self.assertIn("c: not in the table", fresh)

    def test_counts_are_of_one_compiler(self):
        for other, same in (("GCC 12.2.1", True), ("GCC 12.3.0", False), ("GCC 13.2.0", False), ("GCC 1.2", False)):
            self.assertEqual(same, instruction_counts.same_compiler("GCC 12.2.0", other), other)

    def test_table_has_six_kernels(self):
        table = json.loads(instruction_counts.TABLE.read_text(encoding="utf-8"))
        self.assertEqual(6, len(table["kernels"]))
        self.assertEqual([], instruction_counts.check(table, table))


if __name__ == "__main__":
    unittest.main(verbosity=2)
