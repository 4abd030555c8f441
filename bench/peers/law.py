"""The ensemble that every contestant advances, and the exact law of its Markov chain.

Müller–Brown potential at kT = 15 under one umbrella k/2 (x - c)^2, Euler–Maruyama with step dt, every
trajectory from START:  x' = m(x) + s z,  m(x) = x + dt f(x),  s = sqrt(2 kT dt).

The density after k + 1 steps is ∫ p_k(x) N(x'; m(x), s^2) dx. On a grid whose step is well under s the
trapezoid rule is exact to rounding, so what is computed here is the law of the chain itself after
CHECK_STEPS steps, the scheme's error of order dt included: another dt, another noise or another force
misses it.
"""
import numpy as np

KT = 15.0
DT = 5e-5
CENTER = 0.6
STIFFNESS = 1500.0
START = (0.6, 0.03)
SEED = 20240607
STREAM = 1  # of the Philox counter: {trajectory, stream, block, 0}; one block serves two steps
SIGMA = float(np.sqrt(2 * KT * DT))
# Amplitude, a, b, c, x0, y0 of A exp(a dx^2 + b dx dy + c dy^2).
TERMS = ((-200.0, -1.0, 0.0, -10.0, 1.0, 0.0),
         (-100.0, -1.0, 0.0, -10.0, 0.0, 0.5),
         (-170.0, -6.5, 11.0, -6.5, -0.5, 1.5),
         (15.0, 0.7, 0.6, 0.7, -1.0, 1.0))
SIGMAS = 5  # of the checks: a chance of 6e-7 each
CHECK_STEPS = 64  # the umbrella relaxes within 13


def force(x, y):
    """-∇V and the umbrella's force, double precision."""
    fx, fy = -STIFFNESS * (x - CENTER), np.zeros_like(y)
    for amplitude, a, b, c, x0, y0 in TERMS:
        dx, dy = x - x0, y - y0
        e = -amplitude * np.exp(a * dx * dx + b * dx * dy + c * dy * dy)
        fx = fx + e * (2 * a * dx + b * dy)
        fy = fy + e * (2 * c * dy + b * dx)
    return fx, fy


def chain_law(steps=CHECK_STEPS, step=0.6, below=(42, 42), above=(42, 54)):
    """Mean and variance of x and of y after `steps`: {"mean": (x, y), "variance": (x, y)}."""
    h = step * SIGMA
    x, y = (START[d] + h * np.arange(-below[d], above[d] + 1) for d in (0, 1))
    grid_x, grid_y = (a.ravel() for a in np.meshgrid(x, y, indexing="ij"))

    def move(at_x, at_y):
        fx, fy = force(at_x, at_y)
        return tuple(np.exp(-0.5 * ((axis[None, :] - (at + DT * f)[:, None]) / SIGMA) ** 2)
                     for axis, at, f in ((x, at_x, fx), (y, at_y, fy)))

    first_x, first_y = move(np.array([START[0]]), np.array([START[1]]))
    kernel_x, kernel_y = move(grid_x, grid_y)
    p = (first_x.T @ first_y).ravel()
    for _ in range(steps - 1):
        p /= p.sum()
        p = ((kernel_x * p[:, None]).T @ kernel_y).ravel()
    p /= p.sum()
    mean = float(p @ grid_x), float(p @ grid_y)
    return {"mean": mean, "variance": (float(p @ grid_x**2) - mean[0] ** 2,
                                       float(p @ grid_y**2) - mean[1] ** 2)}


def check_states(states, law):
    """Errors, in standard errors, of mean and variance of x and y; ValueError above SIGMAS."""
    worst, lines = 0.0, []
    for d, name in enumerate("xy"):
        v = np.asarray(states[d], dtype=np.float64)
        if not np.isfinite(v).all():
            raise ValueError(f"{name} is not finite")
        n, mean, m2 = v.size, v.mean(), v.var()
        m4 = ((v - mean) ** 4).mean()
        for what, value, exact, error in (("mean", mean, law["mean"][d], np.sqrt(m2 / n)),
                                          ("variance", m2, law["variance"][d],
                                           np.sqrt((m4 - m2 * m2) / n))):
            off = abs(value - exact) / max(error, 1e-12)
            lines.append(f"{what} of {name} {value:.6g}, exact {exact:.6g}, {off:.1f} standard errors")
            worst = max(worst, off)
    if worst > SIGMAS:
        raise ValueError("; ".join(lines))
    return float(worst), lines
