"""The systems of the calibration: a configuration each, and the figures of a finished run beside their
exact values."""
import csv
import json
import subprocess

import numpy as np

from exact import LearnedMap, Line


UNTRAINED = {"generator", "healed"}  # off by what the training left, which no error bar counts


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def column(lines, name):
    return np.array([float(line[name]) for line in lines])


def config(variables, potential, start, end, windows, stiffness, more):
    return f"""
[system]
variables = [{", ".join(f'"{v}"' for v in variables)}]
potential = "{potential}"
beta = 1.0
[integrator]
dt = 2e-3
[umbrella]
from = {start}
to = {end}
windows = {windows}
stiffness = {stiffness}
replicas = 16
equilibrate = 3000
steps = 20000
stride = 20
""" + more


class Case:
    """name, text (TOML), changes (--set), figures(folder): (quantity, values, errors, exact values), and
    prepare(command, folder, seed): text of a case that needs a run before."""

    def __init__(self, name, text, figures, changes=(), prepare=None):
        self.name, self.text, self.figures, self.changes = name, text, figures, tuple(changes)
        self.prepare = prepare


# --- what every run has ---------------------------------------------------------------------------


def free_energy(folder, exact):
    """Relative to the bin of the least value, as the errors are."""
    lines = [r for r in rows(folder / "free_energy.csv") if np.isfinite(float(r["free_energy"]))]
    value, error = column(lines, "free_energy"), column(lines, "std_error")
    at = [column(lines, name) for name in lines[0] if name.startswith("cv_")]
    right = exact(*at)
    least = int(np.argmin(value))
    kept = np.arange(len(value)) != least
    return (value - value[least])[kept], error[kept], (right - right[least])[kept]


def coefficients(folder, exact):
    """Drift and diffusion of every source of closure.csv."""
    lines = rows(folder / "closure.csv")
    for source in dict.fromkeys(r["source"] for r in lines):
        if source in UNTRAINED:
            continue
        own = [r for r in lines if r["source"] == source]
        at = [column(own, name) for name in own[0] if name.startswith("cv_")]
        for name in own[0]:
            if name + "_se" in own[0]:
                right = exact(name, *at) + 0 * at[0]
                # Beside the diagonal a tensor's numbers are small by those on it.
                size = (np.sqrt(exact("diffusion_11", *at) * exact("diffusion_22", *at))
                        if name == "diffusion_12" else 0.0)
                yield f"{name}, {source}", column(own, name), column(own, name + "_se"), right, size


def one(value, error, right):
    return np.array([value]), np.array([error]), np.array([right])


def closure(folder, line=None, rate=None, place=lambda cv: cv):
    """Times, rates and committors of the closures and of the full model; place: x of a value of the
    collective variable."""
    record = json.loads((folder / "metrics.json").read_text())["closure"]
    for source in record["sources"]:
        name = source["source"]
        if name in UNTRAINED:
            continue
        if rate is not None and source.get("rates"):
            r = source["rates"][0]
            yield (f"slowest rate, {name}", *one(r["value"], r["error"], rate))
        for p in source.get("passages", []) if line else []:
            right = line.mean_time(place(p["from"]), place(p["to"]))
            yield (f"first passage, {name}", *one(p["value"], p["error"], right))
            if "simulated" in p:
                yield (f"first passage, {name} simulated",
                       *one(p["simulated"], p["simulated_error"], right))
    points = record.get("committor", []) if line else []
    ends = sorted((source_end(record, 0), source_end(record, 1))) if points else None
    for point in points:
        low, high = (place(end) for end in ends)
        right = line.committor(place(point["cv"]), min(low, high), max(low, high))
        right = right if low < high else 1 - right
        for name in point:
            if name + "_error" in point:
                yield (f"committor, {name}", *one(point[name], point[name + "_error"], right))


def source_end(record, end):
    passages = next(s["passages"] for s in record["sources"] if s.get("passages"))
    return passages[-1]["to" if end else "from"]


# --- the systems ----------------------------------------------------------------------------------

CLOSURE = """
[estimate]
bins = 50
[closure]
values = 16
replicas = 512
relaxation = 2e7
passage_from = -1.0
passage_to = [0.0, 1.0]
passages = 1024
"""


def line_case(name, formula, force, line, start, end, stiffness, changes=()):
    text = config(["x"], formula, start, end, 11, stiffness, '[cv]\nvariables = ["x"]\n' + CLOSURE)
    rate = line.slowest_rate()

    def exact(quantity, x):
        return force(x) if quantity == "drift" else 1.0

    def figures(folder):
        yield ("free energy, mbar", *free_energy(folder, line.potential))
        yield from coefficients(folder, exact)
        yield from closure(folder, line, rate)

    return Case(name, text, figures, changes)


def harmonic():
    line = Line(lambda x: 0.5 * x * x, 1.0, -9.0, 9.0)
    return line_case("harmonic", "0.5*x^2", lambda x: -x, line, -2.5, 2.5, 8.0)


def double_well():
    line = Line(lambda x: 2 * (x * x - 1) ** 2, 1.0, -2.6, 2.6)
    return line_case("double_well", "2*(x^2-1)^2", lambda x: -8 * x * (x * x - 1), line, -1.8, 1.8,
                     30.0)


def tilted():
    """Two wells of unequal depth: estimates of bias were not chosen on it."""
    line = Line(lambda x: 3 * (x * x - 1) ** 2 + 0.5 * x, 1.0, -2.6, 2.6)
    return line_case("tilted", "3*(x^2-1)^2 + 0.5*x", lambda x: -12 * x * (x * x - 1) - 0.5, line, -1.7,
                     1.7, 40.0)


def estimator(method, store="samples"):
    """The free energy of the double well."""
    case = double_well()
    line = Line(lambda x: 2 * (x * x - 1) ** 2, 1.0, -2.6, 2.6)
    label = method + (", counts alone" if store == "histogram" else "")

    def figures(folder):
        yield (f"free energy, {label}", *free_energy(folder, line.potential))

    return Case(f"{method}_{store}", case.text, figures,
                ["closure.enabled=false", f'estimate.method="{method}"', f'umbrella.store="{store}"'])


def stiffness():
    """y about 0 with a stiffness k(x): what is averaged has noise."""
    def k(x):
        return 12 + 6 * np.sin(2 * x)

    def slope(x):
        return 12 * np.cos(2 * x)

    def energy(x):
        return 2 * (x * x - 1) ** 2 + 0.5 * np.log(k(x))

    line = Line(energy, 1.0, -2.6, 2.6)
    text = config(["x", "y"], "2*(x^2-1)^2 + 0.5*(12+6*sin(2*x))*(y-0.5*x)^2", -1.8, 1.8, 11, 30.0,
                  '[cv]\nvariables = ["x"]\n[generator]\niterations = 20\n' + CLOSURE)

    def exact(quantity, x):
        return -8 * x * (x * x - 1) - 0.5 * slope(x) / k(x) if quantity == "drift" else 1.0

    def figures(folder):
        yield ("free energy, mbar", *free_energy(folder, energy))
        means = [r for r in rows(folder / "conditional.csv")
                 if r["source"] == "physics" and r["variable"] == "y"
                 and np.isfinite(float(r["mean"]))]
        x = column(means, "cv_1")
        yield "conditional mean", column(means, "mean"), column(means, "mean_se"), 0.5 * x
        yield from coefficients(folder, exact)
        for figure in closure(folder, line, line.slowest_rate()):
            if "full" not in figure[0] and "direct" not in figure[0]:
                yield figure

    return Case("stiffness", text, figures, ["closure.bursts=false", "lifting.heal_steps=0"])


def plane():
    """Two collective variables: a double well beside a spring."""
    line = Line(lambda x: 2 * (x * x - 1) ** 2, 1.0, -2.6, 2.6)
    text = config(["x", "y"], "2*(x^2-1)^2 + y^2", [-1.6, -1.6], [1.6, 1.6], [9, 7], [20.0, 8.0], """
[cv]
variables = ["x", "y"]
[estimate]
bins = [24, 20]
[closure]
values = 144
replicas = 128
relaxation = 1e7
""")

    def exact(quantity, x, y):
        return {"drift_1": -8 * x * (x * x - 1), "drift_2": -2 * y, "diffusion_12": 0.0}.get(
            quantity, 1.0)

    def figures(folder):
        yield ("free energy, two variables",
               *free_energy(folder, lambda x, y: 2 * (x * x - 1) ** 2 + y * y))
        for name, *figure in coefficients(folder, exact):
            yield (f"two variables: {name}", *figure)
        for name, *figure in closure(folder, rate=line.slowest_rate()):
            yield (f"two variables: {name}", *figure)

    return Case("plane", text, figures, ["umbrella.replicas=4"])


def learned():
    """The double well along a coordinate that was learned from samples of it, another one for every
    seed: a function of x that rises everywhere, with structure finer than the values at which bursts
    start. Times, rates and committors know nothing of it; drift and diffusion along it follow from its
    derivatives."""
    line = Line(lambda x: 2 * (x * x - 1) ** 2, 1.0, -2.6, 2.6)
    base = double_well().text

    def prepare(command, folder, seed):
        (folder / "map.toml").write_text(base.split("[closure]")[0] +
                                         "[learn]\npoints = 600\nlandmarks = 48\nepsilon = 0.02\n")
        subprocess.run([command, "run", folder / "map.toml", "-o", folder / "map", "--no-report",
                        "--quiet", "--threads", "1", "--set", "umbrella.steps=4000",
                        "--seed", str(seed)],
                       check=True, capture_output=True)
        found = json.loads((folder / "map" / "diffusion_map.json").read_text())
        low, high = found["low"][0], found["high"][0]
        middle, reach = 0.5 * (low + high), 0.47 * (high - low)
        ends = [str(middle + part * reach) for part in (-0.5, 0.0)]
        more = f"""
[estimate]
bins = 50
[closure]
values = 24
replicas = 128
relaxation = 3e5
passage_from = {ends[0]}
passage_to = [{ends[1]}]
passages = 128
"""
        text = config(["x"], "2*(x^2-1)^2", middle - reach, middle + reach, 15, 60.0, f"""
[cv]
variables = [{{ kind = "diffusion_map", file = "{folder}/map/diffusion_map.json", name = "phi" }}]
""" + more)
        return text.replace("replicas = 16\n", "replicas = 8\n").replace("steps = 20000", "steps = 8000")

    def figures(folder):
        learned_map = LearnedMap(folder / "input_cv_1.json")
        x = np.linspace(-1.75, 1.75, 70001)
        phi = learned_map(x)[0]
        rises = phi > np.concatenate([[-np.inf], np.maximum.accumulate(phi)[:-1]])

        def place(value):
            return np.interp(value, phi[rises], x[rises])

        def exact(quantity, value):
            at = place(value)
            _, first, second = learned_map(at)
            if quantity == "diffusion":
                return first ** 2
            return second - 8 * at * (at * at - 1) * first

        for name, *figure in coefficients(folder, exact):
            yield (f"learned: {name}", *figure)
        for name, *figure in closure(folder, line, line.slowest_rate(),
                                     lambda value: float(place(value))):
            if "full" not in name and "direct" not in name:
                yield (f"learned: {name}", *figure)

    return Case("learned", None, figures, prepare=prepare)


CASES = {
    "harmonic": harmonic,
    "double_well": double_well,
    "tilted": tilted,
    "wham": lambda: estimator("wham"),
    "umbrella_integration": lambda: estimator("umbrella_integration"),
    "histogram": lambda: estimator("wham", "histogram"),
    "stiffness": stiffness,
    "plane": plane,
    "learned": learned,
}
