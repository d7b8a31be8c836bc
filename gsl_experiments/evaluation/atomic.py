"""Files that are either the old or the new ones, never half of the new ones."""

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, text: str) -> Path:
    """Write a text file beside its place and rename it; folders are made as needed. Returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        # mkstemp grants its owner only; results are for everybody.
        Path(partial).chmod(0o644)
        return Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
