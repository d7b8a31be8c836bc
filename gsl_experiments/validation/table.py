"""All findings at once: grouped for a terminal, and as CSV."""

from __future__ import annotations

import csv
import io
import os
import textwrap
from collections.abc import Sequence
from pathlib import Path

from gsl_experiments.datasets.finding import Finding
from gsl_experiments.validation.kinds import KINDS, WHOLE_DATASET

COLUMNS = ("severity", "kind", "case", "file", "problem", "what to do", "meaning")
# Notes need nobody to do anything: the CSV has all of them.
_MOST_NOTES = 5

_ORDER = list(KINDS)


def sort_findings(findings: Sequence[Finding]) -> list[Finding]:
    """Worst first, all of a kind together, then by case and file."""
    return sorted(findings, key=lambda f: (_ORDER.index(f.kind), f.case, str(f.file)))


def to_text(findings: Sequence[Finding], *, title: str, width: int) -> str:
    """The findings as a table that fits a terminal, worst first.

    Args:
        findings: in any order.
        title: what has been checked.
        width: of the terminal, in characters.
    """
    lines = textwrap.wrap(f"{title}: {summary(findings)}", width)
    if not findings:
        return lines[0]
    ordered = sort_findings(findings)
    root = _common_folder(ordered)
    lines.append(f"Files in {root}")
    for kind in dict.fromkeys(finding.kind for finding in ordered):
        lines += ["", *_group([finding for finding in ordered if finding.kind == kind], root, width)]
    return "\n".join(lines)


def to_csv(findings: Sequence[Finding]) -> str:
    """The findings as CSV, one line each, worst first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for f in sort_findings(findings):
        writer.writerow([f.severity, f.kind, f.case, f.file, f.problem, f.remedy, KINDS[f.kind].meaning])
    return text.getvalue()


def summary(findings: Sequence[Finding]) -> str:
    """How many of what: ``2 errors in 1 case, 3 notes``."""
    parts = []
    for severity in ("error", "warning", "note"):
        of_severity = [finding for finding in findings if finding.severity == severity]
        if of_severity:
            cases = {finding.case for finding in of_severity} - {WHOLE_DATASET}
            where = plural(len(cases), "case") if cases else "the whole dataset"
            parts.append(f"{plural(len(of_severity), severity)} in {where}")
    return ", ".join(parts) or "nothing found"


def plural(number: int, noun: str) -> str:
    """``1 case``, ``2 cases``."""
    return f"{number} {noun}{'s' * (number != 1)}"


def _group(findings: Sequence[Finding], root: Path, width: int) -> list[str]:
    kind = KINDS[findings[0].kind]
    lines = [f"{kind.severity.upper()}  {kind.name}  ({plural(len(findings), 'finding')})"]
    lines += textwrap.wrap(kind.meaning, width, initial_indent="  ", subsequent_indent="  ")
    remedies = {finding.remedy for finding in findings}
    shown = findings[:_MOST_NOTES] if kind.severity == "note" else findings
    column = max(len(finding.case) for finding in shown)
    for finding in shown:
        file = finding.file.relative_to(root) if finding.file != root else finding.file
        text = f"{file}: {finding.problem}" + (f"; {finding.remedy}" if len(remedies) > 1 else "")
        lines += textwrap.wrap(
            text,
            width,
            initial_indent=f"  {finding.case:<{column}}  ",
            subsequent_indent="      ",
            break_on_hyphens=False,
        )
    if len(shown) < len(findings):
        lines.append(f"  ... and {len(findings) - len(shown)} more in the CSV")
    if len(remedies) == 1 and kind.severity != "note":
        remedy = f"What to do: {findings[0].remedy}."
        lines += textwrap.wrap(remedy, width, initial_indent="  ", subsequent_indent="  ")
    return lines


def _common_folder(findings: Sequence[Finding]) -> Path:
    return Path(os.path.commonpath([finding.file.parent for finding in findings]))
