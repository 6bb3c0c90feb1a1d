"""Gives an optimizer abilities of a wrapper class, while it remains an instance of its own class."""

from typing import TypeVar

from torch.optim import Optimizer

W = TypeVar("W", bound="Wrapper")


class Wrapper(Optimizer):
    """Base of the classes that ``wrap`` combines with an optimizer's own; their methods come first."""

    _base: type[Optimizer]
    """The optimizer's own class."""


def wrap(optimizer: Optimizer, wrapper: type[W], *bases: type) -> W:
    """Makes an instance of a class for the occasion, derived from ``wrapper``, ``bases`` and the optimizer's own class.

    It takes over the optimizer's attributes, state included; ``__init__`` is not called.
    """
    base = type(optimizer)
    made: type[W] = type(base.__name__, (wrapper, *bases, base), {"_base": base})
    wrapped = made.__new__(made)
    wrapped.__dict__.update(optimizer.__dict__)
    return wrapped
