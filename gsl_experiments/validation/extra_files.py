"""Images that lie beside the files of a case and belong to none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gsl_experiments.datasets.finding import Finding
from gsl_experiments.datasets.nifti import nifti_stem
from gsl_experiments.datasets.raw import RawDataset
from gsl_experiments.validation.kinds import make_finding


def extra_files(dataset: RawDataset) -> Iterator[Finding]:
    """NIfTI files in a case's own folder, or whose name is that of a case or file with something after it."""
    known = {file for case in dataset.cases for file in (*case.images, case.label)}
    known |= {finding.file for finding in dataset.incomplete}
    owners: dict[Path, dict[str, str]] = {}
    for case in dataset.cases:
        for file in (*case.images, case.label):
            stems = owners.setdefault(file.parent, {})
            stems[nifti_stem(file) or file.name] = stems[case.identifier] = case.identifier
    for folder, stems in owners.items():
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():
            stem = nifti_stem(file)
            if stem is None or file in known:
                continue
            beginning = max(
                (s for s in stems if folder.name == stems[s] or _continues(stem, s)), key=len, default=""
            )
            if beginning:
                problem = "belongs to no modality of this case"
                yield make_finding("extra file", stems[beginning], file, problem)


def _continues(stem: str, beginning: str) -> bool:
    """Whether a name is another one with something after it: ``volume-1_old``, but not ``volume-10``."""
    return stem.startswith(beginning) and not stem.removeprefix(beginning)[:1].isalnum()
