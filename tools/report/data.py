"""A run directory as the report reads it: tables, samples, figures of metrics.json, and the review
that says what is not to be trusted."""
import ast
import csv
import html
import json
import math
import re
import tomllib
from pathlib import Path

import h5py
import numpy as np

SOURCES = ("physics", "generator", "healed", "importance", "metropolis")

MIN_OVERLAP = 0.03       # Klimovich, Shirts and Mobley 2015: below this, neighbours hardly connect
MIN_EFFECTIVE = 50       # effective samples of a window
W1_WARN = 0.1            # of a standard deviation, and above twice the sampling floor
CLOUD_POINTS = 9000


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
        required = self.TABLES[path.stem]
        if path.stem == "closure":
            with open(path, encoding="utf-8") as file:
                if "cv_2" in file.readline():
                    required = self.CLOSURE_OF_TWO
        self.tables[path.stem] = read_table(path, required)

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


def html_table(head, rows, kind=""):
    def line(cells, tag):
        return "<tr>" + "".join(f"<{t}>{esc(str(c))}</{t}>" for t, c in zip(tag, cells)) + "</tr>"
    body = "".join(line(row, ["th"] + ["td"] * len(row)) for row in rows)
    return (f'<div class=scroll><table class="{kind}"><thead>{line(head, ["th"] * len(head))}'
            f"</thead><tbody>{body}</tbody></table></div>")


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
