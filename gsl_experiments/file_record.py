"""A file as it was: what tells whether it is still the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 1 << 20


@dataclass(frozen=True)
class FileRecord:
    """A file as it was: its path, its size in bytes, its time of change in ns, and the SHA-256 of its content."""

    path: str
    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path, known: FileRecord | None = None) -> FileRecord:
        """Record a file; its content is not read again if ``known`` still has its size and time."""
        status = path.stat()
        digest = known.sha256 if known is not None and known.looks_like(path) else sha256(path)
        return cls(str(path), status.st_size, status.st_mtime_ns, digest)

    def looks_like(self, path: Path) -> bool:
        """Whether a file is there and has the recorded size and time. Reads nothing."""
        try:
            status = path.stat()
        except FileNotFoundError:
            return False
        return (status.st_size, status.st_mtime_ns) == (self.size, self.mtime_ns)

    def matches(self, path: Path) -> bool:
        """Whether a file is there with the recorded content; it is read only where its time alone differs."""
        if self.looks_like(path):
            return True
        return path.is_file() and path.stat().st_size == self.size and sha256(path) == self.sha256


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal, as ``sha256sum`` prints it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
