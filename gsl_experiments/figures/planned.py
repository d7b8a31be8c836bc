"""A figure before and after it is drawn, with all that is told about it, and its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from gsl_experiments.atomic import replacing, write_json
from gsl_experiments.figures.canvas import common_style

# no dates, and names of SVG elements that do not change: the same figure gives the same file
_METADATA: Mapping[str, Mapping[str, Any]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}


class NothingToDrawError(Exception):
    """A planned figure has nothing to show; the message says why, and the others are drawn."""


@dataclass(frozen=True, eq=False)
class DrawnFigure:
    """A figure and its words.

    Attributes:
        name: of its files, without an ending.
        figure: to be saved or embedded.
        caption: for a paper: what is drawn, by which rules.
        alt: what a reader who cannot see it needs to know.
        sources: runs, cases, slices, ...: plain values for JSON.
    """

    name: str
    figure: Figure
    caption: str
    alt: str
    sources: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedFigure:
    """A figure that can be drawn; `draw` reads what it needs."""

    name: str
    draw: Callable[[], DrawnFigure]


def write_figure(drawn: DrawnFigure, folder: Path, *, formats: Sequence[str], dpi: int) -> list[Path]:
    """Write a figure in each format, and its caption, alt text and sources as JSON beside it. Returns the files.

    Args:
        drawn: the figure.
        folder: where to; made if missing.
        formats: `pdf`, `svg`, `png`.
        dpi: of PNG, and of what is a picture inside the other two.
    """
    files = []
    for ending in formats:
        file = folder / f"{drawn.name}.{ending}"
        with replacing(file) as partial, common_style(svg_hashsalt=drawn.name):
            drawn.figure.savefig(partial, dpi=dpi, metadata=dict(_METADATA[ending]))
        files.append(file)
    words = {"caption": drawn.caption, "alt": drawn.alt, "sources": dict(drawn.sources)}
    return [*files, write_json(folder / f"{drawn.name}.json", words)]
