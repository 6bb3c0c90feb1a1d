"""Settings of a classifier's run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from hvd_qgenx.data.registry import AUGMENTATIONS, SPLITS
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.nets.registry import NORMS
from hvd_qgenx.tasks.classify.models.registry import MODELS
from hvd_qgenx.tasks.images import IMAGES, ImageConfig
from hvd_qgenx.training.config import COMPRESSION, MACHINE, RUN, TRAINING
from hvd_qgenx.training.gossip import GOSSIP
from hvd_qgenx.training.settings import declared, redeclared, setting
from hvd_qgenx.training.single_model.settings import EVALUATION, STEP_SIZE, SingleModelConfig

MODEL = "Model"

RATES = {
    **dict.fromkeys(("sgd", "extra-sgd", "past-extra-sgd", "optimistic-sgd"), 0.1),
    **dict.fromkeys(("adam", "adamw", "extra-adam", "past-extra-adam", "optimistic-adam"), 1e-3),
    **dict.fromkeys(("qgenx-de", "qgenx-da", "qgenx-optda", "qoda", "qoda-separated"), 1.0),
}
"""Optimizers that a classifier can be trained with, and their default step sizes."""


@dataclass(frozen=True)
class ClassifyConfig(SingleModelConfig, ImageConfig):
    """One run of ``hvd-qgenx classify``."""

    task: ClassVar[str] = "classify"
    implementation: ClassVar[str] = "hvd_qgenx.tasks.classify.task:ClassifyTask"
    evaluation: ClassVar[str] = "hvd_qgenx.tasks.classify.evaluation:evaluate_runs"
    rates: ClassVar[Mapping[str, float]] = RATES
    sections: ClassVar[tuple[str, ...]] = (
        IMAGES,
        MODEL,
        TRAINING,
        STEP_SIZE,
        COMPRESSION,
        GOSSIP,
        EVALUATION,
        MACHINE,
        RUN,
    )

    augmentation: str = setting(
        "none",
        "flip mirrors half of the images; crop pads by 4 pixels and cuts the image's size out again.",
        IMAGES,
        choices=AUGMENTATIONS,
    )
    split: str = setting(
        "reshuffled",
        "How images are split over ranks: reshuffled in every epoch, or in fixed shares, cut at random, sorted by "
        "label, or with labels skewed as by Dirichlet.",
        IMAGES,
        choices=SPLITS,
    )
    dirichlet_alpha: float = setting(
        1.0, "Concentration of --split dirichlet; the smaller, the more uneven.", IMAGES, limits="(0, inf)"
    )
    model: str = setting("mlp", "Architecture.", MODEL, choices=MODELS)
    model_norm: str | None = setting(None, "Norm layers.", MODEL, choices=NORMS, otherwise="the model's own")
    optimizer: str = redeclared(SingleModelConfig, "optimizer", "sgd", names=RATES)
    label_smoothing: float = setting(
        0.0, "Share of a label that is spread over all classes.", TRAINING, limits="[0, 1)"
    )
    accumulation: int = setting(
        1, "Parts of a batch whose gradients are accumulated before an exchange.", TRAINING, limits="[1, inf)"
    )
    local_images: int = setting(
        0,
        "Test images that every rank's own model is scored on, with --mixing; 0: all.",
        EVALUATION,
        limits="[0, inf)",
        may_change=True,
    )

    def check(self, ranks: int) -> None:
        super().check(ranks)
        if self.batch_size % self.accumulation:
            raise ConfigurationError(
                f"a batch of {self.batch_size} cannot be accumulated in {self.accumulation} equal parts; "
                "choose a batch size that they divide"
            )
        if self.batch_size // self.accumulation < ranks:
            raise ConfigurationError(
                f"a {self.accumulation}th of a batch of {self.batch_size} cannot be split over {ranks} ranks"
            )
        if self.dirichlet_alpha != declared(type(self))["dirichlet_alpha"].default and self.split != "dirichlet":
            raise ConfigurationError(f"dirichlet_alpha is for --split dirichlet; the split is {self.split}")
