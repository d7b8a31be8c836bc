"""Which cases the viewer holds: those of the figures, and the worst of each run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gsl_experiments.errors import UserError


def choose_cases(
    data: Mapping[str, Any],
    labels: Sequence[str],
    *,
    first: Mapping[str, str],
    metric: str,
    higher_is_better: bool,
    number: int,
) -> dict[str, str]:
    """Choose cases for the viewer: the given ones, then the worst of each run, the second worst of each, and so on.

    Args:
        data: of `case_data`.
        labels: of the runs.
        first: cases to begin with and why.
        metric: by which a case is good or bad, in the region where it is worst.
        higher_is_better: whether a high value is good.
        number: how many cases at most.

    Returns:
        Case -> why it was chosen, in the order of the choice.
    """
    reasons = {case: [reason] for case, reason in list(first.items())[:number]}
    values = np.array(
        [region["values"][metric] for region in data["regions"]], dtype=float
    )  # region, run, case
    errors = -values if higher_is_better else values
    by_run = np.where(np.isfinite(errors), errors, -np.inf).max(axis=0, initial=-np.inf)
    worst_first = np.argsort(-by_run, axis=1, kind="stable")
    for rank in range(len(data["cases"])):
        for label, of_run, order in zip(labels, by_run, worst_first, strict=True):
            case = data["cases"][order[rank]]
            if not np.isfinite(of_run[order[rank]]) or (case not in reasons and len(reasons) >= number):
                continue
            if case not in reasons or rank == 0:
                place = "worst" if rank == 0 else f"number {rank + 1} from the worst"
                reasons.setdefault(case, []).append(f"{place} of {label}")
    return {case: ", ".join(why) for case, why in reasons.items()}


def given_cases(cases: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    """The cases that the user names.

    Raises:
        UserError: no run has such a case.
    """
    if unknown := [case for case in cases if case not in known]:
        raise UserError(
            f"report.cases: no run has a case {unknown[0]}; the first ones are {', '.join(known[:3])}"
        )
    return dict.fromkeys(cases, "chosen")
