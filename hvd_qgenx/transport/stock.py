"""Horovod's own optimizer, for comparison."""

from typing import Any

import horovod.torch as hvd
from torch.optim import Optimizer


def stock_optimizer(optimizer: Optimizer, name: str, half: bool = False) -> Any:
    """Returns ``hvd.DistributedOptimizer``, with its all-reduces named after ``name``, in fp32 or through fp16."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    named = [(f"{name}.{index}", parameter) for index, parameter in enumerate(parameters)]
    compression = hvd.Compression.fp16 if half else hvd.Compression.none
    return hvd.DistributedOptimizer(optimizer, named_parameters=named, compression=compression)
