"""ExtraSGD and ExtraAdam against arithmetic done by hand, torch, and analytic rates."""

import math

import pytest
import torch

from hvd_qgenx.optim import ExtraAdam, ExtraSGD


def scalar(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64, requires_grad=True)


def move(optimizer, parameter, gradient, extrapolate):
    parameter.grad = torch.tensor([gradient], dtype=torch.float64)
    optimizer.extrapolation() if extrapolate else optimizer.step()
    return float(parameter.detach())


def test_sgd_by_hand():
    x = scalar(1.0)
    optimizer = ExtraSGD([x], lr=0.1)
    assert move(optimizer, x, 2.0, True) == pytest.approx(0.8)
    assert move(optimizer, x, -3.0, False) == pytest.approx(1.3)


def test_sgd_momentum_by_hand():
    """The buffer advances at both moves: 2, then 0.5 * 2 + (-3)."""
    x = scalar(1.0)
    optimizer = ExtraSGD([x], lr=0.1, momentum=0.5)
    assert move(optimizer, x, 2.0, True) == pytest.approx(1 - 0.1 * 2)
    assert move(optimizer, x, -3.0, False) == pytest.approx(1 - 0.1 * (1 - 3))


def test_sgd_nesterov_and_weight_decay_by_hand():
    x = scalar(1.0)
    optimizer = ExtraSGD([x], lr=0.1, momentum=0.5, nesterov=True, weight_decay=0.2)
    first = 2.0 + 0.2 * 1.0
    half = 1 - 0.1 * (first + 0.5 * first)
    assert move(optimizer, x, 2.0, True) == pytest.approx(half)
    second = -3.0 + 0.2 * half
    buffer = 0.5 * first + second
    assert move(optimizer, x, -3.0, False) == pytest.approx(1 - 0.1 * (second + 0.5 * buffer))


@pytest.mark.parametrize("place", ["after", "before"])
def test_adam_by_hand(place):
    """Moments and step count advance at both moves; epsilon is as large as the gradients."""
    x, gradients, (b1, b2), lr, eps = scalar(1.0), [2.0, -3.0, 0.5, 1.0], (0.5, 0.9), 0.1, 0.7
    optimizer = ExtraAdam([x], lr=lr, betas=(b1, b2), eps=eps, epsilon_place=place)
    mean = square = 0.0
    base = 1.0
    for t, gradient in enumerate(gradients, start=1):
        mean, square = b1 * mean + (1 - b1) * gradient, b2 * square + (1 - b2) * gradient**2
        correction = math.sqrt(1 - b2**t)
        root = math.sqrt(square) / correction + eps if place == "after" else (math.sqrt(square) + eps) / correction
        update = -lr / (1 - b1**t) * mean / root
        position = move(optimizer, x, gradient, extrapolate=t % 2 == 1)
        assert position == pytest.approx(base + update, rel=1e-12)
        if t % 2 == 0:
            base = position


@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam_is_that_of_torch(amsgrad):
    """With an epsilon as large as the gradients, which shrink, so that the largest moment stays."""
    gradients = [4.0, -3.0, 0.5, 0.25, -0.125, 0.5]
    mine, theirs = scalar(1.0), scalar(1.0)
    rule = ExtraAdam([mine], lr=0.1, betas=(0.5, 0.6), eps=0.3, amsgrad=amsgrad)
    adam = torch.optim.Adam([theirs], lr=0.1, betas=(0.5, 0.6), eps=0.3, amsgrad=amsgrad)
    for call, gradient in enumerate(gradients):
        theirs.grad = torch.tensor([gradient], dtype=torch.float64)
        before = theirs.item()
        adam.step()
        base = rule.state[mine]["base"].item() if call % 2 else mine.item()
        assert move(rule, mine, gradient, call % 2 == 0) - base == pytest.approx(theirs.item() - before, rel=1e-12)
    assert ("max_exp_avg_sq" in rule.state[mine]) == amsgrad


def test_a_checkpoint_that_does_not_say_where_epsilon_is_added_goes_on_as_it_was():
    """It is older than the choice: epsilon was added before the bias correction."""
    x, y = scalar(1.0), scalar(1.0)
    old, new = ExtraAdam([x], lr=0.1, eps=0.7, epsilon_place="before"), ExtraAdam([y], lr=0.1, eps=0.7)
    state = old.state_dict()
    del state["param_groups"][0]["epsilon_place"]
    new.load_state_dict(state)
    for extrapolate in (True, False):
        assert move(old, x, 2.0, extrapolate) == move(new, y, 2.0, extrapolate)


def test_rate_on_a_bilinear_game():
    """The iteration matrix of min x max y xy has the modulus sqrt(1 - lr^2 + lr^4)."""
    x, y, lr = scalar(2.0), scalar(0.5), 0.6
    optimizer = ExtraSGD([x, y], lr=lr)
    distances = []
    for _ in range(60):
        for moves in (optimizer.extrapolation, optimizer.step):
            x.grad, y.grad = y.detach().clone(), -x.detach().clone()
            moves()
        distances.append(math.hypot(x.item(), y.item()))
    rate = (distances[-1] / distances[9]) ** (1 / 50)
    assert rate == pytest.approx(math.sqrt(1 - lr**2 + lr**4), rel=1e-9)


def test_several_extrapolations_keep_the_first_base():
    x = scalar(1.0)
    optimizer = ExtraSGD([x], lr=0.1)
    move(optimizer, x, 1.0, True)
    move(optimizer, x, 1.0, True)
    assert move(optimizer, x, 0.0, False) == 1.0


def test_a_parameter_without_gradient_stays():
    x, y = scalar(1.0), scalar(2.0)
    optimizer = ExtraAdam([x, y])
    move(optimizer, x, 1.0, True)
    move(optimizer, x, 1.0, False)
    assert y.item() == 2.0


def test_wrong_use_is_named():
    x = scalar(1.0)
    with pytest.raises(RuntimeError, match=r"call extrapolation\(\) before step"):
        move(ExtraSGD([x], lr=0.1), x, 1.0, False)
    with pytest.raises(ValueError, match="takes no closure"):
        ExtraSGD([x], lr=0.1).step(lambda: 0.0)
    with pytest.raises(ValueError, match="lr must not be negative"):
        ExtraSGD([x], lr=-1)
    with pytest.raises(ValueError, match="nesterov needs"):
        ExtraSGD([x], lr=1, nesterov=True)
    with pytest.raises(ValueError, match="betas must be"):
        ExtraAdam([x], betas=(1.0, 0.9))
