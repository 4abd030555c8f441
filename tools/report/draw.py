"""How the report draws: one figure a panel, panels in a grid that the page folds for phones, a
legend and titles in the page's own text."""
import itertools
import logging
import math
import warnings

import matplotlib
import numpy as np
from matplotlib import font_manager, ticker
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

import layout
import readout
import svg
from data import ticks
from palette import COLOUR, EDGE, INK, LIGHT, MARKER, MUTED, PAGE, WINDOW_MAP
from words import esc, plain, superscript

SIZES = {2: (470, 330), 3: (310, 250)}  # points of a panel, by the panels in a row
LETTERS = {2: 13.5, 3: 12.5}            # wide panels shrink on a phone, narrow ones grow
VEIL = 0.24                             # opacity of error bands
NAMES = itertools.count()               # of the figures of a page
SANS = ("Liberation Sans", "Arial")     # what letters are measured by, where there is one
WATCHERS = []                           # called with each finished figure and its title
TAKERS = []                             # the last one gets the panels of figures, and there is no HTML of them


def style():
    """Sets matplotlib up, and names the figures from the first again."""
    global NAMES
    NAMES = itertools.count()
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", "Glyph")  # letters are drawn by the reader's fonts
    installed = {f.name for f in font_manager.fontManager.ttflist}
    sans = [f for f in SANS if f in installed][:1]
    matplotlib.rcParams.update({
        "font.family": sans + ["DejaVu Sans"], "axes.labelsize": "medium",
        "xtick.labelsize": "medium", "ytick.labelsize": "medium", "text.color": INK,
        "axes.edgecolor": EDGE, "axes.linewidth": 0.8, "axes.labelcolor": INK,
        "axes.grid": True, "axes.axisbelow": True, "axes.spines.top": False, "xtick.color": EDGE,
        "axes.spines.right": False, "grid.color": LIGHT["line"], "grid.linewidth": 0.8,
        "ytick.color": EDGE, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
        "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
        "lines.linewidth": 1.8, "lines.markersize": 4.6, "contour.negative_linestyle": "solid",
        "svg.fonttype": "none", "svg.hashsalt": "microlift", "axes.formatter.limits": (-4, 5),
        "axes.formatter.useoffset": False,
        "xtick.major.pad": 6})  # the corner is left to the y axis's lowest number


def keys_of(drawings):
    """{label: what stands for it} of all panels."""
    keys = {}
    for drawing in drawings:
        for axes in drawing.axes:
            for handle, label in zip(*axes.get_legend_handles_labels()):
                keys.setdefault(label, svg.key_of(handle))
    return keys


def legend(drawings):
    """One legend of these panels, in the page's text."""
    spans = "".join(f"<span>{key}{esc(label)}</span>" for label, key in keys_of(drawings).items())
    return f"<div class=legend>{spans}</div>" if spans else ""


def ambiguous(drawings):
    """Whether one key stands for different things in different panels."""
    keys = list(keys_of(drawings).values())
    return len(set(keys)) < len(keys)


def fill(axes, panel, columns):
    """Draws the panel, with as many ticks as there is room for."""
    axes.patch.set_visible(False)
    panel(axes)
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "linear" and type(axis.get_major_locator()) is ticker.AutoLocator:
            axis.set_major_locator(ticker.MaxNLocator(7 if columns == 2 else 5, min_n_ticks=3))


def draw_panel(panel, columns, height):
    width, usual = SIZES[columns]
    matplotlib.rcParams["font.size"] = LETTERS[columns]
    drawing = Figure(figsize=(width / 72, (height or usual) / 72), dpi=72)
    FigureCanvasAgg(drawing)
    axes = drawing.add_subplot()
    drawing.patch.set_visible(False)
    fill(axes, panel, columns)
    drawing.heading = axes.get_title()
    axes.set_title("")
    layout.fit(drawing, axes)
    for watcher in WATCHERS:
        watcher(drawing, drawing.heading or axes.get_ylabel())
    return drawing


def panel_html(drawing, with_legend=False):
    axes = drawing.axes[0]
    label = ": ".join(filter(None, [drawing.heading, " against ".join(filter(None, [
        axes.get_ylabel().replace("\n", " "), axes.get_xlabel()]))]))
    remark = getattr(axes, "remark", "")
    data = readout.of_axes(axes, drawing.heading)
    return ("<div class=panel>" + (f"<h3>{esc(drawing.heading)}</h3>" if drawing.heading else "")
            + (f"<p class=remark>{esc(remark)}</p>" if remark else "")
            + (legend([drawing]) if with_legend else "")
            + svg.inline(drawing, f"f{next(NAMES)}-", label)
            + (f'<script type="application/json">{data}</script>' if data else "") + "</div>")


def figure(panels, caption, columns=2, height=None):
    """<figure> of panels (functions of an axes), two or three in a row where the page is wide."""
    if TAKERS:
        TAKERS[-1](panels, columns)
        return ""
    drawings = [draw_panel(panel, columns, height) for panel in panels]
    hole = " hole" * (len(panels) % columns > 0) + " row" * (len(panels) <= columns)
    each = ambiguous(drawings)  # then every panel has its own
    return (f'<figure class="of{columns}{hole}">{"" if each else legend(drawings)}'
            + "".join(panel_html(drawing, each) for drawing in drawings)
            + f"<figcaption>{esc(caption)}</figcaption></figure>")


# ---------------------------------------------------------------- pieces of panels

def window_colours(count):
    return WINDOW_MAP(np.linspace(0.0, 1.0, max(count, 1)))


def errors(axes, x, y, se, source, every=1, start=0, label=None):
    """Points with bars of two standard errors, in the colour of the source."""
    part = slice(start, None, every)
    colour = COLOUR.get(source, MUTED)
    axes.errorbar(x[part], y[part], yerr=2 * se[part] if np.isfinite(se).any() else None, ms=4.6,
                  fmt=MARKER.get(source, "o"), mfc=colour if source == "physics" else PAGE,
                  mew=1.1, color=colour, elinewidth=1.0, label=label or source)


def points(axes, x, y, source, label=None, **more):
    """Open markers in the colour of the source."""
    axes.plot(x, y, MARKER.get(source, "o"), **{
        "color": COLOUR.get(source, MUTED), "mfc": PAGE, "ms": 5, "label": label or source, **more})


def band(axes, x, y, se, colour, label=None, band_label=None, line="-"):
    """A curve in a veil of two standard errors, where they are known."""
    se = np.where(np.isfinite(se), se, math.nan)
    if np.isfinite(se).any():
        axes.fill_between(x, y - 2 * se, y + 2 * se, lw=0, color=to_rgba(colour, VEIL),
                          label=band_label)
    curve, = axes.plot(x, y, line, color=colour, label=label)
    curve.bars = 2 * se if np.isfinite(se).any() else None


def share_panel(run, table, words, share, title):
    """The free energy at points along a path, in equal distances."""
    kt, unit = run.thermal

    def panel(axes):
        band(axes, np.linspace(0, 1, len(table["free_energy"])), table["free_energy"] / kt, table["std_error"] / kt,
             COLOUR["physics"], words, "± 2 standard errors")
        axes.set(xlabel=share, ylabel=f"F  ({unit})")
        axes.set_title(title)
    return panel


def colour_bar(axes, drawn, label):
    """Beside the axes, as a part of it."""
    bar = axes.figure.colorbar(drawn, cax=axes.inset_axes([1.03, 0, 0.045, 1]))
    bar.outline.set_visible(False)
    bar.set_label(plain(label))
    bar.ax.yaxis.set_major_locator(ticker.MaxNLocator(6))


def rasterize(contours):
    """As a picture, not as paths. Contours are one thing from matplotlib 3.8 on, one a level before."""
    for part in getattr(contours, "collections", [contours]):
        part.set_rasterized(True)


def heat_map(run, axes, table, values, label, cmap="cividis", limits=(None, None), contours=None):
    (x, column_of), (y, row_of) = (ticks(c) for c in table["cv"].T[:2])
    matrix = np.full((len(y), len(x)), math.nan)
    matrix[row_of, column_of] = values
    matrix = np.ma.masked_invalid(matrix)
    if limits == (None, None) and matrix.count() and np.ptp(matrix) < 1e-3 * np.abs(matrix).max():
        limits = tuple(np.mean(matrix) + np.array([-0.01, 0.01])
                       * np.abs(matrix).max())  # a constant
    axes.patch.set(visible=True, facecolor=LIGHT["empty"])
    axes.grid(False)
    drawn = axes.pcolormesh(x, y, matrix, cmap=cmap, shading="nearest",
                            vmin=limits[0], vmax=limits[1], rasterized=True)
    if contours is not None and min(matrix.shape) > 1:
        axes.contour(x, y, matrix, levels=contours, colors="#fefefe",
                     linewidths=0.6, alpha=0.8)
    colour_bar(axes, drawn, label)
    axes.set(xlabel=plain(run.cv_labels[0]), ylabel=plain(run.cv_labels[1]))
    round_axis(run, axes.xaxis, 0)
    round_axis(run, axes.yaxis, 1)
    axes.grid_values = (x, y, matrix, label)


def of_pi(value, _=None):
    """A tick in quarters of a turn."""
    quarters = round(2 * value / math.pi)
    if quarters == 0:
        return "0"
    head = {1: "", -1: "−"}.get(quarters if quarters % 2 else quarters // 2)
    head = str(quarters if quarters % 2 else quarters // 2).replace("-", "−") if head is None else head
    return f"{head}π" + ("/2" if quarters % 2 else "")


def round_axis(run, axis, k=0):
    """The axis of a variable that goes all round one turn, in quarters of it."""
    if k < len(run.periods) and abs(run.periods[k] - 2 * math.pi) < 1e-9:
        axis.set_major_locator(ticker.MultipleLocator(math.pi / 2))
        axis.set_major_formatter(of_pi)


def closed(run, x, *curves):
    """x and curves over it, all round a period with the last point before and the first behind."""
    period = run.periods[0] if len(run.periods) == 1 else 0.0
    if not period > 0:
        return (x, *curves)
    return (np.r_[x[-1] - period, x, x[0] + period], *(np.r_[c[-1], c, c[0]] for c in curves))


def zoom(axes, values, bars=0, floor=None, symmetric=False):
    """The ordinate for these values with their bars, the worst few per cent of bars cut off."""
    good = np.isfinite(values)
    if not good.any():
        return
    bars = np.nan_to_num(np.broadcast_to(bars, np.shape(values))[good])
    high, low = (np.max(values[good] + np.minimum(bars, np.quantile(bars, 0.85))),
                 np.min(values[good] - np.minimum(bars, np.quantile(bars, 0.85))))
    pad = 0.08 * (high - (low if floor is None else floor)) + 1e-9 * abs(high) + 1e-300
    low, high = low - pad, high + pad
    if symmetric:
        low, high = -max(-low, high), max(-low, high)
    axes.set_ylim(low if floor is None else floor, high)


def power(value, _=None):
    """A tick of a logarithmic axis in plain text."""
    exponent = math.log10(value) if value > 0 else 0.0
    if -4 < exponent < 4 or abs(exponent - round(exponent)) > 1e-9:
        return f"{value:g}"
    return f"10{superscript(round(exponent))}"


def log_scale(axes, axis="y"):
    """A logarithmic axis, with plain numbers where it spans less than two decades."""
    scaled = getattr(axes, f"{axis}axis")
    getattr(axes, f"set_{axis}scale")("log")
    limits = getattr(axes, f"set_{axis}lim")
    low, high = getattr(axes, f"get_{axis}lim")()
    if high / low < 3:
        low, high = limits(low / 2, high * 2)
    if high / low < 150:
        scaled.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if high / low < 40 else (1, 3)))
    else:
        scaled.set_major_locator(ticker.LogLocator(numticks=7))
    scaled.set_major_formatter(ticker.FuncFormatter(power))
    scaled.set_minor_formatter(ticker.NullFormatter())
