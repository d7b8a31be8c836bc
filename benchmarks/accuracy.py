"""What our faster training step is worth: the same training with stock nnU-Net's trainer, and with ours.

    make bench-accuracy RAW=/data/Task04_Hippocampus
    .venv-bench/bin/python -m benchmarks.accuracy FOLDER [--folds 0 1] [--workspace FOLDER] [OVERRIDE ...]

Trains the folds of the hippocampus task on the CPU with `nnUNetTrainer` and with ours, both with Dice-CE, from the same
weights on the same batches, and measures the held-out predictions. What is each one's own is what makes a step of ours
faster: precision, how the loss is computed, and the trainer's step. What is finished is kept: a call that was
interrupted goes on. Writes accuracy.json and README.md to results/bench/accuracy, from all folds that are finished. A
fold takes about a quarter of an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf
from scipy import stats

from benchmarks.run import FOLDER, ROOT
from benchmarks.tables import table
from benchmarks.turns import OURS, STOCK, DisagreementError
from gsl_experiments.atomic import write_json, write_text
from gsl_experiments.cli import compose
from gsl_experiments.config import NUM_FOLDS, configure_nnunet, model_folder, preprocessed_folder
from gsl_experiments.datasets.description import evaluation_regions
from gsl_experiments.errors import UserError
from gsl_experiments.evaluation.cases import evaluate_folder
from gsl_experiments.provenance import collect
from gsl_experiments.statistics import compare_paired
from gsl_experiments.training import fold as fold_on_disk

# nnU-Net's trainer always clips gradients, starts from its own weights and means cross entropy over voxels. The rate
# falls to 0: with a constant one the last steps move the Dice of a fold by 0.02. Batches are the same in each run only
# without the augmentation's choice of an algorithm by the clock. Both load in the foreground, as on two cores.
SETTINGS = [
    "loss=dice_ce",
    "training.ce_scale=voxel",
    "training.gradient_clip=12",
    "training.initialization=nnunet",
    "training.lr_schedule=poly",
    "deterministic=true",
    "loader_processes=0",
]
SETTINGS_FILE = "bench_accuracy.json"  # beside stock's fold: what it was trained with
METRICS = {
    "dice": "Dice",
    "hd95_mm": "HD95, volumetric (mm)",
    "asd_mm": "ASD (mm)",
    "hd95_surface_mm": "HD95, surface (mm)",
}
CONFIDENCE = 0.95
MARGIN = 0.01  # of Dice: what counts as the same accuracy
SAME_LOSS = 0.002  # relative, of the first epoch's: rounding makes 1e-4


def configuration(raw: Path, workspace: Path, overrides: Sequence[str] = ()) -> DictConfig:
    """Return the configuration that both contestants train with, its folders below `workspace`.

    Raises:
        UserError: stock cannot be given the loss.
    """
    paths = [f"paths.{name}={workspace / name}" for name in ("raw", "preprocessed", "results", "tables")]
    data = ["dataset=hippocampus", f"dataset.raw={raw}", "gpus=0"]
    cfg = compose([*data, *paths, *SETTINGS, *overrides])
    if cfg.loss.boundary is not None or cfg.training.deep_supervision:
        raise UserError(
            "the two are compared with a region term at one scale: no boundary term, no deep_supervision"
        )
    configure_nnunet(cfg)
    return cfg


def train_fold(cfg: DictConfig, contestant: str, fold: int) -> Path:
    """Train a fold, unless it is finished, and return its folder, in which `validation` holds the predictions.

    Raises:
        UserError: it was trained with other settings.
    """
    from gsl_experiments.training.launch import train

    folder = fold_folder(cfg, contestant, fold)
    if contestant == OURS:
        train(OmegaConf.merge(cfg, {"fold": fold}))
    elif not is_finished(cfg, contestant, fold):
        shutil.rmtree(folder, ignore_errors=True)
        _train_stock(cfg, fold)
        write_json(folder / SETTINGS_FILE, settings(cfg))
    elif not (folder / SETTINGS_FILE).exists() or json.loads(
        (folder / SETTINGS_FILE).read_text()
    ) != settings(cfg):
        raise UserError(f"{folder}: trained with other settings; delete it, or choose another --workspace")
    return folder


def settings(cfg: DictConfig) -> dict[str, Any]:
    """Return what a training depends on."""
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    return {key: config[key] for key in ("loss", "training", "planning", "inference", "seed")}


def is_finished(cfg: DictConfig, contestant: str, fold: int) -> bool:
    """Return whether a fold is trained and its held-out cases are predicted."""
    preprocessed = preprocessed_folder(cfg)
    ending = json.loads((preprocessed / "dataset.json").read_text())["file_ending"]
    held_out = fold_on_disk.held_out_cases(preprocessed, fold)
    return fold_on_disk.is_finished(fold_folder(cfg, contestant, fold), held_out, ending)


def fold_folder(cfg: DictConfig, contestant: str, fold: int) -> Path:
    """Return the folder where a contestant trains a fold."""
    model = model_folder(cfg)
    if contestant == STOCK:
        model = model.with_name(model.name.replace("nnUNetTrainerGSL", "nnUNetTrainer", 1))
    return model / f"fold_{fold}"


def _train_stock(cfg: DictConfig, fold: int) -> None:
    """Train and predict with nnU-Net's own trainer, from the weights and on the batches that ours has."""
    import torch
    from hydra.utils import instantiate
    from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from gsl_experiments.losses import LossInputs
    from gsl_experiments.training.experiment import write_experiment_plans
    from gsl_experiments.training.trainer import nnUNetTrainerGSL

    plans = write_experiment_plans(cfg) | {"continue_training": False}
    dataset_json = json.loads((preprocessed_folder(cfg) / "dataset.json").read_text())
    twin, trainer = (
        kind(deepcopy(plans), cfg.configuration, fold, dataset_json, torch.device("cpu"))
        for kind in (nnUNetTrainerGSL, nnUNetTrainer)
    )
    os.environ["nnUNet_n_proc_DA"] = "0"  # as cfg.loader_processes; nnU-Net's planning has needed a 1
    twin.initialize()

    def configure_optimizers() -> tuple[torch.optim.Optimizer, PolyLRScheduler]:
        optimizer = instantiate(cfg.training.optimizer)(trainer.network.parameters())
        return optimizer, PolyLRScheduler(optimizer, optimizer.defaults["lr"], trainer.num_epochs)

    trainer.configure_optimizers = configure_optimizers
    trainer.enable_deep_supervision = False
    trainer.num_epochs = cfg.training.epochs
    trainer.num_iterations_per_epoch = cfg.training.iterations_per_epoch
    trainer.num_val_iterations_per_epoch = cfg.training.val_iterations_per_epoch
    trainer.initialize()
    trainer.network.load_state_dict(twin.network.state_dict())
    trainer.loss = lambda logits, target: twin.loss.region(LossInputs.from_logits(logits, target))
    trainer.get_dataloaders = twin.get_dataloaders
    trainer.run_training()
    trainer.perform_actual_validation()


def measure(cfg: DictConfig, fold: int) -> tuple[pd.DataFrame, dict[str, float]]:
    """Train a fold with both, and return a row a held-out case, region and contestant, and each one's seconds.

    Raises:
        DisagreementError: the two have not trained alike.
    """
    folders = {contestant: train_fold(cfg, contestant, fold) for contestant in (STOCK, OURS)}
    logs = {contestant: _log(folder) for contestant, folder in folders.items()}
    check_logs(fold, logs[OURS], logs[STOCK])
    preprocessed = preprocessed_folder(cfg)
    regions = evaluation_regions(json.loads((preprocessed / "dataset.json").read_text()))
    references = preprocessed / "gt_segmentations"
    cases = [
        evaluate_folder(folder / "validation", references, regions, allow_missing_predictions=True).assign(
            contestant=contestant, fold=fold
        )
        for contestant, folder in folders.items()
    ]
    seconds = {
        contestant: sum(log["epoch_end_timestamps"]) - sum(log["epoch_start_timestamps"])
        for contestant, log in logs.items()
    }
    return pd.concat(cases), seconds


def check_logs(fold: int, ours: dict[str, list[float]], stock: dict[str, list[float]]) -> None:
    """Raise an error unless two logs have the same learning rates and, from the same batches, the same first loss.

    Raises:
        DisagreementError: they have not.
    """
    if len(ours["lrs"]) != len(stock["lrs"]) or not np.allclose(ours["lrs"], stock["lrs"], rtol=1e-6):
        raise DisagreementError(f"fold {fold}: the two learning rates differ")
    first, second = ours["train_losses"][0], stock["train_losses"][0]
    if not np.isclose(first, second, rtol=SAME_LOSS):
        raise DisagreementError(
            f"fold {fold}: the losses of the first epoch are {first:.4f} and {second:.4f}"
        )


def _log(folder: Path) -> dict[str, list[float]]:
    """Return what nnU-Net's logger keeps of every epoch."""
    import torch

    log: dict[str, list[float]] = torch.load(
        folder / "checkpoint_final.pth", map_location="cpu", weights_only=False
    )["logging"]
    return log


def compare(cases: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a row a region and metric: both means, and how they differ over cases and over folds.

    The interval over cases is that of these trainings: how much the choice of cases matters. That over folds, Student's
    t of the folds' mean differences, holds what training on other cases would change, too; it needs two folds.

    Raises:
        DisagreementError: a case lacks a finite number of one of the two.
    """
    rows = []
    for region, of_region in cases.groupby("region", sort=False):
        for metric in METRICS:
            wide = of_region.set_index(["fold", "case", "contestant"])[metric].unstack()  # noqa: PD010
            if not np.isfinite(wide.to_numpy()).all():
                raise DisagreementError(f"{region}: a case has no {metric}")
            ours, stock = wide[OURS], wide[STOCK]
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


def verdict(rows: Sequence[dict[str, Any]]) -> str:
    """Return whether our Dice is as good as stock's in every region, to `MARGIN`, by the intervals over folds."""
    intervals = [row["over_folds"] for row in rows if row["metric"] == "dice"]
    if None in intervals:
        return "**not decided**: one fold says nothing about others"
    if all(low > -MARGIN for low, _ in intervals):
        return "**as accurate as stock**"
    if any(high < -MARGIN for _, high in intervals):
        return "**less accurate than stock**"
    return "**not decided**: the interval holds the margin"


HEAD = """# Accuracy beside stock nnU-Net

Written by `make bench-accuracy RAW=/data/Task04_Hippocampus{extra}` from the JSON file beside it. A training step of
ours on a CPU takes less time than stock `nnUNetTrainer`'s ([page](../README.md)). Is what it trains as good?

Task04_Hippocampus, folds {folds}: {cases} held-out cases, {steps} steps of {batch} patches each. The two share
network, initial weights, our loader and its batches, equation of the loss (our Dice-CE), optimiser, learning rate
({lr_schedule}), clipping and number of steps. Each one's own are the trainer's step, how the loss is computed (stock is
given it in plain PyTorch), precision (nnU-Net float32; ours bfloat16 where the processor has it) and the prediction.

As accurate as stock means: in each region the whole interval of the difference in Dice over folds lies above
-{margin}. Found: {verdict}.

Differences are ours minus nnU-Net's. The first interval (95 %) is over cases, by bootstrap, for these trainings. The
second is over folds, by Student's t, and holds what training on other cases would change, too; it is rather too narrow,
because folds share most of their training cases, and all of them the seed of weights and draws. None is corrected for
the number of rows."""


def render(result: dict[str, Any]) -> str:
    """Return the page."""
    rows, training, packages = result["rows"], result["config"]["training"], result["packages"]
    head = HEAD.format(
        folds=", ".join(map(str, rows[0]["folds"])),
        cases=rows[0]["cases"],
        steps=training["epochs"] * training["iterations_per_epoch"],
        batch=result["config"]["planning"]["batch_size"],
        margin=MARGIN,
        extra=f' EXTRA="{" ".join(result["overrides"])}"' if result["overrides"] else "",
        lr_schedule={"poly": "falling to 0"}.get(training["lr_schedule"], training["lr_schedule"]),
        verdict=verdict(rows),
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
    seconds = [
        [
            fold,
            *(f"{of_fold[name] / 60:.1f}" for name in (STOCK, OURS)),
            f"{of_fold[OURS] / of_fold[STOCK]:.2f}",
        ]
        for fold, of_fold in result["seconds"].items()
    ]
    parts = [
        head,
        table([header, *lines]),
        "Differences of the folds' means:",
        table([["region", "metric", *(f"fold {fold}" for fold in folds)], *by_fold]),
        "Minutes of training, with loading and online validation. Not taken in turns: what else the machine did then, "
        "another of these trainings for instance, slowed one of the two only.",
        table([["fold", "nnU-Net", "ours", "ours / nnU-Net"], *seconds]),
        f"{result['machine']['processor']}, {result['machine']['cores']} cores, "
        + ", ".join(f"{name} {packages[name]}" for name in ("nnunetv2", "torch"))
        + ".",
    ]
    return "\n\n".join(parts) + "\n"


def _spell(interval: Sequence[float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:+.4f} to {interval[1]:+.4f}"


def report(cfg: DictConfig, output: Path, overrides: Sequence[str] = ()) -> Path | None:
    """Measure all finished folds, and write the JSON file and the page; None where there is none."""
    finished = [
        fold for fold in range(NUM_FOLDS) if all(is_finished(cfg, name, fold) for name in (STOCK, OURS))
    ]
    if not finished:
        return None
    measured = {fold: measure(cfg, fold) for fold in finished}
    origin = collect(None)
    result = {key: origin[key] for key in ("time", "git", "machine", "python", "packages")} | {
        "config": settings(cfg),
        "overrides": [override for override in overrides if not override.startswith("paths.")],
        "seconds": {str(fold): seconds for fold, (_, seconds) in measured.items()},
        "rows": compare(pd.concat([cases for cases, _ in measured.values()])),
    }
    write_json(output / "accuracy.json", result)
    return write_text(output / "README.md", render(result))


def main() -> None:
    """Train what is not trained yet, and write the page after every fold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("raw", type=Path, metavar="FOLDER", help="Task04_Hippocampus")
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="of the configuration")
    parser.add_argument(
        "--folds", nargs="*", type=int, default=range(NUM_FOLDS), help="to train; all by default"
    )
    parser.add_argument("--workspace", type=Path, default=ROOT / "data" / "bench_accuracy")
    parser.add_argument(
        "--output", type=Path, default=FOLDER / "accuracy", help="folder of the page (%(default)s)"
    )
    chosen = parser.parse_args()
    cfg = configuration(chosen.raw.absolute(), chosen.workspace.absolute(), chosen.overrides)
    from gsl_experiments.preprocessing.stage import preprocess

    preprocess(cfg)
    for fold in chosen.folds:
        for contestant in (STOCK, OURS):
            train_fold(cfg, contestant, fold)
        print(f"fold {fold}: {report(cfg, chosen.output, chosen.overrides)}", flush=True)
    if not chosen.folds:
        print(report(cfg, chosen.output, chosen.overrides))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
