"""The command line of a launcher pod: written, and read back."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from hvd_qgenx.mpijob.job import Job

PROGRAM = "hvd-qgenx"
DISCOVER = "/etc/mpi/discover_hosts.sh"
"""The operator keeps it up to date; it prints the names of the workers that run."""

LAUNCHERS = ("mpirun", "mpiexec", "orterun", "horovodrun")
SHELLS = ("sh", "bash", "dash")
RANKS = ("-np", "--np", "-n", "-c", "--num-proc")
LEAST = ("--min-np", "--min-num-proc")
MOST = ("--max-np", "--max-num-proc")
EXPECTED = ("--expect-ranks",)
SLOTS = ("--slots-per-host", "--slots")


def words(job: Job) -> list[str]:
    """What the launcher of a job runs, as a list of arguments.

    mpirun itself, since the operator speaks to it: by environment variables it tells mpirun the hostfile, to keep whole
    host names, and to try ssh ten times while names are not known yet. horovodrun would add a check of ssh and of
    interfaces of its own, and build a line for a shell; only elastic jobs need it.
    """
    start = _horovodrun(job, *job.elastic) if job.elastic else _mpirun(job)
    return [*start, PROGRAM, *job.command]


def _mpirun(job: Job) -> list[str]:
    exported = ["PATH", *(["LD_LIBRARY_PATH"] if job.gpus else []), *job.variables]  # ssh hands over nothing
    return [
        *("mpirun", "-np", str(job.ranks)),
        *("--bind-to", "none", "--map-by", "slot"),
        *("--mca", "pml", "ob1", "--mca", "btl", "^openib"),
        *("--mca", "odls_base_sigkill_timeout", "1"),  # long ones delay every end; ranks are asked by a hook
        *(word for name in exported for word in ("-x", name)),
    ]


def _horovodrun(job: Job, least: int, most: int) -> list[str]:
    """A worker that comes back has the name it had, so a name must not be shunned for ever."""
    return [
        *("horovodrun", "-np", str(least), "--min-np", str(least), "--max-np", str(most)),
        *("--host-discovery-script", DISCOVER, "--slots-per-host", str(job.slots_per_worker)),
        *("--blacklist-cooldown-range", "10", "60", "--network-interface", "eth0"),
    ]


@dataclass(frozen=True)
class Launch:
    """What a command line starts."""

    program: str
    ranks: int | None
    """None: not said."""
    least: int | None
    most: int | None
    discovers: bool
    """Asks a script for hosts."""
    slots: int | None
    """Ranks of a host that the script names."""
    command: tuple[str, ...] | None
    """Words after ``hvd-qgenx``; None: something else is started."""
    expected: int | None
    """Ranks that this command is to expect."""

    @property
    def elastic(self) -> bool:
        return self.discovers or self.least is not None


def read(line: Sequence[str]) -> Launch | None:
    """Finds the launcher in a container's words; None: there is none, or what a shell is told cannot be read.

    Raises:
        ValueError: a number of ranks is none.
    """
    found = _unwrapped(list(line))
    start = next((at for at, word in enumerate(found) if PurePosixPath(word).name in LAUNCHERS), None)
    if start is None:
        return None
    rest = [_unescaped(word) for word in found[start + 1 :]]
    end = next((at for at, word in enumerate(rest) if PurePosixPath(word).name == PROGRAM), None)
    own = rest[:end]
    return Launch(
        PurePosixPath(found[start]).name,
        _number(own, RANKS),
        _number(own, LEAST),
        _number(own, MOST),
        any(word.partition("=")[0] == "--host-discovery-script" for word in own),
        _number(own, SLOTS),
        None if end is None else tuple(rest[end + 1 :]),
        None if end is None else _number(rest[end + 1 :], EXPECTED),
    )


def _unwrapped(line: list[str]) -> list[str]:
    """The words that a shell is told, if it is a shell."""
    if line and PurePosixPath(line[0]).name in SHELLS and "-c" in line[:-1]:
        try:
            return shlex.split(line[line.index("-c") + 1], comments=True)
        except ValueError:
            return []
    return line


def _number(line: Sequence[str], names: Sequence[str]) -> int | None:
    for at, word in reversed(list(enumerate(line))):  # the last one counts
        name, equals, value = word.partition("=")
        if name in names:
            value = value if equals else (*line, "")[at + 1]
            if not value.isdecimal():
                raise ValueError(f"{name} must be followed by a whole number, not {value!r}")
            return int(value)
    return None


def escaped(word: str) -> str:
    """As it stands in a manifest, where ``$(NAME)`` would be a variable's value."""
    return word.replace("$(", "$$(")


def _unescaped(word: str) -> str:
    return word.replace("$$(", "$(")
