"""Processes that read images ahead of training."""

import atexit
import multiprocessing
import os
import signal
import threading
import weakref
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hvd_qgenx.data.images import ImageSet
from hvd_qgenx.errors import LocalError


class ReadAhead:
    """Takes what ``indices`` lists from ``images``, two lists a process ahead.

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
            worker_init_fn=_belong_to_parent,
            generator=torch.Generator(),  # from which the loader draws, in place of the global one
        )
        others = set(multiprocessing.active_children())
        self._taken = iter(loader)
        _readers.update(set(multiprocessing.active_children()) - others)

    def __next__(self) -> tuple[Tensor, Tensor]:
        """What ``ImageSet.take`` returns for the next list.

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
    """Before multiprocessing, at its own end, would ask them with a SIGTERM that they ignore, and wait for ever."""
    for reader in _readers:
        reader.kill()


class _Taking(Dataset[tuple[Tensor, Tensor] | LocalError]):
    """Returns errors instead of raising them, which would wrap their sentence in a traceback."""

    def __init__(self, images: ImageSet) -> None:
        self.images = images

    def __getitem__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor] | LocalError:
        try:
            return self.images.take(indices)
        except LocalError as error:
            return error


def _belong_to_parent(_: int) -> None:
    """Leaves signals to the rank, which may want to read on when one comes; ends when the rank does.

    The loader's own processes look for a new parent process, but theirs is the server, which lasts as they do.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)

    def wait() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
