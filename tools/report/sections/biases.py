"""The bias that all walkers made: how it and the free energy behind it came about, where walkers were, and how far
it was from its limit."""
import numpy as np

from data import dig
from draw import figure, log_scale, round_axis
from matplotlib.colors import to_rgba

from palette import COLOUR, MUTED
from words import fmt, listed, number, plain


def wanted(run):
    return bool(run.bias) and len(run.bias["step"]) > 0


def frame_panel(run, look, highest):
    """The free energy that the bias of one moment stands for, beside that of the samples."""
    share = number(dig(run.metrics, "bias").get("share"), 1.0)

    def panel(axes):
        free = -run.bias["bias"][look] / share
        axes.plot(run.bias["cv"][0], free - free.min(), color=COLOUR["generator"], label="by the bias")
        table = run.tables.get("free_energy")
        if table:
            axes.plot(table["cv_1"], table["free_energy"], color=COLOUR["physics"], lw=1, ls=(0, (4, 3)),
                      label="by the samples")
        axes.set_ylim(0, 1.15 * highest)
        axes.set(xlabel=plain(run.cv_labels[0]), ylabel=f"F  ({run.energy})")
        round_axis(run, axes.xaxis)
        axes.set_title(f"after {fmt(int(run.bias['step'][look]))} steps")
    return panel


def map_panel(run, values, title):
    x, y = (np.unique(c) for c in run.bias["cv"])

    def panel(axes):
        shown = axes.pcolormesh(x, y, values.reshape(len(x), len(y)).T, cmap="viridis", rasterized=True)
        axes.figure.colorbar(shown, ax=axes)
        axes.set(xlabel=plain(run.cv_labels[0]), ylabel=plain(run.cv_labels[1]))
        axes.set_title(title)
    return panel


def profile_panel(run, look, steps):
    """The free energy of the samples up to one moment, with two standard errors, beside that of all of them."""
    def panel(axes):
        table = run.tables.get("free_energy")
        x = table["cv_1"] if table else np.arange(run.bias["profile"].shape[1])
        free, error = run.bias["profile"][look], run.bias["profile_error"][look]
        good = np.isfinite(free) & np.isfinite(error)
        axes.fill_between(x, free - 2 * error, free + 2 * error, where=good, color=to_rgba(COLOUR["physics"], 0.22), lw=0)
        axes.plot(x, free, color=COLOUR["physics"], lw=1.2, label="by the samples so far")
        if table:
            axes.plot(x, table["free_energy"], color=COLOUR["exact"], lw=1, ls=(0, (4, 3)), label="by all of them")
        axes.set(xlabel=plain(run.cv_labels[0]), ylabel=f"F  ({run.energy})")
        round_axis(run, axes.xaxis)
        axes.set_title(f"after {fmt(int(steps))} steps")
    return panel


def coverage_panel(run):
    def panel(axes):
        count = run.bias["count"]
        axes.plot(run.bias["cv"][0], count / max(count.sum(), 1), color=COLOUR["physics"])
        axes.set_ylim(bottom=0)
        axes.set(xlabel=plain(run.cv_labels[0]), ylabel="share of walkers")
        round_axis(run, axes.xaxis)
        axes.set_title("Where walkers were while the bias was made")
    return panel


def convergence_panel(run):
    def panel(axes):
        looks, made = run.bias["look"], len(run.bias["look"]) - len(run.bias["profile"])
        for name, part, colour, dash, label in (
                ("rms_change", slice(made), "exact", "-", "the bias: change since the look before"),
                ("rms_error", slice(made), "generator", "-", "the bias: from its limit"),
                ("rms_error", slice(made, None), "physics", (0, (4, 3)), "the free energy of samples: standard error")):
            values = run.bias[name][part]
            good = np.isfinite(values) & (values > 0)
            if good.any():
                axes.plot(looks[part][good], values[good], color=COLOUR[colour], ls=dash, label=label)
        if 0 < made < len(looks):
            axes.axvline(looks[made - 1], color=MUTED, lw=0.8)
        log_scale(axes)
        axes.set(xlabel="steps", ylabel=f"RMS  ({run.energy})")
        axes.set_title("How the bias and the free energy settle")
    return panel


def section(run):
    made, bias = dig(run.metrics, "bias"), run.bias
    share = number(made.get("share"), 1.0)
    looks = range(len(bias["step"]))
    if len(bias["cv"]) == 2:
        panels = [map_panel(run, -(bias["bias"][k] - bias["bias"][k].max()) / share,
                            f"F by the bias after {fmt(int(bias['step'][k]))} steps")
                  for k in sorted({0, len(looks) // 2, len(looks) - 1})]
        panels.append(map_panel(run, bias["count"], "Walkers counted"))
    else:
        highest = max(np.ptp(frame) for frame in bias["bias"]) / share
        panels = [frame_panel(run, k, max(highest, 1e-12)) for k in looks]
        panels.append(coverage_panel(run))
        late = len(run.bias["look"]) - len(run.bias["profile"])
        panels += [profile_panel(run, k, run.bias["look"][late + k]) for k in range(len(run.bias["profile"]))]
    panels.append(convergence_panel(run))
    against = {"exact": "the exact free energy", "frozen": "the free energy of the samples under the frozen bias"}
    return figure(panels, f"The bias of {fmt(number(made.get('walkers')))} walkers, made by "
                  f"{plain(str(made.get('method', '')).replace('_', ' '))}, times −1/{fmt(share)}: what it says of the free "
                  "energy as time goes on. It was then frozen. "
                  + ("The free energy above is that of samples under it: as they come in, with two standard errors. "
                     if "free_energy" in run.tables else "") +
                  f"The limit of the bias is by {against.get(str(made.get('compared_with')), 'the free energy')}. "
                  + crossings(run, made) + ended(made), 3 if len(panels) > 6 else 2)


def crossings(run, made):
    """How often walkers went from one side of a variable's range to the other."""
    told = [f"{fmt(number(c.get('each')))} times along {plain(run.cv_symbols[k])}"
            for k, c in enumerate(dig(made, "crossings", kind=list)) if k < len(run.cv_symbols)]
    return (f"Under the frozen bias a walker went from one side of the range to the other {listed(told)} on average. "
            if told else "")


def ended(made):
    target = str(made.get("ended", ""))
    error = number(made.get("std_error"))
    return (f"Sampling ended as {target}" + (f", with a standard error of {fmt(error)} of the free energy."
                                             if np.isfinite(error) else ".")) if target else ""
