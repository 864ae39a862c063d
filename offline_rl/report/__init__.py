"""What a run found: CSV files, a page, a terminal table."""

from offline_rl.report.columns import COLUMNS
from offline_rl.report.contents import Report, RunResults, Samples
from offline_rl.report.summary import verdict
from offline_rl.report.tables import curves_table, data_table, training_table
from offline_rl.report.terminal import print_report
from offline_rl.report.write_report import FIRST_FILES, write_report

__all__ = [
    "COLUMNS",
    "FIRST_FILES",
    "Report",
    "RunResults",
    "Samples",
    "curves_table",
    "data_table",
    "print_report",
    "training_table",
    "verdict",
    "write_report",
]
