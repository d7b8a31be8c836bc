"""Hand-made metrics in, tables out: every rule about which run is printed where, and as what."""

import csv
import re
from dataclasses import replace

import pytest
from fake_runs import (
    ASD,
    DICE,
    MINUS,
    NOTHING,
    PAPER,
    markdown_rows,
    run_result,
    variants,
    written,
)

from gsl_experiments.reporting import PaperTables
from gsl_experiments.reporting.paper import MeanStd
from gsl_experiments.validation import Exclusion


def test_mean_and_standard_deviation_by_hand(tmp_path):
    # Dice 0.8 and 0.9: mean 0.85, deviations +-0.05, std (ddof 0) 0.05. HD95 4 and 6: 5 (1). ASD 2 and 3: 2.5 (0.5).
    rows = markdown_rows(written(tmp_path, [run_result()])["phantom/table1.md"])
    numbers = ["0.8500 (0.0500)", "5.0000 (1.0000)", "2.5000 (0.5000)"]
    assert rows == [["phantom", "Liver", "GSL", *numbers, "2", "2/2", ""]]


def test_rows_in_the_paper_s_order_under_the_paper_s_names(tmp_path):
    losses = [run_result(loss) for loss in ("gsl", "bl", "hl", "gdl", "dice_ce", "dl")]
    schedules = [run_result(schedule=schedule) for schedule in ("cosine", "step50", "step25", "step5")]
    files = written(tmp_path, [*losses, *schedules])
    assert variants(files["phantom/table1.md"]) == ["DL", "Dice-CE", "GDL", "HL", "BL", "GSL"]
    assert variants(files["phantom/table2.md"]) == ["Linear", "Step - 5", "Step - 25", "Step - 50", "Cosine"]
    assert "No run of this table yet" in files["phantom/other_runs.md"]


def test_regions_are_groups_in_the_order_of_the_dataset(tmp_path):
    results = [run_result("dl", regions=("Whole", "Core")), run_result(regions=("Whole", "Core"))]
    rows = markdown_rows(written(tmp_path, results)["phantom/table1.md"])
    names = [["phantom", "Whole", "DL"], ["", "", "GSL"], ["", "Core", "DL"], ["", "", "GSL"]]
    assert [row[:3] for row in rows] == names


def test_the_best_mean_is_bold_in_each_metric(tmp_path):
    better_dice = run_result("dl", values=((0.9, 9.0),))
    better_distance = run_result(values=((0.8, 3.0),))
    dl, gsl = markdown_rows(written(tmp_path, [better_dice, better_distance])["phantom/table1.md"])
    assert [cell.startswith("**") for cell in dl[DICE : ASD + 1]] == [True, False, False]
    assert [cell.startswith("**") for cell in gsl[DICE : ASD + 1]] == [False, True, True]


def test_means_that_print_alike_are_both_bold(tmp_path):
    results = [run_result("dl", values=((0.90001, 3.0),)), run_result(values=((0.90002, 4.0),))]
    rows = markdown_rows(written(tmp_path, results)["phantom/table1.md"])
    assert [row[DICE] for row in rows] == ["**0.9000 (0.0000)**"] * 2


def test_a_single_row_is_not_the_best_of_anything(tmp_path):
    assert "**" not in written(tmp_path, [run_result()])["phantom/table1.md"]


def test_an_incomplete_row_says_so_and_is_never_the_best(tmp_path):
    results = [run_result("dl"), run_result("hl"), run_result(values=((0.99, 0.1),), folds=(1,))]
    dl, hl, gsl = markdown_rows(written(tmp_path, results)["phantom/table1.md"])
    assert gsl[-2:] == ["1/2", "incomplete: 1/2 folds"]
    assert gsl[DICE] == "0.9900 (0.0000)"
    assert dl[DICE] == hl[DICE] == "**0.8500 (0.0500)**"


def test_incomplete_rows_compete_only_on_the_same_folds(tmp_path):
    first, second = run_result("dl", folds=(1,)), run_result(folds=(1,), values=((0.5, 9.0),))
    assert markdown_rows(written(tmp_path, [first, second])["phantom/table1.md"])[0][DICE].startswith("**")
    other_fold = run_result(folds=(0,), values=((0.5, 9.0),))
    assert "**" not in written(tmp_path, [first, other_fold])["phantom/table1.md"]


def test_a_run_without_a_complete_fold_has_no_numbers(tmp_path):
    row = markdown_rows(written(tmp_path, [run_result(folds=())])["phantom/table1.md"])[0]
    assert row[DICE:] == [NOTHING] * 3 + ["0", "0/2", "incomplete: 0/2 folds"]


def test_the_paper_stands_beside_ours_with_the_difference(tmp_path):
    files = written(tmp_path, [run_result(dataset="lits", values=((0.94, 8.0),))], paper=PAPER)
    rows = markdown_rows(files["lits/table1.md"])
    assert [row[2] for row in rows] == ["DL", "Dice-CE", "GDL", "HL", "BL", "GSL"]
    gsl = rows[-1]
    # 0.94 - 0.9302 = 0.0098; 8 - 8.9046 = -0.9046; 4 - 3.2791 = 0.7209
    assert gsl[:2] == ["", ""]
    assert gsl[3:9] == [
        "0.9400 (0.0000)",
        "0.9302 (0.1075) [+0.0098]",
        "8.0000 (0.0000)",
        f"8.9046 (28.205) [{MINUS}0.9046]",
        "4.0000 (0.0000)",
        "3.2791 (7.0823) [+0.7209]",
    ]
    # Not run: the paper's values, and neither a zero nor a difference of ours.
    dl = [
        "LiTS",
        "Liver",
        "DL",
        NOTHING,
        "0.9304 (0.0974)",
        NOTHING,
        "9.0655 (30.530)",
        NOTHING,
        "3.7608 (11.976)",
    ]
    assert rows[0] == [*dl, NOTHING, NOTHING, "not run"]


def test_missing_rows_of_other_datasets_are_left_out(tmp_path):
    assert variants(written(tmp_path, [run_result()], paper=PAPER)["phantom/table1.md"]) == ["GSL"]


def test_runs_that_the_paper_does_not_have_are_not_lost(tmp_path):
    results = [
        run_result(schedule="constant"),
        run_result(schedule="step5"),
        run_result("hl", "step5"),
        run_result("bl", region="dl"),
        run_result("mine", "linear"),
        run_result(suffix="wide"),
    ]
    files = written(tmp_path, results)
    assert "No run of this table yet" in files["phantom/table1.md"]
    assert variants(files["phantom/table2.md"]) == ["Step - 5"]
    notes = {row[2]: row[-1] for row in markdown_rows(files["phantom/other_runs.md"])}
    assert notes == {
        "GSL, constant": "schedule constant is not in the paper for GSL",
        "HL, step5": "schedule step5 is not in the paper for HL",
        "BL, linear, region dl": "region term dl, not dice_ce",
        "mine, linear": "loss mine is not in the paper",
        "GSL, linear, wide": "variant wide",
    }


def test_a_second_run_of_a_row_goes_to_the_other_runs(tmp_path):
    second = run_result(configuration="3d_fullres_small", values=((0.1, 99.0),))
    files = written(tmp_path, [second, run_result()])
    assert markdown_rows(files["phantom/table1.md"])[0][DICE] == "0.8500 (0.0500)"
    assert (
        markdown_rows(files["phantom/other_runs.md"])[0][-1] == "same row as Trainer__gsl_linear__3d_fullres"
    )


def test_each_protocol_has_a_table_of_its_own(tmp_path):
    results = [run_result("dl", protocol="nnunet"), run_result("dl"), run_result(protocol="nnunet")]
    files = written(tmp_path, results)
    text = files["phantom/table1.md"]
    assert re.findall(r"^## (.*)", text, flags=re.MULTILINE) == ["protocol paper", "protocol nnunet"]
    assert (variants(text, table=0), variants(text, table=1)) == (["DL"], ["DL", "GSL"])
    assert files["phantom/table1.tex"].count(r"\begin{tabular}") == 2


@pytest.mark.parametrize(
    ("odd", "note"),
    [
        ({"epochs": 5}, "epochs 5, others 250"),
        ({"seed": 1}, "seed 1, others 42"),
        ({"configuration": "2d"}, "configuration 2d, others 3d_fullres"),
    ],
)
def test_a_run_with_other_settings_is_marked_and_not_the_best(tmp_path, odd, note):
    results = [run_result("dl"), run_result("hl"), run_result(values=((0.99, 0.1),) * 2, **odd)]
    rows = markdown_rows(written(tmp_path, results)["phantom/table1.md"])
    assert [row[-1] for row in rows] == ["", "", note]
    assert [row[DICE].startswith("**") for row in rows] == [True, True, False]


def test_of_two_lengths_of_training_the_shorter_is_marked(tmp_path):
    results = [run_result("dl", epochs=5), run_result(epochs=250)]
    rows = markdown_rows(written(tmp_path, results)["phantom/table1.md"])
    assert [row[-1] for row in rows] == ["epochs 5, others 250", ""]


def test_empty_masks_are_counted_and_weighed_under_the_table(tmp_path):
    values = ((0.0, 100.0), (0.8, 4.0), (0.9, 6.0))
    results = [run_result("dl"), run_result(values=values, empty=(0,)), run_result("hl", empty=(0, 1))]
    files = written(tmp_path, results)
    # Dice (0 + 0.8 + 0.9) / 3 = 0.5667, without the first 0.85; HD95 110 / 3 = 36.667, without 5; ASD half of both.
    weighed = (
        "Liver, GSL: 1 of 3 cases have an empty mask (reference 1, prediction 1); means without them: Dice 0.8500 "
        "instead of 0.5667, Hausdorff 95 (mm) 5.0000 instead of 36.667, Avg. Surface (mm) 2.5000 instead of 18.333."
    )
    nothing_left = (
        "Liver, HL: 2 of 2 cases have an empty mask (reference 2, prediction 1); none is left without them."
    )
    for note in (weighed, nothing_left, "Every other row: no case with an empty mask."):
        assert note in files["phantom/table1.md"]
        assert note in files["phantom/table1.tex"]
    lines = list(csv.DictReader(files["phantom/table1.csv"].splitlines()))
    means = {line["variant"]: line["mean_without_empty"] for line in lines if line["metric"] == "hd95_mm"}
    assert means == {"DL": "5.0", "HL": "", "GSL": "5.0"}
    assert "Every row: no case with an empty mask." in written(tmp_path, results[:1])["phantom/table1.md"]


def test_every_run_is_named_with_its_settings(tmp_path):
    text = written(tmp_path, [run_result(folds=(1,), epochs=7, seed=3)])["phantom/table1.md"]
    line = "- GSL: Trainer__gsl_linear__3d_fullres, protocol paper, 7 epochs, seed 3, 1/2 folds, 2 cases"
    assert text.endswith(line + "\n")


def test_a_dataset_without_some_of_its_cases_says_so(tmp_path):
    left_out = Exclusion(3, {"case_9": ["volume-9.nii: cut off; download it again"]})
    results = [run_result("dl"), replace(run_result(), exclusion=left_out)]
    files = written(tmp_path, results)
    complete, without = markdown_rows(files["phantom/table1.md"])
    assert (complete[6], without[6]) == ("2", "2 of 3")
    for text in (files["phantom/table1.md"], files["phantom/table1.tex"].replace(r"\_", "_")):
        assert "2/2 folds, 2 of 3 cases (1 excluded)" in text
        assert "Excluded from the dataset, because of errors in their files: case_9." in text
    with (tmp_path / "phantom" / "table1.csv").open(newline="") as file:
        counts = {line["variant"]: (line["cases"], line["cases_excluded"]) for line in csv.DictReader(file)}
    assert counts == {"DL": ("2", "0"), "GSL": ("2", "1")}


def test_csv_is_tidy_and_keeps_every_digit(tmp_path):
    third = 1 / 3
    results = [run_result("dl", dataset="lits", values=((third, 4.0), (third, 7.0)), empty=(1,), epochs=5)]
    written(tmp_path, results, paper=PAPER)
    with (tmp_path / "lits" / "table1.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    # One run, and five rows of the paper that have not been run, with its three metrics.
    assert len(lines) == 6 * 3
    dice = lines[0]
    assert (dice["variant"], dice["metric"], dice["status"]) == ("DL", "dice", "complete")
    assert float(dice["mean"]) == third
    assert float(dice["difference"]) == third - 0.9304
    counts = (
        "cases",
        "reference_empty",
        "prediction_empty",
        "folds_complete",
        "folds_total",
        "epochs",
        "seed",
    )
    assert [dice[key] for key in counts] == ["2", "1", "1", "2", "2", "5", "42"]
    not_run = lines[3]
    assert (not_run["variant"], not_run["status"], not_run["mean"]) == ("Dice-CE", "not run", "")
    assert (not_run["paper_mean"], not_run["run"]) == ("0.9287", "")


def test_tables_of_runs_that_are_gone_do_not_stay(tmp_path):
    written(tmp_path, [run_result(), run_result(schedule="constant")])
    files = written(tmp_path, [run_result("dl")])
    assert sorted(files) == [
        f"phantom/{name}.{ending}"
        for name in ("all_metrics", "other_runs", "statistics", "table1", "table2")
        for ending in ("csv", "md", "tex")
    ]
    for name in ("other_runs", "table2"):
        assert "No run of this table yet" in files[f"phantom/{name}.md"]
        assert "No run of this table yet" in files[f"phantom/{name}.tex"]
        assert files[f"phantom/{name}.csv"].count("\n") == 1


def test_each_dataset_has_a_folder(tmp_path):
    files = written(tmp_path, [run_result(dataset="brats"), run_result(dataset="lits")], paper=PAPER)
    assert {name.partition("/")[0] for name in files} == {"brats", "lits"}


def test_a_paper_of_one_row_adds_its_columns_only_where_it_belongs(tmp_path):
    paper = PaperTables({(2, "phantom", "Liver", "Step - 5"): {"dice": MeanStd(0.5, 0.1)}})
    files = written(tmp_path, [run_result()], paper=paper)
    assert "paper [difference]" not in files["phantom/table1.md"]
    linear, step5 = markdown_rows(files["phantom/table2.md"])
    assert (linear[4], step5[4], step5[6]) == (NOTHING, "0.5000 (0.1000)", NOTHING)
