"""Settings of runs whose ranks mix parameters with neighbours instead of averaging gradients."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hvd_qgenx.errors import ConfigurationError
from hvd_qgenx.gossip.mixings.registry import MIXINGS
from hvd_qgenx.gossip.registry import TOPOLOGIES, WEIGHTS
from hvd_qgenx.training.config import NEUTRAL, STUDIED, Config
from hvd_qgenx.training.settings import declared, setting

if TYPE_CHECKING:
    from hvd_qgenx.gossip.topology import Topology
    from hvd_qgenx.optim.decentralized import Gossip

GOSSIP = "Gossip"
NONE = "none"
ORDERS = ("overlap", "wait")
CHOICE = ("yes", "no")


@dataclass(frozen=True)
class GossipConfig(Config):
    """The settings of gossip, for tasks that can do without an average of all ranks."""

    mixing: str = setting(
        NONE,
        "How ranks mix their parameters with their neighbours'; none: all ranks average gradients.",
        GOSSIP,
        choices=(NONE, *MIXINGS),
        role=STUDIED,
    )
    topology: str = setting(
        "ring",
        f"Who hears from whom: {', '.join(TOPOLOGIES)}, base-k:peers=2 or the like, or a file.",
        GOSSIP,
        role=STUDIED,
        registry=TOPOLOGIES,
    )
    topology_weights: str = setting("default", "Mixing weights of the topology.", GOSSIP, choices=WEIGHTS, role=STUDIED)
    consensus_step_size: float | None = setting(
        None,
        "How far parameters move towards what neighbours have.",
        GOSSIP,
        limits="(0, inf)",
        role=STUDIED,
        otherwise="a safe one, found by simulation",
    )
    mixing_memory: float = setting(
        0.5,
        "alpha of lead, the pace of what is known of a rank; lambda of motef, the weight of a new gradient.",
        GOSSIP,
        limits="(0, 1]",
        role=STUDIED,
    )
    quasi_global_momentum: float = setting(
        0.0,
        "Decay of a momentum that follows the mixed parameters, in place of --momentum; 0: none.",
        GOSSIP,
        limits="[0, 1)",
        role=STUDIED,
    )
    gossip_order: str = setting(
        "overlap",
        "overlap lets messages travel while the next gradient is computed, where the mixing can; wait mixes at once.",
        GOSSIP,
        choices=ORDERS,
        role=STUDIED,
    )
    average_every: int = setting(
        0, "Updates between two exact averages over all ranks; 0: none.", GOSSIP, limits="[0, inf)", role=STUDIED
    )
    average_at_end: str = setting(
        "yes", "End with one exact average over all ranks?", GOSSIP, choices=CHOICE, role=NEUTRAL
    )
    drop: float = setting(
        0.0, "Share of the messages that are lost, to see what becomes of it.", GOSSIP, limits="[0, 1)", role=STUDIED
    )

    def check(self, ranks: int) -> None:
        super().check(ranks)
        if self.mixing == NONE:
            self._check_unused()
        else:
            self._check_gossip(ranks)

    def _check_gossip(self, ranks: int) -> None:
        self._check_others()
        topology = self.make_topology(ranks)
        MIXINGS[self.mixing].check(topology)
        from hvd_qgenx.gossip.messages import fitting

        fitting(self.make_compressor(), MIXINGS[self.mixing])

    def _check_unused(self) -> None:
        settings = declared(type(self))
        for name in ("consensus_step_size", "quasi_global_momentum", "average_every", "drop"):
            if getattr(self, name) != settings[name].default:
                raise ConfigurationError(f"{name} is for gossip; give a --mixing, like choco")

    def _check_others(self) -> None:
        """Refuses what belongs to averages of gradients."""
        if self.method.moves != 1:
            raise ConfigurationError(f"{self.mixing} mixes after one step at a time; {self.optimizer} makes two moves")
        settings = declared(type(self))
        for name in ("exchange", "feedback", "momentum_place", "local_clip_norm"):
            if name in settings and getattr(self, name) != settings[name].default:
                raise ConfigurationError(f"{name} is for averages of gradients; leave it out with --mixing")
        if self.quasi_global_momentum and self.momentum:
            raise ConfigurationError("quasi_global_momentum stands in for the optimizer's own; give --momentum 0")

    def make_topology(self, ranks: int) -> "Topology":
        """Returns the topology for a number of ranks; raises ConfigurationError if there is none."""
        from hvd_qgenx.gossip import registry

        return registry.make(self.topology, ranks, weights=self.topology_weights, seed=self.seed)

    def make_gossip(self) -> "Gossip":
        """Returns how parameters are mixed."""
        from hvd_qgenx.optim.decentralized import Gossip

        return Gossip(
            mixing=self.mixing,
            consensus_step_size=self.consensus_step_size,
            memory=self.mixing_memory,
            quasi_global_momentum=self.quasi_global_momentum,
            average_every=self.average_every,
            overlap=self.gossip_order == "overlap",
            drop=self.drop,
        )
