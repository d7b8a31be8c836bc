"""Mean ranks, Friedman's test and Nemenyi's critical difference against published examples and another library."""

import math

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from hypothesis import given, settings
from hypothesis import strategies as st

from gsl_experiments.statistics import critical_difference, ranks

# Demsar, Statistical Comparisons of Classifiers over Multiple Data Sets (JMLR 7, 2006), table 6: area under the curve
# of C4.5 with and without two tuned parameters, on 14 data sets. The last but
# one, voting, prints 0.975 twice and ranks the two 2 and 3: the digit that rounding took is put back.
AUC = {
    "C4.5": (
        [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.000, 0.940, 0.619, 0.972, 0.957]
    ),
    "C4.5+m": (
        [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.000, 0.962, 0.666, 0.981, 0.978]
    ),
    "C4.5+cf": (
        [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.000, 0.965, 0.614, 0.9751, 0.946]
    ),
    "C4.5+m+cf": (
        [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.000, 0.962, 0.669, 0.975, 0.970]
    ),
}

# Hollander and Wolfe, Nonparametric Statistical Methods (1973), p. 140: seconds of 22 players with three ways of
# rounding first base.
BASE = """5.40 5.50 5.55 5.85 5.70 5.75 5.20 5.60 5.50 5.55 5.50 5.40 5.90 5.85 5.70 5.45 5.55 5.60 5.40 5.40 5.35
5.45 5.50 5.35 5.25 5.15 5.00 5.85 5.80 5.70 5.25 5.20 5.10 5.65 5.55 5.45 5.60 5.35 5.45 5.05 5.00 4.95 5.50 5.50
5.40 5.45 5.55 5.50 5.55 5.55 5.35 5.45 5.50 5.55 5.50 5.45 5.25 5.65 5.60 5.40 5.70 5.65 5.55 6.30 6.30 6.25"""


def tidy(columns):
    """Variant -> values, as one row a case and variant."""
    return (
        pd.DataFrame(columns)
        .rename_axis("case")
        .reset_index()
        .melt("case", var_name="variant", value_name="value")
    )


def test_demsar_s_classifiers():
    outcome = ranks(tidy(AUC), "value", higher_is_better=True)
    assert outcome.n == 14
    published = {"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}
    assert outcome.mean_rank == pytest.approx(published, abs=5e-4)
    assert list(outcome.mean_rank) == ["C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"]
    assert outcome.critical_difference == pytest.approx(1.25, abs=5e-3)
    # 9.28 in the paper, which leaves the ties uncorrected; correction makes it larger.
    plain = 12 * 14 / (4 * 5) * (sum(rank**2 for rank in outcome.mean_rank.values()) - 4 * 5**2 / 4)
    assert plain == pytest.approx(9.28, abs=5e-3)
    assert outcome.friedman > plain
    assert outcome.cliques == (("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"),)


def test_demsar_s_critical_values():
    # Table 5a of the same paper: critical values for Nemenyi's test at 0.05, for 2 to 10 classifiers.
    table = (1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164)
    for k, value in enumerate(table, start=2):
        assert critical_difference(k, 1) / math.sqrt(k * (k + 1) / 6) == pytest.approx(value, abs=1.1e-3)
    assert critical_difference(4, 14, alpha=0.10) == pytest.approx(2.291 * math.sqrt(20 / 84), abs=1e-3)


def test_hollander_and_wolfe_s_first_base():
    seconds = np.array(BASE.split(), float).reshape(22, 3)
    columns = dict(zip(("round out", "narrow", "wide"), seconds.T, strict=True))
    outcome = ranks(tidy(columns), "value", higher_is_better=False)
    assert outcome.friedman == pytest.approx(11.1429, abs=5e-5)
    assert outcome.p_value == pytest.approx(0.003805, abs=5e-7)
    sums = {name: round(22 * rank, 6) for name, rank in outcome.mean_rank.items()}
    assert sums == {"wide": 32, "narrow": 47, "round out": 53}
    # Critical difference 2.343 sqrt(3 * 4 / (6 * 22)) = 0.706: 15 / 22 and 6 / 22 are below it, 21 / 22 is not.
    assert outcome.cliques == (("wide", "narrow"), ("narrow", "round out"))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_the_same_pairs_are_told_apart_as_by_another_library(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 9, (12, 5)) + rng.integers(0, 4) * np.arange(5)
    names = list("abcde")
    outcome = ranks(tidy(dict(zip(names, values.T, strict=True))), "value", higher_is_better=False)
    p_values = scikit_posthocs.posthoc_nemenyi_friedman(values)
    for first in range(5):
        for second in range(first):
            apart = p_values.iloc[first, second] < 0.05
            together = any({names[first], names[second]} <= set(clique) for clique in outcome.cliques)
            assert together != apart


def test_ties_share_their_ranks_and_better_is_first():
    frame = tidy({"a": [1.0, 2.0], "b": [1.0, 3.0], "c": [5.0, 9.0]})
    assert ranks(frame, "value", higher_is_better=False).mean_rank == {"a": 1.25, "b": 1.75, "c": 3.0}
    assert ranks(frame, "value", higher_is_better=True).mean_rank == {"c": 1.0, "b": 2.25, "a": 2.75}


def test_cases_that_a_variant_lacks_are_left_out():
    frame = tidy({"a": [1.0, 2.0, 9.0], "b": [2.0, 3.0, 1.0]})
    frame = frame.drop(index=frame[(frame["variant"] == "b") & (frame["case"] == 2)].index)
    outcome = ranks(frame, "value", higher_is_better=False)
    assert outcome.n == 2
    assert outcome.mean_rank == {"a": 1.0, "b": 2.0}


def test_groups_that_overlap_and_variants_alone():
    # Four variants always in the same order: mean ranks 1, 2, 3, 4.
    few = ranks(tidy({name: [i] * 10 for i, name in enumerate("abcd")}), "value", higher_is_better=False)
    assert few.critical_difference == pytest.approx(1.483, abs=1e-3)  # 2.569 sqrt(20/60)
    assert few.cliques == (("a", "b"), ("b", "c"), ("c", "d"))
    many = ranks(tidy({name: [i] * 100 for i, name in enumerate("abcd")}), "value", higher_is_better=False)
    assert many.cliques == ()


def test_two_variants_have_no_friedman_and_equal_ones_no_difference():
    pair = ranks(tidy({"a": [1.0, 2.0], "b": [2.0, 1.0]}), "value", higher_is_better=True)
    assert math.isnan(pair.friedman)
    assert math.isnan(pair.p_value)
    equal = ranks(tidy({name: [1.0, 2.0] for name in "abc"}), "value", higher_is_better=True)
    assert (equal.friedman, equal.p_value) == (0, 1)
    assert set(equal.mean_rank.values()) == {2.0}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [1.0]}, "two variants or more"),
        ({"a": [1.0, math.nan], "b": [math.nan, 1.0]}, "with a case in common"),
        ({"a": [1.0, 2.0], "b": [math.inf, 1.0]}, "finite"),
    ],
)
def test_what_cannot_be_ranked(columns, message):
    with pytest.raises(ValueError, match=message):
        ranks(tidy(columns), "value", higher_is_better=True)


def test_a_case_twice():
    frame = tidy({"a": [1.0], "b": [2.0]})
    with pytest.raises(ValueError, match="one row a case and variant"):
        ranks(pd.concat([frame, frame]), "value", higher_is_better=True)
