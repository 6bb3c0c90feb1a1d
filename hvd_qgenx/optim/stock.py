"""Arguments of Horovod's own ``DistributedOptimizer`` that mean something else here, or nothing."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from compressors import Compressor, Half, Identity
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.transport import Transport

AVERAGE, SUM, ADASUM = 0, 1, 2
"""Horovod's ``Average``, ``Sum`` and ``Adasum``."""


def as_compressor(compression: Any) -> Compressor:
    """Returns the compressor; Horovod's ``Compression.none`` and ``.fp16`` become the equivalent ones."""
    if compression is None:
        return Identity()
    if isinstance(compression, Compressor):
        return compression
    stock = {"NoneCompressor": Identity, "FP16Compressor": Half}.get(getattr(compression, "__name__", ""))
    if stock is None:
        raise ConfigurationError(f"compression must be a compressor, as compressors.make returns, not {compression!r}")
    return stock()


def check_passes(passes: Any) -> int:
    """Returns a number of backward passes; raises ConfigurationError if it is none."""
    if not isinstance(passes, int) or passes < 1:
        raise ConfigurationError(f"backward_passes_per_step must be a whole number from 1 on, not {passes!r}")
    return passes


def is_sum(op: Any, predivide_factor: float) -> bool:
    """Tells whether gradients are to be summed over ranks; otherwise they are averaged.

    Raises:
        ConfigurationError: ``op`` is neither ``Average`` nor ``Sum``, or a factor is given for a sum.
    """
    if op == ADASUM:
        raise ConfigurationError("op=Adasum is not supported; use Average or Sum, or Horovod's own optimizer")
    if op not in (None, AVERAGE, SUM):
        raise ConfigurationError(f"op must be Horovod's Average or Sum, not {op!r}")
    if op == SUM and predivide_factor != 1.0:
        raise ConfigurationError("gradient_predivide_factor is for op=Average alone")
    return bool(op == SUM)


def check_groups(num_groups: int, groups: int | Sequence[Sequence[Tensor]] | None) -> None:
    """Accepts Horovod's groups for fusion, which change nothing: all gradients lie in flat buffers already.

    Raises:
        ConfigurationError: Horovod would not accept them either.
    """
    if num_groups < 0 or (isinstance(groups, int) and groups < 0):
        raise ConfigurationError("num_groups and groups must not be negative")
    if groups is None or isinstance(groups, int):
        return
    members = [parameter for group in groups for parameter in group]
    if not all(isinstance(parameter, Tensor) for parameter in members):
        raise ConfigurationError("groups must hold tensors")
    if len(set(members)) < len(members):
        raise ConfigurationError("a parameter may be in one of the groups only")


def transport_of(process_set: Any) -> Transport:
    """Returns the ranks of one of Horovod's process sets, or of all (None); a rank outside of the set is alone.

    Raises:
        ConfigurationError: Horovod cannot be imported, or ranks do not fit together.
    """
    from hvd_qgenx.transport.inprocess import InProcess
    from hvd_qgenx.transport.launch import init

    if process_set is None or process_set.process_set_id == 0:
        return init()
    from hvd_qgenx.transport.horovod import Horovod

    return Horovod(process_set) if process_set.included() else InProcess()
