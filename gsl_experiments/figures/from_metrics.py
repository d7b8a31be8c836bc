"""Figures of metrics over all cases: distributions, paired differences and mean ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gsl_experiments.figures.distributions import Interval, Look, Values, draw_differences, draw_distributions
from gsl_experiments.figures.options import FigureOptions, metric_of
from gsl_experiments.figures.planned import DrawnFigure
from gsl_experiments.figures.ranks import RankLine, draw_critical_differences
from gsl_experiments.figures.selection import Comparison, case_values
from gsl_experiments.figures.words import dataset_name, enumerate_words, run_records, settings_sentence
from gsl_experiments.reporting.comparison import ranked_runs
from gsl_experiments.statistics import compare_paired, ranks


def distribution_figure(comparison: Comparison, column: str, options: FigureOptions) -> DrawnFigure:
    """Every case of every run as a point beside a box."""
    metric = metric_of(column)
    values = {
        region: [case_values(result, region, column).to_numpy() for result in comparison.results]
        for region in comparison.regions
    }
    looks = _with_numbers(comparison)
    figure = draw_distributions(values, looks, label=metric.title, width_mm=_width(len(values), options))
    caption = (
        f"{dataset_name(comparison)}: {metric.title} of every held-out case, by run. Boxes: median and quartiles, "
        f"whiskers up to 1.5 interquartile ranges; {_case_words(comparison)}. {_rules(column, figure)} "
        f"{settings_sentence(comparison)}"
    )
    medians = "; ".join(
        f"{region}: "
        + ", ".join(
            f"{look.name} {np.median(run):.3g}" for look, run in zip(comparison.looks, runs, strict=True)
        )
        for region, runs in values.items()
    )
    return DrawnFigure(
        f"{comparison.name}_{column}",
        figure,
        caption,
        f"Points and boxes of {metric.title} by run. Medians, {medians}.",
        {"runs": run_records(comparison), "metric": column, "regions": list(values)},
    )


def difference_figure(comparison: Comparison, column: str, options: FigureOptions) -> DrawnFigure:
    """Every case's difference to the baseline, with the mean and its bootstrap interval, as in the tables."""
    metric, settings = metric_of(column), options.settings
    assert comparison.baseline is not None
    baseline = comparison.results[comparison.baseline]
    others = [place for place in range(len(comparison.results)) if place != comparison.baseline]
    differences: dict[str, list[Values]] = {}
    means: dict[str, list[Interval]] = {}
    tellings = []
    sources: dict[str, dict[str, Any]] = {}
    for region in comparison.regions:
        reference = case_values(baseline, region, column)
        differences[region], means[region], sources[region] = [], [], {}
        for place in others:
            pair = pd.concat(
                [case_values(comparison.results[place], region, column), reference], axis=1, join="inner"
            ).dropna()
            values, of_baseline = pair.iloc[:, 0].to_numpy(), pair.iloc[:, 1].to_numpy()
            differences[region].append(values - of_baseline)
            interval = (np.nan, np.nan, np.nan)
            if len(pair):
                outcome = compare_paired(
                    values,
                    of_baseline,
                    higher_is_better=metric.higher_is_better,
                    confidence=1 - settings.alpha,
                    resamples=settings.resamples,
                    seed=settings.seed,
                )
                interval = (outcome.mean_difference, outcome.low, outcome.high)
                sources[region][comparison.looks[place].name] = {
                    "mean": outcome.mean_difference,
                    "interval": None if np.isnan(outcome.low) else [outcome.low, outcome.high],
                    "cases": outcome.n,
                }
                tellings.append(
                    f"{region}, {comparison.looks[place].name}: {outcome.better} better, {outcome.equal} equal, "
                    f"{outcome.worse} worse"
                )
            means[region].append(interval)
    looks = [comparison.looks[place] for place in others]
    name = comparison.looks[comparison.baseline].name
    figure = draw_differences(
        differences,
        looks,
        means=means,
        label=f"{metric.title}, difference to {name}",
        higher_is_better=metric.higher_is_better,
        width_mm=_width(len(differences), options),
    )
    numbers = sorted({run.size for runs in differences.values() for run in runs})
    caption = (
        f"{dataset_name(comparison)}: {metric.title} of each run minus that of {name}, case by case "
        f"({_range_words(numbers)} cases that both have). Diamond and black line: mean with its "
        f"{100 * (1 - settings.alpha):g} % bootstrap interval. {_rules(column, figure)} {settings_sentence(comparison)}"
    )
    return DrawnFigure(
        f"{comparison.name}_{column}_differences",
        figure,
        caption,
        f"Differences of {metric.title} to {name}. {'; '.join(tellings)}.",
        {"runs": run_records(comparison), "metric": column, "baseline": name, "differences": sources},
    )


def ranks_figure(comparison: Comparison, column: str, options: FigureOptions) -> DrawnFigure:
    """Mean ranks and Nemenyi's critical difference of the ranked runs, one scale a region."""
    metric, alpha = metric_of(column), options.settings.alpha
    places = ranked_runs(comparison.results)
    unranked = [look.name for place, look in enumerate(comparison.looks) if place not in places]
    lines, numbers, tellings = [], set(), []
    sources: dict[str, dict[str, Any]] = {}
    for region in comparison.regions:
        frame = pd.concat(
            [
                case_values(comparison.results[place], region, column)
                .rename(column)
                .reset_index()
                .assign(variant=comparison.looks[place].name)
                for place in places
            ]
        )
        outcome = ranks(frame, column, higher_is_better=metric.higher_is_better, alpha=alpha)
        lines.append(RankLine(region, outcome.mean_rank, outcome.critical_difference, outcome.cliques))
        sources[region] = {
            "mean_ranks": dict(outcome.mean_rank),
            "critical_difference": outcome.critical_difference,
            "cases": outcome.n,
            "friedman_p": None if np.isnan(outcome.p_value) else outcome.p_value,
        }
        tellings.append(f"{region}: " + ", ".join(f"{n} {rank:.2f}" for n, rank in outcome.mean_rank.items()))
        numbers.add(outcome.n)
    figure = draw_critical_differences(lines, width_mm=options.column_mm)
    caption = (
        f"{dataset_name(comparison)}: mean rank of each run in {metric.title} over the {_range_words(sorted(numbers))} "
        "cases that all of them have; 1 is the best. Runs that a bar joins differ by less than Nemenyi's critical "
        f"difference (CD) at the {100 * alpha:g} % level. "
        + (f"Not ranked, because folds are open: {enumerate_words(unranked)}. " if unranked else "")
        + settings_sentence(comparison)
    )
    return DrawnFigure(
        f"{comparison.name}_{column}_ranks",
        figure,
        caption,
        f"Mean ranks in {metric.title}. {'; '.join(tellings)}.",
        {"runs": run_records(comparison), "metric": column, "ranks": sources},
    )


def shared_cases(comparison: Comparison, places: Sequence[int]) -> set[str]:
    """The cases that all runs at these places have."""
    return set.intersection(*(set(comparison.results[place].cases["case"]) for place in places))


def _rules(column: str, figure: Figure) -> str:
    """What a case without a prediction counts, and what sort of axis the values have."""
    worst = "the diagonal of its image" if column.endswith("_mm") else "0"
    empty = f"A case of which nothing is predicted counts with {worst}."
    log = figure.axes[0].get_xscale() == "symlog"
    return f"The axis is logarithmic, and linear around 0. {empty}" if log else empty


def _width(regions: int, options: FigureOptions) -> float:
    """A column for one region, the whole text for more."""
    return options.column_mm if regions == 1 else options.text_mm


def _with_numbers(comparison: Comparison) -> list[Look]:
    """The looks, with the number of cases in the names where the runs differ in it."""
    numbers = [int(result.cases["case"].nunique()) for result in comparison.results]
    if len(set(numbers)) == 1:
        return list(comparison.looks)
    return [
        Look(f"{look.name} (n = {number})", look.color, look.line, look.marker)
        for look, number in zip(comparison.looks, numbers, strict=True)
    ]


def _case_words(comparison: Comparison) -> str:
    cases = [frozenset(result.cases["case"]) for result in comparison.results]
    if len(set(cases)) == 1:
        return f"{len(cases[0])} cases each"
    return "the runs do not have the same cases"


def _range_words(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
