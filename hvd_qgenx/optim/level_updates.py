"""Updates the levels of compressors whose levels are fitted to the gradients of all ranks."""

from collections.abc import Iterable

import torch
from torch import Tensor

from compressors import Learner, LevelUpdate
from hvd_qgenx.exchange import Report
from hvd_qgenx.optim.buffers import FlatBuffer
from hvd_qgenx.transport import Transport


def update_levels(
    buffers: Iterable[FlatBuffer], scale: float, transport: Transport, name: str, report: Report
) -> LevelUpdate | None:
    """Gathers statistics of the buffers' vectors; rank 0 fits new levels, and all ranks apply them. Collective.

    Args:
        buffers: hold this rank's gradients, and the compressors that learn.
        scale: factor on the vectors when they are exchanged.
        transport: carries statistics and levels.
        name: names the collectives; equal on all ranks.
        report: gets the bytes and seconds.

    Returns:
        The last update, equal on all ranks; None if no compressor learns.
    """
    level_update = None
    for learner, parts in _learners(buffers).items():
        mine = torch.from_numpy(learner.observe(torch.cat(parts) * scale))
        statistics = report.wait(transport.all_gather(mine, [len(mine)] * transport.size, f"{name}.statistics"))
        fitted = learner.fit([each.numpy() for each in statistics]) if transport.rank == 0 else None
        level_update = _from_rank_0(fitted, transport, name, report)
        learner.apply(level_update)
    return level_update


def _learners(buffers: Iterable[FlatBuffer]) -> dict[Learner, list[Tensor]]:
    """Returns the learning compressors, each with the vectors that it compresses."""
    found: dict[Learner, list[Tensor]] = {}
    for buffer in buffers:
        for compressor, start, stop in buffer.codec.segments:
            if compressor.learner is not None:
                found.setdefault(compressor.learner, []).append(buffer.vector[start:stop])
    return found


def _from_rank_0(level_update: LevelUpdate | None, transport: Transport, name: str, report: Report) -> LevelUpdate:
    """Broadcasts rank 0's level update: floating-point results may differ between hosts, levels must not."""
    sent = torch.tensor([] if level_update is None else list(level_update.to_bytes()), dtype=torch.uint8)
    everyone = report.wait(transport.all_gather(sent, None, name))
    return LevelUpdate.from_bytes(bytes(everyone[0].tolist()))
