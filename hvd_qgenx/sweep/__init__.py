"""Runs every mode of a task with every seed, one run after the other.

Progress is read from the runs' folders alone, so a sweep that was stopped continues where it was.
"""

from hvd_qgenx.sweep.drive import Failure, drive
from hvd_qgenx.sweep.file import Sweep, read
from hvd_qgenx.sweep.job import Job, Standing
from hvd_qgenx.sweep.plan import plan

__all__ = ["Failure", "Job", "Standing", "Sweep", "drive", "plan", "read"]
