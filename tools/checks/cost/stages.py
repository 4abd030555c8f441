"""Stages of the main job at the sizes of production: launches, waits, bytes, and the least time of each kernel.

Loops of unknown length are counted once, unless TRIPS states how often the main one goes round; the rows of
such kernels are too short by that, and are marked."""
import re

from cost.device import GPUS, HOST_LINK, LAUNCH, NODE, WAIT, limits
from cost.profile import SIZES

WINDOWS = 28
BLOCK_THREADS = 256  # of block kernels, whose lanes are blocks: kernels/block/reduce.cuh, nn/generators/gan_tiles.h

# Their lanes go through the steps of their stage, all alike.
STEPPING = ("PathBody", "PassageBody")
# kernel: (rounds of its main loop a lane, an instruction of that loop, how many of it a round).
# A trajectory draws two normals for each lg2; the steps of a lane are those of its stage.
TRIPS = {}

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
    wanted = re.sub(r"Portable(?=[,>])", "Fast", name) if name.startswith(STEPPING) else name
    for spelled in (wanted, name):
        for function, kernel in kernels.items():
            if f"<{spelled}," in function or f"<{spelled}>" in function:
                return kernel, "block_kernel<" in function
    return None, False


def trip_of(name, steps_a_lane):
    if name.startswith(STEPPING) and steps_a_lane:
        return steps_a_lane, "MUFU.LG2", 1  # two variables: one lg2 a step
    for pattern, trip in TRIPS.items():
        if re.match(pattern, name):
            return trip
    return None


def row_of(name, launches, lanes, kernel, by_blocks, steps_a_lane):
    """One kernel of a stage: its figures over all launches, and seconds by what limits it."""
    row = {"kernel": name.split("<")[0], "launches": round(launches), "lanes": round(lanes)}
    latency = launches * LAUNCH
    if kernel is None:  # a product or a sort of a library, or compiled at run time
        return {**row, "seconds": {g.name: latency for g in GPUS},
                "bound_by": {g.name: "launches, code not counted" for g in GPUS}}
    trip = trip_of(name, steps_a_lane)
    pipes, moved = kernel.lane(trip)
    threads = lanes * (BLOCK_THREADS if by_blocks else 1)
    row |= {"instructions": round(sum(pipes.values()), 1), "bytes": round(moved * threads),
            "loops_counted_once": len(kernel.loops) - (1 if trip else 0), "seconds": {}, "bound_by": {}}
    for gpu in GPUS:
        each = limits(gpu, threads, pipes, moved * threads)
        each["one thread"] *= launches
        each["launches"] = latency
        binding = max(each, key=each.get)
        row["seconds"][gpu.name], row["bound_by"][gpu.name] = each[binding], binding
    return row


def stage_of(name, figures, kernels):
    of = {(what, kernel): value for (stage, what, kernel), value in figures.items() if stage == name}
    path_lanes = sum(v for (what, k), v in of.items() if what == "lanes" and k.startswith(STEPPING))
    steps = of.get(("steps", ""), 0)
    rows = []
    for (what, kernel), launches in of.items():
        if what == "launches" and launches:
            code, by_blocks = find(kernels, kernel)
            rows.append(row_of(kernel, launches, of["lanes", kernel], code, by_blocks,
                               steps / path_lanes if path_lanes else 0))
    return finish(name, rows, of.get(("waits", ""), 0),
                  of.get(("bytes_to_device", ""), 0) + of.get(("bytes_to_host", ""), 0))


def finish(name, rows, waits, bytes_copied, **more):
    rows.sort(key=lambda row: -max(row["seconds"].values()))
    stage = {"stage": name, **more, "launches": sum(row["launches"] for row in rows),
             "waits": round(waits), "bytes_copied": round(bytes_copied), "seconds": {}, "bound_by": {}}
    for gpu in GPUS:
        shares = {row["kernel"] + ", " + row["bound_by"][gpu.name]: row["seconds"][gpu.name] for row in rows}
        shares["waits"] = waits * WAIT
        shares["copies"] = bytes_copied / HOST_LINK
        stage["seconds"][gpu.name] = sum(shares.values())
        stage["bound_by"][gpu.name] = max(shares, key=shares.get)
    return {**stage, "kernels": rows}


def training(batch, updates, kernels):
    """Updates of the cGAN on CUDA, where an update is a graph: not what the CPU launches."""
    rows = []
    for name, count, sweeps in (("CriticTileKernel", CRITIC_STEPS, CRITIC_SWEEPS),
                                ("GeneratorTileKernel", 1, GENERATOR_SWEEPS)):
        flops = 2 * batch * (sweeps["critic"] * CRITIC + sweeps["generator"] * GENERATOR)
        row = {"kernel": name, "launches": count * updates, "lanes": 132 * BLOCK_THREADS, "seconds": {},
               "bound_by": {}}
        for gpu in GPUS:
            each = {"tensor cores": flops / gpu.tensor_tf32, "graph": NODE}
            binding = max(each, key=each.get)
            row["seconds"][gpu.name] = count * updates * each[binding]
            row["bound_by"][gpu.name] = binding
        rows.append(row)
    adam, _ = find(kernels, "AdamBody")
    for name, count, lanes in (("AdamBody", CRITIC_STEPS + 1, CRITIC), ("AdvanceBody", 1, 1),
                               ("RecordBody", 1, 1)):
        code = adam if name == "AdamBody" else None
        seconds = dict.fromkeys((g.name for g in GPUS), NODE)
        by = dict.fromkeys(seconds, "graph")
        if code:
            pipes, moved = code.lane()
            for gpu in GPUS:
                each = {**limits(gpu, lanes, pipes, moved * lanes), "graph": NODE}
                by[gpu.name] = max(each, key=each.get)
                seconds[gpu.name] = each[by[gpu.name]]
        rows.append({"kernel": name, "launches": count * updates, "lanes": lanes,
                     "seconds": {g: count * updates * s for g, s in seconds.items()}, "bound_by": by})
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
    made += [training(batch, updates, kernels) for batch in (256, SIZES["generator.batch"][1])]
    return {"sizes": {key: pair[1] for key, pair in SIZES.items()},
            "assumed": {"launch": LAUNCH, "graph_node": NODE, "wait": WAIT, "host_link": HOST_LINK},
            "devices": {g.name: {"bandwidth": g.bandwidth, "clock": g.clock, "processors": g.processors}
                        for g in GPUS},
            "stages": made}
