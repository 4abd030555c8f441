#!/usr/bin/env python3
"""Tests of tools/report.py on mock run directories: exact samples, no engine needed.

    python3 tests/test_report.py                     run the tests
    python3 tests/test_report.py --make KIND DIR     only write a mock run (KIND: see MAKERS)
"""
import base64
import csv
import html.parser
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
import unittest
import xml.etree.ElementTree
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "tools" / "report.py"
spec = importlib.util.spec_from_file_location("report", SCRIPT)
report = importlib.util.module_from_spec(spec)
spec.loader.exec_module(report)

MULLER_BROWN = ("-200*exp(-(x-1)^2 - 10*y^2) - 100*exp(-x^2 - 10*(y-0.5)^2)"
                " - 170*exp(-6.5*(x+0.5)^2 + 11*(x+0.5)*(y-1.5) - 6.5*(y-1.5)^2)"
                " + 15*exp(0.7*(x+1)^2 + 0.6*(x+1)*(y-1) + 0.7*(y-1)^2)")


# ---------------------------------------------------------------- mock runs

def write_csv(path, header, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([[f"{v:.17g}" if isinstance(v, float) else v for v in row]
                          for row in rows])


def draw(random, density, axes, count):
    """Samples of a density given on a product grid, jittered within the cells."""
    flat = random.choice(density.size, count, p=density.ravel() / density.sum())
    index = np.unravel_index(flat, density.shape)
    return np.stack([a[i] + (random.random(count) - 0.5) * (a[1] - a[0])
                     for a, i in zip(axes, index)], axis=1)


def wham(counts, bias, rounds=4000):
    """-log of the unbiased bin probabilities; counts[window, bin], bias in kT."""
    total, n = counts.sum(axis=0), counts.sum(axis=1)
    f = np.zeros(len(n))
    for _ in range(rounds):
        p = total / np.maximum((n[:, None] * np.exp(f[:, None] - bias)).sum(axis=0), 1e-300)
        new = -np.log((p[None, :] * np.exp(-bias)).sum(axis=1))
        change = np.max(np.abs((new - new[0]) - f))
        f = new - new[0]
        if change < 1e-7:
            break
    with np.errstate(divide="ignore"):
        return -np.log(p), change


def wasserstein(a, b):
    q = (np.arange(4000) + 0.5) / 4000
    return np.mean(np.abs(np.quantile(a, q) - np.quantile(b, q)))


def make_muller_brown(folder, per_window=4000, windows=28, bad=False):
    """A complete run of Müller–Brown at kT = 15, sampled exactly from the biased densities."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    kt, stiffness = 15.0, 500.0
    gx, gy = np.linspace(-1.75, 1.45, 801), np.linspace(-0.9, 2.4, 661)
    energy = report.evaluate(MULLER_BROWN, {"x": gx[:, None], "y": gy[None, :]})
    boltzmann = np.exp(-(energy - energy.min()) / kt)
    centers = np.linspace(-1.5, 1.2, windows)
    bins = 109
    edges = np.linspace(-1.5, 1.2, bins + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    bias = stiffness / 2 / kt * (middle[None, :] - centers[:, None]) ** 2
    states, counts = [], np.zeros((windows, bins))
    for k, c in enumerate(centers):
        biased = boltzmann * np.exp(-stiffness / 2 / kt * (gx - c) ** 2)[:, None]
        states.append(draw(random, biased, (gx, gy), per_window))
        counts[k] = np.histogram(states[-1][:, 0], edges)[0]
    free, residual = wham(counts, bias)
    free *= kt
    replicas = []
    for _ in range(12):  # Poisson bootstrap
        replicas.append(kt * wham(random.poisson(counts / 3) * 3.0, bias, 400)[0])
    lowest = np.argmin(free)
    replicas = np.array(replicas)
    replicas[~np.isfinite(replicas)] = np.nan
    error = np.nanstd(replicas - replicas[:, [lowest]], axis=0, ddof=1) / np.sqrt(3)
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
        spread = var * scale * (1 + 0.6 * random.normal(size=bins) * np.sqrt(2 / n_bin))
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

    w1 = []
    with h5py.File(folder / "lifted.h5", "w") as file:
        for i, c in enumerate(np.linspace(-1.4, 1.1, 24)):
            group = file.create_group(f"cond_{i:03d}")
            group.attrs["cv"] = c
            column = boltzmann[np.argmin(np.abs(gx - c))]
            y = draw(random, column[:, None], (gy, np.array([0.0, 1e-9])), 12000)[:, 0]
            sigma = y.std()
            fake = y.mean() + 0.04 * sigma + 1.03 * (y - y.mean()) + 0.12 * sigma * \
                random.normal(size=len(y))
            other = draw(random, column[:, None], (gy, np.array([0.0, 1e-9])), 12000)[:, 0]
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


MAKERS = {"muller_brown": make_muller_brown, "warned": make_warned}

if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "--make":
        MAKERS[sys.argv[2]](Path(sys.argv[3]))
    else:
        unittest.main()
