"""What all trainings of the paper's Tables 1 and 2 take, from what was measured and the time of a step.

    .venv/bin/python -m benchmarks.cost --seconds-per-step lits=0.6 brats=0.4 --price 2.5

Without it the time of a step is what the machine's file holds for its GPU, else an example, and the table says which.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.tables import table
from gsl_experiments.cli import compose
from gsl_experiments.config import CONFIG_DIR, NUM_FOLDS

DATASETS = {"lits": "LiTS", "brats": "BraTS"}
FORWARD_SHARE = 1 / 3  # of a validation step in a training step: no backward pass
EXAMPLE = {"lits": 1.0, "brats": 0.5}
EXAMPLE_PRICE = 2.0  # of one GPU for one hour
STEP_LINES = {"lits": "steps lits mixed compiled", "brats": "steps brats mixed compiled"}
LOADER_LINES = {"lits": "lits_loader", "brats": "loader"}


@dataclass(frozen=True)
class Trainings:
    """All trainings of one dataset.

    Attributes:
        count: rows of the tables times folds.
        steps: training steps of all of them.
        validation_steps: validation steps of all of them.
    """

    count: int
    steps: int
    validation_steps: int

    def gpu_hours(self, seconds_per_step: float) -> float:
        """Return the hours of one GPU that is never left waiting."""
        return (self.steps + FORWARD_SHARE * self.validation_steps) * seconds_per_step / 3600


def trainings_of(dataset: str) -> Trainings:
    """Count the trainings of Tables 1 and 2 on a dataset and their steps, from the configurations."""
    experiments = sorted((CONFIG_DIR / "experiment").glob(f"{dataset}_*.yaml"))
    count = NUM_FOLDS * len(experiments)
    training = compose([f"dataset={dataset}"]).training
    epochs = count * training.epochs
    return Trainings(
        count, epochs * training.iterations_per_epoch, epochs * training.val_iterations_per_epoch
    )


def section(
    results: Mapping[str, Any],
    seconds_per_step: Mapping[str, float] | None = None,
    *,
    gpus: Sequence[int] = (1, 8),
    price: float | None = None,
) -> str:
    """Return the page's section.

    Args:
        results: of one machine, line -> its result; the loader's give what a core can feed.
        seconds_per_step: of one training step, dataset -> seconds; by default what was measured, else `EXAMPLE`.
        gpus: numbers of GPUs, one training on each at a time.
        price: of one GPU for one hour, in whatever currency.
    """
    header = [
        "",
        "trainings",
        "training steps",
        "seconds a step",
        *(f"hours on {n} GPU{'s' if n > 1 else ''}" for n in gpus),
    ]
    header += ["cores that keep up"] + ([f"cost at {price:g} a GPU hour"] if price is not None else [])
    lines, all_hours = [header], 0.0
    for dataset, name in DATASETS.items():
        trainings = trainings_of(dataset)
        step, origin = _seconds_a_step(results, dataset, seconds_per_step or {})
        hours = trainings.gpu_hours(step)
        all_hours += hours
        loading = seconds_a_batch(results, dataset)
        cores = f"{loading / step:.1f} a GPU" if loading else "not measured"
        counts = [str(trainings.count), str(trainings.steps), f"{step:.3g} ({origin})"]
        lines.append([name, *counts, *(f"{hours / n:.0f}" for n in gpus), cores, *_cost(hours, price)])
    total = ["both", str(sum(trainings_of(d).count for d in DATASETS)), "", ""]
    lines.append([*total, *(f"{all_hours / n:.0f}" for n in gpus), "", *_cost(all_hours, price)])
    return table(lines)


def seconds_a_batch(results: Mapping[str, Any], dataset: str) -> float | None:
    """Return what one core needs to load and augment a batch with its maps, at the paper's patch."""
    rows = results.get(LOADER_LINES[dataset], {}).get("rows", [])
    return next((row["value"] for row in rows if row["contestant"] == "gsl_experiments"), None)


def _seconds_a_step(
    results: Mapping[str, Any], dataset: str, given: Mapping[str, float]
) -> tuple[float, str]:
    """Return the seconds of a training step with GSL, and where the number is from."""
    if dataset in given:
        return given[dataset], "given"
    for row in results.get("steps_gpu", {}).get("rows", []):
        if (row["line"], row["contestant"]) == (STEP_LINES[dataset], "gsl") and row["seconds"]:
            return statistics.median(row["seconds"]), "measured"
    return EXAMPLE[dataset], "example"


def _cost(hours: float, price: float | None) -> list[str]:
    return [] if price is None else [f"{hours * price:.0f}"]


def main() -> None:
    """Print the section for the numbers of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds-per-step", nargs="+", type=_pair, default=[], metavar="DATASET=SECONDS")
    parser.add_argument("--gpus", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--price", type=float, help="of one GPU for one hour")
    parser.add_argument("--machine", type=Path, help="JSON file of results/bench whose loader times count")
    chosen = parser.parse_args()
    results = json.loads(chosen.machine.read_text())["lines"] if chosen.machine else {}
    print(section(results, dict(chosen.seconds_per_step), gpus=chosen.gpus, price=chosen.price))


def _pair(text: str) -> tuple[str, float]:
    name, _, seconds = text.partition("=")
    if name not in DATASETS:
        raise argparse.ArgumentTypeError(f"{text}: expected lits=SECONDS or brats=SECONDS")
    return name, float(seconds)


if __name__ == "__main__":
    main()
