"""The paper's tables from the metrics of trained runs."""

from gsl_experiments.reporting.paper import PaperTables, read_paper_tables
from gsl_experiments.reporting.tables import tables_text, write_tables

__all__ = ["PaperTables", "read_paper_tables", "tables_text", "write_tables"]
