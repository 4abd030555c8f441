"""What is not to be trusted: the run's warnings and the report's own, each said once, with its
evidence as a small table and with what helps."""
import re
from collections import namedtuple

import numpy as np

from data import dig, entries, free_energy_residuals, numbers, pick, w1_entries
from thresholds import (APART_BINS, APART_ERRORS, APART_LOG, FAR_BINS, MANY_ABOVE_FLOOR,
                        MIN_EFFECTIVE,
                        MIN_OVERLAP, W1_WARN)
from words import cv_text, fmt, listed, number, percent, place, sentence, several, with_error

ROWS = 6  # of a table that is shown at once

Warned = namedtuple("Warned", "text head rows advice", defaults=((), (), ""))


def apart(a, b):
    """Whether two figures, each with value and error, differ by more than their errors explain."""
    va, vb = number(a.get("value")), number(b.get("value"))
    if not (va > 0 and vb > 0):
        return False
    ratio = abs(np.log(va / vb))
    joint = np.hypot(number(a.get("error"), 0.0) / va, number(b.get("error"), 0.0) / vb)
    return bool(ratio > APART_LOG and ratio > APART_ERRORS * joint)


def closure_models(run):
    """{source: {quantity: figure}} of the closure and of the full model: slowest rate, passages."""
    models = {}
    for source in entries(run.metrics, "closure", "sources"):
        figures = {}
        for rate in entries(source, "rates")[:1]:
            figures["slowest rate"] = rate
        for p in entries(source, "passages"):
            figures[f"first passage {place(p.get('from'))} → {place(p.get('to'))}"] = p
        models[str(source.get("source"))] = figures
    return models


def averages_of(models):
    """The source that stands for averages: the one that integrates to the free energy, if it is
    there."""
    return "free_energy" if "free_energy" in models else "conditional"


# ---------------------------------------------------------------- what the run warned of

def poor_variable(run, texts):
    models = closure_models(run)
    columns = [s for s in ("full", averages_of(models), "burst") if s in models]
    names = {"full": "full model", "burst": "closure by bursts"}
    quantities = list(dict.fromkeys(q for s in columns for q in models[s]))
    rows = [[q] + [with_error(*(models[s].get(q, {}).get(k) for k in ("value", "error")))
                   for s in columns] for q in quantities]
    return Warned("The collective variable is poor: it leaves out a slow motion, for the reduced "
                  "models contradict each other or the full model. Do not trust rates and times of "
                  "the closure from averages." if models else sentence(texts[0]),
                  ["", *(names.get(s, "closure by averages") for s in columns)], rows)


def short_equilibration(run, texts):
    found = re.findall(r"(\d+) \(([\d.e+-]+) steps\)", texts[-1])
    if not found:
        return Warned(sentence(texts[-1]))
    longest = max(float(steps) for _, steps in found)
    rows = [[w, cv_text(run, run.centers[int(w)]) if int(w) < len(run.centers) else "–",
             fmt(float(steps))]
            for w, steps in found]
    return Warned(f"{several(len(found), 'window')} equilibrated for less than five relaxation "
                  f"times (the longest: {fmt(longest)} steps): the start may still show, and error "
                  "bars do not include it.", ["window", "centre", "relaxation, steps"], rows)


def not_in_equilibrium(run, texts):
    found = re.findall(r"(\([^()]*\)|[\d.e+-]+) \((\w+), ([\d.e+-]+)\)", texts[-1])
    if not found:
        return Warned(sentence(texts[-1]))
    return Warned("Not in equilibrium: the two halves of the samples differ by more than chance "
                  f"explains in {several(len(found), 'window')}; error bars do not include that.",
                  ["window at", "variable", "standard errors"],
                  [[at, variable, fmt(float(z))] for at, variable, z in found])


def unfinished_passages(run, texts):
    found = [re.match(r"(\d+) of (\d+) first passages to (.*?) were not over", t) for t in texts]
    if not all(found):
        return Warned(sentence(texts[0]))
    return Warned("Some simulated first passages were not over after closure.passage_steps; their "
                  "means take them for exponential.", ["first passage to", "not over", "of"],
                  [[m[3], m[1], m[2]] for m in found])


def missing_states(run, texts):
    found = re.search(r" at xi = (.*?): part", texts[-1])
    at = found[1].split(", ") if found else []
    where = listed(at) if len(at) <= 6 else f"{len(at)} values from {at[0]} to {at[-1]}"
    where = where.replace("-", "−")
    return Warned(f"The samples still disagree with reweighted lifted states at ξ = {where}: part "
                  "of the states is missing there." if found else sentence(texts[-1]))


def far_generator(run, texts):
    rows = []
    for source, name in (("generator", "as generated"), ("healed", "after healing")):
        found = w1_entries(run, source)
        if found:
            worst = max(found, key=lambda e: e["w1"])
            rows.append([name, fmt(float(np.median([e["w1"] for e in found]))), fmt(worst["w1"]),
                         f"{worst['variable']}, "
                         f"{cv_text(run, worst['cv'])}", str(len(too_far(found)))
                         + f" of {len(found)}"])
    return Warned(f"Lifted states are far from the physics somewhere, by more than {W1_WARN} σ "
                  "(W₁). See the conditional densities before using them there, or "
                  "heal." if rows else
                  sentence(texts[0]), ["states", "median W₁/σ", "worst", "where", "too far"], rows)


def rounded(text):
    """Figures with errors to the digits that the errors leave."""
    figure = r"(-?\d[\d.]*(?:e[-+]?\d+)?)"
    return re.sub(rf"(?<![\w.]){figure} \+- {figure[:-1].replace('-?', '')})",
                  lambda m: with_error(float(m[1].rstrip(".")), float(m[2].rstrip("."))), text)


def as_told(run, texts):
    first, *others = (rounded(sentence(t)) for t in texts)
    return Warned(first, ["likewise"], [[t] for t in others])


# What stands in a warning, how it is said, and what helps. The first that fits speaks.
TOPICS = (
    ("did not converge", as_told, "Do not use the free energy: sample longer or add windows until "
                                  "the "
     "estimate converges."),
    ("hardly overlap", as_told, "Add windows where neighbours hardly overlap (umbrella.windows), "
                                "or lower "
     "umbrella.stiffness."),
    ("not in equilibrium", not_in_equilibrium, "Raise umbrella.equilibrate, exchange windows "
     "(umbrella.exchange) or add [coupling], until both halves of the samples agree."),
    ("equilibrated for less than", short_equilibration, "Raise umbrella.equilibrate or use "
     "umbrella.exchange."),
    ("variable is poor", poor_variable, "Look for a better collective variable: `microlift learn` "
                                        "proposes "
     "one from these samples. Until then take times from the full model, not from the closure."),
    ("no plateau", as_told, "Give longer bursts (closure.burst_steps) before the closure by bursts "
                            "is used."),
    ("first passages", unfinished_passages, "Raise closure.passage_steps until most passages end."),
    ("still disagree with reweighted", missing_states, "Raise coupling.rounds or coupling.windows: "
     "states are missing from the samples."),
    ("far from physics", far_generator, "Heal lifted states (lifting.heal_steps), choose them by weight "
     "(lifting.candidates, with a density), or train longer (generator.iterations), before using the generator where "
     "it is far off."),
    ("outside its data", as_told, "Add windows, or narrow umbrella.from and to: the generator "
     "extrapolates."),
)

# What helps where samples were made elsewhere, whose windows are no keys.
ELSEWHERE = {
    "hardly overlap": "Sample windows between those that hardly overlap.",
    "not in equilibrium": "Leave out more of each trajectory (samples.discard), or sample longer, until both halves of "
                          "the samples agree.",
    "equilibrated for less than": "Leave out more of each trajectory (samples.discard), or sample longer.",
    "outside its data": "Sample there: the generator extrapolates.",
}


# The same under one bias for all walkers.
BIASED = {
    "hardly overlap": "Sample longer (bias.steps).",
    "not in equilibrium": "Sample longer (bias.steps), bias what hides behind the collective variable, too, or add "
                          "[coupling], until both halves of the samples agree.",
    "outside its data": "Sample there (bias.from, bias.to, bias.steps): the generator extrapolates.",
}


def topic_of(text):
    return next((i for i, (words, _, _) in enumerate(TOPICS) if words in text), None)


def skeleton(text):
    """A warning without its numbers: warnings that differ in them alone say the same."""
    return re.sub(r"[-+]?\d[\d.e+-]*", "#", text)


def told_by_run(run, own):
    """The run's warnings, and the report's own ones, one of each kind."""
    groups = {}
    for text in [str(w) for w in dig(run.metrics, "warnings", kind=list)] + own:
        topic = topic_of(text)
        groups.setdefault(skeleton(text) if topic is None else topic, []).append(text)
    result = []
    for key, texts in groups.items():
        words, say, advice = TOPICS[key] if isinstance(key, int) else ("", as_told, "")
        for section, others in (("samples", ELSEWHERE), ("bias", BIASED)):
            if dig(run.config, section):
                advice = others.get(words, advice)
        said = say(run, list(dict.fromkeys(texts)))
        result.append(said._replace(advice=advice))
    return result


# ---------------------------------------------------------------- what the report checks itself

def too_far(found):
    return [e for e in found if e["w1"] > W1_WARN and e["w1"] > 2 * np.nan_to_num(e["floor"])]


def check_stages(run, warnings, notes, passed):
    given = " ".join(str(w) for w in dig(run.metrics, "warnings", kind=list))
    for name, stage in dig(run.metrics, "stages").items():
        converged = stage.get("converged") if isinstance(stage, dict) else None
        if converged is False and "converge" not in given:
            warnings.append(f"Stage “{name}” did not converge (residual "
                            f"{fmt(stage.get('residual'))} after {fmt(stage.get('iterations'))} "
                            "iterations): its results are not final.")
        elif converged is True:
            passed.append("the estimator converged" if name == "estimate" else
                          f"stage “{name}” converged")
    updates = numbers(dig(run.stage("train"), "history", "update", kind=list))
    if len(updates) and number(run.stage("train").get("best_update")) >= updates[-1]:
        notes.append("The generator was still improving at its last update; longer training may "
                     "help.")


def check_windows(run, warnings, notes, passed):
    given = " ".join(str(w) for w in dig(run.metrics, "warnings", kind=list))
    overlap = run.of_windows("overlap_next")
    bad = np.nonzero(overlap < MIN_OVERLAP)[0]
    if len(bad) and "overlap" not in given:
        where = listed(f"{i} and its next ({cv_text(run, run.centers[i])})" for i in bad)
        warnings.append(f"Neighbouring windows hardly overlap: {where}. Free-energy differences "
                        "across the gap rest on few samples; add windows or lower the stiffness.")
    elif np.isfinite(overlap).any() and not len(bad):
        passed_once(run, passed, "samples", "all neighbouring windows overlap")
    effective = run.of_windows("effective_samples")
    if run.law:
        if np.nansum(effective) > 0:
            passed.append(f"{'walkers' if run.walkers > 0 else 'samples'} left {fmt(np.floor(np.nansum(effective)))} independent values of the collective "
                          "variables")
        return
    low = int(np.sum(effective < MIN_EFFECTIVE))
    if low:
        warnings.append(f"Fewer than {MIN_EFFECTIVE} effective samples in {several(low, 'window')} "
                        f"(lowest: {fmt(np.nanmin(effective))}): the error bars there are "
                        "themselves uncertain. Sample longer.")
    elif np.isfinite(effective).any():
        passed.append(f"every window holds at least {fmt(np.floor(np.nanmin(effective)))} "
                      "effective samples")


def check_free_energy(run, warnings, notes, passed):
    free = run.tables.get("free_energy")
    if not free:
        return
    empty = int(np.sum(~np.isfinite(free["free_energy"])))
    if empty:
        (notes if run.two_cvs else warnings).append(
            f"{fmt(empty)} of {fmt(len(free['cv']))} bins of the collective variable were never "
            "visited and have no free energy.")
    scaled = free_energy_residuals(run)
    if scaled is not None:
        share = float(np.mean(np.abs(scaled[np.isfinite(scaled)]) > 3))
        if share > FAR_BINS:
            warnings.append("The free energy is more than three standard errors away from the "
                            f"exact one in {share:.0%} of the bins: the errors are too small, or "
                            "sampling is incomplete.")
        else:
            passed_once(run, passed, "exact", "the free energy agrees with the exact one within three "
                                              "standard errors")


def run_passed(run):
    """What the run checked by itself, where it found nothing, by the check's name."""
    return {check.get("name"): str(check["passed"]) for check in entries(run.metrics, "checks")
            if check.get("passed") and not check.get("found")}


def passed_once(run, passed, name, text):
    """What the report found right, where the run's check of that name does not say so already."""
    if name not in run_passed(run):
        passed.append(text)


def check_data(run, warnings, notes, passed):
    passed += run_passed(run).values()


def check_lifting(run, warnings, notes, passed):
    for source, what in (("generator", "generated"), ("healed", "healed")):
        found = w1_entries(run, source)
        if not found:
            continue
        above = np.array([e["w1"] > 2 * np.nan_to_num(e["floor"]) for e in found])
        if too_far(found):
            warnings.append(f"{what} states are far from physics")
        elif above.mean() > MANY_ABOVE_FLOOR:
            notes.append(f"{what.capitalize()} states differ measurably from the physics, by more "
                         f"than twice the sampling floor of W₁ in {int(above.sum())} of "
                         f"{several(len(found), 'comparison')}, but little: median "
                         f"{fmt(float(np.median([e['w1'] for e in found])))} σ.")
        else:
            passed_once(run, passed, "generated", f"{what} states cannot be told from the physics by "
                                                  "W₁ at this sample size")
    free = run.tables.get("free_energy")
    residual = number(dig(run.metrics, "lifting").get("constraint_residual"))
    if free and len(free["cv"]) > 1 and residual > 0.5 * np.diff(np.unique(free["cv_1"])).min():
        warnings.append("Generated states miss the requested value of the collective variable by "
                        f"{fmt(residual)} (RMS), more than half a bin.")


def closure_disagreement(run):
    """{quantity: share of bins where the sources differ by more than three joint errors}."""
    table, result = run.tables.get("closure"), {}
    if not table:
        return result
    one, two = (pick(table, source=s) for s in ("conditional", "burst"))
    for name in ("drift", "diffusion"):
        if len(one["cv"]) and len(two["cv"]) and name + "_se" in table:
            def at_two(values):
                return np.interp(two["cv_1"], one["cv_1"], values, np.nan, np.nan)
            joint = np.hypot(two[name + "_se"], at_two(one[name + "_se"]))
            z = np.abs(two[name] - at_two(one[name])) / joint
            if np.isfinite(z).any():
                result[name] = float(np.mean(z[np.isfinite(z)] > 3))
    return result


def check_closure(run, warnings, notes, passed):
    shares = closure_disagreement(run)
    apart_in = {name: share for name, share in shares.items() if share > APART_BINS}
    given = " ".join(str(w) for w in dig(run.metrics, "warnings", kind=list))
    if apart_in and "poor" not in given:
        warnings.append("The two sources of the closure disagree beyond three joint standard "
                        "errors: "
                        + " and ".join(f"on the {n} in {percent(s)} of the "
                                       "bins" for n, s in apart_in.items())
                        + ". The collective variable probably leaves out a slow motion; rates from "
                          "the "
                        "conditional closure are then wrong.")
    elif shares and not apart_in:
        passed_once(run, passed, "closure", "both sources of the closure agree")


def check_presence(run, warnings, notes, passed):
    absent = [what for what, there in (
        ("free energy", run.tables.get("free_energy")),
        ("stored samples", run.cv is not None or run.state is not None),
        ("trained generator", run.stage("train") or run.conditions),
        ("closure", run.tables.get("closure"))) if not there]
    if absent:
        notes.append(f"Not part of this run, and left out below: {listed(absent)}.")


def review(run):
    """(warnings, notes, checks passed)."""
    warnings, notes, passed = [], [], []
    for check in (check_stages, check_windows, check_free_energy, check_data, check_lifting, check_closure,
                  check_presence):
        check(run, warnings, notes, passed)
    return told_by_run(run, warnings), notes, passed
