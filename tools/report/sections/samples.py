"""Samples of the biased runs, and how their windows cover the collective variables."""
import numpy as np
from matplotlib import ticker
from matplotlib.colors import to_rgba

from draw import colour_bar, figure, heat_map, log_scale, rasterize, window_colours
from palette import ENERGY_MAP, INK, LIGHT, MUTED, SHADE
from thresholds import MIN_EFFECTIVE, MIN_OVERLAP
from words import fmt, listed, plain, several

MOST = 6  # variables that are drawn against the collective one


def wanted(run):
    return run.state is not None or run.cv is not None


def section(run):
    # Places of a molecule's atoms say nothing: it tumbles. Its torsions are drawn with it.
    shown = run.state is not None and not run.molecule
    panels, texts = cloud(run) if shown else ([], [])
    small = len(panels) > 2
    result = figure(panels, " ".join(texts), 3) if small else ""
    panels, texts = ([], []) if small else (panels, texts)
    if run.cv is not None:
        more, words = coverage_of_two(run) if run.cv.shape[1] > 1 else coverage(run)
        panels, texts = panels + more, texts + words
    return result + (figure(panels, " ".join(texts)) if panels else "")


# ---------------------------------------------------------------- the cloud

def colours(run):
    """Of the windows, in the order of their centres: coupling adds windows after the others."""
    count = max(len(run.centers), int(run.window.max(initial=0)) + 1)
    rank = np.arange(count)
    if len(run.centers) == count and not run.two_cvs:
        rank[np.argsort(run.centers[:, 0], kind="stable")] = np.arange(count)
    return window_colours(count)[rank]


def scatter(run, axes, x, y):
    axes.scatter(x, y, s=4, c=colours(run)[run.window[run.drawn]], alpha=0.6, linewidths=0,
                 rasterized=True)


def centre_marks(run, axes):
    if run.law:
        return
    axes.scatter(run.centers[:, 0], np.full(len(run.centers), 0.012), marker="^", s=26,
                 transform=axes.get_xaxis_transform(), clip_on=False, zorder=5, linewidths=0.5,
                 c=colours(run)[:len(run.centers)], edgecolors=INK, label="window centres")


def crosses(run, axes):
    if run.law:
        return
    many = len(run.centers) > 150
    axes.plot(*run.centers.T[:2], "+", color=INK, ms=3 if many else 5, mew=0.5 if many else 0.8,
              label="window centres")


def line_panel(run):
    """One variable: samples on its potential, scattered a little, to be seen."""
    name, grid = run.variables[0], run.grid

    def panel(axes):
        noise = np.random.default_rng(2).normal(0, 1, len(run.state))
        if "potential" in grid and "sample_potential" in grid:
            axes.plot(grid["axis_1"], grid["potential"], color=INK, lw=1.2, zorder=4,
                      label=f"V({name})")
            scatter(run, axes, run.state[:, 0],
                    grid["sample_potential"] + 0.012 * np.ptp(grid["potential"]) * noise)
            axes.set_ylabel(f"V({name})  ({run.energy})")
        else:
            scatter(run, axes, run.state[:, 0], noise)
            axes.set_yticks([])
        axes.set_xlabel(run.label(name))
        axes.set_title("Samples")
        if run.cv_formulas[0] in ("", name):
            centre_marks(run, axes)
    return panel


def contours(run, axes):
    """The potential over the plane, and where the collective variable is constant."""
    grid, x, y = run.grid, run.grid["axis_1"], run.grid["axis_2"]
    axes.set(xlim=x[[0, -1]], ylim=y[[0, -1]])
    if "potential" in grid and "sample_potential" in grid:
        energy = grid["potential"]
        low, high = np.nanmin(energy), np.nanquantile(grid["sample_potential"], 0.995)
        levels = ticker.MaxNLocator(12).tick_values(low, low + 1.35 * (high - low or 1e-12 * abs(low) or 1.0))
        drawn = axes.contourf(x, y, np.minimum(energy, levels[-1]), levels, cmap=ENERGY_MAP)
        rasterize(drawn)
        lines = axes.contour(x[::2], y[::2], energy[::2, ::2], levels, colors=LIGHT["edge"],
                             linewidths=0.5)
        rasterize(lines)
        colour_bar(axes, drawn, f"V({', '.join(run.variables)})  ({run.energy})")
    if len(run.centers) and not run.two_cvs and run.cv_formulas != run.variables[:1] \
            and "cv" in grid and np.ptp(grid["cv"][0]) > 0:
        axes.contour(x, y, grid["cv"][0], np.unique(run.centers[:, 0]), colors=LIGHT["brown"],
                     linewidths=0.7, linestyles="dotted")
        axes.plot([], [], color=LIGHT["brown"], lw=1, ls=":", label="window centres, ξ = const.")


def plane_panel(run):
    def panel(axes):
        axes.grid(False)
        if "axis_2" in run.grid:
            contours(run, axes)
        scatter(run, axes, *run.state.T)
        axes.set(xlabel=run.label(run.variables[0]), ylabel=run.label(run.variables[1]))
        axes.set_title("Samples")
        if run.cv_formulas == run.variables and len(run.centers):
            crosses(run, axes)
        elif run.cv_formulas == run.variables[:1]:
            centre_marks(run, axes)
    return panel


def against(run, i):
    def panel(axes):
        scatter(run, axes, run.state[:, 0] if run.cv is None else run.cv[run.drawn, 0],
                run.state[:, i])
        axes.set(xlabel=plain(run.variables[0] if run.cv is None else run.cv_labels[0]),
                 ylabel=run.label(run.variables[i]))
        if run.cv is not None:
            centre_marks(run, axes)
    return panel


def observed_panel(run):
    def panel(axes):
        scatter(run, axes, *run.grid["observed"].T)
        axes.set(xlabel=plain(run.observed[0]), ylabel=plain(run.observed[1]))
        axes.set_title("As observed")
    return panel


def cloud(run):
    names, total, used = run.variables, len(run.window), len(np.unique(run.window))
    biased = run.law in ("", "bias", "weights")
    text = "Stored samples" + " of the biased runs" * (run.law in ("", "bias"))
    over = "potential" in run.grid
    if len(names) == 1:
        panels = [line_panel(run)]
        text += " on the potential (slightly scattered, to be seen)" if over else ""
    elif len(names) == 2:
        panels = [plane_panel(run)]
        text += " over contours of the potential" if over else ""
    else:
        others = [i for i in range(len(names)) if names[i] not in run.cv_formulas][:MOST]
        panels = [against(run, i) for i in others]
        text += ", each variable against the collective variable"
    if used > 1 or run.law:
        coloured = f", coloured by {'round' if run.law else 'window'} ({used})" if used > 1 else ""
        text += coloured + ("; the bias spreads them along the collective variable, so their density is not the "
                            "equilibrium density" if biased else "; their density is that of equilibrium")
    text += f". {fmt(len(run.state))} of {fmt(total)} samples are drawn." \
        if len(run.state) < total else "."
    texts = [text]
    if run.observed != names and run.grid.get("observed", np.empty((0, 0))).shape[1] == 2 \
            and len(run.observed) == 2:
        panels.append(observed_panel(run))
        texts.append("Then the same samples as they are observed, which is what the generator "
                     "learns.")
    return panels, texts


# ---------------------------------------------------------------- the windows

def coverage_of_two(run):
    used, row = np.unique(run.window, return_inverse=True)
    effective = run.of_windows("effective_samples")
    shuffled = window_colours(len(used))[np.random.default_rng(3).permutation(len(used))]

    def cover(axes):
        axes.scatter(*run.cv[run.drawn, :2].T, s=4, c=shuffled[row[run.drawn]], alpha=0.6,
                     linewidths=0, rasterized=True)
        crosses(run, axes)
        axes.set(xlabel=plain(run.cv_labels[0]), ylabel=plain(run.cv_labels[1]))
        axes.set_title(f"Coverage by {fmt(run.walkers)} walkers" if run.walkers > 0 else "Coverage" if run.law else
                       f"Coverage by {len(used)} windows")

    def effective_map(axes):
        heat_map(run, axes, {"cv": run.centers}, effective, "effective samples", limits=(0, None))
        axes.set_title("Effective samples")

    # Where the collective variables are the variables, the samples show their coverage themselves.
    panels = [] if run.state is not None and run.cv_formulas == run.variables else [cover]
    if np.isfinite(effective).any() and not run.law:
        return panels + [effective_map], ["Effective samples of a window: correlations taken out."]
    return panels, []


def histograms(run):
    """(middles of cells, width of a cell, densities by window) of the collective variable."""
    good = np.isfinite(run.cv[:, 0])
    cv, (used, row) = run.cv[good, 0], np.unique(run.window, return_inverse=True)
    row = row[good]
    low, high = (cv.min(), cv.max()) if len(cv) else (0.0, 1.0)
    span = max(high - low, 1e-12 * abs(high), 1e-300)
    count = np.maximum(np.bincount(row, minlength=len(used)), 1)
    mean = np.bincount(row, cv, len(used)) / count
    width = np.median(np.sqrt(np.bincount(row, (cv - mean[row]) ** 2, len(used)) / count))
    bins = int(np.clip(span / max(0.25 * width, span / 600), 40, 600))
    cell = row * bins + np.minimum(((cv - low) * (bins / span)).astype(int), bins - 1)
    shares = np.bincount(cell, minlength=len(used) * bins).reshape(len(used), bins) / count[:, None]
    return low + (np.arange(bins) + 0.5) * (span / bins), shares / (span / bins)


def histogram_panel(run, label):
    def of_run(k):
        if not run.law:
            return f"window {k}"
        return f"round {k}" if k else "the bias's makers" if run.law == "bias" else "samples"

    def panel(axes):
        middle, density = histograms(run)
        shades = colours(run)
        for k, line in zip(np.unique(run.window), density):
            filled = np.nonzero(line)[0]
            part = slice(max(filled[0] - 1, 0), filled[-1] + 2) if len(filled) else slice(0)
            axes.fill_between(middle[part], line[part], color=to_rgba(shades[k], 0.22), lw=0)
            axes.plot(middle[part], line[part], color=shades[k], lw=1.1, gid=of_run(k))
        axes.set_ylim(bottom=0)
        given = {"": " | window", "bias": " | bias", "weights": " | bias"}.get(run.law, "")
        axes.set(ylabel=f"p({plain(run.cv_symbols[0])}{given})", xlabel=label)
        axes.set_title("Distribution of the walkers" if run.walkers > 0 else "Distribution of the samples" if run.law
                       else "Distribution in each window")
    return panel


def coverage(run):
    overlap, effective = run.of_windows("overlap_next"), run.of_windows("effective_samples")
    label, centers = plain(run.cv_labels[0]), run.centers
    # Coupling adds windows after the others; neighbours are neighbours by centre.
    if len(overlap) == len(centers):
        order = np.argsort(centers[:, 0], kind="stable")
        centers, overlap, effective = centers[order], overlap[order], effective[order]

    def overlap_panel(axes):
        axes.axhspan(0, MIN_OVERLAP, color=SHADE, lw=0)
        axes.plot((centers[:-1, 0] + centers[1:, 0]) / 2, overlap[:-1], "o-", color=MUTED, lw=1,
                  ms=3.6)
        axes.set_ylim(0, max(0.1, 1.15 * np.nanmax(overlap[:-1])))
        axes.set(ylabel="overlap", xlabel=label)
        axes.set_title("Overlap with the next window")

    def effective_panel(axes):
        low = min(MIN_EFFECTIVE, np.nanmin(np.where(effective > 0, effective, MIN_EFFECTIVE))) / 3
        axes.axhspan(low, MIN_EFFECTIVE, color=SHADE, lw=0)
        axes.plot(centers[:, 0], effective, "o-", color=MUTED, lw=1, ms=3.6)
        axes.set_ylim(low, 3 * max(np.nanmax(effective), MIN_EFFECTIVE))
        log_scale(axes)
        axes.yaxis.set_minor_locator(ticker.NullLocator())
        axes.set(ylabel="samples", xlabel=label)
        axes.set_title("Effective samples of each window")

    if run.law:
        rounds = len(np.unique(run.window)) - 1
        return [histogram_panel(run, label)], [
            "Distribution of the collective variable "
            + {"bias": "under the frozen bias, from which it is then taken off",
               "weights": "in the samples, before their weights take the bias off",
               "annealing": "in the population at the system's temperature"}.get(run.law, "in the samples, which are unbiased")
            + (f"; of the walkers that made the bias, and of {several(rounds, 'round')} of coupling." if rounds else ".")]
    panels, limits = [histogram_panel(run, label)], []
    for values, panel, limit in ((overlap[:-1], overlap_panel, f"{MIN_OVERLAP}"),
                                 (effective, effective_panel, f"{MIN_EFFECTIVE} samples")):
        if np.isfinite(values).any():
            panels.append(panel)
            limits.append(limit)
    text = (f"Distribution of the collective variable in the "
            f"{several(len(np.unique(run.window)), 'window')}; neighbours must overlap to be "
            "joined into one free energy.")
    return panels, [text + (f" Shaded: too little (under {listed(limits)})." if limits else "")]
