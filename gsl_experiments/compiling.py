"""Functions compiled by numba at their first call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a function of arrays and numbers, which then runs without the interpreter's lock.

    Floating-point numbers follow NumPy's rules: a division by zero gives infinity. The machine code is kept beside the
    sources, else in the user's cache folder, and only in memory where neither can be written.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        kept: Function = njit(cache=True, **options)(function)
    except RuntimeError:
        kept = njit(**options)(function)
    return kept
