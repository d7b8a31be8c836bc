"""The prediction stage: new images in, label images in their original geometry and labels out."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from omegaconf import DictConfig, OmegaConf

from gsl_experiments.atomic import write_json
from gsl_experiments.config import (
    EXPERIMENT_KEY,
    available_cores,
    folds,
    in_checkout,
    model_folder,
    number_of_folds,
    resolve_gpus,
)
from gsl_experiments.datasets import restore_labels
from gsl_experiments.datasets.description import original_labels
from gsl_experiments.errors import UserError
from gsl_experiments.provenance import collect
from gsl_experiments.training.model_files import read_checkpoint, read_dataset_json, read_plans

CASES_AT_ONCE = 20
CHECKPOINT = "checkpoint_final.pth"


def predict(cfg: DictConfig) -> None:
    """Predict the images of a folder with the configured run, its folds averaged; existing predictions are kept.

    The model folder may be a stock nnU-Net one. Its files are read as :mod:`gsl_experiments.training.model_files`
    does; what is predicted is what nnU-Net's own command predicts with the same inference settings.

    Raises:
        UserError: input, output or the trained folds are missing, a case lacks a channel, or a file of the model is
            broken or refused.
    """
    model = in_checkout(cfg.predict.model) if cfg.predict.model else model_folder(cfg)
    checkpoints = trained_folds(cfg, model)
    plans, dataset_json = read_plans(model), read_dataset_json(model)
    for option in ("input", "output"):
        if cfg.predict[option] is None:
            raise UserError(f"predict.{option} is not set: call with {option.upper()}=folder")
    source, output = in_checkout(cfg.predict.input), in_checkout(cfg.predict.output)
    cases = _cases(source, dataset_json)
    ending = dataset_json["file_ending"]
    missing = {case: files for case, files in cases.items() if not (output / f"{case}{ending}").exists()}
    print(f"Predicting {len(missing)} of {len(cases)} cases with {model.name}, folds {checkpoints}")
    if not missing:
        return

    predictor = make_predictor(cfg, plans)
    load_model(predictor, [model / f"fold_{fold}" / CHECKPOINT for fold in checkpoints], plans, dataset_json)
    write_json(output / "provenance.json", collect(OmegaConf.to_container(cfg, resolve=True)))
    processes = max(1, min(3, available_cores() // 2))
    remaining = list(missing)
    while remaining:  # finished cases are put in their place every few cases
        chunk, remaining = remaining[:CASES_AT_ONCE], remaining[CASES_AT_ONCE:]
        with tempfile.TemporaryDirectory(dir=output, prefix=".partial_") as scratch:
            predictor.predict_from_files(
                [[str(file) for file in missing[case]] for case in chunk],
                [str(Path(scratch) / case) for case in chunk],
                num_processes_preprocessing=processes,
                num_processes_segmentation_export=processes,
            )
            for case in chunk:
                predicted = Path(scratch) / f"{case}{ending}"
                restore_labels(predicted, output / predicted.name, original_labels(dataset_json))


def load_model(
    predictor: nnUNetPredictor,
    checkpoints: Sequence[Path],
    plans: dict[str, Any],
    dataset_json: dict[str, Any],
) -> None:
    """Give a predictor the network of the plans and the weights of one or more folds, whose outputs it averages.

    Raises:
        UserError: a checkpoint cannot be read, or does not belong to the plans.
    """
    read = [read_checkpoint(file) for file in checkpoints]
    first = read[0]  # as in nnU-Net, it speaks for all
    plans_manager = PlansManager(plans)
    labels = plans_manager.get_label_manager(dataset_json)
    try:
        configuration = plans_manager.get_configuration(first["init_args"]["configuration"])
        trainer = recursive_find_trainer_class_by_name(first["trainer_name"])
        network = trainer.build_network_architecture(
            plans_manager,
            configuration,
            determine_num_input_channels(plans_manager, configuration, dataset_json),
            labels.num_segmentation_heads,
            enable_deep_supervision=False,
        )
        weights = [checkpoint["network_weights"] for checkpoint in read]
        for of_a_fold in reversed(weights):
            network.load_state_dict(of_a_fold)
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{checkpoints[0].parents[1]}: its checkpoints do not fit its plans.json ({_first_line(error)}): "
            "take both from the same training"
        ) from error
    predictor.manual_initialization(
        network,
        plans_manager,
        configuration,
        weights,
        dataset_json,
        first["trainer_name"],
        first.get("inference_allowed_mirroring_axes"),
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) or type(error).__name__


def make_predictor(cfg: DictConfig, plans: dict[str, Any]) -> nnUNetPredictor:
    """Return nnU-Net's predictor with the inference settings of the run, or of the configuration for a stock model."""
    gpus = resolve_gpus(cfg, torch.cuda.device_count())
    torch.set_num_threads(1 if gpus else available_cores())
    settings = plans.get(EXPERIMENT_KEY, {}).get("inference", cfg.inference)
    return nnUNetPredictor(
        tile_step_size=settings["tile_step_size"],
        use_gaussian=settings["gaussian"],
        use_mirroring=settings["mirroring"],
        perform_everything_on_device=bool(gpus),
        device=torch.device("cuda" if gpus else "cpu"),
        allow_tqdm=True,
    )


def trained_folds(cfg: DictConfig, model: Path) -> list[int] | list[str]:
    """Return the folds to average; a model that nnU-Net trained on all cases alone has the fold ``all``."""
    trained = [f for f in range(number_of_folds(cfg)) if (model / f"fold_{f}" / CHECKPOINT).exists()]
    if not trained and cfg.fold == "all" and (model / "fold_all" / CHECKPOINT).exists():
        return ["all"]
    if not trained:
        raise UserError(f"{model} holds no trained fold: train it first, or name another with MODEL=folder")
    if cfg.fold == "all":
        return trained
    untrained = [f for f in folds(cfg) if f not in trained]
    if untrained:
        raise UserError(f"fold={cfg.fold}: {model} holds only the trained folds {trained}")
    return folds(cfg)


def _cases(source: Path, dataset_json: dict[str, Any]) -> dict[str, list[Path]]:
    """Return case identifier -> its files, a file a channel, named as nnU-Net wants them: ``CASE_0000.nii.gz``."""
    ending, channels = str(dataset_json["file_ending"]), dataset_json["channel_names"]
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
