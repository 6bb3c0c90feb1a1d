"""Measures exchanges over three hosts on one machine, joined by links of a chosen rate; see ``hosts``.

    python -m tests.cluster.bench RATE FILE [OPTION ...]

writes the FILE of ``hvd-qgenx bench exchange --json`` and takes its other options; as root.
"""

import sys
import tempfile
from pathlib import Path

from hvd_qgenx.bench import files, tables
from tests.cluster.hosts import HostsError, command, missing, three_hosts


def main(rate: str, file: str, *options: str) -> int:
    """Returns the exit code of the command."""
    if reason := missing():
        raise HostsError(reason)
    with tempfile.TemporaryDirectory() as scratch, three_hosts(rate, Path(scratch)) as hosts:
        log = Path(scratch) / "log"
        words = ("hvd-qgenx", "bench", "exchange", "--expect-ranks", "3", "--rate", rate, "--json", file)
        code = hosts.horovodrun(*words, *options, log=log).wait()
        if code:
            print(log.read_text(errors="replace"), file=sys.stderr)
    if not code:
        (found,) = files.read([Path(file)])
        print("".join(table.text() for table in tables.exchange_tables(found.rows)), end="")
    return code


if __name__ == "__main__":
    command(main, __doc__)
