"""The model as a page."""

SHOWN = 6  # kernels of a stage


def seconds_text(s):
    for unit, size in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if s >= size:
            return f"{s / size:.3g} {unit}"
    return f"{s / 1e-9:.3g} ns"


def markdown(model):
    gpus = list(model["devices"])
    assumed = model["assumed"]
    out = ["# What the main job's stages take on a GPU at the least: a model", "",
           "Nothing on this page was measured on a GPU. Launches, waits and copied bytes are counted by the "
           "engine in small runs of `tools/examples/muller_brown.toml` and carried to "
           + ", ".join(f"`{k} = {v}`" for k, v in model["sizes"].items()) +
           "; instructions of a step are those of the machine code for sm_90, in the fast mathematics. First passages "
           "end by chance, and so is their length here; their bound of one thread is that of the last. A kernel's least time is the longest of issue, of each pipe, "
           f"of its bytes at the memory's rate, and of its launches; assumed are {seconds_text(assumed['launch'])} from one launch to the next, "
           f"{seconds_text(assumed['graph_node'])} from one node of a graph to the next, "
           f"{seconds_text(assumed['wait'])} a wait of the host. Processors, clock and memory are the data "
           "sheets': " + "; ".join(f"{g}, {d['processors']} at {d['clock'] / 1e9} GHz, "
                                   f"{d['bandwidth'] / 1e12} TB/s" for g, d in model["devices"].items()) +
           ". Written by `tools/checks/cost_model.py BUILD --write`.", "",
           "| stage | launches | waits | copied | " + " | ".join(f"{g}, at least" for g in gpus) +
           " | bound by (" + gpus[0] + ") |", "| --- | ---: | ---: | ---: |" + " ---: |" * len(gpus) + " --- |"]
    for stage in model["stages"]:
        out.append(f"| {stage['stage']} | {stage['launches']:.4g} | {stage['waits']:.4g} | "
                   f"{stage['bytes_copied'] / 1e6:.3g} MB | "
                   + " | ".join(seconds_text(stage["seconds"][g]) for g in gpus)
                   + f" | {stage['bound_by'][gpus[0]]} |")
    out += ["", "Training: an update is a graph of so many nodes, each waiting for the one before, and this share "
            "of its least time is the latency of the nodes alone.", "",
            "| stage | nodes | depth | " + " | ".join(gpus) + " |", "| --- | ---: | ---: |" + " ---: |" * len(gpus)]
    for stage in model["stages"]:
        if "latency_share" in stage:
            out.append(f"| {stage['stage']} | {stage['graph_nodes']} | {stage['graph_depth']} | "
                       + " | ".join(f"{100 * stage['latency_share'][g]:.0f} %" for g in gpus) + " |")
    out += ["", f"The {SHOWN} longest kernels of each stage. Lanes are threads. Instructions are those of a thread in a "
            "launch: of the machine code's loop over steps, where it steps, or the share of the code that steps of passages "
            "execute on the emulated device, else operations that its source "
            "has at the least (`tools/checks/cost/work.py`), and so are bytes; code and registers are those of the "
            "machine code.", "",
            "| stage | kernel | launches | lanes | instructions | code | registers | bytes | " + " | ".join(gpus)
            + " | bound by |",
            "| --- | --- |" + " ---: |" * (6 + len(gpus)) + " --- |"]
    def figure(row, key):
        return f"{row[key]:.3g}" if row.get(key) else "–"
    for stage in model["stages"]:
        for row in stage["kernels"][:SHOWN]:
            out.append(f"| {stage['stage']} | {row['kernel']} | {row['launches']:.4g} | "
                       + " | ".join(figure(row, k) for k in ("lanes", "instructions", "code", "registers", "bytes"))
                       + " | " + " | ".join(seconds_text(row["seconds"][g]) for g in gpus)
                       + f" | {row['bound_by'][gpus[0]]} |")
    return "\n".join(out) + "\n"
