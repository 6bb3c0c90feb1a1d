"""Memory layouts of parameters, torch's optimizers and their implementations: the same steps as torch alone."""

import itertools

import pytest
import torch
from torch import nn

from hvd_qgenx import DistributedOptimizer
from hvd_qgenx.transport import inprocess

OPTIMIZERS = {
    "Adadelta": {"lr": 0.1},
    "Adafactor": {"lr": 0.01},
    "Adagrad": {"lr": 0.01},
    "Adam": {"lr": 0.01, "amsgrad": True},
    "AdamW": {"lr": 0.01},
    "Adamax": {"lr": 0.01},
    "ASGD": {"lr": 0.01},
    "NAdam": {"lr": 0.01},
    "RAdam": {"lr": 0.01},
    "RMSprop": {"lr": 0.01, "momentum": 0.9, "centered": True},
    "Rprop": {"lr": 0.01},
    "SGD": {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3},
}
IMPLEMENTATIONS = ("single", "foreach", "fused")
FUSED = ("Adagrad", "Adam", "AdamW", "SGD")
"""Optimizers that have a fused implementation on the processor."""

LAYOUTS = {
    "contiguous": lambda tensor: tensor,
    "channels-last": lambda tensor: tensor.contiguous(memory_format=torch.channels_last),
    "permuted": lambda tensor: tensor.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0),
    "sliced": lambda tensor: torch.stack([tensor, tensor], dim=-1)[..., 0],
}
COMBINATIONS = [
    each
    for each in itertools.product(OPTIMIZERS, IMPLEMENTATIONS, LAYOUTS)
    if (each[1] != "fused" or each[0] in FUSED) and (each[0], each[1]) != ("Adafactor", "foreach")
]


def network(layout: str) -> nn.Module:
    random = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Conv2d(6, 5, 3), nn.Flatten(), nn.Linear(5 * 2 * 2, 1))
    for module in net:
        for name, parameter in list(module.named_parameters()):
            numbers = torch.randn(parameter.shape, generator=random) * 0.2
            laid_out = LAYOUTS[layout](numbers) if parameter.dim() == 4 else numbers
            setattr(module, name, nn.Parameter(laid_out))
    return net


def train(
    optimizer: str, implementation: str, layout: str, transport: inprocess.InProcess | None
) -> list[torch.Tensor]:
    """The parameters after four steps, by torch alone without a transport."""
    net = network(layout)
    how = {} if implementation == "single" else {implementation: True}
    made = getattr(torch.optim, optimizer)(net.parameters(), **OPTIMIZERS[optimizer], **how)
    if transport is not None:
        made = DistributedOptimizer(made, net.named_parameters(), transport=transport)
    for step in range(4):
        images = torch.randn(3, 4, 6, 6, generator=torch.Generator().manual_seed(step))
        made.zero_grad()
        net(images).square().mean().backward()
        made.step()
    return [parameter.detach().contiguous() for parameter in net.parameters()]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("optimizer", "implementation", "layout"), COMBINATIONS)
@pytest.mark.parametrize("ranks", [1, 2])
def test_every_optimizer_steps_as_torch_alone(optimizer, implementation, layout, ranks):
    """Ranks have the same images: a mean of two equal gradients is exact, so that every bit must be the same."""
    alone = train(optimizer, implementation, layout, None)
    for distributed in inprocess.run(ranks, lambda transport: train(optimizer, implementation, layout, transport)):
        for name, one, other in zip(network(layout).state_dict(), distributed, alone, strict=True):
            assert torch.equal(one, other), name


def test_the_sweep_is_whole():
    known = {name for name, found in vars(torch.optim).items() if isinstance(found, type) and name != "Optimizer"}
    assert known - set(OPTIMIZERS) == {"LBFGS", "Muon", "SparseAdam"}  # a closure; matrices alone; sparse gradients
    assert len(COMBINATIONS) == 108
