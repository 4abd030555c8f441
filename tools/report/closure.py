"""The section on the reduced model: drift and diffusion by source, lags of the bursts, and what follows
from each closure beside the full model."""
import math

import numpy as np
from matplotlib.colors import to_rgba

from data import (column, dig, esc, fmt, number, pick, plain, read_table, sentence)
from draw import COLOUR, MUTED, errors, figure, heat_map, zoom

WORDS = {"conditional": "averages over the fine variables at a fixed value of it",
         "generator": "the same averages over generated states",
         "healed": "the same over generated states after healing",
         "held": "the same over states held at the value by constraint",
         "burst": "short unbiased runs, corrected for the length of their lag"}
NAMES = {"conditional": "averages, physics", "free_energy": "free energy and diffusion",
         "generator": "averages, generated",
         "healed": "averages, healed", "held": "averages, held", "burst": "bursts", "full": "full model"}
SURFACES = ["cv_1", "cv_2", "density", "source"]
CURVES = ["cv_1", "drift", "diffusion", "density", "source"]


def table_html(head, rows):
    def line(cells, tag):
        return "<tr>" + "".join(f"<{t}>{esc(str(c))}</{t}>" for t, c in zip(tag, cells)) + "</tr>"
    body = "".join(line(row, ["th"] + ["td"] * len(row)) for row in rows)
    return (f'<div class=scroll><table><thead>{line(head, ["th"] * len(head))}</thead>'
            f"<tbody>{body}</tbody></table></div>")


def with_error(entry, value="value", error="error"):
    if not isinstance(entry, dict) or not math.isfinite(number(entry.get(value))):
        return "–"
    text = fmt(entry[value], 4)
    return f"{text} ± {fmt(entry[error], 2)}" if math.isfinite(number(entry.get(error))) else text


def entries(tree, *keys):
    return [e for e in dig(tree, *keys, kind=list) if isinstance(e, dict)]


def name_of(source):
    return NAMES.get(source, source)


def place(value):
    """A value of one collective variable or of two, as metrics.json has it."""
    if isinstance(value, list):
        return "(" + ", ".join(fmt(v) for v in value) + ")"
    return fmt(value)


def curves(run):
    """reduced.csv by source, or nothing."""
    path = run.folder / "reduced.csv"
    if not path.is_file():
        return {}
    table = read_table(path, SURFACES if run.two_cvs else CURVES)
    return {s: pick(table, source=s) for s in dict.fromkeys(table["source"])}


def drift_and_diffusion(run, table, smooth):
    sources = list(dict.fromkeys(table["source"]))

    def panel_of(name, title):
        def panel(axes):
            for source in sources:
                rows = pick(table, source=source)
                x, y, se = rows["cv_1"], rows[name], column(rows, name + "_se")
                colour = COLOUR.get(source, MUTED)
                line = smooth.get(source)
                if source == "burst" or len(x) < 30:
                    errors(axes, x, y, se, source, label=name_of(source))
                elif line is None:
                    axes.fill_between(x, y - 2 * se, y + 2 * se, lw=0, color=to_rgba(colour, 0.22))
                    axes.plot(x, y, color=colour, label=name_of(source))
                if line is not None:
                    band = 2 * column(line, name + "_se")
                    axes.fill_between(line["cv_1"], line[name] - band, line[name] + band, lw=0,
                                      color=to_rgba(colour, 0.22))
                    axes.plot(line["cv_1"], line[name], color=colour,
                              label=None if source == "burst" else name_of(source))
            zoom(axes, table[name], 2 * column(table, name + "_se"),
                 floor=0 if name == "diffusion" else None)
            axes.axhline(0, color="#9aa3ad", lw=0.8)
            axes.set(xlabel=plain(run.cv_labels[0]), ylabel=f"{title}({plain(run.given)})")
        return panel

    return figure(
        [panel_of("drift", "drift  b"), panel_of("diffusion", "diffusion  D")],
        "Reduced model dξ = b dt + √(2D) dW of the collective variable alone, with two standard "
        "errors"
        + (", and the smooth curves that the figures below follow from. " if smooth else ". ")
        + " ".join(sentence(f"{name_of(s)}: {WORDS.get(s, 'as given')}") for s in sources), 2, height=3.2)


def lags(run, closure):
    found = [e for e in entries(closure, "lags") if number(e.get("lag")) > 0
             and number(e.get("rate")) > 0]
    if len(found) < 2:
        return ""
    tau, rate, error = (np.array([number(e.get(k)) for e in found])
                        for k in ("lag", "rate", "rate_error"))
    flat = np.array([e.get("plateau") is True for e in found])
    chosen = number(closure.get("lag"))
    level = {e.get("source"): entries(e, "rates") for e in entries(closure, "sources")}

    def panel(axes):
        axes.errorbar(tau, rate, yerr=2 * error, fmt="D", ms=5, mfc="white", elinewidth=0.9,
                      color=COLOUR["burst"], label="closure by bursts")
        if flat.any():
            axes.plot(tau[flat], rate[flat], "D", ms=5, color=COLOUR["burst"], label="plateau")
        for source, colour in (("conditional", COLOUR["conditional"]), ("full", COLOUR["exact"])):
            if level.get(source):
                value, spread = (number(level[source][0].get(k)) for k in ("value", "error"))
                axes.axhline(value, color=colour, lw=1.2, label=name_of(source))
                axes.axhspan(value - 2 * spread, value + 2 * spread, color=to_rgba(colour, 0.12),
                             lw=0)
        if chosen > 0:
            axes.axvline(chosen, color="#9aa3ad", ls="--", lw=1, label="lag taken")
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set(xlabel="lag (time)", ylabel="slowest relaxation rate")

    return figure([panel],
                  "The slowest rate of the closure from bursts of several lags. Past the fast "
                  "motions it no longer depends on the lag: a plateau. The full model's rate comes "
                  "from the bursts' transition matrices at the longest lags.", height=3.0, width=5.6)


def density_and_committor(run, closure, smooth):
    panels, texts = [], []
    free = run.tables.get("free_energy")
    kt = number(dig(run.metrics, "system").get("kt"))
    if smooth:
        def density(axes):
            if free and free["cv"].shape[1] == 1 and kt > 0 and len(free["cv"]) > 1:
                p = np.exp(-free["free_energy"] / kt)
                p /= np.nansum(p) * np.diff(free["cv_1"]).mean()
                axes.plot(free["cv_1"], p, color=COLOUR["exact"], lw=2.4, alpha=0.35,
                          label="full model")
            for source, line in smooth.items():
                colour = COLOUR.get(source, MUTED)
                band = 2 * column(line, "density_se")
                axes.fill_between(line["cv_1"], line["density"] - band, line["density"] + band,
                                  lw=0, color=to_rgba(colour, 0.22))
                axes.plot(line["cv_1"], line["density"], color=colour,
                          label=name_of(source))
            axes.set_ylim(bottom=0)
            axes.set(xlabel=plain(run.cv_labels[0]), ylabel="stationary density")
        panels.append(density)
        texts.append("Stationary density of each reduced model, and exp(−F/kT) of the full one.")
    points = [e for e in entries(closure, "committor") if math.isfinite(number(e.get("cv")))]
    if len(points) > 1:
        x = np.array([number(e["cv"]) for e in points])

        def committor(axes):
            for source in ("conditional", "free_energy", "generator", "healed", "held", "burst"):
                y = np.array([number(e.get(source)) for e in points])
                if np.isfinite(y).any():
                    axes.plot(x, y, color=COLOUR.get(source, MUTED), label=name_of(source))
            y, se = (np.array([number(e.get(k)) for e in points])
                     for k in ("direct", "direct_error"))
            axes.errorbar(x, y, yerr=2 * se, fmt="o", ms=3.5, color=COLOUR["exact"],
                          elinewidth=0.8, label="full model")
            axes.set(xlabel=plain(run.cv_labels[0]), ylabel="committor", ylim=(-0.03, 1.03))
        panels.append(committor)
        texts.append("Probability to reach the far end before the near one, from states with this "
                     "value of ξ.")
    return figure(panels, " ".join(texts), 2, height=3.0) if panels else ""


def comparison(run, closure):
    sources = entries(closure, "sources")
    full = next((s for s in sources if s.get("source") == "full"), {})
    passages = entries(full, "passages") or next(
        (entries(s, "passages") for s in sources if entries(s, "passages")), [])
    head = ["Model", "slowest rate"]
    for p in passages:
        head.append(f"first passage {place(p.get('from'))} → {place(p.get('to'))}")
    simulated = any("simulated" in p for s in sources for p in entries(s, "passages"))
    if simulated:
        head += ["simulated"] * len(passages)
    rows = []
    for s in sorted(sources, key=lambda s: s.get("source") != "full"):
        rates, times = entries(s, "rates"), entries(s, "passages")
        row = [NAMES.get(s.get("source"), str(s.get("source"))),
               with_error(rates[0]) if rates else "–"]
        row += [with_error(times[i]) if i < len(times) else "–" for i in range(len(passages))]
        if simulated:
            row += [with_error(times[i], "simulated", "simulated_error") if i < len(times) else "–"
                    for i in range(len(passages))]
        rows.append(row)
    result = table_html(head, rows) if rows else ""
    points = [e for e in entries(closure, "committor_points") if isinstance(e.get("state"), list)]
    if points:
        result += table_html(["State", "committor, full model"],
                             [["(" + ", ".join(fmt(v) for v in e["state"]) + ")",
                               with_error(e, "committor")] for e in points])
    return result


def densities_and_committors_of_two(run, closure, smooth):
    panels, texts = [], []
    kt = number(dig(run.metrics, "system").get("kt"))

    def density_of(source):
        def panel(axes):
            rows = smooth[source]
            level = -np.log(np.maximum(rows["density"], 1e-300)) * (kt if kt > 0 else 1.0)
            level = level - np.nanmin(level)
            heat_map(run, axes, rows, level, "−ln density" + (" · kT" if kt > 0 else ""),
                     limits=(0, np.nanquantile(level, 0.75)))
            axes.set_title(name_of(source))
        return panel

    for source in ("conditional", "burst"):
        if source in smooth:
            panels.append(density_of(source))
    if panels:
        texts.append("Stationary density of the reduced models, as an energy; the walls are where "
                     "estimates end.")
    points = [e for e in entries(closure, "committor") if isinstance(e.get("cv"), list)]
    if len(points) > 1:
        full = np.array([number(e.get("direct")) for e in points])

        def committor(axes):
            axes.plot([0, 1], [0, 1], color="#9aa3ad", lw=0.8)
            for source in ("conditional", "free_energy", "generator", "healed", "held", "burst"):
                y = np.array([number(e.get(source)) for e in points])
                if np.isfinite(y).any():
                    axes.plot(full, y, "o", ms=3, color=COLOUR.get(source, MUTED),
                              label=name_of(source))
            axes.set(xlabel="committor, full model", ylabel="committor, reduced model",
                     xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        panels.append(committor)
        texts.append("Probability to reach the last place before the first, from each value at which "
                     "bursts start: on the line where both agree.")
    return figure(panels, " ".join(texts), min(2, len(panels)), height=3.4) if panels else ""


def of_two(run, table, closure, smooth):
    """Two collective variables: arrows of the drift over the diffusion, by source."""
    def panel_of(source):
        def panel(axes):
            rows = pick(table, source=source)
            heat_map(run, axes, rows, (rows["diffusion_11"] + rows["diffusion_22"]) / 2,
                     "(D₁₁ + D₂₂)/2")
            few = slice(None, None, max(1, len(rows["cv"]) // 400))
            length = np.hypot(rows["drift_1"], rows["drift_2"])
            usual = np.nanquantile(length, 0.9) if np.isfinite(length).any() else 1.0
            shrink = np.minimum(1.0, usual / np.maximum(length, 1e-300))
            axes.quiver(rows["cv_1"][few], rows["cv_2"][few], (rows["drift_1"] * shrink)[few],
                        (rows["drift_2"] * shrink)[few], color="white", width=0.004)
            axes.set_title(name_of(source))
        return panel

    sources = list(dict.fromkeys(table["source"]))
    result = figure([panel_of(s) for s in sources],
                    "Reduced model of both collective variables: arrows show the drift (the longest "
                    "tenth cut), colours the diffusion. "
                    + " ".join(sentence(f"{name_of(s)}: {WORDS.get(s, 'as given')}") for s in sources),
                    min(2, len(sources)), height=3.6)
    result += comparison(run, closure)
    found = [e for e in entries(closure, "lags") if number(e.get("lag")) > 0]
    if found:
        chosen = number(closure.get("lag"))
        result += table_html(
            ["Lag of the bursts", "change of D since the lag before", ""],
            [[fmt(e["lag"]), "–" if i == 0 else with_error(e, "change", "change_error"),
              ", ".join(t for t, on in (("plateau", e.get("plateau") is True),
                                        ("taken", number(e["lag"]) == chosen)) if on)]
             for i, e in enumerate(found)])
    return result + densities_and_committors_of_two(run, closure, smooth)


def section_closure(run):
    table = run.tables.get("closure")
    if not table or not len(table["cv"]):
        return None
    closure = dig(run.metrics, "closure")
    smooth = curves(run)
    result = ""
    poor = [str(w) for w in dig(run.metrics, "warnings", kind=list)
            if any(words in str(w) for words in ("variable is poor", "no plateau",
                                                 "nearly vanishes", "bursts start"))]
    if poor:
        items = "".join(f"<li>{esc(sentence(w))}</li>" for w in poor)
        result += f'<div class="box"><ul>{items}</ul></div>'
    if "drift" not in table:
        return "closure", "Closure", result + of_two(run, table, closure, smooth)
    result += drift_and_diffusion(run, table, smooth)
    result += comparison(run, closure)
    result += lags(run, closure)
    result += density_and_committor(run, closure, smooth)
    return "closure", "Closure", result
