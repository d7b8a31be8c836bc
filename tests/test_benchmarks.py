"""The benchmarks at tiny sizes: lines run, a disagreement is loud, and the page says what was found. No times."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import DictConfig, OmegaConf
from waiting import is_alive, wait_for

from benchmarks import (
    accuracy,
    cost,
    dtm,
    gpu_epoch,
    gpu_steps,
    growth,
    growth_page,
    imports,
    loader_example,
    metrics,
    one_line,
    page,
    preprocessing_time,
    run,
    training_step,
    turns,
)
from benchmarks.apart import apart
from benchmarks.lines import GROWTH, LINES, Line, Target
from benchmarks.turns import DisagreementError, in_turns, missing_row
from gsl_experiments.errors import UserError
from gsl_experiments.gpu_check.blocks import Row
from gsl_experiments.gpu_check.setting import Setting

Configure = Callable[..., DictConfig]


def row(contestant: str, *seconds: float, line: str = "work", **more: Any) -> turns.Row:
    return {"line": line, "contestant": contestant, "seconds": list(seconds)} | more


class TestApart:
    def test_works_in_its_own_process_and_keeps_its_state_there(self) -> None:
        calls: list[str] = []

        def work() -> None:
            assert calls[0] == "first"
            calls.append("work")
            if len(calls) == 4:
                raise ValueError(f"{len(calls)} calls")

        with apart({"a": work}, {"a": lambda: calls.append("first")}) as contestants:
            contestants["a"]()
            contestants["a"]()
            with pytest.raises(ValueError, match="4 calls"):
                contestants["a"]()
            process = contestants["a"].process
            assert process.is_alive()
        assert not process.is_alive()
        assert calls == []

    def test_peak_memory_is_that_of_the_process(self) -> None:
        with apart({"a": lambda: np.ones(5_000_000)}, {}) as contestants:
            assert contestants["a"].peak_mb() == pytest.approx(40, abs=4)

    def test_a_process_that_has_ended_is_an_error(self) -> None:
        with (
            apart({"a": lambda: os._exit(3)}, {}) as contestants,
            pytest.raises(RuntimeError, match="status 3"),
        ):
            contestants["a"]()

    def test_processes_end_with_the_one_that_started_them(self) -> None:
        code = (
            "import os\nfrom benchmarks.apart import Apart\n"
            "print(*(Apart(lambda: None).process.pid for _ in range(2)), flush=True)\nos._exit(9)"
        )
        outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=run.ROOT)
        assert outcome.returncode == 9
        first, second = map(int, outcome.stdout.split())
        wait_for(lambda: not is_alive(first) and not is_alive(second), seconds=20)


def result(*rows: turns.Row, failure: str | None = None) -> dict[str, Any]:
    about = {"measured": "2026-01-02T03:04:05", "sources": "abc", "others": 0.5, "took_seconds": 60.0}
    about |= {"packages": {"torch": "9.9"}}
    return about | {"failure": failure, "rows": list(rows)}


def machine(**lines: dict[str, Any]) -> dict[str, Any]:
    about = {"name": "Abacus, 2 cores", "slug": "abacus", "gpu": False, "cores": 2, "memory_gb": 24}
    return about | {"lines": lines}


class TestTurns:
    def test_every_other_round_goes_in_reverse(self) -> None:
        calls: list[str] = []
        rows = in_turns(
            "work", {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repetitions=2
        )
        assert "".join(calls) == "ba" + "ab" + "ba"  # the first round warms up
        assert [(r["contestant"], len(r["seconds"])) for r in rows] == [("a", 2), ("b", 2)]

    def test_peak_memory_is_what_the_work_adds(self) -> None:
        held = np.ones(10_000_000)
        peak = turns.peak_mb(lambda: np.ones(5_000_000).sum())
        assert peak == pytest.approx(40, abs=4)  # 8 bytes each
        assert held.all()

    def test_peak_memory_and_time_of_one_run(self) -> None:
        calls: list[int] = []
        peak, seconds = turns.peak_mb_and_seconds(lambda: calls.append(np.ones(5_000_000).shape[0]))
        assert calls == [5_000_000]
        assert peak == pytest.approx(40, abs=4)
        assert seconds > 0


class TestLines:
    def test_metrics(self) -> None:
        rows = metrics.measure((24, 64, 64), (8.0, 4.0, 4.0), cases=("good prediction",), repetitions=2)
        measured = {r["contestant"]: r["value"]["dice"] for r in rows if r["seconds"]}
        assert {"gsl_experiments", "SimpleITK"} <= measured.keys()
        assert all(dice == pytest.approx(measured["SimpleITK"], abs=1e-4) for dice in measured.values())
        assert all(len(r["seconds"]) in (0, 2) for r in rows)
        (medpy,) = (r for r in rows if r["contestant"] == "MedPy")
        assert "takes minutes" in medpy["missing"]

    def test_metrics_that_disagree(self) -> None:
        ours = {"dice": 0.9, "hd95_mm": 3.0}
        with pytest.raises(DisagreementError, match=r"hd95_mm: SimpleITK 3\.001, ours 3\.0"):
            metrics.check_agreement("SimpleITK", {"dice": 0.9, "hd95_mm": 3.001}, ours, (1.0, 1.0, 1.0))

    def test_distance_maps(self) -> None:
        rows = dtm.measure({"tiny": ((12, 14, 16), 3, (2.0, 1.0, 1.0))}, repetitions=1)
        names = {
            "gsl_experiments",
            "gsl_experiments, one thread",
            "SimpleITK",
            "SciPy",
            "edt",
            "mist-medical",
        }
        assert {r["contestant"] for r in rows} == names
        assert {r["line"] for r in rows} == {"tiny, 12 x 14 x 16, 3 classes"}
        (mist,) = (r for r in rows if r["contestant"] == "mist-medical")
        assert mist["missing"] in ("its maps are in voxels, not in mm", "not installed")

    def test_distance_maps_that_disagree(self, monkeypatch: pytest.MonkeyPatch) -> None:
        maps = dtm.signed_distance_maps
        monkeypatch.setattr(dtm, "signed_distance_maps", lambda *arguments: 1.001 * maps(*arguments))
        with pytest.raises(DisagreementError, match=r"gsl_experiments and SimpleITK differ by 1\.0e-03"):
            dtm.measure({"tiny": ((12, 14, 16), 2, (1.0, 1.0, 1.0))}, repetitions=1)

    def test_a_missing_peer_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dtm, "missing_modules", lambda modules: list(modules))
        rows = dtm.measure({"tiny": ((12, 14, 16), 2, (1.0, 1.0, 1.0))}, repetitions=1)
        missing = {r["contestant"]: r["missing"] for r in rows if not r["seconds"]}
        assert missing == {"edt": "not installed", "mist-medical": "not installed"}

    def test_imports(self) -> None:
        rows = imports.measure(["gpu_check"], repetitions=1, stock_help=False)
        assert [r["contestant"] for r in rows] == ["gsl_experiments", "Python alone", "nnU-Net", "gpu_check"]
        assert all(len(r["seconds"]) == 1 for r in rows)

    def test_loading(self) -> None:
        rows = loader_example.measure(setting=((8, 16, 16), 2, 1), batches=2, repetitions=1)
        assert [r["contestant"] for r in rows] == ["gsl_experiments", "nnU-Net"]
        assert [r["value"] for r in rows] == [r["seconds"][0] / 2 for r in rows]

    # A thread of nnU-Net's loader may fail when the loader is ended: its process has gone, and what it was sent too.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_steps_and_epochs_of_a_gpu_on_the_cpu(self) -> None:
        tiny = Setting(1, 2, 2, (16, 16, 16), 4, (1.0, 1.0, 1.0))
        rows = gpu_epoch.measure(device="cpu", setting=tiny, steps=1, repetitions=1)
        assert [r["contestant"] for r in rows] == [
            "gsl_experiments",
            "nnU-Net",
            "gsl_experiments, the same batch again",
        ]

    def test_rows_of_the_gpu_check(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = [Row("gsl", {"milliseconds": 250.0, "peak_gib": 1.0}), Row("bl", {}, "out of memory")]
        monkeypatch.setattr(gpu_steps, "run_block", lambda block, device: found)
        assert gpu_steps.measure(device="cpu", blocks=["steps"]) == [
            row("gsl", 0.25, line="steps", peak_mb=pytest.approx(1073.741824)),
            missing_row("steps", "bl", "out of memory"),
        ]

    @pytest.mark.parametrize("name", GROWTH)
    def test_growth(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        by_classes = growth.CURVES[name].grows != "voxels"
        monkeypatch.setitem(growth.CURVES, name, growth.CURVES[name].at(16 if by_classes else 2))
        rows = growth.measure(name, points=(2, 3) if by_classes else (16, 20), repetitions=1)
        assert {r["x"] for r in rows} == ({2, 3} if by_classes else {4096, 8000})
        assert all(r["grows"] == growth.CURVES[name].grows for r in rows)

    def test_points_of_a_curve_take_turns(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[tuple[str, int]] = []

        @contextmanager
        def prepare(side: int, classes: int) -> Iterator[growth.Contestants]:
            yield {name: partial(calls.append, (name, classes)) for name in ("a", "b")}

        monkeypatch.setitem(growth.CURVES, "turns", growth.Curve("work", "classes", (2, 16), 8, prepare))
        rows = growth.measure("turns", repetitions=2)
        points = [("a", 2), ("b", 2), ("a", 16), ("b", 16)]
        measured_for_memory = points
        assert calls == points[::-1] + points + points[::-1] + measured_for_memory
        assert [(r["contestant"], r["x"]) for r in rows] == points

    def test_names_of_targets_are_those_of_rows(self) -> None:
        assert [target.row for target in LINES["dtm"].targets[::2]] == [
            dtm.line_of(name, case) for name, case in dtm.CASES.items()
        ]
        assert set(GROWTH) == set(growth.CURVES)
        size = preprocessing_time.MR_SIZE
        row = preprocessing_time.line_of(preprocessing_time.CASES, size, preprocessing_time.PROCESSES)
        assert [target.row for target in LINES["preprocessing"].targets] == [row]
        (step,) = LINES["training_step"].targets
        assert step == Target(training_step.LINE, 0.8, (training_step.STOCK,), ours=training_step.OURS)
        for dataset, steps in gpu_epoch.STEPS.items():
            row = gpu_epoch.line_of(dataset, steps)
            assert {target.row for target in LINES[f"epoch_gpu_{dataset}"].targets} == {row}


TWO_LINES = {"quick": Line("Quick", "nothing"), "on a GPU": Line("Fast", "nothing", gpu=True)}


class TestRun:
    def test_what_has_been_measured_with_the_same_sources_is_kept(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(run, "fingerprint", lambda: "abc")
        done = {"quick": result()}
        assert run.to_measure(TWO_LINES, [], done, gpu=False) == []
        assert run.to_measure(TWO_LINES, ["quick"], done, gpu=False) == ["quick"]
        assert run.to_measure(TWO_LINES, ["all"], done, gpu=True) == ["quick", "on a GPU"]
        assert run.to_measure(TWO_LINES, [], {"quick": result(failure="x")}, gpu=False) == ["quick"]
        monkeypatch.setattr(run, "fingerprint", lambda: "def")
        assert run.to_measure(TWO_LINES, [], done, gpu=False) == ["quick"]

    def test_a_disagreement_ends_with_status_1_and_is_on_the_page(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        failed = result(failure="benchmarks.turns.DisagreementError: a and b differ")
        monkeypatch.setattr(run, "measure_apart", lambda name: failed | {"took_seconds": 1.0})
        assert run.main(["dtm", "--folder", str(tmp_path)]) == 1
        assert "error: dtm: benchmarks.turns.DisagreementError: a and b differ" in capsys.readouterr().err
        assert "**Failed:** benchmarks.turns.DisagreementError" in (tmp_path / "README.md").read_text()
        (file,) = tmp_path.glob("*.json")
        assert json.loads(file.read_text())["lines"]["dtm"]["failure"] == failed["failure"]

    def test_the_process_of_a_line_says_why_it_failed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(run, "LINE_MODULE", "benchmarks.no_such_module")
        assert "No module named benchmarks.no_such_module" in run.measure_apart("imports")["failure"]

    def test_an_unknown_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            run.main(["dmt"])
        assert "dmt: no such line; there are all, loss, " in capsys.readouterr().err

    def test_one_line_writes_its_rows(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dtm, "measure", lambda repetitions: [row("a", 1.0)])
        one_line.main("dtm", str(tmp_path / "rows.json"))
        assert json.loads((tmp_path / "rows.json").read_text()) == [row("a", 1.0)]


TARGET = Target("work", 0.5, ("fast", "slow", "absent"))
LINES_OF_PAGE = {
    "one": Line("One", "nothing", targets=(TARGET, Target("work", 2.0))),
    "two": Line("Two", "nothing"),
    "three": Line("Three", "nothing", targets=(TARGET,), gpu=True),
}


class TestPage:
    rows = (
        row("gsl_experiments", 0.9, 1.0, 1.4, peak_mb=3.0),
        row("fast", 3.0, 4.0, 6.0, peak_mb=7.0),
        row("slow", 9.0),
        missing_row("work", "absent"),
    )

    def test_ratio_is_to_the_best_of_the_peers(self) -> None:
        assert page.ratio(self.rows, TARGET) == (0.25, "fast")  # medians 1 and 4
        assert page.ratio(self.rows[:1], TARGET) is None
        assert page.ratio(self.rows[1:], TARGET) is None
        assert page.ratio(self.rows, Target("work", 2.0)) == (1.0, "")

    def test_the_worst_of_all_ours(self) -> None:
        rows = [row("train", 1.0), row("demo", 3.0), row("nnU-Net: nnUNetv2_train", 9.0)]
        assert page.ratio(rows, Target("work", 2.0, ours=None)) == (3.0, "")

    def test_page(self) -> None:
        text = page.render([machine(one=result(*self.rows))], LINES_OF_PAGE)
        assert "## Abacus, 2 cores" in text
        assert "measured 2026-01-02" in text
        assert "Other work took 0.5 cores meanwhile. **Busy**" in text
        assert "the lines of `make bench` in 1.0 minutes. torch 9.9." in text
        assert "| One: work | fast | ≤ 0.5 | 0.25 | met |" in text
        assert "| One: work | - | ≤ 2 s | 1 s | met |" in text
        assert "| Three: work | fast, slow, absent | ≤ 0.5 | not measured |  |" in text
        assert "| work | seconds, median (least to most) | times ours | peak memory, MB |" in text
        assert "| fast | 4 (3 to 6) | 4.00 | 7 |" in text
        assert "| absent | not installed |  |  |" in text
        assert "- Two: `make bench LINES=two`" in text
        assert "- Three: needs a GPU: `make bench LINES=three`" in text

    def test_rounds_of_other_work_are_averaged(self) -> None:
        rounds = row("gsl_experiments", 1.0, 1.0, 4.0, average="mean"), row("fast", 4.0, average="mean")
        text = page.render([machine(one=result(*rounds))], LINES_OF_PAGE)
        assert "| work | seconds, mean (least to most) | times ours |" in text
        assert "| gsl_experiments | 2 (1 to 4) | 1.00 |" in text
        assert "| One: work | fast | ≤ 0.5 | 0.5 | met |" in text

    def test_a_target_without_rows_is_loud(self) -> None:
        text = page.render([machine(one=result(row("gsl_experiments", 1.0, line="renamed")))], LINES_OF_PAGE)
        assert "| One: work | fast, slow, absent | ≤ 0.5 | not measured | **no such rows** |" in text

    def test_a_missed_target_names_the_gap(self) -> None:
        slow = (row("gsl_experiments", 3.0), row("fast", 4.0))
        text = page.render([machine(one=result(*slow))], LINES_OF_PAGE)
        assert "| One: work | fast | ≤ 0.5 | 0.75 | **not met**, 1.50 times it |" in text
        assert "| One: work | - | ≤ 2 s | 3 s | **not met**, 1.50 times it |" in text

    def test_a_failed_line_shows_no_times(self) -> None:
        text = page.render([machine(one=result(*self.rows, failure="they differ"))], LINES_OF_PAGE)
        assert "**Failed:** they differ" in text
        assert "4 (3 to 6)" not in text
        assert "met |" not in text


class TestGrowth:
    def test_exponent_of_a_square(self) -> None:
        rows = [row("a", 3.0 * x**2, x=x, peak_mb=10.0 * x) for x in (2, 4, 8)]
        assert growth_page.exponent(rows, "seconds") == pytest.approx(2.0)
        assert growth_page.exponent(rows, "peak_mb") == pytest.approx(1.0)
        assert growth_page.exponent(rows[:1], "seconds") is None

    def test_table_and_figure(self, tmp_path: Path) -> None:
        points = [
            row(name, power * float(x), x=x, grows="voxels", peak_mb=float(x), line="curve")
            for name, power in (("gsl_experiments", 1.0), ("SciPy", 5.0))
            for x in (1000, 8000)
        ]
        results = {"dtm_volume": result(*points)}
        text = growth_page.section(results)
        assert (
            "| curve | gsl_experiments | 10^3: 1e+03 s, 1000 MB | 20^3: 8e+03 s, 8000 MB | "
            "voxels^1.00 | voxels^1.00 | linear or less |" in text
        )
        assert "`make bench-growth LINES=loss_classes`" in text
        file = growth_page.draw(results, tmp_path / "growth.svg")
        assert file is not None
        assert any(element.tag.endswith("path") for element in ET.parse(file).iter())
        assert growth_page.draw({}, tmp_path / "none.svg") is None


class TestCost:
    def test_hundred_trainings(self) -> None:
        # 10 rows x 5 folds each; 250 epochs x 23 steps and 200 x 66
        lits, brats = cost.trainings_of("lits"), cost.trainings_of("brats")
        assert (lits.count, lits.steps, lits.validation_steps) == (50, 50 * 250 * 23, 50 * 250 * 10)
        assert (brats.count, brats.steps) == (50, 50 * 200 * 66)

    def test_hours(self) -> None:
        # one second a step: (287500 + 125000 / 3) s = 91.4 h and (660000 + 100000 / 3) s = 192.6 h
        loading = row("gsl_experiments", 16.0, value=2.0)
        text = cost.section({"loader": result(loading)}, {"lits": 1.0, "brats": 1.0}, price=2.0)
        assert "| LiTS | 50 | 287500 | 1 (given) | 91 | 11 | not measured | 183 |" in text
        assert "| BraTS | 50 | 660000 | 1 (given) | 193 | 24 | 2.0 a GPU | 385 |" in text
        assert "| both | 100 |  |  | 284 | 36 |  | 568 |" in text

    def test_the_time_of_a_step_is_the_measured_one(self) -> None:
        steps = row("gsl", 0.25, line="steps brats mixed compiled")
        text = cost.section({"steps_gpu": result(steps)})
        assert "| BraTS | 50 | 660000 | 0.25 (measured) | 48 |" in text
        assert "| LiTS | 50 | 287500 | 1 (example) | 91 |" in text


class TestAccuracy:
    def test_differences_of_cases_and_folds(self) -> None:
        dice = {accuracy.STOCK: [0.8, 0.6, 0.9, 0.7], accuracy.OURS: [0.8, 0.7, 0.9, 0.9]}
        cases = pd.DataFrame(
            [
                {"contestant": name, "fold": case // 2, "case": f"case_{case}", "region": "liver"}
                | dict.fromkeys(accuracy.METRICS, value)
                for name, values in dice.items()
                for case, value in enumerate(values)
            ]
        )
        row, *_ = accuracy.compare(cases)
        assert (row["cases"], row["ours"], row["stock"]) == (4, pytest.approx(0.825), pytest.approx(0.75))
        assert row["difference"] == pytest.approx(0.075)
        assert row["folds"] == {0: pytest.approx(0.05), 1: pytest.approx(0.1)}
        # two folds: t = 12.706 with one degree of freedom, standard error 0.025
        assert row["over_folds"] == pytest.approx([0.075 - 0.31766, 0.075 + 0.31766], abs=1e-4)
        assert accuracy.compare(cases[cases["fold"] == 0])[0]["over_folds"] is None
        with pytest.raises(DisagreementError, match="liver: a case has no dice"):
            accuracy.compare(cases.iloc[1:])

    @pytest.mark.parametrize(
        ("intervals", "expected"),
        [
            ([(-0.009, 0.001), (0.002, 0.003)], "as accurate"),
            ([(-0.009, 0.001), (-0.03, -0.02)], "less accurate"),
            ([(-0.011, 0.02), (0.0, 0.1)], "not decided"),
            ([None, None], "not decided"),
        ],
    )
    def test_verdict(self, intervals: list[Any], expected: str) -> None:
        rows = [{"metric": "dice", "over_folds": interval} for interval in intervals]
        assert expected in accuracy.verdict([*rows, {"metric": "asd_mm", "over_folds": (-1, 1)}])

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({}, None),
            ({"lrs": [0.01, 0.004]}, "fold 1: the two learning rates differ"),
            ({"lrs": [0.01]}, "fold 1: the two learning rates differ"),
            ({"train_losses": [0.9519, 0.5]}, None),  # later losses may differ
            ({"train_losses": [0.9521, 0.9]}, "fold 1: the losses of the first epoch are 0.9521 and 0.9500"),
        ],
    )
    def test_trainings_that_differ_are_refused(self, changed: dict[str, Any], message: str | None) -> None:
        log = {"lrs": [0.01, 0.005], "train_losses": [0.95, 0.9]}
        with nullcontext() if message is None else pytest.raises(DisagreementError, match=message):
            accuracy.check_logs(1, log | changed, log)

    @pytest.mark.parametrize("override", ["loss=gsl", "training.deep_supervision=true"])
    def test_what_stock_cannot_be_given_is_refused(self, override: str, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="a region term at one scale"):
            accuracy.configuration(tmp_path, tmp_path, [override])

    @pytest.mark.slow
    def test_a_fold_of_both(self, configure: Configure, tmp_path: Path) -> None:
        cfg = configure(*accuracy.SETTINGS, "suffix=accuracy")
        assert accuracy.report(cfg, tmp_path) is None
        folders = [accuracy.train_fold(cfg, name, 0) for name in (accuracy.STOCK, accuracy.OURS)]
        finished = {file: file.stat().st_mtime_ns for folder in folders for file in folder.rglob("*.nii.gz")}
        assert len(finished) == 4  # two cases of each
        accuracy.train_fold(cfg, accuracy.STOCK, 0)
        assert all(file.stat().st_mtime_ns == time for file, time in finished.items())
        with pytest.raises(UserError, match="trained with other settings"):
            accuracy.train_fold(OmegaConf.merge(cfg, {"seed": 99}), accuracy.STOCK, 0)
        page = accuracy.report(cfg, tmp_path)
        assert page is not None
        assert "folds 0: 2 held-out cases, 4 steps of 2 patches each" in page.read_text()
        stored = (tmp_path / "accuracy.json").read_text()
        assert str(cfg.paths.results) not in stored
        assert {row["region"] for row in json.loads(stored)["rows"]} == {
            "Whole Tumor",
            "Tumor Core",
            "Enhancing Tumor",
        }
