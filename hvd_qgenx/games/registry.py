"""Methods, noises and losses by name."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from compressors.spec import Spec
from hvd_qgenx.errors import ConfigurationError, configuration_errors
from hvd_qgenx.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from hvd_qgenx.games.base import Game
    from hvd_qgenx.games.methods import Method
    from hvd_qgenx.games.noise import Noise

GAMES: Registry[Callable[..., Game]] = Registry(
    "game",
    {
        "bilinear": "hvd_qgenx.games.bilinear:from_spectrum",
        "quadratic": "hvd_qgenx.games.bilinear:from_spectrum",
        "matrix": "hvd_qgenx.games.matrix:MatrixGame",
        "stochastic-bilinear": "hvd_qgenx.games.stochastic:StochasticBilinear",
        "dirac-gan": "hvd_qgenx.games.dirac:DiracGAN",
    },
    group="hvd_qgenx.games",
)
"""Games by name: classes, or functions that make one.

Those of plugins get a command made of their arguments: each has a default and becomes an option, but for ``seed``,
which is the seed of a play.
"""
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
        "qoda": "hvd_qgenx.games.methods:QODA_JOINT",
        "qoda-separated": "hvd_qgenx.games.methods:QODA_SEPARATED",
    },
)
"""Ways to play a game, by name."""
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
"""Classes of noise by name."""
LOSSES = ("gan", "ns-gan", "wgan")
"""Losses of the Dirac-GAN."""


def make_noise(text: str) -> Noise:
    """Makes the noise of a text like ``name`` or ``name:parameter=value``; a number is the std of ``gaussian``.

    Raises:
        ConfigurationError: an unknown name or parameter, or a value that is not a number from 0 on.
    """
    with configuration_errors():
        noise = Spec.parse(f"gaussian:std={text}" if _is_number(text) else text).build("noise", NOISES)
    for name, value in vars(noise).items():
        if not 0 <= value < math.inf:
            raise ConfigurationError(f"noise {text}: {name} must be a number from 0 on, not {value}")
    return noise


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
