"""The colours of the page and of its figures: on white, and on dark. A figure is drawn with the first
and shows either, because inline SVG takes its colours from the page's variables."""
from matplotlib.colors import LinearSegmentedColormap

# Okabe and Ito's palette and a purple: distinct under the common colour-vision deficiencies.
PAIRS = {
    "page": ("#ffffff", "#14171b"), "ink": ("#22262b", "#e6e9ec"), "muted": ("#5c6570", "#a3adb8"),
    "edge": ("#9aa3ad", "#6f7a86"), "line": ("#e3e6ea", "#2b3138"), "panel": ("#f6f7f9", "#1d2127"),
    "empty": ("#e7eaed", "#262b32"), "shade": ("#f3d9c9", "#4d3526"), "inner": ("#dfe5eb", "#333c46"),
    "outer": ("#eef1f4", "#232930"), "link": ("#0b5a8f", "#6cb6ee"),
    "warn": ("#c77700", "#e39a2e"), "warn-back": ("#fff7e8", "#2b2414"),
    "good": ("#00795a", "#2fbf96"), "good-back": ("#eef7f3", "#13261f"),
    "bad": ("#b3261e", "#ef6a5f"), "bad-back": ("#fdf0ef", "#2d1716"),
    "exact": ("#111111", "#f4f4f4"), "blue": ("#0072b2", "#4cb2ee"),
    "orange": ("#d55e00", "#ff8f45"), "green": ("#009e73", "#33cba0"),
    "purple": ("#aa4499", "#dc86cf"), "sky": ("#56b4e9", "#92d2f7"), "pink": ("#cc79a7", "#e6a5c8"),
    "indigo": ("#332288", "#9488ea"), "lilac": ("#a59bd0", "#7469b5"),
    "grey": ("#8a939d", "#8b95a0"), "red": ("#cc3311", "#ff7657"), "brown": ("#8a5a2b", "#cf9f6b"),
}
LIGHT = {name: pair[0] for name, pair in PAIRS.items()}
INK, MUTED, EDGE, SHADE, PAGE = (LIGHT[c] for c in ("ink", "muted", "edge", "shade", "page"))
COLOUR = {key: LIGHT[name] for key, name in {
    "physics": "blue", "generator": "orange", "healed": "green", "exact": "exact", "full": "exact",
    "conditional": "blue", "free_energy": "sky", "burst": "purple", "held": "brown",
    "importance": "sky", "metropolis": "pink", "critic_loss": "blue", "generator_loss": "orange",
    "penalty": "grey", "loss": "blue", "w1_mean": "indigo", "w1_worst": "lilac",
    "umbrella": "blue", "both": "green", "samples": "blue"}.items()}
MARKER = {"physics": "o", "generator": "^", "healed": "s", "conditional": "o", "burst": "D",
          "importance": "v", "metropolis": "d"}

# Windows by their order: of middling lightness throughout, to be seen on white and on dark.
WINDOW_MAP = LinearSegmentedColormap.from_list("windows", [
    "#6a5fd0", "#3d85d6", "#159bb0", "#2a9d6a", "#8a9a1f", "#cf8a1a", "#d8603c", "#c8508f"])
# A potential, low to high: a veil that thins out.
ENERGY_MAP = LinearSegmentedColormap.from_list("energy", [
    (0.45, 0.56, 0.68, 0.75), (0.58, 0.67, 0.76, 0.35), (0.6, 0.7, 0.8, 0.0)])


def variables(dark):
    """The colours as CSS variables."""
    return "".join(f"--{name}:{pair[dark]};" for name, pair in PAIRS.items())
