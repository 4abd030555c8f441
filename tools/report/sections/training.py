"""How the generator was trained."""
import math

import numpy as np

from data import dig, numbers
from draw import figure, log_scale, zoom
from palette import COLOUR, INK, MUTED
from words import number

WORDS = {"w1_mean": "W₁, mean over conditions", "w1_worst": "W₁, worst condition"}


def series_of(run):
    history = dig(run.stage("train"), "history")
    series = {k: numbers(v) for k, v in history.items() if isinstance(v, list)}
    times = [series.pop(k, np.array([])) for k in ("validation_update", "update")]
    return {k: v for k, v in series.items() if np.isfinite(v).sum() > 1}, times


def wanted(run):
    return bool(series_of(run)[0])


def section(run):
    series, (validated, update) = series_of(run)
    train = run.stage("train")
    distances = [k for k in series if k.startswith("w1")]
    losses = [k for k in series if k not in distances]
    best, floor = number(train.get("best_update")), number(train.get("w1_floor"))

    def draw(axes, keys):
        for key in keys:
            y = series[key]
            x = next((t for t in (validated, update) if len(t) == len(y)), None)
            x = x if x is not None else np.linspace(0, update[-1] if len(update) else len(y) - 1, len(y))
            good = np.isfinite(y)
            axes.plot(x[good], y[good], lw=1.3, color=COLOUR.get(key, MUTED),
                      label=WORDS.get(key, key.replace("_", " ")))
        if math.isfinite(best):
            axes.axvline(best, color=INK, lw=1.0, ls=":", label="kept (best)")
        axes.set_xlabel("updates of the generator")

    def loss_panel(axes):
        draw(axes, losses)
        late = np.concatenate([series[k][len(series[k]) // 50:] for k in losses])
        late = late[np.isfinite(late)]
        low, high = np.percentile(late, [0.2, 99.8])  # the first spikes may leave the picture
        zoom(axes, np.clip(late, low, high))
        axes.set_ylabel("loss")
        axes.set_title("Losses")

    def distance_panel(axes):
        draw(axes, distances)
        if floor > 0:
            axes.axhline(floor, color=MUTED, lw=1.1, label="sampling floor")
        axes.set_ylabel("W₁ / σ, held-out samples")
        axes.set_title("Distance to held-out samples")
        log_scale(axes)

    panels = [loss_panel] * bool(losses) + [distance_panel] * bool(distances)
    return figure(panels, "Training of the generator." + (
        " The distance to held-out physics samples, in conditional standard deviations, decides which "
        "network is kept." if distances else "") + (
        " The floor is what two finite samples of one distribution show." if floor > 0 else ""))
