"""The rounds of the coupling loop, and what it buys at equal cost."""
import math

import numpy as np
from matplotlib import ticker

from data import dig, entries, numbers
from draw import figure, log_scale
from markup import html_table
from palette import COLOUR, INK, LIGHT, MUTED, PAGE
from words import esc, fmt, number, plain

KINDS = {"umbrella": ("umbrella alone", "o"), "generator": ("generator alone", "^"),
         "both": ("coupled", "s")}
REASONS = {"reweighted lifted states disagree": "red", "window overlap": "purple",
           "error of conditional averages": "blue", "generator's held-out distance": "orange",
           "free-energy error": "grey"}
COLUMNS = {"force_evaluations": "force evaluations", "windows": "windows",
           "discarded_windows": "discarded", "worst_free_energy_error": "free-energy error",
           "worst_w1_above_floor": "W₁/σ above floor", "worst_disagreement": "missing states, in σ",
           "jump_acceptance": "jumps accepted"}


def rounds_of(run):
    return entries(run.metrics, "coupling", "rounds")


def wanted(run):
    return bool(rounds_of(run))


# ---------------------------------------------------------------- at equal cost

def cost_panel(kinds, key):
    def panel(axes):
        for kind, (label, marker) in KINDS.items():
            line = np.array([(number(p.get("force_evaluations")), number(p.get(key)))
                             for p in kinds[kind]]).reshape(-1, 2)
            line = line[np.isfinite(line).all(axis=1)]
            if len(line):
                axes.plot(*line.T, color=COLOUR[kind], marker=marker, mfc=PAGE, mew=1.3, ms=6, lw=2,
                          label=label)
        log_scale(axes)
        axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v / 1e6:g}"))
        axes.set_xlabel("force evaluations  (millions)")
        axes.set_title("Error of conditional means, in σ" if key == "conditional_error"
                       else "Error of the free energy, in kT")
    return panel


def profile_panel(run, kinds, ablation, x):
    names, reference = dig(ablation, "variables", kind=list), dig(ablation, "reference")

    def panel(axes):
        line = numbers(reference.get("mean"))[:len(x)]
        if reference.get("source") == "exact" and len(line) == len(x):
            axes.plot(x, line, color=INK, lw=1.2, label="exact", zorder=5)
        for kind, (label, marker) in KINDS.items():
            mean = numbers(kinds[kind][-1].get("mean"))[:len(x)] if kinds[kind] else []
            if len(mean) == len(x):
                axes.plot(x, mean, color=COLOUR[kind], marker=marker, mfc=PAGE, ms=4, lw=1.0,
                          label=label)
        axes.set_xlabel(plain(run.cv_labels[0]))
        axes.set_title(f"E[{names[0]} | {run.given}] after the last round")
    return panel


def ablation_figure(run, ablation):
    kinds = {k: entries(ablation, k) for k in KINDS}
    places = np.array([numbers(p) for p in dig(ablation, "places", kind=list)])
    panels = []
    if len(places) and not run.two_cvs and dig(ablation, "variables", kind=list):
        panels.append(profile_panel(run, kinds, ablation, places[:, 0]))
    panels += [cost_panel(kinds, key) for key in ("conditional_error", "free_energy_error")
               if any(math.isfinite(number(p.get(key))) for ps in kinds.values() for p in ps)]
    if not panels:
        return ""
    against = "quadrature" if dig(ablation, "reference").get("source") == "exact" \
        else "the coupled run's last round"
    return figure(panels, "At equal force evaluations: the umbrella's windows run longer, the "
                          "generator "
                  f"taught by them alone, and both in turn. Errors against {against}, root mean "
                  "square over the places of the windows.", 3 if len(panels) > 2 else 2)


# ---------------------------------------------------------------- rounds

def places_panel(run, rounds):
    def panel(axes):
        for r in rounds:
            for place in entries(r, "next"):
                reason = str(place.get("reason"))
                axes.plot(numbers(place.get("cv"))[:1], [number(r.get("round")) + 1], "o", ms=5.5,
                          color=LIGHT.get(REASONS.get(reason), MUTED), label=reason)
        last = max(number(r.get("round")) for r in rounds if dig(r, "next", kind=list)) + 1
        axes.set(xlabel=plain(run.cv_labels[0]), ylabel="round", ylim=(0.4, last + 0.6))
        step = max(1, math.ceil(last / 8))
        axes.yaxis.set_major_locator(ticker.FixedLocator(np.arange(1, last + 1, step)))
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:.0f}"))
        axes.set_title(f"Where each round put its {'walkers' if run.walkers > 0 else 'windows'}")
    return panel


def section(run):
    coupling, rounds = dig(run.metrics, "coupling"), rounds_of(run)
    result = ablation_figure(run, dig(coupling, "ablation"))
    if not run.two_cvs and any(entries(r, "next") for r in rounds):
        result += figure([places_panel(run, rounds)], f"Where each round put its {'walkers' if run.walkers > 0 else 'windows'}, and the "
                                                      "reason "
                         "that weighed most there. Reweighted lifted states disagree: the samples "
                         "miss states that the generator proposes and the potential "
                         "allows.", 2, 260)
    result += html_table(["round", *COLUMNS.values()], [
        [fmt(r.get("round"))] + [fmt(r[k]) if k in r else "–" for k in COLUMNS] for r in rounds])
    return result + (f"<p>Ended: {esc(str(coupling['stopped']))}.</p>" if coupling.get("stopped")
                     else "")
