"""Momentum before the exchange, and DGC, which is made of it: against torch's SGD, and recursions by hand."""

import math

import pytest
import torch
from torch import nn

import compressors
from compressors.kernels.selection import largest
from hvd_qgenx import DistributedOptimizer
from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.transport import inprocess

SGD = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
NUMEL = 300


def model() -> nn.Module:
    random = torch.Generator().manual_seed(0)  # ranks are threads, which share torch's own
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(16, 5)).to(memory_format=torch.channels_last)
    for parameter in net.parameters():
        nn.init.normal_(parameter, 0.0, 0.2, generator=random)
    return net


def groups_of(net: nn.Module) -> list[dict[str, object]]:
    weights = [p for p in net.parameters() if p.dim() > 1]
    return [{"params": weights}, {"params": [p for p in net.parameters() if p.dim() <= 1], "weight_decay": 0.0}]


def loss_of(net: nn.Module, rank: int, step: int) -> torch.Tensor:
    inputs = torch.randn(6, 2, 4, 4, generator=torch.Generator().manual_seed(10 * step + rank))
    return net(inputs).square().mean()


def trained(rank: int, optimizer, net: nn.Module, steps) -> torch.Tensor:
    for step in steps:
        optimizer.zero_grad()
        loss_of(net, rank, step).backward()
        optimizer.step()
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


@pytest.mark.parametrize("overlap", [True, False])
@pytest.mark.parametrize("nesterov", [False, True])
def test_without_compression_it_is_sgd(nesterov, overlap):
    plain = model()
    expected = trained(0, torch.optim.SGD(groups_of(plain), **SGD, nesterov=nesterov), plain, range(4))

    def work(transport):
        net = model()
        made = torch.optim.SGD(groups_of(net), **SGD, nesterov=nesterov)
        optimizer = DistributedOptimizer(made, transport=transport, local_momentum=True)
        optimizer.overlap = overlap
        return trained(0, optimizer, net, range(4))

    (found,) = inprocess.run(1, work)
    assert torch.equal(found, expected)
    for each in inprocess.run(3, work):
        torch.testing.assert_close(each, expected, rtol=1e-5, atol=1e-6)


def test_means_of_momentum_are_the_momentum_of_means():
    def work(transport, local):
        net = model()
        made = torch.optim.SGD(groups_of(net), **SGD)
        optimizer = DistributedOptimizer(made, transport=transport, local_momentum=local)
        return trained(transport.rank, optimizer, net, range(5))

    before, after = (inprocess.run(3, lambda transport, each=local: work(transport, each)) for local in (True, False))
    assert all(torch.equal(each, before[0]) for each in before)
    torch.testing.assert_close(before[0], after[0], rtol=1e-4, atol=1e-5)


def gradients(step: int) -> torch.Tensor:
    return torch.randn(3, NUMEL, generator=torch.Generator().manual_seed(step))


def dgc(transport, parameter, **more):
    compression = compressors.make("dgc", ratio=0.02, warmup=3, bucket_size=NUMEL)
    made = torch.optim.SGD([parameter], lr=1.0, momentum=0.9)
    return DistributedOptimizer(
        made, compression=compression, transport=transport, feedback="error", local_momentum=True, **more
    )


def test_dgc_is_the_recursion_of_its_paper():
    """u = mu u + g, v += u; the largest of v are sent, and there u and v begin anew. The ratio falls to its value."""

    def work(transport):
        parameter = nn.Parameter(torch.zeros(NUMEL))
        optimizer, found = dgc(transport, parameter, local_clip=5.0), []
        for step in range(6):
            optimizer.zero_grad()
            parameter.grad = gradients(step)[transport.rank].clone()
            optimizer.synchronize()
            found.append(parameter.grad.clone())
            with optimizer.skip_synchronize():
                optimizer.step()
        return torch.stack(found)

    u, v, expected = torch.zeros(3, NUMEL), torch.zeros(3, NUMEL), []
    for step in range(6):
        g = gradients(step)
        norms = g.norm(dim=1, keepdim=True)
        u = 0.9 * u + g * (5 / math.sqrt(3) / norms).clamp(max=1)
        v = v + u
        ratio = 0.25 * (0.02 / 0.25) ** (min(step, 3) / 3)
        places = largest(v, max(1, round(ratio * NUMEL)))
        sent = torch.zeros_like(v).scatter(1, places.long(), v.gather(1, places.long()))
        u, v = u * (sent == 0), v - sent
        expected.append(sent.mean(0))
    for found in inprocess.run(3, work):
        torch.testing.assert_close(found, torch.stack(expected), rtol=1e-5, atol=1e-5)


def test_it_goes_on_bit_for_bit():
    def work(transport):
        nets = model(), model()
        first, second = (
            DistributedOptimizer(
                torch.optim.SGD(groups_of(net), **SGD),
                compression=compressors.make("dgc", ratio=0.05),
                transport=transport,
                feedback="error",
                local_momentum=True,
            )
            for net in nets
        )
        trained(transport.rank, first, nets[0], range(3))
        nets[1].load_state_dict(nets[0].state_dict())
        second.load_state_dict(first.state_dict())
        return [
            trained(transport.rank, optimizer, net, range(3, 6))
            for optimizer, net in zip((first, second), nets, strict=True)
        ]

    for one, other in inprocess.run(3, work):
        assert torch.equal(one, other)


def test_inf_leaves_no_trace():
    def work(transport):
        parameter = nn.Parameter(torch.zeros(NUMEL))
        optimizer, found = dgc(transport, parameter), []
        for broken in (True, False):
            parameter.grad = gradients(1)[transport.rank].clone()
            if broken and transport.rank == 1:
                parameter.grad[7] = torch.inf
            optimizer.synchronize()
            found.append(parameter.grad.clone())
        return found

    for broken, found in inprocess.run(3, work):
        assert broken[7].isnan() or broken[7].isinf()
        assert found.isfinite().all()


def parameter() -> nn.Parameter:
    return nn.Parameter(torch.zeros(10))


def test_what_cannot_be_is_refused():
    transport = inprocess.InProcess()
    with pytest.raises(ConfigurationError, match="takes over"):
        DistributedOptimizer(torch.optim.Adam([parameter()]), transport=transport, local_momentum=True)
    made = torch.optim.SGD([parameter()], momentum=0.9, dampening=0.1)
    with pytest.raises(ConfigurationError, match="neither dampening nor maximize"):
        DistributedOptimizer(made, transport=transport, local_momentum=True)
    tensor = parameter()
    optimizer = DistributedOptimizer(torch.optim.SGD([tensor], **SGD), transport=transport, local_momentum=True)
    optimizer.param_groups[0]["momentum"] = 0.8
    tensor.grad = torch.ones(10)
    with pytest.raises(ConfigurationError, match="cycle_momentum=False"):
        optimizer.step()
    frozen = parameter().requires_grad_(False)
    optimizer = DistributedOptimizer(
        torch.optim.SGD([parameter(), frozen], **SGD), transport=transport, local_momentum=True
    )
    frozen.requires_grad_()
    with pytest.raises(ConfigurationError, match="unfreeze them before"):
        optimizer.step()


def test_state_of_another_kind_is_refused():
    transport = inprocess.InProcess()
    first, second = (
        DistributedOptimizer(
            torch.optim.SGD([parameter()], **SGD),
            compression=compressors.make("sign"),
            transport=transport,
            feedback="error",
            local_momentum=local,
        )
        for local in (True, False)
    )
    with pytest.raises(ConfigurationError, match="feedback error, not momentum"):
        first.load_state_dict(second.state_dict())
