"""Everything that needs a GPU, in one call of under ten minutes: gradients, mixed precision, times, trainings.

`make gpu-check` prints tables and exits with 1 if a check fails, with 2 if there is no GPU. The losses need PyTorch and
jaxtyping alone; without nnU-Net the short trainings on a phantom are left out, and said to be.
"""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from gsl_experiments.losses import (
    BoundaryLoss,
    DiceCELoss,
    DiceLoss,
    GeneralizedDiceLoss,
    GeneralizedSurfaceLoss,
    HausdorffLoss,
    LossInputs,
)

LOSSES: dict[str, tuple[nn.Module, nn.Module | None]] = {
    "dl": (DiceLoss(), None),
    "dice_ce": (DiceCELoss(), None),
    "gdl": (GeneralizedDiceLoss(), None),
    "hl": (DiceCELoss(), HausdorffLoss()),
    "bl": (DiceCELoss(), BoundaryLoss()),
    "gsl": (DiceCELoss(), GeneralizedSurfaceLoss()),
}
# batch, classes, patch: the paper's two datasets
PATCHES = {"LiTS": (2, 2, 128, 256, 256), "BraTS": (2, 4, 128, 128, 128)}
LARGEST_GRADIENT_ERROR = 1e-3  # relative, float32 on the GPU against float64 on the CPU
LONGEST_DISTANCE_MM = 500.0


def example(shape: tuple[int, ...], device: str, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Return logits, labels, maps in mm and class weights, the same numbers on every device."""
    generator = torch.Generator().manual_seed(0)
    batch, classes, *spatial = shape
    logits = torch.randn(shape, generator=generator)
    target = torch.randint(0, classes, (batch, 1, *spatial), generator=generator)
    dtm = (2 * torch.rand(shape, generator=generator) - 1) * LONGEST_DISTANCE_MM
    weights = torch.rand(classes, generator=generator).softmax(0)
    floating = (t.to(device, dtype) for t in (logits, dtm, weights))
    logits, dtm, weights = floating
    return logits, target.to(device), dtm, weights


def total(
    name: str, logits: torch.Tensor, target: torch.Tensor, dtm: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Return eq. (8) at alpha 0.5, or the region loss alone."""
    region, boundary = LOSSES[name]
    inputs = LossInputs.from_logits(logits, target, dtm=dtm, class_weights=weights)
    return region(inputs) if boundary is None else 0.5 * region(inputs) + 0.5 * boundary(inputs)


def gradient(name: str, shape: tuple[int, ...], device: str, dtype: torch.dtype) -> torch.Tensor:
    """Return the gradient of a loss with respect to the logits, in float64 on the CPU."""
    logits, target, dtm, weights = example(shape, device, dtype)
    total(name, logits.requires_grad_(), target, dtm, weights).backward()
    assert logits.grad is not None
    return logits.grad.double().cpu()


def gradient_error(name: str) -> float:
    """Return the relative error of the GPU's float32 gradient against the CPU's float64 one."""
    shape = (2, 4, 24, 28, 32)
    exact = gradient(name, shape, "cpu", torch.float64)
    found = gradient(name, shape, "cuda", torch.float32)
    return float((found - exact).norm() / exact.norm())


def is_finite_under_autocast(name: str, dtype: torch.dtype) -> bool:
    """Return whether loss and gradient are finite for half precision logits and maps of 500 mm."""
    logits, target, dtm, weights = example((2, 4, 32, 32, 32), "cuda", torch.float32)
    logits = (100 * logits).to(dtype).requires_grad_()
    with torch.autocast("cuda", dtype=dtype):
        loss = total(name, logits, target, dtm, weights)
    loss.backward()
    return bool(torch.isfinite(loss) and torch.isfinite(logits.grad).all())


def milliseconds(step: Callable[[], None], repetitions: int = 10) -> float:
    """Return the median time of a step on the GPU."""
    times = []
    for repetition in range(repetitions + 3):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        step()
        end.record()
        torch.cuda.synchronize()
        if repetition >= 3:
            times.append(start.elapsed_time(end))
    return statistics.median(times)


def time_losses(shape: tuple[int, ...]) -> dict[str, tuple[float, float]]:
    """Return loss -> median ms of forward and backward, and peak GiB; nnU-Net's Dice-CE too where it is installed."""
    logits, target, dtm, weights = example(shape, "cuda", torch.float32)
    logits.requires_grad_()
    steps: dict[str, Callable[[], torch.Tensor]] = {
        name: (lambda name=name: total(name, logits, target, dtm, weights)) for name in LOSSES
    }
    if importlib.util.find_spec("nnunetv2"):
        from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
        from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

        settings = {"batch_dice": False, "smooth": 1e-5, "do_bg": False, "ddp": False}
        stock = DC_and_CE_loss(settings, {}, dice_class=MemoryEfficientSoftDiceLoss)
        steps["nnU-Net Dice-CE"] = lambda: stock(logits, target)

    outcome = {}
    for name, forward in steps.items():

        def step(forward: Callable[[], torch.Tensor] = forward) -> None:
            logits.grad = None
            forward().backward()

        torch.cuda.reset_peak_memory_stats()
        outcome[name] = (milliseconds(step), torch.cuda.max_memory_allocated() / 2**30)
    return outcome


def failed_trainings(gpus: int) -> list[str]:
    """Train two epochs on a phantom, with and without deep supervision, and return what did not end well."""
    if not importlib.util.find_spec("nnunetv2"):
        print("\nnnU-Net is not installed: the trainings were left out")
        return []
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        common = [f"paths.{name}={folder}/{name}" for name in ("raw", "preprocessed", "results")]
        common += ["dataset=phantom_brats", f"dataset.raw={folder}/source"]
        short = [
            "fold=0",
            "training.epochs=2",
            "training.iterations_per_epoch=10",
            "loss=gsl",
            "schedule=linear",
        ]
        calls = {"preprocess": ["preprocess.py", *common]}
        for count in sorted({min(gpus, 1), min(gpus, 2)}):
            for deep in ("false", "true"):
                options = [f"gpus={count}", f"training.deep_supervision={deep}", f"suffix={count}-{deep}"]
                calls[f"train on {count} GPU, deep supervision {deep}"] = [
                    "train.py",
                    *common,
                    *short,
                    *options,
                ]
        print("\n| training on a phantom | ended well |\n|---|---|")
        for name, (script, *overrides) in calls.items():
            call = [sys.executable, str(Path(__file__).parent / script), *overrides]
            outcome = subprocess.run(call, capture_output=True, text=True, check=False)
            print(f"| {name} | {outcome.returncode == 0} |")
            if outcome.returncode != 0:
                failed.append(name)
                print(outcome.stdout[-2000:], outcome.stderr[-4000:], file=sys.stderr)
    return failed


def main() -> int:
    """Run the checks, print them, and return the exit status."""
    if not torch.cuda.is_available():
        print("no GPU is visible: nothing was checked", file=sys.stderr)
        return 2
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}\n")
    failed = []
    print(
        "| loss | gradient error (float32 GPU, float64 CPU) | finite in float16 | finite in bfloat16 |\n"
        "|---|---|---|---|"
    )
    for name in LOSSES:
        error = gradient_error(name)
        finite = [is_finite_under_autocast(name, dtype) for dtype in (torch.float16, torch.bfloat16)]
        print(f"| {name} | {error:.1e} | {finite[0]} | {finite[1]} |")
        if error > LARGEST_GRADIENT_ERROR or not all(finite):
            failed.append(name)
    for dataset, shape in PATCHES.items():
        print(
            f"\n{dataset}, batch x classes x patch {shape}\n\n"
            "| loss | forward + backward, ms | peak GiB |\n|---|---|---|"
        )
        for name, (time_ms, peak) in time_losses(shape).items():
            print(f"| {name} | {time_ms:.2f} | {peak:.2f} |")
    failed += failed_trainings(torch.cuda.device_count())
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
