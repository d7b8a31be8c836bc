"""BraTS: four co-registered MR contrasts of a skull-stripped brain, three nested tumour regions."""

import re
from collections.abc import Iterable
from pathlib import Path

from gsl_experiments.datasets.brats_names import OTHER_NAMES, CaseFiles, edition_of, find_cases
from gsl_experiments.datasets.finding import Finding
from gsl_experiments.datasets.msd import Task, find_task, read_task
from gsl_experiments.datasets.raw import DatasetError, RawCase, RawDataset
from gsl_experiments.datasets.tree import nifti_files

CHANNELS = ("T1", "T1ce", "T2", "FLAIR")
_LABELS = {"background": 0, "necrotic_core": 1, "edema": 2, "enhancing_tumor": 3}
_CAVITY = "resection_cavity"
_REGIONS = {"Whole Tumor": (1, 2, 3), "Tumor Core": (1, 3), "Enhancing Tumor": (3,)}
_EXPECTED = (
    "CASE/CASE_{t1,t1ce,t2,flair,seg}.nii[.gz], CASE/CASE-{t1n,t1c,t2w,t2f,seg}.nii[.gz] or the Decathlon's "
    "Task01_BrainTumour"
)
_UNLABELLED_SET = re.compile(r"Valid|Test|(?<![A-Za-z])(valid|test)")
# Labels of other series, such as the paediatric BraTS-PED, have other meanings.
_SERIES = ("GLI", "SSA", "MEN", "MET")
_DECATHLON_LABELS = {
    "edema": "edema",
    "non-enhancing tumor": "necrotic_core",
    "enhancing tumor": "enhancing_tumor",
}
_DECATHLON_CHANNELS = {"t1w": "T1", "t1gd": "T1ce", "t2w": "T2", "flair": "FLAIR"}


def read_brats(raw: Path) -> RawDataset:
    """Finds the BraTS training cases of one edition below a folder, and says which edition it is.

    Editions are told apart by the names of the cases: 2017 to 2021 (enhancing tumour stored as 4), 2023 and
    later (as 3), and the Decathlon's Task01_BrainTumour (1 is the oedema, 2 the core, all contrasts in one 4D
    file). Channels and nnU-Net labels are the same for all. Cases without label below a folder named after
    validation or test are passed over.

    Training uses the labels as they are (softmax); the overlapping regions serve evaluation only. Tumor Core
    is core and enhancing tumour: section 2.3 of the paper says raw 2 and 4, a core with oedema and without
    necrosis.

    Args:
        raw: folder that holds the case folders, at any depth (``HGG`` and ``LGG``, Kaggle's nesting).

    Returns:
        Channels T1, T1ce, T2, FLAIR; labels 1 necrotic and non-enhancing core, 2 oedema, 3 enhancing tumour,
        and 4 resection cavity in the post-treatment cases of 2024.

    Raises:
        DatasetError: if the folder is missing, holds no labelled case or several editions, or no case is
            complete.
    """
    if not raw.is_dir():
        raise DatasetError(f"{raw}: no such folder; point it at the folder that holds the BraTS case folders")
    found = find_cases(nifti_files(raw))
    training = [case for case in found if not _is_unlabelled(case, raw)]
    task = find_task(raw)
    if task is not None and not training:
        return _read_decathlon(read_task(task))
    if not training:
        labelled = f"labelled ones among {len(found)} cases" if found else "BraTS case"
        raise DatasetError(f"{raw}: no {labelled} found; expected {_EXPECTED} in this folder or below")
    example = _one_edition(raw, training, task)
    edition = edition_of(example)
    cases, incomplete = [], []
    for case in training:
        problems = list(_problems(case, edition))
        incomplete += problems
        if not problems:
            cases.append(_raw_case(case))
    labels, label_map = dict(_LABELS), {0: 0, 1: 1, 2: 2, example.enhancing_label: 3}
    if any(case.is_post_treatment for case in training):
        labels[_CAVITY] = label_map[4] = 4
    return RawDataset(
        cases=tuple(cases),
        channel_names=CHANNELS,
        labels=labels,
        label_map=label_map,
        regions=_REGIONS,
        incomplete=tuple(incomplete),
        edition=edition,
        unlabelled=len(found) - len(training),
    )


def _is_unlabelled(case: CaseFiles, raw: Path) -> bool:
    place = str(case.folder.relative_to(raw)) + case.name
    return "seg" not in case.files and _UNLABELLED_SET.search(place) is not None


def _one_edition(raw: Path, cases: list[CaseFiles], task: Path | None) -> CaseFiles:
    """A case of the one edition there is; cases of no known edition count only if there is no known one."""
    examples = {edition_of(case): case for case in reversed(cases)}
    known = {edition: case for edition, case in examples.items() if edition not in OTHER_NAMES} or examples
    if len(known) > 1 or task is not None:
        names = [f"{edition} ({case.name})" for edition, case in sorted(known.items())]
        names += [f"Decathlon ({task.name})"] if task is not None else []
        raise DatasetError(f"{raw}: holds several editions, {' and '.join(names)}; point at one of them")
    (case,) = known.values()
    if case.series is not None and case.series not in _SERIES:
        raise DatasetError(
            f"{raw}: BraTS-{case.series} labels other things than {', '.join(list(_LABELS)[1:])}; supported "
            f"are the series {', '.join(_SERIES)}"
        )
    return case


def _problems(case: CaseFiles, edition: str) -> Iterable[Finding]:
    if edition_of(case) != edition:
        problem = f"{case.name} is no case of {edition}"
        yield Finding(
            "error", "foreign case", case.name, case.folder, problem, "move it elsewhere or rename it"
        )
        return
    twice = next((files for files in case.files.values() if len(files) > 1), None)
    if twice:
        problem = f"a second {twice[1].name} of this case beside {twice[0]}"
        yield Finding("error", "duplicate file", case.name, twice[1], problem, "keep one of the two")
    present = ", ".join(sorted(path.name for files in case.files.values() for path in files))
    for role in (*CHANNELS, "seg"):
        if role not in case.files:
            yield Finding(
                "error",
                "missing file",
                case.name,
                case.folder / f"{case.file_stem(role)}.nii.gz",
                f"missing (also as .nii); this case has {present}",
                "add the file or rename the one that it is",
            )


def _raw_case(case: CaseFiles) -> RawCase:
    return RawCase(case.name, tuple(case.files[channel][0] for channel in CHANNELS), case.files["seg"][0])


def _read_decathlon(task: Task) -> RawDataset:
    """Channels and labels by their names in ``dataset.json``, whatever their order."""
    spelt = {name.lower().replace("tumour", "tumor"): value for name, value in task.raw_labels.items()}
    channels = [_DECATHLON_CHANNELS.get(name.lower()) for name in task.channel_names]
    if set(spelt) != {"background", *_DECATHLON_LABELS} or sorted(map(str, channels)) != sorted(CHANNELS):
        raise DatasetError(
            f"{task.file}: channels {', '.join(task.channel_names)} and labels {', '.join(task.raw_labels)}, "
            "which are not those of Task01_BrainTumour; point at that task"
        )
    mapped = {spelt[name]: _LABELS[ours] for name, ours in _DECATHLON_LABELS.items()}
    return RawDataset(
        cases=task.cases,
        channel_names=CHANNELS,
        labels=_LABELS,
        label_map={0: 0, **dict(sorted(mapped.items()))},
        regions=_REGIONS,
        incomplete=task.incomplete,
        edition="Decathlon Task01_BrainTumour",
        channel_order=tuple(channels.index(channel) for channel in CHANNELS),
    )
