"""One rank of: every collective, neighbour exchange and compressed exchange. Rank 0 writes what all found as JSON.

Ranks 2k and 2k + 1 count as one host.
"""

from typing import Any

from hvd_qgenx.transport import Transport
from tests.multiprocess import collectives, neighbours, parity


def found_on(transport: Transport) -> dict[str, Any]:
    return {
        "collectives": collectives.work(transport),
        "neighbours": neighbours.found_on(transport),
        "exchanges": parity.digests(transport),
    }


if __name__ == "__main__":
    collectives.main(found_on)
