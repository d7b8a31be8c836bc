"""LaTeX reads the tables, with booktabs and graphicx and nothing else."""

import shutil
import subprocess

import pytest
from fake_runs import PAPER, QUICK, run_result

from gsl_experiments.reporting import gather_tables, write_tables

MANY = tuple((0.8 + index / 100, 4.0 + index**2) for index in range(9))
TASKS = ("Whole Tumor", "Tumor Core", "Enhancing Tumor")
DOCUMENT = r"""\documentclass{article}
\usepackage{booktabs,graphicx}
\begin{document}
%s
\end{document}
"""


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_every_document_compiles(tmp_path):
    brats = {"dataset": "brats", "values": MANY, "regions": TASKS}
    results = [
        run_result("dice_ce", empty=(1, 2), **brats),
        run_result("gsl", **brats),
        run_result("gsl", schedule="step5", folds=(0,), **brats),
        run_result("gsl", schedule="constant", suffix="a_0.3#x & 50 %", **brats),
        run_result("dl", protocol="nnunet", **brats),
    ]
    files = write_tables(gather_tables(results, paper=PAPER, settings=QUICK), tmp_path)
    inputs = [
        rf"\input{{{file.relative_to(tmp_path).as_posix()}}}" for file in files if file.suffix == ".tex"
    ]
    assert len(inputs) == 5
    (tmp_path / "all.tex").write_text(DOCUMENT % "\n\\clearpage\n".join(inputs))
    outcome = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "all.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert outcome.returncode == 0, outcome.stdout[-2000:]
    assert (tmp_path / "all.pdf").stat().st_size > 10_000
