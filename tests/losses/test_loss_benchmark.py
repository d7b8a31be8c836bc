"""The benchmark of the losses compares equal things, and says so where they are not."""

import pytest

from benchmarks import loss
from benchmarks.turns import DisagreementError


def test_the_released_equations_are_ours_but_for_their_small_constant() -> None:
    logits, losses = loss._losses(side=6, classes=3)
    loss._check_agreement(losses, logits)


@pytest.mark.parametrize("wrong", [loss.PLAIN, loss.RELEASED])
def test_a_loss_that_differs_is_named(wrong: str) -> None:
    logits, losses = loss._losses(side=6, classes=3)
    right = losses[wrong]
    losses[wrong] = lambda logits: 1.001 * right(logits)
    with pytest.raises(DisagreementError, match=f"{loss.OURS} and {wrong} differ in the value by 1.0e-03"):
        loss._check_agreement(losses, logits)


def test_without_a_compiler_one_contestant_is_missing() -> None:
    def fail() -> None:
        raise RuntimeError("no C++ compiler\nmore")

    work = {loss.COMPILED: fail, loss.OURS: lambda: None}
    assert loss._warm_up(work) == {loss.COMPILED: "torch.compile: no C++ compiler"}
    assert list(work) == [loss.OURS]


def test_the_logits_keep_no_gradient() -> None:
    logits, losses = loss._losses(side=4, classes=2)
    values: dict[str, float] = {}
    loss._both_ways(loss.OURS, losses[loss.OURS], logits, values)
    assert not logits.requires_grad
    assert 0 < values[loss.OURS] < 2
