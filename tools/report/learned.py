"""The section on learned coordinates: a diffusion map of the run's samples."""

import json

import numpy as np

from data import Broken, dig, esc, listed, number, numbers
from draw import COLOUR, MUTED, figure


def section_learned(run):
    path = run.folder / "diffusion_map.json"
    if not path.is_file():
        return None
    try:
        learned = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise Broken(f"{path}: cannot be read: {problem}") from None
    values = numbers(learned.get("eigenvalues"))[1:]
    novelty = numbers(learned.get("novelty"))[1:]
    if not len(values):
        return None
    chosen = set(learned.get("independent") or [])
    k = np.arange(1, len(values) + 1)
    harmonic = np.array([i not in chosen for i in k])
    cloud = dig(learned, "cloud")
    features = [np.asarray(c, float) for c in cloud.get("features") or []]
    coordinates = [np.asarray(c, float) for c in cloud.get("coordinates") or []]

    def spectrum(axes):
        for mask, colour, name in ((~harmonic, COLOUR["physics"], "coordinate"),
                                   (harmonic, MUTED, "harmonic of earlier ones")):
            if mask.any():
                axes.plot(k[mask], values[mask], "o", color=colour, label=name)
        axes.set(xlabel="k", ylabel="eigenvalue λₖ")

    def residuals(axes):
        if len(novelty) == len(k):
            axes.bar(k[~harmonic], novelty[~harmonic], color=COLOUR["physics"])
            axes.bar(k[harmonic], novelty[harmonic], color=MUTED)
        axes.set(xlabel="k", ylabel="residual on earlier ones", ylim=(0, 1.05))

    panels = [spectrum, residuals]
    for j in sorted(chosen)[:2]:
        if len(features) >= 2 and j <= len(coordinates):
            def scatter(axes, j=j):
                c = coordinates[j - 1]
                low, high = np.nanpercentile(c, [1, 99])
                dots = axes.scatter(features[0], features[1], c=c, s=2, cmap="viridis", vmin=low,
                                    vmax=high, rasterized=True)
                axes.figure.colorbar(dots, ax=axes, label=f"φ{j}")
                names = learned.get("variables") if not learned.get("features") else None
                axes.set(xlabel=str(names[0]) if names else "y₁",
                         ylabel=str(names[1]) if names else "y₂")
            panels.append(scatter)
    text = (f"Diffusion map of {int(number(learned.get('points')))} of the samples, α = "
            f"{number(learned.get('alpha')):g}, ε = {number(learned.get('epsilon')):.3g}. "
            f"Coordinates that are no harmonics: {listed([str(i) for i in sorted(chosen)])}. "
            f"Lifting back by geometric harmonics misses "
            f"{number(learned.get('geometric_harmonics_error')):.2g} of the spread of the states.")
    notes = "".join(f'<p class="box">Warning: {esc(str(w))}.</p>'
                    for w in learned.get("warnings") or [])
    return "learned", "Learned coordinates", notes + figure(panels, text, 2)
