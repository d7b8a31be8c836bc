"""Tables 1 and 2 of the paper, and one of all other runs, from the metrics of trained runs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gsl_experiments.atomic import write_text
from gsl_experiments.evaluation import RunResult
from gsl_experiments.reporting.latex import to_latex
from gsl_experiments.reporting.layout import Document, layout_section
from gsl_experiments.reporting.markdown import to_markdown
from gsl_experiments.reporting.paper import DATASETS, PaperTables
from gsl_experiments.reporting.placement import VARIANTS, OtherRun, describe, place_runs
from gsl_experiments.reporting.rows import TableRow, mark_best, odd_settings, table_row
from gsl_experiments.reporting.tidy import to_csv

_TITLES = {1: "Table 1: losses", 2: "Table 2: schedules of the GSL"}
_VARIANT_HEADERS = {1: "Loss", 2: "Schedule"}
_OTHERS = "other_runs"

Groups = list[list[TableRow]]


@dataclass(frozen=True)
class _Table:
    """One file's worth of rows: a group of rows a region, for each protocol.

    Attributes:
        name: of the file, without its ending.
        title: heading without the dataset.
        variant_header: what the third column holds.
        sections: (protocol, rows grouped by region).
    """

    name: str
    title: str
    variant_header: str
    sections: tuple[tuple[str, Groups], ...]

    def document(self, dataset: str) -> Document:
        name = DATASETS.get(dataset, dataset)
        return Document(
            self.name,
            f"{self.title}, {name}",
            tuple(
                layout_section(f"protocol {protocol}", name, self.variant_header, groups)
                for protocol, groups in self.sections
            ),
        )


def write_tables(results: Sequence[RunResult], output: Path, *, paper: PaperTables) -> list[Path]:
    """Write `<output>/<dataset>/{table1,table2,other_runs}.{md,tex,csv}` for every dataset that has a run.

    Table 1 compares the losses, with the linear schedule for HL, BL and GSL; Table 2 the schedules of the
    GSL; the other runs are all those that the paper does not have. Each protocol has a table of its own.
    Every file is written at each call, so none is left from runs that are gone.

    Args:
        results: runs with their metrics, of any datasets and protocols.
        output: results folder.
        paper: the paper's values, printed beside ours.

    Returns:
        The files written.
    """
    written = []
    for dataset, tables in _tables_by_dataset(results, paper):
        for table in tables:
            document = table.document(dataset)
            rows = [
                (protocol, row) for protocol, groups in table.sections for group in groups for row in group
            ]
            for ending, text in (
                ("md", to_markdown(document)),
                ("tex", to_latex(document, dataset=dataset)),
                ("csv", to_csv(table.name, dataset, rows)),
            ):
                written.append(write_text(output / dataset / f"{table.name}.{ending}", text))
    return written


def tables_text(results: Sequence[RunResult], *, paper: PaperTables) -> str:
    """The tables that have a row, as Markdown to print; a sentence if there is none."""
    documents = [
        table.document(dataset) for dataset, tables in _tables_by_dataset(results, paper) for table in tables
    ]
    texts = [to_markdown(document) for document in documents if document.sections]
    return "\n".join(texts) if texts else "No run has been trained yet.\n"


def _tables_by_dataset(
    results: Sequence[RunResult], paper: PaperTables
) -> Iterator[tuple[str, tuple[_Table, ...]]]:
    for dataset in sorted({result.run.experiment.dataset for result in results}):
        of_dataset = [result for result in results if result.run.experiment.dataset == dataset]
        yield dataset, _tables(dataset, of_dataset, paper)


def _tables(dataset: str, results: Sequence[RunResult], paper: PaperTables) -> tuple[_Table, ...]:
    protocols = sorted(
        {result.run.experiment.protocol for result in results}, key=lambda name: (name != "paper", name)
    )
    placements = {
        protocol: place_runs([result for result in results if result.run.experiment.protocol == protocol])
        for protocol in protocols
    }
    paper_tables = [
        _Table(
            f"table{number}",
            _TITLES[number],
            _VARIANT_HEADERS[number],
            tuple(
                (protocol, _paper_groups(number, dataset, placement.tables[number], paper))
                for protocol, placement in placements.items()
                if placement.tables[number]
            ),
        )
        for number in _TITLES
    ]
    others = tuple(
        (protocol, _other_groups(placement.others))
        for protocol, placement in placements.items()
        if placement.others
    )
    return (*paper_tables, _Table(_OTHERS, "Other runs", "Run", others))


def _paper_groups(number: int, dataset: str, placed: Mapping[str, RunResult], paper: PaperTables) -> Groups:
    """Rows of a table of the paper, in its order, a group a region; those of the paper alone are not run."""
    odd = odd_settings(placed)
    groups = []
    for region in _regions(placed.values()):
        rows = []
        for variant in VARIANTS[number]:
            theirs = paper.row(number, dataset, region, variant)
            if variant in placed or theirs:
                notes = odd.get(variant, [])
                rows.append(table_row(region, variant, placed.get(variant), paper=theirs, notes=notes))
        groups.append(mark_best(rows))
    return groups


def _other_groups(others: Sequence[OtherRun]) -> Groups:
    """Rows of the runs that the paper does not have; they are not comparable, so none of them is the best."""
    return [
        [
            table_row(
                region, describe(other.result.run.experiment), other.result, paper={}, notes=[other.reason]
            )
            for other in others
            if region in other.result.run.regions
        ]
        for region in _regions(other.result for other in others)
    ]


def _regions(results: Iterable[RunResult]) -> list[str]:
    """Regions of all runs, in the order of the dataset."""
    return list(dict.fromkeys(region for result in results for region in result.run.regions))
