#!/usr/bin/env python3
"""Writes DIR/report.html, one self-contained page of pictures, from the files of a microlift run.

    python3 tools/report/report.py DIR [-o FILE] [--quiet]

Needs numpy, matplotlib and h5py. Exit status 0, or 2 with one message when DIR is missing, is not a
run, or holds a broken file. An absent file only leaves out the sections that need it. The same
files give the same bytes.

config.toml        the resolved configuration; [system], [cv], [umbrella] are used
free_energy.csv    cv_1[,cv_2],free_energy,std_error
conditional.csv    cv_1[,cv_2],variable,mean,mean_se,variance,source   (physics|generator|healed)
closure.csv        cv_1,drift,drift_se,diffusion,diffusion_se,source   (conditional|burst)
exact.csv          cv_1[,cv_2],free_energy and mean_<var>,variance_<var> for each variable: the
                   answer by quadrature, on the bins of free_energy.csv; absent if unknown
samples.h5         /state (sample, variable), /cv (sample[, cv]), /window (sample); attribute
                   `units` of /cv and /state, one string or one a column, and `variables` of /state
lifted.h5          a group for each condition, /cond_000 …, with attribute `cv` (value or values);
                   datasets physics, generator, healed, each (n, variable) and each optional, and
                   exact_<var>, (m, 2): value, density. Columns follow the attribute `variables` of
                   the file if there is one, else system.observed, else system.variables. Or without
                   groups: /cv (condition[, cv]) and datasets physics_000, exact_<var>_000, …
metrics.json       {"version", "device", "threads", "seed",
  "system": {"name", "variables": [..], "observed": [..], "potential_formula", "parameters": {..},
             "beta"},
  "stages": {"sample": {"seconds", "steps", "steps_per_second", "force_evaluations",
                        "bytes_to_device", "bytes_to_host", "kernel_launches"},
             "estimate": {.., "method", "residual", "iterations", "converged"},
             "train": {.., "history": {"update": [..], "critic_loss": [..], "generator_loss": [..],
                       "penalty": [..], "validation_update": [..], "w1_mean": [..],
                       "w1_worst": [..]},
                       "best_update", "w1_floor"},
             "couple": {..}, "close": {..}},
  "windows": [{"center": [..], "stiffness", "inefficiency", "effective_samples", "overlap_next"}],
  "lifting": {"constraint_residual", "heal_steps",
              "w1": [{"cv": [..], "variable", "source", "w1_over_sigma", "floor"}]},
  "warnings": ["plain text"]}
  Every entry may be missing, histories may hold null; other scalars of a stage are listed as given.
"""
import argparse
import math
import os
import sys
from pathlib import Path

import numpy as np

from classical import section_classical
from closure import section_closure
from consistency import section_consistency
from coupling import section_coupling
from data import (Broken, Run, bytes_text, cv_text, dig, esc, fmt, html_table, number,
                         numbers, review, seconds_text, sentence, several, w1_entries)
from draw import style
from energies import section_energies
from learned import section_learned
from proposals import section_comparison, section_healing, section_proposals
from lifting import section_densities, section_moments, section_training
from sampling import section_cloud, section_free_energy, section_windows

STAGE_ROWS = {"seconds": ("time", seconds_text), "steps": ("trajectory-steps", fmt),
              "steps_per_second": ("steps a second", fmt), "updates": ("updates", fmt),
              "updates_per_second": ("updates a second", fmt),
              "force_evaluations": ("force evaluations", fmt),
              "bytes_to_device": ("host → device", bytes_text),
              "bytes_to_host": ("device → host", bytes_text),
              "kernel_launches": ("kernel launches", fmt)}


def section_figures(run):
    stages = {k: v for k, v in dig(run.metrics, "stages").items() if isinstance(v, dict)}
    rows = [[label] + [show(s[key]) if key in s else "–" for s in stages.values()]
            for key, (label, show) in STAGE_ROWS.items() if any(key in s for s in stages.values())]
    result = html_table(["Stage", *stages], rows) if rows else ""
    facts = [(f"{name}: {key.replace('_', ' ')}", v if isinstance(v, str) else fmt(v))
             for name, stage in stages.items() for key, v in stage.items()
             if key not in STAGE_ROWS and isinstance(v, (str, int, float))]
    for key, words in (("inefficiency", "statistical inefficiency"),
                       ("effective_samples", "effective samples")):
        values = run.of_windows(key)[np.isfinite(run.of_windows(key))]
        if len(values):
            facts.append((f"{words} of a window", f"median {fmt(np.median(values))}, from "
                          f"{fmt(values.min())} to {fmt(values.max())}"))
    for source in ("generator", "healed"):
        entries = w1_entries(run, source)
        if entries:
            worst = max(entries, key=lambda e: e["w1"])
            facts.append((f"W₁/σ, {source}", f"median {fmt(np.median([e['w1'] for e in entries]))},"
                          f" worst {fmt(worst['w1'])} ({worst['variable']}, "
                          f"{cv_text(run, worst['cv'])})"))
    facts += [(words, fmt(dig(run.metrics, "lifting")[key])) for key, words in (
        ("constraint_residual", "constraint residual, RMS of ξ(G(z, s)) − s"),
        ("heal_steps", "healing steps")) if key in dig(run.metrics, "lifting")]
    facts += [("inverse temperature β", fmt(run.beta, 6))] if math.isfinite(run.beta) else []
    for key in ("device", "threads", "seed", "math", "precision", "version", "versions"):
        value = run.metrics.get(key)
        if value is not None:
            facts.append((key, ", ".join(f"{k} {v}" for k, v in value.items())
                          if isinstance(value, dict) else value))
    result += html_table(["Figure", "Value"], facts, "facts") if facts else ""
    if run.windows:
        keys = ("stiffness", "inefficiency", "effective_samples", "overlap_next")
        rows = [[i + 1, ", ".join(fmt(c) for c in numbers(w.get("center")))]
                + [fmt(w.get(k)) for k in keys] for i, w in enumerate(run.windows)]
        result += "<details><summary>All windows</summary>" + html_table(
            ["Window", "centre", *(k.replace("_", " ") for k in keys)], rows) + "</details>"
    if run.config_text:
        result += ("<details><summary>Configuration</summary>"
                   f"<pre>{esc(run.config_text.strip())}</pre></details>")
    return ("figures", "Figures", result) if result else None


# ---------------------------------------------------------------- page

CSS = """
:root{color-scheme:light}*{box-sizing:border-box}
body{margin:0;background:#fff;color:#22262b;font:17px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue","Liberation Sans",Arial,sans-serif;-webkit-text-size-adjust:100%}
main{max-width:940px;margin:0 auto;padding:44px 20px 80px}
h1,h2{font-family:Charter,"Bitstream Charter",Georgia,"Liberation Serif",serif;line-height:1.2}
h1{font-size:2.3rem;margin:.1em 0 .35em}h2{font-size:1.5rem;margin:2.4em 0 .5em;padding-top:.9em;
border-top:1px solid #e3e6ea}h2 span{color:#8a939d;font-weight:400;margin-right:.55em}
.over{color:#5c6570;font-size:.85rem;letter-spacing:.06em;text-transform:uppercase}
.formula{font:.88rem/1.6 ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace;margin:.8em 0;
background:#f6f7f9;padding:.75em 1em;border-radius:6px;overflow:auto;overflow-wrap:anywhere;
max-height:13em}
nav{font-size:.92rem;margin-top:1.3em}nav a{white-space:nowrap;margin-right:1.1em}
a,summary{color:#0b5a8f;text-decoration:none;cursor:pointer}a:hover{text-decoration:underline}
.box{border-left:4px solid #c77700;background:#fff7e8;padding:.9em 1.2em;border-radius:0 6px 6px 0;
margin:1.4em 0}.box.good{border-color:#00795a;background:#eef7f3}
.box.note{border-color:#9aa3ad;background:#f6f7f9;font-size:.93rem}
.box ul{margin:.2em 0;padding-left:1.15em}.box li{margin:.3em 0}.box p{margin:.2em 0}
figure{margin:1.2em 0 2em}figure img{width:100%;height:auto;display:block}
figcaption{color:#4a525b;font-size:.93rem;line-height:1.5;margin-top:.6em;max-width:48em}
.scroll{overflow-x:auto;margin:1em 0 1.8em}table{border-collapse:collapse;font-size:.9rem;
width:100%;font-variant-numeric:tabular-nums}th,td{padding:.38em .8em;text-align:right;
border-bottom:1px solid #edeff2;white-space:nowrap}thead th{color:#5c6570;border-bottom:1.5px solid
#c5ccd3}tbody th{font-weight:400}th:first-child{padding-left:0;text-align:left}
.facts th,.facts td{white-space:normal;text-align:left}details{margin:1em 0}
pre{background:#f6f7f9;padding:1em;border-radius:6px;overflow-x:auto;font-size:.82rem;
line-height:1.5}footer{margin-top:4em;color:#8a939d;font-size:.85rem}
@media(max-width:600px){body{font-size:16px}main{padding:24px 16px 60px}h1{font-size:1.75rem}
h2{font-size:1.3rem}table{font-size:.82rem}th,td{padding:.35em .5em}}
@media print{main{max-width:none}figure,.box,tr{break-inside:avoid}}
"""
TITLES = {"muller_brown": "Müller–Brown", "fast_slow": "Fast–slow system",
          "double_well": "Double well", "channel": "Channel", "hidden_barrier": "Hidden barrier"}
SECTIONS = (section_cloud, section_windows, section_free_energy, section_moments,
            section_densities, section_classical, section_proposals, section_healing,
            section_training, section_comparison, section_coupling, section_consistency, section_energies,
            section_closure,
            section_learned, section_figures)


def header(run):
    system, sample = dig(run.config, "system"), run.stage("sample")
    lines = [f"V({', '.join(run.variables)}) = {run.potential}"] if run.potential else [
        f"{key}: " + (", ".join(map(str, system[key])) if isinstance(system[key], list)
                      else str(system[key])) for key in ("drift", "diffusion") if system.get(key)]
    if run.parameters:
        lines.append("with " + ", ".join(f"{k} = {v:g}" for k, v in run.parameters.items()))
    if run.observed and run.observed != run.variables:
        lines.append("observed: " + ", ".join(run.observed))
    if any(run.cv_formulas):
        lines.append(("(ξ₁, ξ₂)" if run.two_cvs else "ξ") + " = " + ", ".join(run.cv_formulas))
    windows = len(run.centers)
    trajectories = number(sample.get("trajectories"), windows * number(
        dig(run.config, "umbrella").get("replicas")))
    text = " in ".join([f"{fmt(trajectories)} trajectories"] * (trajectories > 0)
                       + [several(windows, "window")] * (windows > 0))
    for key, form in (("steps", ", {} trajectory-steps"), ("seconds", " in {}")):
        if number(sample.get(key)) > 0:
            text += form.format(fmt(sample[key]) if key == "steps" else seconds_text(sample[key]))
    if run.metrics.get("device"):
        threads = number(run.metrics.get("threads"))
        text += f" on {run.metrics['device']}" + (
            f" ({several(threads, 'thread')})" if threads > 0 else "")
    seconds = np.nansum([number(s.get("seconds")) for s in dig(run.metrics, "stages").values()
                         if isinstance(s, dict)])
    text += f"; all stages took {seconds_text(seconds)}" if seconds > 0 else ""
    return (f'<div class=over>microlift run</div><h1>{esc(TITLES.get(run.name, run.name))}</h1>'
            + (f"<p>{esc(sentence(text.strip(' ,;')))}</p>" if text else "")
            + (f'<div class=formula>{"<br>".join(map(esc, lines))}</div>' if lines else ""))


def notices(run):
    def box(kind, title, sentences):
        items = "".join(f"<li>{esc(s)}</li>" for s in sentences)
        return f'<div class="box {kind}" id={kind}><b>{title}</b><ul>{items}</ul></div>'
    warnings, notes, passed = review(run)
    result = box("warnings", "Warnings", warnings) if warnings else ""
    if passed and not warnings:
        result = box("good", "No warnings. What was checked:", [sentence(p) for p in passed])
    return result + (box("note", "Notes", notes) if notes else "")


def page(run):
    """The whole page as text."""
    style()
    with np.errstate(all="ignore"):
        sections = [result for section in SECTIONS if (result := section(run))]
        top = header(run), notices(run)
    links = "".join(f'<a href="#{i}">{esc(t)}</a> ' for i, t, _ in sections)
    body = "".join(f'<section id="{i}"><h2><span>{n}</span>{esc(t)}</h2>{text}</section>\n'
                   for n, (i, t, text) in enumerate(sections, 1))
    return ("<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
            '<meta name=viewport content="width=device-width,initial-scale=1">'
            f"<title>microlift: {esc(run.name)}</title><style>{CSS}</style></head><body><main>\n"
            f"<header>{top[0]}<nav>{links}</nav></header>\n{top[1]}\n{body}"
            f"<footer>microlift {esc(str(run.metrics.get('version', '')))}</footer></main></body>"
            "</html>\n")


def write_atomically(path, text):
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as problem:
        raise Broken(f"{path}: cannot be written: {problem.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Write DIR/report.html from the files of a run.")
    parser.add_argument("dir", metavar="DIR", help="directory of a `microlift run`")
    parser.add_argument("-o", "--output", metavar="FILE", help="instead of DIR/report.html")
    parser.add_argument("--quiet", action="store_true", help="do not print where the page lies")
    options = parser.parse_args(arguments)
    output = Path(options.output or Path(options.dir) / "report.html")
    try:
        write_atomically(output, page(Run(options.dir)))
    except Broken as problem:
        print(f"microlift: {problem}", file=sys.stderr)
        return 2
    if not options.quiet:
        print(output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
