"""Settings of a GAN run."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from compressors.naming import unknown
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.tasks.gan.registry import LOSSES, MODELS, NORMS
from hvd_qgenx.tasks.images import IMAGES, SCORES, FeatureConfig, ImageConfig
from hvd_qgenx.training.config import COMPRESSION, MACHINE, NEUTRAL, RUN, STUDIED, TRAINING, WEIGHTS
from hvd_qgenx.training.settings import redeclared, setting

PLAYERS = "Players"
AUGMENTATIONS = ("none", "flip")
OWN = "the optimizer's own"

RATES = {
    **dict.fromkeys(("extra-adam", "past-extra-adam", "optimistic-adam", "adam"), (2e-4, 1e-3)),
    **dict.fromkeys(("extra-sgd", "past-extra-sgd", "optimistic-sgd", "sgd"), (1e-2, 5e-2)),
    **dict.fromkeys(("qgenx-de", "qgenx-da", "qgenx-optda", "qoda", "qoda-separated"), (3.0, 0.1)),
}
"""Optimizers that a GAN can be trained with, and their default step sizes of generator and discriminator."""


@dataclass(frozen=True)
class GanConfig(FeatureConfig):
    """One run of ``hvd-qgenx gan``."""

    task: ClassVar[str] = "gan"
    implementation: ClassVar[str] = "hvd_qgenx.tasks.gan.task:GanTask"
    evaluation: ClassVar[str] = "hvd_qgenx.tasks.gan.evaluation:evaluate_runs"
    sampling: ClassVar[str | None] = "hvd_qgenx.tasks.gan.sampling:sample"
    sections: ClassVar[tuple[str, ...]] = (IMAGES, PLAYERS, TRAINING, COMPRESSION, SCORES, MACHINE, RUN)

    updates: int = redeclared(ImageConfig, "updates", 1500, help="Updates of both players.")
    optimizer: str = redeclared(ImageConfig, "optimizer", "extra-adam", names=RATES)
    beta1: float = redeclared(ImageConfig, "beta1", 0.5)
    beta2: float = redeclared(ImageConfig, "beta2", 0.9)
    augmentation: str = setting("none", "flip shows half of the images mirrored.", IMAGES, choices=AUGMENTATIONS)
    model: str = setting("dcgan", "Architecture of both players.", PLAYERS, choices=MODELS)
    filters: int = setting(
        32, "Width: of the DCGAN's outermost feature map, of all of the ResNet's.", PLAYERS, limits="(0, inf)"
    )
    latent: int = setting(128, "Length of a latent vector.", PLAYERS, limits="(0, inf)")
    generator_norm: str = setting("layer", "Norm of the generator.", PLAYERS, choices=NORMS)
    discriminator_norm: str = setting("none", "Norm of the discriminator.", PLAYERS, choices=NORMS)
    spectral_norm: bool = setting(
        False, "Divide the discriminator's weights by their largest singular values.", PLAYERS
    )
    conditional: bool = setting(False, "Give both players the labels too.", PLAYERS)
    loss: str = setting("wgan-gp", "wgan-gp has a gradient penalty, wgan clips weights.", TRAINING, choices=LOSSES)
    penalty: float = setting(10.0, "Weight of the gradient penalty of wgan-gp.", TRAINING, limits="(0, inf)")
    clip: float = setting(0.01, "Largest weight of the discriminator with wgan.", TRAINING, limits="(0, inf)")
    generator_lr: float | None = setting(
        None,
        "Step size of the generator; for Q-GenX a factor of the adaptive one.",
        TRAINING,
        limits="(0, inf)",
        role=STUDIED,
        otherwise=OWN,
    )
    discriminator_lr: float | None = setting(
        None, "Step size of the discriminator.", TRAINING, limits="(0, inf)", role=STUDIED, otherwise=OWN
    )
    critic_steps: int = setting(
        0,
        "Steps of the discriminator before one of the generator; 0: both move at once.",
        TRAINING,
        limits="[0, inf)",
        role=STUDIED,
    )
    ema: float = setting(
        0.99,
        "Decay per update of the exponential moving average of the generator's weights.",
        TRAINING,
        limits="[0, 1)",
    )
    score_every: int = setting(
        0,
        "Updates between two scores of the generator, with one at the end; 0: no scores.",
        SCORES,
        limits="[0, inf)",
        may_change=True,
    )
    score_samples: int = setting(2500, "Number of images generated for a score.", SCORES, limits="(0, inf)")
    score_weights: str = setting(
        "raw,ema", f"Generator weights to score, any of {', '.join(WEIGHTS)}, like raw,ema.", SCORES, role=NEUTRAL
    )
    sample_every: int = setting(250, "Updates between two sample pictures.", RUN, limits="(0, inf)", may_change=True)

    def check(self, ranks: int) -> None:
        super().check(ranks)
        if self.critic_steps and self.method.moves == 2:
            raise ConfigurationError(
                f"{self.optimizer} moves both players at once; critic_steps is for optimizers with one move an update"
            )
        for weights in self.scored_weights:
            if weights not in WEIGHTS:
                raise ConfigurationError(unknown("weights", weights, WEIGHTS))
        if LOSSES[self.loss].penalized and self.discriminator_norm == "batch":
            raise ConfigurationError(
                "the gradient penalty is defined for single images, which batch norm in the discriminator mixes; "
                "use --discriminator-norm layer or none, or --loss wgan"
            )

    @property
    def scored_weights(self) -> tuple[str, ...]:
        """The weights whose images are scored."""
        return tuple(dict.fromkeys(weights.strip() for weights in self.score_weights.split(",")))

    @property
    def moves_per_update(self) -> int:
        return self.critic_steps + 1 if self.critic_steps else self.method.moves

    def completed(self) -> Self:
        found = super().completed()
        generator_lr, discriminator_lr = RATES[self.optimizer]
        return replace(
            found,
            generator_lr=generator_lr if self.generator_lr is None else self.generator_lr,
            discriminator_lr=discriminator_lr if self.discriminator_lr is None else self.discriminator_lr,
        )
