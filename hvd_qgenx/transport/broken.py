"""What remains to be done when a rank that others wait for is lost."""

import os
import sys
from typing import NoReturn


def is_broken(error: Exception) -> bool:
    """Whether an error says that a collective failed, for which another rank or the network is to blame."""
    horovod = sys.modules.get("horovod.common.exceptions")
    return horovod is not None and isinstance(error, horovod.HorovodInternalError)


def explain_broken() -> str | None:
    """In one sentence, why collectives failed; None if it is for another rank to say so."""
    from hvd_qgenx.transport import watch

    return watch.explain()


def leave(code: int) -> NoReturn:
    """Ends this process without waiting for other ranks, as Horovod and MPI do at their end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
