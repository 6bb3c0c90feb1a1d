"""How this process was started decides its transport."""

import os

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.transport.base import Transport


def under_launcher() -> bool:
    """Was this process started by horovodrun or mpirun?"""
    return any(name in os.environ for name in ("OMPI_COMM_WORLD_SIZE", "HOROVOD_SIZE", "PMI_SIZE"))


def launched() -> Transport:
    """Horovod under a launcher; otherwise a group of one rank, which needs no Horovod.

    Raises:
        ConfigurationError: started by a launcher, but Horovod cannot be imported.
    """
    if not under_launcher():
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
