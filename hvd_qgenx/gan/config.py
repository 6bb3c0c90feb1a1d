"""Everything that decides the outcome of a GAN run."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

import compressors
from compressors import Exempt, parameters
from compressors.naming import unknown
from hvd_qgenx import exchange
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.gan.data import DATASETS
from hvd_qgenx.gan.losses import LOSSES
from hvd_qgenx.gan.models import NORMS

OPTIMIZERS = ("extra-adam", "adam")

POSITIVE = (
    *("updates", "filters", "latent", "log_every", "sample_every"),
    *("generator_lr", "discriminator_lr", "penalty", "clip"),
)
MAY_CHANGE = ("data_dir", "updates", "log_every", "sample_every", "checkpoint_every")
"""What a resumed run may do otherwise: none of it changes an update."""


@dataclass(frozen=True)
class GanConfig:
    """One run. Two runs with equal configurations give the same parameters, bit for bit."""

    dataset: str = "digits"
    data_dir: str = "data"
    batch_size: int = 96
    """Images in a draw, over all ranks."""
    updates: int = 1500
    seed: int = 0
    loss: str = "wgan-gp"
    penalty: float = 10.0
    clip: float = 0.01
    filters: int = 32
    latent: int = 128
    generator_norm: str = "layer"
    discriminator_norm: str = "none"
    optimizer: str = "extra-adam"
    generator_lr: float = 2e-4
    discriminator_lr: float = 1e-3
    beta1: float = 0.5
    beta2: float = 0.9
    compressor: str = "minmax"
    compressor_parameters: dict[str, Any] = field(default_factory=dict)
    compress_from: int = 256
    """Tensors with fewer elements, and all with one dimension, are sent uncompressed."""
    exchange: str = "auto"
    device: str = "cpu"
    log_every: int = 10
    sample_every: int = 250
    checkpoint_every: float = 100.0

    def check(self, ranks: int) -> None:
        """Raises ConfigurationError, in one sentence, if this cannot be trained on so many ranks."""
        choices = {
            "dataset": DATASETS,
            "loss": LOSSES,
            "generator_norm": NORMS,
            "discriminator_norm": NORMS,
            "optimizer": OPTIMIZERS,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ConfigurationError(unknown(name.replace("_", " "), getattr(self, name), allowed))
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ConfigurationError("there is no CUDA device; use --device cpu or auto")
        if self.batch_size < ranks:
            raise ConfigurationError(f"a batch of {self.batch_size} cannot be split over {ranks} ranks")
        for name in POSITIVE:
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name} must be positive, not {getattr(self, name)}")
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise ConfigurationError(f"beta1 and beta2 must be at least 0 and below 1, not {self.beta1}, {self.beta2}")
        moves = self.checkpoint_every * self.moves_per_update
        if moves < 1 or moves != int(moves):
            raise ConfigurationError(
                f"checkpoint_every must be a positive multiple of 1/{self.moves_per_update} update, "
                f"not {self.checkpoint_every}"
            )
        if self.loss == "wgan-gp" and self.discriminator_norm == "batch":
            raise ConfigurationError(
                "the gradient penalty is taken image by image, which batch norm in the discriminator mixes; "
                "use layer or none, or --loss wgan"
            )
        exchange.get(self.exchange).check(self.make_compressor().inner)

    @property
    def moves_per_update(self) -> int:
        """Exchanges in one update of both players: two for extra-gradient."""
        return 2 if self.optimizer == "extra-adam" else 1

    def make_compressor(self) -> Exempt:
        """The compressor of every rank, before it has a rank."""
        try:
            inner = compressors.make(self.compressor, seed=self.seed, **self.compressor_parameters)
            return Exempt(inner, min_numel=self.compress_from)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error

    def completed(self) -> "GanConfig":
        """The same with every parameter of the compressor spelled out."""
        inner = self.make_compressor().inner
        given = {name: getattr(inner, name) for name in parameters.names(type(inner))}
        return replace(self, compressor_parameters=given)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
