"""The launcher of this process, as the environment describes it."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.transport.environment import (
    ELASTIC,
    LOCAL_SIZES,
    MPI_RANKS,
    RANKS,
    SIZES,
    STALL_SHUTDOWN,
    STALL_WARNING,
    TORCH_LAUNCH,
    TORCH_LOCAL_SIZE,
    TORCH_RANK,
    TORCH_SIZE,
)

STALL_SECONDS = 180
"""Seconds that a rank may be silent before the job ends."""


def launcher_rank() -> int | None:
    """Returns this process's rank as horovodrun, mpirun or torchrun gave it; None if none started the process."""
    return _first((TORCH_RANK,)) if started_by_torch() else _first(RANKS)


def started_by_torch() -> bool:
    """Tells whether torchrun, or a launcher that sets the same variables, started this process.

    Raises:
        ConfigurationError: another launcher did too.
    """
    if not all(os.environ.get(variable) for variable in TORCH_LAUNCH):
        return False
    if other := next((variable for variable in RANKS if os.environ.get(variable)), None):
        raise ConfigurationError(
            f"two launchers have started this process: torchrun, which sets {TORCH_RANK}, and horovodrun or mpirun, "
            f"which sets {other}; start it with one of them"
        )
    return True


def started_by_mpi() -> bool:
    """Tells whether MPI's launcher, by itself or for horovodrun, started this process."""
    return _first(MPI_RANKS) is not None


def launcher_size() -> int | None:
    """Returns how many processes the launcher started; None without a launcher, or if it is elastic."""
    if launcher_rank() is None or is_elastic():
        return None
    return launched_size()


def launched_size() -> int:
    """Returns how many processes the launcher started; 1 without a launcher."""
    return _first((TORCH_SIZE,) if started_by_torch() else SIZES) or 1


def launched_local_size() -> int:
    """Returns how many processes the launcher started on this host; 1 without a launcher."""
    return _first((TORCH_LOCAL_SIZE,) if started_by_torch() else LOCAL_SIZES) or 1


def is_elastic() -> bool:
    """Tells whether the launcher restarts ranks that are lost, and lets others join."""
    return os.environ.get(ELASTIC) == "1"


def stall_limit() -> float:
    """Returns the seconds that a rank of torch.distributed may be silent before the job ends; infinite: never."""
    seconds = os.environ.get(STALL_SHUTDOWN)
    return (float(seconds) if seconds else STALL_SECONDS) or math.inf


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

    torchrun is to be called on every host.

    Args:
        hosts: the ranks by host, as ``Transport.named_hosts`` has them.
    """
    if launcher_rank() is None:
        return []
    if started_by_torch():
        first, ranks = next(iter(hosts.items()))
        several = ["--nnodes", str(len(hosts)), "--rdzv-backend", "c10d", "--rdzv-endpoint", f"{first}:29500"]
        return ["torchrun", *(several if len(hosts) > 1 else []), "--nproc-per-node", str(len(ranks)), "--no-python"]
    names = ["localhost"] if len(hosts) == 1 else hosts
    slots = ",".join(f"{name}:{len(ranks)}" for name, ranks in zip(names, hosts.values(), strict=True))
    return ["horovodrun", "-np", str(sum(map(len, hosts.values()))), "-H", slots]
