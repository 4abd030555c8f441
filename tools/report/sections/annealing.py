"""A population that came down from a high temperature: its partition function, and how many families are left."""
import numpy as np

from data import dig
from draw import band, figure, log_scale
from palette import COLOUR
from words import fmt, number, with_error


def wanted(run):
    return "annealing" in run.tables


def section(run):
    table, found = run.tables["annealing"], dig(run.metrics, "annealing")
    hotter = table["beta"][-1] / table["beta"]

    def partition(axes):
        band(axes, hotter, table["log_z"], table["std_error"], COLOUR["physics"], "ln Z", "± 2 standard errors")
        axes.set(xlabel="temperature, in that of the system", ylabel="ln Z / Z at the hottest")
        log_scale(axes, "x")
        axes.set_title("Partition function")

    def families(axes):
        axes.plot(hotter, table["families"], "o-", ms=3.6, color=COLOUR["generator"])
        axes.set_ylim(bottom=0)
        axes.set(xlabel="temperature, in that of the system", ylabel="families")
        log_scale(axes, "x")
        axes.set_title("Walkers of the hottest that still have offspring")

    return figure([partition, families], f"{fmt(number(found.get('walkers')))} walkers in "
                  f"{fmt(number(found.get('islands')))} islands, drawn anew by their weights at each of "
                  f"{fmt(np.size(hotter) - 1)} temperatures. ln Z of the system's temperature less that of the hottest: "
                  f"{with_error(number(found.get('log_z')), number(found.get('std_error')))}, the error from the islands, "
                  "which know nothing of one another.")
