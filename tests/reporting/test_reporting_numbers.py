"""The paper's numbers, printed as the paper prints them."""

import csv
import re
from pathlib import Path

import pytest

from gsl_experiments.errors import UserError
from gsl_experiments.reporting import read_paper_tables
from gsl_experiments.reporting.number_format import format_difference, format_mean_std, format_number
from gsl_experiments.reporting.paper import MeanStd

PAPER_FILE = Path(__file__).resolve().parents[2] / "results" / "paper" / "tables.csv"

with PAPER_FILE.open(newline="") as file:
    PAPER_ROWS = list(csv.DictReader(file))


def test_the_paper_has_44_rows():
    assert len(PAPER_ROWS) == 44


@pytest.mark.parametrize("row", PAPER_ROWS, ids=lambda row: "-".join(list(row.values())[:4]))
def test_every_number_of_the_paper_comes_back_as_printed(row):
    for metric in ("dice", "hd95_mm", "asd_mm"):
        mean, std = row[f"{metric}_mean"], row[f"{metric}_std"]
        assert format_mean_std(float(mean), float(std)) == f"{mean} ({std})"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0000"),
        (0.00004, "0.0000"),
        (1.0, "1.0000"),
        (9.99994, "9.9999"),
        (9.99996, "10.000"),
        (99.9996, "100.00"),
        (373.1286, "373.13"),
        (12345.6, "12346"),
    ],
)
def test_five_digits_after_rounding(value, text):
    assert format_number(value) == text


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_numbers_that_no_metric_can_have(value):
    with pytest.raises(ValueError, match="only finite numbers from 0 on"):
        format_number(value)


@pytest.mark.parametrize(
    ("difference", "beside", "text"),
    [
        (0.00123, 0.9304, "+0.0012"),
        (-1.4567, 30.53, "\N{MINUS SIGN}1.457"),
        (-0.00001, 0.9304, "0.0000"),
        (0.0, 9.0655, "0.0000"),
    ],
)
def test_differences_have_the_decimals_of_their_neighbour(difference, beside, text):
    assert format_difference(difference, beside=beside) == text


def test_rows_of_the_paper_by_our_names():
    paper = read_paper_tables(PAPER_FILE)
    assert paper.row(1, "lits", "Liver", "GSL") == {
        "dice": MeanStd(0.9302, 0.1075),
        "hd95_mm": MeanStd(8.9046, 28.205),
        "asd_mm": MeanStd(3.2791, 7.0823),
    }
    assert paper.row(2, "brats", "Tumor Core", "Step - 25")["asd_mm"] == MeanStd(3.5387, 27.425)
    # The linear GSL of Table 1 is the linear row of Table 2.
    for dataset, region in (("lits", "Liver"), ("brats", "Whole Tumor"), ("brats", "Enhancing Tumor")):
        assert paper.row(1, dataset, region, "GSL") == paper.row(2, dataset, region, "Linear")
    assert paper.row(1, "phantom_lits", "Liver", "GSL") == {}


def test_the_paper_s_file_is_missing_or_another(tmp_path):
    with pytest.raises(UserError, match=r"paper\.csv: no such file"):
        read_paper_tables(tmp_path / "paper.csv")
    (tmp_path / "paper.csv").write_text("table,dataset,region,variant,dice_mean\n")
    with pytest.raises(UserError, match="no column dice_std, hd95_mm_mean"):
        read_paper_tables(tmp_path / "paper.csv")


def test_the_readme_of_the_paper_s_results_holds_the_same_rows():
    lines = (PAPER_FILE.parent / "README.md").read_text().splitlines()
    rows = [line.split(" | ")[2:] for line in lines if re.search(r"\.\d+\) \|$", line)]
    expected = [
        [row["variant"], *(f"{row[f'{m}_mean']} ({row[f'{m}_std']})" for m in ("dice", "hd95_mm", "asd_mm"))]
        for row in PAPER_ROWS
    ]
    assert [[*cells[:-1], cells[-1].removesuffix(" |")] for cells in rows] == expected
