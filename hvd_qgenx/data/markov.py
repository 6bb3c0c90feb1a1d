"""A Markov chain whose entropy is known: a source of text with a floor under every perplexity."""

import bisect
import math
from array import array
from functools import cached_property

import torch
from torch import Tensor

from compressors.random import generator
from hvd_qgenx.data.streams import RandomStream
from hvd_qgenx.data.text import PARTS, Corpus, Vocabulary
from hvd_qgenx.data.units import WORDS

STATES = 40
LENGTHS = {"train": 240_000, "valid": 20_000, "test": 40_000}
CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"
UNEVENNESS = 4
"""Transition probabilities are in proportion to this power of uniform random numbers."""


class MarkovChain:
    """A chain of tokens, each of which depends on the one before it alone.

    Attributes:
        transitions: probabilities of the next token (columns) after each (rows), float64 (STATES, STATES).
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        weights = torch.rand(STATES, STATES, dtype=torch.float64, generator=generator(seed, RandomStream.MARKOV))
        weights = weights**UNEVENNESS
        self.transitions = weights / weights.sum(1, keepdim=True)

    @cached_property
    def stationary(self) -> Tensor:
        """The share of every token in the long run, float64 (STATES,): solves pi P = pi, sum pi = 1."""
        equations = torch.cat([self.transitions.T - torch.eye(STATES, dtype=torch.float64), torch.ones(1, STATES)])
        right = torch.zeros(STATES + 1, 1, dtype=torch.float64)
        right[-1] = 1
        solution: Tensor = torch.linalg.lstsq(equations, right).solution
        return solution.squeeze(1)

    @property
    def entropy(self) -> float:
        """The entropy rate in nats a token: sum over i of pi_i H(P_i) (Shannon, 1948, section 7)."""
        rows = -(self.transitions * self.transitions.log()).nan_to_num(0.0).sum(1)
        return float(self.stationary @ rows)

    def draw(self, count: int, *words: int) -> Tensor:
        """Returns a stretch of the chain, int32 (count,), as a function of seed and words."""
        random = generator(self.seed, RandomStream.MARKOV, *words)
        uniform = torch.rand(count, dtype=torch.float64, generator=random).tolist()
        ends = self.transitions.cumsum(1).tolist()
        state, found = int(uniform[0] * STATES), array("i")
        for number in uniform:
            state = min(bisect.bisect_right(ends[state], number), STATES - 1)  # sums may end below 1
            found.append(state)
        return torch.frombuffer(found, dtype=torch.int32)


def markov_corpus(name: str, seed: int) -> Corpus:
    """Returns the text of a chain that is made from a seed; its tokens are syllables."""
    chain = MarkovChain(seed)
    syllables = [consonant + vowel for consonant in CONSONANTS for vowel in VOWELS][:STATES]
    parts = {part: chain.draw(LENGTHS[part], number) for number, part in enumerate(PARTS, 1)}
    return Corpus(name, Vocabulary(tuple(syllables), WORDS), parts, floor=math.exp(chain.entropy))
