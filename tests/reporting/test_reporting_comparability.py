"""Runs that differ in data, settings, cases or seed never stand side by side without a word."""

import json
from dataclasses import replace

import pytest
from fake_runs import markdown_rows, run_result, written

from gsl_experiments.cli import compose
from gsl_experiments.errors import UserError
from gsl_experiments.reporting.placement import place_runs
from gsl_experiments.training.experiment import describe
from gsl_experiments.validation import Exclusion

MANY = tuple((0.8 + index / 100, 4.0 + index) for index in range(4))


def trained(tmp_path, loss, *, plans=None, fingerprint=None, **options):
    """A run whose folder holds these files."""
    result = run_result(loss, results=tmp_path, **options)
    result.run.path.mkdir(parents=True)
    if plans is not None:
        (result.run.path / "plans.json").write_text(json.dumps(plans))
    if fingerprint is not None:
        (result.run.path / "dataset_fingerprint.json").write_text(json.dumps(fingerprint))
    return result


def plans(*, patch=(64, 64, 64), lr=3e-4, epochs=250, target="paper", features=32):
    return {
        "configurations": {
            "3d_fullres": {
                "patch_size": list(patch),
                "batch_size": 2,
                "architecture": {"network_class_name": "PlainConvUNet", "features": [features] * 8},
            }
        },
        "gsl_preprocessing": {"target_spacing": target},
        "gsl_experiment": {"training": {"epochs": epochs, "optimizer": {"lr": lr}}, "loss": "any"},
    }


@pytest.mark.parametrize(
    ("odd", "note"),
    [
        ({"plans": plans(patch=(32, 64, 64))}, "patch_size 32 x 64 x 64, others 64 x 64 x 64"),
        ({"plans": plans(lr=1e-2)}, "training.optimizer.lr 0.01, others 0.0003"),
        ({"plans": plans(target="nnunet")}, "preprocessing.target_spacing nnunet, others paper"),
        ({"plans": plans(features=16)}, "architecture differs from the others'"),
        ({"fingerprint": {"spacings": [1, 2]}}, "dataset fingerprint"),
    ],
)
def test_a_run_with_other_data_or_settings_is_marked_and_not_the_best(tmp_path, odd, note):
    usual = {"plans": plans(), "fingerprint": {"spacings": [1, 1]}}
    results = [
        trained(tmp_path, "dl", **usual),
        trained(tmp_path, "hl", **usual),
        trained(tmp_path, "gsl", **(usual | odd), values=((0.99, 0.1),)),
    ]
    rows = markdown_rows(written(tmp_path / "tables", results)["phantom/table1.md"])
    assert [row[-1] for row in rows[:2]] == ["", ""]
    assert rows[2][-1].startswith(note)
    assert "**" in rows[0][3]
    assert "**" not in rows[2][3]


def test_the_epochs_are_named_once_and_what_is_not_recorded_is_not_compared(tmp_path):
    results = [
        trained(tmp_path, "dl", plans=plans(epochs=5), epochs=5),
        trained(tmp_path, "hl", plans=plans()),
        run_result(),
    ]
    rows = markdown_rows(written(tmp_path / "tables", results)["phantom/table1.md"])
    assert [row[-1] for row in rows] == ["epochs 5, others 250", "", ""]


def test_damaged_plans_are_named(tmp_path):
    result = trained(tmp_path, "dl")
    (result.run.path / "plans.json").write_text("{")
    with pytest.raises(UserError, match=r"plans\.json: not valid JSON"):
        written(tmp_path / "tables", [result, run_result()])


def test_other_excluded_cases_are_a_difference(tmp_path):
    left_out = Exclusion(3, {"case_9": ["volume-9.nii: cut off"]})
    rows = markdown_rows(
        written(tmp_path, [run_result("dl"), replace(run_result(), exclusion=left_out)])["phantom/table1.md"]
    )
    assert "excluded cases case_9, others none" in [row[-1] for row in rows]


def test_cases_that_a_run_lacks_are_named_and_left_out_of_paired_tests_only(tmp_path):
    fewer = run_result(values=MANY[:3], folds=(0, 1))
    files = written(tmp_path, [run_result("dice_ce", values=MANY), fewer])
    note = "GSL lacks 1 of the 4 cases of this comparison (case_3)"
    assert note in files["phantom/table1.md"]
    assert note in files["phantom/statistics.md"]
    baseline, gsl = markdown_rows(files["phantom/table1.md"])
    assert (baseline[6], gsl[6]) == ("4", "3")
    assert baseline[3] == "0.8150 (0.0112)"  # of 0.80, 0.81, 0.82 and 0.83, and not the best of two
    assert gsl[-1] == "cases that other rows have are missing: 1"
    tested = markdown_rows(files["phantom/statistics.md"])[1]
    assert tested[5] == "0 / 3 / 0"


def test_another_seed_of_a_row_says_of_which(tmp_path):
    results = [run_result(), run_result(suffix="seed7", seed=7), run_result(suffix="wide")]
    notes = {row[2]: row[-1] for row in markdown_rows(written(tmp_path, results)["phantom/other_runs.md"])}
    assert notes == {
        "GSL, linear, seed7": "seed 7 of Trainer__gsl_linear__3d_fullres, which has 42",
        "GSL, linear, wide": "variant wide",
    }


def test_runs_that_would_have_one_name_keep_their_folders(tmp_path):
    results = [run_result(), *(run_result(configuration=f"3d_{name}") for name in ("fullres_a", "fullres_b"))]
    names = [row[2] for row in markdown_rows(written(tmp_path, results)["phantom/other_runs.md"])]
    assert names == ["Trainer__gsl_linear__3d_fullres_a", "Trainer__gsl_linear__3d_fullres_b"]


def recorded(*overrides):
    """What the plans of a run with these overrides record."""
    cfg = compose(["protocol=paper", *overrides])
    return {"gsl_experiment": describe(cfg)}


@pytest.mark.parametrize(
    ("overrides", "difference"),
    [
        (["loss.class_weight_power=2"], "class_weight_power 2, not 1"),
        (["schedule=step5", "schedule.alpha.length=10"], "alpha.length 10, not 5"),
        (["region_terms.dice_ce.ce_scale=voxel"], "region_term.ce_scale voxel, not paper"),
        (
            ["loss.boundary._target_=gsl_experiments.losses.BoundaryLoss"],
            "boundary_term._target_ gsl_experiments.losses.BoundaryLoss, not "
            "gsl_experiments.losses.GeneralizedSurfaceLoss",
        ),
    ],
)
def test_a_run_with_other_settings_than_its_name_says_is_no_row_of_the_paper(tmp_path, overrides, difference):
    schedule = "step5" if "schedule=step5" in overrides else "linear"
    results = [trained(tmp_path, "gsl", schedule=schedule, plans=recorded("loss=gsl", *overrides))]
    (other,) = place_runs(results).others
    assert other.reason == difference
    assert place_runs(results).tables == {1: {}, 2: {}}


@pytest.mark.parametrize(
    "overrides", [["training.batch_dice=true"], ["training.ce_scale=voxel"], ["seed=7"], ["protocol=nnunet"]]
)
def test_other_training_settings_leave_a_run_in_its_row(tmp_path, overrides):
    """They are compared between the rows of a table."""
    protocol = "nnunet" if "protocol=nnunet" in overrides else "paper"
    result = trained(
        tmp_path,
        "gsl",
        protocol=protocol,
        plans=recorded("loss=gsl", "training.batch_dice=false", *overrides),
    )
    assert place_runs([result]).others == ()


def test_a_run_with_few_folds_does_not_take_the_ranks_of_the_others(tmp_path):
    results = [
        run_result("dice_ce", values=MANY),
        run_result("gsl", values=MANY),
        run_result("hl", values=MANY[:1], folds=(0,)),
    ]
    text = written(tmp_path, results)["phantom/statistics.md"]
    ranks_of = text[text.index("ranks over cases") :]
    assert "Not ranked, because folds are open: HL." in ranks_of
    assert {row[-1] for row in markdown_rows(ranks_of)} == {"4"}
