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
    """Return the median of the repetitions, or the row's one number of another kind; None without any."""
    if key == "seconds":
        return statistics.median(row["seconds"]) if row["seconds"] else None
    return row.get(key)
