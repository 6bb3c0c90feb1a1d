"""Loads data sets by name, on all ranks."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hvd_qgenx.data.checking import checked
from hvd_qgenx.data.images import ImageFiles, ImageSet
from hvd_qgenx.data.registry import DATASETS
from hvd_qgenx.data.sources import ADD, Part, Source
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.transport import Transport
from hvd_qgenx.transport.agreement import on_all_ranks, require_same, with_keep_alive


def load(
    name: str,
    data_dir: Path,
    download: bool,
    transport: Transport,
    side: int = 0,
    part: Part = "all",
    *,
    skip_damaged: bool = False,
) -> ImageSet:
    """Returns a part of a data set.

    With ``download``, one rank of every host fetches missing data while the others wait. Images in files are checked
    on rank 0, and all ranks have the same.

    Args:
        name: one of ``DATASETS``.
        data_dir: folder of data sets in torchvision's layout; for ``folder``, of one folder of images a class, or for
            the parts ``train`` and ``test`` of such folders in ``train`` and ``test`` (or ``val``, or ``valid``).
        download: fetch what is missing.
        transport: the ranks.
        side: height and width that images are scaled to; 0: their own, or 64 where they differ.
        part: ``train``, ``test``, or ``all``, everything to train on if nothing is tested: the publishers' training
            images, or the whole of ``digits`` and ``folder``.
        skip_damaged: leave out images whose files cannot be read.

    Raises:
        ConfigurationError: on all ranks, if the data set is missing on one, differs between ranks, or has an image
            that cannot be read.
    """

    def find() -> ImageSet:
        found = read(name, data_dir, part)
        return found.scaled(side) if side else found

    if download and DATASETS[name].downloads:
        fetch_once_per_host(transport, partial(read, name, data_dir, part, download=True))
    images = on_all_ranks(transport, "data", find)
    require_same(transport, {f"what {name} holds": f"{len(images)} images ({images.fingerprint()[:12]})"})
    return checked(images, transport, skip_damaged) if isinstance(images, ImageFiles) else images


def fetch_once_per_host(transport: Transport, fetch: Callable[[], Any]) -> None:
    """Calls ``fetch`` on one rank of every host while the others wait, however long it takes. Collective.

    Raises:
        ConfigurationError: on all ranks, if ``fetch`` raised one on some rank.
    """
    call = fetch if transport.local_rank == 0 else lambda: None
    on_all_ranks(transport, "download", lambda: with_keep_alive(transport, "downloading", call))


def read(name: str, data_dir: Path, part: Part = "all", *, download: bool = False) -> ImageSet:
    """Returns a part of a data set, on one rank alone.

    Raises:
        ConfigurationError: there is no such data set, or it is missing or damaged; says what to do.
    """
    source = DATASETS[name]
    try:
        return source.read(name, data_dir, part, download)
    except ConfigurationError:
        raise
    except Exception as error:  # damaged files and failed downloads raise many kinds
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigurationError(
            f"no {name} in {data_dir} ({reason}); {_advice(source, data_dir, download)}"
        ) from error


def _advice(source: Source, data_dir: Path, download: bool) -> str:
    """Returns what to do about a data set that is missing or damaged."""
    for folder in (data_dir, *data_dir.parents[:1]):
        if folder.name == source.folder:
            return f"{folder} is the data set's own folder: name the one that it is in, --data-dir {folder.parent}"
    return source.advice.removeprefix(ADD) if download else source.advice
