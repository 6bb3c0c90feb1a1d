"""Times several actions in turn, so that whatever slows the machine down slows all of them."""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

LEAST_SECONDS = 2e-4
"""Shortest time of one measurement; a quicker action is repeated within it."""
ENOUGH_SECONDS = 10.0
"""Total time after which no further round starts, once there are ``LEAST_ROUNDS``."""
LEAST_ROUNDS = 3


@dataclass(frozen=True)
class Times:
    """The seconds of one action in every round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    def ratio(self, other: "Times") -> float:
        """Returns the speed-up over ``other``, the median over rounds."""
        return statistics.median(theirs / ours for ours, theirs in zip(self.rounds, other.rounds, strict=True))

    def as_dict(self) -> dict[str, float]:
        """Returns median, minimum and maximum, in seconds."""
        return {"median": self.median, "min": min(self.rounds), "max": max(self.rounds)}


def interleaved(
    actions: Mapping[str, Callable[[], Any]], rounds: int, finish: Callable[[], Any] = lambda: None
) -> dict[str, Times]:
    """Times every action once in each round, after two warm-up calls.

    Args:
        actions: the actions by name.
        rounds: the largest number of rounds; there are fewer if the actions take long.
        finish: waits until all work started by an action is done; for asynchronous devices.
    """
    calls = {name: _calls(action, finish) for name, action in actions.items()}
    taken: dict[str, list[float]] = {name: [] for name in actions}
    start = time.perf_counter()
    for done in range(rounds):
        if done >= LEAST_ROUNDS and time.perf_counter() - start > ENOUGH_SECONDS:
            break
        for name, action in actions.items():
            taken[name].append(_seconds(action, finish, calls[name]))
    return {name: Times(tuple(seconds)) for name, seconds in taken.items()}


def _calls(action: Callable[[], Any], finish: Callable[[], Any]) -> int:
    _seconds(action, finish, 1)  # compiles, touches memory
    return max(1, math.ceil(LEAST_SECONDS / _seconds(action, finish, 1)))


def _seconds(action: Callable[[], Any], finish: Callable[[], Any], calls: int) -> float:
    finish()
    start = time.perf_counter()
    for _ in range(calls):
        action()
    finish()
    return (time.perf_counter() - start) / calls
