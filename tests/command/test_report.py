#!/usr/bin/env python3
"""Tests of tools/report/report.py on mock run directories: exact samples, no engine needed.

    python3 tests/command/test_report.py                     run the tests
    python3 tests/command/test_report.py --make KIND DIR     only write a mock run (see MAKERS)
"""
import base64
import csv
import html.parser
import json
import math
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock
import xml.etree.ElementTree
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from command import BINARY, EXAMPLES, SOURCE  # noqa: E402

SCRIPT = SOURCE / "tools" / "report" / "report.py"
sys.path.insert(0, str(SCRIPT.parent))
import basins  # noqa: E402
import data  # noqa: E402
import draw  # noqa: E402
import findings  # noqa: E402
import layout  # noqa: E402
import palette  # noqa: E402
import report  # noqa: E402
import review  # noqa: E402
import words  # noqa: E402

MULLER_BROWN = ("-200*exp(-(x-1)^2 - 10*y^2) - 100*exp(-x^2 - 10*(y-0.5)^2)"
                " - 170*exp(-6.5*(x+0.5)^2 + 11*(x+0.5)*(y-1.5) - 6.5*(y-1.5)^2)"
                " + 15*exp(0.7*(x+1)^2 + 0.6*(x+1)*(y-1) + 0.7*(y-1)^2)")



def muller_brown(x, y):
    return sum(h * np.exp(a * (x - x0)**2 + b * (x - x0) * (y - y0) + c * (y - y0)**2)
               for h, a, b, c, x0, y0 in ((-200, -1, 0, -10, 1, 0), (-100, -1, 0, -10, 0, 0.5),
                                          (-170, -6.5, 11, -6.5, -0.5, 1.5),
                                          (15, 0.7, 0.6, 0.7, -1, 1)))


# ---------------------------------------------------------------- mock runs

def write_csv(path, header, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([[f"{v:.17g}" if isinstance(v, float) else v for v in row]
                          for row in rows])


def sample(random, density, axes, count):
    """Samples of a density given on a product grid, jittered within the cells."""
    flat = random.choice(density.size, count, p=density.ravel() / density.sum())
    index = np.unravel_index(flat, density.shape)
    return np.stack([a[i] + (random.random(count) - 0.5) * (a[1] - a[0])
                     for a, i in zip(axes, index)], axis=1)


def wham(counts, bias, start=0.0, rounds=600):
    """-log of the unbiased bin probabilities and the windows' constants; bias in kT."""
    total, n = counts.sum(axis=0), counts.sum(axis=1)
    f = np.zeros(len(n)) + start
    for _ in range(rounds):
        p = total / np.maximum((n[:, None] * np.exp(f[:, None] - bias)).sum(axis=0), 1e-300)
        new = -np.log((p[None, :] * np.exp(-bias)).sum(axis=1))
        change = np.max(np.abs(new - new[0] - f))
        f = new - new[0]
        if change < 1e-5:
            break
    with np.errstate(divide="ignore"):
        return -np.log(p), f


def wasserstein(a, b):
    """W1 of two samples of equal size."""
    return np.mean(np.abs(np.sort(a) - np.sort(b)))


def make_muller_brown(folder, per_window=4000, windows=28, bad=False):
    """A complete run of Müller–Brown at kT = 15, sampled exactly from the biased densities."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    kt, stiffness = 15.0, 500.0
    gx, gy = np.linspace(-1.75, 1.45, 801), np.linspace(-0.9, 2.4, 661)
    energy = muller_brown(gx[:, None], gy[None, :])
    boltzmann = np.exp(-(energy - energy.min()) / kt)
    centers = np.linspace(-1.5, 1.2, windows)
    bins = 109
    edges = np.linspace(-1.5, 1.2, bins + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    bias = stiffness / 2 / kt * (middle[None, :] - centers[:, None]) ** 2
    states, counts = [], np.zeros((windows, bins))
    for k, c in enumerate(centers):
        biased = boltzmann * np.exp(-stiffness / 2 / kt * (gx - c) ** 2)[:, None]
        states.append(sample(random, biased, (gx, gy), per_window))
        counts[k] = np.histogram(states[-1][:, 0], edges)[0]
    start = np.interp(centers, gx, -np.log(boltzmann.sum(axis=1)))  # only saves rounds
    free, start = wham(counts, bias, start - start[0])
    free *= kt
    replicas = np.array([kt * wham(random.poisson(counts), bias, start, 100)[0]
                         for _ in range(40)])  # Poisson bootstrap
    lowest = np.argmin(free)
    replicas[~np.isfinite(replicas)] = np.nan
    seen = np.isfinite(free)
    error = np.full(bins, np.nan)
    error[seen] = np.nanstd(replicas[:, seen] - replicas[:, [lowest]], axis=0, ddof=1)
    free -= free[lowest]
    write_csv(folder / "free_energy.csv", ["cv_1", "free_energy", "std_error"],
              zip(middle, free, np.maximum(error, 1e-3)))

    marginal = boltzmann.sum(axis=1)
    mean_grid = (boltzmann * gy).sum(axis=1) / marginal
    var_grid = (boltzmann * gy ** 2).sum(axis=1) / marginal - mean_grid ** 2
    exact_f = np.interp(middle, gx, -kt * np.log(marginal))
    mean, var = np.interp(middle, gx, mean_grid), np.interp(middle, gx, var_grid)
    write_csv(folder / "exact.csv",
              ["cv_1", "free_energy", "mean_x", "variance_x", "mean_y", "variance_y"],
              zip(middle, exact_f - exact_f.min(), middle, np.zeros(bins), mean, var))
    n_bin = np.maximum(counts.sum(axis=0), 5)
    rows = []
    for source, shift, scale in (("physics", 0.0, 1.0), ("generator", 0.03, 1.05),
                                 ("healed", 0.006, 1.01)):
        se = np.sqrt(var / (n_bin if source == "physics" else 20000))
        wave = shift * np.sqrt(var) * np.sin(5 * middle)
        noisy = mean + wave + se * random.normal(size=bins)
        spread = var * scale * random.chisquare(n_bin) / n_bin
        rows += [(float(a), "x", float(a), 1e-3, 1e-5, source) for a in middle]
        rows += [(float(a), "y", float(m), float(s), float(v), source)
                 for a, m, s, v in zip(middle, noisy, se, spread)]
    write_csv(folder / "conditional.csv",
              ["cv_1", "variable", "mean", "mean_se", "variance", "source"], rows)

    gradient = np.gradient(energy, gx, axis=0)
    drift = np.interp(middle, gx, -(boltzmann * gradient).sum(axis=1) / marginal)
    spread_b = np.interp(middle, gx, np.sqrt((boltzmann * gradient ** 2).sum(axis=1) / marginal))
    se = spread_b / np.sqrt(n_bin)
    rows = [(float(a), float(d + s * random.normal()), float(s), kt, 1e-6, "conditional")
            for a, d, s in zip(middle, drift, se)]
    for a in centers[1:-1]:
        d = float(np.interp(a, middle, drift))
        rows.append((float(a), 0.35 * d + 6 * random.normal(), 6.0,
                     11.0 + 0.5 * random.normal(), 0.5, "burst"))
    write_csv(folder / "closure.csv",
              ["cv_1", "drift", "drift_se", "diffusion", "diffusion_se", "source"], rows)

    state = np.stack(states, axis=1).reshape(-1, 2)  # sample-major, as the engine stores
    window = np.tile(np.arange(windows, dtype=np.int32), per_window)
    with h5py.File(folder / "samples.h5", "w") as file:
        file["state"] = state.astype(np.float32)
        file["cv"] = state[:, :1]
        file["window"] = window
        file["weight"] = stiffness / 2 / kt * (state[:, 0] - centers[window]) ** 2
        file["state"].attrs["units"] = "1"
    write_potential(folder, state, muller_brown, lambda x, y: [x])

    w1 = []
    with h5py.File(folder / "lifted.h5", "w") as file:
        for i, c in enumerate(np.linspace(-1.4, 1.1, 24)):
            group = file.create_group(f"cond_{i:03d}")
            group.attrs["cv"] = c
            column = boltzmann[np.argmin(np.abs(gx - c))]
            y = sample(random, column[:, None], (gy, np.array([0.0, 1e-9])), 12000)[:, 0]
            sigma = y.std()
            fake = y.mean() + 0.04 * sigma + 1.03 * (y - y.mean()) + 0.12 * sigma * \
                random.normal(size=len(y))
            other = sample(random, column[:, None], (gy, np.array([0.0, 1e-9])), 12000)[:, 0]
            for name, value in (("physics", y[:2500]), ("generator", fake), ("healed", other)):
                group[name] = np.stack([np.full(len(value), c), value], axis=1).astype(np.float32)
            group["exact_y"] = np.stack([gy, column / column.sum() / (gy[1] - gy[0])], axis=1)
            for source, value in (("generator", fake), ("healed", other)):
                w1.append({"cv": [float(c)], "variable": "y", "source": source,
                           "w1_over_sigma": float(wasserstein(value, y) / sigma),
                           "floor": 1.822 / np.sqrt(12000)})

    update = np.arange(0, 6001, 20)
    decay = np.exp(-update / 900)
    sparse = [None if u % 200 else 1 for u in update]
    w1_mean = 0.02 + 0.8 * decay + 0.004 * random.random(len(update))
    w1_worst = w1_mean * (2.2 + 0.5 * random.random(len(update)))
    history = {"update": update.tolist(),
               "critic_loss": (-1.5 * decay - 0.02 + 0.02 * random.normal(size=301)).tolist(),
               "generator_loss": (0.5 * decay + 0.1 * random.normal(size=301)).tolist(),
               "penalty": (0.1 * decay + 0.01 * random.random(301)).tolist(),
               "w1_mean": [s and float(v) for s, v in zip(sparse, w1_mean)],
               "w1_worst": [s and float(v) for s, v in zip(sparse, w1_worst)]}
    overlap = np.minimum(counts[:-1] / per_window, counts[1:] / per_window).sum(axis=1)
    inefficiency = 2 + 14 * np.exp(-((centers + 0.2) / 0.3) ** 2)
    listed = [{"center": [float(c)], "stiffness": stiffness, "inefficiency": float(g),
               "effective_samples": float(256 * 1000 / g),
               "overlap_next": float(overlap[i]) if i + 1 < windows else None}
              for i, (c, g) in enumerate(zip(centers, inefficiency))]
    if bad:
        listed[9]["overlap_next"], listed[20]["effective_samples"] = 0.004, 12.0
    metrics = {
        "version": "0.1.0", "device": "CPU, 16 lanes", "threads": 2, "seed": 1,
        "system": {"name": "muller_brown", "variables": ["x", "y"], "observed": [],
                   "potential_formula": MULLER_BROWN, "parameters": {}, "beta": 1 / kt},
        "stages": {
            "sample": {"seconds": 3.4, "steps": 860160000, "steps_per_second": 2.53e8,
                       "force_evaluations": 860160000, "bytes_to_device": 4096,
                       "bytes_to_host": 57344000, "kernel_launches": 1002},
            "estimate": {"seconds": 6.1, "method": "mbar", "residual": 3.1e-9, "iterations": 41,
                         "converged": not bad, "kernel_launches": 82, "bytes_to_host": 8800,
                         "bytes_to_device": 0},
            "train": {"seconds": 78.2, "history": history, "best_update": 5600, "updates": 6000,
                      "w1_floor": 0.012, "updates_per_second": 76.7, "kernel_launches": 480000,
                      "bytes_to_device": 0, "bytes_to_host": 0},
            "close": {"seconds": 0.4, "kernel_launches": 40}},
        "windows": listed,
        "lifting": {"constraint_residual": 2.1e-7, "heal_steps": 2000, "w1": w1},
        "warnings": ["Replica exchange is off, and <b>x</b> & y relax slowly near x = -0.2."]
        if bad else []}
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    (folder / "config.toml").write_text(f"""seed = 1
[system]
name = "muller_brown"
beta = {1 / kt:.6g}
[cv]
variables = ["x"]
[umbrella]
from = -1.5
to = 1.2
windows = {windows}
stiffness = {stiffness}
replicas = 256
[estimate]
method = "mbar"
bins = {bins}
""", encoding="utf-8")


def make_warned(folder):
    make_muller_brown(folder, per_window=1000, bad=True)


def make_weighed(folder):
    """Müller–Brown with weighed proposals, measured healing and a second kind of generator."""
    make_muller_brown(folder)
    with open(folder / "free_energy.csv") as file:
        free = [[float(v) for v in row] for row in list(csv.reader(file))[1:]]
    with open(folder / "conditional.csv") as file:
        rows = list(csv.reader(file))
    for source in ("importance", "metropolis"):
        rows += [row[:-1] + [source] for row in rows[1:] if row[1] == "y"
                 and row[-1] == "physics"]
    write_csv(folder / "conditional.csv", rows[0], rows[1:])
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["proposals"] = {
        "each": 4096, "acceptance": {"median": 0.871, "worst": 0.012},
        "effective": {"median": 0.953, "worst": 0.44},
        "values": [{"cv": [a], "acceptance": 0.9, "effective": 0.95, "unusable": 0.0,
                    "free_energy": f + 3.0, "free_energy_se": 0.05} for a, f, _ in free]}
    metrics["lifting"]["heal_steps"] = 1234
    metrics["lifting"]["relaxation"] = [{"cv": [-0.5], "steps": 246.0, "resolved": True},
                                        {"cv": [0.5], "steps": 312.0, "resolved": False}]
    metrics["compare"] = [
        {"kind": "flow", "updates": 16000, "seconds": 41.5, "best_w1": 0.021,
         "median": 0.0113, "worst": 0.041},
        {"kind": "energy", "updates": 16000, "seconds": 17.5, "best_w1": 0.025}]
    (folder / "metrics.json").write_text(json.dumps(metrics))


def write_samples(folder, state, cv, window):
    with h5py.File(folder / "samples.h5", "w") as file:
        file["state"], file["cv"], file["window"] = np.float32(state), np.float32(cv), window
        file["state"].attrs["units"] = [""] * state.shape[1]


def write_potential(folder, state, potential=None, cvs=None, observed=None, most=9000):
    """potential.h5 as a run leaves it: what is drawn of the samples, and functions on a grid."""
    rows = np.sort(np.random.default_rng(9).permutation(len(state))[:most])
    with h5py.File(folder / "potential.h5", "w") as file:
        file.attrs["format"] = "microlift potential 1"
        file["sample"] = rows
        if potential:
            file["sample_potential"] = potential(*state[rows].T)
        if observed:
            file["observed"] = np.stack(observed(*state[rows].T), axis=1)
        if state.shape[1] > 2:
            return
        box = np.quantile(state[rows], [0.0005, 0.9995], axis=0)
        box += 0.12 * (box[1] - box[0]) * np.array([[-1], [1]])
        axes = [np.linspace(*side, 600 if state.shape[1] == 1 else 300) for side in box.T]
        for i, axis in enumerate(axes, 1):
            file[f"axis_{i}"] = axis
        grid = np.meshgrid(*axes)
        if potential:
            file["potential"] = potential(*grid)
        file["cv"] = np.stack(np.broadcast_arrays(*(cvs(*grid) if cvs else grid)))


def make_two_cvs(folder):
    """Three variables, two collective ones: z | x, y is normal about x*y; F = 4 ((x²-1)² + (y²-1)²)
    for beta = 1, up to a constant."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(3)
    axis = np.linspace(-1.4, 1.4, 8)
    centers = np.array([(a, b) for a in axis for b in axis])
    xy = np.repeat(centers, 300, axis=0) + 0.12 * random.normal(size=(64 * 300, 2))
    z = xy[:, 0] * xy[:, 1] + 0.5 * random.normal(size=len(xy))
    write_samples(folder, np.column_stack([xy, z]), xy, np.repeat(np.arange(64), 300))
    bins = np.linspace(-1.5, 1.5, 31)
    rows, exact, moments = [], [], []
    for a in bins:
        for b in bins:
            f = 4 * ((a * a - 1) ** 2 + (b * b - 1) ** 2)
            se = 0.05 + 0.02 * f
            seen = abs(a) + abs(b) < 2.9
            rows.append((a, b, f + se * random.normal() if seen else float("nan"), se))
            exact.append((a, b, f))
            for source in ("physics", "generator"):
                moments.append((a, b, "z", a * b + 0.03 * random.normal(), 0.03, 0.25, source))
    write_csv(folder / "free_energy.csv", ["cv_1", "cv_2", "free_energy", "std_error"], rows)
    write_csv(folder / "exact.csv", ["cv_1", "cv_2", "free_energy"], exact)
    write_csv(folder / "conditional.csv",
              ["cv_1", "cv_2", "variable", "mean", "mean_se", "variance", "source"], moments)
    with h5py.File(folder / "lifted.h5", "w") as file:
        for i, (a, b) in enumerate(centers[::5]):
            group = file.create_group(f"cond_{i:03d}")
            group.attrs["cv"] = [a, b]
            for name, n in (("physics", 400), ("generator", 5000)):
                group[name] = np.column_stack([np.full(n, a), np.full(n, b),
                                               a * b + 0.5 * random.normal(size=n)])
    metrics = {"system": {"name": "two <cvs>", "variables": ["x", "y", "z"], "beta": 1.0,
                          "potential_formula": "4*(x^2-1)^2 + 4*(y^2-1)^2 + 2*(z-x*y)^2"},
               "windows": [{"center": c.tolist(), "effective_samples": 200 + 100 * c[0]}
                           for c in centers]}
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    (folder / "config.toml").write_text('[cv]\nvariables = ["x", "y"]\n', encoding="utf-8")


def make_one_variable(folder):
    """The double well: no conditional distribution, no generator, no exact curve."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(4)
    centers = np.linspace(-1.5, 1.5, 13)
    x = np.repeat(centers, 800) + 0.15 * random.normal(size=13 * 800)
    write_samples(folder, x[:, None], x, np.repeat(np.arange(13), 800))
    write_potential(folder, x[:, None], lambda x: (x * x - 1) ** 2)
    bins = np.linspace(-1.6, 1.6, 60)
    f = (bins ** 2 - 1) ** 2
    write_csv(folder / "free_energy.csv", ["cv_1", "free_energy", "std_error"],
              zip(bins, f, 0.02 + 0.05 * np.abs(bins)))
    (folder / "config.toml").write_text(
        '[system]\nname = "double_well"\nbeta = 3.0\nvariables = ["x"]\n'
        'potential = "h*(x^2-1)^2"\nparameters = { h = 1.0 }\n[cv]\nvariables = ["x"]\n',
        encoding="utf-8")


def make_many_variables(folder):
    """Six variables and a CV that is a formula; samples and conditional moments only."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(5)
    names = [f"q{i}" for i in range(1, 7)]
    centers = np.linspace(-2, 2, 9)
    s = np.repeat(centers, 500) + 0.3 * random.normal(size=4500)
    state = random.normal(size=(4500, 6)) + 0.5 * s[:, None] * np.arange(6)
    write_samples(folder, state, s, np.repeat(np.arange(9), 500))
    bins = np.linspace(-2, 2, 41)
    write_csv(folder / "conditional.csv",
              ["cv_1", "variable", "mean", "mean_se", "variance", "source"],
              [(b, n, 0.5 * b * i + 0.05 * random.normal(), 0.05, 1.0, source)
               for source in ("physics", "generator") for i, n in enumerate(names) for b in bins])
    drift = ", ".join(f'"-{n}"' for n in names)
    (folder / "config.toml").write_text(
        f"[system]\nvariables = {names}\ndrift = [{drift}]\n"
        '[cv]\nvariables = ["sqrt(q1^2 + q2^2)*tanh(q3)"]\n', encoding="utf-8")


def make_observed(folder):
    """fast_slow: no potential, two observed functions, exact moments of what is observed."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(6)
    centers = np.linspace(-2, 2, 20)
    x1 = np.repeat(centers, 400) + 0.1 * random.normal(size=8000)
    x2 = 1 + np.sqrt(0.05) * random.normal(size=8000)
    write_samples(folder, np.column_stack([x1, x2]), x1, np.repeat(np.arange(20), 400))
    write_potential(folder, np.column_stack([x1, x2]), cvs=lambda x1, x2: [x1], observed=lambda x1,
                    x2: [
        x2 * np.cos(x1 + x2 - 1), x2 * np.sin(x1 + x2 - 1)])
    bins = np.linspace(-2, 2, 81)
    s2 = 0.05
    mean = {"y1": np.exp(-s2 / 2) * (np.cos(bins) - s2 * np.sin(bins)),
            "y2": np.exp(-s2 / 2) * (np.sin(bins) + s2 * np.cos(bins))}
    write_csv(folder / "exact.csv", ["cv_1", "mean_y1", "mean_y2"],
              zip(bins, mean["y1"], mean["y2"]))
    write_csv(folder / "conditional.csv",
              ["cv_1", "variable", "mean", "mean_se", "variance", "source"],
              [(b, n, m[i] + 0.01 * random.normal(), 0.01, 0.048, source)
               for source in ("physics", "generator") for n, m in mean.items()
               for i, b in enumerate(bins)])
    with h5py.File(folder / "lifted.h5", "w") as file:
        for i, c in enumerate(np.linspace(-1.8, 1.8, 9)):
            group = file.create_group(f"cond_{i:03d}")
            group.attrs["cv"] = c
            x2 = 1 + np.sqrt(0.05) * random.normal(size=3000)
            y = np.column_stack([x2 * np.cos(c + x2 - 1), x2 * np.sin(c + x2 - 1)])
            group["physics"], group["generator"] = y[:1000], y[1000:]
    metrics = {"system": {"name": "fast_slow", "variables": ["x1", "x2"],
                          "observed": ["x2*cos(x1+x2-1)", "x2*sin(x1+x2-1)"]},
               "lifting": {"w1": [{"cv": 0.0, "variable": "y1", "w1_over_sigma": 0.4}]}}
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    (folder / "config.toml").write_text('[cv]\nvariables = ["x1"]\n', encoding="utf-8")


MAKERS = {"muller_brown": make_muller_brown, "warned": make_warned, "weighed": make_weighed,
          "two_cvs": make_two_cvs,
          "one_variable": make_one_variable, "many_variables": make_many_variables,
          "observed": make_observed}

MADE = tempfile.TemporaryDirectory()  # one of each kind


def mock(kind):
    """The folder of a mock run."""
    folder = Path(MADE.name) / kind
    if not folder.is_dir():
        MAKERS[kind](folder)
    return folder


# ---------------------------------------------------------------- tests

class Page(html.parser.HTMLParser):
    """What a browser would find: sections, figures, links, text."""

    def __init__(self, text):
        super().__init__()
        self.sections, self.identifiers, self.references, self.pieces = [], [], [], []
        self.tags, self.data = [], []
        self.boxes, self.open, self.size = {}, [], len(text.encode())
        self.feed(text)
        self.text = re.sub(r"[ \n]+", " ", " ".join(self.pieces))
        self.plots = re.findall(r"<svg class=plot .*?</svg>", text, re.S)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append(tag)
        if tag == "section":
            self.sections.append(found["id"])
        self.identifiers += [found["id"]] if "id" in found else []
        self.references += [found[name] for name in ("src", "srcset", "href") if name in found]
        self.open += [found.get("id")] if tag == "div" else []

    def handle_endtag(self, tag):
        if tag == "div":
            self.open.pop()

    def handle_data(self, data):
        data = data.replace("\u00a0", " ")
        if self.tags[-1:] == ["script"]:
            self.data.append(data)
        elif self.tags[-1:] != ["style"]:
            self.pieces.append(data)
        for name in filter(None, self.open):
            self.boxes[name] = self.boxes.get(name, "") + data


def run_script(*arguments):
    return subprocess.run([sys.executable, str(SCRIPT), *map(str, arguments)], text=True,
                          capture_output=True, env={**os.environ, "PYTHONWARNINGS": "error::"
                                                    "RuntimeWarning"}, timeout=120)


class TestPages(unittest.TestCase):
    """Whole pages of every kind of run."""

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.root = Path(cls.temporary.name)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def page(self, kind):
        folder = mock(kind)
        if not (folder / "report.html").exists():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            result = run_script(folder)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertEqual(result.stdout.strip(), str(folder / "report.html"))
            self.assertLess(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 20)
        page = Page((folder / "report.html").read_text(encoding="utf-8"))
        self.check_self_contained(page)
        self.assertEqual([f for f in os.listdir(folder) if f.endswith(".tmp")], [])
        return page

    def check_self_contained(self, page):
        self.assertLess(page.size, 2_500_000)
        self.assertEqual(len(page.identifiers), len(set(page.identifiers)))
        for reference in page.references:
            if reference.startswith("data:"):
                kind, data = re.fullmatch(r"data:image/(png);base64,(.*)", reference).groups()
                self.assertEqual(base64.b64decode(data, validate=True)[:8], b"\x89PNG\r\n\x1a\n")
            else:
                self.assertEqual(reference[0], "#", reference)
                self.assertIn(reference[1:], page.identifiers)
        self.assertNotIn("link", page.tags)
        for plot in page.plots:
            start = plot.replace("class=plot role=img", "class='plot' role='img'")
            self.assertEqual(xml.etree.ElementTree.fromstring(start).tag, "svg")
            # Colours are the page's, so that they follow its theme; white on a map stays white.
            self.assertLessEqual(set(re.findall("#[0-9a-f]{6}", re.sub("base64,[^\"]*", "", plot)))
                                 & set(palette.LIGHT.values()), set())

    def test_complete_run(self):
        page = self.page("muller_brown")
        self.assertEqual(page.sections, ["found", "free-energy", "samples", "moments", "densities",
                                         "training", "closure", "figures"])
        self.assertEqual(len(page.plots), 2 + 4 + 3 + 7 + 2 + 2)
        self.assertIn("7\u202f168 trajectories in 28 windows, 8.60 × 10⁸ trajectory-steps in 3.4 s "
                      "on CPU, 16 lanes (2 threads)", page.text)
        self.assertIn("V(x, y) = -200*exp", page.text)
        self.assertIn("disagree", page.boxes["warnings"])
        self.assertNotIn("overlap", page.boxes["warnings"])

    def test_proposals_healing_and_kinds(self):
        page = self.page("weighed")
        for section in ("proposals", "healing", "comparison"):
            self.assertIn(section, page.sections)
        self.assertEqual(len(page.plots), 20 + 2 + 2)
        for text in ("0.871", "0.012", "1\u202f234 steps", "0.0113", "41.5"):
            self.assertIn(text, page.text)

    def test_figures_are_those_of_the_files(self):
        page = self.page("muller_brown")
        folder = mock("muller_brown")
        metrics = json.loads((folder / "metrics.json").read_text())
        for source in ("generator", "healed"):
            w1 = [e["w1_over_sigma"] for e in metrics["lifting"]["w1"] if e["source"] == source]
            self.assertIn(f"W₁/σ, {source} median {words.fmt(float(np.median(w1)))}, worst "
                          f"{words.fmt(max(w1))} (y, x = ", page.text)
        with open(folder / "free_energy.csv") as file:
            free = np.array([[float(v) for v in row] for row in list(csv.reader(file))[1:]])
        with open(folder / "exact.csv") as file:
            exact = np.array([[float(v) for v in row[:2]] for row in list(csv.reader(file))[1:]])
        lowest = np.argmin(free[:, 1])
        z = (free[:, 1] - exact[:, 1] + exact[lowest, 1] - free[lowest, 1]) / free[:, 2]
        self.assertIn(f"{np.mean(np.abs(z) <= 2):.0%} of 109 bins lie within two", page.text)
        for text in ("2.53 × 10⁸", "57.3 MB", "3.10 × 10⁻⁹", "2.10 × 10⁻⁷", "480\u202f000"):
            self.assertIn(text, page.text)

    def test_warnings(self):
        page = self.page("warned")
        box = page.boxes["warnings"]
        for text in ("<b>x</b> & y relax slowly", "“estimate” did not converge",
                     "9 and its next (x = −0.6)", "50 effective samples in 1 window (lowest: 12)"):
            self.assertIn(text, box)
        self.assertNotIn("good", page.boxes)

    def test_two_collective_variables(self):
        page = self.page("two_cvs")
        self.assertEqual(page.sections, ["found", "free-energy", "samples", "moments", "densities",
                                         "figures"])
        self.assertIn("two <cvs>", page.text)
        self.assertIn("12 of 961 bins", page.boxes["note"])
        self.assertIn("agrees with the exact one", page.boxes["good"])

    def test_one_variable(self):
        page = self.page("one_variable")
        self.assertEqual(page.sections, ["found", "free-energy", "samples", "figures"])
        self.assertIn("on the potential", page.text)
        self.assertIn("trained generator and closure", page.boxes["note"])

    def test_names_of_any_kind(self):
        """Of a collective variable: what LaTeX, a pattern or HTML would take for its own."""
        for number, name in enumerate(("$\\phi$", "\\frac{a}{b}", "$x_{", "100%", "<b>&</b>", "日本語")):
            folder = self.root / f"name_{number}"
            shutil.copytree(mock("one_variable"), folder)
            config = (folder / "config.toml").read_text(encoding="utf-8")
            named = f'[{{ formula = "x", name = {json.dumps(name)} }}]'
            (folder / "config.toml").write_text(
                config.replace('[cv]\nvariables = ["x"]', f"[cv]\nvariables = {named}"), encoding="utf-8")
            result = run_script(folder)
            self.assertEqual((result.returncode, result.stderr), (0, ""), name)
            self.assertIn(name, Page((folder / "report.html").read_text(encoding="utf-8")).text)

    def test_many_variables(self):
        page = self.page("many_variables")
        self.assertEqual(page.sections, ["samples", "moments", "figures"])
        self.assertIn("drift: -q1, -q2", page.text)

    def test_observed(self):
        page = self.page("observed")
        self.assertEqual(page.sections, ["found", "samples", "moments", "densities", "figures"])
        self.assertIn("as they are observed", page.text)
        self.assertIn("p(y1 | x1)", page.text)
        for text in ("far from the physics", "y1, x1 = 0", "0.4", "1 of 1"):
            self.assertIn(text, page.boxes["warnings"])

    def test_same_files_same_bytes(self):
        self.page("one_variable")
        folder = mock("one_variable")
        other = self.root / "again.html"
        self.assertEqual(run_script(folder, "-o", other, "--quiet").stdout, "")
        self.assertEqual(other.read_bytes(), (folder / "report.html").read_bytes())

    def test_each_file_alone(self):
        """Every single file of a run, and every run without one of its files, gives a page."""
        self.page("muller_brown")
        whole = mock("muller_brown")
        expected = {"free_energy.csv": "free-energy", "conditional.csv": "moments",
                    "closure.csv": "closure", "samples.h5": "samples", "lifted.h5": "densities",
                    "metrics.json": "training"}
        for name, section in expected.items():
            with self.subTest(only=name):
                folder = self.root / ("only_" + name)
                folder.mkdir()
                (folder / name).write_bytes((whole / name).read_bytes())
                text = report.page(data.Run(folder))
                self.assertIn(section, Page(text).sections)

    def test_strange_metrics(self):
        """Wrong types inside metrics.json are ignored, not fatal."""
        for i, metrics in enumerate((
                {}, {"stages": [], "windows": {}, "lifting": None, "warnings": "no", "system": 3},
                {"stages": {"train": {"history": {"update": None, "critic_loss": [None, None],
                                                  "w1_mean": [0.1, "a", 0.2]}},
                            "sample": 7, "estimate": {"converged": "maybe"}},
                 "windows": [None, {"center": None}, {"center": [1.0]}],
                 "lifting": {"w1": [None, {"w1_over_sigma": None}, {"w1_over_sigma": 0.5}]},
                 "system": {"variables": "xy", "potential_formula": "__import__('os')"},
                 "versions": {"hdf5": "1.10"}, "threads": None})):
            with self.subTest(i):
                folder = self.root / f"strange_{i}"
                folder.mkdir()
                (folder / "metrics.json").write_text(json.dumps(metrics))
                self.assertIn("</html>", report.page(data.Run(folder)))


SMALL = {"": ["integrator.compile_after=-1.0"],
         "[umbrella]": ["umbrella.replicas=16", "umbrella.equilibrate=200", "umbrella.steps=1000",
                        "umbrella.stride=20"],
         "tempering": ["umbrella.tempering=20"],
         "heat = ": ["umbrella.heat_steps=500"],
         "[rates]": ["rates.replicas=32", "rates.repeats=8"],
         "[bias]": ["bias.walkers=64", "bias.equilibrate=200", "bias.steps=2000", "bias.stride=100"],
         "[generator]": ["generator.iterations=20", "generator.validate_every=10",
                         "generator.batch=64",
                         "generator.validation_states=100",
                         "generator.generator_widths=[16, 16]", "lifting.values=5",
                         "lifting.states=100", "lifting.heal_steps=20",
                         "lifting.heal_limit=64", "lifting.reference_steps=100",
                         "lifting.energy_states=100", "lifting.proposals=100"],
         "[closure]": ["closure.values=8", "closure.replicas=32", "closure.passages=32",
                       "closure.passage_steps=5000", "closure.relaxation=2e5"],
         "[coupling]": ["coupling.rounds=2", "coupling.iterations=40", "coupling.steps=500",
                        "coupling.equilibrate=100", "coupling.replicas=8", "coupling.windows=4"],
         "committor_runs": ["closure.committor_runs=32"],
         "[learn]": ["learn.points=300", "learn.landmarks=30"],
         'variables = ["x", "y"]\n\n[integrator]': ["umbrella.windows=[10, 8]",
                                                    "estimate.bins=[18, 15]"],
         "windows = 28\nstiffness = 300": ["umbrella.windows=14", "umbrella.stiffness=75.0", "umbrella.replicas=8",
                          "estimate.bins=28", "closure.relaxation=2e4"],
         "temperatures = [332": ["umbrella.replicas=4", "umbrella.steps=400"],
         "temperatures = [370": ["umbrella.replicas=4", "closure.replicas=16", "closure.passages=16",
                                 "closure.relaxation=2e4"]}
LEARNED = "muller_brown_learned"  # needs the files of another run


class TestFindings(unittest.TestCase):
    """What the page says the run found."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def run_with(self, metrics, free_energy=None):
        (self.folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
        if free_energy:
            columns = ["cv_1", "cv_2"][:len(free_energy[0]) - 2]
            write_csv(self.folder / "free_energy.csv", [*columns, "free_energy", "std_error"],
                      free_energy)
        return data.Run(self.folder)

    def test_basins_of_a_curve(self):
        """Three wells, the deepest in the middle; noise makes no further ones."""
        x = np.linspace(-3, 3, 241)
        f = 5 - 5 * np.exp(-8 * x ** 2) - 3 * np.exp(-8 * (x + 2) ** 2) - 2 * np.exp(-8
                                                                                     * (x - 2) ** 2)
        noise = 0.02 * np.random.default_rng(2).normal(size=len(x))
        rows = [(float(a), float(b), 0.02) for a, b in zip(x, f - f.min() + noise)]
        found = basins.basins_of(self.run_with({"system": {"beta": 1.0}}, rows))
        self.assertEqual(len(found), 3)
        for basin, at, depth, barrier in zip(found, (0, -2, 2), (0, 2, 3), (None, 3, 2)):
            self.assertAlmostEqual(basin.at[0], at, delta=0.1)
            self.assertAlmostEqual(basin.depth, depth, delta=0.1)
            if barrier:
                self.assertAlmostEqual(basin.barrier, barrier, delta=0.15)
        weights = np.exp(-f)
        self.assertAlmostEqual(found[0].share, weights[np.abs(x) < 1].sum() / weights.sum(),
                               delta=0.03)

    def test_all_round_a_period(self):
        """A well across the ends is one, and none at an edge; its axis counts quarters of a turn."""
        x = -np.pi + 2 * np.pi * (np.arange(60) + 0.5) / 60
        f = 3 * np.cos(x) - 3 * np.exp(-4 * x ** 2)
        rows = [(float(a), float(b), 0.02) for a, b in zip(x, f - f.min())]
        for periods, count, edges in (([], 3, 2), ([2 * np.pi], 2, 0)):
            run = self.run_with({"system": {"beta": 1.0, "periods": periods}}, rows)
            found = basins.basins_of(run)
            self.assertEqual(len(found), count)
            self.assertEqual(sum(b.edge for b in found), edges)
            closed, value = draw.closed(run, x, f)
            self.assertEqual(len(closed), 62 if periods else 60)
            if periods:
                self.assertAlmostEqual(closed[-1] - closed[1], 2 * np.pi)
                self.assertEqual((value[0], value[-1]), (f[-1], f[0]))
        self.assertEqual([draw.of_pi(k * np.pi / 2) for k in range(-3, 5)],
                         ["−3π/2", "−π", "−π/2", "0", "π/2", "π", "3π/2", "2π"])

    def test_basins_of_a_plane(self):
        axis = np.linspace(-1.5, 1.5, 31)
        rows = [(float(a), float(b), float(6 * (a * a - 1) ** 2 + 4 * b * b + a), 0.05)
                for a in axis for b in axis]
        lower, upper = basins.basins_of(self.run_with({"system": {"beta": 1.0}}, rows))
        np.testing.assert_allclose([lower.at, upper.at, upper.saddle], [(-1, 0), (1, 0), (0, 0)],
                                   atol=0.11)
        self.assertAlmostEqual(upper.depth, 2.0, delta=0.1)
        self.assertFalse(lower.edge or upper.edge)

    def closure(self, full, averages, bursts, plateau=True):
        def source(name, rate):
            return {"source": name, "rates": [{"value": rate, "error": 0.02 * rate}]} if rate else \
                {"source": name}
        return findings.closure(self.run_with({"closure": {"plateau": plateau, "sources": [
            source("conditional", averages), source("burst", bursts), source("full", full)]}}))

    def test_closure(self):
        self.assertEqual(self.closure(1.0, 1.02, 0.99).status, "good")
        contradicted = self.closure(1.0, 9.0, 1.02)
        self.assertEqual(contradicted.status, "warn")
        self.assertIn("by averages must not be trusted", contradicted.sentences[0])
        self.assertIn("by bursts may be trusted", contradicted.sentences[1])
        self.assertEqual(self.closure(1.0, 9.0, 5.0).status, "bad")
        self.assertEqual(self.closure(None, 9.0, 5.0).status, "bad")
        self.assertEqual(self.closure(None, 1.0, 1.02).status, "note")
        self.assertIn("could not be tested", self.closure(None, 1.0, 1.02).sentences[0])
        self.assertEqual(self.closure(None, 1.0, 1.02, plateau=False).status, "warn")

    def test_generator(self):
        def told(*lifted):
            values = [{"cv": [float(i)], "sliced_w1": 0.01, "relaxation": {"lifted": n}}
                      for i, n in enumerate(lifted)]
            return findings.generator(self.run_with({"consistency": {"values": values}}))
        self.assertEqual(told(0, 0, 0).status, "good")
        self.assertEqual(told(0, 12, 0).status, "good")
        self.assertIn("after up to 12 healing steps", " ".join(told(0, 12, 0).sentences))
        self.assertEqual(told(0, None, 0).status, "warn")
        self.assertEqual(told(None, None, 0).status, "bad")

    def test_a_generator_that_no_lifted_state_judges(self):
        """Samples that it did not see and the molecule's laws speak then."""
        train = {"held_out": [{"cv": [0.0], "w1_over_sigma": [0.1, 0.3]}, {"cv": [1.0], "w1_over_sigma": [0.2, None]}],
                 "w1_floor": 0.15}
        laws = {"generated": {"bonds": {"worst_w1_over_sigma": 0.06}, "clashes": 0.25}}
        found = findings.generator(self.run_with({"stages": {"train": train}, "molecule": laws}))
        said = " ".join(found.sentences)
        for text in ("median distance 0.2 σ, worst 0.3 σ", "about 0.15 σ apart", "bonds 0.06 σ", "In 25 % of them"):
            self.assertIn(text, said)
        self.assertEqual(found.status, "note")
        train["w1_floor"] = 0.05
        self.assertEqual(findings.generator(self.run_with({"stages": {"train": train}})).status, "warn")
        self.assertIn("nothing was lifted", findings.generator(self.run_with(
            {"stages": {"train": {"seconds": 1.0}}})).sentences[0])

    def test_work(self):
        """ΔF by both ways, taken where these overlap; and no stage that the run would refuse is advised."""
        steered = {"overlap": 0.5, "shared_walkers": 200, "difference": {"bar": {"value": 1.0, "std_error": 0.02}}}
        rows = [(float(x), float(4 * (x * x - 1) ** 2), 0.1) for x in np.linspace(-1, 1, 21)]
        run = self.run_with({"system": {"kt": 0.5}, "steered": steered}, rows)
        found = findings.findings(run, [])
        self.assertIn("2.000\u00a0±\u00a00.040 kT", found[0].sentences[0])
        self.assertEqual(found[0].status, "good")
        self.assertNotIn("[generator]", " ".join(found[-1].sentences))
        self.assertNotIn("[closure]", " ".join(found[-1].sentences))
        apart = findings.steered(self.run_with({"steered": steered | {"overlap": 0.01}}))
        self.assertEqual(apart.status, "warn")
        self.assertIn("hardly overlap", " ".join(apart.sentences))

    def test_a_string(self):
        """Its highest points, each above the lowest, whichever end that is."""
        path = np.linspace(-1, 1, 21)
        rows = [(float(x), float(5 * (1 - x * x) ** 2 + x), 0.03) for x in path]
        write_csv(self.folder / "string.csv", ["cv_1", "free_energy", "std_error"], rows)
        found = findings.string(self.run_with({"system": {"kt": 1.0}, "string": {"points": 21}}))
        top = max(rows, key=lambda r: r[1])
        self.assertEqual(len(found.sentences), 3)
        self.assertIn(f"{top[1] + 1:.3f}\u00a0±\u00a00.042 kT", found.sentences[1])

    def test_a_rate(self):
        figures = {"rates": {"figures": [{"quantity": "mfpt", "value": 182.0, "std_error": 4.0}]}}
        self.assertIn("182.0\u00a0±\u00a04.0", findings.rates(self.run_with(figures)).sentences[0])
        warning = "the flux into rates.to is not steady: it changes by 0.359341 +- 0.033708 between the halves"
        run = self.run_with(figures | {"warnings": [warning]})
        warned, _, _ = review.review(run)
        self.assertIn("by 0.359\u00a0±\u00a00.034 between", warned[0].text)
        self.assertEqual(findings.rates(run).status, "warn")
        self.assertNotIn("Nothing stands against", " ".join(findings.findings(run, warned)[-1].sentences))

    def test_samples_of_no_windows(self):
        """A population and samples with weights are not told as windows."""
        window = [{"center": [0.0], "effective_samples": 100.0}]
        stages = {"anneal": {"steps": 3000.0}, "sample": {"steps": 1000.0}}
        for metrics, told in (({"annealing": {"walkers": 64}}, "64 walkers that came down from a high temperature, "
                               "4\u202f000 trajectory-steps"),
                              ({"given": {"bias": "weights", "trajectories": 2, "samples": 9}}, "reweighted")):
            with h5py.File(self.folder / "samples.h5", "w") as file:
                file["cv"], file["window"] = np.linspace(-1, 1, 200)[:, None], np.zeros(200, dtype=int)
            page = Page(report.page(self.run_with({"windows": window, "stages": stages, **metrics})))
            self.assertIn(told, page.text)
            for text in ("each window", "All windows", "| window", "1 window"):
                self.assertNotIn(text, page.text)

    def test_energies_have_their_unit(self):
        for unit, label in (("kJ/mol", "kJ/mol"), ("kT is one", "energy units")):
            run = self.run_with({"system": {"kt": 2.0, "energy_unit": unit}})
            self.assertIn(label, findings.energy_text(run, 1.0, 0.1))

    def test_one_key_for_two_things(self):
        """Panels in which a colour means different things have a legend each."""
        def panel(label):
            return lambda axes: axes.plot([0, 1], [0, 1], color="#123456", label=label)
        draw.style()
        self.assertEqual(draw.figure([panel("one"), panel("one")], "").count("class=legend"), 1)
        self.assertEqual(draw.figure([panel("one"), panel("another")], "").count("class=legend"), 2)

    def test_bins_without_a_link(self):
        """Errors that are infinite are said to be; only what no error counts is added to them."""
        rows = [(x, 4 * (x * x - 1) ** 2, math.inf if x > 0 else 0.1)
                for x in map(float, np.linspace(-1.5, 1.5, 31))]
        hardly = "windows 1 and 2 hardly overlap (0.01): their relative free energy is not to be trusted"
        for warnings, told in (([hardly], False), ([hardly, "the windows contradict each other: x"], True)):
            run = self.run_with({"system": {"beta": 1.0}, "warnings": warnings}, rows)
            found = findings.free_energy(run)
            said = " ".join(found.sentences)
            self.assertEqual(found.status, "warn")
            self.assertIn("No samples connect 15 bins of 31", said)
            self.assertEqual("errors do not include that" in said, told, said)
            self.assertNotIn("hardly overlap", said)

    def test_checks_that_were_passed(self):
        """The run's own list, without what found something."""
        checks = [{"name": "halves", "passed": "the two halves of the data agree", "found": False},
                  {"name": "bins", "passed": "the bins are narrow", "found": True}]
        metrics = {"stages": {"estimate": {"converged": True}}, "checks": checks}
        passed = Page(report.page(self.run_with(metrics))).boxes["good"]
        self.assertIn("two halves of the data agree", passed)
        self.assertNotIn("bins are narrow", passed)
        metrics["warnings"] = ["the bins are wide"]
        run = self.run_with(metrics)
        self.assertEqual(review.review(run)[2], ["the estimator converged", "the two halves of the data agree"])
        page = Page(report.page(run))
        self.assertIn("two halves of the data agree", page.text)
        self.assertNotIn("two halves", page.boxes["warnings"])

    def test_a_passed_check_is_said_once(self):
        """The run's own check speaks where the report has one of the same thing."""
        x = np.linspace(-1, 1, 21)
        rows = [(float(a), float(a * a), 0.02) for a in x]
        own = {"name": "exact", "passed": "free energy and averages agree", "found": False}
        for checks, said in (([], 1), ([own], 0), ([own | {"found": True}], 1)):
            run = self.run_with({"checks": checks}, rows)
            run.tables["exact"] = run.tables["free_energy"]
            passed = review.review(run)[2]
            self.assertEqual(sum("agrees with the exact one" in p for p in passed), said)

    def test_centres_lie_where_samples_are(self):
        """All round a period centres and samples are told in the period of the bins."""
        x = 2 * np.pi * (np.arange(60) + 0.5) / 60
        rows = [(float(a), float(np.cos(a)), 0.02) for a in x]
        windows = [{"center": [float(c)]} for c in np.linspace(-np.pi, np.pi, 8, endpoint=False)]
        run = self.run_with({"system": {"periods": [2 * np.pi]}, "windows": windows}, rows)
        self.assertTrue(((run.centers > -1e-9) & (run.centers < 2 * np.pi)).all())
        np.testing.assert_allclose(np.exp(1j * run.centers[:, 0]),
                                   [np.exp(1j * w["center"][0]) for w in windows], atol=1e-12)

    def test_a_warning_is_said_once(self):
        """Six warnings of one kind are one sentence and a table, and no section repeats them."""
        poor = "the collective variable is poor: "
        warnings = [poor + "the slowest rate of the full model is 1.9 +- 0.04, of the closure by "
                    f"{name} {rate} +- 0.1" for name, rate in (("averages", 18), ("bursts", 9))]
        warnings += [poor + f"from -0.5 to 0.6 the full model takes 6.9 +- 0.2, the closure by {n} "
                            "1 +- 0.1"
                     for n in ("averages", "bursts")]
        warnings += ["equilibrated for less than five relaxation times, so the start may still "
                     "show, and the error bars do not include it: windows 0 (502.6 steps), 1 (585 "
                     "steps); raise umbrella.equilibrate or use umbrella.exchange"] * 2
        sources = [{"source": s, "rates": [{"value": v, "error": 0.1}],
                    "passages": [{"from": -0.5, "to": 0.6, "value": 7.0, "error": 0.2}]}
                   for s, v in (("full", 1.9), ("conditional", 18.0), ("burst", 9.0))]
        page = Page(report.page(self.run_with({"warnings": warnings,
                                               "closure": {"sources": sources}})))
        self.assertEqual(page.text.count("collective variable is poor"), 1)
        self.assertEqual(page.text.count("less than five relaxation times"), 1)
        for text in ("1.90 ± 0.10", "18.00 ± 0.10", "9.00 ± 0.10", "first passage −0.5 → 0.6"):
            self.assertIn(text, page.boxes["warnings"])
        self.assertIn("the longest: 585 steps", page.boxes["warnings"])


class TestLayout(unittest.TestCase):
    """Every figure of every kind of report, measured: axes large enough, no texts on one another,
    nothing outside; at the width of a phone, whose 390 pixels leave 358 to a panel."""

    PHONE = 358

    def measure(self, folder):
        with unittest.mock.patch.object(draw, "SANS", ()), \
                unittest.mock.patch.object(draw.svg, "inline", return_value=""):
            self.measure_in_these_letters(folder)  # where no other letters are installed; nothing is written
        return self.measure_in_these_letters(folder)

    def measure_in_these_letters(self, folder):
        found, seen = [], []

        def watch(drawing, title):
            seen.append(title)
            scale = min(1.0, self.PHONE / drawing.bbox.width)
            found.extend(f"{title}: {problem}" for problem in layout.problems(drawing, scale))

        draw.WATCHERS.append(watch)
        try:
            text = report.page(data.Run(folder))
        finally:
            draw.WATCHERS.remove(watch)
        self.assertEqual(found, [])
        return Page(text), seen

    def test_mock_runs(self):
        for kind in MAKERS:
            with self.subTest(kind):
                self.assertGreaterEqual(len(self.measure(mock(kind))[1]), 4)

    @unittest.skipUnless(BINARY.is_file(), f"{BINARY} is not built")
    def test_examples(self):
        sections = set()
        for path in sorted(EXAMPLES.glob("*.toml")):
            if path.stem == LEARNED:
                continue
            text = path.read_text(encoding="utf-8")
            changes = [c for word, changes in SMALL.items() if word in text for c in changes]
            with self.subTest(path.stem), tempfile.TemporaryDirectory() as folder:
                done = subprocess.run(
                    [BINARY, "run", path, "-o", folder, "--force", "--quiet", "--no-report",
                     "--device",
                     "cpu", *(word for c in changes for word in ("--set", c))],
                    capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stderr)
                page, seen = self.measure(Path(folder))
                sections.update(page.sections)
                self.assertGreaterEqual(len(seen), 2)
        self.assertLessEqual({i for i, *_ in report.SECTIONS} - sections, {"comparison", "healing"})

    def test_faults_are_found(self):
        def crowded(axes):
            axes.plot([0, 1], [0, 1])
            axes.text(0.5, 0.5, "one text")
            axes.text(0.5, 0.5, "another")
            axes.text(0.9, 0.1, "far out of the figure, to the right of it")

        draw.style()
        drawing = draw.draw_panel(crowded, 2, None)
        axes = drawing.axes[0]
        found = "; ".join(layout.problems(drawing))
        self.assertIn("“another” and “one text” overlap", found)
        self.assertNotIn("axes of", found)
        axes.set_position([0.4, 0.4, 0.1, 0.5])
        axes.texts[-1].set_position((9, 0.1))
        found = "; ".join(layout.problems(drawing))
        self.assertIn("axes of 47 x", found)
        self.assertIn("leaves the figure", found)


class TestRefusals(unittest.TestCase):
    """One message, exit status 2, nothing written."""

    def refused(self, folder, *words):
        result = run_script(folder)
        self.assertEqual((result.returncode, result.stdout), (2, ""), result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertTrue(result.stderr.startswith("microlift: "), result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)
        self.assertNotIn("Traceback", result.stderr)
        if Path(folder).is_dir():
            self.assertEqual([f for f in os.listdir(folder) if "report" in f], [])

    def test_missing_and_empty(self):
        with tempfile.TemporaryDirectory() as folder:
            self.refused(Path(folder) / "absent", "no such directory")
            self.refused(folder, "holds no file of a run")
            (Path(folder) / "config.toml").write_text("seed = 1\n")
            self.refused(folder, "holds no file of a run")

    def test_broken_files(self):
        good = {"free_energy.csv": "cv_1,free_energy,std_error\n0,0,0\n1,1,0.1\n"}
        for name, content, words in (
                ("metrics.json", b'{"stages": ', ("metrics.json", "line 1")),
                ("metrics.json", b"[1, 2]", ("would be an object",)),
                ("metrics.json", b"\xff\xfe\x00", ("metrics.json",)),
                ("config.toml", b"seed = = 1\n", ("config.toml", "line 1")),
                ("closure.csv", b"", ("closure.csv:1", "cv_1")),
                ("closure.csv", b"cv_1,drift,diffusion,source\n1,2\n", ("closure.csv:2", "2 f")),
                ("exact.csv", b"cv_1,free_energy\n0,0\n1,abc\n", ("exact.csv:3", "'abc'")),
                ("samples.h5", b"\x89HDF\r\n\x1a\n truncated", ("samples.h5",)),
                ("lifted.h5", b"nothing", ("lifted.h5",))):
            with self.subTest(name=name, content=content), \
                    tempfile.TemporaryDirectory() as folder:
                for key, text in good.items():
                    (Path(folder) / key).write_text(text)
                (Path(folder) / name).write_bytes(content)
                self.refused(folder, *words)

    def test_truncated_samples(self):
        with tempfile.TemporaryDirectory() as folder:
            write_samples(Path(folder), np.zeros((1000, 2)), np.zeros(1000), np.zeros(1000, int))
            path = Path(folder) / "samples.h5"
            path.write_bytes(path.read_bytes()[:-4000])
            self.refused(folder, "samples.h5")

    def test_lengths_differ(self):
        with tempfile.TemporaryDirectory() as folder:
            write_samples(Path(folder), np.zeros((10, 2)), np.zeros(9), np.zeros(10, int))
            self.refused(folder, "differ in length")

    def test_old_page_survives(self):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "report.html").write_text("old")
            (Path(folder) / "metrics.json").write_text("{")
            self.assertEqual(run_script(folder).returncode, 2)
            self.assertEqual((Path(folder) / "report.html").read_text(), "old")

    def test_unwritable(self):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "metrics.json").write_text("{}")
            result = run_script(folder, "-o", Path(folder) / "no" / "such" / "page.html")
            self.assertEqual(result.returncode, 2)
            self.assertIn("cannot be written: No such file", result.stderr)


class TestLargeRun(unittest.TestCase):
    def test_many_samples_and_windows(self):
        """Two million samples in 300 windows: quick, and the drawn subset is unbiased."""
        with tempfile.TemporaryDirectory() as name:
            random = np.random.default_rng(8)
            window = np.tile(np.arange(300), 7000)
            cv = window / 100 + 0.02 * random.normal(size=len(window))
            write_samples(Path(name), np.column_stack([cv, cv ** 2]).astype(np.float32), cv, window)
            with h5py.File(Path(name) / "samples.h5", "a") as file:
                file["state"].attrs["variables"] = np.array([b"u", b"v"])
            run = data.Run(name)
            self.assertEqual(run.variables, ["u", "v"])
            self.assertLessEqual(len(run.state), data.CLOUD_POINTS)
            np.testing.assert_allclose(run.state[:, 0], cv[run.drawn], atol=1e-6)
            # uniform in the window number: mean 149.5, variance (300² − 1)/12
            error = np.sqrt((300 ** 2 - 1) / 12 / len(run.drawn))
            self.assertLess(abs(window[run.drawn].mean() - 149.5), 4 * error)
            before = time.process_time()
            self.assertLess(len(report.page(run)), 6_000_000)
            self.assertLess(time.process_time() - before, 20)


class TestWords(unittest.TestCase):
    def test_numbers(self):
        for value, text in ((0, "0"), (12345, "12\u202f345"), (-3, "−3"), (0.01234, "0.0123"),
                            (1.2e8, "1.20 × 10⁸"), (9.999e-7, "1.00 × 10⁻⁶"), (float("nan"), "–"),
                            (None, "–"), (True, "yes"), (0.5, "0.5"), (float("-inf"), "−∞"),
                            (np.float32(2.5), "2.5"), (123456.7, "123\u202f457")):
            with self.subTest(value):
                self.assertEqual(words.fmt(value).replace("\u00a0", " "), text)
        self.assertEqual(words.bytes_text(57344000), "57.3\u00a0MB")
        self.assertEqual(words.seconds_text(3661), "61 min 1 s")
        self.assertEqual(words.listed("abc"), "a, b and c")
        self.assertEqual(words.listed("abcdefgh", 3), "a, b, c and 5 more")


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "--make":
        MAKERS[sys.argv[2]](Path(sys.argv[3]))
    else:
        unittest.main()
