#!/usr/bin/env python3
"""Writes the table of comparisons in bench/README.md from bench/results/*.json.

    python3 tools/docs/results.py            prints it
    python3 tools/docs/results.py --write    puts it between that page's markers
"""
import json
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
PAGE = SOURCE / "bench" / "README.md"
BEGIN, END = "<!-- begin: bench/results -->\n", "<!-- end: bench/results -->"
WORK = {"ensemble": "trajectories", "training": "training", "sampling": "generation", "mbar": "MBAR",
        "molecule": "alanine dipeptide"}


def size(row):
    if row["work"] == "ensemble":
        return f"{row['trajectories']:.0e} trajectories".replace("e+0", "e")
    if row["work"] == "training":
        return f"3 × {row['width']}, batch {row['batch']}"
    if row["work"] == "sampling":
        return f"3 × {row['width']}"
    if row["work"] == "molecule":
        return {"none": "vacuum", "obc2": "OBC2"}[row["solvent"]]
    return f"50 windows × {row['samples_per_window']:.0e} samples".replace("e+0", "e")


def newest(pattern):
    files = sorted((SOURCE / "bench" / "results").glob(pattern))
    return (files[-1], json.loads(files[-1].read_text(encoding="utf-8"))) if files else (None, None)


def comparison(report, file):
    machine = report["machine"]
    where = machine.get("gpu") or machine.get("processor") or "unknown processor"
    lines = [f"{where}, {machine['cores']} cores, {machine['date']}, commit {report['commit']}"
             f"{': ' + machine['remark'] if machine['remark'] else ''} "
             f"(`{file.relative_to(SOURCE)}` has every size and version).", "",
             "| work | peer | size | microlift's rate over the peer's: median (least to greatest) |",
             "| --- | --- | --- | --- |"]
    for row in report["results"]:
        # Of the ensembles one size is enough here.
        if row["work"] == "ensemble" and row["trajectories"] != 100_000:
            continue
        if "ratio" in row:
            q = row["ratio"]
            said = f"{q['median']:.1f} ({q['min']:.1f} to {q['max']:.1f})"
        else:
            said = "no rate: " + row["error"][:120].replace("|", "/").replace("\n", " ")
        lines.append(f"| {WORK[row['work']]} | {row['peer']} | {size(row)} | {said} |")
    return lines


def table():
    lines = []
    file, cpu = newest("cpu_*.json")
    lines += comparison(cpu, file) if cpu else ["On a CPU: unmeasured."]
    lines.append("")
    file, molecules = newest("molecule_*.json")
    lines += [*comparison(molecules, file), ""] if molecules else []
    file, suite = newest("cuda_*.json")
    if not suite:
        lines.append("On CUDA: unmeasured. `tools/cuda_suite.sh DIR` measures everything where there is a "
                     "device.")
    else:
        device = suite["device"]
        lines += [f"{device['name']}, driver {device.get('driver_version', '')}, {suite['date']}, commit "
                  f"{suite['commit']} (`{file.relative_to(SOURCE)}`).", "",
                  "| goal on CUDA | at least | measured |", "| --- | --- | --- |"]
        for g in suite["goals"]:
            value = "unmeasured" if g["measured"] is None else f"{g['measured']:.3g}"
            lines.append(f"| {g['goal']} | {g['at_least']} | {value} |")
        for step in suite["steps"]:
            if step["result"] != "passed":
                lines.append(f"\nStep `{step['step']}` of the suite: {step['result']}, {step['why']}.")
    return "\n".join(lines) + "\n"


def with_table(text):
    """The page with the table in its place; ValueError without the markers."""
    begin = text.index(BEGIN) + len(BEGIN)
    return text[:begin] + table() + text[text.index(END, begin):]


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        sys.stdout.write(table())
