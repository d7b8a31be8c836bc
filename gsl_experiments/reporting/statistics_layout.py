"""The statistics of the tables as titles, cells and notes: tests against the baseline, and ranks."""

import math
from collections.abc import Iterator, Sequence

from gsl_experiments.reporting import notes
from gsl_experiments.reporting.comparison import MetricStatistics, VariantStatistics
from gsl_experiments.reporting.gather import DatasetTables, ProtocolTable, Table
from gsl_experiments.reporting.layout import NOTHING, Cell, Document, Section, grouped
from gsl_experiments.reporting.number_format import (
    format_difference,
    format_mean_std,
    format_p,
    format_quartiles,
    format_signed,
)
from gsl_experiments.statistics import Ranks

_HOW_TO_READ = (
    'How to read it: a run differs from the baseline where "p (Holm)" is below the level; the interval says by how '
    "much, in the unit of the metric; the effect size says how consistently over the cases (+1: better in every one, "
    "-1: worse in every one). Tests compare case by case, so a run can have the better mean and the worse effect: a "
    "few cases carry the mean of a distance."
)
_RANKS_NOTE = (
    "Mean rank over the cases (1 is the best run of a case). Two runs whose mean ranks differ by less than the "
    "critical difference (Nemenyi) are not told apart; Friedman's p asks whether any run ranks differently."
)


def statistics_document(tables: DatasetTables) -> Document:
    """Tests and ranks of every table of a dataset."""
    sections: list[Section] = []
    for table in tables.tables:
        for part in table.parts:
            sections += _part_sections(table, part)
    return Document("statistics", f"Statistics, {tables.title}", tuple(sections), _HOW_TO_READ)


def _part_sections(table: Table, part: ProtocolTable) -> Iterator[Section]:
    title = f"{table.title}, protocol {part.protocol}"
    tested = [one for one in part.statistics if any(entry.comparison for entry in one.variants)]
    ranked = [(one, one.ranks) for one in part.statistics if one.ranks]
    for region in dict.fromkeys(one.region for one in tested):
        yield _tests_section(title, table, part, [one for one in tested if one.region == region])
    if ranked:
        yield _ranks_section(title, part, ranked, () if tested else (missing_baseline(part),))
    elif tested:
        yield Section(f"{title}: ranks over cases", (), (), ("No ranks: the runs have no case in common.",))
    if not tested and not ranked:
        yield Section(f"{title}: nothing to compare", (), (), (missing_baseline(part),))


def missing_baseline(part: ProtocolTable) -> str:
    """Why a table has no tests."""
    if part.baseline is None and part.settings.baseline is not None:
        return (
            f"No tests: there is no run {part.settings.baseline} of protocol {part.protocol}; tables.baseline names "
            "another one."
        )
    return "No tests: a comparison needs a second run with a case in common."


def _tests_section(
    title: str, table: Table, part: ProtocolTable, tested: Sequence[MetricStatistics]
) -> Section:
    level = f"{100 * (1 - part.settings.alpha):g} %"
    return Section(
        f"{title}: {tested[0].region}, tests against {part.baseline}",
        (
            "Metric",
            table.variant_header,
            "Mean (std)",
            "Median [quartiles]",
            f"Mean difference [{level} interval]",
            "Better / equal / worse",
            "p",
            "p (Holm)",
            "Effect size",
            "Note",
        ),
        grouped([(one.metric.header, cells) for cells in _test_rows(one, part)] for one in tested),
        (
            f"Baseline: {part.baseline}. Mean difference: run minus baseline over the cases that both have, with its "
            f"bias-corrected and accelerated bootstrap interval ({part.settings.resamples} resamples of cases).",
            "p: two-sided Wilcoxon signed-rank test of the paired cases (Pratt's treatment of cases without a "
            "difference). p (Holm): corrected for all runs of a task and metric; bold is below "
            f"{part.settings.alpha:g}.",
            "Effect size: matched-pairs rank-biserial correlation, positive where the run is better than the baseline "
            "(higher Dice and Surface Dice, smaller distances). Better / equal / worse: numbers of cases.",
            *notes.missing_notes(part),
        ),
        notes.provenance(part.compared),
    )


def _test_rows(one: MetricStatistics, part: ProtocolTable) -> Iterator[list[Cell]]:
    for entry in one.variants:
        yield [
            Cell(entry.variant),
            Cell(format_mean_std(entry.summary.mean, entry.summary.std)),
            Cell(format_quartiles(entry.summary.median, entry.summary.quartile1, entry.summary.quartile3)),
            *_comparison_cells(entry, part),
            Cell("; ".join(remarks(part, entry.variant))),
        ]


def _comparison_cells(entry: VariantStatistics, part: ProtocolTable) -> list[Cell]:
    comparison = entry.comparison
    if comparison is None or entry.p_holm is None:
        why = "baseline" if entry.variant == part.baseline else "no case in common"
        return [Cell(why), *(Cell(NOTHING) for _ in range(4))]
    significant = entry.p_holm < part.settings.alpha
    return [
        Cell(difference_text(entry)),
        Cell(f"{comparison.better} / {comparison.equal} / {comparison.worse}"),
        Cell(format_p(comparison.p_value)),
        Cell(format_p(entry.p_holm), bold=significant),
        Cell(format_signed(comparison.effect_size, 2)),
    ]


def difference_text(entry: VariantStatistics) -> str:
    """Mean difference and its interval: `-0.4512 [-0.8123, -0.1020]`."""
    comparison = entry.comparison
    if comparison is None:
        return NOTHING
    mean, *ends = (
        format_difference(value, beside=entry.summary.mean) if math.isfinite(value) else NOTHING
        for value in (comparison.mean_difference, comparison.low, comparison.high)
    )
    return f"{mean} [{', '.join(ends)}]"


def remarks(part: ProtocolTable, variant: str) -> list[str]:
    """What sets a run of a comparison apart: its open folds, and its settings."""
    result = part.compared[variant]
    folds, total = len(result.complete_folds), result.total_folds
    open_folds = [f"incomplete: {folds}/{total} folds"] if folds < total else []
    placed = next((row.notes for row in part.rows if row.variant == variant), ())
    return list(dict.fromkeys([*open_folds, *placed, *part.remarks.get(variant, ())]))


def _ranks_section(
    title: str,
    part: ProtocolTable,
    ranked: Sequence[tuple[MetricStatistics, Ranks]],
    further_notes: Sequence[str],
) -> Section:
    variants = list(dict.fromkeys(entry.variant for one, _ in ranked for entry in one.variants))
    groups = (
        [
            (region, _rank_cells(one.metric.header, ranks, variants))
            for one, ranks in ranked
            if one.region == region
        ]
        for region in dict.fromkeys(one.region for one, _ in ranked)
    )
    return Section(
        f"{title}: ranks over cases",
        ("Task", "Metric", *variants, "Critical difference", "Friedman p", "Not told apart", "Cases"),
        grouped(groups),
        (_RANKS_NOTE, *_unranked_notes(part, ranked), *further_notes, *notes.missing_notes(part)),
    )


def _unranked_notes(part: ProtocolTable, ranked: Sequence[tuple[MetricStatistics, Ranks]]) -> Iterator[str]:
    """Name the runs without ranks, which have open folds."""
    unranked = [
        variant for variant in part.compared if not any(variant in one.mean_rank for _, one in ranked)
    ]
    if unranked:
        yield f"Not ranked, because folds are open: {', '.join(unranked)}."


def _rank_cells(metric: str, ranks: Ranks, variants: list[str]) -> list[Cell]:
    best = min(ranks.mean_rank.values())
    cells = [Cell(metric)]
    for variant in variants:
        mean = ranks.mean_rank.get(variant)
        cells.append(Cell(NOTHING) if mean is None else Cell(f"{mean:.2f}", bold=mean == best))
    cliques = "; ".join(", ".join(clique) for clique in ranks.cliques)
    return [
        *cells,
        Cell(f"{ranks.critical_difference:.2f}"),
        Cell(NOTHING if math.isnan(ranks.p_value) else format_p(ranks.p_value)),
        Cell(cliques or "none"),
        Cell(str(ranks.n)),
    ]
