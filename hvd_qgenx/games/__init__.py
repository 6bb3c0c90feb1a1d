"""Games with known solutions, the methods that play them, and the noise that methods see.

>>> import torch
>>> from hvd_qgenx.games import rock_paper_scissors
>>> game = rock_paper_scissors()
>>> bool(game.gap(game.start) > 0), round(game.gap(torch.full((6,), 1 / 3, dtype=torch.float64)), 9)
(True, 0.0)
"""

from typing import TYPE_CHECKING

from hvd_qgenx.exports import lazy

__all__ = [
    "METHODS",
    "NOISES",
    "Bilinear",
    "DiracGAN",
    "Game",
    "LinearWGAN",
    "MatrixGame",
    "Method",
    "Noise",
    "Players",
    "StochasticBilinear",
    "from_matrix",
    "from_spectrum",
    "make_noise",
    "rock_paper_scissors",
]

if TYPE_CHECKING:
    from hvd_qgenx.games.base import Game
    from hvd_qgenx.games.bilinear import Bilinear, LinearWGAN, from_matrix, from_spectrum
    from hvd_qgenx.games.dirac import DiracGAN
    from hvd_qgenx.games.matrix import MatrixGame, rock_paper_scissors
    from hvd_qgenx.games.methods import Method, Players
    from hvd_qgenx.games.noise import Noise
    from hvd_qgenx.games.registry import METHODS, NOISES, make_noise
    from hvd_qgenx.games.stochastic import StochasticBilinear
else:
    __getattr__ = lazy(
        __name__,
        {
            "METHODS": "hvd_qgenx.games.registry",
            "NOISES": "hvd_qgenx.games.registry",
            "Bilinear": "hvd_qgenx.games.bilinear",
            "DiracGAN": "hvd_qgenx.games.dirac",
            "Game": "hvd_qgenx.games.base",
            "LinearWGAN": "hvd_qgenx.games.bilinear",
            "MatrixGame": "hvd_qgenx.games.matrix",
            "Method": "hvd_qgenx.games.methods",
            "Noise": "hvd_qgenx.games.noise",
            "Players": "hvd_qgenx.games.methods",
            "StochasticBilinear": "hvd_qgenx.games.stochastic",
            "from_matrix": "hvd_qgenx.games.bilinear",
            "from_spectrum": "hvd_qgenx.games.bilinear",
            "make_noise": "hvd_qgenx.games.registry",
            "rock_paper_scissors": "hvd_qgenx.games.matrix",
        },
    )
