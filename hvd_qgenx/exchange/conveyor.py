"""Several exchanges under way at once."""

from collections import deque
from collections.abc import Generator
from contextlib import suppress
from typing import Any

from hvd_qgenx.exchange.report import Report
from hvd_qgenx.transport import Work

Journey = Generator[Work[Any], Any, None]
"""What a range goes through: yields every collective it starts, and is sent that collective's result."""


class Conveyor:
    """Keeps a few journeys going, so that while one range is on the wire another is encoded or decoded.

    First in, first out: the order of collectives depends on the order of ``put`` alone, and is the
    same on all ranks whose calls are.

    Args:
        depth: collectives in flight at most.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self._under_way: deque[tuple[Journey, Work[Any], Report]] = deque()

    def put(self, journey: Journey, report: Report) -> None:
        """Sets a journey going, once there is room. ``report`` gets what its collectives cost."""
        while len(self._under_way) >= self.depth:
            self._move()
        self._under_way.append((journey, next(journey), report))

    def drain(self) -> None:
        """Brings all journeys to their ends."""
        while self._under_way:
            self._move()

    def _move(self) -> None:
        journey, work, report = self._under_way.popleft()
        result = report.wait(work)
        with suppress(StopIteration):
            self._under_way.append((journey, journey.send(result), report))
