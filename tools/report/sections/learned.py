"""Learned coordinates: a diffusion map of the run's samples."""
import json

import numpy as np

from data import Broken, dig, numbers
from draw import colour_bar, figure
from palette import COLOUR, MUTED
from words import fmt, listed, number


def wanted(run):
    return (run.folder / "diffusion_map.json").is_file()


def section(run):
    path = run.folder / "diffusion_map.json"
    try:
        learned = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise Broken(f"{path}: cannot be read: {problem}") from None
    values, novelty = numbers(learned.get("eigenvalues"))[1:], numbers(learned.get("novelty"))[1:]
    if not len(values):
        return ""
    chosen = set(learned.get("independent") or [])
    k = np.arange(1, len(values) + 1)
    harmonic = np.array([i not in chosen for i in k])
    features, coordinates = ([np.asarray(c, float) for c in dig(learned, "cloud", name, kind=list)]
                             for name in ("features", "coordinates"))

    def spectrum(axes):
        for mask, colour, name in ((~harmonic, COLOUR["physics"], "coordinate"),
                                   (harmonic, MUTED, "harmonic of earlier ones")):
            if mask.any():
                axes.plot(k[mask], values[mask], "o", color=colour, label=name)
        axes.set(xlabel="k", ylabel="eigenvalue λₖ")
        axes.set_title("Spectrum")

    def residuals(axes):
        for mask, colour in ((~harmonic, COLOUR["physics"]), (harmonic, MUTED)):
            axes.bar(k[mask], novelty[mask], color=colour)
        axes.set(xlabel="k", ylabel="residual on earlier ones", ylim=(0, 1.05))
        axes.set_title("What each adds to the earlier ones")

    def cloud_of(j):
        def panel(axes):
            low, high = np.nanpercentile(coordinates[j - 1], [1, 99])
            dots = axes.scatter(features[0], features[1], c=coordinates[j - 1], s=3, cmap="viridis",
                                vmin=low, vmax=high, rasterized=True)
            colour_bar(axes, dots, f"φ{j}")
            names = learned.get("variables") if not learned.get("features") else None
            axes.set(xlabel=str(names[0]) if names else "y₁", ylabel=str(names[1]) if names else "y₂")
            axes.set_title(f"Coordinate φ{j}")
        return panel

    panels = [spectrum] + [residuals] * (len(novelty) == len(k))
    panels += [cloud_of(j) for j in sorted(chosen)[:2] if len(features) >= 2 and j <= len(coordinates)]
    return figure(panels, f"Diffusion map of {fmt(learned.get('points'))} of the samples, α = "
                  f"{fmt(learned.get('alpha'))}, ε = {fmt(learned.get('epsilon'))}. Coordinates that are no "
                  f"harmonics: {listed(map(str, sorted(chosen)))}. Lifting back by geometric harmonics "
                  f"misses {fmt(number(learned.get('geometric_harmonics_error')), 2)} of the spread of the "
                  "states.")
