"""Long short-term memory, as word-level language models have it (Zaremba et al., 2014)."""

import torch
from torch import Tensor, nn

from hvd_qgenx.tasks.language.models.base import LanguageModel, Shape, State
from hvd_qgenx.tasks.language.models.dropout import Dropout


class LSTM(LanguageModel):
    """One to three layers with dropout between them; the state is carried from stretch to stretch.

    With 33,278 tokens, 3 layers of 650 units and tied weights it has 31,819,578 parameters.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.layers = nn.ModuleList(nn.LSTM(shape.units, shape.units, batch_first=True) for _ in range(shape.layers))
        self.between = Dropout(shape.dropout, self.masks)

    def transform(self, embedded: Tensor, state: State) -> tuple[Tensor, State]:
        features, after = embedded, []
        for number, layer in enumerate(self.layers):
            features, own = layer(self.between(features) if number else features, state[number] if state else None)
            after.append(own)
        return features, after

    @torch.no_grad()
    def initialize(self, random: torch.Generator, spread: float) -> None:
        """Embedding and decoder are uniform within ``spread``, layers within 1 / sqrt(units), as torch has them."""
        nn.init.uniform_(self.embedding.weight, -spread, spread, generator=random)
        if not self.shape.tied:
            nn.init.uniform_(self.decoder.weight, -spread, spread, generator=random)
        nn.init.zeros_(self.decoder.bias)
        bound = self.shape.units**-0.5
        for parameter in self.layers.parameters():
            nn.init.uniform_(parameter, -bound, bound, generator=random)


def detached(state: State) -> State:
    """Returns a state through which no gradient flows back."""
    return state and [tuple(part.detach() for part in layer) for layer in state]
