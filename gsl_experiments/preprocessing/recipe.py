"""The settings that preprocessed files depend on, and the refusal to mix files of different settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gsl_experiments.errors import UserError
from gsl_experiments.preprocessing.manifest import read_entries
from gsl_experiments.preprocessing.maps import ENCODING, maps_folder

PLANS_KEY = "gsl_preprocessing"  # of plans that this project has written: the choices behind them
_LONGEST_SHOWN = 140


def recipe(
    plans: dict[str, Any], configuration: str, dataset_json: dict[str, Any], absent_class: str
) -> dict[str, Any]:
    """Return all that the files of a case depend on besides its raw files, as plain values.

    The patch is not among it: it decides how arrays are cut into chunks, not what they hold.
    """
    planned = plans["configurations"][configuration]
    choices = {f"planning.{key}": value for key, value in plans.get(PLANS_KEY, {}).items()}
    content = {
        **choices,
        "planning.absent_class": absent_class,
        "spacing": planned["spacing"],
        "normalization": planned["normalization_schemes"],
        "mask for normalization": planned["use_mask_for_norm"],
        "resampling": {key: value for key, value in planned.items() if key.startswith("resampling_fn_")},
        "preprocessor": planned["preprocessor_name"],
        "image reader": plans["image_reader_writer"],
        "axes": plans["transpose_forward"],
        "encoding of maps": ENCODING,
        "labels": dataset_json["labels"],
    }
    if "CTNormalization" in planned["normalization_schemes"]:
        content["intensity window"] = plans["foreground_intensity_properties_per_channel"]
    return json.loads(json.dumps(content))


def refuse_mixing(plans: dict[str, Any], recipes: dict[str, dict[str, Any]], preprocessed: Path) -> None:
    """Raise if cases are there that were made by other settings than these plans would.

    Args:
        plans: the plans that are about to be used.
        recipes: configuration -> its recipe.
        preprocessed: the dataset's preprocessed folder.

    Raises:
        UserError: names the settings that differ, and what to do.
    """
    for configuration, now in recipes.items():
        folder = preprocessed / plans["configurations"][configuration]["data_identifier"]
        for entry in read_entries(folder):
            if entry.recipe == now or not any((preprocessed / name).exists() for name in entry.outputs):
                continue
            changes = ", ".join(
                _change(key, entry.recipe.get(key), now.get(key))
                for key in sorted(entry.recipe.keys() | now.keys())
                if entry.recipe.get(key) != now.get(key)
            )
            raise UserError(
                f"{folder} was preprocessed with other settings or another state of the dataset ({changes}): "
                + _remedy(PLANS_KEY in plans, folder)
            )


def _change(key: str, before: Any, now: Any) -> str:
    change = f"{key} was {before} and is {now}"
    return change if len(change) <= _LONGEST_SHOWN else f"{key} differs"


def _remedy(plans_are_ours: bool, folder: Path) -> str:
    if not plans_are_ours:
        return f"nnU-Net has planned anew; delete {maps_folder(folder)} to make its maps anew"
    return (
        "set planning.plans_name to a new name to keep both, or delete "
        f"{folder} and {maps_folder(folder)} to preprocess all cases anew"
    )
