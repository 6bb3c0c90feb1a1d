"""Checks that what a checkpoint holds fits the run that reads it, before memory is taken or anything is changed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from compressors.naming import shortened, shown
from hvd_qgenx.errors import ConfigurationError, is_out_of_memory
from hvd_qgenx.reading import unusable
from hvd_qgenx.transport.failures import is_failure

M = TypeVar("M", bound=nn.Module)

SETTINGS = "settings"
"""Entry of a checkpoint: the settings of its run that never change."""
OPTIONAL = {
    *("class_names", "counts", "files", "schedulers", "epsilon_place", SETTINGS),
    *("maximize", "foreach", "capturable", "differentiable", "fused", "decoupled_weight_decay"),
}
"""Keys that checkpoints of earlier versions lack, of this project and of torch's optimizers."""
WHOLE, REMEDY = "the checkpoint", "the checkpoint is damaged, or not one of the run that config.json describes"
RATES = ("lr", "initial_lr", "params")
"""Keys of a parameter group whose values are not those that the configuration begins with."""


def require_like(found: Any, wanted: Any, place: str = "") -> None:
    """Requires the keys, types, shapes and lengths of a state that the run itself would save.

    Args:
        found: what was read.
        wanted: what the run would save; where that is None or empty, anything may be found.
        place: dotted name of what is compared, for messages.

    Raises:
        ConfigurationError: it is something else; names the place.
    """
    if isinstance(wanted, Tensor):
        _require_tensor(found, wanted, place)
    elif isinstance(wanted, Mapping):
        if not isinstance(found, Mapping):
            raise misfit(place, f"is {shown(found)}, not a table")
        for key, each in wanted.items():
            if key in found:
                require_like(found[key], each, f"{place}.{key}".lstrip("."))
            elif key not in OPTIONAL and not str(key).startswith("_"):  # torch's schedulers begin anew without those
                raise misfit(place, f"lacks {key}")
    elif isinstance(wanted, list | tuple):
        if not isinstance(found, list | tuple) or (wanted and len(found) != len(wanted)):
            raise misfit(place, f"is {shown(found)}, not a list of {len(wanted)}")
        for index, each in enumerate(wanted):
            require_like(found[index], each, f"{place}[{index}]")
    elif not (wanted is None or type(found) is type(wanted) or (type(wanted) is float and type(found) is int)):
        raise misfit(place, f"is {shown(found)}, not of the type {type(wanted).__name__}")


def _require_tensor(found: Any, wanted: Tensor, place: str) -> None:
    if not isinstance(found, Tensor) or found.device.type != "cpu" or found.layout != torch.strided:
        raise misfit(place, f"is {_kind(found)}, not a tensor of numbers")
    if (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
        raise misfit(place, f"is {_kind(found)}, not {_kind(wanted)}")


def require_state(
    found: Mapping[str, Any], wanted: Mapping[str, Any], ranks: int, moved: Sequence[Sequence[Tensor]]
) -> None:
    """Requires the state of a run (``Run.state_dict``).

    Args:
        found: what was read.
        wanted: what the run would save before its first update.
        ranks: how many the state is of; the run may have another number.
        moved: the parameters of every optimizer.

    Raises:
        ConfigurationError: it is not such a state; names the place.
    """
    _require_settings(found.get(SETTINGS, {}), wanted[SETTINGS])
    own = wanted["ranks"]
    ranked = own if len(own) == ranks else [_of_any_rank(own[0])] * ranks
    require_like(found, {**wanted, "ranks": ranked, SETTINGS: None})
    if found["move"] < 0:
        raise misfit("move", f"is {shown(found['move'])}, not a number of moves")
    for index, parameters in enumerate(moved):
        place = f"optimizers[{index}]"
        common, locals_ = found["optimizers"][index], [rank["optimizers"][index] for rank in found["ranks"]]
        require_groups(common["param_groups"], wanted["optimizers"][index]["param_groups"], f"{place}.param_groups")
        require_moments(common["state"], parameters, f"{place}.state")
        for rank, local in enumerate(locals_):
            for name in ("state", "moments"):
                require_moments(local.get(name, {}), parameters, f"ranks[{rank}].{place}.{name}")


def _require_settings(found: Any, wanted: Mapping[str, Any]) -> None:
    """Requires the settings of a checkpoint, as far as this version knows them, to be those of the run."""
    if not isinstance(found, Mapping):
        raise misfit(SETTINGS, f"is {shown(found)}, not a table")
    for name in wanted.keys() & found.keys():
        if found[name] != wanted[name]:
            raise misfit(f"{SETTINGS}.{name}", f"is {shown(found[name])}, but the run has {shown(wanted[name])}")


def _of_any_rank(state: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the part of a rank's state that does not depend on the number of ranks."""
    return {**{name: state[name] for name in ("reports", "seconds")}, "optimizers": [{} for _ in state["optimizers"]]}


def require_groups(found: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]], place: str) -> None:
    """Requires parameter groups, already like those wanted, to have their settings, but for the step size.

    Raises:
        ConfigurationError: one has another value; names the place.
    """
    for number, (group, own) in enumerate(zip(found, wanted, strict=True)):
        for name in own.keys() & group.keys() - OPTIONAL - set(RATES):
            if group[name] != own[name]:
                raise misfit(
                    f"{place}[{number}].{name}", f"is {shown(group[name])}, but the run has {shown(own[name])}"
                )


def require_moments(found: Mapping[Any, Any], parameters: Sequence[Tensor], place: str) -> None:
    """Requires an optimizer's state to be of these parameters: a shape for a shape, the same names for all.

    Raises:
        ConfigurationError: it is of others; names the place.
    """
    if not isinstance(found, Mapping) or not all(isinstance(values, Mapping) for values in found.values()):
        raise misfit(place, "is not a table of each parameter's state")
    if found and set(found) != set(range(len(parameters))):
        raise misfit(place, f"is not of {len(parameters)} parameters")
    kinds = {name: type(value) for name, value in found.get(0, {}).items()}
    for index, values in found.items():
        if {name: type(value) for name, value in values.items()} != kinds:
            raise misfit(f"{place}.{index}", "has not the names and types that the first parameter's state has")
        for name, value in values.items():
            if isinstance(value, Tensor):
                _require_tensor(value, value if value.numel() == 1 else parameters[index], f"{place}.{index}.{name}")
            elif not isinstance(value, int | float | None):
                raise misfit(f"{place}.{index}.{name}", f"is {shown(value)}, not a number")


def filled(make: Callable[[], M], state: Any, place: str) -> M:
    """Makes a model and gives it saved weights; no memory is taken for one that they do not fit.

    Raises:
        ConfigurationError: they do not fit; names the place.
    """
    require_like(state, without_memory(make).state_dict(), place)
    model = make()
    with refused(place):
        model.load_state_dict(state)
    return model


def without_memory(make: Callable[[], M]) -> M:
    """Returns a model whose tensors have shapes alone.

    Raises:
        ConfigurationError: no tensor can be as large as they would have to be.
    """
    with refused("config.json"), torch.device("meta"):
        return make()


@contextmanager
def refused(place: str) -> Iterator[None]:
    """Turns what is raised for a value that nobody has checked into a sentence."""
    try:
        with unusable(shortened(place) or WHOLE, REMEDY):
            yield
    except RuntimeError as error:
        if is_failure(error) or is_out_of_memory(error):
            raise
        raise misfit(place, f"cannot be used ({shortened(str(error).splitlines()[0])})") from error


def misfit(place: str, fault: str) -> ConfigurationError:
    """Returns the error for a part of a checkpoint, by its dotted name, or for all of it."""
    return ConfigurationError(f"{shortened(place) or WHOLE} {fault}; {REMEDY}")


def _kind(value: Any) -> str:
    if not isinstance(value, Tensor):
        return shown(value)
    return f"{str(value.dtype).removeprefix('torch.')} of shape {shortened(str(tuple(value.shape)))}"
