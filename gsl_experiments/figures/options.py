"""The options of `make figures`, checked before anything is read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gsl_experiments.checks import check_tables
from gsl_experiments.errors import UserError
from gsl_experiments.reporting.comparison import Settings
from gsl_experiments.reporting.rows import METRICS, Metric
from gsl_experiments.reporting.stage import table_settings

FORMATS = ("pdf", "svg", "png")
PLANES = ("axial", "coronal", "sagittal")
SLICES = ("largest_area", "worst_error")
MOST_CASES = 6


@dataclass(frozen=True)
class FigureOptions:
    """What to draw, and how; each attribute is a key of `figures` in the configuration, which explains it.

    Only `settings` is not: it says how runs are compared, by the keys of `tables`.
    """

    dataset: str | None
    runs: tuple[str, ...] | None
    losses: tuple[str, ...]
    metrics: tuple[str, ...]
    metric: str
    percentiles: tuple[float, ...]
    cases: tuple[str, ...] | None
    region: str | None
    plane: str
    slice: str
    channel: str | None
    ct_window: tuple[float, float]
    formats: tuple[str, ...]
    column_mm: float
    text_mm: float
    dpi: int
    settings: Settings

    @classmethod
    def from_config(cls, cfg: DictConfig) -> FigureOptions:
        """Read the options out of the whole configuration.

        Raises:
            UserError: a value makes no sense.
        """
        check_tables(cfg)
        plain: dict[str, Any] = OmegaConf.to_container(cfg.figures, resolve=True)  # type: ignore[assignment]
        given: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()
        }
        for key in ("dataset", "region", "channel"):
            if given[key] is not None:
                given[key] = str(given[key])
        for key in ("runs", "losses", "metrics", "cases", "formats", "percentiles", "ct_window"):
            _check_list(key, given[key], may_be_null=key in ("runs", "cases"))
        for key in ("runs", "losses", "cases"):
            given[key] = None if given[key] is None else tuple(str(name) for name in given[key])
        options = cls(**given, settings=table_settings(cfg))
        options._check()
        return options

    def _check(self) -> None:
        known = tuple(metric.column for metric in METRICS)
        for metric in (*self.metrics, self.metric):
            _check_one_of("metrics" if metric in self.metrics else "metric", metric, known)
        for name in self.formats:
            _check_one_of("formats", name, FORMATS)
        _check_one_of("plane", self.plane, PLANES)
        _check_one_of("slice", self.slice, SLICES)
        for percentile in self.percentiles:
            _check_number("percentiles", percentile, 0, 100)
        for name in ("column_mm", "text_mm"):
            _check_number(name, getattr(self, name), 40, 500)
        _check_number("dpi", self.dpi, 50, 1200)
        for name, number in (("percentiles", len(self.percentiles)), ("cases", len(self.cases or ()))):
            if number > MOST_CASES:
                raise UserError(f"figures.{name}: {number} given, at most {MOST_CASES} fit into one figure")
        for edge in self.ct_window:
            _check_number("ct_window", edge, -1e5, 1e5)
        if len(self.ct_window) != 2 or self.ct_window[0] >= self.ct_window[1]:
            raise UserError(
                f"figures.ct_window={list(self.ct_window)}: allowed are two numbers in HU, low and high"
            )


def metric_of(column: str) -> Metric:
    """Title and direction of a column of `metrics.csv`."""
    return next(metric for metric in METRICS if metric.column == column)


def _check_list(option: str, value: Any, *, may_be_null: bool) -> None:
    if value is None and may_be_null:
        return
    if not isinstance(value, tuple) or not value:
        raise UserError(f"figures.{option}={value}: allowed is a list{' or null' if may_be_null else ''}")


def _check_one_of(option: str, value: Any, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise UserError(f"figures.{option}={value}: allowed are {', '.join(allowed)}")


def _check_number(option: str, value: Any, low: float, high: float) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not low <= value <= high:
        raise UserError(f"figures.{option}={value}: allowed is a number from {low:g} to {high:g}")
