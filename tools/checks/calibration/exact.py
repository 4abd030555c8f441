"""Exact answers of one-dimensional gradient systems dX = -V' dt + sqrt(2/beta) dW, by quadrature on a
fine mesh over [low, high], beyond which next to nothing ever is."""
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

    def committor(self, x, a, b, points=4001):
        """The probability of reaching b before a."""
        y = np.linspace(a, b, points)
        v = self.beta * self.potential(y)
        scale = np.exp(v - v.max())
        scale = np.concatenate([[0.0], np.cumsum(0.5 * (scale[1:] + scale[:-1]))])
        return np.interp(x, y, scale / scale[-1])

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
