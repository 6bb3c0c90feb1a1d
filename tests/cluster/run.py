"""Runs a command on the first of three hosts on one machine, joined by links of a chosen rate; see ``hosts``.

    python -m tests.cluster.run RATE COMMAND [ARGUMENT ...]

The command may start ranks on all of them: ``horovodrun -np 3 -H a:1,b:1,c:1 hvd-qgenx gan``. As root.
"""

import tempfile
from pathlib import Path

from tests.cluster.hosts import HostsError, command, missing, three_hosts


def main(rate: str, *words: str) -> int:
    """Returns the exit code of the command."""
    if reason := missing():
        raise HostsError(reason)
    with tempfile.TemporaryDirectory() as scratch, three_hosts(rate, Path(scratch)) as hosts:
        return hosts.start(*words).wait()


if __name__ == "__main__":
    command(main, __doc__)
