"""How long it takes from one state to another: how likely each level is, how steady the estimate was, how many
replicas the ones that arrived stem from, and what to trust."""
import numpy as np
from matplotlib.ticker import MaxNLocator

from data import dig, entries, numbers
from draw import band, figure, log_scale
from markup import html_table
from palette import COLOUR
from words import fmt, number, plain

METHODS = {"splitting": "adaptive multilevel splitting", "weighted_ensemble": "a weighted ensemble",
           "milestoning": "exact milestoning"}
WORDS = {"mfpt": "mean first passage time", "rate": "rate, one over it",
         "probability": "probability, on leaving `from`, of reaching `to` before returning"}


def wanted(run):
    return bool(entries(run.metrics, "rates", "figures"))


def column(rows, name):
    return numbers([row.get(name) for row in rows])


def label(run):
    return plain(str(dig(run.config, "rates").get("progress") or run.cv_labels[0]))


def level_panel(run, rows):
    def panel(axes):
        x = column(rows, "progress")
        for name, words, colour in (("probability", "that a replica comes so far", "physics"),
                                    ("committor", "that it then arrives", "generator")):
            if any(name in row for row in rows):
                y = column(rows, name)
                y[y <= 0] = np.nan
                band(axes, x, y, np.minimum(column(rows, f"{name}_error"), 0.45 * y), COLOUR[colour], words)
        log_scale(axes)
        axes.set(xlabel=label(run), ylabel="probability")
        axes.set_title("Probability against level")
    return panel


def lineage_panel(ancestors):
    def panel(axes):
        axes.plot(np.arange(len(ancestors)), ancestors, color=COLOUR["physics"], label="of one repeat")
        axes.set_ylim(bottom=0)
        axes.set(xlabel="round of splitting", ylabel="ancestors")
        axes.set_title("Replicas that all others stem from")
    return panel


def flux_panel(run, rows):
    def panel(axes):
        axes.plot(column(rows, "time"), column(rows, "flux"), color=COLOUR["physics"], label="flux")
        rate = next((number(f.get("value")) for f in entries(run.metrics, "rates", "figures")
                     if f.get("quantity") == "rate"), np.nan)
        axes.axhline(rate, color=COLOUR["exact"], lw=1, label="mean of what counts")
        axes.set_ylim(bottom=0)
        axes.set(xlabel="time", ylabel="flux")
        axes.set_title("Flux into the state that is reached")
    return panel


def bins_panel(run, rows):
    def panel(axes):
        inner = [row for row in rows if "from" in row and "to" in row]
        p = column(inner, "probability")
        p[p <= 0] = np.nan
        axes.plot((column(inner, "from") + column(inner, "to")) / 2, p, color=COLOUR["physics"], label="weight")
        log_scale(axes)
        axes.set(xlabel=label(run), ylabel="weight")
        axes.set_title("Weight of the walkers in a bin")
    return panel


def iteration_panel(rows):
    def panel(axes):
        band(axes, np.arange(1, len(rows) + 1), column(rows, "mfpt"), column(rows, "error"), COLOUR["physics"],
             "of one iteration")
        axes.set(xlabel="iteration", ylabel="time")
        axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
        axes.set_title("Mean first passage time")
    return panel


def trust(rates, figures):
    """What a reader may rely on, in words."""
    time = figures.get("mfpt", {})
    value, error = number(time.get("value")), number(time.get("std_error"))
    words = []
    if not np.isfinite(value):
        return "No trajectory arrived: there is no time."
    share = error / value
    words.append(f"The standard error, {fmt(100 * share)} % of the time, is from independent repeats"
                 + (": too large to tell more than the order of magnitude." if share > 0.3 else "."))
    direct, ours = number(rates.get("direct_force_evaluations")), number(rates.get("force_evaluations"))
    if direct > 0:
        words.append(f"Direct simulation would take {fmt(direct / ours)} times as many force evaluations for it.")
    drift, drift_error = number(rates.get("drift")), number(rates.get("drift_error"))
    if np.isfinite(drift) and drift_error > 0:
        steady = abs(drift) < 3 * drift_error
        words.append("The halves of what counts agree." if steady else
                     "The halves of what counts differ: it was not steady yet, and the error does not say so.")
    ancestors = numbers(rates.get("ancestors"))
    if len(ancestors) and ancestors[-1] < 5:
        words.append(f"All replicas of a repeat stem from {fmt(ancestors[-1])} in the end: what lies across the progress "
                     "coordinate was hardly sampled.")
    if not rates.get("bridged"):
        words.append("A state counts as entered where a look finds a trajectory in it; with shorter steps between looks "
                     "times become a little shorter.")
    return " ".join(words)


def section(run):
    rates = dig(run.metrics, "rates")
    figures = {str(f.get("quantity")): f for f in entries(rates, "figures")}
    panels = []
    levels, ancestors = entries(rates, "levels"), numbers(rates.get("ancestors"))
    if levels:
        panels.append(level_panel(run, levels))
    if len(ancestors) > 1:
        panels.append(lineage_panel(ancestors))
    for name, panel in (("flux", flux_panel), ("bins", bins_panel)):
        if entries(rates, name):
            panels.append(panel(run, entries(rates, name)))
    if len(entries(rates, "iterations")) > 1:
        panels.append(iteration_panel(entries(rates, "iterations")))
    head = html_table(["quantity", "value", "standard error"],
                 [[WORDS.get(name, plain(name)), fmt(number(f.get("value"))), fmt(number(f.get("std_error")))]
                  for name, f in figures.items()])
    return head + figure(panels, f"By {METHODS.get(str(rates.get('method')), 'a method of its own')}, with "
                         f"{fmt(number(rates.get('force_evaluations')))} force evaluations. {trust(rates, figures)}")
