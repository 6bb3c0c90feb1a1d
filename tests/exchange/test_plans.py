"""Plans of exchanges: how little is left to do for a slice, and when they plan again."""

import sys
from collections import Counter

import pytest
import torch

import compressors
from hvd_qgenx import exchange
from hvd_qgenx.exchange import Codec
from hvd_qgenx.transport import inprocess

NUMEL = 1 << 16
ROOMS = ("compressors", "hvd_qgenx.exchange")


def calls_for_a_slice(name: str, compressor: str, slices: int) -> float:
    """Python functions that an exchange of three ranks calls for each of its slices, those of the transport aside."""

    def work(transport):
        codec = Codec([(compressors.parse(compressor).for_rank(transport.rank, ranks=3), NUMEL)], torch.float32)
        counts = []
        for number in (slices, 2 * slices):
            how = exchange.make(name, transport, -(-codec.payload_bytes(0, NUMEL) // number))
            assert len(how.slices(codec)) == number + 1
            for _ in range(2):  # the first one plans
                calls: Counter[str] = Counter()
                transfer = how.begin(torch.randn(NUMEL, generator=transport.generator), codec, "x")
                sys.setprofile(
                    lambda frame, event, _, calls=calls: calls.update(
                        [frame.f_globals.get("__name__", "")] if event == "call" else ()
                    )
                )
                try:
                    how.compute_mean(transfer)
                finally:
                    sys.setprofile(None)
            counts.append(sum(count for module, count in calls.items() if module.startswith(ROOMS)))
        return (counts[1] - counts[0]) / slices

    return max(inprocess.run(3, work))


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("compressor", ["minmax:bits=4", "rotated:bits=4", "alq:bits=3"])
@pytest.mark.parametrize(("name", "most"), [("two-phase", 25), ("allgather", 14)])
def test_a_slice_takes_few_calls_of_python_functions(name, most, compressor):
    assert calls_for_a_slice(name, compressor, 4) <= most


@pytest.mark.parametrize("name", ["two-phase", "allgather"])
@pytest.mark.parametrize("bits", [2, 3, 5])
def test_exchanges_plan_again_when_a_level_update_changes_levels_or_widths(name, bits):
    """The bits are those of an exchange that has planned nothing before."""
    rows = torch.randn(3, NUMEL, generator=torch.Generator().manual_seed(bits))
    levels = torch.linspace(0, 1, 2 ** (bits - 1)).square().tolist()

    def work(transport, before):
        compressor = compressors.make("alq", bits=3).for_rank(transport.rank, ranks=3)
        codec = Codec([(compressor, NUMEL - 100), (compressors.make("none"), 100)], torch.float32)
        how, means = exchange.make(name, transport, 4096), []
        for step in range(3):
            if step < before:
                compressor.stream.next_key()
                continue
            if step == 2:
                compressor.bits = bits
                compressor.set_levels(levels)
            transfer = how.begin(rows[transport.rank].clone(), codec, "x")
            means.append((how.compute_mean(transfer), transfer.report.bytes_sent))
        return means[-1]

    planned, anew = (inprocess.run(3, lambda transport, before=before: work(transport, before)) for before in (0, 2))
    for (mean, sent), (other, expected) in zip(planned, anew, strict=True):
        assert torch.equal(mean, other)
        assert sent == expected


def test_buffers_of_messages_are_used_again():
    def work(transport):
        codec = Codec([(compressors.make("minmax"), NUMEL)], torch.float32)
        how = exchange.make("two-phase", transport, 2048)
        for _ in range(3):
            how.compute_mean(how.begin(torch.ones(NUMEL), codec, "x"))
        return len(codec.rooms)

    assert max(inprocess.run(2, work)) == 2
