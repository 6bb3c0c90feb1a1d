"""Momentum and weight decay of every rank's own gradient, before it is exchanged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, NamedTuple

from torch import Tensor

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.exchange.feedback import Memory
from hvd_qgenx.optim.buffers import FlatBuffer

KEYS = ("momentum", "nesterov", "weight_decay")


class Rule(NamedTuple):
    """SGD's settings of a parameter."""

    momentum: float
    nesterov: bool
    weight_decay: float


def take_over(groups: Iterable[dict[str, Any]]) -> dict[Tensor, Rule]:
    """Takes momentum and weight decay out of SGD's parameter groups, whose steps are then plain ones; returns them.

    They stay in the groups under the names ``local_momentum`` and so on.

    Raises:
        ConfigurationError: the groups are not those of SGD, or have dampening or maximize.
    """
    rules = {}
    for group in groups:
        if not {"momentum", "nesterov", "dampening"} <= group.keys():
            raise ConfigurationError("local_momentum is for torch.optim.SGD, whose momentum it takes over")
        if group["dampening"] or group.get("maximize"):
            raise ConfigurationError("local_momentum has neither dampening nor maximize")
        if "local_momentum" not in group:
            group.update({f"local_{key}": group[key] for key in KEYS})
        group.update(momentum=0.0, nesterov=False, weight_decay=0.0)
        rule = Rule(*(group[f"local_{key}"] for key in KEYS))
        rules.update(dict.fromkeys(group["params"], rule))
    return rules


def check_taken_over(groups: Iterable[dict[str, Any]]) -> None:
    """Raises ConfigurationError if something, like a scheduler of momentum, has given SGD a momentum of its own."""
    if any(group["momentum"] or group["weight_decay"] for group in groups):
        raise ConfigurationError(
            "momentum or weight_decay of a parameter group was set after local_momentum had taken them over; "
            "leave momentum out of schedulers (cycle_momentum=False)"
        )


class LocalMomentum(Memory):
    """Sends the momentum of a rank's own gradients, in which weight decay counts, instead of its gradient.

    m <- mu m + g + lambda x, and m is sent, or g + lambda x + mu m with Nesterov's momentum; without compression the
    mean is that of SGD with momentum. With ``masked``, the momentum of a coordinate that was sent begins anew, as in
    Lin et al., "Deep Gradient Compression" (ICLR 2018).

    Args:
        buffer: the gradients.
        rules: momentum and weight decay of every parameter.
        inner: what compression takes is remembered here, if it is.
        masked: whether coordinates that were sent lose their momentum.
    """

    kind = "momentum"
    count = 1

    def __init__(self, buffer: FlatBuffer, rules: Mapping[Tensor, Rule], inner: Memory | None, masked: bool) -> None:
        super().__init__(buffer.vector, buffer.codec)
        self._inner, self._masked = inner, masked
        self._buffer = buffer
        self._next = self.vectors[0].clone()
        """The momentum after this exchange; it counts once all means are finite."""
        self._runs = [
            (rule, list(members)) for rule, members in groupby(buffer.parameters, key=lambda member: rules[member])
        ]
        if inner is not None:
            self.vectors += inner.vectors
        self.needs_own = inner is not None or masked

    def before(self, part: Tensor, start: int, stop: int) -> None:
        for rule, members in self._runs:
            lo, hi = max(self._buffer.spans[members[0]][0], start), min(self._buffer.spans[members[-1]][1], stop)
            if lo < hi:
                self._advance(part[lo - start : hi - start], rule, lo, hi)
        if self._inner is not None:
            self._inner.before(part, start, stop)

    def _advance(self, part: Tensor, rule: Rule, start: int, stop: int) -> None:
        if rule.weight_decay:
            for lo, hi, values in self._buffer.values(start, stop):
                part[lo - start : hi - start].add_(values, alpha=rule.weight_decay)
        momentum = self._next[start:stop].copy_(self.vectors[0][start:stop]).mul_(rule.momentum).add_(part)
        if rule.nesterov:
            part.add_(momentum, alpha=rule.momentum)
        else:
            part.copy_(momentum)

    def known(self, sent: Tensor) -> Tensor:
        return sent if self._inner is None else self._inner.known(sent)

    def after(self, vector: Tensor, sent: Tensor | None, mean: Tensor) -> None:
        self.vectors[0].copy_(self._next)
        if self._inner is not None:
            self._inner.after(vector, sent, mean)
        if self._masked and sent is not None:
            for lo, hi in self._compressed:
                self.vectors[0][lo:hi].masked_fill_(sent[lo:hi] != 0, 0.0)
