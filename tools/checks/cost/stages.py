"""Stages of the main job at the sizes of production: launches, waits, bytes, and the least time of each kernel.

Kernels that step trajectories take what their machine code does in a step; others what they must read and write,
where BYTES states it, and their launches."""
import re

from cost.device import GPUS, HOST_LINK, LAUNCH, NODE, WAIT, limits
from cost.profile import FIXED, SIZES

# Their lanes go through the steps of their stage, all alike; a step of two variables has one lg2, of one half of one.
STEPPING = {"PathBody": 1, "PassageBody<TableSystem": 0.5, "PassageBody": 1}
# Bytes that a lane must read and write, for two variables and one collective variable, atomics aside; and, of
# kernels whose lanes share the samples, bytes of a sample.
BYTES = {"NewtonStepBody": 4 + 4 + 8 + 16, "CalmBody": 8, "DescendBody": 12, "ExchangeBody": 8,
         "CellHistogramBody": 4, "BlockHistogramBody": 4}
BYTES_OF_A_SAMPLE = {"SampleRangeBody": 4, "WindowMomentsBody": 4, "WindowInefficiencyBody": 4, "MixturePassBody": 4,
                     "ConditionalSumsBody": 4 + 4 + 4}
SAMPLES = 28 * SIZES["umbrella.replicas"][1] * SIZES["umbrella.steps"][1] // FIXED["umbrella.stride"]

# The graph of one training update, a chain: five critic sweeps and steps of Adam, the generator's sweep, its
# rates, its step, the record of the losses (tests/engine/test_machines.cpp counts them).
CRITIC_STEPS = 5
UPDATE_NODES = 14
# Padded parameters of generator and critic (3 x 64), and the products of a sweep in them: forward, back to the
# inputs, forward tangent, back, weights, of fake, real and mixed rows (nn/generators/gan_sweeps.h).
GENERATOR, CRITIC = 16 * 64 + 2 * 64 * 64 + 64 * 16, 16 * 64 + 2 * 64 * 64 + 64 * 16
CRITIC_SWEEPS = {"critic": 3 + 1 + 1 + 3 + 4, "generator": 1}
GENERATOR_SWEEPS = {"critic": 2, "generator": 3}


def find(kernels, name):
    """The machine code of a body, in the fast mathematics where trajectories have both."""
    wanted = re.sub(r"Portable(?=[,>])", "Fast", name) if name.startswith(tuple(STEPPING)) else name
    for spelled in (wanted, name):
        for function, kernel in kernels.items():
            if f"<{spelled}," in function or f"<{spelled}>" in function:
                return kernel
    return None


def bytes_stated(name, launches, lanes):
    for pattern, each in BYTES.items():
        if name.startswith(pattern):
            return each * lanes
    for pattern, each in BYTES_OF_A_SAMPLE.items():
        if name.startswith(pattern):
            return each * SAMPLES * launches
    return 0


def row_of(name, launches, lanes, kernel, steps_a_lane):
    """One kernel of a stage: its figures over all launches, and seconds by what limits it."""
    row = {"kernel": name.split("<")[0], "launches": round(launches), "lanes": round(lanes)}
    if kernel:
        row |= {"code": len(kernel.opcodes), "registers": kernel.registers, "local": kernel.local}
    pipes, moved = {}, bytes_stated(name, launches, lanes)
    stepping = next((each for key, each in STEPPING.items() if name.startswith(key)), None)
    if kernel and stepping and steps_a_lane:
        pipes, each = kernel.lane((steps_a_lane, "MUFU.LG2", stepping))
        moved = each * lanes
        row["instructions"] = round(sum(pipes.values()), 1)
    row |= {"bytes": round(moved), "seconds": {}, "bound_by": {}}
    for gpu in GPUS:
        each = limits(gpu, lanes, pipes, moved)
        each["one thread"] *= launches
        each["launches"] = launches * LAUNCH
        binding = max(each, key=each.get)
        row["seconds"][gpu.name], row["bound_by"][gpu.name] = each[binding], binding
    return row


def stage_of(name, figures, kernels):
    of = {(what, kernel): value for (stage, what, kernel), value in figures.items() if stage == name}
    path_lanes = sum(v for (what, k), v in of.items() if what == "lanes" and k.startswith(tuple(STEPPING)))
    steps = of.get(("steps", ""), 0)
    rows = []
    for (what, kernel), launches in of.items():
        if what == "launches" and launches:
            rows.append(row_of(kernel, launches, of["lanes", kernel], find(kernels, kernel),
                               steps / path_lanes if path_lanes else 0))
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
                                ("AdvanceBody", 1, {}), ("RecordBody", 1, {})):
        flops = 2 * batch * (sweeps.get("critic", 0) * CRITIC + sweeps.get("generator", 0) * GENERATOR)
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


def model(figures, kernels):
    updates = SIZES["generator.iterations"][1]
    names = []
    for stage, _, _ in figures:
        if stage not in names and stage != "train":
            names.append(stage)
    made = [stage_of(name, figures, kernels) for name in names]
    made += [training(batch, updates) for batch in (256, SIZES["generator.batch"][1])]
    return {"sizes": {key: pair[1] for key, pair in SIZES.items()},
            "assumed": {"launch": LAUNCH, "graph_node": NODE, "wait": WAIT, "host_link": HOST_LINK},
            "devices": {g.name: {"bandwidth": g.bandwidth, "clock": g.clock, "processors": g.processors}
                        for g in GPUS},
            "stages": made}
