"""Ends this process alone, when it cannot end in agreement with the other ranks."""

import os
import subprocess
import sys
from typing import NoReturn

LAUNCHERS = ("mpirun", "orted")
"""Open MPI's launcher, and its daemon on every other host."""
END_LAUNCHER = """
for second in $(seq 15); do sleep 1; kill -0 $0 2>/dev/null || exit; done
kill -KILL $0
"""


def abort(code: int) -> NoReturn:
    """Ends this process without waiting for other ranks, as Horovod and MPI would do at their end.

    Open MPI's launcher on this host is killed if it has not ended soon after: it would wait forever for hosts that it
    cannot reach.
    """
    import psutil

    sys.stdout.flush()
    sys.stderr.flush()
    launcher = psutil.Process().parent()
    if launcher and launcher.name() in LAUNCHERS:
        # the launcher ends this process soon; what is to outlive it needs a session of its own
        subprocess.Popen(["sh", "-c", END_LAUNCHER, str(launcher.pid)], start_new_session=True)
    os._exit(code)
