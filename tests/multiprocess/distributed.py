"""One rank of: every collective, neighbour exchange and compressed exchange. Rank 0 writes what all found as JSON.

Ranks 2k and 2k + 1 count as one host.
"""

import json
import sys
from pathlib import Path
from typing import Any

from hvd_qgenx.transport import Transport, launched
from tests.multiprocess import collectives, neighbours, parity


def found_on(transport: Transport) -> dict[str, Any]:
    return {
        "collectives": collectives.work(transport),
        "neighbours": neighbours.found_on(transport),
        "exchanges": parity.digests(transport),
    }


if __name__ == "__main__":
    transport = launched()
    rank = transport.rank
    transport.host = lambda: str(rank // 2)  # type: ignore[method-assign]
    transport.local_rank, transport.local_size = rank % 2, 2
    everyone = transport.all_gather_object(found_on(transport), "results")
    if rank == 0:
        Path(sys.argv[1]).write_text(json.dumps(everyone))
