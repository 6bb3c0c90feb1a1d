"""Runs the remaining runs of a sweep."""

import shlex
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from tqdm import tqdm

from hvd_qgenx.sweep import process
from hvd_qgenx.sweep.job import Job, Standing

TAIL = 20
"""Number of a failed run's last log lines to show."""


class Failure(NamedTuple):
    """A run that did not finish."""

    job: Job
    code: int
    """Its exit code, 0 if it ended early without an error; negative: minus the signal that ended it."""


def drive(jobs: Sequence[Job], launch: Sequence[str], keep: Sequence[int] = ()) -> list[Failure]:
    """Finishes every run, one after the other, and shows their progress.

    Args:
        jobs: all runs, including finished ones.
        launch: words before the arguments of a job.
        keep: file descriptors that runs inherit.

    Returns:
        The runs that failed; they do not stop the others.
    """
    failures = []
    with _bar(jobs) as bar:
        for number, job in enumerate(jobs, 1):
            if job.standing() is Standing.DONE:
                continue
            bar.set_description(f"{job.name} ({number} of {len(jobs)})", refresh=False)
            if job.standing() is Standing.STARTED:
                bar.update(-job.done())
                bar.write(f"{job.folder.path} has no checkpoint; it is kept as {job.set_aside()}", file=sys.stderr)
            start = _write_heading(job, launch)
            code = _run(job, launch, keep, bar)
            if job.standing() is not Standing.DONE:
                failures.append(Failure(job, code))
                bar.total -= job.length - job.done()  # they will not be done
                bar.write(_last_words(job, code, start), file=sys.stderr)
    return failures


def _run(job: Job, launch: Sequence[str], keep: Sequence[int], bar: Any) -> int:
    others = bar.n - job.done()

    def show() -> None:
        bar.update(others + job.done() - bar.n)

    code = process.run([*launch, *job.words()], job.log, show, keep)
    show()
    return code


def _last_words(job: Job, code: int, start: int) -> str:
    """Returns the last lines that a run printed after the first ``start`` bytes of its log."""
    lines = job.log.read_bytes()[start:].decode(errors="replace").splitlines()
    shown = [f"  {line}" for line in lines if line.strip()][-TAIL:]
    return "\n".join([f"{job.name} failed with exit code {code}; its log {job.log} ends with:", *shown])


def _write_heading(job: Job, launch: Sequence[str]) -> int:
    """Writes the command to the log; returns the log's length."""
    with job.log.open("ab") as file:
        before = "\n" if file.tell() else ""  # an interrupted run may have left half a line
        file.write(f"{before}$ {shlex.join([*launch, *job.words()])}\n".encode())
        return file.tell()


def _bar(jobs: Sequence[Job]) -> Any:
    terminal = sys.stderr.isatty()
    unit = jobs[0].unit if jobs else "update"
    fraction = "{n_fmt}/{total_fmt}" if unit == "update" else "{n:.1f}/{total:.1f}"
    return tqdm(
        total=sum(job.length for job in jobs),
        initial=sum(job.done() for job in jobs),
        unit=unit,
        bar_format=f"{{l_bar}}{{bar}}| {fraction} [{{elapsed}}<{{remaining}}, {{rate_fmt}}{{postfix}}]",
        smoothing=0,  # modes differ in speed, and progress pauses while scoring
        mininterval=0.1 if terminal else 30.0,
        ncols=None if terminal else 110,
        file=sys.stderr,
    )
