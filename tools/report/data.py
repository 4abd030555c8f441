"""A run directory as the report reads it: tables, samples, the potential on its grid, figures of
metrics.json, and comparisons that several sections make."""
import csv
import json
import math
import re
import tomllib
from pathlib import Path

import h5py
import numpy as np

from words import number, shortened

TEXTS = ("variable", "source", "direction")
SOURCES = ("physics", "generator", "healed", "importance", "metropolis")

CLOUD_POINTS = 9000
UNITS = ("kJ/mol", "kcal/mol", "eV", "kT")
MOST_OF_UNIT, MOST_OF_NAME = 24, 40  # letters that an axis has room for


class Broken(Exception):
    """The run directory cannot be used; the text is the message for the user."""


def numbers(values):
    """An array of floats, null as nan; a single number counts as a list of one."""
    values = values if isinstance(values, list) else [] if values is None else [values]
    return np.array([number(v) for v in values], dtype=float)


def dig(tree, *keys, kind=dict):
    """tree[key][key]… if it is there and of the kind; else an empty one of that kind."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree if isinstance(tree, kind) else kind()


def entries(tree, *keys):
    """The objects of a list in metrics.json."""
    return [e for e in dig(tree, *keys, kind=list) if isinstance(e, dict)]


def read_table(path, required):
    """A CSV file as {column: array}: floats, but for those of TEXTS."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row]
    names = [name.strip() for name in rows[0]] if rows else []
    for name in required:
        if name not in names:
            raise Broken(f"{path}:1: column '{name}' is missing; the header would hold "
                         + ",".join(required))
    for line, row in enumerate(rows[1:], 2):
        if len(row) != len(names):
            raise Broken(f"{path}:{line}: {len(row)} fields; would be {len(names)}")
    table = {}
    for i, name in enumerate(names):
        texts = [row[i].strip() for row in rows[1:]]
        if name not in TEXTS:
            for line, text in enumerate(texts, 2):
                try:
                    texts[line - 2] = float(text or "nan")
                except ValueError:
                    raise Broken(f"{path}:{line}: '{text}' in column {name}; would be a number"
                                 ) from None
        table[name] = np.array(texts, dtype=str if name in TEXTS else float)
    values = [table[c] for c in ("cv_1", "cv_2") if c in table]
    table["cv"] = np.stack(values, axis=1) if values else np.empty((len(rows) - 1, 0))
    return table


def pick(table, **equal):
    """The rows of a table whose columns have the given values, ordered by the first CV."""
    mask = np.ones(len(table["cv"]), dtype=bool)
    for name, value in equal.items():
        mask &= table[name] == value
    rows = np.nonzero(mask)[0]
    rows = rows[np.argsort(table["cv"][rows, 0], kind="stable")]
    return {name: column[rows] for name, column in table.items()}


def ticks(values):
    """The distinct values of a grid's axis, equal but for rounding, and the number of each one's."""
    unit = np.abs(values).max() or 1.0
    distinct, number_of = np.unique(np.round(values / unit, 9), return_inverse=True)
    return distinct * unit, number_of


def column(table, name):
    return table.get(name, np.full(len(table["cv"]), math.nan))


def attribute_strings(node, name):
    values = np.ravel(np.asarray(node.attrs.get(name, []), dtype=object))
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values]


class Run:
    """Everything that the page needs of one run directory."""

    TABLES = {"free_energy": ["cv_1", "free_energy"], "exact": ["cv_1"],
              "conditional": ["cv_1", "variable", "mean", "source"],
              "work": ["direction", "walker", "work", "cv_1"],
              "steered": ["cv_1", "free_energy", "std_error", "forward_work", "reverse_work"],
              "string": ["cv_1", "free_energy", "std_error"], "annealing": ["beta", "log_z", "std_error", "families"],
              "closure": ["cv_1", "drift", "diffusion", "source"],
              "energies": ["cv_1", "energy", "density", "source"],
              "correlation": ["cv_1", "distance", "correlation", "source"],
              "classical_lifting": ["cv_1", "variable", "source", "w1_over_sigma", "floor",
                                    "mean_over_sigma", "spread_over_sigma", "residual"]}
    CLOSURE_OF_TWO = ["cv_1", "cv_2", "drift_1", "drift_2", "diffusion_11", "diffusion_12",
                      "diffusion_22", "source"]

    def __init__(self, folder):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise Broken(f"{folder}: no such directory; would be the DIR of a `microlift run`")
        self.config, self.config_text, self.metrics, self.tables = {}, "", {}, {}
        self.state = self.cv = self.window = self.drawn = None
        self.units, self.conditions, self.lifted_names, self.stored_names = {}, [], [], []
        self.grid, self.rows, self.bias = {}, None, {}
        found = [self.read(name, reader) for name, reader in (
            ("config.toml", self.read_config), ("metrics.json", self.read_metrics),
            *((f"{name}.csv", self.read_csv) for name in self.TABLES),
            ("potential.h5", self.read_potential), ("samples.h5", self.read_samples),
            ("bias.h5", self.read_bias), ("lifted.h5", self.read_lifted))]
        if not any(found[1:]):
            raise Broken(f"{folder}: holds no file of a run; would be the DIR of a `microlift run`")
        system, configured = dig(self.metrics, "system"), dig(self.config, "system")
        self.name = str(system.get("name") or configured.get("name") or "User-defined system")
        self.variables = [str(v) for v in dig(system, "variables", kind=list)
                          or dig(configured, "variables", kind=list) or self.stored_names]
        if self.state is not None and len(self.variables) != self.state.shape[1]:
            self.variables = [f"x{i + 1}" for i in range(self.state.shape[1])]
        self.observed = [str(v) for v in dig(system, "observed", kind=list)
                         or dig(configured, "observe", kind=list)]
        self.parameters = {k: float(v) for k, v in {**dig(configured, "parameters"),
                           **dig(system, "parameters")}.items() if math.isfinite(number(v))}
        self.potential = system.get("potential_formula") or configured.get("potential")
        self.beta = number(system.get("beta"), number(configured.get("beta")))
        self.kt = number(system.get("kt"), 1 / self.beta if self.beta > 0 else math.nan)
        # Where there is no potential, its unit is none that a reader knows.
        self.molecule = system.get("name") == "molecule"
        self.energy_unit = "" if self.potential else str(system.get("energy_unit", ""))
        self.energy = self.energy_unit if self.energy_unit in UNITS else "energy"  # as axes say it
        self.windows = entries(self.metrics, "windows")
        # What gave the samples, where no windows did, and how many walkers.
        given = dig(self.metrics, "given")
        self.law = next((key for key in ("bias", "annealing") if key in self.metrics), "")
        self.walkers = number(dig(self.metrics, self.law).get("walkers"), 0) if self.law else 0
        if given and given.get("bias") != "windows":
            self.law = "weights" if given.get("bias") == "weights" else "unbiased"
        self.find_cvs()
        self.find_centers()

    def read(self, name, reader):
        path = self.folder / name
        if path.is_file():
            try:
                reader(path)
            except RecursionError:
                raise Broken(f"{path}: cannot be read: it nests too deeply") from None
            except (OSError, KeyError, ValueError, TypeError, AttributeError, csv.Error) as problem:
                raise Broken(f"{path}: cannot be read: {problem}") from None
        return path.is_file()

    def read_config(self, path):
        self.config_text = path.read_text(encoding="utf-8")
        self.config = tomllib.loads(self.config_text)

    def read_metrics(self, path):
        self.metrics = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(self.metrics, dict):
            raise ValueError(f"a {type(self.metrics).__name__}; would be an object")

    def read_csv(self, path):
        required = self.TABLES[path.stem]
        if path.stem == "closure":
            with open(path, encoding="utf-8") as file:
                if "cv_2" in file.readline():
                    required = self.CLOSURE_OF_TWO
        self.tables[path.stem] = read_table(path, required)

    def read_potential(self, path):
        """Which samples are drawn, with their potential and what is observed of them; for one or
        two variables the potential and the collective variables on a grid."""
        with h5py.File(path, "r") as file:
            self.rows = np.ravel(file["sample"][...]).astype(int)
            self.grid = {name: np.asarray(file[name][...], dtype=float) for name in (
                "sample_potential", "observed", "axis_1", "axis_2", "potential", "cv")
                if name in file}
        if any(len(self.grid.get(name, self.rows)) != len(self.rows)
               for name in ("sample_potential", "observed")):
            raise ValueError("/sample, /sample_potential and /observed differ in length")

    def read_bias(self, path):
        """The bias that all walkers made: by point, at some moments, and how it settled."""
        with h5py.File(path, "r") as file:
            self.bias = {name: np.asarray(file[name][...], dtype=float) for name in (
                "step", "cv", "bias", "count", "look", "rms_change", "rms_error", "profile", "profile_error")}
        points = self.bias["cv"].shape[-1]
        if (self.bias["bias"].shape != (len(self.bias["step"]), points) or self.bias["count"].shape != (points,)
                or len(self.bias["rms_change"]) != len(self.bias["look"])
                or len(self.bias["rms_error"]) != len(self.bias["look"])
                or self.bias["profile"].ndim != 2 or len(self.bias["profile"]) > len(self.bias["look"])
                or self.bias["profile_error"].shape != self.bias["profile"].shape):
            raise ValueError("/bias, /step, /cv and /count do not fit one another")

    def rows_to_draw(self, total, random):
        """Rows of samples.h5, ascending: those that the run chose, or random ones, since a stride
        could alias with the trajectories."""
        if self.rows is not None:
            if len(self.rows) and not 0 <= self.rows.min() <= self.rows.max() < total:
                raise ValueError("potential.h5 names samples that are not there")
            return self.rows
        if total > 2 * CLOUD_POINTS:
            return np.unique(random.integers(0, total, CLOUD_POINTS))
        return np.sort(random.permutation(total)[:CLOUD_POINTS])

    def read_samples(self, path):
        with h5py.File(path, "r") as file:
            made = {str(c) for c in (self.metrics.get("configuration"), *attribute_strings(file, "configuration"))
                    if c}
            if len(made) > 1:
                raise ValueError("a run of another configuration wrote it than metrics.json beside it")
            rows = {len(file[name]) for name in ("state", "cv", "window") if name in file}
            if len(rows) > 1:
                raise ValueError("/state, /cv and /window differ in length")
            if not rows or not (total := rows.pop()):
                return
            if "cv" in file:
                self.cv = np.asarray(file["cv"][...], dtype=float).reshape(total, -1)
            self.window = np.ravel(file["window"][...]).astype(int) if "window" in file \
                else np.zeros(total, dtype=int)
            random = np.random.default_rng(1)
            keep = self.rows_to_draw(total, random)
            order = random.permutation(len(keep))
            self.drawn = keep[order]
            for name in {"sample_potential", "observed"} & set(self.grid):
                self.grid[name] = self.grid[name][order]
            if "state" in file:
                self.stored_names = attribute_strings(file["state"], "variables")
                block, parts = 1 << 20, []
                for begin in range(0, total, block):
                    here = keep[(keep >= begin) & (keep < begin + block)] - begin
                    part = np.asarray(file["state"][begin:begin + block], dtype=float)
                    parts.append(part.reshape(len(part), -1)[here])
                self.state = np.concatenate(parts)[order]
            self.units = {name: attribute_strings(file[name], "units")
                          for name in ("state", "cv") if name in file}

    def read_lifted(self, path):
        with h5py.File(path, "r") as file:
            self.lifted_names = [name for text in attribute_strings(file, "variables")
                                 for name in text.split(",")]
            items = {}
            for name, node in file.items():
                if isinstance(node, h5py.Group) and "cv" in node.attrs:
                    items[name] = (node.attrs["cv"], dict(node.items()))
                elif found := re.fullmatch(r"(.+)_(\d+)", name):
                    row = int(found[2])
                    items.setdefault(row, (file["cv"][row], {}))[1][found[1]] = node
            for cv, datasets in items.values():
                item = {"cv": np.ravel(np.asarray(cv, dtype=float)), "exact": {}}
                for key, data in datasets.items():
                    data = np.asarray(data[...], dtype=float)
                    if key.startswith("exact_") and data.ndim == 2 and len(data) > 1:
                        item["exact"][key[6:]] = data
                    elif key in SOURCES and len(data) > 1:
                        item[key] = data.reshape(len(data), -1)
                if item["exact"] or any(s in item for s in SOURCES):
                    self.conditions.append(item)
        self.conditions.sort(key=lambda c: tuple(c["cv"]))

    @property
    def thermal(self):
        """What energies are divided by, and the name of their unit then."""
        return (self.kt, "kT") if self.kt > 0 else (1.0, "energy")

    def unit(self, of, i):
        units = self.units.get(of) or [""]
        unit = shortened(units[min(i, len(units) - 1)], MOST_OF_UNIT)
        return f"  ({unit})" if unit not in ("", "1") else ""

    def find_cvs(self):
        """Formulas, short symbols and axis labels of the collective variables."""
        entries = self.config.get("cv", {}).get("variables") or []
        count = len(entries) or max([t["cv"].shape[1] for t in self.tables.values()] + [1])
        self.cv_formulas, self.cv_symbols, self.cv_labels = [], [], []
        for i in range(count):
            entry = entries[i] if entries else ""
            entry = entry if isinstance(entry, dict) else {"formula": str(entry)}
            formula = str(entry.get("formula", entry.get("kind", "")))
            if atoms := entry.get("atoms"):
                formula += " angle of atoms " + ", ".join(map(str, atoms))
            short = str(entry.get("name", formula))
            greek = "ξ" + ("₁₂₃₄"[i] if 1 < count < 5 else "")
            symbol = short if 0 < len(short) <= 12 else greek
            self.cv_formulas.append(formula)
            self.cv_symbols.append(symbol)
            self.cv_labels.append((f"{greek} = {short}" if 0 < len(short) <= 24 else symbol)
                                  + self.unit("cv", i))
        self.two_cvs = count > 1
        found = numbers(dig(self.metrics, "system").get("periods"))
        self.periods = found if len(found) == count else np.zeros(count)  # of what goes all round
        self.given = ", ".join(self.cv_symbols)

    def find_centers(self):
        values = [numbers(w.get("center")) for w in self.windows]
        size = len(values[0]) if values else 0
        if size and all(len(v) == size for v in values):
            self.centers = np.array(values)
        elif self.cv is not None:
            self.windows = []
            self.centers = np.array([np.nanmean(self.cv[self.window == k], axis=0)
                                     for k in np.unique(self.window)])
        else:
            self.centers = np.empty((0, 1))
        self.wrap_round()

    def wrap_round(self):
        """Of what goes all round a period, centres and samples in the period of the free energy's bins."""
        table = self.tables.get("free_energy")
        for k, period in enumerate(self.periods):
            if not period > 0:
                continue
            bins = table["cv"][:, k] if table else self.centers[:, k:k + 1]
            middle = (np.min(bins) + np.max(bins)) / 2 if np.size(bins) else 0.0

            def wrapped(values):
                return middle + (values - middle + period / 2) % period - period / 2

            self.centers[:, k] = wrapped(self.centers[:, k])
            if self.cv is not None:
                self.cv[:, k] = wrapped(self.cv[:, k])
            if self.state is not None and self.cv_formulas[k] in self.variables:
                d = self.variables.index(self.cv_formulas[k])
                self.state[:, d] = wrapped(self.state[:, d])

    def of_windows(self, key):
        return numbers([w.get(key) for w in self.windows])

    def stage(self, name):
        return dig(self.metrics, "stages", name)

    def label(self, name):
        return shortened(name, MOST_OF_NAME) + (self.unit("state", self.variables.index(name))
                       if name in self.variables else "")

    def lifted_columns(self):
        """Names of the columns of a lifted state."""
        width = next((c[s].shape[1] for c in self.conditions for s in SOURCES if s in c), 0)
        exact = {v for c in self.conditions for v in c["exact"]}
        table = self.tables.get("conditional")
        listed = list(dict.fromkeys(table["variable"])) if table else []
        choices = [n for n in (self.lifted_names, listed if self.observed else [], self.observed,
                               self.variables, listed) if len(n) == width]
        fitting = [n for n in choices if exact <= set(n)]  # the names that exact_<var> uses win
        return (fitting + choices + [[f"variable {i + 1}" for i in range(width)]])[0]


# ---------------------------------------------------------------- comparisons

def exact_free_energy(run):
    """The exact curve on the bins of the estimate, equal to it at its lowest bin; or None."""
    free, exact = run.tables.get("free_energy"), run.tables.get("exact")
    if not free or not exact or "free_energy" not in exact \
            or free["cv"].shape[1] != exact["cv"].shape[1]:
        return None
    values = free["free_energy"]
    unit = np.abs(free["cv"]).max() or 1.0
    at = {tuple(np.round(c / unit, 9)): f for c, f in zip(exact["cv"], exact["free_energy"])}
    curve = np.array([at.get(tuple(np.round(c / unit, 9)), math.nan) for c in free["cv"]])
    both = np.isfinite(values) & np.isfinite(curve)
    if not both.any():
        return None
    lowest = np.argmin(np.where(both, values, math.inf))
    return curve - curve[lowest] + values[lowest]


def free_energy_residuals(run):
    """(F − exact)/standard error in each bin, nan where unknown; None if unknown everywhere."""
    curve = exact_free_energy(run)
    if curve is None:
        return None
    free = run.tables["free_energy"]
    error = column(free, "std_error")
    known = np.isfinite(error) & (error > 0)
    scaled = (free["free_energy"] - curve) / np.where(known, error, math.nan)
    scaled[~np.isfinite(scaled)] = math.nan
    return scaled if np.isfinite(scaled).any() else None


def w1_entries(run, source=None):
    items = [e for e in dig(run.metrics, "lifting", "w1", kind=list)
             if isinstance(e, dict) and math.isfinite(number(e.get("w1_over_sigma")))]
    return [{"cv": numbers(e.get("cv")), "variable": str(e.get("variable", "")),
             "source": str(e.get("source", "generator")), "w1": number(e["w1_over_sigma"]),
             "floor": number(e.get("floor"))} for e in items
            if source in (None, e.get("source", "generator"))]
