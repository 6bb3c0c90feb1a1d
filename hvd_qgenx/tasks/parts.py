"""The training and the test images of a data set."""

from typing import NamedTuple

from hvd_qgenx import data
from hvd_qgenx.data import ImageSet
from hvd_qgenx.tasks.images import ImageConfig
from hvd_qgenx.transport import Transport


class Parts(NamedTuple):
    """The two parts of a data set."""

    train: ImageSet
    test: ImageSet


def load_parts(config: ImageConfig, transport: Transport, download: bool) -> Parts:
    """Returns both parts of the data set of a configuration. Collective.

    Raises:
        ConfigurationError: on all ranks; something is missing.
    """
    train, test = (
        data.load(config.dataset, config.data_folder, download, transport, config.image_size, part)
        for part in ("train", "test")
    )
    return Parts(train, test)
