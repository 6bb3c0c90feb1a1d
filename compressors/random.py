"""Counter-based random numbers: a pure function of (seed, rank, step, position)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from compressors.deferred import Deferred

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
else:
    np, torch = Deferred("numpy"), Deferred("torch")

MASK64 = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix64(x: int) -> int:
    """SplitMix64's output function (Steele, Lea and Flood, 2014): a bijection of 64-bit words."""
    x &= MASK64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK64
    return x ^ (x >> 31)


def mix64_all(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Returns ``mix64`` of every word."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def derive(*words: int) -> int:
    """Returns one 64-bit key from any number of words; every word and its place matter."""
    key = 0
    for word in words:
        key = mix64(key + GOLDEN + mix64(word))
    return key


def generator(*words: int) -> torch.Generator:
    """Returns a new torch generator that is seeded with these words."""
    return torch.Generator().manual_seed(derive(*words) >> 1)


@dataclass
class Stream:
    """The sequence of keys of one rank; kernels turn a key and a position into random bits."""

    seed: int = 0
    rank: int = 0
    step: int = 0

    def next_key(self) -> int:
        """Returns the 64-bit key of this step and advances to the next."""
        key = derive(self.seed, self.rank, self.step)
        self.step += 1
        return key

    def shared_key(self) -> int:
        """Returns a key that is the same on all ranks of one seed that have drawn as many keys."""
        return derive(self.seed, self.step)

    def state_dict(self) -> dict[str, int]:
        return asdict(self)

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.seed, self.rank, self.step = state["seed"], state["rank"], state["step"]


@dataclass
class SharedStream(Stream):
    """A stream whose keys are equal on all ranks with the same seed and step."""

    def next_key(self) -> int:
        key = derive(self.seed, self.step)
        self.step += 1
        return key
