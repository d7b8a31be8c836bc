"""All runs in their tables, with rows, remarks and statistics, before anything is printed.

What Markdown, LaTeX, CSV, the terminal, figures and the report show is taken from here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gsl_experiments.evaluation import RunResult
from gsl_experiments.reporting.comparability import missing_cases, odd_settings
from gsl_experiments.reporting.comparison import MetricStatistics, Settings, compare_runs, find_baseline
from gsl_experiments.reporting.paper import DATASETS, PaperTables
from gsl_experiments.reporting.placement import VARIANTS, OtherRun, describe, place_runs
from gsl_experiments.reporting.rows import TableRow, is_complete, mark_best, table_row

OTHER_RUNS = "other_runs"

_TITLES = {1: "Table 1: losses", 2: "Table 2: schedules of the GSL"}
_VARIANT_HEADERS = {1: "Loss", 2: "Schedule"}


@dataclass(frozen=True, eq=False)
class ProtocolTable:
    """The rows of one table and one protocol.

    Attributes:
        protocol: of all its runs.
        groups: rows, one group a region.
        missing: variant -> cases that another run of the comparison has and this one lacks.
        baseline: variant that the others are tested against; None if there is no such run.
        compared: variant -> run, of the rows and of the baseline, which need not be one of them.
        remarks: variant -> in what its run differs from the others of the comparison.
        statistics: of every region and metric.
        settings: of the statistics.
    """

    protocol: str
    groups: tuple[tuple[TableRow, ...], ...]
    missing: Mapping[str, Sequence[str]]
    baseline: str | None
    compared: Mapping[str, RunResult]
    remarks: Mapping[str, Sequence[str]]
    statistics: tuple[MetricStatistics, ...]
    settings: Settings

    @property
    def rows(self) -> tuple[TableRow, ...]:
        """The rows of all regions."""
        return tuple(row for group in self.groups for row in group)


@dataclass(frozen=True, eq=False)
class Table:
    """One table of a dataset.

    Attributes:
        name: `table1`, `table2` or `other_runs`.
        title: heading without the dataset.
        variant_header: what its rows are: `Loss`, `Schedule` or `Run`.
        parts: one a protocol, the paper's first; none before the first run.
    """

    name: str
    title: str
    variant_header: str
    parts: tuple[ProtocolTable, ...]


@dataclass(frozen=True, eq=False)
class DatasetTables:
    """Table 1, Table 2 and the other runs of one dataset.

    Attributes:
        dataset: short name, which is the folder's too.
        title: the paper's name of it, if it has one.
        tables: in this order.
    """

    dataset: str
    title: str
    tables: tuple[Table, ...]


def gather_tables(
    results: Sequence[RunResult], *, paper: PaperTables, settings: Settings | None = None
) -> list[DatasetTables]:
    """Put every run into its table, for every dataset that has a run, sorted by name.

    Table 1 compares the losses, with the linear schedule for HL, BL and GSL; Table 2 the schedules of the GSL;
    the other runs are all those that the paper does not have. Each protocol has a table of its own.

    Args:
        results: runs with their metrics, of any datasets and protocols.
        paper: the paper's values.
        settings: how the runs are compared.

    Raises:
        UserError: the plans of a run cannot be read.
    """
    settings = settings or Settings()
    gathered = []
    for dataset in sorted({result.run.experiment.dataset for result in results}):
        own = [result for result in results if result.run.experiment.dataset == dataset]
        gathered.append(
            DatasetTables(dataset, DATASETS.get(dataset, dataset), _tables(dataset, own, paper, settings))
        )
    return gathered


def _tables(
    dataset: str, results: Sequence[RunResult], paper: PaperTables, settings: Settings
) -> tuple[Table, ...]:
    parts: dict[str, list[ProtocolTable]] = {"table1": [], "table2": [], OTHER_RUNS: []}
    for protocol in sorted(
        {result.run.experiment.protocol for result in results}, key=lambda name: (name != "paper", name)
    ):
        own = [result for result in results if result.run.experiment.protocol == protocol]
        placement = place_runs(own)
        baseline = find_baseline(own, settings.baseline)
        for number, placed in placement.tables.items():
            if placed:
                groups = _paper_groups(number, dataset, placed, paper)
                placed = {name: placed[name] for name in VARIANTS[number] if name in placed}
                parts[f"table{number}"].append(_part(protocol, groups, placed, baseline, settings))
        if placement.others:
            others = _named(placement.others)
            runs = {name: other.result for name, other in others.items()}
            parts[OTHER_RUNS].append(_part(protocol, _other_groups(others), runs, baseline, settings))
    return (
        *(
            Table(f"table{number}", _TITLES[number], _VARIANT_HEADERS[number], tuple(parts[f"table{number}"]))
            for number in _TITLES
        ),
        Table(OTHER_RUNS, "Other runs", "Run", tuple(parts[OTHER_RUNS])),
    )


def _part(
    protocol: str,
    groups: Sequence[Sequence[TableRow]],
    placed: Mapping[str, RunResult],
    baseline: RunResult | None,
    settings: Settings,
) -> ProtocolTable:
    compared = dict(placed)
    if baseline is not None and baseline not in compared.values():
        compared = {describe(baseline.run.experiment): baseline, **compared}
    variant = next((name for name, result in compared.items() if result is baseline), None)
    return ProtocolTable(
        protocol,
        tuple(tuple(group) for group in groups),
        missing_cases(compared),
        variant,
        compared,
        odd_settings(compared),
        compare_runs(compared, baseline=variant, settings=settings),
        settings,
    )


def _paper_groups(
    number: int, dataset: str, placed: Mapping[str, RunResult], paper: PaperTables
) -> list[list[TableRow]]:
    """Rows of a table of the paper, in its order, a group a region; those of the paper alone are not run."""
    odd = odd_settings(placed)
    complete = {variant: result for variant, result in placed.items() if is_complete(result)}
    for variant, cases in missing_cases(complete).items():
        odd[variant].append(f"cases that other rows have are missing: {len(cases)}")
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


def _other_groups(others: Mapping[str, OtherRun]) -> list[list[TableRow]]:
    """Rows of the runs that the paper does not have; they are not comparable, so none of them is the best."""
    return [
        [
            table_row(region, name, other.result, paper={}, notes=[other.reason])
            for name, other in others.items()
            if region in other.result.run.regions
        ]
        for region in _regions(other.result for other in others.values())
    ]


def _named(others: Sequence[OtherRun]) -> dict[str, OtherRun]:
    """Each run under a name of its own: what it is, or its folder where two runs are the same."""
    names = [describe(other.result.run.experiment) for other in others]
    return {
        name if names.count(name) == 1 else other.result.run.name: other
        for name, other in zip(names, others, strict=True)
    }


def _regions(results: Iterable[RunResult]) -> list[str]:
    """Regions of all runs, in the order of the dataset."""
    return list(dict.fromkeys(region for result in results for region in result.run.regions))
