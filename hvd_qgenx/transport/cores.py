"""Threads of ranks that share a host."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from compressors.kernels.threads import set_threads
from hvd_qgenx.transport.base import Transport
from hvd_qgenx.transport.environment import KERNEL_THREADS, OMP_THREADS


def share_cores(transport: Transport) -> None:
    """Gives every rank of a host an equal share of its cores, unless the user said how many threads to use."""
    share = max(1, (os.cpu_count() or 1) // transport.local_size)
    if OMP_THREADS not in os.environ:
        torch.set_num_threads(share)
    if KERNEL_THREADS not in os.environ:
        set_threads(share)


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
