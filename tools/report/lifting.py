"""Sections on the generator: conditional moments and densities, training."""
import math

import numpy as np
from matplotlib import ticker
from matplotlib.colors import to_rgba

from data import (SOURCES, column, cv_text, dig, fmt, listed, number, numbers, pick, plain,
                         w1_entries)
from draw import COLOUR, INK, MARKER, MUTED, errors, figure, heat_map, log_scale, zoom


def section_moments(run):
    table, exact = run.tables.get("conditional"), run.tables.get("exact")
    if not table:
        return None
    names = [v for v in dict.fromkeys(table["variable"]) if v not in run.cv_formulas]
    shown, panels, across = names[:6], [], 2
    rows = {(n, s): pick(table, variable=n, source=s) for n in shown for s in SOURCES}
    rows = {key: r for key, r in rows.items() if len(r["cv"])}
    sources = [s for s in SOURCES if any(key[1] == s for key in rows)]
    titles = {n: {"mean": f"E[{n} | {run.given}]", "variance": f"Var[{n} | {run.given}]"}
              for n in shown}

    def of_exact(name, what):
        return exact.get(f"{what}_{name}") if exact and not run.two_cvs else None

    def map_panel(name, source, what):
        row = rows[name, source]
        every = np.concatenate([column(r, what) for (n, _), r in rows.items() if n == name])
        return lambda axes: heat_map(run, axes, row, column(row, what),
                                     f"{titles[name][what]}, {source}",
                                     limits=(np.nanmin(every), np.nanmax(every)))

    def moment(name, what):
        def panel(axes):
            line, seen = of_exact(name, what), []
            if line is not None:
                axes.plot(exact["cv_1"], line, color=COLOUR["exact"], lw=1.1, label="exact")
            for i, source in enumerate(s for s in sources if (name, s) in rows):
                row = rows[name, source]
                every = max(1, -(-len(row["cv"]) // 36))  # the sources must not hide each other
                bars = column(row, "mean_se") if what == "mean" else np.full(len(row["cv"]), np.nan)
                errors(axes, row["cv_1"], column(row, what), bars, source, every,
                       i * every // len(sources))
                seen.append(column(row, what))
            values = np.concatenate(seen + ([line] if line is not None else []))
            values = values[np.isfinite(values)]
            if what == "variance" and len(values):
                zoom(axes, values, floor=0)
                if 0 < 30 * values.min() < values.max():
                    axes.set_ylim(values.min() / 1.5, values.max() * 1.5)
                    log_scale(axes)
            axes.set_xlabel(plain(run.cv_labels[0]))
            axes.set_title(plain(titles[name][what]))
        return panel

    def difference(name):
        line, spread = of_exact(name, "mean"), of_exact(name, "variance")
        against = "exact" if line is not None and spread is not None else "physics"
        if against == "exact":
            at = exact["cv_1"]
        elif (name, "physics") in rows:
            row = rows[name, "physics"]
            at, line, spread = row["cv_1"], row["mean"], column(row, "variance")
        compared = [s for s in sources if s != against and (name, s) in rows]
        if line is None or not compared or not np.isfinite(spread).any():
            return None

        def panel(axes):
            all_y, all_bars = [], []
            axes.axhline(0, color=COLOUR[against], lw=1.1)
            for i, source in enumerate(compared):
                row = rows[name, source]
                sigma = np.sqrt(np.interp(row["cv_1"], at, spread))
                y = (row["mean"] - np.interp(row["cv_1"], at, line)) / sigma
                bars = column(row, "mean_se") / sigma
                every = max(1, -(-len(y) // 36))
                errors(axes, row["cv_1"], y, bars, source, every, i * every // len(compared))
                all_y.append(y)
                all_bars.append(2 * bars)
            zoom(axes, np.concatenate(all_y), np.concatenate(all_bars), symmetric=True)
            axes.set_xlabel(plain(run.cv_labels[0]))
            axes.set_title(plain(f"mean − {against}, in σ({name} | {run.given})"))
        return panel

    for name in shown:
        if run.two_cvs:
            panels += [map_panel(name, s, w) for s in sources if (name, s) in rows
                       for w in ("mean", "variance") if np.isfinite(column(rows[name, s], w)).any()]
        else:
            three = [moment(name, "mean"), moment(name, "variance"), difference(name)]
            panels += [p for p in three if p]
            across = sum(p is not None for p in three)
    if not panels:
        return None
    with_exact = any(of_exact(n, "mean") is not None for n in shown)
    caption = f"Mean and variance of {listed(shown)} at a given value of the collective variable"
    caption += f": {listed(sources)}{', and exact' if with_exact else ''}. "
    if len(sources) > 1:
        caption += ("Physics: biased samples, reweighted. Generator: states drawn by the network. "
                    + ("Healed: the same after a short restrained run. " if "healed" in sources
                       else "")
                    + ("Importance and metropolis: the generator's states weighed with their "
                       "density, without its error. " if "importance" in sources else ""))
    if not run.two_cvs and np.isfinite(column(table, "mean_se")).any():
        caption += "Bars: two standard errors. "
    if len(names) > len(shown):
        caption += f"{len(names) - len(shown)} further variables are in conditional.csv."
    return "moments", "Conditional moments", figure(panels, caption.strip(), across, height=2.75)


def section_densities(run):
    columns, entries = run.lifted_columns(), w1_entries(run)
    exact = list(dict.fromkeys(v for c in run.conditions for v in c["exact"]))
    shown = [n for n in dict.fromkeys(columns + exact) if n not in run.cv_formulas][:2]
    count, result = len(run.conditions), ""
    ends = (0.05, 0.95) if count > 6 else (0, 1)
    chosen = np.unique(np.rint(np.linspace(*ends, min(6, count)) * (count - 1)).astype(int))

    def density(condition, name):
        data = {s: condition[s][:, columns.index(name)] for s in SOURCES
                if s in condition and name in columns}
        data = {s: v[np.isfinite(v)] for s, v in data.items() if np.isfinite(v).sum() > 1}
        curve = condition["exact"].get(name)
        if not data and curve is None:
            return None

        def panel(axes):
            spans = [np.quantile(v, [0.001, 0.999]) for v in data.values()]
            if curve is not None:
                spans.append(curve[curve[:, 1] > 2e-3 * curve[:, 1].max(), 0][[0, -1]])
            low, high = np.min(spans), np.max(spans)
            low, high = low - 0.06 * (high - low) - 1e-9, high + 0.06 * (high - low) + 1e-9
            for source, v in data.items():
                edges = np.linspace(low, high, int(np.clip(2.2 * len(v) ** (1 / 3), 10, 44)) + 1)
                share = np.histogram(v, edges)[0] / (len(v) * (edges[1] - edges[0]))
                if source == "physics":
                    axes.stairs(share, edges, fill=True, lw=0, label=source,
                                color=to_rgba(COLOUR[source], 0.27))
                else:
                    axes.stairs(share, edges, color=COLOUR[source], lw=1.4, label=source,
                                baseline=None, ls="-" if source == "generator" else (0, (5, 1.2)))
            if curve is not None:
                axes.plot(*curve.T[:2], color=COLOUR["exact"], lw=1.1, label="exact")
            axes.set(xlim=(low, high), xlabel=plain(run.label(name)))
            axes.set_ylim(0, axes.get_ylim()[1])
            axes.yaxis.set_major_locator(ticker.MaxNLocator(4))
            axes.set_title(plain(cv_text(run, condition["cv"])), fontweight="bold",
                           pad=18 if entries else 6)
            near = [e for e in entries if e["variable"] == name
                    and e["cv"].shape == condition["cv"].shape
                    and np.allclose(e["cv"], condition["cv"], rtol=1e-6, atol=1e-9)]
            text = ",  ".join(f"{e['source']} {fmt(e['w1'], 2, strip=False)}" for e in near)
            axes.text(0, 1.03, f"W₁/σ: {text}" if text else "", transform=axes.transAxes,
                      fontsize=8.5, color=MUTED, va="bottom")
        return panel

    sizes = [len(c[s]) for c in run.conditions for s in SOURCES if s in c]
    for name in shown:
        panels = [p for p in (density(run.conditions[i], name) for i in chosen) if p]
        if panels:
            result += figure(panels, f"Conditional densities p({name} | {run.given}) at "
                             f"{len(panels)} of {count} values of the collective variable"
                             + (f", up to {fmt(max(sizes))} states each" if sizes else "") + ".",
                             columns=3, height=2.6)

    def distances(axes):
        for source in ("generator", "healed"):
            points = np.array([(e["cv"][0], e["w1"]) for e in entries if e["source"] == source])
            if len(points):
                axes.plot(*points.T, MARKER[source], color=COLOUR[source], ms=4.6, mfc="white",
                          label=source)
                axes.axhline(np.median(points[:, 1]), color=COLOUR[source], lw=0.9, ls=(0, (5, 3)))
        floors = np.array(sorted((e["cv"][0], e["floor"]) for e in entries
                                 if e["source"] == "generator" and math.isfinite(e["floor"])))
        if len(floors):
            axes.plot(*floors.T, color=MUTED, lw=1.1, label="sampling floor")
        axes.set(xlabel=plain(run.cv_labels[0]), ylabel="W₁ / σ")
        log_scale(axes)

    entries = [e for e in entries if len(e["cv"])]
    if entries and not run.two_cvs:
        result += figure([distances], "Wasserstein distance W₁ of lifted states from reference "
                         "states, in conditional standard deviations; dashed: medians. Two samples "
                         "of this size from one and the same distribution lie about the sampling "
                         "floor apart.", height=2.7)
    return ("densities", "Conditional densities", result) if result else None


def section_training(run):
    train = run.stage("train")
    series = {k: numbers(v) for k, v in dig(train, "history").items() if isinstance(v, list)}
    update = series.pop("update", np.array([]))
    validated = series.pop("validation_update", np.array([]))
    series = {k: v for k, v in series.items() if np.isfinite(v).sum() > 1}
    distances = [k for k in series if k.startswith("w1")]
    losses = [k for k in series if k not in distances]
    best, floor = number(train.get("best_update")), number(train.get("w1_floor"))
    words = {"w1_mean": "W₁, mean over conditions", "w1_worst": "W₁, worst condition"}

    def draw(axes, keys):
        for key in keys:
            y = series[key]
            x = next((t for t in (validated, update) if len(t) == len(y)), None)
            x = x if x is not None else np.linspace(
                0, update[-1] if len(update) else len(y) - 1, len(y))
            good = np.isfinite(y)
            axes.plot(x[good], y[good], lw=1.3, color=COLOUR.get(key, MUTED),
                      label=words.get(key, key.replace("_", " ")))
        if math.isfinite(best):
            axes.axvline(best, color=INK, lw=1.0, ls=":", label="kept (best)")
        axes.set_xlabel("updates of the generator")

    def loss_panel(axes):
        draw(axes, losses)
        late = np.concatenate([series[k][len(series[k]) // 50:] for k in losses])
        late = late[np.isfinite(late)]
        low, high = np.percentile(late, [0.2, 99.8])  # the first spikes may leave the picture
        zoom(axes, np.clip(late, low, high))
        axes.set_ylabel("loss")

    def distance_panel(axes):
        draw(axes, distances)
        if floor > 0:
            axes.axhline(floor, color=MUTED, lw=1.1, label="sampling floor")
        axes.set_ylabel("W₁ / σ, held-out samples")
        log_scale(axes)

    panels = [loss_panel] * bool(losses) + [distance_panel] * bool(distances)
    caption = "Training of the generator." + (
        " The distance to held-out physics samples, in conditional standard deviations, decides "
        "which network is kept." if distances else "") + (
        " The floor is what two finite samples of one distribution show." if floor > 0 else "")
    return ("training", "Training", figure(panels, caption, 2, height=3.2)) if panels else None
