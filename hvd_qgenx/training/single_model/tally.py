"""Sums over the training samples of a rank, and their means over those of all ranks."""

import math
from collections.abc import Sequence

from hvd_qgenx.transport import Transport


class Tally:
    """Named sums over this rank's samples since the last log, and what all ranks' samples had in the mean then."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self.sums: list[float] = [0.0] * (len(names) + 1)
        """The sums by name, and the number of samples."""
        self.last: list[float] = [0.0] * (len(names) + 1)
        """The same over all ranks at the last log."""

    def note(self, samples: int, **sums: float) -> None:
        """Adds the sums over a number of samples."""
        new = (*(sums[name] for name in self._names), samples)
        self.sums = [old + more for old, more in zip(self.sums, new, strict=True)]

    def gather(self, transport: Transport) -> None:
        """Adds up all ranks' sums, unless none has samples, and begins anew. Collective."""
        everyone = transport.all_gather_object(tuple(self.sums), "losses")
        totals = [math.fsum(each) for each in zip(*everyone, strict=True)]
        if totals[-1]:
            self.last, self.sums = totals, [0.0] * len(totals)

    def mean(self, name: str) -> float:
        """Returns the mean over the samples of the last log; NaN if there were none."""
        return self.last[self._names.index(name)] / self.last[-1] if self.last[-1] else math.nan

    def load(self, last: Sequence[float], sums: Sequence[float] | None) -> None:
        """Goes on from former sums; a rank that joins has none of its own."""
        self.last = list(last)
        self.sums = list(sums) if sums else [0.0] * len(self.last)
