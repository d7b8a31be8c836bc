"""How cost grows: a table with the exponents, and a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lines import GROWTH
from benchmarks.tables import number, table
from benchmarks.turns import OURS, Row
from gsl_experiments.atomic import replacing

LINEAR = 1.1  # an exponent up to which growth counts as linear: small sizes are slowed by fixed costs, large by caches
KEYS = {"seconds": "seconds", "peak_mb": "peak memory, MB"}
SMALLEST_MB = 5.0  # below it the memory of a point is that of the process's noise
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # Okabe and Ito's


def section(results: Mapping[str, Any]) -> str:
    """Return a table: a row a curve and contestant, its ends, and the exponents of time and memory."""
    lines = [["", "contestant", "from", "to", "time grows as", "memory grows as", ""]]
    for name in GROWTH:
        result = results.get(name)
        if result is None:
            lines.append([name, "", "", "", "not measured", "", f"`make bench-growth LINES={name}`"])
        elif result["failure"]:
            lines.append([name, "", "", "", "**failed**", "", result["failure"]])
        else:
            lines += [_line(rows) for rows in curves(result["rows"])]
    return table(lines)


def curves(rows: Sequence[Row]) -> list[list[Row]]:
    """Return the points of each contestant."""
    names = dict.fromkeys(row["contestant"] for row in rows)
    return [[row for row in rows if row["contestant"] == name] for name in names]


def exponent(rows: Sequence[Row], key: str) -> float | None:
    """Return b of cost = a size^b, fitted to the logarithms: 1 is linear. None where there are too few points."""
    points = [(row["x"], value) for row in rows if (value := number(row, key)) is not None]
    if key == "peak_mb":
        points = [(x, value) for x, value in points if value >= SMALLEST_MB]
    if len(points) < 2:
        return None
    sizes, costs = np.log(np.array(points, dtype=float)).T
    return float(np.polyfit(sizes, costs, 1)[0])


def _line(rows: Sequence[Row]) -> list[str]:
    first, last = rows[0], rows[-1]
    unit = first["grows"]
    powers = {key: exponent(rows, key) for key in KEYS}
    known = [power for power in powers.values() if power is not None]
    verdict = ("linear or less" if max(known) <= LINEAR else "**more than linear**") if known else ""
    return [
        first["line"],
        first["contestant"],
        *(_end(row) for row in (first, last)),
        *("" if power is None else f"{unit}^{power:.2f}" for power in powers.values()),
        verdict if first["contestant"] == OURS else "",
    ]


def _side(row: Row) -> str:
    return f"{round(row['x'] ** (1 / 3))}^3"


def _end(row: Row) -> str:
    size = _side(row) if row["grows"] == "voxels" else f"{row['x']} {row['grows']}"
    memory = "" if row.get("peak_mb") is None else f", {max(0, row['peak_mb']):.0f} MB"
    return f"{size}: {number(row):.3g} s{memory}"


def draw(results: Mapping[str, Any], file: Path) -> Path | None:
    """Draw time above memory, a column a curve, both axes logarithmic; None if there is nothing to draw."""
    names = [name for name in GROWTH if results.get(name, {}).get("rows")]
    if not names:
        return None
    import matplotlib as mpl
    from matplotlib.figure import Figure

    columns = 4
    blocks = math.ceil(len(names) / columns)
    figure = Figure(figsize=(4 * columns, 6 * blocks), layout="constrained")
    axes = np.array(figure.subplots(2 * blocks, columns)).reshape(blocks, 2, columns)
    for place in range(blocks * columns):
        for (key, label), ax in zip(KEYS.items(), axes[place // columns, :, place % columns], strict=True):
            if place < len(names):
                _panel(ax, results[names[place]]["rows"], key, label)
            else:
                ax.set_axis_off()
    with mpl.rc_context({"svg.hashsalt": "growth"}), replacing(file) as partial:
        figure.savefig(partial, metadata={"Date": None})
    return file


def _panel(ax: Any, rows: Sequence[Row], key: str, label: str) -> None:
    from matplotlib.ticker import LogLocator

    ax.set(xscale="log", yscale="log", title=rows[0]["line"], xlabel=rows[0]["grows"], ylabel=label)
    for color, points in zip(COLORS, curves(rows), strict=False):
        drawn = [row for row in points if (number(row, key) or 0) > 0]
        power = exponent(points, key)
        name = points[0]["contestant"] + ("" if power is None else f": slope {power:.2f}")
        ax.plot(
            [row["x"] for row in drawn], [number(row, key) for row in drawn], "o-", color=color, label=name
        )
    sizes = {row["x"]: _side(row) if row["grows"] == "voxels" else str(row["x"]) for row in rows}
    ax.set_xticks(list(sizes), list(sizes.values()))
    ax.xaxis.minorticks_off()
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    ax.yaxis.set_minor_formatter("{x:g}")
    ax.tick_params(which="both", labelsize="x-small")
    ax.legend(fontsize="small")
    ax.grid(visible=True, which="both", alpha=0.2)
