"""Shared by tasks on images: settings of data and scores, and the check of the images a run was trained on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hvd_qgenx.data.registry import DATASETS
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.scores.registry import EXTRACTORS
from hvd_qgenx.training.config import NEUTRAL, Config
from hvd_qgenx.training.settings import setting
from hvd_qgenx.transport.environment import DATA

if TYPE_CHECKING:
    from hvd_qgenx.data import ImageSet

IMAGES, SCORES = "Images", "Scores"


@dataclass(frozen=True)
class ImageConfig(Config):
    """Settings of a task on images."""

    dataset: str = setting("digits", "Data set; digits comes with scikit-learn.", IMAGES, choices=DATASETS)
    data_dir: str = setting(
        "data",
        "Folder of the other data sets, in torchvision's layout.",
        IMAGES,
        may_change=True,
        per_host=True,
        environment=DATA,
    )
    image_size: int = setting(
        0, "Side of the images, where the data set leaves a choice; 0: the usual one.", IMAGES, limits="[0, inf)"
    )
    workers: int = setting(
        0,
        "Processes of every rank that prepare batches; 0: the rank itself.",
        IMAGES,
        limits="[0, inf)",
        may_change=True,
        role=NEUTRAL,
    )

    @property
    def data_folder(self) -> Path:
        """The folder of data sets."""
        return Path(self.data_dir).expanduser()


@dataclass(frozen=True)
class FeatureConfig(ImageConfig):
    """Settings of a task on images that scores images of its own by their features."""

    features: str = setting(
        "auto", "Feature extractor of the scores. Only inception gives FID.", SCORES, choices=EXTRACTORS, role=NEUTRAL
    )
    inception_weights: str = setting(
        "",
        "File of Inception's weights.",
        SCORES,
        may_change=True,
        per_host=True,
        otherwise="where torch hub keeps it",
    )


def check_images(config: ImageConfig, fingerprint: str, stored: Mapping[str, Any] | None) -> None:
    """Raises ConfigurationError if a stored run was trained on other images than those of this fingerprint."""
    if stored and stored["images"]["fingerprint"] != fingerprint:
        raise ConfigurationError(
            f"the run was trained on other images than {config.dataset} in {config.data_dir} has now; "
            "name their folder with --data-dir"
        )


DESCRIPTION = {"channels": 1, "side": 1, "classes": 1, "fingerprint": ""}
"""What ``describe_images`` returns, with values of the types they have."""


def describe_images(images: "ImageSet") -> dict[str, Any]:
    """Returns what a checkpoint keeps of the images that a model was trained on."""
    shape = {name: getattr(images, name) for name in ("channels", "side", "classes")}
    return {**shape, "counts": list(class_totals(images)), "fingerprint": images.fingerprint()}


def class_totals(images: "ImageSet") -> tuple[int, ...]:
    """Returns the number of images of every class; empty if there are no classes."""
    return tuple(images.labels.bincount(minlength=images.classes).tolist()) if images.classes else ()
