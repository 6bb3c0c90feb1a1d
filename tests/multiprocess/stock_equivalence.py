"""One rank of: fifty steps by stock Horovod and by ours, without compression. Prints what differs."""

import sys

import horovod.torch as hvd
import torch
from horovod.torch.optimizer import _DistributedOptimizer
from torch import nn

import compressors
from hvd_qgenx import DistributedOptimizer
from hvd_qgenx.transport.horovod import Horovod

transport = Horovod()
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.005, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.001),
}


def train(name: str, wrap, compression=hvd.Compression.none, steps=50) -> torch.Tensor:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    alone = OPTIMIZERS[name](net.parameters())
    optimizer = wrap(alone, named_parameters=net.named_parameters(), compression=compression)
    assert isinstance(optimizer, type(alone))
    assert wrap is hvd.DistributedOptimizer or isinstance(optimizer, _DistributedOptimizer)
    optimizer.set_backward_passes_per_step(1)
    hvd.broadcast_parameters(net.state_dict(), root_rank=0)
    hvd.broadcast_optimizer_state(optimizer, root_rank=0)
    for step in range(steps):
        inputs = torch.randn(16, 20, generator=torch.Generator().manual_seed(1000 * step + transport.rank))
        optimizer.zero_grad()
        (net(inputs).squeeze(1) - inputs.sum(1)).square().mean().backward()
        optimizer.step()
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


for name in OPTIMIZERS:
    stock, ours = train(name, hvd.DistributedOptimizer), train(name, DistributedOptimizer)
    if transport.size == 2:
        assert torch.equal(stock, ours), f"{name}: {(stock - ours).abs().max()}"
    torch.testing.assert_close(stock, ours, rtol=1e-4, atol=1e-6)
    everyone = transport.all_gather_object(ours, "ours")
    assert all(torch.equal(ours, other) for other in everyone)

# Half precision: stock Horovod takes our compressor, and we take its; sums round differently in fp16.
stock = train("sgd", hvd.DistributedOptimizer, hvd.Compression.fp16, steps=3)
assert torch.equal(stock, train("sgd", hvd.DistributedOptimizer, compressors.make("fp16"), steps=3))
torch.testing.assert_close(stock, train("sgd", DistributedOptimizer, hvd.Compression.fp16, steps=3), rtol=0, atol=2e-3)
sys.stdout.write(f"rank {transport.rank} agrees\n")
