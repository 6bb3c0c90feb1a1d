"""What remains to be done when a rank that others wait for is lost."""

import os
import subprocess
import sys
from typing import NoReturn

import psutil

LAUNCHERS = ("mpirun", "orted")
"""Open MPI's launcher, and its daemon on every other host."""
END_LAUNCHER = """
for second in $(seq 15); do sleep 1; kill -0 $0 2>/dev/null || exit; done
kill -KILL $0
"""


def is_broken(error: Exception) -> bool:
    """Whether an error says that a collective failed, for which another rank or the network is to blame."""
    horovod = sys.modules.get("horovod.common.exceptions")
    return horovod is not None and isinstance(error, horovod.HorovodInternalError)


def explain_broken() -> str | None:
    """In one sentence, why collectives failed; None if it is for another rank to say so."""
    from hvd_qgenx.transport import watch

    return watch.explain()


def leave(code: int) -> NoReturn:
    """Ends this process without waiting for other ranks, as Horovod and MPI do at their end.

    Open MPI's launcher on this host has a while to end too: it would wait for hosts that it cannot reach for ever.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    launcher = psutil.Process().parent()
    if launcher and launcher.name() in LAUNCHERS:
        # it ends this process soon; what is to outlive it needs a session of its own
        subprocess.Popen(["sh", "-c", END_LAUNCHER, str(launcher.pid)], start_new_session=True)
    os._exit(code)
