"""How this process was started decides its transport."""

import os

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.transport.base import Transport


def launcher_rank() -> int | None:
    """This process's rank as horovodrun or mpirun gave it; None if neither started the process."""
    for variable in ("OMPI_COMM_WORLD_RANK", "HOROVOD_RANK", "PMI_RANK"):
        if variable in os.environ:
            return int(os.environ[variable])
    return None


def launched() -> Transport:
    """Horovod under a launcher; otherwise a group of one rank, which needs no Horovod.

    Raises:
        ConfigurationError: started by a launcher, but Horovod cannot be imported.
    """
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
