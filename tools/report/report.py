#!/usr/bin/env python3
"""Writes DIR/report.html, one self-contained page of pictures, from the files of a microlift run.

    python3 tools/report/report.py DIR [-o FILE] [--quiet]

Needs numpy, matplotlib and h5py. Exit status 0, or 2 with one message when DIR is missing, is not a
run, or holds a broken file. An absent file only leaves out the sections that need it. The same
files give the same bytes.

config.toml        the resolved configuration; [system], [cv], [umbrella] are used
free_energy.csv    cv_1[,cv_2],free_energy,std_error
conditional.csv    cv_1[,cv_2],variable,mean,mean_se,variance,source   (physics|generator|healed)
work.csv           direction,walker,work,cv_1[,cv_2]   (forward|reverse; ξ at the end)
steered.csv        cv_1[,cv_2],free_energy,std_error,forward_work,forward_deviation,reverse_work,reverse_deviation
string.csv         cv_1[,cv_2],error_1[,error_2],free_energy,std_error
annealing.csv      beta,log_z,std_error,mean_energy,families
closure.csv        cv_1,drift,drift_se,diffusion,diffusion_se,source   (conditional|burst)
exact.csv          cv_1[,cv_2],free_energy and mean_<var>,variance_<var> for each variable: the
                   answer by quadrature, on the bins of free_energy.csv; absent if unknown
samples.h5         /state (sample, variable), /cv (sample[, cv]), /window (sample); attribute
                   `units` of /cv and /state, one string or one a column, and `variables` of /state
potential.h5       /sample: the rows of samples.h5 to draw, with /sample_potential and /observed of
                   them; of one or two variables /axis_1, /axis_2 and on their grid /potential, /cv
lifted.h5          a group for each condition, /cond_000 …, with attribute `cv` (value or values);
                   datasets physics, generator, healed, each (n, variable) and each optional, and
                   exact_<var>, (m, 2): value, density. Columns follow the attribute `variables` of
                   the file if there is one, else system.observed, else system.variables. Or without
                   groups: /cv (condition[, cv]) and datasets physics_000, exact_<var>_000, …
bias.h5            of one bias for all walkers, by point: /cv (K, point), /bias (look, point) with /step, /count;
                   of every look /look (steps), /rms_change, /rms_error; of the last of them, at the samples under the
                   frozen bias, /profile and /profile_error (look, bin)
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
import json
import os
import sys
from pathlib import Path

import numpy as np

# An isolated Python (-I) does not look beside the script by itself.
sys.path.insert(0, str(Path(__file__).resolve().parent))

import palette  # noqa: E402
from data import Broken, Run, dig
from draw import style
from findings import findings
from markup import box, bullets, details, html_table, prose
from review import ROWS, review
from sections import (annealing, biases, classical, closure, comparison, consistency, coupling, densities, energies,
                      figures,
                      free_energy, healing, learned, molecule, moments, proposals, rates, samples, steered, strings, training)
from words import capital, esc, fmt, number, seconds_text, sentence, several

# Identifier and title of each section, and the module that says whether it is wanted and writes it.
SECTIONS = (("free-energy", "Free energy", free_energy), ("samples", "Samples and "
                                                                     "windows", samples),
            ("bias", "The bias", biases), ("steered", "Work", steered), ("string", "The string", strings),
            ("annealing", "The population", annealing), ("rates", "Rates", rates), ("molecule", "The molecule", molecule),
            ("moments", "Conditional moments", moments),
            ("densities", "Conditional densities", densities),
            ("consistency", "May the generator be used?", consistency),
            ("classical", "Classical lifting", classical),
            ("proposals", "Weighed proposals", proposals), ("healing", "Healing", healing),
            ("training", "Training", training), ("comparison", "Kinds of generator", comparison),
            ("coupling", "Coupling", coupling), ("energies", "Energies of lifted states", energies),
            ("closure", "Closure", closure), ("learned", "Learned coordinates", learned),
            ("figures", "Figures", figures))
UNFINISHED = "<p><b>This run goes on.</b> Here is what its stages have found so far.</p>\n"
LONG = 600  # letters of formulas above which the page does not begin with them
TITLES = {"muller_brown": "Müller–Brown", "fast_slow": "Fast–slow system", "double_well": "Double "
                                                                                          "well",
          "channel": "Channel", "hidden_barrier": "Hidden barrier",
          "samples": "Samples from elsewhere"}


def run_in_words(run):
    umbrella = dig(run.config, "umbrella")
    along = np.atleast_1d(umbrella.get("windows") or [])  # of the first round, as are steps and seconds
    windows = int(np.prod(along)) if along.size and along.dtype.kind == "i" else len(run.centers)
    trajectories = windows * number(umbrella.get("replicas"))
    text = " in ".join([f"{fmt(trajectories)} trajectories"] * (trajectories > 0)
                       + [several(windows, "window")] * (windows > 0))
    if run.walkers > 0:
        text = f"{fmt(run.walkers)} walkers " + ("under one bias" if run.law == "bias" else
                                                 "that came down from a high temperature")
    if given := dig(run.metrics, "given"):
        count, windows = (int(number(given.get(key), 1)) for key in ("trajectories", "windows"))
        text = (f"{fmt(number(given.get('samples')))} samples made elsewhere, of {fmt(count)} "
                + ("trajectory" if count == 1 else "trajectories")
                + {"windows": f" in {several(windows, 'window')}", "weights": ", reweighted"}.get(
                    given.get("bias"), ", unbiased"))
    for key, form in (("steps", ", {} trajectory-steps"), ("seconds", " in {}")):
        total = sum(number(run.stage(name).get(key), 0) for name in ("anneal", "sample"))
        if total > 0:
            text += form.format(fmt(total) if key == "steps" else seconds_text(total))
    if run.metrics.get("device"):
        threads = number(run.metrics.get("threads"))
        known = "thread" not in str(run.metrics["device"]) and threads > 0
        text += f" on {run.metrics['device']}" + (f" ({several(threads, 'thread')})" if known
                                                  else "")
    seconds = np.nansum([number(s.get("seconds")) for s in dig(run.metrics, "stages").values()
                         if isinstance(s, dict)])
    return text + (f"; all stages took {seconds_text(seconds)}" if seconds > 0 else "")


def header(run):
    system = dig(run.config, "system")
    lines = [f"V({', '.join(run.variables)}) = {run.potential}"] if run.potential else [
        f"{key}: " + (", ".join(map(str, system[key])) if isinstance(system[key], list)
                      else str(system[key])) for key in ("drift", "diffusion") if system.get(key)]
    if run.parameters:
        lines.append("with " + ", ".join(f"{k} = {v:g}" for k, v in run.parameters.items()))
    if run.observed and run.observed != run.variables:
        lines.append("observed: " + ", ".join(run.observed))
    if any(run.cv_formulas):
        lines.append(("(ξ₁, ξ₂)" if run.two_cvs else "ξ") + " = " + ", ".join(run.cv_formulas))
    text = run_in_words(run)
    title = TITLES.get(run.name, capital(run.name.replace("_", " ")))
    formulas = f'<div class=formula>{"<br>".join(map(esc, lines))}</div>' if lines else ""
    if sum(map(len, lines)) > LONG:
        formulas = details(f"The system: {several(len(run.variables), 'variable')}, ξ = "
                           f"{', '.join(run.cv_symbols)}", formulas)
    return (f"<div class=over>microlift run</div><h1>{esc(title)}</h1>"
            + (f"<p>{esc(sentence(text.strip(' ,;')))}</p>" if text else "") + formulas)


def found_html(run, warnings):
    cards = "".join(
        f'<div class="card {f.status}"><h3>{esc(f.title)}</h3>'
        + (f"<p>{prose(f.sentences[0])}</p>" if len(f.sentences) == 1 else bullets(f.sentences))
        + (html_table(f.head, f.rows) if f.rows else "") + "</div>"
        for f in findings(run, warnings))
    if not cards:
        return ""
    return ('<section id="found"><h2>What the run found</h2>'
            f"<div class=cards>{cards}</div></section>")


def warning_html(warned):
    table = html_table(warned.head, warned.rows, "evidence") if warned.rows else ""
    if len(warned.rows) > ROWS:
        table = details(f"all {len(warned.rows)}", table)
    return f"<li>{prose(warned.text)}{table}</li>"


def notices(warnings, notes, passed):
    result = ""
    if warnings:
        result = box("warnings", "Warnings", f"<ul>{''.join(map(warning_html, warnings))}</ul>")
        if passed:
            result += details("What was checked and found right", bullets(map(sentence, passed)))
    elif passed:
        result = box("good", "No warnings. What was checked:", bullets(map(sentence, passed)))
    return result + (box("note", "Notes", bullets(notes)) if notes else "")


def goes_on(run):
    """Whether the run is at work: what it has not done yet is no part of this page."""
    try:
        status = json.loads((run.folder / "status.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(status, dict) and status.get("state") == "running" and not run.metrics.get("complete")


def page(run):
    """The whole page as text."""
    style()
    with np.errstate(all="ignore"):
        warnings, notes, passed = review(run)
        found = found_html(run, warnings)
        sections = [(i, "Samples" if run.law and i == "samples" else title, text) for i, title, module in SECTIONS
                    if module.wanted(run) and (text := module.section(run))]
    links = "".join(f'<a href="#{i}">{esc(t)}</a> ' for i, t, _ in sections)
    body = "".join(f'<section id="{i}"><h2><span>{n}</span>{esc(t)}</h2>{text}</section>\n'
                   for n, (i, t, text) in enumerate(sections, 1))
    folder = Path(__file__).resolve().parent
    look = (folder / "page.css").read_text(encoding="utf-8")
    colours = (f":root{{{palette.variables(0)}}}@media screen and "
               f"(prefers-color-scheme:dark){{:root{{{palette.variables(1)}}}}}")
    return ("<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
            '<meta name=viewport content="width=device-width,initial-scale=1">'
            '<meta name=color-scheme content="light dark">'
            f"<title>microlift: {esc(run.name)}</title><style>{colours}{look}</style></head>"
            f"<body><main>\n<header>{header(run)}</header>\n{UNFINISHED * goes_on(run)}{found}\n"
            f"{notices(warnings, notes, passed)}\n"
            f"<nav>{links}</nav>\n{body}"
            f"<footer>microlift {esc(str(run.metrics.get('version', '')))}</footer></main>"
            f"<script>{(folder / 'page.js').read_text(encoding='utf-8')}</script></body></html>\n")


def write_atomically(path, text):
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as problem:
        raise Broken(f"{path}: cannot be written: {problem.strerror}; free some space, or "
                     "make the directory writable") from None
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
    except Exception as problem:  # whatever files hold, people get one line
        what = " ".join(f"{type(problem).__name__}: {problem}".split())[:300]
        print(f"microlift: {options.dir}: its pictures cannot be drawn: {what}", file=sys.stderr)
        return 2
    if not options.quiet:
        print(output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
