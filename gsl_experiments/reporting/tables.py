"""The files of the tables: Markdown, LaTeX and CSV in a folder a dataset."""

from collections.abc import Sequence
from pathlib import Path

from gsl_experiments.atomic import write_text
from gsl_experiments.reporting.gather import DatasetTables
from gsl_experiments.reporting.latex import to_latex
from gsl_experiments.reporting.layout import all_metrics_document, table_document
from gsl_experiments.reporting.markdown import to_markdown
from gsl_experiments.reporting.rows import METRICS, PAPER_METRICS
from gsl_experiments.reporting.statistics_layout import statistics_document
from gsl_experiments.reporting.tidy import statistics_csv, tables_csv


def write_tables(gathered: Sequence[DatasetTables], output: Path) -> list[Path]:
    """Write `<output>/<dataset>/{table1,table2,other_runs,all_metrics,statistics}.{md,tex,csv}`.

    Every file is written at each call, so none is left from runs that are gone.

    Args:
        gathered: the tables of every dataset.
        output: results folder.

    Returns:
        The files written.
    """
    written = []
    for tables in gathered:
        documents = [
            *(
                (table_document(tables, table), tables_csv(tables.dataset, [table], PAPER_METRICS))
                for table in tables.tables
            ),
            (all_metrics_document(tables), tables_csv(tables.dataset, tables.tables, METRICS)),
            (statistics_document(tables), statistics_csv(tables)),
        ]
        for document, csv in documents:
            for ending, text in (
                ("md", to_markdown(document)),
                ("tex", to_latex(document, dataset=tables.dataset)),
                ("csv", csv),
            ):
                written.append(write_text(output / tables.dataset / f"{document.name}.{ending}", text))
    return written
