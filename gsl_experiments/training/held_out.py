"""Predictions of a fold's held-out cases."""

from __future__ import annotations

import shutil
import warnings
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from nnunetv2.configuration import default_num_processes
from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder
from nnunetv2.inference.export_prediction import export_prediction_from_logits
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import compute_gaussian
from torch import distributed as dist
from tqdm import tqdm

from gsl_experiments.training.dataloading import MapDataset
from gsl_experiments.training.precision import mixed_precision

if TYPE_CHECKING:
    from gsl_experiments.training.trainer import nnUNetTrainerGSL

MAX_EXPORTS_AT_ONCE = 2  # a prediction waiting for its export holds a whole volume of every class in memory


def predict_held_out(
    trainer: nnUNetTrainerGSL, save_probabilities: bool = False, *, keep: bool = False
) -> None:
    """Predict the held-out cases, those alone that have no prediction yet with ``keep``; write nnU-Net's summary.

    The predictions lie in ``fold_k/validation``, one label image a case, in the case's original geometry and nnU-Net's
    labels. Processes share the cases. While one case is predicted the one before is resampled and written.
    """
    folder = Path(trainer.output_folder) / "validation"
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f".partial_{trainer.local_rank}"
    shutil.rmtree(scratch, ignore_errors=True)  # of a call that was killed
    scratch.mkdir()
    ending = trainer.dataset_json["file_ending"]

    trainer.set_deep_supervision_enabled(False)
    trainer.network.eval()
    predictor = _predictor(trainer)
    _, held_out = trainer.do_split()
    if trainer.is_ddp:
        held_out = share_of(held_out, dist.get_rank(), dist.get_world_size())
    missing = [case for case in held_out if not (keep and (folder / f"{case}{ending}").exists())]
    dataset = MapDataset(trainer.preprocessed_dataset_folder, list(missing), with_maps=False)

    def export(case: str, logits: torch.Tensor, properties: dict[str, object]) -> None:
        export_prediction_from_logits(
            logits,
            properties,
            trainer.configuration_manager,
            trainer.plans_manager,
            trainer.dataset_json,
            str(scratch / case),
            save_probabilities,
        )
        for written in (".npz", ".pkl", ending):  # the label image comes last and marks the case as done
            if (scratch / f"{case}{written}").exists():
                (scratch / f"{case}{written}").replace(folder / f"{case}{written}")

    pending: deque[Future[None]] = deque()
    with ThreadPoolExecutor(MAX_EXPORTS_AT_ONCE) as exporter:
        for case in tqdm(
            missing, desc="Predicting held-out cases", unit="case", disable=trainer.local_rank != 0
        ):
            image, _, _, properties = dataset.load_case(case)
            with mixed_precision(trainer.device, enabled=trainer.experiment["training"]["mixed_precision"]):
                logits = predictor.predict_sliding_window_return_logits(torch.from_numpy(image[:])).cpu()
            while len(pending) >= MAX_EXPORTS_AT_ONCE:
                pending.popleft().result()
            pending.append(exporter.submit(export, case, logits, properties))
        for export_done in pending:
            export_done.result()
    shutil.rmtree(scratch)

    if trainer.is_ddp:
        dist.barrier()
    if trainer.local_rank == 0:
        for left in folder.glob(".partial_*"):  # of a call with more processes
            shutil.rmtree(left)
        _write_summary(trainer, folder)
    trainer.set_deep_supervision_enabled(trainer.enable_deep_supervision)
    compute_gaussian.cache_clear()


def share_of(cases: Sequence[str], rank: int, processes: int) -> list[str]:
    """Return the cases that one of several processes predicts: each case is in exactly one process's share."""
    return list(cases[rank::processes])


def _predictor(trainer: nnUNetTrainerGSL) -> nnUNetPredictor:
    settings = trainer.experiment["inference"]
    predictor = nnUNetPredictor(
        tile_step_size=settings["tile_step_size"],
        use_gaussian=settings["gaussian"],
        use_mirroring=settings["mirroring"],
        perform_everything_on_device=True,
        device=trainer.device,
        allow_tqdm=False,
    )
    predictor.manual_initialization(
        trainer.bare_network(),  # compiled for training, it may still answer with a list of scales
        trainer.plans_manager,
        trainer.configuration_manager,
        None,
        trainer.dataset_json,
        type(trainer).__name__,
        trainer.inference_allowed_mirroring_axes,
    )
    return predictor


def _write_summary(trainer: nnUNetTrainerGSL, folder: Path) -> None:
    """Write nnU-Net's ``summary.json``, which its tools for choosing and ensembling models read."""
    with warnings.catch_warnings():  # a class that no case holds and none predicts has no mean
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        metrics = compute_metrics_on_folder(
            str(Path(trainer.preprocessed_dataset_folder_base) / "gt_segmentations"),
            str(folder),
            str(folder / "summary.json"),
            trainer.plans_manager.image_reader_writer_class(),
            trainer.dataset_json["file_ending"],
            trainer.label_manager.foreground_labels,
            trainer.label_manager.ignore_label,
            num_processes=default_num_processes,
            chill=True,
        )
    dice = metrics["foreground_mean"]["Dice"]
    trainer.print_to_log_file(f"Mean Dice of the held-out cases: {dice:.4f}", also_print_to_console=True)
