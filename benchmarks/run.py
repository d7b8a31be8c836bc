"""Measure every line against its peers, keep the results, and write the page.

    make bench                        # the lines that are not yet measured for the present sources
    make bench LINES="loss loader"    # these, again
    make bench LINES=all              # all, again
    make bench-growth                 # the curves of how cost grows

Each line runs in a process of its own and is kept in `results/bench/MACHINE.json` as soon as it is done, so that an
interrupted call goes on where it stopped. The exit status is 1 if a line failed, or if two contestants disagree.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.growth_page import draw
from benchmarks.lines import GROWTH, LINES, Line
from benchmarks.page import growth_figure, render
from gsl_experiments.atomic import write_json, write_text

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "results" / "bench"
SOURCES = ("gsl_experiments", "benchmarks")
PACKAGES = (
    "torch",
    "nnunetv2",
    "scipy",
    "SimpleITK",
    "edt",
    "monai",
    "surface-distance",
    "MedPy",
    "mist-medical",
)
NO_MEASUREMENT = (  # modules of benchmarks that change no line
    "accuracy.py",
    "cost.py",
    "full_size.py",
    "growth_page.py",
    "page.py",
    "tables.py",
)
SECONDS_A_LINE = 600.0
LINE_MODULE = "benchmarks.one_line"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("lines", nargs="*", metavar="LINE", help="all, or names of lines")
    parser.add_argument(
        "--growth", action="store_true", help="the curves of how cost grows instead of the lines"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the results (%(default)s)")
    chosen = parser.parse_args(arguments)
    lines = GROWTH if chosen.growth else LINES
    unknown = [name for name in chosen.lines if name not in (*lines, "all")]
    if unknown:
        parser.error(f"{unknown[0]}: no such line; there are all, {', '.join(lines)}")
    machine = describe_machine()
    file = chosen.folder / f"{machine['slug']}.json"
    before = json.loads(file.read_text())["lines"] if file.exists() else {}
    machine["lines"] = {name: before[name] for name in LINES | GROWTH if name in before}
    names, started = to_measure(lines, chosen.lines, machine["lines"], gpu=machine["gpu"]), time.monotonic()
    for place, name in enumerate(names, start=1):
        print(f"[{place}/{len(names)}] {name}: {lines[name].title}", flush=True)
        machine["lines"][name] = measure_apart(name)
        write_json(file, machine)
        print(f"  {_outcome(machine['lines'][name])}", flush=True)
    print(f"{len(names)} lines in {(time.monotonic() - started) / 60:.1f} minutes")
    print(f"written: {write_page(chosen.folder)}")
    failed = [name for name, result in machine["lines"].items() if result["failure"]]
    for name in failed:
        print(f"error: {name}: {machine['lines'][name]['failure']}", file=sys.stderr)
    return 1 if failed else 0


def to_measure(
    lines: Mapping[str, Line], asked: Sequence[str], done: Mapping[str, Any], *, gpu: bool
) -> list[str]:
    """Return the lines to measure: those asked for, else those that have no result of the present sources."""
    possible = [name for name, line in lines.items() if gpu or not line.gpu]
    if "all" in asked:
        return possible
    for name in asked:
        if name not in possible:
            print(f"{name}: not measured, it needs a GPU", flush=True)
    if asked:
        return [name for name in possible if name in asked]
    sources = fingerprint()
    kept = [n for n in possible if n in done and done[n]["sources"] == sources and not done[n]["failure"]]
    if kept:
        print(f"kept, because the sources are the same: {', '.join(kept)} (LINES=all measures all again)")
    return [name for name in possible if name not in kept]


def measure_apart(name: str) -> dict[str, Any]:
    """Measure a line in a process of its own; whatever goes wrong there is its failure."""
    started, busy, own = time.monotonic(), _busy_seconds(), _own_seconds()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        call = [sys.executable, "-m", LINE_MODULE, name, str(file)]
        try:
            outcome = subprocess.run(
                call, cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=SECONDS_A_LINE
            )
            failure = None if outcome.returncode == 0 else _last_line(outcome.stderr)
        except subprocess.TimeoutExpired:
            failure = f"took longer than {SECONDS_A_LINE:.0f} s"
        rows = [] if failure else json.loads(file.read_text())
    took = time.monotonic() - started
    others = None if busy is None else (_busy_seconds() - busy - (_own_seconds() - own)) / took
    return {
        "measured": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "sources": fingerprint(),
        "packages": {package: _version(package) for package in PACKAGES},
        "others": None if others is None else round(max(0.0, others), 2),
        "took_seconds": round(took, 1),
        "failure": failure,
        "rows": rows,
    }


def _busy_seconds() -> float | None:
    """Return how long all cores of the machine have worked since it started; None if not on Linux."""
    file = Path("/proc/stat")
    if not file.exists():
        return None
    user, nice, system, _, _, irq, soft_irq, *_ = map(int, file.read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + soft_irq) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """Return how long this process and its children have worked, once they have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def write_page(folder: Path) -> Path:
    """Write the page of all machines that have results in a folder."""
    machines = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    for machine in machines:
        draw(machine["lines"], folder / growth_figure(machine))
    return write_text(folder / "README.md", render(machines))


def describe_machine() -> dict[str, Any]:
    """Return the machine's name, cores and memory."""
    import torch

    from gsl_experiments.config import available_cores, total_memory_gb
    from gsl_experiments.provenance import collect

    gpu = torch.cuda.is_available()
    processor = collect(None)["machine"]["processor"]
    name = f"{processor}, {available_cores()} cores"
    name = f"{torch.cuda.get_device_name()}, {name}" if gpu else name
    return {
        "name": name,
        "slug": re.sub(r"\W+", "-", name).strip("-").lower(),
        "gpu": gpu,
        "cores": available_cores(),
        "memory_gb": total_memory_gb(),
    }


def fingerprint() -> str:
    """Return a hash of all sources that a time depends on."""
    digest = hashlib.sha256()
    for folder in SOURCES:
        for file in sorted((ROOT / folder).rglob("*.py")):
            if folder != "benchmarks" or file.name not in NO_MEASUREMENT:
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    print(text[-4000:], file=sys.stderr)
    return lines[-1] if lines else "ended without a word"


def _outcome(result: dict[str, Any]) -> str:
    missing = {row["contestant"]: row["missing"] for row in result["rows"] if row.get("missing")}
    said = "".join(f"; {name}: {reason}" for name, reason in missing.items())
    return f"{'failed' if result['failure'] else 'done'} in {result['took_seconds']:.0f} s{said}"


if __name__ == "__main__":
    raise SystemExit(main())
