"""Compressed gradients for torch's ``DistributedDataParallel``, by its communication hook.

``model.register_comm_hook(State(net, compressors.make("minmax", bits=4)), hook)`` puts it into a model of DDP.
"""

from hvd_qgenx.optim.comm_hook import State, hook

__all__ = ["State", "hook"]
