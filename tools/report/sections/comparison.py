"""Kinds of generator, taught by the same samples."""
from data import dig, entries
from markup import html_table
from words import esc, fmt, number

KEYS = ("updates", "seconds", "best_w1", "median", "worst", "states_per_second")


def wanted(run):
    return len(entries(run.metrics, "compare")) > 1


def section(run):
    rows = [[str(e.get("kind", ""))] + [fmt(number(e.get(k))) for k in KEYS]
            for e in entries(run.metrics, "compare")]
    against = esc(str(dig(run.metrics, "lifting").get("against", "physics")))
    return (html_table(["kind", "updates", "seconds", "W₁/σ held out", "W₁/σ lifted, median", "worst",
                        "states lifted a second"], rows)
            + "<p>The same samples, the same held-out trajectories and the same judged values; lifted "
              f"states against {against}.</p>")
