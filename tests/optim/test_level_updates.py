"""Levels fitted by rank 0 to the statistics of all ranks."""

import torch

import compressors
from hvd_qgenx.exchange import Report
from hvd_qgenx.optim.buffers import FlatGradients, flatten
from hvd_qgenx.optim.level_updates import update_levels
from hvd_qgenx.transport import inprocess


def buffers(rank, compression):
    (buffer,) = made = flatten({torch.zeros(64, 128, requires_grad=True): "x"}, compression, FlatGradients)
    buffer.vector.copy_(torch.randn(64 * 128, generator=torch.Generator().manual_seed(rank)) ** 3)
    return made


def updated(transport, factor=1.0, scale=1.0):
    compression, report = compressors.make("alq").for_rank(transport.rank), Report()
    found = buffers(transport.rank, compression)
    found[0].vector *= factor
    before = compression.learner.levels
    (update,) = update_levels(compression, found, scale, transport, "update", report).values()
    assert compression.learner.levels == update.levels != before
    return update, report.bytes_sent


def test_all_ranks_apply_the_same_levels():
    everyone = inprocess.run(3, updated)
    assert {update for update, _ in everyone} == {everyone[0][0]}
    assert everyone[0][0].version == 1
    assert all(sent > 0 for _, sent in everyone)


def test_the_levels_are_those_of_all_ranks():
    """A rank alone fits others."""
    together, alone = inprocess.run(3, updated)[0][0], inprocess.run(1, updated)[0][0]
    assert together.levels != alone.levels


def test_vectors_are_scaled_first():
    assert inprocess.run(2, lambda t: updated(t, factor=4.0, scale=0.25)) == inprocess.run(2, updated)


def test_without_a_learner_nothing_happens():
    compression, report = compressors.make("minmax"), Report()
    assert update_levels(compression, buffers(0, compression), 1, inprocess.InProcess(), "update", report) == {}
    assert report == Report()
