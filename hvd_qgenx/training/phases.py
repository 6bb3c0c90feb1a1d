"""Timers of the phases of a run."""

import time
from collections import Counter
from typing import Any

import torch


class PhaseTimer:
    """Adds up seconds by phase: each call of ``credit`` gives all since the call before to one phase.

    On a GPU the times are those of events in its stream, read when they have passed anyway, so that
    nothing waits for being measured. Work that the host waits for shows as the time of its phase.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._seconds: Counter[str] = Counter()
        self._pending: list[tuple[str, Any, Any]] = []
        self.start()

    def start(self) -> None:
        """Begins to measure; the time before belongs to no phase."""
        self._last: Any = self._now()

    def credit(self, phase: str) -> None:
        """Credits the time since the last credit or start to ``phase``."""
        now = self._now()
        if self.device.type == "cuda":
            self._pending.append((phase, self._last, now))
        else:
            self._seconds[phase] += now - self._last
        self._last = now

    def seconds(self) -> dict[str, float]:
        """Seconds of every phase so far; on a GPU this waits for the last credit."""
        if self._pending:
            self._last.synchronize()
            for phase, before, after in self._pending:
                self._seconds[phase] += before.elapsed_time(after) / 1e3
            self._pending.clear()
        return dict(self._seconds)

    def load(self, seconds: dict[str, float]) -> None:
        """Goes on from these sums."""
        self._seconds = Counter(seconds)

    def _now(self) -> Any:
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event
