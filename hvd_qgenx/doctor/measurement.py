"""All that the doctor measures of a group of ranks."""

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
"""Of the time and of the bytes, for links."""


@dataclass(frozen=True)
class Measurement:
    """The same on all ranks."""

    workload: Workload
    ranks: Ranks
    links: Links
    codecs: dict[str, list[CodecSpeed]]
    """Of every rank, by compressor; all worked at once."""
    forecasts: list[Forecast]
    """Uncompressed first."""
    best: Forecast
    most_error: float
    seconds: float
    """That all of it took."""
    bytes_sent: int
    """By one rank, for all of it."""

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
    """Links, codecs, rehearsals, and what they come to. Collective.

    Args:
        transport: two ranks or more, as many on each host.
        workload: what is to be exchanged.
        made: compressors by their texts, beside ``none``.
        seconds: to spend, nearly.
        most_bytes: to send at most from one rank, nearly.
        most_error: candidates with more are not chosen.
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
