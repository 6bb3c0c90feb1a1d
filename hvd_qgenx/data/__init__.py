"""Images, and the batches of them that every rank draws. Names are imported when they are first used."""

from typing import TYPE_CHECKING

from hvd_qgenx.exports import lazy

if TYPE_CHECKING:
    from hvd_qgenx.data.augment import Augmentation
    from hvd_qgenx.data.batches import Batches, evaluated_in_blocks, evaluation_blocks, normalized
    from hvd_qgenx.data.images import ImageFiles, ImageSet, InMemory
    from hvd_qgenx.data.registry import AUGMENTATIONS, DATASETS, SPLITS
    from hvd_qgenx.data.sets import load
    from hvd_qgenx.data.splits import Split, class_counts, describe, make_split

__all__ = [
    "AUGMENTATIONS",
    "DATASETS",
    "SPLITS",
    "Augmentation",
    "Batches",
    "ImageFiles",
    "ImageSet",
    "InMemory",
    "Split",
    "class_counts",
    "describe",
    "evaluated_in_blocks",
    "evaluation_blocks",
    "load",
    "make_split",
    "normalized",
]

_NAMES = {
    "augment": ("Augmentation",),
    "batches": ("Batches", "evaluated_in_blocks", "evaluation_blocks", "normalized"),
    "images": ("ImageFiles", "ImageSet", "InMemory"),
    "registry": ("AUGMENTATIONS", "DATASETS", "SPLITS"),
    "sets": ("load",),
    "splits": ("Split", "class_counts", "describe", "make_split"),
}
if not TYPE_CHECKING:
    __getattr__ = lazy(__name__, {name: f"{__name__}.{module}" for module, names in _NAMES.items() for name in names})
