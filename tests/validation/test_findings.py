"""Every bad input gives its one line: the file, what is wrong, what to do."""

from pathlib import Path

import pytest
from bad_inputs import BAD_INPUTS
from bad_voxels import SWAPPED
from damage import BadInput
from sound_datasets import LAYOUTS, Sound

from gsl_experiments.validation.check import Report, inspect_dataset
from gsl_experiments.validation.kinds import KINDS


def inspect(layout: str, raw: Path) -> Report:
    return inspect_dataset(LAYOUTS[layout][1](raw), processes=1, records=raw.parent / "records.json")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sound_dataset_gives_no_finding(layout: str, sound: Sound) -> None:
    report = inspect(layout, sound(layout))
    assert report.findings == ()
    assert report.cases == {"lits": 3, "brats": 3, "msd": 2, "nnunet": 2}[layout]


@pytest.mark.parametrize("bad", BAD_INPUTS.values(), ids=BAD_INPUTS.keys())
def test_a_bad_input_gives_its_one_line(bad: BadInput, sound: Sound) -> None:
    raw = sound(bad.layout)
    bad.damage(raw)
    (finding,) = inspect(bad.layout, raw).findings
    assert finding.kind == bad.kind
    assert finding.severity == KINDS[bad.kind].severity
    assert bad.file in finding.file.name
    assert bad.problem in finding.problem
    assert bad.remedy in finding.remedy
    line = str(finding)
    assert line == f"{finding.file}: {finding.problem}; {finding.remedy}"
    assert len(line.splitlines()) == 1


def test_image_and_label_swapped(sound: Sound) -> None:
    raw = sound("lits")
    SWAPPED(raw)
    kinds = {finding.kind: finding for finding in inspect("lits", raw).findings}
    assert kinds.keys() == {"image holds labels", "unknown label"}
    assert kinds["image holds labels"].problem.endswith("the label file other values: swapped?")


def test_every_kind_has_a_bad_input() -> None:
    assert {bad.kind for bad in BAD_INPUTS.values()} == KINDS.keys()
