"""The workers of a problem, dealt to the ranks of a transport."""

from collections.abc import Sequence

from torch import Tensor, cat

from hvd_qgenx.data.splits import share_of
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.inprocess import sum_in_order


class Workers:
    """Workers 0 to n - 1; rank r of R computes for the workers r, r + R, r + 2R, ...

    What they find does not depend on the number of ranks: sums are taken in the order of workers.
    """

    def __init__(self, count: int, transport: Transport) -> None:
        """
        Args:
            count: number of workers, n.
            transport: the ranks.

        Raises:
            ConfigurationError: there are more ranks than workers.
        """
        if count < transport.size:
            raise ConfigurationError(f"{transport.size} ranks for {count} workers; start at most {count} ranks")
        self.count, self.transport = count, transport
        self.own: Sequence[int] = range(transport.rank, count, transport.size)
        """The workers of this rank."""

    def sum(self, vectors: Tensor) -> Tensor:
        """Returns the sum over all workers, (d,), of the own workers' vectors, (len(own), d). Collective."""
        size = self.transport.size
        if size == 1:
            return sum_in_order(vectors.unbind())
        slices = [share_of(vectors.shape[1], rank, size) for rank in range(size)]
        width = len(slices[self.transport.rank])
        sent = cat([vectors[:, part.start : part.stop].flatten() for part in slices])
        owned = [len(range(rank, self.count, size)) for rank in range(size)]
        sizes, received = [len(self.own) * len(part) for part in slices], [number * width for number in owned]
        parts = self.transport.all_to_all(sent, sizes, "scatter", received).wait()
        rows = [part.view(number, width) for part, number in zip(parts, owned, strict=True)]
        total = sum_in_order([rows[worker % size][worker // size] for worker in range(self.count)])
        return cat(self.transport.all_gather(total, [len(part) for part in slices], "gather").wait())

    def gather(self, vectors: Tensor) -> Tensor:
        """Returns all workers' vectors, (count, d), of the own workers' vectors, (len(own), d). Collective."""
        size = self.transport.size
        if size == 1:
            return vectors
        width = vectors.shape[1]
        owned = [len(range(rank, self.count, size)) for rank in range(size)]
        parts = self.transport.all_gather(vectors.flatten(), [number * width for number in owned], "gather").wait()
        everyone = vectors.new_empty(self.count, width)
        for rank, (part, number) in enumerate(zip(parts, owned, strict=True)):
            everyone[rank::size] = part.view(number, width)
        return everyone

    def largest(self, vectors: Tensor) -> float:
        """Returns the largest magnitude in the vectors of all workers; a rank gives its own workers'. Collective."""
        own = vectors.abs().amax().reshape(1)
        return float(cat(self.transport.all_gather(own, [1] * self.transport.size, "largest").wait()).max())

    def ring_bytes(self, buffer: int) -> int:
        """Returns the bytes that a worker sends to sum buffers of so many bytes, were each worker a rank of a ring."""
        return 2 * (self.count - 1) * buffer // self.count
