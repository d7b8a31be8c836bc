"""The cases of a dataset that its check has left out, where every later stage finds them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gsl_experiments.atomic import write_json
from gsl_experiments.datasets.finding import Finding
from gsl_experiments.errors import UserError

EXCLUDED_CASES = "excluded_cases.json"


@dataclass(frozen=True)
class Exclusion:
    """What is left out of a dataset.

    Args:
        cases: how many cases the dataset has with those that are left out; None if none is.
        excluded: case -> one line for each reason.
    """

    cases: int | None = None
    excluded: dict[str, list[str]] = field(default_factory=dict)


def read_exclusion(preprocessed: Path) -> Exclusion:
    """What is left out of a dataset, by nnU-Net's preprocessed folder of it.

    Raises:
        UserError: the file is not what was written.
    """
    file = preprocessed / EXCLUDED_CASES
    if not file.exists():
        return Exclusion()
    try:
        return Exclusion(**json.loads(file.read_text()))
    except (ValueError, TypeError) as error:
        raise UserError(f"{file}: damaged ({error}); preprocess the dataset again") from error


def write_exclusion(preprocessed: Path, cases: int, errors: Sequence[Finding]) -> None:
    """Record the cases that have errors; without errors the record goes."""
    file = preprocessed / EXCLUDED_CASES
    if not errors:
        file.unlink(missing_ok=True)
        return
    excluded: dict[str, list[str]] = {}
    for error in errors:
        excluded.setdefault(error.case, []).append(str(error))
    write_json(file, asdict(Exclusion(cases, excluded)))
