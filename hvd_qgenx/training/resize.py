"""State of a run that continues with more or fewer ranks."""

from typing import Any

from hvd_qgenx.exchange import Report
from hvd_qgenx.optim.state import of_rank


def resized(state: dict[str, Any], ranks: int) -> dict[str, Any]:
    """Returns the state of a run (``Run.state_dict``) for another number of ranks.

    What is equal on all ranks stays: parameters, moments, averages, counters, levels. Of what is a rank's
    own, rank k keeps that of the former rank k; that of ranks that are no more is dropped. A new rank gets
    the compressor's state of rank 0, its levels among it, with a random stream of its own, and no more:
    its counts of bytes and seconds begin at zero, an optimizer that remembers a worker's own gradient takes
    it for zeros, and a task has no state of this rank alone (``Task.local_state``). Error memories and momentum
    of a new rank are zero; shifts, whose mean all ranks know, begin at zero on all. With gossip a new rank starts from
    the mean of the parameters, and neighbours tell each other theirs anew.
    """
    kept = [_without_shifts(each) for each in state["ranks"][:ranks]]
    new = [_newcomer(kept[0], rank) for rank in range(len(kept), ranks)]
    return {**state, "ranks": kept + new}


def _without_shifts(rank: dict[str, Any]) -> dict[str, Any]:
    kind = {"optimizers": [dict(each) for each in rank["optimizers"]]}
    for each in kind["optimizers"]:
        if "shift" in each.get("memory", {}).get("kind", ""):
            del each["memory"]
    return {**rank, **kind}


def _newcomer(first: dict[str, Any], rank: int) -> dict[str, Any]:
    return {
        "optimizers": [{"compression": of_rank(each["compression"], rank)} for each in first["optimizers"]],
        "reports": [vars(Report()) for _ in first["reports"]],
        "seconds": dict.fromkeys(first["seconds"], 0.0),
    }
