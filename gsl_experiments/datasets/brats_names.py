"""The names of BraTS files: which case, contrast and edition a file belongs to."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gsl_experiments.datasets.nifti import nifti_stem

_UNDERSCORED = {"t1": "T1", "t1ce": "T1ce", "t2": "T2", "flair": "FLAIR", "seg": "seg"}
_HYPHENATED = {"t1n": "T1", "t1c": "T1ce", "t2w": "T2", "t2f": "FLAIR", "seg": "seg"}
_FILE = re.compile(
    rf"(?P<case>.+)(?:_(?P<underscored>{'|'.join(_UNDERSCORED)})|-(?P<hyphenated>{'|'.join(_HYPHENATED)}))",
    re.IGNORECASE,
)
_YEAR = re.compile(r"brats(?P<year>17|18|19|2021|20)_", re.IGNORECASE)
_SERIES = re.compile(r"brats-(?P<series>[a-z]+)-\d+-(?P<time_point>\d+)", re.IGNORECASE)
OTHER_NAMES = ("files named as in BraTS 2017 to 2021", "files named as in BraTS 2023 or later")
# The one file of the 2020 release that is named otherwise.
_SEG_OF_355 = ("BraTS20_Training_355", "W39_1998.09.19_Segm")


@dataclass(frozen=True)
class CaseFiles:
    """The files of one case.

    Args:
        name: the part of the file names that they share, which is also nnU-Net's case identifier.
        folder: where its first file lies.
        is_hyphenated: named as in 2023 and later, ``CASE-t1n``, and not ``CASE_t1``.
        files: files of each role, ``T1``, ``T1ce``, ``T2``, ``FLAIR`` or ``seg``; more than one if the case
            occurs twice.
    """

    name: str
    folder: Path
    is_hyphenated: bool
    files: dict[str, list[Path]]

    @property
    def series(self) -> str | None:
        """``GLI`` for ``BraTS-GLI-00000-000``; None for a name of another form."""
        match = _SERIES.fullmatch(self.name)
        return match["series"].upper() if match else None

    @property
    def is_post_treatment(self) -> bool:
        """Whether it is a post-treatment glioma of 2024 and later: these have time points from 100."""
        match = _SERIES.fullmatch(self.name)
        return match is not None and self.series == "GLI" and int(match["time_point"]) >= 100

    @property
    def enhancing_label(self) -> int:
        """The raw label of the enhancing tumour: 3 from 2023 on. The case's name counts before its files'."""
        by_files = self.is_hyphenated and _YEAR.match(self.name) is None
        return 3 if self.series is not None or by_files else 4

    def file_stem(self, role: str) -> str:
        """What the file of this role should be called, without its ending."""
        endings, separator = (_HYPHENATED, "-") if self.is_hyphenated else (_UNDERSCORED, "_")
        ending = next(ending for ending, of in endings.items() if of == role)
        return f"{self.name}{separator}{ending}"


def edition_of(case: CaseFiles) -> str:
    """The edition that a case's name tells, or one of `OTHER_NAMES`."""
    if case.series is not None:
        return f"BraTS 2023 or later, {case.series}"
    match = _YEAR.match(case.name)
    if match is not None:
        return f"BraTS 20{match['year'][-2:]}"
    return OTHER_NAMES[case.is_hyphenated]


def find_cases(files: Iterable[Path]) -> list[CaseFiles]:
    """Groups files by their case, in the order of the names; files of other names are left out.

    A copy that an unpacker has put into a folder of its own name, ``CASE_flair.nii/anything.nii`` as at Kaggle,
    counts as that file.
    """
    files = list(files)
    in_folder = Counter(file.parent for file in files)
    cases: dict[str, CaseFiles] = {}
    for file in files:
        wrapped = _parse(file.parent) if in_folder[file.parent] == 1 else None
        parsed = wrapped or _parse(file)
        if parsed is None:
            continue
        name, role, is_hyphenated = parsed
        folder = file.parent.parent if wrapped else file.parent
        case = cases.setdefault(name, CaseFiles(name, folder, is_hyphenated, {}))
        case.files.setdefault(role, []).append(file)
    return [cases[name] for name in sorted(cases)]


def _parse(path: Path) -> tuple[str, str, bool] | None:
    """Case, role and style of a file, or of a folder named like one."""
    stem = nifti_stem(path) or path.name
    if (path.parent.name, stem) == _SEG_OF_355:
        return path.parent.name, "seg", False
    match = _FILE.fullmatch(stem)
    if match is None:
        return None
    if match["hyphenated"]:
        return match["case"], _HYPHENATED[match["hyphenated"].lower()], True
    return match["case"], _UNDERSCORED[match["underscored"].lower()], False
