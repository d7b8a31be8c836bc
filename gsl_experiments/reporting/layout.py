"""A table as titles, cells and notes, before it becomes Markdown or LaTeX."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gsl_experiments.reporting import notes
from gsl_experiments.reporting.gather import DatasetTables, ProtocolTable, Table
from gsl_experiments.reporting.number_format import (
    format_difference,
    format_mean_std,
    format_quartiles,
)
from gsl_experiments.reporting.rows import METRICS, PAPER_METRICS, Metric, TableRow

NOTHING = "\N{EN DASH}"


@dataclass(frozen=True)
class Cell:
    """Text of one cell, as it reads, with no markup."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Section:
    """One printed table.

    Attributes:
        title: what it is.
        header: one title a column.
        groups: rows of cells, with a rule between two groups.
        notes: sentences below the table.
        provenance: one line a run.
    """

    title: str
    header: tuple[str, ...]
    groups: tuple[tuple[tuple[Cell, ...], ...], ...]
    notes: tuple[str, ...]
    provenance: tuple[str, ...] = ()


@dataclass(frozen=True)
class Document:
    """All sections of one file.

    Attributes:
        name: of the file without its ending, unique within the dataset.
        title: heading.
        sections: none before the first run.
        introduction: how to read it.
    """

    name: str
    title: str
    sections: tuple[Section, ...]
    introduction: str = ""


def table_document(tables: DatasetTables, table: Table) -> Document:
    """Table 1, Table 2 or the other runs: the paper's metrics, with the paper's values where it has the row."""
    return Document(
        table.name,
        f"{table.title}, {tables.title}",
        tuple(_table_section(tables.title, table, part) for part in table.parts),
    )


def all_metrics_document(tables: DatasetTables) -> Document:
    """Every metric of every run: mean (std), and median [quartiles]."""
    sections = []
    for table in tables.tables:
        for part in table.parts:
            title = f"{table.title}, protocol {part.protocol}"
            sections += [_means_section(title, table, part), _quartiles_section(title, table, part)]
    return Document("all_metrics", f"All metrics, {tables.title}", tuple(sections))


def grouped(
    groups: Iterable[Sequence[tuple[str, Sequence[Cell]]]],
) -> tuple[tuple[tuple[Cell, ...], ...], ...]:
    """Rows with their group's name in the first column, written once a group."""
    return tuple(
        tuple((Cell(name if index == 0 else ""), *cells) for index, (name, cells) in enumerate(group))
        for group in groups
    )


def remarks_cell(row: TableRow) -> Cell:
    """What sets a row apart."""
    return Cell("; ".join(row.remarks))


def cases_text(row: TableRow) -> str:
    """Number of pooled cases; of how many, if the dataset is without some."""
    if row.result is None:
        return NOTHING
    exclusion = row.result.exclusion
    return f"{row.cases} of {exclusion.cases}" if exclusion.excluded else str(row.cases)


def mean_cell(row: TableRow, metric: Metric) -> Cell:
    """Mean (std), bold if the mean is the best."""
    ours = row.statistics.get(metric.column)
    return Cell(format_mean_std(ours.mean, ours.std) if ours else NOTHING, bold=metric.column in row.best)


def _table_section(dataset: str, table: Table, part: ProtocolTable) -> Section:
    with_paper = any(row.paper for row in part.rows)
    header = ["Dataset", "Task", table.variant_header]
    for metric in PAPER_METRICS:
        header += [metric.header, *(["paper [difference]"] if with_paper else [])]
    groups = grouped([(row.region, _table_cells(row, with_paper)) for row in group] for group in part.groups)
    first_column = (
        tuple((Cell(dataset if (i, j) == (0, 0) else ""), *cells) for j, cells in enumerate(group))
        for i, group in enumerate(groups)
    )
    return Section(
        f"protocol {part.protocol}",
        (*header, "Cases", "Folds", "Note"),
        tuple(first_column),
        (
            notes.MEAN_NOTE,
            notes.HD95_NOTE,
            notes.EMPTY_NOTE,
            *([notes.PAPER_NOTE] if with_paper else []),
            *notes.empty_notes(part.rows, PAPER_METRICS),
            *notes.excluded_notes(part),
            *notes.missing_notes(part),
        ),
        _runs(part),
    )


def _table_cells(row: TableRow, with_paper: bool) -> list[Cell]:
    cells = [Cell(row.variant)]
    for metric in PAPER_METRICS:
        cells += [mean_cell(row, metric), *([Cell(_paper_text(row, metric))] if with_paper else [])]
    return [*cells, Cell(cases_text(row)), Cell(row.folds or NOTHING), remarks_cell(row)]


def _paper_text(row: TableRow, metric: Metric) -> str:
    paper, ours = row.paper.get(metric.column), row.statistics.get(metric.column)
    if paper is None:
        return NOTHING
    text = format_mean_std(paper.mean, paper.std)
    return f"{text} [{format_difference(ours.mean - paper.mean, beside=paper.mean)}]" if ours else text


def _means_section(title: str, table: Table, part: ProtocolTable) -> Section:
    groups = (
        [
            (row.region, [Cell(row.variant), *(mean_cell(row, metric) for metric in METRICS), *_ending(row)])
            for row in group
            if row.result
        ]
        for group in part.groups
    )
    return Section(
        f"{title}: mean (standard deviation)",
        _all_header(table),
        grouped(groups),
        (
            notes.MEAN_NOTE,
            notes.HD95_NOTE,
            notes.further_metrics_note(part),
            notes.EMPTY_NOTE,
            *notes.empty_notes(part.rows, METRICS),
        ),
        _runs(part),
    )


def _quartiles_section(title: str, table: Table, part: ProtocolTable) -> Section:
    groups = (
        [
            (
                row.region,
                [Cell(row.variant), *(Cell(_quartiles(row, metric)) for metric in METRICS), *_ending(row)],
            )
            for row in group
            if row.result
        ]
        for group in part.groups
    )
    return Section(
        f"{title}: median [quartiles]", _all_header(table), grouped(groups), (notes.QUARTILES_NOTE,)
    )


def _quartiles(row: TableRow, metric: Metric) -> str:
    ours = row.statistics.get(metric.column)
    return format_quartiles(ours.median, ours.quartile1, ours.quartile3) if ours else NOTHING


def _all_header(table: Table) -> tuple[str, ...]:
    return ("Task", table.variant_header, *(metric.header for metric in METRICS), "Cases", "Note")


def _ending(row: TableRow) -> tuple[Cell, Cell]:
    return Cell(cases_text(row)), remarks_cell(row)


def _runs(part: ProtocolTable) -> tuple[str, ...]:
    return notes.provenance({row.variant: row.result for row in part.rows if row.result})
