"""The facts about files that were read before, so that unchanged files are not read again."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gsl_experiments.atomic import write_text
from gsl_experiments.datasets.nifti import Geometry
from gsl_experiments.validation.scan import FileFacts
from gsl_experiments.validation.voxels import Voxels

_VERSION = 1  # to be raised when the facts of a file change their meaning


Stamp = list[int | str]


def stamp_of(path: Path, *, is_label: bool) -> Stamp | None:
    """By what a file is known again: size, time of change and role; None if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns, "label" if is_label else "image"]


class Records:
    """Facts about files, known again by path, size and time of change; kept in one JSON file.

    Args:
        file: where they are kept.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._entries = _read(file)

    def get(self, path: Path, stamp: Stamp | None) -> FileFacts | None:
        """The facts of a file that has not changed since; None if it has to be read."""
        entry = self._entries.get(str(path))
        return _facts(entry["facts"]) if entry is not None and entry["stamp"] == stamp else None

    def put(self, path: Path, stamp: Stamp | None, facts: FileFacts) -> None:
        """Keep the facts of a file as it was before it was read; a file that cannot be read is tried anew."""
        if stamp is not None and facts.failure is None:
            self._entries[str(path)] = {"stamp": stamp, "facts": asdict(facts)}

    def save(self) -> None:
        """Write them."""
        write_text(self._file, json.dumps({"version": _VERSION, "files": self._entries}))


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
        return dict(content["files"]) if content["version"] == _VERSION else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # nothing is known: everything is read


def _facts(entry: dict[str, Any]) -> FileFacts:
    geometry: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in entry["geometry"].items()
    }
    channels = (
        Voxels(**channel | {"counts": {int(value): n for value, n in channel["counts"].items()}})
        for channel in entry["channels"]
    )
    return FileFacts(
        geometry=Geometry(**geometry),
        header_spacing_mm=tuple(entry["header_spacing_mm"]),
        contradiction_mm=entry["contradiction_mm"],
        channels=tuple(channels),
    )
