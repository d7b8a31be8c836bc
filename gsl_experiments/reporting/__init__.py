"""The paper's tables, and what statistics say of them, from the metrics of trained runs."""

from gsl_experiments.reporting.comparison import MetricStatistics, Settings, VariantStatistics
from gsl_experiments.reporting.gather import DatasetTables, ProtocolTable, Table, gather_tables
from gsl_experiments.reporting.paper import PaperTables, read_paper_tables
from gsl_experiments.reporting.rows import METRICS, Metric, TableRow
from gsl_experiments.reporting.tables import write_tables
from gsl_experiments.reporting.terminal import files_text, tables_text

__all__ = [
    "METRICS",
    "DatasetTables",
    "Metric",
    "MetricStatistics",
    "PaperTables",
    "ProtocolTable",
    "Settings",
    "Table",
    "TableRow",
    "VariantStatistics",
    "files_text",
    "gather_tables",
    "read_paper_tables",
    "tables_text",
    "write_tables",
]
