"""Predicts the seconds of a model's exchanges, and chooses the best candidate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from hvd_qgenx.doctor.candidates import Candidate
from hvd_qgenx.doctor.links import Links
from hvd_qgenx.doctor.rehearsal import Rehearsal
from hvd_qgenx.exchange.cost import CodecSpeed, Machine, Ranks
from hvd_qgenx.exchange.registry import concrete
from hvd_qgenx.exchange.slices import MOST_SLICES, SLICE_BYTES

NEAR = 1.05
"""Factor within which times count as equal, so that the more exact candidate is chosen."""

REHEARSED, EXTRAPOLATED, MODELLED = "rehearsed", "extrapolated", "modelled"


@dataclass(frozen=True)
class Forecast:
    """The prediction for one candidate and a model of a given size."""

    candidate: Candidate
    seconds: float
    """Seconds of one exchange on the slowest rank."""
    source: str
    """Origin of the seconds: ``REHEARSED`` exchanges of this size, of smaller ones, or the cost model."""
    error: float
    """See ``Candidate.error``."""


def forecast(
    candidate: Candidate, numel: int, rehearsal: Rehearsal | None, model: Callable[[Candidate, int], float]
) -> Forecast:
    """Returns the forecast for one candidate; ``model`` predicts its seconds for a number of coordinates."""
    taken, source = seconds(rehearsal, numel, partial(model, candidate))
    return Forecast(candidate, taken, source, candidate.error())


def seconds(rehearsal: Rehearsal | None, numel: int, model: Callable[[int], float]) -> tuple[float, str]:
    """Returns the seconds of an exchange of ``numel`` coordinates, and their source.

    If exchanges of this size were timed, their median. If only smaller ones were, the line through the medians of the
    two largest sizes; its slope is at least the model's, which only leaves out slow-downs, and at most proportional.
    If only one smaller size was timed, its median times the model's ratio. Otherwise the model's prediction.
    """
    if rehearsal is None:
        return model(numel), MODELLED
    sizes = sorted(rehearsal.seconds)
    largest = sizes[-1]
    taken = rehearsal.median(largest)
    if largest == numel:
        return taken, REHEARSED
    if len(sizes) == 1:
        return taken * model(numel) / model(largest), EXTRAPOLATED
    rise = (taken - rehearsal.median(sizes[-2])) / (largest - sizes[-2])
    least = (model(numel) - model(largest)) / (numel - largest)
    return taken + min(max(rise, least), taken / largest) * (numel - largest), EXTRAPOLATED


def modelled(links: Links, codec: CodecSpeed, exchange: str, ranks: Ranks, numel: int) -> float:
    """Returns the seconds that the cost model predicts from the measured links and codecs."""
    chosen = concrete()[exchange]
    machine = Machine(
        bandwidth=links.least_bandwidth(),
        latency=links.typical_latency(),
        negotiation=links.start if chosen.negotiates else 0.0,
        local_bandwidth=links.least_bandwidth() * (ranks.per_host // 2 * 2 if links.one_host else 1),
    )
    slice_bytes = SLICE_BYTES * chosen.slice_factor
    slices = min(max(1, round(codec.payload_bytes(numel) / slice_bytes)), MOST_SLICES)
    return chosen.cost(machine, ranks, numel, codec, slices)


def best(forecasts: Sequence[Forecast], most_error: float) -> Forecast:
    """Returns the most exact of the candidates within ``NEAR`` of the quickest, among those with an allowed error."""
    allowed = [one for one in forecasts if one.error <= most_error]
    limit = NEAR * min(one.seconds for one in allowed)
    return min((one for one in allowed if one.seconds <= limit), key=lambda one: (one.error, one.seconds))
