"""Low-rank approximations of matrices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from compressors.base import Context, Shape, numel
from compressors.deferred import Deferred
from compressors.parameters import parameter
from compressors.random import generator
from compressors.registry import register
from compressors.rounds import Averaged, Rounds, RoundsCompressor
from compressors.sparsifier import read_floats, write_floats

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Deferred("torch")


class Group(NamedTuple):
    """Matrices of one shape, which are worked on together."""

    starts: tuple[int, ...]
    """Places of the matrices in the vector."""
    rows: int
    columns: int
    rank: int

    def take(self, vector: Tensor) -> Tensor:
        """Returns a copy: (matrices, rows, columns)."""
        size = self.rows * self.columns
        return torch.stack([vector[start : start + size].view(self.rows, self.columns) for start in self.starts])

    def put(self, matrices: Tensor, vector: Tensor) -> None:
        for start, matrix in zip(self.starts, matrices, strict=True):
            vector[start : start + matrix.numel()] = matrix.flatten()

    @property
    def left_shape(self) -> tuple[int, int, int]:
        return len(self.starts), self.rows, self.rank

    @property
    def right_shape(self) -> tuple[int, int, int]:
        return len(self.starts), self.columns, self.rank


class Plan(NamedTuple):
    """How the tensors of a vector are sent."""

    exact: tuple[tuple[int, int], ...]
    """Bounds of those that are sent as they are: of one dimension, or with factors that are no smaller."""
    groups: tuple[Group, ...]

    @property
    def exact_size(self) -> int:
        return sum(stop - start for start, stop in self.exact)

    @property
    def left_size(self) -> int:
        return sum(prod(group.left_shape) for group in self.groups)

    @property
    def right_size(self) -> int:
        return sum(prod(group.right_shape) for group in self.groups)


@register("powersgd")
@dataclass(eq=False)
class PowerSGD(RoundsCompressor):
    """Approximates every tensor, as a matrix of its first dimension times the others, by one of low rank.

    One step of power iteration from the last right factor Q: P = M Q is averaged and made orthonormal, then
    Q = M^T P is averaged; the mean is P Q^T. Tensors of one dimension, and matrices that would not become smaller, are
    sent as they are. Biased: for error feedback. Factors are computed by torch on every rank, from equal means: ranks
    on different kinds of processors may round them differently, which the comparison of replicas then finds.

    Source: Vogels, Karimireddy and Jaggi, "PowerSGD" (NeurIPS 2019).

    Payload of a rank alone, float32: exact tensors, all P, all Q.
    """

    unbiased = False

    matrix_rank: int = parameter(4, "Rank of the approximations.", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._shapes: tuple[tuple[int, ...], ...] = ()
        self._right: list[Tensor] = []
        """The last right factors of every group, the same on all ranks."""

    def lay_out(self, shapes: Sequence[Shape]) -> None:
        found = tuple((shape,) if isinstance(shape, int) else tuple(shape) for shape in shapes)
        if found != self._shapes:
            self._shapes, self._right = found, []

    def compress(self, tensor: Tensor) -> tuple[Tensor, Context]:
        self.lay_out([tensor.shape])
        return super().compress(tensor)

    def decompress(self, payload: Tensor, context: Context) -> Tensor:
        self.lay_out([context.shape])
        return super().decompress(payload, context)

    @property
    def alignment(self) -> int:
        """All coordinates: matrices cannot be cut."""
        return max(1, sum(map(numel, self._shapes)))

    def payload_bytes(self, shape: Shape, dtype: torch.dtype | None = None) -> int:
        plan = self._plan(shape)
        return 4 * (plan.exact_size + plan.left_size + plan.right_size)

    def rounds(self, vector: Tensor) -> Rounds:
        plan, floats = self._plan(len(vector)), vector.float()
        matrices = [group.take(floats) for group in plan.groups]
        before = self._right_factors(plan, vector.device)

        exact = [floats[start:stop] for start, stop in plan.exact]
        left = [matrix @ right for matrix, right in zip(matrices, before, strict=True)]
        mean = yield _end_to_end([*exact, *left], vector)
        exact_mean, left = mean[: plan.exact_size], self._left_factors(plan, mean)

        own = [matrix.mT @ factor for matrix, factor in zip(matrices, left, strict=True)]
        mean = yield _end_to_end(own, vector)
        right = list(_parts(mean, [group.right_shape for group in plan.groups]))
        self._keep(plan, before, right)

        results = torch.empty_like(floats), torch.empty_like(floats)
        for result, values, factors in zip(
            results, (exact_mean, _end_to_end(exact, vector)), (right, own), strict=True
        ):
            self._put(plan, values, left, factors, result)
        return Averaged(*(result.to(vector.dtype) for result in results))

    def encode(self, vector: Tensor, payload: Tensor, key: int, start: int = 0, shared: int | None = None) -> int:
        plan, rounds = self._plan(len(vector)), self.rounds(vector)
        first = next(rounds)
        second = rounds.send(first)
        left = self._left_factors(plan, first)
        with suppress(StopIteration):
            rounds.send(second)
        write_floats(torch.cat([first[: plan.exact_size], *(factor.flatten() for factor in left), second]), payload)
        return self.payload_bytes(len(vector))

    def decode(self, payload: Tensor, vector: Tensor, add: bool = False, start: int = 0) -> None:
        plan, size = self._plan(len(vector)), self.payload_bytes(len(vector))
        if len(payload) != size:
            raise ValueError(f"{self.name}: a payload of {len(payload)} bytes cannot hold {len(vector)} coordinates")
        floats = read_floats(payload, size // 4)
        shapes = [*(group.left_shape for group in plan.groups), *(group.right_shape for group in plan.groups)]
        factors = list(_parts(floats[plan.exact_size :], shapes))
        values = torch.empty_like(vector, dtype=torch.float32)
        count = len(plan.groups)
        self._put(plan, floats[: plan.exact_size], factors[:count], factors[count:], values)
        vector.copy_(vector.float() + values if add else values)

    def variance_bound(self, tensor: Tensor) -> float:
        """The squared norm, if there is a matrix to project."""
        plan = self._plan(len(tensor) if tensor.dim() == 1 else tuple(tensor.shape))
        return float(tensor.double().square().sum()) if plan.groups else 0.0

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "shapes": self._shapes, "right": [factor.clone() for factor in self._right]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._shapes, self._right = state["shapes"], [factor.clone() for factor in state["right"]]

    def _plan(self, shape: Shape) -> Plan:
        """Returns the plan of the vector that was laid out, or of another tensor."""
        laid_out = isinstance(shape, int) and shape == sum(map(numel, self._shapes))
        shapes = self._shapes if laid_out else ((shape,) if isinstance(shape, int) else tuple(shape),)
        exact, groups, start = [], dict[tuple[int, int, int], list[int]](), 0
        for sizes in shapes:
            stop = start + numel(sizes)
            rows, columns = (sizes[0], prod(sizes[1:])) if sizes else (1, 1)
            rank = min(self.matrix_rank, rows, columns)
            if len(sizes) < 2 or rank * (rows + columns) >= rows * columns:
                exact.append((start, stop))
            else:
                groups.setdefault((rows, columns, rank), []).append(start)
            start = stop
        return Plan(tuple(exact), tuple(Group(tuple(starts), *kind) for kind, starts in groups.items()))

    def _right_factors(self, plan: Plan, device: torch.device) -> list[Tensor]:
        """Returns the factors to begin with: the last ones, or random ones that are the same on all ranks."""
        if [factor.shape for factor in self._right] == [group.right_shape for group in plan.groups]:
            return [factor.to(device) for factor in self._right]
        return [
            torch.randn(group.right_shape, generator=generator(self.stream.seed, number)).to(device)
            for number, group in enumerate(plan.groups)
        ]

    def _keep(self, plan: Plan, before: list[Tensor], right: list[Tensor]) -> None:
        """Keeps factors to begin with. A column of zeros could never leave them again, so its last value stays."""
        if plan.groups and all(bool(factor.isfinite().all()) for factor in right):
            self._right = [
                torch.where(new.square().sum(dim=1, keepdim=True) > 0, new, old)
                for old, new in zip(before, right, strict=True)
            ]

    @staticmethod
    def _left_factors(plan: Plan, message: Tensor) -> list[Tensor]:
        found = _parts(message[plan.exact_size :], [group.left_shape for group in plan.groups])
        return [orthonormal(factor) for factor in found]

    @staticmethod
    def _put(plan: Plan, exact: Tensor, left: list[Tensor], right: list[Tensor], vector: Tensor) -> None:
        for (start, stop), values in zip(plan.exact, exact.split([hi - lo for lo, hi in plan.exact]), strict=True):
            vector[start:stop] = values
        for group, first, second in zip(plan.groups, left, right, strict=True):
            group.put(first @ second.mT, vector)


def orthonormal(matrices: Tensor) -> Tensor:
    """Returns an orthonormal basis of the columns of every matrix (matrices, rows, rank), by Gram and Schmidt.

    A column that depends on those before it, to rounding, becomes zero.
    """
    basis = torch.zeros_like(matrices)
    for index in range(matrices.shape[2]):
        column = matrices[:, :, index : index + 1]
        size = column.norm(dim=1, keepdim=True)
        before = basis[:, :, :index]
        for _ in range(2):  # once is not enough where columns are nearly dependent
            column = column - before @ (before.mT @ column)
        left = column.norm(dim=1, keepdim=True)
        basis[:, :, index : index + 1] = torch.where(left > 1e-5 * size, column / left, left * 0)
    return basis


def _end_to_end(parts: Sequence[Tensor], like: Tensor) -> Tensor:
    return torch.cat([part.flatten() for part in parts]) if parts else like.new_empty(0, dtype=torch.float32)


def _parts(vector: Tensor, shapes: Sequence[tuple[int, int, int]]) -> Iterator[Tensor]:
    start = 0
    for shape in shapes:
        stop = start + prod(shape)
        yield vector[start:stop].view(shape)
        start = stop
