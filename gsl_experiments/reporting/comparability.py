"""In what the runs of one table differ beside what the table compares: settings, data, and cases."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gsl_experiments.config import EXPERIMENT_KEY
from gsl_experiments.evaluation import Run, RunResult
from gsl_experiments.evaluation.runs import read_json

PREPROCESSING_KEY = "gsl_preprocessing"  # of the plans: how our planning and distance maps were set

_PLANNED = ("batch_size", "patch_size", "spacing", "normalization_schemes", "architecture")
_TRAINED = ("training", "inference")
_LONGEST_VALUE = 40


def odd_settings(results: Mapping[str, RunResult]) -> dict[str, list[str]]:
    """Variant -> in what its run differs from most of the others, one entry a setting.

    Settings are those of the training and of the prediction, nnU-Net's configuration with patch, spacing and
    network, the preprocessing, the dataset with its fingerprint, and the cases that it is without. One that a run
    does not record is not compared.

    Raises:
        UserError: a run's plans or fingerprint cannot be read.
    """
    settings = {variant: dict(_settings(result)) for variant, result in results.items()}
    names = list(dict.fromkeys(name for values in settings.values() for name in values))
    odd: dict[str, list[str]] = {variant: [] for variant in results}
    for name in names:
        values = {variant: own[name] for variant, own in settings.items() if name in own}
        usual = _usual(name, Counter(values.values()))
        for variant, value in values.items():
            if value != usual:
                odd[variant].append(_difference(name, value, usual))
    return odd


def missing_cases(results: Mapping[str, RunResult]) -> dict[str, list[str]]:
    """Variant -> the cases that another of the runs has and this one lacks, sorted; only variants that lack one."""
    cases = {variant: set(result.cases["case"]) for variant, result in results.items()}
    every = set().union(*cases.values())
    return {variant: sorted(every - own) for variant, own in cases.items() if every - own}


def _usual(name: str, counts: Mapping[str, int]) -> str:
    """The most frequent value; of equally frequent ones the longest training, or the one of the first run."""
    most = max(counts.values())
    rivals = [value for value, count in counts.items() if count == most]
    return max(rivals, key=int) if name == "epochs" else rivals[0]


def _settings(result: RunResult) -> Iterator[tuple[str, str]]:
    run = result.run
    yield "epochs", str(run.experiment.epochs)
    yield "seed", str(run.experiment.seed)
    yield "configuration", run.configuration
    yield "dataset", run.dataset_folder
    yield "excluded cases", ", ".join(sorted(result.exclusion.excluded)) or "none"
    for region, labels in run.regions.items():
        yield f"labels of {region}", "+".join(str(label) for label in labels)
    yield from _recorded_settings(run)


def _recorded_settings(run: Run) -> Iterator[tuple[str, str]]:
    """What the files that a training leaves beside its folds say."""
    fingerprint, plans_file = run.path / "dataset_fingerprint.json", run.path / "plans.json"
    if fingerprint.exists():
        content = repr(sorted(read_json(fingerprint).items())).encode()
        yield "dataset fingerprint", hashlib.sha256(content).hexdigest()[:8]
    if not plans_file.exists():
        return
    plans = read_json(plans_file)
    planned = plans.get("configurations", {}).get(run.configuration, {})
    yield from flat({key: planned[key] for key in _PLANNED if key in planned})
    yield from flat(plans.get(PREPROCESSING_KEY, {}), "preprocessing.")
    trained = plans.get(EXPERIMENT_KEY, {})
    if "deterministic" in trained:
        yield "deterministic", str(trained["deterministic"])
    for key in _TRAINED:
        values = {name: value for name, value in trained.get(key, {}).items() if name != "epochs"}
        yield from flat(values, f"{key}.")


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as one line each: `training.optimizer.lr`; those of the network stay together."""
    for name, value in values.items():
        if isinstance(value, Mapping) and name != "architecture":
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _spell(value)


def _spell(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " x ".join(_spell(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _difference(name: str, value: str, usual: str) -> str:
    if max(len(value), len(usual)) > _LONGEST_VALUE:
        return f"{name} differs from the others'"
    return f"{name} {value}, others {usual}"
