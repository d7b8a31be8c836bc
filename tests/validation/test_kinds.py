"""The list of kinds is complete, and the page about it says what the code says."""

import ast
from pathlib import Path

import pytest

import gsl_experiments
from gsl_experiments.validation import case_checks, spacing_checks
from gsl_experiments.validation.kinds import KINDS, kinds_table

PACKAGE = Path(gsl_experiments.__file__).parent
PAGE = (PACKAGE.parent / "docs" / "validation.md").read_text(encoding="utf-8")
CALLS = {"Finding": 1, "make_finding": 0, "found": 0, "_Unusable": 0, "Failure": 0}  # place of the kind


def kinds_in(file: Path) -> set[str]:
    """The kinds that calls in a module name."""
    kinds = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
            argument = node.args[CALLS[node.func.id] :][:1]
            kinds |= {a.value for a in argument if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    return kinds


@pytest.mark.parametrize("folder", ["datasets", "validation"])
def test_every_kind_that_is_found_is_explained(folder: str) -> None:
    found = set().union(*(kinds_in(file) for file in (PACKAGE / folder).glob("*.py")))
    assert found
    assert found <= KINDS.keys()


def test_the_page_has_the_table() -> None:
    """Write it with ``python -c "from gsl_experiments.validation.kinds import kinds_table; print(kinds_table())"``."""
    begin, end = "<!-- kinds: begin -->\n", "<!-- kinds: end -->"
    assert PAGE[PAGE.index(begin) + len(begin) : PAGE.index(end)] == kinds_table()


@pytest.mark.parametrize(
    "limit",
    [
        f"{spacing_checks.SMALLEST_SPACING_MM:g} to {spacing_checks.LARGEST_SPACING_MM:g} mm",
        f"{spacing_checks.SMALLEST_FIELD_MM:g} to {spacing_checks.LARGEST_FIELD_MM:g} mm",
        f"{spacing_checks.LARGEST_FACTOR:g} times the median",
        f"at or below {case_checks.HIGHEST_AIR_HU:g} HU and one at or above {case_checks.LOWEST_TISSUE_HU:g} HU",
        f"fewer than {case_checks.FEWEST_LABELLED_VOXELS} voxels",
        f"| {case_checks.CONTRADICTION_MM:g} mm |",
        f"{case_checks.HEADER_NOISE:g} mm, or {case_checks.HEADER_NOISE:g} in a direction cosine",
    ],
)
def test_the_page_has_the_limits(limit: str) -> None:
    assert limit in PAGE


def test_every_kind_says_what_it_means_and_what_to_do() -> None:
    for kind in KINDS.values():
        assert kind.meaning.endswith(".")
        assert not kind.remedy.endswith(".")
        assert "|" not in kind.meaning + kind.remedy
