"""A small dataset of ellipsoids with the results of four runs, written as nnU-Net leaves them."""

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

HOSTILE = "x<img src=q onerror=alert(1)>&'\"y"
CASES = (HOSTILE, *(f"case_{number:02d}" for number in range(13)))
MISSED = "case_03"  # GSL with the linear schedule predicts nothing there
SPLITS = [
    {"train": list(CASES[6:]), "val": list(CASES[:6])},
    {"train": list(CASES[:6]), "val": list(CASES[6:])},
]
SPACING_MM = (1.0, 1.0, 2.0)
DATASET_JSON = {
    "channel_names": {"0": "CT"},
    "labels": {"background": 0, "organ": 1, "lesion": 2},
    "evaluation_regions": {"Organ": [1, 2], "Lesion": [2]},
    "file_ending": ".nii.gz",
}
# plans name, loss, schedule, number of finished folds, growth of the prediction in voxels
RUNS = (
    ("dice_ce", "dice_ce", None, 2, 2),
    ("gsl_linear", "gsl", "linear", 2, 1),
    ("gsl_step5", "gsl", "step5", 2, 0),
    ("hl_linear", "hl", "linear", 1, 3),
)
RECORD = {
    "time": "2024-05-06T07:08:09+00:00",
    "command": "scripts/train.py loss=gsl",
    "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
    "machine": {"system": "Linux", "processor": "a processor", "cores": 2, "gpus": [], "cuda": None},
    "python": "3.11.7",
    "packages": {"numpy": "2.0.0"},
    "config": {"loss": "gsl", "note": "</script><b>"},
    "training_seconds": 90.0,
}


def labels_of(number: int, grown: int) -> np.ndarray:
    """An ellipsoid of label 1 with a ball of label 2 inside it, larger for later cases; axes z, y, x."""
    z, y, x = np.ogrid[:20, :32, :32]
    radius = 5 + number / 3 + grown
    organ = ((z - 10) / 0.6) ** 2 + (y - 15) ** 2 + (x - 17) ** 2 <= radius**2
    lesion = (z - 10) ** 2 + (y - 15) ** 2 + (x - 19) ** 2 <= (2 + grown) ** 2
    return organ.astype(np.uint8) + (organ & lesion)


def write_image(file: Path, array: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING_MM)
    sitk.WriteImage(image, str(file))


def write_json(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def write_results(folder: Path) -> None:
    """Write the folders raw, preprocessed and results."""
    name = "Dataset007_Ellipsoids"
    noise = np.random.default_rng(0)
    write_json(folder / "preprocessed" / name / "splits_final.json", SPLITS)
    for number, case in enumerate(CASES):
        labels = labels_of(number, 0)
        image = (labels * 60 + noise.normal(0, 20, labels.shape)).astype(np.int16)
        write_image(folder / "raw" / name / "imagesTr" / f"{case}_0000.nii.gz", image)
        write_image(folder / "preprocessed" / name / "gt_segmentations" / f"{case}.nii.gz", labels)
    for run in RUNS:
        _write_run(folder / "results" / name, *run)


def _write_run(
    folder: Path, plans_name: str, loss: str, schedule: str | None, folds: int, grown: int
) -> None:
    run = folder / f"nnUNetTrainerGSL__{plans_name}__3d_fullres"
    experiment = {
        "dataset": "ellipsoids", "loss": loss, "schedule": schedule, "region": "dice_ce", "protocol": "paper",
        "epochs": 3, "seed": 42,
    }  # fmt: skip
    write_json(
        run / "plans.json",
        {
            "plans_name": plans_name,
            "gsl_experiment": experiment,
            "configurations": {"3d_fullres": {"data_identifier": "paperPlans_3d_fullres"}},
        },
    )
    write_json(run / "dataset.json", DATASET_JSON)
    for fold in range(folds):
        for case in SPLITS[fold]["val"]:
            labels = labels_of(CASES.index(case), grown)
            if plans_name == "gsl_linear" and case == MISSED:
                labels[:] = 0
            write_image(run / f"fold_{fold}" / "validation" / f"{case}.nii.gz", labels)
        (run / f"fold_{fold}" / "checkpoint_final.pth").touch()
        write_json(run / f"fold_{fold}" / "provenance.json", RECORD)
        lines = ["epoch,train_loss,val_loss,alpha,learning_rate,pseudo_dice_average"]
        lines += [
            f"{epoch},{1 - 0.1 * epoch},{1 - 0.05 * epoch},{1 - epoch / 2},0.001,{0.2 * epoch}"
            for epoch in range(3)
        ]
        (run / f"fold_{fold}" / "epochs.csv").write_text("\n".join(lines) + "\n")
