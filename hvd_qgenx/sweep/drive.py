"""Runs the remaining entries of a sweep."""

import re
import shlex
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from tqdm import tqdm

from hvd_qgenx.runs import Divergence
from hvd_qgenx.sweep import process
from hvd_qgenx.sweep.entry import Entry, Standing

TAIL = 20
"""Number of a failed run's last log lines to show."""
DIVERGED = re.compile(r"Training has diverged after update (\d+)\.")
"""The line that ranks print when training diverges."""


class Failure(NamedTuple):
    """An entry that did not finish, and did not diverge."""

    job: Entry
    code: int
    """Its exit code, 0 if it ended early without an error; negative: minus the signal that ended it."""


def drive(jobs: Sequence[Entry], launch: Sequence[str], keep: Sequence[int] = ()) -> list[Failure]:
    """Finishes every entry, one after the other, and shows their progress.

    Args:
        jobs: all entries, including those that have ended.
        launch: words before those of an entry.
        keep: file descriptors that runs inherit.

    Returns:
        The entries that failed; they do not stop the others. Runs that diverge do not count as failures.
    """
    failures = []
    with _bar(jobs) as bar:
        for number, job in enumerate(jobs, 1):
            if job.standing().ended:
                continue
            bar.set_description(f"{job.name} ({number} of {len(jobs)})", refresh=False)
            if job.standing() is Standing.STARTED:
                bar.update(-job.done())
                bar.write(f"{job.folder.path} has no checkpoint; it is kept as {job.set_aside()}", file=sys.stderr)
            if failure := _attempt(job, launch, keep, bar):
                failures.append(failure)
    return failures


def _attempt(job: Entry, launch: Sequence[str], keep: Sequence[int], bar: Any) -> Failure | None:
    """Starts or resumes an entry, and says how it ended if it is not done."""
    job.prepare()
    start = _write_heading(job, launch)
    code = _run(job, launch, keep, bar)
    if code and not job.standing().ended:
        _record_divergence(job, start)
    if job.standing() is Standing.DONE:
        return None
    bar.total -= job.length - job.done()  # they will not be done
    if job.standing() is Standing.DIVERGED:
        bar.write(f"{job.name} {Divergence.read(job.folder)}", file=sys.stderr)
        return None
    bar.write(_last_words(job, code, start), file=sys.stderr)
    return Failure(job, code)


def _run(job: Entry, launch: Sequence[str], keep: Sequence[int], bar: Any) -> int:
    others = bar.n - job.done()

    def show() -> None:
        bar.update(others + job.done() - bar.n)

    code = process.run([*launch, *job.words()], job.log, show, keep)
    show()
    return code


def _record_divergence(job: Entry, start: int) -> None:
    """Writes the record of a divergence that only ranks on hosts without the run's folder have found."""
    lines = _printed(job, start)
    found = next(filter(None, map(DIVERGED.search, lines)), None)
    if found and job.folder.config.exists():
        sentence = next((line.partition("Error: ")[2] for line in lines if "Error: " in line), "")
        Divergence(int(found[1]), sentence).write(job.folder)


def _last_words(job: Entry, code: int, start: int) -> str:
    """Returns the last lines that a run printed after the first ``start`` bytes of its log."""
    shown = [f"  {line}" for line in _printed(job, start)][-TAIL:]
    return "\n".join([f"{job.name} failed with exit code {code}; its log {job.log} ends with:", *shown])


def _printed(job: Entry, start: int) -> list[str]:
    lines = job.log.read_bytes()[start:].decode(errors="replace").splitlines()
    return [line for line in lines if line.strip()]


def _write_heading(job: Entry, launch: Sequence[str]) -> int:
    """Writes the command to the log; returns the log's length."""
    with job.log.open("ab") as file:
        before = "\n" if file.tell() else ""  # an interrupted run may have left half a line
        file.write(f"{before}$ {shlex.join([*launch, *job.words()])}\n".encode())
        return file.tell()


def _bar(jobs: Sequence[Entry]) -> Any:
    terminal = sys.stderr.isatty()
    unit = jobs[0].unit if jobs else "update"
    fraction = "{n:.1f}/{total:.1f}" if unit == "epoch" else "{n_fmt}/{total_fmt}"
    return tqdm(
        total=sum(job.done() if job.standing() is Standing.DIVERGED else job.length for job in jobs),
        initial=sum(job.done() for job in jobs),
        unit=unit,
        bar_format=f"{{l_bar}}{{bar}}| {fraction} [{{elapsed}}<{{remaining}}, {{rate_fmt}}{{postfix}}]",
        smoothing=0,  # modes differ in speed, and progress pauses while scoring
        mininterval=0.1 if terminal else 30.0,
        ncols=None if terminal else 110,
        file=sys.stderr,
    )
