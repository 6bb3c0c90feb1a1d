"""Comparison of level sets: their errors, and the bits of their symbols."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table
from torch import Tensor

from compressors.coding import expected
from compressors.levels import Array, bounds, sets, statistics
from compressors.levels.distribution import Histogram
from compressors.levels.fit import METHODS, fit
from compressors.levels.objective import probabilities, relative_error
from hvd_qgenx.tables import drawn

BITS = {
    "fixed": "fixed width",
    "bound": "bound",
    "omega": "omega",
    "huffman": "Huffman",
    "entropy": "entropy",
}
"""Bits of a coordinate, with sign and without the norms of buckets: field of a row, and heading."""
ALL = "all"
"""In place of a group: all tensors."""


@dataclass(frozen=True)
class LevelSet:
    """One level set, and its cost on the vectors seen."""

    name: str
    fitted_to: str
    """normals, histogram, or a group of tensors; empty if it was not fitted."""
    bits: int
    levels: list[float]
    probabilities: list[float]
    """Share of coordinates that go to each level, of either sign."""
    relative_error: float
    """Expected ||Q(v) - v||^2 / ||v||^2 of the vectors seen."""
    epsilon: float
    """Upper bound of that on any vector."""
    fixed: float
    bound: float
    """H(p) + 1 + (1 - p_0)."""
    omega: float
    huffman: float
    entropy: float

    @property
    def label(self) -> str:
        return f"{self.name}, {self.fitted_to}" if self.fitted_to else self.name


@dataclass(frozen=True)
class Comparison:
    """Level sets compared on the same vectors."""

    source: str
    bucket_size: int
    norm: str
    magnitudes: Histogram
    """The magnitudes of all coordinates, each counted once."""
    rows: list[LevelSet]

    @property
    def title(self) -> str:
        return f"{self.source}, buckets of {self.bucket_size} divided by their {self.norm} norm"

    def as_dicts(self) -> list[dict[str, Any]]:
        return [asdict(row) for row in self.rows]

    def tables(self, width: int) -> str:
        """Returns costs, then levels with their shares, as text."""
        by_bits = ([row for row in self.rows if row.bits == bits] for bits in dict.fromkeys(r.bits for r in self.rows))
        return "\n".join(drawn(table, width) for table in (self._costs(), *map(_shares, by_bits)))

    def _costs(self) -> Table:
        caption = f"bits of a coordinate, with its sign; the norm takes {32 / self.bucket_size:.2g} more"
        table = Table(title=self.title, caption=caption)
        for heading in ("bits", "levels"):
            table.add_column(heading)
        for heading in ("error", "epsilon_Q", *BITS.values()):
            table.add_column(heading, justify="right")
        for row in self.rows:
            bits = [f"{getattr(row, field):.3f}" for field in BITS]
            table.add_row(str(row.bits), row.label, f"{row.relative_error:.4g}", f"{row.epsilon:.4g}", *bits)
        return table


def compare(source: str, vectors: Sequence[Tensor], bits: Sequence[int], bucket_size: int, norm: str) -> Comparison:
    """Compares every level set at each number of bits, on all the vectors (float, flat, not all zero) as one."""
    seen = _Seen([statistics.collect(vector, bucket_size, norm) for vector in vectors], bucket_size, norm)

    def rows() -> Iterator[LevelSet]:
        yield seen.row("ternary", "", sets.ternary())
        for width in bits:
            yield seen.row("uniform", "", sets.uniform(width))
            yield seen.row("exponential", "", sets.exponential(width))
            for method in METHODS:
                for fitted_to, distribution in (("normals", seen.normals), ("histogram", seen.histogram)):
                    yield seen.row(method, fitted_to, fit(method, distribution, sets.uniform(width)).levels)

    return Comparison(source, bucket_size, norm, seen.magnitudes, list(rows()))


def compare_groups(
    source: str, groups: Mapping[str, Sequence[Tensor]], bits: Sequence[int], bucket_size: int, norm: str
) -> Comparison:
    """Compares levels fitted to every group of tensors at each number of bits, each on its own group; and to all."""
    parts = {group: [statistics.collect(vector, bucket_size, norm) for vector in own] for group, own in groups.items()}
    everything = _Seen([part for own in parts.values() for part in own], bucket_size, norm)
    each = {ALL: everything, **{group: _Seen(own, bucket_size, norm) for group, own in parts.items()}}
    rows = [
        seen.row(method, group, fit(method, seen.histogram, sets.uniform(width)).levels)
        for width in bits
        for method in METHODS
        for group, seen in each.items()
    ]
    return Comparison(source, bucket_size, norm, everything.magnitudes, rows)


class _Seen:
    """Distributions of the vectors seen, and the costs of level sets on them."""

    def __init__(self, parts: Sequence[Array], bucket_size: int, norm: str) -> None:
        self.normals, self.histogram = statistics.merge(parts)
        self.magnitudes = statistics.unweighted(parts)
        self._bucket_size, self._norm = bucket_size, norm

    def row(self, name: str, fitted_to: str, levels: Array) -> LevelSet:
        p = probabilities(levels, self.magnitudes)
        sign = expected.sign_bits(p)
        return LevelSet(
            name,
            fitted_to,
            sets.kind(levels)[0],
            levels.tolist(),
            p.tolist(),
            relative_error(levels, self.histogram),
            bounds.epsilon(levels, self._bucket_size, self._norm),
            fixed=float(sets.kind(levels)[0]),
            bound=expected.bound(p),
            omega=expected.elias_length(p) + sign,
            huffman=expected.huffman_length(p) + sign,
            entropy=expected.entropy(p) + sign,
        )


def _shares(rows: list[LevelSet]) -> Table:
    """Returns a table of levels over the percentage of coordinates that go to each."""
    table = Table(title=f"{rows[0].bits} bits: levels and % of coordinates")
    table.add_column("levels")
    for _ in _ends(rows[0].levels):
        table.add_column(justify="right")
    for row in rows:
        levels = _ends([f"{level:.3g}".replace("0.", ".") for level in row.levels])
        shares = _ends([f"{100 * share:.2g}" for share in row.probabilities])
        table.add_row(row.label, *(f"{level}\n{share}" for level, share in zip(levels, shares, strict=True)))
    return table


def _ends(values: Sequence[Any]) -> list[Any]:
    """Returns the values, without the middle if there are many."""
    return list(values) if len(values) <= 9 else [*values[:4], "…", *values[-4:]]
