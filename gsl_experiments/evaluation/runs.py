"""Trained runs on disk: nnU-Net's model folders that say which experiment they are."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gsl_experiments.config import EXPERIMENT_KEY
from gsl_experiments.datasets.description import evaluation_regions
from gsl_experiments.errors import UserError
from gsl_experiments.preprocessing.folds import problems_of, read_folds
from gsl_experiments.training.fold import is_finished

_FOLD = "fold_"

Regions = dict[str, tuple[int, ...]]
Splits = Sequence[Mapping[str, Sequence[str]]]


@dataclass(frozen=True)
class Experiment:
    """What was trained, as its plans file tells.

    Attributes:
        dataset: the dataset's short name, for example `lits`.
        loss: `dl`, `dice_ce`, `gdl`, `hl`, `bl`, `gsl`, or a loss of one's own.
        schedule: of alpha in eq. (8), for example `step5`; None for a loss without a boundary term.
        region: the region term of eq. (8); None, or the loss itself, for a loss without a boundary term.
        protocol: `paper`, `released_code`, `nnunet`, ...
        epochs: length of the training.
        seed: of all random numbers.
        suffix: what its owner added to the name to keep a variant apart; empty otherwise.
    """

    dataset: str
    loss: str
    schedule: str | None
    region: str | None
    protocol: str
    epochs: int
    seed: int
    suffix: str = ""

    @classmethod
    def from_plans(cls, description: Mapping[str, Any], source: Path) -> "Experiment":
        """Read the experiment out of the dict that the plans file `source` holds; keys not listed here are
        left.

        Raises:
            UserError: it is no dict, or a key is missing.
        """
        if not isinstance(description, Mapping):
            raise UserError(f"{source}: {EXPERIMENT_KEY} is no JSON object")
        required = ("dataset", "loss", "schedule", "region", "protocol", "epochs", "seed")
        if missing := [key for key in required if key not in description]:
            raise UserError(f"{source}: {EXPERIMENT_KEY} has no {', '.join(missing)}")
        return cls(**{key: description[key] for key in required}, suffix=description.get("suffix") or "")


@dataclass(frozen=True)
class Run:
    """One trained configuration: a folder `Trainer__plans name__configuration` below its dataset's folder.

    Attributes:
        path: the folder.
        experiment: what was trained there.
        regions: region -> the nnU-Net labels whose union is evaluated.
        file_ending: of the predictions and the references.
    """

    path: Path
    experiment: Experiment
    regions: Mapping[str, tuple[int, ...]]
    file_ending: str

    @property
    def name(self) -> str:
        """Name of the folder: `Trainer__plans name__configuration`."""
        return self.path.name

    @property
    def configuration(self) -> str:
        """nnU-Net's configuration, for example `3d_fullres`."""
        return self.path.name.rpartition("__")[2]

    @property
    def dataset_folder(self) -> str:
        """Name of nnU-Net's dataset, `DatasetNNN_Name`."""
        return self.path.parent.name

    @property
    def folds(self) -> tuple[int, ...]:
        """Folds of which there is a folder, finished or not."""
        numbers = (path.name.removeprefix(_FOLD) for path in self.path.glob(f"{_FOLD}*") if path.is_dir())
        return tuple(sorted(int(number) for number in numbers if number.isdecimal()))

    def prediction_file(self, fold: int, case: str) -> Path:
        """Where nnU-Net's validation writes the prediction of a case."""
        return self.path / f"{_FOLD}{fold}" / "validation" / f"{case}{self.file_ending}"

    def is_complete(self, fold: int, cases: Sequence[str]) -> bool:
        """Whether the fold's training has ended and each of its validation cases has a prediction."""
        return is_finished(self.path / f"{_FOLD}{fold}", cases, self.file_ending)

    def complete_folds(self, splits: Splits) -> tuple[int, ...]:
        """Folds whose results are final, out of those of `splits_final.json`."""
        return tuple(fold for fold, split in enumerate(splits) if self.is_complete(fold, split["val"]))


def find_runs(results: Path) -> list[Run]:
    """Every run below nnU-Net's results folder whose plans carry an experiment, sorted by path.

    Models that stock nnU-Net trained beside them are passed over.

    Raises:
        UserError: a `plans.json` or `dataset.json` cannot be read or lacks a key.
    """
    runs = []
    for plans_file in sorted(results.glob("Dataset*/*__*__*/plans.json")):
        plans = read_json(plans_file)
        if EXPERIMENT_KEY not in plans:
            continue
        experiment = Experiment.from_plans(plans[EXPERIMENT_KEY], plans_file)
        runs.append(_read_run(plans_file.parent, experiment))
    return runs


def read_splits(dataset_folder: Path) -> Splits:
    """Folds of a preprocessed dataset: nnU-Net's `splits_final.json`, a list of {"train": [...], "val":
    [...]}.

    Raises:
        UserError: the file is missing, cannot be read or holds no fold, or a case is not held out exactly once.
    """
    file = dataset_folder / "splits_final.json"
    folds = read_folds(file)
    names = [case for fold in folds for case in fold["train"] + fold["val"]]
    if not names or not all(isinstance(name, str) for name in names):
        raise UserError(f"{file}: holds no folds of named cases; correct it, or preprocess the dataset again")
    if problems := problems_of(folds, names):
        more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
        raise UserError(f"{file}: {problems[0]}{more}; correct it")
    return folds


def read_json(file: Path) -> dict[str, Any]:
    """Content of a JSON file that holds an object.

    Raises:
        UserError: it is missing, not JSON, or holds something else.
    """
    try:
        content = json.loads(file.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{file}: no such file") from error
    except ValueError as error:
        raise UserError(f"{file}: not valid JSON ({error})") from error
    if not isinstance(content, dict):
        raise UserError(f"{file}: holds no JSON object")
    return content


def _read_run(path: Path, experiment: Experiment) -> Run:
    file = path / "dataset.json"
    description = read_json(file)
    if missing := [key for key in ("labels", "file_ending") if key not in description]:
        raise UserError(f"{file}: no {', '.join(missing)}")
    return Run(
        path=path,
        experiment=experiment,
        regions=checked_regions(description, evaluation_regions, file),
        file_ending=description["file_ending"],
    )


def checked_regions(
    description: dict[str, Any], regions_of: Callable[[dict[str, Any]], Regions], file: Path
) -> Regions:
    """Regions that a `dataset.json` describes, in nnU-Net's labels or in the original ones.

    Raises:
        UserError: its labels or regions are no names of whole numbers.
    """
    with suppress(AttributeError, KeyError, TypeError, ValueError):
        regions = regions_of(description)
        if all(labels and all(isinstance(label, int) for label in labels) for labels in regions.values()):
            return regions
    raise UserError(f"{file}: its labels, label_map or evaluation_regions are damaged")
