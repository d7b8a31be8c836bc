"""A Markdown table, and the one number of a row."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.turns import Row


def table(lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first line is its header."""
    header, *body = lines
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, ["---"] * len(header), *body])


def number(row: Row, key: str = "seconds") -> float | None:
    """Return a row's one number: the median of the repetitions, or the mean where each did other work; or None."""
    if key == "seconds":
        return getattr(statistics, average(row))(row["seconds"]) if row["seconds"] else None
    return row.get(key)


def average(row: Row) -> str:
    """Return what stands for a row's repetitions: median or mean."""
    return str(row.get("average", "median"))
