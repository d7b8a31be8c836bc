"""What a check says of a raw dataset: one finding, what it means and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing, about one case of a raw dataset.

    Args:
        severity: ``error`` if the case cannot be used as it is, ``warning`` if it can but somebody should look,
            ``note`` if something small has been mended.
        kind: a short fixed name such as ``missing file`` or ``unknown label``, the same for all findings of a sort.
        case: the case's identifier.
        file: the file that it is about.
        problem: what is wrong, with the numbers.
        remedy: what to do.
    """

    severity: Severity
    kind: str
    case: str
    file: Path
    problem: str
    remedy: str

    def __str__(self) -> str:
        """One line: file, what is wrong, what to do."""
        return f"{self.file}: {self.problem}; {self.remedy}"
