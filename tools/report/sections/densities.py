"""Conditional densities of lifted states beside the physics, and their distances."""
import math

import numpy as np
from matplotlib import ticker
from matplotlib.colors import to_rgba

from data import SOURCES, w1_entries
from draw import figure, log_scale, points
from palette import COLOUR, MUTED
from words import cv_text, fmt, plain

MOST_VALUES, MOST_VARIABLES = 6, 2


def exact_variables(run):
    return list(dict.fromkeys(v for c in run.conditions for v in c["exact"]))


def shown_variables(run):
    return [n for n in dict.fromkeys(run.lifted_columns() + exact_variables(run))
            if n not in run.cv_formulas][:MOST_VARIABLES]


def wanted(run):
    return bool(run.conditions and shown_variables(run)) or bool(w1_entries(run)
                                                                 and not run.two_cvs)


def remark_of(run, entries, condition, name):
    """The distances that belong to one panel."""
    near = [e for e in entries if e["variable"] == name and e["cv"].shape == condition["cv"].shape
            and np.allclose(e["cv"], condition["cv"], rtol=1e-6, atol=1e-9 * np.abs(condition["cv"]).max())]
    text = ", ".join(f"{e['source']} {fmt(e['w1'], 2, strip=False)}" for e in near)
    return f"W₁/σ: {text}" if text else ""


def density_panel(run, entries, condition, name):
    """A panel, or None where nothing of the variable is known at this value."""
    columns = run.lifted_columns()
    states = {s: condition[s][:, columns.index(name)] for s in SOURCES
              if s in condition and name in columns}
    states = {s: v[np.isfinite(v)] for s, v in states.items() if np.isfinite(v).sum() > 1}
    curve = condition["exact"].get(name)
    if not states and curve is None:
        return None

    def panel(axes):
        spans = [np.quantile(v, [0.001, 0.999]) for v in states.values()]
        if curve is not None:
            spans.append(curve[curve[:, 1] > 2e-3 * curve[:, 1].max(), 0][[0, -1]])
        low, high = np.min(spans), np.max(spans)
        margin = 0.06 * (high - low) or 1e-3 * abs(low) or 1.0
        low, high = low - margin, high + margin
        for source, v in states.items():
            edges = np.linspace(low, high, int(np.clip(2.2 * len(v) ** (1 / 3), 10, 44)) + 1)
            share = np.histogram(v, edges)[0] / (len(v) * (edges[1] - edges[0]))
            if source == "physics":
                axes.stairs(share, edges, fill=True, lw=0, label=source,
                            color=to_rgba(COLOUR[source], 0.3))
            else:
                axes.stairs(share, edges, color=COLOUR[source], lw=1.5, label=source, baseline=None,
                            ls="-" if source == "generator" else "--")
        if curve is not None:
            seen = (curve[:, 0] >= low) & (curve[:, 0] <= high)
            axes.plot(*curve[seen].T[:2], color=COLOUR["exact"], lw=1.1, label="exact")
        axes.set(xlim=(low, high), xlabel=plain(run.label(name)))
        axes.set_ylim(0, axes.get_ylim()[1])
        axes.yaxis.set_major_locator(ticker.MaxNLocator(4))
        axes.set_title(cv_text(run, condition["cv"]))
        axes.remark = remark_of(run, entries, condition, name)
    return panel


def distances_panel(run, entries):
    def panel(axes):
        for source in ("generator", "healed"):
            found = np.array([(e["cv"][0], e["w1"]) for e in entries if e["source"] == source])
            if len(found):
                points(axes, *found.T, source)
                axes.axhline(np.median(found[:, 1]), color=COLOUR[source], lw=0.9, ls=(0, (5, 3)))
        floors = np.array(sorted((e["cv"][0], e["floor"]) for e in entries
                                 if e["source"] == "generator" and math.isfinite(e["floor"])))
        if len(floors):
            axes.plot(*floors.T, color=MUTED, lw=1.1, label="sampling floor")
        axes.set(xlabel=plain(run.cv_labels[0]), ylabel="W₁ / σ")
        axes.set_title("Distance of lifted states from the reference")
        log_scale(axes)
    return panel


def section(run):
    entries, count, result = w1_entries(run), len(run.conditions), ""
    ends = (0.05, 0.95) if count > 6 else (0, 1)
    chosen = np.unique(np.rint(np.linspace(*ends, min(MOST_VALUES, count))
                               * (count - 1)).astype(int))
    sizes = [len(c[s]) for c in run.conditions for s in SOURCES if s in c]
    for name in shown_variables(run) if count else []:
        panels = [p for p in (density_panel(run, entries, run.conditions[i], name) for i in chosen)
                  if p]
        if panels:
            result += figure(panels, f"Conditional densities p({name} | {run.given}) at "
                                     f"{len(panels)} of "
                             f"{count} values of the collective variable"
                             + (f", up to {fmt(max(sizes))} states each" if sizes else "") + ".", 3)
    entries = [e for e in entries if len(e["cv"])]
    if entries and not run.two_cvs:
        result += figure([distances_panel(run, entries)], "Wasserstein distance W₁ of lifted "
                                                          "states from "
                         "reference states, in conditional standard deviations; dashed: medians. "
                         "Two samples of this size from one and the same distribution lie about "
                         "the sampling floor apart.")
    return result
