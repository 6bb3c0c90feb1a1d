"""Runs a command on the first of three hosts on one machine, joined by links of a chosen rate; see ``hosts``.

    python -m tests.cluster.run RATE COMMAND [ARGUMENT ...]

The command may start ranks on all of them: ``horovodrun -np 3 -H a:1,b:1,c:1 hvd-qgenx gan``. As root.
"""

import sys
import tempfile
from pathlib import Path

from tests.cluster.hosts import HostsError, missing, three_hosts


def main(rate: str, *command: str) -> int:
    """Returns the exit code of the command."""
    if reason := missing():
        raise HostsError(reason)
    with tempfile.TemporaryDirectory() as scratch, three_hosts(rate, Path(scratch)) as hosts:
        return hosts.start(*command).wait()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit((__doc__ or "").strip())
    try:
        sys.exit(main(*sys.argv[1:]))
    except HostsError as error:
        sys.exit(f"Error: {error}")
