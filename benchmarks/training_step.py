"""One training step on a CPU, ours with maps and GSL against stock nnU-Net's with Dice-CE: same network, same batch.

    .venv-bench/bin/python -m benchmarks.training_step [--repetitions 7] [OVERRIDE ...]
    .venv-bench/bin/python -m benchmarks.training_step --parity 150 [OVERRIDE ...]

Both are whole trainers, each with its own `train_step` on a batch in memory: nnU-Net's patch of the hippocampus task,
deep supervision, SGD and clipping as nnU-Net has them. Phantoms smaller than the patch, as the hippocampi are, are
preprocessed for it; overrides choose other data, such as `dataset=hippocampus paths.preprocessed=FOLDER`, which is
then used as it is. Stock computes in float32 on a CPU, ours in bfloat16 where the processor has it; ours is timed in
float32, too. --parity trains ours that many steps in either precision and prints losses and pseudo Dice.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from statistics import fmean
from typing import Any

import numpy as np
import torch

from benchmarks.turns import DisagreementError, Row, in_turns, peak_mb
from gsl_experiments.cli import compose
from gsl_experiments.config import configure_nnunet, preprocessed_folder

OURS, OURS_FLOAT32, OURS_DICE_CE, STOCK = (
    "gsl_experiments, GSL with Dice-CE, bfloat16",
    "gsl_experiments, GSL with Dice-CE, float32",
    "gsl_experiments, Dice-CE, bfloat16",
    "nnU-Net, Dice-CE, float32",
)
LINE = "CPU, batch 2 x 40 x 56 x 40, 16 features"
NETWORK = ["planning.patch_size=[40,56,40]", "planning.batch_size=2", "planning.base_features=16"]
AS_NNUNET = [
    "training.deep_supervision=true",
    "training.initialization=nnunet",
    "training.gradient_clip=12",
    "training.lr_schedule=poly",
    "training.optimizer._target_=torch.optim.SGD",
    "training.optimizer.lr=0.01",
    "+training.optimizer.momentum=0.99",
    "+training.optimizer.nesterov=true",
    "+training.optimizer.weight_decay=3e-5",
]
CHOICES = {
    OURS: ["loss=gsl", "schedule=linear"],
    OURS_FLOAT32: ["loss=gsl", "schedule=linear", "training.mixed_precision=false", "suffix=float32"],
    OURS_DICE_CE: ["loss=dice_ce"],
}
PHANTOM = ["dataset=phantom_lits", "dataset.generate.cases=6", "dataset.generate.size=[36,50,36]"]
VALIDATION_BATCHES = 8
LARGEST_ERROR = 1e-5  # of logits, in float32


def measure(overrides: Sequence[str] = (), *, repetitions: int = 7) -> list[Row]:
    """Time a step of each trainer.

    Args:
        overrides: of the configuration; without any, phantoms.
        repetitions: of each trainer.

    Returns:
        A row a trainer; `peak_mb` is memory beyond that of network and batch, `value` the loss after the last step.

    Raises:
        DisagreementError: the two networks are not the same function of their weights, a loss is not finite, or the two
            precisions differ by more than a tenth in the first step.
    """
    with _workspace(overrides) as common:
        trainers = {name: _ours([*common, *choice]) for name, choice in CHOICES.items()}
        batch = next(_batches(trainers[OURS]))
        trainers[STOCK] = _stock([*common, *CHOICES[OURS]])
        _check_same_network(trainers[OURS_FLOAT32].network, trainers[STOCK].network, batch["data"])
        work = {name: partial(trainer.train_step, batch) for name, trainer in trainers.items()}
        losses = {name: float(step()["loss"]) for name, step in work.items()}
        if not all(map(np.isfinite, losses.values())):
            raise DisagreementError(f"a loss is not finite: {losses}")
        if not abs(losses[OURS] - losses[OURS_FLOAT32]) < 0.1 * losses[OURS_FLOAT32]:
            raise DisagreementError(f"the two precisions differ in the first step: {losses}")
        peaks = {name: peak_mb(step) for name, step in work.items()}
        rows = in_turns(LINE, work, repetitions=repetitions)
        return [
            row | {"peak_mb": peaks[name], "value": float(work[name]()["loss"])}
            for row in rows
            for name in [row["contestant"]]
        ]


def _check_same_network(ours: torch.nn.Module, stock: torch.nn.Module, images: torch.Tensor) -> None:
    """Hold the logits of both for the same weights against each other."""
    before = {name: weights.clone() for name, weights in ours.state_dict().items()}
    ours.load_state_dict(stock.state_dict())
    with torch.no_grad():
        error = max(
            float((mine - theirs).abs().max() / theirs.abs().max())
            for mine, theirs in zip(ours(images), stock(images), strict=True)
        )
    ours.load_state_dict(before)
    if not error <= LARGEST_ERROR:
        raise DisagreementError(f"for the same weights the networks' logits differ by {error:.1e}")


def parity(steps: int, overrides: Sequence[str] = ()) -> list[str]:
    """Train ours in either precision on the same batches and return a line each: mean losses and pseudo Dice."""
    lines = []
    with _workspace(overrides) as common:
        for name in (OURS, OURS_FLOAT32):
            trainer = _ours([*common, *CHOICES[name]])
            batches, losses = _batches(trainer), []
            for _ in range(steps):
                losses.append(trainer.train_step(next(batches))["loss"])
                trainer.steps_done += 1
            means = ", ".join(f"{fmean(part):.4f}" for part in np.array_split(np.array(losses), 5))
            lines.append(f"{name}: mean loss of each fifth {means}; pseudo Dice {_pseudo_dice(trainer)}")
    return lines


def _pseudo_dice(trainer: Any) -> str:
    from gsl_experiments.training.dataloading import load_batches

    validation = load_batches(trainer.batches()[1], first=0, processes=0, pin_memory=False)
    with torch.no_grad():
        outputs = [trainer.validation_step(next(validation)) for _ in range(VALIDATION_BATCHES)]
    tp, fp, fn = (sum(output[key] for output in outputs) for key in ("tp_hard", "fp_hard", "fn_hard"))
    return ", ".join(f"{dice:.4f}" for dice in 2 * tp / (2 * tp + fp + fn))


@contextmanager
def _workspace(overrides: Sequence[str]) -> Iterator[list[str]]:
    """Yield the configuration's overrides, with a folder for everything that is written."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"paths.{name}={folder}/{name}" for name in ("raw", "preprocessed", "results", "tables")]
        few = ["gpus=0", "processes=1", "loader_processes=0"]
        data = [] if overrides else [*PHANTOM, f"dataset.raw={folder}/source"]
        common = [*data, *paths, *few, *NETWORK, *AS_NNUNET, *overrides]
        cfg = compose(common)
        configure_nnunet(cfg)
        if not overrides:
            from gsl_experiments.preprocessing.stage import preprocess

            with redirect_stdout(sys.stderr):
                preprocess(cfg)
        yield common
    os.environ.clear()
    os.environ.update(before)


def _ours(overrides: Sequence[str]) -> Any:
    from gsl_experiments.training.trainer import nnUNetTrainerGSL

    trainer = _trainer(nnUNetTrainerGSL, overrides)
    trainer.loss.alpha = 0.5
    return trainer


def _stock(overrides: Sequence[str]) -> Any:
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    return _trainer(nnUNetTrainer, overrides)


def _trainer(kind: Any, overrides: Sequence[str]) -> Any:
    from gsl_experiments.training.experiment import write_experiment_plans

    cfg = compose(list(overrides))
    plans = write_experiment_plans(cfg) | {"continue_training": False}
    dataset_json = json.loads((preprocessed_folder(cfg) / "dataset.json").read_text())
    with redirect_stdout(sys.stderr):
        torch.manual_seed(0)
        trainer = kind(plans, cfg.configuration, 0, dataset_json, torch.device("cpu"))
        trainer.initialize()
    trainer.set_deep_supervision_enabled(True)
    return trainer


def _batches(trainer: Any) -> Iterator[dict[str, Any]]:
    from gsl_experiments.training.dataloading import load_batches

    return load_batches(trainer.batches()[0], first=0, processes=0, pin_memory=False)


def main() -> None:
    """Measure and print the median time of each trainer, and what it is of nnU-Net's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="of the configuration")
    parser.add_argument("--repetitions", type=int, default=7, help="of each trainer (%(default)s)")
    parser.add_argument("--parity", type=int, metavar="STEPS", help="train in both precisions instead")
    chosen = parser.parse_args()
    if chosen.parity is not None:
        print("\n".join(parity(chosen.parity, chosen.overrides)))
        return
    rows = measure(chosen.overrides, repetitions=chosen.repetitions)
    stock = float(np.median(next(row["seconds"] for row in rows if row["contestant"] == STOCK)))
    for row in rows:
        seconds = float(np.median(row["seconds"]))
        print(
            f"{row['contestant']:44} {seconds:6.3f} s {seconds / stock:5.2f} {row['peak_mb'] or 0:7.1f} MB"
            f"  loss {row['value']:.4f}"
        )


if __name__ == "__main__":
    main()
