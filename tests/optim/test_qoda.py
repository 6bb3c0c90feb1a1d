"""QODA against Q-GenX, arithmetic by hand, and its formulas in numpy."""

from itertools import pairwise

import numpy as np
import pytest
import torch

import compressors
from hvd_qgenx import DistributedOptimizer, QGenX
from hvd_qgenx.exchange import AllGather
from hvd_qgenx.optim import QODA
from hvd_qgenx.transport import inprocess

K = 3


class Recorded(AllGather):
    """Keeps what this rank put in, as decoded."""

    def __init__(self, transport):
        super().__init__(transport)
        self.own = []

    def reduce(self, transfer, start, stop, name):
        yield from super().reduce(transfer, start, stop, name)
        self.own.append(transfer.own.clone())


def game(transport, make, iterations=6):
    """A noisy bilinear game: the optimizer, what this worker sent, and where the players were after every step."""
    how = Recorded(transport)
    x = torch.linspace(-1, 1, 5, dtype=torch.float64).requires_grad_()
    y = torch.linspace(1, 2, 3, dtype=torch.float64).requires_grad_()
    matrix = torch.arange(15, dtype=torch.float64).reshape(5, 3) / 15
    optimizer = DistributedOptimizer(
        make([{"params": [x]}, {"params": [y], "lr": 0.5}]), None, compressors.make("minmax"), exchange=how
    )
    random = torch.Generator().manual_seed(transport.rank)
    positions = [torch.cat([x, y]).detach().numpy()]
    for _ in range(iterations):
        noise = torch.randn(8, generator=random, dtype=torch.float64)
        x.grad, y.grad = matrix @ y.detach() + noise[:5], -matrix.T @ x.detach() + noise[5:]
        optimizer.step()
        positions.append(torch.cat([x, y]).detach().numpy())
    return optimizer, how.own, positions


def test_one_step_size_is_that_of_qgenx_with_delta_times_the_workers_squared():
    def work(transport):
        qoda, _, ours = game(transport, lambda groups: QODA(groups, delta=2))
        qgenx, _, theirs = game(transport, lambda groups: QGenX(groups, "optda", delta=2 * K**2))
        return qoda.gamma, qgenx.gamma, ours, theirs

    for gamma, expected, ours, theirs in inprocess.run(K, work):
        assert gamma == pytest.approx(expected, rel=1e-13)
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_separated_steps_by_hand():
    """The gradients 3 and -1 at exponent 1/4; the step from X_2 on knows the first gradient and the first move."""
    x = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    optimizer = QODA([x], exponent=0.25)
    expected = [
        1 - 3 - 3,  # gamma_2 = eta_2 = 1
        1 + 19**-0.5 * (-3 + 1) + 10**-0.25,  # S = 9, and X_1 moved by 3: gamma_3 = 10^(-1/4), eta_3 = 19^(-1/2)
    ]
    for gradient, position in zip((3.0, -1.0), expected, strict=True):
        x.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        assert x.item() == pytest.approx(position, rel=1e-14)
    assert optimizer.gamma == pytest.approx(10**-0.25)
    assert optimizer.eta == pytest.approx(19**-0.5)


def by_formula(start, rates, own, exponent):
    """The update with all vectors of all workers in one place: where the players are after every step."""
    points, duals, squares = [start], [0 * start], []
    positions = []
    for t, mine in enumerate(own, 1):
        mean = mine.mean(0)
        duals.append(duals[-1] - mean)
        squares.append((mine**2).sum() / len(mine) ** 2)
        known = 1 + sum(squares[: t - 1])
        moves = sum(((one - two) ** 2).sum() for one, two in pairwise(points[:t]))
        points.append(start + rates * (known + moves) ** -0.5 * duals[-1])
        positions.append(points[-1] - rates * known ** (exponent - 0.5) * mean)
    return positions


def test_separated_steps_are_the_formulas():
    def work(transport):
        _, own, positions = game(transport, lambda groups: QODA(groups, exponent=0.1))
        return own, positions

    everyone = inprocess.run(K, work)
    own = [np.stack(theirs) for theirs in zip(*(one[0] for one in everyone), strict=True)]
    start, *positions = everyone[0][1]
    rates = np.array([1.0] * 5 + [0.5] * 3)
    np.testing.assert_allclose(positions, by_formula(start, rates, own, 0.1), rtol=1e-12, atol=1e-13)
    for _, theirs in everyone:
        assert np.array_equal(theirs, everyone[0][1])


@pytest.mark.parametrize("exponent", [0, -0.1, 0.26, float("nan")])
def test_exponents_outside_the_theory_are_refused(exponent):
    with pytest.raises(ValueError, match=r"exponent must be in \(0, 0.25\]"):
        QODA([torch.zeros(1, requires_grad=True)], exponent=exponent)
