"""Figures of the training itself: curves, schedules of alpha, class weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gsl_experiments.config import EXPERIMENT_KEY
from gsl_experiments.evaluation import RunResult
from gsl_experiments.evaluation.runs import read_json
from gsl_experiments.figures.curves import Training, draw_learning_curves, draw_schedules
from gsl_experiments.figures.options import FigureOptions
from gsl_experiments.figures.planned import DrawnFigure
from gsl_experiments.figures.selection import Comparison
from gsl_experiments.figures.style import ALPHA, SCHEDULE_NAMES
from gsl_experiments.figures.weights import draw_class_weights
from gsl_experiments.figures.words import dataset_name, enumerate_words, run_records, settings_sentence
from gsl_experiments.preprocessing.manifest import CLASS_WEIGHTS
from gsl_experiments.preprocessing.maps import maps_folder
from gsl_experiments.schedules import Formula, cosine, linear, step
from gsl_experiments.training.epoch_log import CSV_NAME, read_epochs

_SCHEDULES: Mapping[str, Callable[..., float]] = {
    "linear": linear,
    "step5": partial(step, length=5),
    "step25": partial(step, length=25),
    "step50": partial(step, length=50),
    "cosine": cosine,
}
_FORMULA_WORDS = {
    "prose": "as the paper's text says: 1 in the first epoch, 0 in the last",
    "equation": "as the paper's equations are printed",
    "released_code": "as the released code computes them",
}


def curves_figure(comparison: Comparison, options: FigureOptions) -> DrawnFigure:
    """Loss, Dice and alpha over the epochs of each run."""
    trainings = [
        Training(look.name, _epochs(result), has_alpha=result.run.experiment.schedule is not None)
        for result, look in zip(comparison.results, comparison.looks, strict=True)
    ]
    figure = draw_learning_curves(trainings, width_mm=options.text_mm)
    caption = (
        f"{dataset_name(comparison)}: training of each run. Thin lines are folds, thick lines their mean. The loss is "
        f"that of eq. (8), each in its own unit; {ALPHA} is its weight of the region loss. Dice is nnU-Net's "
        f"estimate from patches of the held-out cases. {settings_sentence(comparison)}"
    )
    names = [training.name for training in trainings]
    alt = f"Curves of loss, Dice and alpha over the epochs of {enumerate_words(names)}."
    return DrawnFigure(f"{comparison.name}_curves", figure, caption, alt, {"runs": run_records(comparison)})


def schedules_figure(epochs: int, formula: Formula, options: FigureOptions) -> DrawnFigure:
    """The paper's schedules in a run of that many epochs; one that does not fit the run is left out and named."""
    alphas, left_out = {}, []
    for name, alpha in _SCHEDULES.items():
        try:
            alphas[name] = [alpha(epoch, epochs, formula=formula) for epoch in range(epochs)]
        except ValueError:
            left_out.append(SCHEDULE_NAMES[name])
    if not alphas:
        raise ValueError(f"no schedule fits a run of {epochs} epochs")
    figure = draw_schedules(alphas, width_mm=options.column_mm)
    missing = f" {enumerate_words(left_out).capitalize()} would not fit this run." if left_out else ""
    caption = (
        f"Schedules of {ALPHA}, eqs. (14) to (16), in a run of {epochs} epochs, {_FORMULA_WORDS[formula]}. {ALPHA} is "
        f"the weight of the region loss in eq. (8).{missing}"
    )
    names = enumerate_words([SCHEDULE_NAMES[name] for name in alphas])
    alt = f"Alpha falls from 1 towards 0 over {epochs} epochs: {names}."
    return DrawnFigure(
        "alpha_schedules", figure, caption, alt, {"epochs": epochs, "formula": formula, "alpha": alphas}
    )


def schedule_formula(result: RunResult) -> Formula:
    """The reading of the paper's schedules with which a run was trained."""
    experiment = read_json(result.run.path / "plans.json")[EXPERIMENT_KEY]
    return experiment.get("training", {}).get("schedule_formula", "prose")


def weights_file(result: RunResult, preprocessed: Path) -> Path:
    """Where preprocessing has written the voxel counts of a run's cases."""
    plans = read_json(result.run.path / "plans.json")
    cases = plans["configurations"][result.run.configuration]["data_identifier"]
    return maps_folder(preprocessed / result.run.dataset_folder / cases) / CLASS_WEIGHTS


def weights_figure(comparison: Comparison, preprocessed: Path, options: FigureOptions) -> DrawnFigure:
    """Voxel counts and weights of the classes, background included."""
    result = comparison.results[0]
    file = weights_file(result, preprocessed)
    stored = read_json(file)
    labels = read_json(result.run.path / "dataset.json")["labels"]
    names = [
        name
        for name, label in sorted(labels.items(), key=lambda item: _number(item[1]))
        if _number(label) >= 0
    ]
    voxels, weights = stored["voxels"], stored["class_weights"]
    if len(names) != len(voxels):
        names = [f"class {number}" for number in range(len(voxels))]
    figure = draw_class_weights(names, voxels, weights, width_mm=options.column_mm)
    caption = (
        f"{dataset_name(comparison)}: voxels of each class in the whole preprocessed dataset, and the weights of "
        "eq. (13), inverse to them and 1 together."
    )
    alt = (
        "Weights: "
        + ", ".join(f"{name} {weight:.3g}" for name, weight in zip(names, weights, strict=True))
        + "."
    )
    return DrawnFigure("class_weights", figure, caption, alt, {"voxels": voxels, "class_weights": weights})


def _epochs(result: RunResult) -> dict[int, dict[int, dict[str, float]]]:
    """What the complete folds have recorded."""
    recorded = {
        fold: read_epochs(result.run.path / f"fold_{fold}" / CSV_NAME) for fold in result.complete_folds
    }
    return {fold: epochs for fold, epochs in recorded.items() if epochs}


def _number(label: Any) -> int:
    """A label's number; -1 for a region of several labels, as nnU-Net's region-based training has."""
    return label if isinstance(label, int) else -1
