"""Runs every mode of a task with every seed, or other commands, one after the other.

Progress is read from the folders alone, so a sweep that was stopped continues where it was.
"""

from hvd_qgenx.sweep.command import Command
from hvd_qgenx.sweep.drive import Failure, drive
from hvd_qgenx.sweep.entry import Entry, Standing
from hvd_qgenx.sweep.file import Commands, Sweep, read
from hvd_qgenx.sweep.job import Job
from hvd_qgenx.sweep.plan import plan, plan_commands

__all__ = [
    "Command",
    "Commands",
    "Entry",
    "Failure",
    "Job",
    "Standing",
    "Sweep",
    "drive",
    "plan",
    "plan_commands",
    "read",
]
