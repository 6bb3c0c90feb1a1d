"""Separates a distributed optimizer's state into this rank's own part and the part that all ranks share."""

from typing import Any

from compressors import Compressor

State = dict[str, Any]


def separate(state: State, compression: Compressor, worker_state: frozenset[str] | None) -> State:
    """Returns the state with a part ``local``, which holds all that is this rank's alone.

    Args:
        state: as ``state_dict()`` of the optimizer alone returns it.
        compression: its state is local.
        worker_state: keys of a parameter's state that are local too; None for an optimizer that has none.
    """
    local: State = {"compression": compression.state_dict()}
    if worker_state is None:
        return {**state, "local": local}
    parameters = state["state"]
    local["state"] = {key: _only(values, values.keys() & worker_state) for key, values in parameters.items()}
    common = {key: _only(values, values.keys() - worker_state) for key, values in parameters.items()}
    return {**state, "state": common, "local": local}


def join(state: State, compression: Compressor) -> State:
    """Gives the compressor its state; returns the state of the optimizer alone.

    Args:
        state: as ``separate`` returns it; without ``local`` the compressor keeps its state.
        compression: takes the state that is its own.
    """
    state = dict(state)
    if local := state.pop("local", None):
        compression.load_state_dict(local["compression"])
        own = local.get("state", {})
        state["state"] = {key: {**values, **own.get(key, {})} for key, values in state["state"].items()}
    return state


def _only(values: State, names: set[str]) -> State:
    return {name: values[name] for name in values if name in names}
