"""Proposals of the generator weighed with their density."""
import numpy as np

from data import dig, entries, numbers
from draw import errors, figure, points, zoom
from markup import html_table
from palette import COLOUR
from words import esc, fmt, number, plain

SHARES = (("acceptance", "metropolis", "Metropolis acceptance"),
          ("effective", "importance", "effective share of the weights"))


def wanted(run):
    return bool(entries(run.metrics, "proposals", "values"))


def section(run):
    record, found = dig(run.metrics, "proposals"), entries(run.metrics, "proposals", "values")
    at = np.array([numbers(e.get("cv")) for e in found])
    values = {k: np.array([number(e.get(k)) for e in found])
              for k in ("acceptance", "effective", "free_energy", "free_energy_se")}
    free = run.tables.get("free_energy")

    def shares(axes):
        for key, source, label in SHARES:
            if np.isfinite(values[key]).any():
                points(axes, at[:, 0], values[key], source, label)
        axes.set(xlabel=plain(run.cv_labels[0]), ylim=(0, 1.02))
        axes.set_title("Shares of the proposals")

    def difference(axes):
        here = np.interp(at[:, 0], free["cv"][:, 0], free["free_energy"])
        y = values["free_energy"] - here
        weight = np.isfinite(y)
        y = y - np.median(y[weight]) if weight.any() else y
        axes.axhline(0, color=COLOUR["physics"], lw=1.1)
        errors(axes, at[:, 0], y, values["free_energy_se"], "importance",
               label="from the mean weight − from biased samples")
        zoom(axes, y, 2 * values["free_energy_se"], symmetric=True)
        axes.set(xlabel=plain(run.cv_labels[0]), ylabel="free energy, difference")
        axes.set_title("Free energy, once more")

    panels = [shares]
    if free and not run.two_cvs and np.isfinite(values["free_energy"]).any():
        panels.append(difference)
    caption = (f"{fmt(number(record.get('each')))} of the flow's states at each value of the collective "
               "variable, weighed with their exact density q against exp(−βV): importance weights and "
               "independence Metropolis give averages without the generator's error (Conditional "
               "moments). They correct how often a state is made; a state that the generator never makes "
               "they cannot find.")
    if len(panels) > 1:
        caption += (" The mean weight gives the free energy once more, up to a constant; bars: two "
                    "standard errors.")
    rows = [[name] + [fmt(number(dig(record, key).get(k))) for k in ("median", "worst")]
            for key, _, name in SHARES if dig(record, key)]
    result = figure(panels, caption) + html_table(["", "median", "worst"], rows)
    integrals = [number(e.get("integral")) for e in entries(record, "integrals")]
    if integrals:
        result += (f"<p>The density integrates to {esc(fmt(min(integrals), 4))} … "
                   f"{esc(fmt(max(integrals), 4))} at {len(integrals)} values of the collective variable "
                   "(1 where it is exact).</p>")
    return result
