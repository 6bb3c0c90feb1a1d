"""Images, and the batches of them that every rank draws. Names are imported when they are first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hvd_qgenx.data.augment import Augmentation
    from hvd_qgenx.data.batches import Batches, evaluation_blocks, normalized
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
    "evaluation_blocks",
    "load",
    "make_split",
    "normalized",
]

_MODULES = {
    "augment": ("Augmentation",),
    "batches": ("Batches", "evaluation_blocks", "normalized"),
    "images": ("ImageFiles", "ImageSet", "InMemory"),
    "registry": ("AUGMENTATIONS", "DATASETS", "SPLITS"),
    "sets": ("load",),
    "splits": ("Split", "class_counts", "describe", "make_split"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
