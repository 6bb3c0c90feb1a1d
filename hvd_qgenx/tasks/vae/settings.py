"""Settings of an autoencoder's run."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks.images import IMAGES, SCORES, FeatureConfig
from hvd_qgenx.tasks.vae.models.registry import MODELS, WIDTHS
from hvd_qgenx.tasks.vae.registry import BERNOULLI, BETA_TC, GAUSSIAN, LIKELIHOODS, OBJECTIVES
from hvd_qgenx.training.config import COMPRESSION, MACHINE, RUN, STUDIED, TRAINING
from hvd_qgenx.training.gossip import GOSSIP
from hvd_qgenx.training.settings import declared, redeclared, setting
from hvd_qgenx.training.single_model.settings import EVALUATION, STEP_SIZE, SingleModelConfig

MODEL = "Model"
LEAST_SAMPLES = 10
"""Images that a Fréchet distance needs at least."""

RATES = {
    **dict.fromkeys(("adam", "adamw", "extra-adam", "past-extra-adam", "optimistic-adam"), 1e-3),
    **dict.fromkeys(("sgd", "extra-sgd", "past-extra-sgd", "optimistic-sgd"), 1e-3),
    **dict.fromkeys(("qgenx-de", "qgenx-da", "qgenx-optda", "qoda", "qoda-separated"), 10.0),
}
"""Optimizers that an autoencoder can be trained with, and their default step sizes."""


@dataclass(frozen=True)
class VaeConfig(SingleModelConfig, FeatureConfig):
    """One run of ``hvd-qgenx vae``."""

    task: ClassVar[str] = "vae"
    implementation: ClassVar[str] = "hvd_qgenx.tasks.vae.task:VaeTask"
    evaluation: ClassVar[str] = "hvd_qgenx.tasks.vae.evaluation:evaluate_runs"
    sampling: ClassVar[str | None] = "hvd_qgenx.tasks.vae.sampling:sample"
    rates: ClassVar[Mapping[str, float]] = RATES
    sections: ClassVar[tuple[str, ...]] = (
        *(IMAGES, MODEL, TRAINING, STEP_SIZE, COMPRESSION, GOSSIP),
        *(EVALUATION, SCORES, MACHINE, RUN),
    )

    model: str = setting("mlp", "Architecture of encoder and decoder.", MODEL, choices=MODELS)
    width: int | None = setting(
        None,
        "Units of the hidden layers of mlp; channels of the outermost feature maps of conv.",
        MODEL,
        limits="[1, inf)",
        otherwise=", ".join(f"{width} for {name}" for name, width in WIDTHS.items()),
    )
    latent: int = setting(20, "Length of a code.", MODEL, limits="[1, inf)")
    likelihood: str = setting(
        BERNOULLI, "Distribution of a pixel, whose value is from 0 to 1, around its mean.", MODEL, choices=LIKELIHOODS
    )
    noise: float = setting(0.1, "Standard deviation of a pixel with --likelihood gaussian.", MODEL, limits="(0, inf)")
    objective: str = setting(
        "elbo",
        "elbo is the negative evidence lower bound; beta-tc splits its divergence into mutual information, total "
        "correlation and a distance of every dimension.",
        TRAINING,
        choices=OBJECTIVES,
        role=STUDIED,
    )
    kl_weight: float = setting(
        1.0,
        "Weight of the divergence from the prior, beta; with beta-tc, of the total correlation alone.",
        TRAINING,
        limits="[0, inf)",
        role=STUDIED,
    )
    optimizer: str = redeclared(SingleModelConfig, "optimizer", "adam", names=RATES)
    weight_decay: float = redeclared(SingleModelConfig, "weight_decay", 0.0)
    loss_limit: float = redeclared(SingleModelConfig, "loss_limit", 0.0)
    local_images: int = setting(
        0,
        "Test images that every rank's own model is scored on, with --mixing; 0: all.",
        EVALUATION,
        limits="[0, inf)",
        may_change=True,
    )
    importance_samples: int = setting(
        0,
        "Codes of every test image for the importance-weighted bound, which is tighter the more there are; 0: no such "
        "bound.",
        SCORES,
        limits="[0, inf)",
    )
    frechet_samples: int = setting(
        0,
        "Images decoded from the prior for their Fréchet distance from the training images; 0: no such distance.",
        SCORES,
        limits="[0, inf)",
    )

    def check(self, ranks: int) -> None:
        super().check(ranks)
        if self.noise != declared(type(self))["noise"].default and self.likelihood != GAUSSIAN:
            raise ConfigurationError(f"noise is for --likelihood gaussian; the likelihood is {self.likelihood}")
        if 0 < self.frechet_samples < LEAST_SAMPLES:
            raise ConfigurationError(
                f"{self.frechet_samples} samples are too few for a Fréchet distance; use at least {LEAST_SAMPLES}"
            )
        if self.objective == BETA_TC and self.batch_size < 2 * ranks:
            raise ConfigurationError(
                f"beta-tc compares the images of a rank's batch, at least two; a batch of {self.batch_size} is too "
                f"small for {ranks} rank(s)"
            )

    def completed(self) -> Self:
        found = super().completed()
        declared(type(self))["model"].check(self.model)
        if self.width is not None:
            return found
        return replace(found, width=WIDTHS[self.model] if self.model in WIDTHS else MODELS[self.model].width)
