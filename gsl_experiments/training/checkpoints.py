"""A fold's checkpoints on disk: whole or not at all, the last good one kept, a damaged one noticed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gsl_experiments.errors import UserError
from gsl_experiments.training.model_files import read_checkpoint

FINAL, LATEST, PREVIOUS, BEST = (
    f"checkpoint_{which}.pth" for which in ("final", "latest", "previous", "best")
)
NEWEST_FIRST = (FINAL, LATEST, PREVIOUS)


def write_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Write a checkpoint beside its place and rename it; the latest one that it replaces becomes the previous one.

    Raises:
        UserError: the disk is full, or the folder cannot be written to.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        torch.save(plain(content), partial)
        _to_disk(partial)
        if path.name == LATEST and path.exists():
            path.replace(path.with_name(PREVIOUS))
        partial.replace(path)
        _to_disk(path.parent)
    except (OSError, RuntimeError) as error:  # torch's own writer knows no other error than RuntimeError
        partial.unlink(missing_ok=True)
        raise UserError(
            f"{path} cannot be written ({str(error).splitlines()[0]}): "
            "see that the disk has space and call again, which goes on from the checkpoint before"
        ) from error


def read_newest(folder: Path, device: torch.device) -> tuple[Path | None, dict[str, Any], list[str]]:
    """Return the newest checkpoint of a fold that is whole, its content, and a warning for each that is not.

    Raises:
        UserError: there are checkpoints and none is whole.
    """
    warnings: list[str] = []
    for name in NEWEST_FIRST:
        path = folder / name
        if not path.exists():
            continue
        try:
            return path, read_checkpoint(path, device), warnings
        except UserError as error:
            warnings.append(str(error))
    if warnings:
        raise UserError(
            f"{warnings[0]}; no older checkpoint is whole: delete {folder} to train the fold again"
        )
    return None, {}, warnings


def plain(value: Any) -> Any:
    """Return a value with NumPy's numbers and arrays as Python's, so that reading it needs none of NumPy's classes."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return type(value)((plain(k), plain(v)) for k, v in value.items())
    if isinstance(value, list | tuple) and not isinstance(value, torch.Size):
        return type(value)(plain(v) for v in value)
    return value


def set_damaged_aside(whole: Path) -> None:
    """Rename the checkpoints newer than the newest whole one, so that they never replace an older one."""
    for name in NEWEST_FIRST[: NEWEST_FIRST.index(whole.name)]:
        damaged = whole.with_name(name)
        if damaged.exists():
            damaged.replace(damaged.with_name(f"{name}.damaged"))


def check_best(folder: Path) -> None:
    """Refuse to go on where the checkpoint that an inner validation split has chosen so far is damaged.

    Raises:
        UserError: it is there, and cannot be read.
    """
    path = folder / BEST
    if not path.exists():
        return
    try:
        read_checkpoint(path)
    except UserError as error:
        raise UserError(
            f"{error}; it is what the inner validation split has chosen so far: delete it to choose among the epochs "
            f"still to come, or delete {folder} to train the fold again"
        ) from error


def _to_disk(path: Path) -> None:
    """Have the system write a file or folder out, so that no rename survives a power cut that the content does not."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
