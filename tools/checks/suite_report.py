"""What tools/checks/cuda_suite.py writes: steps, goals and measurements, as JSON and for people."""
import json
import os
import subprocess
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]


def goals(suite):
    """What the project sets itself on a GPU, beside what was measured; None: unmeasured."""
    def best(work, peers, **size):
        found = [r["ratio"]["median"] for r in suite.peers.get("results", [])
                 if r["work"] == work and "ratio" in r and any(r["peer"].startswith(p) for p in peers)
                 and all(r.get(k) == v for k, v in size.items())]
        return min(found) if found else None

    def rate(name, figure="median"):
        found = [b[figure] for b in suite.benchmarks if b["asked"] == name and figure in b]
        return found[0] if found else None

    clock = float(suite.device.get("clocks.max.sm") or 0) * 1e6
    # 3.8e11 at 1.755 GHz on 132 multiprocessors: 78 instructions a step, by instruction issue.
    step_rate = rate("ensemble:n=10000000")
    share = step_rate / (3.8e11 * clock / 1.755e9) if step_rate and clock else None
    big = {"trajectories": 10_000_000}
    goals = [("ensemble, share of the issue ceiling at the highest clock", 0.75, share),
             ("formula over the built-in system", 0.9, rate("formula", "ratio_to_builtin")),
             ("ensemble over JAX", 20, best("ensemble", ["JAX"], **big)),
             ("ensemble over PyTorch eager", 100, best("ensemble", ["torch eager"], **big)),
             ("ensemble over a multi-step kernel in registers", 1.2,
              best("ensemble", ["Triton", "Numba-CUDA"], **big)),
             ("training, batch 256, over PyTorch eager", 40,
              best("training", ["torch eager"], batch=256, width=64)),
             ("training, batch 256, over a whole-step CUDA graph", 15,
              best("training", ["torch CUDA graph"], batch=256, width=64)),
             ("training, batch 65536, over PyTorch eager", 10,
              best("training", ["torch eager"], batch=65536, width=64))]
    return [] if suite.mode != "cuda" else [
        {"goal": name, "at_least": least, "measured": value,
         "met": None if value is None else value >= least} for name, least, value in goals]


def commit():
    """Of the sources, and whether they were changed."""
    def git(*words):
        return subprocess.run(["git", "-C", str(SOURCE), *words], capture_output=True, text=True,
                              check=False).stdout.strip()
    head = git("rev-parse", "--short", "HEAD")
    return head + (" with changes" if head and git("status", "--porcelain", "-uno") else "")


def write(suite, seconds):
    """DIR/suite.json and DIR/suite.md, of all the parts that suite.collect() found."""
    report = {"device": suite.device, "commit": commit(), "cores": len(os.sched_getaffinity(0)),
              "date": time.strftime("%Y-%m-%d", time.gmtime()), "seconds": round(seconds, 1),
              "steps": suite.steps, "goals": goals(suite), "benchmarks": suite.benchmarks,
              "peers": suite.peers}
    (suite.dir / "suite.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    device = ", ".join(f"{k} {v}" for k, v in suite.device.items() if k != "kind")
    lines = [f"{device}; {report['cores']} cores; commit {report['commit']}; {report['date']}; "
             f"{seconds:.0f} s", "", "| step | result | seconds (bound) | |", "| --- | --- | --- | --- |"]
    for s in suite.steps:
        lines.append(f"| {s['step']} | {s['result']} | {s['seconds']} ({s['bound']}) | "
                     f"{s['why']} {s['detail']} |")
    if report["goals"]:
        lines += ["", "| goal | at least | measured |", "| --- | --- | --- |"]
        for g in report["goals"]:
            value = "unmeasured" if g["measured"] is None else f"{g['measured']:.3g}"
            lines.append(f"| {g['goal']} | {g['at_least']} | {value} |")
    lines += ["", "| benchmark | median | least | greatest |", "| --- | --- | --- | --- |"]
    for b in suite.benchmarks:
        unit = next(k for k in b if k.endswith("_per_second")).replace("_per_second", "/s")
        lines.append(f"| {b['asked']} | {b['median']:.3e} {unit} | {b['min']:.3e} | {b['max']:.3e} |")
    text = "\n".join(lines) + "\n"
    for peers in sorted(suite.dir.glob("peers_*.md")):
        text += "\n" + peers.read_text(encoding="utf-8")
    (suite.dir / "suite.md").write_text(text, encoding="utf-8")
