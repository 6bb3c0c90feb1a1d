"""Shared by tasks on images: settings of data and scores, and the check of the images a run was trained on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from compressors.naming import shown
from hvd_qgenx.data.registry import DATASETS
from hvd_qgenx.data.wording import counted, enumeration
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.scores.registry import EXTRACTORS
from hvd_qgenx.training.config import NEUTRAL, Config
from hvd_qgenx.training.settings import setting
from hvd_qgenx.transport.environment import DATA

if TYPE_CHECKING:
    from hvd_qgenx.data import ImageSet
    from hvd_qgenx.data.sources import Part
    from hvd_qgenx.transport import Transport

MOST_NAMED = 1000
"""Damaged files that config.json names."""
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

    skip_damaged: bool = setting(
        False,
        "Leave out images whose files cannot be read, in place of refusing to start.",
        IMAGES,
        may_change=True,
    )
    changed_data: bool = setting(
        False,
        "Let a run that is resumed go on though image files were replaced, removed or added; it says which.",
        IMAGES,
        may_change=True,
    )

    @classmethod
    def restored(cls, stored: Mapping[str, Any]) -> Self:
        return replace(super().restored(stored), changed_data=False)  # to be given whenever data have changed

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


def load_images(config: ImageConfig, transport: "Transport", download: bool, part: "Part" = "all") -> "ImageSet":
    """Returns a part of a configuration's data set. Collective.

    Raises:
        ConfigurationError: on all ranks; as ``data.load`` does.
    """
    from hvd_qgenx import data  # which help does without

    place, side = config.data_folder, config.image_size
    return data.load(config.dataset, place, download, transport, side, part, skip_damaged=config.skip_damaged)


def check_images(config: ImageConfig, images: "ImageSet", stored: Mapping[str, Any] | None) -> None:
    """Raises ConfigurationError if a stored run was trained on other images, unless it may go on with these."""
    if stored is None or stored["images"]["fingerprint"] == images.fingerprint():
        return
    before, now = stored["images"], describe_images(images)
    place = f"{config.dataset} in {config.data_dir}"
    for name in ("channels", "side", "class_names", "classes"):
        if before.get(name, now[name]) != now[name]:
            raise ConfigurationError(
                f"the run cannot go on with {place}: its {name.replace('_', ' ')} are {shown(now[name])}, "
                f"not {shown(before[name])}; restore them, or start another run"
            )
    if not config.changed_data:
        changes = changed_files(before, images)
        raise ConfigurationError(
            f"the run was trained on other images than {place} has now{changes and f' ({changes})'}; "
            "restore them, name their folder with --data-dir, or add --changed-data to go on with those of now"
        )


def changed_files(before: Mapping[str, Any], images: "ImageSet") -> str:
    """Returns in what files images differ from those that a checkpoint describes; empty if it has no list of them."""
    if not before.get("files"):
        return ""
    then, now = _checksums(before["files"]), _checksums(images.manifest)
    kinds = {
        "removed": then.keys() - now.keys(),
        "added": now.keys() - then.keys(),
        "replaced": {name for name in then.keys() & now.keys() if then[name] != now[name]},
    }
    return "; ".join(
        f"{counted(len(names), 'file')} {kind}: {enumeration(sorted(names), 3)}"
        for kind, names in kinds.items()
        if names
    )


def _checksums(manifest: str) -> dict[str, str]:
    """Returns the checksums of files by their names."""
    lines = (line.partition(" ") for line in manifest.split("\0") if line)
    return {name: checksum for checksum, _, name in lines}


DESCRIPTION = {"channels": 1, "side": 1, "classes": 1, "fingerprint": ""}
"""What ``describe_images`` returns, with values of the types they have."""


def describe_images(images: "ImageSet") -> dict[str, Any]:
    """Returns what a checkpoint keeps of the images that a model was trained on."""
    shape = {name: getattr(images, name) for name in ("channels", "side", "classes")}
    return {
        **shape,
        "class_names": list(images.class_names),
        "counts": list(class_totals(images)),
        "fingerprint": images.fingerprint(),
        "files": images.manifest,
    }


def note_images(images: "ImageSet") -> dict[str, Any]:
    """Returns what config.json says of images: how many there are, of every class too, and what is left out."""
    names = images.class_names or map(str, range(images.classes))
    return {
        "count": len(images),
        "classes": dict(zip(names, class_totals(images), strict=True)),
        "skipped": dict(images.skipped),
        "damaged": list(images.damaged[:MOST_NAMED]),
    }


def image_remarks(images: "ImageSet", changes: str = "", title: str = "") -> Iterator[str]:
    """Lines to print of images in files before training, with ``changes`` since the run began."""
    if images.manifest:
        yield f"{title}{images.describe()}"
    if changes:
        yield f"Changed since the last checkpoint: {changes}"


def class_totals(images: "ImageSet") -> tuple[int, ...]:
    """Returns the number of images of every class; empty if there are no classes."""
    return tuple(images.labels.bincount(minlength=images.classes).tolist()) if images.classes else ()
