#!/usr/bin/python3
"""The cost model: its arithmetic on code and sizes made up for it, that a worse bound is refused, and that the small
job launches and waits no more than its table says."""
import copy
import json
import math
import re
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import BINARY, SOURCE  # noqa: E402

sys.path.insert(0, str(SOURCE / "tools" / "checks"))
import cost_model  # noqa: E402
from cost import profile, stages, table, work  # noqa: E402
from cost.device import GPUS, LAUNCH, limits  # noqa: E402
from cost.machine_code import Kernel, bytes_of  # noqa: E402

# address, opcode, operands: two instructions, a loop of four with two lg2, one store, the end.
CODE = [(0x00, "LDG.E.64", "R2, [R4]"), (0x10, "FADD", "R2, R2, R3"),
        (0x20, "MUFU.LG2", "R5, R2"), (0x30, "MUFU.LG2", "R6, R3"), (0x40, "FFMA", "R2, R5, R6, R2"),
        (0x50, "BRA", "0x20"), (0x60, "STG.E", "[R4], R2"), (0x70, "EXIT", ""), (0x80, "BRA", "0x80")]


def measured():
    """A job whose every figure is known: lanes = (3 + 2 batch) * replicas, launches = 4 * iterations, and
    trajectory-steps."""
    def run(replicas, batch, iterations, steps, equilibrate):
        return {"sample|lanes|GatherBody": (3 + 2 * batch) * replicas,
                "sample|steps|": 28 * replicas * (steps + equilibrate),
                "sample|launches|GatherBody": 4 * iterations, "sample|waits|": 7}
    small = {key: pair[0] for key, pair in profile.SIZES.items()}
    keys = ("umbrella.replicas", "generator.batch", "generator.iterations", "umbrella.steps",
            "umbrella.equilibrate")
    runs = {"small": run(*(small[k] for k in keys))}
    for key in small:
        sizes = {**small, key: 2 * small[key]}
        runs[key] = run(*(sizes[k] for k in keys))
    return runs


class Model(unittest.TestCase):
    def test_sizes_of_production(self):
        figures = profile.at_production(measured())
        size = {key: pair[1] for key, pair in profile.SIZES.items()}
        self.assertAlmostEqual(1, figures["sample", "lanes", "GatherBody"] / (
            (3 + 2 * size["generator.batch"]) * size["umbrella.replicas"]), 9)
        self.assertAlmostEqual(1, figures["sample", "launches", "GatherBody"] / (
            4 * size["generator.iterations"]), 9)
        self.assertEqual(7, figures["sample", "waits", ""])
        self.assertAlmostEqual(1, figures["sample", "steps", ""] / (28 * size["umbrella.replicas"] * (
            size["umbrella.steps"] + size["umbrella.equilibrate"])), 9)

    def test_code_of_a_lane(self):
        kernel = Kernel(CODE, {"REG": 10})
        pipes, moved = kernel.lane()
        self.assertEqual(9, sum(pipes.values()))
        self.assertEqual(8 + 4, moved)
        # 50 steps, two lg2 to a pass through the loop: 25 passes of four instructions.
        pipes, moved = kernel.lane((50, "MUFU.LG2", 1))
        self.assertEqual(5 + 25 * 4, sum(pipes.values()))
        self.assertEqual((50, 12), (pipes["sfu"], moved))
        self.assertEqual((1, 2, 4, 8, 16, 4, 0), tuple(map(bytes_of, (
            "LDG.E.U8.CONSTANT", "STG.E.U16", "LDG.E.CONSTANT", "LDG.E.64", "STG.E.128", "RED.E.ADD", "LDS.64"))))
        with self.assertRaises(ValueError):
            kernel.lane((50, "MUFU.EX2", 1))

    def test_what_binds(self):
        h100, h200 = GPUS
        copy_of = limits(h100, 1e9, {"memory": 2, "alu": 2}, 8e9)
        self.assertEqual("bandwidth", max(copy_of, key=copy_of.get))
        self.assertAlmostEqual(8e9 / 3.35e12, copy_of["bandwidth"])
        self.assertLess(limits(h200, 1e9, {"memory": 2}, 8e9)["bandwidth"], copy_of["bandwidth"])
        # 100 FMA of 1e9 lanes: 132 processors, 128 lanes a clock each.
        fma = limits(h100, 1e9, {"fma": 100}, 0)
        self.assertAlmostEqual(1, fma["issue"] / (1e11 / (132 * 128 * 1.755e9)), 9)
        # A single lane is no faster than its instructions, one a clock.
        self.assertAlmostEqual(1e6 / 1.755e9, limits(h100, 1, {"alu": 1e6}, 0)["one thread"])

    def test_a_stage(self):
        kernels = {"voidindex_kernel<GatherBody>(longlong,GatherBody)": Kernel(CODE, {})}
        figures = {("sample", "launches", "GatherBody"): 10, ("sample", "lanes", "GatherBody"): 1e3,
                   ("sample", "launches", "Other"): 2, ("sample", "lanes", "Other"): 5,
                   ("sample", "waits", ""): 1, ("sample", "steps", ""): 0}
        stage = stages.stage_of("sample", figures, kernels)
        self.assertEqual((12, 1), (stage["launches"], stage["waits"]))
        row = next(r for r in stage["kernels"] if r["kernel"] == "GatherBody")
        self.assertEqual(("launches", 0), (row["bound_by"]["H100"], row["bytes"]))
        self.assertAlmostEqual(12 * LAUNCH + stages.WAIT, stage["seconds"]["H100"])
        # Two kernels of one template count both.
        twice = {("sample", what, f"Other<{k}>"): n for k in "ab" for what, n in (("launches", 5), ("lanes", 1))}
        self.assertAlmostEqual(10 * LAUNCH, stages.stage_of("sample", twice, {})["seconds"]["H100"])

    def test_steps_take_what_their_code_does(self):
        kernels = {"voidlane_kernel<PathBody<X,Fast>,float>(longlong,PathBody<X,Fast>)": Kernel(CODE, {"REG": 9})}
        name = "PathBody<X,Portable>"
        figures = {("sample", "launches", name): 4, ("sample", "lanes", name): 4e5, ("sample", "steps", name): 4e9}
        row = stages.stage_of("sample", figures, kernels)["kernels"][0]
        # 1e4 steps a lane, two lg2 to a pass: 5000 passes of four instructions, and five outside.
        self.assertEqual(5 + 5000 * 4, row["instructions"])
        self.assertEqual("sfu", row["bound_by"]["H100"])
        self.assertAlmostEqual(1, row["seconds"]["H100"] / (4e5 * 1e4 / (132 * 16 * 1.755e9)), 3)

    def test_steps_with_cases_take_what_is_executed(self):
        kernel = Kernel(CODE, {"REG": 9})
        name = "PassageBody<X,Portable>"
        figures = {("close", "launches", name): 4, ("close", "launches", "PassageStartBody"): 1,
                   ("close", "lanes", name): 400, ("close", "lanes", "PassageStartBody"): 100,
                   ("close", "steps", name): 4e6}
        rows = stages.stage_of("close", figures, {f"voidlane_kernel<{stages.fast(name)},float>": kernel},
                               {stages.fast(name): 0.5})["kernels"]
        row = next(r for r in rows if r["kernel"] == "PassageBody")
        # 1e4 steps a lane, of nine instructions a half: those of the loop of four, of which two are lg2.
        self.assertEqual(1e4 * 4.5, row["instructions"])
        self.assertEqual({"sfu": 2.25, "fma": 1.125, "control": 1.125}, kernel.share(0.5))
        # One thread after the other: of 100 passages, four launches long at the mean, the last.
        self.assertEqual("one thread", row["bound_by"]["H100"])
        longest = 4e4 * (math.log(100) + 0.58)
        self.assertAlmostEqual(1, row["seconds"]["H100"] / (longest * 4.5 / 1.755e9), 6)

    def test_reduced_models_pass_only_so_often(self):
        self.assertEqual(4096, profile.size_for("PassageBody<TableSystem,Portable>", "closure.passages", 10**5))
        self.assertEqual(10**5, profile.size_for("PassageBody<MullerBrown,Portable>", "closure.passages", 10**5))

    def test_what_threads_do_is_of_samples_lanes_and_steps(self):
        # A loop with two loads and one product: of each sample one pass of three instructions.
        code = [(0x00, "LDG.E", "R2, [R4]"), (0x10, "LDG.E", "R3, [R4]"), (0x20, "DFMA", "R2, R3"),
                (0x30, "BRA", "0x0")]
        pipes, moved, flops, threads = stages.stated("LagKernel<true>", 3, 10**5, 0, Kernel(code, {}))
        self.assertEqual((3 * 4 * work.SAMPLES, 0, 10**5 * 128), (moved, flops, threads))
        self.assertEqual({"memory": 2 * 3 * work.SAMPLES, "fp64": 3 * work.SAMPLES, "control": 3 * work.SAMPLES},
                         pipes)
        # A small run's one block stands for as many as the samples need.
        self.assertEqual(3 * work.SAMPLES / 32, stages.stated("LagKernel<true>", 3, 1, 0, None)[3])
        self.assertEqual(({"fma": 8 * 500, "memory": 3 * 500}, 12 * 500),
                         stages.stated("BurstDriftBody", 2, 10, 500, None)[:2])
        # A formula's rows are read once, whatever its instructions.
        pipes, moved, flops, threads = stages.stated("Program", 1, 10, 300, None)
        self.assertEqual((12 * 10, 12 * 300, 10), (moved, sum(pipes.values()), threads))
        self.assertEqual(10 * 2 * work.NETWORK, stages.stated("RowProgram<float>", 1, 10, 0, None)[2])

    def test_every_kernel_of_the_job_has_its_work_stated(self):
        measured = json.loads((cost_model.RESULTS / "launches.json").read_text(encoding="utf-8"))["small"]
        job = {key.split("|")[2] for key in measured if not key.startswith("train|")} - {""}
        known = (*stages.STEPPING, *stages.COUNTED)
        self.assertEqual(set(), {name for name in job if not work.work_of(name) and not name.startswith(known)})
        # What is stated is of kernels that there are, and that the job has.
        structs = set()
        for folder in ("kernels", "engine", "nn", "sampling"):
            for path in (SOURCE / folder).rglob("*"):
                if path.suffix in (".h", ".cuh", ".cpp", ".cu"):
                    structs |= set(re.findall(r"\b(?:struct|class) (\w+)", path.read_text(encoding="utf-8")))
        for pattern, entry in work.WORK.items():
            with self.subTest(pattern):
                self.assertIn(pattern.split("<")[0], structs)
                self.assertTrue(any(work.work_of(name) == work.work_of(pattern) for name in job))
                for part in entry if isinstance(entry, tuple) else (entry,):
                    self.assertTrue(not part.code or part.code in structs, part.code)
        made = json.loads((cost_model.RESULTS / "cost.json").read_text(encoding="utf-8"))
        for stage in made["stages"]:
            for row in stage["kernels"]:
                with self.subTest(stage["stage"], kernel=row["kernel"]):
                    self.assertIn(row["kernel"], structs)
                    if not stage["stage"].startswith("train"):
                        self.assertTrue(row["bytes"] or row["flops"] or row["instructions"])

    def test_chance_does_not_grow(self):
        self.assertFalse(profile.acts("umbrella.replicas", "close", "launches", "PassageBody<X>"))
        self.assertFalse(profile.acts("closure.replicas", "close", "waits", ""))
        self.assertTrue(profile.acts("closure.passages", "close", "lanes", "PassageBody<X>"))
        self.assertFalse(profile.acts("closure.passages", "close", "launches", "PassageBody<X>"))
        self.assertFalse(profile.acts("closure.passages", "close", "launches", "KeepAliveBody"))
        self.assertFalse(profile.acts("closure.committor_runs", "close", "waits", ""))
        self.assertTrue(profile.acts("umbrella.replicas", "sample", "lanes", "PathBody<X>"))

    def test_a_worse_bound_is_refused(self):
        old = {"stages": [{"stage": "sample", "seconds": {"H100": 1.0, "H200": 0.9}}]}
        self.assertEqual([], cost_model.check(old, old))
        new = copy.deepcopy(old)
        new["stages"][0]["seconds"]["H200"] = 0.9 * 1.04
        self.assertEqual([], cost_model.check(new, old))
        new["stages"][0]["seconds"]["H200"] = 0.9 * 1.06
        self.assertEqual(1, len(cost_model.check(new, old)))
        self.assertIn("H200", cost_model.check(new, old)[0])
        self.assertEqual(2, len(cost_model.check({"stages": [{"stage": "x"}]}, old)))

    def test_the_page_is_that_of_the_table(self):
        made = json.loads((cost_model.RESULTS / "cost.json").read_text(encoding="utf-8"))
        self.assertEqual(table.markdown(made),
                         (cost_model.RESULTS / "cost.md").read_text(encoding="utf-8"))

    def test_a_training_update_is_as_many_nodes_as_its_kernels(self):
        made = json.loads((cost_model.RESULTS / "cost.json").read_text(encoding="utf-8"))
        for stage in made["stages"]:
            if stage["stage"].startswith("train"):
                updates = made["sizes"]["generator.iterations"]
                self.assertEqual(stages.UPDATE_NODES * updates, stage["launches"])
                self.assertTrue(all(0 < share <= 1 for share in stage["latency_share"].values()))

    def test_the_small_job_launches_and_waits_no_more_than_before(self):
        done = subprocess.run([sys.executable, SOURCE / "tools" / "checks" / "cost_model.py", "--launches",
                               BINARY], capture_output=True, text=True, timeout=300)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
