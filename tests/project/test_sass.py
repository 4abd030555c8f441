#!/usr/bin/python3
"""The counted machine code: what its table must hold, and that a worse kernel is refused. CTest's sass_counts counts anew,
where the toolkit and a disassembler are."""
import copy
import json
import os
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(os.environ.get("MICROLIFT_SOURCE", Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(SOURCE / "tools" / "checks"))
import sass_report  # noqa: E402
from cost import executed_code  # noqa: E402


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
        for r in self.table["kernels"]:
            self.assertEqual((0, 0), (r["local_instructions"], r["stack_bytes"]), r)
        for r in self.table["networks"]:
            self.assertEqual((0, 0), (r["local_instructions"], r["stack_bytes"]), r)

    def test_local_memory_is_named(self):
        self.assertFalse({"PathBody", "PassageBody", "StoredPassageBody", "MoleculePathBody", "MoleculeTeamBody", "MoleculeForcesBody",
                          "CriticTileKernel", "GeneratorTileKernel", "GenerateTileKernel"} & set(sass_report.LOCAL))
        self.assertEqual("PathBody", sass_report.struct_of(
            "void microlift::lane_kernel<microlift::PathBody<microlift::X, microlift::Fast>, float>(long long)"))
        self.assertEqual("KeepAliveBody", sass_report.struct_of(
            "void microlift::index_kernel<microlift::KeepAliveBody>(long long, microlift::KeepAliveBody)"))
        self.assertEqual("MoleculePathBody", sass_report.struct_of(
            "void microlift::row_kernel<microlift::MoleculePathBody<microlift::Fast>, float>(long long)"))
        self.assertEqual("MoleculeTeamBody", sass_report.struct_of(
            "void microlift::team_kernel<microlift::MoleculeTeamBody<microlift::Fast> >(long long, int, int)"))
        self.assertEqual("Scan", sass_report.struct_of("void cub::Scan<int>(int)"))
        self.assertEqual("SumBody", sass_report.struct_of(
            "void microlift::index_kernel<microlift::(anonymous namespace)::SumBody>(long long)"))
        allowed = dict(sass_report.LOCAL)
        self.assertEqual([], sass_report.beyond_registers(allowed))
        self.assertIn("PathBody: uses local memory, 24 B",
                      sass_report.beyond_registers({**allowed, "PathBody": 24})[0])
        self.assertEqual(len(allowed), len(sass_report.beyond_registers({})))
        self.assertEqual(1, len(sass_report.beyond_registers({**allowed, "CountSamples": 100})))
        spilled = [(0, "STL", "[R1], R4"), (16, "FADD", "R2, R2, R3"), (32, "LDL.LU", "R4, [R1]")]
        self.assertEqual(2, sass_report.local_instructions(spilled))

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

    def test_instructions_go_with_the_statements_that_they_are_of(self):
        # A loop of three turns a lane that the assembler has unrolled by three, for 32 lanes, and what comes before it:
        # lines 10 and 11, 20 to 22.
        of_ptx = [(10, "ld.global.f32"), (11, "mul.wide.s32"), (20, "ld.global.f32"), (21, "fma.rn.f32"),
                  (22, "setp.lt.s32")]
        lanes = [32, 32, 96, 96, 96]
        code = [("LDG.E", 10, True), ("IMAD.WIDE", 11, False)]
        code += [("LDG.E", 20, k == 0) if n == 0 else ("FFMA", 21, False) for k in range(3) for n in range(2)]
        code += [("ISETP.LT.AND", 22, False), ("BRA", 22, False), ("EXIT", 22, True)]
        times = executed_code.times(code, of_ptx, lanes)
        self.assertEqual([32, 32] + 6 * [32] + [32, 32], times[:-1])
        self.assertEqual(96, times[-1])  # no operation that tells: as often as its statement

    def test_records_and_digests_are_those_of_the_emulated_device(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "7.covered").write_text("k 5 32*2,0*1\nend\n")
            self.assertEqual([("k", 5, [32, 32, 0])], executed_code.records(folder))
        # FNV-1a of "a" and of nothing, each with a zero behind it.
        self.assertEqual(0x089be207b544f1e4, executed_code.digest(["a"]))

    def test_a_longer_step_of_a_molecule_is_refused(self):
        self.assertEqual({"vacuum", "OBC2"}, {r["solvent"] for r in self.table["molecules"]})
        for row in self.table["molecules"]:
            self.assertEqual((0, 0), (row["local_instructions"], row["stack_bytes"]), row)
        row = {"molecule": "m", "solvent": "vacuum", "lanes": 1, "instructions": 1000.0}
        table = {"molecules": [row]}
        self.assertEqual([], sass_report.longer_molecules([{**row, "instructions": 1049.0}], table))
        self.assertIn("1051 instructions a step, 1000", sass_report.longer_molecules(
            [{**row, "instructions": 1051.0}], table)[0])
        for other in ({"solvent": "OBC2"}, {"lanes": 8}):
            self.assertIn("not in the table", sass_report.longer_molecules([{**row, **other}], table)[0])


if __name__ == "__main__":
    unittest.main(verbosity=2)
