"""The one interface every compressor has."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

from compressors import parameters
from compressors.batch import Batch, Piece
from compressors.deferred import Deferred
from compressors.kernels.strata import Strata
from compressors.random import Stream, derive

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from compressors.learning import Learner
else:
    torch = Deferred("torch")

Reduction = Literal["gather", "average", "sum", "rounds"]
"""How payloads of several ranks come together; ``Compressor.reduction`` explains each."""

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
    1-D tensor: ``uint8``, or a floating type where the reduction is ``average``. Both directions have the shape of
    Horovod's ``Compression``, so such an instance can be given to the stock
    ``hvd.DistributedOptimizer`` too.

    Randomness is a pure function of (seed, rank, step, position), where step counts the calls of
    ``compress``. The global generators of torch, numpy and Python are never touched.

    A tensor holding Inf or NaN decodes to NaN in every bucket concerned, so that the exchange
    finds it; it is never hidden.
    """

    name: ClassVar[str] = ""
    reduction: ClassVar[Reduction] = "gather"
    """How an exchange brings the payloads of several ranks together: ``gather`` decodes each, ``average`` has an
    all-reduce average them as floats, ``sum`` adds the integers that they hold (``SummedCompressor``), ``rounds``
    averages what the compressor asks for, round by round (``RoundsCompressor``)."""
    unbiased: ClassVar[bool] = True
    """Is the expectation of the decoded tensor the tensor itself?"""
    stochastic: ClassVar[bool] = True
    """Do payloads depend on random numbers?"""
    shares_bits: ClassVar[bool] = False
    """Do buckets compete for the payload's bits, so that the error of one depends on the others?"""
    residual_bias: ClassVar[float] = 0.0
    """Largest share of the squared error that is bias, for a compressor that is only nearly unbiased."""
    shared_randomness: ClassVar[bool] = False
    """Do ranks draw the same random numbers? Then their errors do not average out."""
    masks: ClassVar[bool] = False
    """Does the momentum of coordinates that are sent begin anew, where it is applied before the exchange?"""
    exact_size: ClassVar[bool] = True
    """Is ``payload_bytes`` exact? If not it is an upper bound, and payloads of ranks differ in length."""

    def __post_init__(self) -> None:
        parameters.check(self, self.name)
        self.stream = Stream()
        self.ranks = 1
        """Number of ranks whose payloads are brought together."""

    @property
    def correlated(self) -> bool:
        """Are the random numbers of ranks correlated, so that their rounding errors cancel in the mean?"""
        return False

    def strata(self, shared: int | None) -> Strata | None:
        """Returns how this rank's random numbers are correlated with those of the other ranks, if they are."""
        if shared is None or not self.correlated or self.ranks == 1:
            return None
        return Strata(shared, self.stream.rank, self.ranks)

    @property
    def learner(self) -> Learner | None:
        """The part that is fitted to gradients, if there is one."""
        return None

    def compress(self, tensor: Tensor) -> tuple[Tensor, Context]:
        """Encodes ``tensor`` (any shape, floating-point) with the next key. Returns (payload, context).

        Raises:
            TypeError: the tensor is not floating-point, or of less than 16 bits.

        Examples:
            >>> import compressors
            >>> q = compressors.make("uniform", bits=4, norm="linf", bucket_size=4)
            >>> payload, context = q.compress(torch.tensor([[0.0, 7.0], [-7.0, 3.0]]))
            >>> payload.numel(), payload.dtype
            (8, torch.uint8)
            >>> q.decompress(payload, context)
            tensor([[ 0.,  7.],
                    [-7.,  3.]])
        """
        require_float(tensor.dtype)
        vector = tensor.detach().reshape(-1).contiguous()
        payload = vector.new_empty(self.payload_bytes(tensor.shape, tensor.dtype), dtype=torch.uint8)
        key = self.stream.next_key()
        used = self.encode(vector, payload, key, shared=derive(self.stream.shared_key(), 0))
        return payload[:used].view(self.payload_dtype(tensor.dtype)), Context(tensor.shape, tensor.dtype)

    def decompress(self, payload: Tensor, context: Context) -> Tensor:
        """Decodes to a new tensor with the shape and dtype of the original.

        Raises:
            TypeError: the payload, or the original, is of a dtype that there is not.
            ValueError: the payload is not one of such a tensor.
        """
        require_float(context.dtype)
        if payload.dtype == self.payload_dtype(context.dtype):
            payload = _flat(payload.contiguous(), "payload").view(torch.uint8)
        payload, size = _flat_bytes(payload.contiguous()), numel(context.shape)
        self._require_length(payload, size, context.dtype)  # before there is a vector that long
        vector = payload.new_empty(size, dtype=context.dtype)
        self.read(payload, vector)
        return vector.view(context.shape)

    def encode(self, vector: Tensor, payload: Tensor, key: int, start: int = 0, shared: int | None = None) -> int:
        """Writes the payload of ``vector``; returns its number of bytes.

        Args:
            vector: 1-D, contiguous, floating-point.
            payload: 1-D uint8, at least ``payload_bytes(len(vector), vector.dtype)`` long, on the same device.
            key: 64 bits; rounding is a function of the key and the vector.
            start: the place of the first coordinate in the vector that ``lay_out`` described.
            shared: 64 bits that are the same on all ranks whose payloads are brought together, so that their errors
                can cancel (``correlated``); None: they are on their own.

        Raises:
            TypeError: vector or payload is of another dtype.
            ValueError: they are not so, or the payload is too short. Nothing is written then.

        Examples:
            >>> import compressors
            >>> q, vector = compressors.make("fp16"), torch.tensor([0.5, -2.0])
            >>> payload, decoded = torch.empty(4, dtype=torch.uint8), torch.ones(2)
            >>> q.encode(vector, payload, key=1)
            4
            >>> q.decode(payload, decoded, add=True)
            >>> decoded
            tensor([ 1.5000, -1.0000])
        """
        vector, payload = checked(vector, payload)
        size, given = vector.numel(), payload.numel()
        room = self.payload_bytes(size, vector.dtype)
        if given < room:
            raise ValueError(f"{self.name}: {size} coordinates need room for {room} bytes, not {given}")
        return self.write(vector, payload if given == room else payload[:room], key, start, shared)

    def decode(self, payload: Tensor, vector: Tensor, add: bool = False, start: int = 0) -> None:
        """Writes the decoded coordinates to ``vector``, or adds them to it.

        The arguments are those of ``encode``, but for the length of the payload, which is what ``encode`` returned.

        Raises:
            TypeError: vector or payload is of another dtype.
            ValueError: they are not so, or ``payload`` is not one of such a vector.
        """
        vector, payload = checked(vector, payload)
        self._require_length(payload, vector.numel(), vector.dtype)
        self.read(payload, vector, add, start)

    def is_finite(self, payload: Tensor, numel: int, dtype: torch.dtype | None = None) -> bool:
        """Tells whether the payload of ``numel`` coordinates of this dtype decodes to finite numbers only.

        May also be false if some are near the end of float32's range, so that means might overflow.

        Raises:
            TypeError: the payload is not uint8.
            ValueError: it is not one of such a vector.
        """
        payload = _flat_bytes(payload)
        self._require_length(payload, numel, dtype)
        return self.inspect(payload, numel)

    @abstractmethod
    def write(self, vector: Tensor, payload: Tensor, key: int, start: int = 0, shared: int | None = None) -> int:
        """Does what ``encode`` does, which has checked the arguments and cut the payload to ``payload_bytes``."""

    @abstractmethod
    def read(self, payload: Tensor, vector: Tensor, add: bool = False, start: int = 0) -> None:
        """Does what ``decode`` does, which has checked the arguments.

        They are 1-D and contiguous, and the payload has ``payload_bytes`` if these are exact. Its content may be
        anything: it must lead to no access outside of both.
        """

    def inspect(self, payload: Tensor, numel: int) -> bool:
        """Does what ``is_finite`` does, which has checked the arguments as ``decode`` does."""
        vector = payload.new_empty(numel, dtype=torch.float32)
        self.read(payload, vector)
        return bool(torch.isfinite(vector).all())

    def batch(self, pieces: Sequence[Piece], dtype: torch.dtype, device: torch.device) -> Batch:
        """Returns what encodes and decodes these pieces of vectors, which holds until ``plan_key`` changes.

        Args:
            pieces: not empty.
            dtype: of the vectors.
            device: of vectors and payloads.
        """
        return Batch(self, pieces)

    def plan_key(self, numel: int, dtype: torch.dtype) -> Hashable:
        """Returns what plans for a vector depend on, beside its length and dtype: payload sizes, say, and levels.

        Exchanges compare it before every use of what they have planned, and plan again if it has changed.
        """
        return self.payload_bytes(numel, dtype)

    def _require_length(self, payload: Tensor, size: int, dtype: torch.dtype | None) -> None:
        """Raises ValueError if the payload is not as long as one of ``size`` coordinates."""
        if self.exact_size and payload.numel() != self.payload_bytes(size, dtype):
            raise ValueError(f"{self.name}: a payload of {payload.numel()} bytes cannot hold {size} coordinates")

    def payload_dtype(self, dtype: torch.dtype) -> torch.dtype:
        """Returns the dtype of payloads of tensors of this dtype; a floating type if ``reduction`` is ``average``."""
        return torch.uint8

    @abstractmethod
    def payload_bytes(self, shape: Shape, dtype: torch.dtype | None = None) -> int:
        """Returns the bytes of the payload of a tensor of this shape and dtype (None: float32); see ``exact_size``."""

    @abstractmethod
    def variance_bound(self, tensor: Tensor) -> float:
        """Returns an upper bound on E||Q(x) - x||^2 (squared L2 norm) for this tensor, from theory."""

    @property
    def deals(self) -> bool:
        """Should an exchange deal blocks of ``alignment`` coordinates out to ranks in turn, where it cuts a vector?

        Where blocks compete for bits that lowers the error; places of the coordinates must not matter then.
        """
        return self.shares_bits

    @property
    def alignment(self) -> int:
        """Cutting a vector at multiples of this many elements leaves the buckets whole."""
        return 1

    def route(self, shape: Sequence[int], name: str | None = None) -> Compressor:
        """Returns the compressor that handles a tensor of this shape and name; combinators choose here.

        Tensors with the same route may be laid end to end and compressed as one vector.

        Raises:
            ValueError: it is chosen by names, and there is none, or an unknown one.
        """
        return self

    def lay_out(self, shapes: Sequence[Shape]) -> None:  # noqa: B027 (few compressors care)
        """Announces that further vectors are tensors of these shapes, laid end to end."""

    def for_rank(self, rank: int, seed: int | None = None, ranks: int = 1) -> Self:
        """Returns a copy with the random stream of this rank of ``ranks``, at step 0 (of ``seed``, or of the same)."""
        other = copy.deepcopy(self)
        other.ranks = ranks
        other.stream = Stream(self.stream.seed if seed is None else seed, rank)
        return other

    def state_dict(self) -> dict[str, Any]:
        """Returns the state that ``compress`` depends on beside the configuration."""
        return {"stream": self.stream.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores ``state_dict()``; the next payload is the one that would have come next."""
        self.stream.load_state_dict(state["stream"])


def numel(shape: Shape) -> int:
    """Number of elements of a shape."""
    return shape if isinstance(shape, int) else math.prod(shape)


def require_float(dtype: torch.dtype) -> None:
    """Requires a dtype whose numbers are compressed: float16, bfloat16, float32 or float64.

    Raises:
        TypeError: it is another.
    """
    if dtype.itemsize < 2 or not dtype.is_floating_point:
        raise TypeError(f"only floating-point tensors of 16, 32 or 64 bits are compressed, not {dtype}")


def checked(vector: Tensor, payload: Tensor) -> tuple[Tensor, Tensor]:
    """Returns a vector and a payload as kernels take them, which index memory without looking.

    Raises:
        TypeError: one is of another dtype.
        ValueError: one is not 1-D and contiguous, or they are on different devices.
    """
    require_float(vector.dtype)
    if vector.device != payload.device:
        raise ValueError(f"vector and payload must be on one device, not on {vector.device} and {payload.device}")
    return _flat(vector, "vector"), _flat_bytes(payload)


def _flat_bytes(payload: Tensor) -> Tensor:
    if payload.dtype != torch.uint8:
        raise TypeError(f"a payload is uint8, not {payload.dtype}")
    return _flat(payload, "payload")


def _flat(tensor: Tensor, what: str) -> Tensor:
    """Returns the same memory with a stride of 1, which a tensor of one element need not have."""
    strides = tensor.stride()
    if strides == (1,):
        return tensor
    if len(strides) == 1 and len(tensor) < 2:
        return tensor.as_strided((len(tensor),), (1,))
    raise ValueError(f"a {what} must be 1-D and contiguous, not {tuple(tensor.shape)} with strides {strides}")


def byte_tensor(data: bytes) -> Tensor:
    """The bytes, at least one, as a 1-D uint8 tensor."""
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)
