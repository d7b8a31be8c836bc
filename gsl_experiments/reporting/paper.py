"""The paper's own results, read from a file, and the names that they go by."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from gsl_experiments.errors import UserError

DATASETS = {"lits": "LiTS", "brats": "BraTS"}
# In the order of Table 1.
LOSSES = {"dl": "DL", "dice_ce": "Dice-CE", "gdl": "GDL", "hl": "HL", "bl": "BL", "gsl": "GSL"}
REGION_LOSSES = ("dl", "dice_ce", "gdl")
# In the order of Table 2.
SCHEDULES = {
    "linear": "Linear",
    "step5": "Step - 5",
    "step25": "Step - 25",
    "step50": "Step - 50",
    "cosine": "Cosine",
}
TABLE_1_SCHEDULE = "linear"
REGION_TERM = "dice_ce"

_PAPER_METRICS = ("dice", "hd95_mm", "asd_mm")
_KEY_COLUMNS = ("table", "dataset", "region", "variant")


@dataclass(frozen=True)
class MeanStd:
    """Mean and standard deviation of a metric over cases."""

    mean: float
    std: float


@dataclass(frozen=True)
class PaperTables:
    """Tables 1 and 2 of the paper: (table, dataset, region, variant) -> metric -> mean and std."""

    rows: Mapping[tuple[int, str, str, str], Mapping[str, MeanStd]]

    def row(self, table: int, dataset: str, region: str, variant: str) -> Mapping[str, MeanStd]:
        """The paper's metrics of one row; empty where the paper has no such row.

        Args:
            table: 1 or 2.
            dataset: our short name, `lits` or `brats`.
            region: the paper's task, for example `Whole Tumor`.
            variant: the paper's loss or schedule, for example `Dice-CE` or `Step - 5`.
        """
        return self.rows.get((table, DATASETS.get(dataset, dataset), region, variant), {})


def read_paper_tables(file: Path) -> PaperTables:
    """Read `results/paper/tables.csv`.

    Raises:
        UserError: the file is missing or lacks a column.
    """
    if not file.is_file():
        raise UserError(f"{file}: no such file; the paper's tables come with the checkout")
    table = pd.read_csv(file)
    needed = [*_KEY_COLUMNS, *(f"{metric}_{part}" for metric in _PAPER_METRICS for part in ("mean", "std"))]
    if missing := [column for column in needed if column not in table.columns]:
        raise UserError(f"{file}: no column {', '.join(missing)}")
    return PaperTables(
        {
            (int(row["table"]), row["dataset"], row["region"], row["variant"]): {
                metric: MeanStd(float(row[f"{metric}_mean"]), float(row[f"{metric}_std"]))
                for metric in _PAPER_METRICS
            }
            for row in table.to_dict("records")
        }
    )
