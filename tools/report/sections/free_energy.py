"""The free energy along the collective variables, with its errors and beside the exact one."""
import math

import numpy as np
from matplotlib import ticker

from data import column, dig, exact_free_energy, free_energy_residuals
from draw import band, closed, figure, heat_map, round_axis
from palette import COLOUR, LIGHT
from words import fmt, plain


def wanted(run):
    table = run.tables.get("free_energy")
    # On a line through a plane it is drawn beside the work that it comes from.
    line = run.two_cvs and "steered" in run.tables
    return bool(table) and not line and np.isfinite(table["free_energy"]).any()


def method_of(run):
    if "steered" in run.metrics:
        return "from the work of both ways"
    method = str(run.stage("estimate").get("method") or dig(run.config, "estimate").get("method")
                 or "").replace("_", " ")
    return method.upper() if method in ("mbar", "wham") else method


def agreement(scaled):
    if scaled is None:
        return ""
    good = np.abs(scaled[np.isfinite(scaled)])
    return (f" {np.mean(good <= 2):.0%} of {fmt(len(good))} bins lie within two standard errors of "
            "the exact answer (about 95% are expected; neighbouring bins move together).")


def maps(run, table, value, error, scaled):
    top = np.nanquantile(value, 0.995)
    unit = run.kt if run.kt > 0 else top / 10
    step = unit * max(1, round(top / unit / 12))

    def free_energy(axes):
        heat_map(run, axes, table, value, f"F  ({run.energy})", "viridis", (0, top),
                 np.arange(step, top, step))
        axes.set_title("Free energy")

    def errors(axes):
        heat_map(run, axes, table, error, f"standard error  ({run.energy})")
        axes.set_title("Standard error")

    def residuals(axes):
        limit = max(3.0, min(6.0, np.nanmax(np.abs(scaled))))
        heat_map(run, axes, table, scaled, "(F − exact) / std. error", "RdBu_r", (-limit, limit))
        axes.set_title("Difference from exact, in standard errors")

    panels = [free_energy] + [errors] * bool(np.isfinite(error).any())
    panels += [residuals] * (scaled is not None)
    return figure(panels, "Free energy of the two collective variables, minimum 0, contours every "
                  f"{fmt(step)}. Grey: never visited." + energy_unit(run) + agreement(scaled))


def energy_unit(run):
    if run.molecule or run.energy != "energy":
        return f" Energies are in {run.energy_unit}."
    return f" Energies are in the unit where {run.energy_unit}." if run.energy_unit else ""


def curve_panel(run, table, value, error, exact):
    def panel(axes):
        name = method_of(run)
        x, of_x, error_of_x = closed(run, table["cv_1"], value, error)
        band(axes, x, of_x, error_of_x, COLOUR["physics"], f"F, {name}" if name else "F",
             "± 2 standard errors")
        if exact is not None:
            axes.plot(*closed(run, table["cv_1"], exact), color=COLOUR["exact"], lw=1.2, ls=(0, (4, 3)),
                      label="exact")
        axes.set(ylabel=f"F({plain(run.given)})  ({run.energy})", xlabel=plain(run.cv_labels[0]))
        axes.set_title("Free energy")
        round_axis(run, axes.xaxis)
        if run.kt > 0:
            right = axes.secondary_yaxis("right",
                                         functions=(lambda f: f / run.kt, lambda f: f * run.kt))
            right.set_ylabel("βF  (kT)")
            right.spines["right"].set_visible(False)
    return panel


def residual_panel(run, table, scaled):
    def panel(axes):
        for half, shade in ((2, "outer"), (1, "inner")):
            axes.axhspan(-half, half, color=LIGHT[shade], lw=0)
        axes.axhline(0, color=COLOUR["exact"], lw=0.9, ls=(0, (4, 3)))
        limit = max(3.4, min(8, 1.15 * np.nanmax(np.abs(scaled))))
        axes.plot(table["cv_1"], np.clip(scaled, -limit, limit), "o", ms=3.4,
                  color=COLOUR["physics"],
                  clip_on=False)
        axes.set_ylim(-limit, limit)
        axes.yaxis.set_major_locator(ticker.MultipleLocator(2))
        axes.set(xlabel=plain(run.cv_labels[0]), ylabel="(F − exact) / std. error")
        round_axis(run, axes.xaxis)
        axes.set_title("Difference from exact, in standard errors")
    return panel


def error_panel(run, table, error):
    def panel(axes):
        axes.plot(*closed(run, table["cv_1"], error), color=COLOUR["physics"])
        axes.set_ylim(bottom=0)
        round_axis(run, axes.xaxis)
        axes.set(xlabel=plain(run.cv_labels[0]), ylabel=f"std. error  ({run.energy})")
        axes.set_title("Standard error")
    return panel


def section(run):
    table = run.tables["free_energy"]
    exact, scaled, error = exact_free_energy(run), free_energy_residuals(run), column(table,
                                                                                      "std_error")
    value = np.where(np.isfinite(table["free_energy"]), table["free_energy"], math.nan)
    if run.two_cvs:
        return maps(run, table, value, error, scaled)
    panels = [curve_panel(run, table, value, error, exact)]
    caption = "Free energy along the collective variable, minimum 0"
    if np.isfinite(error).any():
        panels.append(error_panel(run, table, error) if scaled is None
                      else residual_panel(run, table, scaled))
        caption += ", with a band of two standard errors"
    if exact is not None:
        caption += ", and the exact curve"
    caption += "; the difference is zero at the minimum by construction." * (scaled is not None)
    caption = caption.rstrip(".") + "."
    return figure(panels, caption + energy_unit(run) + agreement(scaled))
