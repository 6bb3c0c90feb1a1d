"""Transports carry bytes between ranks: Horovod, torch.distributed, or the threads of one process.

Only this package knows Horovod, MPI and process groups.
"""

from hvd_qgenx.transport.base import Transport, Work
from hvd_qgenx.transport.launch import launched, launched_elastic
from hvd_qgenx.transport.launcher import launcher_rank

__all__ = ["Transport", "Work", "launched", "launched_elastic", "launcher_rank"]
