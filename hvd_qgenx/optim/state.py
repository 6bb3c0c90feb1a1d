"""Separates a distributed optimizer's state into this rank's own part and the part that all ranks share."""

import copy
import logging
from typing import Any

from compressors import Compressor
from hvd_qgenx.errors import ConfigurationError

log = logging.getLogger(__name__)

State = dict[str, Any]


def separate(state: State, compression: Compressor, worker_state: frozenset[str] | None) -> State:
    """Returns the state with a part ``local``, which holds all that is this rank's alone.

    Args:
        state: as ``state_dict()`` of the optimizer alone returns it.
        compression: its state is local.
        worker_state: keys of a parameter's state that are local too; None for an optimizer that has none.
    """
    local: State = {"compressor": repr(compression), "compression": compression.state_dict()}
    if worker_state is None:
        return {**state, "local": local}
    parameters = state["state"]
    local["state"] = {key: _only(values, values.keys() & worker_state) for key, values in parameters.items()}
    common = {key: _only(values, values.keys() - worker_state) for key, values in parameters.items()}
    return {**state, "state": common, "local": local}


def join(state: State, compression: Compressor) -> State:
    """Gives the compressor its state; returns the state of the optimizer alone.

    What another rank has saved as its own alone is not taken over, with a warning: its random stream, so that the
    rounding errors of ranks stay independent, and its part of the optimizer's state. Levels are.

    Args:
        state: as ``separate`` returns it; without ``local`` the compressor keeps its state.
        compression: takes the state that is its own.

    Raises:
        ConfigurationError: the state is that of another compressor.
    """
    state = dict(state)
    local = state.pop("local", None)
    if not local:
        return state
    if local.get("compressor", repr(compression)) != repr(compression):
        raise ConfigurationError(
            f"the state is that of an optimizer with {local['compressor']}, not {compression!r}; "
            'make the optimizer with the same compression, or leave out state["local"]'
        )
    rank, saved_by, own = compression.stream.rank, ranks_of(local["compression"]), local.get("state", {})
    if saved_by != {rank}:
        log.warning(
            f"rank {rank} loads state that rank {min(saved_by)} has saved: it takes what all ranks share, "
            "and keeps its own random stream; to go on bit for bit, save and load the state of every rank"
        )
        own = {}
    compression.load_state_dict(of_rank(local["compression"], rank))
    state["state"] = {key: {**values, **own.get(key, {})} for key, values in state["state"].items()}
    return state


def ranks_of(compression: State) -> set[int]:
    """Returns the ranks whose random streams are in a compressor's state; one, unless it was put together by hand."""
    found = {compression["stream"]["rank"]} if "stream" in compression else set()
    return found.union(*(ranks_of(value) for name, value in compression.items() if _is_part(name, value)))


def of_rank(compression: State, rank: int) -> State:
    """Returns a compressor's state with the random stream of another rank."""
    changed = copy.deepcopy(compression)
    if "stream" in changed:
        changed["stream"]["rank"] = rank
    for name, value in changed.items():
        if _is_part(name, value):
            changed[name] = of_rank(value, rank)
    return changed


def _is_part(name: str, value: Any) -> bool:
    """Tells whether an entry of a compressor's state is the state of a compressor inside it."""
    return name != "stream" and isinstance(value, dict)


def _only(values: State, names: set[str]) -> State:
    return {name: values[name] for name in values if name in names}
