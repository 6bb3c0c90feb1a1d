"""Starts the transport that fits how this process was started."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.installed import WITH_HOROVOD, is_installed
from hvd_qgenx.transport.launcher import is_elastic, launcher_rank, started_by_torch
from hvd_qgenx.transport.startup import check_start

if TYPE_CHECKING:
    from hvd_qgenx.transport.base import Transport
    from hvd_qgenx.transport.elastic import Committed
    from hvd_qgenx.transport.horovod import Horovod

T = TypeVar("T")


def launched() -> Transport:
    """Returns Horovod's ranks under horovodrun or mpirun, and torch.distributed's under torchrun.

    Without a launcher it is a group of one rank, which needs neither.

    Raises:
        ConfigurationError: the launcher is elastic, there are two, Horovod cannot be imported where it is needed, or
            processes of torch.distributed cannot reach each other.
    """
    if is_elastic():
        raise ConfigurationError(
            "horovodrun --min-np restarts ranks, which only `hvd-qgenx gan --elastic` supports; "
            "start this command with -np alone"
        )
    if started_by_torch():
        from hvd_qgenx.transport.distributed import Distributed

        return Distributed()
    if launcher_rank() is None:
        from hvd_qgenx.transport.inprocess import InProcess

        return InProcess()
    return _horovod()()


def init(ranks: int | None = None, hosts: int | None = None) -> Transport:
    """Starts the ranks of Horovod or, under torchrun, of torch.distributed: call it first in a program.

    Without a launcher there is one rank, which Horovod carries if it is installed.

    It takes the place of ``hvd.init``, and does what that leaves out. MPI and Horovod get settings that exchanges are
    fast with. Ranks that are silent, frozen or cut off, or that have ended early, end the job instead of keeping it
    waiting. ``DistributedOptimizer`` does the same for a program
    that has called ``hvd.init``, as far as it can be done later. Collective; may be called again.

    Args:
        ranks: how many there are to be; None accepts any.
        hosts: on how many hosts; None accepts any.

    Raises:
        ConfigurationError: Horovod cannot be imported, or processes of torch.distributed cannot reach each other.
        DisagreementError: on all ranks, if these numbers are others, ranks have different versions of packages, or
            the launcher has started ranks that do not see each other.
    """
    alone = launcher_rank() is None and not is_installed("horovod")
    transport = launched() if started_by_torch() or alone else _horovod()()
    check_start(transport, ranks, hosts)
    return transport


def _horovod() -> type[Horovod]:
    """Returns the class of Horovod's ranks.

    Raises:
        ConfigurationError: Horovod cannot be imported.
    """
    try:
        from hvd_qgenx.transport.horovod import Horovod
    except ImportError as error:
        raise ConfigurationError(
            f"Horovod cannot be imported ({error}); run `{WITH_HOROVOD}`, or `make install` in a checkout, or start "
            "ranks with torchrun and a single one without a launcher"
        ) from error
    return Horovod


def launched_elastic(train: Callable[[Transport, Committed], T]) -> T:
    """Calls ``train(transport, committed)`` on all ranks, and again whenever ranks have come or gone; see ``elastic``.

    Raises:
        ConfigurationError: the launcher is not elastic, or Horovod cannot be imported.
    """
    if not is_elastic():
        raise ConfigurationError(
            "--elastic needs a launcher that restarts ranks: "
            "horovodrun -np 3 --min-np 2 --max-np 3 --host-discovery-script SCRIPT"
        )
    _horovod()
    from hvd_qgenx.transport.elastic import elastic

    return elastic(train)
