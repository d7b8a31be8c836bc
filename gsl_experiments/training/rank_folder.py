"""What a process of a training over several leaves for its launcher, in the folder that torchrun gives each rank."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RankFolder:
    """The folder of one rank: its log files, its ``error.json``, and the files below.

    Args:
        path: where torchrun has its ranks write their ``error.json``.
    """

    path: Path

    @classmethod
    def of_this_process(cls) -> RankFolder | None:
        """Return the folder of the calling rank; None where torchrun keeps no logs or did not start it."""
        error_file = os.environ.get("TORCHELASTIC_ERROR_FILE")
        return cls(Path(error_file).parent) if error_file else None

    def enter(self) -> None:
        """Say that this process runs and listens to signals."""
        self._write("pid", str(os.getpid()))

    def leave(self) -> None:
        """Say that this process has ended in good order."""
        (self.path / "pid").unlink(missing_ok=True)

    def leave_interrupted(self, place: str) -> None:
        """Say that this process has stopped on request, and where."""
        self._write("interrupted", place)
        self.leave()

    @property
    def interrupted(self) -> str | None:
        """Where the process stopped on request; None if it did not."""
        return self._read("interrupted")

    @property
    def pid(self) -> int | None:
        """The process, from the time it listens to signals until its end in good order."""
        pid = self._read("pid")
        return int(pid) if pid else None

    @property
    def is_running(self) -> bool:
        """True while the process is there and has not taken its leave."""
        pid = self.pid
        if pid is None:
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True

    @property
    def has_failed(self) -> bool:
        """True once the process has written an error, or is gone without having taken its leave."""
        return (self.path / "error.json").exists() or (self.pid is not None and not self.is_running)

    def _write(self, name: str, text: str) -> None:
        partial = self.path / f"{name}.partial"
        partial.write_text(text)
        partial.replace(self.path / name)

    def _read(self, name: str) -> str | None:
        try:
            return (self.path / name).read_text()
        except FileNotFoundError:
            return None
