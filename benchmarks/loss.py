"""Forward and backward of Dice-CE with GSL and four maps, against other losses on the same logits and labels.

    .venv-bench/bin/python -m benchmarks.loss [--side 128] [--classes 4] [--repetitions 5] [--no-monai]
    .venv-bench/bin/python -m benchmarks.loss --gpu

"plain" is the losses' own `forward`, "compiled" the same under torch.compile. The released code's loss is written down
here anew from its equations, each term with a softmax of its own. nnU-Net's loss has no boundary term, MONAI's measures
its distances anew at each step. On a GPU, time is that of the kernels, and the copy moves as many bytes as logits,
labels and maps have, read once, and the gradient, written once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.tables import number
from benchmarks.turns import (
    OURS,
    DisagreementError,
    Row,
    in_turns,
    missing_modules,
    missing_row,
    peak_mb,
    peak_mb_and_seconds,
)
from gsl_experiments.gpu_check.loss_alone import SETTING, contestants
from gsl_experiments.gpu_check.setting import STOCK, StockLoss
from gsl_experiments.gpu_check.steps import loss_costs
from gsl_experiments.losses import DiceCELoss, GeneralizedSurfaceLoss, LossInputs, fused_values

PLAIN, COMPILED = "plain PyTorch", "plain PyTorch, compiled"
RELEASED, MONAI = "the released code's equations", "MONAI HausdorffDTLoss"
SIZES = ((128, 4), (128, 2))  # voxels a side, classes; all contestants take part in the first
IN_ALL_SIZES = (STOCK, OURS)
LARGEST_ERROR = 1e-4  # relative, between float32 sums in different orders
Loss = Callable[[Tensor], Tensor]


def measure(
    *, sizes: Sequence[tuple[int, int]] = SIZES, repetitions: int = 5, monai: bool = True, gpu: bool = False
) -> list[Row]:
    """Time all contestants on a batch of two cubes, and nnU-Net and ours on those of further sizes.

    Args:
        sizes: voxels a side and classes, background included.
        repetitions: of each contestant; MONAI, which takes seconds, has one.
        monai: whether it takes part.
        gpu: measure nnU-Net, ours and a copy on a GPU instead, with the logits in float32 and in float16.

    Returns:
        A row a contestant; `peak_mb` is memory beyond that of logits, labels and maps, gradient included, `value` the
        loss.

    Raises:
        DisagreementError: two contestants that compute the same differ in value or gradient.
    """
    if gpu:
        return [row for dtype in (torch.float32, torch.float16) for row in _measure_gpu(dtype)]
    rows = []
    for place, (side, classes) in enumerate(sizes):
        logits, losses = _losses(side, classes)
        _check_agreement(losses, logits)
        if place > 0:
            losses = {name: losses[name] for name in IN_ALL_SIZES}
        elif monai and not missing_modules(["monai"]):
            losses[MONAI] = _monai(side, classes)
        rows += _measure_size(f"CPU, batch 2 x {classes} classes x {side}^3", logits, losses, repetitions)
    return rows


def _measure_size(line: str, logits: Tensor, losses: Mapping[str, Loss], repetitions: int) -> list[Row]:
    values: dict[str, float] = {}
    work: dict[str, Callable[[], None]] = {
        name: partial(_both_ways, name, loss, logits, values) for name, loss in losses.items()
    }
    missing = _warm_up(work)
    slow = {name: work.pop(name) for name in (MONAI,) if name in work}
    peaks = {name: peak_mb(once) for name, once in work.items()}
    rows = in_turns(line, work, repetitions=repetitions)
    for name, once in slow.items():
        peaks[name], seconds = peak_mb_and_seconds(once)
        rows.append({"line": line, "contestant": name, "seconds": [seconds]})
    for row in rows:
        row |= {"peak_mb": peaks[row["contestant"]], "value": values[row["contestant"]]}
    return rows + [missing_row(line, name, reason) for name, reason in missing.items()]


def released_loss(logits: Tensor, labels: Tensor, dtm: Tensor, class_weights: Tensor) -> Tensor:
    """Half Dice-CE, half GSL, as the paper's released code has them: 1e-6 in the denominators, cross entropy over N."""
    axes = tuple(range(2, logits.ndim))
    onehot = F.one_hot(labels[:, 0].long(), logits.shape[1]).movedim(-1, 1).to(logits.dtype)
    probs = logits.softmax(dim=1)
    wrong = (onehot - probs).square().sum(axes)
    size = onehot.square().sum(axes) + probs.square().sum(axes) + 1e-6
    dice_ce = (wrong / size).mean() + F.cross_entropy(logits, labels[:, 0].long())
    probs = logits.softmax(dim=1)
    numerator = (class_weights * (dtm * (1 - (onehot + probs))).square().sum(axes)).sum(dim=1)
    denominator = (class_weights * dtm.square().sum(axes)).sum(dim=1) + 1e-6
    return 0.5 * dice_ce + 0.5 * (1 - numerator / denominator).mean()


def _losses(side: int, classes: int) -> tuple[Tensor, dict[str, Loss]]:
    """Return logits, and each contestant's loss of them: half of each term, as in the middle of a training."""
    generator = torch.Generator().manual_seed(0)
    shape = (2, classes, side, side, side)
    logits = torch.randn(shape, generator=generator)
    labels = torch.randint(0, classes, (2, 1, *shape[2:]), generator=generator).short()
    dtm = 10 * torch.randn(shape, generator=generator)
    weights = torch.linspace(1, 2, classes) / torch.linspace(1, 2, classes).sum()
    terms = [DiceCELoss(ce_scale="voxel"), GeneralizedSurfaceLoss()]
    stock = StockLoss()

    def ours(logits: Tensor) -> Tensor:
        region, boundary = fused_values(terms, logits, labels, dtm=dtm, class_weights=weights)
        return 0.5 * region + 0.5 * boundary

    def plain(logits: Tensor) -> Tensor:
        inputs = LossInputs.from_logits(logits, labels, dtm=dtm, class_weights=weights)
        region, boundary = (term(inputs) for term in terms)
        return 0.5 * region + 0.5 * boundary

    return logits, {
        STOCK: lambda logits: stock(logits, labels, dtm),
        RELEASED: lambda logits: released_loss(logits, labels, dtm, weights),
        PLAIN: plain,
        COMPILED: torch.compile(plain),
        OURS: ours,
    }


def _monai(side: int, classes: int) -> Loss:
    from monai.losses import HausdorffDTLoss

    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, classes, (2, 1, side, side, side), generator=generator)
    loss = HausdorffDTLoss(include_background=True, to_onehot_y=True, softmax=True)
    return lambda logits: loss(logits, labels)


def _both_ways(name: str, loss: Loss, logits: Tensor, values: dict[str, float]) -> None:
    leaf = logits.detach().requires_grad_()
    value = loss(leaf)
    value.backward()
    values[name] = float(value.detach())


def _warm_up(work: dict[str, Callable[[], None]]) -> dict[str, str]:
    """Run what has to be compiled once; without a compiler it is taken out and returned with the reason."""
    if COMPILED not in work:
        return {}
    try:
        work[COMPILED]()
    except RuntimeError as error:
        del work[COMPILED]
        return {COMPILED: f"torch.compile: {str(error).splitlines()[0]}"}
    return {}


def _check_agreement(losses: Mapping[str, Loss], logits: Tensor) -> None:
    """Hold our value and gradient against those written down in two other ways."""
    found = {}
    for name in (OURS, PLAIN, RELEASED):
        leaf = logits.detach().requires_grad_()
        value = losses[name](leaf)
        found[name] = value.detach(), torch.autograd.grad(value, leaf)[0]
    for name in (PLAIN, RELEASED):
        for what, ours, theirs in zip(("value", "gradient"), found[OURS], found[name], strict=True):
            error = float((ours - theirs).norm() / theirs.norm())
            if not error <= LARGEST_ERROR:
                raise DisagreementError(f"{OURS} and {name} differ in the {what} by {error:.1e} of it")


def _measure_gpu(dtype: torch.dtype) -> list[Row]:
    device = torch.device("cuda")
    costs = loss_costs(contestants(SETTING, device, dtype, compiled=True), device)
    return [
        {
            "line": f"GPU, batch 2 x 4 classes x 128^3, {str(dtype).removeprefix('torch.')}",
            "contestant": OURS if name.startswith("GSL") else name,
            "seconds": [cost.milliseconds / 1000],
            "peak_mb": round(cost.peak_gib * 2**30 / 1e6, 1),
            "value": cost.loss,
        }
        for name, cost in costs.items()
    ]


def main() -> None:
    """Measure and print the median time of each contestant, and what it is of nnU-Net's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=128, help="voxels a side (%(default)s)")
    parser.add_argument("--classes", type=int, default=4, help="background included (%(default)s)")
    parser.add_argument("--repetitions", type=int, default=5, help="of each contestant (%(default)s)")
    parser.add_argument("--no-monai", action="store_true", help="leave out MONAI, which takes 10 s a step")
    parser.add_argument("--gpu", action="store_true", help="measure on a GPU")
    chosen = parser.parse_args()
    rows = measure(
        sizes=[(chosen.side, chosen.classes)],
        repetitions=chosen.repetitions,
        monai=not chosen.no_monai,
        gpu=chosen.gpu,
    )
    of_stock = {row["line"]: number(row) or 0.0 for row in rows if row["contestant"] == STOCK}
    for row in rows:
        if "missing" in row:
            print(f"{row['contestant']:28} {row['missing']}")
            continue
        seconds = number(row) or 0.0
        ratio = seconds / of_stock[row["line"]]
        print(f"{row['contestant']:28} {seconds:8.4f} s {ratio:6.2f} {row['peak_mb']:8.1f} MB")


if __name__ == "__main__":
    main()
