"""One rank of: what scripts of Horovod do with an optimizer, after ``hvd.init()`` of their own.

Every scenario prints a line of JSON with its name, this rank, and what it found.
"""

import copy
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

import horovod.torch as hvd
import horovod.torch.elastic as elastic
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

import compressors
from hvd_qgenx import DistributedOptimizer

hvd.init()

COMPRESSORS = {"none": {}, "minmax": {"bits": 4}}


def ours(optimizer: Any, net: nn.Module, compressor: str = "none", **options: Any) -> Any:
    compression = compressors.make(compressor, **COMPRESSORS[compressor])
    return DistributedOptimizer(optimizer, net.named_parameters(), compression, **options)


def stock(optimizer: Any, net: nn.Module, prefix: str = "") -> Any:
    return hvd.DistributedOptimizer(optimizer, named_parameters=net.named_parameters(prefix))


def bits(tensors: Iterable[Tensor]) -> str:
    return "".join(tensor.detach().contiguous().numpy().tobytes().hex() for tensor in tensors)[:4000]


def same(tensors: Iterable[Tensor]) -> bool:
    return len(set(hvd.allgather_object(bits(tensors)))) == 1


def step(net: nn.Module, optimizer: Any, number: int) -> None:
    random = torch.Generator().manual_seed(100 * number + hvd.rank())
    optimizer.zero_grad()
    net(torch.randn(4, 10, generator=random)).square().mean().backward()
    optimizer.step()


def resume(compressor: str) -> Any:
    """Rank 0 alone loads the checkpoint; moments of the others come by Horovod's broadcast. Weights decay."""

    def build() -> tuple[nn.Module, Any]:
        torch.manual_seed(hvd.rank())
        net = nn.Linear(10, 3)
        return net, ours(torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.5), net, compressor)

    net, optimizer = build()
    hvd.broadcast_parameters(net.state_dict(), 0)
    hvd.broadcast_optimizer_state(optimizer, 0)
    for number in range(3):
        step(net, optimizer, number)
    saved = copy.deepcopy((net.state_dict(), optimizer.state_dict()))
    moments = bits(state["exp_avg"] for state in optimizer.state.values())
    net, optimizer = build()
    if hvd.rank() == 0:
        net.load_state_dict(saved[0])
        optimizer.load_state_dict(saved[1])
    hvd.broadcast_parameters(net.state_dict(), 0)
    hvd.broadcast_optimizer_state(optimizer, 0)
    kept = bits(state["exp_avg"] for state in optimizer.state.values()) == moments
    step(net, optimizer, 3)
    steps = [state["step"].item() for state in optimizer.state.values()]
    return kept, same(net.parameters()), steps


def joined(compressor: str) -> Any:
    """``TorchState.sync`` of a rank that has trained and of ranks that are new."""
    torch.manual_seed(hvd.rank())
    net = nn.Linear(10, 3)
    alone = torch.optim.Adam(net.parameters(), lr=0.01)
    if hvd.rank() == 0:
        net(torch.randn(4, 10)).square().mean().backward()
        alone.step()
    optimizer = ours(alone, net, compressor)
    state = elastic.TorchState(model=net, optimizer=optimizer, batch=0)
    state.sync()
    state.save()
    found = [same(net.parameters())]
    for number in range(2):
        step(net, optimizer, number)
    state.restore()
    step(net, optimizer, 2)
    return [*found, same(net.parameters()), same(each["exp_avg"] for each in optimizer.state.values())]


def joint(compressor: str) -> Any:
    """One loss over two optimizers, whose parameters have equal names."""

    def train(wrap: Callable[..., Any]) -> list[Tensor]:
        torch.manual_seed(0)
        one, two = nn.Linear(10, 10), nn.Linear(10, 10)
        optimizers = [wrap(torch.optim.SGD(net.parameters(), 0.1), net) for net in (one, two)]
        for number in range(5):
            inputs = torch.randn(16, 10, generator=torch.Generator().manual_seed(100 * number + hvd.rank()))
            for optimizer in optimizers:
                optimizer.zero_grad()
            (two(torch.tanh(one(inputs))) - inputs).square().mean().backward()
            for optimizer in optimizers:
                optimizer.step()
        return [*one.parameters(), *two.parameters()]

    prefixes = iter("ab")
    expected = train(lambda optimizer, net: stock(optimizer, net, next(prefixes)))
    found = train(lambda optimizer, net: ours(optimizer, net, compressor))
    difference = max((a - b).abs().max().item() for a, b in zip(expected, found, strict=True))
    return same(found), difference


def game(compressor: str) -> Any:
    """The loop of DCGAN: an optimizer for each player; the generator's loss also fills the other's gradients."""
    torch.manual_seed(0)
    generator, discriminator = nn.Linear(4, 2), nn.Linear(2, 1)
    of_generator = ours(torch.optim.Adam(generator.parameters(), 1e-3), generator, compressor)
    of_discriminator = ours(torch.optim.Adam(discriminator.parameters(), 1e-3), discriminator, compressor)
    loss = nn.functional.binary_cross_entropy_with_logits
    torch.manual_seed(hvd.rank())
    for _ in range(4):
        latents, real = torch.randn(16, 4), torch.randn(16, 2)
        of_discriminator.zero_grad()
        fake = discriminator(generator(latents).detach())
        (loss(discriminator(real), torch.ones(16, 1)) + loss(fake, torch.zeros(16, 1))).backward()
        of_discriminator.step()
        of_generator.zero_grad()
        loss(discriminator(generator(latents)), torch.ones(16, 1)).backward()
        of_generator.step()
    return same([*generator.parameters(), *discriminator.parameters()])


def scaled(compressor: str) -> Any:
    """GradScaler with a real overflow of fp16 on the last rank, as in a script for one process."""
    torch.manual_seed(0)
    net = nn.Linear(10, 1)
    optimizer, scaler = ours(torch.optim.SGD(net.parameters(), lr=0.01), net, compressor), GradScaler("cpu", 2.0**10)
    skipped = []
    for number in range(6):
        optimizer.zero_grad()
        before = net.weight.detach().clone()
        inputs = torch.randn(4, 10, generator=torch.Generator().manual_seed(100 * number + hvd.rank()))
        if number == 2 and hvd.rank() == hvd.size() - 1:
            inputs *= 1e4
        with torch.autocast("cpu", torch.float16):
            loss = net(inputs).square().mean()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if torch.equal(net.weight, before):
            skipped.append(number)
    return skipped, scaler.get_scale(), same(net.parameters())


def embedding(compressor: str) -> Any:
    """Sparse gradients under SparseAdam."""
    torch.manual_seed(0)
    net = nn.Embedding(50, 8, sparse=True)
    optimizer = ours(torch.optim.SparseAdam(list(net.parameters()), lr=0.1), net, compressor)
    for number in range(3):
        optimizer.zero_grad()
        net(torch.tensor([number, number + 1, 10 * hvd.rank()])).square().sum().backward()
        optimizer.step()
    return same(net.parameters()), len(net.weight.detach().unique())


def process_set(compressor: str) -> Any:
    """All ranks but the last one."""
    chosen = hvd.add_process_set(list(range(hvd.size() - 1)))
    torch.manual_seed(hvd.rank())
    net = nn.Linear(10, 1)
    hvd.broadcast_parameters(net.state_dict(), 0)
    optimizer = ours(torch.optim.SGD(net.parameters(), lr=0.1), net, compressor, process_set=chosen)
    for number in range(3):
        step(net, optimizer, number)
    everyone = hvd.allgather_object(bits(net.parameters()))
    hvd.remove_process_set(chosen)
    return len(set(everyone[:-1])), len(set(everyone))


for scenario in (resume, joined, joint, game, scaled, embedding, process_set):
    for name in COMPRESSORS:
        line = {"scenario": scenario.__name__, "compressor": name, "rank": hvd.rank(), "found": scenario(name)}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
