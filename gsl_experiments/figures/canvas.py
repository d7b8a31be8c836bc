"""An empty figure in the common style, in millimetres."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib.figure import Figure

from gsl_experiments.figures.style import MM_PER_INCH, RC

Arguments = ParamSpec("Arguments")
Drawn = TypeVar("Drawn")


def common_style(**more: Any) -> AbstractContextManager[None]:
    """The settings of matplotlib for the time of a block; `more` of them by name, with `_` for `.`."""
    settings: dict[Any, Any] = {**RC, **{name.replace("_", "."): value for name, value in more.items()}}
    return matplotlib.rc_context(settings)


def styled(draw: Callable[Arguments, Drawn]) -> Callable[Arguments, Drawn]:
    """Let a function that draws do so in the common style, and leave matplotlib's settings as they were."""

    @wraps(draw)
    def drawing(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Drawn:
        with common_style():
            return draw(*args, **kwargs)

    return drawing


def new_figure(width_mm: float, height_mm: float, **options: Any) -> Figure:
    """An empty figure of that size as printed, laid out by itself; it belongs to no window system."""
    return Figure(figsize=(width_mm / MM_PER_INCH, height_mm / MM_PER_INCH), layout="constrained", **options)
