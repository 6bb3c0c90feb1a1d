"""Names of an optimizer's parameters, and the order in which backward reaches them."""

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor

from hvd_qgenx.errors import ConfigurationError

Groups = list[dict[str, Any]]


def name_parameters(groups: Groups, named: Iterable[tuple[str, Tensor]] | None) -> dict[Tensor, str]:
    """Returns the parameters that require gradients, with their names for error messages.

    Args:
        groups: the optimizer's; the optional key ``player`` is part of the name.
        named: names, as from ``model.named_parameters()``; None names parameters by their positions.

    Raises:
        ConfigurationError: ``named`` leaves out a parameter.
    """
    given = {parameter: name for name, parameter in named or ()}
    names: dict[Tensor, str] = {}
    for index, group in enumerate(groups):
        player = group.get("player")
        for place, parameter in enumerate(group["params"]):
            if given and parameter not in given:
                raise ConfigurationError(f"named_parameters leaves out parameter {place} of group {index}")
            if parameter.requires_grad:
                name = repr(given.get(parameter, f"{index}.{place}"))
                names[parameter] = f"{player} parameter {name}" if player else f"parameter {name}"
    return names


def in_backward_order(groups: Groups) -> Iterator[Tensor]:
    """Yields the parameters that require gradients, every group from its end, as backward is expected to reach them."""
    for group in groups:
        yield from (parameter for parameter in reversed(group["params"]) if parameter.requires_grad)
