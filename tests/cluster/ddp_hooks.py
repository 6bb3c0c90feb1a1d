"""Compares DDP's communication hooks, torch's and ours, over three hosts on one machine; see ``hosts``.

    python -m tests.cluster.ddp_hooks ROUNDS RATE [RATE ...]

prints the table of docs/ddp.md, with the links limited to every RATE in turn; as root. Errors do not depend on it, and
are measured at the first.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.cluster.hosts import HostsError, command, missing, three_hosts

MEASURED = ("1", "3", "8")
"""Updates whose error is measured; the third is the first that torch's PowerSGD compresses."""


def measured(rate: str, rounds: str, updates: tuple[str, ...], net: str = "resnet18") -> dict[str, dict[str, Any]]:
    """Returns the rows that ``ddp_rank`` writes, by hook."""
    with tempfile.TemporaryDirectory() as scratch, three_hosts(rate, Path(scratch)) as hosts:
        log, file = Path(scratch) / "log", Path(scratch) / "found.json"
        words = (sys.executable, "-m", "tests.cluster.ddp_rank", net, rounds, str(file), *updates)
        codes = [rank.wait() for rank in hosts.torchrun(*words, log=log)]
        if any(codes):
            raise HostsError(f"a rank failed:\n{log.read_text(errors='replace')}")
        found: dict[str, dict[str, Any]] = json.loads(file.read_text())
    return found


def table(found: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Returns a table in Markdown; the rows of each rate are given."""
    head = ["hook", "MB by eth0", "MB reported", *(f"error, update {update}" for update in MEASURED)]
    lines = [head + [f"{rate}, s" for rate in found], ["---"] + ["---:"] * (len(head) + len(found) - 1)]
    rows = next(iter(found.values()))
    for name, row in rows.items():
        line = [name, f"{row['counted'] / 1e6:.2f}", f"{row['reported'] / 1e6:.2f}" if row["reported"] else ""]
        line += [f"{row['errors'][update]:.2g}" for update in MEASURED]
        for at_rate in found.values():
            seconds, plain = at_rate[name]["seconds"], next(iter(at_rate.values()))["seconds"]
            line.append(f"{seconds:.2f} ({seconds / plain:.2f})")
        lines.append(line)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(rounds: str, *rates: str) -> int:
    """Returns 0."""
    if reason := missing():
        raise HostsError(reason)
    print(table({rate: measured(rate, rounds, () if number else MEASURED) for number, rate in enumerate(rates)}))
    return 0


if __name__ == "__main__":
    command(main, __doc__)
