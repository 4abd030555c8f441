"""The reduced model: drift and diffusion by source, lags of the bursts, and what follows from each
closure beside the full model."""
import math

import numpy as np
from matplotlib.colors import to_rgba

from data import column, dig, entries, pick, read_table
from draw import band, errors, figure, heat_map, log_scale, zoom
from markup import html_table
from palette import COLOUR, EDGE, MUTED, PAGE
from words import capital, fmt, number, place, plain, sentence, with_error

WORDS = {"conditional": "averages over the fine variables at a fixed value of it",
         "generator": "the same averages over generated states",
         "healed": "the same over generated states after healing",
         "held": "the same over states held at the value by constraint",
         "burst": "short unbiased runs, corrected for the length of their lag"}
NAMES = {"conditional": "averages, physics", "free_energy": "free energy and diffusion",
         "generator": "averages, generated", "healed": "averages, healed", "held": "averages, held",
         "burst": "bursts", "full": "full model"}
LINES = {"generator": "--", "healed": ":", "held": "-."}  # they often lie on one another
REDUCED = ("conditional", "free_energy", "generator", "healed", "held", "burst")
SURFACES = ["cv_1", "cv_2", "density", "source"]
CURVES = ["cv_1", "drift", "diffusion", "density", "source"]


def wanted(run):
    table = run.tables.get("closure")
    return bool(table) and len(table["cv"]) > 0


def name_of(source):
    return NAMES.get(source, str(source))


def key_of_sources(sources):
    return " ".join(sentence(f"{name_of(s)}: {WORDS.get(s, 'as given')}") for s in sources)


def curves(run):
    """reduced.csv by source, or nothing."""
    path = run.folder / "reduced.csv"
    if not path.is_file():
        return {}
    table = read_table(path, SURFACES if run.two_cvs else CURVES)
    return {s: pick(table, source=s) for s in dict.fromkeys(table["source"])}


# ---------------------------------------------------------------- one collective variable

def coefficient_panel(run, table, smooth, name, title):
    def panel(axes):
        for source in dict.fromkeys(table["source"]):
            rows = pick(table, source=source)
            x, y, se = rows["cv_1"], rows[name], column(rows, name + "_se")
            colour, line = COLOUR.get(source, MUTED), smooth.get(source)
            dotted = source == "burst" or len(x) < 30
            if dotted:
                errors(axes, x, y, se, source, label=name_of(source))
            if line is not None:
                band(axes, line["cv_1"], line[name], column(line, name + "_se"), colour,
                     f"_{name_of(source)}, smooth" if dotted else name_of(source),
                     line=LINES.get(source, "-"))
            elif not dotted:
                band(axes, x, y, se, colour, name_of(source), line=LINES.get(source, "-"))
        zoom(axes, table[name], 2 * column(table, name + "_se"), floor=0 if name == "diffusion"
             else None)
        axes.axhline(0, color=EDGE, lw=0.8)
        axes.set(xlabel=plain(run.cv_labels[0]), ylabel=f"{title}({plain(run.given)})")
        axes.set_title(name.capitalize())
    return panel


def lags_panel(closure, found):
    tau, rate, error = (np.array([number(e.get(k)) for e in found])
                        for k in ("lag", "rate", "rate_error"))
    flat = np.array([e.get("plateau") is True for e in found])
    chosen = number(closure.get("lag"))
    level = {e.get("source"): entries(e, "rates") for e in entries(closure, "sources")}

    def panel(axes):
        axes.errorbar(tau, rate, yerr=2 * error, fmt="D", ms=5, mfc=PAGE, elinewidth=0.9,
                      color=COLOUR["burst"], label="closure by bursts")
        if flat.any():
            axes.plot(tau[flat], rate[flat], "D", ms=5, color=COLOUR["burst"], label="plateau")
        for source in ("conditional", "full"):
            if level.get(source):
                value, spread = (number(level[source][0].get(k)) for k in ("value", "error"))
                axes.axhline(value, color=COLOUR[source], lw=1.2, label=name_of(source))
                axes.axhspan(value - 2 * spread, value + 2 * spread, lw=0,
                             color=to_rgba(COLOUR[source], 0.12))
        if chosen > 0:
            axes.axvline(chosen, color=EDGE, ls="--", lw=1, label="lag taken")
        log_scale(axes, "x")
        axes.set_ylim(bottom=0)
        axes.set(xlabel="lag (time)", ylabel="slowest relaxation rate")
        axes.set_title("Slowest rate by the lag of the bursts")
    return panel


def density_panel(run, smooth):
    free = run.tables.get("free_energy")

    def panel(axes):
        if free and free["cv"].shape[1] == 1 and run.kt > 0 and len(free["cv"]) > 1:
            p = np.exp(-free["free_energy"] / run.kt)
            p /= np.nansum(p) * np.diff(free["cv_1"]).mean()
            axes.plot(free["cv_1"], p, color=COLOUR["exact"], lw=2.6, alpha=0.35, label="full "
                                                                                        "model")
        for source, line in smooth.items():
            band(axes, line["cv_1"], line["density"], column(line, "density_se"),
                 COLOUR.get(source, MUTED), name_of(source), line=LINES.get(source, "-"))
        axes.set_ylim(bottom=0)
        axes.set(xlabel=plain(run.cv_labels[0]), ylabel="stationary density")
        axes.set_title("Stationary density")
    return panel


def committor_panel(run, found):
    x = np.array([number(e["cv"]) for e in found])

    def panel(axes):
        for source in REDUCED:
            y = np.array([number(e.get(source)) for e in found])
            if np.isfinite(y).any():
                axes.plot(x, y, LINES.get(source, "-"), color=COLOUR.get(source, MUTED),
                          label=name_of(source))
        y, se = (np.array([number(e.get(k)) for e in found]) for k in ("direct", "direct_error"))
        errors(axes, x, y, se, "full", label="full model")
        axes.set(xlabel=plain(run.cv_labels[0]), ylabel="committor", ylim=(-0.03, 1.03))
        axes.set_title("Committor")
    return panel


def of_one(run, table, closure, smooth):
    sources = list(dict.fromkeys(table["source"]))
    result = figure(
        [coefficient_panel(run, table, smooth, "drift", "b"),
         coefficient_panel(run, table, smooth, "diffusion", "D")],
        "Reduced model dξ = b dt + √(2D) dW of the collective variable alone, with two standard "
        "errors"
        + (", and the smooth curves that the figures below follow from. " if smooth else ". ")
        + key_of_sources(sources)) + comparison(closure)
    panels, texts = [], []
    found = [e for e in entries(closure, "lags") if number(e.get("lag")) > 0
             and number(e.get("rate")) > 0]
    if len(found) > 1:
        panels.append(lags_panel(closure, found))
        texts.append("The slowest rate of the closure from bursts of several lags: past the fast "
                     "motions it no longer depends on the lag, a plateau. The full model's rate "
                     "comes from the bursts' transition matrices at the longest lags.")
    if smooth:
        panels.append(density_panel(run, smooth))
        texts.append("Stationary density of each reduced model, and exp(−F/kT) of the full one.")
    found = [e for e in entries(closure, "committor") if math.isfinite(number(e.get("cv")))]
    if len(found) > 1:
        panels.append(committor_panel(run, found))
        texts.append("Committor: the probability to reach the far end before the near one, from "
                     "states with this value of ξ.")
    return result + (figure(panels, " ".join(texts)) if panels else "")


# ---------------------------------------------------------------- two collective variables

def arrows_panel(run, table, source):
    def panel(axes):
        rows = pick(table, source=source)
        heat_map(run, axes, rows, (rows["diffusion_11"] + rows["diffusion_22"]) / 2, "(D₁₁ + "
                                                                                     "D₂₂)/2")
        few = slice(None, None, max(1, len(rows["cv"]) // 400))
        length = np.hypot(rows["drift_1"], rows["drift_2"])
        usual = np.nanquantile(length, 0.9) if np.isfinite(length).any() else 1.0
        shrink = np.minimum(1.0, usual / np.maximum(length, 1e-300))
        axes.quiver(rows["cv_1"][few], rows["cv_2"][few], (rows["drift_1"] * shrink)[few],
                    (rows["drift_2"] * shrink)[few], color="#fefefe", width=0.004, rasterized=True)
        axes.set_title(capital(name_of(source)))
    return panel


def surface_panel(run, smooth, source):
    def panel(axes):
        rows = smooth[source]
        level = -np.log(np.maximum(rows["density"], 1e-300)) * (run.kt if run.kt > 0 else 1.0)
        level = level - np.nanmin(level)
        heat_map(run, axes, rows, level, "−ln density" + (" · kT" if run.kt > 0 else ""),
                 limits=(0, np.nanquantile(level, 0.75)))
        axes.set_title(f"Stationary density, {name_of(source)}")
    return panel


def scatter_of_committors(found):
    full = np.array([number(e.get("direct")) for e in found])

    def panel(axes):
        axes.plot([0, 1], [0, 1], color=EDGE, lw=0.8, label="_equal")
        for source in REDUCED:
            y = np.array([number(e.get(source)) for e in found])
            if np.isfinite(y).any():
                axes.plot(full, y, "o", ms=3.4, color=COLOUR.get(source, MUTED),
                          label=name_of(source))
        axes.set(xlabel="committor, full model", ylabel="committor, reduced model",
                 xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        axes.set_title("Committors")
    return panel


def lag_table(closure):
    found = [e for e in entries(closure, "lags") if number(e.get("lag")) > 0]
    if not found:
        return ""
    chosen = number(closure.get("lag"))
    return html_table(
        ["lag of the bursts", "change of D since the lag before", "remark"],
        [[fmt(e["lag"]), "–" if i == 0 else with_error(e.get("change"), e.get("change_error")),
          ", ".join(t for t, on in (("plateau", e.get("plateau") is True),
                                    ("taken", number(e["lag"]) == chosen)) if on)]
         for i, e in enumerate(found)])


def of_two(run, table, closure, smooth):
    sources = list(dict.fromkeys(table["source"]))
    result = figure([arrows_panel(run, table, s) for s in sources],
                    "Reduced model of both collective variables: arrows show the drift (the "
                    "longest tenth cut), colours the diffusion. " + key_of_sources(sources))
    result += comparison(closure) + lag_table(closure)
    panels = [surface_panel(run, smooth, s) for s in ("conditional", "burst") if s in smooth]
    texts = ["Stationary density of the reduced models, as an energy; walls, if any, are where "
             "estimates end."] if panels else []
    found = [e for e in entries(closure, "committor") if isinstance(e.get("cv"), list)]
    if len(found) > 1:
        panels.append(scatter_of_committors(found))
        texts.append("Committor: the probability to reach the last place before the first, from "
                     "each value at which bursts start: on the line where both agree.")
    return result + (figure(panels, " ".join(texts)) if panels else "")


# ---------------------------------------------------------------- both

def comparison(closure):
    """What follows from each model: a row a quantity, a column a model."""
    sources = sorted(entries(closure, "sources"), key=lambda s: s.get("source") != "full")
    longest = max((entries(s, "passages") for s in sources), key=len, default=[])

    def cell(found, i, value="value", error="error"):
        return with_error(found[i].get(value), found[i].get(error)) if i < len(found) else "–"

    rows = [["slowest rate"] + [cell(entries(s, "rates"), 0) for s in sources]]
    for i, p in enumerate(longest):
        what = f"first passage {place(p.get('from'))} → {place(p.get('to'))}"
        rows.append([what] + [cell(entries(s, "passages"), i) for s in sources])
        simulated = [cell(entries(s, "passages"), i, "simulated", "simulated_error")
                     for s in sources]
        if any(text != "–" for text in simulated):
            rows.append([f"{what}, simulated"] + simulated)
    rows = [row for row in rows if any(text != "–" for text in row[1:])]
    result = html_table(["", *(name_of(s.get("source")) for s in sources)], rows,
                        "models") if rows else ""
    found = [e for e in entries(closure, "committor_points") if isinstance(e.get("state"), list)]
    if found:
        result += html_table(["state", "committor, full model"], [
            [place(e["state"]), with_error(e.get("committor"), e.get("error"))] for e in found])
    return result


def section(run):
    table, closure = run.tables["closure"], dig(run.metrics, "closure")
    return (of_one if "drift" in table else of_two)(run, table, closure, curves(run))
