"""A string through the collective variables: how it came to lie where it does, and the free energy along it."""
import numpy as np

from data import dig, entries
from draw import figure, round_axis, share_panel
from palette import COLOUR, MUTED
from words import fmt, number, plain


def wanted(run):
    return "string" in run.tables


def looks_of(run):
    """(iteration, points) of the looks on the way."""
    found = []
    for look in entries(run.metrics, "string", "looks"):
        points = np.array(look.get("points"), dtype=float)
        if points.ndim == 2 and len(points) > 1:
            found.append((int(number(look.get("iteration"), 0)), points))
    return found


def plane_panel(run, table):
    def panel(axes):
        for i, (iteration, points) in enumerate(looks_of(run)[:-1]):
            axes.plot(points[:, 0], points[:, 1], color=MUTED, lw=0.8, alpha=0.6,
                      label="earlier" if i else f"after {fmt(iteration)}")
        axes.plot(table["cv_1"], table["cv_2"], "o-", ms=3.4, lw=1.4, color=COLOUR["physics"], label="the string")
        axes.set(xlabel=plain(run.cv_labels[0]), ylabel=plain(run.cv_labels[1]))
        round_axis(run, axes.xaxis)
        round_axis(run, axes.yaxis, 1)
        axes.set_title("Where it lies")
    return panel


def settling_panel(run):
    looks = entries(run.metrics, "string", "looks")

    def panel(axes):
        axes.plot([number(look.get("iteration")) for look in looks], [number(look.get("from_the_end")) for look in looks],
                  "o-", ms=3.6, color=COLOUR["physics"])
        axes.set_ylim(bottom=0)
        axes.set(xlabel="iterations", ylabel="distance, √energy")
        axes.set_title("How far it was from where it ended")
    return panel


def section(run):
    table, found = run.tables["string"], dig(run.metrics, "string")
    panels = [plane_panel(run, table)] * run.two_cvs + [share_panel(run, table, "F along the string", "share of its length", "Free energy along it")]
    if entries(run.metrics, "string", "looks"):
        panels.append(settling_panel(run))
    return figure(panels, f"A string of {fmt(number(found.get('points')))} points that swarms of "
                  f"{fmt(number(found.get('walkers')))} walkers each moved, the mean of the last half of "
                  f"{fmt(number(found.get('iterations')))} iterations. Its free energy is that of the system held at each "
                  "point by the restraint, from mean forces along the string.")
