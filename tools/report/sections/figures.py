"""The figures of the run as tables, and its configuration."""
import math

import numpy as np

from data import dig, numbers, w1_entries
from markup import details, html_table
from words import bytes_text, cv_text, esc, fmt, place, seconds_text

STAGE_COLUMNS = {"seconds": ("time", seconds_text), "steps": ("trajectory-steps", fmt),
                 "steps_per_second": ("steps a second", fmt), "updates": ("updates", fmt),
                 "updates_per_second": ("updates a second", fmt),
                 "force_evaluations": ("force evaluations", fmt),
                 "bytes_to_device": ("host → device", bytes_text),
                 "bytes_to_host": ("device → host", bytes_text),
                 "kernel_launches": ("kernel launches", fmt)}


def wanted(run):
    return bool(run.metrics or run.config_text)


def stage_table(stages):
    shown = [key for key in STAGE_COLUMNS if any(key in s for s in stages.values())]
    if not shown:
        return ""
    return html_table(["stage"] + [STAGE_COLUMNS[key][0] for key in shown], [
        [name.replace("_", " ")] + [STAGE_COLUMNS[key][1](s[key]) if key in s else "–"
                                    for key in shown]
        for name, s in stages.items()])


def facts(run, stages):
    found = [(f"{name}: {key.replace('_', ' ')}", v if isinstance(v, str) else fmt(v))
             for name, stage in stages.items() for key, v in stage.items()
             if key not in STAGE_COLUMNS and isinstance(v, (str, int, float))]
    for key, words in (("inefficiency", "statistical inefficiency"),
                       ("effective_samples", "effective samples")):
        values = run.of_windows(key)[np.isfinite(run.of_windows(key))]
        if len(values):
            found.append((f"{words} of {'the walkers' if run.walkers > 0 else 'the samples' if run.law else 'a window'}", f"median {fmt(np.median(values))}, from "
                          f"{fmt(values.min())} to {fmt(values.max())}"))
    for source in ("generator", "healed"):
        entries = w1_entries(run, source)
        if entries:
            worst = max(entries, key=lambda e: e["w1"])
            found.append((f"W₁/σ, {source}", f"median {fmt(np.median([e['w1'] for e in entries]))},"
                          f" worst {fmt(worst['w1'])} ({worst['variable']}, "
                          f"{cv_text(run, worst['cv'])})"))
    lifting = dig(run.metrics, "lifting")
    found += [(words, fmt(lifting[key])) for key, words in (
        ("constraint_residual", "constraint residual, RMS of ξ(G(z, s)) − s"),
        ("heal_steps", "healing steps")) if key in lifting]
    found += [("inverse temperature β", fmt(run.beta, 6))] if math.isfinite(run.beta) else []
    for key in ("device", "threads", "seed", "math", "precision", "version", "versions"):
        value = run.metrics.get(key)
        if value is not None:
            found.append((key, ", ".join(f"{k} {v}" for k, v in value.items())
                          if isinstance(value, dict) else value))
    return found


def section(run):
    stages = {k: v for k, v in dig(run.metrics, "stages").items() if isinstance(v, dict)}
    result, found = stage_table(stages), facts(run, stages)
    result += html_table(["figure", "value"], found, "facts") if found else ""
    if run.windows and not run.law:
        keys = ("stiffness", "inefficiency", "effective_samples", "overlap_next")
        rows = [[i, place(numbers(w.get("center")))] + [
            place(numbers(w.get(k))) if k in w else "–" for k in keys] for i,
            w in enumerate(run.windows)]
        result += details("All windows", html_table(
            ["window", "centre", *(k.replace("_", " ") for k in keys)], rows))
    if run.config_text:
        result += details("Configuration", f"<pre>{esc(run.config_text.strip())}</pre>")
    return result
