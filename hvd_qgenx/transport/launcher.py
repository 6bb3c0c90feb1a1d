"""The launcher of this process, as the environment describes it."""

import os
from collections.abc import Iterable, Mapping, Sequence

from hvd_qgenx.transport.environment import (
    ELASTIC,
    LOCAL_SIZES,
    MPI_RANKS,
    RANKS,
    SIZES,
    STALL_SHUTDOWN,
    STALL_WARNING,
)

STALL_SECONDS = 180
"""Seconds that a rank may be silent before the job ends."""


def launcher_rank() -> int | None:
    """Returns this process's rank as horovodrun or mpirun gave it; None if neither started the process."""
    return _first(RANKS)


def started_by_mpi() -> bool:
    """Tells whether MPI's launcher, by itself or for horovodrun, started this process."""
    return _first(MPI_RANKS) is not None


def launcher_size() -> int | None:
    """Returns how many processes the launcher started; None without a launcher, or if it is elastic."""
    if launcher_rank() is None or is_elastic():
        return None
    return _first(SIZES)


def launched_size() -> int:
    """Returns how many processes the launcher started; 1 without a launcher."""
    return _first(SIZES) or 1


def launched_local_size() -> int:
    """Returns how many processes the launcher started on this host; 1 without a launcher."""
    return _first(LOCAL_SIZES) or 1


def is_elastic() -> bool:
    """Tells whether the launcher restarts ranks that are lost, and lets others join."""
    return os.environ.get(ELASTIC) == "1"


def limit_stall(seconds: int) -> None:
    """Ends the job once a rank has been silent for so many seconds; 0: never. Call it before ranks start.

    Horovod warns first, and does not end the job if the warning would come only later.
    """
    os.environ[STALL_SHUTDOWN] = str(seconds)
    if seconds:
        warning = int(os.environ.get(STALL_WARNING) or 60)
        os.environ[STALL_WARNING] = str(min(warning, max(1, seconds // 3)))


def _first(variables: Iterable[str]) -> int | None:
    return next((int(os.environ[variable]) for variable in variables if os.environ.get(variable)), None)


def starting(hosts: Mapping[str, Sequence[int]]) -> list[str]:
    """Returns the words that start as many ranks on the same hosts; none for one rank without a launcher.

    Args:
        hosts: the ranks by host, as ``Transport.named_hosts`` has them.
    """
    if launcher_rank() is None:
        return []
    names = ["localhost"] if len(hosts) == 1 else hosts
    slots = ",".join(f"{name}:{len(ranks)}" for name, ranks in zip(names, hosts.values(), strict=True))
    return ["horovodrun", "-np", str(sum(map(len, hosts.values()))), "-H", slots]
