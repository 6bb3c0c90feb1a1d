"""Compressed gradients for torch's ``DistributedDataParallel``, by its communication hook.

>>> model.register_comm_hook(State(model, compressors.make("minmax", bits=4)), hook)  # doctest: +SKIP
"""

from hvd_qgenx.optim.comm_hook import State as State
from hvd_qgenx.optim.comm_hook import hook as hook
