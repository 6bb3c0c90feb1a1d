"""What a check finds."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

OK, WARNING, ERROR = "ok", "warning", "error"
"""Levels: how bad it is."""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's."""

    subject: str
    level: str
    text: str
    mend: str = ""
    """The command that mends it, or what to do."""
    ranks: tuple[int, ...] = ()
    """Whose finding it is, where ranks do not all have the same."""

    def as_dict(self) -> dict[str, object]:
        """As JSON takes it."""
        return {
            "subject": self.subject,
            "level": self.level,
            "text": self.text,
            "mend": self.mend,
            "ranks": list(self.ranks),
        }


@dataclass(frozen=True)
class Place:
    """Where checks are made."""

    data_dir: Path
    runs: Path
    """The folder of runs."""
    rank: int | None = None
    """As the launcher says; None without one."""
    local_ranks: int = 1
    """On this host."""


Check = Callable[[Place], Finding | None]
"""Looks at one thing; None where it is no matter of this rank's."""


def examine(checks: Sequence[Check], place: Place) -> list[Finding | None]:
    """What the checks find, in their order. One that fails is itself an error."""
    return [_examine(check, place) for check in checks]


def merged(everyone: Sequence[Sequence[Finding | None]], alike: Iterable[str]) -> list[Finding]:
    """The findings of all ranks: what all have in common once, what they differ in with the ranks that have it.

    Args:
        everyone: of every rank, in rank order, from the same checks.
        alike: subjects on which ranks must not differ; where they do, what was ok is a warning.
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
    except Exception as error:  # whatever is broken is what is looked for
        subject = check.__name__.strip("_").replace("_", " ")
        return Finding(subject, ERROR, f"cannot be checked: {first_line(error)}")


def first_line(error: BaseException) -> str:
    """Of an error's message, with its type."""
    return f"{type(error).__name__}: {(str(error) or 'no message').splitlines()[0]}"
