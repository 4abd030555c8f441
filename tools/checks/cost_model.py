#!/usr/bin/env python3
"""A model of what the main job's stages take on a GPU, without one: launches, waits and bytes that the engine
counts in small runs, carried to the sizes of production; instructions and bytes of each kernel from its machine
code; and the least time that follows for an H100 and an H200. Nothing of it was measured on a GPU.

usage: cost_model.py BUILD [--profile COMMAND… | --executed COMMAND…] [--check | --write]
       cost_model.py --launches COMMAND…
  BUILD       a build folder with the CUDA backend and the target sass
  --profile   count launches anew, by runs of this command (a built microlift, or one that
              tools/checks/emulated.sh runs on the emulated device); else bench/results/launches.json
  --executed  count anew what a step of a first passage executes of its code, by a run of this command on the
              emulated device (tools/checks/emulated.sh BUILD BUILD/microlift); else bench/results/launches.json
  --check     compare with bench/results/cost.json: exit status 1 where a stage's bound is over 5 % worse
  --write     write bench/results/cost.json and cost.md, and launches.json with --profile or --executed
  --launches  only run the small job once, and compare launches and waits of every stage with
              bench/results/launches.json: exit status 1 where one is over 5 % worse

Exit status 77 without a disassembler (see sass_report.py), and where sass was not built.
"""
import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import sass_report  # noqa: E402
from cost import profile, stages, table  # noqa: E402
from cost.machine_code import Kernel  # noqa: E402

RESULTS = Path(__file__).resolve().parents[2] / "bench" / "results"
TOLERANCE = 1.05


def kernels_of(build):
    """{short name of the machine code's function: Kernel}; None without a disassembler or machine code."""
    tools = [sass_report.find_tool(name, build) for name in ("cuobjdump", "nvdisasm")]
    cubins = sorted((build / "sass").glob("*.cubin"))
    if not all(tools) or not cubins:
        print("cost_model: no disassembler was found" if cubins else
              f"cost_model: {build} holds no machine code to count; build its target sass", file=sys.stderr)
        return None
    os.environ["PATH"] = os.path.dirname(tools[1]) + os.pathsep + os.environ["PATH"]
    return {profile.short(name): Kernel(instructions, resources) for path in cubins
            for name, instructions, resources in sass_report.functions_of(path, tools[0])}


def worse(name, new, old):
    return [f"{name}: {new:.4g}, {old:.4g} in the table"] if new > TOLERANCE * old else []


def check(new, old):
    """What got worse, as lines; nothing if all is well."""
    wrong = []
    now = {stage["stage"]: stage for stage in new["stages"]}
    for stage in old["stages"]:
        name = stage["stage"]
        if name not in now:
            wrong.append(f"{name}: no such stage any more; write the table anew")
            continue
        for gpu, seconds in stage["seconds"].items():
            wrong += worse(f"{name}, seconds at the least on {gpu}", now[name]["seconds"][gpu], seconds)
    known = {stage["stage"] for stage in old["stages"]}
    return wrong + [f"{name}: not in the table; write it anew" for name in now if name not in known]


def check_launches(command, measured):
    """The small job as it is now, against what the table was made from."""
    with tempfile.TemporaryDirectory(prefix="microlift_cost_") as folder:
        now = profile.figures(profile.run_once(
            command, {key: small for key, (small, _) in profile.SIZES.items()}, folder))
    sums = {}
    for which, figures in ((0, now), (1, {tuple(k.split("|")): v for k, v in measured["small"].items()})):
        for (stage, what, _), value in figures.items():
            if what in ("launches", "waits"):
                sums.setdefault((stage, what), [0, 0])[which] += value
    return [line for (stage, what), (new, old) in sorted(sums.items())
            for line in worse(f"{stage}, {what} of the small job", new, old)]


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].replace("%", "%%"))
    parser.add_argument("build", type=Path, nargs="?")
    parser.add_argument("--profile", nargs="+", metavar="COMMAND")
    parser.add_argument("--executed", nargs="+", metavar="COMMAND")
    parser.add_argument("--launches", nargs="+", metavar="COMMAND")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    file = RESULTS / "launches.json"
    if options.launches:
        wrong = check_launches(options.launches, json.loads(file.read_text(encoding="utf-8")))
    else:
        if not options.build:
            parser.error("BUILD is missing")
        kernels = kernels_of(options.build)
        if kernels is None:
            return sass_report.SKIPPED
        measured = json.loads(file.read_text(encoding="utf-8"))
        if options.profile:
            measured |= profile.measure(options.profile)
        if options.executed:
            measured["executed"] = profile.executed(options.executed, stages.COUNTED)
        if (options.profile or options.executed) and options.write:
            file.write_text(json.dumps(measured, indent=0) + "\n", encoding="utf-8")
        model = stages.model(profile.at_production(measured), kernels, measured["executed"])
        print(table.markdown(model))
        if options.write:
            (RESULTS / "cost.json").write_text(json.dumps(model, indent=1) + "\n", encoding="utf-8")
            (RESULTS / "cost.md").write_text(table.markdown(model), encoding="utf-8")
        wrong = check(model, json.loads((RESULTS / "cost.json").read_text(encoding="utf-8"))) \
            if options.check else []
    for line in wrong:
        print("cost_model: " + line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
