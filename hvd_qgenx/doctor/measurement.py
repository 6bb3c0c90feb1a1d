"""Everything that the doctor measures on a group of ranks."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from compressors import Compressor
from hvd_qgenx.bench.workloads import Workload
from hvd_qgenx.doctor import codecs, forecast, links
from hvd_qgenx.doctor.candidates import Candidate, candidates
from hvd_qgenx.doctor.forecast import Forecast
from hvd_qgenx.doctor.links import Links
from hvd_qgenx.doctor.rehearsal import Budget, rehearse
from hvd_qgenx.exchange.cost import FP32, CodecSpeed, Ranks
from hvd_qgenx.transport import Transport

LINKS_SHARE = 0.2
"""Share of the time and of the bytes spent on links."""


@dataclass(frozen=True)
class Measurement:
    """The result of all measurements, the same on all ranks."""

    workload: Workload
    ranks: Ranks
    links: Links
    codecs: dict[str, list[CodecSpeed]]
    """The speeds of every rank by compressor, measured on all ranks at once."""
    forecasts: list[Forecast]
    """One for every candidate, uncompressed first."""
    best: Forecast
    most_error: float
    seconds: float
    """Total seconds of the measurement."""
    bytes_sent: int
    """Bytes sent by one rank for the whole measurement."""

    @property
    def uncompressed(self) -> Forecast:
        return self.forecasts[0]


def measure(
    transport: Transport,
    workload: Workload,
    made: Mapping[str, Compressor],
    *,
    seconds: float,
    most_bytes: float,
    most_error: float,
) -> Measurement:
    """Measures links and codecs, rehearses exchanges, and forecasts every candidate. Collective.

    Args:
        transport: two ranks or more, the same number on each host.
        workload: the gradients to exchange.
        made: compressors by their texts, beside ``none``.
        seconds: approximate time to spend.
        most_bytes: approximate limit of bytes to send from one rank.
        most_error: largest error of a candidate that may be chosen.
    """
    codecs.load(made)  # not counted: kernels compile when they are first called on a machine
    began = time.perf_counter()
    speeds = codecs.measure(made, transport)
    found = links.measure(transport, LINKS_SHARE * seconds, LINKS_SHARE * most_bytes)
    ranks = Ranks(len(transport.hosts()), transport.local_size)
    budget = Budget(transport, began + seconds, most_bytes - found.bytes_sent)
    todo = candidates(made, hierarchical=transport.local() is not None)

    def model(candidate: Candidate, numel: int) -> float:
        codec = codecs.slowest(speeds[candidate.text]) if candidate.compresses else FP32
        return forecast.modelled(found, codec, candidate.exchange, ranks, numel)

    rehearsals = rehearse(todo, workload, transport, budget, model)
    forecasts = [forecast.forecast(one, workload.numel, rehearsals.get(one), model) for one in todo]
    return Measurement(
        workload,
        ranks,
        found,
        speeds,
        forecasts,
        forecast.best(forecasts, most_error),
        most_error,
        time.perf_counter() - began,
        round(most_bytes - budget.bytes),
    )
