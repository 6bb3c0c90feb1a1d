"""Horovod's API for torch, with this project's optimizer and a safer start.

>>> import hvd_qgenx.torch as hvd  # was: import horovod.torch as hvd
"""

from typing import Any

from hvd_qgenx.installed import WITH_HOROVOD

try:
    import horovod.torch as _horovod
except ImportError as error:
    raise ImportError(
        f"hvd_qgenx.torch is Horovod's API with another optimizer, but Horovod cannot be imported ({error}); run "
        f"`{WITH_HOROVOD}`, or import hvd_qgenx, whose optimizers run under torchrun too"
    ) from error

from hvd_qgenx.optim.decentralized import DecentralizedOptimizer, Gossip
from hvd_qgenx.optim.distributed import DistributedOptimizer
from hvd_qgenx.transport import launch
from hvd_qgenx.transport.horovod import prepare

__all__ = ["DecentralizedOptimizer", "DistributedOptimizer", "Gossip", "init"]


def init(*arguments: Any, **keywords: Any) -> None:
    """Starts Horovod, with its own ``init``'s arguments, as ``hvd_qgenx.init`` does."""
    prepare()
    _horovod.init(*arguments, **keywords)
    launch.init()


def __getattr__(name: str) -> Any:
    return getattr(_horovod, name)
