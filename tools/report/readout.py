"""What an axes shows, as numbers: the page's script reads them off under the pointer and saves them."""
import json
import math

import numpy as np
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.patches import StepPatch

MOST = 4000  # numbers of one panel


def short(value):
    return float(f"{value:.5g}") if math.isfinite(value) else None


def half_bars(container):
    """The error bars' half lengths of an errorbar, or None."""
    _, _, bars = container.lines
    if not bars:
        return None
    return [abs(s[-1][1] - s[0][1]) / 2 if len(s) else math.nan for s in bars[0].get_segments()]


def series_of(axes):
    """(name, x, y, error or None) of everything that is drawn over the abscissa."""
    found, parts = [], set()
    for container in axes.containers:
        label = container.get_label()
        if isinstance(container, ErrorbarContainer):
            line, caps, _ = container.lines
            parts.update([line, *caps])
            found.append((label, *line.get_data(orig=False), half_bars(container)))
        elif isinstance(container, BarContainer):
            found.append((label, [p.get_x() + p.get_width() / 2 for p in container],
                          [p.get_height() for p in container], None))
    for line in axes.get_lines():
        if line not in parts and line.get_transform() == axes.transData:
            found.append((line.get_gid() or line.get_label(), *line.get_data(orig=False), None))
    for patch in axes.patches:
        if isinstance(patch, StepPatch):
            values, edges, _ = patch.get_data()
            found.append((patch.get_label(), (edges[1:] + edges[:-1]) / 2, values, None))
    return [(name, np.asarray(x, float), np.asarray(y, float), error)
            for name, x, y, error in found if len(x) > 1 or np.isfinite(y).any()]


def of_axes(axes, title):
    """JSON of the panel, or None where there is nothing to read."""
    drawing = axes.figure
    box = axes.get_window_extent()
    height = drawing.bbox.height
    told = {"t": title, "b": [round(v, 1) for v in (box.x0, height - box.y1, box.x1, height - box.y0)],
            "x": [*map(short, axes.get_xlim()), int(axes.get_xscale() == "log")],
            "y": [*map(short, axes.get_ylim()), int(axes.get_yscale() == "log")],
            "n": [axes.get_xlabel(), axes.get_ylabel().replace("\n", " ")]}
    if grid := getattr(axes, "grid_values", None):
        x, y, matrix, label = grid
        told["m"] = [list(map(short, x)), list(map(short, y)),
                     [list(map(short, row)) for row in np.ma.filled(matrix, math.nan)], label]
    else:
        series = series_of(axes)
        if not series or sum(len(s[1]) for s in series) > MOST:
            return None
        name = told["n"][1] or title
        told["s"] = [[label if label and not label.startswith("_") else name,
                      list(map(short, x)), list(map(short, y))]
                     + ([list(map(short, error))] if error else []) for label, x, y, error in series]
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
