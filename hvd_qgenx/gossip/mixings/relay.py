"""Sums that travel along a tree."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.gossip.mixings.base import Letters, Mixing
from hvd_qgenx.gossip.topology import Topology


class Relay(Mixing):
    """RelaySGD: each neighbour on a tree is sent the sum of all that has come from the other side.

    m_{i->j} = x_i + sum of the last m_{k->i}, k not j; x_i <- (x_i + sum_k m_{k->i}) / (number of ranks in these sums),
    which each message counts. So after as many steps as the tree is long, every rank's x goes into every mean with the
    same weight, whatever the ranks' data (Vogels, He, Koloskova, Lin, Karimireddy, Stich and Jaggi, "RelaySum for
    decentralized deep learning on heterogeneous data", NeurIPS 2021). A lost message leaves the one before in place.
    """

    name = "relay"
    takes = "nothing"
    fixed = True
    symmetric = True
    tuned = False

    @classmethod
    def check(cls, topology: Topology) -> None:
        super().check(topology)
        links = sum(len(topology.links(rank, 0).told) for rank in range(topology.size))
        if links != 2 * (topology.size - 1):
            raise ConfigurationError(f"relay needs a tree, like chain or star; {topology.name} has {links // 2} edges")

    def begin(self, start: Tensor, known: Callable[[int], Tensor] | None) -> None:
        self._owners = self.rows.owners().to(start.device)
        self.vectors["heard"] = start.new_zeros(len(self._owners), start.shape[1] + 1)
        """The last message of every link; its last coordinate counts the ranks in it."""

    def message(self, x: Tensor, rate: float) -> Letters:
        heard = self.vectors["heard"]
        return Letters(self._total(x)[self._owners] - heard, heard)

    def _hear(self, x: Tensor, answer: Tensor) -> None:
        self.vectors["heard"].copy_(answer)
        total = self._total(x)
        torch.div(total[:, :-1], total[:, -1:], out=x)

    def _total(self, x: Tensor) -> Tensor:
        """Returns the sums of all that these ranks know, and of how many ranks, (rows, d + 1)."""
        return torch.cat([x, x.new_ones(len(x), 1)], 1).index_add(0, self._owners, self.vectors["heard"])
