#!/usr/bin/env python3
"""Draws the README's picture from a finished run of a two-variable system with one collective
variable: samples over the potential, free energy, and conditional densities.

    python3 tools/docs/picture.py DIR FILE.png
"""
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "report"))
import data
import draw
from matplotlib import ticker
from matplotlib.colors import to_rgba
from draw import COLOUR, INK, plt


def samples(axes, run):
    state, used = run.state, np.unique(run.window)
    box = np.nanquantile(state, [0.0005, 0.9995], axis=0)
    box += 0.1 * (box[1] - box[0]) * np.array([[-1], [1]])
    grid = np.meshgrid(*np.linspace(box[0], box[1], 300).T)
    energy, visited = run.at(run.potential, *grid), run.at(run.potential, *state.T)
    low, high = np.nanmin(energy), np.nanquantile(visited, 0.995)
    levels = ticker.MaxNLocator(12).tick_values(low, low + 1.35 * (high - low))
    axes.contourf(*grid, np.minimum(energy, levels[-1]), levels, cmap=draw.ENERGY_MAP)
    axes.contour(*grid, energy, levels, colors="#7d8da0", linewidths=0.5)
    colour = draw.window_colours(len(used))[np.searchsorted(used, run.window[run.drawn])]
    axes.scatter(*state.T, s=2, c=colour, alpha=0.5, linewidths=0)
    axes.set(xlim=box[:, 0], ylim=box[:, 1], xlabel=run.variables[0], ylabel=run.variables[1],
             title="Biased samples, coloured by window")
    axes.grid(False)


def free_energy(axes, run):
    table = run.tables["free_energy"]
    at, value, error = table["cv"][:, 0], table["free_energy"], table["std_error"]
    axes.fill_between(at, value - 3 * error, value + 3 * error, lw=0,
                      color=to_rgba(COLOUR["physics"], 0.3), label="three standard errors")
    axes.plot(at, value, color=COLOUR["physics"], lw=2.2, label="estimate")
    if "exact" in run.tables:
        exact = run.tables["exact"]
        curve = exact["free_energy"] - np.nanmin(exact["free_energy"]) + np.nanmin(value)
        axes.plot(exact["cv"][:, 0], curve, color=INK, lw=1, ls=(0, (4, 3)), label="exact")
    axes.set(xlabel=run.cv_symbols[0], title="Free energy")
    axes.legend(loc="best")


def densities(axes, run):
    """Physics, generator and exact to the right of each value of the collective variable."""
    name = run.lifted_columns()[0]
    conditions = [c for c in run.conditions if "generator" in c]
    gap = np.min(np.diff([c["cv"][0] for c in conditions])) if len(conditions) > 1 else 1
    for first, condition in zip([True] + [False] * len(conditions), conditions):
        at = condition["cv"][0]
        data = {s: condition[s][:, 0] for s in ("physics", "generator") if s in condition}
        low, high = np.quantile(np.concatenate(list(data.values())), [0.001, 0.999])
        edges = np.linspace(low, high, 50)
        shares = {s: np.histogram(v, edges, density=True)[0] for s, v in data.items()}
        scale = 0.85 * gap / max(s.max() for s in shares.values())
        for source, share in shares.items():
            if source == "physics":
                axes.stairs(at + scale * share, edges, baseline=at, orientation="horizontal",
                            fill=True, lw=0, color=to_rgba(COLOUR[source], 0.3),
                            label=source if first else None)
            else:
                axes.stairs(at + scale * share, edges, baseline=None, orientation="horizontal",
                            color=COLOUR[source], lw=1.4, label=source if first else None)
        if name in condition["exact"]:
            y, p = condition["exact"][name].T
            seen = (y >= low) & (y <= high)
            axes.plot(at + scale * p[seen], y[seen], color=COLOUR["exact"], lw=0.9,
                      label="exact" if first else None)
    values = [c["cv"][0] for c in conditions]
    axes.set(xlabel=run.cv_symbols[0], ylabel=name,
             xlim=(min(values) - 0.2 * gap, max(values) + gap),
             title=f"p({name} | {run.cv_symbols[0]}) at {len(conditions)} values")
    axes.legend(loc="best")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    run = data.Run(sys.argv[1])
    draw.style()
    drawing, axes = plt.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    for panel, on in zip((samples, free_energy, densities), axes):
        panel(on, run)
    drawing.savefig(sys.argv[2], dpi=85)


if __name__ == "__main__":
    main()
