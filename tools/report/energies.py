"""Potential energies, and correlations along a ring, of generated and of healed states against long
runs held at the same value of the collective variable."""
import math

import numpy as np

from data import dig, esc, fmt, number, numbers, plain
from draw import figure

SOURCES = {"physics": ("long runs", "#4a525b", "-"), "generator": ("generator", "#D55E00", "--"),
           "healed": ("healed", "#0072B2", "-")}
MOST = 4  # values that are drawn


def section_energies(run):
    record = dig(run.metrics, "energies")
    values = [v for v in dig(record, "values", kind=list) if isinstance(v, dict)]
    if not values:
        return None
    with_ring = any("correlation" in dig(v, s) for v in values for s in SOURCES)
    drawn = values if len(values) <= MOST else [
        values[i * (len(values) - 1) // (MOST - 1)] for i in range(MOST)]

    def rows_of(table, value, source):
        rows = np.array([s == source for s in table["source"]], bool)
        for k, c in enumerate(numbers(value.get("cv"))):
            rows &= np.abs(table[f"cv_{k + 1}"] - c) < 1e-9 * (1 + abs(c))
        return rows

    def panel(table, value, x, y, label):
        def draw(axes):
            for source, (name, colour, line) in SOURCES.items():
                rows = rows_of(table, value, source)
                if rows.any():
                    axes.plot(table[x][rows], table[y][rows], line, color=colour, lw=1.5, label=name)
            axes.set_xlabel(label)
            axes.set_title(", ".join(plain(c) for c in run.cv_labels) + " = " + ", ".join(
                fmt(c, 3) for c in numbers(value.get("cv"))))
        return draw

    result, panels = "", []
    for name, x, y, label in (("energies", "energy", "density", "potential energy"),
                              ("correlation", "distance", "correlation", "distance in sites")):
        table = run.tables.get(name)
        if table is not None:
            panels += [panel(table, v, x, y, label) for v in drawn]
    if panels:
        result += figure(panels, "Distribution of the potential energy" + (
            ", and correlation of two sites by their distance" if with_ring else "") +
            ", at fixed values of the collective variable.", 2, height=2.6)

    def percent(value):
        return "–" if not math.isfinite(value) else fmt(100 * value) + " %"

    heads = ["generator", "healed", "sampling floor"] + (
        ["correlation: generator", "healed"] if with_ring else [])
    rows = ""
    for v in values:
        cells = [percent(number(dig(v, s).get("histogram"))) for s in ("generator", "healed")]
        cells.append(percent(number(v.get("histogram_floor"))))
        if with_ring:
            cells += [percent(number(dig(v, s).get("correlation"))) for s in ("generator", "healed")]
        rows += ("<tr><th>" + esc(", ".join(fmt(c, 4) for c in numbers(v.get("cv")))) + "</th>" +
                 "".join(f"<td>{esc(c)}</td>" for c in cells) + "</tr>")
    result += ("<div class=scroll><table><thead><tr><th>ξ</th>" + "".join(
        f"<th>{esc(h)}</th>" for h in heads) + f"</tr></thead><tbody>{rows}</tbody></table></div>")
    result += (f"<p>Total variation between the histograms of {esc(fmt(record.get('states')))} states "
               "and of the long runs, and what equal laws would give with as many states" + (
                   "; of the correlation the largest difference, relative to distance 0"
                   if with_ring else "") +
               f". Healed: {esc(fmt(record.get('heal_steps')))} steps held on ξ.</p>")
    return "energies", "Energies of lifted states", result
