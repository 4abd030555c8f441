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
import sections.samples
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from palette import COLOUR, INK


def samples(axes, run):
    sections.samples.plane_panel(run)(axes)
    axes.set_title("Biased samples, coloured by window")


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
    drawing = Figure(figsize=(14, 4.2), layout="constrained", facecolor="white")
    FigureCanvasAgg(drawing)
    axes = drawing.subplots(1, 3)
    for panel, on in zip((samples, free_energy, densities), axes):
        panel(on, run)
    drawing.savefig(sys.argv[2], dpi=85)


if __name__ == "__main__":
    main()
