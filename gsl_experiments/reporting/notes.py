"""The sentences under a table: what its numbers are, and what they do not hold."""

from collections.abc import Mapping, Sequence

from gsl_experiments.evaluation import RunResult
from gsl_experiments.reporting.gather import ProtocolTable
from gsl_experiments.reporting.number_format import format_number
from gsl_experiments.reporting.rows import Metric, TableRow

MEAN_NOTE = (
    "Mean (standard deviation, ddof 0) over the pooled cases of all complete folds; bold is the best mean of "
    "a task among comparable rows."
)
QUARTILES_NOTE = "Median [first quartile, third quartile] over the same cases."
HD95_NOTE = (
    "Hausdorff 95 is taken over all voxels of both volumes, as in the paper's released code, and is smaller than "
    "a surface distance."
)
EMPTY_NOTE = (
    "A case counts with the image's diagonal in mm and a Dice of 0 if one of its two masks is empty, and with 0 mm "
    "and 1 if both are."
)
PAPER_NOTE = "Beside ours: the paper's value [our mean minus the paper's]."

_SHOWN_CASES = 10


def further_metrics_note(part: ProtocolTable) -> str:
    """What the metrics are that the paper does not have."""
    tolerances = {
        f"{value:g}"
        for result in part.compared.values()
        if "nsd_tolerance_mm" in result.cases
        for value in result.cases["nsd_tolerance_mm"].unique()
    }
    tolerance = f" ({' and '.join(sorted(tolerances))} mm)" if tolerances else ""
    return (
        "Surface HD95: larger of the two directed 95th percentiles between the surfaces; ASSD: mean over both "
        "surfaces together; Hausdorff: largest distance; Surface Dice: share of both surfaces within the "
        f"tolerance{tolerance}."
    )


def empty_notes(rows: Sequence[TableRow], metrics: Sequence[Metric]) -> list[str]:
    """For each row with empty masks how many, and its means without them; one sentence for the others."""
    evaluated = [row for row in rows if row.cases]
    notes = [_empty_note(row, metrics) for row in evaluated if row.either_empty]
    if not evaluated:
        return []
    without = "Every" if not notes else "Every other"
    if any(not row.either_empty for row in evaluated):
        notes.append(f"{without} row: no case with an empty mask.")
    return notes


def missing_notes(part: ProtocolTable) -> list[str]:
    """For each run that lacks cases of another one, which."""
    everyone = {case for result in part.compared.values() for case in result.cases["case"]}
    return [
        f"{variant} lacks {len(cases)} of the {len(everyone)} cases of this comparison ({shortened(cases)}): they "
        "count in the means of the other rows, and not in tests and ranks."
        for variant, cases in part.missing.items()
    ]


def excluded_notes(part: ProtocolTable) -> list[str]:
    """The cases that the dataset is without."""
    excluded = {case: None for row in part.rows if row.result for case in row.result.exclusion.excluded}
    if not excluded:
        return []
    return [f"Excluded from the dataset, because of errors in their files: {shortened(list(excluded))}."]


def provenance(results: Mapping[str, RunResult]) -> tuple[str, ...]:
    """One line a run: folder, protocol, epochs, seed, folds and cases."""
    lines = []
    for variant, result in results.items():
        experiment = result.run.experiment
        lines.append(
            f"{variant}: {result.run.name}, protocol {experiment.protocol}, {experiment.epochs} epochs, "
            f"seed {experiment.seed}, {len(result.complete_folds)}/{result.total_folds} folds, "
            f"{result.number_of_cases}"
        )
    return tuple(lines)


def shortened(names: Sequence[str]) -> str:
    """The first names, and dots for the rest."""
    return ", ".join(names[:_SHOWN_CASES]) + ", ..." * (len(names) > _SHOWN_CASES)


def _empty_note(row: TableRow, metrics: Sequence[Metric]) -> str:
    count = (
        f"{row.region}, {row.variant}: {row.either_empty} of {row.cases} cases have an empty mask "
        f"(reference {row.reference_empty}, prediction {row.prediction_empty})"
    )
    if not row.without_empty:
        return f"{count}; none is left without them."
    means = (
        f"{metric.title} {format_number(row.without_empty[metric.column].mean)} instead of "
        f"{format_number(row.statistics[metric.column].mean)}"
        for metric in metrics
    )
    return f"{count}; means without them: {', '.join(means)}."
