"""Ranks as Horovod processes."""

import os
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

import horovod.torch as hvd
import mpi4py
import torch
from horovod.torch.optimizer import _DistributedOptimizer
from torch import Tensor

from hvd_qgenx.transport.base import LENGTH_BYTES, Transport, Work

mpi4py.rc.initialize = mpi4py.rc.finalize = False  # Horovod does both
from mpi4py import MPI  # noqa: E402


class Horovod(Transport):
    """The ranks of ``horovodrun`` (or of one plain process)."""

    def __init__(self) -> None:
        super().__init__()
        if not hvd.is_initialized():
            for variable, value in _environment().items():
                os.environ.setdefault(variable, value)
            hvd.init()
        self.rank, self.size = hvd.rank(), hvd.size()
        self.local_rank, self.local_size = hvd.local_rank(), hvd.local_size()

    def all_reduce_mean(self, tensor: Tensor, name: str) -> Work[Tensor]:
        if tensor.dtype == torch.float16:
            handle = hvd.allreduce_async(tensor, name=name, op=hvd.Sum, prescale_factor=1 / self.size)
        else:
            handle = hvd.allreduce_async(tensor, name=name, op=hvd.Average)
        return Work(_wait(handle), self._ring_bytes(tensor))

    def all_gather(self, tensor: Tensor, sizes: Sequence[int] | None, name: str) -> Work[list[Tensor]]:
        sent = with_length(tensor) if sizes is None else tensor
        wait = _wait(hvd.allgather_async(sent, name=name))

        def parts() -> list[Tensor]:
            return split_by_length(wait(), self.size) if sizes is None else list(wait().split(list(sizes)))

        return Work(parts, self._gather_bytes(tensor, sizes))

    def all_to_all(self, tensors: Sequence[Tensor], name: str) -> Work[list[Tensor]]:
        splits = torch.tensor([len(tensor) for tensor in tensors], dtype=torch.int32)
        wait = _wait(hvd.alltoall_async(torch.cat(list(tensors)), splits=splits, name=name))

        def parts() -> list[Tensor]:
            received, sizes = wait()
            return list(received.split(sizes.tolist()))

        return Work(parts, self._scatter_bytes(tensors))

    def all_gather_object(self, value: Any, name: str) -> list[Any]:
        return list(hvd.allgather_object(value, name=name))

    def versions(self) -> dict[str, str]:
        mpi = MPI.Get_library_version().split(",")[0].strip()
        return {**super().versions(), "horovod": metadata.version("horovod"), "mpi": mpi}

    def optimizer_bases(self) -> tuple[type, ...]:
        return (_DistributedOptimizer,)


def with_length(tensor: Tensor) -> Tensor:
    """A uint8 tensor with its length, an int64, in front."""
    length = torch.tensor([len(tensor)], dtype=torch.int64).view(torch.uint8)
    return torch.cat([length.to(tensor.device), tensor])


def split_by_length(gathered: Tensor, count: int) -> list[Tensor]:
    """The ``count`` tensors of ``with_length`` that lie end to end."""
    parts, start = [], 0
    for _ in range(count):
        length = int(gathered[start : start + LENGTH_BYTES].clone().view(torch.int64))
        start += LENGTH_BYTES
        parts.append(gathered[start : start + length])
        start += length
    return parts


def _wait(handle: Any) -> Callable[[], Any]:
    return lambda: hvd.synchronize(handle)


def _environment() -> dict[str, str]:
    """Defaults that must be in the environment before MPI and Horovod start.

    Open MPI's own choice of all-reduce sends up to 1.9 times the bytes of a ring. Horovod would
    fuse all-reduces as they happen to meet, and the order of a sum would depend on timing; the
    vectors are fused already. A collective that some ranks never join ends the job. Idle ranks must give
    way where they outnumber the cores.
    """
    variables = {
        "OMPI_MCA_coll_tuned_use_dynamic_rules": "1",
        "OMPI_MCA_coll_tuned_allreduce_algorithm": "4",
        "HOROVOD_FUSION_THRESHOLD": "0",
        "HOROVOD_STALL_CHECK_TIME_SECONDS": "60",
        "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS": "180",
    }
    if int(os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE", "1")) > (os.cpu_count() or 1):
        variables["OMPI_MCA_mpi_yield_when_idle"] = "1"
    return variables
