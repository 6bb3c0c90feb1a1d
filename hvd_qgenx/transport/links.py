"""Messages between ranks that make up collectives of all ranks."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from torch import Tensor

Waiting: TypeAlias = Callable[[], list[Tensor]]
"""Waits for tensors and returns them."""
Start: TypeAlias = Callable[[Mapping[int, Tensor], Sequence[int], Sequence[int] | None, str, Tensor], Waiting]
"""Sends tensors to ranks; also takes the ranks that are heard, lengths if known, a name, and a tensor like all."""


def start_all(start: Start, rank: int, sent: Sequence[Tensor], lengths: Sequence[int] | None, name: str) -> Waiting:
    """Sends ``sent[k]`` to rank k; returns a function that waits for the tensors from every rank and returns them.

    What a rank sends to itself is returned as it is.

    Args:
        start: sends the messages.
        rank: this one.
        sent: one tensor for every rank.
        lengths: those of all ranks' tensors; None if they are not known.
        name: names the collective.
    """
    size = len(sent)
    after = [(rank + step) % size for step in range(1, size)]
    before = after[::-1]
    known = None if lengths is None else [lengths[peer] for peer in before]
    wait = start({peer: sent[peer] for peer in after}, before, known, name, sent[rank])

    def wait_for_all() -> list[Tensor]:
        received = dict(zip(before, wait(), strict=True))
        received[rank] = sent[rank]
        return [received[peer] for peer in range(size)]

    return wait_for_all
