"""Gives an optimizer abilities of a wrapper class, while it remains an instance of its own class."""

from collections.abc import Callable
from typing import Any, TypeVar

from torch.optim import Optimizer

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.optim.moves import Moving

W = TypeVar("W", bound="Wrapper")


class Wrapper(Moving):
    """Base of the classes that ``wrap`` combines with an optimizer's own; their methods come first."""

    _base: type[Optimizer]
    """The optimizer's own class."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Loads the optimizer's own state. The groups stay the same objects, which a scheduler may share."""
        groups = self.param_groups
        self._base.load_state_dict(self, state_dict)
        for group, loaded in zip(groups, self.param_groups, strict=True):
            group.clear()
            group.update(loaded)
        self.param_groups = groups


def wrap(optimizer: Optimizer, wrapper: type[W], *bases: type, **methods: Callable[..., Any]) -> W:
    """Makes an instance of a class for the occasion, derived from ``wrapper``, ``bases`` and the optimizer's own class.

    It takes over the optimizer's attributes, state included; ``__init__`` is not called. It shares the parameter
    groups, so that a scheduler of the optimizer goes on to change its step sizes.

    Args:
        optimizer: not to be used any more.
        wrapper: its methods come before those of the optimizer.
        bases: come after it.
        methods: of the new class alone: ``super`` of an instance's class does not find them.

    Raises:
        ConfigurationError: the optimizer is distributed already, or something other than a scheduler has replaced
            its ``step``.
    """
    base = type(optimizer)
    if isinstance(optimizer, Wrapper) or any(each.__module__ == "horovod.torch.optimizer" for each in base.__mro__):
        raise ConfigurationError("the optimizer is distributed already; give DistributedOptimizer the one inside")
    attributes = dict(optimizer.__dict__)
    step = attributes.pop("step", None)
    if step is not None:
        if not hasattr(step, "_wrapped_by_lr_sched"):
            raise ConfigurationError(
                "something has replaced the optimizer's step(); make it after DistributedOptimizer"
            )
        optimizer._opt_called = True  # type: ignore[attr-defined]  # its scheduler sees no step from now on
    module = bases[0].__module__ if bases else wrapper.__module__
    made: type[W] = type(base.__name__, (wrapper, *bases, base), {"_base": base, "__module__": module, **methods})
    wrapped = made.__new__(made)
    wrapped.__dict__.update(attributes)
    return wrapped
