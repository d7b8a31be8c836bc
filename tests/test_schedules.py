"""Schedules of alpha: worked by hand, against eqs. (14) to (16), and what the paper promises in words."""

import itertools
import math
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gsl_experiments.schedules import Formula, constant, cosine, linear, step

few = settings(max_examples=100, deadline=None, derandomize=True)
FORMULAS: tuple[Formula, ...] = ("prose", "equation", "released_code")


def over_a_run(schedule: Callable[[int, int], float], epochs: int) -> list[float]:
    return [schedule(epoch, epochs) for epoch in range(epochs)]


class TestByHand:
    def test_linear(self) -> None:
        assert over_a_run(linear, 5) == [1.0, 0.75, 0.5, 0.25, 0.0]

    def test_linear_as_printed_ends_above_zero(self) -> None:
        assert over_a_run(partial(linear, formula="equation"), 4) == [1.0, 0.75, 0.5, 0.25]

    def test_linear_as_released_waits_five_epochs(self) -> None:
        # Ten epochs: 1 up to t = 5, then 9 - 5 = 4 equal steps down.
        alphas = over_a_run(partial(linear, formula="released_code"), 10)
        assert alphas == [1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0]

    def test_step(self) -> None:
        # Steps begin at t = 3, 6 and 9: N = floor(9 / 3) = 3 of them.
        alphas = over_a_run(partial(step, length=3), 10)
        assert alphas == pytest.approx([1, 1, 1, 2 / 3, 2 / 3, 2 / 3, 1 / 3, 1 / 3, 1 / 3, 0])

    def test_step_where_the_length_divides_the_run(self) -> None:
        # N = floor(8 / 3) = 2: the last three epochs are at 0.
        assert over_a_run(partial(step, length=3), 9) == [1, 1, 1, 0.5, 0.5, 0.5, 0, 0, 0]

    def test_step_as_printed(self) -> None:
        # N = 9 / 3 = 3, of which only two steps begin before the run is over.
        alphas = over_a_run(partial(step, length=3, formula="equation"), 9)
        assert alphas == pytest.approx([1, 1, 1, 2 / 3, 2 / 3, 2 / 3, 1 / 3, 1 / 3, 1 / 3])

    def test_step_as_released(self) -> None:
        # N = floor(10 / 3) - 1 = 2: at 0 from t = 6, where the fourth plateau would overshoot.
        alphas = over_a_run(partial(step, length=3, formula="released_code"), 10)
        assert alphas == [1, 1, 1, 0.5, 0.5, 0.5, 0, 0, 0, 0]

    def test_cosine(self) -> None:
        # cos of 0, pi/3, 2 pi/3 and pi: 1, 1/2, -1/2 and -1.
        assert over_a_run(cosine, 4) == pytest.approx([1.0, 0.75, 0.25, 0.0])

    def test_cosine_as_printed(self) -> None:
        # cos of 0, pi/3 and 2 pi/3.
        alphas = over_a_run(partial(cosine, formula="equation"), 3)
        assert alphas == pytest.approx([1.0, 0.75, 0.25])

    def test_constant(self) -> None:
        assert over_a_run(partial(constant, alpha=0.3), 4) == [0.3] * 4
        assert over_a_run(constant, 2) == [0.5, 0.5]


@pytest.mark.parametrize("epochs", [2, 7, 200, 250])
def test_equations_as_printed(epochs: int) -> None:
    for t in range(epochs):
        assert linear(t, epochs, formula="equation") == pytest.approx(1 - t / epochs)
        assert cosine(t, epochs, formula="equation") == pytest.approx(math.cos(math.pi * t / epochs / 2) ** 2)
        for h in range(1, epochs, 7):
            steps_taken = sum(1 for epoch in range(1, t + 1) if epoch % h == 0)
            steps_in_all = sum(1 for epoch in range(1, epochs + 1) if epoch % h == 0)
            expected = 1 - steps_taken / steps_in_all
            assert step(t, epochs, length=h, formula="equation") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("epochs", "length"), [(250, 5), (250, 25), (250, 50), (200, 5), (200, 25), (200, 50)]
)
def test_the_papers_step_schedules_as_released(epochs: int, length: int) -> None:
    # All of the paper's lengths divide its runs, and the words and the released code then say the same.
    alphas = over_a_run(partial(step, length=length, formula="released_code"), epochs)
    assert alphas == over_a_run(partial(step, length=length), epochs)
    assert alphas[-length:] == [0.0] * length
    assert alphas[-length - 1] > 0.0


def test_cosine_as_released_follows_the_words() -> None:
    assert over_a_run(partial(cosine, formula="released_code"), 20) == over_a_run(cosine, 20)


class TestPromises:
    """What the paper says in words, for any run."""

    @few
    @given(epochs=st.integers(2, 400))
    def test_one_in_the_first_epoch_and_zero_in_the_last(self, epochs: int) -> None:
        for schedule in (linear, cosine):
            assert schedule(0, epochs) == 1.0
            assert schedule(epochs - 1, epochs) == 0.0

    @few
    @given(data=st.data(), epochs=st.integers(2, 120))
    def test_step_falls_from_one_to_zero_in_equal_steps(self, data: st.DataObject, epochs: int) -> None:
        length = data.draw(st.integers(1, epochs - 1))
        alphas = over_a_run(partial(step, length=length), epochs)
        assert alphas[:length] == [1.0] * length
        assert alphas[-1] == 0.0
        falls = [before - after for before, after in itertools.pairwise(alphas)]
        height = falls[length - 1]
        assert height > 0.0
        for epoch, fall in enumerate(falls, start=1):
            assert fall == (pytest.approx(height) if epoch % length == 0 else 0.0)

    @few
    @given(epochs=st.integers(2, 200))
    def test_linear_is_a_step_schedule_of_length_one(self, epochs: int) -> None:
        assert over_a_run(partial(step, length=1), epochs) == over_a_run(linear, epochs)

    @few
    @given(epochs=st.integers(7, 200), formula=st.sampled_from(FORMULAS))
    def test_never_rises_and_stays_between_zero_and_one(self, epochs: int, formula: Formula) -> None:
        for schedule in (linear, cosine, partial(step, length=3)):
            alphas = over_a_run(partial(schedule, formula=formula), epochs)
            assert alphas == sorted(alphas, reverse=True)
            assert alphas[0] == 1.0
            assert 0.0 <= alphas[-1] < 1.0

    @pytest.mark.parametrize("formula", FORMULAS)
    def test_a_run_of_one_epoch_is_all_region_loss(self, formula: Formula) -> None:
        assert linear(0, 1, formula=formula) == 1.0
        assert cosine(0, 1, formula=formula) == 1.0
        assert step(0, 1, length=5, formula=formula) == 1.0


class TestErrors:
    schedules = (linear, cosine, constant, partial(step, length=2))

    @pytest.mark.parametrize("schedule", schedules)
    @pytest.mark.parametrize("epoch", [-1, 10])
    def test_an_epoch_outside_the_run(self, schedule: Callable[[int, int], float], epoch: int) -> None:
        with pytest.raises(
            ValueError, match=f"epoch {epoch} is outside a run of 10 epochs, counted from 0 to 9"
        ):
            schedule(epoch, 10)

    @pytest.mark.parametrize("schedule", schedules)
    def test_a_run_without_epochs(self, schedule: Callable[[int, int], float]) -> None:
        with pytest.raises(ValueError, match="a run of 0 epochs: expected at least 1"):
            schedule(0, 0)

    @pytest.mark.parametrize("schedule", [linear, cosine, partial(step, length=2)])
    def test_an_unknown_formula(self, schedule: Callable[..., float]) -> None:
        with pytest.raises(ValueError, match='formula is "eq15", expected one of'):
            schedule(0, 10, formula="eq15")

    @pytest.mark.parametrize(
        ("length", "epochs", "formula"),
        [
            (50, 40, "prose"),
            (50, 50, "prose"),
            (50, 40, "equation"),
            (50, 50, "equation"),
            (50, 99, "released_code"),
        ],
    )
    def test_steps_too_long_for_the_run(self, length: int, epochs: int, formula: Formula) -> None:
        with pytest.raises(ValueError, match=f"steps of {length} epochs do not fit a run of {epochs}: alpha"):
            step(0, epochs, length=length, formula=formula)

    def test_a_step_of_no_length(self) -> None:
        with pytest.raises(ValueError, match="a step of 0 epochs: expected at least 1"):
            step(0, 10, length=0)

    def test_a_run_shorter_than_the_released_wait(self) -> None:
        with pytest.raises(ValueError, match="in a run of 6 epochs alpha never leaves 1"):
            linear(0, 6, formula="released_code")

    @pytest.mark.parametrize("alpha", [-0.1, 1.1, math.nan])
    def test_a_constant_outside_its_range(self, alpha: float) -> None:
        with pytest.raises(ValueError, match=r"alpha is .*, expected a number in \[0, 1\]"):
            constant(0, 10, alpha=alpha)
