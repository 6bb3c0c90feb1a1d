"""One rank of: every collective on the default, the ordered and the two-level transports.

Rank 0 writes what all ranks found as JSON. Ranks 2k and 2k + 1 count as one host.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hvd_qgenx.transport import Transport, launched


def collectives(transport: Transport) -> dict[str, Any]:
    """Results of all collectives with parts of different lengths, some empty, some of several messages."""
    rank, ranks = transport.rank, range(transport.size)
    found: dict[str, Any] = {}
    for scale in (1, 150_000):
        sizes = [[scale * abs(sender - receiver) for receiver in ranks] for sender in ranks]
        parts = [torch.full((size,), 10 * rank + to, dtype=torch.uint8) for to, size in enumerate(sizes[rank])]
        for received in ([row[rank] for row in sizes], None):
            work = transport.all_to_all(torch.cat(parts), sizes[rank], "scatter", received)
            found[f"scatter {scale} {received is None}"] = [work.bytes_sent, [summary(part) for part in work.wait()]]
        mine = torch.full((scale * rank,), rank, dtype=torch.uint8)
        for lengths in ([scale * sender for sender in ranks], None):
            work = transport.all_gather(mine, lengths, "gather")
            found[f"gather {scale} {lengths is None}"] = [work.bytes_sent, [summary(part) for part in work.wait()]]
    empty = transport.all_to_all(torch.zeros(0), [0] * transport.size, "empty", [0] * transport.size).wait()
    found["empty"] = [part.tolist() for part in empty]
    for dtype in (torch.float16, torch.float32):
        tensor = torch.full((3,), 40000.0 if rank else 20000.0, dtype=dtype)
        mean = transport.all_reduce_mean(tensor, "mean").wait()
        found[f"mean {dtype}"] = [mean.tolist(), mean.data_ptr() == tensor.data_ptr()]
    found["objects"] = transport.all_gather_object({"rank": rank}, "objects")
    return found


def summary(part: torch.Tensor) -> list[Any]:
    return [len(part), part.unique().tolist()]


def in_flight(transport: Transport) -> list[list[int]]:
    """Several collectives under way at once, waited for in another order than they were started in."""
    mine = torch.arange(2).add_(10 * transport.rank).to(torch.uint8)
    works = [transport.all_gather(mine + 100 * turn, [2] * transport.size, f"turn {turn}") for turn in range(2)]
    return [torch.cat(work.wait()).tolist() for work in reversed(works)]


def work(transport: Transport) -> dict[str, Any]:
    found: dict[str, Any] = {}
    groups = {"all": transport, "local": transport.local(), "across": transport.across()}
    assert groups["local"] is transport.local()
    for name, group in groups.items():
        assert group is not None
        for order, channel in (("named", group), ("ordered", group.ordered("test"))):
            place = [channel.rank, channel.size, channel.local_rank, channel.local_size]
            found[f"{name} {order}"] = [place, collectives(channel), in_flight(channel)]
    # One name in several groups at once, started in an order of each rank's own.
    order = list(groups) if transport.rank % 2 else list(reversed(groups))
    means = {name: groups[name].all_reduce_mean(torch.tensor([float(transport.rank)]), "same") for name in order}
    found["same name"] = [float(means[name].wait()) for name in groups]
    return found


def main(find: Callable[[Transport], dict[str, Any]]) -> None:
    """Lets rank 0 write what all ranks find to the file of the command line; ranks 2k and 2k + 1 count as one host."""
    transport = launched()
    rank = transport.rank
    transport.host = lambda: str(rank // 2)  # type: ignore[method-assign]
    transport.local_rank, transport.local_size = rank % 2, 2
    results = transport.all_gather_object(find(transport), "results")
    if rank == 0:
        Path(sys.argv[1]).write_text(json.dumps(results))


if __name__ == "__main__":
    main(work)
