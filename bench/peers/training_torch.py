"""PyTorch: the conditional GAN of nn/generators/cgan.h, same architecture, losses and optimiser.

generator  (4 latents + 17 features) -> 3 hidden layers, SiLU -> 1
critic     (1 state + 17 features)   -> 3 hidden layers, SiLU -> 1
critic     mean D(fake) - mean D(real) + 0.2 mean max(0, |dD/dx| - 1)^2 at points between, five steps
generator  -share mean D(fake) + energy score of pairs that share a condition
both       Adam(0, 0.99), 2e-3, cosine; moving average of the generator's weights

The data's whitened states and features are one table on the device; microlift makes them anew for every
batch, which is no advantage for it. `quality` is W1/sigma against the exact conditional law.
"""
import math
import os
import time

import numpy as np
import torch
from torch import nn

from gan_data import (BETAS, COLUMNS, CRITIC_STEPS, EMA, FEATURES, ITERATIONS, LAMBDA, LATENT, RATE,
                      SEED, VARIANCE, WAVES, data, wasserstein)

def mlp(inputs, width):
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
                         nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))


class Training:
    """Eager, autograd through the penalty; the best of one and all threads and of two Adams."""
    version = f"PyTorch {torch.__version__}"

    def __init__(self, device):
        self.device = torch.device(device)
        if device == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True

    def synchronize(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def build(self, batch, width, fused):
        torch.manual_seed(SEED)
        self.batch = batch
        self.table = torch.from_numpy(data()).to(self.device)
        self.generator = mlp(LATENT + FEATURES, width).to(self.device)
        self.critic = mlp(1 + FEATURES, width).to(self.device)
        self.average = [p.detach().clone() for p in self.generator.parameters()]
        on_graph = self.device.type == "cuda"
        rate = (lambda: torch.tensor(RATE, device=self.device)) if on_graph else (lambda: RATE)
        kind = {"fused": True} if fused else {"foreach": True}
        self.critic_adam, self.generator_adam = (
            torch.optim.Adam(m.parameters(), lr=rate(), betas=BETAS, capturable=on_graph, **kind)
            for m in (self.critic, self.generator))
        self.share = torch.ones((), device=self.device)
        self.decay = torch.ones((), device=self.device)
        self.iteration = 0

    def prepare(self, batch, width):
        if self.device.type == "cuda":
            self.build(batch, width, True)
            self.update()
            return
        best, cores = float("inf"), len(os.sched_getaffinity(0))
        for threads in sorted({1, cores}):
            for fused in (False, True):
                torch.set_num_threads(threads)
                self.build(batch, width, fused)
                self.update()
                times = []
                for _ in range(3 if batch < 10000 else 1):
                    start = time.perf_counter()
                    self.update()
                    times.append(time.perf_counter() - start)
                if min(times) < best:
                    best, chosen = min(times), (threads, fused)
        torch.set_num_threads(chosen[0])
        self.note = f"{chosen[0]} threads, {'fused' if chosen[1] else 'foreach'} Adam"
        self.build(batch, width, chosen[1])

    def schedule(self):
        """Rates of this iteration; no transfer back from the device."""
        t = self.iteration
        shape = 0.5 * (1 + math.cos(math.pi * min(t / ITERATIONS, 1)))
        for adam in (self.critic_adam, self.generator_adam):
            for group in adam.param_groups:
                if torch.is_tensor(group["lr"]):
                    group["lr"].fill_(RATE * shape)
                else:
                    group["lr"] = RATE * shape
        self.share.fill_(0.3 + 0.7 * shape)
        self.decay.fill_(1 - min(EMA, (1 + t) / (10 + t)))
        self.iteration += 1

    def rows(self, n):
        return self.table[torch.randint(COLUMNS, (n,), device=self.device)]

    def generate(self, features):
        latent = torch.randn(features.shape[0], LATENT, device=self.device)
        return self.generator(torch.cat([latent, features], 1))

    def critic_loss(self, real, fake, features, u):
        n = real.shape[0]
        mixed = (fake + u * (real - fake)).requires_grad_(True)
        out = self.critic(torch.cat([torch.cat([fake, real, mixed]), features.repeat(3, 1)], 1))
        slope, = torch.autograd.grad(out[2 * n:].sum(), mixed, create_graph=True)
        excess = torch.relu(slope.square().sum(1).clamp_min(1e-24).sqrt() - 1)
        return out[:n].mean() - out[n:2 * n].mean() + LAMBDA * excess.square().mean()

    def critic_step(self):
        rows = self.rows(self.batch)
        real, features = rows[:, :1], rows[:, 1:]
        with torch.no_grad():
            fake = self.generate(features)
        u = torch.rand(self.batch, 1, device=self.device)
        loss = self.critic_loss(real, fake, features, u)
        for p, g in zip(self.critic.parameters(),
                        torch.autograd.grad(loss, list(self.critic.parameters()))):
            p.grad = g
        self.critic_adam.step()

    def generator_loss(self, real, features):
        made = self.generate(features)
        pairs = made.view(-1, 2, 1)
        score = ((made - real).square().sum(1) + 1e-12).sqrt().sum() - (
            (pairs[:, 0] - pairs[:, 1]).square().sum(1) + 1e-12).sqrt().sum()
        value = self.critic(torch.cat([made, features], 1)).mean()
        return score / self.batch - self.share * value

    def generator_step(self):
        rows = self.rows(self.batch // 2).repeat_interleave(2, 0)
        loss = self.generator_loss(rows[:, :1], rows[:, 1:])
        for p, g in zip(self.generator.parameters(),
                        torch.autograd.grad(loss, list(self.generator.parameters()))):
            p.grad = g
        self.generator_adam.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.average, list(self.generator.parameters()), self.decay)

    def body(self):
        for _ in range(CRITIC_STEPS):
            self.critic_step()
        self.generator_step()

    def update(self):
        self.schedule()
        self.body()

    def run(self, updates):
        for _ in range(updates):
            self.update()

    @torch.no_grad()
    def save(self, file):
        kept = [p.clone() for p in self.generator.parameters()]
        for p, a in zip(self.generator.parameters(), self.average):
            p.copy_(a)
        quality = wasserstein(
            lambda f: self.generate(torch.from_numpy(f).to(self.device)).cpu().numpy())
        for p, k in zip(self.generator.parameters(), kept):
            p.copy_(k)
        np.save(file, np.array([quality]))


class Compiled(Training):
    """torch.compile cannot differentiate a gradient twice, so the penalty's inner gradient is written
    out by hand; losses with their gradients are compiled, Adam stays as it is."""

    def critic_loss(self, real, fake, features, u):
        n = real.shape[0]
        mixed = fake + u * (real - fake)
        x = torch.cat([torch.cat([fake, real, mixed]), features.repeat(3, 1)], 1)
        slopes = []
        for layer in self.critic:
            if isinstance(layer, nn.Linear):
                x = layer(x)
            else:
                s = torch.sigmoid(x)
                slopes.append(s[2 * n:] * (1 + x[2 * n:] * (1 - s[2 * n:])))
                x = x * s
        linear = [layer for layer in self.critic if isinstance(layer, nn.Linear)]
        g = linear[-1].weight.expand(n, -1)
        for layer, slope in zip(reversed(linear[:-1]), reversed(slopes)):
            g = (g * slope) @ layer.weight
        excess = torch.relu(g[:, :1].square().sum(1).clamp_min(1e-24).sqrt() - 1)
        return x[:n].mean() - x[n:2 * n].mean() + LAMBDA * excess.square().mean()

    def build(self, batch, width, fused):
        super().build(batch, width, fused)
        self.critic_loss = torch.compile(self.critic_loss, dynamic=False)
        self.generator_loss = torch.compile(self.generator_loss, dynamic=False)

    def prepare(self, batch, width):
        if self.device.type == "cpu":
            torch.set_num_threads(len(os.sched_getaffinity(0)))
        self.build(batch, width, True)
        self.update()


class Graph(Training):
    """The eager update as one CUDA graph, captured after three warm-up updates."""

    def __init__(self, device):
        if device == "cpu":
            raise RuntimeError("needs CUDA")
        super().__init__(device)

    def prepare(self, batch, width):
        self.build(batch, width, True)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.update()
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.body()

    def update(self):
        self.schedule()
        if hasattr(self, "graph"):
            self.graph.replay()
        else:
            self.body()


class Sampling(Training):
    """States from conditions: features, latents, network, whitening undone; a chunk at a time."""
    compiled = False

    def prepare(self, width, states):
        if self.device.type == "cpu":
            torch.set_num_threads(len(os.sched_getaffinity(0)))
        torch.manual_seed(SEED)
        self.generator = mlp(LATENT + FEATURES, width).to(self.device)
        self.s = torch.linspace(-1, 1, states, device=self.device)
        k = torch.arange(1, WAVES + 1, device=self.device) * (math.pi / 2)

        def draw(s):
            angle = (s[:, None] + 1) * k
            rows = torch.cat([torch.randn(s.shape[0], LATENT, device=s.device),
                              s[:, None] * math.sqrt(3), angle.cos() * math.sqrt(2),
                              angle.sin() * math.sqrt(2)], 1)
            return 0.5 * torch.sin(3 * s) + math.sqrt(VARIANCE) * self.generator(rows)[:, 0]

        self.draw = torch.compile(draw, dynamic=False) if self.compiled else draw
        chunks = {}
        with torch.inference_mode():
            for chunk in (4096, 32768, states):  # the fastest piece
                if chunk > states:
                    continue
                self.chunk = chunk
                self.run(1)
                start = time.perf_counter()
                self.run(1)
                self.synchronize()
                chunks[time.perf_counter() - start] = chunk
        self.chunk = chunks[min(chunks)]
        self.note = f"{self.chunk} states a call"

    @torch.inference_mode()
    def run(self, times):
        for _ in range(times):
            self.out = torch.cat([self.draw(part) for part in self.s.split(self.chunk)])

    def save(self, file):
        np.save(file, self.out.cpu().numpy())


class SamplingCompiled(Sampling):
    compiled = True


CONTESTANTS = {"torch eager": Training, "torch compiled": Compiled, "torch CUDA graph": Graph,
               "torch eager sampling": Sampling, "torch compiled sampling": SamplingCompiled}
