"""torch's GradScaler over in-process ranks: what it looks at are means, so that all ranks decide alike."""

import pytest
import torch
from torch import nn
from torch.amp.grad_scaler import GradScaler

import compressors
from hvd_qgenx import DistributedOptimizer
from hvd_qgenx.errors import NonFiniteGradientError
from hvd_qgenx.transport import inprocess

K = 3


def plain(optimizer, scaler, _):
    scaler.step(optimizer)


def clipped(optimizer, scaler, net):
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(net.parameters(), 1e9)
    scaler.step(optimizer)


def of_horovods_documentation(optimizer, scaler, net):
    optimizer.synchronize()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(net.parameters(), 1e9)
    with optimizer.skip_synchronize():
        scaler.step(optimizer)


PATTERNS = [plain, clipped, of_horovods_documentation]
OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.05),
    "adam-fused": lambda parameters: torch.optim.Adam(parameters, lr=0.05, fused=True),
}


def train(transport, make, move=None, *, compressor="none", overflow=(), steps=6, zero=True):
    """Parameters, the scale at the end, and the steps at which the parameters stayed as they were."""
    random = torch.Generator().manual_seed(transport.rank)
    net = nn.Linear(20, 3)
    nn.init.constant_(net.weight, 0.1)
    nn.init.zeros_(net.bias)
    compression = compressors.make(compressor)
    optimizer = DistributedOptimizer(make(net.parameters()), net.named_parameters(), compression, transport=transport)
    scaler = GradScaler("cpu", init_scale=2.0**10)
    skipped = []
    for step in range(steps):
        if zero:
            optimizer.zero_grad()
        else:
            net.zero_grad()
        before = net.weight.detach().clone()
        images = torch.randn(8, 20, generator=random)
        loss = (net(images).sum(1) - images.sum(1)).square().mean()
        if (transport.rank, step) in overflow:
            loss = loss * torch.inf
        if move is None:
            loss.backward()
            optimizer.step()
        else:
            scaler.scale(loss).backward()
            move(optimizer, scaler, net)
            scaler.update()
        if torch.equal(net.weight, before):
            skipped.append(step)
    return [parameter.detach() for parameter in net.parameters()], scaler.get_scale(), skipped


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("move", PATTERNS)
@pytest.mark.parametrize("zero", [True, False])
def test_it_is_training_without_a_scaler(optimizer, move, zero):
    """Scales are powers of two, so that not a bit differs."""
    make = OPTIMIZERS[optimizer]
    expected = inprocess.run(K, lambda t: train(t, make))[0][0]
    for found, scale, skipped in inprocess.run(K, lambda t: train(t, make, move, zero=zero)):
        assert all(map(torch.equal, found, expected))
        assert (scale, skipped) == (2.0**10, [])


@pytest.mark.parametrize("compressor", ["none", "fp16", "minmax", "rotated", "alq"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("move", PATTERNS)
def test_all_ranks_skip_the_step_in_which_one_overflows(compressor, optimizer, move):
    overflow = ((1, 2), (0, 4), (2, 4))
    everyone = inprocess.run(
        K, lambda t: train(t, OPTIMIZERS[optimizer], move, compressor=compressor, overflow=overflow)
    )
    for found, scale, skipped in everyone:
        assert (scale, skipped) == (2.0**8, [2, 4])
        assert all(map(torch.equal, found, everyone[0][0]))
        assert all(torch.isfinite(parameter).all() for parameter in found)


def test_after_a_skipped_step_gradients_are_exchanged_although_the_user_zeroes_the_model():
    """So the optimizer is not told that the gradients that the scaler has seen are gone."""
    overflow = ((1, 2),)
    one, other = (
        inprocess.run(K, lambda t, zero=zero: train(t, OPTIMIZERS["sgd"], plain, overflow=overflow, zero=zero))
        for zero in (True, False)
    )
    for (found, *rest), (expected, *others) in zip(one, other, strict=True):
        assert rest == others
        assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("raises", [False, True])
def test_a_divergence_of_all_ranks_is_warned_of_as_there_are_none_to_blame(raises, logged):
    def work(transport):
        x = nn.Parameter(torch.zeros(3))
        optimizer = DistributedOptimizer(torch.optim.SGD([x], lr=1.0), [("x", x)], transport=transport)
        optimizer.raise_on_divergence = raises
        x.grad = torch.full((3,), torch.inf)
        optimizer.step()
        return x.detach().tolist()

    if raises:
        with pytest.raises(NonFiniteGradientError, match="on rank 0: parameter 'x'; rank 1: parameter 'x'; rank 2"):
            inprocess.run(K, work)
    else:
        assert inprocess.run(K, work) == [[-torch.inf] * 3] * K
        assert "Inf or NaN in gradients on all ranks: parameter 'x'" in logged.text


def test_without_a_scaler_an_overflow_is_an_error_at_the_move():
    def work(transport):
        x = nn.Parameter(torch.zeros(3))
        optimizer = DistributedOptimizer(torch.optim.SGD([x], lr=1.0), [("x", x)], transport=transport)
        x.grad = torch.full((3,), torch.inf if transport.rank == 1 else 1.0)
        optimizer.synchronize()
        assert not torch.isfinite(x.grad).any()
        with (
            optimizer.skip_synchronize(),
            pytest.raises(NonFiniteGradientError, match="on rank 1: parameter 'x'"),
        ):
            optimizer.step()
        return x.detach().tolist()

    assert inprocess.run(K, work) == [[0.0] * 3] * K
