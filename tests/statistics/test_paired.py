"""A run against a baseline: worked examples of books and papers, arithmetic by hand, and what ties and odd sizes do."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from statsmodels.stats.multitest import multipletests

from gsl_experiments.statistics import compare_paired, holm

# Siegel, Nonparametric Statistics for the Behavioral Sciences (1956), p. 77: social perceptiveness of eight pairs of
# twins, one of each at nursery school, the other at home.
NURSERY = (82, 69, 73, 43, 58, 56, 76, 65)
HOME = (63, 42, 74, 37, 51, 43, 80, 62)

# Darwin's maize (Fisher, The Design of Experiments, 1935): cross- minus self-fertilised, eighths of an inch.
MAIZE = (49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48)

# Hollander and Wolfe, Nonparametric Statistical Methods (1973), p. 29: depression before and after tranquilliser.
BEFORE = (1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30)
AFTER = (0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29)


def against_zero(differences, *, higher_is_better=True, **options):
    return compare_paired(
        differences, np.zeros(len(differences)), higher_is_better=higher_is_better, **options
    )


def test_siegel_s_twins():
    outcome = compare_paired(NURSERY, HOME, higher_is_better=True)
    # Differences 19 27 -1 6 7 13 -4 3 rank 7 8 1 4 5 6 3 2: negative ranks 1 + 3 = 4, positive 32. Of the 256
    # signs 7 give a sum of at most 4, so p = 14/256. Effect (32 - 4) / 36.
    assert outcome.statistic == 4
    assert outcome.p_value == pytest.approx(14 / 256)
    assert outcome.effect_size == pytest.approx(28 / 36)
    assert (outcome.n, outcome.better, outcome.equal, outcome.worse) == (8, 6, 0, 2)
    assert outcome.mean_difference == 70 / 8


def test_darwin_s_maize():
    outcome = against_zero(MAIZE)
    assert outcome.statistic == 24
    assert outcome.p_value == pytest.approx(0.0413, abs=5e-5)
    assert outcome.mean_difference == pytest.approx(314 / 15)


def test_hollander_and_wolfe_s_depression():
    outcome = compare_paired(BEFORE, AFTER, higher_is_better=False)
    assert outcome.statistic == 5  # 45 less the 40 of the book
    assert outcome.p_value == pytest.approx(2 * 0.01953, abs=5e-5)  # one-sided in the book
    assert outcome.effect_size == pytest.approx((5 - 40) / 45)  # after is lower, so before is worse


def test_lower_is_better_turns_the_effect_and_nothing_else():
    higher, lower = against_zero(MAIZE), against_zero(MAIZE, higher_is_better=False)
    assert lower.effect_size == -higher.effect_size
    assert (lower.better, lower.worse) == (higher.worse, higher.better)
    assert (lower.p_value, lower.mean_difference, lower.low) == (
        higher.p_value,
        higher.mean_difference,
        higher.low,
    )


def test_cases_without_a_difference_take_ranks_but_no_side():
    # Zeros take ranks 1 and 2; 1, 2, -3 take 3, 4, 5: for 7, against 5.
    outcome = against_zero([0, 0, 1, 2, -3])
    assert (outcome.better, outcome.equal, outcome.worse) == (2, 2, 1)
    assert outcome.effect_size == pytest.approx(2 / 12)
    # Of the eight signs of 3, 4, 5 the sums are 0 3 4 5 7 8 9 12: six of them are as far from 6 as 5 and 7 are.
    assert outcome.p_value == pytest.approx(1.0)


@pytest.mark.parametrize(("differ", "p"), [(4, 2 / 2**4), (5, 2 / 2**5), (7, 2 / 2**7)])
def test_cases_without_a_difference_add_no_certainty(differ, p):
    """Of the 2^k signs of k cases one is as far to this side, and one to the other, however many cases are equal."""
    assert against_zero([0.0] * (131 - differ) + [1.0] * differ).p_value == p


@settings(deadline=None, max_examples=30)
@given(arrays(np.float64, st.integers(2, 12), elements=st.integers(-3, 3)))
def test_the_exact_test_is_that_of_all_signs(differences):
    """SciPy's permutation of every sign of Wilcoxon's statistic, zeros and ties included."""
    if not differences.any():
        return
    every = stats.PermutationMethod(n_resamples=2**13)
    expected = stats.wilcoxon(differences, zero_method="pratt", method=every).pvalue
    found = compare_paired(differences, np.zeros_like(differences), higher_is_better=True, resamples=20)
    assert found.p_value == pytest.approx(expected)


@pytest.mark.parametrize("method", ["exact", "approx"])
def test_many_pairs_agree_with_scipy(method):
    differences = np.random.default_rng(5).normal(0.3, 1.0, 50 if method == "exact" else 80)
    expected = stats.wilcoxon(differences, zero_method="pratt", method=method).pvalue
    assert against_zero(differences).p_value == pytest.approx(expected)


def test_differences_that_are_equal_but_for_rounding_are_ties():
    outcome = compare_paired([2.1, 0.7, 1.4], [1.4, 0.0, 2.1], higher_is_better=True)
    assert outcome.effect_size == pytest.approx((2 + 2 - 2) / 6)


def test_no_difference_anywhere():
    outcome = against_zero([0.0, 0.0, 0.0])
    assert (outcome.p_value, outcome.effect_size, outcome.low, outcome.high) == (1, 0, 0, 0)


def test_one_pair_has_no_interval_and_a_constant_difference_a_point():
    single = against_zero([2.0])
    assert (single.n, single.p_value, single.mean_difference) == (1, 1, 2)
    assert math.isnan(single.low)
    assert math.isnan(single.high)
    constant = against_zero([2.0] * 5)
    assert (constant.low, constant.high) == (2, 2)


def test_the_interval_of_nearly_normal_numbers_is_student_s():
    normal = np.random.default_rng(3).normal(1.0, 2.0, 400)
    outcome = against_zero(normal)
    half = 1.966 * normal.std(ddof=1) / 20  # Student's 97.5 % quantile with 399 degrees of freedom
    assert outcome.low == pytest.approx(normal.mean() - half, abs=0.02)
    assert outcome.high == pytest.approx(normal.mean() + half, abs=0.02)


def test_the_interval_leans_towards_a_heavy_tail():
    skewed = np.random.default_rng(0).exponential(size=60)
    outcome = against_zero(skewed)
    assert outcome.high - skewed.mean() > 1.1 * (skewed.mean() - outcome.low)


def test_a_wider_confidence_is_a_wider_interval_and_the_seed_repeats_it():
    narrow, wide = against_zero(MAIZE, confidence=0.5), against_zero(MAIZE, confidence=0.99)
    assert wide.low < narrow.low < narrow.mean_difference < narrow.high < wide.high
    assert against_zero(MAIZE, seed=1) == against_zero(MAIZE, seed=1)
    assert against_zero(MAIZE, seed=1).low != against_zero(MAIZE, seed=2, resamples=500).low


@settings(deadline=None, max_examples=20)
@given(arrays(np.float64, st.integers(2, 7), elements=st.integers(-5, 5)))
def test_exchanging_the_two_turns_every_sign(differences):
    zeros = np.zeros_like(differences)
    there = compare_paired(differences, zeros, higher_is_better=True, resamples=20)
    back = compare_paired(zeros, differences, higher_is_better=True, resamples=20)
    assert (back.mean_difference, back.effect_size) == (-there.mean_difference, -there.effect_size)
    assert back.p_value == pytest.approx(there.p_value)
    assert -1 <= there.effect_size <= 1
    assert 0 <= there.p_value <= 1


@pytest.mark.parametrize(
    ("values", "baseline", "message"),
    [
        ([1, 2], [1], "broadcast|equally long"),
        ([1, 2, 3], [1], "equally long"),
        ([], [], "at least one pair"),
        ([1, math.nan], [1, 2], "finite"),
    ],
)
def test_what_cannot_be_compared(values, baseline, message):
    with pytest.raises(ValueError, match=message):
        compare_paired(values, baseline, higher_is_better=True)


def test_holm_s_steps_by_hand():
    # Sorted 0.005 0.01 0.03 0.04: times 4, 3, 2, 1 is 0.02 0.03 0.06 0.04; the last may not fall below 0.06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


def test_holm_is_that_of_statsmodels():
    p_values = np.random.default_rng(0).uniform(0, 0.2, 20)
    p_values[3] = p_values[7]
    assert holm(list(p_values)) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_holm_in_demsar_s_comparison_with_c45():
    # Demsar (JMLR 7, 2006), section 3.2.2: 0.016 < 0.05/3 and 0.019 < 0.05/2 are rejected, 0.607 is not.
    adjusted = holm([0.016, 0.019, 0.607])
    assert [p < 0.05 for p in adjusted] == [True, True, False]
    assert adjusted == pytest.approx([0.048, 0.048, 0.607])
