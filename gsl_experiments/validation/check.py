"""The check of a raw dataset: every file read once, everything that is wrong said at once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from gsl_experiments.atomic import write_text
from gsl_experiments.datasets.finding import Finding
from gsl_experiments.datasets.raw import DatasetError, RawDataset
from gsl_experiments.validation.case_checks import check_case
from gsl_experiments.validation.dataset_checks import absent_classes, compare_cases
from gsl_experiments.validation.exclusion import write_exclusion
from gsl_experiments.validation.extra_files import extra_files
from gsl_experiments.validation.kinds import WHOLE_DATASET
from gsl_experiments.validation.records import Records, stamp_of
from gsl_experiments.validation.scan import FileFacts, scan_file
from gsl_experiments.validation.table import plural, sort_findings, summary, to_csv, to_text

FINDINGS = "findings.csv"
RECORDS = "scanned_files.json"
# A worker costs a second to start: there have to be some bytes to read for it.
_BYTES_PER_PROCESS = 100 * 2**20


@dataclass(frozen=True)
class Report:
    """What the check of a dataset has found.

    Args:
        cases: number of cases, those that the layout found incomplete among them.
        findings: worst first.
    """

    cases: int
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> list[Finding]:
        """The findings for which a case cannot be used."""
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def bad_cases(self) -> set[str]:
        """The cases that have an error."""
        return {error.case for error in self.errors} - {WHOLE_DATASET}

    @property
    def whole_dataset(self) -> bool:
        """Whether an error concerns the dataset as a whole, so that leaving out cases does not help."""
        return any(error.case == WHOLE_DATASET for error in self.errors)


def check_dataset(
    dataset: RawDataset, *, processes: int, on_error: Literal["stop", "exclude"], folder: Path
) -> RawDataset:
    """Reads every case, prints all findings as one table, and stops or leaves out the cases that have errors.

    Writes ``findings.csv`` into the folder, and beside it what it has read: a file that has not changed since
    (path, size and time) is not read again.

    Args:
        dataset: what a layout has found.
        processes: number of processes that read; each needs some 200 MB, however large the images.
        on_error: ``stop``, or ``exclude`` to leave the cases with errors out and to record them in
            ``excluded_cases.json``.
        folder: nnU-Net's preprocessed folder of the dataset.

    Returns:
        The dataset of all cases that can be used; nothing in it is incomplete.

    Raises:
        DatasetError: if there are errors and they are to stop, or if no case would be left, or if an error
            concerns the dataset as a whole.
    """
    report = inspect_dataset(dataset, processes=processes, records=folder / RECORDS)
    file = publish(report, dataset, folder / FINDINGS)
    kept = tuple(case for case in dataset.cases if case.identifier not in report.bad_cases)
    if report.errors and (on_error == "stop" or report.whole_dataset or not kept):
        raise DatasetError(error_line(report, file))
    write_exclusion(folder, report.cases, report.errors)
    if report.errors:
        print(f"{len(kept)} of {plural(report.cases, 'case')} are used, {len(report.bad_cases)} left out.")
    return replace(dataset, cases=kept, incomplete=())


def inspect_dataset(dataset: RawDataset, *, processes: int, records: Path) -> Report:
    """Reads every case of a dataset and says all that is wrong with it.

    Args:
        dataset: what a layout has found.
        processes: number of processes that read.
        records: JSON file of what is known of files that were read before.

    Raises:
        DatasetError: if a process was killed.
    """
    facts = _scan_files(dataset, processes, Records(records))
    findings = [*dataset.incomplete, *extra_files(dataset), *compare_cases(dataset, facts)]
    findings += [finding for case in dataset.cases for finding in check_case(dataset, case, facts)]
    bad = {finding.case for finding in findings if finding.severity == "error"}
    findings += absent_classes(dataset, facts, bad)
    cases = len(
        {case.identifier for case in dataset.cases} | {finding.case for finding in dataset.incomplete}
    )
    return Report(cases, tuple(sort_findings(findings)))


def publish(report: Report, dataset: RawDataset, file: Path) -> Path:
    """Prints the findings as a table and writes them as CSV; returns the file."""
    name = (
        f"{dataset.edition}, {plural(report.cases, 'case')}"
        if dataset.edition
        else plural(report.cases, "case")
    )
    print(to_text(report.findings, title=name, width=shutil.get_terminal_size((100, 24)).columns))
    return write_text(file, to_csv(report.findings))


def error_line(report: Report, file: Path) -> str:
    """One line: how many errors there are, where they are listed, and what to do."""
    remedy = "mend them"
    if 0 < len(report.bad_cases) < report.cases and not report.whole_dataset:
        remedy += ", or leave these cases out with dataset.on_error=exclude"
    checked = f"{plural(report.cases, 'case')} checked: {summary(report.errors)}"
    return f"{checked}; all findings are in {file}: {remedy}"


def _scan_files(dataset: RawDataset, processes: int, records: Records) -> dict[Path, FileFacts]:
    is_label = {file: file == case.label for case in dataset.cases for file in (*case.images, case.label)}
    stamps = {file: stamp_of(file, is_label=is_label[file]) for file in is_label}
    facts = {file: known for file, stamp in stamps.items() if (known := records.get(file, stamp))}
    pending = {file: is_label[file] for file in is_label if file not in facts}
    try:
        for file, found in tqdm(
            _scan(pending, processes),
            desc="Checking files",
            unit="file",
            total=len(pending),
            disable=not pending,
        ):
            facts[file] = found
            records.put(file, stamps[file], found)
    finally:
        if pending:
            records.save()
    return facts


def _scan(files: dict[Path, bool], processes: int) -> Iterator[tuple[Path, FileFacts]]:
    size = sum(file.stat().st_size for file in files if file.is_file())
    workers = min(processes, len(files), size // _BYTES_PER_PROCESS)
    if workers <= 1:
        for file, is_label in files.items():
            yield file, scan_file(file, is_label=is_label)
        return
    # Forked children may inherit a locked thread pool of ITK or PyTorch: start them afresh.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(scan_file, file, is_label=label): file for file, label in files.items()}
        try:
            for done in as_completed(running):
                yield running[done], done.result()
        except BrokenProcessPool as error:
            raise DatasetError(
                "a process that reads images was killed, by the system for want of memory? set processes=1"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)
