"""A small Transformer that predicts the next token (Radford et al., 2019)."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hvd_qgenx.tasks.language.models.base import LanguageModel, Shape, State
from hvd_qgenx.tasks.language.models.dropout import Dropout, Masks


class Transformer(LanguageModel):
    """Causal attention over one stretch, with learned positions and norms before each part; it carries no state."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.positions = nn.Parameter(torch.empty(shape.length, shape.units))
        self.layers = nn.ModuleList(
            Layer(shape.units, shape.heads, shape.dropout, self.masks) for _ in range(shape.layers)
        )
        self.norm = nn.LayerNorm(shape.units)

    def transform(self, embedded: Tensor, state: State) -> tuple[Tensor, State]:
        features = embedded + self.positions[: embedded.shape[1]]
        for layer in self.layers:
            features = layer(features)
        return self.norm(features), None

    @torch.no_grad()
    def initialize(self, random: torch.Generator, spread: float) -> None:
        """All matrices are normal with deviation ``spread``, over sqrt(2 layers) where they add to what they read."""
        for name, parameter in self.named_parameters():
            if "norm" in name:
                nn.init.constant_(parameter, float(name.endswith("weight")))
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                adds = name.endswith("out.weight")
                scale = spread / (2 * self.shape.layers) ** 0.5 if adds else spread
                nn.init.normal_(parameter, 0.0, scale, generator=random)


class Layer(nn.Module):
    """Attention and a perceptron, each of which adds to what it reads."""

    def __init__(self, units: int, heads: int, share: float, masks: Masks) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.perceptron_norm = nn.LayerNorm(units), nn.LayerNorm(units)
        self.queries_keys_values = nn.Linear(units, 3 * units)
        self.attention_out = nn.Linear(units, units)
        self.perceptron_in = nn.Linear(units, 4 * units)
        self.perceptron_out = nn.Linear(4 * units, units)
        self.dropout = Dropout(share, masks)

    def forward(self, features: Tensor) -> Tensor:
        attended: Tensor = self.dropout(self.attention_out(self._attend(self.attention_norm(features))))
        features = features + attended
        hidden = F.gelu(self.perceptron_in(self.perceptron_norm(features)))
        perceived: Tensor = self.dropout(self.perceptron_out(hidden))
        return features + perceived

    def _attend(self, features: Tensor) -> Tensor:
        n, t, units = features.shape
        heads = self.queries_keys_values(features).view(n, t, 3, self.heads, units // self.heads)
        queries, keys, values = heads.permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        return attended.transpose(1, 2).reshape(n, t, units)
