"""Walkers that were pulled along a path and back: their work, where the densities of both ways cross, the free energy
along the path, and in words what of it may be trusted."""
import math

import numpy as np

from data import dig
from draw import band, figure, round_axis, share_panel
from markup import bullets, html_table
from palette import COLOUR, INK
from thresholds import ways_overlap
from words import fmt, number, percent, plain, with_error

WAYS = (("jarzynski_forward", "Jarzynski, forward"), ("jarzynski_reverse", "Jarzynski, back"),
        ("crooks", "crossing (Crooks)"), ("bar", "both ways (BAR)"))


def wanted(run):
    return "work" in run.tables and bool(dig(run.metrics, "steered"))


def work_of(run):
    """By direction, on the forward way, in kT."""
    table, (kt, _) = run.tables["work"], run.thermal
    forward = table["direction"] == "forward"
    return table["work"][forward] / kt, -table["work"][~forward] / kt


def density_panel(run, found):
    forward, back = work_of(run)
    kt, name = run.thermal

    def panel(axes):
        low, high = np.percentile(np.concatenate([forward, back]), [0.1, 99.9])
        edges = np.linspace(low, high if high > low else low + 1, 48)
        for values, colour, label in ((forward, "physics", "forward"), (back, "generator", "back, its negative")):
            count, _ = np.histogram(values, edges)
            axes.stairs(count / (len(values) * np.diff(edges)), edges, color=COLOUR[colour], lw=1.6, label=label)
        bar, error = (number(dig(found, "difference", "bar").get(k)) / kt for k in ("value", "std_error"))
        if math.isfinite(bar):
            axes.axvspan(bar - 2 * error, bar + 2 * error, color=COLOUR["healed"], alpha=0.25, lw=0)
            axes.axvline(bar, color=COLOUR["healed"], lw=1.2, label="ΔF by both (BAR)")
        crossing = number(dig(found, "difference", "crooks").get("value")) / kt
        if math.isfinite(crossing):
            axes.axvline(crossing, color=INK, lw=1.0, ls=":", label="crossing")
        axes.set_ylim(bottom=0)
        axes.set(xlabel=f"work  ({name})", ylabel="density")
        axes.set_title("Work of both ways")
    return panel


def ratio_panel(run, found):
    """The logarithm of the ratio of both densities, which Crooks' relation says is W/kT − ΔF/kT."""
    forward, back = work_of(run)
    kt, name = run.thermal

    def panel(axes):
        edges = np.unique(np.quantile(np.concatenate([forward, back]), np.linspace(0, 1, 25)))
        f, b = (np.histogram(v, edges)[0].astype(float) for v in (forward, back))
        both = (f > 4) & (b > 4)
        if both.any():
            # Where the walkers of a bin are: the outermost bins are wide.
            work = np.concatenate([forward, back])
            middle = np.histogram(work, edges, weights=work)[0] / np.maximum(f + b, 1)
            y = np.log(f[both] / b[both] * len(back) / len(forward))
            axes.errorbar(middle[both], y, yerr=2 * np.sqrt(1 / f[both] + 1 / b[both]), fmt="o", ms=4,
                          color=COLOUR["physics"], elinewidth=1.0, label="counted, ± 2 standard errors")
        bar = number(dig(found, "difference", "bar").get("value")) / kt
        if math.isfinite(bar):
            x = np.array([edges[0], edges[-1]])
            axes.plot(x, x - bar, color=COLOUR["healed"], lw=1.2, label="Crooks' relation, ΔF by both")
        axes.axhline(0, color=INK, lw=0.8, ls=":")
        axes.set(xlabel=f"work  ({name})", ylabel="ln of the densities' ratio")
        axes.set_title("Does the work follow Crooks' relation?")
    return panel


def way_panel(run):
    table = run.tables["steered"]
    kt, name = run.thermal
    along = run.two_cvs
    x = np.linspace(0, 1, len(table["free_energy"])) if along else table["cv_1"]

    def panel(axes):
        axes.plot(x, table["forward_work"] / kt, color=COLOUR["physics"], lw=1.2, label="mean work forward")
        # On the way back, from the other end.
        axes.plot(x, (table["free_energy"][-1] + table["reverse_work"]) / kt, color=COLOUR["generator"], lw=1.2,
                  label="end, and mean work back")
        band(axes, x, table["free_energy"] / kt, table["std_error"] / kt, COLOUR["healed"], "F with the bias, both ways")
        axes.set(xlabel="share of the path" if along else plain(run.cv_labels[0]), ylabel=f"F  ({name})")
        if not along:
            round_axis(run, axes.xaxis)
        axes.set_title("On the way")
    return panel


def trusted(run, found):
    """What of it may be believed, in sentences."""
    kt, name = run.thermal
    bar = dig(found, "difference", "bar")
    overlap, shared = number(found.get("overlap")), number(found.get("shared_walkers"))
    said = []
    if ways_overlap(found):
        said.append(f"Both ways overlap ({percent(overlap)}, worth {fmt(shared)} walkers): take BAR's "
                    f"{with_error(number(bar.get('value')) / kt, number(bar.get('std_error')) / kt)} {name}.")
    else:
        said.append("Both ways hardly overlap: trust no number here; pull slower, or take more walkers.")
    walkers = max(number(found.get("walkers")), 1)
    for way, other, key in (("forward", "reverse", "jarzynski_forward"), ("reverse", "forward", "jarzynski_reverse")):
        effective = number(dig(found, way).get("effective"))
        lost = number(dig(found, other).get("dissipated_kt"))
        label = "forward" if way == "forward" else "back"
        if lost < math.log(walkers) and effective >= 10:
            said.append(f"Jarzynski's average {label} rests on {fmt(effective)} walkers, enough for it.")
        else:
            said.append(f"Jarzynski's average {label} rests on {fmt(effective)} walkers: it is biased, whatever its "
                        "error says.")
    slope, error = number(found.get("slope")), number(found.get("slope_error"))
    if math.isfinite(slope):
        good = abs(slope - 1) <= max(5 * error, 0.05)
        said.append(f"The log ratio of the densities rises by {with_error(slope, error)} a kT of work; Crooks' relation "
                    + ("asks for 1, so that both ends were in equilibrium as far as this tells." if good else
                       "asks for 1: one of the ends was not in equilibrium, or the time step is too large."))
    return bullets(said)


def section(run):
    found = dig(run.metrics, "steered")
    kt, name = run.thermal
    rows = []
    for key, label in WAYS:
        value = dig(found, "difference", key)
        bias = number(value.get("bias"), 0.0)
        rows.append([label, with_error(number(value.get("value")) / kt, number(value.get("std_error")) / kt),
                     fmt(bias / kt, 2) if key.startswith("jarzynski") else "none expected"])
    for way, label in (("forward", "forward"), ("reverse", "back")):
        d = dig(found, way)
        rows.append([f"mean work {label}", fmt(number(d.get("mean_work")) / kt),
                     f"{fmt(number(d.get('dissipated_kt')))} kT of it dissipated"])
    panels = [density_panel(run, found), ratio_panel(run, found), way_panel(run)]
    if run.two_cvs and "free_energy" in run.tables:
        panels.append(share_panel(run, run.tables["free_energy"], "F on the path", "share of the path",
                                  "Free energy on the path"))
    return (figure(panels, f"Work on {fmt(number(found.get('walkers')))} walkers each way, that on the way back with its "
                   "sign changed. Where both densities are equal the work is the free energy difference. On the way: the "
                   "free energy of the system with its bias, from the work of both ways, and the mean work of each; "
                   "what lies between was dissipated.")
            + html_table(["free energy, end less beginning", name, "expected bias, or what was lost"], rows)
            + "<h3>What to trust</h3>" + trusted(run, found))
