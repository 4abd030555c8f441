"""Sections on the biased ensemble: the cloud of samples, the windows, the free energy."""
import math

import numpy as np
from matplotlib import ticker
from matplotlib.colors import to_rgba

from data import (MIN_EFFECTIVE, MIN_OVERLAP, column, dig, exact_free_energy, fmt,
                         free_energy_residuals, listed, plain, several)
from draw import (COLOUR, ENERGY_MAP, INK, MUTED, SHADE, WIDE, colour_bar, figure,
                         heat_map, window_colours)


# ---------------------------------------------------------------- sections
# Each returns (id, title, html), or None where there is nothing to show.

def section_cloud(run):
    if run.state is None:
        return None
    names, state = run.variables, run.state
    used = np.unique(run.window)
    colour = window_colours(len(used))[np.searchsorted(used, run.window[run.drawn])]

    def cloud(axes, x, y):
        axes.scatter(x, y, s=3.2, c=colour, alpha=0.55, linewidths=0, rasterized=True)

    def centre_marks(axes):
        axes.scatter(run.centers[:, 0], np.full(len(run.centers), 0.012), marker="^", s=26,
                     transform=axes.get_xaxis_transform(), clip_on=False, zorder=5, linewidths=0.5,
                     c=window_colours(len(run.centers)), edgecolors=INK, label="window centres")

    def line_panel(axes):
        x = np.linspace(state.min(), state.max(), 600)
        energy = run.at(run.potential, x)
        scatter = np.random.default_rng(2).normal(0, 1, len(state))
        if energy is None:
            cloud(axes, state[:, 0], scatter)
            axes.set_yticks([])
        else:
            axes.plot(x, energy, color=INK, lw=1.2, zorder=4, label=f"V({names[0]})")
            cloud(axes, state[:, 0], run.at(run.potential, state[:, 0])
                  + 0.012 * np.ptp(energy) * scatter)
            axes.set_ylabel(f"V({names[0]})  (energy)")
        axes.set_xlabel(run.label(names[0]))
        if run.cv_formulas[0] in ("", names[0]):
            centre_marks(axes)

    def plane_panel(axes):
        axes.grid(False)
        box = np.nanquantile(state, [0.0005, 0.9995], axis=0)
        box += 0.12 * (box[1] - box[0] + 1e-9) * np.array([[-1], [1]])
        gx, gy = np.meshgrid(*np.linspace(box[0], box[1], 300).T)
        energy, visited = run.at(run.potential, gx, gy), run.at(run.potential, *state.T)
        if energy is not None:
            low, high = np.nanmin(energy), np.nanquantile(visited, 0.995)
            levels = ticker.MaxNLocator(12).tick_values(low, low + 1.35 * max(high - low, 1e-12))
            drawn = axes.contourf(gx, gy, np.minimum(energy, levels[-1]), levels, cmap=ENERGY_MAP)
            axes.contour(gx, gy, energy, levels, colors="#7d8da0", linewidths=0.5)
            colour_bar(axes, drawn, f"V({', '.join(names)})  (energy)")
        cloud(axes, *state.T)
        axes.set(xlim=box[:, 0], ylim=box[:, 1], xlabel=run.label(names[0]),
                 ylabel=run.label(names[1]))
        if run.cv_formulas == names and len(run.centers):
            axes.plot(*run.centers.T, "+", color=INK, ms=5, mew=0.8, label="window centres")
        elif run.cv_formulas == names[:1]:
            centre_marks(axes)
        elif not run.two_cvs and len(run.centers):
            levels = run.at(run.cv_formulas[0], gx, gy)
            if levels is not None and np.ptp(levels) > 0:
                axes.contour(gx, gy, levels, np.unique(run.centers[:, 0]), colors="#8a5a2b",
                             linewidths=0.7, linestyles="dotted")
                axes.plot([], [], color="#8a5a2b", lw=1, ls=":", label="window centres, ξ = const.")

    def against(i):
        def panel(axes):
            cloud(axes, state[:, 0] if run.cv is None else run.cv[run.drawn, 0], state[:, i])
            axes.set(xlabel=plain(names[0] if run.cv is None else run.cv_labels[0]),
                     ylabel=run.label(names[i]))
            if run.cv is not None:
                centre_marks(axes)
        return panel

    total = len(run.window)
    caption = "Stored samples of the biased runs"
    closing = f". {fmt(len(state))} of {fmt(total)} samples are drawn" if len(state) < total else ""
    if len(used) > 1:
        closing = f", coloured by window ({len(used)})" + closing + (
            "; the bias spreads them along the collective variable, so their density is not the "
            "equilibrium density")
    if len(names) == 1:
        caption += " on the potential (slightly scattered, to be seen)" if run.potential else ""
        result = figure([line_panel], caption + closing + ".", height=3.6)
    elif len(names) == 2:
        caption += " over contours of the potential" if run.potential else ""
        result = figure([plane_panel], caption + closing + ".", height=5.0, width=7.4)
    else:
        others = [i for i in range(len(names)) if names[i] not in run.cv_formulas][:6]
        result = figure([against(i) for i in others], caption + ", each variable against the "
                        f"collective variable{closing}.", columns=3, height=2.6, narrow_columns=2)
    seen = [run.at(text, *state.T) for text in run.observed]
    if len(seen) == 2 and run.observed != names and not any(v is None for v in seen):
        def observed_panel(axes):
            cloud(axes, *seen)
            axes.set(xlabel=plain(run.observed[0]), ylabel=plain(run.observed[1]))
            axes.set_aspect("equal", adjustable="datalim")
        result += figure([observed_panel], "The same samples as they are observed, which is what "
                         "the generator learns.", height=3.9, width=6.2)
    return "cloud", "Samples", result


def section_windows(run):
    if run.cv is None:
        return None
    used, row = np.unique(run.window, return_inverse=True)
    colours, centers = window_colours(len(used)), run.centers
    overlap, effective = run.of_windows("overlap_next"), run.of_windows("effective_samples")
    label = plain(run.cv_labels[0])
    if run.cv.shape[1] > 1:
        shuffled = colours[np.random.default_rng(3).permutation(len(used))]

        def cover(axes):
            axes.scatter(*run.cv[run.drawn, :2].T, s=3.2, c=shuffled[row[run.drawn]], alpha=0.55,
                         linewidths=0, rasterized=True)
            axes.plot(*centers.T[:2], "+", color=INK, ms=5, mew=0.8, label="window centres")
            axes.set(xlabel=label, ylabel=plain(run.cv_labels[1]))

        def effective_map(axes):
            heat_map(run, axes, {"cv": centers}, effective, "effective samples", limits=(0, None))
        known = np.isfinite(effective).any()
        return "windows", "Windows", figure(
            [cover] + [effective_map] * bool(known), "Coverage of the two collective variables by "
            f"{len(used)} windows" + ("; right: effective number of samples of each window, "
                                      "correlations taken out." if known else "."), 2, height=3.6,
            width=WIDE if known else 6.2)

    # Coupling adds windows after the others; neighbours are neighbours by centre.
    if len(overlap) == len(centers):
        order = np.argsort(centers[:, 0], kind="stable")
        centers, overlap, effective = centers[order], overlap[order], effective[order]
    good = np.isfinite(run.cv[:, 0])
    cv, row = run.cv[good, 0], row[good]
    low, high = (cv.min(), cv.max()) if len(cv) else (0.0, 1.0)
    span = max(high - low, 1e-12 * abs(high), 1e-300)
    count = np.maximum(np.bincount(row, minlength=len(used)), 1)
    mean = np.bincount(row, cv, len(used)) / count
    width = np.median(np.sqrt(np.bincount(row, (cv - mean[row]) ** 2, len(used)) / count))
    bins = int(np.clip(span / max(0.25 * width, span / 600), 40, 600))
    cell = row * bins + np.minimum(((cv - low) * (bins / span)).astype(int), bins - 1)
    shares = np.bincount(cell, minlength=len(used) * bins).reshape(len(used), bins) / count[:, None]
    middle = low + (np.arange(bins) + 0.5) * (span / bins)

    def histogram(axes):
        for k in range(len(used)):
            density = shares[k] / (span / bins)
            filled = np.nonzero(density)[0]
            part = slice(max(filled[0] - 1, 0), filled[-1] + 2) if len(filled) else slice(0)
            axes.fill_between(middle[part], density[part], color=to_rgba(colours[k], 0.22), lw=0)
            axes.plot(middle[part], density[part], color=colours[k], lw=1.0)
        axes.set_ylim(bottom=0)
        axes.set(ylabel=f"p({plain(run.cv_symbols[0])} | window)", xlabel=label)

    def overlap_panel(axes):
        axes.axhspan(0, MIN_OVERLAP, color=SHADE, lw=0)
        axes.plot((centers[:-1, 0] + centers[1:, 0]) / 2, overlap[:-1], "o-", color=MUTED, lw=1,
                  ms=3.2)
        axes.set_ylim(0, max(0.1, 1.15 * np.nanmax(overlap[:-1])))
        axes.set(ylabel="overlap with\nthe next", xlabel=label)

    def effective_panel(axes):
        low = min(MIN_EFFECTIVE, np.nanmin(np.where(effective > 0, effective, MIN_EFFECTIVE))) / 3
        axes.axhspan(low, MIN_EFFECTIVE, color=SHADE, lw=0)
        axes.plot(centers[:, 0], effective, "o-", color=MUTED, lw=1, ms=3.2)
        axes.set_yscale("log")
        axes.set_ylim(low, 3 * max(np.nanmax(effective), MIN_EFFECTIVE))
        axes.yaxis.set_minor_locator(ticker.NullLocator())
        axes.set(ylabel="effective\nsamples", xlabel=label)

    panels, below, limits = [histogram], [], []
    for values, panel, words, limit in (
            (overlap[:-1], overlap_panel, "overlap with the next window", f"{MIN_OVERLAP}"),
            (effective, effective_panel, "effective number of samples, correlations taken out",
             f"{MIN_EFFECTIVE} samples")):
        if np.isfinite(values).any():
            panels.append(panel)
            below.append(words)
            limits.append(limit)
    caption = (f"Distribution of the collective variable in the {several(len(used), 'window')}; "
               "neighbours must overlap to be joined into one free energy.")
    if below:
        caption += f" Below: {'; '.join(below)}. Shaded: too little (under {listed(limits)})."
    return "windows", "Windows", figure(panels, caption, heights=[2.9] + [1.15] * len(below))


def section_free_energy(run):
    table = run.tables.get("free_energy")
    if not table or not np.isfinite(table["free_energy"]).any():
        return None
    exact, scaled, error = exact_free_energy(run), free_energy_residuals(run), \
        column(table, "std_error")
    value = np.where(np.isfinite(table["free_energy"]), table["free_energy"], math.nan)
    known = np.isfinite(error).any()
    method = str(run.stage("estimate").get("method") or dig(run.config, "estimate").get("method")
                 or "").replace("_", " ")
    method = method.upper() if method in ("mbar", "wham") else method
    agreement = ""
    if scaled is not None:
        good = np.abs(scaled[np.isfinite(scaled)])
        agreement = (f" {np.mean(good <= 2):.0%} of {fmt(len(good))} bins lie within two standard "
                     "errors of the exact answer (about 95% are expected; neighbouring bins move "
                     "together).")
    if run.two_cvs:
        top = np.nanquantile(value, 0.995)
        unit = 1 / run.beta if run.beta > 0 else top / 10
        step = unit * max(1, round(top / unit / 12))
        limit = 3.0 if scaled is None else max(3.0, min(6.0, np.nanmax(np.abs(scaled))))
        panels = [lambda axes: heat_map(run, axes, table, value, "F  (energy)", "viridis", (0, top),
                                        np.arange(step, top, step))]
        if known:
            panels.append(lambda axes: heat_map(run, axes, table, error,
                                                "standard error  (energy)"))
        if scaled is not None:
            panels.append(lambda axes: heat_map(run, axes, table, scaled,
                                                "(F − exact) / standard error", "RdBu_r",
                                                (-limit, limit)))
        caption = (f"Free energy of the two collective variables, minimum 0, contours every "
                   f"{fmt(step)}" + ("; its standard error" if known else "")
                   + ("; the difference from the exact answer, in standard errors" if scaled
                      is not None else "") + ". Grey: never visited.")
        return "free-energy", "Free energy", figure(panels, caption + agreement, 2, height=3.5)
    x = table["cv_1"]

    def curve(axes):
        if known:
            axes.fill_between(x, value - 2 * error, value + 2 * error, lw=0,
                              color=to_rgba(COLOUR["physics"], 0.25), label="± 2 standard errors")
        axes.plot(x, value, color=COLOUR["physics"], label=f"F, {method}" if method else "F")
        if exact is not None:
            axes.plot(x, exact, color=COLOUR["exact"], lw=1.1, ls=(0, (4, 3)), label="exact")
        axes.set(ylabel=f"F({plain(run.given)})  (energy)", xlabel=plain(run.cv_labels[0]))
        if run.beta > 0:
            right = axes.secondary_yaxis("right", functions=(lambda f: f * run.beta,
                                                             lambda f: f / run.beta))
            right.set_ylabel("βF  (kT)")
            right.spines["right"].set_visible(False)

    def below(axes):
        axes.set_xlabel(plain(run.cv_labels[0]))
        if scaled is None:
            axes.plot(x, error, color=COLOUR["physics"])
            axes.set_ylim(bottom=0)
            axes.set_ylabel("std. error\n(energy)")
            return
        for half, shade in ((2, "#eef1f4"), (1, "#dfe5eb")):
            axes.axhspan(-half, half, color=shade, lw=0)
        axes.axhline(0, color=COLOUR["exact"], lw=0.9, ls=(0, (4, 3)))
        limit = max(3.4, min(8, 1.15 * np.nanmax(np.abs(scaled))))
        axes.plot(x, np.clip(scaled, -limit, limit), "o", ms=2.8, color=COLOUR["physics"],
                  clip_on=False)
        axes.set_ylim(-limit, limit)
        axes.yaxis.set_major_locator(ticker.MultipleLocator(2))
        axes.set_ylabel("(F − exact)\n/ std. error")

    caption = "Free energy along the collective variable, minimum 0"
    caption += ", with a band of two standard errors" if known else ""
    caption += ", and the exact curve" if exact is not None else ""
    caption += (". Below: the difference in standard errors, zero at the minimum by construction."
                if scaled is not None else ". Below: the standard error." if known else ".")
    return "free-energy", "Free energy", figure(
        [curve] + [below] * bool(known), caption + agreement,
        heights=[3.5] + [1.5] * bool(known))
