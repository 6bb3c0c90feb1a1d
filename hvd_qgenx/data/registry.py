"""Names of data sets, samples, texts, splits over ranks and augmentations; listing them imports nothing further."""

from typing import TYPE_CHECKING

from hvd_qgenx.registry import Registry

if TYPE_CHECKING:
    from hvd_qgenx.data.sample_sources import SampleSource
    from hvd_qgenx.data.sources import Source
    from hvd_qgenx.data.text_sources import TextSource

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
"""Sources of images by name."""

SAMPLES: "Registry[SampleSource]" = Registry(
    "data set",
    {
        "breast-cancer": "hvd_qgenx.data.sample_sources:BREAST_CANCER",
        "a5a": "hvd_qgenx.data.sample_sources:A5A",
        "covtype": "hvd_qgenx.data.sample_sources:COVTYPE",
        "gisette": "hvd_qgenx.data.sample_sources:GISETTE",
        "heart": "hvd_qgenx.data.sample_sources:HEART",
        "mushrooms": "hvd_qgenx.data.sample_sources:MUSHROOMS",
        "rcv1": "hvd_qgenx.data.sample_sources:RCV1",
        "real-sim": "hvd_qgenx.data.sample_sources:REAL_SIM",
        "w8a": "hvd_qgenx.data.sample_sources:W8A",
    },
)
"""Sets of samples with two labels; all but the first are LIBSVM's."""

TEXTS: "Registry[TextSource]" = Registry(
    "text",
    {
        "markov": "hvd_qgenx.data.text_sources:MARKOV",
        "ptb": "hvd_qgenx.data.text_sources:PTB",
        "wikitext-2": "hvd_qgenx.data.text_sources:WIKITEXT_2",
        "wikitext-103": "hvd_qgenx.data.text_sources:WIKITEXT_103",
        "folder": "hvd_qgenx.data.text_sources:FOLDER",
    },
)

SPLITS = ("reshuffled", "fixed", "sorted", "dirichlet")
"""Ways to divide samples among ranks; ``splits.make_split`` makes them."""

AUGMENTATIONS = ("none", "flip", "crop", "crop-flip")
"""Random changes of images; ``augment.Augmentation`` applies them."""
