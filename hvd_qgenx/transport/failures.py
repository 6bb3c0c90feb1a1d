"""Collectives that failed because of another rank or the network."""

import sys


class PeerLostError(RuntimeError):
    """A rank that others wait for has ended, or does not answer."""


def is_failure(error: Exception) -> bool:
    """Tells whether an error says that a collective failed, for which another rank or the network is to blame."""
    horovod = sys.modules.get("horovod.common.exceptions")
    return isinstance(error, PeerLostError) or (horovod is not None and isinstance(error, horovod.HorovodInternalError))


def explain_failure(error: Exception) -> str | None:
    """Returns one sentence that says why a collective failed; None if another rank prints it."""
    if isinstance(error, PeerLostError):
        return str(error)
    from hvd_qgenx.transport import watch  # needs MPI, which a failed collective has had

    return watch.explain()
