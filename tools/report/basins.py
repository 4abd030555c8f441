"""The basins of a free energy on a grid: minima that stand out, and what it takes to leave them."""
import math
from collections import namedtuple

import numpy as np

from data import column, ticks
from thresholds import BASIN_ERRORS, BASIN_KT

Basin = namedtuple("Basin", "at depth error saddle barrier barrier_error edge share")


def neighbours_of(table, periods=()):
    """For each bin the bins that touch it on the grid of one or two collective variables, all round a
    period those at the other end, too."""
    cells = [ticks(c)[1] for c in table["cv"].T]
    counts = [max(c) + 1 if k < len(periods) and periods[k] > 0 else 0 for k, c in enumerate(cells)]

    def image(cell):
        return tuple(c % n if n else c for c, n in zip(cell, counts))

    where = {cell: i for i, cell in enumerate(zip(*cells))}
    steps = [(1,), (-1,)] if len(cells) == 1 else [(1, 0), (-1, 0), (0, 1), (0, -1)]
    return [[where[n] for s in steps if (n := image(np.add(cell, s))) in where]
            for cell in zip(*cells)]


def merge(values, near):
    """Floods the bins from the lowest on: (basin of each bin, [(basin, deeper basin, saddle
    bin)])."""
    home, root, meetings = {}, {}, []

    def find(b):
        while root[b] != b:
            b = root[b]
        return b

    for i in map(int, np.argsort(values, kind="stable")):
        if not np.isfinite(values[i]):
            break
        touched = sorted({find(home[j]) for j in near[i] if j in home},
                         key=lambda b: (values[b], b))
        if not touched:
            root[i] = home[i] = i
            continue
        home[i] = touched[0]
        for b in touched[1:]:
            meetings.append((b, touched[0], i))
            root[b] = touched[0]
    return home, meetings


def basins_of(run):
    """Minima that stand out of noise and of kT, the deepest first."""
    table = run.tables.get("free_energy")
    if not table or not np.isfinite(table["free_energy"]).any() or (run.two_cvs and "steered" in run.tables):
        return []  # points on a line through a plane have no neighbours beside it
    value, error = table["free_energy"], np.nan_to_num(column(table, "std_error"), posinf=0.0)
    near = neighbours_of(table, run.periods)
    home, meetings = merge(value, near)
    least = BASIN_KT * run.kt if run.kt > 0 else 0.0
    kept, into = {}, {}
    for basin, deeper, saddle in meetings:
        joint = math.hypot(error[basin], error[saddle])
        height = value[saddle] - value[basin]
        if height >= max(least, BASIN_ERRORS * joint, 1e-12 * abs(value[saddle])):
            kept[basin] = (saddle, height, joint)
        else:
            into[basin] = deeper
    lowest = int(np.nanargmin(value))

    def owner(b):
        while b in into:
            b = into[b]
        return b

    weights = {}
    for i, b in home.items():
        weights[owner(b)] = weights.get(owner(b), 0.0) + (
            math.exp(-(value[i] - value[lowest]) / run.kt) if run.kt > 0 else math.nan)
    total = sum(weights.values())
    full = 2 * table["cv"].shape[1]
    return [Basin(table["cv"][b], value[b] - value[lowest], error[b] if b != lowest else 0.0,
                  None if b == lowest else table["cv"][kept[b][0]],
                  *((math.nan, math.nan) if b == lowest else kept[b][1:]),
                  len(near[b]) < full, weights.get(b, math.nan) / total)
            for b in [lowest, *sorted(kept, key=lambda b: value[b])]]
