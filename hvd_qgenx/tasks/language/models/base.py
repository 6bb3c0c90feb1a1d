"""Common to all language models: the shape they are made of, embedding and decoder."""

from abc import abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hvd_qgenx.tasks.language.models.dropout import Dropout, Masks

State = Any
"""A model's memory of the tokens before; None: there are none, or it keeps none."""


class Shape(NamedTuple):
    """Sizes and options of a language model."""

    vocabulary: int
    """Number of tokens."""
    layers: int
    units: int
    """Width of embeddings and layers."""
    heads: int
    """Attention heads of a Transformer's layer."""
    length: int
    """Most tokens that a Transformer reads at once."""
    dropout: float
    tied: bool
    """The decoder's weights are the embedding's."""
    sparse: bool
    """The embedding's gradients are sparse rows."""


class LanguageModel(nn.Module):
    """Maps tokens to logits of the token that follows each.

    Subclasses add what lies between embedding and decoder, and a method ``initialize``.
    """

    last_layer = "decoder"

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape, self.masks = shape, Masks()
        self.embedding = nn.Embedding(shape.vocabulary, shape.units, sparse=shape.sparse)
        self.decoder = nn.Linear(shape.units, shape.vocabulary)
        if shape.tied:
            self.decoder.weight = self.embedding.weight
        self.dropout = Dropout(shape.dropout, self.masks)

    @abstractmethod
    def transform(self, embedded: Tensor, state: State) -> tuple[Tensor, State]:
        """Maps embedded tokens (n, t, units) and what came before to features of the same shape, and the new state."""

    @abstractmethod
    def initialize(self, random: torch.Generator, spread: float) -> None:
        """Sets all parameters; ``spread`` is that of embedding and decoder."""

    def forward(self, tokens: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Maps tokens, int64 (n, t), to logits (n, t, vocabulary); also returns the state after them.

        Args:
            tokens: n streams of tokens.
            state: after the tokens before, as returned for them; None: there are none.
        """
        features, state = self.transform(self.dropout(self.embedding(tokens)), state)
        return self.decoder(self.dropout(features)), state
