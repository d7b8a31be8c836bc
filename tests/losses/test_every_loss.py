"""What every loss has in common: invariances, gradients, precision, errors and annotated shapes."""

from collections.abc import Callable

import beartype
import jaxtyping
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_examples import Example, few, random_example
from torch import Tensor, nn

from gsl_experiments import losses
from gsl_experiments.losses import LossInputs

Loss = Callable[[Example], Tensor]

LOSSES: dict[str, Loss] = {
    "dice": lambda e: losses.dice_loss(e.probs, e.target_onehot),
    "cross_entropy": lambda e: losses.cross_entropy_loss(e.logits, e.target_onehot),
    "cross_entropy_voxel": lambda e: losses.cross_entropy_loss(e.logits, e.target_onehot, ce_scale="voxel"),
    "dice_ce": lambda e: losses.dice_ce_loss(e.logits, e.target_onehot),
    "generalized_dice_example": lambda e: losses.generalized_dice_loss(e.probs, e.target_onehot),
    "generalized_dice_dataset": lambda e: losses.generalized_dice_loss(
        e.probs, e.target_onehot, class_weights=e.class_weights
    ),
    "hausdorff": lambda e: losses.hausdorff_loss(e.probs, e.target_onehot, dtm=e.dtm),
    "boundary": lambda e: losses.boundary_loss(e.probs, e.target_onehot, dtm=e.dtm),
    "generalized_surface": lambda e: losses.generalized_surface_loss(
        e.probs, e.target_onehot, dtm=e.dtm, class_weights=e.class_weights
    ),
}

MODULES: dict[str, nn.Module] = {
    "dice": losses.DiceLoss(),
    "cross_entropy": losses.CrossEntropyLoss(),
    "cross_entropy_voxel": losses.CrossEntropyLoss(ce_scale="voxel"),
    "dice_ce": losses.DiceCELoss(),
    "generalized_dice_example": losses.GeneralizedDiceLoss(),
    "generalized_dice_dataset": losses.GeneralizedDiceLoss(weights="dataset"),
    "hausdorff": losses.HausdorffLoss(),
    "boundary": losses.BoundaryLoss(),
    "generalized_surface": losses.GeneralizedSurfaceLoss(),
}

every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
every_module = pytest.mark.parametrize("module", MODULES.values(), ids=MODULES.keys())
dimensions = pytest.mark.parametrize("spatial", [(3, 4), (2, 3, 2)], ids=["2D", "3D"])


def inputs_of(example: Example) -> LossInputs:
    labels = example.target_onehot.argmax(dim=1, keepdim=True)
    return LossInputs.from_logits(
        example.logits, labels, dtm=example.dtm, class_weights=example.class_weights
    )


def value_and_gradient(module: nn.Module, example: Example) -> tuple[Tensor, Tensor]:
    logits = example.logits.detach().clone().requires_grad_()
    value = module(inputs_of(example._replace(logits=logits)))
    value.backward()
    assert logits.grad is not None
    return value.detach(), logits.grad


class TestInvariances:
    @every_loss
    @dimensions
    def test_is_the_mean_over_the_batch(self, loss: Loss, spatial: tuple[int, ...]) -> None:
        example = random_example(0, batch=3, spatial=spatial)
        each = [loss(Example(*(t[b : b + 1] for t in example[:4]), example[4])) for b in range(3)]
        torch.testing.assert_close(loss(example), torch.stack(each).mean())

    @every_loss
    @few
    @given(seed=st.integers(0, 10**6), order=st.permutations(range(3)))
    def test_permuting_the_batch_changes_nothing(self, loss: Loss, seed: int, order: list[int]) -> None:
        example = random_example(seed, batch=3)
        permuted = Example(*(t[order] for t in example[:4]), example[4])
        torch.testing.assert_close(loss(permuted), loss(example))

    @every_loss
    @few
    @given(seed=st.integers(0, 10**6), order=st.permutations(range(4)))
    def test_permuting_the_classes_changes_nothing(self, loss: Loss, seed: int, order: list[int]) -> None:
        example = random_example(seed, num_classes=4)
        permuted = Example(*(t[:, order] for t in example[:4]), example[4][order])
        torch.testing.assert_close(loss(permuted), loss(example))

    @every_loss
    @dimensions
    def test_the_order_of_the_voxels_changes_nothing(self, loss: Loss, spatial: tuple[int, ...]) -> None:
        example = random_example(1, spatial=spatial)
        turned = Example(*(t.transpose(2, 3) for t in example[:4]), example[4])
        torch.testing.assert_close(loss(turned), loss(example))


class TestGradients:
    @every_loss
    @dimensions
    def test_gradcheck(self, loss: Loss, spatial: tuple[int, ...]) -> None:
        example = random_example(2, spatial=spatial)
        logits = example.logits.requires_grad_()

        def of_logits(logits: Tensor) -> Tensor:
            return loss(example._replace(logits=logits, probs=logits.softmax(dim=1)))

        assert torch.autograd.gradcheck(of_logits, (logits,))

    @every_module
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
    @pytest.mark.parametrize(
        "case", ["ordinary", "absent", "full", "right", "wrong", "zero maps", "far", "fine", "coarse"]
    )
    def test_value_and_gradient_are_finite(self, module: nn.Module, dtype: torch.dtype, case: str) -> None:
        logits, _, target, dtm, weights = random_example(3, spatial=(8, 9), dtype=torch.float32)
        if case in ("absent", "full"):  # only class 0 is there: it is full, and the others are absent
            target = torch.zeros_like(target)
            target[:, 0] = 1.0
            dtm = torch.full_like(dtm, 373.13)
            dtm[:, 0] = -373.13
        if case == "full":
            logits = 1e4 * target
        elif case == "right":
            logits = 6e4 * (2 * target - 1)
        elif case == "wrong":
            logits = -6e4 * (2 * target - 1)
        elif case == "zero maps":
            dtm = torch.zeros_like(dtm)
        scale = {"far": 50.0, "fine": 1e-3, "coarse": 10.0}.get(case, 1.0)
        example = Example(logits.to(dtype), logits, target, (scale * dtm).clamp(-500, 500), weights)
        value, gradient = value_and_gradient(module, example)
        assert value.dtype == torch.float32
        assert value.isfinite()
        assert gradient.isfinite().all()

    @every_module
    def test_weights_of_dozens_of_orders_of_magnitude(self, module: nn.Module) -> None:
        example = random_example(4, dtype=torch.float32)
        example = example._replace(class_weights=torch.tensor([1e-30, 1e-10, 1.0]))
        value, gradient = value_and_gradient(module, example)
        assert value.isfinite()
        assert gradient.isfinite().all()


class TestPrecision:
    @every_module
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_autocast_changes_nothing(self, module: nn.Module, dtype: torch.dtype) -> None:
        example = random_example(5, dtype=torch.float32)
        example = example._replace(logits=example.logits.to(dtype), dtm=40 * example.dtm)
        outside, _ = value_and_gradient(module, example)
        with torch.autocast("cpu", dtype=dtype):
            inside, _ = value_and_gradient(module, example)
        assert inside.dtype == torch.float32
        torch.testing.assert_close(inside, outside, rtol=0, atol=0)

    @every_loss
    def test_half_precision_is_widened_before_anything_is_squared(self, loss: Loss) -> None:
        # 400^2 mm^2 is beyond float16. The inputs are rounded first, so that both sides see the same numbers.
        example = random_example(6)
        half = Example(*(t.half() for t in example[:3]), (40 * example.dtm).half(), example[4].half())
        value = loss(half)
        assert value.dtype == torch.float32
        expected = loss(Example(*(t.double() for t in half)))
        torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-5)

    @every_loss
    def test_float32_is_right_to_six_digits(self, loss: Loss) -> None:
        example = random_example(7, spatial=(20, 30))
        single = Example(*(t.float() for t in example))
        torch.testing.assert_close(loss(single).double(), loss(example), rtol=1e-5, atol=1e-5)

    @every_loss
    def test_float64_stays(self, loss: Loss) -> None:
        assert loss(random_example(8)).dtype == torch.float64


class TestModules:
    @pytest.mark.parametrize("name", LOSSES)
    def test_a_module_computes_its_function(self, name: str) -> None:
        example = random_example(9)
        torch.testing.assert_close(MODULES[name](inputs_of(example)), LOSSES[name](example))

    @every_module
    def test_a_module_has_no_state(self, module: nn.Module) -> None:
        assert not module.state_dict()

    @pytest.mark.parametrize("name", ["hausdorff", "boundary", "generalized_surface"])
    def test_missing_maps(self, name: str) -> None:
        inputs = inputs_of(random_example(10))._replace(dtm=None)
        message = f"{type(MODULES[name]).__name__} needs distance maps, and the inputs hold none"
        with pytest.raises(ValueError, match=message):
            MODULES[name](inputs)

    @pytest.mark.parametrize("name", ["generalized_dice_dataset", "generalized_surface"])
    def test_missing_weights(self, name: str) -> None:
        inputs = inputs_of(random_example(10))._replace(class_weights=None)
        message = f"{type(MODULES[name]).__name__} needs class weights, and the inputs hold none"
        with pytest.raises(ValueError, match=message):
            MODULES[name](inputs)

    def test_all_names_are_exported(self) -> None:
        assert sorted(losses.__all__) == losses.__all__
        assert all(hasattr(losses, name) for name in losses.__all__)


class TestErrors:
    @every_loss
    def test_a_target_of_another_shape(self, loss: Loss) -> None:
        example = random_example(11)
        with pytest.raises(
            ValueError, match=r"^target_onehot has shape \(2, 3, 4, 4\), .* has \(2, 3, 4, 5\)$"
        ):
            loss(example._replace(target_onehot=example.target_onehot[..., :-1]))

    @every_loss
    @pytest.mark.parametrize("spatial", [(4,), (2, 2, 2, 2)])
    def test_neither_two_nor_three_spatial_axes(self, loss: Loss, spatial: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=r"has shape .*, expected \(B, C, \*spatial\) in 2D or 3D$"):
            loss(random_example(12, spatial=spatial))

    @pytest.mark.parametrize("name", ["hausdorff", "boundary", "generalized_surface"])
    def test_a_map_of_another_shape(self, name: str) -> None:
        example = random_example(13)
        with pytest.raises(ValueError, match=r"^dtm has shape \(2, 1, 4, 5\), probs has \(2, 3, 4, 5\)$"):
            LOSSES[name](example._replace(dtm=example.dtm[:, :1]))

    @pytest.mark.parametrize("name", ["generalized_dice_dataset", "generalized_surface"])
    @pytest.mark.parametrize("shape", [(2,), (1, 3), ()])
    def test_weights_of_another_shape(self, name: str, shape: tuple[int, ...]) -> None:
        with pytest.raises(
            ValueError, match=r"^class_weights has shape \(.*\), expected \(3,\), one per class$"
        ):
            LOSSES[name](random_example(14)._replace(class_weights=torch.ones(shape)))


class TestAnnotations:
    """The shapes in the signatures hold for the arguments and for the result."""

    example = random_example(15)
    arguments = (
        pytest.param(losses.dice_loss, ("probs", "target_onehot"), id="dice"),
        pytest.param(losses.cross_entropy_loss, ("logits", "target_onehot"), id="cross_entropy"),
        pytest.param(losses.dice_ce_loss, ("logits", "target_onehot", "probs"), id="dice_ce"),
        pytest.param(
            losses.generalized_dice_loss, ("probs", "target_onehot", "class_weights"), id="generalized_dice"
        ),
        pytest.param(losses.hausdorff_loss, ("probs", "target_onehot", "dtm"), id="hausdorff"),
        pytest.param(losses.boundary_loss, ("probs", "target_onehot", "dtm"), id="boundary"),
        pytest.param(
            losses.generalized_surface_loss,
            ("probs", "target_onehot", "dtm", "class_weights"),
            id="generalized_surface",
        ),
    )

    @pytest.mark.parametrize(("function", "names"), arguments)
    def test_shapes_that_agree_are_accepted(
        self, function: Callable[..., Tensor], names: tuple[str, ...]
    ) -> None:
        checked = jaxtyping.jaxtyped(function, typechecker=beartype.beartype)
        value = checked(**{name: getattr(self.example, name) for name in names})
        torch.testing.assert_close(value, function(**{name: getattr(self.example, name) for name in names}))

    @pytest.mark.parametrize(("function", "names"), arguments)
    def test_shapes_that_differ_are_refused(
        self, function: Callable[..., Tensor], names: tuple[str, ...]
    ) -> None:
        checked = jaxtyping.jaxtyped(function, typechecker=beartype.beartype)
        for wrong in names:
            tensors = {name: getattr(self.example, name) for name in names}
            tensors[wrong] = tensors[wrong][..., :-1]
            with pytest.raises(jaxtyping.TypeCheckError, match=wrong):
                checked(**tensors)

    def test_inputs_and_combination(self) -> None:
        from_logits = jaxtyping.jaxtyped(LossInputs.from_logits, typechecker=beartype.beartype)
        labels = self.example.target_onehot.argmax(dim=1)
        for target in (labels, labels[:, None]):
            from_logits(self.example.logits, target, dtm=self.example.dtm)
        combine = jaxtyping.jaxtyped(losses.weighted_combination, typechecker=beartype.beartype)
        assert combine(torch.tensor(1.0), torch.tensor(3.0), 0.5).item() == 2.0
        with pytest.raises(jaxtyping.TypeCheckError, match="region"):
            combine(torch.ones(2), torch.tensor(3.0), 0.5)
