"""The results of checks."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

OK, WARNING, ERROR = "ok", "warning", "error"
"""Severity levels."""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    subject: str
    level: str
    text: str
    mend: str = ""
    """How to fix it: a command, or what to do."""
    ranks: tuple[int, ...] = ()
    """The ranks with this finding; empty if all have it."""

    def as_dict(self) -> dict[str, object]:
        """Returns plain values for JSON."""
        return {
            "subject": self.subject,
            "level": self.level,
            "text": self.text,
            "mend": self.mend,
            "ranks": list(self.ranks),
        }


@dataclass(frozen=True)
class Place:
    """The surroundings of the checks."""

    data_dir: Path
    runs: Path
    """The folder of runs."""
    rank: int | None = None
    """The rank set by the launcher; None without a launcher."""
    local_ranks: int = 1
    """Number of ranks on this host."""
    needs_horovod: bool = False
    """Did horovodrun or mpirun start this process, and not torchrun?"""


Check = Callable[[Place], Finding | None]
"""Checks one subject; returns None if it does not concern this rank."""


def examine(checks: Sequence[Check], place: Place) -> list[Finding | None]:
    """Runs the checks and returns their findings, in order. A check that raises is an error itself."""
    return [_examine(check, place) for check in checks]


def merged(everyone: Sequence[Sequence[Finding | None]], alike: Iterable[str]) -> list[Finding]:
    """Merges the findings of all ranks: common ones once, differing ones with the ranks that have them.

    Args:
        everyone: the findings of every rank, in rank order, from the same checks.
        alike: subjects that must be the same on all ranks; where they differ, an ok becomes a warning.
    """
    found: list[Finding] = []
    for own in zip(*everyone, strict=True):
        ranks: dict[Finding, list[int]] = {}
        for rank, finding in enumerate(own):
            if finding is not None:
                ranks.setdefault(finding, []).append(rank)
        if len(ranks) == 1:
            found += ranks
            continue
        for finding, theirs in ranks.items():
            if finding.subject in alike and finding.level == OK:
                finding = replace(finding, level=WARNING, mend="install the same on every host")
            found.append(replace(finding, ranks=tuple(theirs)))
    return found


def _examine(check: Check, place: Place) -> Finding | None:
    try:
        return check(place)
    except Exception as error:  # a broken installation may raise anything
        subject = check.__name__.strip("_").replace("_", " ")
        return Finding(subject, ERROR, f"cannot be checked: {first_line(error)}")


def first_line(error: BaseException) -> str:
    """Returns an error's type and the first line of its message."""
    return f"{type(error).__name__}: {(str(error) or 'no message').splitlines()[0]}"
