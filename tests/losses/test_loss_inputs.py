"""What a training step hands to the losses."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from loss_examples import few, random_example

from gsl_experiments.losses import LossInputs


def test_by_hand() -> None:
    # Logits 0 and log 3 are probabilities 1/4 and 3/4.
    logits = torch.tensor([1.0, 3.0]).log().reshape(1, 2, 1, 1).expand(1, 2, 1, 3)
    target = torch.tensor([[[[0, 1, -1]]]])
    inputs = LossInputs.from_logits(logits, target)
    torch.testing.assert_close(inputs.probs[0, :, 0, 0], torch.tensor([0.25, 0.75]))
    torch.testing.assert_close(inputs.probs[0, :, 0, 2], torch.tensor([0.0, 0.0]))  # no reference
    assert inputs.target_onehot.tolist() == [[[[1, 0, 0]], [[0, 1, 0]]]]
    assert inputs.dtm is None
    assert inputs.class_weights is None


@few
@given(
    seed=st.integers(0, 10**6),
    spatial=st.sampled_from([(4, 5), (2, 3, 4)]),
    label_type=st.sampled_from([torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64]),
)
def test_labels_become_one_hot(seed: int, spatial: tuple[int, ...], label_type: torch.dtype) -> None:
    example = random_example(seed, spatial=spatial)
    labels = example.target_onehot.argmax(dim=1, keepdim=True).to(label_type)
    for target in (labels, labels[:, 0]):
        inputs = LossInputs.from_logits(example.logits, target)
        torch.testing.assert_close(inputs.target_onehot, example.target_onehot)
        torch.testing.assert_close(inputs.probs, example.probs)


@pytest.mark.parametrize(
    ("given_type", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_everything_is_at_least_float32(given_type: torch.dtype, expected: torch.dtype) -> None:
    example = random_example(0)
    inputs = LossInputs.from_logits(
        example.logits.to(given_type),
        torch.zeros(2, 1, 4, 5, dtype=torch.int16),
        dtm=example.dtm.half(),
        class_weights=example.class_weights,
    )
    assert all(tensor is not None and tensor.dtype == expected for tensor in inputs)


def test_the_gradient_reaches_the_logits_and_nothing_else() -> None:
    logits = torch.zeros(1, 2, 3, 3, requires_grad=True)
    inputs = LossInputs.from_logits(logits, torch.zeros(1, 3, 3, dtype=torch.int64))
    assert inputs.probs.requires_grad
    assert not inputs.target_onehot.requires_grad
    inputs.probs[:, 0].sum().backward()
    torch.testing.assert_close(logits.grad[:, 0], torch.full((1, 3, 3), 0.25))


class TestErrors:
    logits = torch.zeros(2, 3, 4, 5)
    target = torch.zeros(2, 1, 4, 5, dtype=torch.int64)

    @pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5, 6, 7)])
    def test_logits_without_two_or_three_spatial_axes(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(
            ValueError, match=r"logits has shape .*, expected \(B, C, \*spatial\) in 2D or 3D"
        ):
            LossInputs.from_logits(torch.zeros(shape), self.target)

    @pytest.mark.parametrize("shape", [(2, 2, 4, 5), (2, 4, 4), (1, 4, 5), (4, 5)])
    def test_a_target_of_another_shape(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=r"target has shape .*, expected \(2, 1, 4, 5\) or \(2, 4, 5\)"):
            LossInputs.from_logits(self.logits, torch.zeros(shape, dtype=torch.int64))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
    def test_a_target_that_holds_no_labels(self, dtype: torch.dtype) -> None:
        with pytest.raises(ValueError, match=r"target has dtype torch\..*, expected integer labels"):
            LossInputs.from_logits(self.logits, self.target.to(dtype))

    def test_a_map_of_another_shape(self) -> None:
        with pytest.raises(ValueError, match=r"dtm has shape \(2, 2, 4, 5\), logits has \(2, 3, 4, 5\)"):
            LossInputs.from_logits(self.logits, self.target, dtm=torch.zeros(2, 2, 4, 5))

    def test_weights_of_another_length(self) -> None:
        with pytest.raises(
            ValueError, match=r"class_weights has shape \(2,\), expected \(3,\), one per class"
        ):
            LossInputs.from_logits(self.logits, self.target, class_weights=torch.ones(2))

    def test_a_label_out_of_range(self) -> None:
        with pytest.raises(RuntimeError, match="index 3 is out of bounds"):
            LossInputs.from_logits(self.logits, self.target + 3)
