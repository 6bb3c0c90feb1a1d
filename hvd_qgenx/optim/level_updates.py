"""Updates the levels of compressors whose levels are fitted to the gradients of all ranks."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from compressors import Compressor, LevelUpdate
from compressors.layerwise import layer_wise
from hvd_qgenx.exchange import Report
from hvd_qgenx.optim.buffers import FlatBuffer
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.agreement import with_keep_alive

ALL = ""
"""Name of the group of all tensors, where the compressor has one set of levels."""


def update_levels(
    compression: Compressor,
    buffers: Iterable[FlatBuffer],
    scale: float,
    transport: Transport,
    name: str,
    report: Report,
) -> dict[str, LevelUpdate]:
    """Gathers statistics of the buffers' vectors; rank 0 fits new levels, and all ranks apply them. Collective.

    Args:
        compression: the compressor that the buffers were made for.
        buffers: hold this rank's gradients.
        scale: factor on the vectors when they are exchanged.
        transport: carries statistics and levels.
        name: names the collectives; equal on all ranks.
        report: gets the bytes and seconds.

    Returns:
        The updates by group of tensors, equal on all ranks: of ``ALL``, or those of ``LayerWise``, without groups that
        have no coordinates in the buffers; none if the compressor does not learn.
    """
    if compression.learner is None:
        return {}
    layers, vectors = layer_wise(compression), _vectors(buffers)
    learners = layers.learners if layers else {ALL: compression.learner}
    learners = {group: learner for group, learner in learners.items() if learner in vectors}
    if not learners:
        return {}
    observed = [learner.observe(torch.cat(vectors[learner]) * scale) for learner in learners.values()]
    mine = torch.from_numpy(np.concatenate(observed))
    gathered = report.wait(transport.all_gather(mine, [len(mine)] * transport.size, f"{name}.statistics"))
    split = [each.numpy().reshape(len(learners), -1) for each in gathered]
    everyone = {group: [rank[place] for rank in split] for place, group in enumerate(learners)}

    def fit() -> list[LevelUpdate]:
        if transport.rank > 0:
            return []
        if layers is None:
            return [learner.fit(everyone[group]) for group, learner in learners.items()]
        sizes = {group: sum(map(len, vectors[learner])) for group, learner in learners.items()}
        return list(layers.fit(everyone, sizes).values())

    fitted = with_keep_alive(transport, f"{name}.keep-alive", fit) if layers else fit()
    updates = dict(zip(learners, _from_rank_0(fitted, transport, name, report), strict=True))
    for group, update in updates.items():
        learners[group].apply(update)
    return updates


def _vectors(buffers: Iterable[FlatBuffer]) -> dict[object, list[Tensor]]:
    """Returns the vectors that every learning compressor compresses."""
    found: dict[object, list[Tensor]] = {}
    for buffer in buffers:
        for compressor, start, stop in buffer.codec.segments:
            if compressor.learner is not None:
                found.setdefault(compressor.learner, []).append(buffer.vector[start:stop])
    return found


def _from_rank_0(fitted: list[LevelUpdate], transport: Transport, name: str, report: Report) -> list[LevelUpdate]:
    """Broadcasts rank 0's level updates: floating-point results may differ between hosts, levels must not."""
    sent = torch.tensor(list(b"".join(update.to_bytes() for update in fitted)), dtype=torch.uint8)
    everyone = report.wait(transport.all_gather(sent, None, name))
    return LevelUpdate.from_bytes(bytes(everyone[0].tolist()))
