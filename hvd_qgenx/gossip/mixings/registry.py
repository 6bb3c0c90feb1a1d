"""Mixings by name. A mixing is added by a file with its class, and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvd_qgenx.registry import Registry

if TYPE_CHECKING:
    from hvd_qgenx.gossip.mixings.base import Mixing

MIXINGS: Registry[type[Mixing]] = Registry(
    "mixing",
    {
        "choco": "hvd_qgenx.gossip.mixings.choco:Choco",
        "dpsgd": "hvd_qgenx.gossip.mixings.plain:Plain",
        "dcd": "hvd_qgenx.gossip.mixings.difference:Dcd",
        "ecd": "hvd_qgenx.gossip.mixings.difference:Ecd",
        "deepsqueeze": "hvd_qgenx.gossip.mixings.deepsqueeze:DeepSqueeze",
        "lead": "hvd_qgenx.gossip.mixings.lead:Lead",
        "beer": "hvd_qgenx.gossip.mixings.tracking:Beer",
        "motef": "hvd_qgenx.gossip.mixings.tracking:Motef",
        "relay": "hvd_qgenx.gossip.mixings.relay:Relay",
    },
)
"""Classes of mixings by name."""
NAMES = tuple(MIXINGS)
