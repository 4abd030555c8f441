#!/usr/bin/env python3
"""Writes DIR/report.html, one self-contained page of pictures, from the files of a microlift run.

    python3 tools/report.py DIR [-o FILE] [--quiet]

Needs numpy, matplotlib and h5py. Exit status 0, or 2 with one message when DIR is missing, is not a
run, or holds a broken file. An absent file only leaves out the sections that need it. The same
files give the same bytes.

config.toml        the resolved configuration; [system], [cv], [umbrella] are used
free_energy.csv    cv_1[,cv_2],free_energy,std_error
conditional.csv    cv_1[,cv_2],variable,mean,mean_se,variance,source   (physics|generator|healed)
closure.csv        cv_1,drift,drift_se,diffusion,diffusion_se,source   (conditional|burst)
exact.csv          cv_1[,cv_2],free_energy and mean_<var>,variance_<var> for each variable: the
                   answer by quadrature, on the bins of free_energy.csv; absent if unknown
samples.h5         /state (sample, variable), /cv (sample[, cv]), /window (sample); attribute
                   `units` of /cv and /state, one string or one a column, and `variables` of /state
lifted.h5          a group for each condition, /cond_000 …, with attribute `cv` (value or values);
                   datasets physics, generator, healed, each (n, variable) and each optional, and
                   exact_<var>, (m, 2): value, density. Columns follow the attribute `variables` of
                   the file if there is one, else system.observed, else system.variables. Or without
                   groups: /cv (condition[, cv]) and datasets physics_000, exact_<var>_000, …
metrics.json       {"version", "device", "threads", "seed",
  "system": {"name", "variables": [..], "observed": [..], "potential_formula", "parameters": {..},
             "beta"},
  "stages": {"sample": {"seconds", "steps", "steps_per_second", "force_evaluations",
                        "bytes_to_device", "bytes_to_host", "kernel_launches"},
             "estimate": {.., "method", "residual", "iterations", "converged"},
             "train": {.., "history": {"update": [..], "critic_loss": [..], "generator_loss": [..],
                       "penalty": [..], "validation_update": [..], "w1_mean": [..],
                       "w1_worst": [..]},
                       "best_update", "w1_floor"},
             "couple": {..}, "close": {..}},
  "windows": [{"center": [..], "stiffness", "inefficiency", "effective_samples", "overlap_next"}],
  "lifting": {"constraint_residual", "heal_steps",
              "w1": [{"cv": [..], "variable", "source", "w1_over_sigma", "floor"}]},
  "warnings": ["plain text"]}
  Every entry may be missing, histories may hold null; other scalars of a stage are listed as given.
"""
import argparse
import ast
import base64
import csv
import html
import io
import json
import logging
import math
import os
import re
import sys
import tomllib
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
logging.getLogger("matplotlib").setLevel(logging.ERROR)
import h5py  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib import font_manager, pyplot as plt, ticker  # noqa: E402
from matplotlib.colors import LinearSegmentedColormap, to_rgba  # noqa: E402

# Okabe and Ito's palette and a purple: distinct under the common colour-vision deficiencies.
INK, MUTED, GRID, SHADE = "#22262b", "#5c6570", "#e3e6ea", "#f3d9c9"
COLOUR = {"physics": "#0072B2", "generator": "#D55E00", "healed": "#009E73", "exact": "#111111",
          "conditional": "#0072B2", "burst": "#AA4499", "critic_loss": "#0072B2",
          "generator_loss": "#D55E00", "penalty": "#8a939d", "w1_mean": "#332288",
          "w1_worst": "#A59BD0"}
MARKER = {"physics": "o", "generator": "^", "healed": "s", "conditional": "o", "burst": "D"}
SOURCES = ("physics", "generator", "healed")
ENERGY_MAP = LinearSegmentedColormap.from_list("energy", ["#9fb3c8", "#d5dfe9", "#ffffff"])

MIN_OVERLAP = 0.03       # Klimovich, Shirts and Mobley 2015: below this, neighbours hardly connect
MIN_EFFECTIVE = 50       # effective samples of a window
W1_WARN = 0.1            # of a standard deviation, and above twice the sampling floor
CLOUD_POINTS = 9000
WIDE, NARROW = 8.6, 4.3  # inches; phones show the narrow drawing
SVG_LIMIT = 600_000      # bytes; a larger drawing is embedded as PNG


class Broken(Exception):
    """The run directory cannot be used; the text is the message for the user."""


# ---------------------------------------------------------------- formulas

FUNCTIONS = {name: getattr(np, name) for name in (
    "exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "sqrt", "abs", "sign", "floor")}
FUNCTIONS.update(ln=np.log, atan=np.arctan, min=np.minimum, max=np.maximum, pow=np.power,
                 erf=np.vectorize(math.erf, otypes=[float]))
OPERATORS = {ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply,
             ast.Div: np.true_divide, ast.Pow: np.power}


def evaluate(text, names):
    """The value of a formula (+ - * / ^ and functions) with names bound to numbers or arrays.

    Raises ValueError for anything that is not plain arithmetic on known names."""
    if not isinstance(text, str) or len(text) > 20_000:
        raise ValueError("not a formula")

    def walk(node):
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return np.float64(node.value)
        if isinstance(node, ast.Name) and node.id in names:
            return np.asarray(names[node.id], dtype=float)
        if isinstance(node, ast.Name) and node.id == "pi":
            return np.float64(math.pi)
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](walk(node.left), walk(node.right))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            return -walk(node.operand) if isinstance(node.op, ast.USub) else walk(node.operand)
        if (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords
                and node.func.id in FUNCTIONS):
            return FUNCTIONS[node.func.id](*[walk(a) for a in node.args])
        raise ValueError(f"not arithmetic on known names: {ast.unparse(node)[:60]}")

    try:
        with np.errstate(all="ignore"):
            return walk(ast.parse(text.strip().replace("^", "**"), mode="eval").body)
    except (SyntaxError, TypeError, RecursionError, MemoryError, OverflowError) as problem:
        raise ValueError(f"not a formula: {problem}") from problem


# ---------------------------------------------------------------- reading

def number(value, otherwise=math.nan):
    """A float from JSON or TOML; `otherwise` for anything that is none."""
    plain_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if plain_number else otherwise


def numbers(values):
    """An array of floats, null as nan; a single number counts as a list of one."""
    values = values if isinstance(values, list) else [] if values is None else [values]
    return np.array([number(v) for v in values], dtype=float)


def dig(tree, *keys, kind=dict):
    """tree[key][key]… if it is there and of the kind; else an empty one of that kind."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree if isinstance(tree, kind) else kind()


def read_table(path, required):
    """A CSV file as {column: array}: floats, but for `variable` and `source`."""
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
        if name not in ("variable", "source"):
            for line, text in enumerate(texts, 2):
                try:
                    texts[line - 2] = float(text or "nan")
                except ValueError:
                    raise Broken(f"{path}:{line}: '{text}' in column {name}; would be a number"
                                 ) from None
        table[name] = np.array(texts, dtype=str if name in ("variable", "source") else float)
    table["cv"] = np.stack([table[c] for c in ("cv_1", "cv_2") if c in table], axis=1)
    return table


def pick(table, **equal):
    """The rows of a table whose columns have the given values, ordered by the first CV."""
    mask = np.ones(len(table["cv"]), dtype=bool)
    for name, value in equal.items():
        mask &= table[name] == value
    rows = np.nonzero(mask)[0]
    rows = rows[np.argsort(table["cv"][rows, 0], kind="stable")]
    return {name: column[rows] for name, column in table.items()}


def column(table, name):
    return table.get(name, np.full(len(table["cv"]), math.nan))


def attribute_strings(node, name):
    values = np.ravel(np.asarray(node.attrs.get(name, []), dtype=object))
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values]


class Run:
    """Everything that the page needs of one run directory."""

    TABLES = {"free_energy": ["cv_1", "free_energy"], "exact": ["cv_1"],
              "conditional": ["cv_1", "variable", "mean", "source"],
              "closure": ["cv_1", "drift", "diffusion", "source"]}

    def __init__(self, folder):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise Broken(f"{folder}: no such directory; would be the DIR of a `microlift run`")
        self.config, self.config_text, self.metrics, self.tables = {}, "", {}, {}
        self.state = self.cv = self.window = self.drawn = None
        self.units, self.conditions, self.lifted_names, self.stored_names = {}, [], [], []
        found = [self.read(name, reader) for name, reader in (
            ("config.toml", self.read_config), ("metrics.json", self.read_metrics),
            *((f"{name}.csv", self.read_csv) for name in self.TABLES),
            ("samples.h5", self.read_samples), ("lifted.h5", self.read_lifted))]
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
        self.windows = [w for w in dig(self.metrics, "windows", kind=list) if isinstance(w, dict)]
        self.find_cvs()
        self.find_centers()

    def read(self, name, reader):
        path = self.folder / name
        if path.is_file():
            try:
                reader(path)
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
        self.tables[path.stem] = read_table(path, self.TABLES[path.stem])

    def read_samples(self, path):
        with h5py.File(path, "r") as file:
            rows = {len(file[name]) for name in ("state", "cv", "window") if name in file}
            if len(rows) > 1:
                raise ValueError("/state, /cv and /window differ in length")
            if not rows or not (total := rows.pop()):
                return
            if "cv" in file:
                self.cv = np.asarray(file["cv"][...], dtype=float).reshape(total, -1)
            self.window = np.ravel(file["window"][...]).astype(int) if "window" in file \
                else np.zeros(total, dtype=int)
            # Random rows, read block by block: a stride could alias with the trajectories.
            random = np.random.default_rng(1)
            keep = np.unique(random.integers(0, total, CLOUD_POINTS)) if total > 2 * CLOUD_POINTS \
                else np.sort(random.permutation(total)[:CLOUD_POINTS])
            order = random.permutation(len(keep))
            self.drawn = keep[order]
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

    def unit(self, of, i):
        units = self.units.get(of) or [""]
        unit = units[min(i, len(units) - 1)]
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
            short = str(entry.get("name", formula))
            greek = "ξ" + ("₁₂₃₄"[i] if 1 < count < 5 else "")
            symbol = short if 0 < len(short) <= 12 else greek
            self.cv_formulas.append(formula)
            self.cv_symbols.append(symbol)
            self.cv_labels.append((f"{greek} = {short}" if 0 < len(short) <= 24 else symbol)
                                  + self.unit("cv", i))
        self.two_cvs = count > 1
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

    def of_windows(self, key):
        return numbers([w.get(key) for w in self.windows])

    def stage(self, name):
        return dig(self.metrics, "stages", name)

    def label(self, name):
        return name + (self.unit("state", self.variables.index(name))
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

    def at(self, formula, *coordinates):
        """A formula of the state at arrays of coordinates; None where it cannot be evaluated."""
        try:
            value = evaluate(formula, {**self.parameters, **dict(zip(self.variables, coordinates))})
            return np.array(np.broadcast_to(value, np.shape(coordinates[0])), dtype=float)
        except ValueError:
            return None


# ---------------------------------------------------------------- words

esc = html.escape


def plain(text):
    """Text for matplotlib that must not be read as mathematics."""
    return str(text).replace("$", r"\$")


def fmt(value, digits=3, strip=True):
    """A number for a reader: 12 345, 0.0123, 1.2 × 10⁸."""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    value = float(value) if isinstance(value, np.number) else number(value)
    if not math.isfinite(value):
        return "–" if math.isnan(value) else "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}".replace(",", "\u202f").replace("-", "−")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    exponent = int(exponent)
    if not -4 < exponent < 6:
        power = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{mantissa} × 10{power}".replace("-", "−")
    text = f"{value:,.{max(0, digits - 1 - exponent)}f}".replace(",", "\u202f")
    return (text.rstrip("0").rstrip(".") if strip and "." in text else text).replace("-", "−")


def bytes_text(value):
    value, units = number(value), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{fmt(value)} {units[0]}" if math.isfinite(value) else "–"


def seconds_text(value):
    value = number(value)
    return f"{fmt(value)} s" if not value >= 120 else \
        f"{int(value // 60)} min {int(value % 60)} s"


def several(count, noun):
    return f"{fmt(count)} {noun}{'' if count == 1 else 's'}"


def sentence(text):
    return text[:1].upper() + text[1:] + "."


def cv_text(run, values):
    return ", ".join(f"{s} = {fmt(v)}" for s, v in zip(run.cv_symbols, np.ravel(values)))


def listed(items, limit=6):
    items = list(items)
    items = items[:limit] + [f"{len(items) - limit} more"] if len(items) > limit else items
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


# ---------------------------------------------------------------- comparisons

def exact_free_energy(run):
    """The exact curve on the bins of the estimate, equal to it at its lowest bin; or None."""
    free, exact = run.tables.get("free_energy"), run.tables.get("exact")
    if not free or not exact or "free_energy" not in exact \
            or free["cv"].shape[1] != exact["cv"].shape[1]:
        return None
    values = free["free_energy"]
    at = {tuple(np.round(c, 9)): f for c, f in zip(exact["cv"], exact["free_energy"])}
    curve = np.array([at.get(tuple(np.round(c, 9)), math.nan) for c in free["cv"]])
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
    scaled = (free["free_energy"] - curve) / np.where(error > 0, error, math.nan)
    scaled[~np.isfinite(scaled)] = math.nan
    return scaled if np.isfinite(scaled).any() else None


def w1_entries(run, source=None):
    items = [e for e in dig(run.metrics, "lifting", "w1", kind=list)
             if isinstance(e, dict) and math.isfinite(number(e.get("w1_over_sigma")))]
    return [{"cv": numbers(e.get("cv")), "variable": str(e.get("variable", "")),
             "source": str(e.get("source", "generator")), "w1": number(e["w1_over_sigma"]),
             "floor": number(e.get("floor"))} for e in items
            if source in (None, e.get("source", "generator"))]


def closure_disagreement(run):
    """{quantity: share of bins where the sources differ by more than three joint errors}."""
    table, result = run.tables.get("closure"), {}
    if not table:
        return result
    one, two = (pick(table, source=s) for s in ("conditional", "burst"))
    for name in ("drift", "diffusion"):
        if len(one["cv"]) and len(two["cv"]) and name + "_se" in table:
            def at_two(values):
                return np.interp(two["cv_1"], one["cv_1"], values, math.nan, math.nan)
            joint = np.hypot(two[name + "_se"], at_two(one[name + "_se"]))
            z = np.abs(two[name] - at_two(one[name])) / joint
            if np.isfinite(z).any():
                result[name] = float(np.mean(z[np.isfinite(z)] > 3))
    return result


def review(run):
    """(warnings, notes, checks passed), each a list of plain sentences."""
    given = [str(w) for w in dig(run.metrics, "warnings", kind=list)]
    warnings, notes, passed = list(given), [], []

    def told(word):  # the run itself already said so
        return any(word in text.lower() for text in given)

    for name, stage in dig(run.metrics, "stages").items():
        converged = stage.get("converged") if isinstance(stage, dict) else None
        if converged is False and not told("converge"):
            warnings.append(f"Stage “{name}” did not converge (residual "
                            f"{fmt(stage.get('residual'))} after {fmt(stage.get('iterations'))} "
                            "iterations): its results are not final.")
        elif converged is True:
            passed.append("the estimator converged" if name == "estimate"
                          else f"stage “{name}” converged")
    overlap = run.of_windows("overlap_next")
    bad = np.nonzero(overlap < MIN_OVERLAP)[0]
    if len(bad) and not told("overlap"):
        where = listed(f"{i + 1} and its next ({cv_text(run, run.centers[i])})" for i in bad)
        warnings.append(f"Neighbouring windows hardly overlap: {where}. Free-energy differences "
                        "across the gap rest on few samples; add windows or lower the stiffness.")
    elif np.isfinite(overlap).any() and not len(bad):
        passed.append("all neighbouring windows overlap")
    effective = run.of_windows("effective_samples")
    low = int(np.sum(effective < MIN_EFFECTIVE))
    if low and not told("effective"):
        warnings.append(f"Fewer than {MIN_EFFECTIVE} effective samples in {several(low, 'window')} "
                        f"(lowest: {fmt(np.nanmin(effective))}): the error bars there are "
                        "themselves uncertain. Sample longer.")
    elif np.isfinite(effective).any() and not low:
        passed.append(f"every window holds at least {fmt(np.floor(np.nanmin(effective)))} "
                      "effective samples")
    free = run.tables.get("free_energy")
    if free:
        empty = int(np.sum(~np.isfinite(free["free_energy"])))
        if empty:
            (notes if run.two_cvs else warnings).append(
                f"{fmt(empty)} of {fmt(len(free['cv']))} bins of the collective variable were "
                "never visited and have no free energy.")
        scaled = free_energy_residuals(run)
        if scaled is not None:
            share = float(np.mean(np.abs(scaled[np.isfinite(scaled)]) > 3))
            if share > 0.05:
                warnings.append("The free energy is more than three standard errors away from the "
                                f"exact one in {share:.0%} of the bins: the errors are too small, "
                                "or sampling is incomplete.")
            else:
                passed.append("the free energy agrees with the exact one within its errors")
    for source, what in (("generator", "Generated"), ("healed", "Healed")):
        entries = w1_entries(run, source)
        if not entries:
            continue
        worst = max(entries, key=lambda e: e["w1"])
        values, floors = (np.array([e[k] for e in entries]) for k in ("w1", "floor"))
        above = values > 2 * np.nan_to_num(floors)
        figures = (f"median {fmt(np.median(values))} σ, worst {fmt(worst['w1'])} σ for "
                   f"{worst['variable']} at {cv_text(run, worst['cv'])}")
        over = int(np.sum(above & (values > W1_WARN)))
        if over:
            warnings.append(f"{what} states differ from the physics by more than {W1_WARN} σ "
                            f"(W₁) in {over} of {several(len(entries), 'comparison')}: {figures}.")
        elif above.mean() > 0.1:  # a few of many exceed it by chance
            notes.append(f"{what} states differ measurably from the physics, by more than twice "
                         f"the sampling floor of W₁ in {int(above.sum())} of "
                         f"{several(len(entries), 'comparison')}, but little: {figures}.")
        else:
            passed.append(f"{what.lower()} states cannot be told from the physics by W₁ "
                          "at this sample size")
    residual = number(dig(run.metrics, "lifting").get("constraint_residual"))
    if free and len(free["cv"]) > 1 and residual > 0.5 * np.diff(np.unique(free["cv_1"])).min():
        warnings.append("Generated states miss the requested value of the collective variable by "
                        f"{fmt(residual)} (RMS), more than half a bin.")
    shares = closure_disagreement(run)
    apart = {name: share for name, share in shares.items() if share > 0.25}
    if apart and not told("disagree"):
        warnings.append("The two sources of the closure disagree beyond three joint standard "
                        "errors: " + " and ".join(f"on the {n} in {s:.0%} of the bins"
                                                  for n, s in apart.items())
                        + ". The collective variable probably leaves out a slow motion; rates from "
                        "the conditional closure are then wrong.")
    elif shares and not apart:
        passed.append("both sources of the closure agree")
    train = run.stage("train")
    updates = numbers(dig(train, "history", "update", kind=list))
    if len(updates) and number(train.get("best_update")) >= updates[-1]:
        notes.append("The generator was still improving at its last update; longer training may "
                     "help.")
    absent = [what for what, there in (
        ("free energy", free), ("stored samples", run.cv is not None or run.state is not None),
        ("trained generator", train or run.conditions), ("closure", run.tables.get("closure")))
        if not there]
    if absent:
        notes.append(f"Not part of this run, and left out below: {listed(absent)}.")
    return list(dict.fromkeys(warnings)), notes, passed


# ---------------------------------------------------------------- drawing

def style():
    installed = {f.name for f in font_manager.fontManager.ttflist}
    sans = [f for f in ("Source Sans 3", "Liberation Sans", "Arial") if f in installed][:1]
    edge = "#9aa3ad"
    plt.rcParams.update({
        "font.family": sans + ["DejaVu Sans"], "font.size": 10.5, "axes.labelsize": 10.5,
        "axes.titlesize": 10.5, "xtick.labelsize": 9.5, "ytick.labelsize": 9.5, "text.color": INK,
        "legend.fontsize": 10, "legend.frameon": False, "axes.edgecolor": edge,
        "axes.linewidth": 0.8, "axes.labelcolor": INK, "axes.titlelocation": "left",
        "axes.grid": True, "axes.axisbelow": True, "axes.spines.top": False, "xtick.color": edge,
        "axes.spines.right": False, "grid.color": GRID, "grid.linewidth": 0.7,
        "ytick.color": edge, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
        "lines.linewidth": 1.7, "lines.markersize": 4, "contour.negative_linestyle": "solid",
        "svg.fonttype": "path", "svg.hashsalt": "microlift", "axes.formatter.limits": (-4, 5)})


def encode(drawing):
    for kind, mime, metadata in (("svg", "svg+xml", {"Date": None}), ("png", "png", {})):
        buffer = io.BytesIO()
        drawing.savefig(buffer, format=kind, dpi=170, metadata=metadata)
        if buffer.tell() < SVG_LIMIT:
            break
    return f"data:image/{mime};base64," + base64.b64encode(buffer.getvalue()).decode()


def add_legend(drawing):
    """One legend above all panels, in as many columns as fit; no data beneath it."""
    handles, top = {}, 1.0
    for axes in drawing.axes:
        handles.update({label: handle for handle, label in zip(*axes.get_legend_handles_labels())
                        if label not in handles})
    width, height = drawing.get_size_inches() * drawing.dpi
    for columns in range(min(len(handles), 6), 0, -1):
        legend = drawing.legend(handles.values(), handles.keys(), loc="upper left", ncol=columns,
                                bbox_to_anchor=(0, 1), borderaxespad=0.1, borderpad=0.3,
                                handlelength=1.8, columnspacing=1.6, handletextpad=0.6)
        box = legend.get_window_extent(drawing.canvas.get_renderer())
        legend.set_in_layout(False)
        if box.width <= width or columns == 1:
            top = 1 - (box.height + 4) / height
            break
        legend.remove()
    drawing.get_layout_engine().set(rect=(0, 0, 1, top), w_pad=0.06, h_pad=0.05, wspace=0.04,
                                    hspace=0.04)


def figure(panels, caption, columns=1, heights=None, height=3.0, width=WIDE, narrow_columns=1):
    """<figure> of panels (functions of an axes): a wide drawing and a narrow one for phones.

    heights: inches of the rows of stacked panels on one abscissa; else every row has `height`."""
    sources = []
    for inches, across in ((width, columns), (NARROW, narrow_columns)):
        across = min(across, len(panels))
        rows = -(-len(panels) // across)
        tall = heights or [height] * rows
        if inches == NARROW:
            tall = [min(h, 3.2 / across) for h in tall]
        drawing, grid = plt.subplots(rows, across, figsize=(inches, sum(tall) + 0.35),
                                     squeeze=False, sharex=bool(heights), layout="constrained",
                                     gridspec_kw={"height_ratios": tall})
        for i, axes in enumerate(grid.flat):
            if i >= len(panels):
                axes.set_visible(False)
                continue
            panels[i](axes)
            axes.xaxis.set_major_locator(ticker.MaxNLocator(8 if inches / across > 6 else 5))
            if heights and i + 1 < len(panels):
                axes.set_xlabel("")
        if heights:
            drawing.align_ylabels(grid[:, 0])
        add_legend(drawing)
        sources.append(encode(drawing))
        plt.close(drawing)
    return (f'<figure><picture><source media="(max-width:600px)" srcset="{sources[1]}">'
            f'<img src="{sources[0]}" alt="{esc(caption)}" style="max-width:{width * 105:.0f}px">'
            f"</picture><figcaption>{esc(caption)}</figcaption></figure>")


def window_colours(count):
    return plt.get_cmap("viridis")(np.linspace(0.0, 0.93, max(count, 1)))


def errors(axes, x, y, se, source, every=1, start=0, label=None):
    """Points with bars of two standard errors, in the colour of the source."""
    part = slice(start, None, every)
    axes.errorbar(x[part], y[part], yerr=2 * se[part] if np.isfinite(se).any() else None, ms=4,
                  fmt=MARKER.get(source, "o"), mfc=COLOUR[source] if source == "physics" else
                  "white", mew=1.0, color=COLOUR.get(source, MUTED), elinewidth=0.9,
                  label=label or source)


def colour_bar(axes, drawn, label):
    bar = axes.figure.colorbar(drawn, ax=axes, pad=0.02, aspect=28)
    bar.outline.set_visible(False)
    bar.set_label(plain(label))


def heat_map(run, axes, table, values, label, cmap="cividis", limits=(None, None), contours=None):
    ticks = [np.unique(np.round(c, 9), return_inverse=True) for c in table["cv"].T[:2]]
    matrix = np.full((len(ticks[1][0]), len(ticks[0][0])), math.nan)
    matrix[ticks[1][1], ticks[0][1]] = values
    matrix = np.ma.masked_invalid(matrix)
    axes.set_facecolor("#e7eaed")
    axes.grid(False)
    drawn = axes.pcolormesh(ticks[0][0], ticks[1][0], matrix, cmap=cmap, shading="nearest",
                            vmin=limits[0], vmax=limits[1], rasterized=True)
    if contours is not None and min(matrix.shape) > 1:
        axes.contour(ticks[0][0], ticks[1][0], matrix, levels=contours, colors="white",
                     linewidths=0.6, alpha=0.8)
    colour_bar(axes, drawn, label)
    axes.set(xlabel=plain(run.cv_labels[0]), ylabel=plain(run.cv_labels[1]))


def zoom(axes, values, bars=0, floor=None, symmetric=False):
    """The ordinate for these values with their bars, the worst few per cent of bars cut off."""
    good = np.isfinite(values)
    if not good.any():
        return
    bars = np.nan_to_num(np.broadcast_to(bars, np.shape(values))[good])
    high, low = (np.max(values[good] + np.minimum(bars, np.quantile(bars, 0.85))),
                 np.min(values[good] - np.minimum(bars, np.quantile(bars, 0.85))))
    pad = 0.08 * (high - (low if floor is None else floor)) + 1e-9 * abs(high) + 1e-300
    low, high = low - pad, high + pad
    if symmetric:
        low, high = -max(-low, high), max(-low, high)
    axes.set_ylim(low if floor is None else floor, high)


def log_scale(axes):
    """A logarithmic ordinate, with plain numbers where it spans less than two decades."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high / low < 3:
        low, high = axes.set_ylim(low / 2, high * 2)
    if high / low < 150:
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if high / low < 40
                                                       else (1, 3)))
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:g}"))
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())


# ---------------------------------------------------------------- sections
# Each returns (id, title, html), or None where there is nothing to show.

def section_cloud(run):
    if run.state is None:
        return None
    names, state = run.variables, run.state
    used = np.unique(run.window)
    colour = window_colours(len(used))[np.searchsorted(used, run.window[run.drawn])]

    def cloud(axes, x, y):
        axes.scatter(x, y, s=3.2, c=colour, alpha=0.55, linewidths=0, rasterized=True)

    def centre_marks(axes):
        axes.scatter(run.centers[:, 0], np.full(len(run.centers), 0.012), marker="^", s=26,
                     transform=axes.get_xaxis_transform(), clip_on=False, zorder=5, linewidths=0.5,
                     c=window_colours(len(run.centers)), edgecolors=INK, label="window centres")

    def line_panel(axes):
        x = np.linspace(state.min(), state.max(), 600)
        energy = run.at(run.potential, x)
        scatter = np.random.default_rng(2).normal(0, 1, len(state))
        if energy is None:
            cloud(axes, state[:, 0], scatter)
            axes.set_yticks([])
        else:
            axes.plot(x, energy, color=INK, lw=1.2, zorder=4, label=f"V({names[0]})")
            cloud(axes, state[:, 0], run.at(run.potential, state[:, 0])
                  + 0.012 * np.ptp(energy) * scatter)
            axes.set_ylabel(f"V({names[0]})  (energy)")
        axes.set_xlabel(run.label(names[0]))
        if run.cv_formulas[0] in ("", names[0]):
            centre_marks(axes)

    def plane_panel(axes):
        axes.grid(False)
        box = np.nanquantile(state, [0.0005, 0.9995], axis=0)
        box += 0.12 * (box[1] - box[0] + 1e-9) * np.array([[-1], [1]])
        gx, gy = np.meshgrid(*np.linspace(box[0], box[1], 300).T)
        energy, visited = run.at(run.potential, gx, gy), run.at(run.potential, *state.T)
        if energy is not None:
            low, high = np.nanmin(energy), np.nanquantile(visited, 0.995)
            levels = ticker.MaxNLocator(12).tick_values(low, low + 1.35 * max(high - low, 1e-12))
            drawn = axes.contourf(gx, gy, np.minimum(energy, levels[-1]), levels, cmap=ENERGY_MAP)
            axes.contour(gx, gy, energy, levels, colors="#7d8da0", linewidths=0.5)
            colour_bar(axes, drawn, f"V({', '.join(names)})  (energy)")
        cloud(axes, *state.T)
        axes.set(xlim=box[:, 0], ylim=box[:, 1], xlabel=run.label(names[0]),
                 ylabel=run.label(names[1]))
        if run.cv_formulas == names and len(run.centers):
            axes.plot(*run.centers.T, "+", color=INK, ms=5, mew=0.8, label="window centres")
        elif run.cv_formulas == names[:1]:
            centre_marks(axes)
        elif not run.two_cvs and len(run.centers):
            levels = run.at(run.cv_formulas[0], gx, gy)
            if levels is not None and np.ptp(levels) > 0:
                axes.contour(gx, gy, levels, np.unique(run.centers[:, 0]), colors="#8a5a2b",
                             linewidths=0.7, linestyles="dotted")
                axes.plot([], [], color="#8a5a2b", lw=1, ls=":", label="window centres, ξ = const.")

    def against(i):
        def panel(axes):
            cloud(axes, state[:, 0] if run.cv is None else run.cv[run.drawn, 0], state[:, i])
            axes.set(xlabel=plain(names[0] if run.cv is None else run.cv_labels[0]),
                     ylabel=run.label(names[i]))
            if run.cv is not None:
                centre_marks(axes)
        return panel

    total = len(run.window)
    caption = "Stored samples of the biased runs"
    closing = f". {fmt(len(state))} of {fmt(total)} samples are drawn" if len(state) < total else ""
    if len(used) > 1:
        closing = f", coloured by window ({len(used)})" + closing + (
            "; the bias spreads them along the collective variable, so their density is not the "
            "equilibrium density")
    if len(names) == 1:
        caption += " on the potential (slightly scattered, to be seen)" if run.potential else ""
        result = figure([line_panel], caption + closing + ".", height=3.6)
    elif len(names) == 2:
        caption += " over contours of the potential" if run.potential else ""
        result = figure([plane_panel], caption + closing + ".", height=5.0, width=7.4)
    else:
        others = [i for i in range(len(names)) if names[i] not in run.cv_formulas][:6]
        result = figure([against(i) for i in others], caption + ", each variable against the "
                        f"collective variable{closing}.", columns=3, height=2.6, narrow_columns=2)
    seen = [run.at(text, *state.T) for text in run.observed]
    if len(seen) == 2 and run.observed != names and not any(v is None for v in seen):
        def observed_panel(axes):
            cloud(axes, *seen)
            axes.set(xlabel=plain(run.observed[0]), ylabel=plain(run.observed[1]))
            axes.set_aspect("equal", adjustable="datalim")
        result += figure([observed_panel], "The same samples as they are observed, which is what "
                         "the generator learns.", height=3.9, width=6.2)
    return "cloud", "Samples", result


def section_windows(run):
    if run.cv is None:
        return None
    used, row = np.unique(run.window, return_inverse=True)
    colours, centers = window_colours(len(used)), run.centers
    overlap, effective = run.of_windows("overlap_next"), run.of_windows("effective_samples")
    label = plain(run.cv_labels[0])
    if run.cv.shape[1] > 1:
        shuffled = colours[np.random.default_rng(3).permutation(len(used))]

        def cover(axes):
            axes.scatter(*run.cv[run.drawn, :2].T, s=3.2, c=shuffled[row[run.drawn]], alpha=0.55,
                         linewidths=0, rasterized=True)
            axes.plot(*centers.T[:2], "+", color=INK, ms=5, mew=0.8, label="window centres")
            axes.set(xlabel=label, ylabel=plain(run.cv_labels[1]))

        def effective_map(axes):
            heat_map(run, axes, {"cv": centers}, effective, "effective samples", limits=(0, None))
        known = np.isfinite(effective).any()
        return "windows", "Windows", figure(
            [cover] + [effective_map] * bool(known), "Coverage of the two collective variables by "
            f"{len(used)} windows" + ("; right: effective number of samples of each window, "
                                      "correlations taken out." if known else "."), 2, height=3.6,
            width=WIDE if known else 6.2)

    good = np.isfinite(run.cv[:, 0])
    cv, row = run.cv[good, 0], row[good]
    low, high = (cv.min(), cv.max()) if len(cv) else (0.0, 1.0)
    span = max(high - low, 1e-12 * abs(high), 1e-300)
    count = np.maximum(np.bincount(row, minlength=len(used)), 1)
    mean = np.bincount(row, cv, len(used)) / count
    width = np.median(np.sqrt(np.bincount(row, (cv - mean[row]) ** 2, len(used)) / count))
    bins = int(np.clip(span / max(0.25 * width, span / 600), 40, 600))
    cell = row * bins + np.minimum(((cv - low) * (bins / span)).astype(int), bins - 1)
    shares = np.bincount(cell, minlength=len(used) * bins).reshape(len(used), bins) / count[:, None]
    middle = low + (np.arange(bins) + 0.5) * (span / bins)

    def histogram(axes):
        for k in range(len(used)):
            density = shares[k] / (span / bins)
            filled = np.nonzero(density)[0]
            part = slice(max(filled[0] - 1, 0), filled[-1] + 2) if len(filled) else slice(0)
            axes.fill_between(middle[part], density[part], color=to_rgba(colours[k], 0.22), lw=0)
            axes.plot(middle[part], density[part], color=colours[k], lw=1.0)
        axes.set_ylim(bottom=0)
        axes.set(ylabel=f"p({plain(run.cv_symbols[0])} | window)", xlabel=label)

    def overlap_panel(axes):
        axes.axhspan(0, MIN_OVERLAP, color=SHADE, lw=0)
        axes.plot((centers[:-1, 0] + centers[1:, 0]) / 2, overlap[:-1], "o-", color=MUTED, lw=1,
                  ms=3.2)
        axes.set_ylim(0, max(0.1, 1.15 * np.nanmax(overlap[:-1])))
        axes.set(ylabel="overlap with\nthe next", xlabel=label)

    def effective_panel(axes):
        low = min(MIN_EFFECTIVE, np.nanmin(np.where(effective > 0, effective, MIN_EFFECTIVE))) / 3
        axes.axhspan(low, MIN_EFFECTIVE, color=SHADE, lw=0)
        axes.plot(centers[:, 0], effective, "o-", color=MUTED, lw=1, ms=3.2)
        axes.set_yscale("log")
        axes.set_ylim(low, 3 * max(np.nanmax(effective), MIN_EFFECTIVE))
        axes.yaxis.set_minor_locator(ticker.NullLocator())
        axes.set(ylabel="effective\nsamples", xlabel=label)

    panels, below, limits = [histogram], [], []
    for values, panel, words, limit in (
            (overlap[:-1], overlap_panel, "overlap with the next window", f"{MIN_OVERLAP}"),
            (effective, effective_panel, "effective number of samples, correlations taken out",
             f"{MIN_EFFECTIVE} samples")):
        if np.isfinite(values).any():
            panels.append(panel)
            below.append(words)
            limits.append(limit)
    caption = (f"Distribution of the collective variable in the {several(len(used), 'window')}; "
               "neighbours must overlap to be joined into one free energy.")
    if below:
        caption += f" Below: {'; '.join(below)}. Shaded: too little (under {listed(limits)})."
    return "windows", "Windows", figure(panels, caption, heights=[2.9] + [1.15] * len(below))


def section_free_energy(run):
    table = run.tables.get("free_energy")
    if not table or not np.isfinite(table["free_energy"]).any():
        return None
    exact, scaled, error = exact_free_energy(run), free_energy_residuals(run), \
        column(table, "std_error")
    value = np.where(np.isfinite(table["free_energy"]), table["free_energy"], math.nan)
    known = np.isfinite(error).any()
    method = str(run.stage("estimate").get("method") or dig(run.config, "estimate").get("method")
                 or "").replace("_", " ")
    method = method.upper() if method in ("mbar", "wham") else method
    agreement = ""
    if scaled is not None:
        good = np.abs(scaled[np.isfinite(scaled)])
        agreement = (f" {np.mean(good <= 2):.0%} of {fmt(len(good))} bins lie within two standard "
                     "errors of the exact answer (about 95% are expected; neighbouring bins move "
                     "together).")
    if run.two_cvs:
        top = np.nanquantile(value, 0.995)
        unit = 1 / run.beta if run.beta > 0 else top / 10
        step = unit * max(1, round(top / unit / 12))
        limit = 3.0 if scaled is None else max(3.0, min(6.0, np.nanmax(np.abs(scaled))))
        panels = [lambda axes: heat_map(run, axes, table, value, "F  (energy)", "viridis", (0, top),
                                        np.arange(step, top, step))]
        if known:
            panels.append(lambda axes: heat_map(run, axes, table, error,
                                                "standard error  (energy)"))
        if scaled is not None:
            panels.append(lambda axes: heat_map(run, axes, table, scaled,
                                                "(F − exact) / standard error", "RdBu_r",
                                                (-limit, limit)))
        caption = (f"Free energy of the two collective variables, minimum 0, contours every "
                   f"{fmt(step)}" + ("; its standard error" if known else "")
                   + ("; the difference from the exact answer, in standard errors" if scaled
                      is not None else "") + ". Grey: never visited.")
        return "free-energy", "Free energy", figure(panels, caption + agreement, 2, height=3.5)
    x = table["cv_1"]

    def curve(axes):
        if known:
            axes.fill_between(x, value - 2 * error, value + 2 * error, lw=0,
                              color=to_rgba(COLOUR["physics"], 0.25), label="± 2 standard errors")
        axes.plot(x, value, color=COLOUR["physics"], label=f"F, {method}" if method else "F")
        if exact is not None:
            axes.plot(x, exact, color=COLOUR["exact"], lw=1.1, ls=(0, (4, 3)), label="exact")
        axes.set(ylabel=f"F({plain(run.given)})  (energy)", xlabel=plain(run.cv_labels[0]))
        if run.beta > 0:
            right = axes.secondary_yaxis("right", functions=(lambda f: f * run.beta,
                                                             lambda f: f / run.beta))
            right.set_ylabel("βF  (kT)")
            right.spines["right"].set_visible(False)

    def below(axes):
        axes.set_xlabel(plain(run.cv_labels[0]))
        if scaled is None:
            axes.plot(x, error, color=COLOUR["physics"])
            axes.set_ylim(bottom=0)
            axes.set_ylabel("std. error\n(energy)")
            return
        for half, shade in ((2, "#eef1f4"), (1, "#dfe5eb")):
            axes.axhspan(-half, half, color=shade, lw=0)
        axes.axhline(0, color=COLOUR["exact"], lw=0.9, ls=(0, (4, 3)))
        limit = max(3.4, min(8, 1.15 * np.nanmax(np.abs(scaled))))
        axes.plot(x, np.clip(scaled, -limit, limit), "o", ms=2.8, color=COLOUR["physics"],
                  clip_on=False)
        axes.set_ylim(-limit, limit)
        axes.yaxis.set_major_locator(ticker.MultipleLocator(2))
        axes.set_ylabel("(F − exact)\n/ std. error")

    caption = "Free energy along the collective variable, minimum 0"
    caption += ", with a band of two standard errors" if known else ""
    caption += ", and the exact curve" if exact is not None else ""
    caption += (". Below: the difference in standard errors, zero at the minimum by construction."
                if scaled is not None else ". Below: the standard error." if known else ".")
    return "free-energy", "Free energy", figure(
        [curve] + [below] * bool(known), caption + agreement,
        heights=[3.5] + [1.5] * bool(known))


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
                       else ""))
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


def section_closure(run):
    table = run.tables.get("closure")
    if not table or not len(table["cv"]):
        return None
    sources = list(dict.fromkeys(table["source"]))

    def panel_of(name, title):
        def panel(axes):
            for source in sources:
                rows = pick(table, source=source)
                x, y, se = rows["cv_1"], rows[name], column(rows, name + "_se")
                if source == "burst" or len(x) < 30:
                    errors(axes, x, y, se, source)
                else:
                    axes.fill_between(x, y - 2 * se, y + 2 * se, lw=0,
                                      color=to_rgba(COLOUR.get(source, MUTED), 0.22))
                    axes.plot(x, y, color=COLOUR.get(source, MUTED), label=source)
            zoom(axes, table[name], 2 * column(table, name + "_se"),
                 floor=0 if name == "diffusion" else None)
            axes.axhline(0, color="#9aa3ad", lw=0.8)
            axes.set(xlabel=plain(run.cv_labels[0]), ylabel=f"{title}({plain(run.given)})")
        return panel

    words = {"conditional": "averages over the fine variables at a fixed value of it",
             "burst": "short unbiased runs"}
    return "closure", "Closure", figure(
        [panel_of("drift", "drift  b"), panel_of("diffusion", "diffusion  D")],
        "Reduced model dξ = b dt + √(2D) dW of the collective variable alone, with two standard "
        "errors. " + " ".join(sentence(f"{s}: {words.get(s, 'as given')}") for s in sources), 2,
        height=3.2)


STAGE_ROWS = {"seconds": ("time", seconds_text), "steps": ("trajectory-steps", fmt),
              "steps_per_second": ("steps a second", fmt), "updates": ("updates", fmt),
              "updates_per_second": ("updates a second", fmt),
              "force_evaluations": ("force evaluations", fmt),
              "bytes_to_device": ("host → device", bytes_text),
              "bytes_to_host": ("device → host", bytes_text),
              "kernel_launches": ("kernel launches", fmt)}


def html_table(head, rows, kind=""):
    def line(cells, tag):
        return "<tr>" + "".join(f"<{t}>{esc(str(c))}</{t}>" for t, c in zip(tag, cells)) + "</tr>"
    body = "".join(line(row, ["th"] + ["td"] * len(row)) for row in rows)
    return (f'<div class=scroll><table class="{kind}"><thead>{line(head, ["th"] * len(head))}'
            f"</thead><tbody>{body}</tbody></table></div>")


def section_figures(run):
    stages = {k: v for k, v in dig(run.metrics, "stages").items() if isinstance(v, dict)}
    rows = [[label] + [show(s[key]) if key in s else "–" for s in stages.values()]
            for key, (label, show) in STAGE_ROWS.items() if any(key in s for s in stages.values())]
    result = html_table(["Stage", *stages], rows) if rows else ""
    facts = [(f"{name}: {key.replace('_', ' ')}", v if isinstance(v, str) else fmt(v))
             for name, stage in stages.items() for key, v in stage.items()
             if key not in STAGE_ROWS and isinstance(v, (str, int, float))]
    for key, words in (("inefficiency", "statistical inefficiency"),
                       ("effective_samples", "effective samples")):
        values = run.of_windows(key)[np.isfinite(run.of_windows(key))]
        if len(values):
            facts.append((f"{words} of a window", f"median {fmt(np.median(values))}, from "
                          f"{fmt(values.min())} to {fmt(values.max())}"))
    for source in ("generator", "healed"):
        entries = w1_entries(run, source)
        if entries:
            worst = max(entries, key=lambda e: e["w1"])
            facts.append((f"W₁/σ, {source}", f"median {fmt(np.median([e['w1'] for e in entries]))},"
                          f" worst {fmt(worst['w1'])} ({worst['variable']}, "
                          f"{cv_text(run, worst['cv'])})"))
    facts += [(words, fmt(dig(run.metrics, "lifting")[key])) for key, words in (
        ("constraint_residual", "constraint residual, RMS of ξ(G(z, s)) − s"),
        ("heal_steps", "healing steps")) if key in dig(run.metrics, "lifting")]
    facts += [("inverse temperature β", fmt(run.beta, 6))] if math.isfinite(run.beta) else []
    for key in ("device", "threads", "seed", "math", "precision", "version", "versions"):
        value = run.metrics.get(key)
        if value is not None:
            facts.append((key, ", ".join(f"{k} {v}" for k, v in value.items())
                          if isinstance(value, dict) else value))
    result += html_table(["Figure", "Value"], facts, "facts") if facts else ""
    if run.windows:
        keys = ("stiffness", "inefficiency", "effective_samples", "overlap_next")
        rows = [[i + 1, ", ".join(fmt(c) for c in numbers(w.get("center")))]
                + [fmt(w.get(k)) for k in keys] for i, w in enumerate(run.windows)]
        result += "<details><summary>All windows</summary>" + html_table(
            ["Window", "centre", *(k.replace("_", " ") for k in keys)], rows) + "</details>"
    if run.config_text:
        result += ("<details><summary>Configuration</summary>"
                   f"<pre>{esc(run.config_text.strip())}</pre></details>")
    return ("figures", "Figures", result) if result else None


# ---------------------------------------------------------------- page

CSS = """
:root{color-scheme:light}*{box-sizing:border-box}
body{margin:0;background:#fff;color:#22262b;font:17px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue","Liberation Sans",Arial,sans-serif;-webkit-text-size-adjust:100%}
main{max-width:940px;margin:0 auto;padding:44px 20px 80px}
h1,h2{font-family:Charter,"Bitstream Charter",Georgia,"Liberation Serif",serif;line-height:1.2}
h1{font-size:2.3rem;margin:.1em 0 .35em}h2{font-size:1.5rem;margin:2.4em 0 .5em;padding-top:.9em;
border-top:1px solid #e3e6ea}h2 span{color:#8a939d;font-weight:400;margin-right:.55em}
.over{color:#5c6570;font-size:.85rem;letter-spacing:.06em;text-transform:uppercase}
.formula{font:.88rem/1.6 ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;margin:.8em 0;
background:#f6f7f9;padding:.75em 1em;border-radius:6px;overflow:auto;overflow-wrap:anywhere;
max-height:13em}
nav{font-size:.92rem;margin-top:1.3em}nav a{white-space:nowrap;margin-right:1.1em}
a,summary{color:#0b5a8f;text-decoration:none;cursor:pointer}a:hover{text-decoration:underline}
.box{border-left:4px solid #c77700;background:#fff7e8;padding:.9em 1.2em;border-radius:0 6px 6px 0;
margin:1.4em 0}.box.good{border-color:#00795a;background:#eef7f3}
.box.note{border-color:#9aa3ad;background:#f6f7f9;font-size:.93rem}
.box ul{margin:.2em 0;padding-left:1.15em}.box li{margin:.3em 0}.box p{margin:.2em 0}
figure{margin:1.2em 0 2em}figure img{width:100%;height:auto;display:block}
figcaption{color:#4a525b;font-size:.93rem;line-height:1.5;margin-top:.6em;max-width:48em}
.scroll{overflow-x:auto;margin:1em 0 1.8em}table{border-collapse:collapse;font-size:.9rem;
width:100%;font-variant-numeric:tabular-nums}th,td{padding:.38em .8em;text-align:right;
border-bottom:1px solid #edeff2;white-space:nowrap}thead th{color:#5c6570;border-bottom:1.5px solid
#c5ccd3}tbody th{font-weight:400}th:first-child{padding-left:0;text-align:left}
.facts th,.facts td{white-space:normal;text-align:left}details{margin:1em 0}
pre{background:#f6f7f9;padding:1em;border-radius:6px;overflow-x:auto;font-size:.82rem;
line-height:1.5}footer{margin-top:4em;color:#8a939d;font-size:.85rem}
@media(max-width:600px){body{font-size:16px}main{padding:24px 16px 60px}h1{font-size:1.75rem}
h2{font-size:1.3rem}table{font-size:.82rem}th,td{padding:.35em .5em}}
@media print{main{max-width:none}figure,.box,tr{break-inside:avoid}}
"""
TITLES = {"muller_brown": "Müller–Brown", "fast_slow": "Fast–slow system",
          "double_well": "Double well", "channel": "Channel", "hidden_barrier": "Hidden barrier"}
SECTIONS = (section_cloud, section_windows, section_free_energy, section_moments,
            section_densities, section_training, section_closure, section_figures)


def header(run):
    system, sample = dig(run.config, "system"), run.stage("sample")
    lines = [f"V({', '.join(run.variables)}) = {run.potential}"] if run.potential else [
        f"{key}: " + (", ".join(map(str, system[key])) if isinstance(system[key], list)
                      else str(system[key])) for key in ("drift", "diffusion") if system.get(key)]
    if run.parameters:
        lines.append("with " + ", ".join(f"{k} = {v:g}" for k, v in run.parameters.items()))
    if run.observed and run.observed != run.variables:
        lines.append("observed: " + ", ".join(run.observed))
    if any(run.cv_formulas):
        lines.append(("(ξ₁, ξ₂)" if run.two_cvs else "ξ") + " = " + ", ".join(run.cv_formulas))
    windows = len(run.centers)
    trajectories = number(sample.get("trajectories"), windows * number(
        dig(run.config, "umbrella").get("replicas")))
    text = " in ".join([f"{fmt(trajectories)} trajectories"] * (trajectories > 0)
                       + [several(windows, "window")] * (windows > 0))
    for key, form in (("steps", ", {} trajectory-steps"), ("seconds", " in {}")):
        if number(sample.get(key)) > 0:
            text += form.format(fmt(sample[key]) if key == "steps" else seconds_text(sample[key]))
    if run.metrics.get("device"):
        threads = number(run.metrics.get("threads"))
        text += f" on {run.metrics['device']}" + (
            f" ({several(threads, 'thread')})" if threads > 0 else "")
    seconds = np.nansum([number(s.get("seconds")) for s in dig(run.metrics, "stages").values()
                         if isinstance(s, dict)])
    text += f"; all stages took {seconds_text(seconds)}" if seconds > 0 else ""
    return (f'<div class=over>microlift run</div><h1>{esc(TITLES.get(run.name, run.name))}</h1>'
            + (f"<p>{esc(sentence(text.strip(' ,;')))}</p>" if text else "")
            + (f'<div class=formula>{"<br>".join(map(esc, lines))}</div>' if lines else ""))


def notices(run):
    def box(kind, title, sentences):
        items = "".join(f"<li>{esc(s)}</li>" for s in sentences)
        return f'<div class="box {kind}" id={kind}><b>{title}</b><ul>{items}</ul></div>'
    warnings, notes, passed = review(run)
    result = box("warnings", "Warnings", warnings) if warnings else ""
    if passed and not warnings:
        result = box("good", "No warnings. What was checked:", [sentence(p) for p in passed])
    return result + (box("note", "Notes", notes) if notes else "")


def page(run):
    """The whole page as text."""
    style()
    with np.errstate(all="ignore"):
        sections = [result for section in SECTIONS if (result := section(run))]
        top = header(run), notices(run)
    links = "".join(f'<a href="#{i}">{esc(t)}</a> ' for i, t, _ in sections)
    body = "".join(f'<section id="{i}"><h2><span>{n}</span>{esc(t)}</h2>{text}</section>\n'
                   for n, (i, t, text) in enumerate(sections, 1))
    return ("<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
            '<meta name=viewport content="width=device-width,initial-scale=1">'
            f"<title>microlift: {esc(run.name)}</title><style>{CSS}</style></head><body><main>\n"
            f"<header>{top[0]}<nav>{links}</nav></header>\n{top[1]}\n{body}"
            f"<footer>microlift {esc(str(run.metrics.get('version', '')))}</footer></main></body>"
            "</html>\n")


def write_atomically(path, text):
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as problem:
        raise Broken(f"{path}: cannot be written: {problem.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Write DIR/report.html from the files of a run.")
    parser.add_argument("dir", metavar="DIR", help="directory of a `microlift run`")
    parser.add_argument("-o", "--output", metavar="FILE", help="instead of DIR/report.html")
    parser.add_argument("--quiet", action="store_true", help="do not print where the page lies")
    options = parser.parse_args(arguments)
    output = Path(options.output or Path(options.dir) / "report.html")
    try:
        write_atomically(output, page(Run(options.dir)))
    except Broken as problem:
        print(f"microlift: {problem}", file=sys.stderr)
        return 2
    if not options.quiet:
        print(output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
