#!/usr/bin/env python3
"""Rates over time: bench/results/history.csv, and its table in bench/README.md.

    microlift bench --json rates.json
    python3 bench/history.py rates.json     appends what was measured, and writes the table
    python3 bench/history.py                writes the table

--commit and --remark are kept beside the figures; the commit is that of this tree if left out. Files of
bench/peers/compare.py are taken, too. Rates of work that had less than nine tenths of the
processors are left out: they say little about the program.
"""
import argparse
import csv
import json
import statistics
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]
HISTORY = SOURCE / "bench" / "results" / "history.csv"
PAGE = SOURCE / "bench" / "README.md"
BEGIN, END = "<!-- begin: history -->\n", "<!-- end: history -->"
COLUMNS = ("date", "version", "commit", "processor", "threads", "benchmark", "unit", "rate", "least", "greatest",
           "remark")
LEAST_SHARE = 0.9


def of_benchmarks(figures):
    """Rows of what `microlift bench --json` wrote; and the names and shares of those that had too little of the
    processors."""
    rows, disturbed = [], []
    for f in figures:
        name = f["name"] + (":" + f["settings"] if f.get("settings") else "")
        if f.get("cpu_share", 1) < LEAST_SHARE:
            disturbed.append((name, f["cpu_share"]))
            continue
        unit = next(key for key in f if key.endswith("_per_second"))
        # A GPU is its own processor, and has no threads.
        rows.append({"date": f["date"], "version": f["version"], "benchmark": name, "unit": unit,
                     "processor": f.get("processor", "") if f["threads"] else f["device"], "threads": f["threads"],
                     "rate": f["median"], "least": f["min"], "greatest": f["max"]})
    return rows, disturbed


def benchmark_of(row):
    """The benchmark that stood beside a peer, and its unit."""
    if row["work"] == "ensemble":
        return f"ensemble:n={row['trajectories']}", "steps_per_second"
    if row["work"] == "training":
        return f"training:batch={row['batch']},width={row['width']}", "updates_per_second"
    if row["work"] == "sampling":
        return f"sampling:width={row['width']},states={row['states']}", "samples_per_second"
    if row["work"] == "mbar":
        return f"estimate:samples={row['samples_per_window']}", "samples_per_second"
    flexible = ":constraints=none" if "flexible" in row["peer"] else ""
    return {"none": "molecule_vacuum", "obc2": "molecule_obc2"}[row["solvent"]] + flexible, "steps_per_second"


def of_peers(report):
    """The same of what compare.py wrote: microlift's own rate, beside whatever peers."""
    machine, rates, disturbed = report["machine"], {}, []
    for row in report["results"]:
        if "microlift" not in row:
            continue
        key = (*benchmark_of(row), 1 if row["work"] == "molecule" else machine["cores"])
        if row.get("microlift_share", 1) < LEAST_SHARE:
            disturbed.append((f"{key[0]} beside {row['peer']}", row["microlift_share"]))
        else:
            rates.setdefault(key, []).append(row["microlift"])
    rows = [{"date": machine["date"], "version": "", "commit": report["commit"],
             "processor": machine.get("gpu") or machine["processor"], "threads": threads, "benchmark": name,
             "unit": unit, "rate": statistics.median(all_of), "least": min(all_of), "greatest": max(all_of),
             "remark": "beside peers"} for (name, unit, threads), all_of in rates.items()]
    return rows, disturbed


def read():
    if not HISTORY.exists():
        return []
    with HISTORY.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def append(rows):
    new = not HISTORY.exists()
    with HISTORY.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()})


def table(rows):
    """One line a benchmark and machine: the last rate, and what has become of the first."""
    groups = {}
    for row in rows:
        groups.setdefault((row["benchmark"], row["processor"], row["threads"]), []).append(row)
    lines = ["| benchmark | processor, threads | unit | last rate (least to greatest) | on | over the first |",
             "| --- | --- | --- | --- | --- | --- |"]
    for (name, processor, threads), measured in groups.items():
        measured.sort(key=lambda row: row["date"])  # those of a day stay in order
        first, last = measured[0], measured[-1]
        rate, least, greatest = (f"{float(last[k]):.2e}" for k in ("rate", "least", "greatest"))
        change = f"{float(last['rate']) / float(first['rate']):.2f} ({first['date']})" if len(measured) > 1 else ""
        lines.append(f"| `{name}` | {processor}{f', {threads}' if threads != '0' else ''} | "
                     f"{last['unit'].replace('_per_second', '/s')} | {rate} ({least} to {greatest}) | {last['date']} | "
                     f"{change} |")
    return "\n".join(lines) + "\n"


def with_table(text):
    """The page with the table in its place; ValueError without the markers."""
    begin = text.index(BEGIN) + len(BEGIN)
    return text[:begin] + table(read()) + text[text.index(END, begin):]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--commit")
    parser.add_argument("--remark", default="")
    options = parser.parse_args()
    commit = options.commit or subprocess.run(["git", "-C", SOURCE, "rev-parse", "--short", "HEAD"],
                                              capture_output=True, text=True, check=False).stdout.strip()
    for path in options.files:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows, disturbed = (of_benchmarks if isinstance(content, list) else of_peers)(content)
        append([{"commit": commit, "remark": options.remark, **row} for row in rows])
        print(f"history: {len(rows)} rates of {path}")
        for name, share in disturbed:
            print(f"history: {name} left out: it had {share:.2f} of the processors", file=sys.stderr)
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
