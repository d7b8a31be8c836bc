"""All metrics of one liver at the size of a CT, against the libraries that people measure with.

    .venv-bench/bin/python -m benchmarks.metrics [--shape 517 512 512] [--repetitions 3] [--slow]
    .venv-bench/bin/python -m benchmarks.metrics --differences

Every contestant starts from two label arrays in memory and gives all metrics that it has, see
`benchmarks/metrics_peers.py`; SimpleITK works on the whole volume. The values are held against ours before anything
is timed. MedPy takes minutes and is asked with --slow only. --differences prints the values of all of them on one
small case, for docs/metrics.md.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.liver_pair import CT_SHAPE, CT_SPACING_MM, liver_pair
from benchmarks.metrics_peers import (
    CONTESTANTS,
    ITK,
    MEDPY,
    MODULES,
    MONAI,
    SURFACE_DISTANCE,
    Values,
    by_ours,
)
from benchmarks.tables import number
from benchmarks.turns import (
    OURS,
    DisagreementError,
    Row,
    in_turns,
    missing_modules,
    missing_row,
    peak_mb_and_seconds,
)

CASES: dict[str, dict[str, Any]] = {
    "good prediction": {"debris": False},
    "good prediction, false positives far away": {},
    "bad prediction, 24 mm too high, false positives far away": {"shift_mm": 24.0},
}
SMALL_MM = (2.5, 1.5, 1.5)
SMALL: dict[str, Any] = {"shape": (48, 64, 64), "centre": (0.08, 0.5, 0.5), "shift_mm": 2.5, "missed": 0.12}
SLOW = "`.venv-bench/bin/python -m benchmarks.metrics --slow`"
SAME_AS_ITK, SAME_AS_MONAI = 1e-6, 1e-4  # mm; MONAI returns single precision
COLUMNS = ("dice", "hd95_mm", "asd_mm", "hd95_surface_mm", "assd_mm", "hd_mm", "nsd")


def measure(
    shape: Sequence[int] = CT_SHAPE,
    spacing_mm: Sequence[float] = CT_SPACING_MM,
    *,
    cases: Sequence[str] = tuple(CASES),
    repetitions: int = 3,
    slow: bool = False,
) -> list[Row]:
    """Time all contestants on each case.

    Args:
        shape: of the image.
        spacing_mm: of its voxels.
        cases: of `CASES`.
        repetitions: of each contestant; memory is that of the first.
        slow: whether MedPy takes part.

    Returns:
        A row a case and contestant; `peak_mb` is memory beyond that of the two label arrays, `value` all metrics.

    Raises:
        DisagreementError: a contestant finds another value where the definitions agree.
    """
    missing = {
        name: "not installed" for name in CONTESTANTS if name in MODULES and missing_modules([MODULES[name]])
    }
    if not slow:
        missing[MEDPY] = f"takes minutes: {SLOW}"
    present = [name for name in CONTESTANTS if name not in missing]
    rows = []
    for case in cases:
        labels = liver_pair(shape, spacing_mm, **CASES[case])
        line = f"{' x '.join(map(str, shape))}, {case}"
        values: dict[str, Values] = {}
        work = {name: functools.partial(_measure, name, labels, spacing_mm, values) for name in present}
        first = {name: peak_mb_and_seconds(work[name]) for name in present}
        for name in present:
            check_agreement(name, values[name], values[OURS], spacing_mm)
        for row in in_turns(line, work, repetitions=repetitions - 1, warmups=0):
            peak, seconds = first[name := row["contestant"]]
            all_seconds = [seconds, *row["seconds"]]
            rows.append(row | {"seconds": all_seconds, "peak_mb": peak, "value": values[name]})
        rows += [missing_row(line, name, reason) for name, reason in missing.items()]
    return rows


def _measure(
    name: str, labels: Sequence[Any], spacing_mm: Sequence[float], values: dict[str, Values]
) -> None:
    prediction, reference = (array == 1 for array in labels)
    values[name] = CONTESTANTS[name](prediction, reference, spacing_mm)


def check_agreement(name: str, theirs: Values, ours: Values, spacing_mm: Sequence[float]) -> None:
    """Hold a contestant's values against ours.

    SimpleITK has the same definitions, and so has MONAI away from the edge of the image. The others place their
    surfaces elsewhere, by less than a voxel.

    Raises:
        DisagreementError: a value differs by more than that.
    """
    voxel_mm = float(np.linalg.norm(spacing_mm))
    for column, value in theirs.items():
        if name in (MEDPY, SURFACE_DISTANCE) and column not in ("dice", "hd_mm"):
            continue
        allowed = {OURS: 0.0, ITK: SAME_AS_ITK, MONAI: SAME_AS_MONAI}.get(name, voxel_mm)
        if not abs(value - ours[column]) <= (SAME_AS_MONAI if column == "dice" else allowed):
            raise DisagreementError(f"{column}: {name} {value}, ours {ours[column]}")


def differences() -> str:
    """Return a Markdown table: the values of all libraries on one small case that touches the image's edge."""
    pair = [array == 1 for array in liver_pair(spacing_mm=SMALL_MM, **SMALL)]
    measured = {
        name: contestant(*pair, SMALL_MM)
        for name, contestant in CONTESTANTS.items()
        if not (name in MODULES and missing_modules([MODULES[name]]))
    }
    measured[f"{OURS}, background around the image"] = by_ours(*(np.pad(mask, 1) for mask in pair), SMALL_MM)
    lines = [f"| | {' | '.join(COLUMNS)} |", "|---|" + "---|" * len(COLUMNS)]
    for name, values in measured.items():
        cells = [f"{values[column]:.4f}" if column in values else "" for column in COLUMNS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Print a Markdown table of times, or of values."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", type=int, nargs=3, default=CT_SHAPE)
    parser.add_argument("--spacing", type=float, nargs=3, default=CT_SPACING_MM, help="in mm")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--slow", action="store_true", help="with MedPy")
    parser.add_argument("--differences", action="store_true", help="values of a small case, no times")
    chosen = parser.parse_args()
    if chosen.differences:
        print(differences())
        return
    rows = measure(
        chosen.shape, chosen.spacing, cases=chosen.cases, repetitions=chosen.repetitions, slow=chosen.slow
    )
    print("| case | library | seconds | times ours | MB beyond the labels |\n|---|---|---|---|---|")
    ours = {row["line"]: number(row) or 0.0 for row in rows if row["contestant"] == OURS}
    for row in rows:
        if "missing" in row:
            print(f"| {row['line']} | {row['contestant']} | {row['missing']} | | |")
            continue
        seconds = number(row) or 0.0
        ratio = seconds / ours[row["line"]]
        print(f"| {row['line']} | {row['contestant']} | {seconds:.2f} | {ratio:.1f} | {row['peak_mb']} |")


if __name__ == "__main__":
    main()
