"""The prediction stage: new images in, label images in their original geometry and labels out."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from omegaconf import DictConfig, OmegaConf

from gsl_experiments.atomic import write_json
from gsl_experiments.config import (
    EXPERIMENT_KEY,
    NUM_FOLDS,
    available_cores,
    folds,
    in_checkout,
    model_folder,
    resolve_gpus,
)
from gsl_experiments.datasets import restore_labels
from gsl_experiments.datasets.description import original_labels
from gsl_experiments.errors import UserError
from gsl_experiments.provenance import collect
from gsl_experiments.training.precision import mixed_precision

CASES_AT_ONCE = 20


def predict(cfg: DictConfig) -> None:
    """Predict the images of a folder with the configured run, its folds averaged; existing predictions are kept.

    Raises:
        UserError: input, output or the trained folds are missing, or a case lacks a channel.
    """
    model = in_checkout(cfg.predict.model) if cfg.predict.model else model_folder(cfg)
    checkpoints = _trained_folds(cfg, model)
    dataset_json = json.loads((model / "dataset.json").read_text())
    for option in ("input", "output"):
        if cfg.predict[option] is None:
            raise UserError(f"predict.{option} is not set: call with {option.upper()}=folder")
    source, output = in_checkout(cfg.predict.input), in_checkout(cfg.predict.output)
    cases = _cases(source, dataset_json)
    ending = dataset_json["file_ending"]
    output.mkdir(parents=True, exist_ok=True)
    missing = {case: files for case, files in cases.items() if not (output / f"{case}{ending}").exists()}
    print(f"Predicting {len(missing)} of {len(cases)} cases with {model.name}, folds {checkpoints}")
    if not missing:
        return

    write_json(output / "provenance.json", collect(OmegaConf.to_container(cfg, resolve=True)))
    predictor = _predictor(cfg, model)
    predictor.initialize_from_trained_model_folder(str(model), checkpoints, "checkpoint_final.pth")
    processes = max(1, min(3, available_cores() // 2))
    remaining = list(missing)
    while remaining:  # finished cases are put in their place every few cases
        chunk, remaining = remaining[:CASES_AT_ONCE], remaining[CASES_AT_ONCE:]
        with (
            tempfile.TemporaryDirectory(dir=output, prefix=".partial_") as scratch,
            mixed_precision(predictor.device),
        ):
            predictor.predict_from_files(
                [[str(file) for file in missing[case]] for case in chunk],
                [str(Path(scratch) / case) for case in chunk],
                num_processes_preprocessing=processes,
                num_processes_segmentation_export=processes,
            )
            for case in chunk:
                predicted = Path(scratch) / f"{case}{ending}"
                restore_labels(predicted, output / predicted.name, original_labels(dataset_json))


def _trained_folds(cfg: DictConfig, model: Path) -> list[int]:
    trained = [f for f in range(NUM_FOLDS) if (model / f"fold_{f}" / "checkpoint_final.pth").exists()]
    if not trained:
        raise UserError(f"{model} holds no trained fold: train it first, or name another with MODEL=folder")
    if cfg.fold == "all":
        return trained
    untrained = [f for f in folds(cfg) if f not in trained]
    if untrained:
        raise UserError(f"fold={cfg.fold}: {model} holds only the trained folds {trained}")
    return folds(cfg)


def _cases(source: Path, dataset_json: dict[str, object]) -> dict[str, list[Path]]:
    """Return case identifier -> its files, a file a channel, named as nnU-Net wants them: ``CASE_0000.nii.gz``."""
    ending, channels = str(dataset_json["file_ending"]), dataset_json["channel_names"]
    assert isinstance(channels, dict)
    first = sorted(source.glob(f"*_0000{ending}")) if source.is_dir() else []
    if not first:
        raise UserError(f"predict.input={source}: no files named CASE_0000{ending} there")
    cases = {}
    for file in first:
        case = file.name.removesuffix(f"_0000{ending}")
        cases[case] = [source / f"{case}_{channel:04d}{ending}" for channel in range(len(channels))]
        for channel, image in enumerate(cases[case]):
            if not image.exists():
                name = channels[str(channel)]
                raise UserError(f"{image} is missing: channel {channel} ({name}) of case {case}")
    return cases


def _predictor(cfg: DictConfig, model: Path) -> nnUNetPredictor:
    gpus = resolve_gpus(cfg, torch.cuda.device_count())
    torch.set_num_threads(1 if gpus else available_cores())
    experiment = json.loads((model / "plans.json").read_text()).get(EXPERIMENT_KEY, {})
    settings = experiment.get("inference", cfg.inference)
    return nnUNetPredictor(
        tile_step_size=settings["tile_step_size"],
        use_gaussian=settings["gaussian"],
        use_mirroring=settings["mirroring"],
        perform_everything_on_device=True,
        device=torch.device("cuda" if gpus else "cpu"),
        allow_tqdm=True,
    )
