"""Lifting by geometric harmonics, the classical way, beside the generator and stored samples."""
import numpy as np

from data import dig, pick
from draw import figure, log_scale
from markup import html_table
from palette import COLOUR, MUTED, PAGE
from words import fmt, number, plain

WAYS = {"samples": ("stored samples", COLOUR["physics"], "o"),
        "generator": ("generator", COLOUR["generator"], "^"),
        "generator_projected": ("generator, onto ξ = s", COLOUR["generator"], "v"),
        "geometric_harmonics": ("geometric harmonics", COLOUR["burst"], "D"),
        "geometric_harmonics_projected": ("geometric harmonics, onto ξ = s", COLOUR["burst"], "s")}
COLUMNS = {"w1_over_sigma": "W₁ / σ of the states",
           "mean_over_sigma": "Distance of their mean, / σ",
           "spread_over_sigma": "Their deviation, / σ",
           "residual": "|ξ(x) − s|"}


def ways(run):
    return [w for w in WAYS if dig(run.metrics, "classical_lifting", w)]


def wanted(run):
    return bool(run.tables.get("classical_lifting") and ways(run))


def panel_of(run, column):
    table = run.tables["classical_lifting"]

    def panel(axes):
        for way in ways(run):
            rows = pick(table, source=way)
            label, colour, marker = WAYS[way]
            y = np.asarray(rows[column], float)
            good = y > 1e-6  # what rounding leaves of a residual is not drawn
            axes.plot(rows["cv_1"][good], y[good], marker, color=colour, mfc=PAGE, label=label)
        if column == "w1_over_sigma":
            rows = pick(table, source="generator")
            axes.plot(rows["cv_1"], rows["floor"], "_", color=MUTED, label="sampling floor")
        axes.set_xlabel(plain(run.cv_labels[0]))
        axes.set_title(COLUMNS[column])
        log_scale(axes)
    return panel


def section(run):
    record, result = dig(run.metrics, "classical_lifting"), ""
    if not run.two_cvs:
        drawn = ["w1_over_sigma", "mean_over_sigma"]
        if max(number(dig(record, w, "residual").get("worst"), 0.0) for w in ways(run)) > 1e-6:
            drawn.append("residual")
        result = figure([panel_of(run, c) for c in drawn], "Lifting by geometric harmonics gives one "
                        "state for each value, a smooth function of it fitted to "
                        f"{fmt(record.get('learned_from'))} stored samples.", len(drawn))

    def cell(way, column):
        found = dig(record, way, column)
        return f"{fmt(found['median'], 2)} ({fmt(found['worst'], 2)})" if found else "–"

    result += html_table(["median (worst)", *COLUMNS.values()],
                         [[WAYS[w][0], *(cell(w, c) for c in COLUMNS)] for w in ways(run)])
    against = "the exact law" if record.get("against") == "exact" else "stored samples nearby"
    return result + (
        "<p>A function of the value can be right in the mean; it has no spread, and its one state need "
        "not lie at the value where level sets are curved; moving it onto ξ = s moves the mean. All "
        f"against {against}, in conditional deviations σ.</p>")
