"""How this process was started decides its transport."""

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.transport.base import Transport

if TYPE_CHECKING:
    from hvd_qgenx.transport.elastic import Committed

T = TypeVar("T")

STALL_SECONDS = 180
"""How long a rank may be silent before the job ends."""
STALL_SHUTDOWN = "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS"
STALL_WARNING = "HOROVOD_STALL_CHECK_TIME_SECONDS"


def launcher_rank() -> int | None:
    """This process's rank as horovodrun or mpirun gave it; None if neither started the process."""
    return _first(("OMPI_COMM_WORLD_RANK", "HOROVOD_RANK", "PMI_RANK", "PMIX_RANK"))


def started_by_mpi() -> bool:
    """Whether MPI's launcher, by itself or for horovodrun, started this process."""
    return _first(("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK")) is not None


def launcher_size() -> int | None:
    """How many processes the launcher started; None without a launcher, or where it starts others later."""
    if launcher_rank() is None or _is_elastic():
        return None
    return _first(("OMPI_COMM_WORLD_SIZE", "HOROVOD_SIZE", "PMI_SIZE"))


def launched_number(number: str) -> int:
    """SIZE or LOCAL_SIZE, as the launcher gives it; 1 without a launcher."""
    return int(os.environ.get(f"OMPI_COMM_WORLD_{number}") or os.environ.get(f"HOROVOD_{number}") or 1)


def limit_stall(seconds: int) -> None:
    """Ends the job once a rank has been silent for so many seconds; 0: never. Call it before ranks start.

    Horovod warns first, and does not end the job where it would warn only later.
    """
    os.environ[STALL_SHUTDOWN] = str(seconds)
    if seconds:
        warning = int(os.environ.get(STALL_WARNING) or 60)
        os.environ[STALL_WARNING] = str(min(warning, max(1, seconds // 3)))


def launched() -> Transport:
    """Horovod under a launcher; otherwise a group of one rank, which needs no Horovod.

    Raises:
        ConfigurationError: started by a launcher, but Horovod cannot be imported, or by one that starts ranks anew.
    """
    if _is_elastic():
        raise ConfigurationError(
            "horovodrun --min-np starts ranks anew, which only `hvd-qgenx gan --elastic` takes part in"
        )
    if launcher_rank() is None:
        from hvd_qgenx.transport.inprocess import InProcess

        return InProcess()
    try:
        from hvd_qgenx.transport.horovod import Horovod
    except ImportError as error:
        raise ConfigurationError(
            f"Horovod cannot be imported ({error}); run `make install`, which builds it, "
            "or start the command without horovodrun for a single rank"
        ) from error
    return Horovod()


def launched_elastic(train: "Callable[[Transport, Committed], T]") -> T:
    """Calls ``train(transport, committed)`` on all ranks, and again whenever ranks have come or gone; see ``elastic``.

    Raises:
        ConfigurationError: the launcher does not start ranks anew.
    """
    if not _is_elastic():
        raise ConfigurationError(
            "--elastic needs a launcher that starts ranks anew: "
            "horovodrun -np 3 --min-np 2 --max-np 3 --host-discovery-script SCRIPT"
        )
    from hvd_qgenx.transport.elastic import elastic

    return elastic(train)


def _is_elastic() -> bool:
    return os.environ.get("HOROVOD_ELASTIC") == "1"


def _first(variables: Iterable[str]) -> int | None:
    return next((int(os.environ[variable]) for variable in variables if os.environ.get(variable)), None)
