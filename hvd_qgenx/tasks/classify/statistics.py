"""Statistics of batch norm that all ranks agree on."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from hvd_qgenx.data import evaluated_in_blocks
from hvd_qgenx.transport import Transport


def norms_of(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Returns the batch-norm layers of a model."""
    return [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


@torch.no_grad()
def estimate_statistics(
    model: nn.Module, inputs: Callable[[range], Tensor], count: int, size: int, transport: Transport
) -> None:
    """Replaces the running statistics of batch norm by means over batches of the same samples for all. Collective.

    While training, running statistics are those of each rank's own batches. These are the same on all ranks, and the
    same bits for any number of them: ranks share the batches, and all take the mean in the order of the batches.

    Args:
        model: is left in training mode.
        inputs: the inputs of samples by their places.
        count: number of samples.
        size: samples in a batch.
        transport: of the ranks.
    """
    norms = norms_of(model)
    if not norms:
        return
    model.train()
    for norm in norms:
        norm.momentum = 1.0  # the statistics of the last batch alone

    def find(_: int, places: range) -> Tensor:
        model(inputs(places))
        return torch.cat([value.double().cpu() for norm in norms for value in _running(norm)])

    mean = torch.stack(evaluated_in_blocks(count, size, transport, "norm-statistics", find)).mean(0)
    sizes = [value.numel() for norm in norms for value in _running(norm)]
    targets = [value for norm in norms for value in _running(norm)]
    for target, values in zip(targets, mean.split(sizes), strict=True):
        target.copy_(values)


def _running(norm: nn.modules.batchnorm._BatchNorm) -> Iterator[Tensor]:
    for value in (norm.running_mean, norm.running_var):
        assert value is not None
        yield value
