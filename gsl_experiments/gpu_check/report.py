"""The outcome of all blocks as Markdown tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from gsl_experiments.gpu_check.blocks import Row, rows_of
from gsl_experiments.gpu_check.setting import STOCK, Setting

Outcomes = Mapping[str, Sequence[Row]]  # block -> its rows


def gradients_table(rows: Sequence[Row]) -> str:
    """Return a row a loss: errors of its gradients, and whether they stay finite in half precision."""
    header = ["of the logits", "of the network", "finite in float16", "finite in bfloat16"]
    return _table(["loss", *header], [[row.name, *_cells(row, header)] for row in rows])


def steps_table(outcomes: Outcomes, variants: Mapping[str, str]) -> str:
    """Return a row a loss and a column a variant: time, that time over stock nnU-Net's, and memory.

    Args:
        outcomes: of all blocks.
        variants: heading -> block.
    """
    names = rows_of(next(iter(variants.values())))
    rows = {block: {row.name: row for row in outcomes[block]} for block in variants.values()}
    body = [
        [name, *(_cost(rows[block][name], rows[block][STOCK]) for block in variants.values())]
        for name in names
    ]
    return _table(["loss", *variants], body)


def trainings_table(rows: Sequence[Row]) -> str:
    """Return a row a call of a user's command."""
    return _table(
        ["training on a phantom", "ended well"], [[row.name, *_cells(row, ["ended well"])] for row in rows]
    )


def describe(setting: Setting) -> str:
    """Return a setting in one line."""
    patch = " x ".join(str(n) for n in setting.patch_size)
    return f"patch {patch}, batch {setting.batch_size}, {setting.classes} classes, {setting.base_features} features"


def failures(outcomes: Outcomes) -> list[str]:
    """Return a line for each row that failed."""
    return [
        f"{block}, {row.name}: {row.failure}"
        for block, rows in outcomes.items()
        for row in rows
        if row.failure
    ]


def not_measured(outcomes: Outcomes) -> list[str]:
    """Return a line for each block of which rows were not measured."""
    lines = []
    for block, rows in outcomes.items():
        missing = [row for row in rows if not row.failure and "not measured" in row.cells]
        if missing:
            names = "all" if len(missing) == len(rows) else ", ".join(row.name for row in missing)
            lines.append(f"{block}, {names}: {missing[0].cells['not measured']}")
    return lines


def _cells(row: Row, header: Sequence[str]) -> list[str]:
    missing = "failed" if row.failure else "not measured"
    return [str(row.cells.get(name, missing)) for name in header]


def _cost(row: Row, stock: Row) -> str:
    if row.failure:
        return f"failed: {row.failure}"
    if "milliseconds" not in row.cells:
        return "not measured"
    milliseconds, gib = float(row.cells["milliseconds"]), float(row.cells["peak_gib"])
    parts = [f"{milliseconds:.1f} ms"]
    if "milliseconds" in stock.cells:
        parts.append(f"x {milliseconds / float(stock.cells['milliseconds']):.2f}")
    if not math.isnan(gib):
        parts.append(f"{gib:.2f} GiB")
    return ", ".join(parts)


def _table(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)
