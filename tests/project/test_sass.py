#!/usr/bin/python3
"""The counted machine code: what its table must hold, and that a worse kernel is refused. CTest's sass_counts counts anew,
where the toolkit and a disassembler are."""
import copy
import json
import os
import sys
import unittest
from pathlib import Path

SOURCE = Path(os.environ.get("MICROLIFT_SOURCE", Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(SOURCE / "tools" / "checks"))
import sass_report  # noqa: E402


class MachineCode(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.table = json.loads((sass_report.RESULTS / "sass.json").read_text(encoding="utf-8"))

    def test_a_step_takes_few_instructions_built_in_and_by_a_formula(self):
        self.assertEqual(85, sass_report.MOST)
        self.assertEqual([], sass_report.too_long(self.table["kernels"]))
        systems = {r["system"] for r in self.table["kernels"] if r["scheme"] == "LeimkuhlerMatthews"
                   and r["cv"] == "x" and r["bias"] == "umbrella"}
        self.assertLessEqual({"MullerBrown", "MullerBrown by formula"}, systems)

    def test_nothing_is_in_local_memory(self):
        for r in self.table["kernels"] + self.table["networks"]:
            self.assertEqual((0, 0), (r["local_instructions"], r["stack_bytes"]), r)

    def test_a_worse_kernel_is_refused(self):
        def wrong(change):
            rows = copy.deepcopy(self.table["kernels"])
            row = next(r for r in rows if sass_report.key(r).startswith("MullerBrown by formula, x, umbrella, Leim"))
            row.update(change)
            return sass_report.check(rows, self.table["networks"], self.table)
        self.assertEqual([], wrong({}))
        self.assertIn("more than 85", wrong({"instructions": 85.5})[0])
        self.assertIn("in the table", " ".join(wrong({"instructions": 120})))
        self.assertIn("local memory", wrong({"stack_bytes": 24})[0])


if __name__ == "__main__":
    unittest.main(verbosity=2)
