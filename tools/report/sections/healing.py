"""How long lifted states are healed, and what it changes."""
import numpy as np

from data import dig, entries, numbers, w1_entries
from draw import figure, log_scale, points
from palette import INK, MUTED
from words import fmt, number, plain


def wanted(run):
    return bool(entries(run.metrics, "lifting", "relaxation"))


def section(run):
    lifting, found = dig(run.metrics, "lifting"), entries(run.metrics, "lifting", "relaxation")
    at = np.array([numbers(e.get("cv")) for e in found])
    steps = np.array([number(e.get("steps")) for e in found])
    seen = np.array([bool(e.get("resolved")) for e in found])
    length = number(lifting.get("heal_steps"))

    def times(axes):
        points(axes, at[seen, 0], steps[seen], "healed", "relaxation time")
        if (~seen).any():
            axes.plot(at[~seen, 0], steps[~seen], "^", color=INK, label="longer than this")
        axes.axhline(length, color=MUTED, lw=1.1, label="length of healing")
        axes.set(xlabel=plain(run.cv_labels[0]), ylabel="steps")
        axes.set_title("Relaxation time of the generated variables")
        log_scale(axes)

    def distances(axes):
        for source, label in (("generator", "before"), ("healed", "after")):
            pairs = np.array([(e["cv"][0], e["w1"]) for e in w1_entries(run, source) if len(e["cv"])])
            if len(pairs):
                points(axes, *pairs.T, source, label)
        axes.set(xlabel=plain(run.cv_labels[0]), ylabel="W₁ / σ to physics")
        axes.set_title("Distance to physics")
        log_scale(axes)

    panels = [times] + [distances] * bool(w1_entries(run, "healed"))
    return figure(panels, f"Constrained runs of {fmt(length)} steps, five of the slowest integrated "
                  "autocorrelation times of the generated variables, and the distance of lifted states "
                  "to the physics before and after.")
