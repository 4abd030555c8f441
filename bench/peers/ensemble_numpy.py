"""NumPy: whole arrays, in place where that saves a temporary."""
import numpy as np

import law


class Ensemble:
    """What contestants share: `n` trajectories from START, fp32, states() of shape (2, n)."""

    chunk = 1  # steps are rounded up to a multiple of it

    def __init__(self, device):
        if device != "cpu":
            raise RuntimeError("runs on the CPU only")

    def prepare(self, n):
        raise NotImplementedError

    def synchronize(self):
        pass

    def save(self, file):
        np.save(file, np.asarray(self.states(), dtype=np.float32))


class NumpyEnsemble(Ensemble):
    version = f"NumPy {np.__version__}"

    def prepare(self, n):
        self.rng = np.random.default_rng(law.SEED)
        self.x, self.y = (np.full(n, s, np.float32) for s in law.START)

    def run(self, steps):
        f32 = np.float32
        x, y, rng = self.x, self.y, self.rng
        z = np.empty((2, x.size), f32)
        for _ in range(steps):
            fx, fy = f32(-law.STIFFNESS) * (x - f32(law.CENTER)), np.zeros_like(y)
            for amplitude, a, b, c, x0, y0 in law.TERMS:
                dx, dy = x - f32(x0), y - f32(y0)
                qx, qy = f32(2 * a) * dx, f32(2 * c) * dy
                if b:
                    qx += f32(b) * dy
                    qy += f32(b) * dx
                dx *= qx
                dy *= qy
                dx += dy
                dx *= f32(0.5)
                np.exp(dx, out=dx)
                dx *= f32(-amplitude)
                qx *= dx
                qy *= dx
                fx += qx
                fy += qy
            rng.standard_normal(out=z, dtype=f32)
            z *= f32(law.SIGMA)
            fx *= f32(law.DT)
            fy *= f32(law.DT)
            x += fx
            x += z[0]
            y += fy
            y += z[1]

    def states(self):
        return np.stack([self.x, self.y])


CONTESTANTS = {"numpy": NumpyEnsemble}
