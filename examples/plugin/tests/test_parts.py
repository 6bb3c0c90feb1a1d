"""The parts of the package keep the contracts of their kinds."""

import pytest
from hvd_qgenx_example.logarithmic import Logarithmic
from hvd_qgenx_example.rock_paper_scissors import RockPaperScissors

from hvd_qgenx.testing import check_compressor, check_game


@pytest.mark.parametrize("steps", [1, 8, 16])
def test_compressor(steps: int) -> None:
    check_compressor(lambda: Logarithmic(steps=steps))


@pytest.mark.parametrize("pull", [0.0, 0.1])
def test_game(pull: float) -> None:
    check_game(lambda: RockPaperScissors(pull))
