"""Optimizers that do not load torch's compiler, which takes seconds at the start of every rank.

torch hides some methods of its optimizers from the compiler, and loads all of it to do so.
"""

import inspect
from typing import TypeVar

import torch
from torch import optim

Class = TypeVar("Class", bound=type[optim.Optimizer])

HIDDEN = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")


def eager(optimizer: Class) -> Class:
    """Gives a class of optimizers the methods as they are beneath what hides them; returns it.

    A step has the same bits. It cannot be differentiated, nor be part of a compiled function.
    """
    for name in HIDDEN:
        setattr(optimizer, name, inspect.unwrap(getattr(optimizer, name)))
    if hasattr(optimizer.step, "__wrapped__"):
        setattr(optimizer, "step", torch.no_grad()(inspect.unwrap(optimizer.step)))  # noqa: B010 (mypy)
    return optimizer


@eager
class SGD(optim.SGD):
    """``torch.optim.SGD``."""


@eager
class Adam(optim.Adam):
    """``torch.optim.Adam``."""


@eager
class AdamW(optim.AdamW):
    """``torch.optim.AdamW``."""
