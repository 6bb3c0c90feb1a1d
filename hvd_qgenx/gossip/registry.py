"""Topologies and mixing weights by name; listing them imports nothing further."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from compressors.naming import shown
from compressors.spec import Spec
from hvd_qgenx.errors import ConfigurationError, configuration_errors
from hvd_qgenx.registry import Registry

if TYPE_CHECKING:
    from hvd_qgenx.gossip.family import Family
    from hvd_qgenx.gossip.topology import Topology
    from hvd_qgenx.gossip.weights import Rule

TOPOLOGIES: Registry[Family] = Registry(
    "topology",
    {
        "complete": "hvd_qgenx.gossip.graphs:COMPLETE",
        "ring": "hvd_qgenx.gossip.graphs:RING",
        "torus": "hvd_qgenx.gossip.graphs:TORUS",
        "expander": "hvd_qgenx.gossip.graphs:EXPANDER",
        "margulis": "hvd_qgenx.gossip.graphs:MARGULIS",
        "social": "hvd_qgenx.gossip.graphs:SOCIAL",
        "extended-ring": "hvd_qgenx.gossip.graphs:EXTENDED_RING",
        "hypercube": "hvd_qgenx.gossip.graphs:HYPERCUBE",
        "star": "hvd_qgenx.gossip.graphs:STAR",
        "chain": "hvd_qgenx.gossip.graphs:CHAIN",
        "exponential": "hvd_qgenx.gossip.graphs:EXPONENTIAL",
        "disconnected": "hvd_qgenx.gossip.graphs:DISCONNECTED",
        "one-peer-exponential": "hvd_qgenx.gossip.schedules:ONE_PEER_EXPONENTIAL",
        "base-k": "hvd_qgenx.gossip.schedules:BASE_K",
        "random-matching": "hvd_qgenx.gossip.schedules:RANDOM_MATCHING",
    },
    group="hvd_qgenx.topologies",
)
"""Families of topologies by name."""
RULES: Registry[Rule] = Registry(
    "rule of mixing weights",
    {
        "uniform": "hvd_qgenx.gossip.weights:uniform",
        "max-degree": "hvd_qgenx.gossip.weights:max_degree",
        "metropolis": "hvd_qgenx.gossip.weights:metropolis",
    },
)
DEFAULT_WEIGHTS = "default"
"""Every graph's own weights."""
WEIGHTS = (DEFAULT_WEIGHTS, *RULES)


def make(text: str, ranks: int, *, weights: str = DEFAULT_WEIGHTS, peers: int = 1, seed: int = 0) -> Topology:
    """Makes a topology.

    Examples:
        >>> make("ring", 4).matrix(0)[0].round(3).tolist()
        [0.333, 0.333, 0.0, 0.333]
        >>> make("base-k:peers=2", 9).period
        2

    Args:
        text: a name of ``TOPOLOGIES``, also as ``base-k:peers=2``, or the path of a file (``hvd_qgenx.gossip.files``).
        ranks: their number.
        weights: one of ``WEIGHTS``.
        peers: neighbours of a rank in a round of ``base-k``.
        seed: of ``random-matching``.

    Raises:
        ConfigurationError: an unknown name, a number of ranks that the topology does not have, weights or peers where
            there is no choice, or a file that is no graph of this many ranks.
    """
    rule = None if weights == DEFAULT_WEIGHTS else RULES[weights]
    name = text.partition(":")[0]
    if name not in TOPOLOGIES and ("/" in text or "." in text or Path(text).exists()):
        if peers != 1:
            raise ConfigurationError(f"the number of peers of {text} cannot be chosen; only base-k takes one")
        from hvd_qgenx.gossip.files import read

        return read(Path(text), ranks, rule)
    family = TOPOLOGIES[name]
    from hvd_qgenx.gossip.family import Request

    return family.make(Request(text, ranks, rule, _peers(text, peers), seed))


def _peers(text: str, peers: int) -> int:
    """Returns the number of peers of a text like ``base-k:peers=2``, or else the one that was given beside it."""
    with configuration_errors():
        values = dict(Spec.parse(text).values)
    own = values.pop("peers", None)
    if values:
        raise ConfigurationError(f"{text}: the one parameter of a topology is peers, of base-k")
    if own is None:
        return peers
    if not own.isdecimal():
        raise ConfigurationError(f"{text}: peers must be a whole number, not {shown(own)}")
    if peers not in (1, int(own)):
        raise ConfigurationError(f"{text} and peers {peers} contradict each other; leave one of them out")
    return int(own)
