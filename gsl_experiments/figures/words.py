"""Sentences that captions share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gsl_experiments.figures.selection import Comparison, short_name
from gsl_experiments.reporting.comparability import missing_cases, odd_settings
from gsl_experiments.reporting.paper import DATASETS


def dataset_name(comparison: Comparison) -> str:
    """Name of the dataset as the paper spells it, otherwise its own."""
    dataset = comparison.results[0].run.experiment.dataset
    return DATASETS.get(dataset, dataset)


def settings_sentence(comparison: Comparison) -> str:
    """Protocol, epochs and folds of the runs, and whatever else sets one of them apart: settings, data, cases."""
    protocol = comparison.results[0].run.experiment.protocol
    epochs = [f"{result.run.experiment.epochs} epochs" for result in comparison.results]
    folds = [f"{len(r.complete_folds)}/{r.total_folds} folds" for r in comparison.results]
    names = [look.name for look in comparison.looks]
    sentence = f"Protocol {protocol}, {_shared(epochs, names)}, {_shared(folds, names)}."
    if differing := _differing(comparison):
        sentence += f" The runs differ: {'; '.join(differing)}."
    return sentence


def percentile_words(percentile: float) -> str:
    """`5th percentile`, `21st percentile`, `2.5th percentile`."""
    ending = "th"
    if percentile == int(percentile) and int(percentile) % 100 not in (11, 12, 13):
        ending = {1: "st", 2: "nd", 3: "rd"}.get(int(percentile) % 10, "th")
    return f"{percentile:g}{ending} percentile"


def enumerate_words(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def run_records(comparison: Comparison) -> list[dict[str, Any]]:
    """The runs of a figure, for its JSON."""
    return [
        {
            "title": look.name,
            "run": short_name(result),
            "folder": f"{result.run.dataset_folder}/{result.run.name}",
            "protocol": result.run.experiment.protocol,
            "epochs": result.run.experiment.epochs,
            "seed": result.run.experiment.seed,
            "folds": list(result.complete_folds),
            "cases": int(result.cases["case"].nunique()),
        }
        for result, look in zip(comparison.results, comparison.looks, strict=True)
    ]


def _differing(comparison: Comparison) -> list[str]:
    """For each run that differs from most of the others in what: seed, settings, data or cases."""
    results = {look.name: result for look, result in zip(comparison.looks, comparison.results, strict=True)}
    differing = [
        f"{name} ({', '.join(own)})"
        for name, found in odd_settings(results).items()
        if (own := [difference for difference in found if not difference.startswith("epochs ")])
    ]
    lacking = [
        f"{name} lacks {len(cases)} cases that others have" for name, cases in missing_cases(results).items()
    ]
    return [*differing, *lacking]


def _shared(values: Sequence[str], names: Sequence[str]) -> str:
    if len(set(values)) == 1:
        return values[0]
    return "; ".join(f"{name}: {value}" for name, value in zip(names, values, strict=True))
