"""A table as titles, cells and notes, before it becomes Markdown or LaTeX."""

from collections.abc import Sequence
from dataclasses import dataclass

from gsl_experiments.reporting.number_format import format_difference, format_mean_std
from gsl_experiments.reporting.rows import METRICS, Metric, TableRow

NOTHING = "\N{EN DASH}"

_STATISTICS_NOTE = (
    "Mean (standard deviation, ddof 0) over the pooled cases of all complete folds; bold is the best mean of "
    "a task among comparable rows."
)
_HD95_NOTE = (
    "Hausdorff 95 is taken over all voxels of both volumes, as in the paper's released code; Surface HD95 "
    "over their contours."
)
_EMPTY_NOTE = (
    "A case counts with the image's diagonal in mm if one of its two masks is empty, and with 0 if both are."
)
_PAPER_NOTE = "Beside ours: the paper's value [our mean minus the paper's]."

_SHOWN_CASES = 10


@dataclass(frozen=True)
class Cell:
    """Text of one cell, as it reads, with no markup."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Section:
    """One table: the rows of one protocol.

    Attributes:
        title: what it is.
        header: one title a column.
        groups: rows of cells, one group a region.
        notes: sentences below the table.
        provenance: one line a run.
    """

    title: str
    header: tuple[str, ...]
    groups: tuple[tuple[tuple[Cell, ...], ...], ...]
    notes: tuple[str, ...]
    provenance: tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """All sections of one file.

    Attributes:
        name: of the file without its ending, unique within the dataset.
        title: heading.
        sections: one a protocol; none before the first run.
    """

    name: str
    title: str
    sections: tuple[Section, ...]


def layout_section(
    title: str, dataset: str, variant_header: str, groups: Sequence[Sequence[TableRow]]
) -> Section:
    """Turn rows grouped by region into cells; the paper's columns appear if it has one of the rows.

    Args:
        title: of the section.
        dataset: name to print.
        variant_header: `Loss`, `Schedule` or `Run`.
        groups: the rows of each region.
    """
    rows = [row for group in groups for row in group]
    with_paper = any(row.paper for row in rows)
    header = ["Dataset", "Task", variant_header]
    for metric in METRICS:
        header.append(metric.header)
        if with_paper and metric.in_paper:
            header.append("paper [difference]")
    cells = []
    for group_index, group in enumerate(groups):
        cells.append(
            tuple(
                (
                    Cell(dataset if group_index == row_index == 0 else ""),
                    Cell(row.region if row_index == 0 else ""),
                    *_row_cells(row, with_paper),
                )
                for row_index, row in enumerate(group)
            )
        )
    return Section(
        title,
        (*header, "Cases", "Folds", "Note"),
        tuple(cells),
        _notes(groups, with_paper),
        _provenance(rows),
    )


def _row_cells(row: TableRow, with_paper: bool) -> list[Cell]:
    cells = [Cell(row.variant)]
    for metric in METRICS:
        ours = row.statistics.get(metric.column)
        text = format_mean_std(ours.mean, ours.std) if ours else NOTHING
        cells.append(Cell(text, bold=metric.column in row.best))
        if with_paper and metric.in_paper:
            cells.append(Cell(_paper_text(row, metric)))
    notes = [*([] if row.status == "complete" else [row.status]), *row.notes]
    return [
        *cells,
        Cell(_cases_text(row)),
        Cell(row.folds or NOTHING),
        Cell("; ".join(notes)),
    ]


def _cases_text(row: TableRow) -> str:
    """Number of pooled cases; of how many, if the dataset is without some."""
    if row.result is None:
        return NOTHING
    exclusion = row.result.exclusion
    return f"{row.cases} of {exclusion.cases}" if exclusion.excluded else str(row.cases)


def _paper_text(row: TableRow, metric: Metric) -> str:
    paper, ours = row.paper.get(metric.column), row.statistics.get(metric.column)
    if paper is None:
        return NOTHING
    text = format_mean_std(paper.mean, paper.std)
    return f"{text} [{format_difference(ours.mean - paper.mean, beside=paper.mean)}]" if ours else text


def _notes(groups: Sequence[Sequence[TableRow]], with_paper: bool) -> tuple[str, ...]:
    notes = [_STATISTICS_NOTE, _HD95_NOTE, _EMPTY_NOTE, *([_PAPER_NOTE] if with_paper else [])]
    for group in groups:
        counts = [
            f"{row.variant} {row.reference_empty} / {row.prediction_empty} of {row.cases}"
            for row in group
            if row.cases
        ]
        if counts:
            notes.append(
                f"{group[0].region}, cases with an empty reference / prediction: {'; '.join(counts)}."
            )
    excluded = {
        case: None
        for group in groups
        for row in group
        if row.result
        for case in row.result.exclusion.excluded
    }
    if excluded:
        names = ", ".join(list(excluded)[:_SHOWN_CASES]) + ", ..." * (len(excluded) > _SHOWN_CASES)
        notes.append(f"Excluded from the dataset, because of errors in their files: {names}.")
    return tuple(notes)


def _provenance(rows: Sequence[TableRow]) -> tuple[str, ...]:
    """One line a run, in the order of the rows."""
    lines: dict[str, str] = {}
    for row in rows:
        if row.result is None:
            continue
        run = row.result.run
        experiment = run.experiment
        lines[run.name] = (
            f"{row.variant}: {run.name}, protocol {experiment.protocol}, {experiment.epochs} epochs, "
            f"seed {experiment.seed}, {row.folds} folds, {row.result.number_of_cases}"
        )
    return tuple(lines.values())
