"""A page and pictures about runs: reads their folders, trains nothing."""

from hvd_qgenx.report.comparison import Comparison, compare
from hvd_qgenx.report.recorded import find
from hvd_qgenx.report.results import Row, rows

__all__ = ["Comparison", "Row", "compare", "find", "rows"]
