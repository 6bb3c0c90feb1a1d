"""Gossip: which ranks are neighbours, and how neighbours' payloads become the next parameters.

>>> from hvd_qgenx.gossip import make, rounds_to_consensus
>>> ring, schedule = make("ring", 8), make("one-peer-exponential", 8)
>>> rounds_to_consensus(ring), rounds_to_consensus(schedule)
(None, 3)
"""

from typing import TYPE_CHECKING

from hvd_qgenx.exports import lazy
from hvd_qgenx.gossip.registry import TOPOLOGIES, make

__all__ = [
    "MIXINGS",
    "TOPOLOGIES",
    "Links",
    "Mixing",
    "QuasiGlobalMomentum",
    "Rates",
    "Spectrum",
    "Topology",
    "Tuning",
    "analyse",
    "consensus_step_size",
    "make",
    "rounds_to_consensus",
    "spectral_gap",
    "tune",
]

if TYPE_CHECKING:
    from hvd_qgenx.gossip.mixings.base import Mixing, Rates
    from hvd_qgenx.gossip.mixings.registry import MIXINGS
    from hvd_qgenx.gossip.momentum import QuasiGlobalMomentum
    from hvd_qgenx.gossip.spectrum import Spectrum, analyse, consensus_step_size, rounds_to_consensus, spectral_gap
    from hvd_qgenx.gossip.topology import Links, Topology
    from hvd_qgenx.gossip.tuning import Tuning, tune
else:
    __getattr__ = lazy(
        __name__,
        {
            "MIXINGS": "hvd_qgenx.gossip.mixings.registry",
            "Links": "hvd_qgenx.gossip.topology",
            "Mixing": "hvd_qgenx.gossip.mixings.base",
            "QuasiGlobalMomentum": "hvd_qgenx.gossip.momentum",
            "Rates": "hvd_qgenx.gossip.mixings.base",
            "Spectrum": "hvd_qgenx.gossip.spectrum",
            "Topology": "hvd_qgenx.gossip.topology",
            "Tuning": "hvd_qgenx.gossip.tuning",
            "analyse": "hvd_qgenx.gossip.spectrum",
            "consensus_step_size": "hvd_qgenx.gossip.spectrum",
            "rounds_to_consensus": "hvd_qgenx.gossip.spectrum",
            "spectral_gap": "hvd_qgenx.gossip.spectrum",
            "tune": "hvd_qgenx.gossip.tuning",
        },
    )
