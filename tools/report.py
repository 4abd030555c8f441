#!/usr/bin/env python3
"""Writes DIR/report.html, one self-contained page of pictures, from the files of a microlift run.

    python3 tools/report.py DIR [-o FILE] [--quiet]

Needs numpy, matplotlib and h5py. Exit status 0, or 2 with one message when DIR is missing, is not a
run or holds a broken file. A file that is absent only leaves out the sections that need it.

What is read (all optional, except that at least one data file must be there):

config.toml        the resolved configuration; [system], [cv], [umbrella] are used
free_energy.csv    cv_1[,cv_2],free_energy,std_error
conditional.csv    cv_1[,cv_2],variable,mean,mean_se,variance,source   (physics|generator|healed)
closure.csv        cv_1,drift,drift_se,diffusion,diffusion_se,source   (conditional|burst)
exact.csv          cv_1[,cv_2],free_energy, and mean_<var>,variance_<var> for each variable: the
                   answer by quadrature, on the bins of free_energy.csv; absent if unknown
samples.h5         /state (sample, variable), /cv (sample[, cv]), /window (sample); attribute
                   `units` of /cv and /state (one string, or one a column)
lifted.h5          one group a condition, /cond_000 …, with attribute `cv` (value or values) and the
                   datasets physics, generator, healed, each (n, variable) and each optional, and
                   exact_<var>, (m, 2): value, density. Columns follow the attribute `variables` of
                   the file if there is one, else system.observed, else system.variables.
metrics.json       {"version", "device", "threads", "seed",
  "system": {"name", "variables": [..], "observed": [..], "potential_formula", "parameters": {..},
             "beta"},
  "stages": {"sample": {"seconds", "steps", "steps_per_second", "force_evaluations",
                        "bytes_to_device", "bytes_to_host", "kernel_launches"},
             "estimate": {.., "method", "residual", "iterations", "converged"},
             "train": {.., "history": {"update": [..], "critic_loss": [..], "generator_loss": [..],
                       "penalty": [..], "w1_mean": [..], "w1_worst": [..]},
                       "best_update", "w1_floor"},
             "couple": {..}, "close": {..}},
  "windows": [{"center": [..], "stiffness", "inefficiency", "effective_samples", "overlap_next"}],
  "lifting": {"constraint_residual", "heal_steps",
              "w1": [{"cv": [..], "variable", "source", "w1_over_sigma", "floor"}]},
  "warnings": ["plain text"]}
  Every entry may be missing; further scalar entries of a stage are listed as they are. Histories
  may hold null where nothing was measured.

The same files give the same bytes.
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
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgba  # noqa: E402

# Okabe and Ito's palette: distinct under the common colour-vision deficiencies and in grey.
INK, MUTED, GRID = "#22262b", "#5c6570", "#e3e6ea"
COLOUR = {"physics": "#0072B2", "generator": "#D55E00", "healed": "#009E73", "exact": "#111111",
          "conditional": "#0072B2", "burst": "#AA4499"}
MARKER = {"physics": "o", "generator": "^", "healed": "s", "conditional": "o", "burst": "D"}
SOURCES = ("physics", "generator", "healed")
ENERGY_MAP = LinearSegmentedColormap.from_list("energy", ["#9fb3c8", "#d5dfe9", "#ffffff"])

MIN_OVERLAP = 0.03     # Klimovich, Shirts, Mobley 2015: below this, neighbours hardly connect
MIN_EFFECTIVE = 50     # effective samples a window
W1_WARN = 0.1          # of a standard deviation, and above twice the sampling floor
CLOUD_POINTS = 9000
WIDE, NARROW = 8.6, 4.3  # inches; the narrow picture is the one that phones show
SVG_LIMIT = 600_000    # bytes; a larger drawing is embedded as PNG


class Broken(Exception):
    """The run directory cannot be read; the text is the message for the user."""


# ---------------------------------------------------------------- formulas

FUNCTIONS = {"exp": np.exp, "log": np.log, "ln": np.log, "sin": np.sin, "cos": np.cos,
             "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
             "atan2": np.arctan2, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
             "sqrt": np.sqrt, "abs": np.abs, "sign": np.sign, "min": np.minimum,
             "max": np.maximum, "pow": np.power, "log10": np.log10, "log2": np.log2,
             "floor": np.floor, "ceil": np.ceil, "cbrt": np.cbrt,
             "erf": np.vectorize(math.erf, otypes=[float])}
OPERATORS = {ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply,
             ast.Div: np.true_divide, ast.Pow: np.power}


def evaluate(text, names):
    """The value of a formula (+ - * / ^, functions) with the names bound to numbers or arrays.

    Raises ValueError for anything that is not plain arithmetic on known names."""
    if not isinstance(text, str) or len(text) > 20_000:
        raise ValueError("not a formula")

    def walk(node):
        if isinstance(node, ast.Expression):
            return walk(node.body)
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return np.float64(node.value)
        if isinstance(node, ast.Name):
            if node.id in names:
                return np.asarray(names[node.id], dtype=float)
            if node.id in ("pi", "e"):
                return np.float64(getattr(math, node.id))
            raise ValueError(f"unknown name '{node.id}'")
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](walk(node.left), walk(node.right))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            value = walk(node.operand)
            return -value if isinstance(node.op, ast.USub) else value
        if (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
                and node.func.id in FUNCTIONS and not node.keywords):
            try:
                return FUNCTIONS[node.func.id](*[walk(a) for a in node.args])
            except TypeError as problem:
                raise ValueError(f"{node.func.id}: {problem}") from problem
        raise ValueError(f"not arithmetic: {type(node).__name__}")

    try:
        tree = ast.parse(text.strip().replace("^", "**"), mode="eval")
        with np.errstate(all="ignore"):
            return walk(tree)
    except (SyntaxError, RecursionError, MemoryError, OverflowError) as problem:
        raise ValueError(f"not a formula: {problem}") from problem


# ---------------------------------------------------------------- reading

def number(value, otherwise=math.nan):
    """A float from JSON, TOML or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return otherwise
    return float(value)


def numbers(value):
    """A list of floats, null as nan; empty for anything that is not a list."""
    return np.array([number(v) for v in value], dtype=float) if isinstance(value, list) else \
        np.array([])


def dig(tree, *keys, default=None):
    for key in keys:
        if not isinstance(tree, dict) or tree.get(key) is None:
            return default
        tree = tree[key]
    return tree


def mapping(value):
    return value if isinstance(value, dict) else {}


def strings(value):
    return [str(v) for v in value] if isinstance(value, (list, tuple)) else []


def read_table(path, required):
    """A CSV file as {column: array}; columns of numbers are float, others are text."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row]
    if not rows:
        raise Broken(f"{path}: empty; would be a header and rows")
    header = [name.strip() for name in rows[0]]
    missing = [name for name in required if name not in header]
    if missing:
        raise Broken(f"{path}:1: column '{missing[0]}' is missing; the header is {','.join(header)}")
    for line, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise Broken(f"{path}:{line}: {len(row)} fields; the header has {len(header)}")
    table = {}
    for i, name in enumerate(header):
        texts = [row[i].strip() for row in rows[1:]]
        if name in ("variable", "source"):
            table[name] = np.array(texts, dtype=str)
            continue
        values = np.empty(len(texts))
        for line, text in enumerate(texts, 2):
            try:
                values[line - 2] = float(text) if text else math.nan
            except ValueError:
                raise Broken(f"{path}:{line}: '{text}' in column {name} is not a number") from None
        table[name] = values
    return table


def attribute_strings(node, name):
    value = node.attrs.get(name)
    if value is None:
        return []
    items = [value] if isinstance(value, (str, bytes)) else list(np.ravel(value))
    return [v.decode() if isinstance(v, bytes) else str(v) for v in items]


class Run:
    """Everything that the page needs of one run directory."""

    def __init__(self, folder):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise Broken(f"{folder}: no such directory; would be the DIR of a `microlift run`")
        self.config_text, self.config = "", {}
        self.metrics = {}
        self.free = self.conditional = self.closure = self.exact = None
        self.cv = self.window = self.state = self.state_window = self.state_cv = None
        self.cv_units, self.state_units, self.conditions, self.lifted_names = [], [], [], []
        self.read()
        system = mapping(self.metrics.get("system"))
        configured = mapping(self.config.get("system"))
        self.name = str(system.get("name") or configured.get("name") or "user-defined system")
        self.variables = strings(system.get("variables")) or strings(configured.get("variables"))
        if not self.variables and self.state is not None:
            plain = ["x", "y", "z"] if self.state.shape[1] <= 3 else []
            self.variables = plain[:self.state.shape[1]] or [
                f"x{i + 1}" for i in range(self.state.shape[1])]
        self.observed = strings(system.get("observed")) or strings(configured.get("observe"))
        self.parameters = {**mapping(configured.get("parameters")),
                           **mapping(system.get("parameters"))}
        self.potential = system.get("potential_formula") or configured.get("potential")
        self.beta = number(system.get("beta"), number(configured.get("beta")))
        self.windows = [w for w in self.metrics.get("windows") or [] if isinstance(w, dict)]
        self.find_cvs()

    def read(self):
        found = 0
        for name in ("config.toml", "metrics.json"):
            path = self.folder / name
            if not path.is_file():
                continue
            found += name == "metrics.json"
            try:
                text = path.read_text(encoding="utf-8")
                if name == "config.toml":
                    self.config_text, self.config = text, tomllib.loads(text)
                else:
                    self.metrics = json.loads(text)
            except (ValueError, UnicodeDecodeError) as problem:
                raise Broken(f"{path}: cannot be read: {problem}") from None
        if not isinstance(self.metrics, dict):
            raise Broken(f"{self.folder / 'metrics.json'}: would be an object, is a "
                         f"{type(self.metrics).__name__}")
        tables = {"free": ("free_energy.csv", ["cv_1", "free_energy"]),
                  "conditional": ("conditional.csv", ["cv_1", "variable", "mean", "source"]),
                  "closure": ("closure.csv", ["cv_1", "drift", "diffusion", "source"]),
                  "exact": ("exact.csv", ["cv_1"])}
        for field, (name, required) in tables.items():
            path = self.folder / name
            if path.is_file():
                found += 1
                try:
                    setattr(self, field, read_table(path, required))
                except (UnicodeDecodeError, csv.Error) as problem:
                    raise Broken(f"{path}: cannot be read: {problem}") from None
        for name, reader in (("samples.h5", self.read_samples), ("lifted.h5", self.read_lifted)):
            path = self.folder / name
            if path.is_file():
                found += 1
                try:
                    with h5py.File(path, "r") as file:
                        reader(file)
                except (OSError, KeyError, ValueError, TypeError) as problem:
                    raise Broken(f"{path}: cannot be read: {problem}") from None
        if not found:
            raise Broken(f"{self.folder}: no files of a run in it; would be the DIR of a "
                         "`microlift run`")

    def read_samples(self, file):
        if "cv" in file:
            cv = np.asarray(file["cv"][...], dtype=np.float64)
            self.cv = cv.reshape(len(cv), -1)
            self.cv_units = attribute_strings(file["cv"], "units")
        if "window" in file:
            self.window = np.ravel(file["window"][...]).astype(np.int64)
            if self.cv is not None and len(self.window) != len(self.cv):
                raise ValueError(f"/window has {len(self.window)} rows, /cv {len(self.cv)}")
        if "state" not in file:
            return
        state = file["state"]
        rows = len(state)
        if self.cv is not None and len(self.cv) != rows:
            raise ValueError(f"/state has {rows} rows, /cv {len(self.cv)}")
        # A random subset, read block by block: a strided one could alias with the trajectories.
        random = np.random.default_rng(1)
        keep = np.sort(random.permutation(rows)[:CLOUD_POINTS]) if rows <= 2_000_000 else \
            np.unique(random.integers(0, rows, CLOUD_POINTS))
        block, parts = 1 << 20, []
        for begin in range(0, rows, block):
            here = keep[(keep >= begin) & (keep < begin + block)] - begin
            if len(here):
                parts.append(np.asarray(state[begin:begin + block])[here].reshape(len(here), -1))
        if parts:
            order = random.permutation(len(keep))
            self.state = np.concatenate(parts).astype(np.float64)[order]
            self.state_cv = self.cv[keep][order] if self.cv is not None else None
            self.state_window = (self.window[keep][order] if self.window is not None
                                 else np.zeros(len(keep), dtype=np.int64))
        self.state_units = attribute_strings(state, "units")

    def read_lifted(self, file):
        self.lifted_names = attribute_strings(file, "variables")
        for name in sorted(file):
            group = file[name]
            if not isinstance(group, h5py.Group) or "cv" not in group.attrs:
                continue
            condition = {"cv": np.ravel(np.asarray(group.attrs["cv"], dtype=float)), "exact": {}}
            for key in group:
                data = np.asarray(group[key][...], dtype=float)
                if key.startswith("exact_") and data.ndim == 2 and data.shape[1] == 2:
                    condition["exact"][key[6:]] = data
                elif key in SOURCES and data.size:
                    condition[key] = data.reshape(len(data), -1)
            self.conditions.append(condition)
        self.conditions.sort(key=lambda c: tuple(c["cv"]))

    def find_cvs(self):
        """Names and labels of the collective variables: the formula itself where it is short."""
        entries = dig(self.config, "cv", "variables", default=[])
        entries = entries if isinstance(entries, list) else [entries]
        count = len(entries)
        if not count:
            table = next((t for t in (self.free, self.conditional) if t is not None), {})
            count = 2 if "cv_2" in table else 1
        texts = []
        for entry in entries or [None] * count:
            if isinstance(entry, dict):
                kind, inside = str(entry.get("kind", "cv")), entry.get("atoms")
                texts.append(kind + (f"({', '.join(map(str, inside))})" if inside else ""))
            else:
                texts.append(str(entry) if entry is not None else "")
        self.cv_formulas = texts
        symbols = ["ξ"] if count == 1 else [f"ξ{'₁₂₃₄'[i]}" if i < 4 else "ξ" for i in range(count)]
        self.cv_symbols = [t if t and len(t) <= 12 else s for t, s in zip(texts, symbols)]
        self.cv_labels = []
        for i, (text, symbol) in enumerate(zip(texts, symbols)):
            label = f"{symbol} = {text}" if 0 < len(text) <= 24 else symbol
            unit = self.cv_units[min(i, len(self.cv_units) - 1)] if self.cv_units else ""
            self.cv_labels.append(label + (f"  ({unit})" if unit and unit != "1" else ""))

    def variable_label(self, name):
        if name in self.variables and self.state_units:
            unit = self.state_units[min(self.variables.index(name), len(self.state_units) - 1)]
            return f"{name}  ({unit})" if unit and unit != "1" else name
        return name

    @property
    def two_cvs(self):
        return len(self.cv_formulas) >= 2

    def centers(self):
        values = [numbers(w["center"] if isinstance(w.get("center"), list) else [w.get("center")])
                  for w in self.windows]
        if values and all(len(v) == len(values[0]) and len(v) for v in values):
            return np.array(values)
        if self.cv is not None and self.window is not None and len(self.window):
            used = np.unique(self.window)
            return np.array([np.mean(self.cv[self.window == k], axis=0) for k in used])
        return np.empty((0, 1))

    def fine_names(self):
        """What a lifted state is made of, column by column."""
        data = next((c[s] for c in self.conditions for s in SOURCES if s in c), None)
        columns = data.shape[1] if data is not None else 0
        in_table = list(dict.fromkeys(self.conditional["variable"])) if self.conditional else []
        exact = list(dict.fromkeys(v for c in self.conditions for v in c["exact"]))
        for names in (self.lifted_names, self.observed, self.variables, in_table):
            # The names that exact_<var> and conditional.csv use decide between equal lengths.
            if len(names) == columns and set(exact) <= set(names):
                return names
        for names in (in_table, self.observed, self.variables):
            if len(names) == columns:
                return names
        return [f"variable {i + 1}" for i in range(columns)]

    def potential_at(self, *coordinates):
        """The potential at arrays of coordinates, or None where there is no usable formula."""
        if not self.potential or len(coordinates) != len(self.variables):
            return None
        try:
            value = evaluate(self.potential, {**self.parameters,
                                              **dict(zip(self.variables, coordinates))})
            return np.broadcast_to(value, np.shape(coordinates[0])).astype(float)
        except (ValueError, TypeError):
            return None

    def stage(self, name):
        return mapping(dig(self.metrics, "stages", name))


# ---------------------------------------------------------------- words

def esc(text):
    return html.escape(str(text), quote=True)


def plain(text):
    """Text for matplotlib that must not be read as mathematics."""
    return str(text).replace("$", r"\$")


def fmt(value, digits=3):
    """A number for a reader: 12 345, 0.0123, 1.2 × 10⁸."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    value = number(value)
    if not math.isfinite(value):
        return "–" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if value == 0:
        return "0"
    size = abs(value)
    if value == int(value) and size < 1e6:
        return f"{int(value):,}".replace(",", "\u202f").replace("-", "−")
    if size >= 1e5 or size < 1e-3:
        exponent = math.floor(math.log10(size))
        mantissa = f"{value / 10 ** exponent:.{digits - 1}f}"
        if abs(float(mantissa)) >= 10:
            mantissa, exponent = f"{float(mantissa) / 10:.{digits - 1}f}", exponent + 1
        power = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{mantissa} × 10{power}".replace("-", "−")
    decimals = max(0, digits - 1 - math.floor(math.log10(size)))
    text = f"{value:,.{decimals}f}".replace(",", "\u202f")
    if "." in text and decimals > 1:
        text = text.rstrip("0").rstrip(".")
    return text.replace("-", "−")


def bytes_text(value):
    value = number(value)
    if not math.isfinite(value):
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            break
        value /= 1000
    else:
        unit = "TB"
    return f"{fmt(value)} {unit}"


def seconds_text(value):
    value = number(value)
    if not math.isfinite(value):
        return "–"
    if value < 120:
        return f"{fmt(value)} s"
    if value < 7200:
        return f"{int(value // 60)} min {int(round(value % 60))} s"
    return f"{value / 3600:.1f} h"


def several(count, noun):
    return f"{fmt(count)} {noun}{'' if count == 1 else 's'}"


def cv_text(run, values):
    return ", ".join(f"{s} = {fmt(v)}" for s, v in zip(run.cv_symbols, np.ravel(values)))


def listed(items, limit=6):
    items = list(items)
    if len(items) > limit:
        return ", ".join(items[:limit]) + f" and {len(items) - limit} more"
    return " and ".join(filter(None, [", ".join(items[:-1]), items[-1]])) if items else ""


# ---------------------------------------------------------------- comparisons

def aligned_exact(run):
    """(exact free energy on the bins of the estimate, both 0 at the estimate's lowest bin)."""
    free, exact = run.free, run.exact
    if free is None or exact is None or "free_energy" not in exact:
        return None
    values = free["free_energy"]
    if not np.isfinite(values).any():
        return None
    if "cv_2" in free:
        if "cv_2" not in exact:
            return None
        table = {(round(a, 9), round(b, 9)): f for a, b, f in
                 zip(exact["cv_1"], exact["cv_2"], exact["free_energy"])}
        curve = np.array([table.get((round(a, 9), round(b, 9)), math.nan)
                          for a, b in zip(free["cv_1"], free["cv_2"])])
    else:
        order = np.argsort(exact["cv_1"])
        curve = np.interp(free["cv_1"], exact["cv_1"][order], exact["free_energy"][order],
                          left=math.nan, right=math.nan)
    lowest = np.nanargmin(np.where(np.isfinite(values), values, math.nan))
    return curve - curve[lowest] + values[lowest]


def residuals(run):
    """(F − F_exact)/standard error for each bin, nan where either is unknown."""
    curve = aligned_exact(run)
    if curve is None or "std_error" not in run.free:
        return None
    error = run.free["std_error"]
    with np.errstate(all="ignore"):
        scaled = (run.free["free_energy"] - curve) / error
    scaled[~(error > 0) | ~np.isfinite(scaled)] = math.nan
    return scaled if np.isfinite(scaled).any() else None


def overlaps(run):
    """(overlap of each window with the next, where the figure comes from)."""
    given = numbers([w.get("overlap_next") for w in run.windows])
    if np.isfinite(given).any():
        return given, "metrics.json"
    if run.two_cvs or run.cv is None or run.window is None or not len(run.window):
        return np.array([]), ""
    edges, counts = window_histograms(run)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    common = np.minimum(share[:-1], share[1:]).sum(axis=1)
    return np.append(common, math.nan), "shared area of the histograms"


def window_histograms(run, bins=240):
    """Histograms of the first CV, (edges, counts[window, bin])."""
    cv = run.cv[:, 0]
    good = np.isfinite(cv)
    low, high = np.quantile(cv[good], [0, 1]) if good.any() else (0, 1)
    pad = 0.01 * (high - low) + 1e-12
    edges = np.linspace(low - pad, high + pad, bins + 1)
    used, row = np.unique(run.window[good], return_inverse=True)
    column = np.clip(((cv[good] - edges[0]) / (edges[1] - edges[0])).astype(int), 0, bins - 1)
    flat = np.bincount(row * bins + column, minlength=len(used) * bins)
    return edges, flat.reshape(len(used), bins).astype(float)


def w1_entries(run):
    entries = []
    for item in dig(run.metrics, "lifting", "w1", default=[]):
        if isinstance(item, dict) and math.isfinite(number(item.get("w1_over_sigma"))):
            cv = item.get("cv")
            entries.append({"cv": numbers(cv if isinstance(cv, list) else [cv]),
                            "variable": str(item.get("variable", "")),
                            "source": str(item.get("source", "generator")),
                            "w1": number(item["w1_over_sigma"]),
                            "floor": number(item.get("floor"))})
    return entries


def closure_disagreement(run):
    """{quantity: share of common bins where conditional and burst differ by > 3 joint errors}."""
    table, result = run.closure, {}
    if table is None:
        return result
    pick = {s: table["source"] == s for s in ("conditional", "burst")}
    if not all(mask.any() for mask in pick.values()):
        return result
    for name in ("drift", "diffusion"):
        if name + "_se" not in table:
            continue
        value, error = {}, {}
        for source, mask in pick.items():
            order = np.argsort(table["cv_1"][mask])
            x = table["cv_1"][mask][order]
            value[source] = (x, table[name][mask][order])
            error[source] = table[name + "_se"][mask][order]
        x, burst = value["burst"]
        xc, conditional = value["conditional"]
        difference = burst - np.interp(x, xc, conditional, math.nan, math.nan)
        joint = np.hypot(error["burst"], np.interp(x, xc, error["conditional"]))
        with np.errstate(all="ignore"):
            z = np.abs(difference) / joint
        if np.isfinite(z).any():
            result[name] = float(np.mean(z[np.isfinite(z)] > 3))
    return result


def collect_warnings(run):
    """(warnings, notes, checks that were passed), each a list of plain sentences."""
    given = [str(w) for w in run.metrics.get("warnings") or []]
    warnings, notes, passed = list(given), [], []

    def told(*words):  # the run itself already said so
        return any(all(w in text.lower() for w in words) for text in given)

    for name, stage in mapping(run.metrics.get("stages")).items():
        if mapping(stage).get("converged") is False and not told("converge"):
            warnings.append(f"Stage “{name}” did not converge (residual "
                            f"{fmt(stage.get('residual'))} after {fmt(stage.get('iterations'))} "
                            "iterations). Its results are not final.")
        elif mapping(stage).get("converged") is True:
            passed.append("the estimator converged" if name == "estimate" else
                          f"stage “{name}” converged")
    overlap, _ = overlaps(run)
    centers = run.centers()
    if np.isfinite(overlap).any() and not run.two_cvs:
        bad = [i for i in range(len(overlap)) if overlap[i] < MIN_OVERLAP]
        if bad and not told("overlap"):
            where = listed(f"{i + 1}–{i + 2}" + (f" ({cv_text(run, centers[i])})"
                           if i < len(centers) else "") for i in bad)
            warnings.append(f"Neighbouring windows hardly overlap: {where}. Free-energy "
                            "differences across them rest on few samples; add windows there or "
                            "lower the stiffness.")
        elif not bad:
            passed.append("all neighbouring windows overlap")
    effective = numbers([w.get("effective_samples") for w in run.windows])
    if np.isfinite(effective).any():
        bad = [i for i in range(len(effective)) if effective[i] < MIN_EFFECTIVE]
        if bad and not told("effective"):
            warnings.append(f"Fewer than {MIN_EFFECTIVE} effective samples in "
                            f"{several(len(bad), 'window')} (lowest: "
                            f"{fmt(np.nanmin(effective))}). Error bars there are themselves "
                            "uncertain; sample longer.")
        elif not bad:
            passed.append(f"every window holds at least {fmt(np.floor(np.nanmin(effective)))} "
                          "effective samples")
    if run.free is not None:
        empty = int(np.sum(~np.isfinite(run.free["free_energy"])))
        if empty:
            total = len(run.free["free_energy"])
            (notes if run.two_cvs else warnings).append(
                f"{fmt(empty)} of {fmt(total)} bins of the collective variable were never "
                "visited and have no free energy.")
        scaled = residuals(run)
        if scaled is not None:
            good = scaled[np.isfinite(scaled)]
            share = float(np.mean(np.abs(good) > 3))
            if share > 0.05:
                warnings.append(f"The free energy is more than three standard errors from the "
                                f"exact curve in {share:.0%} of the bins: the errors are too "
                                "small, or sampling is incomplete.")
            else:
                passed.append("the free energy agrees with the exact one within its errors")
    entries = w1_entries(run)
    for source in ("generator", "healed"):
        mine = [e for e in entries if e["source"] == source]
        if not mine:
            continue
        worst = max(mine, key=lambda e: e["w1"])
        values = np.array([e["w1"] for e in mine])
        floors = np.array([e["floor"] for e in mine])
        above = int(np.sum(values > 2 * np.nan_to_num(floors)))
        what = "Generated states" if source == "generator" else "Healed states"
        if worst["w1"] > W1_WARN and not worst["w1"] <= 2 * worst["floor"]:
            over = int(np.sum((values > W1_WARN) & ~(values <= 2 * floors)))
            warnings.append(f"{what} differ from the physics by more than {W1_WARN} σ (W₁) at "
                            f"{over} of {several(len(mine), 'comparison')}; worst "
                            f"{fmt(worst['w1'])} σ for {worst['variable']} at "
                            f"{cv_text(run, worst['cv'])}.")
        elif above:
            notes.append(f"{what}: W₁ is above twice the sampling floor at {above} of "
                         f"{several(len(mine), 'comparison')}, so the difference from the physics "
                         f"is measurable, but small (median {fmt(np.median(values))} σ, worst "
                         f"{fmt(worst['w1'])} σ).")
        else:
            passed.append(f"{what.lower()} cannot be told from the physics at this sample size")
    residual = number(dig(run.metrics, "lifting", "constraint_residual"))
    if run.free is not None and math.isfinite(residual):
        steps = np.diff(np.unique(run.free["cv_1"]))
        if len(steps) and residual > 0.5 * float(np.median(steps)):
            warnings.append(f"Generated states miss the requested value of the collective variable "
                            f"by {fmt(residual)} (RMS), more than half a bin.")
    disagreement = closure_disagreement(run)
    for name, share in disagreement.items():
        if share > 0.25 and not told("disagree"):
            warnings.append(f"The two sources of the closure disagree on the {name} in {share:.0%} "
                            "of the bins (beyond three joint standard errors). The collective "
                            "variable probably leaves out a slow motion: do not trust rates from "
                            "the conditional closure.")
    if disagreement and max(disagreement.values()) <= 0.25:
        passed.append("both sources of the closure agree")
    best, updates = number(run.stage("train").get("best_update")), numbers(
        dig(run.metrics, "stages", "train", "history", "update"))
    if len(updates) and np.isfinite(updates).any() and best >= np.nanmax(updates):
        notes.append("The generator was still improving at its last update; longer training may "
                     "help.")
    for label, absent in (("free energy", run.free is None), ("stored samples", run.cv is None),
                          ("trained generator", not run.stage("train") and not run.conditions),
                          ("closure", run.closure is None)):
        if absent:
            notes.append(f"This run has no {label}; the sections that need it are left out.")
    return list(dict.fromkeys(warnings)), notes, passed


# ---------------------------------------------------------------- drawing

def style():
    installed = {f.name for f in font_manager.fontManager.ttflist}
    sans = [f for f in ("Source Sans 3", "Liberation Sans", "Arial", "Helvetica")
            if f in installed][:1] + ["DejaVu Sans"]
    plt.rcParams.update({
        "font.family": sans, "font.size": 10.5, "axes.labelsize": 10.5, "axes.titlesize": 10.5,
        "xtick.labelsize": 9.5, "ytick.labelsize": 9.5, "legend.fontsize": 10,
        "mathtext.fontset": "custom", "mathtext.rm": sans[0], "mathtext.it": f"{sans[0]}:italic",
        "axes.edgecolor": "#9aa3ad", "axes.linewidth": 0.8, "axes.labelcolor": INK,
        "axes.titlelocation": "left", "axes.grid": True, "axes.axisbelow": True,
        "axes.spines.top": False, "axes.spines.right": False, "grid.color": GRID,
        "grid.linewidth": 0.7, "xtick.color": "#9aa3ad", "ytick.color": "#9aa3ad",
        "xtick.labelcolor": INK, "ytick.labelcolor": INK, "text.color": INK,
        "legend.frameon": False, "lines.linewidth": 1.7, "lines.markersize": 4,
        "svg.fonttype": "path", "svg.hashsalt": "microlift", "figure.facecolor": "white",
        "axes.formatter.limits": (-4, 5),
        "path.simplify_threshold": 0.3})


def encode(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", dpi=170, metadata={"Date": None})
    kind = "svg+xml"
    if buffer.tell() > SVG_LIMIT:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=170, metadata={"Software": None})
        kind = "png"
    return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode()


def add_legend(figure):
    """One legend for all panels, above them, in as many columns as fit; no data beneath it."""
    handles = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels()):
            handles.setdefault(label, handle)
    width, height = figure.get_size_inches() * figure.dpi
    top = 1.0
    if handles:
        renderer = figure.canvas.get_renderer()
        for columns in range(min(len(handles), 6), 0, -1):
            legend = figure.legend(handles.values(), handles.keys(), loc="upper left", ncol=columns,
                                   bbox_to_anchor=(0.0, 1.0), borderaxespad=0.1, borderpad=0.3,
                                   handlelength=1.8, columnspacing=1.6, handletextpad=0.6)
            box = legend.get_window_extent(renderer)
            if box.width <= width or columns == 1:
                break
            legend.remove()
        legend.set_in_layout(False)
        top = 1 - (box.height + 4) / height
    figure.get_layout_engine().set(rect=(0, 0, 1, top), w_pad=0.06, h_pad=0.05, wspace=0.04,
                                   hspace=0.04)


def picture(panels, alt, columns=1, heights=None, height=3.0, narrow_columns=1, share=False,
            width=WIDE):
    """<picture> of the panels (functions of an axes): a wide drawing and one for phones.

    heights: inches of each row, for stacked panels; otherwise every row has `height`."""
    sources = []
    for inches, across in ((width, columns), (NARROW, narrow_columns)):
        across = max(1, min(across, len(panels)))
        rows = math.ceil(len(panels) / across)
        narrow = inches == NARROW
        row_heights = list(heights) if heights else [height] * rows
        if narrow:
            cell = 0.72 * NARROW / across
            row_heights = [min(h, max(cell, 1.25) if h >= 2 else h) for h in row_heights]
        figure, grid = plt.subplots(rows, across, figsize=(inches, sum(row_heights) + 0.35),
                                    squeeze=False, sharex=share, layout="constrained",
                                    gridspec_kw={"height_ratios": row_heights})
        for i, axes in enumerate(grid.flat):
            if i >= len(panels):
                axes.set_visible(False)
                continue
            panels[i](axes)
            if not isinstance(axes.xaxis.get_major_locator(), (ticker.LogLocator,
                                                               ticker.FixedLocator)):
                axes.xaxis.set_major_locator(ticker.MaxNLocator(8 if across == 1 and not narrow
                                                                else 5))
            if share and i + across < len(panels):
                axes.set_xlabel("")
        if rows > 1 and across == 1:
            figure.align_ylabels(grid[:, 0])
        add_legend(figure)
        sources.append(encode(figure))
        plt.close(figure)
    limit = f' style="max-width:{round(width * 104)}px"' if width < WIDE else ""
    return (f'<picture><source media="(max-width:600px)" srcset="{sources[1]}">'
            f'<img src="{sources[0]}" alt="{esc(alt)}"{limit}></picture>')


def figure(picture_html, caption):
    return f"<figure>{picture_html}<figcaption>{caption}</figcaption></figure>"


def window_colours(count):
    return plt.get_cmap("viridis")(np.linspace(0.0, 0.93, max(count, 1)))


def robust_limits(axes, values, low=0.5, high=99.5, pad=0.08):
    values = np.concatenate([np.ravel(v) for v in values]) if len(values) else np.array([])
    values = values[np.isfinite(values)]
    if len(values):
        a, b = np.percentile(values, [low, high])
        axes.set_ylim(a - pad * (b - a) - 1e-300, b + pad * (b - a) + 1e-300) if b > a else None


def grid_of(x, y, values):
    """Scattered values on a product grid: (xs, ys, matrix with nan where nothing is given)."""
    xs, column = np.unique(np.round(x, 9), return_inverse=True)
    ys, row = np.unique(np.round(y, 9), return_inverse=True)
    matrix = np.full((len(ys), len(xs)), math.nan)
    matrix[row, column] = values
    return xs, ys, matrix


def heat_map(run, axes, x, y, values, label, cmap, limits=None, contours=None):
    xs, ys, matrix = grid_of(x, y, values)
    shown = np.ma.masked_invalid(matrix)
    low, high = limits or (np.nanmin(matrix), np.nanmax(matrix))
    axes.set_facecolor("#eceef1")
    axes.grid(False)
    mesh = axes.pcolormesh(xs, ys, shown, cmap=cmap, norm=Normalize(low, high), shading="nearest",
                           rasterized=True)
    if contours is not None and min(matrix.shape) > 1:
        axes.contour(xs, ys, shown, levels=contours, colors="white", linewidths=0.6, alpha=0.8)
    bar = axes.figure.colorbar(mesh, ax=axes, pad=0.02, aspect=26)
    bar.outline.set_visible(False)
    bar.set_label(label)
    axes.set_xlabel(plain(run.cv_labels[0]))
    axes.set_ylabel(plain(run.cv_labels[1]))


# ---------------------------------------------------------------- sections
# Each takes the run and gives (id, title, html), or None where there is nothing to show.

def section_cloud(run):
    if run.state is None or not len(run.state):
        return None
    names, dimension = run.variables, run.state.shape[1]
    names = names if len(names) == dimension else [f"x{i + 1}" for i in range(dimension)]
    used, index = np.unique(run.state_window, return_inverse=True)
    colour = window_colours(len(used))[index]
    centers = run.centers()
    words = []

    def cloud(axes, x, y):
        axes.scatter(x, y, s=3.2, c=colour, alpha=0.55, linewidths=0, rasterized=True)

    def centre_marks(axes):
        """Window centres as triangles on the axis of a variable that is itself the CV."""
        axes.scatter(centers[:, 0], np.full(len(centers), 0.012), marker="^", s=26, clip_on=False,
                     transform=axes.get_xaxis_transform(), c=window_colours(len(centers)),
                     edgecolors=INK, linewidths=0.5, zorder=5, label="window centres")

    if dimension == 1:
        def panel(axes):
            x = run.state[:, 0]
            line = np.linspace(x.min(), x.max(), 500)
            energy = run.potential_at(line)
            if energy is None:
                cloud(axes, x, np.random.default_rng(2).uniform(0, 1, len(x)))
                axes.set_yticks([])
            else:
                jitter = np.random.default_rng(2).normal(0, 0.012 * np.ptp(energy), len(x))
                axes.plot(line, energy, color=INK, zorder=4, label=f"V({names[0]})")
                cloud(axes, x, run.potential_at(x) + jitter)
                axes.set_ylabel(f"V({names[0]})  (energy)")
            if len(centers) and run.cv_formulas[0] in ("", names[0]):
                centre_marks(axes)
            axes.set_xlabel(plain(run.variable_label(names[0])))
        panels, layout = [panel], {"height": 3.6}
        words.append("Stored samples at the height of the potential (slightly scattered so that "
                     "they can be seen)")
    elif dimension == 2:
        x, y = run.state.T
        boxes = [np.quantile(v[np.isfinite(v)], [0.0005, 0.9995]) for v in (x, y)]
        boxes = [(a - 0.12 * (b - a) - 1e-9, b + 0.12 * (b - a) + 1e-9) for a, b in boxes]
        gx, gy = np.meshgrid(np.linspace(*boxes[0], 320), np.linspace(*boxes[1], 320))
        energy = run.potential_at(gx, gy)

        def panel(axes):
            axes.grid(False)
            if energy is not None and np.isfinite(energy).any():
                at_samples = run.potential_at(x, y)
                low = float(np.nanmin(energy))
                high = float(np.nanquantile(at_samples[np.isfinite(at_samples)], 0.995))
                high = low + 1.35 * max(high - low, 1e-12)
                levels = ticker.MaxNLocator(12).tick_values(low, high)
                filled = axes.contourf(gx, gy, np.minimum(energy, levels[-1]), levels=levels,
                                       cmap=ENERGY_MAP)
                for part in filled.collections:
                    part.set_rasterized(True)
                axes.contour(gx, gy, energy, levels=levels, colors="#7d8da0", linewidths=0.5)
                bar = axes.figure.colorbar(filled, ax=axes, pad=0.02, aspect=30)
                bar.outline.set_visible(False)
                bar.set_label(f"V({', '.join(names)})  (energy)")
            cloud(axes, x, y)
            axes.set_xlim(boxes[0])
            axes.set_ylim(boxes[1])
            axes.set_xlabel(plain(run.variable_label(names[0])))
            axes.set_ylabel(plain(run.variable_label(names[1])))
            if not len(centers):
                return
            if run.two_cvs:
                if run.cv_formulas[:2] == names and centers.shape[1] == 2:
                    axes.plot(*centers.T, "k+", ms=5, mew=0.9, label="window centres")
            elif run.cv_formulas[0] == names[0]:
                centre_marks(axes)
            else:
                try:
                    level = evaluate(run.cv_formulas[0], {**run.parameters, names[0]: gx,
                                                          names[1]: gy})
                    axes.contour(gx, gy, np.broadcast_to(level, gx.shape),
                                 levels=np.unique(centers[:, 0]), colors=INK, linewidths=0.7,
                                 linestyles="dashed", alpha=0.6)
                    axes.plot([], [], color=INK, lw=0.8, ls="--", label="window centres")
                except ValueError:
                    pass  # a CV that is no formula: the cloud stands alone
        panels, layout = [panel], {"height": 5.0, "width": 7.4}
        words.append("Stored samples of the biased runs"
                     + (" over contours of the potential" if energy is not None else ""))
    else:
        have = run.state_cv is not None
        others = [i for i in range(dimension) if names[i] not in run.cv_formulas][:6]
        across = run.state_cv[:, 0] if have else run.state[:, 0]

        def against(i):
            def panel(axes):
                cloud(axes, across, run.state[:, i])
                axes.set_xlabel(plain(run.cv_labels[0] if have else names[0]))
                axes.set_ylabel(plain(run.variable_label(names[i])))
                if have and len(centers):
                    centre_marks(axes)
            return panel
        panels = [against(i) for i in others]
        layout = {"columns": 2 if len(panels) in (2, 4) else 3, "height": 2.7,
                  "narrow_columns": 2 if len(panels) > 2 else 1}
        words.append("Stored samples of the biased runs, each variable against the collective "
                     "variable" + (f" (the first {len(others)} of {dimension} variables)"
                                   if len(others) < dimension - 1 else ""))
    values = observed_values(run, names)
    pictures = picture(panels, f"Samples of {run.name}", **layout)
    total = len(run.cv) if run.cv is not None else len(run.state)
    words[0] += (f"; colour runs over the {len(used)} windows" if len(used) > 1 else "")
    words.append(f"{fmt(len(run.state))} of {fmt(total)} samples are drawn"
                 if len(run.state) < total else f"all {fmt(total)} samples are drawn")
    if len(used) > 1:
        words.append("the bias spreads them along the collective variable, so their density is "
                     "not the equilibrium density")
    result = figure(pictures, esc(words[0]) + ". " + esc("; ".join(words[1:]).capitalize()) + ".")
    if values is not None:
        def observed_panel(axes):
            cloud(axes, values[0], values[1])
            axes.set_aspect("equal", adjustable="datalim")
            for label, text in ((axes.set_xlabel, 0), (axes.set_ylabel, 1)):
                label(plain(f"y{text + 1} = {run.observed[text]}"))
        result += figure(picture([observed_panel], "Samples as observed", height=3.8, width=6.4),
                         "The same samples as they are observed: what the generator learns.")
    return "cloud", "Samples", result


def observed_values(run, names):
    if len(run.observed) != 2 or run.observed == names:
        return None
    try:
        values = [evaluate(text, {**run.parameters, **dict(zip(names, run.state.T))})
                  for text in run.observed]
    except ValueError:
        return None
    return [np.broadcast_to(v, len(run.state)) for v in values]


def section_windows(run):
    if run.cv is None or run.window is None or not len(run.window):
        return None
    used = np.unique(run.window)
    centers = run.centers()
    colours = window_colours(len(used))
    effective = numbers([w.get("effective_samples") for w in run.windows])
    overlap, origin = overlaps(run)
    if run.two_cvs and run.cv.shape[1] >= 2:
        random = np.random.default_rng(3)
        keep = random.permutation(len(run.cv))[:CLOUD_POINTS]
        palette = colours[random.permutation(len(used))]

        def panel(axes):
            axes.scatter(run.cv[keep, 0], run.cv[keep, 1], s=3.2, linewidths=0, alpha=0.55,
                         c=palette[np.searchsorted(used, run.window[keep])], rasterized=True)
            if centers.shape[1] == 2:
                axes.plot(*centers.T, "o", ms=3, color=INK, label="window centres")
            axes.set_xlabel(plain(run.cv_labels[0]))
            axes.set_ylabel(plain(run.cv_labels[1]))

        def worst(axes):
            size = axes.scatter(*centers.T, c=effective, s=42, cmap="cividis", linewidths=0)
            bar = axes.figure.colorbar(size, ax=axes, pad=0.02, aspect=26)
            bar.outline.set_visible(False)
            bar.set_label("effective samples")
            axes.set_xlabel(plain(run.cv_labels[0]))
            axes.set_ylabel(plain(run.cv_labels[1]))
        show = [panel] + ([worst] if len(effective) == len(centers) and centers.shape[1] == 2
                          and np.isfinite(effective).any() else [])
        return "windows", "Windows", figure(
            picture(show, "Coverage of the collective variables", columns=2, height=3.6),
            f"Coverage of the two collective variables by {len(used)} windows"
            + ("; right, the effective number of samples of each window." if len(show) > 1
               else "."))

    edges, counts = window_histograms(run)
    density = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) / (edges[1] - edges[0])
    middle = (edges[1:] + edges[:-1]) / 2

    def histogram(axes):
        for k in range(len(used)):
            filled = np.nonzero(density[k])[0]
            if not len(filled):
                continue
            part = slice(max(filled[0] - 1, 0), filled[-1] + 2)
            axes.fill_between(middle[part], density[k, part], color=to_rgba(colours[k], 0.28),
                              linewidth=0)
            axes.plot(middle[part], density[k, part], color=colours[k], linewidth=1.0)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(f"p({plain(run.cv_symbols[0])} | window)")
        axes.set_xlabel(plain(run.cv_labels[0]))

    panels, heights = [histogram], [2.9]
    count = len(centers)
    if len(overlap) == count and count > 1 and np.isfinite(overlap).any():
        def overlap_panel(axes):
            axes.axhspan(0, MIN_OVERLAP, color="#f3d9c9", linewidth=0)
            between = (centers[:-1, 0] + centers[1:, 0]) / 2
            axes.plot(between, overlap[:-1], "o-", color=MUTED, lw=1, ms=3.2)
            axes.set_ylim(0, max(0.1, 1.15 * np.nanmax(overlap)))
            axes.set_ylabel("overlap with\nthe next")
            axes.set_xlabel(plain(run.cv_labels[0]))
        panels.append(overlap_panel)
        heights.append(1.15)
    if len(effective) == count and np.isfinite(effective).any():
        def effective_panel(axes):
            axes.plot(centers[:, 0], effective, "o-", color=MUTED, lw=1, ms=3.2)
            axes.set_yscale("log")
            low = min(MIN_EFFECTIVE, np.nanmin(effective[effective > 0], initial=MIN_EFFECTIVE))
            axes.set_ylim(low / 2.5, 2.5 * max(np.nanmax(effective), MIN_EFFECTIVE))
            axes.axhspan(low / 2.5, MIN_EFFECTIVE, color="#f3d9c9", linewidth=0)
            axes.yaxis.set_minor_locator(ticker.NullLocator())
            axes.set_ylabel("effective\nsamples")
            axes.set_xlabel(plain(run.cv_labels[0]))
        panels.append(effective_panel)
        heights.append(1.15)
    caption = (f"Distribution of the collective variable in each of the {len(used)} windows. "
               "Neighbours must overlap to be joined into one free energy.")
    if len(panels) > 1:
        caption += (" Below: overlap with the next window"
                    + (" (shared area of the histograms)" if origin.startswith("shared") else "")
                    if len(overlap) == count and count > 1 else "")
        caption += ("; " if "Below" in caption else " Below: ") + "the effective number of " \
            "samples, correlations taken out" if len(effective) == count else ""
        caption += f". Shaded: too little (overlap < {MIN_OVERLAP}, fewer than {MIN_EFFECTIVE} " \
            "samples)."
    return "windows", "Windows", figure(
        picture(panels, "Histograms of the windows", heights=heights, share=True), caption)


def section_free_energy(run):
    if run.free is None or not np.isfinite(run.free["free_energy"]).any():
        return None
    table, exact, scaled = run.free, aligned_exact(run), residuals(run)
    error = table.get("std_error", np.full(len(table["cv_1"]), math.nan))
    value = np.where(np.isfinite(table["free_energy"]), table["free_energy"], math.nan)
    method = str(run.stage("estimate").get("method")
                 or dig(run.config, "estimate", "method", default="")).upper().replace("_", " ")
    method = {"MBAR": "MBAR", "WHAM": "WHAM"}.get(method, method.lower())
    agreement = ""
    if scaled is not None:
        good = scaled[np.isfinite(scaled)]
        agreement = (f" {np.mean(np.abs(good) <= 2):.0%} of {fmt(len(good))} bins lie within two "
                     "standard errors of the exact answer (about 95% are expected; neighbouring "
                     "bins move together).")
    if "cv_2" in table:
        x, y = table["cv_1"], table["cv_2"]
        top = np.nanquantile(value, 0.995)
        unit = 1 / run.beta if math.isfinite(run.beta) and run.beta > 0 else top / 10
        lines = np.arange(unit, top, max(unit, unit * round(top / unit / 12)))

        def map_panel(axes):
            heat_map(run, axes, x, y, value, "F  (energy)", "viridis", (0, top), lines)

        def error_panel(axes):
            heat_map(run, axes, x, y, error, "standard error  (energy)", "cividis")

        def residual_panel(axes):
            limit = max(3.0, min(6.0, np.nanmax(np.abs(scaled))))
            heat_map(run, axes, x, y, scaled, "(F − exact) / standard error", "RdBu_r",
                     (-limit, limit))
        panels = [map_panel] + [error_panel] * bool(np.isfinite(error).any()) \
            + [residual_panel] * (scaled is not None)
        step = f" every {fmt(lines[1] - lines[0])}" if len(lines) > 1 else ""
        return "free-energy", "Free energy", figure(
            picture(panels, "Free energy of two collective variables", columns=2, height=3.5),
            esc(f"Free energy of the two collective variables ({method or 'estimate'}), minimum 0, "
                f"contours{step}; its standard error"
                + ("; and the difference from the exact answer in standard errors" if scaled
                   is not None else "") + ". Grey: never visited." + agreement))

    x = table["cv_1"]

    def curve(axes):
        if np.isfinite(error).any():
            axes.fill_between(x, value - 2 * error, value + 2 * error, linewidth=0,
                              color=to_rgba(COLOUR["physics"], 0.25), label="± 2 standard errors")
        axes.plot(x, value, color=COLOUR["physics"], label=f"F, {method}" if method else "F")
        if exact is not None:
            axes.plot(x, exact, color=COLOUR["exact"], lw=1.1, ls=(0, (4, 3)), label="exact")
        axes.set_ylabel(f"F({plain(run.cv_symbols[0])})  (energy)")
        axes.set_xlabel(plain(run.cv_labels[0]))
        if math.isfinite(run.beta) and run.beta > 0:
            right = axes.secondary_yaxis("right", functions=(lambda f: f * run.beta,
                                                             lambda f: f / run.beta))
            right.set_ylabel("βF  (kT)")
            right.spines["right"].set_visible(False)

    panels, heights = [curve], [3.5]
    if scaled is not None:
        def residual(axes):
            for width, shade in ((2, "#eef1f4"), (1, "#dfe5eb")):
                axes.axhspan(-width, width, color=shade, linewidth=0)
            axes.axhline(0, color=COLOUR["exact"], lw=0.9, ls=(0, (4, 3)))
            axes.plot(x, scaled, "o", ms=2.8, color=COLOUR["physics"])
            limit = max(3.2, min(8, 1.1 * np.nanmax(np.abs(scaled))))
            axes.set_ylim(-limit, limit)
            axes.yaxis.set_major_locator(ticker.MultipleLocator(2))
            axes.set_ylabel("(F − exact)\n/ std. error")
            axes.set_xlabel(plain(run.cv_labels[0]))
        panels.append(residual)
        heights.append(1.5)
    elif np.isfinite(error).any():
        def error_curve(axes):
            axes.plot(x, error, color=COLOUR["physics"])
            axes.set_ylim(bottom=0)
            axes.set_ylabel("std. error\n(energy)")
            axes.set_xlabel(plain(run.cv_labels[0]))
        panels.append(error_curve)
        heights.append(1.4)
    caption = "Free energy along the collective variable, minimum 0"
    caption += ", with a band of two standard errors" if np.isfinite(error).any() else ""
    caption += (" (correlated samples accounted for)" if np.isfinite(error).any() else "")
    caption += (" and the exact curve by quadrature. Below: the difference in standard errors, "
                "zero at the minimum by construction." if scaled is not None else
                ". Below: the standard error." if len(panels) > 1 else ".")
    return "free-energy", "Free energy", figure(
        picture(panels, "Free energy", heights=heights, share=True), esc(caption + agreement))


def section_moments(run):
    table = run.conditional
    if table is None or not len(table["cv_1"]):
        return None
    names = [v for v in dict.fromkeys(table["variable"]) if v not in run.cv_formulas]
    shown = names[:6]
    if not shown:
        return None
    error = table.get("mean_se", np.full(len(table["cv_1"]), math.nan))
    variance = table.get("variance", np.full(len(table["cv_1"]), math.nan))
    given = ", ".join(run.cv_symbols)
    panels = []

    if "cv_2" in table:
        for name in shown:
            mask = (table["variable"] == name) & (table["source"] == "physics")
            for label, column in ((f"E[{name} | {given}]", table["mean"]),
                                  (f"Var[{name} | {given}]", variance)):
                if mask.any() and np.isfinite(column[mask]).any():
                    panels.append(lambda axes, m=mask, c=column, t=label: heat_map(
                        run, axes, table["cv_1"][m], table["cv_2"][m], c[m], plain(t), "cividis"))

            def parity(axes, name=name, mask=mask):
                where = {(round(a, 9), round(b, 9)): m for a, b, m in zip(
                    table["cv_1"][mask], table["cv_2"][mask], table["mean"][mask])}
                for source in ("generator", "healed"):
                    rows = np.nonzero((table["variable"] == name) & (table["source"] == source))[0]
                    pairs = [(where.get((round(table["cv_1"][i], 9), round(table["cv_2"][i], 9))),
                              table["mean"][i]) for i in rows]
                    pairs = np.array([p for p in pairs if p[0] is not None])
                    if len(pairs):
                        axes.plot(*pairs.T, MARKER[source], color=COLOUR[source], ms=3,
                                  mfc="none", mew=0.8, label=source)
                axes.axline((np.nanmean(table["mean"][mask]),) * 2, slope=1, color=INK, lw=0.8)
                axes.set_xlabel(plain(f"E[{name} | {given}], physics"))
                axes.set_ylabel(plain(f"E[{name} | {given}], lifted"))
            if mask.any() and np.any((table["variable"] == name) & (table["source"] != "physics")):
                panels.append(parity)
        return None if not panels else (
            "moments", "Conditional moments", figure(
                picture(panels, "Conditional moments", columns=2, height=3.4),
                "Mean and variance of the fine variables given the collective variables"
                + (", and lifted against physical means (line: equality)."
                   if len(panels) > 2 * len(shown) else ".")))

    span = np.ptp(table["cv_1"]) or 1.0

    def rows(name, source):
        mask = (table["variable"] == name) & (table["source"] == source)
        order = np.argsort(table["cv_1"][mask])
        return [c[mask][order] for c in (table["cv_1"], table["mean"], error, variance)]

    def thin(x, offset):
        """About 36 points, so that the sources do not cover each other."""
        step = max(1, math.ceil(len(x) / 36))
        return slice(int(offset * step) % step, None, step)

    def exact_column(name, what):
        return run.exact.get(f"{what}_{name}") if run.exact is not None else None

    def moment(name, what):
        def panel(axes):
            seen = []
            curve = exact_column(name, what)
            if curve is not None:
                axes.plot(run.exact["cv_1"], curve, color=COLOUR["exact"], lw=1.1, label="exact")
                seen.append(curve)
            for i, source in enumerate(SOURCES):
                x, mean, se, var = rows(name, source)
                y = mean if what == "mean" else var
                if not len(x) or not np.isfinite(y).any():
                    continue
                part = thin(x, i / 3)
                bars = 2 * se[part] if what == "mean" and np.isfinite(se).any() else None
                axes.errorbar(x[part], y[part], yerr=bars, fmt=MARKER[source], ms=4.2,
                              mfc=COLOUR[source] if source == "physics" else "white", mew=1.0,
                              color=COLOUR[source], elinewidth=0.9, label=source)
                seen.append(y)
            values = np.concatenate(seen) if seen else np.array([])
            values = values[np.isfinite(values)]
            if what == "variance" and len(values) and values.min() > 0 \
                    and values.max() > 100 * values.min():
                axes.set_yscale("log")
            elif what == "variance":
                axes.set_ylim(bottom=0)
            axes.set_xlabel(plain(run.cv_labels[0]))
            axes.set_title(plain(f"{'E' if what == 'mean' else 'Var'}[{name} | {given}]"))
        return panel

    def difference(name):
        def panel(axes):
            base = exact_column(name, "mean")
            if base is not None and exact_column(name, "variance") is not None:
                bx, bm, bv, compared = (run.exact["cv_1"], base, exact_column(name, "variance"),
                                        SOURCES)
            else:
                bx, bm, _, bv = rows(name, "physics")
                compared = SOURCES[1:]
            axes.axhline(0, color=COLOUR["exact" if compared == SOURCES else "physics"], lw=1.1)
            for i, source in enumerate(compared):
                x, mean, se, _ = rows(name, source)
                if not len(x) or not len(bx):
                    continue
                with np.errstate(all="ignore"):
                    sigma = np.sqrt(np.interp(x, bx, bv))
                    part = thin(x, i / 3)
                    axes.errorbar(x[part], ((mean - np.interp(x, bx, bm)) / sigma)[part],
                                  yerr=(2 * se / sigma)[part] if np.isfinite(se).any() else None,
                                  fmt=MARKER[source], ms=4.2, mew=1.0, elinewidth=0.9,
                                  mfc=COLOUR[source] if source == "physics" else "white",
                                  color=COLOUR[source], label=source)
            low, high = axes.get_ylim()
            limit = max(0.05, abs(low), abs(high))
            axes.set_ylim(-limit, limit)
            axes.set_xlabel(plain(run.cv_labels[0]))
            axes.set_title("mean − " + ("exact" if compared == SOURCES else "physics")
                           + plain(f", in σ({name} | {given})"))
        return panel

    spanned = any(np.any((table["variable"] == n) & (table["source"] != "physics"))
                  or exact_column(n, "mean") is not None for n in shown)
    for name in shown:
        panels += [moment(name, "mean")]
        if np.isfinite(variance).any():
            panels += [moment(name, "variance")]
        panels += [difference(name)] if spanned else []
    present = [s for s in SOURCES if np.any(table["source"] == s)]
    caption = (f"Mean and variance of {listed(shown)} given the collective variable, from "
               f"{listed(present)}" + (", with the exact curves" if run.exact is not None and any(
                   exact_column(n, "mean") is not None for n in shown) else "") + ". ")
    caption += "Bars: two standard errors. " if np.isfinite(error).any() else ""
    caption += ("Physics means biased samples, reweighted; generator, states drawn by the network; "
                "healed, the same after a short restrained run. " if len(present) > 1 else "")
    caption += (f"{len(names) - len(shown)} further variables are in conditional.csv."
                if len(names) > len(shown) else "")
    del span
    return "moments", "Conditional moments", figure(
        picture(panels, "Conditional mean and variance", columns=len(panels) // len(shown),
                height=2.75), esc(caption))


def section_densities(run):
    if not run.conditions:
        return None
    names = run.fine_names()
    shown = [n for n in names if n not in run.cv_formulas][:2]
    extra = [v for v in dict.fromkeys(v for c in run.conditions for v in c["exact"])
             if v not in names]
    usable = [c for c in run.conditions if c["exact"] or any(s in c for s in SOURCES)]
    if not usable or not (shown or extra):
        return None
    count = len(usable)
    chosen = [usable[i] for i in np.unique(np.round(np.linspace(
        0.05 if count > 6 else 0, 0.95 if count > 6 else 1, min(6, count)) * (count - 1)).astype(
            int))]
    entries = w1_entries(run)
    given = ", ".join(run.cv_symbols)

    def density(condition, name):
        column = names.index(name) if name in names else None

        def panel(axes):
            data = {s: condition[s][:, column][np.isfinite(condition[s][:, column])]
                    for s in SOURCES if s in condition and column is not None}
            data = {s: v for s, v in data.items() if len(v) > 1}
            exact = condition["exact"].get(name)
            ends = [np.quantile(v, [0.001, 0.999]) for v in data.values()]
            if exact is not None and len(exact):
                high = exact[exact[:, 1] > 2e-3 * exact[:, 1].max(), 0]
                ends.append(np.array([high.min(), high.max()]))
            low, high = np.min(ends), np.max(ends)
            pad = 0.06 * (high - low) + 1e-12
            low, high = low - pad, high + pad
            for source, v in data.items():
                bins = int(np.clip(2.2 * len(v) ** (1 / 3), 10, 44))
                edges = np.linspace(low, high, bins + 1)
                share = np.histogram(v, edges)[0] / (len(v) * (edges[1] - edges[0]))
                if source == "physics":
                    axes.stairs(share, edges, fill=True, linewidth=0, label=source,
                                color=to_rgba(COLOUR[source], 0.27))
                else:
                    axes.stairs(share, edges, color=COLOUR[source], lw=1.4, label=source,
                                baseline=None, ls="-" if source == "generator" else (0, (5, 1.2)))
            if exact is not None:
                axes.plot(*exact.T, color=COLOUR["exact"], lw=1.1, label="exact")
            axes.set_xlim(low, high)
            axes.set_ylim(0, axes.get_ylim()[1] * 1.04)
            axes.yaxis.set_major_locator(ticker.MaxNLocator(4))
            axes.set_xlabel(plain(run.variable_label(name)))
            axes.set_title(plain(cv_text(run, condition["cv"])), fontweight="bold", pad=18)
            near = [e for e in entries if e["variable"] == name
                    and len(e["cv"]) == len(condition["cv"])
                    and np.allclose(e["cv"], condition["cv"], rtol=1e-6, atol=1e-9)]
            text = ",  ".join(f"{e['source']} {fmt(e['w1'], 2)}" for e in near)
            if text:
                axes.text(0, 1.03, f"W₁/σ: {text}", transform=axes.transAxes, fontsize=8.5,
                          color=MUTED, va="bottom")
        return panel

    result = ""
    sizes = [len(c[s]) for c in usable for s in SOURCES if s in c]
    for name in shown or extra[:2]:
        result += figure(
            picture([density(c, name) for c in chosen], f"Conditional densities of {name}",
                    columns=3, height=2.6, narrow_columns=1),
            esc(f"Conditional densities p({name} | {given}) at {len(chosen)} of {count} values of "
                f"the collective variable"
                + (f", up to {fmt(max(sizes))} states each" if sizes else "") + "."))
    return "densities", "Conditional densities", result + w1_figure(run, entries)


def w1_figure(run, entries):
    if not entries or run.two_cvs:
        return ""

    def panel(axes):
        for source in [s for s in ("generator", "healed") if any(
                e["source"] == s for e in entries)]:
            points = np.array(sorted((e["cv"][0], e["w1"]) for e in entries
                                     if e["source"] == source and len(e["cv"])))
            axes.plot(*points.T, MARKER[source], color=COLOUR[source], ms=4.6, mew=1.0,
                      mfc="white", label=source)
            axes.axhline(np.median(points[:, 1]), color=COLOUR[source], lw=0.9, ls=(0, (5, 3)))
        floors = np.array(sorted((e["cv"][0], e["floor"]) for e in entries
                                 if len(e["cv"]) and math.isfinite(e["floor"])))
        if len(floors):
            axes.plot(*floors.T, color=MUTED, lw=1.1, label="sampling floor")
        axes.set_yscale("log")
        axes.set_xlabel(plain(run.cv_labels[0]))
        axes.set_ylabel("W₁ / σ")
        log_ticks(axes)
    return figure(picture([panel], "Wasserstein distances", height=2.7),
                  "Wasserstein distance W₁ between lifted and reference states, in conditional "
                  "standard deviations; dashed: medians. Two samples of this size from one and the "
                  "same distribution lie about the floor apart.")


def log_ticks(axes):
    """Plain numbers at 1, 2, 5 where a log axis spans less than two decades."""
    low, high = axes.get_ylim()
    if low > 0 and high / low < 150:
        axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if high / low < 40
                                                       else (1, 3)))
        axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda v, _: f"{v:g}"))
    axes.yaxis.set_minor_formatter(ticker.NullFormatter())


def section_training(run):
    history = mapping(run.stage("train").get("history"))
    series = {k: numbers(v) for k, v in history.items()}
    series = {k: v for k, v in series.items() if len(v) > 1 and np.isfinite(v).any()}
    update = series.pop("update", np.array([]))
    distances = [k for k in ("w1_mean", "w1_worst") if k in series]
    losses = [k for k in series if k not in distances]
    if not losses and not distances:
        return None
    best, floor = number(run.stage("train").get("best_update")), number(
        run.stage("train").get("w1_floor"))
    shades = {"critic_loss": "#0072B2", "generator_loss": "#D55E00", "penalty": "#8a939d",
              "w1_mean": "#D55E00", "w1_worst": "#E9A27C"}
    words = {"w1_mean": "W₁, mean over conditions", "w1_worst": "W₁, worst condition"}

    def draw(axes, keys):
        for key in keys:
            y = series[key]
            x = update if len(update) == len(y) else np.linspace(
                0, update[-1] if len(update) else len(y) - 1, len(y))
            good = np.isfinite(y) & np.isfinite(x)
            axes.plot(x[good], y[good], label=words.get(key, key.replace("_", " ")),
                      color=shades.get(key), lw=1.3)
        if math.isfinite(best):
            axes.axvline(best, color=INK, lw=0.9, ls=":", label="kept (best)")
        axes.set_xlabel("generator updates")

    def loss_panel(axes):
        draw(axes, losses)
        values = np.concatenate([series[k][len(series[k]) // 50:] for k in losses])
        values = values[np.isfinite(values)]
        low, high = np.percentile(values, [0.2, 99.8])
        if high > low:
            axes.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
        axes.set_ylabel("loss")

    def distance_panel(axes):
        draw(axes, distances)
        if math.isfinite(floor):
            axes.axhline(floor, color=MUTED, lw=1.1, label="sampling floor")
        axes.set_yscale("log")
        axes.set_ylabel("W₁ / σ, held-out")
        log_ticks(axes)
    panels = [loss_panel] * bool(losses) + [distance_panel] * bool(distances)
    caption = "Training of the generator. "
    caption += "Losses. " if losses and not distances else ""
    if distances:
        caption += ("The distance to held-out physics samples, in conditional standard deviations, "
                    "decides which network is kept. ")
    caption += ("The floor is what two finite samples of the same law would show."
                if math.isfinite(floor) and distances else "")
    return "training", "Training", figure(
        picture(panels, "Training curves", columns=2, height=3.2), esc(caption))


def section_closure(run):
    table = run.closure
    if table is None or not len(table["cv_1"]):
        return None
    sources = list(dict.fromkeys(table["source"]))

    def panel_of(name, title):
        def panel(axes):
            shown = []
            for source in sources:
                mask = table["source"] == source
                order = np.argsort(table["cv_1"][mask])
                x, y = table["cv_1"][mask][order], table[name][mask][order]
                se = table.get(name + "_se", np.full(len(mask), math.nan))[mask][order]
                colour = COLOUR.get(source, MUTED)
                if source == "burst" or len(x) < 30:
                    axes.errorbar(x, y, yerr=2 * se if np.isfinite(se).any() else None,
                                  fmt=MARKER.get(source, "o"), ms=3.6, mfc="white", mew=1.0,
                                  color=colour, elinewidth=0.9, label=source)
                else:
                    axes.fill_between(x, y - 2 * se, y + 2 * se, linewidth=0,
                                      color=to_rgba(colour, 0.22))
                    axes.plot(x, y, color=colour, label=source)
                shown.append(y[np.isfinite(y)])
            values = np.concatenate(shown)
            if name == "diffusion" and len(values):
                axes.set_ylim(0, max(1.25 * np.quantile(values, 0.98), 1e-300))
            elif len(values):
                axes.axhline(0, color="#9aa3ad", lw=0.8)
            axes.set_xlabel(plain(run.cv_labels[0]))
            axes.set_ylabel(title)
        return panel
    symbol = run.cv_symbols[0]
    panels = [panel_of("drift", f"drift b({plain(symbol)})"),
              panel_of("diffusion", f"diffusion D({plain(symbol)})")]
    words = {"conditional": "conditional: averages over the fine variables at a fixed value",
             "burst": "burst: short unbiased runs"}
    told = "; ".join(words.get(s, s) for s in sources)
    return "closure", "Closure", figure(
        picture(panels, "Closure", columns=2, height=3.2),
        f"Reduced model dξ = b dt + √(2D) dW of the collective variable alone, with two standard "
        f"errors. {esc(told.capitalize())}.")


STAGE_ROWS = (("seconds", "time", seconds_text), ("steps", "trajectory-steps", fmt),
              ("updates", "updates", fmt), ("steps_per_second", "steps a second", fmt),
              ("updates_per_second", "updates a second", fmt),
              ("force_evaluations", "force evaluations", fmt),
              ("bytes_to_device", "host → device", bytes_text),
              ("bytes_to_host", "device → host", bytes_text),
              ("kernel_launches", "kernel launches", fmt))


def html_table(head, rows):
    lines = ["<div class=scroll><table><thead><tr>"
             + "".join(f"<th>{esc(h)}</th>" for h in head) + "</tr></thead><tbody>"]
    for row in rows:
        lines.append("<tr>" + f"<th>{esc(row[0])}</th>"
                     + "".join(f"<td>{esc(c)}</td>" for c in row[1:]) + "</tr>")
    return "".join(lines) + "</tbody></table></div>"


def spread(values, digits=3):
    values = values[np.isfinite(values)]
    return (f"{fmt(np.median(values), digits)} (from {fmt(values.min(), digits)} to "
            f"{fmt(values.max(), digits)})") if len(values) else None


def section_figures(run):
    stages = {k: v for k, v in mapping(run.metrics.get("stages")).items() if isinstance(v, dict)}
    known = {key for key, _, _ in STAGE_ROWS}
    rows = [[label] + [show(s[key]) if key in s else "–" for s in stages.values()]
            for key, label, show in STAGE_ROWS if any(key in s for s in stages.values())]
    parts = [html_table([""] + list(stages), rows)] if rows else []
    facts = []
    for name, stage in stages.items():
        for key, value in stage.items():
            if key not in known and isinstance(value, (str, int, float)):
                facts.append((f"{name}: {key.replace('_', ' ')}",
                              value if isinstance(value, str) else fmt(value)))
    inefficiency = numbers([w.get("inefficiency") for w in run.windows])
    effective = numbers([w.get("effective_samples") for w in run.windows])
    facts.append(("statistical inefficiency of a window, median", spread(inefficiency)))
    facts.append(("effective samples of a window, median", spread(effective)))
    if np.isfinite(effective).any():
        facts.append(("effective samples, all windows", fmt(np.round(np.nansum(effective)))))
    entries = w1_entries(run)
    for source in ("generator", "healed"):
        mine = [e for e in entries if e["source"] == source]
        if mine:
            worst = max(mine, key=lambda e: e["w1"])
            facts.append((f"W₁/σ, {source}", f"median {fmt(np.median([e['w1'] for e in mine]))}, "
                          f"worst {fmt(worst['w1'])} ({worst['variable']}, "
                          f"{cv_text(run, worst['cv'])})"))
    lifting = mapping(run.metrics.get("lifting"))
    if "constraint_residual" in lifting:
        facts.append(("constraint residual, RMS of ξ(G(z, s)) − s",
                      fmt(lifting["constraint_residual"])))
    if "heal_steps" in lifting:
        facts.append(("healing steps", fmt(lifting["heal_steps"])))
    facts += [("inverse temperature β", fmt(run.beta, 6) if math.isfinite(run.beta) else None)]
    for key in ("device", "threads", "seed", "math", "precision", "version", "versions", "build"):
        value = run.metrics.get(key)
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items())
        facts.append((key, str(value) if value is not None else None))
    parts.append(html_table(["figure", "value"], [f for f in facts if f[1] is not None]))
    centers = run.centers()
    if run.windows and len(centers) == len(run.windows):
        rows = [[str(i + 1), ", ".join(fmt(c) for c in centers[i])]
                + [fmt(w.get(k)) for k in ("stiffness", "inefficiency", "effective_samples",
                                           "overlap_next")] for i, w in enumerate(run.windows)]
        parts.append("<details><summary>All windows</summary>" + html_table(
            ["window", "centre", "stiffness", "inefficiency", "effective samples",
             "overlap with next"], rows) + "</details>")
    if run.config_text:
        parts.append("<details><summary>Configuration</summary>"
                     f"<pre>{esc(run.config_text.strip())}</pre></details>")
    return "figures", "Figures", "".join(parts)


# ---------------------------------------------------------------- page

CSS = """
:root{color-scheme:light}*{box-sizing:border-box}
body{margin:0;background:#fff;color:#22262b;font:17px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue","Liberation Sans",Arial,sans-serif;-webkit-text-size-adjust:100%}
main{max-width:940px;margin:0 auto;padding:44px 20px 80px}
h1,h2{font-family:Charter,"Bitstream Charter","Source Serif 4",Georgia,"Liberation Serif",serif;
font-weight:600;line-height:1.2}
h1{font-size:2.3rem;margin:.1em 0 .35em}h2{font-size:1.5rem;margin:2.6em 0 .5em;padding-top:.9em;
border-top:1px solid #e3e6ea}h2 span{color:#8a939d;font-weight:400;margin-right:.55em}
.over{color:#5c6570;font-size:.85rem;letter-spacing:.06em;text-transform:uppercase}
.formula{font:.88rem/1.6 ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;
background:#f6f7f9;padding:.75em 1em;border-radius:6px;overflow-wrap:anywhere;margin:.8em 0;
max-height:12em;overflow:auto}
nav{font-size:.92rem;margin:1.4em 0 0;color:#5c6570}nav a{color:#0b5a8f;text-decoration:none;
white-space:nowrap;margin-right:1.1em}nav a:hover{text-decoration:underline}
.box{border-left:4px solid #c77700;background:#fff7e8;padding:.9em 1.2em;border-radius:0 6px 6px 0;
margin:1.5em 0}.box.good{border-color:#00795a;background:#eef7f3}
.box.note{border-color:#9aa3ad;background:#f6f7f9;font-size:.93rem}
.box b{display:block;margin-bottom:.2em}.box ul{margin:.2em 0;padding-left:1.15em}
.box li{margin:.3em 0}.box p{margin:.2em 0}
figure{margin:1.2em 0 2em}figure img{width:100%;height:auto;display:block}
figcaption{color:#4a525b;font-size:.93rem;line-height:1.5;margin-top:.6em;max-width:46em}
.scroll{overflow-x:auto;margin:1em 0}table{border-collapse:collapse;font-size:.9rem;width:100%;
font-variant-numeric:tabular-nums}thead th{color:#5c6570;font-weight:600;border-bottom:1.5px solid
#c5ccd3;text-align:right;white-space:nowrap}th,td{padding:.38em .8em;text-align:right;
border-bottom:1px solid #edeff2}tbody th{font-weight:400;text-align:left}thead th:first-child{
text-align:left}th:first-child{padding-left:0}td{white-space:nowrap}
.facts td,.facts thead th:last-child{white-space:normal}
details{margin:1.2em 0}summary{cursor:pointer;color:#0b5a8f}
pre{background:#f6f7f9;padding:1em;border-radius:6px;overflow-x:auto;font-size:.82rem;line-height:1.5}
footer{margin-top:4em;color:#8a939d;font-size:.85rem}
@media(max-width:600px){body{font-size:16px}main{padding:24px 16px 60px}h1{font-size:1.75rem}
h2{font-size:1.3rem}table{font-size:.82rem}th,td{padding:.35em .5em}}
@media print{main{max-width:none}figure,.box,tr{break-inside:avoid}}
"""
SECTIONS = (section_cloud, section_windows, section_free_energy, section_moments,
            section_densities, section_training, section_closure, section_figures)


def header(run):
    names = ", ".join(run.variables)
    lines = []
    if run.potential:
        lines.append(f"V({names}) = {run.potential}")
    else:
        system = mapping(run.config.get("system"))
        for key, symbol in (("drift", "drift"), ("diffusion", "noise")):
            if system.get(key):
                lines.append(f"{symbol} = {system[key]}")
    known = {k: v for k, v in run.parameters.items() if isinstance(v, (int, float))}
    if known:
        lines.append("with " + ", ".join(f"{k} = {v:g}" for k, v in known.items()))
    if run.observed and run.observed != run.variables:
        lines.append("observed: " + ", ".join(run.observed))
    if run.cv_formulas and run.cv_formulas[0]:
        left = "ξ" if len(run.cv_formulas) == 1 else "(ξ₁, ξ₂)"
        lines.append(f"{left} = {', '.join(run.cv_formulas)}")
    sample, parts = run.stage("sample"), []
    count = len(run.windows) or (len(np.unique(run.window)) if run.window is not None else 0)
    replicas = number(dig(run.config, "umbrella", "replicas"))
    trajectories = number(sample.get("trajectories"), count * replicas)
    if trajectories > 0:
        parts.append(f"{fmt(trajectories)} trajectories"
                     + (f" in {several(count, 'window')}" if count else ""))
    elif count:
        parts.append(several(count, "window"))
    if number(sample.get("steps")) > 0:
        parts.append(f"{fmt(sample['steps'])} trajectory-steps")
    seconds = sum(filter(math.isfinite, (number(mapping(s).get("seconds")) for s in
                                         mapping(run.metrics.get("stages")).values())))
    sentence = ", ".join(parts)
    if math.isfinite(number(sample.get("seconds"))):
        sentence += f" in {seconds_text(sample['seconds'])}"
    if run.metrics.get("device"):
        threads = number(run.metrics.get("threads"))
        sentence += f" on {run.metrics['device']}" + (
            f" ({several(int(threads), 'thread')})" if threads > 0 else "")
    if seconds:
        sentence += f"; the whole run took {seconds_text(seconds)}"
    return (f'<div class=over>microlift run</div><h1>{esc(run.name.replace("_", " "))}</h1>'
            + (f"<p>{esc(sentence.strip())}.</p>" if sentence.strip() else "")
            + (f'<div class=formula>{"<br>".join(map(esc, lines))}</div>' if lines else ""))


def notices(run):
    def items(sentences):
        return "<ul>" + "".join(f"<li>{esc(s)}</li>" for s in sentences) + "</ul>"
    warnings, notes, passed = collect_warnings(run)
    result = ""
    if warnings:
        result += f'<div class=box id=warnings><b>Not to be trusted yet</b>{items(warnings)}</div>'
    elif passed:
        text = "; ".join(passed)
        result += ('<div class="box good" id=warnings><b>No warnings</b>'
                   f"<p>{esc(text[0].upper() + text[1:])}.</p></div>")
    if notes:
        result += f'<div class="box note" id=notes>{items(notes)}</div>'
    return result


def page(run):
    """The whole page as text."""
    style()
    sections = []
    for section in SECTIONS:
        with np.errstate(all="ignore"):
            result = section(run)
        if result:
            sections.append(result)
    links = "".join(f'<a href="#{i}">{esc(t)}</a>' for i, t, _ in sections)
    body = "".join(f'<section id="{i}"><h2><span>{n}</span>{esc(t)}</h2>{text}</section>\n'
                   for n, (i, t, text) in enumerate(sections, 1))
    version = run.metrics.get("version")
    return ("<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
            '<meta name=viewport content="width=device-width,initial-scale=1">'
            f"<title>microlift: {esc(run.name)}</title><style>{CSS}</style></head><body><main>\n"
            f"<header>{header(run)}<nav>{links}</nav></header>\n{notices(run)}\n{body}"
            f"<footer>microlift{' ' + esc(version) if isinstance(version, str) else ''}</footer>"
            "</main></body></html>\n")


def write_atomically(path, text):
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as problem:
        temporary.unlink(missing_ok=True)
        raise Broken(f"{path}: cannot be written: {problem.strerror}") from None


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Write DIR/report.html from the files of a run.")
    parser.add_argument("dir", metavar="DIR", help="directory of a `microlift run`")
    parser.add_argument("-o", "--output", metavar="FILE", help="instead of DIR/report.html")
    parser.add_argument("--quiet", action="store_true", help="do not print where the page lies")
    options = parser.parse_args(arguments)
    output = Path(options.output) if options.output else Path(options.dir) / "report.html"
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
