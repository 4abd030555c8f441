"""JAX: jit over lax.scan with the trajectories as one array (Threefry, and the faster generator of XLA),
vmap over a trajectory's own scan, and diffrax's Euler scheme."""
import functools
import os

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp
import numpy as np

import law
from ensemble_numpy import Ensemble


def force(x, y):
    fx, fy = -law.STIFFNESS * (x - law.CENTER), jnp.zeros_like(y)
    for amplitude, a, b, c, x0, y0 in law.TERMS:
        dx, dy = x - x0, y - y0
        qx, qy = 2 * a * dx + b * dy, 2 * c * dy + b * dx
        e = -amplitude * jnp.exp(0.5 * (qx * dx + qy * dy))
        fx, fy = fx + e * qx, fy + e * qy
    return fx, fy


def move(x, y, z):
    fx, fy = force(x, y)
    return x + law.DT * fx + law.SIGMA * z[0], y + law.DT * fy + law.SIGMA * z[1]


class JaxEnsemble(Ensemble):
    version = f"JAX {jax.__version__}"
    chunk = 32
    generator = "threefry2x32"

    def __init__(self, device):
        jax.config.update("jax_platforms", device)
        if device == "cuda":
            jax.devices("cuda")
        self.key = jax.random.key(law.SEED, impl=self.generator)

    def synchronize(self):
        jax.block_until_ready(self.state)

    def prepare(self, n):
        self.state = tuple(jnp.full((n,), s, jnp.float32) for s in law.START)

    def run(self, steps):
        while steps > 0:  # two lengths of the scan to compile, whatever is asked for
            length = 16 * self.chunk if steps >= 16 * self.chunk else self.chunk
            self.key, key = jax.random.split(self.key)
            self.state = self.advance(self.state, key, length)
            steps -= length

    def states(self):
        return np.stack([np.asarray(v) for v in self.state])


class Scan(JaxEnsemble):
    @staticmethod
    @functools.partial(jax.jit, static_argnums=2, donate_argnums=0)
    def advance(state, key, steps):
        def body(carry, _):
            x, y, key = carry
            key, now = jax.random.split(key)
            x, y = move(x, y, jax.random.normal(now, (2,) + x.shape, jnp.float32))
            return (x, y, key), None
        (x, y, _), _ = jax.lax.scan(body, (*state, key), None, length=steps)
        return x, y


class ScanRbg(Scan):
    generator = "unsafe_rbg"


class Vmap(JaxEnsemble):
    @staticmethod
    @functools.partial(jax.jit, static_argnums=2, donate_argnums=0)
    def advance(state, key, steps):
        def trajectory(x, y, key):
            def body(carry, _):
                x, y, key = carry
                key, now = jax.random.split(key)
                x, y = move(x, y, jax.random.normal(now, (2,), jnp.float32))
                return (x, y, key), None
            return jax.lax.scan(body, (x, y, key), None, length=steps)[0][:2]
        keys = jax.random.split(key, state[0].shape[0])
        return jax.vmap(trajectory)(*state, keys)


class Diffrax(JaxEnsemble):
    """diffeqsolve with Euler on the whole ensemble, UnsafeBrownianPath: no tree, as fast as it has."""

    def __init__(self, device):
        super().__init__(device)
        import diffrax
        self.version = f"diffrax {diffrax.__version__}, {JaxEnsemble.version}"

        def drift(t, state, args):
            return jnp.stack(force(state[0], state[1]))

        def diffusion(t, state, args):
            import lineax
            return lineax.DiagonalLinearOperator(jnp.full(state.shape, np.sqrt(2 * law.KT),
                                                          jnp.float32))

        @functools.partial(jax.jit, static_argnums=2)
        def advance(state, key, steps):
            state = jnp.stack(state)
            end = steps * law.DT
            noise = diffrax.UnsafeBrownianPath(jax.ShapeDtypeStruct(state.shape, jnp.float32), key)
            terms = diffrax.MultiTerm(diffrax.ODETerm(drift),
                                      diffrax.ControlTerm(diffusion, noise))
            out = diffrax.diffeqsolve(
                terms, diffrax.Euler(), 0.0, end, None, state, max_steps=None,
                stepsize_controller=diffrax.StepTo(jnp.linspace(0.0, end, steps + 1)),
                saveat=diffrax.SaveAt(t1=True), adjoint=diffrax.ForwardMode())
            return out.ys[-1][0], out.ys[-1][1]
        self.advance = advance


CONTESTANTS = {"JAX scan": Scan, "JAX scan, XLA generator": ScanRbg, "JAX vmap": Vmap,
               "diffrax": Diffrax}
