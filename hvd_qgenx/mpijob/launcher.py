"""Writes and parses the command line of a launcher pod."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from compressors.naming import shown
from hvd_qgenx.mpijob.job import Job

PROGRAM = "hvd-qgenx"
DISCOVER = "/etc/mpi/discover_hosts.sh"
"""A script that the operator keeps up to date; it prints the names of the running workers."""

LAUNCHERS = ("mpirun", "mpiexec", "orterun", "horovodrun")
SHELLS = ("sh", "bash", "dash")
RANKS = ("-np", "--np", "-n", "-c", "--num-proc")
LEAST = ("--min-np", "--min-num-proc")
MOST = ("--max-np", "--max-num-proc")
EXPECTED = ("--expect-ranks",)
SLOTS = ("--slots-per-host", "--slots")


def words(job: Job) -> list[str]:
    """Returns the command of a job's launcher, as a list of arguments.

    It is mpirun itself, since the operator configures it by environment variables: the hostfile, full host names, and
    ten attempts of ssh while names are not resolved yet. horovodrun would check ssh and interfaces on its own, and
    build a shell command; only elastic jobs need it.
    """
    start = _horovodrun(job, *job.elastic) if job.elastic else mpirun(job)
    return [*start, PROGRAM, *job.command]


def mpirun(job: Job, *options: str) -> list[str]:
    """Returns mpirun's words, without those that it starts.

    Args:
        job: the job.
        options: further options of mpirun.
    """
    exported = ["PATH", *(["LD_LIBRARY_PATH"] if job.gpus else []), *job.variables]  # ssh passes no variables on
    return [
        *("mpirun", *options, "-np", str(job.ranks)),
        *("--bind-to", "none", "--map-by", "slot"),
        *("--mca", "pml", "ob1", "--mca", "btl", "^openib"),
        *("--mca", "odls_base_sigkill_timeout", "1"),  # a long one delays every end; a hook stops the ranks
        *(word for name in exported for word in ("-x", name)),
    ]


def _horovodrun(job: Job, least: int, most: int) -> list[str]:
    """Returns horovodrun's words; the blacklist cools down, since a worker that comes back keeps its name."""
    return [
        *("horovodrun", "-np", str(least), "--min-np", str(least), "--max-np", str(most)),
        *("--host-discovery-script", DISCOVER, "--slots-per-host", str(job.slots_per_worker)),
        *("--blacklist-cooldown-range", "10", "60", "--network-interface", "eth0"),
    ]


DIGITS = 9
"""The most digits of a number of ranks."""


@dataclass(frozen=True)
class Launch:
    """The ranks and the program that a command line starts."""

    program: str
    ranks: int | None
    """Number of ranks; None: not given."""
    least: int | None
    most: int | None
    discovers: bool
    """A script is asked for hosts."""
    slots: int | None
    """Ranks on each host that the script prints."""
    command: tuple[str, ...] | None
    """Words after ``hvd-qgenx``; None: another program is started."""
    expected: int | None
    """The value of ``--expect-ranks``."""
    own: tuple[str, ...] = ()
    """Words between the launcher and the program that it starts."""

    @property
    def elastic(self) -> bool:
        return self.discovers or self.least is not None


def read(line: Sequence[str]) -> Launch | None:
    """Parses the launcher's command in a container's words; None if there is none, or a shell command is malformed.

    Raises:
        ValueError: a number of ranks is not a number.
    """
    found = unwrapped(list(line))
    start = next((at for at, word in enumerate(found) if PurePosixPath(word).name in LAUNCHERS), None)
    if start is None:
        return None
    rest = [unescaped(word) for word in found[start + 1 :]]
    end = next((at for at, word in enumerate(rest) if PurePosixPath(word).name == PROGRAM), None)
    own = rest[:end]
    return Launch(
        PurePosixPath(found[start]).name,
        number(own, RANKS),
        number(own, LEAST),
        number(own, MOST),
        any(word.partition("=")[0] == "--host-discovery-script" for word in own),
        number(own, SLOTS),
        None if end is None else tuple(rest[end + 1 :]),
        None if end is None else number(rest[end + 1 :], EXPECTED),
        tuple(own),
    )


def unwrapped(line: list[str]) -> list[str]:
    """Returns the words of a shell's command, if the line starts a shell."""
    if line and PurePosixPath(line[0]).name in SHELLS and "-c" in line[:-1]:
        try:
            return shlex.split(line[line.index("-c") + 1], comments=True)
        except ValueError:
            return []
    return line


def number(line: Sequence[str], names: Sequence[str]) -> int | None:
    """Returns the number after the last of some options; None if there is none.

    Raises:
        ValueError: something else follows.
    """
    for at, word in reversed(list(enumerate(line))):  # the last one counts
        name, equals, value = word.partition("=")
        if name in names:
            value = value if equals else (*line, "")[at + 1]
            if not value.isdecimal() or len(value) > DIGITS:
                raise ValueError(f"{name} must be followed by a whole number, not {shown(value)}")
            return int(value)
    return None


def escaped(word: str) -> str:
    """Escapes a word for a manifest, where ``$(NAME)`` stands for a variable's value."""
    return word.replace("$(", "$$(")


def unescaped(word: str) -> str:
    """Returns the word that a container gets."""
    return word.replace("$$(", "$(")
