"""What our training is worth beside stock nnU-Net's: same folds, network, patch, optimiser and number of steps.

    make bench-accuracy RAW=/data/Task04_Hippocampus
    .venv-bench/bin/python -m benchmarks.accuracy FOLDER [--folds 0 1] [--workspace FOLDER] [OVERRIDE ...]

Trains the folds of the hippocampus task on the CPU with `nnUNetTrainer` and with ours, both with Dice-CE on the same
preprocessed data, and measures the held-out predictions. Loader, augmentation, loss, step and prediction are each
one's own. What is finished is kept: a call that was interrupted goes on. Writes accuracy.json and README.md to
results/bench/accuracy. A fold takes about a quarter of an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf
from scipy import stats

from benchmarks.run import FOLDER, ROOT
from benchmarks.tables import table
from benchmarks.training_step import OURS_DICE_CE, STOCK
from gsl_experiments.atomic import write_json, write_text
from gsl_experiments.cli import compose
from gsl_experiments.config import configure_nnunet, model_folder, preprocessed_folder
from gsl_experiments.provenance import collect
from gsl_experiments.statistics import compare_paired

# Where the hippocampus configuration's Dice-CE differs from what is fixed in nnU-Net's trainer: its cross entropy is a
# mean over voxels, its plans say over what the Dice is taken, it clips gradients and has initial weights of its own.
DICE_CE_AS_NNUNET = [
    "loss=dice_ce",
    "training.ce_scale=voxel",
    "training.batch_dice=planned",
    "training.gradient_clip=12",
    "training.initialization=nnunet",
]
METRICS = {
    "dice": "Dice",
    "hd95_mm": "HD95, volumetric (mm)",
    "asd_mm": "ASD (mm)",
    "hd95_surface_mm": "HD95, surface (mm)",
}
CONFIDENCE = 0.95


def configuration(raw: Path, workspace: Path, overrides: Sequence[str] = ()) -> DictConfig:
    """Return the configuration that both contestants train with, its folders below `workspace`."""
    paths = [f"paths.{name}={workspace / name}" for name in ("raw", "preprocessed", "results", "tables")]
    data = ["dataset=hippocampus", f"dataset.raw={raw}", "gpus=0"]
    cfg = compose([*data, *paths, *DICE_CE_AS_NNUNET, *overrides])
    configure_nnunet(cfg)
    return cfg


def train_fold(cfg: DictConfig, contestant: str, fold: int) -> Path:
    """Train a fold, unless it is finished, and return the folder of its held-out predictions."""
    from gsl_experiments.training.fold import held_out_cases, is_finished
    from gsl_experiments.training.launch import train

    preprocessed = preprocessed_folder(cfg)
    ending = json.loads((preprocessed / "dataset.json").read_text())["file_ending"]
    if contestant == OURS_DICE_CE:
        train(OmegaConf.merge(cfg, {"fold": fold}))
        return model_folder(cfg) / f"fold_{fold}" / "validation"
    folder = _stock_folder(cfg) / f"fold_{fold}"
    if not is_finished(folder, held_out_cases(preprocessed, fold), ending):
        shutil.rmtree(folder, ignore_errors=True)
        _train_stock(cfg, fold)
    return folder / "validation"


def _stock_folder(cfg: DictConfig) -> Path:
    ours = model_folder(cfg)
    return ours.with_name(ours.name.replace("nnUNetTrainerGSL", "nnUNetTrainer", 1))


def _train_stock(cfg: DictConfig, fold: int) -> None:
    """Train and predict with nnU-Net's own trainer; from the configuration it has plans, optimiser and steps."""
    import torch
    from hydra.utils import instantiate
    from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from gsl_experiments.training.experiment import write_experiment_plans

    torch.manual_seed(fold)
    np.random.seed(fold)  # noqa: NPY002 - nnU-Net's loader draws from it
    os.environ["nnUNet_n_proc_DA"] = "0"  # in the foreground, as ours loads on two cores
    plans = write_experiment_plans(cfg) | {"continue_training": False}
    dataset_json = json.loads((preprocessed_folder(cfg) / "dataset.json").read_text())
    trainer = nnUNetTrainer(plans, cfg.configuration, fold, dataset_json, torch.device("cpu"))
    assert cfg.training.lr_schedule == "constant"

    def configure_optimizers() -> tuple[torch.optim.Optimizer, PolyLRScheduler]:
        optimizer = instantiate(cfg.training.optimizer)(trainer.network.parameters())
        return optimizer, PolyLRScheduler(
            optimizer, optimizer.defaults["lr"], trainer.num_epochs, exponent=0.0
        )

    trainer.configure_optimizers = configure_optimizers
    trainer.enable_deep_supervision = cfg.training.deep_supervision
    trainer.num_epochs = cfg.training.epochs
    trainer.num_iterations_per_epoch = cfg.training.iterations_per_epoch
    trainer.num_val_iterations_per_epoch = cfg.training.val_iterations_per_epoch
    trainer.run_training()
    trainer.perform_actual_validation()


def measure(cfg: DictConfig, fold: int) -> pd.DataFrame:
    """Train a fold with both and return a row a held-out case, region and contestant."""
    from gsl_experiments.datasets.description import evaluation_regions
    from gsl_experiments.evaluation.cases import evaluate_folder

    preprocessed = preprocessed_folder(cfg)
    regions = evaluation_regions(json.loads((preprocessed / "dataset.json").read_text()))
    return pd.concat(
        evaluate_folder(
            train_fold(cfg, contestant, fold),
            preprocessed / "gt_segmentations",
            regions,
            allow_missing_predictions=True,
        ).assign(contestant=contestant, fold=fold)
        for contestant in (STOCK, OURS_DICE_CE)
    )


def compare(cases: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a row a region and metric: both means, and how they differ over cases and over folds.

    The interval over cases says how much the choice of cases matters. That over folds (Student's t of the folds' mean
    differences) holds what another training would change, too; it needs two folds.
    """
    rows = []
    for region, of_region in cases.groupby("region", sort=False):
        for metric in METRICS:
            wide = of_region.set_index(["fold", "case", "contestant"])[metric].unstack().dropna()  # noqa: PD010
            ours, stock = wide[OURS_DICE_CE], wide[STOCK]
            paired = compare_paired(ours, stock, higher_is_better=metric == "dice")
            by_fold = (ours - stock).groupby("fold").mean()
            rows.append(
                {
                    "region": region,
                    "metric": metric,
                    "cases": paired.n,
                    "ours": ours.mean(),
                    "stock": stock.mean(),
                    "difference": paired.mean_difference,
                    "over_cases": [paired.low, paired.high],
                    "over_folds": _interval(by_fold),
                    "folds": {int(fold): value for fold, value in by_fold.items()},
                }
            )
    return rows


def _interval(values: pd.Series) -> list[float] | None:
    if len(values) < 2:
        return None
    return list(stats.t.interval(CONFIDENCE, len(values) - 1, loc=values.mean(), scale=stats.sem(values)))


HEAD = """# Accuracy beside stock nnU-Net

Written by `make bench-accuracy RAW=/data/Task04_Hippocampus` from the JSON file beside it. A training step of ours on a
CPU takes about half the time of stock `nnUNetTrainer`'s ([page](../README.md)). Is what it trains as good?

Task04_Hippocampus, folds {folds}: {cases} held-out cases, {steps} steps of {batch} patches each. The two share
preprocessed data, folds, network, patch, optimiser and number of steps, and train with Dice-CE. All else is each
one's own: loader and augmentation, random numbers, loss (nnU-Net's Dice leaves the background out and does not square
its denominator), precision (nnU-Net float32; ours bfloat16 where the processor has it), prediction.

Differences are ours minus nnU-Net's. The first interval (95 %) is over cases, by bootstrap; the second over folds, by
Student's t: it also holds what another training would change."""


def render(result: dict[str, Any]) -> str:
    """Return the page."""
    rows, training, packages = result["rows"], result["config"]["training"], result["packages"]
    head = HEAD.format(
        folds=", ".join(map(str, rows[0]["folds"])),
        cases=rows[0]["cases"],
        steps=training["epochs"] * training["iterations_per_epoch"],
        batch=result["config"]["planning"]["batch_size"],
    )
    header = ["region", "metric", "nnU-Net", "ours", "difference", "over cases", "over folds"]
    lines = [
        [
            row["region"],
            METRICS[row["metric"]],
            f"{row['stock']:.4f}",
            f"{row['ours']:.4f}",
            f"{row['difference']:+.4f}",
            _spell(row["over_cases"]),
            _spell(row["over_folds"]),
        ]
        for row in rows
    ]
    folds = list(rows[0]["folds"])
    by_fold = [
        [row["region"], METRICS[row["metric"]], *(f"{row['folds'][fold]:+.4f}" for fold in folds)]
        for row in rows
    ]
    parts = [
        head,
        table([header, *lines]),
        "Differences of the folds' means:",
        table([["region", "metric", *(f"fold {fold}" for fold in folds)], *by_fold]),
        f"{result['machine']['processor']}, "
        + ", ".join(f"{name} {packages[name]}" for name in ("nnunetv2", "torch"))
        + ".",
    ]
    return "\n\n".join(parts) + "\n"


def _spell(interval: Sequence[float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:+.4f} to {interval[1]:+.4f}"


def main() -> None:
    """Train what is not trained yet, and write the page after every fold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("raw", type=Path, metavar="FOLDER", help="Task04_Hippocampus")
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="of the configuration")
    parser.add_argument("--folds", nargs="+", type=int, default=range(5), help="0 to 4; all by default")
    parser.add_argument("--workspace", type=Path, default=ROOT / "data" / "bench_accuracy")
    parser.add_argument(
        "--output", type=Path, default=FOLDER / "accuracy", help="folder of the page (%(default)s)"
    )
    chosen = parser.parse_args()
    cfg = configuration(chosen.raw.absolute(), chosen.workspace.absolute(), chosen.overrides)
    from gsl_experiments.preprocessing.stage import preprocess

    preprocess(cfg)
    measured: list[pd.DataFrame] = []
    for fold in chosen.folds:
        measured.append(measure(cfg, fold))
        result = collect(OmegaConf.to_container(cfg, resolve=True)) | {"rows": compare(pd.concat(measured))}
        write_json(chosen.output / "accuracy.json", result)
        print(f"fold {fold}: {write_text(chosen.output / 'README.md', render(result))}", flush=True)


if __name__ == "__main__":
    main()
