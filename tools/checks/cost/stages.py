"""Stages of the main job at the sizes of production: launches, waits, bytes, and the least time of each kernel.

Kernels that step trajectories take what their machine code does in a step; others what work.py states, and their
launches."""
import math
import re

from cost.device import GPUS, HOST_LINK, LAUNCH, NODE, WAIT, limits
from cost.profile import SIZES
from cost.work import NETWORK, SAMPLES, work_of

# They go through steps of a trajectory: all lanes alike, where a step of two variables has one lg2; or by cases that
# the machine code does not tell apart (sets of several kinds, crossings), so that what a step executes is counted.
STEPPING = {"PathBody": 1}
COUNTED = ("PassageBody",)
PASSAGE_BYTES = 2 * (2 * 4 + 4) + 4  # of a passage in a launch: state and whether it goes on, and its number

# The graph of one training update, a chain: five critic sweeps and steps of Adam, the generator's sweep, its
# rates, its step, the record of the losses (tests/engine/test_machines.cpp counts them).
CRITIC_STEPS = 5
UPDATE_NODES = 14
# The products of a sweep in generator and critic: forward, back to the inputs, forward tangent, back, weights, of
# fake, real and mixed rows (nn/generators/gan_sweeps.h).
CRITIC_SWEEPS = {"critic": 3 + 1 + 1 + 3 + 4, "generator": 1}
GENERATOR_SWEEPS = {"critic": 2, "generator": 3}


def fast(name):
    """Of a body that steps trajectories the one in the fast mathematics: the profile runs on a CPU, in the portable."""
    return re.sub(r"Portable(?=[,>])", "Fast", name) if name.startswith((*STEPPING, *COUNTED)) else name


def find(kernels, name):
    """The machine code of a body, in the fast mathematics where trajectories have both."""
    for spelled in (fast(name), name):
        for function, kernel in kernels.items():
            if f"<{spelled}," in function or f"<{spelled}>" in function:
                return kernel
    return None


def add(sums, pipes, times):
    for pipe, count in pipes.items():
        sums[pipe] = sums.get(pipe, 0) + count * times


def stated(name, launches, lanes, steps, kernel):
    """({pipe: operations}, bytes, flops, threads) of all launches together, as work.py has them."""
    pipes, moved, flops, threads = {}, 0.0, 0.0, lanes
    for work in work_of(name):
        units = {"sample": SAMPLES * launches, "lane": lanes * work.threads, "step": steps}[work.per]
        threads = max(threads, lanes * work.threads, work.of_a_sample * SAMPLES * launches)
        moved += work.bytes * units
        flops += work.flops * units
        add(pipes, work.pipes, units)
        if work.loop and kernel:
            add(pipes, kernel.pass_of(*work.loop), units)
    return pipes, moved, flops, threads


def longest_passages(of):
    """{kernel: steps of the longest passage of each run, all runs together}. Times are taken for exponential, of n
    of which the last is at mean (ln n + 0.58). Launches of a run grow with its time, so that runs have alike many of
    them, and so have the passages of runs."""
    kernels = [kernel for what, kernel in of if what == "launches" and kernel.startswith("PassageBody")]
    every = {what: sum(of[what, kernel] for kernel in kernels) for what in ("launches", "lanes")}
    longest = {}
    for kernel in kernels:
        runs = of["launches", "PassageStartBody"] * of["launches", kernel] / every["launches"]
        passages = of["lanes", "PassageStartBody"] * of["lanes", kernel] / every["lanes"]
        mean = of.get(("steps", kernel), 0) / passages
        longest[kernel] = runs * mean * (math.log(max(passages / runs, 1)) + 0.58)
    return longest


def row_of(name, launches, lanes, steps, kernel, longest=None, share=None):
    """One kernel of a stage: its figures over all launches, and seconds by what limits it. Operations and bytes of
    the row are those of a thread; `longest`: the steps of one after the other, where launches have not alike many;
    `share`: of the kernel's code, that a step executes."""
    row = {"kernel": name.split("<")[0], "launches": round(launches)}
    if kernel:
        row |= {"code": len(kernel.opcodes), "registers": kernel.registers, "local": kernel.local}
    stepping = next((each for key, each in STEPPING.items() if name.startswith(key)), None)
    pipes, moved, flops, threads = stated(name, launches, lanes, steps, kernel)
    if stepping and kernel and lanes and steps:
        each_lane, each = kernel.lane((steps / lanes, "MUFU.LG2", stepping))
        add(pipes, each_lane, lanes)
        moved = each * lanes
    if share and kernel and lanes and steps:
        add(pipes, kernel.share(share), steps)
        moved = PASSAGE_BYTES * lanes
    each_lane = {pipe: count / threads for pipe, count in pipes.items()}
    row |= {"lanes": round(threads), "steps": round(steps), "instructions": round(sum(each_lane.values()), 1),
            "bytes": round(moved), "flops": round(flops), "seconds": {}, "bound_by": {}}
    for gpu in GPUS:
        each = limits(gpu, threads, each_lane, moved, flops)
        each["one thread"] *= longest * lanes / steps if longest else launches
        each["launches"] = launches * LAUNCH
        binding = max(each, key=each.get)
        row["seconds"][gpu.name], row["bound_by"][gpu.name] = each[binding], binding
    return row


def stage_of(name, figures, kernels, executed=None):
    of = {(what, kernel): value for (stage, what, kernel), value in figures.items() if stage == name}
    rows, longest = [], longest_passages(of)
    for (what, kernel), launches in of.items():
        if what == "launches" and launches:
            code = next((w.code for w in work_of(kernel) if w.code), kernel)
            rows.append(row_of(kernel, launches, of["lanes", kernel], of.get(("steps", kernel), 0),
                               find(kernels, code), longest.get(kernel), (executed or {}).get(fast(kernel))))
    return finish(name, rows, of.get(("waits", ""), 0),
                  of.get(("bytes_to_device", ""), 0) + of.get(("bytes_to_host", ""), 0))


def finish(name, rows, waits, bytes_copied, **more):
    rows.sort(key=lambda row: -max(row["seconds"].values()))
    stage = {"stage": name, **more, "launches": sum(row["launches"] for row in rows),
             "waits": round(waits), "bytes_copied": round(bytes_copied), "seconds": {}, "bound_by": {}}
    for gpu in GPUS:
        shares = {"waits": waits * WAIT, "copies": bytes_copied / HOST_LINK}
        for row in rows:
            what = row["kernel"] + ", " + row["bound_by"][gpu.name]
            shares[what] = shares.get(what, 0) + row["seconds"][gpu.name]
        stage["seconds"][gpu.name] = sum(shares.values())
        stage["bound_by"][gpu.name] = max(shares, key=shares.get)
    return {**stage, "kernels": rows}


def training(batch, updates):
    """Updates of the cGAN on CUDA, where an update is a graph: not what the CPU launches."""
    rows = []
    for name, count, sweeps in (("CriticTileKernel", CRITIC_STEPS, CRITIC_SWEEPS),
                                ("GeneratorTileKernel", 1, GENERATOR_SWEEPS), ("AdamBody", CRITIC_STEPS + 1, {}),
                                ("AdvanceBody", 1, {}), ("RecordKernel", 1, {})):
        flops = 2 * batch * (sweeps.get("critic", 0) + sweeps.get("generator", 0)) * NETWORK
        row = {"kernel": name, "launches": count * updates, "flops": flops * count * updates, "seconds": {},
               "bound_by": {}}
        for gpu in GPUS:
            each = {"tensor cores": flops / gpu.tensor_tf32, "graph": NODE}
            binding = max(each, key=each.get)
            row["seconds"][gpu.name] = count * updates * each[binding]
            row["bound_by"][gpu.name] = binding
        rows.append(row)
    stage = finish(f"train, batch {batch}", rows, 0, 0, graph_nodes=UPDATE_NODES, graph_depth=UPDATE_NODES)
    stage["latency_share"] = {g: UPDATE_NODES * updates * NODE / s for g, s in stage["seconds"].items()}
    return stage


def model(figures, kernels, executed):
    updates = SIZES["generator.iterations"][1]
    names = []
    for stage, _, _ in figures:
        if stage not in names and stage != "train":
            names.append(stage)
    made = [stage_of(name, figures, kernels, executed) for name in names]
    made += [training(batch, updates) for batch in (256, SIZES["generator.batch"][1])]
    return {"sizes": {key: pair[1] for key, pair in SIZES.items()},
            "assumed": {"launch": LAUNCH, "graph_node": NODE, "wait": WAIT, "host_link": HOST_LINK},
            "devices": {g.name: {"bandwidth": g.bandwidth, "clock": g.clock, "processors": g.processors}
                        for g in GPUS},
            "stages": made}
