"""Files that are either the old or the new ones, never half of the new ones."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write (file or folder) that takes the place of ``path`` once the block ends without an error.

    The path lies in a hidden folder beside ``path`` and keeps its name: SimpleITK reads the format off the
    ending, and nnU-Net takes every file of ``imagesTr``, but no folder, for a case.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=path.parent) as folder:
        partial = Path(folder) / path.name
        try:
            yield partial
        except OSError as error:
            if error.filename is None:  # a write that failed does not say of which file
                error.filename = str(path)
            raise
        partial.replace(path)


def write_text(path: Path, text: str) -> Path:
    """Write a text file, whole or not at all; folders are made as needed. Returns the path."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return path


def write_json(path: Path, content: Any) -> Path:
    """Write a JSON file, whole or not at all; folders are made as needed. Returns the path."""
    return write_text(path, json.dumps(content, indent=2) + "\n")
