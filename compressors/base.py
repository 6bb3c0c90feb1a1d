"""The one interface every compressor has."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from typing_extensions import Self

from compressors import parameters
from compressors.random import Stream

if TYPE_CHECKING:
    from compressors.learning import Learner

Shape = int | Sequence[int]
"""A number of elements, or the sizes of every dimension."""


class Context(NamedTuple):
    """The caller's memory of the tensor that was compressed; it never crosses the wire."""

    shape: torch.Size
    dtype: torch.dtype


@dataclass(eq=False)
class Compressor(ABC):
    """Maps a floating-point tensor of any shape to a payload and back.

    The payload, together with what every rank knows already (the number of elements, the
    compressor's configuration and its learned state), is enough to decode. It is a contiguous
    1-D tensor: ``uint8``, or a floating type when ``summable``. Both directions have the shape of
    Horovod's ``Compression``, so a summable instance can be given to the stock
    ``hvd.DistributedOptimizer`` too.

    Randomness is a pure function of (seed, rank, step, position), where step counts the calls of
    ``compress``. The global generators of torch, numpy and Python are never touched.

    A tensor holding Inf or NaN decodes to NaN in every bucket concerned, so that the exchange
    finds it; it is never hidden.
    """

    name: ClassVar[str] = ""
    summable: ClassVar[bool] = False
    """May payloads of several ranks be added by an all-reduce?"""
    unbiased: ClassVar[bool] = True
    """Is the expectation of the decoded tensor the tensor itself?"""
    residual_bias: ClassVar[float] = 0.0
    """Where an unbiased compressor is so only nearly: the greatest share of its squared error that is bias."""
    exact_size: ClassVar[bool] = True
    """Is ``payload_bytes`` exact? If not it is an upper bound, and payloads of ranks differ in length."""

    def __post_init__(self) -> None:
        parameters.check(self, self.name)
        self.stream = Stream()

    @property
    def learner(self) -> "Learner | None":
        """The part that learns from gradients, if there is one."""
        return None

    @abstractmethod
    def compress(self, tensor: Tensor) -> tuple[Tensor, Context]:
        """Encodes ``tensor`` (any shape, any floating dtype). Returns (payload, context)."""

    @abstractmethod
    def decompress(self, payload: Tensor, context: Context) -> Tensor:
        """Decodes to a new tensor with the shape and dtype of the original."""

    def compress_part(self, part: Tensor, start: int) -> tuple[Tensor, Context]:
        """``compress`` for the coordinates from ``start`` on of the vector that ``lay_out`` described."""
        return self.compress(part)

    @abstractmethod
    def payload_bytes(self, shape: Shape, dtype: torch.dtype = torch.float32) -> int:
        """The size in bytes of the payload of a tensor of this shape and dtype; see ``exact_size``."""

    @abstractmethod
    def variance_bound(self, tensor: Tensor) -> float:
        """Upper bound on E||Q(x) - x||^2 (squared L2 norm) for this tensor, from theory."""

    @property
    def alignment(self) -> int:
        """Cutting a vector at multiples of this many elements leaves the buckets whole."""
        return 1

    def route(self, shape: Sequence[int]) -> "Compressor":
        """The compressor that handles a tensor of this shape; combinators choose here.

        Tensors with the same route may be laid end to end and compressed as one vector.
        """
        return self

    def lay_out(self, sizes: Sequence[int]) -> None:  # noqa: B027 (few compressors care)
        """Says that the vectors to come are tensors of these numbers of elements, laid end to end."""

    def for_rank(self, rank: int, seed: int | None = None) -> Self:
        """A copy with the random stream of ``rank``, at step 0 (of ``seed``, or of the same seed)."""
        other = copy.deepcopy(self)
        other.stream = Stream(self.stream.seed if seed is None else seed, rank)
        return other

    def state_dict(self) -> dict[str, Any]:
        """All that ``compress`` depends on beside the configuration."""
        return {"stream": self.stream.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores ``state_dict()``; the next payload is the one that would have come next."""
        self.stream.load_state_dict(state["stream"])


def numel(shape: Shape) -> int:
    """Number of elements of a shape."""
    return shape if isinstance(shape, int) else math.prod(shape)


def flatten(tensor: Tensor, dtype: torch.dtype) -> tuple[Tensor, Context]:
    """The tensor as a contiguous 1-D ``dtype`` vector (a view where possible), and its context.

    Raises:
        TypeError: the tensor is not floating-point.
    """
    if not tensor.is_floating_point():
        raise TypeError(f"only floating-point tensors are compressed, not {tensor.dtype}")
    vector = tensor.detach().reshape(-1).to(dtype).contiguous()
    return vector, Context(tensor.shape, tensor.dtype)


def byte_tensor(data: bytes) -> Tensor:
    """The bytes, at least one, as a 1-D uint8 tensor."""
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)
