"""Losses of sums computed together, in pieces or by class, have the values and gradients of their plain forms."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from loss_examples import random_example
from test_every_loss import MODULES
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gsl_experiments.losses import (
    BoundaryLoss,
    DiceCELoss,
    DiceLoss,
    GeneralizedSurfaceLoss,
    LossInputs,
    LossOfSums,
    fused,
    fused_values,
    in_pieces,
)

CASES = (
    "ordinary",
    "voxels without reference",
    "an example without reference",
    "absent",
    "full",
    "zero maps",
    "no maps",
)
WEIGHTS = (0.3, -0.7)  # of the two losses in what is differentiated
Batch = dict[str, Any]


def batch_of(case: str, *, spatial: tuple[int, ...] = (3, 4, 5), dtype: torch.dtype = torch.float64) -> Batch:
    example = random_example(0, num_classes=4, spatial=spatial, dtype=dtype)
    target = example.target_onehot.argmax(dim=1, keepdim=True).to(torch.int16)
    dtm: Tensor | None = example.dtm
    if case == "voxels without reference":
        target[0, :, :, 1:] = -1
        target[1, :, 0] = -2
    elif case == "an example without reference":
        target[1] = -1
    elif case == "absent":
        target[target == 2] = 0
    elif case == "full":
        target[:] = 1
    elif case == "zero maps":
        dtm = torch.zeros_like(example.dtm)
    elif case == "no maps":
        dtm = None
    return {"logits": example.logits, "target": target, "dtm": dtm, "class_weights": example.class_weights}


def plain(losses: list[LossOfSums], **batch: Any) -> list[Tensor]:
    inputs = LossInputs.from_logits(batch.pop("logits"), batch.pop("target"), **batch)
    return [loss(inputs) for loss in losses]


def values_and_gradient(
    function: Callable[..., list[Tensor]], losses: list[LossOfSums], batch: Batch
) -> tuple[list[Tensor], Tensor]:
    logits = batch["logits"].detach().requires_grad_()
    values = function(losses, **batch | {"logits": logits})
    sum(weight * value for weight, value in zip(WEIGHTS, values, strict=False)).backward()  # type: ignore[union-attr]
    assert logits.grad is not None
    return [value.detach() for value in values], logits.grad


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of 7 voxels of 4 classes, the last of an example smaller."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(in_pieces, "_LARGEST_PIECE", {"cpu": 28, "cuda": 28})


@pytest.fixture
def without_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """torch.compile that traces whole functions and runs what it has traced, without making machine code."""
    compile_ = torch.compile

    def traced(function: Callable[..., Any], options: object = None) -> Callable[..., Any]:
        return compile_(function, backend="eager", fullgraph=True)

    monkeypatch.setattr(torch, "compile", traced)
    fused._compiled.cache_clear()
    yield
    fused._compiled.cache_clear()
    torch.compiler.reset()


def assert_equal_to_plain(
    function: Callable[..., list[Tensor]], losses: list[LossOfSums], batch: Batch
) -> None:
    expected, expected_gradient = values_and_gradient(plain, losses, batch)
    values, gradient = values_and_gradient(function, losses, batch)
    torch.testing.assert_close(values, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("first", MODULES)
def test_in_pieces(first: str, case: str) -> None:
    batch = batch_of(case)
    for second in ("dice_ce", "hausdorff", "generalized_surface"):
        losses: Any = [MODULES[first], MODULES[second]]
        if case != "no maps" or not {first, second} & {"boundary", "hausdorff", "generalized_surface"}:
            assert_equal_to_plain(fused_values, losses, batch)


@pytest.mark.parametrize("case", CASES[:-1])
@pytest.mark.parametrize("first", MODULES)
def test_by_class(first: str, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function, options=None: function)
    fused._compiled.cache_clear()
    for second in ("dice_ce", "generalized_surface"):
        losses: Any = [MODULES[first], MODULES[second]]
        assert_equal_to_plain(partial(fused_values, compiled=True), losses, batch_of(case))
    fused._compiled.cache_clear()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # read by torch's tracer
@pytest.mark.usefixtures("without_compiler")
def test_the_compiler_takes_whole_functions() -> None:
    compiled = partial(fused_values, compiled=True)
    assert_equal_to_plain(
        compiled,
        [DiceCELoss(batch_dice=True), GeneralizedSurfaceLoss()],
        batch_of("voxels without reference"),
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # read by torch's tracer
def test_compiled_to_machine_code() -> None:
    losses = [DiceCELoss(), GeneralizedSurfaceLoss()]
    assert_equal_to_plain(partial(fused_values, compiled=True), losses, batch_of("voxels without reference"))


@pytest.mark.parametrize("spatial", [(7, 9), (12, 11, 10)])
def test_batch_dice_and_two_or_three_axes(spatial: tuple[int, ...]) -> None:
    losses = [DiceLoss(batch_dice=True), GeneralizedSurfaceLoss()]
    assert_equal_to_plain(fused_values, losses, batch_of("voxels without reference", spatial=spatial))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_narrow_types(dtype: torch.dtype, autocast: bool) -> None:
    batch = batch_of("voxels without reference", spatial=(16, 16, 16), dtype=torch.float32)
    batch["logits"] = batch["logits"].to(dtype)
    batch["dtm"] = 40 * batch["dtm"].half()  # its squares are beyond float16
    losses = [DiceCELoss(), GeneralizedSurfaceLoss()]
    exact = {
        name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in batch.items()
    }
    expected, expected_gradient = values_and_gradient(plain, losses, exact)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        values, gradient = values_and_gradient(fused_values, losses, batch)
    for value, right in zip(values, expected, strict=True):
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.double(), right, rtol=1e-5, atol=1e-6)
    assert gradient.dtype == dtype
    error = (gradient.double() - expected_gradient).norm() / expected_gradient.norm()
    assert error < {torch.float32: 1e-5, torch.bfloat16: 4e-3, torch.float16: 2e-3}[dtype]


def test_channels_last() -> None:
    batch = batch_of("ordinary")
    batch["logits"] = batch["logits"].to(memory_format=torch.channels_last_3d)
    assert_equal_to_plain(fused_values, [DiceCELoss(), GeneralizedSurfaceLoss()], batch)
    _, gradient = values_and_gradient(fused_values, [DiceCELoss()], batch)
    assert gradient.is_contiguous(memory_format=torch.channels_last_3d)


def test_an_expanded_tensor_as_logits() -> None:
    batch = batch_of("ordinary")
    batch["logits"] = batch["logits"][:1].expand_as(batch["logits"])
    assert_equal_to_plain(fused_values, [DiceCELoss(), GeneralizedSurfaceLoss()], batch)


def test_the_loss_in_the_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    names: dict[str, Any] = {}
    exec(text.split("class TverskyLoss")[0].rsplit("```python", 1)[1], names)
    exec("class TverskyLoss" + text.split("class TverskyLoss")[1].split("```")[0], names)
    losses = [names["TverskyLoss"](), GeneralizedSurfaceLoss()]
    assert_equal_to_plain(fused_values, losses, batch_of("voxels without reference"))


class Largest(TorchDispatchMode):
    """Counts the numbers of the largest tensors that are made, views not counted."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and not func.is_view:
            self.made.append(result.numel())
        return result


def test_nothing_of_the_size_of_the_patch_is_made_but_the_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr(in_pieces, "_LARGEST_PIECE", {"cpu": 256})
    batch = batch_of("voxels without reference", spatial=(8, 8, 8))
    logits = batch["logits"].requires_grad_()
    with Largest() as largest:
        value = sum(fused_values([DiceCELoss(), GeneralizedSurfaceLoss()], **batch))
        torch.autograd.grad(value, logits)  # type: ignore[arg-type]
    assert sorted(largest.made)[-1] == logits.numel()
    assert sorted(largest.made)[-2] <= 256


class TestErrors:
    @pytest.mark.parametrize("label", [4, 100])
    def test_a_label_out_of_range(self, label: int) -> None:
        batch = batch_of("ordinary")
        batch["target"][0, 0, 0, 0, 0] = label
        with pytest.raises(ValueError, match=f"^target holds label {label}, expected labels below 4$"):
            fused_values([DiceLoss()], **batch)

    def test_a_second_derivative(self) -> None:
        batch = batch_of("ordinary")
        (value,) = fused_values([DiceLoss()], **batch | {"logits": batch["logits"].requires_grad_()})
        (gradient,) = torch.autograd.grad(value, batch["logits"], create_graph=True)
        with pytest.raises(RuntimeError, match="trying to differentiate twice a function"):
            gradient.sum().backward()

    @pytest.mark.parametrize("name", ["hausdorff", "boundary", "generalized_surface"])
    def test_missing_maps(self, name: str) -> None:
        loss: Any = MODULES[name]
        with pytest.raises(ValueError, match=f"{type(loss).__name__} needs distance maps"):
            fused_values([loss], **batch_of("no maps"))

    @pytest.mark.parametrize("name", ["generalized_dice_dataset", "generalized_surface"])
    def test_missing_weights(self, name: str) -> None:
        loss: Any = MODULES[name]
        with pytest.raises(ValueError, match=f"{type(loss).__name__} needs class weights"):
            fused_values([loss], **batch_of("ordinary") | {"class_weights": None})

    def test_shapes(self) -> None:
        batch = batch_of("ordinary")
        with pytest.raises(ValueError, match=r"dtm has shape .*, logits has"):
            fused_values([BoundaryLoss()], **batch | {"dtm": batch["dtm"][..., 1:]})
