"""Mean and variance of each variable at a given value of the collective variable, by source."""
import numpy as np

from data import SOURCES, column, pick
from draw import errors, figure, heat_map, log_scale, zoom
from palette import COLOUR
from words import listed, plain

MOST = 6     # variables that are drawn
POINTS = 36  # of one source in a panel: the sources must not hide each other


def shown_variables(run):
    table = run.tables.get("conditional")
    return [v for v in dict.fromkeys(table["variable"]) if v not in run.cv_formulas] if table else []


def wanted(run):
    return bool(shown_variables(run))


class Moments:
    """The rows of conditional.csv, by variable and source, and the exact curves."""

    def __init__(self, run):
        table = run.tables["conditional"]
        self.run, self.names = run, shown_variables(run)[:MOST]
        rows = {(n, s): pick(table, variable=n, source=s) for n in self.names for s in SOURCES}
        self.rows = {key: r for key, r in rows.items() if len(r["cv"])}
        self.sources = [s for s in SOURCES if any(key[1] == s for key in self.rows)]
        self.exact = run.tables.get("exact") if not run.two_cvs else None

    def of_exact(self, name, what):
        return self.exact.get(f"{what}_{name}") if self.exact else None

    def title(self, name, what):
        return f"{'E' if what == 'mean' else 'Var'}[{name} | {self.run.given}]"

    def by_source(self, name):
        """(source, rows, every how many rows one is drawn, from which on)."""
        present = [s for s in self.sources if (name, s) in self.rows]
        for i, source in enumerate(present):
            rows = self.rows[name, source]
            every = max(1, -(-len(rows["cv"]) // POINTS))
            yield source, rows, every, i * every // len(present)

    def map_panel(self, name, source, what):
        row = self.rows[name, source]
        every = np.concatenate([column(r, what) for (n, _), r in self.rows.items() if n == name])

        def panel(axes):
            heat_map(self.run, axes, row, column(row, what), self.title(name, what),
                     limits=(np.nanmin(every), np.nanmax(every)))
            axes.set_title(f"{self.title(name, what)}, {source}")
        return panel

    def curve_panel(self, name, what):
        def panel(axes):
            line, seen = self.of_exact(name, what), []
            if line is not None:
                axes.plot(self.exact["cv_1"], line, color=COLOUR["exact"], lw=1.2, label="exact")
                seen.append(line)
            for source, rows, every, start in self.by_source(name):
                bars = column(rows, "mean_se") if what == "mean" else np.full(len(rows["cv"]), np.nan)
                errors(axes, rows["cv_1"], column(rows, what), bars, source, every, start)
                seen.append(column(rows, what))
            values = np.concatenate(seen)
            values = values[np.isfinite(values)]
            if what == "variance" and len(values):
                zoom(axes, values, floor=0)
                if 0 < 30 * values.min() < values.max():
                    axes.set_ylim(values.min() / 1.5, values.max() * 1.5)
                    log_scale(axes)
            axes.set_xlabel(plain(self.run.cv_labels[0]))
            axes.set_title(self.title(name, what))
        return panel

    def difference_panel(self, name):
        """Means against the exact ones or those of physics, in conditional deviations; or None."""
        line, spread = self.of_exact(name, "mean"), self.of_exact(name, "variance")
        against = "exact" if line is not None and spread is not None else "physics"
        if against == "exact":
            at = self.exact["cv_1"]
        elif (name, "physics") in self.rows:
            row = self.rows[name, "physics"]
            at, line, spread = row["cv_1"], row["mean"], column(row, "variance")
        if line is None or spread is None or not np.isfinite(spread).any() \
                or not any(s != against for s, *_ in self.by_source(name)):
            return None

        def panel(axes):
            heights, lengths = [], []
            axes.axhline(0, color=COLOUR[against], lw=1.1)
            for source, rows, every, start in self.by_source(name):
                if source == against:
                    continue
                sigma = np.sqrt(np.interp(rows["cv_1"], at, spread))
                y = (rows["mean"] - np.interp(rows["cv_1"], at, line)) / sigma
                bars = column(rows, "mean_se") / sigma
                errors(axes, rows["cv_1"], y, bars, source, every, start)
                heights.append(y)
                lengths.append(2 * bars)
            zoom(axes, np.concatenate(heights), np.concatenate(lengths), symmetric=True)
            axes.set_xlabel(plain(self.run.cv_labels[0]))
            axes.set_title(f"Mean − {against}, in σ({name} | {self.run.given})")
        return panel

    def panels(self):
        found = []
        for name in self.names:
            if self.run.two_cvs:
                found += [self.map_panel(name, s, w) for s in self.sources if (name, s) in self.rows
                          for w in ("mean", "variance")
                          if np.isfinite(column(self.rows[name, s], w)).any()]
            else:
                found += [p for p in (self.curve_panel(name, "mean"), self.curve_panel(name, "variance"),
                                      self.difference_panel(name)) if p]
        return found

    def caption(self):
        exact = any(self.of_exact(n, "mean") is not None for n in self.names)
        text = (f"Mean and variance of {listed(self.names)} at a given value of the collective variable: "
                f"{listed(self.sources)}{', and exact' if exact else ''}. ")
        for source, words in (
                ("physics", "Physics: biased samples, reweighted. "),
                ("generator", "Generator: states drawn by the network. "),
                ("healed", "Healed: the same after a short restrained run. "),
                ("importance", "Importance and metropolis: the generator's states weighed with their "
                               "density, without its error. ")):
            if source in self.sources and len(self.sources) > 1:
                text += words
        table = self.run.tables["conditional"]
        if not self.run.two_cvs and np.isfinite(column(table, "mean_se")).any():
            text += "Bars: two standard errors. "
        further = len(shown_variables(self.run)) - len(self.names)
        return text + (f"{further} further variables are in conditional.csv." if further else "")


def section(run):
    moments = Moments(run)
    panels = moments.panels()
    across = 3 if not run.two_cvs and len(panels) % len(moments.names) == 0 \
        and len(panels) // len(moments.names) == 3 else 2
    return figure(panels, moments.caption().strip(), across)
