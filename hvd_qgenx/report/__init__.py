"""Reports on runs: a page and figures, made from their folders alone."""

from hvd_qgenx.report.comparison import Comparison, compare
from hvd_qgenx.report.recorded import find
from hvd_qgenx.report.results import Row, rows

__all__ = ["Comparison", "Row", "compare", "find", "rows"]
