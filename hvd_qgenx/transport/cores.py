"""Threads of ranks that share a host."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from compressors.kernels.threads import set_share
from hvd_qgenx.transport.base import Transport
from hvd_qgenx.transport.environment import OMP_THREADS
from hvd_qgenx.transport.launcher import launched_local_size
from hvd_qgenx.transport.quota import host_cores, process_cores


def share_cores(transport: Transport) -> None:
    """Gives every rank of a host an equal share of its cores, unless the user said how many threads to use."""
    if OMP_THREADS not in os.environ:
        torch.set_num_threads(_share(transport))
    share_kernels(transport)


def share_kernels(transport: Transport) -> None:
    """Does so for the compressors alone, whose results do not depend on it."""
    set_share(_share(transport))


def _share(transport: Transport) -> int:
    """The cores of a rank: an equal part of its host's, and no more than its process is bound to."""
    return max(1, min(process_cores(), host_cores() // max(transport.local_size, launched_local_size())))


@contextmanager
def shared_by_threads(ranks: int) -> Iterator[int]:
    """Yields how many threads each of so many ranks, threads of this process, is to give to ``torch.set_num_threads``.

    A thread that has not set the number itself takes, at its first use of torch, what another set last.
    """
    before = torch.get_num_threads()
    try:
        yield before if OMP_THREADS in os.environ else max(1, before // ranks)
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_thread() -> Iterator[None]:
    """Keeps torch to one thread, so that no sum depends on the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
