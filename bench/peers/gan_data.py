"""The training data of microlift's own benchmark (bench/networks.cpp): y given s is an even mixture of
N(m(s) - 1/2, 0.15^2) and N(m(s) + 1/2, 0.15^2), m(s) = sin(3 s)/2, s uniform in (-1, 1)."""
import math

import numpy as np

SEED = 20240607
COLUMNS, WAVES, LATENT, FEATURES = 1 << 17, 8, 4, 17
PEAK, WIDTH = 0.5, 0.15
VARIANCE = PEAK**2 + WIDTH**2
RATE, BETAS, LAMBDA, EMA, CRITIC_STEPS = 2e-3, (0.0, 0.99), 0.2, 0.9995, 5
ITERATIONS = 4000  # of the schedule


def conditional_mean(s):
    return 0.5 * np.sin(3 * s)


def features_of(s):
    """u and cos, sin of eight half waves of s in (-1, 1)."""
    angle = np.pi * (np.clip(s, -1, 1) + 1) / 2
    waves = [f(k * angle) * math.sqrt(2) for k in range(1, WAVES + 1) for f in (np.cos, np.sin)]
    return np.stack([s * math.sqrt(3)] + waves, 1).astype(np.float32)


def data():
    """(COLUMNS, 1 + FEATURES): whitened state, features. The whitening is exact here."""
    rng = np.random.default_rng(SEED)
    s = rng.uniform(-1, 1, COLUMNS)
    x = rng.choice((-PEAK, PEAK), COLUMNS) + WIDTH * rng.standard_normal(COLUMNS)
    return np.concatenate([(x / math.sqrt(VARIANCE)).astype(np.float32)[:, None], features_of(s)], 1)


def wasserstein(generate, bins=16, samples=4096):
    """Mean over conditions of W1/sigma between generated and exact whitened states."""
    rng = np.random.default_rng(1)
    total = 0.0
    for s in (np.arange(bins) + 0.5) / bins * 2 - 1:
        made = np.sort(generate(np.repeat(features_of(np.array([s])), samples, 0)).ravel())
        exact = np.sort(rng.choice((-PEAK, PEAK), samples) + WIDTH * rng.standard_normal(samples))
        total += np.abs(made - exact / math.sqrt(VARIANCE)).mean()
    return total / bins
