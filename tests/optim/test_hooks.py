"""Backward passes are counted, and gradients are told of when they are complete."""

import pytest
import torch

from hvd_qgenx.optim.hooks import BackwardHooks


class Listener:
    def __init__(self):
        self.heard = []

    def hear(self, parameter, complete):
        self.heard.append((parameter, complete))


def test_every_pass_is_told_of():
    x, y, listener = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True), Listener()
    hooks = BackwardHooks(listener.hear, passes=2)
    hooks.add(x, "x")
    hooks.add(y, "y")
    hooks.add(y, "y again")
    x.sum().backward()
    (x * y).sum().backward()
    assert sorted(complete for parameter, complete in listener.heard if parameter is x) == [False, True]
    assert [complete for parameter, complete in listener.heard if parameter is y] == [False]
    hooks.reset()
    hooks.passes = 1
    y.sum().backward()
    assert listener.heard[-1] == (y, True)


def test_one_pass_too_many_is_refused():
    x, listener = torch.ones(2, requires_grad=True), Listener()
    hooks = BackwardHooks(listener.hear, passes=1)
    hooks.add(x, "parameter 'x'")
    x.sum().backward()
    with pytest.raises(RuntimeError, match="gradient of parameter 'x' was computed 2 times before an exchange"):
        x.sum().backward()
    assert len(listener.heard) == 1
    hooks.reset()
    x.sum().backward()
    assert len(listener.heard) == 2


def test_a_parameter_outlives_the_hooks_and_their_listener():
    x, listener = torch.ones(2, requires_grad=True), Listener()
    heard, hooks = listener.heard, BackwardHooks(listener.hear, passes=1)
    hooks.add(x, "x")
    del listener
    x.sum().backward()
    assert heard == []
    del hooks
    for _ in range(3):
        x.sum().backward()
