"""Optimistic and past-extrapolating optimizers against arithmetic done by hand and analytic rates."""

import math

import numpy as np
import pytest
import torch

from hvd_qgenx.optim import ExtraAdam, ExtraSGD, OptimisticAdam, OptimisticSGD, PastExtraAdam, PastExtraSGD

GRADIENTS = [2.0, -3.0, 0.5, 1.0]


def scalar(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64, requires_grad=True)


def step(optimizer, parameter, gradient):
    parameter.grad = torch.tensor([gradient], dtype=torch.float64)
    optimizer.step()
    return parameter.item()


@pytest.mark.parametrize("cls", [OptimisticSGD, PastExtraSGD])
def test_sgd_by_hand(cls):
    """x - 2 lr g_t + lr g_{t-1}: without momentum both are the same method."""
    x = scalar(1.0)
    optimizer = cls([x], lr=0.1)
    assert [step(optimizer, x, gradient) for gradient in (2.0, -3.0, 0.5)] == pytest.approx(
        [1 - 0.4, 1 - 0.4 + 0.6 + 0.2, 1 - 0.4 + 0.6 + 0.2 - 0.1 - 0.3], rel=1e-14
    )


@pytest.mark.parametrize("cls", [OptimisticSGD, PastExtraSGD])
def test_the_extrapolation_is_taken_back_at_the_step_size_it_was_made_with(cls):
    """The base point moves by lr g at every step; what lies beyond it is the last lr g."""
    x = scalar(1.0)
    optimizer = cls([x], lr=0.1)
    step(optimizer, x, 2.0)
    optimizer.param_groups[0]["lr"] = 0.01
    assert step(optimizer, x, -3.0) == pytest.approx(1 - 0.2 + 0.03 + 0.03, rel=1e-14)


def test_past_sgd_momentum_by_hand():
    """The buffer advances at both moves: 2, 0.5 * 2 + 2; then 0.5 * 3 - 3, 0.5 * -1.5 - 3."""
    x = scalar(1.0)
    optimizer = PastExtraSGD([x], lr=0.1, momentum=0.5)
    assert step(optimizer, x, 2.0) == pytest.approx(1 - 0.2 - 0.3)
    assert step(optimizer, x, -3.0) == pytest.approx(1 - 0.2 + 0.15 + 0.375)


def test_optimistic_adam_by_hand():
    """x - 2 lr m_t / (sqrt(v_t) + eps) + lr m_{t-1} / (sqrt(v_{t-1}) + eps), moments corrected for bias."""
    x, (b1, b2), lr, eps = scalar(1.0), (0.5, 0.9), 0.1, 1e-8
    optimizer = OptimisticAdam([x], lr=lr, betas=(b1, b2), eps=eps)
    mean = square = previous = 0.0
    expected = 1.0
    for t, gradient in enumerate(GRADIENTS, start=1):
        mean, square = b1 * mean + (1 - b1) * gradient, b2 * square + (1 - b2) * gradient**2
        direction = mean / (1 - b1**t) / (math.sqrt(square / (1 - b2**t)) + eps)
        expected += -2 * lr * direction + lr * previous
        previous = direction
        assert step(optimizer, x, gradient) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("past", "extra", "options"),
    [
        (PastExtraSGD, ExtraSGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
        (PastExtraAdam, ExtraAdam, {"lr": 0.1, "betas": (0.5, 0.9), "weight_decay": 0.1}),
        (PastExtraAdam, ExtraAdam, {"lr": 0.1, "betas": (0.5, 0.9), "amsgrad": True}),
    ],
)
def test_past_is_extragradient_that_extrapolates_with_the_gradient_it_has(past, extra, options):
    x, y = scalar(1.0), scalar(1.0)
    one, two = past([x], **options), extra([y], **options)
    two.extrapolation()  # without a gradient: keeps the base point
    for gradient in GRADIENTS:
        y.grad = torch.tensor([gradient], dtype=torch.float64)
        two.step()
        two.extrapolation()
        assert step(one, x, gradient) == y.item()


@pytest.mark.parametrize("cls", [OptimisticSGD, PastExtraSGD])
def test_rate_on_a_bilinear_game(cls):
    """On min x max y xy, z = x + iy follows z'' = (1 + 2 lr i) z' - lr i z: the larger root is the rate."""
    x, y, lr = scalar(2.0), scalar(0.5), 0.4
    optimizer = cls([x, y], lr=lr)
    distances = []
    for _ in range(100):
        x.grad, y.grad = y.detach().clone(), -x.detach().clone()
        optimizer.step()
        distances.append(math.hypot(x.item(), y.item()))
    rate = np.abs(np.roots([1, -(1 + 2j * lr), 1j * lr])).max()
    assert rate < 1
    assert (distances[-1] / distances[49]) ** (1 / 50) == pytest.approx(rate, rel=1e-9)


@pytest.mark.parametrize("cls", [OptimisticSGD, OptimisticAdam, PastExtraSGD, PastExtraAdam])
def test_a_parameter_without_gradient_stays(cls):
    x, y = scalar(1.0), scalar(2.0)
    optimizer = cls([x, y], lr=0.1)
    step(optimizer, x, 1.0)
    assert y.item() == 2.0
    assert y not in optimizer.state


@pytest.mark.parametrize("cls", [OptimisticSGD, OptimisticAdam, PastExtraSGD, PastExtraAdam])
def test_wrong_values_are_named(cls):
    with pytest.raises(ValueError, match="lr must not be negative"):
        cls([scalar(1.0)], lr=-1)
