"""Exact answers of one-dimensional gradient systems dX = -V' dt + sqrt(2/beta) dW, by quadrature on a
fine mesh over [low, high], beyond which next to nothing ever is; and learned coordinates as functions."""
import functools
import json

import numpy as np


class Line:
    def __init__(self, potential, beta, low, high, points=40001):
        self.potential, self.beta = potential, beta
        self.x = np.linspace(low, high, points)
        self.v = potential(self.x)
        self.v = self.v - self.v.min()
        self.weight = np.exp(-beta * self.v)
        self.width = self.x[1] - self.x[0]

    def _sums(self, y):
        """Integrals from the left end, by trapezoids."""
        return np.concatenate([[0.0], np.cumsum(0.5 * (y[1:] + y[:-1]))]) * self.width

    def mean_time(self, start, end):
        """Mean first passage: beta times the integral of e^(beta V) over what lies behind."""
        mass = self._sums(self.weight)
        if end < start:
            mass = mass[-1] - mass
        time = self.beta * self._sums(mass / self.weight)
        return abs(np.interp(end, self.x, time) - np.interp(start, self.x, time))

    def committor(self, x, a, b, points=200):
        """The probability of reaching b before a, by Gauss and Legendre."""
        node, weight = np.polynomial.legendre.leggauss(points)

        def integral(low, high):
            y = low + 0.5 * (high - low) * (node + 1)
            return 0.5 * (high - low) * np.sum(weight * np.exp(self.beta * self.potential(y)))

        return integral(a, x) / integral(a, b)

    @functools.cache
    def slowest_rate(self, cells=1600):
        """By finite volumes, the square's error taken out by those of half the width."""
        coarse, fine = self._rate(cells // 2), self._rate(cells)
        return fine + (fine - coarse) / 3

    def _rate(self, cells):
        h = (self.x[-1] - self.x[0]) / cells
        v = np.interp(self.x[0] + h * (np.arange(cells) + 0.5), self.x, self.v)
        half = np.exp(-0.5 * self.beta * np.diff(v))
        jump = 1 / (self.beta * h * h)
        matrix = np.zeros((cells, cells))
        at = np.arange(cells - 1)
        matrix[at, at] += jump * half
        matrix[at + 1, at + 1] += jump / half
        matrix[at, at + 1] = matrix[at + 1, at] = -jump
        return np.linalg.eigvalsh(matrix)[1]


class LearnedMap:
    """The first coordinate of a learned map of one variable: value, first and second derivative at x."""

    FLOOR = 1e-10  # beside the weights of landmarks

    def __init__(self, path):
        found = json.loads(path.read_text())
        self.landmarks = np.array(found["landmarks"])
        self.values = np.array(found["values"][:len(self.landmarks)])
        self.square, self.outside = found["length2"], found["outside"][0]

    def __call__(self, x):
        apart = np.asarray(x, float)[..., None] - self.landmarks
        weight = np.exp(-apart ** 2 / self.square)
        weights = [weight, -2 * apart / self.square * weight,
                   (4 * apart ** 2 / self.square ** 2 - 2 / self.square) * weight]
        above, below = [w @ self.values for w in weights], [w.sum(-1) for w in weights]
        above[0] = above[0] + self.FLOOR * self.outside
        below[0] = below[0] + self.FLOOR
        value = above[0] / below[0]
        first = (above[1] - value * below[1]) / below[0]
        return value, first, (above[2] - 2 * first * below[1] - value * below[2]) / below[0]
