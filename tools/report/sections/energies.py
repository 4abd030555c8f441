"""Potential energies, and correlations along a ring, of generated and of healed states against long
runs held at the same value of the collective variable."""
import numpy as np

from data import dig, entries, numbers
from draw import figure
from markup import html_table
from palette import COLOUR, MUTED
from words import cv_text, esc, fmt, number, percent, place

SOURCES = {"physics": ("long runs", MUTED, "-"),
           "generator": ("generator", COLOUR["generator"], "--"),
           "healed": ("healed", COLOUR["physics"], "-")}
MOST = 4  # values that are drawn


def wanted(run):
    return bool(entries(run.metrics, "energies", "values"))


def rows_of(table, value, source):
    rows = table["source"] == source
    for k, c in enumerate(numbers(value.get("cv"))):
        rows &= np.abs(table[f"cv_{k + 1}"] - c) < 1e-9 * np.abs(table[f"cv_{k + 1}"]).max()
    return rows


def panel_of(run, table, value, x, y, label):
    def panel(axes):
        for source, (name, colour, line) in SOURCES.items():
            rows = rows_of(table, value, source)
            if rows.any():
                axes.plot(table[x][rows], table[y][rows], line, color=colour, lw=1.5, label=name)
        axes.set(xlabel=label, ylabel=y)
        axes.set_title(cv_text(run, numbers(value.get("cv"))))
    return panel


def section(run):
    record, values = dig(run.metrics, "energies"), entries(run.metrics, "energies", "values")
    ring = any("correlation" in dig(v, s) for v in values for s in SOURCES)
    drawn = values if len(values) <= MOST else [
        values[i * (len(values) - 1) // (MOST - 1)] for i in range(MOST)]
    result = ""
    for name, x, label, caption in (
            ("energies", "energy", "potential energy", "Distribution of the potential energy"),
            ("correlation", "distance", "distance in sites", "Correlation of two sites by "
                                                             "distance")):
        table = run.tables.get(name)
        if table:
            y = "density" if name == "energies" else "correlation"
            result += figure([panel_of(run, table, v, x, y, label) for v in drawn],
                             f"{caption}, at fixed values of the collective variable.", 2, 250)
    head = ["ξ", "generator", "healed", "sampling floor"] + [
        "correlation: generator", "correlation: healed"] * ring
    rows = []
    for v in values:
        row = [place(numbers(v.get("cv")), 4)]
        row += [percent(number(dig(v, s).get("histogram"))) for s in ("generator", "healed")]
        row.append(percent(number(v.get("histogram_floor"))))
        if ring:
            row += [percent(number(dig(v, s).get("correlation"))) for s in ("generator", "healed")]
        rows.append(row)
    return result + html_table(head, rows) + (
        f"<p>Total variation between the histograms of {esc(fmt(record.get('states')))} states and "
        "of the long runs, and what equal laws would give with as many states"
        + ("; of the correlation the largest difference, relative to distance 0" if ring else "")
        + f". Healed: {esc(fmt(record.get('heal_steps')))} steps held on ξ.</p>")
