"""The Dirac-GAN."""

from typing import ClassVar

import torch
from torch import Tensor

from compressors.naming import unknown
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.games.base import Game
from hvd_qgenx.games.registry import LOSSES


class DiracGAN(Game):
    """Data are a point at 0, the generator makes a point at theta, the discriminator is D(x) = psi x.

    The discriminator maximises f(psi theta) + f(0) - penalty/2 (|psi| - centre)^2. The generator
    minimises f(psi theta), or -f(-psi theta) for ``ns-gan``. f(t) = -log(1 + exp(-t)), or t for ``wgan``.
    |psi| is the norm of D's gradient: centre 0 is the R1 penalty, centre 1 WGAN-GP's. The operator
    is not monotone in general; its norm stands for the gap. Source: Mescheder, Geiger and Nowozin, "Which
    training methods for GANs do actually converge?" (ICML 2018).

    Args:
        loss: one of ``LOSSES``.
        penalty: weight of the gradient penalty; 0 for none.
        centre: norm of the gradient that is not penalised.

    Raises:
        ConfigurationError: the loss is unknown.
    """

    gap_name: ClassVar[str] = "norm of the operator"

    def __init__(self, loss: str = "gan", penalty: float = 0.0, centre: float = 0.0) -> None:
        if loss not in LOSSES:
            raise ConfigurationError(unknown("loss", loss, LOSSES))
        super().__init__({"generator": 1, "discriminator": 1}, _vector(1.0, 1.0), _vector(0.0, 0.0))
        self.loss, self.penalty, self.centre = loss, penalty, centre

    def operator(self, point: Tensor) -> Tensor:
        theta, psi = point
        fake = theta * psi
        generator = self._derivative(-fake if self.loss == "ns-gan" else fake) * psi
        discriminator = -self._derivative(fake) * theta + self.penalty * (psi.abs() - self.centre) * psi.sign()
        return torch.stack([generator, discriminator])

    def gap(self, point: Tensor) -> float:
        return float(torch.linalg.vector_norm(self.operator(point)))

    def _derivative(self, value: Tensor) -> Tensor:
        """Returns f'."""
        return torch.ones_like(value) if self.loss == "wgan" else torch.sigmoid(-value)


def _vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
