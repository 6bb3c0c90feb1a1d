"""Methods, noises and losses by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hvd_qgenx.registry import Registry

if TYPE_CHECKING:
    from hvd_qgenx.games.methods import Method
    from hvd_qgenx.games.noise import Noise

METHODS: Registry[Method] = Registry(
    "method",
    {
        "sgda": "hvd_qgenx.games.methods:SGDA",
        "alternating": "hvd_qgenx.games.methods:ALTERNATING",
        "extra-gradient": "hvd_qgenx.games.methods:EXTRA_GRADIENT",
        "past": "hvd_qgenx.games.methods:PAST",
        "optimistic": "hvd_qgenx.games.methods:OPTIMISTIC",
        "adam": "hvd_qgenx.games.methods:ADAM",
        "extra-adam": "hvd_qgenx.games.methods:EXTRA_ADAM",
        "optimistic-adam": "hvd_qgenx.games.methods:OPTIMISTIC_ADAM",
        "qgenx-da": "hvd_qgenx.games.methods:QGENX_DA",
        "qgenx-de": "hvd_qgenx.games.methods:QGENX_DE",
        "qgenx-optda": "hvd_qgenx.games.methods:QGENX_OPTDA",
    },
)
NOISES: Registry[type[Noise]] = Registry(
    "noise",
    {
        "none": "hvd_qgenx.games.noise:NoNoise",
        "absolute": "hvd_qgenx.games.noise:Absolute",
        "relative": "hvd_qgenx.games.noise:Relative",
        "random-coordinate": "hvd_qgenx.games.noise:RandomCoordinate",
        "random-player": "hvd_qgenx.games.noise:RandomPlayer",
        "gaussian": "hvd_qgenx.games.noise:Gaussian",
    },
)
LOSSES = ("gan", "ns-gan", "wgan")
"""Losses of the Dirac-GAN."""
