"""Collectives that failed because of another rank or the network."""

import sys


def is_failure(error: Exception) -> bool:
    """Tells whether an error says that a collective failed, for which another rank or the network is to blame."""
    horovod = sys.modules.get("horovod.common.exceptions")
    return horovod is not None and isinstance(error, horovod.HorovodInternalError)


def explain_failure() -> str | None:
    """Returns one sentence that says why collectives failed; None if another rank prints it."""
    from hvd_qgenx.transport import watch  # needs MPI, which a failed collective has had

    return watch.explain()
