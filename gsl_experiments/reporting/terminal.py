"""The tables as a terminal shows them: the paper's metrics, what sets a row apart, and what the tests say."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from gsl_experiments.reporting import notes
from gsl_experiments.reporting.comparison import VariantStatistics
from gsl_experiments.reporting.gather import DatasetTables, ProtocolTable, Table
from gsl_experiments.reporting.layout import NOTHING
from gsl_experiments.reporting.number_format import format_difference, format_mean_std, format_p
from gsl_experiments.reporting.rows import PAPER_METRICS, Metric, TableRow
from gsl_experiments.reporting.statistics_layout import missing_baseline

_BEST = "*"


def tables_text(gathered: Sequence[DatasetTables]) -> str:
    """The tables that have a row; a sentence if there is none."""
    parts = [
        "\n".join(_part_lines(tables, table, part))
        for tables in gathered
        for table in tables.tables
        for part in table.parts
    ]
    return "\n\n".join(parts) + "\n" if parts else "No run has been trained yet.\n"


def files_text(files: Sequence[Path]) -> str:
    """The files written, one line a folder: `results/lits: table1.{md,tex,csv}, ..., provenance.json`."""
    lines = []
    for folder in dict.fromkeys(file.parent for file in files):
        endings: dict[str, list[str]] = {}
        for file in files:
            if file.parent == folder:
                endings.setdefault(file.stem, []).append(file.suffix[1:])
        names = (
            f"{stem}.{{{','.join(own)}}}" if len(own) > 1 else f"{stem}.{own[0]}"
            for stem, own in endings.items()
        )
        lines.append(f"  {folder}: {', '.join(names)}")
    return "Written:\n" + "\n".join(lines)


def _part_lines(tables: DatasetTables, table: Table, part: ProtocolTable) -> Iterator[str]:
    yield f"{tables.title}, {table.title}, protocol {part.protocol}"
    header = ["Task", table.variant_header, *(metric.header for metric in PAPER_METRICS), "Folds", "Note"]
    yield from _aligned([header, *(_row(row) for row in part.rows)])
    if any(row.paper and row.statistics for row in part.rows):
        yield "  Mean (std) [minus the paper's mean]."
    if any(row.best for row in part.rows):
        yield f"  {_BEST} best mean of a task."
    for note in (
        *notes.empty_notes(part.rows, PAPER_METRICS),
        *notes.excluded_notes(part),
        *notes.missing_notes(part),
    ):
        yield f"  {note}"
    yield from _tests(table, part)


def _row(row: TableRow) -> list[str]:
    means = (_mean(row, metric) for metric in PAPER_METRICS)
    return [row.region, row.variant, *means, row.folds or NOTHING, "; ".join(row.remarks)]


def _mean(row: TableRow, metric: Metric) -> str:
    ours, paper = row.statistics.get(metric.column), row.paper.get(metric.column)
    if ours is None:
        return NOTHING
    text = format_mean_std(ours.mean, ours.std) + _BEST * (metric.column in row.best)
    return f"{text} [{format_difference(ours.mean - paper.mean, beside=paper.mean)}]" if paper else text


def _tests(table: Table, part: ProtocolTable) -> Iterator[str]:
    shown = {metric.column: metric for metric in PAPER_METRICS}
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for one in part.statistics:
        for entry in one.variants:
            if entry.comparison and one.metric.column in shown:
                own = cells.setdefault((one.region, entry.variant), {})
                own[one.metric.column] = _verdict(entry, part.settings.alpha)
    if not cells:
        yield f"  {missing_baseline(part)}"
        return
    yield f"Against {part.baseline}: mean difference (p of Wilcoxon's test, Holm's correction)"
    header = ["Task", table.variant_header, *(metric.header for metric in PAPER_METRICS)]
    yield from _aligned(
        [header, *([*key, *(own.get(column, NOTHING) for column in shown)] for key, own in cells.items())]
    )


def _verdict(entry: VariantStatistics, alpha: float) -> str:
    """Difference, corrected p, and whether the run is better or worse where that is significant."""
    comparison = entry.comparison
    if comparison is None or entry.p_holm is None:
        return NOTHING
    difference = format_difference(comparison.mean_difference, beside=entry.summary.mean)
    verdict = ", better" if comparison.effect_size > 0 else ", worse"
    return f"{difference} ({format_p(entry.p_holm)}{verdict if entry.p_holm < alpha else ''})"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
