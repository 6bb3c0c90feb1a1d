"""Names of data sets, splits over ranks and augmentations; listing them imports nothing further."""

from typing import TYPE_CHECKING

from hvd_qgenx.registry import Registry

if TYPE_CHECKING:
    from hvd_qgenx.data.sources import Source

DATASETS: "Registry[Source]" = Registry(
    "dataset",
    {
        "digits": "hvd_qgenx.data.sources:DIGITS",
        "mnist": "hvd_qgenx.data.sources:MNIST",
        "fashion-mnist": "hvd_qgenx.data.sources:FASHION_MNIST",
        "cifar10": "hvd_qgenx.data.sources:CIFAR10",
        "cifar100": "hvd_qgenx.data.sources:CIFAR100",
        "svhn": "hvd_qgenx.data.sources:SVHN",
        "celeba": "hvd_qgenx.data.sources:CELEBA",
        "folder": "hvd_qgenx.data.sources:FOLDER",
    },
)

SPLITS = ("reshuffled", "fixed", "sorted", "dirichlet")
"""Ways to divide samples among ranks; ``splits.make_split`` makes them."""

AUGMENTATIONS = ("none", "flip", "crop", "crop-flip")
"""Random changes of images; ``augment.Augmentation`` applies them."""
