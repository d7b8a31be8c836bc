"""Reading the files of a trained model without running what a stranger may have put into them.

A checkpoint is a pickle, which can name any function of any installed package and have it called. nnU-Net's own
checkpoints need none: they hold tensors, plain Python values and, from stock trainers, NumPy's numbers. Plans name the
classes that a network is built of, which nnU-Net imports and calls with the plans' own arguments; here they must be
PyTorch modules of PyTorch or of nnU-Net's architecture package.
"""

from __future__ import annotations

import json
import pydoc
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from gsl_experiments.errors import UserError

CHECKPOINT_KEYS = ("network_weights", "trainer_name", "init_args")  # of every checkpoint that nnU-Net writes
PLANS_KEYS = ("dataset_name", "plans_name", "configurations")
DATASET_KEYS = ("channel_names", "labels", "file_ending")
NETWORK_PACKAGES = ("torch.nn.", "dynamic_network_architectures.")
TRUSTED = "take it from a source that you trust, or train the model again"


def read_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Return nnU-Net's dictionary of a checkpoint, its tensors on ``device``.

    Tensors, plain Python values and NumPy's numbers and arrays of numbers are read; nothing is executed.

    Raises:
        UserError: the file is missing, is cut off or damaged, holds anything else, or is no checkpoint of nnU-Net's.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing: train the fold first")
    try:
        _compare_checksums(path)
        with safe_globals(_numpy_values()):
            checkpoint = torch.load(path, map_location=device, weights_only=True)
    except (torch.OutOfMemoryError, PermissionError):
        raise
    except Exception as error:  # whatever a broken or hostile file may bring about
        raise UserError(_refusal(path, error)) from error
    if not isinstance(checkpoint, dict) or not all(key in checkpoint for key in CHECKPOINT_KEYS):
        raise UserError(f"{path} is no checkpoint of nnU-Net's: it lacks one of {', '.join(CHECKPOINT_KEYS)}")
    return checkpoint


def read_plans(model: Path) -> dict[str, Any]:
    """Return the plans of a model folder.

    Raises:
        UserError: the file is missing or damaged, or a network would be built of something that is no network module.
    """
    path = model / "plans.json"
    plans = _read_object(path, PLANS_KEYS)
    for configuration in plans["configurations"].values():
        _refuse_foreign_classes(path, configuration.get("architecture", {}))
    return plans


def read_dataset_json(model: Path) -> dict[str, Any]:
    """Return nnU-Net's description of the dataset that a model was trained on.

    Raises:
        UserError: the file is missing or damaged.
    """
    return _read_object(model / "dataset.json", DATASET_KEYS)


def _compare_checksums(path: Path) -> None:
    """Raise if the content is not what was written; PyTorch itself does not look. Its format before 1.6 has no sums."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"wrong checksum of {damaged}")


def _numpy_values() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """Return what it takes to rebuild NumPy's numbers and arrays of numbers, by the names of NumPy 1 and 2."""
    rebuild: list[tuple[Callable[..., Any], str]] = [
        (getattr(multiarray, name), f"numpy.{module}.multiarray.{name}")
        for module in ("core", "_core")
        for name in ("scalar", "_reconstruct")
    ]
    dtypes = {type(np.dtype(code)) for code in np.typecodes["AllInteger"] + np.typecodes["Float"] + "?"}
    return [*rebuild, np.ndarray, np.dtype, *dtypes]


def _refusal(path: Path, error: Exception) -> str:
    """Say why a checkpoint was not read, and what to do."""
    try:
        with safe_globals(_numpy_values()):
            foreign = get_unsafe_globals_in_checkpoint(path)
    except Exception:  # the file is too damaged to look into
        foreign = []
    if foreign:
        names = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        return (
            f"{path} is refused, and nothing of it was run: reading it would call {names}, "
            f"which no model needs; {TRUSTED}"
        )
    lines = str(error).splitlines()
    reason = lines[0].split(". ")[0].rstrip(".") if lines else type(error).__name__
    return (
        f"{path} is cut off, damaged or no checkpoint, and nothing of it was run ({reason}): "
        "copy it again, or train the fold again"
    )


def _read_object(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"{path} is missing: a model folder holds plans.json, dataset.json and fold_0, ...")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"{path} is damaged ({error}): copy it again from where the model was trained"
        ) from error
    lacking = [key for key in keys if key not in content] if isinstance(content, dict) else list(keys)
    if lacking:
        raise UserError(f"{path} lacks {', '.join(lacking)}: copy it again from where the model was trained")
    return content


def _refuse_foreign_classes(path: Path, architecture: dict[str, Any]) -> None:
    """Raise if plans name anything but network modules where nnU-Net imports and calls what they name.

    Plans of nnU-Net before 2.3 have no architecture: nnU-Net then chooses the classes itself.
    """
    if not architecture:
        return
    imported = architecture.get("_kw_requires_import", [])
    arguments = [architecture["arch_kwargs"].get(key) for key in imported]
    for name in (architecture["network_class_name"], *arguments):
        if name is not None and not _is_network_module(name):
            raise UserError(
                f"{path} is refused: the network would be built of {name}, which is no module of "
                f"{' or '.join(package.rstrip('.') for package in NETWORK_PACKAGES)}; {TRUSTED}"
            )


def _is_network_module(name: Any) -> bool:
    if not isinstance(name, str) or not name.startswith(NETWORK_PACKAGES):
        return False
    try:
        found = pydoc.locate(name)
    except pydoc.ErrorDuringImport:
        return False
    is_module = isinstance(found, type) and issubclass(found, torch.nn.Module)
    return is_module and found.__module__.startswith(NETWORK_PACKAGES)  # not what these packages import
