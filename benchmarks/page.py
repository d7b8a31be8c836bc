"""The Markdown page of all machines, from their JSON files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks import cost, growth_page
from benchmarks.lines import GROWTH, LINES, Line, Target
from benchmarks.tables import average, number, table
from benchmarks.turns import OURS, Row

Result = Mapping[str, Any]  # of one machine, as its JSON file holds it

HEAD = """# Benchmarks

Written by `make bench` from the JSON files beside it; [docs/benchmarks.md](../../docs/benchmarks.md) explains it.
Contestants of one table took turns on one machine. Only ratios carry over to another one."""


GROWTH_TEXT = """Written by `make bench-growth`. A cost that grows as size^b has the exponent b, fitted to all
points; 1 is linear."""

COST_TEXT = """The paper's two tables are 100 trainings: ten rows (six losses; GSL with four more schedules), two
datasets, five folds. Steps and epochs are those of `configs/dataset`. The seconds of a step are measured where the
machine has a GPU (`make bench LINES=steps_gpu`). Elsewhere they are **examples**, as the price is, and
`.venv/bin/python -m benchmarks.cost --seconds-per-step lits=1.0 brats=0.5 --price 2` puts others in. A validation step
counts a third of a training step. Each GPU trains one fold at a time. Starting, checkpoints and the prediction of
held-out cases are not counted. "Cores that keep up" rests on a measured number: what one core of this machine needs to
load and augment a batch with its maps at the paper's patches, divided by the time of a step. With fewer cores the GPU
waits."""


BUSY = 0.3  # cores that other work took


def growth_figure(machine: Result) -> str:
    """Return the file name of a machine's figure."""
    return f"{machine['slug']}-growth.svg"


def render(machines: Sequence[Result], lines: Mapping[str, Line] = LINES) -> str:
    """Return the page: of each machine its targets, a table a line, and what was not measured."""
    parts = [HEAD]
    for machine in machines:
        results = machine["lines"]
        parts += [f"## {machine['name']}", _about(machine, lines), "### Targets", _targets(results, lines)]
        for name, line in lines.items():
            if name in results:
                parts += [
                    f"### {line.title}",
                    _others(results[name]),
                    *_tables(results[name]),
                ]
        parts += ["### Not measured", _not_measured(results, lines)]
        parts += ["### How cost grows", GROWTH_TEXT, growth_page.section(results)]
        if any(name in results for name in GROWTH):
            parts.append(f"![Time and memory against classes, patch and volume](./{growth_figure(machine)})")
        parts += ["### What Tables 1 and 2 take", COST_TEXT, cost.section(results, price=cost.EXAMPLE_PRICE)]
    return "\n\n".join(parts) + "\n"


def ratio(rows: Iterable[Row], target: Target) -> tuple[float, str] | None:
    """Return ours over the best of the peers and who that is; our number itself where the target names no peers.

    None if ours, or every peer, was not measured.
    """
    found = {row["contestant"]: number(row, target.key) for row in rows if row["line"] == target.row}
    measured = {name: value for name, value in found.items() if value is not None}
    others = {name: value for name, value in measured.items() if name in target.peers}
    if target.ours is None:
        ours = max(
            (value for name, value in measured.items() if name not in target.peers and not _is_stock(name)),
            default=None,
        )
    else:
        ours = measured.get(target.ours)
    if ours is None or (target.peers and not others):
        return None
    if not target.peers:
        return ours, ""
    best = min(others, key=others.__getitem__)
    return ours / others[best], best


def _is_stock(name: str) -> bool:
    return name.startswith("nnU-Net")


def _others(result: Result) -> str:
    others = result["others"]
    if others is None:
        return "What else the machine did is not known."
    busy = (
        " **Busy**: only ratios of contestants that use as many cores mean anything." if others > BUSY else ""
    )
    return f"Other work took {others:.1f} cores meanwhile.{busy}"


def _about(machine: Result, lines: Mapping[str, Line]) -> str:
    results = machine["lines"].values()
    days = sorted({result["measured"][:10] for result in results}) or ["not"]
    sources = len({result["sources"] for name, result in machine["lines"].items() if name in lines})
    mixed = f" **The lines come from {sources} states of the sources.**" if sources > 1 else ""
    packages = {name: version for result in results for name, version in result["packages"].items()}
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    minutes = sum(result["took_seconds"] for name, result in machine["lines"].items() if name in lines) / 60
    return (
        f"{machine['cores']} cores, {machine['memory_gb']} GB; measured {' and '.join(days)}, the lines of `make "
        f"bench` in {minutes:.1f} minutes.{mixed} {versions}."
    )


def _targets(results: Mapping[str, Any], lines: Mapping[str, Line]) -> str:
    lines_of_table = [["work", "against", "must reach", "found", ""]]
    for name, line in lines.items():
        for target in line.targets:
            rows = results.get(name, {}).get("rows", [])
            found = ratio(rows, target)
            unit = "" if target.peers else " s"
            best = found[1] if found and found[1] else ", ".join(target.peers) or "-"
            lines_of_table.append(
                [
                    f"{line.title}: {target.row}",
                    best + {"peak_mb": ", peak memory", "value": ", value"}.get(target.key, ""),
                    f"≤ {target.at_most:.3g}{unit}",
                    f"{found[0]:.3g}{unit}" if found else "not measured",
                    _verdict(results.get(name), found, target),
                ]
            )
    return table(lines_of_table)


def _verdict(result: Result | None, found: tuple[float, str] | None, target: Target) -> str:
    if result and result.get("failure"):
        return "**failed**"
    if found is None:
        return "**no such rows**" if result else ""
    return "met" if found[0] <= target.at_most else f"**not met**, {found[0] / target.at_most:.2f} times it"


def _tables(result: Result) -> list[str]:
    if result.get("failure"):
        return [f"**Failed:** {result['failure']}"]
    return [
        _rows_table(line, result["rows"]) for line in dict.fromkeys(row["line"] for row in result["rows"])
    ]


def _rows_table(line: str, rows: Sequence[Row]) -> str:
    mine = [row for row in rows if row["line"] == line]
    extra = [key for key in ("peak_mb", "value", "note") if any(_is_shown(row.get(key)) for row in mine)]
    names = {"peak_mb": "peak memory, MB", "value": "value", "note": ""}
    ours = next((number(row) for row in mine if row["contestant"].startswith(OURS)), None)
    lines = [
        [line, f"seconds, {average(mine[0])} (least to most)", "times ours", *(names[key] for key in extra)]
    ]
    for row in mine:
        value = number(row)
        relative = f"{value / ours:.2f}" if value is not None and ours else ""
        cells = [str(_rounded(row.get(key))) for key in extra]
        lines.append([row["contestant"], _seconds(row), relative, *cells])
    return table(lines)


def _is_shown(value: Any) -> bool:
    return isinstance(value, int | float | str)


def _rounded(value: Any) -> Any:
    return "" if not _is_shown(value) else f"{value:.4g}" if isinstance(value, float) else value


def _seconds(row: Row) -> str:
    if not row["seconds"]:
        return row.get("missing", "not measured")
    return f"{number(row):.3g} ({min(row['seconds']):.3g} to {max(row['seconds']):.3g})"


def _not_measured(results: Mapping[str, Any], lines: Mapping[str, Line]) -> str:
    missing = [
        f"- {line.title}{': needs a GPU' if line.gpu else ''}: `make bench LINES={name}`"
        for name, line in lines.items()
        if name not in results
    ]
    return "\n".join(missing) or "Nothing."
