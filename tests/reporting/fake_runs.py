"""Hand-made runs, and the tables that they make."""

import re
from pathlib import Path

import pandas as pd

from gsl_experiments.evaluation import Experiment, Run, RunResult
from gsl_experiments.reporting import PaperTables, Settings, gather_tables, read_paper_tables, write_tables

PAPER = read_paper_tables(Path(__file__).resolve().parents[2] / "results" / "paper" / "tables.csv")
NO_PAPER = PaperTables({})
QUICK = Settings(resamples=50)

DICE, HD95, ASD = 3, 4, 5  # columns of a table without the paper's
NOTHING, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"


def run_result(
    loss="gsl",
    schedule="linear",
    region="dice_ce",
    *,
    dataset="phantom",
    values=((0.8, 4.0), (0.9, 6.0)),
    folds=(0, 1),
    empty=(),
    regions=("Liver",),
    suffix="",
    configuration="3d_fullres",
    results="nnUNet_results",
    **settings,
):
    """A run with one case a (dice, hd95_mm) pair; the other distances are its half and multiples, NSD is Dice."""
    if loss in ("dl", "dice_ce", "gdl"):
        schedule, region = None, None
    settings = {"protocol": "paper", "epochs": 250, "seed": 42} | settings
    name = "_".join(part for part in (loss, schedule, suffix) if part)
    run = Run(
        Path(results, "Dataset007_X", f"Trainer__{name}__{configuration}"),
        Experiment(dataset, loss, schedule, region, suffix=suffix, **settings),
        dict.fromkeys(regions, (1,)),
        ".nii.gz",
    )
    rows = [
        {
            "case": f"case_{index}",
            "region": name,
            "fold": folds[index % len(folds)],
            "dice": dice,
            "hd95_mm": hd95_mm,
            "asd_mm": hd95_mm / 2,
            "hd95_surface_mm": hd95_mm * 2,
            "assd_mm": hd95_mm / 2,
            "hd_mm": hd95_mm * 3,
            "nsd": dice,
            "reference_empty": index in empty,
            "prediction_empty": index == 0 and bool(empty),
            "nsd_tolerance_mm": 2.0,
        }
        for index, (dice, hd95_mm) in enumerate(values if folds else ())
        for name in regions
    ]
    columns = [
        "case",
        "region",
        "fold",
        "dice",
        "hd95_mm",
        "asd_mm",
        "hd95_surface_mm",
        "assd_mm",
        "hd_mm",
        "nsd",
    ]
    columns += ["reference_empty", "prediction_empty", "nsd_tolerance_mm"]
    cases = pd.DataFrame(rows, columns=columns)
    return RunResult(run, cases, tuple(folds), 2)


def written(tmp_path, results, *, paper=NO_PAPER, settings=QUICK):
    """File name below the results folder -> text."""
    gathered = gather_tables(results, paper=paper, settings=settings)
    return {
        file.relative_to(tmp_path).as_posix(): file.read_text() for file in write_tables(gathered, tmp_path)
    }


def markdown_rows(text, *, table=0):
    """Cells of one table of a Markdown file, without the header."""
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    lines = tables[table].strip().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def variants(text, **options):
    return [row[2] for row in markdown_rows(text, **options)]
