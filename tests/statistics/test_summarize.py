"""Mean, standard deviation, median and quartiles by hand."""

import math

import pytest

from gsl_experiments.statistics import Summary, summarize


def test_by_hand():
    # Mean 4; squared deviations 9 + 4 + 1 + 0 + 36 = 50, over 5 is 10. Five cases: quartiles are the 2nd and 4th.
    assert summarize([10, 1, 2, 3, 4]) == Summary(5, 4.0, math.sqrt(10), 3.0, 2.0, 4.0)
    # Four cases: a quarter of the way from the 1st to the 4th is 0.75 of the way from the 1st to the 2nd.
    assert summarize([1.0, 2.0, 4.0, 8.0]).quartile1 == 1.75
    assert summarize([7.0]) == Summary(1, 7.0, 0.0, 7.0, 7.0, 7.0)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [[1.0]]])
def test_what_has_no_summary(values):
    with pytest.raises(ValueError, match="one finite number a case"):
        summarize(values)
