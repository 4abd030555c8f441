"""The sections on the coupling loop: its rounds, and what it buys at equal cost."""
import math

import numpy as np
from matplotlib import ticker

from data import dig, esc, fmt, number, numbers, plain
from draw import COLOUR, INK, MUTED, figure, log_scale

KINDS = {"umbrella": ("umbrella alone", "#0072B2", "o"),
         "generator": ("generator alone", "#D55E00", "^"),
         "both": ("coupled", "#009E73", "s")}
REASONS = {"reweighted lifted states disagree": "#CC3311", "window overlap": "#AA4499",
           "error of conditional averages": "#0072B2", "generator's held-out distance": "#D55E00",
           "free-energy error": "#8a939d"}


def millions(axes):
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v / 1e6:g}"))
    axes.set_xlabel("force evaluations  (millions)")


def ablation_figure(run, ablation):
    kinds = {k: [p for p in dig(ablation, k, kind=list) if isinstance(p, dict)] for k in KINDS}
    places = np.array([numbers(p) for p in dig(ablation, "places", kind=list)])
    names = dig(ablation, "variables", kind=list)
    reference = dig(ablation, "reference")
    exact = reference.get("source") == "exact"

    def curve(key):
        def panel(axes):
            for kind, (label, colour, marker) in KINDS.items():
                points = np.array([(number(p.get("force_evaluations")), number(p.get(key)))
                                   for p in kinds[kind]]).reshape(-1, 2)
                points = points[np.isfinite(points).all(axis=1)]
                if len(points):
                    axes.plot(*points.T, color=colour, marker=marker, mfc="white", mew=1.3, ms=6,
                              lw=2, label=label)
            log_scale(axes)
            millions(axes)
            axes.set_title("error of conditional means, in σ" if key == "conditional_error"
                           else "error of the free energy, in kT")
        return panel

    def profile(axes):
        count = len(places)
        x = places[:, 0]
        line = numbers(reference.get("mean"))[:count]
        if exact and len(line) == count:
            axes.plot(x, line, color=INK, lw=1.2, label="exact", zorder=5)
        for kind, (label, colour, marker) in KINDS.items():
            if kinds[kind]:
                mean = numbers(kinds[kind][-1].get("mean"))[:count]
                if len(mean) == count:
                    axes.plot(x, mean, color=colour, marker=marker, mfc="white", ms=4, lw=1.0,
                              label=label)
        axes.set_xlabel(plain(run.cv_labels[0]))
        axes.set_title(plain(f"E[{names[0]} | {run.given}] after the last round"))

    panels = [profile] if len(places) and not run.two_cvs and names else []
    panels += [curve(key) for key in ("conditional_error", "free_energy_error")
               if any(math.isfinite(number(p.get(key))) for ps in kinds.values() for p in ps)]
    if not panels:
        return ""
    against = "quadrature" if exact else "the coupled run's last round"
    return figure(panels, "At equal force evaluations: the umbrella's windows run longer, the "
                  "generator taught by them alone, and both in turn. Errors against "
                  f"{against}, root mean square over the places of the windows.", len(panels),
                  height=3.3)


def section_coupling(run):
    coupling = dig(run.metrics, "coupling")
    rounds = [r for r in dig(coupling, "rounds", kind=list) if isinstance(r, dict)]
    if not rounds:
        return None
    result = ablation_figure(run, dig(coupling, "ablation"))

    def places(axes):
        for r in rounds:
            level = number(r.get("round")) + 1
            for place in dig(r, "next", kind=list):
                axes.plot(numbers(place.get("cv"))[:1], [level], "o", ms=5,
                          color=REASONS.get(place.get("reason"), MUTED),
                          label=str(place.get("reason")))
        axes.set(xlabel=plain(run.cv_labels[0]), ylabel="round",
                 ylim=(0.4, max(number(r.get("round")) for r in rounds) + 0.6))
        axes.yaxis.set_major_locator(ticker.MaxNLocator(integer=True))

    if not run.two_cvs and any(dig(r, "next", kind=list) for r in rounds):
        result += figure([places], "Where each round put its windows, and the reason that weighed "
                         "most there. Reweighted lifted states disagree: the samples miss states "
                         "that the generator proposes and the potential allows.", height=2.6)
    head = ["Round", "force evaluations", "windows", "discarded", "free-energy error",
            "W₁/σ above floor", "missing states, in σ", "jumps accepted"]
    keys = ("force_evaluations", "windows", "discarded_windows", "worst_free_energy_error",
            "worst_w1_above_floor", "worst_disagreement", "jump_acceptance")
    body = "".join("<tr><th>" + esc(fmt(r.get("round"))) + "</th>" + "".join(
        f"<td>{esc(fmt(r[k]) if k in r else '–')}</td>" for k in keys) + "</tr>" for r in rounds)
    result += ("<div class=scroll><table><thead><tr>" + "".join(f"<th>{esc(h)}</th>" for h in head)
               + f"</tr></thead><tbody>{body}</tbody></table></div>")
    if coupling.get("stopped"):
        result += f"<p>Ended: {esc(str(coupling['stopped']))}.</p>"
    return "coupling", "Coupling", result
