"""The collectives that everything above is written in."""

import platform
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Generic, TypeVar

from torch import Tensor

T = TypeVar("T")

LENGTH_BYTES = 8
"""Of the length in front of a tensor whose length only its rank knows."""


@dataclass(frozen=True)
class Work(Generic[T]):
    """A collective under way."""

    wait: Callable[[], T]
    """Blocks until it is done and returns the result; to be called once."""
    bytes_sent: int
    """Bytes this rank sends over the network for it; its own share, which stays, is left out."""


class Transport(ABC):
    """One rank's view of a group of ranks.

    Every collective takes a name that is the same on all ranks and not in use by another
    collective under way: Horovod matches unnamed ones by order and then mixes tensors silently.
    Names may be used again later. Tensors are contiguous.
    """

    rank: int
    size: int
    local_rank: int
    """Number of this rank among the ranks of its host."""
    local_size: int
    """Number of ranks on this host."""

    def __init__(self) -> None:
        self._numbers: Counter[str] = Counter()

    @abstractmethod
    def all_reduce_mean(self, tensor: Tensor, name: str) -> Work[Tensor]:
        """The mean over ranks of a float tensor, in its own dtype.

        fp16 is divided before it is added, so that the sum of finite values stays finite.
        Sends 2 (K - 1) / K of the buffer: a ring.
        """

    @abstractmethod
    def all_gather(self, tensor: Tensor, sizes: Sequence[int] | None, name: str) -> Work[list[Tensor]]:
        """The 1-D tensors of all ranks, in rank order; ``sizes[k]`` is the length of rank k's.

        Without ``sizes`` the tensors are uint8 and each carries its own length (8 bytes) in front.
        """

    @abstractmethod
    def all_to_all(self, tensors: Sequence[Tensor], name: str) -> Work[list[Tensor]]:
        """Sends the k-th 1-D tensor to rank k; returns what this rank received, in rank order."""

    @abstractmethod
    def all_gather_object(self, value: Any, name: str) -> list[Any]:
        """The picklable values of all ranks, in rank order."""

    def broadcast_object(self, value: Any, name: str) -> Any:
        """Rank 0's picklable value."""
        return self.all_gather_object(value if self.rank == 0 else None, name)[0]

    def unique(self, name: str) -> str:
        """``name`` with a number of its own; equal on ranks that make the same calls in the same order."""
        self._numbers[name] += 1
        return f"{name}.{self._numbers[name]}"

    def optimizer_bases(self) -> tuple[type, ...]:
        """Classes that a distributed optimizer made for this transport also derives from."""
        return ()

    def versions(self) -> dict[str, str]:
        """Versions of what a run's outcome may depend on."""
        return {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("hvd-qgenx", "torch", "numpy")},
        }

    def _gather_bytes(self, tensor: Tensor, sizes: Sequence[int] | None) -> int:
        return (self.size - 1) * (tensor.nbytes + (LENGTH_BYTES if sizes is None else 0))

    def _scatter_bytes(self, tensors: Sequence[Tensor]) -> int:
        return sum(tensor.nbytes for rank, tensor in enumerate(tensors) if rank != self.rank)

    def _ring_bytes(self, tensor: Tensor) -> int:
        return 2 * (self.size - 1) * tensor.nbytes // self.size
