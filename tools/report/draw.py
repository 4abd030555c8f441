"""How the report draws: colours, axes, figures as self-contained HTML."""
import base64
import io
import logging
import math

import matplotlib

matplotlib.use("Agg")
logging.getLogger("matplotlib").setLevel(logging.ERROR)
import numpy as np  # noqa: E402
from matplotlib import font_manager, pyplot as plt, ticker  # noqa: E402
from matplotlib.colors import LinearSegmentedColormap  # noqa: E402

from data import esc, plain


# Okabe and Ito's palette and a purple: distinct under the common colour-vision deficiencies.
INK, MUTED, GRID, SHADE = "#22262b", "#5c6570", "#e3e6ea", "#f3d9c9"
COLOUR = {"physics": "#0072B2", "generator": "#D55E00", "healed": "#009E73", "exact": "#111111",
          "conditional": "#0072B2", "free_energy": "#56B4E9", "burst": "#AA4499", "critic_loss": "#0072B2",
          "generator_loss": "#D55E00", "penalty": "#8a939d", "w1_mean": "#332288",
          "w1_worst": "#A59BD0", "importance": "#56B4E9", "metropolis": "#CC79A7",
          "loss": "#0072B2"}
MARKER = {"physics": "o", "generator": "^", "healed": "s", "conditional": "o", "burst": "D",
          "importance": "v", "metropolis": "d"}
ENERGY_MAP = LinearSegmentedColormap.from_list("energy", ["#9fb3c8", "#d5dfe9", "#ffffff"])
WIDE, NARROW = 8.6, 4.3  # inches; phones show the narrow drawing
SVG_LIMIT = 600_000      # bytes; a larger drawing is embedded as PNG


# ---------------------------------------------------------------- drawing

def style():
    installed = {f.name for f in font_manager.fontManager.ttflist}
    sans = [f for f in ("Source Sans 3", "Liberation Sans", "Arial") if f in installed][:1]
    edge = "#9aa3ad"
    plt.rcParams.update({
        "font.family": sans + ["DejaVu Sans"], "font.size": 10.5, "axes.labelsize": 10.5,
        "axes.titlesize": 10.5, "xtick.labelsize": 9.5, "ytick.labelsize": 9.5, "text.color": INK,
        "legend.fontsize": 10, "legend.frameon": False, "axes.edgecolor": edge,
        "axes.linewidth": 0.8, "axes.labelcolor": INK, "axes.titlelocation": "left",
        "axes.grid": True, "axes.axisbelow": True, "axes.spines.top": False, "xtick.color": edge,
        "axes.spines.right": False, "grid.color": GRID, "grid.linewidth": 0.7,
        "ytick.color": edge, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
        "lines.linewidth": 1.7, "lines.markersize": 4, "contour.negative_linestyle": "solid",
        "svg.fonttype": "path", "svg.hashsalt": "microlift", "axes.formatter.limits": (-4, 5)})


def encode(drawing):
    for kind, mime, metadata in (("svg", "svg+xml", {"Date": None}), ("png", "png", {})):
        buffer = io.BytesIO()
        drawing.savefig(buffer, format=kind, dpi=170, metadata=metadata)
        if buffer.tell() < SVG_LIMIT:
            break
    return f"data:image/{mime};base64," + base64.b64encode(buffer.getvalue()).decode()


def add_legend(drawing):
    """One legend above all panels, in as many columns as fit; no data beneath it."""
    handles, top = {}, 1.0
    for axes in drawing.axes:
        handles.update({label: handle for handle, label in zip(*axes.get_legend_handles_labels())
                        if label not in handles})
    width, height = drawing.get_size_inches() * drawing.dpi
    for columns in range(min(len(handles), 6), 0, -1):
        legend = drawing.legend(handles.values(), handles.keys(), loc="upper left", ncol=columns,
                                bbox_to_anchor=(0, 1), borderaxespad=0.1, borderpad=0.3,
                                handlelength=1.8, columnspacing=1.6, handletextpad=0.6)
        box = legend.get_window_extent(drawing.canvas.get_renderer())
        legend.set_in_layout(False)
        if box.width <= width or columns == 1:
            top = 1 - (box.height + 4) / height
            break
        legend.remove()
    drawing.get_layout_engine().set(rect=(0, 0, 1, top), w_pad=0.06, h_pad=0.05, wspace=0.04,
                                    hspace=0.04)


def figure(panels, caption, columns=1, heights=None, height=3.0, width=WIDE, narrow_columns=1):
    """<figure> of panels (functions of an axes): a wide drawing and a narrow one for phones.

    heights: inches of the rows of stacked panels on one abscissa; else every row has `height`."""
    sources = []
    for inches, across in ((width, columns), (NARROW, narrow_columns)):
        across = min(across, len(panels))
        rows = -(-len(panels) // across)
        tall = heights or [height] * rows
        if inches == NARROW:
            tall = [min(h, 3.2 / across) for h in tall]
        drawing, grid = plt.subplots(rows, across, figsize=(inches, sum(tall) + 0.35),
                                     squeeze=False, sharex=bool(heights), layout="constrained",
                                     gridspec_kw={"height_ratios": tall})
        for i, axes in enumerate(grid.flat):
            if i >= len(panels):
                axes.set_visible(False)
                continue
            panels[i](axes)
            axes.xaxis.set_major_locator(ticker.MaxNLocator(8 if inches / across > 6 else 5))
            if heights and i + 1 < len(panels):
                axes.set_xlabel("")
        if heights:
            drawing.align_ylabels(grid[:, 0])
        add_legend(drawing)
        sources.append(encode(drawing))
        plt.close(drawing)
    return (f'<figure><picture><source media="(max-width:600px)" srcset="{sources[1]}">'
            f'<img src="{sources[0]}" alt="{esc(caption)}" style="max-width:{width * 105:.0f}px">'
            f"</picture><figcaption>{esc(caption)}</figcaption></figure>")


def window_colours(count):
    return plt.get_cmap("viridis")(np.linspace(0.0, 0.93, max(count, 1)))


def errors(axes, x, y, se, source, every=1, start=0, label=None):
    """Points with bars of two standard errors, in the colour of the source."""
    part = slice(start, None, every)
    axes.errorbar(x[part], y[part], yerr=2 * se[part] if np.isfinite(se).any() else None, ms=4,
                  fmt=MARKER.get(source, "o"), mfc=COLOUR[source] if source == "physics" else
                  "white", mew=1.0, color=COLOUR.get(source, MUTED), elinewidth=0.9,
                  label=label or source)


def colour_bar(axes, drawn, label):
    bar = axes.figure.colorbar(drawn, ax=axes, pad=0.02, aspect=28)
    bar.outline.set_visible(False)
    bar.set_label(plain(label))


def heat_map(run, axes, table, values, label, cmap="cividis", limits=(None, None), contours=None):
    ticks = [np.unique(np.round(c, 9), return_inverse=True) for c in table["cv"].T[:2]]
    matrix = np.full((len(ticks[1][0]), len(ticks[0][0])), math.nan)
    matrix[ticks[1][1], ticks[0][1]] = values
    matrix = np.ma.masked_invalid(matrix)
    axes.set_facecolor("#e7eaed")
    axes.grid(False)
    drawn = axes.pcolormesh(ticks[0][0], ticks[1][0], matrix, cmap=cmap, shading="nearest",
                            vmin=limits[0], vmax=limits[1], rasterized=True)
    if contours is not None and min(matrix.shape) > 1:
        axes.contour(ticks[0][0], ticks[1][0], matrix, levels=contours, colors="white",
                     linewidths=0.6, alpha=0.8)
    colour_bar(axes, drawn, label)
    axes.set(xlabel=plain(run.cv_labels[0]), ylabel=plain(run.cv_labels[1]))


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


def log_scale(axes):
    """A logarithmic ordinate, with plain numbers where it spans less than two decades."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high / low < 3:
        low, high = axes.set_ylim(low / 2, high * 2)
    if high / low < 150:
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if high / low < 40
                                                       else (1, 3)))
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:g}"))
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())
