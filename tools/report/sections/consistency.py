"""Where the generator may be used: distances with their floors, restriction after lifting, and how fast
runs forget where they began."""
import numpy as np

from data import dig, entries, numbers
from draw import figure, log_scale
from findings import VERDICTS, regions, tested_values, verdict
from markup import box, bullets, html_table
from palette import COLOUR, LIGHT, MUTED, PAGE
from words import esc, fmt, number, place, plain

STARTS = {"lifted": ("lifted states", COLOUR["generator"], "^"),
          "reweighted": ("lifted and reweighted", COLOUR["healed"], "s"),
          "nearest": ("nearest stored sample", COLOUR["physics"], "o"),
          "minimised": ("minimised state", COLOUR["burst"], "D")}
DISTANCES = (("sliced_w1", "sliced W₁ / σ", "orange", "^"),
             ("sliced_floor", "its sampling floor", "muted", "_"),
             ("energy_distance", "energy distance", "blue", "o"),
             ("energy_floor", "the floor of that", "sky", "_"))


def wanted(run):
    return bool(tested_values(run))


def relaxation_panel(run, values, x, most):
    def panel(axes):
        for i, (start, (label, colour, marker)) in enumerate(STARTS.items()):
            if not any(start in dig(v, "relaxation") for v in values):
                continue
            y = np.array([number(dig(v, "relaxation").get(start)) for v in values])
            never = ~np.isfinite(y)
            at = x + (i - 1.5) * 0.06 * (np.ptp(x) / max(len(x) - 1, 1))
            axes.plot(at[~never], np.maximum(y[~never], 1), marker, color=colour, mfc=PAGE, mew=1.4,
                      ms=6.5, label=label)
            axes.plot(at[never], np.full(never.sum(), 1.6 * most), marker, color=colour, ms=6.5,
                      label=f"_{label}: never")
        axes.axhline(most, color=MUTED, lw=1, ls=(0, (5, 3)), label="longest run; filled: never")
        axes.set(xlabel=plain(run.cv_labels[0]), ylabel="steps", ylim=(0.7, 3 * most))
        log_scale(axes)
        axes.set_title("Steps until within error")
    return panel


def distances_panel(run, values, x):
    def panel(axes):
        for key, label, colour, marker in DISTANCES:
            y = np.array([number(v.get(key)) for v in values])
            good = np.isfinite(y) & (y > 0)
            if good.any():
                axes.plot(x[good], y[good], marker, color=LIGHT[colour], mfc=PAGE, mew=1.4, ms=6.5,
                          label=label)
        axes.set_xlabel(plain(run.cv_labels[0]))
        log_scale(axes)
        axes.set_title("Lifted states against physics samples")
    return panel


def section(run):
    record, values = dig(run.metrics, "consistency"), tested_values(run)
    most = number(record.get("most_steps"))
    x = np.array([numbers(v.get("cv"))[0] for v in values])
    panels = [relaxation_panel(run, values, x, most)]
    if any(number(v.get("sliced_w1")) > 0 for v in values):
        panels.append(distances_panel(run, values, x))
    reference = "the exact ones" if record.get("against") == "exact" else "those of the samples"
    result = box("note", "May the generator be used here?", bullets(regions(run, values))) + figure(
        panels, "Short runs held at a value of the collective variable: after how many steps mean, "
        f"variance and quartiles of {fmt(record.get('states'))} states stay within "
        f"{fmt(record.get('within'), 3)} standard errors (what perfect states exceed somewhere in a "
        f"hundredth of such runs) of {reference}, by where the runs began (0 is drawn at 1). Then distances "
        "of lifted states from stored samples, and the same between two halves of the samples.")

    def steps(value, start):
        found = dig(value, "relaxation")
        return "–" if start not in found else f"> {fmt(most)}" if found[start] is None \
            else fmt(found[start])

    result += html_table(["ξ", *(label for label, _, _ in STARTS.values()), "use"], [
        [place(numbers(v.get("cv")), 4), *(steps(v, s) for s in STARTS), VERDICTS[verdict(v)[0]]]
        for v in values])
    shares = np.array([number(v.get("share_of_naive")) for v in values])
    good = np.isfinite(shares)
    return result + (
        "<p>Restriction after lifting: ξ of lifted states misses its value by "
        f"{esc(fmt(record.get('constraint_residual')))} (RMS). Lifting relaxes in at most a tenth of the "
        f"steps of the best naive start at {int((shares[good] <= 0.1).sum())} of {len(values)} values.</p>")
