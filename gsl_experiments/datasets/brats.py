"""BraTS 2020: four co-registered MR contrasts of a skull-stripped brain, three nested tumour regions."""

from pathlib import Path

from gsl_experiments.datasets.nifti import find_nifti, nifti_stem
from gsl_experiments.datasets.raw import DatasetError, RawCase, RawDataset

_CHANNELS = {"t1": "T1", "t1ce": "T1ce", "t2": "T2", "flair": "FLAIR"}


def read_brats(raw: Path) -> RawDataset:
    """Finds the BraTS training cases of one folder.

    Training uses the labels as they are (softmax); the overlapping regions serve evaluation only. Tumor Core
    is raw 1 and 4: section 2.3 of the paper says 2 and 4, a core with oedema and without necrosis.

    Args:
        raw: folder that holds ``CASE/CASE_{t1,t1ce,t2,flair,seg}.nii[.gz]``; folders without NIfTI files are
            skipped.

    Returns:
        Channels T1, T1ce, T2, FLAIR; raw labels 1 (necrotic core), 2 (oedema), 4 (enhancing tumour) become
        1, 2, 3.

    Raises:
        DatasetError: if the folder is missing or holds no case, or a case lacks one of its five files.
    """
    if not raw.is_dir():
        raise DatasetError(f"{raw}: no such folder; point it at the folder that holds the BraTS case folders")
    folders = [path for path in sorted(raw.iterdir()) if path.is_dir() and _holds_nifti(path)]
    if not folders:
        raise DatasetError(
            f"{raw}: no BraTS case found; expected CASE/CASE_{{t1,t1ce,t2,flair,seg}}.nii[.gz] in this folder"
        )
    return RawDataset(
        cases=tuple(_read_case(folder) for folder in folders),
        channel_names=tuple(_CHANNELS.values()),
        labels={"background": 0, "necrotic_core": 1, "edema": 2, "enhancing_tumor": 3},
        label_map={0: 0, 1: 1, 2: 2, 4: 3},
        regions={"Whole Tumor": (1, 2, 3), "Tumor Core": (1, 3), "Enhancing Tumor": (3,)},
    )


def _holds_nifti(folder: Path) -> bool:
    return not folder.name.startswith(".") and any(nifti_stem(path) for path in folder.iterdir())


def _read_case(folder: Path) -> RawCase:
    images = tuple(_expect_file(folder, modality) for modality in _CHANNELS)
    return RawCase(folder.name, images, _expect_file(folder, "seg"))


def _expect_file(folder: Path, suffix: str) -> Path:
    stem = f"{folder.name}_{suffix}"
    path = find_nifti(folder, stem)
    if path is None:
        # The 2020 release itself has a case (355) whose label file bears another name: say what is there.
        present = ", ".join(sorted(path.name for path in folder.iterdir() if nifti_stem(path)))
        raise DatasetError(
            f"{folder / stem}.nii.gz (or .nii) is missing; the folder holds {present}: "
            "add the file or rename the one that it is"
        )
    return path
