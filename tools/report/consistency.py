"""The page that says where the generator may be used: distances with their floors, restriction after
lifting, and how fast runs forget where they began."""
import math

import numpy as np

from data import dig, esc, fmt, number, numbers, plain
from draw import MUTED, figure, log_scale

STARTS = {"lifted": ("lifted states", "#D55E00", "^"),
          "reweighted": ("lifted and reweighted", "#009E73", "s"),
          "nearest": ("nearest stored sample", "#0072B2", "o"),
          "minimised": ("minimised state", "#AA4499", "D")}
VERDICTS = {"as": "as they are", "shape": "for means and quartiles", "heal": "after healing", "weigh": "only reweighted or by jumps",
            "no": "not at all"}
CLOSE = 0.05  # σ: a distance that no one will miss


def verdict(value):
    """(key, steps): what lifted states at this value are good for."""
    steps = dig(value, "relaxation")
    distance, floor = number(value.get("sliced_w1")), number(value.get("sliced_floor"))
    lifted = number(steps.get("lifted"))
    if lifted == 0 and not distance > max(CLOSE, 2 * floor):
        return "as", 0
    if lifted == 0:
        return "shape", 0
    if math.isfinite(lifted):
        return "heal", lifted
    if math.isfinite(number(steps.get("reweighted"))):
        return "weigh", number(steps.get("reweighted"))
    return "no", math.nan


def regions(run, values):
    """Plain words, one sentence for each run of values with the same verdict."""
    found, sentences = [(numbers(v.get("cv")), *verdict(v)) for v in values], []
    begin = 0
    for i in range(1, len(found) + 1):
        if i < len(found) and found[i][1] == found[begin][1]:
            continue
        key, part = found[begin][1], found[begin:i]
        low, high = fmt(part[0][0][0], 3), fmt(part[-1][0][0], 3)
        where = f"at ξ = {low}" if low == high else f"from ξ = {low} to {high}"
        steps = max((p[2] for p in part if math.isfinite(p[2])), default=0)
        sentences.append({
            "as": f"{where}: use lifted states as they are",
            "shape": f"{where}: means, variances and quartiles of lifted states are within error, their "
                     "distributions are not quite; heal where the shape matters",
            "heal": f"{where}: use lifted states after {fmt(steps)} healing steps",
            "weigh": f"{where}: not without weights: healing is too slow there, but reweighted "
                     "states (or runs with jumps) are within error",
            "no": f"{where}: do not use the generator"}[key])
        begin = i
    return sentences


def section_consistency(run):
    record = dig(run.metrics, "consistency")
    values = [v for v in dig(record, "values", kind=list) if isinstance(v, dict)]
    if not values:
        return None
    most = number(record.get("most_steps"))
    if not run.two_cvs:
        values.sort(key=lambda v: numbers(v.get("cv"))[0])
    x = np.array([numbers(v.get("cv"))[0] for v in values])
    result = "<div class='box note'><b>May the generator be used here?</b><ul>" + "".join(
        f"<li>{esc(plain(s[0].upper() + s[1:]))}.</li>" for s in regions(run, values)) + "</ul></div>"

    def relaxation(axes):
        for i, (start, (label, colour, marker)) in enumerate(STARTS.items()):
            if not any(start in dig(v, "relaxation") for v in values):
                continue
            y = np.array([number(dig(v, "relaxation").get(start)) for v in values])
            never = ~np.isfinite(y)
            at = x + (i - 1.5) * 0.06 * (np.ptp(x) / max(len(x) - 1, 1))
            axes.plot(at[~never], np.maximum(y[~never], 1), marker, color=colour, mfc="white",
                      mew=1.4, ms=6.5, label=label)
            axes.plot(at[never], np.full(never.sum(), 1.6 * most), marker, color=colour, ms=6.5)
        axes.axhline(most, color=MUTED, lw=1, ls=(0, (5, 3)), label="longest run; filled: never")
        axes.set(xlabel=plain(run.cv_labels[0]), ylim=(0.7, 3 * most))
        log_scale(axes)
        axes.set_title("steps until within error")

    def distances(axes):
        for key, label, colour, marker in (
                ("sliced_w1", "sliced W₁ / σ", "#D55E00", "^"),
                ("sliced_floor", "its sampling floor", MUTED, "_"),
                ("energy_distance", "energy distance", "#0072B2", "o"),
                ("energy_floor", "its sampling floor ", "#9fc5e0", "_")):
            y = np.array([number(v.get(key)) for v in values])
            good = np.isfinite(y) & (y > 0)
            if good.any():
                axes.plot(x[good], y[good], marker, color=colour, mfc="white", mew=1.4, ms=6.5,
                          label=label)
        axes.set_xlabel(plain(run.cv_labels[0]))
        log_scale(axes)
        axes.set_title("lifted states against physics samples")

    panels = [relaxation]
    if any(number(v.get("sliced_w1")) > 0 for v in values):
        panels.append(distances)
    result += figure(
        panels, "Left: short runs held at a value of the collective variable; after how many steps "
        f"mean, variance and quartiles of {fmt(record.get('states'))} states stay within "
        f"{fmt(record.get('within'), 3)} standard errors (what perfect states exceed somewhere in a "
        f"hundredth of such runs) of {'the exact ones' if record.get('against') == 'exact' else 'those of the samples'}, "
        "by where the runs began (0 is drawn at 1). Right: distances of lifted states from stored "
        "samples, and the same between two halves of the samples.", 2, height=3.4)
    shares = np.array([number(v.get("share_of_naive")) for v in values])
    good = np.isfinite(shares)
    rows = "".join(
        "<tr><th>" + esc(", ".join(fmt(c, 4) for c in numbers(v.get("cv")))) + "</th>" + "".join(
            "<td>" + ("–" if s not in dig(v, "relaxation") else
                      f"&gt; {fmt(most)}" if dig(v, "relaxation")[s] is None else
                      fmt(dig(v, "relaxation")[s])) + "</td>" for s in STARTS)
        + f"<td>{VERDICTS[verdict(v)[0]]}</td></tr>" for v in values)
    result += ("<div class=scroll><table><thead><tr><th>ξ</th>" + "".join(
        f"<th>{esc(label)}</th>" for label, _, _ in STARTS.values())
        + f"<th>use</th></tr></thead><tbody>{rows}</tbody></table></div>")
    result += (f"<p>Restriction after lifting: ξ of lifted states misses its value by "
               f"{esc(fmt(record.get('constraint_residual')))} (RMS). Lifting relaxes in at most a "
               f"tenth of the steps of the best naive start at {int((shares[good] <= 0.1).sum())} "
               f"of {len(values)} values.</p>")
    return "consistency", "May the generator be used?", result
