"""What the run found, in plain words: free energy, generator, closure, and what to do next. Claims
are conservative: where the figures do not decide, the text says so."""
import math
from collections import namedtuple

import numpy as np

from basins import basins_of
from data import column, dig, entries, free_energy_residuals, numbers, w1_entries
from review import apart, averages_of, closure_models, too_far
from thresholds import BASIN_KT, CLOSE, FAR_BINS, LARGE_ERROR_KT, LARGE_RELATIVE, W1_WARN, ways_overlap
from words import cv_text, fmt, listed, number, percent, place, sentence, several, with_error

MOST_BASINS = 5  # besides the lowest, that are told
Finding = namedtuple("Finding", "title status sentences head rows", defaults=((), ()))


# ---------------------------------------------------------------- free energy

def energy_text(run, value, error):
    text = f"{with_error(value, error)} {'energy units' if run.energy == 'energy' else run.energy}"
    if run.energy == "kT":
        return text
    return f"{with_error(value / run.kt, error / run.kt)} kT ({text})" if run.kt > 0 else text


def saddle_error(run, at):
    """The standard error of the free energy in a bin."""
    table = run.tables["free_energy"]
    return float(np.nan_to_num(column(table, "std_error")[
        np.argmin(np.abs(table["cv"] - at).sum(axis=1))], posinf=math.inf))


def free_energy(run):
    basins = basins_of(run)
    if not basins:
        return None
    lowest, others = basins[0], basins[1:1 + MOST_BASINS]
    where = cv_text(run, lowest.at)
    edge = " (at the edge of the range: the basin may go on beyond it)"
    head, rows, status = (), (), "good"
    if not others:
        said = [f"One basin, with its minimum at {where}{edge if lowest.edge else ''}; no other "
                f"minimum stands out by more than {fmt(BASIN_KT)} kT and its error.", highest(run)]
    elif len(others) == 1:
        b = others[0]
        over = b.depth + b.barrier
        higher = energy_text(run, b.depth, b.error)
        said = [f"Two basins: the lower one at {where}{edge if lowest.edge else ''}, the other at "
                f"{cv_text(run, b.at)}{edge if b.edge else ''}, "
                + (f"higher by {higher}." if b.depth > 2 * b.error else "as deep within errors: "
                                                                        f"{higher}."),
                f"The barrier between them, at {cv_text(run, b.saddle)}, is "
                f"{energy_text(run, over, saddle_error(run, b.saddle))} high seen from the lower "
                f"one and {energy_text(run, b.barrier, b.barrier_error)} from the other."]
    else:
        unit, name = run.thermal
        said = [f"{len(basins)} basins, the lowest at {where}{edge if lowest.edge else ''}."]
        head = ["minimum at", f"above the lowest, {name}", f"barrier to a deeper one, {name}",
                "over",
                "share of the ensemble"]
        rows = [[place(b.at), with_error(b.depth / unit, b.error / unit),
                 with_error(b.barrier / unit, b.barrier_error / unit),
                 "–" if b.saddle is None else place(b.saddle), share_text(b.share)]
                for b in basins[:1 + MOST_BASINS]]
    if len(others) == 1 and math.isfinite(lowest.share):
        said.append(f"The lower basin holds {share_text(lowest.share)} of the equilibrium ensemble "
                    "within the range.")
    large = max([b.barrier_error for b in others] + [b.error for b in others] + [0.0])
    if run.kt > 0 and large > LARGE_ERROR_KT * run.kt:
        status = "warn"
        said.append(f"Errors above {fmt(LARGE_ERROR_KT)} kT: sample longer before using these "
                    "figures.")
    status, said = with_trust(run, said, status)
    return Finding("Free energy", status, said + ["Errors are one standard error."], head, rows)


def highest(run):
    """How far the free energy rises within the range."""
    table = run.tables["free_energy"]
    top = int(np.nanargmax(np.where(np.isfinite(table["free_energy"]), table["free_energy"],
                                    -math.inf)))
    return ("It rises to "
            f"{energy_text(run, table['free_energy'][top], column(table, 'std_error')[top])} at "
            f"{cv_text(run, table['cv'][top])}.")


def share_text(share):
    return "–" if not math.isfinite(share) else "over 99.9 %" if share > 0.999 else \
        "under 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"


def with_trust(run, said, status):
    """(status, sentences) of the free energy, with what speaks against it."""
    against = [words for key, words in (("did not converge", "the estimate did not converge"),
                                        ("hardly overlap", "some windows hardly overlap"),
                                        ("not in equilibrium", "the samples are not in "
                                                               "equilibrium"),
                                        ("equilibrated for less", "some windows were hardly "
                                                                  "equilibrated"),
                                        ("two halves of the data", "its halves in time differ"),
                                        ("windows contradict", "windows contradict each other"),
                                        ("is not the exact one", "it is not the exact one"))
               if any(key in str(w) for w in dig(run.metrics, "warnings", kind=list))]
    cut = np.isinf(column(run.tables["free_energy"], "std_error"))
    if cut.any():
        against = [words for words in against if words != "some windows hardly overlap"]
        said = said + [f"No samples connect {several(int(cut.sum()), 'bin')} of {len(cut)} with the "
                       "minimum: how high these lie beside it is not known (± ∞)."]
        if not against:
            return "warn", said
    if against:
        return "warn", said + [f"Not to be taken as final: {listed(against)}; the errors do not "
                               "include that."]
    scaled = free_energy_residuals(run)
    if scaled is None:
        return status, said
    if np.mean(np.abs(scaled[np.isfinite(scaled)]) > 3) > FAR_BINS:
        return "warn", said + ["It is off the exact free energy by more than its errors: they are "
                               "too small, or sampling is incomplete."]
    return status, said + ["It agrees with the exact free energy within three standard errors."]


# ---------------------------------------------------------------- generator

VERDICTS = {"as": "as they are", "shape": "for means and quartiles", "heal": "after healing",
            "weigh": "only reweighted or by jumps", "no": "not at all"}


def tested_values(run):
    """The values of the collective variable at which short runs judged the generator, in order."""
    values = entries(run.metrics, "consistency", "values")
    return sorted(values, key=lambda v: tuple(numbers(v.get("cv"))))


def verdict(value):
    """(key, steps): what lifted states at this value are good for."""
    steps = dig(value, "relaxation")
    distance, floor = number(value.get("sliced_w1")), number(value.get("sliced_floor"))
    lifted = number(steps.get("lifted"))
    if lifted == 0:
        return ("shape" if distance > max(CLOSE, 2 * floor) else "as"), 0
    if math.isfinite(lifted):
        return "heal", lifted
    if math.isfinite(number(steps.get("reweighted"))):
        return "weigh", number(steps.get("reweighted"))
    return "no", math.nan


def regions(run, values):
    """Plain words, one sentence for each verdict: values of two collective variables are not in a
    row."""
    found, symbol = [(numbers(v.get("cv")), *verdict(v)) for v in values], run.given
    said = []
    for key in VERDICTS:
        here = [i for i, f in enumerate(found) if f[1] == key]
        if not here:
            continue
        if run.two_cvs:
            where = f"at {len(here)} of {several(len(found), 'tested value')} of {symbol}"
        else:
            runs = np.split(here, np.nonzero(np.diff(here) > 1)[0] + 1)
            where = f"{symbol} = " + listed(
                place(found[r[0]][0]) if len(r) == 1 else
                f"{place(found[r[0]][0])} to {place(found[r[-1]][0])}" for r in runs)
            where = f"at {where}"
        steps = max((found[i][2] for i in here if math.isfinite(found[i][2])), default=0)
        said.append({
            "as": f"{where}: use lifted states as they are",
            "shape": f"{where}: means, variances and quartiles of lifted states are within error, "
                     "their distributions are not quite; heal where the shape matters",
            "heal": f"{where}: use lifted states after up to {several(steps, 'healing step')}",
            "weigh": f"{where}: not without weights; healing is too slow there, but reweighted "
                     "states (or runs with jumps) are within error",
            "no": f"{where}: do not use the generator"}[key])
    return [sentence(s) for s in said]


def generator(run):
    values, found = tested_values(run), w1_entries(run, "generator")
    if values:
        keys = [verdict(v)[0] for v in values]
        healed = keys.count("heal")
        status = "good" if set(keys) <= {"as", "shape", "heal"} else \
            "bad" if keys.count("no") > len(keys) / 2 else "warn"
        say = {"good": f"The generator may be used at all {len(keys)} tested values"
                       + (f", at {healed} of them after healing." if healed else "."),
               "warn": "The generator may be used in part of the range only.",
               "bad": "Do not use the generator: at most of the tested values neither healing nor "
                      "weights bring its states within error."}[status]
        return Finding("Generator", status, [say, *regions(run, values)])
    if found:
        far = too_far(found)
        values = np.array([e["w1"] for e in found])
        return Finding("Generator", "warn" if far else "good", [
            f"Lifted states were compared with the physics at {several(len(found), 'place')}: "
            f"median distance {fmt(float(np.median(values)))} σ, worst {fmt(values.max())} σ.",
            f"They are too far off in {len(far)} of these; heal them there." if far else
            "None is far off. How fast runs forget the start was not tested."])
    if run.stage("train"):
        return judged_apart(run)
    return None


def judged_apart(run):
    """A generator whose states no short run was compared with: by samples that it did not see, and what a
    chemist asks."""
    apart_from = np.concatenate([numbers(e.get("w1_over_sigma")) for e in entries(run.stage("train"), "held_out")] or [[]])
    apart_from, floor = apart_from[np.isfinite(apart_from)], number(run.stage("train").get("w1_floor"))
    said, far = [], False
    if len(apart_from):
        said.append("Its states were compared with samples that it did not see: median distance "
                    f"{fmt(float(np.median(apart_from)))} σ, worst {fmt(apart_from.max())} σ (W₁)"
                    + (f"; two such sets of samples lie about {fmt(floor)} σ apart." if floor > 0 else "."))
        far = np.median(apart_from) > max(W1_WARN, 2 * np.nan_to_num(floor))
    for source in ("generated", "healed"):
        laws = dig(run.metrics, "molecule", source)
        worst = [f"{kind} {fmt(number(dig(laws, kind).get('worst_w1_over_sigma')))} σ"
                 for kind in ("bonds", "angles", "torsions") if dig(laws, kind)]
        if worst:
            said.append(f"The laws of {source} states are off those of the samples by at most: {listed(worst)}. In "
                        f"{percent(number(laws.get('clashes')))} of them atoms are closer than in any sample.")
    if not said:
        return Finding("Generator", "note", ["A generator was trained, but nothing was lifted to judge it."])
    return Finding("Generator", "warn" if far else "note",
                   said + ["Whether lifted states have the right law at each value, short runs did not test."])


# ---------------------------------------------------------------- closure

def decisive(figure):
    """Whether a figure of the full model is good enough to judge others by."""
    value, error = number(figure.get("value")), number(figure.get("error"), 0.0)
    return value > 0 and error <= LARGE_RELATIVE * value


def judged(run, models, source):
    """(agreeing, contradicting) quantities of a source beside the full model."""
    full = models.get("full", {})
    known = [q for q in full if q in models.get(source, {}) and (
        decisive(full[q]) or apart(full[q], models[source][q]))]
    wrong = [q for q in known if apart(full[q], models[source][q])]
    return [q for q in known if q not in wrong], wrong


def judgement(run, models, source, name):
    """(status, sentence) of one source of the closure; no sentence where nothing tests it."""
    right, wrong = judged(run, models, source)
    if wrong:
        return "bad", (f"The closure {name} must not be trusted for rates and times: it "
                       f"contradicts the full model in {listed(wrong)}.")
    if source == "burst" and dig(run.metrics, "closure").get("plateau") is False:
        return "warn", (f"The closure {name} is not to be trusted: its rate still changes with the "
                        "length of the bursts.")
    if right:
        return "good", (f"The closure {name} may be trusted: it agrees with the full model in "
                        f"{listed(right)}, within errors.")
    return "note", ""


def closure(run):
    models = closure_models(run)
    names = {averages_of(models): "by averages", "burst": "by bursts"}
    present = [s for s in names if s in models]
    if not present:
        return None
    found = {s: judgement(run, models, s, names[s]) for s in present}
    said = [text for _, text in found.values() if text]
    status = {s for s, _ in found.values()}
    untested = [names[s] for s, (_, text) in found.items() if not text]
    if untested:
        said.append(f"The closure {' and that '.join(untested)} could not be tested: the full "
                    "model's own rates and times are not known well enough.")
    rates = [models[s].get("slowest rate", {}) for s in present]
    if len(rates) == 2 and apart(*rates):
        said.append("The two contradict each other (slowest rate "
                    + " and ".join(with_error(r.get("value"), r.get("error")) for r in rates)
                    + "): what evolves slowly is not in the collective variable alone"
                    + (". Trust neither before one is tested." if len(untested) == 2 else "."))
        status.add("bad")
    elif len(rates) == 2 and len(untested) == 2:
        said.append("The two agree with each other in the slowest rate, which speaks for both.")
    worst = next(s for s in ("bad", "warn", "note", "good") if s in status)
    return Finding("Closure", "warn" if worst == "bad" and "good" in status else worst, said)


# ---------------------------------------------------------------- work, strings, rates

def steered(run):
    found = dig(run.metrics, "steered")
    bar = dig(found, "difference", "bar")
    if not math.isfinite(number(bar.get("value"))):
        return None
    said = [f"ΔF of the system with its bias, from the beginning of the path to its end: "
            f"{energy_text(run, number(bar['value']), number(bar.get('std_error')))}, by both ways (BAR)."]
    good = ways_overlap(found)
    said.append(f"Both ways overlap ({percent(number(found.get('overlap')))})." if good else
                "Both ways hardly overlap: not to be taken as final. Pull slower, or take more walkers.")
    return Finding("Work", "good" if good and not dig(run.metrics, "warnings", kind=list) else "warn",
                   said + ["Errors are one standard error."])


def string(run):
    table = run.tables.get("string")
    if not table or not dig(run.metrics, "string") or not np.isfinite(table["free_energy"]).all():
        return None
    free, error = table["free_energy"], table["std_error"]
    inner = [i for i in range(1, len(free) - 1) if free[i] > free[i - 1] and free[i] >= free[i + 1]]
    tops = [i for i in inner if free[i] - min(free[0], free[-1]) > BASIN_KT * (run.kt if run.kt > 0 else 0)]
    tops = sorted(tops, key=lambda i: -free[i])[:MOST_BASINS]
    low = int(np.argmin(free))
    said = [f"The string goes from {cv_text(run, table['cv'][0])} to {cv_text(run, table['cv'][-1])}; its lowest point is at "
            f"{cv_text(run, table['cv'][low])}."]
    said += [("Its highest point" if i == tops[0] else "A further one") + f" lies at {cv_text(run, table['cv'][i])}, "
             f"{energy_text(run, free[i] - free[low], math.hypot(error[i], error[low]))} above the lowest." for i in tops]
    if not tops:
        said.append("No point between its ends stands out.")
    said.append("Errors are one standard error; heights are of the system held by the string's restraint.")
    return Finding("String", "warn" if dig(run.metrics, "warnings", kind=list) else "good", said)


def rates(run):
    figures = {str(f.get("quantity")): f for f in entries(run.metrics, "rates", "figures")}
    time = figures.get("mfpt", {})
    if not math.isfinite(number(time.get("value"))):
        return None
    warned = any("rates" in str(w) for w in dig(run.metrics, "warnings", kind=list))
    said = [f"The mean first passage time is {with_error(time['value'], time.get('std_error'))}, one standard error."]
    if warned:
        said.append("Not to be taken as final: see the warnings.")
    return Finding("Rates", "warn" if warned else "good", said)


# ---------------------------------------------------------------- next

def next_steps(run, warnings):
    steps = list(dict.fromkeys(w.advice for w in warnings if w.advice))
    whole = run.state is not None and run.state.shape[1] <= run.centers.shape[1]  # nothing is left to generate
    law = not any(key in run.metrics for key in ("steered", "string"))  # else no samples of one are left
    if law and not run.stage("train") and run.tables.get("free_energy") and not steps and not whole:
        steps.append("Add [generator] to lift values of the collective variable to states.")
    elif law and run.name != "samples" and not run.tables.get("closure") and not steps and run.tables.get("free_energy"):
        steps.append("Add [closure] for the reduced dynamics of the collective variable.")
    if warnings and not steps:
        steps.append("See what the warnings say before using these results.")
    return Finding("What to do next", "note", steps or [
        "Nothing stands against using these results. Another seed (`--set seed=2`) shows how they "
        "vary."])


def findings(run, warnings):
    found = [f for f in (steered(run), string(run), free_energy(run), rates(run), generator(run), closure(run)) if f]
    return found + [next_steps(run, warnings)] if found else []
