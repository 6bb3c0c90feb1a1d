"""Measures exchanges over two or three hosts on one machine, joined by links of a chosen rate; see ``hosts``.

    python -m tests.cluster.bench HOSTS RATE FILE [OPTION ...]

writes the FILE of ``hvd-qgenx bench exchange --json`` and takes its other options; as root. First it prints what a
plain TCP transfer reaches: on busy cores that may be less than fast links could carry.
"""

import sys
import tempfile
from pathlib import Path

from hvd_qgenx.bench import files, tables
from hvd_qgenx.cli.bench import Rate
from tests.cluster.hosts import HostsError, command, missing, three_hosts


def main(count: str, rate: str, file: str, *options: str) -> int:
    """Returns the exit code of the command."""
    if count not in ("2", "3"):
        raise HostsError(f"there are two or three hosts, not {count}")
    if reason := missing():
        raise HostsError(reason)
    with tempfile.TemporaryDirectory() as scratch, three_hosts(rate, Path(scratch)) as hosts:
        print(f"{hosts.measured_rate(megabytes(rate)) / 1e9:.3g} gbit/s by plain TCP", flush=True)
        log = Path(scratch) / "log"
        words = ("hvd-qgenx", "bench", "exchange", "--expect-ranks", count, "--rate", rate, "--json", file)
        code = hosts.horovodrun(*words, *options, log=log, count=int(count)).wait()
        if code:
            print(log.read_text(errors="replace"), file=sys.stderr)
    if not code:
        (found,) = files.read([Path(file)])
        print("".join(table.text() for table in tables.exchange_tables(found.rows)), end="")
    return code


def megabytes(rate: str) -> int:
    """Returns what a link of this rate carries in half a second."""
    return max(1, round(Rate().convert(rate, None, None) / 2e6))


if __name__ == "__main__":
    command(main, __doc__)
