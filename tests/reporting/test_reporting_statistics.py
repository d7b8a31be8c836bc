"""From the cases of several runs to the statistics that are printed of them."""

import csv

import pytest
from fake_runs import MINUS, NO_PAPER, NOTHING, QUICK, markdown_rows, run_result, written

from gsl_experiments.checks import check_tables
from gsl_experiments.cli import compose
from gsl_experiments.errors import UserError
from gsl_experiments.reporting import Settings, gather_tables
from gsl_experiments.reporting.stage import table_settings

# Dice and HD95 of four cases.
BASELINE = ((0.80, 4.0), (0.70, 5.0), (0.90, 6.0), (0.60, 7.0))
# Better by 0.01 to 0.04 and by 1 mm, but in the last case, which is worse by 0.05 and 3 mm.
OTHER = ((0.81, 3.0), (0.72, 4.0), (0.93, 5.0), (0.55, 10.0))


def part_of(results, *, table=0, settings=QUICK):
    (tables,) = gather_tables(results, paper=NO_PAPER, settings=settings)
    return tables.tables[table].parts[0]


def test_a_run_against_the_baseline_by_hand(tmp_path):
    files = written(tmp_path, [run_result("dice_ce", values=BASELINE), run_result(values=OTHER)])
    header = "| Metric              | Loss    | Mean (std)      | Median [quartiles]"
    assert header in files["phantom/statistics.md"]
    dice_baseline, dice, hd95_baseline, hd95, *_ = markdown_rows(files["phantom/statistics.md"])
    assert dice_baseline[:2] + dice_baseline[4:9] == ["Dice ↑", "Dice-CE", "baseline", *[NOTHING] * 4]
    # Dice 0.55 0.72 0.81 0.93: median 0.765, quartiles 0.6775 and 0.84. Differences 0.01 0.02 0.03 -0.05 rank
    # 1 2 3 4: 6 for, 4 against, effect 0.2. T = 4: 14 of 16 signs are as extreme.
    assert dice[1:4] == ["GSL", "0.7525 (0.1386)", "0.7650 [0.6775, 0.8400]"]
    assert dice[4].startswith("+0.0025 [")
    assert dice[5:9] == ["3 / 0 / 1", "0.875", "0.875", "+0.20"]
    # HD95: -1 -1 -1 +3 rank 2 2 2 4: again 6 to 4, though the mean is the same.
    assert hd95[4].startswith("0.0000 [")
    assert (hd95[5], hd95[8]) == ("3 / 0 / 1", "+0.20")
    assert hd95_baseline[1] == "Dice-CE"


def test_a_significant_difference_is_bold_and_its_interval_has_signs(tmp_path):
    values = [(0.80 + index / 100, 4.0 + index) for index in range(8)]
    worse = [(dice - 0.1 - index / 1000, hd95_mm) for index, (dice, hd95_mm) in enumerate(values)]
    files = written(tmp_path, [run_result("dice_ce", values=values), run_result(values=worse)])
    dice, hd95 = markdown_rows(files["phantom/statistics.md"])[1:4:2]
    # All 8 are worse: p = 2 / 256.
    assert dice[5:9] == ["0 / 0 / 8", "0.008", "**0.008**", f"{MINUS}1.00"]
    assert dice[4].startswith(f"{MINUS}0.1035 [{MINUS}0.10")
    assert hd95[4:9] == ["0.0000 [0.0000, 0.0000]", "0 / 8 / 0", "1.000", "1.000", "0.00"]


def test_holm_corrects_over_the_runs_of_one_region_and_metric():
    values = [(0.80 + index / 100, 4.0 + index) for index in range(8)]
    up = [(dice + 0.01 + index / 1000, 4.0) for index, (dice, _) in enumerate(values)]
    runs = [
        run_result("dice_ce", values=values),
        run_result("dl", values=up),
        run_result("gdl", values=values),
    ]
    dice = part_of(runs).statistics[0]
    assert dice.metric.column == "dice"
    corrected = {entry.variant: entry.p_holm for entry in dice.variants}
    # p 2/256 and 1: twice the smaller, and 1.
    assert corrected == {"DL": pytest.approx(4 / 256), "Dice-CE": None, "GDL": 1.0}


def test_the_baseline_joins_the_tables_that_it_is_no_row_of(tmp_path):
    results = [run_result("dice_ce", values=BASELINE), run_result(schedule="step5", values=OTHER)]
    files = written(tmp_path, results)
    assert "tests against Dice-CE" in files["phantom/statistics.md"]
    assert len(markdown_rows(files["phantom/table2.md"])) == 1
    schedules = part_of(results, table=1)
    assert list(schedules.compared) == ["Dice-CE", "Step - 5"]
    chosen = part_of(results, table=1, settings=Settings(baseline="gsl_step5", resamples=50))
    assert chosen.baseline == "Step - 5"
    assert list(chosen.compared) == ["Step - 5"]


def test_a_baseline_of_another_protocol_is_none():
    runs = [run_result("dice_ce"), run_result("dl", protocol="nnunet"), run_result(protocol="nnunet")]
    (tables,) = gather_tables(runs, paper=NO_PAPER, settings=QUICK)
    paper, nnunet = tables.tables[0].parts
    assert (paper.baseline, nnunet.baseline) == ("Dice-CE", None)
    assert all(entry.comparison is None for one in nnunet.statistics for entry in one.variants)
    assert nnunet.statistics[0].ranks.mean_rank.keys() == {"DL", "GSL"}


def test_the_baseline_is_found_with_its_protocol_in_its_name():
    runs = [run_result("dice_ce", suffix="", protocol="nnunet"), run_result(protocol="nnunet")]
    assert part_of(runs).baseline == "Dice-CE"


def test_runs_without_a_common_case_have_neither_test_nor_ranks(tmp_path):
    first = run_result("dice_ce", values=BASELINE, folds=(0,))
    second = run_result(values=OTHER, folds=(1,))
    second.cases["case"] = [f"other_{index}" for index in range(4)]
    part = part_of([first, second])
    assert all(one.ranks is None for one in part.statistics)
    text = written(tmp_path, [first, second])["phantom/statistics.md"]
    assert "No tests: a comparison needs a second run with a case in common." in text


def test_ranks_and_their_best(tmp_path):
    runs = [run_result(loss, values=BASELINE) for loss in ("dl", "gdl")]
    files = written(tmp_path, [*runs, run_result(values=OTHER)])
    table = files["phantom/statistics.md"]
    dice, hd95, *_ = markdown_rows(table)
    # GSL is first in three cases and last in one: (1 + 1 + 1 + 3) / 4; the other two share what is left.
    assert dice[:5] == ["Liver", "Dice ↑", "2.25", "2.25", "**1.50**"]
    assert hd95[:5] == ["", "Hausdorff 95 (mm) ↓", "2.25", "2.25", "**1.50**"]
    # 2.343 sqrt(3 * 4 / (6 * 4))
    assert (dice[5], dice[8]) == ("1.66", "4")
    assert dice[7] == "GSL, DL, GDL"


def test_statistics_as_tidy_data(tmp_path):
    files = written(tmp_path, [run_result("dice_ce", values=BASELINE), run_result(values=OTHER)])
    lines = list(csv.DictReader(files["phantom/statistics.csv"].splitlines()))
    assert len(lines) == 2 * 2 * 7  # the linear GSL is a row of both tables, the baseline beside it
    baseline, gsl = lines[:2]
    assert (gsl["table"], gsl["variant"], gsl["baseline"], gsl["pairs"]) == ("table1", "GSL", "Dice-CE", "4")
    assert float(gsl["p_value"]) == float(gsl["p_holm"]) == 0.875
    assert float(gsl["interval_low"]) < float(gsl["mean_difference"]) < float(gsl["interval_high"])
    assert float(gsl["mean_rank"]) == 1.25
    assert (baseline["pairs"], baseline["p_value"], baseline["mean_rank"]) == ("", "", "1.75")


def test_all_metrics_hold_every_metric_twice(tmp_path):
    files = written(tmp_path, [run_result("dl", values=BASELINE), run_result(values=OTHER)])
    text = files["phantom/all_metrics.md"]
    dl = markdown_rows(text)[0]
    # HD95 4 5 6 7: 5.5 (sqrt(1.25)); ASD and ASSD the half, surface HD95 the double, HD three times; NSD is Dice.
    assert [cell.strip("*") for cell in dl[3:8]] == [
        "5.5000 (1.1180)",
        "2.7500 (0.5590)",
        "11.000 (2.2361)",
        "2.7500 (0.5590)",
        "16.500 (3.3541)",
    ]
    assert dl[2] == dl[8]
    assert markdown_rows(text, table=1)[0][3] == "5.5000 [4.7500, 6.2500]"
    assert "within the tolerance (2 mm)" in text


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("tables.baseline=3", "tables.baseline=3: allowed are the name of a run"),
        ("tables.alpha=1", "tables.alpha=1: allowed is a number > 0 and < 1"),
        ("tables.resamples=0", "tables.resamples=0: allowed is a positive whole number"),
        ("seed=-1", "seed=-1: allowed is a whole number from 0"),
    ],
)
def test_settings_that_make_no_sense(option, message):
    with pytest.raises(UserError, match=message):
        check_tables(compose([option]))


def test_settings_come_from_the_configuration():
    cfg = compose(["tables.baseline=null", "tables.alpha=0.01", "tables.resamples=99", "seed=7"])
    check_tables(cfg)
    assert table_settings(cfg) == Settings(None, 0.01, 99, 7)
    assert table_settings(compose([])) == Settings()
