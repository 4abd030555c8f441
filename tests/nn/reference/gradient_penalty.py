"""Writes gradient_penalty.h: weight gradients of the critic's losses with their gradient penalties, by
double backward in float64.

    pip install torch numpy && python3 gradient_penalty.py > gradient_penalty.h
"""
import numpy as np
import torch

STATES, FEATURES, HIDDEN, ROWS, WEIGHT = 2, 1, (7, 5), 6, 0.75
ACTIVATIONS = {
    "silu": torch.nn.functional.silu,
    "leaky_relu": lambda z: torch.nn.functional.leaky_relu(z, 0.2),
    "tanh": torch.tanh,
    "softplus": torch.nn.functional.softplus,
}


def critic(parameters, phi, rows):
    h = rows
    for l, (weight, bias) in enumerate(parameters):
        h = h @ weight + bias
        if l + 1 < len(parameters):
            h = phi(h)
    return h[:, 0]


def state_gradient(parameters, phi, rows):
    rows = rows.detach().requires_grad_(True)
    (g,) = torch.autograd.grad(critic(parameters, phi, rows).sum(), rows, create_graph=True)
    return g[:, :STATES]


def loss(parameters, phi, kind, fake, real, mixed):
    d_fake, d_real = critic(parameters, phi, fake), critic(parameters, phi, real)
    if kind == "relativistic":
        squares = [(state_gradient(parameters, phi, x) ** 2).sum(1) for x in (fake, real)]
        return (torch.nn.functional.softplus(d_fake - d_real).mean()
                + WEIGHT / 2 * (squares[0].mean() + squares[1].mean()))
    norm = state_gradient(parameters, phi, mixed).norm(dim=1)
    excess = norm - 1
    if kind == "one_sided":
        excess = excess.clamp(min=0)
    return d_fake.mean() - d_real.mean() + WEIGHT * (excess ** 2).mean()


def write(name, values, shape=""):
    flat = np.asarray(values).reshape(-1)
    print(f"inline constexpr double {name}[{len(flat)}] = {{")
    for i in range(0, len(flat), 4):
        print("    " + " ".join(f"{float(v):.17g}," for v in flat[i:i + 4]))
    print("};")


def problem(seed):
    """Parameters and rows, or None unless every activation has points on both sides of |g| = 1."""
    random = np.random.default_rng(seed)
    widths = (STATES + FEATURES, *HIDDEN, 1)
    parameters = []
    for n, m in zip(widths, widths[1:]):
        weight = random.normal(size=(n, m)) * 1.5 / np.sqrt(n)
        parameters.append((weight, random.normal(size=m) * 0.3))
    fake, real = random.normal(size=(2, ROWS, widths[0]))
    fake[:, STATES:] = real[:, STATES:]
    mixed = real.copy()
    u = random.uniform(size=(ROWS, 1))
    mixed[:, :STATES] = fake[:, :STATES] + u * (real - fake)[:, :STATES]
    pairs = [tuple(map(torch.tensor, pair)) for pair in parameters]
    for phi in ACTIVATIONS.values():
        norm = state_gradient(pairs, phi, torch.tensor(mixed)).norm(dim=1)
        if not 0 < (norm > 1).sum() < ROWS:
            return None
    return widths, parameters, fake, real, mixed


def main():
    widths, parameters, fake, real, mixed = next(filter(None, map(problem, range(10000))))

    print("// Made by gradient_penalty.py with PyTorch", torch.__version__.split("+")[0],
          "in float64; see there.")
    print("// Parameters and gradients in the order W_1 (in, out), b_1, W_2, …; rows are (row, column).")
    print("#pragma once\n\nnamespace microlift::reference {\n")
    print(f"inline constexpr int kStates = {STATES}, kRows = {ROWS};")
    print(f"inline constexpr int kWidths[] = {{{', '.join(map(str, widths))}}};")
    print(f"inline constexpr double kPenaltyWeight = {WEIGHT};")
    write("kParameters", np.concatenate([p.reshape(-1) for pair in parameters for p in pair]))
    for name, rows in (("kFake", fake), ("kReal", real), ("kMixed", mixed)):
        write(name, rows)
    rows = [torch.tensor(x) for x in (fake, real, mixed)]
    for activation, phi in ACTIVATIONS.items():
        for kind in ("one_sided", "two_sided", "relativistic"):
            leaves = [torch.tensor(p, requires_grad=True) for pair in parameters for p in pair]
            pairs = list(zip(leaves[::2], leaves[1::2]))
            value = loss(pairs, phi, kind, *rows)
            gradients = torch.autograd.grad(value, leaves, allow_unused=True)
            gradients = [torch.zeros_like(p) if g is None else g
                         for p, g in zip(leaves, gradients)]
            write(f"gradient_{activation}_{kind}",
                  torch.cat([g.reshape(-1) for g in gradients]).numpy())
    print("\n}  // namespace microlift::reference")


main()
