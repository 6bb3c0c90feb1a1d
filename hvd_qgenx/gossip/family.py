"""Topologies of one name, for every number of ranks that has one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.gossip.topology import Cycle, Topology
from hvd_qgenx.gossip.weights import Rule


@dataclass(frozen=True)
class Request:
    """A request for a topology."""

    name: str
    """Name of the topology in messages and reports."""
    ranks: int
    rule: Rule | None = None
    """The mixing weights; None takes the graph's own."""
    peers: int = 1
    """Neighbours of a rank in one round."""
    seed: int = 0


@dataclass(frozen=True)
class Family:
    """An entry of the registry."""

    needs: str
    """The start of a sentence that says which numbers of ranks there are: 'a hypercube needs a power of two'."""
    accepts: Callable[[int], bool]
    """Tells whether there is one for a number of ranks from 2 on; a rank alone always has one."""
    build: Callable[[Request], Topology]
    """Makes it for an accepted number of ranks from 2 on."""
    weighted: bool = False
    """Weights can be chosen."""
    takes_peers: bool = False
    """The number of neighbours in a round can be chosen."""

    def make(self, request: Request) -> Topology:
        """Makes the topology.

        Raises:
            ConfigurationError: there is none for this number of ranks, and the sentence names the nearest numbers;
                or the name has no choice of weights or peers.
        """
        name, ranks = request.name, request.ranks
        if ranks < 1:
            raise ConfigurationError(f"{name} needs one rank or more, not {ranks}")
        if request.peers < 1:
            raise ConfigurationError(f"{name} needs one peer or more, not {request.peers}")
        if ranks > 1 and not self.accepts(ranks):
            raise ConfigurationError(f"{self.needs}, not {ranks}; {self._nearest(ranks)}")
        if request.rule is not None and not self.weighted:
            raise ConfigurationError(f"the weights of {name} cannot be chosen; leave them at default")
        if request.peers != 1 and not self.takes_peers:
            raise ConfigurationError(f"the number of peers of {name} cannot be chosen; only base-k takes one")
        return self.build(request) if ranks > 1 else Cycle(name, [np.ones((1, 1))])

    def _nearest(self, ranks: int) -> str:
        """Returns the nearest accepted numbers from 2 on, below and above, in words."""
        below = next((n for n in range(ranks - 1, 1, -1) if self.accepts(n)), None)
        above = next((n for n in range(ranks + 1, 4 * ranks + 64) if self.accepts(n)), None)
        found = [str(n) for n in (below, above) if n is not None]
        return f"the nearest {'are' if len(found) > 1 else 'is'} {' and '.join(found)}"


def any_number(_: int) -> bool:
    """Accepts every number of ranks."""
    return True
