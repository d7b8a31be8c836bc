"""Copies of sound datasets: to write each of them for every test would take longer than all tests."""

import shutil
from pathlib import Path

import pytest
from sound_datasets import LAYOUTS, Sound


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    for layout, (write, _) in LAYOUTS.items():
        write(folder / layout)
    return folder


@pytest.fixture
def sound(originals: Path, tmp_path: Path) -> Sound:
    """sound(layout): the raw folder of a small dataset without a flaw."""

    def copy(layout: str) -> Path:
        return Path(shutil.copytree(originals / layout, tmp_path / layout))

    return copy
