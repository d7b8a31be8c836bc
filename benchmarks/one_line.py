"""Measure one line in this process and write its rows: `python -m benchmarks.one_line NAME FILE`."""

import json
import sys
from pathlib import Path

from benchmarks.lines import GROWTH, LINES


def main(name: str, file: str) -> None:
    """Measure, and write the rows as JSON."""
    Path(file).write_text(json.dumps((LINES | GROWTH)[name].measure()))


if __name__ == "__main__":
    main(*sys.argv[1:])
