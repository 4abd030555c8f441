"""Sections on lifting that physics corrects: weighed proposals, healing, kinds of generator compared."""
import math

import numpy as np

from data import dig, esc, fmt, number, numbers, plain, w1_entries
from draw import COLOUR, INK, MARKER, MUTED, errors, figure, log_scale, zoom


def table(head, rows):
    def line(cells, tags):
        return "<tr>" + "".join(f"<{t}>{esc(str(c))}</{t}>" for t, c in zip(tags, cells)) + "</tr>"
    body = "".join(line(row, ["th"] + ["td"] * len(row)) for row in rows)
    return (f"<div class=scroll><table><thead>{line(head, ['th'] * len(head))}</thead>"
            f"<tbody>{body}</tbody></table></div>")


def text_of(value):
    return fmt(value) if math.isfinite(value) else "–"


def section_proposals(run):
    record = dig(run.metrics, "proposals")
    entries = [e for e in dig(record, "values", kind=list) if isinstance(e, dict)]
    if not entries:
        return None
    at = np.array([numbers(e.get("cv")) for e in entries])
    values = {k: np.array([number(e.get(k)) for e in entries])
              for k in ("acceptance", "effective", "free_energy", "free_energy_se")}
    free = run.tables.get("free_energy")

    def shares(axes):
        for key, source, label in (("acceptance", "metropolis", "Metropolis acceptance"),
                                   ("effective", "importance", "effective share of the weights")):
            if np.isfinite(values[key]).any():
                axes.plot(at[:, 0], values[key], MARKER[source], color=COLOUR[source], ms=3.6,
                          mfc="white", label=label)
        axes.set(xlabel=plain(run.cv_labels[0]), ylim=(0, 1.02))

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

    panels = [shares]
    if free and not run.two_cvs and np.isfinite(values["free_energy"]).any():
        panels.append(difference)
    caption = (f"{fmt(number(record.get('each')))} of the flow's states at each value of the "
               "collective variable, weighed with their exact density q against exp(−βV): "
               "importance weights and independence Metropolis give averages without the "
               "generator's error (Conditional moments). They correct how often a state is made; a "
               "state that the generator never makes they cannot find.")
    if len(panels) > 1:
        caption += (" The mean weight gives the free energy once more, up to a constant; bars: two "
                    "standard errors.")
    rows = [[name] + [text_of(number(dig(record, key).get(k))) for k in ("median", "worst")]
            for key, name in (("acceptance", "Metropolis acceptance"),
                              ("effective", "effective share of the weights")) if dig(record, key)]
    result = figure(panels, caption, 2, height=2.9) + table(["", "median", "worst"], rows)
    integrals = [number(e.get("integral")) for e in dig(record, "integrals", kind=list)
                 if isinstance(e, dict)]
    if integrals:
        result += (f"<p>The density integrates to {fmt(min(integrals), 4)} … {fmt(max(integrals), 4)}"
                   f" at {len(integrals)} values of the collective variable (1 where it is exact).</p>")
    return "proposals", "Weighed proposals", result


def section_healing(run):
    lifting = dig(run.metrics, "lifting")
    entries = [e for e in dig(lifting, "relaxation", kind=list) if isinstance(e, dict)]
    if not entries:
        return None
    at = np.array([numbers(e.get("cv")) for e in entries])
    steps = np.array([number(e.get("steps")) for e in entries])
    seen = np.array([bool(e.get("resolved")) for e in entries])
    length = number(lifting.get("heal_steps"))

    def times(axes):
        axes.plot(at[seen, 0], steps[seen], MARKER["healed"], color=COLOUR["healed"], mfc="white",
                  label="relaxation time")
        if (~seen).any():
            axes.plot(at[~seen, 0], steps[~seen], "^", color=INK, label="longer than this")
        axes.axhline(length, color=MUTED, lw=1.1, label="length of healing")
        axes.set(xlabel=plain(run.cv_labels[0]), ylabel="steps")
        log_scale(axes)

    def distances(axes):
        for source in ("generator", "healed"):
            points = np.array([(e["cv"][0], e["w1"]) for e in w1_entries(run, source)
                               if len(e["cv"])])
            if len(points):
                axes.plot(*points.T, MARKER[source], color=COLOUR[source], mfc="white", ms=4,
                          label={"generator": "before", "healed": "after"}[source])
        axes.set(xlabel=plain(run.cv_labels[0]), ylabel="W₁ / σ to physics")
        log_scale(axes)

    panels = [times] + [distances] * bool(w1_entries(run, "healed"))
    return "healing", "Healing", figure(
        panels, f"Constrained runs of {fmt(length)} steps, five of the slowest integrated "
        "autocorrelation times of the generated variables, and the distance of lifted states to "
        "the physics before and after.", 2, height=2.9)


def section_comparison(run):
    entries = [e for e in dig(run.metrics, "compare", kind=list) if isinstance(e, dict)]
    if len(entries) < 2:
        return None
    rows = [[str(e.get("kind", ""))] + [text_of(number(e.get(k))) for k in
                                        ("updates", "seconds", "best_w1", "median", "worst",
                                         "states_per_second")]
            for e in entries]
    against = esc(str(dig(run.metrics, "lifting").get("against", "physics")))
    return "comparison", "Kinds of generator", (
        table(["kind", "updates", "seconds", "W₁/σ held out", "W₁/σ lifted, median", "worst",
               "states lifted a second"], rows)
        + "<p>The same samples, the same held-out trajectories and the same judged values; lifted "
          f"states against {against}.</p>")
