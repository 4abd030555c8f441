"""JAX: the same training (training_torch.py says what) as one jitted function, lax.scan over updates."""
import functools
import math
import os

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp
import numpy as np

import gan_data as gan


def layers(key, inputs, width):
    out = []
    for fan_in, fan_out in ((inputs, width), (width, width), (width, width), (width, 1)):
        key, now = jax.random.split(key)
        bound = math.sqrt(3 / fan_in)
        out.append((jax.random.uniform(now, (fan_in, fan_out), jnp.float32, -bound, bound),
                    jnp.zeros(fan_out)))
    return out


def apply(network, x):
    for weight, bias in network[:-1]:
        x = jax.nn.silu(x @ weight + bias)
    return x @ network[-1][0] + network[-1][1]


def generate(generator, key, features):
    latent = jax.random.normal(key, (features.shape[0], gan.LATENT))
    return apply(generator, jnp.concatenate([latent, features], 1))


def critic_loss(critic, real, fake, features, u):
    def value(x):
        return apply(critic, jnp.concatenate([x, features], 1))
    slope = jax.grad(lambda x: value(x).sum())(fake + u * (real - fake))
    excess = jax.nn.relu(jnp.sqrt(jnp.maximum((slope**2).sum(1), 1e-24)) - 1)
    return value(fake).mean() - value(real).mean() + gan.LAMBDA * (excess**2).mean()


def generator_loss(generator, critic, key, real, features, share):
    made = generate(generator, key, features)
    pairs = made.reshape(-1, 2, 1)
    score = jnp.sqrt(((made - real)**2).sum(1) + 1e-12).sum() - jnp.sqrt(
        ((pairs[:, 0] - pairs[:, 1])**2).sum(1) + 1e-12).sum()
    value = apply(critic, jnp.concatenate([made, features], 1)).mean()
    return score / real.shape[0] - share * value


def adam(parameters, second, gradients, rate, t):
    """beta1 = 0: the first moment is the gradient."""
    b = gan.BETAS[1]
    second = jax.tree.map(lambda v, g: b * v + (1 - b) * g * g, second, gradients)
    parameters = jax.tree.map(
        lambda p, v, g: p - rate * g / (jnp.sqrt(v / (1 - b**t)) + 1e-8), parameters, second,
        gradients)
    return parameters, second


class Training:
    version = f"JAX {jax.__version__}"
    impl = "unsafe_rbg"

    def __init__(self, device):
        jax.config.update("jax_platforms", device)
        if device == "cuda":
            jax.devices("cuda")

    def synchronize(self):
        jax.block_until_ready(self.state)

    def prepare(self, batch, width):
        key = jax.random.key(gan.SEED, impl=self.impl)
        one, two, key = jax.random.split(key, 3)
        generator = layers(one, gan.LATENT + gan.FEATURES, width)
        critic = layers(two, 1 + gan.FEATURES, width)
        zeros = functools.partial(jax.tree.map, jnp.zeros_like)
        self.state = (generator, zeros(generator), generator, critic, zeros(critic), key,
                      jnp.zeros((), jnp.int32))
        self.table = jnp.asarray(gan.data())
        self.length = max(1, min(64, (1 << 14) // batch))  # updates in a scan

        def update(table, state, _):
            generator, g_second, average, critic, c_second, key, t = state
            time = t.astype(jnp.float32)
            shape = 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(time / gan.ITERATIONS, 1)))
            for k in range(gan.CRITIC_STEPS):
                key, a, b, c = jax.random.split(key, 4)
                rows = table[jax.random.randint(a, (batch,), 0, gan.COLUMNS)]
                real, features = rows[:, :1], rows[:, 1:]
                fake = generate(generator, b, features)
                u = jax.random.uniform(c, (batch, 1))
                gradients = jax.grad(critic_loss)(critic, real, fake, features, u)
                critic, c_second = adam(critic, c_second, gradients, gan.RATE * shape,
                                        gan.CRITIC_STEPS * time + k + 1)
            key, a, b = jax.random.split(key, 3)
            rows = jnp.repeat(table[jax.random.randint(a, (batch // 2,), 0, gan.COLUMNS)], 2, 0)
            gradients = jax.grad(generator_loss)(generator, critic, b, rows[:, :1], rows[:, 1:],
                                                 0.3 + 0.7 * shape)
            generator, g_second = adam(generator, g_second, gradients, gan.RATE * shape, time + 1)
            decay = 1 - jnp.minimum(gan.EMA, (1 + time) / (10 + time))
            average = jax.tree.map(lambda a, p: a + decay * (p - a), average, generator)
            return (generator, g_second, average, critic, c_second, key, t + 1), None

        self.advance = jax.jit(
            lambda table, state, n: jax.lax.scan(functools.partial(update, table), state, None,
                                                 length=n)[0], static_argnums=2)

    def run(self, updates):
        while updates > 0:
            length = self.length if updates >= self.length else 1
            self.state = self.advance(self.table, self.state, length)
            updates -= length

    def save(self, file):
        key = jax.random.key(1)
        np.save(file, np.array([gan.wasserstein(
            lambda f: np.asarray(generate(self.state[2], key, jnp.asarray(f))))]))


class Sampling(Training):
    def prepare(self, width, states):
        key = jax.random.key(gan.SEED, impl=self.impl)
        generator = layers(key, gan.LATENT + gan.FEATURES, width)
        self.s = jnp.linspace(-1, 1, states, dtype=jnp.float32)
        k = jnp.arange(1, gan.WAVES + 1) * (jnp.pi / 2)

        @jax.jit
        def draw(key, s):
            angle = (s[:, None] + 1) * k
            features = jnp.concatenate([s[:, None] * math.sqrt(3), jnp.cos(angle) * math.sqrt(2),
                                        jnp.sin(angle) * math.sqrt(2)], 1)
            return (0.5 * jnp.sin(3 * s) + math.sqrt(gan.VARIANCE) *
                    generate(generator, key, features)[:, 0])
        self.draw, self.key = draw, key

    def run(self, times):
        for _ in range(times):
            self.key, now = jax.random.split(self.key)
            self.state = self.draw(now, self.s)

    def save(self, file):
        np.save(file, np.asarray(self.state))


CONTESTANTS = {"JAX scan": Training, "JAX sampling": Sampling}
