"""Processes that prefetch images for training."""

import atexit
import multiprocessing
import weakref
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hvd_qgenx.children import end_with_parent
from hvd_qgenx.data.images import ImageSet
from hvd_qgenx.errors import LocalError


class Prefetcher:
    """Iterates over the images that lists of indices name; each process reads two lists ahead.

    The processes are forked from a server that has neither this process's threads nor its MPI and
    CUDA. They end with this object, and with this process, however it ends.
    """

    def __init__(self, images: ImageSet, indices: Iterable[Sequence[int]], processes: int) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])  # so that imports cost time and memory once
        loader = DataLoader(
            _Taking(images),
            batch_size=None,  # what the sampler yields is a batch
            sampler=indices,
            num_workers=processes,
            multiprocessing_context=context,
            worker_init_fn=_end_with_rank,
            generator=torch.Generator(),  # from which the loader draws, in place of the global one
        )
        others = set(multiprocessing.active_children())
        self._taken = iter(loader)
        _readers.update(set(multiprocessing.active_children()) - others)

    def __next__(self) -> tuple[Tensor, Tensor]:
        """Returns what ``ImageSet.take`` returns for the next list.

        Raises:
            LocalError: an image cannot be read, or a process has died.
        """
        try:
            taken = next(self._taken)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise LocalError(f"a process that reads images has failed ({reason}); try fewer --workers") from error
        if isinstance(taken, LocalError):
            raise taken
        images, labels = taken
        return images, labels


_readers: weakref.WeakSet[multiprocessing.process.BaseProcess] = weakref.WeakSet()


@atexit.register
def _end_readers() -> None:
    """Kills readers that are left: multiprocessing would send them a SIGTERM, which they ignore, and wait for ever."""
    for reader in _readers:
        reader.kill()


class _Taking(Dataset[tuple[Tensor, Tensor] | LocalError]):
    """Takes images by lists of indices.

    Errors are returned, because DataLoader would wrap the sentence of a raised one in a traceback.
    """

    def __init__(self, images: ImageSet) -> None:
        self.images = images

    def __getitem__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor] | LocalError:
        try:
            return self.images.take(indices)
        except LocalError as error:
            return error


def _end_with_rank(_: int) -> None:
    """Makes this process ignore signals, after which its rank may still read, and end when its rank ends.

    DataLoader's own watchdog looks for a change of the parent process, but the parent is the fork server here, which
    lasts as long as its children.
    """
    end_with_parent()
