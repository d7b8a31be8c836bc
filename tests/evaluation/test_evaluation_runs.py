"""Trained runs: which are found, which folds count, and which rows of `metrics.csv` are computed again."""

import itertools
import json
import os

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk  # noqa: N813

from gsl_experiments.atomic import write_text
from gsl_experiments.errors import UserError
from gsl_experiments.evaluation import evaluate_run, evaluate_runs, find_runs, read_splits
from gsl_experiments.evaluation import run_metrics as run_metrics_module
from gsl_experiments.evaluation.run_metrics import read_metrics
from gsl_experiments.metrics import METRICS_VERSION

REGIONS = {"Whole Tumor": [1, 2], "Core": [2]}
# The first and the last case look like a number and like a missing value.
CASES = ("001", "case_b", "case_c", "NA")
SPLITS = [
    {"train": ["case_c", "NA"], "val": ["case_b", "001"]},
    {"train": ["001", "case_b"], "val": ["case_c", "NA"]},
]
EXPERIMENT = {
    "dataset": "lits",
    "loss": "gsl",
    "schedule": "step5",
    "region": "dice_ce",
    "protocol": "paper",
    "epochs": 250,
    "seed": 42,
    "boundary_term": {"_target_": "anything.else"},
}


def write_boxes(file, offset=0):
    """Label 1 in 4 x 4 x 4 voxels, label 2 in one corner of it, shifted along the last axis."""
    labels = np.zeros((8, 8, 10), np.uint8)
    labels[2:6, 2:6, 2 + offset : 6 + offset] = 1
    labels[2:4, 2:4, 2 + offset : 4 + offset] = 2
    file.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(labels), str(file))


def write_json(file, content):
    file.write_text(json.dumps(content))


@pytest.fixture
def results(tmp_path):
    return tmp_path / "nnUNet_results"


@pytest.fixture
def preprocessed(tmp_path):
    dataset = tmp_path / "nnUNet_preprocessed" / "Dataset007_Boxes"
    dataset.mkdir(parents=True)
    write_json(dataset / "splits_final.json", SPLITS)
    for case in CASES:
        write_boxes(dataset / "gt_segmentations" / f"{case}.nii.gz")
    return dataset.parent


@pytest.fixture
def add_run(results):
    def add(plans_name="gsl_step5", *, folds=(0, 1), experiment=EXPERIMENT):
        run = results / "Dataset007_Boxes" / f"nnUNetTrainerGSL__{plans_name}__3d_fullres"
        run.mkdir(parents=True)
        write_json(
            run / "plans.json",
            {"plans_name": plans_name} | ({"gsl_experiment": experiment} if experiment else {}),
        )
        write_json(
            run / "dataset.json",
            {"evaluation_regions": REGIONS, "labels": {"background": 0, "box": 1}, "file_ending": ".nii.gz"},
        )
        for fold in folds:
            for case in SPLITS[fold]["val"]:
                write_boxes(run / f"fold_{fold}" / "validation" / f"{case}.nii.gz", offset=1)
            (run / f"fold_{fold}" / "checkpoint_final.pth").touch()
        return run

    return add


@pytest.fixture
def evaluated(monkeypatch):
    """Cases that are measured rather than kept, in order."""
    names = []
    original = run_metrics_module.evaluate_pairs

    def recording(pairs, regions, **options):
        names.extend(prediction.name.removesuffix(".nii.gz") for prediction, _ in pairs)
        return original(pairs, regions, **options)

    monkeypatch.setattr(run_metrics_module, "evaluate_pairs", recording)
    return names


def test_runs_say_what_they_are(results, add_run):
    add_run("nnUNetPlans", experiment=None)
    add_run("dl", experiment=EXPERIMENT | {"loss": "dl", "schedule": None, "region": None})
    path = add_run("gsl_step5_mine", experiment=EXPERIMENT | {"suffix": "mine"})
    region_loss, run = find_runs(results)
    assert (region_loss.experiment.loss, region_loss.experiment.schedule) == ("dl", None)
    assert (run.path, run.name, run.dataset_folder) == (path, path.name, "Dataset007_Boxes")
    assert run.configuration == "3d_fullres"
    assert run.regions == {"Whole Tumor": (1, 2), "Core": (2,)}
    assert (run.experiment.schedule, run.experiment.epochs, run.experiment.suffix) == ("step5", 250, "mine")
    assert region_loss.experiment.suffix == ""


def test_no_results_no_runs(tmp_path):
    assert find_runs(tmp_path / "nowhere") == []


def test_a_fold_is_complete_with_its_checkpoint_and_all_predictions(results, preprocessed, add_run):
    path = add_run()
    (path / "fold_all").mkdir()
    run = find_runs(results)[0]
    splits = read_splits(preprocessed / run.dataset_folder)
    assert (run.folds, run.complete_folds(splits)) == ((0, 1), (0, 1))
    (path / "fold_0" / "checkpoint_final.pth").unlink()
    assert (run.folds, run.complete_folds(splits)) == ((0, 1), (1,))
    run.prediction_file(1, "case_c").unlink()
    assert run.complete_folds(splits) == ()


def test_metrics_of_a_run(results, preprocessed, add_run):
    path = add_run()
    table = evaluate_run(find_runs(results)[0], preprocessed)
    # Folds in order, cases sorted within a fold, regions as in dataset.json
    assert list(table["case"]) == ["001", "001", "case_b", "case_b", "NA", "NA", "case_c", "case_c"]
    assert list(table["fold"]) == [0] * 4 + [1] * 4
    assert list(table["region"]) == ["Whole Tumor", "Core"] * 4
    # Shifted by one of 4 voxels, and by one of 2: 3/4 and 1/2 overlap
    assert list(table["dice"]) == [0.75, 0.5] * 4
    pd.testing.assert_frame_equal(read_metrics(path / "metrics.csv"), table, check_exact=True)
    assert [file.name for file in path.iterdir() if file.name.startswith(".")] == []


def test_only_complete_folds_are_evaluated(results, preprocessed, add_run):
    path = add_run(folds=(1,))
    write_boxes(path / "fold_0" / "validation" / "001.nii.gz")
    outcome = evaluate_runs(results, preprocessed)[0]
    assert set(outcome.cases["fold"]) == {1}
    assert (outcome.complete_folds, outcome.total_folds) == ((1,), 2)


def test_cases_that_are_left_out_of_the_dataset_are_counted(results, preprocessed, add_run):
    add_run()
    assert evaluate_runs(results, preprocessed)[0].number_of_cases == "4 cases"
    left_out = {"cases": 5, "excluded": {"case_x": ["case_x.nii.gz: cut off; download it again"]}}
    write_json(preprocessed / "Dataset007_Boxes" / "excluded_cases.json", left_out)
    outcome = evaluate_runs(results, preprocessed)[0]
    assert outcome.number_of_cases == "4 of 5 cases (1 excluded)"
    assert outcome.exclusion.excluded.keys() == {"case_x"}


def test_rows_of_a_fold_that_is_trained_again_disappear(results, preprocessed, add_run, evaluated):
    path = add_run()
    evaluate_run(find_runs(results)[0], preprocessed)
    (path / "fold_0" / "checkpoint_final.pth").unlink()
    assert set(evaluate_run(find_runs(results)[0], preprocessed)["case"]) == {"case_c", "NA"}
    assert len(evaluated) == 4


def test_a_run_without_a_complete_fold_has_an_empty_table(results, preprocessed, add_run):
    path = add_run(folds=())
    run = find_runs(results)[0]
    for _ in range(2):
        assert evaluate_run(run, preprocessed).empty
        assert (path / "metrics.csv").read_text().startswith("case,region,fold,dice,hd95_mm,asd_mm")


def test_only_what_changed_is_measured_again(results, preprocessed, add_run, evaluated):
    path = add_run(folds=(0,))
    run = find_runs(results)[0]
    first = evaluate_run(run, preprocessed)
    assert evaluated == ["001", "case_b"]
    pd.testing.assert_frame_equal(evaluate_run(run, preprocessed), first, check_exact=True)
    assert evaluated == ["001", "case_b"]

    write_boxes(path / "fold_0" / "validation" / "case_b.nii.gz", offset=0)
    second = evaluate_run(run, preprocessed)
    assert evaluated[2:] == ["case_b"]
    assert list(second["dice"]) == [0.75, 0.5, 1.0, 1.0]

    reference = preprocessed / "Dataset007_Boxes" / "gt_segmentations" / "001.nii.gz"
    os.utime(reference, ns=(0, 0))
    evaluate_run(run, preprocessed)
    assert evaluated[3:] == ["001"]


def test_other_labels_of_a_region_are_measured_again(results, preprocessed, add_run, evaluated):
    path = add_run(folds=(0,))
    evaluate_run(find_runs(results)[0], preprocessed)
    description = json.loads((path / "dataset.json").read_text())
    write_json(
        path / "dataset.json", description | {"evaluation_regions": {"Whole Tumor": [1, 2], "Core": [1]}}
    )
    evaluate_run(find_runs(results)[0], preprocessed)
    assert evaluated == ["001", "case_b"] * 2


def test_metrics_of_another_version_are_measured_again(results, preprocessed, add_run, evaluated):
    path = add_run(folds=(0,))
    (path / "metrics.csv").write_text("case,region,dice\n001,Core,0.3\n")
    assert list(evaluate_run(find_runs(results)[0], preprocessed)["dice"]) == [0.75, 0.5] * 2
    assert evaluated == ["001", "case_b"]


def test_metrics_with_the_columns_of_an_earlier_version_are_measured_again(
    results, preprocessed, add_run, evaluated
):
    """Its rows are right but lack columns: they may not be mixed with new ones."""
    path = add_run(folds=(0,))
    run = find_runs(results)[0]
    complete = evaluate_run(run, preprocessed)
    earlier = complete.drop(columns=["assd_mm", "hd_mm", "nsd", "nsd_tolerance_mm"])
    earlier.to_csv(path / "metrics.csv", index=False)
    pd.testing.assert_frame_equal(evaluate_run(run, preprocessed), complete, check_exact=True)
    assert evaluated == ["001", "case_b"] * 2
    pd.testing.assert_frame_equal(read_metrics(path / "metrics.csv"), complete, check_exact=True)


def test_another_tolerance_is_measured_again(results, preprocessed, add_run, evaluated):
    add_run(folds=(0,))
    run = find_runs(results)[0]
    assert set(evaluate_run(run, preprocessed)["nsd"]) == {1.0}
    assert set(evaluate_run(run, preprocessed, nsd_tolerance_mm=0.5)["nsd_tolerance_mm"]) == {0.5}
    assert max(evaluate_run(run, preprocessed, nsd_tolerance_mm=0.5)["nsd"]) < 1
    assert evaluated == ["001", "case_b"] * 2


def test_another_definition_of_the_metrics_is_measured_again(
    results, preprocessed, add_run, evaluated, monkeypatch
):
    add_run(folds=(0,))
    run = find_runs(results)[0]
    assert set(evaluate_run(run, preprocessed)["metrics_version"]) == {METRICS_VERSION}
    monkeypatch.setattr(run_metrics_module, "METRICS_VERSION", METRICS_VERSION + 1)
    assert set(evaluate_run(run, preprocessed)["metrics_version"]) == {METRICS_VERSION + 1}
    assert evaluated == ["001", "case_b"] * 2


def test_the_record_tells_where_the_latest_rows_come_from(results, preprocessed, add_run):
    path = add_run(folds=(0,))
    run = find_runs(results)[0]
    evaluate_run(run, preprocessed, nsd_tolerance_mm=1.5)
    record = json.loads((path / "metrics.json").read_text())
    assert record["regions"] == REGIONS
    assert (record["metrics_version"], record["measured"]) == (METRICS_VERSION, ["001", "case_b"])
    assert record["config"] == {"nsd_tolerance_mm": 1.5}
    assert {"git", "packages", "time", "machine"} <= record.keys()
    evaluate_run(run, preprocessed, nsd_tolerance_mm=1.5)  # nothing is measured
    assert json.loads((path / "metrics.json").read_text()) == record
    write_boxes(path / "fold_0" / "validation" / "case_b.nii.gz")
    evaluate_run(run, preprocessed, nsd_tolerance_mm=1.5)
    assert json.loads((path / "metrics.json").read_text())["measured"] == ["case_b"]


@pytest.mark.parametrize("ended_by", [KeyboardInterrupt, UserError])
def test_cases_that_are_measured_outlast_an_interruption(
    results, preprocessed, add_run, evaluated, monkeypatch, ended_by
):
    path = add_run()
    run = find_runs(results)[0]
    original = run_metrics_module.evaluate_pairs

    def ending(pairs, regions, **options):
        yield from itertools.islice(original(pairs, regions, **options), 3)
        raise ended_by

    with monkeypatch.context() as patch:
        patch.setattr(run_metrics_module, "evaluate_pairs", ending)
        with pytest.raises(ended_by):
            evaluate_run(run, preprocessed)
    assert list(read_metrics(path / "metrics.csv")["case"].unique()) == ["001", "case_b", "NA"]
    assert json.loads((path / "metrics.json").read_text())["measured"] == ["001", "case_b", "NA"]
    evaluated.clear()
    assert len(evaluate_runs(results, preprocessed)[0].cases) == 8
    assert evaluated == ["case_c"]


def test_cases_are_written_while_others_are_measured(results, preprocessed, add_run, monkeypatch):
    """A process that is killed cannot write any more."""
    path = add_run()
    monkeypatch.setattr(run_metrics_module, "SAVE_SECONDS", 0.0)
    original = run_metrics_module.evaluate_pairs
    written = []

    def looking(pairs, regions, **options):
        for rows in original(pairs, regions, **options):
            file = path / "metrics.csv"
            written.append(len(read_metrics(file)) if file.exists() else None)
            yield rows

    monkeypatch.setattr(run_metrics_module, "evaluate_pairs", looking)
    evaluate_run(find_runs(results)[0], preprocessed)
    assert written == [None, 2, 4, 6]


@pytest.mark.parametrize("tolerance", [-1, "abc", float("nan"), None, True])
def test_a_tolerance_that_is_no_length(results, preprocessed, add_run, tolerance):
    path = add_run()
    with pytest.raises(
        UserError, match=rf"evaluate\.nsd_tolerance_mm={tolerance}: allowed is a length in mm"
    ):
        evaluate_runs(results, preprocessed, nsd_tolerance_mm=tolerance)
    assert not (path / "metrics.csv").exists()


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"a": 1}, "not a list of"),
        ([{"train": []}], "not a list of"),
        (3, "not a list of"),
        ([], "holds no folds of named cases"),
        ([{"train": [1], "val": [["x"]]}], "holds no folds of named cases"),
        ([*SPLITS, SPLITS[0]], r"001 is held out 2 times \(and 1 more\); correct it"),
        ([SPLITS[0]], "NA is held out in no fold"),
        ([{"train": ["001"], "val": ["001"]}], "fold 0: 001 is both trained on and held out"),
    ],
)
def test_damaged_folds(results, preprocessed, add_run, splits, message):
    add_run()
    file = preprocessed / "Dataset007_Boxes" / "splits_final.json"
    write_json(file, splits)
    with pytest.raises(UserError, match=rf"^{file}: {message}") as error:
        evaluate_runs(results, preprocessed)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("plans.json", 3, "holds no JSON object"),
        ("plans.json", ["gsl_experiment"], "holds no JSON object"),
        ("plans.json", {"gsl_experiment": 3}, "gsl_experiment is no JSON object"),
        ("dataset.json", [1], "holds no JSON object"),
        (
            "dataset.json",
            {"labels": 3, "file_ending": ".nii.gz"},
            "its labels, label_map or evaluation_regions",
        ),
        (
            "dataset.json",
            {"labels": {"background": 0, "whole": [1, 2]}, "file_ending": ".nii.gz"},
            "its labels, label_map or evaluation_regions are damaged",
        ),
    ],
)
def test_damaged_descriptions_of_a_run(results, add_run, name, content, message):
    path = add_run()
    write_json(path / name, content)
    with pytest.raises(UserError, match=rf"{path / name}: {message}"):
        find_runs(results)


def test_a_reference_that_is_gone(results, preprocessed, add_run):
    add_run()
    (preprocessed / "Dataset007_Boxes" / "gt_segmentations" / "case_c.nii.gz").unlink()
    with pytest.raises(UserError, match=r"case_c\.nii\.gz: no such reference"):
        evaluate_runs(results, preprocessed)


def test_a_dataset_without_splits(results, tmp_path, add_run):
    add_run()
    (tmp_path / "Dataset007_Boxes").mkdir()
    with pytest.raises(UserError, match=r"splits_final\.json is missing: preprocess"):
        evaluate_runs(results, tmp_path)


def test_runs_of_a_dataset_that_is_not_preprocessed_here_are_left_out_and_said_to_be(
    results, tmp_path, add_run, capsys
):
    add_run()
    assert evaluate_runs(results, tmp_path) == []
    assert "left out" in capsys.readouterr().err


def test_descriptions_that_lack_a_key_or_are_no_json(results, add_run):
    path = add_run(experiment={"dataset": "lits", "loss": "gsl", "region": None, "schedule": None, "seed": 1})
    with pytest.raises(UserError, match=r"plans\.json: gsl_experiment has no protocol, epochs"):
        find_runs(results)
    write_json(path / "plans.json", {"gsl_experiment": EXPERIMENT})
    write_json(path / "dataset.json", {"file_ending": ".nii.gz"})
    with pytest.raises(UserError, match=r"dataset\.json: no labels"):
        find_runs(results)
    (path / "plans.json").write_text("{")
    with pytest.raises(UserError, match=r"plans\.json: not valid JSON"):
        find_runs(results)


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    file = tmp_path / "table.md"
    write_text(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(file, "half \udc00")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
