"""Contestants that take turns, and the rows that every benchmark returns."""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

OURS, STOCK = "gsl_experiments", "nnU-Net"  # contestants
Row = dict[str, Any]
"""One contestant on one piece of work: ``line`` (the work), ``contestant``, ``seconds`` (one number a repetition);
``average`` is "mean" where the repetitions differ in their work, so that only all of them together say something;
``peak_mb``, ``value`` and ``note`` where there are such; ``missing`` says why nothing was measured."""


class DisagreementError(Exception):
    """Two contestants that compute the same thing found different results: their times mean nothing."""


def in_turns(
    line: str,
    contestants: Mapping[str, Callable[[], Any]],
    *,
    repetitions: int,
    warmups: int = 1,
    prepare: Mapping[str, Callable[[], Any]] | None = None,
) -> list[Row]:
    """Time contestants one after the other, again and again, every other round in reverse order.

    Args:
        line: the work that all do.
        contestants: name -> the work, in the order of every other round.
        repetitions: rounds that count.
        warmups: rounds before them that do not.
        prepare: name -> what that contestant does first in each of its turns; it is not timed.

    Returns:
        A row a contestant; the same repetition of two rows was taken side by side.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    for repetition in range(-warmups, repetitions):
        for name in names[::-1] if repetition % 2 else names:
            gc.collect()
            if prepare:
                prepare[name]()
            started = time.perf_counter()
            contestants[name]()
            taken = time.perf_counter() - started
            if repetition >= 0:
                seconds[name].append(taken)
    return [{"line": line, "contestant": name, "seconds": seconds[name]} for name in contestants]


def missing_row(line: str, contestant: str, reason: str = "not installed") -> Row:
    """Return the row of a contestant that could not take part."""
    return {"line": line, "contestant": contestant, "seconds": [], "missing": reason}


def missing_modules(modules: Sequence[str]) -> list[str]:
    """Return those that cannot be imported."""
    return [module for module in modules if find_spec(module) is None]


def peak_mb(work: Callable[[], Any]) -> float | None:
    """Work once, and return the most memory held beyond what the process held before; None if not on Linux."""
    status = Path("/proc/self/status")
    gc.collect()
    if not status.exists():
        work()
        return None
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc's: gives back what is free, which would not count otherwise
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak to what is held now
    before = _memory_kb(status, "VmRSS")
    work()
    return round((_memory_kb(status, "VmHWM") - before) * 1024 / 1e6, 1)


def peak_mb_and_seconds(work: Callable[[], Any]) -> tuple[float | None, float]:
    """Return both of one and the same run, for work that takes seconds."""
    seconds = []

    def timed() -> None:
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)

    return peak_mb(timed), seconds[0]


def _memory_kb(status: Path, name: str) -> int:
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(name))
