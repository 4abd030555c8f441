"""A section of the report as one figure of matplotlib, for whoever has no page: the Python module."""
import contextlib
import io
import logging
import warnings

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import draw
from palette import PAGE


class Picture(Figure):
    """A figure that shows itself in a notebook, and that no window manager knows."""

    def _repr_png_(self):
        data = io.BytesIO()
        self.savefig(data, format="png", bbox_inches="tight")
        return data.getvalue()


@contextlib.contextmanager
def our_style():
    """The page's look, while it lasts: settings of the user's come back."""
    log = logging.getLogger("matplotlib")
    level = log.level
    try:
        with matplotlib.rc_context(), warnings.catch_warnings(), np.errstate(all="ignore"):
            draw.style()
            yield
    finally:
        log.setLevel(level)


def panels_of(run, section):
    """Every panel of a section, and how many of them the page puts into a row."""
    found, rows = [], []
    draw.TAKERS.append(lambda panels, columns: (found.extend(panels), rows.append(columns)))
    try:
        section(run)
    finally:
        draw.TAKERS.pop()
    return found, max(rows, default=2)


def put(axes, panel, columns):
    draw.fill(axes, panel, columns)
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        first = dict(zip(reversed(labels), reversed(handles)))  # each label once
        axes.legend(first.values(), first, fontsize="small", frameon=False)
    return axes


def picture(panels, columns):
    """One figure of all panels, in rows."""
    across = min(columns, len(panels))
    down = -(-len(panels) // across)
    width, height = draw.SIZES[columns]
    matplotlib.rcParams["font.size"] = 11
    drawing = Picture(figsize=(across * width / 72, down * height / 72), facecolor=PAGE, layout="constrained")
    FigureCanvasAgg(drawing)
    grid = drawing.subplots(down, across, squeeze=False).ravel()
    for axes, panel in zip(grid, panels):
        put(axes, panel, columns)
    for axes in grid[len(panels):]:
        axes.remove()
    return drawing
