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
def one_thread() -> Iterator[None]:
    """Keeps torch to one thread, so that no sum depends on the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
