"""Names of an optimizer's parameters, and the order in which backward reaches them."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor

from hvd_qgenx.errors import ConfigurationError

Groups = list[dict[str, Any]]


def given_names(named: Iterable[tuple[str, Tensor]] | None) -> dict[Tensor, str]:
    """Returns parameters with the names that a user gave them, as by ``model.named_parameters()``.

    Raises:
        ConfigurationError: these are not pairs.
    """
    pairs = list(named or ())
    for pair in pairs:
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[1], Tensor)):
            raise ConfigurationError(
                "named_parameters must be pairs of a name and a parameter, as model.named_parameters() yields them"
            )
    return {parameter: name for name, parameter in pairs}


def name_parameters(groups: Groups, given: dict[Tensor, str]) -> dict[Tensor, str]:
    """Returns all parameters with their names for error messages.

    Args:
        groups: the optimizer's; the optional key ``player`` is part of the name.
        given: names of all parameters; if there are none, parameters are named by their positions.

    Raises:
        ConfigurationError: ``given`` leaves out a parameter, or has the same name for two of one player.
    """
    names: dict[Tensor, str] = {}
    for index, group in enumerate(groups):
        player = group.get("player")
        for place, parameter in enumerate(group["params"]):
            if given and parameter not in given:
                raise ConfigurationError(f"named_parameters leaves out parameter {place} of group {index}")
            name = repr(given.get(parameter, f"{index}.{place}"))
            names[parameter] = f"{player} parameter {name}" if player else f"parameter {name}"
    several = [name for name, count in Counter(names.values()).items() if count > 1]
    if several:
        raise ConfigurationError(
            f"several are called {several[0]}; give prefixes, as model.named_parameters(prefix=...) does"
        )
    return names


def route_names(groups: Groups, given: dict[Tensor, str]) -> dict[Tensor, str]:
    """Returns the names by which a compressor is chosen for parameters that were given one: NAME, or PLAYER.NAME."""
    return {
        parameter: f"{group['player']}.{given[parameter]}" if group.get("player") else given[parameter]
        for group in groups
        for parameter in group["params"]
        if parameter in given
    }


def in_backward_order(groups: Groups) -> Iterator[Tensor]:
    """Yields the parameters of every group from its end, as backward is expected to reach them."""
    for group in groups:
        yield from reversed(group["params"])
