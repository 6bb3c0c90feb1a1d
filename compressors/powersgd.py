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
    """Matrices of one shape, whose factors are worked on together."""

    starts: tuple[int, ...]
    """Places of the matrices in the vector."""
    rows: int
    columns: int
    rank: int

    def matrices(self, vector: Tensor) -> list[Tensor]:
        """Returns the matrices in a vector: views."""
        size = self.rows * self.columns
        return [vector[start : start + size].view(self.rows, self.columns) for start in self.starts]

    def multiply(self, vector: Tensor, right: Tensor) -> Tensor:
        """Returns the matrices times their right factors: the left ones, not orthonormal."""
        return torch.stack([matrix @ factor for matrix, factor in zip(self.matrices(vector), right, strict=True)])

    def project(self, vector: Tensor, left: Tensor) -> Tensor:
        """Returns the right factors that belong to orthonormal left ones."""
        return torch.stack([matrix.mT @ factor for matrix, factor in zip(self.matrices(vector), left, strict=True)])

    def put(self, left: Tensor, right: Tensor, vector: Tensor) -> None:
        """Writes the products of factors to the matrices' places in a vector."""
        for matrix, first, second in zip(self.matrices(vector), left, right, strict=True):
            torch.mm(first, second.mT, out=matrix)

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
    stochastic = False

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

    def rounds(self, vector: Tensor, keep_own: bool = False) -> Rounds:
        plan, floats = self._plan(len(vector)), vector.float()
        before = self._right_factors(plan, vector.device)

        exact = [floats[start:stop] for start, stop in plan.exact]
        left = [group.multiply(floats, right) for group, right in zip(plan.groups, before, strict=True)]
        mean = yield _end_to_end([*exact, *left], vector)
        exact_mean, left = mean[: plan.exact_size], self._left_factors(plan, mean)

        own = [group.project(floats, factor) for group, factor in zip(plan.groups, left, strict=True)]
        mean = yield _end_to_end(own, vector)
        right = list(_parts(mean, [group.right_shape for group in plan.groups]))
        self._keep(plan, before, right)

        result = self._product(plan, exact_mean, left, right, vector)
        mine = self._product(plan, _end_to_end(exact, vector), left, own, vector) if keep_own else None
        return Averaged(result, mine)

    def write(self, vector: Tensor, payload: Tensor, key: int, start: int = 0, shared: int | None = None) -> int:
        plan, rounds = self._plan(len(vector)), self.rounds(vector)
        first = next(rounds)
        second = rounds.send(first)
        left = self._left_factors(plan, first)
        with suppress(StopIteration):
            rounds.send(second)
        write_floats(torch.cat([first[: plan.exact_size], *(factor.flatten() for factor in left), second]), payload)
        return len(payload)

    def read(self, payload: Tensor, vector: Tensor, add: bool = False, start: int = 0) -> None:
        plan, floats = self._plan(len(vector)), read_floats(payload, len(payload) // 4)
        shapes = [*(group.left_shape for group in plan.groups), *(group.right_shape for group in plan.groups)]
        factors = list(_parts(floats[plan.exact_size :], shapes))
        count = len(plan.groups)
        values = self._product(plan, floats[: plan.exact_size], factors[:count], factors[count:], vector)
        vector.add_(values) if add else vector.copy_(values)

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
    def _product(plan: Plan, exact: Tensor, left: list[Tensor], right: list[Tensor], like: Tensor) -> Tensor:
        """Returns a new vector, of exact tensors and products of factors, in the dtype of another."""
        vector = torch.empty_like(like, dtype=torch.float32)
        for (start, stop), values in zip(plan.exact, exact.split([hi - lo for lo, hi in plan.exact]), strict=True):
            vector[start:stop] = values
        for group, first, second in zip(plan.groups, left, right, strict=True):
            group.put(first, second, vector)
        return vector.to(like.dtype)


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
