"""Graphs and mixing weights from text files.

Three forms, told apart by their numbers; ``#`` begins a comment, and blanks or commas separate:

- ``0 1``, two ranks a line: an edge list, whose weights a rule gives;
- ``0 1 0.25``, two ranks and the weight of their edge: the rest of 1 stays on the diagonal;
- a square matrix: entry (i, j) is the weight with which rank i takes what rank j sends.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from compressors.naming import shortened, shown
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.gossip.topology import Cycle, Matrix, Topology
from hvd_qgenx.gossip.weights import ROUNDING, TOLERANCE, Adjacency, Rule, check_mixing, metropolis, mix, with_diagonal
from hvd_qgenx.reading import MEBIBYTE, read_text

INTEGER = re.compile(r"[+-]?\d+")
LARGEST = 16 * MEBIBYTE
"""Bytes of a file, at most."""


class Line(NamedTuple):
    """A line that holds numbers."""

    number: int
    """Its number in the file, from 1."""
    words: list[str]

    def values(self, path: Path) -> list[float]:
        """Returns the words as numbers.

        Raises:
            ConfigurationError: one is no number, or Inf or NaN.
        """
        values = []
        for word in self.words:
            try:
                values.append(float(word))
            except ValueError:
                raise ConfigurationError(f"{path}, line {self.number}: {shown(word)} is not a number") from None
            if not math.isfinite(values[-1]):
                raise ConfigurationError(f"{path}, line {self.number}: {shortened(word)} is not a finite number")
        return values


def read(path: Path, ranks: int, rule: Rule | None = None) -> Topology:
    """Reads a graph that does not change.

    Args:
        path: of the file; it names the topology.
        ranks: its number of nodes.
        rule: the mixing weights of an edge list; None takes ``metropolis``.

    Raises:
        ConfigurationError: the file cannot be read or is not of one of the forms, has another number of nodes, is not
            doubly stochastic or not connected, or has weights although a rule was asked for.
    """
    lines = _lines(path)
    values = [line.values(path) for line in lines]
    width = len(values[0])
    for line, row in zip(lines, values, strict=True):
        if len(row) != width:
            raise ConfigurationError(f"{path}, line {line.number}: {len(row)} numbers, but the first line has {width}")
    is_list = width in (2, 3) and all(INTEGER.fullmatch(word) for line in lines for word in line.words[:2])
    if rule is not None and not (is_list and width == 2):
        raise ConfigurationError(f"{path} has weights of its own; leave weights at default")
    if not is_list:
        return Cycle(str(path), [_square(path, lines, values, ranks)])
    weights = _edges(path, lines, values, ranks)
    if width == 2:
        adjacency: Adjacency = weights > 0
        matrix = mix(str(path), adjacency, rule or metropolis)
    else:
        matrix = with_diagonal(weights)
    check_mixing(str(path), matrix)
    return Cycle(str(path), [matrix])


def _lines(path: Path) -> list[Line]:
    stripped = (line.partition("#")[0].strip() for line in read_text(path, LARGEST).splitlines())
    lines = [Line(number, re.split(r"\s*,\s*|\s+", line)) for number, line in enumerate(stripped, 1) if line]
    if not lines:
        raise ConfigurationError(f"{path} has no line with numbers")
    return lines


def _edges(path: Path, lines: list[Line], values: list[list[float]], ranks: int) -> Matrix:
    """Returns the weights (n, n) of an edge list, beside the diagonal; 1 for each edge where it has none."""
    first: dict[tuple[int, int], int] = {}
    _check_nodes(path, lines, ranks)
    matrix = np.zeros((ranks, ranks))
    for line, row in zip(lines, values, strict=True):
        i, j = sorted((int(line.words[0]), int(line.words[1])))
        where = f"{path}, line {line.number}"
        if i == j:
            raise ConfigurationError(f"{where}: an edge from rank {i} to itself; what it keeps is the rest of 1")
        if (i, j) in first:
            raise ConfigurationError(f"{where}: ranks {i} and {j} have an edge already, in line {first[i, j]}")
        if len(row) == 3 and row[2] <= 0:
            raise ConfigurationError(f"{where}: the weight {shortened(line.words[2])} is not above 0")
        first[i, j] = line.number
        matrix[i, j] = matrix[j, i] = row[2] if len(row) == 3 else 1.0
        for rank in (i, j):
            if len(row) == 3 and (total := matrix[rank].sum()) > 1 + ROUNDING:
                raise ConfigurationError(f"{where}: the weights of rank {rank} add up to {total:.7g}, more than 1")
    return matrix


def _check_nodes(path: Path, lines: list[Line], ranks: int) -> None:
    """Refuses an edge list whose ranks are not 0 to ``ranks`` - 1."""
    highest, where = 0, 0
    for line in lines:
        for rank in map(int, line.words[:2]):
            if rank < 0:
                raise ConfigurationError(
                    f"{path}, line {line.number}: there is no rank {shown(rank)}; ranks count from 0"
                )
            if rank >= highest:
                highest, where = rank, line.number
    if highest + 1 != ranks:
        raise ConfigurationError(
            f"{path}, line {where}: the highest rank is {shown(highest)}, so the file has {shown(highest + 1)} ranks, "
            f"not {ranks}"
        )


def _square(path: Path, lines: list[Line], values: list[list[float]], ranks: int) -> Matrix:
    """Returns a matrix, whose diagonal takes up what its written digits lack, after checking it."""
    last, width = lines[-1], len(values[0])
    if len(values) != width:
        raise ConfigurationError(
            f"{path}, line {last.number}: {len(values)} rows of {width} numbers are not a square matrix"
            + ("; ranks in a list of edges are whole numbers" if width in (2, 3) else "")
        )
    if width != ranks:
        raise ConfigurationError(f"{path}, line {last.number}: a matrix of {width} ranks, not of {ranks}")
    matrix = np.array(values)
    for rank, (line, row) in enumerate(zip(lines, matrix, strict=True)):
        where = f"{path}, line {line.number}"
        if (row < 0).any():
            raise ConfigurationError(f"{where}: the weight {shortened(line.words[int(row.argmin())])} is negative")
        if abs(row.sum() - 1) > TOLERANCE:
            raise ConfigurationError(f"{where}: the weights of rank {rank} add up to {row.sum():.7g}, not to 1")
    check_mixing(str(path), matrix)
    return np.maximum(with_diagonal(matrix), 0.0)
