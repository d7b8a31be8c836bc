"""How long `import gsl_experiments` and the `--help` of every script take, beside the same of nnU-Net and of Python."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.turns import OURS, Row, in_turns

ROOT = Path(__file__).parent.parent
IMPORT = "import of the package"
HELP = "--help of a script"
PYTHON = "Python alone"
STOCK = "nnU-Net"


def measure(
    scripts: Sequence[str] | None = None, *, repetitions: int = 5, stock_help: bool = True
) -> list[Row]:
    """Time new processes: the imports, and each script's help beside that of nnU-Net's training command.

    Args:
        scripts: their names, all by default.
        repetitions: of the imports; half as many of the rest.
        stock_help: nnU-Net's help, too, which takes seconds.

    Raises:
        subprocess.CalledProcessError: a command fails.
    """
    python = [sys.executable, "-c"]
    rows = in_turns(
        IMPORT,
        {
            OURS: _call([*python, "import gsl_experiments"]),
            PYTHON: _call([*python, ""]),
            STOCK: _call([*python, "import nnunetv2"]),
        },
        repetitions=repetitions,
    )
    names = scripts if scripts is not None else sorted(file.stem for file in (ROOT / "scripts").glob("*.py"))
    stock = "from nnunetv2.run.run_training import run_training_entry as entry; entry()"
    helps = {name: _call([sys.executable, f"scripts/{name}.py", "--help"]) for name in names}
    if stock_help:
        helps[f"{STOCK}: nnUNetv2_train"] = _call([*python, stock, "--help"])
    return rows + in_turns(HELP, helps, repetitions=max(1, repetitions // 2))


def _call(command: Sequence[str]) -> Callable[[], None]:
    def call() -> None:
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)

    return call
