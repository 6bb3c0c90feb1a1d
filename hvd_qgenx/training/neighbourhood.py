"""With whom, and how, the ranks of a run gossip."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor
from torch.optim import Optimizer

from compressors import Compressor
from hvd_qgenx.gossip.topology import Topology
from hvd_qgenx.optim.decentralized import DecentralizedOptimizer, Gossip
from hvd_qgenx.training.config import Config
from hvd_qgenx.training.gossip import NONE, GossipConfig
from hvd_qgenx.transport import Transport

BARELY = 0.01
"""Consensus step size below which a user is warned: ranks drift apart faster than they agree."""


@dataclass(frozen=True)
class Neighbourhood:
    """The topology of a run's ranks, and how their parameters are mixed."""

    transport: Transport
    topology: Topology
    gossip: Gossip
    averages_at_end: bool

    @classmethod
    def of(cls, config: Config, transport: Transport) -> Self | None:
        """Returns that of a run; None if its ranks average gradients.

        Raises:
            ConfigurationError: the topology does not have as many ranks.
        """
        if not isinstance(config, GossipConfig) or config.mixing == NONE:
            return None
        topology = config.make_topology(transport.size)
        return cls(transport, topology, config.make_gossip(), config.average_at_end == "yes")

    def optimizer(self, alone: Optimizer, names: Sequence[tuple[str, Tensor]], compressor: Compressor) -> Any:
        """Makes an optimizer decentralized."""
        return DecentralizedOptimizer(
            alone, names, compressor, topology=self.topology, gossip=self.gossip, transport=self.transport
        )

    def describe(self, optimizer: Any) -> str:
        """Returns a sentence on it, and on the step size that an optimizer has found."""
        gossip: Gossip = optimizer.gossip
        degrees = [len(self.topology.links(rank, 0).told) for rank in range(self.topology.size)]
        degree = f"{min(degrees)}" if min(degrees) == max(degrees) else f"{min(degrees)} to {max(degrees)}"
        found = gossip.consensus_step_size
        sentence = (
            f"Gossip: {gossip.mixing} on {self.topology.name}, {degree} neighbour(s) a step, "
            f"consensus step size {found:g}"
        )
        if self.gossip.consensus_step_size is None and found is not None and found < BARELY:
            momentum = " with quasi-global momentum" if gossip.quasi_global_momentum else ""
            sentence += (
                f"\nAt so small a step size ranks barely mix: the compressor loses much for {gossip.mixing}{momentum}. "
                "Choose a more precise one, such as minmax with 4 bits, or set --consensus-step-size."
            )
        return sentence
