"""Numbers as the paper's tables print them."""

import math

_MINUS = "\N{MINUS SIGN}"
_MOST_DECIMALS = 4


def format_number(value: float) -> str:
    """Five significant digits from 1 on, four decimals below: 0.9304, 9.0655, 30.530, 373.13.

    Args:
        value: finite and not negative.
    """
    return _with_decimals(value, _decimals(value))


def format_mean_std(mean: float, std: float) -> str:
    """Mean and standard deviation, each as `format_number` has it: 9.0655 (30.530)."""
    return f"{format_number(mean)} ({format_number(std)})"


def format_quartiles(median: float, quartile1: float, quartile3: float) -> str:
    """Median and quartiles, each as `format_number` has it: 4.1231 [2.2361, 9.4340]."""
    return f"{format_number(median)} [{format_number(quartile1)}, {format_number(quartile3)}]"


def format_difference(difference: float, *, beside: float) -> str:
    """Signed difference with as many decimals as the number that it stands beside; no sign for a zero."""
    return format_signed(difference, _decimals(beside))


def format_p(p_value: float) -> str:
    """A probability with three decimals; those that would print as zero as `<0.001`."""
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def format_signed(value: float, decimals: int) -> str:
    """Signed number with so many decimals; no sign for a zero."""
    digits = _with_decimals(abs(value), decimals)
    if float(digits) == 0:
        return digits
    return f"{_MINUS if value < 0 else '+'}{digits}"


def _decimals(value: float) -> int:
    """Decimals that leave five significant digits, counted after rounding: 9.99996 is 10.000."""
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"only finite numbers from 0 on are printed in the tables, not {value}")
    decimals = _MOST_DECIMALS
    while decimals and float(_with_decimals(value, decimals)) >= 10.0 ** (_MOST_DECIMALS + 1 - decimals):
        decimals -= 1
    return decimals


def _with_decimals(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}"
