"""Everything that decides the outcome of a GAN run."""

from dataclasses import asdict, dataclass, field, fields, replace
from math import isfinite
from types import UnionType
from typing import Any, cast, get_args, get_origin, get_type_hints

import torch

import compressors
from compressors import BucketQuantizer, Coded, Exempt, Learner, parameters
from compressors.coding import CODES
from compressors.naming import unknown
from compressors.random import derive
from hvd_qgenx import exchange
from hvd_qgenx.data import DATASETS
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.optim.registry import METHODS, Method
from hvd_qgenx.scores import EXTRACTORS
from hvd_qgenx.tasks.gan.losses import LOSSES
from hvd_qgenx.tasks.gan.models import MODELS, NORMS
from hvd_qgenx.training.averages import WEIGHTS
from hvd_qgenx.training.schedule import Schedule, milestones

CODINGS = ("none", *CODES)

AUGMENTATIONS = ("none", "flip")
PRECISIONS = ("fp32", "bf16")

POSITIVE = (
    *("updates", "filters", "latent", "log_every", "sample_every", "score_samples"),
    *("generator_lr", "discriminator_lr", "penalty", "clip", "delta"),
)
NOT_NEGATIVE = ("score_every", "workers", "image_size")
MAY_CHANGE = (
    *("data_dir", "workers", "updates", "log_every", "sample_every", "checkpoint_every", "gradients_at"),
    *("score_every", "inception_weights"),
)
"""What a resumed run may do otherwise: none of it changes an update."""


@dataclass(frozen=True)
class GanConfig:
    """One run. Two runs with equal configurations give the same parameters, bit for bit."""

    dataset: str = "digits"
    data_dir: str = "data"
    image_size: int = 0
    """Side that images are scaled to where the data set leaves a choice; 0: the usual one."""
    augmentation: str = "none"
    workers: int = 0
    """Processes of every rank that prepare batches; 0: the rank itself."""
    batch_size: int = 96
    """Images in a draw, over all ranks."""
    updates: int = 1500
    seed: int = 0
    loss: str = "wgan-gp"
    penalty: float = 10.0
    clip: float = 0.01
    model: str = "dcgan"
    filters: int = 32
    latent: int = 128
    generator_norm: str = "layer"
    discriminator_norm: str = "none"
    spectral_norm: bool = False
    """Of the discriminator's weights."""
    conditional: bool = False
    """Do both players also take the labels?"""
    optimizer: str = "extra-adam"
    generator_lr: float | None = None
    """None, and so for the discriminator: the optimizer's own (``METHODS``)."""
    discriminator_lr: float | None = None
    beta1: float = 0.5
    beta2: float = 0.9
    amsgrad: bool = False
    momentum: float = 0.0
    nesterov: bool = False
    delta: float = 300.0
    """Of Q-GenX; the paper has 1, which lets the first gradients of deep networks take it far off."""
    critic_steps: int = 0
    """0: both players move at once; n: the discriminator moves n times, then the generator."""
    compressor: str = "minmax"
    compressor_parameters: dict[str, Any] = field(default_factory=dict)
    compress_from: int = 256
    """Tensors with fewer elements, and all with one dimension, are sent uncompressed."""
    coding: str = "none"
    levels_at: str = "0,200,1000,5000"
    """Updates before which a compressor that learns does so; those of the experiments of Q-GenX."""
    levels_every: int = 10000
    exchange: str = "auto"
    device: str = "cpu"
    precision: str = "fp32"
    ema: float = 0.99
    """Decay, an update, of the generator's exponential moving average."""
    score_every: int = 0
    """Updates between two scores of the generator; 0: no scores."""
    score_samples: int = 2500
    score_weights: str = "raw,ema"
    """Whose images are scored: any of raw, ema, uniform, ergodic."""
    features: str = "auto"
    """On what images are scored (``scores.EXTRACTORS``)."""
    inception_weights: str = ""
    """File; empty: where torch-fidelity keeps them."""
    log_every: int = 10
    sample_every: int = 250
    checkpoint_every: float = 100.0
    gradients_at: str = ""
    """Updates whose gradients rank 0 saves, as it computed them."""

    def __post_init__(self) -> None:
        """A config.json may hold anything."""
        for name, kind in get_type_hints(GanConfig).items():
            value = getattr(self, name)
            if type(value) not in _allowed(kind) or (isinstance(value, float) and not isfinite(value)):
                raise ConfigurationError(f"{name} cannot be {value!r}")

    def check(self, ranks: int) -> None:
        """Raises ConfigurationError, in one sentence, if this cannot be trained on so many ranks."""
        choices = {
            "dataset": DATASETS,
            "augmentation": AUGMENTATIONS,
            "loss": LOSSES,
            "model": MODELS,
            "precision": PRECISIONS,
            "features": EXTRACTORS,
            "generator_norm": NORMS,
            "discriminator_norm": NORMS,
            "optimizer": METHODS,
            "coding": CODINGS,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ConfigurationError(unknown(name.replace("_", " "), getattr(self, name), allowed))
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ConfigurationError("there is no CUDA device; use --device cpu or auto")
        if self.batch_size < ranks:
            raise ConfigurationError(f"a batch of {self.batch_size} cannot be split over {ranks} ranks")
        for name in POSITIVE:
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise ConfigurationError(f"{name} must be positive, not {getattr(self, name)}")
        for name in NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise ConfigurationError(f"{name} must not be negative, it is {getattr(self, name)}")
        if not 0 <= self.ema < 1:
            raise ConfigurationError(f"ema must be at least 0 and below 1, not {self.ema}")
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise ConfigurationError(f"beta1 and beta2 must be at least 0 and below 1, not {self.beta1}, {self.beta2}")
        self._check_optimizer()
        self._check_levels()
        moves = self.checkpoint_every * self.moves_per_update
        if moves < 1 or moves != int(moves):
            raise ConfigurationError(
                f"checkpoint_every must be a positive multiple of 1/{self.moves_per_update} update, "
                f"not {self.checkpoint_every}"
            )
        for weights in self.scored_weights:
            if weights not in WEIGHTS:
                raise ConfigurationError(unknown("weights", weights, WEIGHTS))
        if LOSSES[self.loss].penalized and self.discriminator_norm == "batch":
            raise ConfigurationError(
                "the gradient penalty is taken image by image, which batch norm in the discriminator mixes; "
                "use layer or none, or --loss wgan"
            )
        exchange.get(self.exchange).check(self.make_compressor().inner)

    def _check_optimizer(self) -> None:
        defaults = {field.name: field.default for field in fields(self)}
        for name in sorted({name for method in METHODS.values() for name in method.settings}):
            if name not in self.method.settings and getattr(self, name) != defaults[name]:
                takes = ", ".join(self.method.settings)
                raise ConfigurationError(f"{self.optimizer} has no {name}; it takes {takes}")
        if not 0 <= self.momentum < 1:
            raise ConfigurationError(f"momentum must be at least 0 and below 1, not {self.momentum}")
        if self.nesterov and not self.momentum:
            raise ConfigurationError("nesterov needs a momentum; give --momentum 0.9")
        if self.critic_steps < 0:
            raise ConfigurationError(f"critic_steps must not be negative, it is {self.critic_steps}")
        if self.critic_steps and self.method.moves == 2:
            raise ConfigurationError(
                f"{self.optimizer} moves both players at once; critic_steps is for optimizers with one move an update"
            )

    def _check_levels(self) -> None:
        milestones(self.gradients_at, "gradients_at")
        if self.levels_every < 0:
            raise ConfigurationError(f"levels_every must not be negative, it is {self.levels_every}")
        changed = self.level_schedule != GanConfig().level_schedule
        if changed and self.make_compressor().learner is None:
            learn = ", ".join(name for name in compressors.names() if issubclass(compressors.get(name), Learner))
            raise ConfigurationError(f"{self.compressor} has no levels to adapt; compressors that have: {learn}")

    @property
    def method(self) -> Method:
        """The optimizer's entry in ``METHODS``."""
        return METHODS[self.optimizer]

    @property
    def scored_weights(self) -> tuple[str, ...]:
        """Whose images are scored."""
        return tuple(dict.fromkeys(weights.strip() for weights in self.score_weights.split(",")))

    @property
    def level_schedule(self) -> Schedule:
        """When a compressor that learns does so."""
        return Schedule(milestones(self.levels_at, "levels_at"), self.levels_every)

    @property
    def moves_per_update(self) -> int:
        """Exchanges in one update of both players: two for extra-gradient."""
        return self.critic_steps + 1 if self.critic_steps else self.method.moves

    def make_compressor(self, stream: int = 0) -> Exempt:
        """The compressor of every rank, before it has a rank; ``stream`` selects other random bits."""
        seed = derive(self.seed, stream) >> 1 if stream else self.seed
        try:
            inner = compressors.make(self.compressor, seed=seed, **self.compressor_parameters)
            if self.coding != "none":
                inner = Coded(cast("BucketQuantizer", inner), self.coding)  # which checks that it is one
            return Exempt(inner, min_numel=self.compress_from)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error

    def completed(self) -> "GanConfig":
        """The same with step sizes and every parameter of the compressor spelled out.

        Raises:
            ConfigurationError: there is no such optimizer or compressor.
        """
        if self.optimizer not in METHODS:
            raise ConfigurationError(unknown("optimizer", self.optimizer, METHODS))
        try:
            inner = compressors.make(self.compressor, **self.compressor_parameters)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        generator_lr, discriminator_lr = self.method.rates
        return replace(
            self,
            generator_lr=generator_lr if self.generator_lr is None else self.generator_lr,
            discriminator_lr=discriminator_lr if self.discriminator_lr is None else self.discriminator_lr,
            compressor_parameters={name: getattr(inner, name) for name in parameters.names(type(inner))},
        )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def _allowed(kind: Any) -> tuple[type, ...]:
    """The types of values where this one is declared; a whole number may stand for a number."""
    kinds = get_args(kind) if isinstance(kind, UnionType) else (get_origin(kind) or kind,)
    return (*kinds, int) if float in kinds else kinds
