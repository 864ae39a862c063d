"""What a run found: CSV files, a page, a terminal table."""

from offline_rl.report.columns import COLUMNS, meaning
from offline_rl.report.contents import Report
from offline_rl.report.tables import data_table, training_table
from offline_rl.report.terminal import print_report
from offline_rl.report.writing import write_report

__all__ = [
    "COLUMNS",
    "Report",
    "data_table",
    "meaning",
    "print_report",
    "training_table",
    "write_report",
]
