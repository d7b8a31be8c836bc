"""The options of `make report`, checked before anything is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gsl_experiments.errors import UserError
from gsl_experiments.report.slices import PLANES


@dataclass(frozen=True)
class ReportOptions:
    """What goes into the report; each attribute is a key of `report` in the configuration, which explains it."""

    dataset: str | None
    images: bool
    cases: tuple[str, ...] | None
    max_viewer_cases: int
    planes: tuple[str, ...]
    max_slices: int
    max_pixels: int
    attribution: str | None

    @classmethod
    def from_config(cls, cfg: DictConfig) -> ReportOptions:
        """Read the options.

        Raises:
            UserError: a value makes no sense.
        """
        given: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
        _check_one_of("images", given["images"], (True, False))
        _check_list("cases", given["cases"], may_be_null=True)
        _check_list("planes", given["planes"], may_be_null=False)
        for plane in given["planes"]:
            _check_one_of("planes", plane, tuple(PLANES))
        for key, least in (("max_viewer_cases", 0), ("max_slices", 1), ("max_pixels", 16)):
            _check_whole(key, given[key], least)
        return cls(
            dataset=None if given["dataset"] is None else str(given["dataset"]),
            images=given["images"],
            cases=None if given["cases"] is None else tuple(str(case) for case in given["cases"]),
            max_viewer_cases=given["max_viewer_cases"],
            planes=tuple(dict.fromkeys(given["planes"])),
            max_slices=given["max_slices"],
            max_pixels=given["max_pixels"],
            attribution=None if given["attribution"] is None else str(given["attribution"]),
        )


def _check_one_of(option: str, value: Any, allowed: Sequence[Any]) -> None:
    if value not in allowed or (isinstance(value, int) and not isinstance(value, bool)):
        raise UserError(
            f"report.{option}={value}: allowed are {', '.join(str(item) for item in allowed).lower()}"
        )


def _check_list(option: str, value: Any, *, may_be_null: bool) -> None:
    if not (isinstance(value, list) and value) and not (value is None and may_be_null):
        raise UserError(f"report.{option}={value}: allowed is a list{' or null' if may_be_null else ''}")


def _check_whole(option: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise UserError(f"report.{option}={value}: allowed is a whole number from {least}")
